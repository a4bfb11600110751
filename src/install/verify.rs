//! Comparing what is installed with its receipts.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use build_graph::{Entry, RelPath, SOURCE_DATE_EPOCH};
use rayon::prelude::*;
use walkdir::WalkDir;

use super::package::Manifest;
use super::transaction::{hash, mode};
use super::{Generation, InstallError};

/// How a file differs from its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It is another kind of file: a link for a file, a file for a directory.
    Kind,
    /// Its bytes are others, or it is a link to something else.
    Content,
    /// Its mode is another one.
    Mode,
    /// Its time is another one, by which Python knows compiled files.
    Time,
    /// It can't be read.
    Unreadable,
}

impl Fault {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Kind => "is another kind of file",
            Self::Content => "has other contents",
            Self::Mode => "has another mode",
            Self::Time => "has another time",
            Self::Unreadable => "can't be read",
        }
    }
}

/// A file that is not as it was installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The package.
    pub package: String,
    /// Its path, relative to DEST.
    pub path: RelPath,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What became of an installation.
#[derive(Debug, Default)]
pub struct Verified {
    /// How many files, links and empty directories were compared.
    pub compared: usize,
    /// Those that differ, by package and path.
    pub differences: Vec<Difference>,
    /// Files in directories of packages that no package installed, relative to DEST.
    pub strangers: Vec<PathBuf>,
}

/// Compares every file of a generation with its receipt, of these packages or, if there are none,
/// of all.
///
/// # Errors
/// [`InstallError`] if a receipt can't be read, or a package is not installed.
pub fn verify(dest: &Path, generation: &Generation, packages: &[String]) -> Result<Verified, InstallError> {
    let receipts = generation.receipts()?;
    if let Some(name) = packages.iter().find(|name| !receipts.iter().any(|receipt| receipt.name == **name)) {
        return Err(InstallError::NotInstalled { dest: dest.to_path_buf(), name: name.clone() });
    }
    let wanted = |receipt: &&Manifest| packages.is_empty() || packages.contains(&receipt.name);
    let mut verified = Verified::default();
    for receipt in receipts.iter().filter(wanted) {
        let all: Vec<_> = receipt.content.iter().collect();
        verified.compared += all.len();
        let differs = |(path, entry): &(&RelPath, &Entry)| {
            let fault = fault(&generation.path, path, entry)?;
            Some(Difference { package: receipt.name.clone(), path: (*path).clone(), fault })
        };
        verified.differences.extend(all.par_iter().filter_map(differs).collect::<Vec<_>>());
    }
    verified.differences.sort();
    verified.strangers = strangers(generation, &receipts)?;
    Ok(verified)
}

/// How the file at a path differs; no link on the way to it is followed.
fn fault(root: &Path, path: &RelPath, entry: &Entry) -> Option<Fault> {
    let mut above = path.parent();
    while let Some(folder) = above {
        above = folder.parent();
        match fs::symlink_metadata(root.join(&folder)) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => return Some(Fault::Kind),
            Err(_) => return Some(Fault::Missing),
        }
    }
    let host = root.join(path);
    let there = match fs::symlink_metadata(&host) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(Fault::Missing),
        Err(_) => return Some(Fault::Unreadable),
    };
    match entry {
        Entry::File { digest, size, executable } => {
            if !there.is_file() {
                return Some(Fault::Kind);
            }
            if there.len() != *size {
                return Some(Fault::Content);
            }
            match hash(&host) {
                Err(_) => Some(Fault::Unreadable),
                Ok(hash) if hash.as_bytes() != digest.as_bytes() => Some(Fault::Content),
                Ok(_) if there.mode() & 0o7777 != mode(*executable) => Some(Fault::Mode),
                Ok(_) if there.mtime() != SOURCE_DATE_EPOCH as i64 => Some(Fault::Time),
                Ok(_) => None,
            }
        }
        Entry::Symlink { target } => match fs::read_link(&host) {
            Err(_) => Some(Fault::Kind),
            Ok(link) => (link.as_os_str() != target.as_str()).then_some(Fault::Content),
        },
        Entry::EmptyDirectory => (!there.is_dir()).then_some(Fault::Kind),
    }
}

/// Files in directories of packages that no package installed: a module among them stands in for an
/// installed one.
fn strangers(generation: &Generation, receipts: &[Manifest]) -> Result<Vec<PathBuf>, InstallError> {
    let paths = || receipts.iter().flat_map(|receipt| receipt.content.iter().map(|(path, _)| path));
    let listed: HashSet<&Path> = paths().map(|path| Path::new(path.as_str())).collect();
    // Directly in `root`, guests may make what they like.
    let inside = |path: &RelPath| path.as_str().splitn(3, '/').take(2).collect::<PathBuf>();
    let folders: BTreeSet<PathBuf> =
        paths().filter(|path| path.as_str().matches('/').count() > 1).map(inside).collect();
    let mut strangers = Vec::new();
    for folder in folders {
        let folder = generation.path.join(folder);
        if !fs::symlink_metadata(&folder).is_ok_and(|there| there.is_dir()) {
            continue;
        }
        for entry in WalkDir::new(&folder).sort_by_file_name() {
            let entry = entry.map_err(|error| InstallError::io("read", &folder)(error.into()))?;
            let Ok(path) = entry.path().strip_prefix(&generation.path) else { continue };
            if !entry.file_type().is_dir() && !listed.contains(path) {
                strangers.push(path.to_path_buf());
            }
        }
    }
    Ok(strangers)
}
