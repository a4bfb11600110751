//! Where cargo builds host programs: `cargo/NODE/` below the store, one place a node, so that cargo
//! finds its earlier work.
//!
//! | path below the place | what it is |
//! |---|---|
//! | `lock` | held while cargo works there; its time says when that was last |
//! | `workspace/` | the sources |
//! | `target/` | what cargo keeps |
//! | `home/` | cargo's home as the build sees it |
//! | `crates/` | the crates that cargo unpacked |
//!
//! Nothing of it is a result: it may be removed at any time when no build holds the lock.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use build_graph::node::NodeName;
use walkdir::WalkDir;

use super::{BuildError, cargo_home};
use crate::store::Store;

/// The place of one node, held by this process.
pub(super) struct Held {
    pub(super) path: PathBuf,
    _lock: File,
}

/// Waits until no other process builds the node, and takes its place.
pub(super) fn hold(store: &Store, node: &NodeName) -> Result<Held, BuildError> {
    let path = root(store).join(node.as_str());
    let lock = path.join("lock");
    loop {
        fs::create_dir_all(&path).map_err(BuildError::io("create", &path))?;
        // Truncated, so that its time is now.
        let file = match File::create(&lock) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(BuildError::io("create", &lock)(error)),
        };
        file.lock().map_err(BuildError::io("lock", &lock))?;
        // Who collects garbage may have removed it while we waited.
        if same_file(&file, &lock) {
            return Ok(Held { path, _lock: file });
        }
    }
}

/// A place and what it costs.
#[derive(Debug, Clone)]
pub struct CargoPlace {
    path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// For how long nobody has built there.
    pub unused: Duration,
}

/// All places of a store.
///
/// # Errors
/// [`BuildError::Io`] if a folder can't be read.
pub fn places(store: &Store) -> Result<Vec<CargoPlace>, BuildError> {
    let mut found = Vec::new();
    let mut walk = WalkDir::new(root(store)).into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) => continue,
            Err(error) => return Err(BuildError::io("read", root(store))(error.into())),
        };
        if !entry.file_type().is_dir() {
            continue;
        }
        let Ok(lock) = fs::metadata(entry.path().join("lock")) else { continue };
        walk.skip_current_dir();
        let used = lock.modified().map_err(BuildError::io("look at", entry.path()))?;
        found.push(CargoPlace {
            path: entry.path().to_path_buf(),
            bytes: bytes(entry.path()),
            unused: SystemTime::now().duration_since(used).unwrap_or_default(),
        });
    }
    Ok(found)
}

impl CargoPlace {
    /// Removes the place, unless somebody builds there. Gives whether it is gone.
    ///
    /// # Errors
    /// [`BuildError::Io`] if something can't be removed.
    pub fn remove(&self) -> Result<bool, BuildError> {
        let lock = self.path.join("lock");
        let Ok(file) = File::open(&lock) else { return Ok(true) };
        if file.try_lock().is_err() {
            return Ok(false);
        }
        for part in ["target", "workspace", "home", cargo_home::CRATES] {
            let path = self.path.join(part);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(BuildError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        // Last, and while it is held: who waits for it looks whether it is still there.
        fs::remove_file(&lock).map_err(BuildError::io("remove", &lock))?;
        // The folders above, unless another node's place is there.
        let _ = fs::remove_dir(&self.path);
        Ok(true)
    }
}

fn root(store: &Store) -> PathBuf {
    store.root().join("cargo")
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn bytes(path: &Path) -> u64 {
    // What disappears meanwhile costs nothing.
    WalkDir::new(path).into_iter().flatten().filter_map(|entry| entry.metadata().ok()).map(|m| m.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_use_stays_and_one_not_in_use_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let node: NodeName = "host/program".parse().unwrap();
        let held = hold(&store, &node).unwrap();
        fs::create_dir(held.path.join("target")).unwrap();
        fs::write(held.path.join("target/object"), "12345").unwrap();
        let found = places(&store).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].bytes >= 5);
        assert!(!found[0].remove().unwrap(), "somebody builds there");
        assert!(held.path.join("target/object").exists());
        let path = held.path.clone();
        drop(held);
        assert!(found[0].remove().unwrap());
        assert!(!path.exists());
        assert_eq!(places(&store).unwrap().len(), 0);
        // And it can be taken again.
        assert!(hold(&store, &node).unwrap().path.join("lock").exists());
    }
}
