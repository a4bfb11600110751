//! The system calls that no crate offers in a safe form.

use std::ffi::{CString, c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;
use seccompiler::sock_filter;

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
    // SAFETY: it takes no memory; this process has one thread, so that none is left behind in the
    // old namespaces.
    check(c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Gives up the supplementary groups; only root may.
pub(super) fn clear_groups() -> Result<()> {
    // SAFETY: an empty list is read from nowhere.
    check(c_long::from(unsafe { libc::setgroups(0, ptr::null()) })).map(drop)
}

/// Copies this process, which has one thread: `None` in the copy.
pub(super) fn fork() -> Result<Option<Pid>> {
    // SAFETY: with one thread, nobody holds a lock in the copy, which may so do whatever this
    // process may.
    check(c_long::from(unsafe { libc::fork() })).map(|pid| Pid::from_raw(pid as c_int))
}

/// As [`fork`]; the copy is the first process of a process namespace. (`unshare` would leave this
/// process without threads, too.)
pub(super) fn fork_first() -> Result<Option<Pid>> {
    // SAFETY: as `fork`; without a stack of its own the copy goes on with a copy of this one.
    let pid = unsafe { libc::syscall(libc::SYS_clone, c_long::from(libc::CLONE_NEWPID | libc::SIGCHLD), 0, 0, 0, 0) };
    check(pid).map(|pid| Pid::from_raw(pid as c_int))
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
pub(super) fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous key ring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>()) }).map(drop)
}

/// Gives an open file this number as well, which the next program does not get.
pub(super) fn duplicate_to(file: BorrowedFd<'_>, number: c_int) -> Result<()> {
    // SAFETY: numbers alone; nothing in this process owns `number`, which the caller has chosen
    // above all others.
    check(c_long::from(unsafe { libc::dup3(file.as_raw_fd(), number, libc::O_CLOEXEC) })).map(drop)
}

/// Becomes the program that is open as `number`; comes back only with an error.
pub(super) fn exec(number: c_int, arguments: &[CString], environment: &[CString]) -> Errno {
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

/// Ends this process at once: no destructor, no handler.
pub(super) fn exit(status: c_int) -> ! {
    // SAFETY: it takes no pointer.
    unsafe { libc::_exit(status) }
}

/// Puts this filter in front of the calls of this thread, for good, and gives where the questions
/// arrive that it asks. It may gain no privileges any more.
pub(super) fn listen(filter: &[sock_filter]) -> Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `sock_filter` of the crate has the kernel's layout; the program lives until the call
    // is over, which reads it only. What comes back is a new descriptor that nothing else owns.
    unsafe {
        check(c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))?;
        let number = check(libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            ptr::from_ref(&program),
        ))?;
        Ok(OwnedFd::from_raw_fd(number as c_int))
    }
}

/// A question of a filter's: whether this call may be made.
pub(super) struct Asked {
    id: u64,
    /// The thread's number, as this process knows it.
    pub(super) thread: u32,
    pub(super) call: c_long,
    pub(super) arguments: [u64; 6],
}

/// The next question; `None` if who asked no longer waits.
pub(super) fn receive(listener: &OwnedFd) -> Result<Option<Asked>> {
    // SAFETY: zeros are the structure, as the kernel wants it; the pointer is to a live one, whose
    // size is part of the request.
    let (result, asked) = unsafe {
        let mut asked: libc::seccomp_notif = std::mem::zeroed();
        (check(c_long::from(libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked))), asked)
    };
    match result {
        Ok(_) => {}
        Err(Errno::NOENT | Errno::INTR) => return Ok(None),
        Err(error) => return Err(error),
    }
    let libc::seccomp_data { nr, args, .. } = asked.data;
    Ok(Some(Asked { id: asked.id, thread: asked.pid, call: c_long::from(nr), arguments: args }))
}

/// Lets the call be made, or gives it an error. Gives whether anybody still waited for that.
pub(super) fn answer(listener: &OwnedFd, asked: &Asked, answer: Result<()>) -> Result<bool> {
    let (error, flags) = match answer {
        Ok(()) => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Err(error) => (-error.raw_os_error(), 0),
    };
    let response = libc::seccomp_notif_resp { id: asked.id, val: 0, error, flags };
    // SAFETY: the pointer is to a live structure, whose size is part of the request.
    let sent = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, ptr::from_ref(&response)) };
    match check(c_long::from(sent)) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether somebody still waits for the answer.
pub(super) fn is_waiting(listener: &OwnedFd, asked: &Asked) -> bool {
    // SAFETY: the pointer is to a live number, whose size is part of the request.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, ptr::from_ref(&asked.id)) == 0 }
}

/// The processor's time of another process; `None` once it is gone.
pub(super) fn cpu_time(process: Pid) -> Option<Duration> {
    // SAFETY: both pointers are to live variables.
    unsafe {
        let mut clock = 0;
        let mut time = std::mem::zeroed::<libc::timespec>();
        let found = libc::clock_getcpuclockid(process.as_raw_nonzero().get(), &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0;
        found.then(|| Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0)))
    }
}

/// What the children of this process used that have ended: the processor's time, and the most
/// memory of one of them, in bytes.
pub(super) fn used_by_children() -> (Duration, u64) {
    // SAFETY: zeros are a `rusage`; the pointer is to a live one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec.cast_unsigned(), u32::try_from(t.tv_usec * 1000).unwrap_or(0));
    (time(usage.ru_utime) + time(usage.ru_stime), usage.ru_maxrss.cast_unsigned() << 10)
}
