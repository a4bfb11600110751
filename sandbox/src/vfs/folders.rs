//! Folders in memory (`--tmpfs`): what they hold is memory that the guest costs.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::mounts::{Mount, Mounts};
use crate::account::{ACCOUNT, Charge};

/// What an inode counts for beside its pages.
const INODE: u64 = 1024;
const PAGE: u64 = 4096;

/// A guest's folders in memory; mostly there are none.
#[derive(Debug, Default)]
pub(super) struct Folders(Vec<Folder>);

#[derive(Debug)]
struct Folder {
    device: u64,
    root: OwnedFd,
    charge: RefCell<Charge<'static>>,
}

impl Folders {
    /// Those among these mounts.
    pub(super) fn of(mounts: &Mounts) -> Self {
        let folder = |mount: &Mount| {
            let root = mount.root.try_clone().ok()?;
            Some(Folder { device: rustix::fs::fstat(&root).ok()?.st_dev, root, charge: RefCell::new(ACCOUNT.none()) })
        };
        Self(mounts.iter().filter(|mount| mount.in_memory).filter_map(folder).collect())
    }

    /// Whether one of them holds this file.
    ///
    /// # Errors
    ///
    /// Those of fstat(2).
    pub(super) fn hold(&self, file: impl AsFd) -> Result<bool, Errno> {
        if self.0.is_empty() {
            return Ok(false);
        }
        let device = rustix::fs::fstat(file)?.st_dev;
        Ok(self.0.iter().any(|folder| folder.device == device))
    }

    /// For how many of `wanted` bytes of this file there is memory. (If they are there already,
    /// they need none; that is not looked at.)
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is none at all; those of fstat(2).
    pub(super) fn room(&self, file: impl AsFd, wanted: u64) -> Result<u64, Errno> {
        if wanted == 0 || !self.hold(file)? {
            return Ok(wanted);
        }
        // The bytes may begin and end within a page.
        let pages = (ACCOUNT.left() as u64 / PAGE).saturating_sub(2);
        match wanted.min(pages * PAGE) {
            0 => {
                ACCOUNT.note_full();
                Err(Errno::NOSPC)
            }
            room => Ok(room),
        }
    }

    /// Has the account say what they hold now.
    pub(super) fn settle(&self) {
        for folder in &self.0 {
            if let Ok(stat) = rustix::fs::fstatfs(&folder.root) {
                let pages = stat.f_blocks.saturating_sub(stat.f_bfree) * PAGE;
                let inodes = stat.f_files.saturating_sub(stat.f_ffree) * INODE;
                // What another thread uses at the same time may leave no room: then the next call
                // counts it.
                let _ = folder.charge.borrow_mut().resize(usize::try_from(pages + inodes).unwrap_or(usize::MAX));
            }
        }
    }
}
