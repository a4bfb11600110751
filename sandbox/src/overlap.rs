//! Whether a mount reaches directories that no guest may write.
//!
//! A `rw` mount must not hold a protected directory (`DEST/bin`, `DEST/lib`, `DEST/compiled`, `DEST/packages`), and must not lie in one: what a guest wrote there would be run,
//! or believed, by the host. Reading harms nobody, so `ro` mounts are not looked at.
//!
//! Directories are compared by device and inode while going up from each to the root of its mount, which sees through links and other names; and by
//! their place in the file system that holds them, as `/proc/self/mountinfo` tells it, which sees bind mounts on the way down.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

/// Why a mount is refused.
#[derive(Debug, thiserror::Error)]
pub enum OverlapError {
    /// The mount and a protected directory overlap.
    #[error(
        "`{mount}` can't be mounted for writing: it reaches `{protected}`, which this loader trusts; mount a directory beside it, or use `:ro`"
    )]
    Reaches {
        /// The mount's source.
        mount: PathBuf,
        /// What it reaches.
        protected: PathBuf,
    },
    /// It can't be found out.
    #[error("whether `{0}` may be mounted for writing can't be found out: {1}; use `:ro`")]
    Unknown(PathBuf, Errno),
}

/// Checks one directory that is to be mounted for writing.
///
/// # Errors
///
/// [`OverlapError`].
pub fn check(source: &Path, root: &OwnedFd, protected: &[PathBuf]) -> Result<(), OverlapError> {
    let unknown = |e| OverlapError::Unknown(source.to_owned(), e);
    let table = MountTable::read().map_err(unknown)?;
    let mut reach = vec![table.place(root).map_err(unknown)?];
    reach.extend(table.below(&table.path_of(root).map_err(unknown)?));
    let above_root = ancestors(root).map_err(unknown)?;
    for path in protected {
        let directory = match open_directory(path) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(unknown(e)),
        };
        let own = identity(&directory).map_err(unknown)?;
        let place = table.place(&directory).map_err(unknown)?;
        let overlaps = above_root.contains(&own)
            || ancestors(&directory).map_err(unknown)?.contains(&identity(root).map_err(unknown)?)
            || reach.iter().any(|r| r.touches(&place));
        if overlaps {
            return Err(OverlapError::Reaches { mount: source.to_owned(), protected: path.clone() });
        }
    }
    Ok(())
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

type FileId = (u64, u64);

fn identity(directory: &OwnedFd) -> Result<FileId, Errno> {
    let stat = rustix::fs::fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// The directory and all that it lies in.
fn ancestors(directory: &OwnedFd) -> Result<Vec<FileId>, Errno> {
    let mut all = vec![identity(directory)?];
    let mut here = rustix::fs::openat(directory, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        here = rustix::fs::openat(&here, c"..", flags, Mode::empty())?;
        let id = identity(&here)?;
        if all.last() == Some(&id) {
            return Ok(all);
        }
        all.push(id);
    }
}

/// A directory's place in the file system that holds it, which is the same through every mount.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    device: String,
    path: PathBuf,
}

impl Place {
    fn touches(&self, other: &Place) -> bool {
        self.device == other.device && (self.path.starts_with(&other.path) || other.path.starts_with(&self.path))
    }
}

/// One line of `/proc/self/mountinfo`.
struct MountLine {
    id: u64,
    device: String,
    root: PathBuf,
    at: PathBuf,
}

struct MountTable(Vec<MountLine>);

impl MountTable {
    fn read() -> Result<Self, Errno> {
        let text = std::fs::read("/proc/self/mountinfo").map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        Self::parse(&text).ok_or(Errno::IO)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let lines = text.split(|&b| b == b'\n').filter(|l| !l.is_empty());
        let line = |line: &[u8]| {
            let mut words = line.split(|&b| b == b' ');
            let id = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
            let device = String::from_utf8(words.nth(1)?.to_vec()).ok()?;
            Some(MountLine { id, device, root: unescape(words.next()?), at: unescape(words.next()?) })
        };
        lines.map(line).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The path of an open directory, as this process sees it.
    fn path_of(&self, directory: &OwnedFd) -> Result<PathBuf, Errno> {
        use std::os::fd::AsRawFd;
        std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
    }

    fn place(&self, directory: &OwnedFd) -> Result<Place, Errno> {
        let id = rustix::fs::statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::from_bits_retain(STATX_MNT_ID))?
            .stx_mnt_id;
        let line = self.0.iter().find(|l| l.id == id).ok_or(Errno::NOENT)?;
        let path = self.path_of(directory)?;
        let below = path.strip_prefix(&line.at).map_err(|_| Errno::NOENT)?;
        Ok(Place { device: line.device.clone(), path: line.root.join(below) })
    }

    /// The places of everything that is mounted below `path`.
    fn below(&self, path: &Path) -> Vec<Place> {
        self.0
            .iter()
            .filter(|l| l.at.starts_with(path))
            .map(|l| Place { device: l.device.clone(), path: l.root.clone() })
            .collect()
    }
}

const STATX_MNT_ID: u32 = 0x1000;

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
    use super::check as check_mount;
    use super::*;

    #[test]
    fn mountinfo_is_read() {
        let table =
            MountTable::parse(b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n").unwrap();
        assert_eq!((table.0[0].id, table.0[0].device.as_str()), (36, "98:0"));
        assert_eq!((table.0[0].root.as_path(), table.0[0].at.as_path()), (Path::new("/mnt1"), Path::new("/mnt 2")));
        assert!(MountTable::parse(b"nonsense\n").is_none());
    }

    #[test]
    fn directories_overlap_in_both_directions() {
        let dest = tempfile::tempdir().unwrap();
        let bin = dest.path().join("bin");
        let inner = bin.join("inner");
        let beside = dest.path().join("root");
        for directory in [&inner, &beside] {
            std::fs::create_dir_all(directory).unwrap();
        }
        let check = |path: &Path| check_mount(path, &open_directory(path).unwrap(), std::slice::from_ref(&bin));
        assert!(check(&beside).is_ok());
        for path in [dest.path(), &bin, &inner, Path::new("/")] {
            assert!(matches!(check(path), Err(OverlapError::Reaches { .. })), "{}", path.display());
        }
        let link = beside.join("link");
        std::os::unix::fs::symlink(&bin, &link).unwrap();
        assert!(matches!(check(&link), Err(OverlapError::Reaches { .. })));
    }
}
