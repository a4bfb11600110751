//! Which executor runs the actions.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{Ahead, DockerExecutor, Executor, ExecutorError, NamespaceExecutor, probe};

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

    /// Makes the executor of this machine. `state` is a folder of the user's own; `ahead` says what
    /// becomes of Docker containers that wait.
    ///
    /// # Errors
    /// If it can't be had. What `Namespace` lacks is told by the first action, with the same hints
    /// as a probe would give.
    pub fn executor(self, state: &Path, ahead: Ahead) -> Result<Arc<dyn Executor>, ExecutorError> {
        let docker = || {
            let executor = DockerExecutor::connect(&state.join("docker"), ahead)?;
            executor.end_with_signals();
            Ok::<Arc<dyn Executor>, ExecutorError>(Arc::new(executor))
        };
        match self {
            Self::Namespace => Ok(Arc::new(NamespaceExecutor::new())),
            Self::Docker => docker(),
            Self::Auto | Self::Reapi => match probe_once(state) {
                Ok(()) => Ok(Arc::new(NamespaceExecutor::new())),
                // The first error is the one that says what to change, unless there is a daemon.
                Err(error) => docker().map_err(|_| error),
            },
        }
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
