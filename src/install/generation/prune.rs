//! Removing generations that are not needed any more.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{FOLDER, Generation, InstallError, LEFT, Left, PACKAGES, all, read_json};
use crate::install::prepare::COMPILED;
use crate::install::transaction::step;
use crate::regular;

/// The command of fcntl(2), which the crate `libc` lacks for Linux.
const F_SETSIG: libc::c_int = 10;

/// A generation that went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Its number.
    pub number: u64,
    /// The bytes that it took of the disk.
    pub space: u64,
}

/// A generation that would have gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// Why it stays.
    pub why: String,
}

/// Removes all generations but the current one and the last `keep` before it. One in which a
/// program runs stays, and one that holds what is nobody's but the user's.
pub(in crate::install) fn prune(dest: &Path, keep: usize) -> Result<(Vec<Pruned>, Vec<Kept>), InstallError> {
    let mut others: Vec<_> = all(dest)?.into_iter().filter(|generation| !generation.current).collect();
    others.sort_by_key(|generation| std::cmp::Reverse((generation.order, generation.number)));
    let (mut pruned, mut kept) = (Vec::new(), Vec::new());
    for generation in others.into_iter().skip(keep) {
        let number = generation.number;
        let loader = generation.path.join("bin/run");
        let unused = match Unused::check(&loader) {
            Ok(unused) => unused,
            Err(why) => {
                kept.push(Kept { number, why });
                continue;
            }
        };
        if let Some(path) = only_here(&generation)? {
            let path = build_graph::untrusted::printable_path(&path).to_string();
            kept.push(Kept { number, why: format!("no package installed `{path}`, and it is nowhere else") });
            continue;
        }
        let space = space(&generation.path)?;
        let gone = dest.join(FOLDER).join(format!(".gone-{number}"));
        let renamed = step().and_then(|()| fs::rename(&generation.path, &gone));
        renamed.map_err(InstallError::io("remove", &generation.path))?;
        drop(unused);
        remove(&gone)?;
        pruned.push(Pruned { number, space });
    }
    Ok((pruned, kept))
}

/// Shows that no process runs a program or has it open, as long as this value lives: whoever wants
/// to run it meanwhile waits.
struct Unused(#[expect(dead_code, reason = "it holds the lease")] Option<File>);

impl Unused {
    /// Takes a lease on the file, which the kernel gives to nobody while the file is open or run
    /// elsewhere, by whichever user (fcntl(2), `F_SETLEASE`).
    fn check(program: &Path) -> Result<Self, String> {
        let file = match regular::open(program) {
            Ok(file) => file,
            // What is not there does not run.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self(None)),
            Err(error) => return Err(format!("whether a program runs in it can't be found out: {error}")),
        };
        // The signal of a lease that is asked back would end this process; SIGURG is ignored.
        // SAFETY: fcntl with these commands takes a descriptor, which is open, and a number.
        let leased = unsafe {
            libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) == 0
                && libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) == 0
        };
        if leased {
            return Ok(Self(Some(file)));
        }
        let error = io::Error::last_os_error();
        Err(match error.raw_os_error() {
            Some(libc::EAGAIN) => "a program runs in it".to_owned(),
            _ => format!("whether a program runs in it can't be found out: {error}"),
        })
    }
}

/// A file that no package installed, that has no other name, and that did not go along when the
/// generation was left: a program that ran on made it.
fn only_here(generation: &Generation) -> Result<Option<PathBuf>, InstallError> {
    let carried = read_json::<Left>(&generation.path.join(LEFT))?.unwrap_or_default().carried;
    let receipts = generation.receipts()?;
    for entry in WalkDir::new(&generation.path).min_depth(1) {
        let entry = entry.map_err(|error| InstallError::io("read", &generation.path)(error.into()))?;
        let Ok(path) = entry.path().strip_prefix(&generation.path) else { continue };
        let name = path.to_string_lossy();
        let ours = path.starts_with(PACKAGES)
            || path.starts_with(COMPILED)
            || carried.contains(&*name)
            || receipts.iter().any(|receipt| receipt.content.get(&name).is_some());
        if !entry.file_type().is_dir() && !ours && entry.metadata().is_ok_and(|there| there.nlink() == 1) {
            return Ok(Some(entry.into_path()));
        }
    }
    Ok(None)
}

/// The bytes that files below a folder take of the disk; those that have another name elsewhere
/// are not counted.
pub(super) fn space(folder: &Path) -> Result<u64, InstallError> {
    let mut space = 0;
    for entry in WalkDir::new(folder) {
        let entry = entry.map_err(|error| InstallError::io("read", folder)(error.into()))?;
        let metadata = entry.metadata().map_err(|error| InstallError::io("look at", entry.path())(error.into()))?;
        if metadata.is_dir() || metadata.nlink() == 1 {
            space += metadata.blocks() * 512;
        }
    }
    Ok(space)
}

/// Removes a file or a folder with all that is in it, if it is there.
pub(in crate::install) fn remove(path: &Path) -> Result<(), InstallError> {
    let removed = step().and_then(|()| match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(InstallError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
