//! What the front of `sel_ldr` asks of the kernel.

use std::ffi::{CString, c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

use super::{Result, check};

/// Gives up the supplementary groups; only root may.
pub(crate) fn clear_groups() -> Result<()> {
    // SAFETY: an empty list is read from nowhere.
    check(c_long::from(unsafe { libc::setgroups(0, ptr::null()) })).map(drop)
}

/// As [`fork`](super::fork); the copy is the first process of a process namespace. (`unshare` would leave this
/// process without threads, too.)
pub(crate) fn fork_first() -> Result<Option<Pid>> {
    // SAFETY: as `fork`; without a stack of its own the copy goes on with a copy of this one.
    let pid = unsafe { libc::syscall(libc::SYS_clone, c_long::from(libc::CLONE_NEWPID | libc::SIGCHLD), 0, 0, 0, 0) };
    check(pid).map(|pid| Pid::from_raw(pid as c_int))
}

/// Attributes of a mount, as `mount_setattr(2)` has them.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct MountAttributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

/// Changes the attributes of a mount, and if `recursive` of all below it.
pub(crate) fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: &MountAttributes, recursive: bool) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string; the structure has the kernel's layout, and its size goes with
    // it.
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
pub(crate) fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous key ring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>()) }).map(drop)
}

/// Gives an open file this number as well, which the next program does not get.
pub(crate) fn duplicate_to(file: BorrowedFd<'_>, number: c_int) -> Result<()> {
    // SAFETY: numbers alone; nothing in this process owns `number`, which the caller has chosen
    // above all others.
    check(c_long::from(unsafe { libc::dup3(file.as_raw_fd(), number, libc::O_CLOEXEC) })).map(drop)
}

/// Becomes the program that is open as `number`; comes back only with an error.
pub(crate) fn exec(number: c_int, arguments: &[CString], environment: &[CString]) -> Errno {
    let list = |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    let (arguments, environment) = (list(arguments), list(environment));
    // SAFETY: the path is a C string, and both lists end with a null pointer and hold C strings
    // that live until the call is over.
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

/// The processor's time of another process; `None` once it is gone.
pub(crate) fn cpu_time(process: Pid) -> Option<Duration> {
    // SAFETY: both pointers are to live variables.
    unsafe {
        let mut clock = 0;
        let mut time = std::mem::zeroed::<libc::timespec>();
        let found = libc::clock_getcpuclockid(process.as_raw_nonzero().get(), &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0;
        found.then(|| Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0)))
    }
}
