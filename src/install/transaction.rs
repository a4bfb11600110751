//! Packages that are installed together or not at all.
//!
//! # Below `packages/.transaction`
//!
//! | path | what it is |
//! |---|---|
//! | `new/NAME/PATH`, `receipts/NAME.installed` | what is to be moved to its place |
//! | `old/PATH` | what was there before, as long as it may have to be put back |
//! | `compiled` | the earlier compiled code; DEST has a copy meanwhile, which preparing changes |
//! | `journal` | which paths are changed, and what of them was there before |
//!
//! Nothing outside this folder changes before the journal is on the disk, and the packages are
//! installed at the moment when it is removed. Whoever finds a journal undoes what it lists. Each
//! step of that can be repeated, so it may be interrupted, too.

mod journal;

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

use super::package::{self, Manifest, PackageError};
use super::prepare::{COMPILED, copy_code};
use super::{Destination, InstallError, Outcome};
use crate::regular;
use journal::Journal;
pub(super) use journal::recover;

/// Folders of DEST in which no package installs anything: receipts are ours to write, and the
/// loader trusts the native code that it finds in `compiled`.
const RESERVED: [&str; 2] = ["packages", COMPILED];
const FOLDER: &str = "packages/.transaction";
/// What a folder that packages install into lets everybody do.
const FOLDER_MODE: u32 = 0o755;

/// An install under way. What is added is unpacked and checked; [`Transaction::commit`] installs
/// all of it. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Transaction<'a> {
    destination: &'a Destination,
    packages: Vec<Staged>,
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
        let folder = destination.path.join(FOLDER);
        remove_tree(&folder)?;
        fs::create_dir(&folder).map_err(InstallError::io("create", &folder))?;
        let staging = Arc::new(Mutex::new(Some(folder)));
        let interrupted = Arc::clone(&staging);
        // An interrupt waits until what is being moved is at its place, and stops what is being
        // unpacked.
        crate::signals::before_end(move || {
            let mut staging = lock(&interrupted);
            discard(&mut staging);
            std::mem::forget(staging);
        });
        Ok(Self { destination, packages: Vec::new(), staging })
    }

    /// Unpacks a package from its archive, unless the very same is installed.
    ///
    /// # Errors
    /// [`InstallError`]; DEST is as it was.
    pub fn add(&mut self, archive_name: &str, archive: impl Read) -> Result<Outcome, InstallError> {
        let root = &self.destination.path;
        let mut intact = HashSet::new();
        let mut before = None;
        let new = OnceCell::new();
        let staging = &self.staging;
        let read = package::read::<Stop>(
            archive,
            |manifest| {
                reserved(manifest, root)?;
                before = self.destination.receipt(&manifest.name)?;
                if let Some(before) = &before {
                    let (whole, sound) = look_at(root, manifest, before)?;
                    if before == manifest && whole.len() == manifest.content.len() && sound {
                        return Err(Stop::Present(Box::new(manifest.clone())));
                    }
                    intact = whole;
                }
                let folder = new.get_or_init(|| root.join(FOLDER).join("new").join(&manifest.name));
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

    /// Installs what was added, if `prepare` succeeds with it: that is called when all of it is in
    /// its place, and may change the folder of compiled code.
    ///
    /// # Errors
    /// [`InstallError`]; DEST is as it was, unless that is [`InstallError::NotUndone`].
    pub fn commit(self, prepare: impl FnOnce() -> Result<(), InstallError>) -> Result<(), InstallError> {
        let staging = lock(&self.staging);
        if self.packages.iter().all(|package| package.outcome == Outcome::Present) {
            return Ok(());
        }
        let plan = InstallPlan::new(self.destination, &self.packages)?;
        let root = &self.destination.path;
        if let Err(error) = plan.journal.write(root).and_then(|()| plan.apply(self.destination, prepare)) {
            return Err(match recover(root) {
                Ok(()) => error,
                Err(undoing) => InstallError::NotUndone { error: Box::new(error), undoing: Box::new(undoing) },
            });
        }
        drop(staging);
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        discard(&mut lock(&self.staging));
    }
}

/// Removes what is unpacked. With a journal, it is the next install's to undo.
fn discard(staging: &mut Option<PathBuf>) {
    if let Some(folder) = staging.take().filter(|folder| !folder.join("journal").exists()) {
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
    let reserved = |path: &&RelPath| RESERVED.contains(&path.as_str().split('/').next().unwrap_or_default());
    match manifest.content.iter().map(|(path, _)| path).find(reserved) {
        Some(path) => Err(in_the_way(&manifest.name, root.join(path), "what is kept there is no package's")),
        None => Ok(()),
    }
}

/// Which paths of a package are there as it lists them, of those that its receipt lists as well;
/// and whether their folders are open to all, which is put right.
fn look_at(root: &Path, manifest: &Manifest, receipt: &Manifest) -> Result<(HashSet<RelPath>, bool), InstallError> {
    let mut sound = true;
    let mut inside = Inside::new(root);
    for folder in folders(&manifest.content) {
        let host = root.join(&folder);
        if inside.is(&folder) == There::Folder {
            let mode = fs::symlink_metadata(&host).map_err(InstallError::io("look at", &host))?.mode();
            if mode & FOLDER_MODE != FOLDER_MODE {
                let mode = fs::Permissions::from_mode(mode & 0o7777 | FOLDER_MODE);
                fs::set_permissions(&host, mode).map_err(InstallError::io("change the mode of", &host))?;
                sound = false;
            }
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

fn hash(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(regular::open(path)?)?;
    Ok(hasher.finalize())
}

fn mode(executable: bool) -> u32 {
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

/// How DEST becomes what it is to be.
#[derive(Default)]
struct InstallPlan {
    journal: Journal,
    /// Of what is set aside, that which nothing replaces at once.
    removed: Vec<RelPath>,
    /// From below the transaction's folder to DEST, in this order.
    moves: Vec<(PathBuf, RelPath)>,
    /// All that is installed afterwards.
    whole: Tree,
}

impl InstallPlan {
    fn new(destination: &Destination, packages: &[Staged]) -> Result<Self, InstallError> {
        let root = &destination.path;
        let before: BTreeMap<_, _> =
            destination.receipts()?.into_iter().map(|receipt| (receipt.name.clone(), receipt)).collect();
        let mut after: BTreeMap<&str, &Manifest> =
            before.iter().map(|(name, receipt)| (name.as_str(), receipt)).collect();
        after.extend(packages.iter().map(|package| (package.manifest.name.as_str(), &package.manifest)));
        let whole = Self::together(root, packages, &before, &after)?;

        let owned: HashSet<&RelPath> =
            before.values().flat_map(|receipt| receipt.content.iter().map(|(path, _)| path)).collect();
        let packages: Vec<_> = packages.iter().filter(|package| package.outcome != Outcome::Present).collect();
        let mut plan = Self::default();
        let mut inside = Inside::new(root);
        // What goes, of packages that are replaced.
        let mut leaving: BTreeSet<RelPath> = BTreeSet::new();
        let mut folders_left: BTreeSet<RelPath> = BTreeSet::new();
        for path in packages.iter().filter_map(|package| before.get(&package.manifest.name)).flat_map(paths) {
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
                folders_left.insert(folder);
            }
        }
        let mut aside: BTreeSet<RelPath> = leaving.clone();
        let mut made: BTreeSet<RelPath> = BTreeSet::new();
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
                            return Err(in_the_way(name, host, what));
                        }
                        There::Leaf | There::Nothing => made.insert(folder),
                    };
                }
                let folder = matches!(entry, Entry::EmptyDirectory);
                match inside.is(path) {
                    There::Leaf if owned.contains(path) => drop(aside.insert(path.clone())),
                    There::Leaf => return Err(in_the_way(name, root.join(path), "no package installed it")),
                    There::Folder if folder => continue,
                    There::Folder => {
                        let below = emptied(root, path, &leaving)
                            .map_err(|other| in_the_way(name, other, "no package installed it"))?;
                        folders_left.extend(below);
                        plan.journal.new.push(path.clone());
                    }
                    There::Nothing if folder => {}
                    There::Nothing => plan.journal.new.push(path.clone()),
                }
                if folder {
                    made.insert(path.clone());
                } else {
                    plan.moves.push((Path::new("new").join(name).join(path), path.clone()));
                }
            }
        }
        for folder in folders_left {
            let needed = whole.get(folder.as_str()).is_some_and(|entry| matches!(entry, Entry::EmptyDirectory))
                || whole.with_prefix(&format!("{folder}/")).next().is_some();
            let host = root.join(&folder);
            if !needed
                && let Ok(there) = fs::symlink_metadata(&host)
                && there.is_dir()
            {
                plan.journal.gone.push((folder, there.mode() & 0o7777));
            }
        }
        plan.removed = leaving.into_iter().collect();
        plan.receipts(root, &packages, &mut aside)?;
        plan.journal.aside = aside.into_iter().collect();
        plan.journal.made = made.into_iter().collect();
        plan.journal.had_code = root.join(COMPILED).symlink_metadata().is_ok();
        plan.whole = whole;
        Ok(plan)
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

    /// Puts the receipts beside what is unpacked: they take their places last.
    fn receipts(
        &mut self,
        root: &Path,
        packages: &[&Staged],
        aside: &mut BTreeSet<RelPath>,
    ) -> Result<(), InstallError> {
        let folder = root.join(FOLDER).join("receipts");
        fs::create_dir_all(&folder).map_err(InstallError::io("create", &folder))?;
        for Staged { manifest, outcome, .. } in packages {
            let name = format!("{}.installed", manifest.name);
            let file = folder.join(&name);
            let failed = || InstallError::io("write", &file);
            let bytes = serde_json::to_vec(manifest).map_err(|error| failed()(error.into()))?;
            step().and_then(|()| fs::write(&file, bytes)).map_err(failed())?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).map_err(failed())?;
            let path = RelPath::new(format!("packages/{name}"))
                .map_err(|error| failed()(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            if *outcome == Outcome::Replaced {
                aside.insert(path.clone());
            } else {
                self.journal.new.push(path.clone());
            }
            self.moves.push((Path::new("receipts").join(name), path));
        }
        Ok(())
    }

    fn apply(
        &self,
        destination: &Destination,
        prepare: impl FnOnce() -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        let unprepared = destination.unprepared();
        step().and_then(|()| File::create(&unprepared)).map_err(InstallError::io("write", unprepared))?;
        let root = &destination.path;
        let folder = root.join(FOLDER);
        let old = folder.join("old");
        let replaced: HashSet<&RelPath> = self.journal.aside.iter().collect();
        let set_aside = |path: &RelPath, how: fn(&Path, &Path) -> io::Result<()>| {
            let (from, to) = (root.join(path), old.join(path));
            let above = to.parent().unwrap_or(&old);
            let done = step().and_then(|()| fs::create_dir_all(above)).and_then(|()| how(&from, &to));
            done.map_err(InstallError::io("set aside", from))
        };
        for path in &self.removed {
            set_aside(path, |from, to| fs::rename(from, to))?;
        }
        for (path, _) in self.journal.gone.iter().rev() {
            let host = root.join(path);
            // One in which something is left stays.
            match step().and_then(|()| fs::remove_dir(&host)) {
                Err(error) if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {
                    return Err(InstallError::io("remove", host)(error));
                }
                _ => {}
            }
        }
        for path in &self.journal.made {
            let host = root.join(path);
            let made = step().and_then(|()| match fs::create_dir(&host) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            });
            let made = made.and_then(|()| fs::set_permissions(&host, fs::Permissions::from_mode(FOLDER_MODE)));
            made.map_err(InstallError::io("create", &host))?;
        }
        for (from, path) in &self.moves {
            if replaced.contains(path) {
                // By another name, so that there is always something at the place.
                set_aside(path, |from, to| match fs::hard_link(from, to) {
                    Err(error) if error.kind() != io::ErrorKind::StorageFull => fs::rename(from, to),
                    linked => linked,
                })?;
            }
            let host = root.join(path);
            step().and_then(|()| fs::rename(folder.join(from), &host)).map_err(InstallError::io("write", host))?;
        }
        for folder in folders(&self.whole) {
            // They are only times.
            let _ = set_time(&root.join(folder));
        }
        if self.journal.had_code {
            // Its own files, and no copies of them, are what programs are known by: they are set
            // aside.
            let (code, aside) = (root.join(COMPILED), folder.join(COMPILED));
            let done = step().and_then(|()| fs::rename(&code, &aside));
            let done = done.and_then(|()| step()).and_then(|()| copy_code(&aside, &code));
            done.map_err(InstallError::io("set aside", code))?;
        }
        prepare()?;
        // From here on it is done.
        let journal = Journal::path(root);
        step().and_then(|()| fs::remove_file(&journal)).map_err(InstallError::io("remove", &journal))?;
        // What is left of it goes with the transaction, or with the next install.
        File::open(&folder).and_then(|folder| folder.sync_all()).or(Ok(()))
    }
}

fn paths(manifest: &Manifest) -> impl Iterator<Item = &RelPath> {
    manifest.content.iter().map(|(path, _)| path)
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

/// Every change to the disk passes here, so that tests can have it fail or end there.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "it fails in tests")]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use tests::step;

#[cfg(test)]
mod tests;
