//! The system calls that no crate offers in a safe form.

use std::ffi::{CString, c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Pid;

type Result<T> = std::result::Result<T, Errno>;

fn check(result: c_long) -> Result<c_long> {
    if result == -1 {
        // SAFETY: gives this thread's own variable, which is always there.
        Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
    } else {
        Ok(result)
    }
}

/// Moves this process, and for processes the ones that it starts, into new namespaces.
pub(super) fn unshare(flags: c_int) -> Result<()> {
    // SAFETY: it takes no memory; this process has one thread, so that none is left behind in the old namespaces.
    check(c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Gives up the supplementary groups; only root may.
pub(super) fn clear_groups() -> Result<()> {
    // SAFETY: an empty list is read from nowhere.
    check(c_long::from(unsafe { libc::setgroups(0, ptr::null()) })).map(drop)
}

/// Copies this process, which has one thread: `None` in the copy.
pub(super) fn fork() -> Result<Option<Pid>> {
    // SAFETY: with one thread, nobody holds a lock in the copy, which may so do whatever this process may.
    check(c_long::from(unsafe { libc::fork() })).map(|pid| Pid::from_raw(pid as c_int))
}

/// Attributes of a mount, as `mount_setattr(2)` has them.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct MountAttributes {
    pub(super) set: u64,
    pub(super) clear: u64,
    pub(super) propagation: u64,
    pub(super) userns_fd: u64,
}

/// Changes the attributes of a mount, and if `recursive` of all below it.
pub(super) fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: &MountAttributes, recursive: bool) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string; the structure has the kernel's layout, and its size goes with it.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Joins a new session key ring, so that the caller's is out of reach.
pub(super) fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous key ring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>()) }).map(drop)
}

/// Gives an open file this number as well, which the next program does not get.
pub(super) fn duplicate_to(file: BorrowedFd<'_>, number: c_int) -> Result<()> {
    // SAFETY: numbers alone; nothing in this process owns `number`, which the caller has chosen above all others.
    check(c_long::from(unsafe { libc::dup3(file.as_raw_fd(), number, libc::O_CLOEXEC) })).map(drop)
}

/// Becomes the program that is open as `number`; comes back only with an error.
pub(super) fn exec(number: c_int, arguments: &[CString], environment: &[CString]) -> Errno {
    let list = |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    let (arguments, environment) = (list(arguments), list(environment));
    // SAFETY: the path is a C string, and both lists end with a null pointer and hold C strings that live until the call is over.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            number,
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    check(result).err().unwrap_or(Errno::NOEXEC)
}

/// A set of signals.
#[derive(Clone, Copy)]
pub(super) struct Signals(libc::sigset_t);

impl Signals {
    /// These signals.
    pub(super) fn of(signals: &[c_int]) -> Self {
        // SAFETY: zeros are a `sigset_t`, and the pointer is to a live one; a number that is no signal is refused.
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
    pub(super) fn all() -> Self {
        // SAFETY: as above.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigfillset(&raw mut set);
            Self(set)
        }
    }

    /// Makes these the ones that are blocked, and gives those that were.
    pub(super) fn block(&self) -> Self {
        // SAFETY: both pointers are to live sets.
        unsafe {
            let mut before = std::mem::zeroed();
            libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, &raw mut before);
            Self(before)
        }
    }

    /// A descriptor at which these, which are blocked, arrive; it can be polled.
    pub(super) fn arriving(&self) -> Result<OwnedFd> {
        // SAFETY: the pointer is to a live set; what comes back is a new descriptor that nothing else owns.
        unsafe {
            let number = check(c_long::from(libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC)))?;
            Ok(OwnedFd::from_raw_fd(number as c_int))
        }
    }

    /// Waits until one of these, which are blocked, arrives: its number, and whether the kernel sent it (as it does for keys).
    pub(super) fn wait(&self) -> (c_int, bool) {
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

/// The next of the signals that arrive here, see [`Signals::arriving`]: its number, and whether the kernel sent it (as it does for keys).
pub(super) fn next_signal(arriving: &OwnedFd) -> Result<(c_int, bool)> {
    // SAFETY: zeros are a `signalfd_siginfo`, and the bytes are the whole of it; the kernel writes one or an error.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of_val(&info);
        check(libc::read(arriving.as_raw_fd(), ptr::from_mut(&mut info).cast(), size) as c_long)?;
        Ok((info.ssi_signo.cast_signed(), info.ssi_code > 0))
    }
}

/// Gives signals their default disposition, but for SIGPIPE: a guest gets an error for a pipe that nobody reads.
pub(super) fn default_signals() {
    // SAFETY: zeros are a `sigaction` with SIG_DFL, no flags and an empty mask. Numbers that may not be changed are refused, which does no harm.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        for signal in (1..=64).filter(|&signal| signal != libc::SIGPIPE) {
            libc::sigaction(signal, &raw const default, ptr::null_mut());
        }
    }
}

/// Ends this process by this signal, whose default is to do so.
pub(super) fn end_by(signal: c_int) {
    default_signals();
    // SAFETY: no memory is involved.
    unsafe { libc::raise(signal) };
    Signals::of(&[]).block();
}

/// Ends this process at once: no destructor, no handler.
pub(super) fn exit(status: c_int) -> ! {
    // SAFETY: it takes no pointer.
    unsafe { libc::_exit(status) }
}
