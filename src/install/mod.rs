//! Installing packages into a folder, DEST.
//!
//! A package is unpacked beside its place first and checked whole; then its files are moved to their places one by one, each by a rename.
//! A journal, `packages/NAME.installing`, says that this is under way: whoever finds one finishes the move before anything else, so an
//! interrupted install is never half there for longer than until the next. Then the receipt, `packages/NAME.installed`, is written: the
//! package's own description, which lists every file with its digest.

pub mod code_cache;
pub mod package;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use build_graph::untrusted::printable_path;
use build_graph::{Entry, RelPath, SOURCE_DATE_EPOCH, Tree};
use package::{Manifest, PackageError};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use thiserror::Error;

/// Folders of DEST in which no package installs anything.
const RESERVED: [&str; 2] = ["packages", "compiled"];

/// A package can't be installed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The archive is unsound.
    #[error("package `{name}`: {source}; get it anew, or build it again")]
    Package {
        /// The package, or its file.
        name: String,
        /// What is wrong.
        source: PackageError,
    },
    /// A file of the archive does not have the bytes that the package lists.
    #[error(
        "package `{name}`: `{path}` does not have the bytes that the package lists; get it anew, or build it again"
    )]
    WrongBytes {
        /// The package.
        name: String,
        /// The file.
        path: RelPath,
    },
    /// Something of the user's, or of another package, is where a file should go.
    #[error("package `{name}`: `{}` is in the way: {why}; move it away, or install into another folder", printable_path(.path))]
    InTheWay {
        /// The package.
        name: String,
        /// What is in the way.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// The package is for another target than what is installed.
    #[error("`{}` holds packages for {installed}, and `{name}` is for {target}; install into another folder", printable_path(.dest))]
    OtherTarget {
        /// The folder.
        dest: PathBuf,
        /// The package.
        name: String,
        /// Its target.
        target: String,
        /// The target of what is installed.
        installed: String,
    },
    /// A file can't be read or written.
    #[error("can't {doing} `{}`: {source}", printable_path(.path))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InstallError {
    fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// What became of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The very same was there.
    Present,
    /// It was not there, and is now.
    Installed,
    /// Another version or build of it was there, and was replaced.
    Replaced,
}

/// A folder with packages in it.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    /// Held as long as this value lives: one install at a time.
    _lock: File,
}

impl Destination {
    /// Opens or makes the folder, waits for other installs into it, and finishes what an interrupted one left.
    ///
    /// # Errors
    /// [`InstallError`] if it can't be made or written.
    pub fn open(path: &Path) -> Result<Self, InstallError> {
        let packages = path.join("packages");
        fs::create_dir_all(&packages).map_err(InstallError::io("create", &packages))?;
        let path = path.canonicalize().map_err(InstallError::io("open", path))?;
        let lock_path = path.join("packages/.lock");
        let lock = File::create(&lock_path).map_err(InstallError::io("create", &lock_path))?;
        lock.lock().map_err(InstallError::io("lock", &lock_path))?;
        let destination = Self { path, _lock: lock };
        destination.recover()?;
        Ok(destination)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The receipts of what is installed, sorted by name.
    ///
    /// # Errors
    /// [`InstallError`] if one can't be read.
    pub fn receipts(&self) -> Result<Vec<Manifest>, InstallError> {
        let folder = self.path.join("packages");
        let mut names = BTreeSet::new();
        for file in fs::read_dir(&folder).map_err(InstallError::io("read", &folder))? {
            let file = file.map_err(InstallError::io("read", &folder))?;
            if let Some(name) = file.file_name().to_str().and_then(|name| name.strip_suffix(".installed")) {
                names.insert(name.to_owned());
            }
        }
        names.into_iter().filter_map(|name| self.receipt(&name).transpose()).collect()
    }

    /// The receipt of a package; `None` if it is not installed.
    ///
    /// # Errors
    /// [`InstallError`] if there is one that can't be read.
    pub fn receipt(&self, name: &str) -> Result<Option<Manifest>, InstallError> {
        read_manifest(&self.record(name, "installed"))
    }

    /// Installs a package from its archive.
    ///
    /// # Errors
    /// [`InstallError`]; unless it is about the moving of files itself, DEST is as it was.
    pub fn install(&self, archive_name: &str, archive: impl Read) -> Result<Outcome, InstallError> {
        let staging = self.path.join("packages/.staging");
        remove_tree(&staging)?;
        let mut present = None;
        let read = package::read::<Stop>(
            archive,
            |manifest| {
                let there = self.receipt(&manifest.name)?;
                if there.as_ref() == Some(manifest) && self.is_intact(manifest) {
                    return Err(Stop::Present);
                }
                present = there;
                self.check(manifest)?;
                fs::create_dir(&staging).map_err(InstallError::io("create", &staging))?;
                Ok(())
            },
            |path, entry, bytes| stage(&staging, archive_name, path, entry, bytes).map_err(Stop::from),
        );
        let manifest = match read {
            Ok(manifest) => manifest,
            Err(Stop::Present) => return Ok(Outcome::Present),
            Err(Stop::Package(source)) => {
                remove_tree(&staging)?;
                return Err(InstallError::Package { name: archive_name.to_owned(), source });
            }
            Err(Stop::Install(error)) => {
                remove_tree(&staging)?;
                return Err(*error);
            }
        };
        // From here on the install is finished, now or by the next one.
        let staged = self.path.join("packages").join(format!(".staged-{}", manifest.name));
        remove_tree(&staged)?;
        fs::rename(&staging, &staged).map_err(InstallError::io("rename", &staging))?;
        self.write_record(&manifest, "installing")?;
        self.finish(&manifest)?;
        Ok(if present.is_some() { Outcome::Replaced } else { Outcome::Installed })
    }

    /// Whether every file of an installed package is there and has its size.
    fn is_intact(&self, manifest: &Manifest) -> bool {
        manifest.content.iter().all(|(path, entry)| {
            let Ok(there) = fs::symlink_metadata(self.path.join(path)) else { return false };
            match entry {
                Entry::File { size, .. } => there.is_file() && there.len() == *size,
                Entry::Symlink { .. } => there.is_symlink(),
                Entry::EmptyDirectory => there.is_dir(),
            }
        })
    }

    /// Looks for everything that would keep the package from being moved to its place, before anything is.
    fn check(&self, manifest: &Manifest) -> Result<(), InstallError> {
        let in_the_way = |path: &Path, why: String| InstallError::InTheWay {
            name: manifest.name.clone(),
            path: path.to_path_buf(),
            why,
        };
        let mut owned = BTreeSet::new();
        for receipt in self.receipts()? {
            if receipt.target != manifest.target {
                return Err(InstallError::OtherTarget {
                    dest: self.path.clone(),
                    name: manifest.name.clone(),
                    target: manifest.target.to_string(),
                    installed: receipt.target.to_string(),
                });
            }
            owned.extend(receipt.content.iter().map(|(path, _)| path.clone()));
            if receipt.name == manifest.name {
                continue;
            }
            for (path, entry) in manifest.content.iter() {
                if let Some(theirs) = receipt.content.get(path.as_str())
                    && theirs != entry
                {
                    let why = format!("package `{}` installed it, with other contents", receipt.name);
                    return Err(in_the_way(&self.path.join(path), why));
                }
            }
        }
        for (path, _) in manifest.content.iter() {
            // Receipts are ours to write, and the loader trusts the native code that it finds in `compiled`.
            if RESERVED.contains(&path.as_str().split('/').next().unwrap_or_default()) {
                return Err(in_the_way(&self.path.join(path), "what is kept there is no package's".to_owned()));
            }
            // A folder of DEST that is a link would lead a file out of it.
            let mut above = path.parent();
            while let Some(folder) = above {
                let host = self.path.join(&folder);
                if let Ok(there) = fs::symlink_metadata(&host)
                    && !there.is_dir()
                {
                    let what = if there.is_symlink() { "it is a symbolic link" } else { "it is no folder" };
                    return Err(in_the_way(&host, what.to_owned()));
                }
                above = folder.parent();
            }
            let host = self.path.join(path);
            if fs::symlink_metadata(&host).is_ok_and(|there| there.is_dir())
                && !matches!(manifest.content.get(path.as_str()), Some(Entry::EmptyDirectory))
            {
                return Err(in_the_way(&host, "it is a folder".to_owned()));
            }
            if !owned.contains(path) && fs::symlink_metadata(&host).is_ok_and(|there| !there.is_dir()) {
                return Err(in_the_way(&host, "no package installed it".to_owned()));
            }
        }
        Ok(())
    }

    /// Moves staged files to their places, takes away what an earlier version had beside them, and writes the receipt.
    fn finish(&self, manifest: &Manifest) -> Result<(), InstallError> {
        let staged = self.path.join("packages").join(format!(".staged-{}", manifest.name));
        for (path, entry) in manifest.content.iter() {
            let (from, to) = (staged.join(path), self.path.join(path));
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).map_err(InstallError::io("create", folder))?;
            }
            if matches!(entry, Entry::EmptyDirectory) {
                fs::create_dir_all(&to).map_err(InstallError::io("create", &to))?;
                continue;
            }
            match fs::rename(&from, &to) {
                Ok(()) => {}
                // Moved by the install that was interrupted.
                Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&to).is_ok() => {}
                Err(error) => return Err(InstallError::io("write", &to)(error)),
            }
        }
        if let Some(before) = self.receipt(&manifest.name)? {
            self.remove_leftovers(&before, manifest)?;
        }
        self.set_folder_times(&manifest.content);
        self.write_record(manifest, "installed")?;
        let journal = self.record(&manifest.name, "installing");
        fs::remove_file(&journal).map_err(InstallError::io("remove", &journal))?;
        remove_tree(&staged)
    }

    fn remove_leftovers(&self, before: &Manifest, now: &Manifest) -> Result<(), InstallError> {
        let others = self.receipts()?;
        for (path, _) in before.content.iter() {
            let kept = now.content.get(path.as_str()).is_some()
                || others.iter().any(|other| other.name != now.name && other.content.get(path.as_str()).is_some());
            if kept {
                continue;
            }
            let host = self.path.join(path);
            match fs::remove_file(&host) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {}
                Err(error) => return Err(InstallError::io("remove", &host)(error)),
            }
            let mut folder = path.parent();
            while let Some(path) = folder {
                // Fails, and shall fail, where something is left in it.
                if fs::remove_dir(self.path.join(&path)).is_err() {
                    break;
                }
                folder = path.parent();
            }
        }
        Ok(())
    }

    /// Gives folders the one time that everything installed has. They are only folders: failing is no reason to fail.
    fn set_folder_times(&self, content: &Tree) {
        let mut folders = BTreeSet::new();
        for (path, entry) in content.iter() {
            let mut above = if matches!(entry, Entry::EmptyDirectory) { Some(path.clone()) } else { path.parent() };
            while let Some(folder) = above {
                above = folder.parent();
                folders.insert(folder);
            }
        }
        for folder in folders {
            let _ = set_time(&self.path.join(folder));
        }
    }

    fn recover(&self) -> Result<(), InstallError> {
        let folder = self.path.join("packages");
        for file in fs::read_dir(&folder).map_err(InstallError::io("read", &folder))? {
            let file = file.map_err(InstallError::io("read", &folder))?;
            if file.file_name().to_str().is_some_and(|name| name.ends_with(".installing"))
                && let Some(manifest) = read_manifest(&file.path())?
            {
                self.finish(&manifest)?;
            }
        }
        Ok(())
    }

    fn record(&self, name: &str, kind: &str) -> PathBuf {
        self.path.join("packages").join(format!("{name}.{kind}"))
    }

    fn write_record(&self, manifest: &Manifest, kind: &str) -> Result<(), InstallError> {
        let path = self.record(&manifest.name, kind);
        let bytes = serde_json::to_vec(manifest).map_err(|error| InstallError::io("write", &path)(error.into()))?;
        let folder = self.path.join("packages");
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&folder)?;
            io::Write::write_all(&mut file, &bytes)?;
            file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(InstallError::io("write", &path))
    }
}

enum Stop {
    Present,
    Package(PackageError),
    Install(Box<InstallError>),
}

impl From<PackageError> for Stop {
    fn from(error: PackageError) -> Self {
        Self::Package(error)
    }
}

impl From<InstallError> for Stop {
    fn from(error: InstallError) -> Self {
        Self::Install(Box::new(error))
    }
}

fn read_manifest(path: &Path) -> Result<Option<Manifest>, InstallError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(InstallError::io("read", path)(error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| InstallError::io("read", path)(error.into()))
}

/// Puts one entry below the staging folder, which nobody else writes to.
fn stage(staging: &Path, name: &str, path: &RelPath, entry: &Entry, bytes: &mut dyn Read) -> Result<(), InstallError> {
    let host = staging.join(path);
    if let Some(folder) = host.parent() {
        fs::create_dir_all(folder).map_err(InstallError::io("create", folder))?;
    }
    match entry {
        Entry::File { digest, executable, .. } => {
            let mut file = File::create_new(&host).map_err(InstallError::io("create", &host))?;
            let mut hashing = Hashing { inner: bytes, hasher: blake3::Hasher::new() };
            io::copy(&mut hashing, &mut file).map_err(InstallError::io("write", &host))?;
            if hashing.hasher.finalize().as_bytes() != digest.as_bytes() {
                return Err(InstallError::WrongBytes { name: name.to_owned(), path: path.clone() });
            }
            let mode = if *executable { 0o755 } else { 0o644 };
            file.set_permissions(fs::Permissions::from_mode(mode)).map_err(InstallError::io("write", &host))?;
        }
        Entry::Symlink { target } => symlink(target, &host).map_err(InstallError::io("create", &host))?,
        Entry::EmptyDirectory => fs::create_dir_all(&host).map_err(InstallError::io("create", &host))?,
    }
    set_time(&host).map_err(InstallError::io("write", &host))
}

fn set_time(path: &Path) -> io::Result<()> {
    let time = Timespec { tv_sec: SOURCE_DATE_EPOCH as i64, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn remove_tree(path: &Path) -> Result<(), InstallError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(InstallError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

struct Hashing<'a> {
    inner: &'a mut dyn Read,
    hasher: blake3::Hasher,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}
