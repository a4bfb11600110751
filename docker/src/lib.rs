//! The Docker executor: each action in a container of its own, on whatever daemon `DOCKER_HOST`
//! names.
//!
//! What an action sees comes from the same code as under the embedded executor: the container's
//! process 1 is a static program of ours ([`namespaces::serve`]), which makes the contract's view
//! inside. The container around it is a second wall: no capability, no new privileges, a user that
//! is nobody on the host, no network device, a read-only root, bounded memory and processes, and
//! Docker's own system-call filter with all that process 1 does not need. Docker alone could not
//! give the view: it has devices, files and mounts of its own in every container.
//!
//! Everything travels over the container's standard streams (`session`), so a remote daemon is no
//! different from a local one, no file of an ordinary user ends up as root's, and nothing depends
//! on paths. It also ties the container to the tool: when the tool ends, however it does, the
//! daemon closes the container's standard input, process 1 ends, and the daemon removes the
//! container. What a daemon could not remove (the tool died between making and starting it) is
//! removed by the next run (`owner`).
//!
//! Starting a container takes longer than most actions, so the next ones are started ahead, and
//! wait (`ready`).

mod client;
mod container;
mod image;
mod owner;
mod ready;
mod session;
mod shell;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use build_graph::contract;
use build_graph::untrusted::printable_path;
use namespaces::job::Job;
use namespaces::{Executor, ExecutorError, Run, Status};
use rustix::io::Errno;
use support::signals::before_end;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use client::Daemon;
use image::Images;

/// What becomes of containers that were started ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ahead {
    /// The executor removes those that it started and did not use, when it is dropped.
    #[default]
    Own,
    /// They stay for a moment, for the process that runs the next action of the same build.
    HandOver,
    /// No container is started ahead: each action starts its own.
    Never,
}

/// Runs actions in Docker containers.
pub struct DockerExecutor {
    inner: Arc<Inner>,
    runtime: Handle,
}

impl std::fmt::Debug for DockerExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerExecutor").field("daemon", &self.inner.daemon.address).finish_non_exhaustive()
    }
}

struct Inner {
    daemon: Daemon,
    images: Images,
    /// Where containers that wait are noted.
    ready: PathBuf,
    ahead: Ahead,
    /// Tasks that run beside the actions.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// How many containers are being started, by image.
    starting: Mutex<Vec<String>>,
    /// Those that this process started ahead.
    started: Mutex<Vec<String>>,
    /// Those that run an action now.
    busy: Mutex<Vec<String>>,
}

impl DockerExecutor {
    /// Reaches the daemon that `DOCKER_HOST` names, or this machine's. `state` is a folder of the
    /// user's, made if it is missing: it says which images the daemon has and which containers wait
    /// there. `runner` is the static program `pynbox-runner`, process 1 of each container.
    ///
    /// # Errors
    /// [`ExecutorError::Environment`] if there is no daemon, or one that is too old;
    /// [`ExecutorError::Host`] if `state` can't be written.
    pub fn connect(state: &Path, runner: Vec<u8>, ahead: Ahead) -> Result<Self, ExecutorError> {
        let ready = state.join("ready");
        for folder in [&ready, &state.join("images")] {
            fs::create_dir_all(folder).map_err(|source| host("make", folder, source))?;
        }
        let runtime = network::runtime::handle().map_err(|source| ExecutorError::Environment {
            doing: "starting threads".to_owned(),
            source,
            hint: "see `ulimit -u`".to_owned(),
        })?;
        let daemon = runtime.block_on(Daemon::connect())?;
        let images = Images::new(&daemon, runner, state.join("images"));
        let inner = Arc::new(Inner {
            daemon,
            images,
            ready,
            ahead,
            tasks: Mutex::default(),
            starting: Mutex::default(),
            started: Mutex::default(),
            busy: Mutex::default(),
        });
        let reaping = Arc::clone(&inner);
        lock(&inner.tasks).push(runtime.spawn(async move { owner::reap(&reaping.daemon).await }));
        Ok(Self { inner, runtime })
    }

    /// Lets SIGINT and SIGTERM remove this process's containers, and those that wait, before they
    /// end the process.
    pub fn end_with_signals(&self) {
        let (runtime, inner) = (self.runtime.clone(), Arc::clone(&self.inner));
        before_end(move || {
            let cleaning = async {
                let mut all = ready::claim_all(&inner);
                all.extend(lock(&inner.busy).drain(..));
                let removing = all.iter().map(|id| container::remove(&inner.daemon, id));
                futures_util::future::join_all(removing).await;
            };
            // A daemon that does not answer removes them by itself, when their standard input ends.
            let bounded = async { tokio::time::timeout(std::time::Duration::from_secs(5), cleaning).await };
            let _ = runtime.block_on(bounded);
        });
    }
}

impl Inner {
    /// Waits for the tasks that run beside the actions.
    async fn settle(&self) {
        loop {
            let Some(task) = lock(&self.tasks).pop() else { return };
            // The error of a task is no error of an action.
            let _ = task.await;
        }
    }
}

/// Returns the job for a container's runner, which gives all of `/build`.
fn job(run: &Run<'_>) -> Job {
    Job {
        contract: contract::VERSION,
        command: run.command.to_vec(),
        environment: run.environment.to_vec(),
        inputs: run.inputs.iter().map(|input| input.at.clone()).collect(),
        outputs: run.outputs.to_vec(),
        limits: run.limits,
    }
}

impl Drop for DockerExecutor {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            self.inner.settle().await;
            if self.inner.ahead == Ahead::Own {
                let own = ready::claim_own(&self.inner);
                let removing = own.iter().map(|id| container::remove(&self.inner.daemon, id));
                futures_util::future::join_all(removing).await;
            }
        });
    }
}

impl Executor for DockerExecutor {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn run(&self, run: &Run<'_>) -> Result<Status, ExecutorError> {
        check_directories(run)?;
        let mut rest = fs::read_dir(run.build_dir).map_err(|source| host("read", run.build_dir, source))?;
        if rest.next().is_some() {
            let path = printable_path(&run.build_dir);
            return Err(ExecutorError::Internal(format!("the build directory `{path}` is not empty")));
        }
        let log = File::create(run.log).map_err(|source| host("write", run.log, source))?;
        self.runtime.block_on(session::run(&self.inner, run, log))
    }

    fn shell(&self, run: &Run<'_>) -> Result<Status, ExecutorError> {
        check_directories(run)?;
        self.runtime.block_on(shell::run(&self.inner, run))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn host(doing: &'static str, path: &Path, source: io::Error) -> ExecutorError {
    let hint = match Errno::from_io_error(&source) {
        Some(Errno::NOSPC | Errno::DQUOT) => "; make room on that file system",
        _ => "",
    };
    ExecutorError::Host { doing, path: path.to_owned(), source, hint: hint.to_owned() }
}

fn check_directories(run: &Run<'_>) -> Result<(), ExecutorError> {
    let inputs = run.inputs.iter().map(|input| ("use the input", input.host));
    for (doing, path) in
        [("use the image", run.root), ("use the build directory", run.build_dir)].into_iter().chain(inputs)
    {
        let metadata = fs::metadata(path).map_err(|source| host(doing, path, source))?;
        if !metadata.is_dir() {
            return Err(host(doing, path, Errno::NOTDIR.into()));
        }
    }
    Ok(())
}
