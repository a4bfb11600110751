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

/// The result of a job, sooner or later.
#[derive(Debug)]
pub struct Promise<T>(Receiver<T>);

impl Jobs {
    /// Has `job` done, after those that were started before.
    pub fn start<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Promise<T> {
        let (sender, receiver) = channel();
        // Who waits learns of a panic, or that nobody serves, by the closed channel.
        let _ = self.0.send(Box::new(move || {
            if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                let _ = sender.send(result);
            }
        }));
        Promise(receiver)
    }
}

impl<T> Promise<T> {
    /// Waits for the result; `None` if the job panicked, or nobody serves.
    pub fn wait(self) -> Option<T> {
        self.0.recv().ok()
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
        let id = jobs.start(|| std::thread::current().id());
        let (failing, working) = (jobs.start(|| -> u8 { panic!("on purpose") }), jobs.start(|| 1));
        assert_eq!((working.wait(), failing.wait()), (Some(1), None));
        drop(jobs);
        assert_eq!(serving.join().ok(), id.wait());
    }

    #[test]
    fn nobody_waits_for_a_job_that_nobody_does() {
        let (jobs, server) = pair();
        let waiting = jobs.start(|| 1);
        drop(server);
        assert_eq!((waiting.wait(), jobs.start(|| 1).wait()), (None, None));
    }
}
