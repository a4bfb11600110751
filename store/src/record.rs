//! The action cache: which tree a key gave.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use build_graph::{NodeKey, Tree, TreeDigest};
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::files::{changed, modified, read_all};
use super::gc::{files, names};
use super::manifest::mark;
use super::{Found, Result, Store, StoreError, sharded};

/// The file with the mark of the last time that results were dropped.
const DROPS: &str = "drops";
/// No kernel's clock for files has longer steps.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// A result's file: 64 hexadecimal digits, the BLAKE3 of the rest; a line feed; then this as JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: NodeKey,
    pub(super) tree: TreeDigest,
    explanation: Vec<String>,
    #[serde(default, skip_serializing_if = "Origin::is_here")]
    origin: Origin,
}

/// Where a result was computed, as far as this store knows. This machine signs results of an engine
/// or of a cache only if that one is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// On this machine, by a program of this store's owner.
    #[default]
    Here,
    /// By a remote engine, of this name in the settings.
    Engine(String),
    /// Taken from a remote cache.
    Cache {
        /// The name of the cache in the settings.
        remote: String,
        /// Where the cache is: another project may use its name for another one. Records of earlier
        /// versions lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// Whether a trusted key had signed it.
        signed: bool,
        /// Which engine computed it, as the signer says; `None`: the signer's own machine.
        engine: Option<String>,
        /// The id of the key that had signed it, or claims to have, where `signed` is not set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signer: Option<String>,
        /// When it was signed, in seconds since 1970. Records of earlier versions lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed_at: Option<u64>,
    },
    /// Taken from a file that was imported.
    Pack {
        /// Whether a trusted key had signed it.
        signed: bool,
        /// Which engine computed it, as the signer says; `None`: the signer's own machine.
        engine: Option<String>,
        /// The id of the key that had signed it, or claims to have, where `signed` is not set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signer: Option<String>,
        /// When it was signed, in seconds since 1970. Records of earlier versions lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed_at: Option<u64>,
        /// The root of the project that it was imported for. Records of earlier versions lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<String>,
    },
}

/// Decides which results are used, by their origin. A store may hold results that one project
/// trusts and another one does not.
#[derive(Clone)]
pub(super) struct Belief(Arc<dyn Fn(&Origin) -> bool + Send + Sync>);

impl fmt::Debug for Belief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Belief")
    }
}

impl Origin {
    /// The id of the key that had signed it, or claims to have.
    pub fn signer(&self) -> Option<&str> {
        match self {
            Self::Cache { signer, .. } | Self::Pack { signer, .. } => signer.as_deref(),
            Self::Here | Self::Engine(_) => None,
        }
    }

    fn is_here(&self) -> bool {
        *self == Self::Here
    }
}

impl Store {
    /// Returns the same store for somebody who trusts only results of some origins. The others
    /// count as missing, and stay for those who trust them.
    #[must_use]
    pub fn believing(mut self, believes: impl Fn(&Origin) -> bool + Send + Sync + 'static) -> Self {
        self.belief = Some(Belief(Arc::new(believes)));
        self
    }

    fn believed(&self, key: NodeKey) -> Result<Option<Record>> {
        let believes = |record: &Record| self.belief.as_ref().is_none_or(|belief| (belief.0)(&record.origin));
        Ok(self.read_record(key, true)?.filter(believes))
    }

    /// Returns the tree of a key, if a trusted result is recorded. The tree itself may be missing.
    /// A damaged record is removed.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn result(&self, key: NodeKey) -> Result<Option<TreeDigest>> {
        Ok(self.believed(key)?.map(|record| record.tree))
    }

    /// Returns the tree of a key, if it is recorded and the store has all of its files.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn whole_result(&self, key: NodeKey) -> Result<Option<(TreeDigest, Arc<Tree>)>> {
        let Some(digest) = self.result(key)? else { return Ok(None) };
        let Some(tree) = self.tree(digest)? else { return Ok(None) };
        Ok(self.missing(&tree)?.is_empty().then_some((digest, tree)))
    }

    /// Does as [`Store::whole_result`], but skips what is in `found`, and adds to it.
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

    /// Records the tree that a key gave, in place of what was recorded before. `explanation` says
    /// what the key was made of.
    ///
    /// # Errors
    /// [`StoreError::NoTree`] if the tree's manifest is not in the store, and [`StoreError`] if the
    /// record can't be written.
    pub fn record(&self, key: NodeKey, tree: TreeDigest, explanation: &[String]) -> Result<()> {
        self.record_from(key, tree, explanation, Origin::Here)
    }

    /// Does as [`Store::record`], for a result that was computed elsewhere.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn record_from(&self, key: NodeKey, tree: TreeDigest, explanation: &[String], origin: Origin) -> Result<()> {
        let name = sharded(key.as_bytes());
        let failed = |error| self.inside("writing the result", &name)(error);
        let record = Record { key, tree, explanation: explanation.to_vec(), origin };
        // On a file system that guards against lost renames, to replace a file takes a hundred
        // times as long as to make one.
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

    /// Returns the tree of a key and where it was computed, if a trusted result is recorded.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn result_from(&self, key: NodeKey) -> Result<Option<(TreeDigest, Origin)>> {
        Ok(self.believed(key)?.map(|record| (record.tree, record.origin)))
    }

    /// Returns a mark that changes when results come to the store or go from it. `None` if the last
    /// change is too recent: another one within the same step of the file system's clock would not
    /// show.
    ///
    /// # Errors
    /// [`StoreError`] if the folders can't be looked at.
    pub fn results_mark(&self) -> Result<Option<String>> {
        let failed = |error| self.inside("reading", "results")(error);
        let mut shards = names(&self.results).map_err(failed)?;
        shards.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        let mut last = (0, 0);
        for shard in std::iter::once(".").chain(shards.iter().map(String::as_str)) {
            let stat = statat(&self.results, shard, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            let (seconds, nanoseconds) = changed(&stat);
            last = last.max((seconds, nanoseconds));
            hasher.update(shard.as_bytes());
            for number in [stat.st_ino as i64, seconds, nanoseconds] {
                hasher.update(&number.to_le_bytes());
            }
        }
        let settled = UNIX_EPOCH + Duration::new(last.0.max(0) as u64, last.1 as u32) + CLOCK_STEP;
        Ok((settled < SystemTime::now()).then(|| hasher.finalize().to_string()))
    }

    /// Returns where each recorded result was computed, trusted or not.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn origins(&self) -> Result<Vec<(NodeKey, Origin)>> {
        let mut origins = Vec::new();
        for (name, _) in files(&self.results).map_err(self.inside("reading", "results"))? {
            let key = name.split_once('/').and_then(|(_, key)| key.parse::<NodeKey>().ok());
            if let Some(key) = key
                && let Some(record) = self.read_record(key, false)?
            {
                origins.push((key, record.origin));
            }
        }
        Ok(origins)
    }

    /// Forgets results, for all projects. The next garbage collection removes their trees and
    /// files. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`] if one can't be removed; those before it are.
    pub fn drop_results(&self, keys: &[NodeKey]) -> Result<u64> {
        let mut dropped = 0;
        // Before and after: a process that plans meanwhile sees another mark later.
        self.mark_drop()?;
        for batch in keys.chunks(64) {
            let failed = |error| self.inside("removing from", "results")(error);
            let _pass = self.gate.alone().map_err(failed)?;
            self.bump().map_err(failed)?;
            for key in batch {
                let name = sharded(key.as_bytes());
                self.remove_log(&name).map_err(failed)?;
                match unlinkat(&self.results, &name, AtFlags::empty()) {
                    Ok(()) => dropped += 1,
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            self.bump().map_err(failed)?;
        }
        self.mark_drop()?;
        Ok(dropped)
    }

    /// Returns a mark that changes when results are dropped. A plan with another mark is stale.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub fn drop_mark(&self) -> Result<String> {
        let file = match openat(&self.dir, DROPS, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(String::new()),
            file => file.map_err(self.inside("reading", DROPS))?,
        };
        let bytes = read_all(&file, 64).map_err(|error| StoreError::inside(&self.root, "reading", DROPS, error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn mark_drop(&self) -> Result<()> {
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(self.inside("writing", DROPS))?;
        let mark = format!("{:032x}", u128::from_le_bytes(random));
        self.write_file(&self.dir, DROPS, &[mark.as_bytes()]).map_err(self.inside("writing", DROPS))
    }

    /// Returns the lines that explain a key, if its result is recorded.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn explanation(&self, key: NodeKey) -> Result<Option<Vec<String>>> {
        Ok(self.read_record(key, false)?.map(|record| record.explanation))
    }

    /// Returns where the result of a key was computed, if it is recorded, trusted or not.
    ///
    /// # Errors
    /// [`StoreError`] if a file can't be read.
    pub fn origin(&self, key: NodeKey) -> Result<Option<Origin>> {
        Ok(self.read_record(key, false)?.map(|record| record.origin))
    }

    /// Reads a record, and marks it as used if `in_use` is set.
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
