//! Removes folders, whatever an action left in them: unreadable folders, any depth, any names. No
//! link is followed.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmod, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;

/// Folders deeper than this are moved up before they are emptied, so that descriptors and stack
/// suffice for any depth.
const DEEP: usize = 64;

/// Removes the file, link or folder `name` with everything in it. It may be missing.
pub(super) fn remove_at(dir: impl AsFd, name: impl Arg) -> Result<(), Errno> {
    let dir = dir.as_fd();
    let name = name.into_c_str()?;
    match unlinkat(dir, name.as_ref(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let top = match open_own_dir(dir, &name) {
        Err(Errno::NOENT) => return Ok(()),
        top => top?,
    };
    let mut hoisted = 0;
    empty(&top, &top, 0, &mut hoisted)?;
    // Each round empties what the last one moved up, and may move up more.
    while hoisted > 0 {
        hoisted = 0;
        empty(&top, &top, 0, &mut hoisted)?;
    }
    match unlinkat(dir, name.as_ref(), AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn empty(dir: &OwnedFd, top: &OwnedFd, depth: usize, hoisted: &mut u64) -> Result<(), Errno> {
    let mut names: Vec<(CString, FileType)> = Vec::new();
    let mut entries = Dir::read_from(dir)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    drop(entries);
    for (name, kind) in names {
        let is_dir = match kind {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode) == FileType::Directory
            }
            kind => kind == FileType::Directory,
        };
        if !is_dir {
            ignore_missing(unlinkat(dir, &name, AtFlags::empty()))?;
            continue;
        }
        if ignore_missing(unlinkat(dir, &name, AtFlags::REMOVEDIR)).is_ok() {
            continue;
        }
        let below = open_own_dir(dir.as_fd(), &name)?;
        if depth < DEEP {
            empty(&below, top, depth + 1, hoisted)?;
            ignore_missing(unlinkat(dir, &name, AtFlags::REMOVEDIR))?;
        } else {
            *hoisted += 1;
            let mut number = *hoisted;
            // A name that nothing at the top has.
            loop {
                let up = format!(".removing-{number}");
                if statat(top, &up, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                    renameat(dir, &name, top, &up)?;
                    break;
                }
                number += 1 << 32;
            }
        }
    }
    Ok(())
}

fn ignore_missing(result: Result<(), Errno>) -> Result<(), Errno> {
    if result == Err(Errno::NOENT) { Ok(()) } else { result }
}

/// Opens a folder that may lack the modes for it, and gives it those.
fn open_own_dir(dir: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(dir.as_fd(), name, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::ACCESS) => None,
        opened => Some(opened?),
    };
    match opened {
        Some(opened) if rustix::fs::fstat(&opened)?.st_mode & 0o700 == 0o700 => Ok(opened),
        _ => {
            make_ours(dir.as_fd(), name)?;
            open()
        }
    }
}

/// Gives the owner all rights to a file or folder, without following a link: `chmod` through a
/// descriptor that opens nothing.
pub(super) fn make_ours(dir: impl AsFd, name: &CStr) -> Result<(), Errno> {
    let handle = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&handle)?;
    if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::Directory | FileType::RegularFile) {
        return Err(Errno::ACCESS);
    }
    chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), Mode::from_raw_mode(stat.st_mode & 0o777 | 0o700))
}
