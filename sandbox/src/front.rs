//! What comes before any guest, whatever it is compiled for: the command line, the descriptors, the log, the mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use rustix::io::Errno;

use crate::descriptors::{self, DescriptorError, Handed, Taken};
use crate::install::Installation;
use crate::log::Log;
use crate::mount_table::{MountTable, path_of};
use crate::options::{MountOption, Options, Task, USAGE, UsageError};
use crate::outcome::{ENVIRONMENT_STATUS, How, Outcome, USAGE_STATUS};
use crate::overlap::{self, OverlapError};
use crate::report::Report;
use crate::vfs::{Access, Crossing, GuestPath, Mount, MountError};
use crate::{caller, print};

/// The signal that tells a program that nobody reads what it writes.
const SIGPIPE: u8 = 13;

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
    #[error("the log `{path}` is the file that `--status-fd` writes to; give the log one of its own", path = print::shown_path(.0))]
    LogIsStatus(PathBuf),
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
            Self::Usage(_) | Self::LogIsStatus(_) | Self::Overlap(_) | Self::Descriptor(_) => USAGE_STATUS,
            Self::Mount(_, _, MountError::KernelFileSystem(_)) => USAGE_STATUS,
            _ => ENVIRONMENT_STATUS,
        }
    }
}

/// What a run begins with.
pub(crate) struct Begun {
    pub(crate) options: Options,
    pub(crate) handed: Handed,
    pub(crate) log: Log,
    pub(crate) report: Report,
}

/// Reads the command line (without the program's own name), takes the descriptors, and opens the log. Ends the process if it can't, or if help is
/// all that was asked for. To be called before this process opens anything that it needs.
pub(crate) fn begin(args: impl Iterator<Item = OsString>) -> Begun {
    let begun = Instant::now();
    caller::outlive_limits();
    let mut options = Options::default();
    let read = options.read(args);
    let Taken { handed, status } = descriptors::take(&options.hands, options.status_fd);
    let (status, handed) = match status {
        Ok(status) => (status, handed),
        Err(error) => (None, Err(error)),
    };
    let report = Report::new(begun, status);
    let refuse = |error: FrontError| -> ! {
        print::error(format_args!("{error}"));
        report.end(&Outcome::new(How::Refused(error.status()), error))
    };
    match read {
        Ok(()) => {}
        Err(UsageError::Empty) => {
            print::err(USAGE);
            report.end(&Outcome::new(How::Refused(USAGE_STATUS), UsageError::Empty));
        }
        Err(error) => refuse(error.into()),
    }
    if options.task == Task::Help {
        match print::out(USAGE) {
            Ok(()) => report.end(&Outcome::exit(0)),
            // As quietly as SIGPIPE would end it.
            Err(Errno::PIPE) => report.end(&Outcome::new(How::Signal(SIGPIPE), FrontError::Output(Errno::PIPE))),
            Err(error) => refuse(FrontError::Output(error)),
        }
    }
    let handed = handed.unwrap_or_else(|error| refuse(error.into()));
    let log = Log::open(options.log.as_deref(), options.verbosity)
        .unwrap_or_else(|error| refuse(FrontError::Log(options.log.clone().unwrap_or_default(), error)));
    if let (Some(file), Some(status)) = (log.file(), report.status())
        && descriptors::is_same_file(file, status)
    {
        refuse(FrontError::LogIsStatus(options.log.clone().unwrap_or_default()));
    }
    Begun { options, handed, log, report }
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
