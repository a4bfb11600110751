//! What comes before any guest, whatever it is compiled for: the command line, the descriptors, the log, the mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::descriptors::{self, DescriptorError, Handed};
use crate::install::Installation;
use crate::log::Log;
use crate::mount_table::{MountTable, path_of};
use crate::options::{MountOption, Options, Task, USAGE, UsageError};
use crate::overlap::{self, OverlapError};
use crate::print;
use crate::vfs::{Access, Crossing, GuestPath, Mount, MountError};

/// Exit status for wrong usage, and for a program that is not there or no program.
pub(crate) const USAGE_STATUS: u8 = 2;
/// Exit status when something of the machine is in the way.
pub(crate) const ENVIRONMENT_STATUS: u8 = 3;
/// Exit status of a guest that trapped, as of a native program that aborts.
pub(crate) const TRAP_STATUS: u8 = 134;
/// Exit status when nobody reads the help any more: what a shell reports of a program that SIGPIPE
/// ended.
const CLOSED_PIPE: u8 = 128 + 13;

/// Why no guest can be run, before it is looked at.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum FrontError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("this program's own place can't be found: {0}")]
    Installation(std::io::Error),
    #[error("the log `{path}` can't be opened: {1}", path = print::shown_path(.0))]
    Log(PathBuf, std::io::Error),
    #[error("`{path}` can't be mounted at `{1}`: {2}", path = print::shown_path(.0))]
    Mount(PathBuf, GuestPath, MountError),
    #[error("standard output can't be written: {0}")]
    Output(Errno),
    #[error(transparent)]
    Overlap(#[from] OverlapError),
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
}

impl FrontError {
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Overlap(_) | Self::Descriptor(_) => USAGE_STATUS,
            Self::Mount(_, _, MountError::KernelFileSystem(_)) => USAGE_STATUS,
            _ => ENVIRONMENT_STATUS,
        }
    }
}

/// Reads the command line (without the program's own name), takes the descriptors, and opens the log. Ends the process if it can't, or if help is
/// all that was asked for. To be called before this process opens anything that it needs.
pub(crate) fn begin(args: impl Iterator<Item = OsString>) -> (Options, Handed, Log) {
    let failed = |error: FrontError| -> ! {
        print::error(format_args!("{error}"));
        std::process::exit(error.status().into())
    };
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(UsageError::Empty) => {
            print::err(USAGE);
            std::process::exit(USAGE_STATUS.into());
        }
        Err(error) => failed(error.into()),
    };
    if options.task == Task::Help {
        match print::out(USAGE) {
            Ok(()) => std::process::exit(0),
            // As quietly as SIGPIPE would end it.
            Err(Errno::PIPE) => std::process::exit(CLOSED_PIPE.into()),
            Err(error) => failed(FrontError::Output(error)),
        }
    }
    let handed = descriptors::take(&options.hands).unwrap_or_else(|error| failed(error.into()));
    let log = Log::open(options.log.as_deref(), options.verbosity)
        .unwrap_or_else(|error| failed(FrontError::Log(options.log.clone().unwrap_or_default(), error)));
    (options, handed, log)
}

/// Opens the mounts that the options ask for, or the default one, in the order in which they were named.
pub(crate) fn mounts(
    wanted: &[MountOption],
    crossing: Crossing,
    installation: &Installation,
    log: &Log,
) -> Result<Vec<Mount>, FrontError> {
    let default = [MountOption { host: installation.root(), at: GuestPath::root(), access: Access::ReadOnly }];
    let wanted = if wanted.is_empty() { &default } else { wanted };
    let mut mounts = Vec::with_capacity(wanted.len());
    for MountOption { host, at, access } in wanted {
        let mount = Mount::open(host, at.clone(), *access, crossing)
            .map_err(|e| FrontError::Mount(host.clone(), at.clone(), e))?;
        if log.says(1) && crossing == Crossing::Refused {
            say_what_is_not_crossed(&mount, log);
        }
        if *access == Access::ReadWrite {
            overlap::check(host, &mount.root, &installation.protected())?;
        }
        mounts.push(mount);
    }
    Ok(mounts)
}

/// Says which file systems of the host a guest will not get to: it meets `EACCES` there.
fn say_what_is_not_crossed(mount: &Mount, log: &Log) {
    let (Ok(table), Ok(path)) = (MountTable::read(), path_of(&mount.root)) else { return };
    for line in table.below(&path).filter(|line| line.at != path) {
        log.say(
            1,
            format_args!(
                "the guest gets no access to `{}`, where another file system is mounted; `--cross-mounts` would give it",
                print::shown_path(&line.at)
            ),
        );
    }
}

/// The guest's environment: this process's if `-p` says so, then `-E`, the last of a name counting.
pub(crate) fn environment(options: &Options) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    if options.pass_env {
        all.extend(std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()));
    }
    for entry in &options.env {
        let name = entry.split_inclusive(|&b| b == b'=').next().unwrap_or(entry);
        all.retain(|e| !e.starts_with(name));
        all.push(entry.clone());
    }
    all
}
