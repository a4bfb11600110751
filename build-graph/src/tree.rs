//! Trees: what a directory holds, as a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::encode::{Encode, Encoder, hash};
use crate::untrusted::printable;
use crate::{BlobDigest, RelPath, TreeDigest};

/// What stands at a path of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A regular file.
    File {
        /// The digest of its bytes.
        digest: BlobDigest,
        /// Its length in bytes.
        size: u64,
        /// Whether its mode is 0755 (true) or 0644.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, as written in the link.
        target: String,
    },
    /// A directory with nothing in it. A directory that holds something follows from the paths in
    /// it and has no entry.
    EmptyDirectory,
}

/// Two things claim one path, or a path runs through something that is no directory.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// Both trees have the path, with different entries.
    #[error("`{}` comes twice, with different contents", printable(path))]
    Conflict {
        /// The path.
        path: RelPath,
    },
    /// A path lies below one that is a file or a symbolic link.
    #[error("`{}` lies below `{}`, which is no directory", printable(path), printable(above))]
    NotADirectory {
        /// The lower path.
        path: RelPath,
        /// The one above it.
        above: RelPath,
    },
}

/// A directory as a value: sorted paths with their entries; no times, no owners, two modes. A copy
/// costs a counter until one of the two is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Arc<BTreeMap<RelPath, Entry>>,
}

impl Tree {
    /// The tree without anything in it.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(entries: BTreeMap<RelPath, Entry>) -> Self {
        Self { entries: Arc::new(entries) }
    }

    /// Puts an entry at a path. The same entry at the same path again is no error; an empty
    /// directory gives way to whatever makes it a non-empty one.
    ///
    /// # Errors
    /// [`TreeError`] if the path is taken by another entry, or if a path above it is a file or a
    /// symbolic link.
    pub fn insert(&mut self, path: RelPath, entry: Entry) -> Result<(), TreeError> {
        let mut rest = path.as_str();
        while let Some((above, _)) = rest.rsplit_once('/') {
            match self.entries.get(above) {
                None => {}
                Some(Entry::EmptyDirectory) => {
                    Arc::make_mut(&mut self.entries).remove(above);
                }
                Some(_) => {
                    let above = self.entries.get_key_value(above).map(|(above, _)| above.clone());
                    let above = above.unwrap_or_else(|| path.clone());
                    return Err(TreeError::NotADirectory { path, above });
                }
            }
            rest = above;
        }
        if let Some(below) = self.first_below(&path).cloned() {
            return match entry {
                Entry::EmptyDirectory => Ok(()),
                _ => Err(TreeError::NotADirectory { path: below, above: path }),
            };
        }
        match self.entries.get(&path) {
            Some(there) if *there != entry => Err(TreeError::Conflict { path }),
            Some(_) => Ok(()),
            None => {
                Arc::make_mut(&mut self.entries).insert(path, entry);
                Ok(())
            }
        }
    }

    /// The tree of entries in the order of their paths' bytes; `None` unless each path comes once,
    /// after all lower ones, and lies below no other. Quicker than to [`insert`](Self::insert)
    /// them.
    pub fn from_sorted(entries: Vec<(RelPath, Entry)>) -> Option<Self> {
        if entries.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return None;
        }
        let tree = Self::of(entries.into_iter().collect());
        // Neighbours mostly stand in one directory, which is looked at once.
        let mut looked_at = "";
        for path in tree.entries.keys() {
            let Some((directory, _)) = path.as_str().rsplit_once('/').filter(|(above, _)| *above != looked_at) else {
                continue;
            };
            let mut above = Some(directory);
            while let Some(path) = above {
                if tree.entries.contains_key(path) {
                    return None;
                }
                above = path.rsplit_once('/').map(|(above, _)| above);
            }
            looked_at = directory;
        }
        Some(tree)
    }

    /// Takes away what stands at this very path, and gives it.
    pub fn remove(&mut self, path: &RelPath) -> Option<Entry> {
        Arc::make_mut(&mut self.entries).remove(path)
    }

    /// Puts all of another tree's entries into this one.
    ///
    /// # Errors
    /// [`TreeError`] as [`Tree::insert`].
    pub fn merge(&mut self, other: &Self) -> Result<(), TreeError> {
        for (path, entry) in other.iter() {
            self.insert(path.clone(), entry.clone())?;
        }
        Ok(())
    }

    /// The same tree below a directory.
    #[must_use]
    pub fn below(&self, directory: &RelPath) -> Self {
        if self.is_empty() {
            return Self::of(BTreeMap::from([(directory.clone(), Entry::EmptyDirectory)]));
        }
        Self::of(self.entries.iter().map(|(path, entry)| (directory.join(path), entry.clone())).collect())
    }

    /// What stands at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// All paths with their entries, in the order of the paths' bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&RelPath, &Entry)> {
        self.entries.iter()
    }

    /// The entries whose paths begin with these bytes (which need not end at a component).
    pub fn with_prefix<'tree>(
        &'tree self,
        prefix: &str,
    ) -> impl Iterator<Item = (&'tree RelPath, &'tree Entry)> + use<'tree> {
        use std::ops::Bound;
        let prefix = prefix.to_owned();
        self.entries
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
            .take_while(move |(path, _)| path.as_str().starts_with(&prefix))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The digest of the manifest: domain `pynbox-tree-v1`, a list of the entries in the order of
    /// their paths' bytes, each of them the path (text), then 0, the blob's digest and its size for
    /// a plain file, 1 and the same for an executable one, 2 and the target (text) for a symbolic
    /// link, 3 for an empty directory (see [`crate::encode`]).
    pub fn digest(&self) -> TreeDigest {
        TreeDigest::from_bytes(hash(self))
    }

    fn first_below(&self, path: &RelPath) -> Option<&RelPath> {
        use std::ops::Bound;
        // What begins with the path but goes on with a byte below `/` may stand between them.
        let after = self.entries.range::<str, _>((Bound::Excluded(path.as_str()), Bound::Unbounded)).next()?.0.as_str();
        if !after.starts_with(path.as_str()) {
            return None;
        }
        self.with_prefix(&format!("{path}/")).next().map(|(path, _)| path)
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::of)
    }
}

impl Encode for Tree {
    fn domain(&self) -> &'static str {
        "pynbox-tree-v1"
    }

    fn encode(&self, encoder: &mut dyn Encoder) {
        encoder.list("entries", self.entries.len());
        for (path, entry) in self.iter() {
            encoder.text("path", path.as_str());
            match entry {
                Entry::File { digest, size, executable } => {
                    encoder.number("executable", u64::from(*executable));
                    encoder.digest("content", digest.as_bytes());
                    encoder.number("size", *size);
                }
                Entry::Symlink { target } => {
                    encoder.number("link", 2);
                    encoder.text("target", target);
                }
                Entry::EmptyDirectory => encoder.number("directory", 3),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn file(bytes: &[u8]) -> Entry {
        Entry::File { digest: BlobDigest::of(bytes), size: bytes.len() as u64, executable: false }
    }

    #[test]
    fn the_digest_is_pinned() {
        let mut tree = Tree::new();
        tree.insert(path("bin/run"), Entry::File { digest: BlobDigest::of(b"x"), size: 1, executable: true }).unwrap();
        tree.insert(path("lib"), Entry::Symlink { target: "lib64".into() }).unwrap();
        tree.insert(path("slib"), Entry::EmptyDirectory).unwrap();
        assert_eq!(tree.digest().to_string(), "b1fbe6040369baa95cce923638ee8e507b4a285aa58ec1326d2f48f7dd1b62b3");
    }

    #[test]
    fn a_file_is_no_directory() {
        let mut tree = Tree::new();
        tree.insert(path("a"), file(b"")).unwrap();
        assert!(matches!(tree.insert(path("a/b"), file(b"")), Err(TreeError::NotADirectory { .. })));
        tree.insert(path("c/d"), file(b"")).unwrap();
        assert!(matches!(tree.insert(path("c"), file(b"")), Err(TreeError::NotADirectory { .. })));
        assert!(matches!(tree.insert(path("a"), file(b"other")), Err(TreeError::Conflict { .. })));
        tree.insert(path("a"), file(b"")).unwrap();
    }

    #[test]
    fn only_empty_directories_are_entries() {
        let mut one = Tree::new();
        one.insert(path("a"), Entry::EmptyDirectory).unwrap();
        one.insert(path("a/b"), file(b"")).unwrap();
        let mut two = Tree::new();
        two.insert(path("a/b"), file(b"")).unwrap();
        two.insert(path("a"), Entry::EmptyDirectory).unwrap();
        assert_eq!(one, two);
        assert_eq!(one.len(), 1);
    }

    #[test]
    fn sorted_entries_are_a_tree_if_each_has_its_place() {
        let entries = |paths: &[&str]| paths.iter().map(|text| (path(text), file(b""))).collect::<Vec<_>>();
        let tree = Tree::from_sorted(entries(&["a-b", "a/b", "a/c/d", "e"])).unwrap();
        assert_eq!(tree.len(), 4);
        for wrong in [&["a", "a"][..], &["b", "a"], &["a", "a-b", "a/b"], &["a/b", "a/b/c/d"], &["x/y/a", "x/y/a/b"]] {
            assert_eq!(Tree::from_sorted(entries(wrong)), None, "{wrong:?}");
        }
    }
}
