//! The action cache: which tree a key gave.

use std::sync::Arc;

use build_graph::{NodeKey, Tree, TreeDigest};
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::files::{modified, read_all};
use super::manifest::mark;
use super::{Found, Result, Store, StoreError, sharded};

/// A result's file: 64 hexadecimal digits, the BLAKE3 of the rest; a line feed; then this as JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: NodeKey,
    pub(super) tree: TreeDigest,
    explanation: Vec<String>,
}

impl Store {
    /// The tree that a key gave, if it is recorded. The tree itself may be missing. A damaged record is removed.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn result(&self, key: NodeKey) -> Result<Option<TreeDigest>> {
        Ok(self.read_record(key, true)?.map(|record| record.tree))
    }

    /// The tree that a key gave, if it is recorded and the store has all of it.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn whole_result(&self, key: NodeKey) -> Result<Option<(TreeDigest, Arc<Tree>)>> {
        let Some(digest) = self.result(key)? else { return Ok(None) };
        let Some(tree) = self.tree(digest)? else { return Ok(None) };
        Ok(self.missing(&tree)?.is_empty().then_some((digest, tree)))
    }

    /// The tree of a key as [`Store::whole_result`] gives it; does not look again at what was found already, and notes what is.
    ///
    /// # Errors
    /// As [`Store::whole_result`].
    pub fn whole_result_beside(&self, key: NodeKey, found: &mut Found) -> Result<Option<TreeDigest>> {
        let Some(digest) = self.result(key)? else { return Ok(None) };
        if found.trees.contains(&digest) {
            return Ok(Some(digest));
        }
        let Some(tree) = self.tree(digest)? else { return Ok(None) };
        let whole = self.missing_beside(&tree, found)?.is_empty();
        if whole {
            found.trees.insert(digest);
        }
        Ok(whole.then_some(digest))
    }

    /// Records the tree that a key gave, in place of what was recorded before. `explanation` says what the key was made of.
    ///
    /// # Errors
    /// [`StoreError::NoTree`] if the tree's manifest is not in the store, and [`StoreError`] if the record can't be written.
    pub fn record(&self, key: NodeKey, tree: TreeDigest, explanation: &[String]) -> Result<()> {
        let name = sharded(key.as_bytes());
        let failed = |error| self.inside("writing the result", &name)(error);
        let record = Record { key, tree, explanation: explanation.to_vec() };
        // To replace a file costs a file system that guards against lost renames a hundred times what a new one costs.
        if self.read_record(key, true)?.is_some_and(|there| there == record) && self.tree(tree)?.is_some() {
            return Ok(());
        }
        let json = serde_json::to_vec(&record)
            .map_err(|error| StoreError::inside(&self.root, "writing the result", &name, error))?;
        let _pass = self.gate.shared().map_err(failed)?;
        let manifest = sharded(tree.as_bytes());
        let there = match statat(&self.trees, &manifest, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => mark(&self.trees, &manifest, modified(&stat), self.session.start),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        };
        if !there.map_err(failed)? {
            return Err(StoreError::NoTree { digest: tree });
        }
        let checksum = blake3::hash(&json).to_hex();
        self.write_file(&self.results, &name, &[checksum.as_bytes(), b"\n", &json]).map_err(failed)
    }

    /// The lines that explain a key, if its result is recorded.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn explanation(&self, key: NodeKey) -> Result<Option<Vec<String>>> {
        Ok(self.read_record(key, false)?.map(|record| record.explanation))
    }

    /// Reads a record; `in_use` marks it.
    pub(super) fn read_record(&self, key: NodeKey, in_use: bool) -> Result<Option<Record>> {
        let name = sharded(key.as_bytes());
        let read = || {
            let _pass = self.gate.shared()?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(&self.results, &name, flags, Mode::empty())?;
            let stat = fstat(&file)?;
            if in_use && !mark(&self.results, &name, modified(&stat), self.session.start)? {
                return Err(Errno::NOENT);
            }
            Ok((file, stat.st_size as u64))
        };
        let (file, size) = match read() {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(self.inside("reading the result", &name))?,
        };
        let bytes = read_all(&file, size)
            .map_err(|error| StoreError::inside(&self.root, "reading the result", &name, error))?;
        match parse(&bytes) {
            Some(record) if record.key == key => Ok(Some(record)),
            _ => {
                let seen = fstat(&file).map_err(self.inside("reading the result", &name))?;
                self.drop_damaged(&self.results, &name, &seen);
                Ok(None)
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Record> {
    let (checksum, rest) = bytes.split_at_checked(64)?;
    let json = rest.strip_prefix(b"\n")?;
    if blake3::hash(json).to_hex().as_bytes() != checksum {
        return None;
    }
    serde_json::from_slice(json).ok()
}
