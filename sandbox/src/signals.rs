//! Signals that a thread waits for, in place of being interrupted by them.

use std::ffi::{c_int, c_long};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;

use rustix::io::Errno;

use crate::sys::check;

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// These signals.
    pub(crate) fn of(signals: &[c_int]) -> Self {
        // SAFETY: zeros are a `sigset_t`, and the pointer is to a live one; a number that is no
        // signal is refused.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for &signal in signals {
                libc::sigaddset(&raw mut set, signal);
            }
            Self(set)
        }
    }

    /// Every signal.
    #[cfg(feature = "nacl")]
    pub(crate) fn all() -> Self {
        // SAFETY: as above.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigfillset(&raw mut set);
            Self(set)
        }
    }

    /// Makes these the ones that are blocked, and gives those that were.
    pub(crate) fn block(&self) -> Self {
        self.mask(libc::SIG_SETMASK)
    }

    /// Blocks these besides those that are blocked.
    pub(crate) fn block_too(&self) {
        self.mask(libc::SIG_BLOCK);
    }

    fn mask(&self, how: c_int) -> Self {
        // SAFETY: both pointers are to live sets. (Of a process with one thread this is
        // sigprocmask.)
        unsafe {
            let mut before = std::mem::zeroed();
            libc::pthread_sigmask(how, &raw const self.0, &raw mut before);
            Self(before)
        }
    }

    /// A descriptor at which these, which are blocked, arrive; it can be polled.
    pub(crate) fn arriving(&self) -> Result<OwnedFd, Errno> {
        // SAFETY: the pointer is to a live set; what comes back is a new descriptor that nothing
        // else owns.
        unsafe {
            let number = check(libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC).into())?;
            Ok(OwnedFd::from_raw_fd(number as c_int))
        }
    }

    /// Waits until one of these, which are blocked, arrives: its number, and whether the kernel
    /// sent it (as it does for keys).
    #[cfg(feature = "nacl")]
    pub(crate) fn wait(&self) -> (c_int, bool) {
        loop {
            // SAFETY: zeros are a `siginfo_t`; both pointers are to live variables.
            let (signal, info) = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                (libc::sigwaitinfo(&raw const self.0, &raw mut info), info)
            };
            if signal > 0 {
                return (signal, info.si_code > 0);
            }
        }
    }
}

/// The next of the signals that arrive here, see [`Signals::arriving`]: its number, and whether the
/// kernel sent it (as it does for keys).
pub(crate) fn next_signal(arriving: &OwnedFd) -> Result<(c_int, bool), Errno> {
    // SAFETY: zeros are a `signalfd_siginfo`, and the bytes are the whole of it; the kernel writes
    // one or an error.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of_val(&info);
        check(libc::read(arriving.as_raw_fd(), ptr::from_mut(&mut info).cast(), size) as c_long)?;
        Ok((info.ssi_signo.cast_signed(), info.ssi_code > 0))
    }
}

/// Whether this signal is ignored, as `nohup` leaves one.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    // SAFETY: zeros are a `sigaction`; the pointer is to a live one, and nothing is changed.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Ignores this signal: the call that it comes with gives its error.
pub(crate) fn ignore(signal: c_int) {
    set(signal, libc::SIG_IGN);
}

/// Has this signal handled by `handler` when it comes the first time, and by its default then.
pub(crate) fn handle_once(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: zeros are a `sigaction` with an empty mask; the handler takes the one argument that
    // it is given without SA_SIGINFO.
    unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = handler as libc::sighandler_t;
        new.sa_flags = libc::SA_RESETHAND | libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const new, ptr::null_mut());
    }
}

fn set(signal: c_int, disposition: libc::sighandler_t) {
    // SAFETY: zeros are a `sigaction` with no flags and an empty mask. Numbers that may not be
    // changed are refused, which does no harm.
    unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = disposition;
        libc::sigaction(signal, &raw const new, ptr::null_mut());
    }
}

/// Gives signals their default disposition, but for SIGPIPE: a guest gets an error for a pipe that
/// nobody reads.
#[cfg(feature = "nacl")]
pub(crate) fn default_signals() {
    for signal in (1..=64).filter(|&signal| signal != libc::SIGPIPE) {
        set(signal, libc::SIG_DFL);
    }
}

/// Ends this process by this signal, whose default is to do so.
pub(crate) fn end_by(signal: c_int) {
    set(signal, libc::SIG_DFL);
    // SAFETY: no memory is involved.
    unsafe { libc::raise(signal) };
    Signals::of(&[]).block();
}
