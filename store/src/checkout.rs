//! Whole trees as files, kept in the store for those who only read them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use build_graph::{Tree, TreeDigest};
use rustix::fs::{AtFlags, Mode, RenameFlags, mkdirat, renameat_with, statat, utimensat};
use rustix::io::Errno;

use super::blob::{Blob, open_to_read};
use super::files::{EPOCHS, SMALL, open_dir};
use super::remove::remove_at;
use super::session::Session;
use super::{Materialise, Result, Store, StoreError};

/// A tree as files, read-only and shared with other processes. It stays while this value lives, as
/// all that a living session has used.
#[derive(Debug)]
pub struct MaterialisedTree {
    path: PathBuf,
    _session: Arc<Session>,
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
        let found = MaterialisedTree { path, _session: Arc::clone(&self.session) };
        // Says that it is there, and when it was used last; then nobody has to read the tree.
        let keep = || {
            let _pass = self.gate.shared()?;
            utimensat(&self.checkouts, &name, &EPOCHS, AtFlags::SYMLINK_NOFOLLOW)
        };
        loop {
            match keep() {
                Ok(()) if self.keeps_tree(digest)? => return Ok(found),
                Ok(()) => return Err(StoreError::NoTree { digest }),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(error)),
            }
            // Unless another process was faster, and then it may be gone again.
            if self.check_out(digest, mode, &name, &found.path)? {
                return Ok(found);
            }
        }
    }

    /// Makes a tree's files where they are shared. Returns false if they are there.
    fn check_out(&self, digest: TreeDigest, mode: Materialise, name: &str, path: &Path) -> Result<bool> {
        let failed = |error| self.inside("making", format!("checkouts/{}/{name}", self.boot))(error);
        let tree = self.tree(digest)?.ok_or(StoreError::NoTree { digest })?;
        let temporary = self.session.fresh();
        mkdirat(&self.session.dir, &temporary, Mode::from_raw_mode(0o755)).map_err(failed)?;
        let made = open_dir(&self.session.dir, &temporary)
            .map_err(failed)
            .and_then(|dir| self.fill(&tree, &dir, path, mode))
            .inspect(|()| self.read_large_files(&tree, mode))
            .and_then(|()| {
                match renameat_with(&self.session.dir, &temporary, &self.checkouts, name, RenameFlags::NOREPLACE) {
                    Ok(()) => Ok(true),
                    Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
                    Err(error) => Err(failed(error)),
                }
            });
        if !matches!(made, Ok(true)) {
            let _ = remove_at(&self.session.dir, &*temporary);
        }
        made
    }

    /// Whether a checkout of the tree is there, so that who wants its files needs no blobs. Never
    /// with [`verify_on_read`](super::Options::verify_on_read): that is for blobs.
    pub fn is_checked_out(&self, digest: TreeDigest) -> bool {
        !self.options.verify_on_read
            && [Materialise::Copy, Materialise::Link].into_iter().any(|mode| self.has_checkout(digest, mode))
    }

    /// Whether [`Store::materialised`] finds the tree's files, unless they go meanwhile.
    pub fn has_checkout(&self, digest: TreeDigest, mode: Materialise) -> bool {
        statat(&self.checkouts, name(digest, mode), AtFlags::SYMLINK_NOFOLLOW).is_ok()
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
