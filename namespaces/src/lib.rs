//! Executors: what runs the command of an action in a container of its own; and the embedded one.
//!
//! What an action can see is fixed by [`build_graph::contract`]; an executor may add nothing to it
//! and leave nothing out.
//!
//! A crate apart from the tool's others, and small, because the runner that remote workers get
//! (`pynbox-runner`) is linked statically and does the same there: see [`runner`].

pub mod job;
mod limits;
mod namespace;
pub mod runner;
pub mod serve;

use std::io;
use std::path::{Path, PathBuf};

use build_graph::untrusted::printable_path;
use build_graph::{RelPath, SandboxPath, TreeDigest};
use thiserror::Error;

pub use limits::{ActionLimit, ActionLimits};
pub use namespace::{DENIED_SYSCALLS, DeniedSyscall, NamespaceExecutor, probe, wait_for_children};

/// A directory of the host that an action sees, read-only.
#[derive(Debug, Clone, Copy)]
pub struct InputMount<'a> {
    /// Where the action sees it. Below `/build` the mount point is made when it is missing;
    /// elsewhere it must be a directory of the image, or have a first component that the image
    /// lacks. No component of it may be a symbolic link.
    pub at: &'a SandboxPath,
    /// The directory.
    pub host: &'a Path,
}

/// One action, ready to run: every path of the host that it needs is there.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The materialised image, which the action sees as `/`, read-only. What it holds below
    /// `build`, `dev`, `proc` and `tmp` is hidden.
    pub root: &'a Path,
    /// The digest of that tree, where it is known: an executor that copies images elsewhere copies
    /// each once.
    pub image: Option<TreeDigest>,
    /// What the action sees beside the image, in any order.
    pub inputs: &'a [InputMount<'a>],
    /// Program and arguments; a program without `/` is looked up in the `PATH` of `environment`.
    pub command: &'a [String],
    /// The whole environment: nothing is added, so the caller puts the values of the contract into
    /// it.
    pub environment: &'a [(String, String)],
    /// A directory of the host, empty for [`Executor::run`], that the action sees as its writable
    /// `/build`. It stays when the action is over, whatever its end; beside what the action wrote
    /// it holds the mount points of the inputs, as empty directories, and the directories of the
    /// outputs.
    pub build_dir: &'a Path,
    /// What is wanted of `/build`: the directories above are there when the action starts.
    pub outputs: &'a [RelPath],
    /// The file that gets what the action prints, both streams in the order of writing. It is made,
    /// or truncated.
    pub log: &'a Path,
    /// What the action may take.
    pub limits: ActionLimits,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its first process ended by itself, with this status.
    Exited(i32),
    /// A signal ended its first process.
    Signalled(i32),
    /// It reached this limit, and was killed.
    Reached(ActionLimit),
}

impl Status {
    /// Whether it ended as a successful program does.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

/// Runs actions, each in a container of its own.
pub trait Executor: Send + Sync {
    /// The name that a user chooses it by.
    fn name(&self) -> &'static str;

    /// Runs one action to its end. When it returns, no process and no mount of the action is left;
    /// the same holds soon after this process or the calling thread is killed in any way.
    ///
    /// # Errors
    /// [`ExecutorError`] if the command could not be run. A command that runs and fails is a
    /// [`Status`].
    fn run(&self, run: &Run<'_>) -> Result<Status, ExecutorError>;

    /// Runs a command, such as a shell, in the same view on the caller's own terminal: for a look
    /// at the directory that a failed action left. `log` is not touched, and `build_dir` need not
    /// be empty.
    ///
    /// # Errors
    /// As [`Executor::run`].
    fn shell(&self, run: &Run<'_>) -> Result<Status, ExecutorError>;
}

/// Whose fault an error is, which decides the exit code of the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The action as it is described can't run.
    Action,
    /// The machine lacks or forbids something.
    Environment,
    /// A bug of ours.
    Internal,
}

/// An action could not be run.
#[derive(Debug, Error)]
pub enum ExecutorError {
    /// The program can't be started.
    #[error(
        "can't start `{program}` in the image: {source}; it, and the interpreter or loader that it names, must be there and executable"
    )]
    Program {
        /// As the action names it.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// An input has no place in the view.
    #[error(
        "can't mount an input at `{at}`: {source}; each of its components must be a directory of the image or of another input \
         and no symbolic link, or lie below `/build` or at the top, where it is made"
    )]
    MountPoint {
        /// Where the action wants it.
        at: SandboxPath,
        /// Why.
        source: io::Error,
    },
    /// The action's description holds something that no process can be given.
    #[error("can't pass {what} to the action: it {reason}")]
    Description {
        /// Which part.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file or directory of the host can't be used.
    #[error("can't {doing} `{}`: {source}{hint}", printable_path(&path))]
    Host {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
        /// What to do, if that is known; begins with `; `.
        hint: String,
    },
    /// The machine does not let us make a container.
    #[error("can't make a container for the action: {doing}: {source}; {hint}")]
    Environment {
        /// The step that failed.
        doing: String,
        /// Why.
        source: io::Error,
        /// What to change.
        hint: String,
    },
    /// The process that watches over the action was killed from outside.
    #[error(
        "the container was killed from outside (signal {signal}); if nobody did that, the machine ran out of memory: \
             run fewer actions at once"
    )]
    Killed {
        /// By which signal.
        signal: i32,
    },
    /// A bug of ours.
    #[error("{0}")]
    Internal(String),
}

impl ExecutorError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Program { .. } | Self::MountPoint { .. } | Self::Description { .. } => Fault::Action,
            Self::Host { .. } | Self::Environment { .. } | Self::Killed { .. } => Fault::Environment,
            Self::Internal(_) => Fault::Internal,
        }
    }
}
