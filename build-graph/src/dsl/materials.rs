//! What a set of recipes is put together with: pins, files of the project, and a user's overrides.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Locks;
use crate::files::is_program;
use crate::{BlobDigest, Entry, RelPath, Tree};

/// A file of the project. Whether it can be executed, its beginning says (see [`is_program`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectFile {
    /// Its bytes.
    pub bytes: Arc<[u8]>,
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
            executable: is_program(&file.bytes),
        };
        self.files.insert(path, (entry, file.bytes));
    }

    /// Leaves out everything below a directory.
    pub fn remove_below(&mut self, directory: &str) {
        let prefix = format!("{directory}/");
        self.files.retain(|path, _| !path.as_str().starts_with(&prefix));
    }

    /// The bytes of a file.
    pub fn bytes(&self, path: &RelPath) -> Option<&[u8]> {
        self.files.get(path).map(|(_, bytes)| &**bytes)
    }

    /// The directories that lie directly in a directory (empty: the project's root).
    pub(super) fn folders(&self, directory: &str) -> std::collections::BTreeSet<String> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let below = self.files.keys().filter_map(|path| path.as_str().strip_prefix(&prefix));
        below.filter_map(|rest| Some(format!("{prefix}{}", rest.split_once('/')?.0))).collect()
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
    /// Those below `patches` that whoever works on the project put there: every one must be some
    /// recipe's. Patches that were compiled in belong to recipes that a program may leave out.
    pub patches: Vec<RelPath>,
    /// Sources that a user replaced: the name, and the tree to take in the source's place.
    pub overrides: BTreeMap<String, Override>,
    /// The versions of the host's compilers and C library.
    pub host_toolchain: String,
    /// What the user calls the program, for hints.
    pub program: String,
}

/// What stands in a source's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Override {
    /// One file, unpacked as the source would be.
    Archive(Tree),
    /// A folder, taken as it is.
    Folder(Tree),
}
