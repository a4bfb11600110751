//! What a process inherits of its caller beside files, limits and signals, and what is done so that
//! no action can tell.
//!
//! Most of it is set to what a fresh login has. What an ordinary user can't set back stays as the
//! user wished it, since builds are started under `nice`, `chrt` or `ionice` for a reason: there
//! the system-call filter gives an action the answers that a caller with nothing unusual gets (see
//! [`super::filter`] and [`super::niceness`]). Only for such callers; others have the kernel's own
//! answers.
//!
//! What can't be the same: fields 18, 19 and 41 of `/proc/self/stat`, `sched_getattr(2)`, and the
//! processors that `taskset` leaves, which are the machine's as their number is; a limit of the
//! caller that is lower than the action's and that only root may raise is an error. So is nothing
//! of the caller's security modules (AppArmor's label, a second filter, `loginuid`).

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process;

use super::sys;

/// What is unusual about the caller, and shall stay so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unusual {
    /// Its niceness is above 0.
    pub(super) niceness: bool,
    /// It is scheduled as `SCHED_BATCH` or `SCHED_IDLE`.
    pub(super) policy: bool,
    /// It has an I/O priority of its own.
    pub(super) io_priority: bool,
}

impl Unusual {
    /// Looks at the calling thread.
    pub(super) fn of_this_thread() -> Self {
        Self {
            niceness: process::getpriority_process(None).is_ok_and(|niceness| niceness > 0),
            policy: [libc::SCHED_BATCH, libc::SCHED_IDLE].contains(&sys::scheduling_policy()),
            io_priority: sys::io_priority().is_ok_and(|priority| priority != 0),
        }
    }
}

/// Sets back all that can be, in the copy that becomes a container, while the host's `/proc` is in
/// sight: some of it is set by its files.
pub(super) fn forget(oom_wish: i32) -> Result<OwnOomScore, Errno> {
    // Without it, an ordinary user's own files in `/proc` are root's. No other program runs before
    // process 1 gives it up again.
    process::set_dumpable_behavior(process::DumpableBehavior::Dumpable)?;
    // Randomised addresses and a 64-bit machine, whatever `setarch` said.
    sys::set_personality(0)?;
    // Both make an action slower than the caller, which is always allowed.
    if ![libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE].contains(&sys::scheduling_policy()) {
        sys::schedule_normally()?;
    }
    if process::getpriority_process(None)? < 0 {
        process::setpriority_process(None, 0)?;
    }
    // The kernel's default of an ordinary process, in nanoseconds. Whoever is copied from this one
    // gets it as default.
    sys::prctl(libc::PR_SET_TIMERSLACK, 50_000)?;
    for (option, value) in [
        (libc::PR_SET_THP_DISABLE, 0),
        (libc::PR_SET_TSC, libc::PR_TSC_ENABLE as usize),
        (libc::PR_MCE_KILL, libc::PR_MCE_KILL_CLEAR as usize),
        (libc::PR_SET_MEMORY_MERGE, 0),
    ] {
        // A kernel without it has nothing to forget.
        let _ = sys::prctl(option, value);
    }
    // Which parts of memory a core dump would hold; none is written.
    let _ = write("/proc/self/coredump_filter", b"0x33");
    Ok(OwnOomScore::forget(oom_wish))
}

fn write(path: &str, text: &[u8]) -> Result<(), Errno> {
    let file = fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text).map(drop)
}

/// The caller's wish for whom the kernel kills first when memory runs out, from -1000 to 1000
/// (last).
///
/// Process 1 of a container keeps a wish above 0, and with its end the container ends; the action
/// sees 0. Nobody but the machine's root may lower what root has set, and in a user namespace
/// nobody is: so a wish above 0 is taken from this process while it is copied.
pub(super) struct OomScore {
    wish: i32,
    _turn: Option<MutexGuard<'static, ()>>,
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

impl OomScore {
    /// Makes the score of this process 0 until this is dropped, where that is possible and the
    /// score is above.
    pub(super) fn lowered() -> Self {
        static WISH: OnceLock<i32> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::new(());
        let read = || std::fs::read_to_string(OOM_SCORE).ok()?.trim().parse().ok();
        let wish = *WISH.get_or_init(|| read().unwrap_or(0));
        if wish <= 0 {
            return Self { wish, _turn: None };
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails where root has set it, and this is not root: then an action sees it.
        let _ = write(OOM_SCORE, b"0");
        Self { wish, _turn: Some(turn) }
    }

    /// What process 1 needs to take the wish up again when it has started the action.
    pub(super) fn wish(&self) -> i32 {
        self.wish
    }
}

impl Drop for OomScore {
    fn drop(&mut self) {
        if self.wish > 0 {
            let _ = write(OOM_SCORE, self.wish.to_string().as_bytes());
        }
    }
}

/// The score of process 1. Opened while the host's `/proc` is in sight; `None` where there is
/// nothing to do.
pub(super) struct OwnOomScore(Option<OwnedFd>);

impl OwnOomScore {
    /// Makes it 0, which is always allowed if it was less; gives what can raise it again.
    fn forget(wish: i32) -> Self {
        if wish < 0 {
            let _ = write(OOM_SCORE, b"0");
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        Self(if wish > 0 { fs::openat(CWD, OOM_SCORE, flags, Mode::empty()).ok() } else { None })
    }

    /// Takes the wish up again, written as a number: when the action has been started.
    pub(super) fn restore(self, wish: &[u8]) {
        if let Some(file) = self.0 {
            let _ = rustix::io::write(&file, wish);
        }
    }
}
