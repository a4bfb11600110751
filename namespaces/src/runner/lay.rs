//! Trees that a worker staged, as the contract wants them: one time, two modes, no inode twice.
//!
//! A worker may share a file with other actions by hard links, or two equal files of one action
//! with each other. Such a file is copied. One that is this action's own is moved. Either way
//! nobody else's file is changed.

use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use build_graph::{RelPath, SOURCE_DATE_EPOCH};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// The modes that files get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modes {
    /// 0444 and 0555, as in an image.
    Linked,
    /// 0644 and 0755, as inputs have.
    Copied,
}

impl Modes {
    fn of(self, executable: bool) -> u32 {
        match (self, executable) {
            (Self::Linked, false) => 0o444,
            (Self::Linked, true) => 0o555,
            (Self::Copied, false) => 0o644,
            (Self::Copied, true) => 0o755,
        }
    }
}

type Failed = (PathBuf, io::Error);

/// Makes the directory `to` of what is in `from`.
pub(super) fn lay(from: &Path, to: &Path, modes: Modes) -> Result<(), Failed> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    fs::create_dir(to).map_err(at(to))?;
    let mut entries = fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at(from))?;
    // Always the same order, so that directories come out the same.
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(at(&from))?;
        if kind.is_dir() {
            lay(&from, &to, modes)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&from).map_err(at(&from))?;
            symlink(target, &to).and_then(|()| set_link_time(&to)).map_err(at(&to))?;
        } else if kind.is_file() {
            lay_file(&entry, &to, modes).map_err(at(&from))?;
        } else {
            return Err((from, io::Error::other("it is no file, directory or symbolic link")));
        }
    }
    seal(to, 0o755).map_err(at(to))
}

fn lay_file(from: &fs::DirEntry, to: &Path, modes: Modes) -> io::Result<()> {
    let metadata = from.metadata()?;
    let mode = modes.of(metadata.mode() & 0o100 != 0);
    if metadata.nlink() == 1 && fs::rename(from.path(), to).is_ok() {
        if seal(to, mode).is_ok() {
            return Ok(());
        }
        // A file system that takes no modes or times: it is copied to one that does, or fails
        // there.
        fs::rename(to, from.path())?;
    }
    fs::copy(from.path(), to)?;
    seal(to, mode)
}

fn seal(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(SOURCE_DATE_EPOCH);
    File::open(path)?.set_times(FileTimes::new().set_accessed(time).set_modified(time))
}

fn set_link_time(path: &Path) -> io::Result<()> {
    let time = Timespec { tv_sec: SOURCE_DATE_EPOCH.cast_signed(), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Moves what is there of the outputs below `to`.
pub(super) fn give(build: &Path, to: &Path, outputs: &[RelPath]) -> Result<(), Failed> {
    for output in outputs {
        let (from, to) = (build.join(output), to.join(output));
        let failed = |error| (to.clone(), error);
        if fs::symlink_metadata(&from).is_err() {
            continue;
        }
        if let Some(above) = to.parent() {
            fs::create_dir_all(above).map_err(failed)?;
        }
        // Engines make the directories of outputs ahead, and some the outputs' own.
        match fs::remove_dir(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound && error.kind() != io::ErrorKind::NotADirectory => {
                return Err(failed(error));
            }
            _ => {}
        }
        fs::rename(&from, &to).map_err(failed)?;
    }
    Ok(())
}
