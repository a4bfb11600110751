//! Generations of DEST: each is a whole installation, and a link says which one counts.
//!
//! | path in DEST | what it is |
//! |---|---|
//! | `generations/N` | an installation: `bin`, `root`, `compiled`, `packages`, … |
//! | `generations/N/packages/generation.json` | how it came about ([`About`]) |
//! | `generations/N/packages/NAME.provenance.json` | how a package was built, where its repository says that |
//! | `generations/N/packages/left.json` | when it stopped being the current one ([`Left`]) |
//! | `generations/current` | a link to the current one, replaced by one rename |
//! | `bin`, `root`, … | links to `generations/current/bin` and so on |
//! | `generations/.lock` | held by whoever changes DEST |
//! | `generations/.staging`, `generations/.gone-N` | what is unpacked; what is being removed |
//!
//! The loader takes its own directory, links resolved, for the installation. So a program that runs
//! keeps the generation that it was started from, and each has its own compiled code.

mod copy;
mod migrate;
mod prune;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::InstallError;
use super::package::Manifest;
use super::transaction::step;
use crate::regular;

pub(super) use copy::{copy, sync_strangers};
pub(super) use migrate::migrate;
pub use prune::{Kept, Pruned};
pub(super) use prune::{prune, remove};

/// The folder of DEST with all generations.
pub(super) const FOLDER: &str = "generations";
/// The link to the current one, beside them.
const CURRENT: &str = "current";
/// Receipts, and what is known of the generation.
pub(super) const PACKAGES: &str = "packages";
const ABOUT: &str = "packages/generation.json";
const LEFT: &str = "packages/left.json";
/// The mode of folders that are made, whatever the umask is.
const MODE: u32 = 0o755;

/// How a generation came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The version of this format: 1.
    pub version: u32,
    /// Seconds since 1970.
    pub made: u64,
    /// What made it, such as `install lxml`.
    pub by: String,
    /// The packages that were asked for by name; the others came because these need them.
    pub asked: BTreeSet<String>,
}

/// When a generation stopped being the current one, and what went along to its successor.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Left {
    /// Greater than those of all that were left before.
    pub(super) order: u64,
    /// The files that no package installed and that the successor got, too.
    pub(super) carried: BTreeSet<String>,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number: later ones have greater ones.
    pub number: u64,
    /// Its folder.
    pub path: PathBuf,
    /// How it came about.
    pub about: About,
    /// Whether it is the one that counts.
    pub current: bool,
    /// Greater for those that were current later; 0 for one that always was.
    pub(super) order: u64,
}

impl Generation {
    /// What is installed in it, sorted by name.
    ///
    /// # Errors
    /// [`InstallError`] if a receipt can't be read.
    pub fn receipts(&self) -> Result<Vec<Manifest>, InstallError> {
        receipts(&self.path)
    }

    /// The statement about how a package was built that came with it, as it came.
    ///
    /// # Errors
    /// [`InstallError`] if it can't be read.
    pub fn statement(&self, name: &str) -> Result<Option<Vec<u8>>, InstallError> {
        let path = self.path.join(PACKAGES).join(statement_name(name));
        match regular::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(InstallError::io("read", path)(error)),
        }
    }

    /// The bytes that it takes of the disk.
    ///
    /// # Errors
    /// [`InstallError`] if it can't be read.
    pub fn space(&self) -> Result<u64, InstallError> {
        prune::space(&self.path)
    }
}

/// An installation that is looked at. As long as this value lives, the generation is not removed.
#[derive(Debug)]
pub struct Installed {
    /// DEST.
    pub dest: PathBuf,
    /// The current generation.
    pub current: Generation,
    /// [`prune`] sees that the loader is open, as if a program ran.
    _held: Option<File>,
}

impl Installed {
    /// The installation in a folder; `None` if there is none.
    ///
    /// # Errors
    /// [`InstallError`] if what is there can't be read.
    pub fn find(dest: &Path) -> Result<Option<Self>, InstallError> {
        let Ok(dest) = dest.canonicalize() else { return Ok(None) };
        let current = match current(&dest)? {
            Some(current) => current,
            // An earlier program's installation has no generations.
            None if !receipt_names(&dest)?.is_empty() => {
                Generation { number: 1, path: dest.clone(), about: About::default(), current: true, order: 0 }
            }
            None => return Ok(None),
        };
        let held = regular::open(&current.path.join("bin/run")).ok();
        Ok(Some(Self { dest, current, _held: held }))
    }

    /// All generations, by number.
    ///
    /// # Errors
    /// [`InstallError`] if they can't be read.
    pub fn generations(&self) -> Result<Vec<Generation>, InstallError> {
        let all = all(&self.dest)?;
        Ok(if all.is_empty() { vec![self.current.clone()] } else { all })
    }
}

/// The number that a name in the folder of generations stands for.
fn number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    (number > 0 && number.to_string() == name).then_some(number)
}

/// The current generation; `None` if nothing is installed.
pub(super) fn current(dest: &Path) -> Result<Option<Generation>, InstallError> {
    let link = dest.join(FOLDER).join(CURRENT);
    let target = match fs::read_link(&link) {
        Ok(target) => target,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(InstallError::io("read the link", link)(error)),
    };
    let number = target
        .to_str()
        .and_then(number)
        .ok_or_else(|| InstallError::Layout { path: link.clone(), why: "it is no link to a generation" })?;
    read(dest, number).map(|generation| Some(Generation { current: true, ..generation }))
}

fn read(dest: &Path, number: u64) -> Result<Generation, InstallError> {
    let path = dest.join(FOLDER).join(number.to_string());
    if !fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
        return Err(InstallError::Layout { path, why: "it is no folder" });
    }
    let about = read_json(&path.join(ABOUT))?.unwrap_or_default();
    let left: Left = read_json(&path.join(LEFT))?.unwrap_or_default();
    Ok(Generation { number, path, about, current: false, order: left.order })
}

/// All generations, by number.
pub(super) fn all(dest: &Path) -> Result<Vec<Generation>, InstallError> {
    let now = current(dest)?.map(|current| current.number);
    let mut all = Vec::new();
    for name in names(&dest.join(FOLDER))? {
        if let Some(number) = number(&name) {
            let generation = read(dest, number)?;
            all.push(Generation { current: now == Some(number), ..generation });
        }
    }
    all.sort_by_key(|generation| generation.number);
    Ok(all)
}

/// The names in a folder; none if there is no such folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, InstallError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        entries => entries.map_err(InstallError::io("read", folder))?,
    };
    entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()
        .map_err(InstallError::io("read", folder))
}

/// Whether there is no such file, be it because a file is where a folder should be.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn receipt_names(installation: &Path) -> Result<BTreeSet<String>, InstallError> {
    let names = names(&installation.join(PACKAGES))?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".installed")).map(str::to_owned).collect())
}

/// The receipts of an installation, sorted by name.
pub(super) fn receipts(installation: &Path) -> Result<Vec<Manifest>, InstallError> {
    let names = receipt_names(installation)?;
    names.into_iter().filter_map(|name| receipt(installation, &name).transpose()).collect()
}

/// The receipt of a package; `None` if it is not installed.
pub(super) fn receipt(installation: &Path, name: &str) -> Result<Option<Manifest>, InstallError> {
    let path = installation.join(PACKAGES).join(format!("{name}.installed"));
    let bytes = match regular::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(InstallError::io("read", path)(error)),
    };
    let unsound = |source| InstallError::Receipt { path: path.clone(), source };
    let manifest = Manifest::parse(&bytes).map_err(unsound)?;
    if manifest.name != name {
        return Err(unsound(super::package::PackageError::Invalid("it is of another package".to_owned())));
    }
    Ok(Some(manifest))
}

/// The file of a package's statement, among the receipts.
pub(super) fn statement_name(package: &str) -> String {
    format!("{package}.provenance.json")
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, InstallError> {
    match regular::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| InstallError::io("read", path)(error.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(InstallError::io("read", path)(error)),
    }
}

/// Writes a file of a generation, `generations/N/packages/NAME`.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), InstallError> {
    let write = || {
        step()?;
        // Beside the generations, where what a kill leaves is swept away.
        let folder = path.ancestors().nth(3).unwrap_or(path);
        let file = tempfile::Builder::new().make_in(folder, |path| File::create_new(path))?;
        serde_json::to_writer(file.as_file(), value)?;
        step()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(InstallError::io("write", path))
}

/// Makes a folder, unless there is one, with the mode that all of ours have.
pub(super) fn make_folder(path: &Path) -> Result<(), InstallError> {
    match fs::DirBuilder::new().mode(MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(InstallError::io("create", path)),
    }
}

/// Refuses an installation that belongs to another user, who could have this program run anything.
pub(super) fn check_owner(dest: &Path) -> Result<(), InstallError> {
    let me = rustix::process::geteuid().as_raw();
    let generations = dest.join(FOLDER);
    let current = generations.join(CURRENT);
    for path in [dest.join(PACKAGES), current, generations] {
        if let Ok(there) = fs::metadata(&path)
            && there.uid() != me
        {
            return Err(InstallError::OtherUser { path, owner: there.uid() });
        }
    }
    Ok(())
}

/// Removes what was not finished: unpacked files, generations that never were current, and what is
/// left of removed ones.
pub(super) fn sweep(dest: &Path) -> Result<(), InstallError> {
    let folder = dest.join(FOLDER);
    let now = current(dest)?.map(|current| current.number);
    for name in names(&folder)? {
        let path = folder.join(&name);
        let unfinished = match number(&name) {
            // One that was current once was left.
            Some(number) => now != Some(number) && !path.join(LEFT).is_file(),
            None => name == STAGING || name.starts_with(".gone-") || name.starts_with(".tmp"),
        };
        if unfinished {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Where packages are unpacked.
pub(super) const STAGING: &str = ".staging";

/// The number of the next generation.
pub(super) fn next(dest: &Path) -> Result<u64, InstallError> {
    let names = names(&dest.join(FOLDER))?;
    Ok(names.iter().filter_map(|name| number(name)).max().unwrap_or(0) + 1)
}

/// Writes down how a generation came about.
pub(super) fn finish(path: &Path, by: &str, asked: BTreeSet<String>) -> Result<(), InstallError> {
    let made = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    write_json(&path.join(ABOUT), &About { version: 1, made, by: by.to_owned(), asked })
}

/// Changes which packages of a generation were asked for by name.
pub(super) fn set_asked(generation: &Generation, asked: BTreeSet<String>) -> Result<(), InstallError> {
    write_json(&generation.path.join(ABOUT), &About { version: 1, asked, ..generation.about.clone() })
}

/// Writes down that the current generation is about to be left.
pub(super) fn leave(dest: &Path, from: &Generation, carried: BTreeSet<String>) -> Result<(), InstallError> {
    let order = all(dest)?.iter().map(|generation| generation.order).max().unwrap_or(0) + 1;
    write_json(&from.path.join(LEFT), &Left { order, carried })
}

/// Makes a generation the current one: this is one rename. Links to its names in DEST come before,
/// links that lead nowhere now go after it.
pub(super) fn switch(dest: &Path, number: u64) -> Result<(), InstallError> {
    let folder = dest.join(FOLDER);
    let target = folder.join(number.to_string());
    for name in names(&target)? {
        link_name(dest, &name)?;
    }
    replace_link(Path::new(&number.to_string()), &folder, CURRENT)?;
    for name in names(dest)? {
        let link = dest.join(&name);
        if is_ours(dest, &name) && !target.join(&name).exists() {
            // It leads nowhere: it harms nobody.
            let _ = fs::remove_file(link);
        }
    }
    // What it says counts after a loss of power, too.
    File::open(&folder).and_then(|folder| folder.sync_all()).or(Ok(()))
}

/// What the link in DEST to a name in the current generation holds.
fn target_of(name: &str) -> PathBuf {
    Path::new(FOLDER).join(CURRENT).join(name)
}

/// Whether a name in DEST is a link to that name in the current generation.
pub(super) fn is_ours(dest: &Path, name: &str) -> bool {
    fs::read_link(dest.join(name)).is_ok_and(|target| target == target_of(name))
}

fn link_name(dest: &Path, name: &str) -> Result<(), InstallError> {
    if is_ours(dest, name) {
        return Ok(());
    }
    let link = dest.join(name);
    step().and_then(|()| symlink(target_of(name), &link)).map_err(InstallError::io("create the link", link))
}

/// Puts a link at a name, whatever link was there, by one rename.
fn replace_link(target: &Path, folder: &Path, name: &str) -> Result<(), InstallError> {
    let replace = || {
        step()?;
        let link = tempfile::Builder::new().prefix(".tmp").make_in(folder, |path| symlink(target, path))?;
        step()?;
        link.into_temp_path().persist(folder.join(name)).map_err(|error| error.error)
    };
    replace().map_err(InstallError::io("replace the link", folder.join(name)))
}
