//! Installing packages into a folder, DEST.
//!
//! All packages of one install are one [`Transaction`]: they are unpacked beside their places first
//! and checked whole, then their files are moved to their places, and their receipts last. A
//! journal says what was there before, so that an error, a full disk or a kill at any moment leaves
//! either all of it or nothing: what was begun is undone, at once or by the next install.
//!
//! A receipt, `packages/NAME.installed`, is the package's own description, which lists every file
//! with its digest.

pub mod package;
pub mod prepare;
pub mod repository;
mod transaction;
pub mod version;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use build_graph::RelPath;
use build_graph::untrusted::{printable, printable_path};
use package::{Manifest, PackageError};
use thiserror::Error;

use crate::regular;

pub use transaction::Transaction;

/// What an interrupted install of an earlier program left, below `packages`.
const STALE: [&str; 3] = [".staging", ".staged-", ".new-"];

/// A package can't be installed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The archive is unsound.
    #[error("package `{}`: {source}; get it anew, or build it again", printable(name))]
    Package {
        /// The package, or its file.
        name: String,
        /// What is wrong.
        source: PackageError,
    },
    /// A file of the archive does not have the bytes that the package lists.
    #[error(
        "package `{}`: `{}` does not have the bytes that the package lists; get it anew, or build it again",
        printable(name),
        printable(path.as_str())
    )]
    WrongBytes {
        /// The package.
        name: String,
        /// The file.
        path: RelPath,
    },
    /// Something of the user's, or of another package, is where a file should go.
    #[error(
        "package `{}`: `{}` is in the way: {why}; move it away, or install into another folder",
        printable(name),
        printable_path(path)
    )]
    InTheWay {
        /// The package.
        name: String,
        /// What is in the way.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// Two packages that would stand beside each other have different things at one path.
    #[error(
        "packages `{}` and `{}` don't fit together: both have `{}`, and not the same there; install versions of both \
         that were built together",
        printable(one),
        printable(other),
        printable(path.as_str())
    )]
    Conflict {
        /// The package to be installed.
        one: String,
        /// The other one.
        other: String,
        /// What both have.
        path: RelPath,
    },
    /// The package is for another target than what is installed.
    #[error(
        "`{}` holds packages for {}, and `{}` is for {}; install into another folder",
        printable_path(dest),
        printable(installed),
        printable(name),
        printable(target)
    )]
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
    /// Where a folder should be is something else.
    #[error("`{}` is no folder; name another one", printable_path(path))]
    NotAFolder {
        /// What is there.
        path: PathBuf,
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
    /// The loader could not compile what the packages hold.
    #[error("`{}` can't compile what is installed: {how}", printable_path(loader))]
    Unprepared {
        /// The loader.
        loader: PathBuf,
        /// How it ended.
        how: String,
        /// Its exit status, if it ended by itself.
        status: Option<u8>,
    },
    /// The install failed, and so did the undoing of it.
    #[error("{error}; what was changed until then can't be put back now ({undoing}): the next install tries again")]
    NotUndone {
        /// Why the install failed.
        error: Box<InstallError>,
        /// Why it is not undone.
        undoing: Box<InstallError>,
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
    /// The very same was there, with all its files as they were installed.
    Present,
    /// It was not there, and is now.
    Installed,
    /// Another version or build of it, or a damaged one, was there, and was replaced.
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
    /// Opens or makes the folder, waits for other installs into it, and undoes what an interrupted
    /// one left.
    ///
    /// # Errors
    /// [`InstallError`] if it is no folder, or can't be made or written.
    pub fn open(path: &Path) -> Result<Self, InstallError> {
        let packages = path.join("packages");
        fs::create_dir_all(&packages).map_err(|error| match not_a_folder(&packages) {
            Some(path) => InstallError::NotAFolder { path },
            None => InstallError::io("create", &packages)(error),
        })?;
        let path = path.canonicalize().map_err(InstallError::io("open", path))?;
        let lock_path = path.join("packages/.lock");
        let lock = File::create(&lock_path).map_err(InstallError::io("create", &lock_path))?;
        lock.lock().map_err(InstallError::io("lock", &lock_path))?;
        let destination = Self { path, _lock: lock };
        transaction::recover(&destination.path)?;
        destination.sweep()?;
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
        let mut names = BTreeSet::new();
        for name in self.records()? {
            if let Some(name) = name.strip_suffix(".installed") {
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
        let path = self.path.join("packages").join(format!("{name}.installed"));
        let bytes = match regular::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(InstallError::io("read", path)(error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| InstallError::io("read", path)(error.into()))
    }

    /// Begins an install of packages that come together or not at all.
    ///
    /// # Errors
    /// [`InstallError`] if what is installed can't be read, or nothing can be written.
    pub fn begin(&self) -> Result<Transaction<'_>, InstallError> {
        Transaction::begin(self)
    }

    /// Installs one package from its archive.
    ///
    /// # Errors
    /// [`InstallError`]; DEST is as it was.
    pub fn install(&self, archive_name: &str, archive: impl io::Read) -> Result<Outcome, InstallError> {
        let mut transaction = self.begin()?;
        let outcome = transaction.add(archive_name, archive)?;
        transaction.commit(|| Ok(()))?;
        Ok(outcome)
    }

    /// Whether something was installed, or was about to be, since all programs were last prepared.
    pub fn is_unprepared(&self) -> bool {
        self.unprepared().exists()
    }

    /// Notes that all programs are prepared.
    ///
    /// # Errors
    /// [`InstallError`] if it can't be noted.
    pub fn set_prepared(&self) -> Result<(), InstallError> {
        let path = self.unprepared();
        fs::remove_file(&path).map_err(InstallError::io("remove", path))
    }

    fn unprepared(&self) -> PathBuf {
        self.path.join("packages/.unprepared")
    }

    /// Removes what an interrupted install of an earlier program left.
    fn sweep(&self) -> Result<(), InstallError> {
        for name in self.records()? {
            if STALE.iter().any(|stale| name.starts_with(stale)) || name.ends_with(".installing") {
                let path = self.path.join("packages").join(name);
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(InstallError::io("remove", path))?;
            }
        }
        Ok(())
    }

    /// The names of what is kept beside the packages.
    fn records(&self) -> Result<Vec<String>, InstallError> {
        let folder = self.path.join("packages");
        let entries = fs::read_dir(&folder).map_err(InstallError::io("read", &folder))?;
        entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()
            .map_err(InstallError::io("read", &folder))
    }
}

/// The first on the way to a folder that is something else.
fn not_a_folder(path: &Path) -> Option<PathBuf> {
    let mut all: Vec<_> = path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    all.reverse();
    all.into_iter().find(|path| fs::metadata(path).is_ok_and(|there| !there.is_dir())).map(Path::to_path_buf)
}
