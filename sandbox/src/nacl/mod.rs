//! The command `run` for programs of Native Client: the front of `sel_ldr`.
//!
//! `sel_ldr` confines a guest to what its validator allows, and shows it one directory, to read and to write. All that the options
//! say of files is made by the kernel beforehand: a user, a mount and a process namespace of its own, whose only file system (`root`) holds the
//! mounts, read-only where they are to be, and nothing else of the machine; no network; and a wall around `sel_ldr` itself
//! (`wall`). Whoever breaks out of the guest stands in that. It works the same for root and for anybody else.

mod filter;
mod messages;
mod processes;
mod program;
mod root;
mod sys;
mod wall;

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::descriptors::Handed;
use crate::front::{self, Begun, FrontError};
use crate::install::Installation;
use crate::limits::Limit;
use crate::log::Log;
use crate::options::{Options, Task};
use crate::outcome::{ENVIRONMENT_STATUS, How, Outcome, USAGE_STATUS};
use crate::print;
use crate::report::Report;
use crate::vfs::GuestPath;
use processes::{Ended, Start};
pub use program::ProgramError;
pub use root::RootError;
use root::{EngineFile, in_engine};

/// Of the SDK: the program that runs guests, and what it gives them to call.
const SEL_LDR: &str = "sel_ldr_x86_64";
const IRT: &str = "irt_core_x86_64.nexe";
/// Of the SDK's glibc: the program that loads programs, and where libraries lie. (`/lib` is a place of its own to it.)
const LOADER: &[u8] = b"/slib/runnable-ld.so";
const LIBRARIES: &str = "/slib";
/// `sel_ldr` validates a file's code where it is mapped and then runs it from that mapping, so whoever can write the file afterwards, as a guest can in a
/// writable mount, runs what nobody has validated. This is its own way to say that no descriptor is fit for that: the guest's loader gets an error
/// and asks for the code to be copied, and the copy is validated. That no mount is executable stands behind it.
const COPY_CODE: &CStr = c"NACL_FAULT_INJECTION=MMAP_FORCE_DESCRIPTOR_SAFETY_CHECK_FAIL=GF/@";
/// The short name, and the program that it means.
const SHORT_NAME: (&[u8], &[u8]) = (b"python", b"/python/bin/python.nexe");

/// Why a guest can't be run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum NaclError {
    #[error(transparent)]
    Front(#[from] FrontError),
    #[error("`{0}` can't be held for programs of Native Client; leave it out")]
    Unlimited(&'static str),
    #[error("programs of Native Client are machine code: there is nothing to compile ahead of time")]
    Precompile,
    #[error("`{0}` is not there, which runs programs of Native Client; install the package `sandbox_outer` again")]
    NotInstalled(PathBuf),
    #[error("`{0}` can't be started: {1}")]
    Engine(PathBuf, ProgramError),
    #[error(
        "the kernel gives no namespaces ({0}): this needs `user.max_user_namespaces` above 0, and where there are such settings \
         `kernel.unprivileged_userns_clone` 1 and `kernel.apparmor_restrict_unprivileged_userns` 0"
    )]
    Namespaces(Errno),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error("there is no program `{0}` in the sandbox: {1}; name it as the guest sees it, such as `/test/hello.nexe`")]
    Program(String, Errno),
    #[error("`{0}` can't be run: {1}")]
    Foreign(String, ProgramError),
    #[error("`{0}` can't be run: sel_ldr refuses to load {1}: {2}")]
    Refused(String, &'static str, String),
    #[error("`{0}` can't be run: what loads programs, `/slib/runnable-ld.so`, can't be found ({1}); mount `DEST/root`")]
    NoLoader(String, Errno),
    #[error("the wall around the engine can't be made: {0}")]
    Wall(#[from] seccompiler::BackendError),
    #[error("no process for the guest: {0}")]
    Process(Errno),
    #[error("the engine can't be started: {0}")]
    Start(String),
    #[error("`{0}` holds a zero byte")]
    Zero(String),
}

impl NaclError {
    fn status(&self) -> u8 {
        match self {
            Self::Front(error) => error.status(),
            Self::Unlimited(_)
            | Self::Precompile
            | Self::Program(..)
            | Self::Foreign(..)
            | Self::Refused(..)
            | Self::Zero(_) => USAGE_STATUS,
            Self::Root(RootError::Point(..)) | Self::NoLoader(..) => USAGE_STATUS,
            _ => ENVIRONMENT_STATUS,
        }
    }
}

/// Whether the installation that this program belongs to has the engine for programs of Native Client.
pub fn is_installed() -> bool {
    Installation::of_this_program().is_ok_and(|installation| installation.engine().join(SEL_LDR).exists())
}

/// Runs the command with these arguments (without the program's own name) and ends the process.
pub fn main(args: impl Iterator<Item = OsString>) -> ! {
    let Begun { options, handed, log, report } = front::begin(args);
    let outcome = run(&options, handed, &log, &report).unwrap_or_else(|error| {
        log.error(format_args!("{error}"));
        Outcome::new(How::Refused(error.status()), error)
    });
    report.end(&outcome)
}

/// The limits that this front holds.
const LIMITS: [Limit; 1] = [Limit::Memory];

fn run(options: &Options, handed: Handed, log: &Log, report: &Report) -> Result<Outcome, NaclError> {
    if let Some(limit) = options.limits.given().find(|limit| !LIMITS.contains(limit)) {
        return Err(NaclError::Unlimited(limit.row().option));
    }
    for (is_given, option) in [(options.fixed_time.is_some(), "--fixed-time"), (options.hide_inodes, "--hide-inodes")] {
        if is_given {
            return Err(NaclError::Unlimited(option));
        }
    }
    let installation = Installation::of_this_program().map_err(FrontError::Installation)?;
    let Task::Run(name, arguments) = &options.task else { return Err(NaclError::Precompile) };
    let handed = handed.for_engine().map_err(FrontError::from)?;
    let files = engine_files(&installation)?;
    let sel_ldr = installation.engine().join(SEL_LDR);
    let runs_on_stack = program::runs_on_stack(&sel_ldr).map_err(|error| NaclError::Engine(sel_ldr, error))?;
    enter_namespaces().map_err(NaclError::Namespaces)?;
    let mounts = front::mounts(&options.mounts, options.crossing, &installation, log)?;
    let guest = root::enter(mounts, &files, options.limits.memory_mib(), options.crossing)?;
    log.say(2, format_args!("the sandbox's files are mounted"));

    let text = print::shown(name.as_bytes());
    let path = program_path(&name.clone().into_vec()).ok_or_else(|| NaclError::Program(text.clone(), Errno::INVAL))?;
    let file = open_program(&guest, &path).map_err(|error| NaclError::Program(text.clone(), error))?;
    let dynamic = program::is_dynamic(&file).map_err(|error| NaclError::Foreign(text.clone(), error))?;
    if dynamic {
        let loader = GuestPath::parse_absolute(LOADER).unwrap_or_default();
        open_program(&guest, &loader).map_err(|error| NaclError::NoLoader(text.clone(), error))?;
    }
    log.say(1, format_args!("`{text}` is `{path}`"));

    let mut line = Vec::new();
    line.extend([b"-B".to_vec(), in_engine(IRT).into_os_string().into_vec()]);
    line.extend([b"-m".to_vec(), root::GUEST.to_bytes().to_vec()]);
    for variable in front::environment(options) {
        line.extend([b"-E".to_vec(), variable]);
    }
    for (hand, file) in &handed {
        let option = match (hand.read, hand.write) {
            (true, true) => "-h",
            (true, false) => "-r",
            _ => "-w",
        };
        line.extend([option.into(), format!("{}:{}", hand.guest, file.as_raw_fd()).into_bytes()]);
    }
    let in_guest = |path: &[u8]| [root::GUEST.to_bytes(), path].concat();
    let path = [b"/", path.as_relative()].concat();
    if dynamic {
        line.extend([in_guest(LOADER), b"--library-path".to_vec(), LIBRARIES.into(), path]);
    } else {
        line.push(in_guest(&path));
    }
    line.extend(arguments.iter().map(|argument| argument.clone().into_vec()));
    line.insert(0, SEL_LDR.into());
    let zero = |e: std::ffi::NulError| NaclError::Zero(print::shown(&e.into_vec()));
    let arguments = line.into_iter().map(|word| CString::new(word).map_err(zero)).collect::<Result<_, _>>()?;

    let open = |path: PathBuf| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let number = wall::program_number();
    let start = Start {
        engine: open(in_engine(SEL_LDR)).map_err(NaclError::Process)?,
        number,
        arguments,
        environment: vec![COPY_CODE.to_owned()],
        filters: filter::Filters::new(processes::ENGINE_PID, number, runs_on_stack)?,
        max_memory: options.limits.memory_mib(),
        handed: handed.into_iter().map(|(_, file)| file).collect(),
    };
    match processes::run(start, log).map_err(NaclError::Process)? {
        Ended::Exited(status) => {
            log.say(1, format_args!("the guest ended with status {status}"));
            Ok(Outcome::exit((status & 0xff) as u8))
        }
        // This process ends as the guest did.
        Ended::Asked(signal) => report.claim().end_by(&Outcome::ended_by(signal), signal),
        Ended::Signalled(signal) => {
            let crashed = CRASHES.contains(&signal);
            let outcome =
                if crashed { Outcome::new(How::Trap, "it did what no program may") } else { Outcome::ended_by(signal) };
            log.error(format_args!("`{text}` was ended: {}", outcome.reason.as_deref().unwrap_or_default()));
            Ok(outcome)
        }
        Ended::Refused(why) => {
            let what = if dynamic { "what loads programs, `/slib/runnable-ld.so`" } else { "it" };
            Err(NaclError::Refused(text, what, why))
        }
        Ended::Failed(why) => Err(NaclError::Start(why)),
    }
}

/// Signals by which a process ends that did what none may; the last is the wall's, see there.
const CRASHES: [i32; 7] =
    [libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV, libc::SIGSYS];

/// The engine, what it gives guests to call, and the libraries of the host that it needs itself.
fn engine_files(installation: &Installation) -> Result<Vec<EngineFile>, NaclError> {
    let folder = installation.engine();
    let mut files = Vec::new();
    for name in [SEL_LDR, IRT] {
        let host = folder.join(name);
        if !host.is_file() {
            return Err(NaclError::NotInstalled(host));
        }
        files.push(EngineFile { host, at: in_engine(name) });
    }
    let engine = folder.join(SEL_LDR);
    files.extend(program::libraries(&engine).map_err(|error| NaclError::Engine(engine, error))?);
    Ok(files)
}

/// Moves this process into namespaces of its own, where it may mount; it stays the user that it is.
fn enter_namespaces() -> Result<(), Errno> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // An ordinary user keeps the groups; only root could give them up.
    if user == 0 {
        let _ = sys::clear_groups();
    }
    sys::unshare(
        libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP,
    )?;
    let write = |path: &str, text: String| {
        let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, text.as_bytes()).map(drop)
    };
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    rustix::system::sethostname(b"pynbox")
}

/// The guest path of a program given by name.
fn program_path(name: &[u8]) -> Option<GuestPath> {
    let name = if name == SHORT_NAME.0 { SHORT_NAME.1 } else { name };
    GuestPath::parse_absolute(&[b"/", name].concat())
}

/// Opens a file of the guest's tree as the guest would.
fn open_program(guest: &OwnedFd, path: &GuestPath) -> Result<File, Errno> {
    let below = if path.is_root() { b"." } else { path.as_relative() };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(guest, below, flags, Mode::empty(), how)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::ACCESS),
    }
}
