//! Changing permission bits through a handle, without a path that could be replaced.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::{open_how, sys};

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
    match sys::change_mode(handle.as_fd(), open_how::empty_path(), mode.as_raw_mode()) {
        Err(Errno::NOSYS | Errno::INVAL) => rustix::fs::fchmod(reopen()?, mode),
        changed => changed,
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
