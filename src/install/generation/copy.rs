//! A generation made from another one.
//!
//! What packages installed, receipts and compiled code are copied, which shares their blocks where
//! the file system can (XFS, Btrfs), and they keep their times. Hard links would not do: a new link
//! changes the time by which the loader knows a file, and a write through one changes all.
//!
//! What no package installed is the user's or a guest's. It goes along from generation to
//! generation as the same file, by a hard link.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, linkat, utimensat};
use walkdir::WalkDir;

use super::{Generation, InstallError, PACKAGES};
use crate::install::prepare::COMPILED;
use crate::install::transaction::step;

/// What lies in a generation, by path, without its folders' contents.
struct Contents {
    /// Folders, those further up first, with their modes.
    folders: Vec<(PathBuf, u32)>,
    /// What packages installed, receipts, and compiled code.
    ours: Vec<PathBuf>,
    /// Everything else, with device and inode.
    strangers: BTreeMap<PathBuf, (u64, u64)>,
}

impl Contents {
    fn read(generation: &Generation) -> Result<Self, InstallError> {
        let root = &generation.path;
        let receipts = generation.receipts()?;
        let listed: HashSet<&Path> = receipts
            .iter()
            .flat_map(|receipt| receipt.content.iter().map(|(path, _)| Path::new(path.as_str())))
            .collect();
        let mut contents = Self { folders: Vec::new(), ours: Vec::new(), strangers: BTreeMap::new() };
        let device = fs::symlink_metadata(root).map_err(InstallError::io("look at", root))?.dev();
        for entry in WalkDir::new(root).min_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(root).to_path_buf();
                InstallError::io("read", path)(error.into())
            })?;
            let metadata = entry.metadata().map_err(|error| InstallError::io("look at", entry.path())(error.into()))?;
            if metadata.dev() != device {
                let why = "another file system is mounted there";
                return Err(InstallError::Layout { path: entry.into_path(), why });
            }
            let Ok(path) = entry.path().strip_prefix(root).map(Path::to_path_buf) else { continue };
            if metadata.is_dir() {
                contents.folders.push((path, metadata.mode() & 0o7777));
            } else if path.starts_with(PACKAGES) || path.starts_with(COMPILED) || listed.contains(&*path) {
                contents.ours.push(path);
            } else {
                contents.strangers.insert(path, (metadata.dev(), metadata.ino()));
            }
        }
        Ok(contents)
    }

    fn names(&self) -> BTreeSet<String> {
        self.strangers.keys().map(|path| path.to_string_lossy().into_owned()).collect()
    }
}

/// Copies a generation into a new folder. Gives the names of the files that no package installed.
pub(in crate::install) fn copy(from: &Generation, to: &Path) -> Result<BTreeSet<String>, InstallError> {
    let contents = Contents::read(from)?;
    for (path, mode) in &contents.folders {
        make_folder(&to.join(path), *mode)?;
    }
    let kept = |path: &&PathBuf| **path != Path::new(super::LEFT) && **path != Path::new(super::ABOUT);
    step().map_err(InstallError::io("copy", &from.path))?;
    contents.ours.par_iter().filter(kept).try_for_each(|path| {
        let (from, to) = (from.path.join(path), to.join(path));
        copy_one(&from, &to).map_err(InstallError::io("copy", from))
    })?;
    for path in contents.strangers.keys() {
        link(&from.path.join(path), &to.join(path))?;
    }
    Ok(contents.names())
}

/// Makes what no package installed in a generation the same as in the current one. Gives the names
/// of what is there then.
///
/// # Errors
/// [`InstallError::InTheWay`] if such a file is where a package of the generation has one.
pub(in crate::install) fn sync_strangers(from: &Generation, to: &Generation) -> Result<BTreeSet<String>, InstallError> {
    let (source, there) = (Contents::read(from)?, Contents::read(to)?);
    let taken: HashSet<&PathBuf> = there.ours.iter().collect();
    let folders: HashSet<&PathBuf> = there.folders.iter().map(|(path, _)| path).collect();
    let in_the_way = |path: &Path| InstallError::Rollback { number: to.number, path: from.path.join(path) };
    for path in source.strangers.keys() {
        let below_file = path.ancestors().skip(1).any(|above| taken.contains(&above.to_path_buf()));
        if taken.contains(path) || folders.contains(path) || below_file {
            return Err(in_the_way(path));
        }
    }
    let carried = super::read_json::<super::Left>(&to.path.join(super::LEFT))?.unwrap_or_default().carried;
    for (path, id) in &there.strangers {
        let same = source.strangers.get(path) == Some(id);
        let known = source.strangers.contains_key(path) || carried.contains(&*path.to_string_lossy());
        if !same && known {
            let path = to.path.join(path);
            step().and_then(|()| fs::remove_file(&path)).map_err(InstallError::io("remove", path))?;
        }
    }
    for (path, mode) in &source.folders {
        let inside = source.strangers.keys().any(|stranger| stranger.starts_with(path));
        if inside && !folders.contains(path) {
            make_folder(&to.path.join(path), *mode)?;
        }
    }
    for (path, id) in &source.strangers {
        if there.strangers.get(path) != Some(id) {
            link(&from.path.join(path), &to.path.join(path))?;
        }
    }
    Ok(source.names())
}

fn make_folder(path: &Path, mode: u32) -> Result<(), InstallError> {
    let made = step().and_then(|()| match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    });
    let made = made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    made.map_err(InstallError::io("create", path))
}

fn link(from: &Path, to: &Path) -> Result<(), InstallError> {
    let linked = step().and_then(|()| Ok(linkat(CWD, from, CWD, to, AtFlags::empty())?));
    linked.map_err(InstallError::io("carry along", from))
}

fn copy_one(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if metadata.is_file() {
        // By reference, where the file system can.
        fs::copy(from, to)?;
    } else {
        // In the place of an installed file is something else, such as a pipe.
        return Ok(linkat(CWD, from, CWD, to, AtFlags::empty())?);
    }
    let time = |seconds, nanoseconds: i64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
