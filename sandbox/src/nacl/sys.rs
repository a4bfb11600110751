//! The system calls that no crate offers in a safe form.

use std::ffi::{CString, c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd};
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

/// Ends this process at once: no destructor, no handler.
pub(super) fn exit(status: c_int) -> ! {
    // SAFETY: it takes no pointer.
    unsafe { libc::_exit(status) }
}
