//! The command `run` for programs of Native Client: the front of `sel_ldr`.
//!
//! `sel_ldr` confines a guest to what its validator allows, and shows it one directory, to read and
//! to write. All that the options say of files is made by the kernel beforehand: a user, a mount
//! and a process namespace of its own, whose only file system (`root`) holds the mounts, read-only
//! where they are to be, and nothing else of the machine; no network; and a wall around `sel_ldr`
//! itself (`wall`). Whoever breaks out of the guest stands in that. It works the same for root and
//! for anybody else.

pub(crate) mod bounds;
mod check;
mod messages;
mod mounting;
mod processes;
mod program;
mod root;
mod streams;
pub(crate) mod supervisor;
mod waiting;
mod wall;

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::descriptors::Handed;
use crate::filter::nacl::Filters;
use crate::front::{self, Begun, FrontError, NoProgram};
use crate::install::Installation;
use crate::limits::Limit;
use crate::log::Log;
use crate::mount_table::path_of;
use crate::options::{HandOption, Options, Task};
use crate::outcome::{ENVIRONMENT_STATUS, How, Outcome, USAGE_STATUS};
use crate::print;
use crate::report::Report;
use crate::sys::{self, engine};
use crate::vfs::{Access, GuestPath, Mount};
use bounds::{Bounds, BoundsError};
use processes::{EngineStart, Surroundings};
pub use program::ProgramError;
pub use root::RootError;
use root::{EngineFile, Parts, in_engine};
use streams::Streams;
use waiting::Ended;

/// Of the SDK: the program that runs guests, and what it gives them to call.
const SEL_LDR: &str = "sel_ldr_x86_64";
const IRT: &str = "irt_core_x86_64.nexe";
/// Of the SDK's glibc: the program that loads programs, and where libraries lie. (`/lib` is a place
/// of its own to it.)
const LOADER: &[u8] = b"/slib/runnable-ld.so";
const LIBRARIES: &str = "/slib";
/// `sel_ldr` validates a file's code where it is mapped and then runs it from that mapping, so
/// whoever can write the file afterwards, as a guest can in a writable mount, runs what nobody has
/// validated. This is its own way to say that no descriptor is fit for that: the guest's loader
/// gets an error and asks for the code to be copied, and the copy is validated. That no mount is
/// executable stands behind it.
const COPY_CODE: &CStr = c"NACL_FAULT_INJECTION=MMAP_FORCE_DESCRIPTOR_SAFETY_CHECK_FAIL=GF/@";

/// Why a guest can't be run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum NaclError {
    #[error(transparent)]
    Front(#[from] FrontError),
    #[error("`{0}` can't be held for programs of Native Client; leave it out")]
    Unlimited(&'static str),
    #[error("`--max-output` can't count what the guest writes to `-h {0}:{1}`; hand it in with `-r` and `-w`")]
    Uncounted(i32, u32),
    #[error("the file of `{0}`, `{1}`, is where the guest may write it, below `{2}`; put it elsewhere")]
    OwnFile(&'static str, String, GuestPath),
    #[error("the folders of `--tmpfs` leave nothing of what `--max-memory` allows; make them smaller, or allow more")]
    Folders,
    #[error(
        "`ulimit -v` leaves too few addresses for the engine, which needs 100 GiB of them; raise it with `ulimit -v unlimited`"
    )]
    AddressSpace,
    #[error("`/proc` is that of other processes; mount it for this process namespace")]
    Processes,
    #[error("what `{0}` wrote could not be written: {1}")]
    Unwritten(String, Errno),
    #[error("programs of Native Client have one engine; leave `--engine` out")]
    EngineChoice,
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
    #[error("there is no program `{0}` in the sandbox: {1}")]
    Program(String, NoProgram),
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
            | Self::Uncounted(..)
            | Self::Folders
            | Self::OwnFile(..)
            | Self::Precompile
            | Self::EngineChoice
            | Self::Program(..)
            | Self::Foreign(..)
            | Self::Refused(..)
            | Self::Zero(_) => USAGE_STATUS,
            Self::Root(RootError::Point(..)) | Self::NoLoader(..) => USAGE_STATUS,
            _ => ENVIRONMENT_STATUS,
        }
    }
}

/// Whether the installation that this program belongs to has the engine for programs of Native
/// Client.
pub fn is_installed() -> bool {
    Installation::of_this_program().is_ok_and(|installation| installation.engine().join(SEL_LDR).exists())
}

/// Runs the command with these arguments (without the program's own name) and ends the process.
pub fn main(args: impl Iterator<Item = OsString>) -> ! {
    let Begun { options, handed, log, report } = front::begin(args);
    if options.task == Task::Check {
        let installation = Installation::of_this_program().map_err(FrontError::Installation);
        let walls = installation.map_or_else(check::unknown, |found| check::walls(&options, &report, &found));
        report.end(&front::check(&walls));
    }
    let outcome = run(&options, handed, &log, &report).unwrap_or_else(|error| {
        log.error(format_args!("{error}"));
        Outcome::new(How::Refused(error.status()), error)
    });
    report.end(&outcome)
}

fn run(options: &Options, handed: Handed, log: &Log, report: &Report) -> Result<Outcome, NaclError> {
    refuse_what_cannot_be(options)?;
    let installation = Installation::of_this_program().map_err(FrontError::Installation)?;
    let Task::Run(name, arguments) = &options.task else { return Err(NaclError::Precompile) };
    if options.engine.is_some() {
        return Err(NaclError::EngineChoice);
    }
    let mut handed = handed.for_engine().map_err(FrontError::from)?;
    let number = wall::program_number();
    let mut bounds = match Bounds::of(options, report, number) {
        Ok(bounds) => bounds,
        Err(BoundsError::Folders) => return Err(NaclError::Folders),
        Err(BoundsError::AddressSpace) => return Err(NaclError::AddressSpace),
    };
    let streams = standard_output(&mut handed)
        .and_then(|()| Streams::choose(&mut handed, &bounds))
        .map_err(NaclError::Process)?;
    bounds.files_handed = files_among(&handed).map_err(NaclError::Process)?;
    let processes = supervisor::processes().map_err(NaclError::Process)?.ok_or(NaclError::Processes)?;
    let files = engine_files(&installation)?;
    let sel_ldr = installation.engine().join(SEL_LDR);
    let runs_on_stack = program::runs_on_stack(&sel_ldr).map_err(|error| NaclError::Engine(sel_ldr, error))?;
    let path = program_path(&installation, name.as_bytes());
    // Within, all users but this one look alike.
    let sources = front::sources(options, &installation)?;
    enter_namespaces().map_err(NaclError::Namespaces)?;
    front::die_with_parent(options);
    let mounts = front::mounts(&sources, options, &installation, log)?;
    refuse_own_files(&mounts, log, report)?;
    let folders = &options.limits.tmpfs;
    let parts = Parts { mounts, folders, engine: &files, shared: bounds.shared, crossing: options.crossing };
    let guest = root::enter(parts)?;
    log.say(2, format_args!("the sandbox's files are mounted"));

    let text = print::shown(name.as_bytes());
    let no_program = |error| {
        let why = NoProgram::of(options, name.as_bytes(), path.as_ref(), error, "/test/hello.nexe");
        NaclError::Program(text.clone(), why)
    };
    let path = path.clone().ok_or_else(|| no_program(Errno::INVAL))?;
    let file = open_program(&guest, &path).map_err(no_program)?;
    let dynamic = program::is_dynamic(&file).map_err(|error| NaclError::Foreign(text.clone(), error))?;
    let mut size = program::size_in_memory(&file);
    if dynamic {
        let loader = GuestPath::parse_absolute(LOADER).unwrap_or_default();
        let loader = open_program(&guest, &loader).map_err(|error| NaclError::NoLoader(text.clone(), error))?;
        // What is no program, the engine refuses.
        size = program::size_in_memory(&loader).or(Ok(0));
    }
    let size = size.map_err(|error| NaclError::Foreign(text.clone(), error))?;
    if bounds.memory.is_some_and(|memory| size > memory) {
        return Ok(ended(log, &text, Outcome::reached(Limit::Memory)));
    }
    log.say(1, format_args!("`{text}` is `{path}`"));

    let mut line = Vec::new();
    line.extend([b"-B".to_vec(), in_engine(IRT).into_os_string().into_vec()]);
    line.extend([b"-m".to_vec(), root::GUEST.to_bytes().to_vec()]);
    for variable in front::environment(options) {
        line.extend([b"-E".to_vec(), variable]);
    }
    let (output, handed): (Vec<_>, Vec<_>) = handed.into_iter().partition(|(hand, _)| *hand == OUTPUT);
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
    let start = EngineStart {
        engine: open(in_engine(SEL_LDR)).map_err(NaclError::Process)?,
        number,
        arguments,
        environment: vec![COPY_CODE.to_owned()],
        filters: Filters::new(processes::ENGINE_PID, number, runs_on_stack, &bounds)?,
        output: output.into_iter().map(|(_, file)| file).next(),
        handed: handed.into_iter().map(|(_, file)| file).collect(),
    };
    let surroundings = Surroundings { bounds: &bounds, processes, streams, report, log };
    match processes::run(start, surroundings).map_err(NaclError::Process)? {
        Ended::Exited(status) => {
            log.say(1, format_args!("the guest ended with status {status}"));
            Ok(Outcome::exit((status & 0xff) as u8))
        }
        // This process ends as the guest did.
        Ended::Asked(signal) => report.claim().end_by(&Outcome::ended_by(signal), signal),
        Ended::Limit(limit) => Ok(ended(log, &text, Outcome::reached(limit))),
        Ended::Signalled(signal) if CRASHES.contains(&signal) => {
            Ok(ended(log, &text, Outcome::new(How::Trap, "it did what no program may")))
        }
        Ended::Signalled(signal) => Ok(ended(log, &text, Outcome::ended_by(signal))),
        Ended::Refused(why) => {
            let what = if dynamic { "what loads programs, `/slib/runnable-ld.so`" } else { "it" };
            Err(NaclError::Refused(text, what, why))
        }
        Ended::Failed(why) => Err(NaclError::Start(why)),
        Ended::Unwritten(error) => Err(NaclError::Unwritten(text, error)),
    }
}

/// Says that the guest was ended, and why.
fn ended(log: &Log, name: &str, outcome: Outcome) -> Outcome {
    log.error(format_args!("`{name}` was ended: {}", outcome.reason.as_deref().unwrap_or_default()));
    outcome
}

/// The options that this target has no means for.
fn refuse_what_cannot_be(options: &Options) -> Result<(), NaclError> {
    for (is_given, option) in [(options.fixed_time.is_some(), "--fixed-time"), (options.hide_inodes, "--hide-inodes")] {
        if is_given {
            return Err(NaclError::Unlimited(option));
        }
    }
    if options.limits.output.is_some()
        && let Some(hand) = options.hands.iter().find(|hand| hand.read && hand.write)
    {
        return Err(NaclError::Uncounted(hand.host, hand.guest));
    }
    Ok(())
}

/// What only this process writes must not lie where the guest writes: the kernel knows files by
/// directories alone.
fn refuse_own_files(mounts: &[Mount], log: &Log, report: &Report) -> Result<(), NaclError> {
    let own = [(log.file().map(AsFd::as_fd), "-l"), (report.status().map(AsFd::as_fd), "--status-fd")];
    for (file, option) in own.into_iter().filter_map(|(file, option)| Some((file?, option))) {
        // Other kinds of files have no path, or another one.
        let Ok(path) = path_of(file) else { continue };
        let written = mounts.iter().filter(|mount| mount.access == Access::ReadWrite);
        for mount in written {
            if path_of(&mount.root).is_ok_and(|root| path.starts_with(root)) {
                return Err(NaclError::OwnFile(option, print::shown_path(&path), mount.at.clone()));
            }
        }
    }
    Ok(())
}

/// Device and inode of each file that the guest gets to write.
fn files_among(handed: &[(HandOption, OwnedFd)]) -> Result<Vec<(u64, u64)>, Errno> {
    let mut files = Vec::new();
    for (_, file) in handed.iter().filter(|(hand, _)| hand.write) {
        let stat = rustix::fs::fstat(file)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            files.push((stat.st_dev, stat.st_ino));
        }
    }
    Ok(files)
}

/// Standard output, as a descriptor that is handed in.
const OUTPUT: HandOption = HandOption { host: 1, guest: 1, read: false, write: true };

/// Puts standard output among what is handed in, if it is open.
fn standard_output(handed: &mut Vec<(HandOption, OwnedFd)>) -> Result<(), Errno> {
    match rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3) {
        Ok(output) => handed.insert(0, (OUTPUT, output)),
        Err(Errno::BADF) => {}
        Err(error) => return Err(error),
    }
    Ok(())
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
        let _ = engine::clear_groups();
    }
    sys::unshare(
        libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
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

/// The guest path of a program given by a path or by a short name.
fn program_path(installation: &Installation, name: &[u8]) -> Option<GuestPath> {
    let given = installation.program(name);
    GuestPath::parse_absolute(&[b"/", given.as_deref().unwrap_or(name)].concat())
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
