//! Whole trees as files, kept in the store for those who only read them.

use std::path::{Path, PathBuf};

use build_graph::{Tree, TreeDigest};
use rustix::fs::{AtFlags, FlockOperation, Mode, RenameFlags, mkdirat, renameat_with, statat, utimensat};
use rustix::io::Errno;

use super::blob::{Blob, open_to_read};
use super::files::{EPOCHS, SMALL, open_dir};
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
        // Says that it is there, and when it was used last; then nobody has to read the tree.
        match utimensat(&self.checkouts, &name, &EPOCHS, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) if self.keeps_tree(digest)? => return Ok(MaterialisedTree { path, _lock: lock }),
            Ok(()) => return Err(StoreError::NoTree { digest }),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        let tree = self.tree(digest)?.ok_or(StoreError::NoTree { digest })?;
        let temporary = self.session.fresh();
        mkdirat(&self.session.dir, &temporary, Mode::from_raw_mode(0o755)).map_err(failed)?;
        let made = open_dir(&self.session.dir, &temporary)
            .map_err(failed)
            .and_then(|dir| self.fill(&tree, &dir, &path, mode))
            .inspect(|()| self.read_large_files(&tree, mode))
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

    /// Whether a checkout of the tree is there, so that who wants its files needs no blobs. Never
    /// with [`verify_on_read`](super::Options::verify_on_read): that is for blobs.
    pub fn is_checked_out(&self, digest: TreeDigest) -> bool {
        !self.options.verify_on_read
            && [Materialise::Copy, Materialise::Link]
                .into_iter()
                .any(|mode| statat(&self.checkouts, name(digest, mode), AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }

    /// Reads the large files that a new checkout links to, from front to back. After a reboot the
    /// kernel has none of their bytes. What is read in order it keeps in large folios; what a
    /// program maps and touches here and there, in single pages, each of which costs every later
    /// start of a compiler its share.
    fn read_large_files(&self, tree: &Tree, mode: Materialise) {
        if mode != Materialise::Link {
            return;
        }
        let mut buffer = Vec::new();
        for blob in tree.iter().filter_map(|(_, entry)| Blob::of(entry)).filter(|blob| blob.size > SMALL) {
            buffer.resize(SMALL as usize, 0);
            // Whoever needs a file that can't be read is the one to say so.
            let Ok(file) = open_to_read(&self.blobs, &blob.name()) else { continue };
            while matches!(rustix::io::read(&file, &mut buffer), Ok(1..)) {}
        }
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
