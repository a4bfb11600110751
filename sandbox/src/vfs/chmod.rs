//! Changing permission bits through a handle, without a path that could be replaced.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::open_how;

const SET_ID_BITS: u32 = 0o6000;

/// Changes the mode of what `handle` (opened with `O_PATH`) stands for. `reopen` opens the same
/// file for reading; it is used where the kernel is older than fchmodat2(2), Linux 6.6.
///
/// # Errors
///
/// Those of chmod(2); `EPERM` for the set-user and set-group bits.
pub(crate) fn by_handle(
    handle: &OwnedFd,
    mode: u32,
    reopen: impl FnOnce() -> Result<OwnedFd, Errno>,
) -> Result<(), Errno> {
    let mode = checked(mode)?;
    // SAFETY: the path is a static empty string and the descriptor is open; the call touches no
    // other memory.
    let result = unsafe {
        let path = open_how::empty_path().as_ptr();
        libc::syscall(libc::SYS_fchmodat2, handle.as_raw_fd(), path, mode.as_raw_mode(), libc::AT_EMPTY_PATH)
    };
    if result == 0 {
        return Ok(());
    }
    // SAFETY: errno belongs to this thread.
    match Errno::from_raw_os_error(unsafe { *libc::__errno_location() }) {
        Errno::NOSYS | Errno::INVAL => rustix::fs::fchmod(reopen()?, mode),
        error => Err(error),
    }
}

/// Changes the mode of an open file.
///
/// # Errors
///
/// As [`by_handle`].
pub(crate) fn by_descriptor(fd: &OwnedFd, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchmod(fd, checked(mode)?)
}

fn checked(mode: u32) -> Result<Mode, Errno> {
    if mode & SET_ID_BITS != 0 { Err(Errno::PERM) } else { Ok(Mode::from_raw_mode(mode & 0o1777)) }
}
