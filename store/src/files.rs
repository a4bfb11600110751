//! Small things about files that several parts of the store need.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use build_graph::SOURCE_DATE_EPOCH;
use rustix::fs::{FileType, Mode, OFlags, Stat, Timespec, Timestamps, openat};
use rustix::io::Errno;

/// Seconds and nanoseconds since 1970.
pub(super) type Time = (i64, i64);

/// The time of every stored and materialised file.
pub(super) const EPOCH: Timespec = Timespec { tv_sec: SOURCE_DATE_EPOCH as i64, tv_nsec: 0 };
pub(super) const EPOCHS: Timestamps = Timestamps { last_access: EPOCH, last_modification: EPOCH };

/// Up to this many bytes are handled in one piece of memory.
pub(super) const SMALL: u64 = 1 << 20;

pub(super) fn modified(stat: &Stat) -> Time {
    (stat.st_mtime, stat.st_mtime_nsec as i64)
}

pub(super) fn changed(stat: &Stat) -> Time {
    (stat.st_ctime, stat.st_ctime_nsec as i64)
}

pub(super) fn accessed(stat: &Stat) -> Time {
    (stat.st_atime, stat.st_atime_nsec as i64)
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn open_dir(dir: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    openat(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Reads from the file's present position to its end.
pub(super) fn read_all(file: impl AsFd, expected: u64) -> io::Result<Vec<u8>> {
    // One more than expected, so that a file of the expected size ends in one read and one look at
    // its end.
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(SMALL * 64)).unwrap_or(0) + 1);
    loop {
        if bytes.capacity() - bytes.len() < 1 {
            bytes.reserve(bytes.len().max(4096));
        }
        match rustix::io::read(file.as_fd(), rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file.as_fd(), bytes) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
