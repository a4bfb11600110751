//! Checks everything in a store.

use std::fmt;
use std::fs::File;

use build_graph::untrusted::printable;
use build_graph::{BlobDigest, NodeKey, TreeDigest};
use rayon::prelude::*;
use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;

use super::area::{Area, AreaBytes};
use super::blob::{Blob, hash_stream, open_to_read};
use super::files::open_dir;
use super::gc::{files, names, parse_blob_name};
use super::{Result, Store, StoreError};

/// What the root of a store holds beside areas. The last ones are a file that a process is writing,
/// and what `mkfs` makes.
const OWN_NAMES: [&str; 13] = [
    "blobs",
    "checkouts",
    "drops",
    "format",
    "gate",
    "gc",
    "generation",
    "locks",
    "results",
    "tmp",
    "trees",
    "format.new",
    "lost+found",
];

/// What [`Store::verify`] found damaged and removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// A blob whose bytes are not those of its digest.
    Blob(BlobDigest),
    /// A tree's manifest.
    Tree(TreeDigest),
    /// A key's result.
    Result(NodeKey),
    /// A file that does not belong into a store; left alone.
    Stray(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => write!(f, "file {digest}"),
            Self::Tree(digest) => write!(f, "tree {digest}"),
            Self::Result(key) => write!(f, "result {key}"),
            Self::Stray(path) => write!(f, "`{}`, which no store has (it is left alone)", printable(path)),
        }
    }
}

/// What [`Store::verify`] looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blobs that are right.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Trees whose manifests are right.
    pub trees: u64,
    /// Results that are right.
    pub results: u64,
    /// Those of them that lack their tree, or files of it. That is no damage: the output of such a
    /// key is made, or fetched, again.
    pub incomplete: u64,
    /// What was damaged.
    pub damaged: Vec<Damage>,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Results.
    pub results: u64,
    /// Trees.
    pub trees: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of the blobs.
    pub bytes: u64,
    /// Checkouts.
    pub checkouts: u64,
    /// Folders of sessions, living or dead.
    pub sessions: u64,
    /// Bytes of the areas.
    pub areas: AreaBytes,
}

impl Store {
    /// Reads everything in the store and compares it with its digests. Removes damaged files.
    ///
    /// # Errors
    /// [`StoreError`] if something can't be read.
    pub fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let blobs = files(&self.blobs).map_err(self.inside("reading", "blobs"))?;
        let verified: Vec<_> = blobs.par_iter().map(|(name, _)| self.verify_blob(name)).collect::<Result<_>>()?;
        for outcome in verified {
            match outcome {
                Some(Ok(size)) => {
                    report.blobs += 1;
                    report.bytes += size;
                }
                Some(Err(damage)) => report.damaged.push(damage),
                None => {}
            }
        }
        for (name, _) in files(&self.trees).map_err(self.inside("reading", "trees"))? {
            match name.split_once('/').and_then(|(_, digest)| digest.parse::<TreeDigest>().ok()) {
                None => report.damaged.push(Damage::Stray(format!("trees/{name}"))),
                Some(digest) if self.read_tree(digest, false)?.is_some() => report.trees += 1,
                Some(digest) => report.damaged.push(Damage::Tree(digest)),
            }
        }
        for (name, _) in files(&self.results).map_err(self.inside("reading", "results"))? {
            let Some(key) = name.split_once('/').and_then(|(_, key)| key.parse::<NodeKey>().ok()) else {
                report.damaged.push(Damage::Stray(format!("results/{name}")));
                continue;
            };
            let Some(record) = self.read_record(key, false)? else {
                report.damaged.push(Damage::Result(key));
                continue;
            };
            report.results += 1;
            let whole = match self.read_tree(record.tree, false)? {
                Some(tree) => self.missing(&tree)?.is_empty(),
                None => false,
            };
            report.incomplete += u64::from(!whole);
        }
        for name in names(&self.dir).map_err(self.inside("reading", ""))? {
            let is_area = Area::ALL.into_iter().any(|area| area.folder() == name);
            if !is_area && !OWN_NAMES.contains(&&*name) {
                report.damaged.push(Damage::Stray(name));
            }
        }
        Ok(report)
    }

    /// The blob's size if it is right; `None` if it went away meanwhile.
    fn verify_blob(&self, name: &str) -> Result<Option<Result<u64, Damage>>> {
        let Some((digest, executable)) = parse_blob_name(name) else {
            return Ok(Some(Err(Damage::Stray(format!("blobs/{name}")))));
        };
        let failed = |error: Errno| StoreError::inside(&self.root, "reading the blob", name, error);
        let stat = match statat(&self.blobs, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            stat => stat.map_err(failed)?,
        };
        let hashed = match open_to_read(&self.blobs, name) {
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => Err(error.into()),
            Ok(file) => hash_stream(&mut File::from(file)),
        };
        match hashed {
            Ok((found, size)) if found == digest => {
                // Puts its mode and time right as well.
                let size = self.check(Blob { digest, size, executable })?.map(|_| Ok(size));
                Ok(size)
            }
            // An error of the disk is damage, too.
            Ok(_) | Err(_) => {
                self.drop_damaged(&self.blobs, name, &stat);
                Ok(Some(Err(Damage::Blob(digest))))
            }
        }
    }

    /// Counts what the store holds.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub fn stats(&self) -> Result<Stats> {
        let count = |dir, what: &str| Ok(files(dir).map_err(self.inside("reading", what))?.len() as u64);
        let blobs = files(&self.blobs).map_err(self.inside("reading", "blobs"))?;
        let listed =
            |name: &str| open_dir(&self.dir, name).and_then(|dir| names(&dir)).map_err(self.inside("reading", name));
        let mut checkouts = 0;
        for boot in listed("checkouts")? {
            checkouts += listed(&format!("checkouts/{boot}"))?.len() as u64;
        }
        Ok(Stats {
            results: count(&self.results, "results")?,
            trees: count(&self.trees, "trees")?,
            blobs: blobs.len() as u64,
            bytes: blobs.iter().map(|(_, stat)| stat.st_size as u64).sum(),
            checkouts,
            sessions: listed("tmp")?.len() as u64,
            areas: self.area_bytes(),
        })
    }
}
