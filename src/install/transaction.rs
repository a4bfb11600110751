//! Packages that are installed or removed together or not at all.
//!
//! Packages are unpacked into `generations/.staging` and checked. Then the next generation is made:
//! a copy of the current one, in which files are moved to their places and removed, and programs
//! are compiled. It becomes the current one by one rename. What an error or a kill leaves before
//! that is removed, at once or when DEST is opened next; nobody has seen it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use build_graph::{Entry, RelPath, SOURCE_DATE_EPOCH, Tree};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::generation::{self, Generation, STAGING, make_folder, remove};
use super::package::{self, Manifest, PackageError};
use super::prepare::COMPILED;
use super::{Destination, InstallError, Outcome};
use crate::regular;

/// Folders of DEST in which no package installs anything: receipts are ours to write, and the
/// loader trusts the native code that it finds in `compiled`.
const RESERVED: [&str; 3] = [generation::PACKAGES, COMPILED, generation::FOLDER];
/// What a folder that packages install into lets everybody do.
const FOLDER_MODE: u32 = 0o755;

/// An install under way. What is added is unpacked and checked; [`Transaction::commit`] installs
/// all of it. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Transaction<'a> {
    destination: &'a Destination,
    /// What it begins with.
    before: Option<Generation>,
    packages: Vec<Staged>,
    /// Packages that go.
    gone: BTreeSet<String>,
    /// Statements about how packages were built, by their names.
    statements: BTreeMap<String, Vec<u8>>,
    staging: Arc<Mutex<Option<PathBuf>>>,
}

/// An unpacked package.
#[derive(Debug)]
struct Staged {
    manifest: Manifest,
    outcome: Outcome,
    /// What is in DEST as it should be, and stays.
    intact: HashSet<RelPath>,
}

impl<'a> Transaction<'a> {
    pub(super) fn begin(destination: &'a Destination) -> Result<Self, InstallError> {
        let folder = destination.staging();
        remove(&folder)?;
        make_folder(&folder)?;
        let before = destination.current()?;
        let staging = Arc::new(Mutex::new(Some(folder)));
        let interrupted = Arc::clone(&staging);
        // An interrupt waits until what is being moved is at its place, and stops what is being
        // unpacked.
        crate::signals::before_end(move || {
            let mut staging = lock(&interrupted);
            discard(&mut staging);
            std::mem::forget(staging);
        });
        let (packages, gone, statements) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        Ok(Self { destination, before, packages, gone, statements, staging })
    }

    /// Unpacks a package from its archive, unless the very same is installed.
    ///
    /// # Errors
    /// [`InstallError`]; DEST is as it was.
    pub fn add(&mut self, archive_name: &str, archive: impl Read) -> Result<Outcome, InstallError> {
        let (dest, current) = (&self.destination.path, self.before.as_ref().map(|before| before.path.as_path()));
        let mut intact = HashSet::new();
        let mut before = None;
        let new = OnceCell::new();
        let staging = &self.staging;
        let read = package::read::<Stop>(
            archive,
            |manifest| {
                reserved(manifest, dest)?;
                if let Some(root) = current {
                    before = generation::receipt(root, &manifest.name)?;
                    if let Some(before) = &before {
                        let (whole, sound) = look_at(root, manifest, before)?;
                        if before == manifest && whole.len() == manifest.content.len() && sound {
                            return Err(Stop::Present(Box::new(manifest.clone())));
                        }
                        intact = whole;
                    }
                }
                let folder = new.get_or_init(|| self.destination.staging().join("new").join(&manifest.name));
                fs::create_dir_all(folder).map_err(InstallError::io("create", folder))?;
                Ok(())
            },
            |path, entry, bytes| {
                let _staging = lock(staging);
                // It was made when the description was read.
                let Some(folder) = new.get() else { return Ok(()) };
                step().map_err(InstallError::io("write", folder))?;
                Ok(stage(folder, archive_name, path, entry, bytes)?)
            },
        );
        let (manifest, outcome) = match read {
            Ok(manifest) => (manifest, if before.is_some() { Outcome::Replaced } else { Outcome::Installed }),
            Err(Stop::Present(manifest)) => (*manifest, Outcome::Present),
            Err(Stop::Package(source)) => {
                return Err(InstallError::Package { name: archive_name.to_owned(), source });
            }
            Err(Stop::Install(error)) => return Err(*error),
        };
        self.packages.push(Staged { manifest, outcome, intact });
        Ok(outcome)
    }

    /// Keeps a statement about how a package was built beside its receipt, if the package is
    /// installed or replaced.
    pub fn state(&mut self, name: &str, statement: Vec<u8>) {
        self.statements.insert(name.to_owned(), statement);
    }

    /// Has an installed package go.
    ///
    /// # Errors
    /// [`InstallError::NotInstalled`].
    pub fn remove(&mut self, name: &str) -> Result<Manifest, InstallError> {
        let receipt = match &self.before {
            Some(before) => generation::receipt(&before.path, name)?,
            None => None,
        };
        let missing = || InstallError::NotInstalled { dest: self.destination.path.clone(), name: name.to_owned() };
        let receipt = receipt.ok_or_else(missing)?;
        self.gone.insert(name.to_owned());
        Ok(receipt)
    }

    /// Makes the next generation of what was added, if `prepare` succeeds with its folder: that is
    /// called when everything is at its place there, and may change the folder of compiled code.
    /// `by` says what makes it, `asked` which packages were asked for by name. Gives its number, or
    /// `None` if nothing changes.
    ///
    /// # Errors
    /// [`InstallError`]; DEST is as it was.
    pub fn commit(
        self,
        by: &str,
        asked: impl IntoIterator<Item = String>,
        prepare: impl FnOnce(&Path) -> Result<(), InstallError>,
    ) -> Result<Option<u64>, InstallError> {
        let staging = lock(&self.staging);
        let dest = &self.destination.path;
        let mut wanted = self.before.as_ref().map(|before| before.about.asked.clone()).unwrap_or_default();
        wanted.extend(asked);
        wanted.retain(|name| !self.gone.contains(name));
        if self.gone.is_empty() && self.packages.iter().all(|package| package.outcome == Outcome::Present) {
            if let Some(before) = self.before.as_ref().filter(|before| before.about.asked != wanted) {
                generation::set_asked(before, wanted)?;
            }
            return Ok(None);
        }
        let plan = InstallPlan::new(dest, self.before.as_ref(), &self.packages, &self.gone)?;
        let number = generation::next(dest)?;
        let new = dest.join(generation::FOLDER).join(number.to_string());
        let make = || {
            make_folder(&new)?;
            if let Some(before) = &self.before {
                let carried = generation::copy(before, &new)?;
                generation::leave(dest, before, carried)?;
            }
            plan.apply(&self.destination.staging(), &new, &self.statements)?;
            prepare(&new)?;
            generation::finish(&new, by, wanted)?;
            generation::switch(dest, number)
        };
        if let Err(error) = make() {
            // What can't be removed now goes when DEST is opened next: it is not whole, or not
            // current.
            let _ = fs::remove_dir_all(&new);
            return Err(error);
        }
        drop(staging);
        Ok(Some(number))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        discard(&mut lock(&self.staging));
    }
}

/// Removes what is unpacked.
fn discard(staging: &mut Option<PathBuf>) {
    if let Some(folder) = staging.take() {
        let _ = fs::remove_dir_all(folder);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Stop {
    Present(Box<Manifest>),
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

fn in_the_way(name: &str, path: PathBuf, why: impl Into<String>) -> InstallError {
    InstallError::InTheWay { name: name.to_owned(), path, why: why.into() }
}

fn reserved(manifest: &Manifest, root: &Path) -> Result<(), InstallError> {
    match manifest.content.iter().map(|(path, _)| path).find(|path| is_reserved(path)) {
        Some(path) => Err(in_the_way(&manifest.name, root.join(path), "what is kept there is no package's")),
        None => Ok(()),
    }
}

fn is_reserved(path: &RelPath) -> bool {
    RESERVED.contains(&path.as_str().split('/').next().unwrap_or_default())
}

/// Which paths of a package are there as it lists them, of those that its receipt lists as well;
/// and whether their folders are open to all.
fn look_at(root: &Path, manifest: &Manifest, receipt: &Manifest) -> Result<(HashSet<RelPath>, bool), InstallError> {
    let mut sound = true;
    let mut inside = Inside::new(root);
    for folder in folders(&manifest.content) {
        let host = root.join(&folder);
        if inside.is(&folder) == There::Folder {
            let mode = fs::symlink_metadata(&host).map_err(InstallError::io("look at", &host))?.mode();
            sound &= mode & FOLDER_MODE == FOLDER_MODE;
        }
    }
    let mut listed = Vec::new();
    for (path, entry) in manifest.content.iter() {
        let there = match inside.is(path) {
            There::Folder => matches!(entry, Entry::EmptyDirectory),
            There::Leaf => !matches!(entry, Entry::EmptyDirectory),
            There::Nothing => false,
        };
        if there && receipt.content.get(path.as_str()) == Some(entry) {
            listed.push((path, entry));
        }
    }
    let whole = listed.par_iter().filter(|(path, entry)| is_intact(&root.join(path), entry));
    Ok((whole.map(|(path, _)| (*path).clone()).collect(), sound))
}

/// Whether what is there has the bytes, the mode and the time that it was installed with.
fn is_intact(host: &Path, entry: &Entry) -> bool {
    let Ok(there) = fs::symlink_metadata(host) else { return false };
    match entry {
        Entry::File { digest, size, executable } => {
            there.is_file()
                && there.len() == *size
                && there.mode() & 0o7777 == mode(*executable)
                && there.mtime() == SOURCE_DATE_EPOCH as i64
                && hash(host).is_ok_and(|hash| hash.as_bytes() == digest.as_bytes())
        }
        Entry::Symlink { target } => fs::read_link(host).is_ok_and(|there| there.as_os_str() == target.as_str()),
        Entry::EmptyDirectory => there.is_dir(),
    }
}

pub(super) fn hash(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(regular::open(path)?)?;
    Ok(hasher.finalize())
}

pub(super) fn mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

/// What is at a path of DEST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Folder,
    /// A file, a link, or another thing without anything below it.
    Leaf,
}

/// Looks at paths of DEST without following links: below a link nothing is DEST's.
struct Inside<'a> {
    root: &'a Path,
    known: HashMap<RelPath, There>,
}

impl<'a> Inside<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, known: HashMap::new() }
    }

    fn is(&mut self, path: &RelPath) -> There {
        if let Some(there) = self.known.get(path) {
            return *there;
        }
        let there = match path.parent().map(|parent| self.is(&parent)) {
            None | Some(There::Folder) => match fs::symlink_metadata(self.root.join(path)) {
                Ok(there) if there.is_dir() => There::Folder,
                Ok(_) => There::Leaf,
                Err(_) => There::Nothing,
            },
            Some(_) => There::Nothing,
        };
        self.known.insert(path.clone(), there);
        there
    }
}

/// The folders of a tree, those further up first.
fn folders(content: &Tree) -> BTreeSet<RelPath> {
    let mut folders = BTreeSet::new();
    for (path, entry) in content.iter() {
        let own = matches!(entry, Entry::EmptyDirectory).then(|| path.clone());
        let mut above = own.or_else(|| path.parent());
        while let Some(folder) = above.take_if(|folder| !folders.contains(folder)) {
            above = folder.parent();
            folders.insert(folder);
        }
    }
    folders
}

/// How a copy of the current generation becomes the next one.
#[derive(Default)]
struct InstallPlan {
    /// Files and links that go.
    removed: Vec<RelPath>,
    /// Folders that go if nothing is left in them, those further up first.
    folders_gone: BTreeSet<RelPath>,
    /// Folders that are made, those further up first.
    made: BTreeSet<RelPath>,
    /// From below the staging folder to the generation, in this order.
    moves: Vec<(PathBuf, RelPath)>,
    /// What is written as receipts.
    receipts: Vec<Manifest>,
    /// All that is installed afterwards.
    whole: Tree,
}

impl InstallPlan {
    fn new(
        dest: &Path,
        current: Option<&Generation>,
        packages: &[Staged],
        gone: &BTreeSet<String>,
    ) -> Result<Self, InstallError> {
        // Nothing is where there is no generation yet.
        let nowhere = dest.join(generation::FOLDER).join(STAGING).join("none");
        let root = current.map_or(&*nowhere, |current| &*current.path);
        let receipts = current.map(Generation::receipts).transpose()?.unwrap_or_default();
        let before: BTreeMap<_, _> = receipts.into_iter().map(|receipt| (receipt.name.clone(), receipt)).collect();
        let mut after: BTreeMap<&str, &Manifest> = before
            .iter()
            .filter(|(name, _)| !gone.contains(*name))
            .map(|(name, receipt)| (name.as_str(), receipt))
            .collect();
        after.extend(packages.iter().map(|package| (package.manifest.name.as_str(), &package.manifest)));
        let whole = Self::together(dest, packages, &before, &after)?;
        names_are_free(dest, packages)?;

        let owned: HashSet<&RelPath> =
            before.values().flat_map(|receipt| receipt.content.iter().map(|(path, _)| path)).collect();
        let packages: Vec<_> = packages.iter().filter(|package| package.outcome != Outcome::Present).collect();
        let mut plan = Self::default();
        let mut inside = Inside::new(root);
        let replaced = packages.iter().map(|package| &package.manifest.name);
        let leaving = plan.leaving(replaced.chain(gone).filter_map(|name| before.get(name)), &whole, &mut inside);
        // Two packages may have the same file.
        let mut placed: HashSet<&RelPath> = HashSet::new();
        for package in &packages {
            let name = &package.manifest.name;
            for (path, entry) in package.manifest.content.iter() {
                if package.intact.contains(path) || !placed.insert(path) {
                    continue;
                }
                let mut above = path.parent();
                while let Some(folder) = above {
                    above = folder.parent();
                    match inside.is(&folder) {
                        There::Folder => break,
                        There::Leaf if !leaving.contains(&folder) => {
                            let host = root.join(&folder);
                            let link = fs::symlink_metadata(&host).is_ok_and(|there| there.is_symlink());
                            let what = if link { "it is a symbolic link" } else { "it is no folder" };
                            return Err(in_the_way(name, dest.join(folder), what));
                        }
                        There::Leaf | There::Nothing => plan.made.insert(folder),
                    };
                }
                let folder = matches!(entry, Entry::EmptyDirectory);
                match inside.is(path) {
                    There::Leaf if owned.contains(path) => {}
                    There::Leaf => return Err(in_the_way(name, dest.join(path), "no package installed it")),
                    There::Folder if folder => continue,
                    There::Folder => {
                        let below = emptied(root, path, &leaving).map_err(|other| {
                            let other = other.strip_prefix(root).map_or_else(|_| other.clone(), |path| dest.join(path));
                            in_the_way(name, other, "no package installed it")
                        })?;
                        plan.folders_gone.extend(below);
                    }
                    There::Nothing => {}
                }
                if folder {
                    plan.made.insert(path.clone());
                } else {
                    plan.moves.push((Path::new("new").join(name).join(path), path.clone()));
                }
            }
        }
        plan.folders_gone.retain(|folder| {
            let empty = whole.get(folder.as_str()).is_some_and(|entry| matches!(entry, Entry::EmptyDirectory));
            !empty && whole.with_prefix(&format!("{folder}/")).next().is_none()
        });
        let beside = |file: String| RelPath::new(format!("{}/{file}", generation::PACKAGES)).ok();
        let receipts = gone.iter().filter_map(|name| beside(format!("{name}.installed")));
        // Those of packages that are replaced are not about the new ones.
        let stated =
            packages.iter().map(|package| &package.manifest.name).chain(gone).filter_map(|name| {
                beside(generation::statement_name(name)).filter(|path| inside.is(path) == There::Leaf)
            });
        plan.removed = leaving.into_iter().chain(receipts).chain(stated.collect::<Vec<_>>()).collect();
        plan.receipts = packages.into_iter().map(|package| package.manifest.clone()).collect();
        plan.whole = whole;
        Ok(plan)
    }

    /// What goes of packages that are replaced or removed.
    fn leaving<'m>(
        &mut self,
        packages: impl Iterator<Item = &'m Manifest>,
        whole: &Tree,
        inside: &mut Inside<'_>,
    ) -> BTreeSet<RelPath> {
        let mut leaving = BTreeSet::new();
        let content = packages.flat_map(|receipt| receipt.content.iter());
        for path in content.map(|(path, _)| path).filter(|path| !is_reserved(path)) {
            let there = inside.is(path);
            match whole.get(path.as_str()) {
                Some(Entry::EmptyDirectory) if there == There::Leaf => {}
                Some(_) => continue,
                None => {}
            }
            if there == There::Leaf {
                leaving.insert(path.clone());
            }
            let mut above = if there == There::Folder { Some(path.clone()) } else { path.parent() };
            while let Some(folder) = above {
                above = folder.parent();
                self.folders_gone.insert(folder);
            }
        }
        leaving
    }

    /// What is installed afterwards, if that fits together.
    fn together(
        root: &Path,
        packages: &[Staged],
        before: &BTreeMap<String, Manifest>,
        after: &BTreeMap<&str, &Manifest>,
    ) -> Result<Tree, InstallError> {
        for Staged { manifest, .. } in packages {
            let other = before.values().chain(packages.iter().map(|other| &other.manifest));
            if let Some(other) = other.into_iter().find(|other| other.target != manifest.target) {
                return Err(InstallError::OtherTarget {
                    dest: root.to_path_buf(),
                    name: manifest.name.clone(),
                    target: manifest.target.to_string(),
                    installed: other.target.to_string(),
                });
            }
        }
        let new: HashSet<_> = packages.iter().map(|package| package.manifest.name.as_str()).collect();
        // Those that are there fit together: what does not is the fault of a new one.
        let ordered = || {
            let all = after.values().copied();
            let (there, coming): (Vec<&Manifest>, Vec<_>) = all.partition(|one| !new.contains(one.name.as_str()));
            there.into_iter().chain(coming)
        };
        let mut whole = Tree::new();
        for manifest in ordered() {
            for (path, entry) in manifest.content.iter() {
                if whole.insert(path.clone(), entry.clone()).is_ok() {
                    continue;
                }
                let clashes = |other: &&Manifest| {
                    let mut alone = other.content.clone();
                    other.name != manifest.name && alone.insert(path.clone(), entry.clone()).is_err()
                };
                let other = ordered().find(|other| clashes(other)).map(|other| other.name.clone());
                let (one, other, path) = (manifest.name.clone(), other.unwrap_or_default(), path.clone());
                return Err(InstallError::Conflict { one, other, path });
            }
        }
        Ok(whole)
    }

    /// Changes a copy of the current generation into the next one.
    fn apply(&self, staging: &Path, root: &Path, statements: &BTreeMap<String, Vec<u8>>) -> Result<(), InstallError> {
        for path in &self.removed {
            let host = root.join(path);
            step().and_then(|()| fs::remove_file(&host)).map_err(InstallError::io("remove", host))?;
        }
        let mut inside = Inside::new(root);
        for path in self.folders_gone.iter().rev().filter(|path| inside.is(path) == There::Folder) {
            let host = root.join(path);
            // One in which something is left stays.
            match step().and_then(|()| fs::remove_dir(&host)) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                    return Err(InstallError::io("remove", host)(error));
                }
                _ => {}
            }
        }
        for path in &self.made {
            let host = root.join(path);
            step().map_err(InstallError::io("create", &host))?;
            make_folder(&host)?;
        }
        for (from, path) in &self.moves {
            let host = root.join(path);
            step().and_then(|()| fs::rename(staging.join(from), &host)).map_err(InstallError::io("write", host))?;
        }
        let mut inside = Inside::new(root);
        for folder in folders(&self.whole).into_iter().filter(|folder| inside.is(folder) == There::Folder) {
            let host = root.join(folder);
            open_to_all(&host).map_err(InstallError::io("change the mode of", &host))?;
            // They are only times.
            let _ = set_time(&host);
        }
        let packages = root.join(generation::PACKAGES);
        make_folder(&packages)?;
        for manifest in &self.receipts {
            let name = &manifest.name;
            let receipt =
                serde_json::to_vec(manifest).map_err(|error| InstallError::io("write", &packages)(error.into()))?;
            write_beside(&packages.join(format!("{name}.installed")), &receipt)?;
            if let Some(statement) = statements.get(name) {
                write_beside(&packages.join(generation::statement_name(name)), statement)?;
            }
        }
        Ok(())
    }
}

/// Writes a file that is kept of a package.
fn write_beside(file: &Path, bytes: &[u8]) -> Result<(), InstallError> {
    let write = || {
        step()?;
        fs::write(file, bytes)?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o644))
    };
    write().map_err(InstallError::io("write", file))
}

/// Lets everybody read and enter a folder.
fn open_to_all(folder: &Path) -> io::Result<()> {
    let mode = fs::symlink_metadata(folder)?.mode() & 0o7777;
    if mode & FOLDER_MODE == FOLDER_MODE {
        return Ok(());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(mode | FOLDER_MODE))
}

/// Whether the first names of what is to be installed are free in DEST, or lead to the current
/// generation.
fn names_are_free(dest: &Path, packages: &[Staged]) -> Result<(), InstallError> {
    for Staged { manifest, .. } in packages {
        let ours = [generation::PACKAGES, COMPILED].into_iter();
        let paths = manifest.content.iter().map(|(path, _)| path.as_str().split('/').next().unwrap_or_default());
        let names: BTreeSet<&str> = ours.chain(paths).collect();
        for name in names.into_iter().filter(|name| !generation::is_ours(dest, name)) {
            let host = dest.join(name);
            if let Ok(there) = fs::symlink_metadata(&host) {
                let why = if there.is_symlink() { "it is a symbolic link" } else { "no package installed it" };
                return Err(in_the_way(&manifest.name, host, why));
            }
        }
    }
    Ok(())
}

/// The folders at and below one that has to give way, if nothing is in it but what leaves; else
/// what keeps it.
fn emptied(root: &Path, folder: &RelPath, leaving: &BTreeSet<RelPath>) -> Result<Vec<RelPath>, PathBuf> {
    let mut folders = Vec::new();
    for entry in walkdir::WalkDir::new(root.join(folder)) {
        let entry = entry.map_err(|error| error.path().map_or_else(|| root.join(folder), Path::to_path_buf))?;
        let path = entry.path().strip_prefix(root).ok().and_then(Path::to_str).and_then(|path| RelPath::new(path).ok());
        let path = path.ok_or_else(|| entry.path().to_path_buf())?;
        if entry.file_type().is_dir() {
            folders.push(path);
        } else if !leaving.contains(&path) {
            return Err(entry.into_path());
        }
    }
    Ok(folders)
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
            let mode = fs::Permissions::from_mode(mode(*executable));
            file.set_permissions(mode).map_err(InstallError::io("write", &host))?;
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

/// Every change to the disk passes here, so that tests can have it fail or end there.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "it fails in tests")]
pub(super) fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use tests::step;

#[cfg(test)]
mod tests;
