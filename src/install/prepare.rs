//! Having the loader compile what is installed, so that no program has to be compiled when it is
//! used.
//!
//! The loader is what the packages brought, and runs with the rights of the caller: a repository is
//! trusted. What a program of a package does in its initialisation, the loader runs behind its wall
//! and with limits. Here, a deadline ends the loader itself.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use build_graph::Entry;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::package::Manifest;
use super::{InstallError, generation};
use crate::regular;

/// How long the loader may take for a part of the programs: many times of what all known ones need
/// on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// So many programs are a part: not more than a command line holds.
const PART: usize = 256;
/// The folder of compiled code.
pub(super) const COMPILED: &str = "compiled";

/// Lets the loader of an installation (DEST, or a generation) compile every program and library
/// that is installed there. What an install before this one left in the folder `code_cache` is not
/// compiled again. What others put there is left alone.
///
/// # Errors
/// [`InstallError::Unprepared`] if the loader fails or takes longer than the deadline.
pub fn prepare(installation: &Path, code_cache: Option<&Path>, deadline: Duration) -> Result<(), InstallError> {
    precompile(installation, &generation::receipts(installation)?, code_cache, deadline)
}

/// As [`prepare`], for the programs and libraries of these packages alone, which are installed at
/// this path.
///
/// # Errors
/// As [`prepare`].
pub fn precompile(
    installation: &Path,
    receipts: &[Manifest],
    code_cache: Option<&Path>,
    deadline: Duration,
) -> Result<(), InstallError> {
    let loader = installation.join("bin/run");
    let mut modules = Vec::new();
    for receipt in receipts {
        for (path, entry) in receipt.content.iter() {
            let file = matches!(entry, Entry::File { .. }) && is_module(&installation.join(path.as_str()));
            if let Some(guest) = path.as_str().strip_prefix("root/").filter(|_| file) {
                modules.push(format!("/{guest}"));
            }
        }
    }
    for part in modules.chunks(PART) {
        let mut command = Command::new(&loader);
        command.arg("--precompile");
        if let Some(folder) = code_cache {
            command.arg("--code-cache").arg(folder);
        }
        let unprepared = |status: Option<i32>, how: String| {
            let status = status.and_then(|status| u8::try_from(status).ok());
            Err(InstallError::Unprepared { loader: loader.clone(), how, status })
        };
        match command.args(part).spawn().and_then(|child| wait(child, deadline)) {
            Ok(Some(status)) if status.success() => {}
            Ok(Some(status)) => return unprepared(status.code(), status.to_string()),
            Ok(None) => return unprepared(None, format!("it took longer than {} seconds", deadline.as_secs())),
            Err(error) => return unprepared(None, error.to_string()),
        }
    }
    Ok(())
}

/// Whether a file is of the one format that is compiled ahead, WebAssembly's; targets of machine
/// code have none.
fn is_module(path: &Path) -> bool {
    let mut magic = [0; 4];
    regular::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\0asm"
}

/// Waits for the end of a process; ends it, and gives `None`, if that takes too long.
fn wait(mut child: Child, deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + deadline;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(_) => return child.wait().map(Some),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, deadline: Duration) -> io::Result<Option<ExitStatus>> {
        wait(Command::new("sh").args(["-c", script]).spawn()?, deadline)
    }

    #[test]
    fn who_takes_too_long_is_ended() {
        assert_eq!(run("exit 7", Duration::from_secs(60)).unwrap().unwrap().code(), Some(7));
        assert!(run("trap '' TERM INT; exec sleep 1000", Duration::from_millis(200)).unwrap().is_none());
    }
}
