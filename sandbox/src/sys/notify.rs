//! Filters that ask (seccomp_unotify(2)): whoever listens decides of each call.

use std::ffi::{c_int, c_long};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use seccompiler::sock_filter;

use super::{Result, check};

/// Puts this filter in front of the calls of this thread, for good, and gives where the questions
/// arrive that it asks. It may gain no privileges any more.
pub(crate) fn listen(filter: &[sock_filter]) -> Result<OwnedFd> {
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
pub(crate) struct Asked {
    id: u64,
    /// The thread's number, as this process knows it.
    pub(crate) thread: u32,
    pub(crate) call: c_long,
    pub(crate) arguments: [u64; 6],
}

/// The next question; `None` if who asked no longer waits.
pub(crate) fn receive(listener: &OwnedFd) -> Result<Option<Asked>> {
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
pub(crate) fn answer(listener: &OwnedFd, asked: &Asked, answer: Result<()>) -> Result<bool> {
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
pub(crate) fn is_waiting(listener: &OwnedFd, asked: &Asked) -> bool {
    // SAFETY: the pointer is to a live number, whose size is part of the request.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, ptr::from_ref(&asked.id)) == 0 }
}
