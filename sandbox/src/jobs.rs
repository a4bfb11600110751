//! Work for the process's first thread, which may make memory executable while the guest's may not.
//!
//! The second wall ([`crate::wall`]) is stricter for the thread that runs the guest than for the
//! first one, which otherwise only waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

type Job = Box<dyn FnOnce() + Send>;

/// Hands jobs to the thread that [serves](JobServer::serve).
#[derive(Clone, Debug)]
pub struct Jobs(Sender<Job>);

/// Does the jobs.
#[derive(Debug)]
pub struct JobServer(Receiver<Job>);

/// The two ends.
pub fn pair() -> (Jobs, JobServer) {
    let (sender, receiver) = channel();
    (Jobs(sender), JobServer(receiver))
}

/// The result of a job, sooner or later. A job whose promise is dropped is not begun any more.
#[derive(Debug)]
pub struct Promise<T> {
    result: Receiver<T>,
    wanted: Wanted,
}

/// Whether somebody still waits for a job: a long one looks before each step.
#[derive(Clone, Debug)]
pub struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// As of now.
    pub fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Jobs {
    /// Has `job` done, after those that were started before.
    pub fn start<T: Send + 'static>(&self, job: impl FnOnce(&Wanted) -> T + Send + 'static) -> Promise<T> {
        let (sender, result) = channel();
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let promise = Promise { result, wanted: wanted.clone() };
        // Who waits learns of a panic, or that nobody serves, by the closed channel.
        let _ = self.0.send(Box::new(move || {
            if wanted.is()
                && let Ok(result) = catch_unwind(AssertUnwindSafe(|| job(&wanted)))
            {
                let _ = sender.send(result);
            }
        }));
        promise
    }
}

impl<T> Promise<T> {
    /// Waits for the result; `None` if the job panicked, or nobody serves.
    pub fn wait(self) -> Option<T> {
        self.result.recv().ok()
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.wanted.0.store(false, Ordering::Relaxed);
    }
}

impl JobServer {
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
        let id = jobs.start(|_| std::thread::current().id());
        let (failing, working) = (jobs.start(|_| -> u8 { panic!("on purpose") }), jobs.start(|_| 1));
        assert_eq!((working.wait(), failing.wait()), (Some(1), None));
        drop(jobs);
        assert_eq!(serving.join().ok(), id.wait());
    }

    #[test]
    fn nobody_waits_for_a_job_that_nobody_does() {
        let (jobs, server) = pair();
        let waiting = jobs.start(|_| 1);
        drop(server);
        assert_eq!((waiting.wait(), jobs.start(|_| 1).wait()), (None, None));
    }

    #[test]
    fn a_job_that_nobody_waits_for_any_more_is_not_begun() {
        let (jobs, server) = pair();
        let (sender, done) = std::sync::mpsc::channel();
        let job = |number: u8| {
            let sender = sender.clone();
            move |wanted: &super::Wanted| sender.send((number, wanted.is()))
        };
        drop(jobs.start(job(1)));
        let waiting = jobs.start(job(2));
        drop(jobs);
        server.serve();
        assert_eq!(waiting.wait(), Some(Ok(())));
        assert_eq!(done.try_iter().collect::<Vec<_>>(), [(2, true)]);
    }
}
