//! The devices that every guest has. They are computed here; no device node of the host is opened
//! for them.

use rustix::io::Errno;

use super::GuestPath;
use super::stat::{FileStat, S_IFCHR};

/// One of the character devices below `/dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `/dev/null`: empty to read, takes every write.
    Null,
    /// `/dev/zero`: endless zero bytes.
    Zero,
    /// `/dev/full`: endless zero bytes, and no room to write.
    Full,
    /// `/dev/urandom` and `/dev/random`: the kernel's random bytes.
    Random,
}

/// The device directory; it is not shown in the listing of "/".
pub(crate) const DIRECTORY: &[u8] = b"dev";

/// Names below [`DIRECTORY`].
pub(crate) const NAMES: [(&[u8], Device); 5] = [
    (b"full", Device::Full),
    (b"null", Device::Null),
    (b"random", Device::Random),
    (b"urandom", Device::Random),
    (b"zero", Device::Zero),
];

impl Device {
    /// The device at `path`, if there is one.
    pub(crate) fn at(path: &GuestPath) -> Option<Device> {
        let name = path.as_relative().strip_prefix(b"dev/")?;
        NAMES.iter().find(|(n, _)| *n == name).map(|&(_, device)| device)
    }

    /// Fills `buffer` as a read of the device does; returns the count.
    ///
    /// # Errors
    ///
    /// Those of getrandom(2).
    pub fn read(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Device::Null => Ok(0),
            Device::Zero | Device::Full => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            Device::Random => {
                fill_random(buffer)?;
                Ok(buffer.len())
            }
        }
    }

    /// Takes `length` bytes as a write to the device does; returns how many it took.
    ///
    /// # Errors
    ///
    /// `ENOSPC` from `/dev/full`, even for no bytes at all, as on Linux.
    pub fn write(self, length: usize) -> Result<usize, Errno> {
        match self {
            Device::Full => Err(Errno::NOSPC),
            Device::Null | Device::Zero | Device::Random => Ok(length),
        }
    }

    /// What stat(2) says; the numbers are those of Linux's devices.
    pub fn stat(self) -> FileStat {
        let minor = match self {
            Device::Null => 3,
            Device::Zero => 5,
            Device::Full => 7,
            Device::Random => 9,
        };
        FileStat {
            ino: minor,
            nlink: 1,
            mode: S_IFCHR | 0o666,
            rdev: (1 << 8) | minor,
            blksize: 4096,
            ..FileStat::default()
        }
    }
}

/// Fills `buffer` with the kernel's random bytes.
///
/// # Errors
///
/// Those of getrandom(2).
pub fn fill_random(mut buffer: &mut [u8]) -> Result<(), Errno> {
    while !buffer.is_empty() {
        match rustix::rand::getrandom(&mut *buffer, rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => buffer = &mut buffer[n..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
