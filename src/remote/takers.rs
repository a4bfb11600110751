//! What arrives asynchronously is taken by threads, so that hashing and writing it keeps nobody who receives from receiving.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{Sender, channel};

/// Runs `receive`, which sends what arrives, and calls `take` with each of these on as many threads as there are processors. So many things
/// may wait to be taken. The first error of `take` ends all; from then on, sending fails.
///
/// # Errors
/// That of `take` before that of `receive`: whoever did not take what came knows better why it went no further.
pub(super) fn take_all<T: Send, E: Send>(
    waiting: usize,
    receive: impl FnOnce(Sender<T>) -> Result<(), E>,
    take: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let (sender, receiver) = channel(waiting);
    let receiver = Mutex::new(receiver);
    let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
    let taking = || {
        while let Some(thing) = next() {
            if let Err(error) = take(thing) {
                // A sender that waits for room is told.
                receiver.lock().unwrap_or_else(PoisonError::into_inner).close();
                return Err(error);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let takers: Vec<_> = (0..threads).map(|_| scope.spawn(taking)).collect();
        let received = receive(sender);
        let taken = takers.into_iter().map(|taker| taker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        taken.collect::<Result<Vec<()>, E>>().and(received)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(numbers: std::ops::Range<u32>) -> impl FnOnce(Sender<u32>) -> Result<(), u32> {
        |sender| {
            for number in numbers {
                sender.blocking_send(number).map_err(|_| u32::MAX)?;
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
    fn who_can_not_take_ends_it_and_is_the_reason() {
        // Many more than may wait: the sender would wait for ever if nobody told it.
        assert_eq!(take_all(2, send(0..1_000_000), |number| if number >= 10 { Err(7) } else { Ok(()) }), Err(7));
    }
}
