//! The processes of a run: this one, which waits; the first one of a process namespace, which keeps
//! order in it; and `sel_ldr`.
//!
//! When this process ends, however it does, the kernel kills the first one, and with it every
//! process of its namespace. Signals that ask a program to end are passed on; those that keys of a
//! terminal send have reached `sel_ldr` already.
//!
//! While this process waits it answers the engine's questions, carries what the guest writes, and
//! looks at the clocks: it can do nothing else, and nothing that the guest does can keep it from
//! that.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{self, DumpableBehavior, Pid, Signal, WaitOptions};

use super::bounds::Bounds;
use super::filter::Filters;
use super::messages::{Messages, Told};
use super::streams::{Carrying, Heard, Streams};
use super::supervisor::Supervisor;
use super::sys;
use super::wall;
use crate::limits::Limit;
use crate::log::Log;
use crate::report::Report;
use crate::signals::{self, Signals};

/// The number that `sel_ldr` has in its namespace: the second one.
pub(super) const ENGINE_PID: i32 = 2;
/// Signals by which a program is asked to end.
const ASKING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
/// What begins a report about a start that failed, and one about an end.
const FAILED: u8 = b'f';
const ENDED: u8 = b'e';
/// How long what a guest wrote may take to leave, after a limit or a signal has ended it.
const PATIENCE: Duration = Duration::from_millis(200);
/// The shortest time between two looks at the processor's time.
const LOOK: Duration = Duration::from_millis(1);

/// What is to be started.
pub(super) struct Start {
    pub(super) engine: OwnedFd,
    /// The number that [`wall::program_number`] gave.
    pub(super) number: i32,
    pub(super) arguments: Vec<CString>,
    /// The engine's own, which is not the guest's.
    pub(super) environment: Vec<CString>,
    pub(super) filters: Filters,
    /// What the guest has as standard output, if it is not this process's.
    pub(super) output: Option<OwnedFd>,
    /// Descriptors that it gets under the numbers that they have.
    pub(super) handed: Vec<OwnedFd>,
}

/// What a run needs of this process while it lasts.
pub(super) struct Surroundings<'a> {
    pub(super) bounds: &'a Bounds,
    /// See [`super::supervisor::processes`].
    pub(super) processes: OwnedFd,
    pub(super) streams: Streams,
    pub(super) report: &'a Report,
    pub(super) log: &'a Log,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that nobody asked for.
    Signalled(i32),
    /// It was asked to end by this signal, and did.
    Asked(i32),
    /// A limit ended it.
    Limit(Limit),
    /// The engine refused what it was to load: why.
    Refused(String),
    /// It did not begin: what failed.
    Failed(String),
    /// A file did not take what it wrote.
    Unwritten(Errno),
}

/// Starts it in a new process namespace, and waits for its end.
///
/// # Errors
///
/// What the kernel says of pipes and processes.
pub(super) fn run(start: Start, surroundings: Surroundings<'_>) -> Result<Ended, Errno> {
    let watched = Signals::of(&[&ASKING[..], &[libc::SIGCHLD]].concat());
    let before = watched.block();
    let (report, reporting) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (parent, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (said, saying) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (answering, asking) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let Some(first) = sys::fork_first()? else {
        let bounds = surroundings.bounds;
        drop((report, alive, said, answering, surroundings));
        first_process(start, bounds, Ways { saying, asking, before }, File::from(reporting), &parent);
    };
    drop((start, reporting, parent, saying, asking));
    let Surroundings { bounds, processes, streams, report: run, log } = surroundings;
    let carrying = streams.carry(&run.usage).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
    // Before its first instruction; where it could not become the engine, there is none.
    let listener = received(&answering)?;
    let supervisor = listener.map(|listener| Supervisor::new(listener, &processes, bounds, &run.usage));
    let waiting = Waiting {
        first,
        messages: Messages::new(said, log),
        supervisor,
        carrying,
        bounds,
        report: run,
        limit: None,
        patience: None,
        begun: false,
        ended: false,
        silent: false,
        carried: false,
    };
    let ended = waiting.wait(File::from(report), &watched);
    drop(alive);
    ended
}

/// Where the engine's questions arrive, once it has said so; `None` if it never did.
fn received(from: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [std::io::IoSliceMut::new(&mut byte)];
    rustix::io::retry_on_intr(|| recvmsg(from, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let listener = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(listener)
}

/// This process, while the guest runs.
struct Waiting<'a> {
    first: Pid,
    messages: Messages<'a>,
    supervisor: Option<Supervisor<'a>>,
    carrying: Carrying,
    bounds: &'a Bounds,
    report: &'a Report,
    /// The limit that has ended the run.
    limit: Option<Limit>,
    /// Until when what the guest wrote may leave, where it did not end by itself.
    patience: Option<Instant>,
    /// Whether the guest has begun.
    begun: bool,
    /// What has ended: the first process, the engine's messages, what leaves.
    ended: bool,
    silent: bool,
    carried: bool,
}

/// What something arrives from.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Messages,
    Questions,
    Carrying,
}

impl Waiting<'_> {
    /// Does all that is to be done until the first process has ended and what the guest wrote has
    /// left.
    fn wait(mut self, mut reports: File, watched: &Signals) -> Result<Ended, Errno> {
        let arriving = watched.arriving()?;
        let mut asked = None;
        while !self.is_over() {
            for (source, is_gone) in self.poll(&arriving)? {
                match source {
                    Source::Signals => asked = self.take_signal(&arriving)?.or(asked),
                    Source::Messages => self.silent = !self.messages.take(),
                    Source::Questions if is_gone => self.supervisor = None,
                    Source::Questions => self.decide()?,
                    Source::Carrying => match self.carrying.hear() {
                        Heard::Limit => self.end_by(Limit::Output),
                        Heard::End => self.carried = true,
                    },
                }
            }
            if let Some(limit) = self.limit_over() {
                self.end_by(limit);
            }
            if self.ended && asked.is_some() && self.patience.is_none() {
                self.patience = Some(Instant::now() + PATIENCE);
            }
        }
        let mut text = Vec::new();
        reports.read_to_end(&mut text).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(self.how_it_ended(&text, asked))
    }

    fn is_over(&self) -> bool {
        self.ended && (self.carried || self.patience.is_some_and(|moment| Instant::now() >= moment))
    }

    /// Waits until something arrives, or a clock has to be looked at: from where it arrives, and
    /// whether that was the last.
    fn poll(&self, arriving: &OwnedFd) -> Result<Vec<(Source, bool)>, Errno> {
        let mut sources = vec![(Source::Signals, arriving.as_fd())];
        if !self.silent {
            sources.push((Source::Messages, self.messages.as_fd()));
        }
        if let Some(supervisor) = &self.supervisor {
            sources.push((Source::Questions, supervisor.as_fd()));
        }
        if !self.carried {
            sources.push((Source::Carrying, self.carrying.as_fd()));
        }
        let mut ready: Vec<_> =
            sources.iter().map(|&(_, file)| PollFd::from_borrowed_fd(file, PollFlags::IN)).collect();
        let wait = self.time_left().map(|time| Timespec::try_from(time).unwrap_or_default());
        match poll(&mut ready, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let arrived = ready.iter().zip(sources).filter(|(ready, _)| !ready.revents().is_empty());
        Ok(arrived.map(|(ready, (source, _))| (source, !ready.revents().contains(PollFlags::IN))).collect())
    }

    /// Takes a signal: passes it on, or notes that the first process has ended. Gives one that asks
    /// for the end.
    fn take_signal(&mut self, arriving: &OwnedFd) -> Result<Option<i32>, Errno> {
        let (signal, by_kernel) = signals::next_signal(arriving)?;
        if signal == libc::SIGCHLD {
            // It may have been stopped or continued only.
            self.ended = self.ended || process::waitpid(Some(self.first), WaitOptions::NOHANG)?.is_some();
            return Ok(None);
        }
        if !by_kernel
            && !self.ended
            && let Some(signal) = Signal::from_named_raw(signal)
        {
            let _ = process::kill_process(self.first, signal);
        }
        Ok(Some(signal))
    }

    fn decide(&mut self) -> Result<(), Errno> {
        let Some(supervisor) = &mut self.supervisor else { return Ok(()) };
        let taken = supervisor.take();
        self.begun = self.begun || supervisor.has_begun();
        match taken {
            Ok(None) => Ok(()),
            Ok(Some(limit)) => {
                self.end_by(limit);
                Ok(())
            }
            // What the guest may do can't be told: it may do nothing more.
            Err(error) => {
                self.kill();
                Err(error)
            }
        }
    }

    /// How long nothing has to be done but for what arrives.
    fn time_left(&self) -> Option<Duration> {
        let until = |moment: Instant| moment.saturating_duration_since(Instant::now());
        if let Some(moment) = self.patience {
            return Some(until(moment).max(LOOK));
        }
        let clock = self.bounds.deadline.map(until);
        // All threads together can't use it up sooner.
        let processor = self.cpu_left().map(|left| (left / self.threads()).max(LOOK));
        clock.into_iter().chain(processor).min()
    }

    /// The limit of a clock that is over.
    fn limit_over(&self) -> Option<Limit> {
        if self.limit.is_some() {
            return None;
        }
        if self.bounds.deadline.is_some_and(|moment| Instant::now() >= moment) {
            return Some(Limit::Time);
        }
        self.cpu_left().is_some_and(|left| left.is_zero()).then_some(Limit::Cpu)
    }

    /// The processor's time that is left, while somebody can use it.
    fn cpu_left(&self) -> Option<Duration> {
        let engine = self.supervisor.as_ref().filter(|_| !self.ended)?.cpu()?;
        self.bounds.cpu.map(|limit| limit.saturating_sub(engine + self.report.usage.cpu()))
    }

    fn threads(&self) -> u32 {
        let processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        self.supervisor.as_ref().map_or(1, |supervisor| supervisor.runnable().min(processors))
    }

    /// Ends the run by a limit: the first that is reached.
    fn end_by(&mut self, limit: Limit) {
        if self.limit.is_some() {
            return;
        }
        self.limit = Some(limit);
        self.patience = Some(Instant::now() + PATIENCE);
        // Nobody else will tell.
        if let Some(supervisor) = &self.supervisor {
            self.report.usage.memory.fetch_max(supervisor.peak().unwrap_or(0), Ordering::Relaxed);
            self.report.usage.add_cpu(supervisor.cpu().unwrap_or_default());
        }
        self.kill();
    }

    /// Ends the first process, and so all.
    fn kill(&self) {
        if !self.ended {
            let _ = process::kill_process(self.first, Signal::KILL);
        }
    }

    fn how_it_ended(self, report: &[u8], asked: Option<i32>) -> Ended {
        if let Some(limit) = self.limit {
            return Ended::Limit(limit);
        }
        let ended = match report.split_first() {
            Some((&FAILED, why)) => {
                let why = why.split(|&b| b == 0).next().unwrap_or(why);
                return Ended::Failed(String::from_utf8_lossy(why).into_owned());
            }
            Some((&ENDED, end)) => end.try_into().map(End::read).unwrap_or_default(),
            // Somebody killed the first process, and so all.
            _ => End::default(),
        };
        self.report.usage.add_cpu(Duration::from_nanos(ended.cpu));
        // The kernel counts by ticks, and comes out higher or lower.
        let used_up = self.bounds.cpu.is_some_and(|limit| self.report.usage.cpu() >= limit * 3 / 4);
        self.report.usage.memory.fetch_max(ended.memory, Ordering::Relaxed);
        let exited = libc::WIFEXITED(ended.status).then(|| libc::WEXITSTATUS(ended.status));
        let unwritten = self.carrying.error();
        let mut told = self.messages.end();
        // Names of a guest's are in the engine's messages: once there is a guest, it may have put
        // words into its mouth.
        told.refused = told.refused.filter(|_| !self.begun);
        told.crash = told.crash.filter(|signal| exited == Some(-signal & 0xff));
        match (exited, asked, told) {
            (Some(_), _, Told { refused: Some(why), .. }) => Ended::Refused(why),
            // The engine has no way to tell a guest.
            (Some(_), None, Told { crash: Some(_), lacks_memory: true, .. }) => Ended::Limit(Limit::Memory),
            (Some(_), None, Told { crash: Some(signal), .. }) => Ended::Signalled(signal),
            (Some(status), ..) => match unwritten {
                Some(error) if status == 0 => Ended::Unwritten(error),
                _ => Ended::Exited(status),
            },
            (None, Some(signal), _) => Ended::Asked(signal),
            // It aborts with a status that the wall turns into this death.
            (None, None, Told { lacks_memory: true, .. }) if libc::WTERMSIG(ended.status) == libc::SIGSYS => {
                Ended::Limit(Limit::Memory)
            }
            (None, None, _) => match libc::WTERMSIG(ended.status) {
                // The kernel was first, by the caller's limit.
                libc::SIGXCPU => Ended::Limit(Limit::Cpu),
                libc::SIGKILL if used_up => Ended::Limit(Limit::Cpu),
                signal => Ended::Signalled(signal),
            },
        }
    }
}

/// What the first process tells of the engine's end.
struct End {
    /// As `wait(2)` gives it.
    status: i32,
    /// Nanoseconds of the processor.
    cpu: u64,
    /// The most bytes of memory.
    memory: u64,
}

impl Default for End {
    fn default() -> Self {
        Self { status: libc::SIGKILL, cpu: 0, memory: 0 }
    }
}

impl End {
    fn write(&self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&self.status.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.cpu.to_le_bytes());
        bytes[12..].copy_from_slice(&self.memory.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8; 20]) -> Self {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        let status = i32::from_le_bytes(std::array::from_fn(|index| bytes[index]));
        Self { status, cpu: number(4), memory: number(12) }
    }
}

/// What the first process has of the ways to this one.
struct Ways {
    /// For the engine's messages.
    saying: OwnedFd,
    /// For where the engine's questions arrive.
    asking: OwnedFd,
    /// The signals that were blocked before.
    before: Signals,
}

/// The first process of the namespace: starts the second, passes signals on to it, and buries
/// whatever ends.
fn first_process(start: Start, bounds: &Bounds, ways: Ways, mut reporting: File, parent: &OwnedFd) -> ! {
    let all = Signals::all();
    all.block();
    let watch = || -> Result<Option<Pid>, Errno> {
        process::set_parent_process_death_signal(Some(Signal::KILL))?;
        let mut parent = [PollFd::new(parent, PollFlags::IN)];
        if poll(&mut parent, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? != 0 {
            // It ended before it was watched.
            sys::exit(0);
        }
        process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        sys::fork()
    };
    let second = match watch() {
        Ok(Some(second)) => second,
        Ok(None) => {
            let why = become_engine(&start, bounds, &ways);
            fail(&mut reporting, &why);
        }
        Err(error) => fail(&mut reporting, &format!("its first process: {error}")),
    };
    drop((start, ways));
    loop {
        let (signal, _) = all.wait();
        if signal != libc::SIGCHLD {
            if let Some(signal) = Signal::from_named_raw(signal) {
                let _ = process::kill_process(second, signal);
            }
            continue;
        }
        while let Ok(Some((pid, status))) = process::wait(WaitOptions::NOHANG) {
            if pid == second {
                let (cpu, memory) = sys::used_by_children();
                let cpu = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
                let end = End { status: status.as_raw(), cpu, memory };
                let _ = reporting.write_all(&[&[ENDED][..], &end.write()].concat());
                sys::exit(0);
            }
        }
    }
}

fn fail(reporting: &mut File, why: &str) -> ! {
    let _ = reporting.write_all(&[&[FAILED][..], why.as_bytes(), &[0]].concat());
    sys::exit(127)
}

/// The second process, up to the point where it is `sel_ldr`; comes back with what failed.
fn become_engine(start: &Start, bounds: &Bounds, ways: &Ways) -> String {
    signals::default_signals();
    // A file that becomes too long gives an error.
    signals::ignore(libc::SIGXFSZ);
    ways.before.block();
    let prepare = || -> Result<(), Errno> {
        for file in &start.handed {
            rustix::io::fcntl_setfd(file, FdFlags::empty())?;
        }
        if let Some(output) = &start.output {
            rustix::stdio::dup2_stdout(output)?;
        }
        rustix::stdio::dup2_stderr(&ways.saying)?;
        wall::allow_number(start.number)?;
        sys::duplicate_to(start.engine.as_fd(), start.number)
    };
    if let Err(error) = prepare() {
        return format!("its descriptors: {error}");
    }
    // Where this is impossible, the filter still keeps it from the caller's.
    let _ = sys::new_session_keyring();
    let asking = |listener: OwnedFd| send(&ways.asking, &listener);
    if let Err((what, why)) = wall::raise(&start.filters, bounds, asking) {
        return format!("{what}: {why}");
    }
    format!("it can't be executed: {}", sys::exec(start.number, &start.arguments, &start.environment))
}

fn send(to: &OwnedFd, listener: &OwnedFd) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(to, &[std::io::IoSlice::new(&[0])], &mut control, SendFlags::empty()).map(drop)
}
