//! One action as the tool gives it to its runner, in a container or on a worker, and what the
//! runner says of its end.
//!
//! Both are sent as JSON. How they travel, and the trees with them, is the matter of
//! [`crate::serve`] and [`crate::runner`].

use std::io;

use build_graph::untrusted::printable_path;
use build_graph::{RelPath, SandboxPath, contract};
use serde::{Deserialize, Serialize};

use crate::{ActionLimit, ActionLimits, ExecutorError, Status};

/// What the runner is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The number of the executor contract that the action was described for
    /// ([`contract::VERSION`]).
    pub contract: u64,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Where each input appears.
    pub inputs: Vec<SandboxPath>,
    /// The files and directories below `/build` that are wanted.
    pub outputs: Vec<RelPath>,
    /// What it may take.
    pub limits: ActionLimits,
}

impl Job {
    /// Refuses a job for another contract.
    ///
    /// # Errors
    /// [`ExecutorError::Internal`], which says how to get a runner that fits.
    pub(crate) fn check_contract(&self) -> Result<(), ExecutorError> {
        let (wanted, has) = (self.contract, contract::VERSION);
        if wanted == has {
            return Ok(());
        }
        Err(ExecutorError::Internal(format!(
            "this runner keeps the executor contract {has} and the action wants {wanted}; build it again: `cargo runner` in the \
             source tree of pynbox-build"
        )))
    }
}

/// What the runner reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobReport {
    /// Whether the view had the caller's `/proc` for want of one of its own.
    pub callers_proc: bool,
    /// What came of the command.
    pub ending: JobEnding,
}

/// What came of a command: a [`Status`] or an [`ExecutorError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum JobEnding {
    Exited(i32),
    Signalled(i32),
    Reached(ActionLimit),
    Program { program: String, errno: i32 },
    MountPoint { at: SandboxPath, errno: i32 },
    Description { what: String, reason: String },
    Environment { doing: String, errno: i32, hint: String },
    Killed { signal: i32 },
    Internal(String),
}

/// What is wrong with a description, as the embedded executor says it.
const REASONS: [&str; 4] =
    ["holds a NUL", "is empty", "has a name that is empty or holds `=`", "lies in an input, where nothing can be made"];

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl JobReport {
    /// What the runner sends.
    pub fn new(result: Result<Status, ExecutorError>, callers_proc: bool) -> Self {
        let ending = match result {
            Ok(Status::Exited(status)) => JobEnding::Exited(status),
            Ok(Status::Signalled(signal)) => JobEnding::Signalled(signal),
            Ok(Status::Reached(limit)) => JobEnding::Reached(limit),
            Err(ExecutorError::Program { program, source }) => JobEnding::Program { program, errno: number(&source) },
            Err(ExecutorError::MountPoint { at, source }) => JobEnding::MountPoint { at, errno: number(&source) },
            Err(ExecutorError::Description { what, reason }) => {
                JobEnding::Description { what, reason: reason.to_owned() }
            }
            Err(ExecutorError::Host { doing, path, source, hint }) => JobEnding::Environment {
                doing: format!("{doing} `{}` in it", printable_path(&path)),
                errno: number(&source),
                hint: hint.trim_start_matches("; ").to_owned(),
            },
            Err(ExecutorError::Environment { doing, source, hint }) => {
                JobEnding::Environment { doing, errno: number(&source), hint }
            }
            Err(ExecutorError::Killed { signal }) => JobEnding::Killed { signal },
            Err(ExecutorError::Internal(text)) => JobEnding::Internal(text),
        };
        Self { callers_proc, ending }
    }

    /// What the tool makes of it.
    ///
    /// # Errors
    /// The error that the runner met.
    pub fn result(self) -> Result<Status, ExecutorError> {
        Err(match self.ending {
            JobEnding::Exited(status) => return Ok(Status::Exited(status)),
            JobEnding::Signalled(signal) => return Ok(Status::Signalled(signal)),
            JobEnding::Reached(limit) => return Ok(Status::Reached(limit)),
            JobEnding::Program { program, errno } => {
                ExecutorError::Program { program, source: io::Error::from_raw_os_error(errno) }
            }
            JobEnding::MountPoint { at, errno } => {
                ExecutorError::MountPoint { at, source: io::Error::from_raw_os_error(errno) }
            }
            JobEnding::Description { what, reason } => {
                let known = REASONS.into_iter().find(|known| *known == reason);
                ExecutorError::Description { what, reason: known.unwrap_or("is refused by the runner") }
            }
            JobEnding::Environment { doing, errno, hint } => {
                ExecutorError::Environment { doing, source: io::Error::from_raw_os_error(errno), hint }
            }
            JobEnding::Killed { signal } => ExecutorError::Killed { signal },
            JobEnding::Internal(text) => ExecutorError::Internal(text),
        })
    }

    /// The runner's exit status: 0 if the command succeeded, so that only then an engine keeps the
    /// result, 1 if it failed and 3 if it could not be run.
    pub fn exit_code(&self) -> u8 {
        match self.ending {
            JobEnding::Exited(0) => 0,
            JobEnding::Exited(_) | JobEnding::Signalled(_) | JobEnding::Reached(_) => 1,
            _ => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let error = |errno| io::Error::from_raw_os_error(errno);
        let at = SandboxPath::new("/build/x").unwrap();
        let program = || ExecutorError::Program { program: "x".to_owned(), source: error(2) };
        let mount_point = || ExecutorError::MountPoint { at: at.clone(), source: error(20) };
        let mut results = vec![
            (Ok(Status::Exited(3)), Ok(Status::Exited(3)), 1),
            (Ok(Status::Exited(0)), Ok(Status::Exited(0)), 0),
            (Ok(Status::Signalled(9)), Ok(Status::Signalled(9)), 1),
            (Err(program()), Err(program()), 3),
            (Err(mount_point()), Err(mount_point()), 3),
        ];
        results.extend(ActionLimit::ALL.map(|limit| (Ok(Status::Reached(limit)), Ok(Status::Reached(limit)), 1)));
        for (result, expected, code) in results {
            let json = serde_json::to_vec(&JobReport::new(result, false)).unwrap();
            let report: JobReport = serde_json::from_slice(&json).unwrap();
            assert_eq!(report.exit_code(), code);
            assert_eq!(format!("{:?}", report.result()), format!("{expected:?}"));
        }
        for reason in REASONS {
            let sent = JobReport::new(Err(ExecutorError::Description { what: "x".to_owned(), reason }), false);
            assert!(matches!(sent.result(), Err(ExecutorError::Description { reason: got, .. }) if got == reason));
        }
    }
}
