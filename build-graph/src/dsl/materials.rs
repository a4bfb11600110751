//! What a set of recipes is put together with: pins, files of the project, and a user's overrides.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::node::{Origin, Source};
use crate::{BlobDigest, Entry, RelPath, Sha256, Tree};

/// The content of the lock files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks {
    /// Upstream sources by name.
    #[serde(default)]
    pub source: BTreeMap<String, Source>,
    /// Images by name.
    #[serde(default)]
    pub image: BTreeMap<String, ImageLock>,
}

/// The pinned packages of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLock {
    /// The closure, sorted by name.
    pub packages: Vec<DebianPackage>,
}

/// A pinned Debian binary package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebianPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its path below the root of a mirror.
    pub path: RelPath,
    /// What its bytes must be.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
}

impl DebianPackage {
    /// The package as a source.
    pub fn source(&self) -> Source {
        Source {
            file: RelPath::new(self.path.file_name()).unwrap_or_else(|_| self.path.clone()),
            sha256: self.sha256,
            size: Some(self.size),
            origins: vec![Origin::Debian { path: self.path.clone() }],
        }
    }
}

/// A file of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectFile {
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// Whether it can be executed.
    pub executable: bool,
}

/// Files of the project by their paths in it: `patches/…`, `recipes/files/…`, `sandbox/…`.
#[derive(Debug, Clone, Default)]
pub struct ProjectFiles {
    files: BTreeMap<RelPath, (Entry, Arc<[u8]>)>,
}

impl ProjectFiles {
    /// Adds a file, or takes the place of the one that has its path.
    pub fn insert(&mut self, path: RelPath, file: ProjectFile) {
        let entry = Entry::File {
            digest: BlobDigest::of(&file.bytes),
            size: file.bytes.len() as u64,
            executable: file.executable,
        };
        self.files.insert(path, (entry, file.bytes));
    }

    /// Leaves out everything below a directory.
    pub fn remove_below(&mut self, directory: &str) {
        let prefix = format!("{directory}/");
        self.files.retain(|path, _| !path.as_str().starts_with(&prefix));
    }

    /// The files below a directory, seen from it.
    pub fn below(&self, directory: &str) -> impl Iterator<Item = (RelPath, &Entry, &Arc<[u8]>)> {
        let prefix = format!("{directory}/");
        self.files.range::<str, _>((std::ops::Bound::Included(prefix.as_str()), std::ops::Bound::Unbounded)).map_while(
            move |(path, (entry, bytes))| {
                let rest = path.as_str().strip_prefix(&prefix)?;
                Some((RelPath::new(rest).ok()?, entry, bytes))
            },
        )
    }
}

/// Everything that a set of recipes needs beside itself.
#[derive(Debug, Clone, Default)]
pub struct Materials {
    /// The pins.
    pub locks: Locks,
    /// Files of the project.
    pub files: ProjectFiles,
    /// Sources that a user replaced: the name, and the tree to take in the source's place.
    pub overrides: BTreeMap<String, Override>,
    /// What the host's `rustc --version --verbose` prints.
    pub rustc: String,
}

/// What stands in a source's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Override {
    /// One file, unpacked as the source would be.
    Archive(Tree),
    /// A folder, taken as it is.
    Folder(Tree),
}
