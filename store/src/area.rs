//! Areas: folders below the store's root where other rooms keep files that are no results.
//!
//! A room asks for its area by [`Store::area`], or for a folder in it that one process at a time
//! uses by [`Store::place`]. So the store knows all of them: [`Store::stats`] counts their bytes,
//! [`Store::gc`] makes room in them, and [`Store::verify`] names what lies beside them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use build_graph::{NodeKey, TreeDigest};
use rustix::fs::{AtFlags, CWD, FlockOperation, statat};
use rustix::io::Errno;
use walkdir::WalkDir;

use super::files::{Time, modified};
use super::gc::names;
use super::lock::{PATIENCE, flock_telling};
use super::remove::remove_at;
use super::{Result, Store, StoreError};

/// A folder of the store that belongs to another room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Where cargo builds host programs: one [place](Store::place) a node.
    Cargo,
    /// Code that loaders compiled at an install: a file a module. Who uses one sets its time.
    Compiled,
    /// What executors know of this machine and of its Docker daemon.
    Executors,
    /// Files that `lock` read, by their SHA-256.
    Locking,
    /// What actions printed, by the keys of their results: `XX/KEY` ([`Store::log`]).
    Logs,
    /// Downloads that are not finished. A process that works on one holds its lock.
    Partial,
    /// What a moment ago was true of remotes.
    Remotes,
    /// What was seen of repositories of packages, so that an older state of one is noticed.
    Repositories,
    /// Wheels that requirements name: a folder for each, called by its SHA-256.
    Wheels,
    /// Servers' digests of trees: `KIND/XX/TREE`.
    Wire,
}

/// What garbage collection does with an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// Each file and folder goes by its age and for room, unless a process holds its lock.
    Items,
    /// So does each place.
    Places,
    /// Each file goes when the store no longer has the tree of its name.
    WithTrees,
    /// Each file goes when the store no longer has the result of the key that is its name, and was
    /// not written within the time that is spared: an action is logged before its result is there.
    WithResults,
    /// Each file goes when it was not written within the time that [`GcPolicy::spare`] spares.
    ///
    /// [`GcPolicy::spare`]: super::GcPolicy::spare
    ShortLived,
    /// Everything stays.
    Everything,
}

impl Area {
    /// All areas, in the order of their folders' names.
    pub const ALL: [Self; 10] = [
        Self::Cargo,
        Self::Compiled,
        Self::Executors,
        Self::Locking,
        Self::Logs,
        Self::Partial,
        Self::Remotes,
        Self::Repositories,
        Self::Wheels,
        Self::Wire,
    ];

    /// Returns the name of the folder below the store's root.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Compiled => "compiled",
            Self::Executors => "executors",
            Self::Locking => "locking",
            Self::Logs => "logs",
            Self::Partial => "partial",
            Self::Remotes => "remotes",
            Self::Repositories => "repositories",
            Self::Wheels => "wheels",
            Self::Wire => "wire",
        }
    }

    /// Says what is in it, as in "5 MiB of …".
    pub fn content(self) -> &'static str {
        match self {
            Self::Cargo => "cargo's, for host programs",
            Self::Compiled => "compiled code, for installs",
            Self::Executors => "executors' notes",
            Self::Locking => "files that `lock` read",
            Self::Logs => "logs of actions",
            Self::Partial => "unfinished downloads",
            Self::Remotes => "notes on remotes",
            Self::Repositories => "notes on repositories",
            Self::Wheels => "wheels of Python",
            Self::Wire => "digests that engines use",
        }
    }

    fn keeping(self) -> Keeping {
        match self {
            Self::Cargo => Keeping::Places,
            Self::Compiled | Self::Locking | Self::Partial | Self::Wheels => Keeping::Items,
            Self::Executors | Self::Repositories => Keeping::Everything,
            Self::Logs => Keeping::WithResults,
            Self::Remotes => Keeping::ShortLived,
            Self::Wire => Keeping::WithTrees,
        }
    }
}

/// A number of bytes for each area.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AreaBytes([u64; Area::ALL.len()]);

impl AreaBytes {
    /// Returns the bytes of one area.
    pub fn of(&self, area: Area) -> u64 {
        self.0[area as usize]
    }

    /// Returns the bytes of all areas together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the areas that have any, with their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Area, u64)> {
        Area::ALL.into_iter().map(|area| (area, self.of(area))).filter(|(_, bytes)| *bytes > 0)
    }

    fn add(&mut self, area: Area, bytes: u64) {
        self.0[area as usize] += bytes;
    }
}

impl std::ops::AddAssign for AreaBytes {
    fn add_assign(&mut self, other: Self) {
        for (ours, theirs) in self.0.iter_mut().zip(other.0) {
            *ours += theirs;
        }
    }
}

/// A folder in an area, held by this process until it is dropped.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    _lock: File,
}

impl Place {
    /// Returns the folder. The file `lock` in it is the store's.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Something in an area that may go.
struct Item {
    area: Area,
    path: PathBuf,
    used: Time,
    bytes: u64,
}

/// Which items go, by time and for room.
pub(super) struct Room {
    /// What was used at this time or later stays.
    pub(super) spared: Time,
    /// What was used before this time goes.
    pub(super) oldest: Option<Time>,
    /// How many bytes of blobs and of areas together may stay.
    pub(super) max_size: Option<u64>,
}

impl Store {
    /// Returns the folder of an area. It may not be there yet: who writes to it makes it.
    pub fn area(&self, area: Area) -> PathBuf {
        self.root.join(area.folder())
    }

    /// Waits until no other process holds the place `name` of an area, and takes it; makes it if it
    /// is not there. Garbage collection takes no place that is held. `name` is a relative path.
    ///
    /// # Errors
    /// [`StoreError`] if the folder or its lock can't be made.
    pub fn place(&self, area: Area, name: &str) -> Result<Place> {
        let path = self.area(area).join(name);
        let lock = path.join("lock");
        let failed = |doing, at: &Path, error| StoreError::inside(&self.root, doing, at, error);
        loop {
            fs::create_dir_all(&path).map_err(|error| failed("making the folder", &path, error))?;
            // Truncated, so that its time is now.
            let file = match File::create(&lock) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("making", &lock, error)),
            };
            flock_telling(&file, FlockOperation::LockExclusive, PATIENCE, self.options.waiting.as_ref())
                .map_err(|error| failed("locking", &lock, error.into()))?;
            // Who collects garbage may have removed it while we waited.
            if is_same(&file, &lock) {
                return Ok(Place { path, _lock: file });
            }
        }
    }

    /// Counts the bytes of all areas.
    pub(super) fn area_bytes(&self) -> AreaBytes {
        let mut bytes = AreaBytes::default();
        for area in Area::ALL {
            bytes.add(area, bytes_of(&self.area(area)));
        }
        bytes
    }

    /// Removes what goes by its age and for room, what was not used for longest first. Returns the
    /// bytes that were removed.
    pub(super) fn make_room(&self, blobs: u64, room: &Room) -> Result<AreaBytes> {
        let mut total = blobs + self.area_bytes().total();
        let mut items = self.items()?;
        items.sort_by_key(|item| item.used);
        let mut removed = AreaBytes::default();
        for item in items {
            let is_old = room.oldest.is_some_and(|oldest| item.used < oldest);
            let lacks_room = room.max_size.is_some_and(|size| total > size);
            if (is_old || lacks_room) && item.used < room.spared {
                let gone = match item.area.keeping() {
                    Keeping::Places => remove_place(&item.path),
                    _ => remove_item(&item.path),
                };
                if gone.map_err(|error| StoreError::inside(&self.root, "removing", &item.path, error))? {
                    total = total.saturating_sub(item.bytes);
                    removed.add(item.area, item.bytes);
                }
            }
        }
        Ok(removed)
    }

    /// Removes what no longer means anything: digests of trees and logs of results that the store
    /// has not, and notes
    /// that nobody wrote since `spared`. Returns the bytes that were removed.
    pub(super) fn remove_notes(&self, spared: Time) -> Result<AreaBytes> {
        let mut removed = AreaBytes::default();
        for area in Area::ALL {
            let keeping = area.keeping();
            if !matches!(keeping, Keeping::WithTrees | Keeping::WithResults | Keeping::ShortLived) {
                continue;
            }
            for entry in WalkDir::new(self.area(area)).into_iter().flatten() {
                let Ok(stat) = statat(CWD, entry.path(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
                let stays = match keeping {
                    Keeping::WithTrees => entry.file_name().to_str().is_some_and(|name| self.has_tree(name)),
                    Keeping::WithResults => {
                        modified(&stat) >= spared
                            || entry.file_name().to_str().is_some_and(|name| self.has_result(name))
                    }
                    _ => modified(&stat) >= spared,
                };
                if entry.file_type().is_dir() || stays {
                    continue;
                }
                remove_at(CWD, entry.path())
                    .map_err(|error| StoreError::inside(&self.root, "removing", entry.path(), error))?;
                removed.add(area, stat.st_size as u64);
            }
        }
        Ok(removed)
    }

    fn has_tree(&self, name: &str) -> bool {
        name.parse::<TreeDigest>()
            .is_ok_and(|digest| statat(&self.trees, super::sharded(digest.as_bytes()), AtFlags::empty()).is_ok())
    }

    fn has_result(&self, name: &str) -> bool {
        name.parse::<NodeKey>()
            .is_ok_and(|key| statat(&self.results, super::sharded(key.as_bytes()), AtFlags::empty()).is_ok())
    }

    /// Everything that may go by its age and for room.
    fn items(&self) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for area in Area::ALL {
            let folder = self.area(area);
            let mut add = |path: PathBuf, used: &Path| {
                // What goes away meanwhile costs nothing.
                if let Ok(stat) = statat(CWD, used, AtFlags::SYMLINK_NOFOLLOW) {
                    items.push(Item { area, used: modified(&stat), bytes: bytes_of(&path), path });
                }
            };
            match area.keeping() {
                Keeping::Items => {
                    let listed = match super::files::open_dir(&self.dir, area.folder()) {
                        Err(Errno::NOENT) => continue,
                        dir => dir.and_then(|dir| names(&dir)).map_err(self.inside("reading", area.folder()))?,
                    };
                    for name in listed {
                        let path = folder.join(name);
                        add(path.clone(), &path);
                    }
                }
                Keeping::Places => {
                    let mut walk = WalkDir::new(&folder).into_iter();
                    while let Some(entry) = walk.next() {
                        let Ok(entry) = entry else { continue };
                        let lock = entry.path().join("lock");
                        if entry.file_type().is_dir() && lock.exists() {
                            walk.skip_current_dir();
                            add(entry.into_path(), &lock);
                        }
                    }
                }
                Keeping::WithTrees | Keeping::WithResults | Keeping::ShortLived | Keeping::Everything => {}
            }
        }
        Ok(items)
    }
}

/// Removes a file or a folder, unless a process holds the lock of the file. Returns whether it is
/// gone.
fn remove_item(path: &Path) -> io::Result<bool> {
    // Held while it is removed. A link is never opened.
    let _lock = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => match File::open(path) {
            Ok(file) if file.try_lock().is_err() => return Ok(false),
            file => file.ok(),
        },
        _ => None,
    };
    remove_at(CWD, path)?;
    Ok(true)
}

/// Removes a place, unless a process holds it. Returns whether it is gone.
fn remove_place(path: &Path) -> io::Result<bool> {
    let lock = path.join("lock");
    let Ok(file) = File::open(&lock) else { return Ok(true) };
    if file.try_lock().is_err() {
        return Ok(false);
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() != "lock" {
            remove_at(CWD, entry.path())?;
        }
    }
    // Last, and while it is held: who waits for it looks whether it is still there.
    fs::remove_file(&lock)?;
    // The folders above stay: another place may be made there.
    let _ = fs::remove_dir(path);
    Ok(true)
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// The bytes of all files; what goes away meanwhile costs nothing.
fn bytes_of(path: &Path) -> u64 {
    let files = WalkDir::new(path).into_iter().flatten().filter(|entry| !entry.file_type().is_dir());
    files.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
