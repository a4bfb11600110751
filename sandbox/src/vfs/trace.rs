//! What a guest learnt about the host's files: kept while a snapshot is made, so that it can be
//! compared before the snapshot is used.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::GuestPath;
use super::stat::{FileStat, S_IFDIR};

/// What was seen at one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing was there.
    Absent,
    /// A directory that was passed through or asked about. Its times are not compared: they change
    /// with every file below it.
    Directory {
        /// Inode number.
        ino: u64,
        /// `st_mode`.
        mode: u32,
    },
    /// A directory whose names were read, or something else than a directory.
    Exact {
        /// Inode number.
        ino: u64,
        /// `st_mode`.
        mode: u32,
        /// Bytes.
        size: u64,
        /// Last change of the content, nanoseconds since 1970.
        mtime: i64,
        /// Last change of the inode, nanoseconds since 1970.
        ctime: i64,
    },
}

impl Seen {
    /// What looking at `stat` tells; `listed` if the names of the directory were read.
    pub fn of(stat: &FileStat, listed: bool) -> Self {
        let FileStat { ino, mode, size, mtime, ctime, .. } = *stat;
        if stat.kind() == S_IFDIR && !listed {
            Seen::Directory { ino, mode }
        } else {
            Seen::Exact { ino, mode, size, mtime, ctime }
        }
    }
}

/// Everything seen below host directories, by guest path.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    seen: BTreeMap<GuestPath, Seen>,
    inconsistent: bool,
    /// A number for each inode that was asked about, in the order of asking.
    numbers: RefCell<BTreeMap<(u64, u64), u64>>,
}

impl Trace {
    /// Adds a sight. Two sights of one path that differ mean that the host changed it meanwhile.
    pub(crate) fn add(&mut self, path: &GuestPath, seen: Seen) {
        match (self.seen.get(path), seen) {
            (Some(Seen::Exact { ino, mode, .. }), Seen::Directory { ino: i, mode: m }) if (*ino, *mode) == (i, m) => {}
            (Some(Seen::Directory { ino, mode }), Seen::Exact { ino: i, mode: m, .. }) if (*ino, *mode) == (i, m) => {
                self.seen.insert(path.clone(), seen);
            }
            (Some(old), new) if *old != new => self.inconsistent = true,
            (Some(_), _) => {}
            (None, _) => {
                self.seen.insert(path.clone(), seen);
            }
        }
    }

    /// What the guest is told of `stat`: nothing that another installation of the same files would
    /// tell differently, for it stays in the guest's memory, and the same files are to give the
    /// same snapshot. Of directories it is told neither times nor sizes.
    pub(crate) fn told(&self, stat: &FileStat) -> FileStat {
        let mut numbers = self.numbers.borrow_mut();
        let next = numbers.len() as u64 + 1;
        let ino = *numbers.entry((stat.dev, stat.ino)).or_insert(next);
        let told = FileStat { dev: 1, ino, mode: stat.mode, rdev: stat.rdev, blksize: 4096, ..FileStat::default() };
        if stat.kind() == S_IFDIR {
            return FileStat { nlink: 2, size: 4096, blocks: 8, ..told };
        }
        let FileStat { size, mtime, .. } = *stat;
        FileStat { nlink: 1, size, blocks: size.div_ceil(512), atime: mtime, mtime, ctime: mtime, ..told }
    }

    /// All sights in the order of their paths, or `None` if the files changed while they were
    /// looked at.
    pub fn finish(self) -> Option<BTreeMap<GuestPath, Seen>> {
        (!self.inconsistent).then_some(self.seen)
    }
}
