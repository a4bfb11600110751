//! What a run has used, and the line that says how it ended (`--status-fd`).
//!
//! The line is JSON, written once, by the loader alone, as the last thing that it does. Its fields
//! are described in `docs/reference/limits.md`.

use std::ffi::c_int;
use std::fmt::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::account::ACCOUNT;
use crate::limits::{Limit, TABLE};
use crate::log::Log;
use crate::outcome::{How, Outcome};
use crate::{print, signals, sys};

/// The version of the line's form.
const VERSION: u32 = 1;

/// What a run has used so far. Any thread may add to it.
#[derive(Debug, Default)]
pub struct Usage {
    /// Bytes that left by the standard streams and the descriptors that were handed in.
    pub output: AtomicU64,
    /// Bytes written to files.
    pub written: AtomicU64,
    /// Files made.
    pub files: AtomicU64,
    /// The most bytes of memory that there were at once.
    pub memory: AtomicU64,
    /// Nanoseconds of the processor that other processes took for the guest.
    others: AtomicU64,
    /// Limits that the guest was told of, a bit each.
    reached: AtomicU32,
    /// Whether there is a guest that can be told.
    has_begun: AtomicBool,
}

impl Usage {
    /// Notes that the guest was told of this limit.
    pub fn reached(&self, limit: Limit) {
        self.reached.fetch_or(1 << limit as u32, Ordering::Relaxed);
    }

    /// Notes that the guest has begun. What is refused before is told to nobody.
    pub fn guest_has_begun(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// The limits that the guest was told of.
    pub fn told(&self) -> impl Iterator<Item = Limit> {
        let reached = self.reached.load(Ordering::Relaxed);
        TABLE.iter().map(|row| row.limit).filter(move |&limit| reached & 1 << limit as u32 != 0)
    }

    /// Notes what another process took of the processor for the guest.
    pub fn add_cpu(&self, time: Duration) {
        self.others.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes what all other processes took of the processor for the guest, also what was noted
    /// before.
    pub fn cpu_of_others_is(&self, time: Duration) {
        self.others.fetch_max(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The processor's time that other processes took.
    pub fn cpu_of_others(&self) -> Duration {
        Duration::from_nanos(self.others.load(Ordering::Relaxed))
    }

    /// The processor's time in all.
    pub fn cpu(&self) -> Duration {
        let own = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(own.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(own.tv_nsec).unwrap_or(0)) + self.cpu_of_others()
    }
}

/// Ends the process, and says how it ended to who asked for that.
#[derive(Debug)]
pub struct Report {
    status: Option<OwnedFd>,
    begun: Instant,
    /// What the run has used.
    pub usage: Arc<Usage>,
    /// Held by who ends the process, for good.
    ending: Mutex<()>,
    /// Where it is said that nobody reads how the run ended.
    log: OnceLock<Arc<Log>>,
}

impl Report {
    /// A report on the run that began at `begun`, to this descriptor if there is one.
    pub fn new(begun: Instant, status: Option<OwnedFd>) -> Self {
        if let Some(status) = &status {
            say_if_it_aborts(status);
        }
        Self { status, begun, usage: Arc::default(), ending: Mutex::new(()), log: OnceLock::new() }
    }

    /// Where it is said how the run ends, if somebody wants to know.
    pub fn status(&self) -> Option<&OwnedFd> {
        self.status.as_ref()
    }

    /// Has it said in this log if nobody reads how the run ended.
    pub(crate) fn log_to(&self, log: Arc<Log>) {
        let _ = self.log.set(log);
    }

    /// When the run began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Says how the run ended, and ends the process. The first thread that comes here does; any
    /// other waits for the end.
    pub fn end(&self, outcome: &Outcome) -> ! {
        self.claim().end(outcome)
    }

    /// Keeps all other threads from ending the process.
    pub fn claim(&self) -> Claim<'_> {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing ends the process but this.
        ACCOUNT.limit(usize::MAX);
        Claim { report: self, _ending: ending }
    }

    fn line(&self, outcome: &Outcome) -> String {
        let Usage { output, written, files, memory, .. } = &*self.usage;
        memory.fetch_max(ACCOUNT.peak() as u64, Ordering::Relaxed);
        if ACCOUNT.was_full() && self.usage.has_begun.load(Ordering::Relaxed) {
            self.usage.reached(Limit::Memory);
        }
        let reached: Vec<String> = self.usage.told().map(|limit| quoted(limit.row().word)).collect();
        let limit = match outcome.how {
            How::Limit(limit) => quoted(limit.row().word),
            _ => "null".to_owned(),
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{{\"version\":{VERSION},\"how\":{},\"status\":{},\"limit\":{limit},\"reached\":[{}],\"reason\":{},\
             \"wall\":{:.6},\"cpu\":{:.6},\"memory\":{},\"output\":{},\"written\":{},\"files\":{}}}\n",
            quoted(outcome.how.word()),
            outcome.how.status(),
            reached.join(","),
            outcome.reason.as_deref().map_or_else(|| "null".to_owned(), |reason| quoted(&print::one_line(reason))),
            self.begun.elapsed().as_secs_f64(),
            self.usage.cpu().as_secs_f64(),
            count(memory),
            count(output),
            count(written),
            count(files),
        )
    }
}

/// The right to end the process.
#[derive(Debug)]
pub struct Claim<'a> {
    report: &'a Report,
    _ending: MutexGuard<'a, ()>,
}

impl Claim<'_> {
    /// As [`Report::end`].
    pub fn end(self, outcome: &Outcome) -> ! {
        self.say(outcome);
        sys::exit(outcome.how.status().into())
    }

    /// As [`Report::end`], by this signal, so that whoever waits for the process sees it.
    pub fn end_by(self, outcome: &Outcome, signal: i32) -> ! {
        self.say(outcome);
        signals::end_by(signal);
        sys::exit(outcome.how.status().into())
    }

    fn say(&self, outcome: &Outcome) {
        let Some(status) = &self.report.status else { return };
        let said = print::write_within(status.as_fd(), self.report.line(outcome).as_bytes(), PATIENCE);
        let why = match said {
            // A reader that has gone has chosen so.
            Ok(()) | Err(Errno::PIPE) => return,
            Err(Errno::TIMEDOUT) => "nobody reads it".to_owned(),
            Err(error) => error.to_string(),
        };
        if let Some(log) = self.report.log.get() {
            log.last(format_args!("the status could not be written: {why}"));
        }
    }
}

/// How long it may take until somebody reads how the run ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is said of this process if it aborts: the number of the process, of the descriptor, and the
/// line.
static LAST_LINE: OnceLock<(u32, RawFd, String)> = OnceLock::new();

/// Has it said on `status` if this process aborts, which is a fault of its own: the C library found
/// its heap damaged, a stack of the host's was exhausted. What was used is not known then.
fn say_if_it_aborts(status: &OwnedFd) {
    let outcome = Outcome::new(How::Fault, "the loader aborted; this is a fault of its own");
    let line = format!(
        "{{\"version\":{VERSION},\"how\":{},\"status\":{},\"limit\":null,\"reached\":[],\"reason\":{},\
         \"wall\":null,\"cpu\":null,\"memory\":null,\"output\":null,\"written\":null,\"files\":null}}\n",
        quoted(outcome.how.word()),
        How::Signal(ABORT).status(),
        quoted(outcome.reason.as_deref().unwrap_or_default()),
    );
    if LAST_LINE.set((std::process::id(), status.as_raw_fd(), line)).is_ok() {
        signals::handle_once(ABORT.into(), aborts);
    }
}

/// The signal by which a process aborts.
const ABORT: u8 = 6;

/// Handles that signal, which ends the process then. It makes calls alone that a handler may make
/// (signal-safety(7)).
extern "C" fn aborts(_: c_int) {
    if let Some((process, status, line)) = LAST_LINE.get()
        // A process that was forked has other files.
        && *process == std::process::id()
    {
        let mut ready = libc::pollfd { fd: *status, events: libc::POLLOUT, revents: 0 };
        // SAFETY: `ready` and the line are live, the line for ever.
        unsafe {
            // Nobody may read it.
            if libc::poll(&raw mut ready, 1, c_int::try_from(PATIENCE.as_millis()).unwrap_or(0)) == 1 {
                libc::write(*status, line.as_ptr().cast(), line.len());
            }
        }
    }
}

/// Text as a string of JSON (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_json_with_all_fields() {
        let report = Report::new(Instant::now(), None);
        report.usage.reached(Limit::Open);
        report.usage.reached(Limit::File);
        report.usage.output.fetch_add(7, Ordering::Relaxed);
        report.usage.add_cpu(Duration::from_secs(5));
        let line = report.line(&Outcome::new(How::Limit(Limit::Time), "`a\"\n\\` took\u{1b} too é long"));
        assert!(
            line.starts_with(r#"{"version":1,"how":"limit","status":124,"limit":"time","reached":["file","open"],"#)
        );
        assert!(line.contains(r#""reason":"`a\"\\n\\` took\\u{1b} too é long","wall":0."#), "{line}");
        assert!(
            line.contains(r#","cpu":5."#) && line.ends_with(",\"memory\":0,\"output\":7,\"written\":0,\"files\":0}\n")
        );
        let line = report.line(&Outcome::exit(124));
        assert!(
            line.contains(r#""how":"exit","status":124,"limit":null,"#) && line.contains(r#""reason":null,"#),
            "{line}"
        );
        assert_eq!(quoted("\u{7f}\u{0}"), r#""\u007f\u0000""#);
    }
}
