//! How errors reach the user: what failed, why, and what to do next.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use build_graph::untrusted::{printable, printable_path};
use network::login::without_password;
use rustix::io::Errno;

use super::log_extract::extract;
use crate::archive::ArchiveError;
use crate::build::BuildError;
use crate::called::called;
use crate::environment::NotText;
use crate::executor::Fault;
use crate::image::ImageError;
use crate::install::InstallError;
use crate::install::package::PackageError;
use crate::lock::LockError;
use crate::patch::PatchError;
use crate::project::ProjectError;
use crate::python::wheel::WheelError;
use crate::remote::settings::SettingsError;
use crate::repository::RepositoryError;
use crate::source::FetchError;
use crate::store::StoreError;
use crate::wheels::WheelsError;

/// What kind of error ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A build failed.
    Build,
    /// Wrong usage or bad input.
    Input,
    /// The environment: no user namespaces, no network, a full disk.
    Environment,
    /// A bug of this program.
    Bug,
}

impl Kind {
    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Build => 1,
            Self::Input => 2,
            Self::Environment => 3,
            Self::Bug => 101,
        }
    }

    /// The kind of error that a program of ours, which ended with this status, had.
    pub(super) fn of_exit_code(code: u8) -> Self {
        match code {
            2 => Self::Input,
            3 => Self::Environment,
            101 => Self::Bug,
            _ => Self::Build,
        }
    }

    /// The kind of error that kept a node from being built.
    pub(super) fn of_build(error: &BuildError) -> Self {
        match error.innermost() {
            BuildError::Store(error) => Self::of_exit_code(error.exit_code()),
            BuildError::Executor(error) => match error.fault() {
                Fault::Action => Self::Build,
                Fault::Environment => Self::Environment,
                Fault::Internal => Self::Bug,
            },
            BuildError::Io { .. } | BuildError::Foreign { .. } | BuildError::Fetch(_) | BuildError::Engine(_) => {
                Self::Environment
            }
            // The store's part in an operation on an archive, a patch, or a package.
            BuildError::Archive(ArchiveError::Store { .. })
            | BuildError::Wheel(WheelError::Store(_))
            | BuildError::Image(
                ImageError::Package { error: ArchiveError::Store { .. }, .. } | ImageError::Store { .. },
            )
            | BuildError::Patch(PatchError::Store { .. })
            | BuildError::Package(PackageError::Io(_)) => Self::Environment,
            BuildError::Package(PackageError::Store(error)) => Self::of_exit_code(error.exit_code()),
            BuildError::Plan { .. }
            | BuildError::NoPlan { .. }
            | BuildError::NoNode { .. }
            | BuildError::Settings(_) => Self::Input,
            _ => Self::Build,
        }
    }

    /// The kind of a failure on a path that the caller named. What is not there, is there already,
    /// or is of another kind was named wrongly; forbidden access and disks are the environment's.
    fn of_named(error: &io::Error) -> Self {
        use io::ErrorKind as E;
        match error.kind() {
            E::NotFound
            | E::AlreadyExists
            | E::NotADirectory
            | E::IsADirectory
            | E::DirectoryNotEmpty
            | E::InvalidFilename
            | E::InvalidInput
            | E::InvalidData
            // What is in a file, as a decoder says it.
            | E::UnexpectedEof
            | E::Other => Self::Input,
            // What is no name at all: too many links.
            _ if Errno::from_io_error(error) == Some(Errno::LOOP) => Self::Input,
            _ => Self::Environment,
        }
    }
}

/// An error that ends a command.
#[derive(Debug)]
pub struct CommandError {
    /// Its kind.
    pub kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl CommandError {
    /// Bad input or usage.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new() }
    }

    /// A build that gave what it should not.
    pub fn build(message: impl Into<String>) -> Self {
        Self::new(Kind::Build, message)
    }

    /// Something outside that does not do what it should.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Kind::Environment, message)
    }

    /// A call on a path that the caller named failed.
    pub fn named(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::of(Kind::of_named(&source), &BuildError::Io { doing, path, source })
    }

    /// An error whose cause is that a call failed on a path that the caller named.
    pub(super) fn of_named(error: &dyn Error, cause: &io::Error) -> Self {
        Self::of(Kind::of_named(cause), error)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// An error of a repository, with its name.
    pub(super) fn of_repository(name: &str, error: RepositoryError) -> Self {
        let kind = match &error {
            RepositoryError::Store(error) => Kind::of_exit_code(error.exit_code()),
            error if error.is_environment() => Kind::Environment,
            _ => Kind::Input,
        };
        Self::new(kind, format!("repository `{}`: {}", printable(&without_password(name)), describe(&error)))
    }

    fn of(kind: Kind, error: &dyn Error) -> Self {
        Self::new(kind, describe(error))
    }
}

/// An error with its causes, unless its own text has them already.
fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for hint in &self.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::of(Kind::of_exit_code(error.exit_code()), &error)
    }
}

impl From<ProjectError> for CommandError {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Store(error) => error.into(),
            ProjectError::Read { ref source, .. } => Self::of(Kind::of_named(source), &error),
            error => Self::of(Kind::Input, &error),
        }
    }
}

impl From<InstallError> for CommandError {
    fn from(error: InstallError) -> Self {
        let kind = match &error {
            // All of it lies in folders that the caller named.
            InstallError::Io { source, .. } | InstallError::Package { source: PackageError::Io(source), .. } => {
                Kind::of_named(source)
            }
            InstallError::Package { source: PackageError::Store(error), .. } => Kind::of_exit_code(error.exit_code()),
            // The loader's; without one, it was the machine: a signal came from outside, or memory
            // ran out.
            InstallError::Unprepared { status, .. } => status.map_or(Kind::Environment, Kind::of_exit_code),
            _ => Kind::Input,
        };
        Self::of(kind, &error)
    }
}

impl From<SettingsError> for CommandError {
    fn from(error: SettingsError) -> Self {
        let kind = match &error {
            SettingsError::KeyFile { source, .. } => Kind::of_named(source),
            _ => Kind::Input,
        };
        Self::of(kind, &error)
    }
}

impl From<NotText> for CommandError {
    fn from(error: NotText) -> Self {
        Self::of(Kind::Input, &error)
    }
}

impl From<FetchError> for CommandError {
    fn from(error: FetchError) -> Self {
        Self::of(Kind::Environment, &error).hint(error.hint())
    }
}

impl From<BuildError> for CommandError {
    fn from(error: BuildError) -> Self {
        let node = match &error {
            BuildError::Node { node, .. } => Some(node.clone()),
            _ => None,
        };
        let inner = error.innermost();
        let kind = Kind::of_build(&error);
        let kept = match inner {
            BuildError::Failed { kept, .. } | BuildError::Outputs { kept, .. } => kept.clone(),
            _ => None,
        };
        let patched = match inner {
            BuildError::Failed { patched, .. } => patched.clone(),
            _ => Vec::new(),
        };
        let mut command = Self::of(kind, &error);
        if let BuildError::Fetch(error) = inner {
            command = command.hint(error.hint());
        }
        if let (Some(kept), Some(node)) = (kept, node) {
            if let Ok(log) = std::fs::read(kept.join("log")) {
                let said = extract(&printable(&log).lines().to_string());
                command.message.push_str(&format!("\n{said}"));
            }
            for (file, patch) in patched {
                let (file, patch) = (printable(&file), printable(&patch));
                command =
                    command.hint(format!("`{file}` is changed by the recipe's patch `{patch}`: look there first"));
            }
            command = command
                .hint(format!(
                    "the whole log is `{0}/log`, the directory of the action `{0}/build`",
                    printable_path(&kept)
                ))
                .hint(format!("`{} shell {node}` opens a shell there, in the view of the action", called()));
        }
        command
    }
}

impl From<WheelsError> for CommandError {
    fn from(error: WheelsError) -> Self {
        let kind = match &error {
            WheelsError::File { error, .. } => Kind::of_named(error),
            WheelsError::Unmet(_) | WheelsError::Python(_) => Kind::Input,
            WheelsError::Bytecode { .. } => Kind::Build,
            WheelsError::Package(_) => Kind::Environment,
            WheelsError::Fetch(_) => Kind::Environment,
            WheelsError::Store(error) => Kind::of_exit_code(error.exit_code()),
        };
        Self::of(kind, &error)
    }
}

impl From<build_graph::dsl::AssembleError> for CommandError {
    fn from(error: build_graph::dsl::AssembleError) -> Self {
        Self::of(Kind::Input, &error)
    }
}

impl From<LockError> for CommandError {
    fn from(error: LockError) -> Self {
        let kind = match &error {
            LockError::File { error, .. } => Kind::of_named(error),
            LockError::Wanted { .. } | LockError::Unsatisfiable { .. } | LockError::Source { .. } => Kind::Input,
            // What a mirror gives, or does not.
            LockError::Unavailable { .. }
            | LockError::Fetch(_)
            | LockError::Signature { .. }
            | LockError::Index { .. }
            | LockError::Path(_) => Kind::Environment,
        };
        let command = Self::of(kind, &error);
        match &error {
            LockError::Fetch(error) => command.hint(error.hint()),
            _ => command,
        }
    }
}
