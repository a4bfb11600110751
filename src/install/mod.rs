//! Installing packages into a folder, DEST, and looking after what is installed there.
//!
//! DEST has generations (`generation`): an install makes a new one and has it count by one rename,
//! so that an error, a full disk or a kill at any moment leaves either all of it or nothing, and
//! what was there before can be had back. All packages of one install are one [`Transaction`].
//!
//! A receipt, `packages/NAME.installed`, is the package's own description, which lists every file
//! with its digest.

mod generation;
pub mod package;
pub mod prepare;
mod transaction;
pub mod verify;
pub mod version;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use build_graph::RelPath;
use build_graph::untrusted::{printable, printable_path};
use package::{Manifest, PackageError};
use thiserror::Error;

pub use generation::{About, Generation, Installed, Kept, Pruned};
pub use transaction::Transaction;

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
    /// What says what is installed is not what this program wrote.
    #[error("`{}` is no sound receipt: {source}; remove it, and install the package again", printable_path(path))]
    Receipt {
        /// The receipt.
        path: PathBuf,
        /// What is wrong.
        source: PackageError,
    },
    /// A package is not installed.
    #[error("package `{}` is not installed in `{}`; `list` shows what is", printable(name), printable_path(dest))]
    NotInstalled {
        /// The folder.
        dest: PathBuf,
        /// The package.
        name: String,
    },
    /// There is no such generation, or no earlier one.
    #[error("`{}` has no generation {number}; `list` shows all", printable_path(dest))]
    NoGeneration {
        /// The folder.
        dest: PathBuf,
        /// Which one was asked for.
        number: String,
    },
    /// What no package installed is where a generation has a package's file.
    #[error("`{}` is in the way: generation {number} has a package's file there; move it away", printable_path(path))]
    Rollback {
        /// The generation.
        number: u64,
        /// What is in the way.
        path: PathBuf,
    },
    /// DEST belongs to somebody else.
    #[error(
        "`{}` belongs to the user with the number {owner}, who could have you run anything; do this as that user, or \
         install into another folder",
        printable_path(path)
    )]
    OtherUser {
        /// What belongs to them.
        path: PathBuf,
        /// The user.
        owner: u32,
    },
    /// DEST is not laid out as this program does it.
    #[error("`{}` is in the way: {why}; put that right, or install into another folder", printable_path(path))]
    Layout {
        /// What is wrong.
        path: PathBuf,
        /// How.
        why: &'static str,
    },
}

impl InstallError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
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

/// A folder with packages in it, which is about to be changed.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    /// Held as long as this value lives: one change at a time.
    _lock: File,
}

impl Destination {
    /// Opens or makes the folder, waits for others who change it, and removes what an interrupted
    /// one left.
    ///
    /// # Errors
    /// [`InstallError`] if it is no folder, belongs to another user, or can't be made or written.
    pub fn open(path: &Path) -> Result<Self, InstallError> {
        fs::create_dir_all(path).map_err(|error| match not_a_folder(path) {
            Some(path) => InstallError::NotAFolder { path },
            None => InstallError::io("create", path)(error),
        })?;
        let path = path.canonicalize().map_err(InstallError::io("open", path))?;
        let generations = path.join(generation::FOLDER);
        generation::make_folder(&generations)?;
        generation::check_owner(&path)?;
        let lock_path = generations.join(".lock");
        // In this order: another install that begins now makes the lock before anything else.
        if !generation::names(&generations)?.is_empty() && !lock_path.exists() {
            return Err(InstallError::Layout { path: generations, why: "no install made it" });
        }
        let lock = File::create(&lock_path).map_err(InstallError::io("create", &lock_path))?;
        lock.lock().map_err(InstallError::io("lock", &lock_path))?;
        generation::migrate(&path)?;
        generation::sweep(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The current generation; `None` if nothing is installed.
    ///
    /// # Errors
    /// [`InstallError`] if it can't be read.
    pub fn current(&self) -> Result<Option<Generation>, InstallError> {
        generation::current(&self.path)
    }

    /// The receipts of what is installed, sorted by name.
    ///
    /// # Errors
    /// [`InstallError`] if one can't be read.
    pub fn receipts(&self) -> Result<Vec<Manifest>, InstallError> {
        self.current()?.map_or_else(|| Ok(Vec::new()), |current| current.receipts())
    }

    /// The receipt of a package; `None` if it is not installed.
    ///
    /// # Errors
    /// [`InstallError`] if there is one that can't be read.
    pub fn receipt(&self, name: &str) -> Result<Option<Manifest>, InstallError> {
        self.current()?.map_or(Ok(None), |current| generation::receipt(&current.path, name))
    }

    /// Begins a change of packages that come and go together or not at all.
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
        transaction.commit("install", [archive_name.to_owned()], |_| Ok(()))?;
        Ok(outcome)
    }

    /// Goes to another generation: to the one that was current before, or to this one. What no
    /// package installed goes along.
    ///
    /// # Errors
    /// [`InstallError`]; DEST is as it was.
    pub fn rollback(&self, to: Option<u64>) -> Result<Generation, InstallError> {
        let all = generation::all(&self.path)?;
        let missing = |number: String| InstallError::NoGeneration { dest: self.path.clone(), number };
        let current = all.iter().find(|generation| generation.current).ok_or_else(|| missing("to leave".to_owned()))?;
        let others = || all.iter().filter(|generation| !generation.current);
        let wanted = match to {
            Some(number) if number == current.number => return Ok(current.clone()),
            Some(number) => others().find(|generation| generation.number == number),
            None => others().max_by_key(|generation| (generation.order, generation.number)),
        };
        let number = || to.map_or_else(|| "before this one".to_owned(), |number| number.to_string());
        let wanted = wanted.ok_or_else(|| missing(number()))?;
        let carried = generation::sync_strangers(current, wanted)?;
        generation::leave(&self.path, current, carried)?;
        generation::switch(&self.path, wanted.number)?;
        Ok(Generation { current: true, ..wanted.clone() })
    }

    /// Removes all generations but the current one and the last `keep` before it. Those in which a
    /// program runs stay, and those that hold what is nobody's but the user's.
    ///
    /// # Errors
    /// [`InstallError`] if one can't be removed.
    pub fn prune(&self, keep: usize) -> Result<(Vec<Pruned>, Vec<Kept>), InstallError> {
        generation::prune(&self.path, keep)
    }

    /// Where packages are unpacked.
    fn staging(&self) -> PathBuf {
        self.path.join(generation::FOLDER).join(generation::STAGING)
    }
}

/// The first on the way to a folder that is something else.
fn not_a_folder(path: &Path) -> Option<PathBuf> {
    let mut all: Vec<_> = path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    all.reverse();
    all.into_iter().find(|path| fs::metadata(path).is_ok_and(|there| !there.is_dir())).map(Path::to_path_buf)
}
