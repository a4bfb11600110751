//! The niceness that an action sees where the caller's is above 0: 0 at first, and then what the
//! action sets.
//!
//! Nobody but root can lower a niceness, and `configure` scripts ask for it (CPython's tries
//! whether `nice` can raise it twice). So the filter hands these calls of an action to process 1,
//! which keeps the numbers; the kernel schedules the action as the caller wished. A process that
//! another one starts begins with 0 again, where the kernel would hand the number on.
//!
//! Source: `seccomp_unotify(2)`, `getpriority(2)`. Nothing here allocates (see [`super::sys`]).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::filter::{self, PriorityCall};
use super::sys;

/// So many processes of an action have a niceness of their own at most.
const MAX_PROCESSES: usize = 64;

/// Answers the calls that ask for and set a niceness.
pub(super) struct Niceness {
    listener: OwnedFd,
    set: [Option<Set>; MAX_PROCESSES],
}

/// A niceness that was set.
struct Set {
    process: u32,
    /// Tells when it has ended, for its number may be another one's then. `None` for a thread,
    /// where the kernel has no such descriptor.
    alive: Option<OwnedFd>,
    niceness: i32,
}

impl Niceness {
    pub(super) fn new(listener: OwnedFd) -> Self {
        Self { listener, set: [const { None }; MAX_PROCESSES] }
    }

    /// Readable when there is a call.
    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Answers one call.
    pub(super) fn answer_one(&mut self) -> Result<(), Errno> {
        match sys::receive_call(self.listener.as_fd()) {
            Ok(call) => {
                let answer = self.answer(&call);
                // It fails if the caller was killed meanwhile.
                let _ = sys::answer_call(self.listener.as_fd(), call.id, answer);
                Ok(())
            }
            // The caller was killed meanwhile.
            Err(Errno::NOENT | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn answer(&mut self, call: &libc::seccomp_notif) -> Result<i64, Errno> {
        // The kernel ignores the high halves.
        let argument = |index: usize| call.data.args[index] as i32;
        let own = call.pid;
        match filter::priority_call(call.data.arch, call.data.nr) {
            Some(PriorityCall::Get) => Ok(20 - i64::from(self.of(target(own, argument(0), argument(1))?))),
            Some(PriorityCall::Set) => {
                let process = target(own, argument(0), argument(1))?;
                let wanted = argument(2).clamp(-20, 19);
                if wanted < self.of(process) {
                    return Err(Errno::ACCESS);
                }
                self.set(process, wanted);
                Ok(0)
            }
            Some(PriorityCall::Nice) => {
                let step = argument(0).clamp(-40, 40);
                if step < 0 {
                    return Err(Errno::PERM);
                }
                self.set(own, (self.of(own) + step).clamp(-20, 19));
                Ok(0)
            }
            None => Err(Errno::NOSYS),
        }
    }

    fn of(&self, process: u32) -> i32 {
        let set = self.set.iter().flatten().find(|set| set.process == process && set.is_alive());
        set.map_or(0, |set| set.niceness)
    }

    fn set(&mut self, process: u32, niceness: i32) {
        for place in &mut self.set {
            if place.as_ref().is_some_and(|set| set.process == process || !set.is_alive()) {
                *place = None;
            }
        }
        if let Some(free) = self.set.iter_mut().find(|place| place.is_none()) {
            *free = Some(Set { process, alive: open(process).ok(), niceness });
        }
    }
}

impl Set {
    fn is_alive(&self) -> bool {
        let Some(process) = &self.alive else { return true };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)) == Ok(0)
    }
}

/// The process whose niceness a call is about. Of a group or a user, it is the one that calls.
fn target(own: u32, which: i32, who: i32) -> Result<u32, Errno> {
    match which {
        0 if who == 0 || who.cast_unsigned() == own => Ok(own),
        // One that is there.
        0 => match open(who.cast_unsigned()) {
            Err(Errno::SRCH) => Err(Errno::SRCH),
            _ => Ok(who.cast_unsigned()),
        },
        1 | 2 => Ok(own),
        _ => Err(Errno::INVAL),
    }
}

/// A descriptor of a process or of a thread.
fn open(process: u32) -> Result<OwnedFd, Errno> {
    let number = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    // Since Linux 6.9, `O_EXCL` asks for a thread.
    match pidfd_open(number, PidfdFlags::from_bits_retain(libc::O_EXCL.cast_unsigned())) {
        Err(Errno::INVAL) => pidfd_open(number, PidfdFlags::empty()),
        opened => opened,
    }
}
