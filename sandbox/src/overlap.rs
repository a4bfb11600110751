//! Whether a mount reaches directories that no guest may write.
//!
//! A `rw` mount must not hold a protected directory (`DEST/bin`, `DEST/lib`, `DEST/compiled`,
//! `DEST/packages`), and must not lie in one: what a guest wrote there would be run, or believed,
//! by the host. Reading harms nobody, so `ro` mounts are not looked at.
//!
//! Directories are compared by device and inode while going up from each to the root of its mount,
//! which sees through links and other names; and by their place in the file system that holds them,
//! as `/proc/self/mountinfo` tells it, which sees bind mounts on the way down.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::mount_table::{MountLine, MountTable, path_of};

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
    reach.extend(table.below(&path_of(root).map_err(unknown)?).map(MountLine::place));
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

/// A directory and all that it lies in, by device and inode. None of these can be mounted for
/// writing where the directory is protected.
///
/// # Errors
///
/// Those of open(2).
pub(crate) fn directories_around(directory: &Path) -> Result<Vec<FileId>, Errno> {
    ancestors(&open_directory(directory)?)
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Whether two open directories are one.
pub(crate) fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    identity(one).is_ok_and(|id| identity(other) == Ok(id))
}

/// Device and inode.
pub(crate) type FileId = (u64, u64);

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

#[cfg(test)]
mod tests {
    use super::check as check_mount;
    use super::*;

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
