//! Code that loaders compiled at an install, kept below the store for the next one: `compiled/`.
//!
//! The loader of the `wasm32-wasi` target names, checks and writes the files (its `--code-cache`);
//! here they are only counted and removed. Each is of use to whoever installs the same program
//! again, and of none to anybody else, so any may go at any time.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::store::Store;

/// The folder of a store's compiled code.
pub fn folder(store: &Store) -> PathBuf {
    store.root().join("compiled")
}

/// A file of compiled code.
#[derive(Debug, Clone)]
pub struct Code {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// For how long no install has used it.
    pub unused: Duration,
}

/// All compiled code of a store, what was not used for longest first.
///
/// # Errors
/// If the folder can't be read. That it is not there is no error.
pub fn list(store: &Store) -> io::Result<Vec<Code>> {
    let entries = match fs::read_dir(folder(store)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        // What went away meanwhile costs nothing.
        let Ok(metadata) = entry.metadata() else { continue };
        let unused = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
        found.push(Code { path: entry.path(), bytes: metadata.len(), unused });
    }
    found.sort_by_key(|code| std::cmp::Reverse(code.unused));
    Ok(found)
}

impl Code {
    /// Removes it; that it is gone already is no error.
    ///
    /// # Errors
    /// If it can't be removed.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}
