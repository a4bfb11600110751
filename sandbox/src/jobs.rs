//! Work for the process's first thread, which may make memory executable while the guest's may not.
//!
//! The second wall ([`crate::wall`]) is stricter for the thread that runs the guest than for the first one, which otherwise only waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

type Job = Box<dyn FnOnce() + Send>;

/// Hands jobs to the thread that [serves](Server::serve).
#[derive(Clone, Debug)]
pub struct Jobs(Sender<Job>);

/// Does the jobs.
#[derive(Debug)]
pub struct Server(Receiver<Job>);

/// The two ends.
pub fn pair() -> (Jobs, Server) {
    let (sender, receiver) = channel();
    (Jobs(sender), Server(receiver))
}

impl Jobs {
    /// Has `job` done and waits for its result; `None` if it panicked, or nobody serves.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = channel();
        self.0
            .send(Box::new(move || {
                // Who waits learns of it by the closed channel.
                if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                    let _ = sender.send(result);
                }
            }))
            .ok()?;
        receiver.recv().ok()
    }
}

impl Server {
    /// Does jobs until nobody can send any more.
    pub fn serve(self) {
        for job in self.0 {
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pair;

    #[test]
    fn jobs_run_on_the_serving_thread_and_may_panic() {
        let (jobs, server) = pair();
        let serving = std::thread::spawn(move || {
            server.serve();
            std::thread::current().id()
        });
        let id = jobs.run(|| std::thread::current().id()).unwrap();
        assert_eq!(jobs.run(|| -> u8 { panic!("on purpose") }), None);
        assert_eq!(jobs.run(|| 1), Some(1));
        drop(jobs);
        assert_eq!(serving.join().unwrap(), id);
    }
}
