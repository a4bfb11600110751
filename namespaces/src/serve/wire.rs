//! How an action ended, in a form that can be sent.

use std::io;

use build_graph::SandboxPath;
use build_graph::untrusted::printable_path;
use serde::{Deserialize, Serialize};

use crate::{ExecutorError, Status};

/// What the runner reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What came of the command.
    pub ending: Ending,
}

/// What came of a command: a [`Status`] or an [`ExecutorError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Ending {
    Exited(i32),
    Signalled(i32),
    TimedOut,
    Program { program: String, errno: i32 },
    MountPoint { at: SandboxPath, errno: i32 },
    Description { what: String, reason: String },
    Environment { doing: String, errno: i32, hint: String },
    Killed { signal: i32 },
    Internal(String),
}

/// What is wrong with a description, as the embedded executor says it.
const REASONS: [&str; 3] = ["holds a NUL", "is empty", "has a name that is empty or holds `=`"];

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl Report {
    /// What the runner sends.
    pub fn new(result: Result<Status, ExecutorError>) -> Self {
        let ending = match result {
            Ok(Status::Exited(status)) => Ending::Exited(status),
            Ok(Status::Signalled(signal)) => Ending::Signalled(signal),
            Ok(Status::TimedOut) => Ending::TimedOut,
            Err(ExecutorError::Program { program, source }) => Ending::Program { program, errno: number(&source) },
            Err(ExecutorError::MountPoint { at, source }) => Ending::MountPoint { at, errno: number(&source) },
            Err(ExecutorError::Description { what, reason }) => Ending::Description { what, reason: reason.to_owned() },
            Err(ExecutorError::Host { doing, path, source, hint }) => Ending::Environment {
                doing: format!("{doing} `{}` in it", printable_path(&path)),
                errno: number(&source),
                hint: hint.trim_start_matches("; ").to_owned(),
            },
            Err(ExecutorError::Environment { doing, source, hint }) => {
                Ending::Environment { doing, errno: number(&source), hint }
            }
            Err(ExecutorError::Killed { signal }) => Ending::Killed { signal },
            Err(ExecutorError::Internal(text)) => Ending::Internal(text),
        };
        Self { ending }
    }

    /// What the tool makes of it.
    ///
    /// # Errors
    /// The error that the runner met.
    pub fn result(self) -> Result<Status, ExecutorError> {
        Err(match self.ending {
            Ending::Exited(status) => return Ok(Status::Exited(status)),
            Ending::Signalled(signal) => return Ok(Status::Signalled(signal)),
            Ending::TimedOut => return Ok(Status::TimedOut),
            Ending::Program { program, errno } => {
                ExecutorError::Program { program, source: io::Error::from_raw_os_error(errno) }
            }
            Ending::MountPoint { at, errno } => {
                ExecutorError::MountPoint { at, source: io::Error::from_raw_os_error(errno) }
            }
            Ending::Description { what, reason } => {
                let known = REASONS.into_iter().find(|known| *known == reason);
                ExecutorError::Description { what, reason: known.unwrap_or("is refused by the runner") }
            }
            Ending::Environment { doing, errno, hint } => {
                ExecutorError::Environment { doing, source: io::Error::from_raw_os_error(errno), hint }
            }
            Ending::Killed { signal } => ExecutorError::Killed { signal },
            Ending::Internal(text) => ExecutorError::Internal(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let error = |errno| io::Error::from_raw_os_error(errno);
        let at = SandboxPath::new("/build/x").unwrap();
        for (result, shown) in [
            (Ok(Status::Exited(3)), "Ok(Exited(3))".to_owned()),
            (Ok(Status::Signalled(9)), "Ok(Signalled(9))".to_owned()),
            (Ok(Status::TimedOut), "Ok(TimedOut)".to_owned()),
            (
                Err(ExecutorError::Program { program: "x".to_owned(), source: error(2) }),
                format!("{:?}", Err::<(), _>(ExecutorError::Program { program: "x".to_owned(), source: error(2) })),
            ),
            (
                Err(ExecutorError::MountPoint { at: at.clone(), source: error(20) }),
                format!("{:?}", Err::<(), _>(ExecutorError::MountPoint { at, source: error(20) })),
            ),
        ] {
            let json = serde_json::to_vec(&Report::new(result)).unwrap();
            let report: Report = serde_json::from_slice(&json).unwrap();
            assert_eq!(format!("{:?}", report.result()), shown);
        }
        for reason in REASONS {
            let sent = Report::new(Err(ExecutorError::Description { what: "x".to_owned(), reason }));
            assert!(matches!(sent.result(), Err(ExecutorError::Description { reason: got, .. }) if got == reason));
        }
    }
}
