//! What comes before any guest, whatever it is compiled for: the command line, the descriptors, the
//! log, the mounts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::check::{self, Wall};
use crate::descriptors::{self, DescriptorError, Handed, TakenDescriptors};
use crate::install::Installation;
use crate::limits::{self, Tmpfs};
use crate::log::Log;
use crate::mount_table::{MountTable, path_of};
use crate::options::{MountOption, Options, Task, USAGE, UsageError};
use crate::outcome::{ENVIRONMENT_STATUS, How, Outcome, USAGE_STATUS};
use crate::overlap::{self, OverlapError};
use crate::report::Report;
use crate::source::{Links, SourceError};
use crate::vfs::{Access, Crossing, GuestPath, INSTALLED, Mount, MountError};
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
    Log(PathBuf, SourceError),
    #[error("the log `{path}` is a pipe that nobody reads, or a socket; start its reader first, or name a file", path = print::shown_path(.0))]
    LogHasNoReader(PathBuf),
    #[error("the log `{path}` is the file that `--status-fd` writes to; give the log one of its own", path = print::shown_path(.0))]
    LogIsStatus(PathBuf),
    #[error("`{path}` can't be mounted at `{1}`: {2}; does the directory exist?", path = print::shown_path(.0))]
    Source(PathBuf, GuestPath, Errno),
    #[error("`{path}` can't be mounted at `{1}`: {2}", path = print::shown_path(.0))]
    Link(PathBuf, GuestPath, SourceError),
    #[error("`{path}` can't be mounted at `{1}`: {2}", path = print::shown_path(.0))]
    Mount(PathBuf, GuestPath, MountError),
    #[error("what packages installed can't be found out: {0}; use `:ro`, or `--allow-root-writes`")]
    Receipts(std::io::Error),
    #[error(
        "`{path}` can't be mounted for writing: it reaches `{installed}`, which packages installed; use `:ro`, or \
         `--allow-root-writes` to let guests change it",
        path = print::shown_path(.0),
        installed = print::shown_path(.1)
    )]
    Installed(PathBuf, PathBuf),
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
            Self::Link(..) | Self::Log(_, SourceError::Link(..)) | Self::Installed(..) => USAGE_STATUS,
            Self::Mount(_, _, MountError::KernelFileSystem(_)) => USAGE_STATUS,
            _ => ENVIRONMENT_STATUS,
        }
    }
}

/// What a run begins with.
pub(crate) struct Begun {
    pub(crate) options: Options,
    pub(crate) handed: Handed,
    pub(crate) log: Arc<Log>,
    pub(crate) report: Report,
}

/// Reads the command line (without the program's own name), takes the descriptors, and opens the
/// log. Ends the process if it can't, or if help is all that was asked for. To be called before
/// this process opens anything that it needs.
pub(crate) fn begin(args: impl Iterator<Item = OsString>) -> Begun {
    let begun = Instant::now();
    caller::outlive_limits();
    let mut options = Options::default();
    let read = options.read(args);
    let TakenDescriptors { handed, status } = descriptors::take(&options.hands, options.status_fd);
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
    let open = |path: &PathBuf| match links(&options).append(path) {
        Ok(file) => file,
        Err(SourceError::Open(Errno::NXIO)) => refuse(FrontError::LogHasNoReader(path.clone())),
        Err(error) => refuse(FrontError::Log(path.clone(), error)),
    };
    let log = Arc::new(Log::new(options.log.as_ref().map(open), options.verbosity));
    report.log_to(log.clone());
    if let (Some(file), Some(status)) = (log.file(), report.status())
        && descriptors::is_same_file(file, status)
    {
        refuse(FrontError::LogIsStatus(options.log.clone().unwrap_or_default()));
    }
    Begun { options, handed, log, report }
}

/// Says which walls this machine gives.
pub(crate) fn check(walls: &[Wall]) -> Outcome {
    match check::say(walls) {
        Ok(ENVIRONMENT_STATUS) => Outcome::new(How::Refused(ENVIRONMENT_STATUS), check::NO_GUEST),
        Ok(status) => Outcome::exit(status),
        Err(error) => {
            let error = FrontError::Output(error);
            print::error(format_args!("{error}"));
            Outcome::new(How::Refused(ENVIRONMENT_STATUS), error)
        }
    }
}

/// Has the kernel kill this process when the one ends that started it, if the options ask for that.
/// (The kernel means the thread that started it: see prctl(2), `PR_SET_PDEATHSIG`.)
pub(crate) fn die_with_parent(options: &Options) {
    if options.die_with_parent {
        let parent = rustix::process::getppid();
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        // It may have ended meanwhile.
        if rustix::process::getppid() != parent {
            std::process::exit(128 + Signal::KILL.as_raw());
        }
    }
}

/// Which links of the paths that the options name are followed.
fn links(options: &Options) -> Links {
    if options.follow_links {
        return Links::all();
    }
    Links::of_no_guest(Installation::of_this_program().ok().as_ref())
}

/// The directories to mount, or the default one, by paths that have no links.
///
/// # Errors
///
/// [`FrontError::Source`], [`FrontError::Link`].
pub(crate) fn sources(options: &Options, installation: &Installation) -> Result<Vec<MountOption>, FrontError> {
    let default = [MountOption { host: installation.root(), at: GuestPath::root(), access: Access::ReadOnly }];
    let wanted = if options.mounts.is_empty() { &default[..] } else { &options.mounts };
    let links = links(options);
    let resolve = |option: &MountOption| {
        let host = links.resolve(&option.host).map_err(|error| cannot_open(option, error))?;
        Ok(MountOption { host, ..option.clone() })
    };
    wanted.iter().map(resolve).collect()
}

fn cannot_open(option: &MountOption, error: SourceError) -> FrontError {
    let (host, at) = (option.host.clone(), option.at.clone());
    match error {
        SourceError::Open(error) => FrontError::Source(host, at, error),
        link @ SourceError::Link(..) => FrontError::Link(host, at, link),
    }
}

/// Opens what [`sources`] gave, in that order; before it come mounts that keep what packages
/// installed as it is.
pub(crate) fn mounts(
    sources: &[MountOption],
    options: &Options,
    installation: &Installation,
    log: &Log,
) -> Result<Vec<Mount>, FrontError> {
    let mut installed = Vec::new();
    let mut mounts = Vec::with_capacity(sources.len());
    for option @ MountOption { host, at, access } in sources {
        // What was no link when the path was resolved is none now.
        let root = Links::none().open_directory(host).map_err(|error| cannot_open(option, error))?;
        let mount = Mount::of(root, host, at.clone(), *access, options.crossing)
            .map_err(|e| FrontError::Mount(host.clone(), at.clone(), e))?;
        if log.says(1) && options.crossing == Crossing::Refused {
            say_what_is_not_crossed(&mount, log);
        }
        if *access == Access::ReadWrite {
            overlap::check(host, &mount.root, &installation.protected())?;
            if !options.root_writes {
                installed.extend(installed_parts(&mount, installation, log)?);
            }
        }
        mounts.push(mount);
    }
    // A later one of the same place counts more: what the options say.
    installed.extend(mounts);
    Ok(installed)
}

/// Of a mount for writing that shows `DEST/root`: its directories that packages installed, as
/// read-only mounts at their places. So a guest finds the library as it was, and leaves it so to
/// the next.
///
/// # Errors
///
/// [`FrontError::Installed`] for a mount that shows such a directory, or a part of it, in another
/// way.
fn installed_parts(mount: &Mount, installation: &Installation, log: &Log) -> Result<Vec<Mount>, FrontError> {
    let root = installation.root();
    let names = installation.installed().map_err(FrontError::Receipts)?;
    let failed = |error| FrontError::Source(mount.source.clone(), mount.at.clone(), error);
    let is_root = Links::none().open_directory(&root).ok().is_some_and(|root| overlap::is_same(&root, &mount.root));
    let mut parts = Vec::new();
    for name in names {
        let place = root.join(OsStr::from_bytes(&name));
        if !is_root {
            match overlap::check(&mount.source, &mount.root, std::slice::from_ref(&place)) {
                Ok(()) => continue,
                Err(OverlapError::Reaches { .. }) => {
                    return Err(FrontError::Installed(mount.source.clone(), place));
                }
                Err(unknown) => return Err(unknown.into()),
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let part = match rustix::fs::openat(&mount.root, name.as_slice(), flags, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            // No directory can cover it.
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(FrontError::Installed(mount.source.clone(), place)),
            part => part.map_err(failed)?,
        };
        let at = mount.at.child(&name);
        log.say(1, format_args!("`{at}` is read-only: packages installed it; `--allow-root-writes` opens it"));
        let part = Mount::of(part, &place, at.clone(), Access::ReadOnly, mount.crossing)
            .map_err(|e| FrontError::Mount(place.clone(), at, e))?;
        parts.push(part);
    }
    Ok(parts)
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

/// Why a program is not found.
#[derive(Debug, thiserror::Error)]
pub enum NoProgram {
    /// What the system says.
    #[error("{0}; name it as the guest sees it, such as `{1}`")]
    System(Errno, &'static str),
    /// An empty folder in memory lies over its place.
    #[error("`--tmpfs` puts an empty folder at `{0}`; put it elsewhere, or mount the program below it")]
    Covered(GuestPath),
    /// It is the value of an option.
    #[error("a time is given with `=`, as `--fixed-time={0}`")]
    Time(String),
}

impl NoProgram {
    /// Why there is no program `name`, whose path was `path` and for which the system gives this
    /// error. `example` is a path that might be there.
    pub(crate) fn of(
        options: &Options,
        name: &[u8],
        path: Option<&GuestPath>,
        error: Errno,
        example: &'static str,
    ) -> Self {
        let is_over = |folder: &&Tmpfs| path.is_some_and(|path| path.below(&folder.at).is_some());
        let is_mounted_below = |folder: &GuestPath| {
            let mut mounts = options.mounts.iter();
            mounts.any(|mount| mount.at != *folder && mount.at.below(folder).is_some())
        };
        let is_bare = options.fixed_time == Some(Duration::from_secs(INSTALLED));
        if is_bare && limits::decimal(OsStr::from_bytes(name)).is_some() {
            return Self::Time(print::shown(name));
        }
        match options.limits.tmpfs.iter().filter(|folder| !is_mounted_below(&folder.at)).find(is_over) {
            Some(folder) if error == Errno::NOENT => Self::Covered(folder.at.clone()),
            _ => Self::System(error, example),
        }
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
