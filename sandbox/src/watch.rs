//! Who ends a run from outside the guest: the clock, the processor's time, and signals.
//!
//! A guest's code is never asked to look at a clock: a thread beside it waits for the moment, and
//! ends the process, whatever the guest and the other threads are doing then. There is such a
//! thread only where something is to be watched.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::caller;
use crate::limits::{Limit, Limits};
use crate::log::Log;
use crate::outcome::{How, Outcome};
use crate::report::{Claim, Report, Usage};
use crate::signals::{self, Signals};

/// The signals that end a program that does nothing about them, and that a fault of its own does
/// not send.
const ENDING: [c_int; 13] = [
    libc::SIGABRT,
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGXCPU,
];
/// How long a message may take that nobody reads.
const PATIENCE: Duration = Duration::from_millis(200);

/// Stack of each of the two threads.
const STACK: usize = 256 << 10;

/// What is to be done before the process ends: other processes that work for it end first.
type Cleanup = Box<dyn Fn() + Send + Sync>;

/// The watch over a run.
pub struct Watch {
    report: Arc<Report>,
    log: Arc<Log>,
    deadline: Option<Instant>,
    time: Duration,
    cpu: Option<CpuLimit>,
    /// The caller's own limit, in seconds.
    callers_cpu: Option<u64>,
    cleanup: OnceLock<Cleanup>,
    is_ending: AtomicBool,
}

/// A limit of the processor's time.
#[derive(Debug)]
struct CpuLimit {
    /// For the guest and all that is done for it.
    budget: Duration,
    timer: Timer,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("deadline", &self.deadline).field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches over this run from now on. To be called while the process has one thread, and after
    /// it has started the processes that work for it.
    ///
    /// # Errors
    ///
    /// If the system has no timer or thread.
    pub fn start(limits: &Limits, report: Arc<Report>, log: Arc<Log>) -> io::Result<Arc<Self>> {
        let callers_cpu = caller::cpu_seconds();
        let is_needed =
            limits.time.is_some() || limits.cpu.is_some() || callers_cpu.is_some() || report.status().is_some();
        let cpu = match limits.cpu {
            Some(budget) => Some(CpuLimit { budget, timer: Timer::new()? }),
            None => None,
        };
        let deadline = limits.time.and_then(|time| report.begun().checked_add(time));
        let time = limits.time.unwrap_or_default();
        let watch = Arc::new(Self {
            report,
            log,
            deadline,
            time,
            cpu,
            callers_cpu,
            cleanup: OnceLock::new(),
            is_ending: AtomicBool::new(false),
        });
        if is_needed {
            let is_ours = |signal: c_int| [libc::SIGXCPU, libc::SIGPROF].contains(&signal);
            let is_watched = |&signal: &c_int| is_ours(signal) || !signals::is_ignored(signal);
            let watched = Signals::of(&ENDING.into_iter().filter(is_watched).collect::<Vec<_>>());
            watched.block_too();
            let arriving = watched.arriving()?;
            watch.set_timer();
            if let Some(seconds) = callers_cpu {
                caller::signal_before_the_kernel(seconds);
            }
            let (speaker, messages) = channel();
            let (speaking, watching) = (watch.clone(), watch.clone());
            let thread = |name: &str| std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
            let (begun, beginning) = channel();
            thread("watch").spawn(move || {
                watching.confine();
                // What this thread has given up, those that it starts don't have.
                let speaking = thread("speaker").spawn(move || speaking.speak(messages));
                let _ = begun.send(speaking.map(drop));
                watching.watch(&arriving, &speaker);
            })?;
            // Behind the wall, which the guest's thread raises for all, no thread could confine
            // itself.
            beginning.recv().map_err(io::Error::other)??;
        }
        Ok(watch)
    }

    /// Has this done before the process ends, by whichever way the watch ends it.
    pub fn before_the_end(&self, cleanup: impl Fn() + Send + Sync + 'static) {
        let _ = self.cleanup.set(Box::new(cleanup));
    }

    /// What the run has used.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.report.usage
    }

    /// What is left of the processor's time, if it is limited.
    pub fn cpu_left(&self) -> Option<Duration> {
        self.cpu.as_ref().map(|cpu| cpu.budget.saturating_sub(self.report.usage.cpu()))
    }

    /// Takes from what is left what another process has used.
    pub fn add_cpu(&self, used: Duration) {
        self.report.usage.add_cpu(used);
        self.set_timer();
    }

    /// Comes back only if the watch is not about to end the process: nothing is to be made of what
    /// it ended first.
    pub fn wait_for_the_end(&self) {
        while self.is_ending.load(Ordering::Relaxed) || self.cpu_left().is_some_and(|left| left.is_zero()) {
            std::thread::park();
        }
    }

    /// The timer counts this process's time alone.
    fn set_timer(&self) {
        if let Some(cpu) = &self.cpu {
            cpu.timer.set(cpu.budget.saturating_sub(self.report.usage.cpu_of_others()));
        }
    }

    fn watch(&self, arriving: &OwnedFd, speaker: &Sender<LastWords>) {
        loop {
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let why = format!("it took longer than `--time` allows, {} s", self.time.as_secs_f64());
                self.end(How::Limit(Limit::Time), &why, speaker);
            }
            let left = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut ready = [PollFd::new(arriving, PollFlags::IN)];
            if poll(&mut ready, left.as_ref()).is_ok_and(|count| count > 0)
                && let Ok((signal, _)) = signals::next_signal(arriving)
            {
                self.arrived(signal, speaker);
            }
        }
    }

    fn arrived(&self, signal: c_int, speaker: &Sender<LastWords>) {
        let why = match (signal, &self.cpu, self.callers_cpu) {
            // The clocks differ a little.
            (libc::SIGXCPU, Some(cpu), _) if self.report.usage.cpu() < cpu.budget => return self.set_timer(),
            (libc::SIGXCPU, Some(cpu), _) => format!("`--cpu` allows, {} s", cpu.budget.as_secs_f64()),
            (libc::SIGXCPU | libc::SIGPROF, _, Some(seconds)) => {
                format!("its caller's `ulimit -t` allows, {seconds} s")
            }
            _ => self.begin_the_end().end_by(&Outcome::ended_by(signal), signal),
        };
        self.end(How::Limit(Limit::Cpu), &format!("it took more of the processor's time than {why}"), speaker)
    }

    fn end(&self, how: How, why: &str, speaker: &Sender<LastWords>) -> ! {
        let claim = self.begin_the_end();
        let outcome = Outcome::new(how, format_args!("the program was ended: {why}"));
        let (said, done) = channel();
        if speaker.send(LastWords { text: outcome.reason.clone().unwrap_or_default(), said }).is_ok() {
            let _ = done.recv_timeout(PATIENCE);
        }
        claim.end(&outcome)
    }

    /// Says what the watch has to say: standard error may be a full pipe that nobody reads, and who
    /// writes to it then waits for ever.
    fn speak(&self, messages: Receiver<LastWords>) {
        for LastWords { text, said } in messages {
            self.log.error(format_args!("{text}"));
            let _ = said.send(());
        }
    }

    /// The threads of the watch need no file.
    fn confine(&self) {
        #[cfg(feature = "wasm")]
        if let Err(error) = crate::wall::confine_thread(crate::reach::Reach::of([])) {
            self.report.end(&Outcome::new(How::Refused(crate::outcome::ENVIRONMENT_STATUS), error));
        }
    }

    /// Ends what works for the run; no other thread ends the process then.
    fn begin_the_end(&self) -> Claim<'_> {
        let claim = self.report.claim();
        self.is_ending.store(true, Ordering::Relaxed);
        if let Some(cleanup) = self.cleanup.get() {
            cleanup();
        }
        claim
    }
}

/// A message that is the last one.
struct LastWords {
    text: String,
    said: Sender<()>,
}

/// A timer that sends SIGXCPU when this process has used so much of the processor's time.
#[derive(Debug)]
pub(crate) struct Timer(libc::timer_t);

// SAFETY: the kernel's number of a timer, good for all threads of the process.
unsafe impl Send for Timer {}
// SAFETY: the same; setting it is one call of the kernel.
unsafe impl Sync for Timer {}

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: zeros are a `sigevent`; both pointers are to live variables.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGXCPU;
            let mut timer = std::mem::zeroed();
            match libc::timer_create(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut event, &raw mut timer) {
                0 => Ok(Self(timer)),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    /// Sends the signal when the process has used `time`; at once if it has.
    pub(crate) fn set(&self, time: Duration) {
        // A time of zero would stop the timer.
        let time = time.max(Duration::from_nanos(1));
        // SAFETY: zeros are an `itimerspec`; the timer is never deleted.
        unsafe {
            let mut when: libc::itimerspec = std::mem::zeroed();
            when.it_value.tv_sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
            when.it_value.tv_nsec = time.subsec_nanos().into();
            libc::timer_settime(self.0, libc::TIMER_ABSTIME, &raw const when, std::ptr::null_mut());
        }
    }
}
