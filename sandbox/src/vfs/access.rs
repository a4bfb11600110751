//! access(2): what open would say, without opening.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::mounts::Access;
use super::stat::{FileStat, S_IFDIR};
use super::walk::{Found, Last};
use super::{Vfs, stat::S_IFREG};
use crate::{open_how, sys};

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

impl Vfs {
    /// access(2): `mode` is zero (whether it is there), or of 4 (read), 2 (write) and 1 (execute)
    /// those that are asked for.
    ///
    /// # Errors
    ///
    /// `EACCES` if it may not be; `EROFS` for writing below a read-only mount; `EINVAL` for another
    /// bit; those of a path.
    pub fn access_at(&mut self, base: u32, text: &[u8], mode: u32) -> Result<(), Errno> {
        if mode & !(READ | WRITE | EXECUTE) != 0 {
            return Err(Errno::INVAL);
        }
        let base = self.directory(base)?;
        let walked = self.walk(&base, text, Last::Follow)?;
        match walked.found {
            None => Err(Errno::NOENT),
            Some(found) if walked.must_be_dir && !found.is_dir() => Err(Errno::NOTDIR),
            Some(Found::Virtual) if mode & WRITE != 0 => Err(Errno::ROFS),
            Some(Found::Virtual) => Ok(()),
            Some(Found::Device(_)) if mode & EXECUTE != 0 => Err(Errno::ACCESS),
            Some(Found::Device(_)) => Ok(()),
            Some(Found::Host { mount, handle, stat }) => {
                let read_only = self.mounts.get(mount).access == Access::ReadOnly;
                if mode & WRITE != 0 && read_only && matches!(stat.kind(), S_IFREG | S_IFDIR) {
                    return Err(Errno::ROFS);
                }
                match sys::may_access(handle.as_fd(), open_how::empty_path(), mode) {
                    // An older kernel, or a container whose filter does not know the call.
                    Err(Errno::NOSYS | Errno::PERM) => owner_may(&stat, mode),
                    answer => answer,
                }
            }
        }
    }
}

/// What the mode says to the owner, as all files look to a guest.
fn owner_may(stat: &FileStat, mode: u32) -> Result<(), Errno> {
    if mode & !(stat.mode >> 6) & 7 == 0 { Ok(()) } else { Err(Errno::ACCESS) }
}
