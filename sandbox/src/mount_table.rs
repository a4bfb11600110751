//! The kernel's table of mounts, as `/proc/self/mountinfo` tells it (proc_pid_mountinfo(5)).

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

/// A directory's place in the file system that holds it, which is the same through every mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    device: String,
    path: PathBuf,
}

impl Place {
    pub(crate) fn touches(&self, other: &Place) -> bool {
        self.device == other.device && (self.path.starts_with(&other.path) || other.path.starts_with(&self.path))
    }
}

/// One mount.
#[derive(Debug)]
pub(crate) struct MountLine {
    pub(crate) id: u64,
    /// The mount that it lies on.
    #[cfg_attr(not(feature = "nacl"), allow(dead_code, reason = "the front of `sel_ldr` alone asks for it"))]
    pub(crate) parent: u64,
    device: String,
    /// What of its file system it shows.
    root: PathBuf,
    /// Where it lies, seen from the root of the process that opened the table.
    pub(crate) at: PathBuf,
}

impl MountLine {
    /// The place that the mount shows at its top.
    pub(crate) fn place(&self) -> Place {
        Place { device: self.device.clone(), path: self.root.clone() }
    }
}

/// All mounts of a mount namespace, in the kernel's order.
pub(crate) struct MountTable(Vec<MountLine>);

impl MountTable {
    /// Reads the table of this process's mount namespace.
    ///
    /// # Errors
    ///
    /// What open(2) and read(2) say; `EIO` for a table that has another form.
    pub(crate) fn read() -> Result<Self, Errno> {
        let file = File::open("/proc/self/mountinfo").map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        Self::read_from(file)
    }

    /// Reads the table through a file that was opened before `/proc` went out of sight: as it is
    /// now, with the paths of the opener's root.
    ///
    /// # Errors
    ///
    /// The same.
    pub(crate) fn read_from(mut file: File) -> Result<Self, Errno> {
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        Self::parse(&text).ok_or(Errno::IO)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let lines = text.split(|&b| b == b'\n').filter(|l| !l.is_empty());
        let line = |line: &[u8]| {
            let mut words = line.split(|&b| b == b' ');
            let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
            let (id, parent) = (number()?, number()?);
            let device = String::from_utf8(words.next()?.to_vec()).ok()?;
            Some(MountLine { id, parent, device, root: unescape(words.next()?), at: unescape(words.next()?) })
        };
        lines.map(line).collect::<Option<Vec<_>>>().map(Self)
    }

    /// All mounts.
    #[cfg(feature = "nacl")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MountLine> {
        self.0.iter()
    }

    /// The place of an open directory.
    ///
    /// # Errors
    ///
    /// `ENOENT` if its mount is not in the table.
    pub(crate) fn place(&self, directory: &OwnedFd) -> Result<Place, Errno> {
        let id = mount_id(directory)?;
        let line = self.0.iter().find(|l| l.id == id).ok_or(Errno::NOENT)?;
        let path = path_of(directory)?;
        let below = path.strip_prefix(&line.at).map_err(|_| Errno::NOENT)?;
        Ok(Place { device: line.device.clone(), path: line.root.join(below) })
    }

    /// Everything that is mounted at `path` or below it.
    pub(crate) fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a MountLine> {
        self.0.iter().filter(move |l| l.at.starts_with(path))
    }
}

/// The path of an open file or directory, as this process sees it.
pub(crate) fn path_of(file: impl AsFd) -> Result<PathBuf, Errno> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

/// The number of the mount that an open file lies on, as the table has it.
///
/// # Errors
///
/// Those of statx(2).
pub(crate) fn mount_id(file: impl AsFd) -> Result<u64, Errno> {
    const STATX_MNT_ID: u32 = 0x1000;
    let wanted = StatxFlags::from_bits_retain(STATX_MNT_ID);
    Ok(rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, wanted)?.stx_mnt_id)
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        match tail {
            [a, b, c, after @ ..] if byte == b'\\' && [a, b, c].iter().all(|d| (b'0'..=b'7').contains(d)) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read() {
        let table =
            MountTable::parse(b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n").unwrap();
        assert_eq!((table.0[0].id, table.0[0].parent, table.0[0].device.as_str()), (36, 35, "98:0"));
        assert_eq!((table.0[0].root.as_path(), table.0[0].at.as_path()), (Path::new("/mnt1"), Path::new("/mnt 2")));
        assert!(MountTable::parse(b"nonsense\n").is_none());
    }
}
