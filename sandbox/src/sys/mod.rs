//! The system calls that no crate offers in a safe form. Signals have a room of their own
//! ([`crate::signals`]).

#[cfg(feature = "nacl")]
pub(crate) mod engine;
#[cfg(feature = "nacl")]
pub(crate) mod notify;

use std::ffi::{c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// The result of a call of the C library, which is -1 with an error for this thread.
pub(crate) fn check(result: c_long) -> Result<c_long> {
    if result == -1 {
        // SAFETY: gives this thread's own variable, which is always there.
        Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
    } else {
        Ok(result)
    }
}

/// Moves this process, and for processes the ones that it starts, into new namespaces. To be called
/// while it has one thread.
pub(crate) fn unshare(flags: c_int) -> Result<()> {
    // SAFETY: it takes no memory; this process has one thread, so that none is left behind in the
    // old namespaces.
    check(c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Copies this process, which has one thread: `None` in the copy. What was registered for the
/// process's end must not run in the copy: that ends by [`exit`].
pub(crate) fn fork() -> Result<Option<Pid>> {
    // SAFETY: with one thread, nobody holds a lock in the copy, which may so do whatever this
    // process may.
    check(c_long::from(unsafe { libc::fork() })).map(|pid| Pid::from_raw(pid as c_int))
}

/// Ends this process at once: no destructor, no handler.
pub(crate) fn exit(status: c_int) -> ! {
    // SAFETY: it takes no pointer.
    unsafe { libc::_exit(status) }
}

/// Closes all descriptors from 3 on that are not in `kept`. A kernel without the call (before 5.9)
/// leaves them open.
///
/// # Safety
///
/// Nothing in this process may own any of those that are closed.
pub(crate) unsafe fn close_all_but(kept: &[BorrowedFd<'_>]) {
    let mut kept: Vec<c_int> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    let mut first = 3;
    for next in kept.into_iter().chain([c_int::MAX]) {
        if first < next {
            // SAFETY: numbers alone; the rest is this function's own contract.
            unsafe { libc::syscall(libc::SYS_close_range, first, next - 1, 0) };
        }
        first = next.saturating_add(1);
    }
}

/// Makes a standard stream lead to where `file` leads.
pub(crate) fn redirect_stream(stream: c_int, file: BorrowedFd<'_>) -> Result<()> {
    debug_assert!((0..3).contains(&stream));
    // SAFETY: numbers alone; nothing in this process owns those of the streams.
    check(c_long::from(unsafe { libc::dup2(file.as_raw_fd(), stream) })).map(drop)
}

/// What processes used: the processor's time, and the most memory of one of them, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    pub(crate) memory: u64,
}

impl From<libc::rusage> for Used {
    fn from(usage: libc::rusage) -> Self {
        let time = |time: libc::timeval| {
            let microseconds = u64::try_from(time.tv_usec).unwrap_or(0);
            Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + Duration::from_micros(microseconds)
        };
        let kibibytes = u64::try_from(usage.ru_maxrss).unwrap_or(0);
        Self { cpu: time(usage.ru_utime) + time(usage.ru_stime), memory: kibibytes << 10 }
    }
}

/// What this process has used.
pub(crate) fn used_by_this_process() -> Used {
    used_by(libc::RUSAGE_SELF)
}

/// What the children of this process used that have ended.
#[cfg(feature = "nacl")]
pub(crate) fn used_by_children() -> Used {
    used_by(libc::RUSAGE_CHILDREN)
}

fn used_by(whom: c_int) -> Used {
    // SAFETY: zeros are a `rusage`; the pointer is to a live one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(whom, &raw mut usage);
        usage
    };
    usage.into()
}

/// Waits for a child: its status as wait(2) gives it, and what it used.
#[cfg(feature = "wasm")]
pub(crate) fn wait(child: Pid) -> Result<(c_int, Used)> {
    loop {
        let mut status = 0;
        // SAFETY: zeros are an `rusage`; both pointers are to live variables.
        let (waited, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(child.as_raw_pid(), &raw mut status, 0, &raw mut usage), usage)
        };
        match check(waited.into()) {
            Ok(_) => return Ok((status, usage.into())),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// fchmodat2(2) of the file behind a descriptor: Linux 6.6. `empty` is the empty path that the
/// filter knows.
pub(crate) fn change_mode(file: BorrowedFd<'_>, empty: &std::ffi::CStr, mode: u32) -> Result<()> {
    // SAFETY: the path ends with a zero, and the descriptor is open; no other memory is touched.
    check(unsafe { libc::syscall(libc::SYS_fchmodat2, file.as_raw_fd(), empty.as_ptr(), mode, libc::AT_EMPTY_PATH) })
        .map(drop)
}

/// faccessat2(2) of the file behind a descriptor, for the effective user: Linux 5.8.
pub(crate) fn may_access(file: BorrowedFd<'_>, empty: &std::ffi::CStr, mode: u32) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_EACCESS;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_faccessat2, file.as_raw_fd(), empty.as_ptr(), mode, flags) }).map(drop)
}

/// The kernel's version of Landlock; 0 if it has none, or has it switched off.
#[cfg(feature = "wasm")]
pub(crate) fn landlock_version() -> c_int {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no attributes and gives a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) };
    c_int::try_from(version).unwrap_or(0).max(0)
}
