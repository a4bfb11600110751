//! What a guest is told in place of the machine's own numbers: of times (`--fixed-time`), and of
//! inodes, devices and links (`--hide-inodes`).

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use super::stat::{FileStat, S_IFDIR};

/// The time that installed files have: 1980-01-02 00:00 UTC, in seconds. It tells nothing about a
/// machine.
pub const INSTALLED: u64 = 315_619_200;
const NANOSECONDS: i64 = 1_000_000_000;

/// The disguise of one run's files.
#[derive(Debug, Default)]
pub(crate) struct Disguise {
    /// Nanoseconds since 1970.
    time: Option<i64>,
    inodes: Option<Numbers>,
}

/// Numbers of this run alone.
#[derive(Debug, Default)]
struct Numbers {
    /// The secret that makes a number of an inode's.
    key: RandomState,
    /// Devices in the order in which they were met.
    devices: RefCell<Vec<u64>>,
}

impl Disguise {
    /// With all times as this one, if there is one, in nanoseconds since 1970, and with other
    /// numbers if `hides_inodes`.
    pub(super) fn new(time: Option<i64>, hides_inodes: bool) -> Self {
        Self { time, inodes: hides_inodes.then(Numbers::default) }
    }

    /// What the guest is told of a file.
    pub(super) fn told(&self, stat: FileStat) -> FileStat {
        let mut told = stat;
        if let Some(time) = self.time {
            // A module's compiled form is known by the time of its source.
            let is_installed = stat.mtime == INSTALLED.cast_signed() * NANOSECONDS;
            told.mtime = if is_installed { stat.mtime } else { time };
            (told.atime, told.ctime) = (time, time);
        }
        if let Some(numbers) = &self.inodes {
            told.ino = numbers.inode(stat.dev, stat.ino);
            told.dev = numbers.device(stat.dev);
            told.rdev = 0;
            told.blksize = 4096;
            (told.nlink, told.size) = if stat.kind() == S_IFDIR { (2, 4096) } else { (1, stat.size) };
            told.blocks = told.size.div_ceil(512);
        }
        told
    }

    /// The number of an inode in a directory on this device.
    pub(super) fn inode(&self, device: u64, inode: u64) -> u64 {
        self.inodes.as_ref().map_or(inode, |numbers| numbers.inode(device, inode))
    }
}

impl Numbers {
    /// Never zero, which is none, nor negative to who takes it as signed.
    fn inode(&self, device: u64, inode: u64) -> u64 {
        (self.key.hash_one((device, inode)) >> 1).max(1)
    }

    fn device(&self, device: u64) -> u64 {
        let mut devices = self.devices.borrow_mut();
        let known = devices.iter().position(|&known| known == device);
        let index = known.unwrap_or_else(|| {
            devices.push(device);
            devices.len() - 1
        });
        index as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::S_IFREG;

    const FILE: FileStat = FileStat {
        dev: 77,
        ino: 5,
        nlink: 3,
        mode: S_IFREG | 0o644,
        rdev: 9,
        size: 1000,
        blksize: 65536,
        blocks: 128,
        atime: 1,
        mtime: 2,
        ctime: 3,
    };

    #[test]
    fn numbers_are_the_same_throughout_a_run_and_of_no_other() {
        let (one, other) = (Disguise::new(None, true), Disguise::new(None, true));
        let told = one.told(FILE);
        assert_eq!((told, told.ino), (one.told(FILE), one.inode(77, 5)));
        assert_eq!((told.dev, told.nlink, told.rdev, told.blocks, told.blksize), (1, 1, 0, 2, 4096));
        assert_eq!((told.size, told.mtime, told.mode), (1000, 2, FILE.mode));
        assert_eq!(one.told(FileStat { dev: 78, ..FILE }).dev, 2);
        assert_ne!(one.told(FileStat { ino: 6, ..FILE }).ino, told.ino);
        assert_ne!(one.told(FileStat { dev: 78, ..FILE }).ino, told.ino);
        assert_ne!(other.told(FILE).ino, told.ino);
    }

    #[test]
    fn times_are_fixed_but_for_installed_files() {
        let disguise = Disguise::new(Some(50), false);
        assert_eq!(disguise.told(FILE), FileStat { atime: 50, mtime: 50, ctime: 50, ..FILE });
        let installed = FileStat { mtime: 315_619_200_000_000_000, ..FILE };
        assert_eq!(disguise.told(installed), FileStat { atime: 50, ctime: 50, ..installed });
        assert_eq!((Disguise::default().told(FILE), Disguise::default().inode(77, 5)), (FILE, 5));
    }
}
