//! The initialisation of a program, for its snapshot: in a process of its own, behind the wall, and
//! with limits.
//!
//! An initialisation is code that a package brought, and it runs whenever the package is installed.
//! So it gets what a guest gets: no file but those of the mounts, no process, no network
//! ([`crate::wall`]); and in the end the process says what came of it, or is ended.
//!
//! The process is this program again, with [`ARGUMENT`] alone. It gets messages, each after its
//! length in eight bytes, on its standard input: the limits, the program, and the code of what
//! [`Engine::instrument`] makes of that. On its standard output it gives a byte (`DONE`), then the
//! text of a [`Record`] with what was seen, and the frozen module; or `REFUSED`, and why. The
//! initialisation itself has neither: its descriptors are the loader's own `/dev/null` and sinks.

use std::io::{self, Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, set_parent_process_death_signal};

use crate::abi::Host;
use crate::account::ACCOUNT;
use crate::compiled::Record;
use crate::compiler::{exactly, number};
use crate::engine::{Engine, EngineError, Layout, THREAD_STACK};
use crate::install::Installation;
use crate::jobs::{self, Jobs};
use crate::log::Log;
use crate::reach::Reach;
use crate::snapshot::{INIT, Sights};
use crate::vfs::{Crossing, DESCRIPTORS_MAX, INSTALLED, ROOT_FD, Vfs};
use crate::{run, wall};

/// What tells this program that it is such a process.
pub const ARGUMENT: &str = "--initialise";

/// There is a frozen module.
const DONE: u8 = 0;
/// There is none.
const REFUSED: u8 = 1;

/// What an initialisation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitLimits {
    /// How long it may take, by the clock on the wall and of the processor.
    pub time: Duration,
    /// Bytes of memory that it may cost, as the account has it.
    pub memory: u64,
    /// Bytes of all that the process may write to.
    pub process: u64,
}

impl Default for InitLimits {
    /// Many times of what the largest known initialisation needs.
    fn default() -> Self {
        Self { time: Duration::from_secs(60), memory: 512 << 20, process: 2 << 30 }
    }
}

/// Most bytes that a snapshot's module may have.
const SNAPSHOT_MAX: usize = 256 << 20;
/// What clocks show meanwhile, in nanoseconds.
const STILL: u64 = INSTALLED * 1_000_000_000;

impl InitLimits {
    fn to_bytes(self) -> Vec<u8> {
        let time = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX);
        [time, self.memory, self.process].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).map(|number| number.try_into().map(u64::from_le_bytes));
        let mut next = || numbers.next()?.ok();
        Some(Self { time: Duration::from_millis(next()?), memory: next()?, process: next()? })
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum InitialiseError {
    /// There is no process for it.
    #[error("no process can be started for an initialisation: {0}")]
    Process(#[from] io::Error),
    /// The program's own fault.
    #[error(transparent)]
    Refused(#[from] EngineError),
}

/// Initialises a program in a process of its own, and gives the module that begins where that
/// ended, and what it saw. `code` is the code of what [`Engine::instrument`] makes of `wasm`.
///
/// # Errors
///
/// [`InitialiseError`].
pub fn initialise(wasm: &[u8], code: &[u8], limits: InitLimits) -> Result<(Vec<u8>, Sights), InitialiseError> {
    let end = Instant::now() + limits.time;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ARGUMENT).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process(command.spawn()?);
    let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut input = process.0.stdin.take().ok_or_else(broken)?;
    // One that does not listen says why in its answer, or by its end.
    let _ = [&limits.to_bytes()[..], wasm, code].into_iter().try_for_each(|message| send(&mut input, message));
    drop(input);
    let mut output = CapturedOutput { from: process.0.stdout.take().ok_or_else(broken)?, end };
    let refused = |why: String| InitialiseError::Refused(EngineError::Snapshot(why));
    let late = || refused(format!("its initialisation took longer than {} s", limits.time.as_secs_f32()));
    let answer = exactly(&mut output, 1).and_then(|kind| {
        let said = receive(&mut output)?;
        if kind == [DONE] { Ok(Ok((said, receive(&mut output)?))) } else { Ok(Err(said)) }
    });
    match answer {
        Ok(Ok((seen, module))) => match std::str::from_utf8(&seen).ok().and_then(|text| Record::parse(text).ok()) {
            Some(record) => Ok((module, record.seen)),
            None => Err(refused("its process gave what makes no sense".to_owned())),
        },
        Ok(Err(why)) => Err(refused(String::from_utf8_lossy(&why).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(late()),
        Err(_) => {
            let status = process.end()?;
            if status.signal() == Some(Signal::XCPU.as_raw()) {
                return Err(late());
            }
            let most = limits.process >> 20;
            Err(refused(format!("its initialisation was ended ({status}); it may have needed more than {most} MiB")))
        }
    }
}

/// A process that ends with this value.
struct Process(Child);

impl Process {
    /// How it ended, after it has given up its standard output.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        // Soon, by itself; or else now.
        if !ready(pidfd_open(pid, PidfdFlags::empty())?, Instant::now() + Duration::from_secs(1))? {
            self.0.kill()?;
        }
        self.0.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the process says, until its time is up.
struct CapturedOutput {
    from: ChildStdout,
    end: Instant,
}

impl Read for CapturedOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if ready(&self.from, self.end)? { self.from.read(buffer) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

fn send(to: &mut impl io::Write, message: &[u8]) -> io::Result<()> {
    to.write_all(&(message.len() as u64).to_le_bytes())?;
    to.write_all(message)
}

fn receive(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = number(from)?;
    exactly(from, length)
}

/// Whether a descriptor can be read before the end comes.
fn ready(fd: impl AsFd, end: Instant) -> io::Result<bool> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Such a process, from its beginning to its end.
pub fn main() -> ! {
    // Whoever asked may end at any moment.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let (jobs, server) = jobs::pair();
    let work = move || {
        let mut output = io::stdout().lock();
        let said = match answer(&jobs) {
            Ok((seen, module)) => output.write_all(&[DONE]).and_then(|()| {
                send(&mut output, seen.as_bytes())?;
                send(&mut output, &module)
            }),
            Err(why) => output.write_all(&[REFUSED]).and_then(|()| send(&mut output, why.as_bytes())),
        };
        std::process::exit(i32::from(said.and_then(|()| output.flush()).is_err()))
    };
    match std::thread::Builder::new().name("guest".to_owned()).stack_size(THREAD_STACK).spawn(work) {
        Err(_) => std::process::exit(1),
        Ok(guest) => {
            server.serve();
            let _ = guest.join();
        }
    }
    std::process::exit(101)
}

/// Does what the standard input says; gives the text of a record with what was seen, and the frozen
/// module.
fn answer(jobs: &Jobs) -> Result<(String, Vec<u8>), String> {
    let mut input = io::stdin().lock();
    let mut message = || receive(&mut input).map_err(|error| error.to_string());
    let (limits, wasm, code) = (message()?, message()?, message()?);
    let limits = InitLimits::of_bytes(&limits).ok_or("its process was not told its limits")?;
    limit(&limits).map_err(|error| format!("its process can't be limited: {error}"))?;
    let log = Log::new(None, 0);
    let installation = Installation::of_this_program().map_err(|error| error.to_string())?;
    let vfs = Vfs::new(run::default_mounts(&installation, &log).map_err(|error| error.to_string())?);
    freeze(&wasm, &code, limits, vfs, jobs).map_err(|error| match error {
        EngineError::Snapshot(why) => why,
        error => error.to_string(),
    })
}

fn limit(limits: &InitLimits) -> Result<(), Errno> {
    let limit =
        |resource, most| rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    limit(Resource::Data, limits.process)?;
    limit(Resource::Cpu, limits.time.as_secs() + 1)
}

/// The module's initialisation, in a sandbox that is the same everywhere.
fn freeze(
    wasm: &[u8],
    code: &[u8],
    limits: InitLimits,
    mut vfs: Vfs,
    jobs: &Jobs,
) -> Result<(String, Vec<u8>), EngineError> {
    let refused = EngineError::Snapshot;
    let io = |e: Errno| EngineError::Snapshot(e.to_string());
    vfs.give_null(0).map_err(io)?;
    let written = [vfs.give_sink(1).map_err(io)?, vfs.give_sink(2).map_err(io)?];
    // A file that was changed in the same tick of the file system's clock as it is looked at could
    // change again unseen.
    std::thread::sleep(Duration::from_millis(20));
    vfs.start_trace();
    let reach = Reach::of(vfs.mounts().iter().map(|mount| (mount.root.as_fd(), mount.access)));
    let host = Host { vfs, args: Vec::new(), env: Vec::new(), still: Some(STILL) };
    let engine = Engine::new(false, Layout::USUAL)?;
    let load = |_: &[u8]| {
        // SAFETY: whoever started this process compiled it just now.
        let module = unsafe { engine.take(code) }?;
        module.prepare()?;
        let first = jobs.start(|_| wall::confine_thread(Reach::of([])));
        let confined = first.wait().map_or_else(
            || Err("its first thread has ended".to_owned()),
            |done| done.map_err(|error| error.to_string()),
        );
        let raised =
            confined.and_then(|()| wall::raise(false, Crossing::Refused, reach).map_err(|error| error.to_string()));
        raised.map_err(refused)?;
        let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
        ACCOUNT.limit(ACCOUNT.used().saturating_add(memory));
        Ok(module)
    };
    let look = |host: &mut Host| {
        // What follows is the loader's.
        ACCOUNT.limit(usize::MAX);
        if let Some(bytes) = written.iter().map(|w| w.borrow()).find(|w| !w.is_empty()) {
            let said = crate::print::shown(&bytes[..bytes.len().min(200)]);
            return Err(refused(format!("it wrote: {}", said.trim_end())));
        }
        let left: Vec<u32> = host.vfs.table().open_numbers().filter(|&n| n > ROOT_FD).collect();
        debug_assert!(left.iter().all(|&n| (n as usize) < DESCRIPTORS_MAX));
        if !left.is_empty() {
            let left: Vec<_> = left.iter().map(u32::to_string).collect();
            return Err(refused(format!("it left descriptors open: {}", left.join(", "))));
        }
        let trace = host.vfs.take_trace().unwrap_or_default();
        trace.finish().ok_or_else(|| refused("files changed while it ran; try again".to_owned()))
    };
    let (frozen, seen) = engine.freeze(wasm, INIT, host, load, look)?;
    if frozen.wasm.len() > SNAPSHOT_MAX {
        return Err(refused(format!("it would have more than {} MiB", SNAPSHOT_MAX >> 20)));
    }
    Ok((Record { seen, ..Record::default() }.text(), frozen.wasm))
}
