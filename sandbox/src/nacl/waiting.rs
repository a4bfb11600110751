//! How the launcher waits for the end of a run.
//!
//! It answers the engine's questions, carries what the guest writes, and looks at the clocks: it can
//! do nothing else meanwhile, and nothing that the guest does can keep it from that.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitOptions};

use super::bounds::Bounds;
use super::messages::{Messages, Told};
use super::streams::{Carrying, Heard};
use super::supervisor::Supervisor;
use crate::limits::Limit;
use crate::report::Report;
use crate::signals::{self, Signals};

/// What begins a report about a start that failed, and one about an end.
pub(super) const FAILED: u8 = b'f';
pub(super) const ENDED: u8 = b'e';
/// How long what a guest wrote may take to leave, after a limit or a signal has ended it.
const PATIENCE: Duration = Duration::from_millis(200);
/// The shortest time between two looks at the processor's time.
const LOOK: Duration = Duration::from_millis(1);

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

/// This process, while the guest runs.
pub(super) struct Waiting<'a> {
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
enum EventSource {
    Signals,
    Messages,
    Questions,
    Carrying,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(
        first: Pid,
        messages: Messages<'a>,
        supervisor: Option<Supervisor<'a>>,
        carrying: Carrying,
        bounds: &'a Bounds,
        report: &'a Report,
    ) -> Self {
        let (limit, patience, begun, ended, silent, carried) = Default::default();
        Self { first, messages, supervisor, carrying, bounds, report, limit, patience, begun, ended, silent, carried }
    }

    /// Does all that is to be done until the first process has ended and what the guest wrote has
    /// left.
    pub(super) fn wait(mut self, mut reports: File, watched: &Signals) -> Result<Ended, Errno> {
        let arriving = watched.arriving()?;
        let mut asked = None;
        while !self.is_over() {
            for (source, is_gone) in self.poll(&arriving)? {
                match source {
                    EventSource::Signals => asked = self.take_signal(&arriving)?.or(asked),
                    EventSource::Messages => self.silent = !self.messages.take(),
                    EventSource::Questions if is_gone => self.supervisor = None,
                    EventSource::Questions => self.decide()?,
                    EventSource::Carrying => match self.carrying.hear() {
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
    fn poll(&self, arriving: &OwnedFd) -> Result<Vec<(EventSource, bool)>, Errno> {
        let mut sources = vec![(EventSource::Signals, arriving.as_fd())];
        if !self.silent {
            sources.push((EventSource::Messages, self.messages.as_fd()));
        }
        if let Some(supervisor) = &self.supervisor {
            sources.push((EventSource::Questions, supervisor.as_fd()));
        }
        if !self.carried {
            sources.push((EventSource::Carrying, self.carrying.as_fd()));
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
            Some((&ENDED, end)) => end.try_into().map(EngineEnd::read).unwrap_or_default(),
            // Somebody killed the first process, and so all.
            _ => EngineEnd::default(),
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
pub(super) struct EngineEnd {
    /// As `wait(2)` gives it.
    pub(super) status: i32,
    /// Nanoseconds of the processor.
    pub(super) cpu: u64,
    /// The most bytes of memory.
    pub(super) memory: u64,
}

impl Default for EngineEnd {
    fn default() -> Self {
        Self { status: libc::SIGKILL, cpu: 0, memory: 0 }
    }
}

impl EngineEnd {
    pub(super) fn write(&self) -> [u8; 20] {
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
