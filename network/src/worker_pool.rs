//! A pool of threads that takes what arrives asynchronously, so that hashing and writing never
//! block the receiver.

use std::panic::resume_unwind;

use async_channel::{Receiver, Sender, bounded};
use tokio::sync::Notify;

/// Runs `receive`, which sends what arrives, and calls `take` with each item, on one thread a
/// processor. At most `waiting` items wait to be taken.
///
/// The first error of `take` ends the pool: sending fails from then on, and `receive` is notified,
/// so it need not wait until it has something to send.
///
/// # Errors
/// The first error of `take`; otherwise that of `receive`.
pub fn take_all<T: Send, E: Send>(
    waiting: usize,
    receive: impl FnOnce(Sender<T>, &Notify) -> Result<(), E>,
    take: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let (sender, receiver) = bounded(waiting);
    let stopped = Notify::new();
    let taking = || {
        let mut taker = Worker { receiver: &receiver, stopped: &stopped, done: false };
        while let Ok(thing) = taker.receiver.recv_blocking() {
            take(thing)?;
        }
        taker.done = true;
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(taking)).collect();
        let received = receive(sender, &stopped);
        let taken = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        taken.collect::<Result<Vec<()>, E>>().and(received)
    })
}

/// A worker. If it ends early, by an error or a panic, it stops the sender.
struct Worker<'a, T> {
    receiver: &'a Receiver<T>,
    stopped: &'a Notify,
    done: bool,
}

impl<T> Drop for Worker<'_, T> {
    fn drop(&mut self) {
        if !self.done {
            self.receiver.close();
            self.stopped.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    fn send(numbers: std::ops::Range<u32>) -> impl FnOnce(Sender<u32>, &Notify) -> Result<(), u32> {
        |sender, _| {
            for number in numbers {
                sender.send_blocking(number).map_err(|_| u32::MAX)?;
            }
            Ok(())
        }
    }

    #[test]
    fn everything_is_taken_once() {
        let sum = Mutex::new(0);
        let take = |number| {
            *sum.lock().unwrap() += number;
            Ok(())
        };
        assert_eq!(take_all(2, send(0..100), take), Ok(()));
        assert_eq!(sum.into_inner().unwrap(), 4950);
    }

    #[test]
    fn an_error_of_a_worker_ends_the_pool() {
        // Many more than may wait: without a notice, the sender would wait for ever.
        assert_eq!(take_all(2, send(0..1_000_000), |number| if number >= 10 { Err(7) } else { Ok(()) }), Err(7));
    }

    #[test]
    fn a_waiting_sender_is_notified() {
        let receive = |sender: Sender<u32>, stopped: &Notify| {
            sender.send_blocking(1).map_err(|_| 1_u32)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let stopped = async { tokio::time::timeout(Duration::from_secs(60), stopped.notified()).await };
            runtime.block_on(stopped).map_err(|_| 2_u32)
        };
        assert_eq!(take_all(2, receive, |number| Err(number + 6)), Err(7));
    }

    #[test]
    fn a_panic_ends_it_too() {
        let all = || take_all(2, send(0..1_000_000), |_| -> Result<(), u32> { panic!("as the test wants") });
        assert!(std::panic::catch_unwind(all).is_err());
    }
}
