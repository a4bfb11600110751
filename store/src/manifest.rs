//! Trees in the store. A manifest's bytes are the canonical encoding of its tree, so that their
//! BLAKE3 is the tree's digest.

use std::sync::{Arc, PoisonError};

use build_graph::encode::{Encode, Reader};
use build_graph::{BlobDigest, Entry, RelPath, Tree, TreeDigest};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, fstat, openat, statat, utimensat};
use rustix::io::Errno;

use super::files::{Time, modified, read_all};
use super::ingest::{MAX_DEPTH, MAX_PATH};
use super::{Result, Store, StoreError, sharded};

impl Store {
    /// Puts a tree's manifest into the store. Its blobs need not be there.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be written.
    pub fn put_tree(&self, tree: &Tree) -> Result<TreeDigest> {
        let bytes = to_bytes(tree);
        let digest = TreeDigest::from_bytes(*blake3::hash(&bytes).as_bytes());
        let name = sharded(digest.as_bytes());
        let failed = |error| self.inside("writing the tree", &name)(error);
        let _pass = self.gate.shared().map_err(failed)?;
        let there = match statat(&self.trees, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if stat.st_size as u64 == bytes.len() as u64 => {
                mark(&self.trees, &name, modified(&stat), self.session.start)
            }
            Ok(_) | Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        };
        if !there.map_err(failed)? {
            self.write_file(&self.trees, &name, &[&bytes]).map_err(failed)?;
        }
        Ok(digest)
    }

    /// Returns the tree with this digest, if the store has its manifest. Its blobs may be missing.
    /// A damaged manifest is removed.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn tree(&self, digest: TreeDigest) -> Result<Option<Arc<Tree>>> {
        if let Some(tree) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Some(tree.clone()));
        }
        let Some(tree) = self.read_tree(digest, true)? else { return Ok(None) };
        let tree = Arc::new(tree);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, tree.clone());
        Ok(Some(tree))
    }

    /// Returns those entries of the tree with this digest whose paths are `wanted`, if the store
    /// has its manifest; or more of them, where all are in memory. Costs less than to read the
    /// tree.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn tree_part(&self, digest: TreeDigest, wanted: impl Fn(&str) -> bool) -> Result<Option<Arc<Tree>>> {
        if let Some(tree) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Some(tree.clone()));
        }
        Ok(self.read_part(digest, true, &wanted)?.map(Arc::new))
    }

    /// Whether the store has the manifest of this digest, which is marked as used and not read.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be looked at.
    pub fn keeps_tree(&self, digest: TreeDigest) -> Result<bool> {
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&digest) {
            return Ok(true);
        }
        let name = sharded(digest.as_bytes());
        let keep = || {
            let _pass = self.gate.shared()?;
            let stat = statat(&self.trees, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            mark(&self.trees, &name, modified(&stat), self.session.start)
        };
        match keep() {
            Err(Errno::NOENT) => Ok(false),
            kept => kept.map_err(self.inside("looking at the tree", &name)),
        }
    }

    /// Reads a manifest, and marks it as used if `in_use` is set.
    pub(super) fn read_tree(&self, digest: TreeDigest, in_use: bool) -> Result<Option<Tree>> {
        self.read_part(digest, in_use, &|_| true)
    }

    fn read_part(&self, digest: TreeDigest, in_use: bool, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Tree>> {
        let name = sharded(digest.as_bytes());
        let read = || {
            let _pass = self.gate.shared()?;
            let file = openat(&self.trees, &name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            let stat = fstat(&file)?;
            if in_use && !mark(&self.trees, &name, modified(&stat), self.session.start)? {
                return Err(Errno::NOENT);
            }
            Ok((file, stat.st_size as u64))
        };
        let (file, size) = match read() {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(self.inside("reading the tree", &name))?,
        };
        let bytes =
            read_all(&file, size).map_err(|error| StoreError::inside(&self.root, "reading the tree", &name, error))?;
        if blake3::hash(&bytes).as_bytes() == digest.as_bytes()
            && let Some(tree) = part_from_bytes(&bytes, wanted)
        {
            return Ok(Some(tree));
        }
        let seen = fstat(&file).map_err(self.inside("reading the tree", &name))?;
        self.drop_damaged(&self.trees, &name, &seen);
        Ok(None)
    }
}

/// Marks a manifest or a result as used in this session. Returns false if it is gone.
pub(super) fn mark(dir: &impl std::os::fd::AsFd, name: &str, modified: Time, start: Time) -> Result<bool, Errno> {
    if modified >= start {
        return Ok(true);
    }
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    match utimensat(dir, name, &Timestamps { last_access: now, last_modification: now }, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the canonical encoding, as [`build_graph::encode`] documents it.
pub fn to_bytes(tree: &Tree) -> Vec<u8> {
    build_graph::encode::bytes(tree)
}

/// Decodes a tree. Returns `None` unless the bytes are exactly what [`to_bytes`] gives for it.
pub fn from_bytes(bytes: &[u8]) -> Option<Tree> {
    part_from_bytes(bytes, &|_| true)
}

/// As [`from_bytes`], without the entries whose paths are not wanted: of these it is not looked
/// whether they are in order.
fn part_from_bytes(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Option<Tree> {
    let mut reader = Reader(bytes);
    if reader.sized(0)? != Tree::new().domain().as_bytes() {
        return None;
    }
    let length = reader.head(4)?;
    let mut entries = Vec::new();
    for _ in 0..length {
        let path = std::str::from_utf8(reader.sized(1)?).ok()?;
        // The store takes no longer paths, and a stranger may have written these bytes.
        if path.len() > MAX_PATH || path.bytes().filter(|byte| *byte == b'/').count() >= MAX_DEPTH {
            return None;
        }
        let entry = match reader.head(2)? {
            executable @ (0 | 1) => Entry::File {
                digest: BlobDigest::from_bytes(reader.digest()?),
                size: reader.head(2)?,
                executable: executable == 1,
            },
            2 => Entry::Symlink { target: std::str::from_utf8(reader.sized(1)?).ok()?.to_owned() },
            3 => Entry::EmptyDirectory,
            _ => return None,
        };
        if wanted(path) {
            entries.push((RelPath::new(path).ok()?, entry));
        }
    }
    if reader.0.is_empty() { Tree::from_sorted(entries) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            (any::<u8>(), any::<bool>()).prop_map(|(byte, executable)| Entry::File {
                digest: BlobDigest::of(&[byte]),
                size: 1,
                executable
            }),
            ".{0,5}".prop_map(|target| Entry::Symlink { target }),
            Just(Entry::EmptyDirectory),
        ]
    }

    fn tree() -> impl Strategy<Value = Tree> {
        proptest::collection::vec(("[abü-]{1,2}(/[ab]){0,3}", entry()), 0..12).prop_map(|entries| {
            let mut tree = Tree::new();
            for (path, entry) in entries {
                let _ = tree.insert(RelPath::new(path).unwrap(), entry);
            }
            tree
        })
    }

    proptest! {
        #[test]
        fn a_manifest_is_its_tree(tree in tree()) {
            let bytes = to_bytes(&tree);
            prop_assert_eq!(TreeDigest::from_bytes(*blake3::hash(&bytes).as_bytes()), tree.digest());
            prop_assert_eq!(from_bytes(&bytes), Some(tree));
        }

        #[test]
        fn a_part_of_a_manifest_is_that_part_of_the_tree(tree in tree(), letter in "[abü/-]") {
            let wanted = |path: &str| path.contains(&letter);
            let part = part_from_bytes(&to_bytes(&tree), &wanted).unwrap();
            let entries = tree.iter().filter(|(path, _)| wanted(path.as_str()));
            prop_assert!(part.iter().eq(entries));
        }

        #[test]
        fn bytes_that_are_no_manifest_give_nothing(tree in tree(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = to_bytes(&tree);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            // Either no tree, or another one that has just these bytes.
            if let Some(other) = from_bytes(&bytes) {
                prop_assert_eq!(&to_bytes(&other), &bytes);
            }
            prop_assert_eq!(from_bytes(&bytes[..at]), None);
        }
    }

    #[test]
    fn a_manifest_out_of_order_is_refused() {
        let mut one = Tree::new();
        one.insert(RelPath::new("a").unwrap(), Entry::EmptyDirectory).unwrap();
        let mut two = one.clone();
        two.insert(RelPath::new("b").unwrap(), Entry::EmptyDirectory).unwrap();
        let (one, two) = (to_bytes(&one), to_bytes(&two));
        let head = 9 + "pynbox-tree-v1".len() + 9;
        let (a, b) = (&one[head..], &two[one.len()..]);
        assert_eq!([&two[..head], a, b].concat(), two);
        assert!(from_bytes(&[&two[..head], b, a].concat()).is_none());
        assert!(from_bytes(&[&two[..head], a, a].concat()).is_none());
    }

    #[test]
    fn paths_that_no_store_takes_are_no_tree() {
        let tree = |path: &str| {
            let mut tree = Tree::new();
            tree.insert(RelPath::new(path).unwrap(), Entry::EmptyDirectory).unwrap();
            from_bytes(&to_bytes(&tree))
        };
        assert!(tree(&["a"; MAX_DEPTH].join("/")).is_some());
        assert!(tree(&["a"; MAX_DEPTH + 1].join("/")).is_none());
        assert!(tree(&"a".repeat(MAX_PATH)).is_some() && tree(&"a".repeat(MAX_PATH + 1)).is_none());
    }
}
