//! Whole trees as files, kept in the store for those who only read them.

use std::path::{Path, PathBuf};

use build_graph::TreeDigest;
use rustix::fs::{AtFlags, FlockOperation, Mode, RenameFlags, mkdirat, renameat_with, utimensat};
use rustix::io::Errno;

use super::files::{EPOCHS, open_dir};
use super::lock::LockFile;
use super::remove::remove_at;
use super::{Materialise, Result, Store, StoreError};

/// A tree as files, read-only and shared with other processes. It stays while this value lives.
#[derive(Debug)]
pub struct MaterialisedTree {
    path: PathBuf,
    _lock: LockFile,
}

impl MaterialisedTree {
    /// The tree's top folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// Returns a folder in the store with the tree's files, and makes it if it is missing.
    ///
    /// # Errors
    /// [`StoreError::NoTree`] if the store has no such tree, and as [`Store::materialise`].
    pub fn materialised(&self, digest: TreeDigest, mode: Materialise) -> Result<MaterialisedTree> {
        let name = name(digest, mode);
        let shown = format!("checkouts/{}/{name}", self.boot);
        let failed = |error| self.inside("making", &shown)(error);
        let path = self.root.join(&shown);
        let lock = loop {
            let teller = self.options.waiting.as_ref();
            let lock = LockFile::acquire(&self.locks, &name, FlockOperation::LockShared, teller).map_err(failed)?;
            if let Some(lock) = lock {
                break lock;
            }
        };
        let tree = self.tree(digest)?.ok_or(StoreError::NoTree { digest })?;
        // Says that it is there, and when it was used last.
        match utimensat(&self.checkouts, &name, &EPOCHS, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => return Ok(MaterialisedTree { path, _lock: lock }),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        let temporary = self.session.fresh();
        mkdirat(&self.session.dir, &temporary, Mode::from_raw_mode(0o755)).map_err(failed)?;
        let made = open_dir(&self.session.dir, &temporary)
            .map_err(failed)
            .and_then(|dir| self.fill(&tree, &dir, &path, mode))
            .and_then(|()| {
                match renameat_with(&self.session.dir, &temporary, &self.checkouts, &name, RenameFlags::NOREPLACE) {
                    Ok(()) => Ok(true),
                    // Another process was faster.
                    Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
                    Err(error) => Err(failed(error)),
                }
            });
        if !matches!(made, Ok(true)) {
            let _ = remove_at(&self.session.dir, &*temporary);
        }
        made.map(|_| MaterialisedTree { path, _lock: lock })
    }
}

/// The name of a checkout, and of its lock.
pub(super) fn name(digest: TreeDigest, mode: Materialise) -> String {
    match mode {
        Materialise::Link => format!("{digest}-link"),
        Materialise::Copy => format!("{digest}-copy"),
    }
}

/// The tree whose checkout has this name.
pub(super) fn parse_name(name: &str) -> Option<(TreeDigest, Materialise)> {
    let (digest, mode) = name.split_once('-')?;
    let mode = match mode {
        "link" => Materialise::Link,
        "copy" => Materialise::Copy,
        _ => return None,
    };
    Some((digest.parse().ok()?, mode))
}
