//! Which executor runs the actions.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{Executor, ExecutorError, NamespaceExecutor, probe};

/// What a user may choose. It is part of no key: all of them give the same bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Namespaces of this machine, or Docker if the kernel forbids making them.
    #[default]
    Auto,
    /// Namespaces of this machine.
    Namespace,
    /// Containers of the Docker daemon that `DOCKER_HOST` names, or of this machine's.
    Docker,
    /// The engine of the section `[engine]`; what can't run there runs here, as with `auto`.
    Reapi,
}

impl Choice {
    /// As it is written in settings and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Namespace => "namespace",
            Self::Docker => "docker",
            Self::Reapi => "reapi",
        }
    }

    /// Makes the executor of this machine. `state` is a folder of the user's own; `leftover` says
    /// what becomes of containers that were started ahead and not used.
    ///
    /// # Errors
    /// If it can't be had. What `Namespace` lacks is told by the first action, with the same hints
    /// as a probe would give.
    pub fn executor(self, state: &Path, leftover: Leftover) -> Result<Arc<dyn Executor>, ExecutorError> {
        match self {
            Self::Namespace => Ok(Arc::new(NamespaceExecutor::new())),
            Self::Docker => docker_executor(state, leftover),
            Self::Auto | Self::Reapi => match probe_once(state) {
                Ok(()) => Ok(Arc::new(NamespaceExecutor::new())),
                // The first error is the one that says what to change, unless there is a daemon.
                Err(error) => docker_executor(state, leftover).map_err(|_| error),
            },
        }
    }
}

/// What becomes of containers that were started ahead and not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// They are removed when the executor is dropped.
    Removed,
    /// They stay for a moment, for the next process of the same build.
    HandedOver,
}

#[cfg(feature = "docker")]
fn docker_executor(state: &Path, leftover: Leftover) -> Result<Arc<dyn Executor>, ExecutorError> {
    let ahead = match leftover {
        Leftover::Removed => docker::Ahead::Own,
        Leftover::HandedOver => docker::Ahead::HandOver,
    };
    let executor = docker::DockerExecutor::connect(&state.join("docker"), super::runner_program()?, ahead)?;
    executor.end_with_signals();
    Ok(Arc::new(executor))
}

#[cfg(not(feature = "docker"))]
fn docker_executor(_: &Path, _: Leftover) -> Result<Arc<dyn Executor>, ExecutorError> {
    Err(without_docker())
}

#[cfg(any(test, not(feature = "docker")))]
fn without_docker() -> ExecutorError {
    ExecutorError::Environment {
        doing: "using Docker".to_owned(),
        source: std::io::Error::other("this program was built without its feature `docker`"),
        hint: "build it with `cargo build --release --features docker`, or choose `--executor namespace`".to_owned(),
    }
}

/// Asks whether this machine lets us make namespaces, once for each boot: every action is a process
/// of its own.
fn probe_once(state: &Path) -> Result<(), ExecutorError> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let note = state.join("namespaces-work");
    if !boot.is_empty() && fs::read_to_string(&note).is_ok_and(|noted| noted == boot) {
        return Ok(());
    }
    probe()?;
    // Without the note, it is asked again.
    let _ = fs::create_dir_all(state).and_then(|()| fs::write(&note, boot));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_named() {
        let error = without_docker();
        assert_eq!(error.fault(), crate::executor::Fault::Environment);
        assert_eq!(
            error.to_string(),
            "can't make a container for the action: using Docker: this program was built without its feature `docker`; \
             build it with `cargo build --release --features docker`, or choose `--executor namespace`"
        );
    }
}
