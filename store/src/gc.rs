//! Garbage collection.
//!
//! The collector walks the results from the newest to the oldest and decides which stay. It removes
//! the other results, then trees that no result needs, then blobs that no tree needs. So a process
//! that dies in between leaves no result without its tree. Right before it removes a file it closes
//! the gate and reads the time of the file again: what a running build found or wrote meanwhile
//! stays. It decides about blobs after the trees are gone, by the trees that remain.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use build_graph::{BlobDigest, NodeKey, Tree, TreeDigest};
use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, Stat, flock, fstat, futimens, openat, renameat, statat, unlinkat,
};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use super::area::{AreaBytes, Room};
use super::blob::Blob;
use super::checkout::parse_name;
use super::files::{Time, changed, modified, open_dir, read_all};
use super::lock::{PATIENCE, flock_telling};
use super::manifest::from_bytes;
use super::remove::remove_at;
use super::{Materialise, Result, Store};

/// How many files are removed while the gate is closed once.
const BATCH: usize = 64;

/// What [`Store::gc`] may remove.
#[derive(Debug, Clone, Default)]
pub struct GcPolicy {
    /// How many bytes of blobs and of areas may stay. What is in areas goes first; of the results,
    /// those that were used last stay longest. `None`: any number.
    pub max_size: Option<u64>,
    /// For how long a result, or something in an area, may stay that is not used. `None`: for ever.
    pub max_age: Option<Duration>,
    /// Results that stay whatever their age and size.
    pub keep: HashSet<NodeKey>,
    /// Trees that stay, whether or not a result names them.
    pub keep_trees: HashSet<TreeDigest>,
    /// Whatever was used within this time stays: ninja starts one process for each edge, and
    /// between two of them no session may be alive.
    pub spare: Duration,
}

/// What was removed, and what stayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Results removed.
    pub results: u64,
    /// Trees removed.
    pub trees: u64,
    /// Checkouts removed.
    pub checkouts: u64,
    /// Blobs removed.
    pub blobs: u64,
    /// Bytes of the blobs removed.
    pub bytes: u64,
    /// Bytes of the blobs that stayed.
    pub bytes_left: u64,
    /// Bytes removed from areas.
    pub areas: AreaBytes,
    /// Bytes of the areas that stayed.
    pub areas_left: AreaBytes,
}

struct Collection<'a> {
    store: &'a Store,
    report: GcReport,
    /// Nothing that was used at this time or later is removed.
    horizon: Time,
    manifests: HashMap<TreeDigest, Option<Arc<Tree>>>,
}

impl Store {
    /// Removes what the policy does not keep. Nothing that a living session wrote, found or used is
    /// removed, so builds may go on. Waits while another process does the same.
    ///
    /// # Errors
    /// [`StoreError`](super::StoreError) if something can't be read or removed; what was removed
    /// until then is gone.
    pub fn gc(&self, policy: &GcPolicy) -> Result<GcReport> {
        let failed = |error| self.inside("locking", "gc")(error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let alone = openat(&self.dir, "gc", flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
        flock_telling(&alone, FlockOperation::LockExclusive, PATIENCE, self.options.waiting.as_ref())
            .map_err(failed)?;
        // The file system's own clock.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        futimens(&alone, &Timestamps { last_access: now, last_modification: now }).map_err(failed)?;
        let now = modified(&fstat(&alone).map_err(failed)?);
        let before = |time: Duration| (now.0.saturating_sub(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)), now.1);
        let spared = before(policy.spare);
        let oldest = policy.max_age.map(before);
        let blobs = files(&self.blobs).map_err(self.inside("reading", "blobs"))?;
        let blobs = blobs.iter().map(|(_, stat)| stat.st_size as u64).sum();
        let mut areas = self.make_room(blobs, &Room { spared, oldest, max_size: policy.max_size })?;
        let mut collection = Collection {
            store: self,
            report: GcReport::default(),
            horizon: self.session.oldest().map_err(failed)?.min(spared),
            manifests: HashMap::new(),
        };
        let left = self.area_bytes().total();
        let max_size = policy.max_size.map(|size| size.saturating_sub(left));
        let results = collection.results(policy, max_size, oldest)?;
        collection.remove_results(&results)?;
        let aside = collection.set_checkouts_aside()?;
        collection.remove_trees(&policy.keep_trees)?;
        collection.remove_blobs()?;
        // Last: to remove another link of a blob changes the status change time of the blob, which
        // would pass for a use.
        for name in aside {
            remove_at(&self.session.dir, &*name).map_err(self.inside("removing from", "checkouts"))?;
        }
        areas += self.remove_notes(spared)?;
        let _ = flock(&alone, FlockOperation::Unlock);
        Ok(GcReport { areas, areas_left: self.area_bytes(), ..collection.report })
    }
}

impl Collection<'_> {
    /// Returns the results to remove.
    fn results(&mut self, policy: &GcPolicy, max_size: Option<u64>, oldest: Option<Time>) -> Result<Vec<String>> {
        let mut results = Vec::new();
        for (name, stat) in files(&self.store.results).map_err(self.store.inside("reading", "results"))? {
            let used = modified(&stat);
            let key = name.split_once('/').and_then(|(_, key)| key.parse::<NodeKey>().ok());
            let kept = used >= self.horizon || key.is_some_and(|key| policy.keep.contains(&key));
            results.push((kept, used, name, key));
        }
        // Those that stay first, then from the newest to the oldest.
        results.sort_by(|a, b| (b.0, b.1, &b.2).cmp(&(a.0, a.1, &a.2)));
        let mut counted: HashSet<(BlobDigest, bool)> = HashSet::new();
        let mut size = 0;
        let mut gone = Vec::new();
        for (kept, used, name, key) in results {
            let fits = match max_size {
                None => true,
                // Once something had to go, all that was used longer ago goes as well.
                Some(_) if !gone.is_empty() && !kept => false,
                Some(limit) => {
                    if let Some(key) = key
                        && let Some(record) = self.store.read_record(key, false)?
                        && let Some(tree) = self.manifest(record.tree)?
                    {
                        for blob in tree.iter().filter_map(|(_, entry)| Blob::of(entry)) {
                            if counted.insert((blob.digest, blob.executable)) {
                                size += blob.size;
                            }
                        }
                    }
                    size <= limit
                }
            };
            let young = oldest.is_none_or(|oldest| used > oldest);
            if !(kept || fits && young) {
                gone.push(name);
            }
        }
        Ok(gone)
    }

    fn manifest(&mut self, digest: TreeDigest) -> Result<Option<Arc<Tree>>> {
        if let Some(tree) = self.manifests.get(&digest) {
            return Ok(tree.clone());
        }
        let tree = self.store.read_tree(digest, false)?.map(Arc::new);
        self.manifests.insert(digest, tree.clone());
        Ok(tree)
    }

    fn remove_results(&mut self, names: &[String]) -> Result<()> {
        let removed = self.remove(&self.store.results, "results", names, modified)?;
        self.report.results += removed.0;
        Ok(())
    }

    /// Returns the trees that results name.
    fn named(&self) -> Result<HashSet<TreeDigest>> {
        let mut named = HashSet::new();
        for (name, _) in files(&self.store.results).map_err(self.store.inside("reading", "results"))? {
            let key = name.split_once('/').and_then(|(_, key)| key.parse::<NodeKey>().ok());
            if let Some(key) = key
                && let Some(record) = self.store.read_record(key, false)?
            {
                named.insert(record.tree);
            }
        }
        Ok(named)
    }

    /// Renames each checkout to remove into the session's folder, so that nobody sees a part of
    /// one. Returns their names there.
    fn set_checkouts_aside(&mut self) -> Result<Vec<String>> {
        let mut gone = Vec::new();
        let store = self.store;
        let named = self.named()?;
        let failed = |error| store.inside("removing from", "checkouts")(error);
        let all = open_dir(&store.dir, "checkouts").map_err(failed)?;
        for boot in names(&all).map_err(failed)? {
            let Ok(dir) = open_dir(&all, &boot) else { continue };
            for name in names(&dir).map_err(failed)? {
                let Ok(stat) = statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
                let wanted = boot == store.boot
                    && matches!(parse_name(&name), Some((tree, Materialise::Link)) if named.contains(&tree));
                if wanted || changed(&stat) >= self.horizon {
                    continue;
                }
                let _pass = store.gate.alone().map_err(failed)?;
                // Somebody may have begun to use it since.
                if !statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| changed(&stat) < self.horizon) {
                    continue;
                }
                let aside = store.session.fresh();
                match renameat(&dir, &name, &store.session.dir, &aside) {
                    Ok(()) => gone.push(aside),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(failed(error)),
                }
                self.report.checkouts += 1;
            }
        }
        Ok(gone)
    }

    fn remove_trees(&mut self, keep: &HashSet<TreeDigest>) -> Result<()> {
        let store = self.store;
        let named = self.named()?;
        let mut gone = Vec::new();
        for (name, stat) in files(&store.trees).map_err(store.inside("reading", "trees"))? {
            let digest = name.split_once('/').and_then(|(_, digest)| digest.parse::<TreeDigest>().ok());
            let wanted = digest
                .is_some_and(|digest| named.contains(&digest) || keep.contains(&digest) || self.has_checkout(digest));
            if !wanted && modified(&stat) < self.horizon {
                gone.push(name);
            }
        }
        let removed = self.remove(&store.trees, "trees", &gone, modified)?;
        self.report.trees += removed.0;
        Ok(())
    }

    /// Whether a checkout of the tree is there: its guard may outlive the results that led to it.
    fn has_checkout(&self, digest: TreeDigest) -> bool {
        [Materialise::Link, Materialise::Copy].into_iter().any(|mode| self.store.has_checkout(digest, mode))
    }

    fn remove_blobs(&mut self) -> Result<()> {
        let store = self.store;
        let failed = |error| store.inside("removing from", "blobs")(error);
        let mut wanted = Wanted::default();
        wanted.look(store).map_err(store.inside("reading", "trees"))?;
        let mut gone = Vec::new();
        for (name, stat) in files(&store.blobs).map_err(store.inside("reading", "blobs"))? {
            if wanted.names(&name) || changed(&stat) >= self.horizon {
                self.report.bytes_left += stat.st_size as u64;
            } else {
                gone.push(name);
            }
        }
        for batch in gone.chunks(BATCH) {
            let _pass = store.gate.alone().map_err(failed)?;
            // A build may have added a tree since then that names them.
            wanted.look(store).map_err(store.inside("reading", "trees"))?;
            let (spared, batch): (Vec<_>, Vec<_>) = batch.iter().cloned().partition(|name| wanted.names(name));
            let removed = self.remove_batch(&store.blobs, &batch, changed).map_err(failed)?;
            self.report.blobs += removed.0;
            self.report.bytes += removed.1;
            for name in spared {
                if let Ok(stat) = statat(&store.blobs, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    self.report.bytes_left += stat.st_size as u64;
                }
            }
        }
        Ok(())
    }

    /// Removes files whose time is still before the horizon. Returns their number and bytes.
    fn remove(&self, dir: &OwnedFd, what: &str, names: &[String], mark: fn(&Stat) -> Time) -> Result<(u64, u64)> {
        let failed = |error| self.store.inside("removing from", what)(error);
        let (mut count, mut bytes) = (0, 0);
        for batch in names.chunks(BATCH) {
            let _pass = self.store.gate.alone().map_err(failed)?;
            let removed = self.remove_batch(dir, batch, mark).map_err(failed)?;
            count += removed.0;
            bytes += removed.1;
        }
        Ok((count, bytes))
    }

    /// Does as [`Self::remove`]; the caller has closed the gate.
    fn remove_batch(&self, dir: &OwnedFd, batch: &[String], mark: fn(&Stat) -> Time) -> Result<(u64, u64), Errno> {
        let (mut count, mut bytes) = (0, 0);
        self.store.bump()?;
        for name in batch {
            let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if mark(&stat) >= self.horizon {
                continue;
            }
            match unlinkat(dir, name, AtFlags::empty()) {
                Ok(()) => {
                    count += 1;
                    bytes += stat.st_size as u64;
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        self.store.bump()?;
        Ok((count, bytes))
    }
}

/// The blobs that trees name.
#[derive(Default)]
struct Wanted {
    blobs: HashSet<(BlobDigest, bool)>,
    /// The trees whose blobs are among these.
    trees: HashSet<String>,
    /// The folders of trees that were looked at, and when these had changed before.
    shards: HashMap<String, Time>,
}

impl Wanted {
    fn names(&self, blob: &str) -> bool {
        parse_blob_name(blob).is_some_and(|blob| self.blobs.contains(&blob))
    }

    /// Reads the trees that it does not know yet. Needs no gate: a tree gets its name when it is
    /// whole.
    fn look(&mut self, store: &Store) -> Result<(), Errno> {
        for shard in names(&store.trees)? {
            let Ok(dir) = open_dir(&store.trees, &shard) else { continue };
            let changed = modified(&fstat(&dir)?);
            if self.shards.get(&shard) == Some(&changed) {
                continue;
            }
            for name in names(&dir)? {
                if self.trees.contains(&name) {
                    continue;
                }
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = match openat(&dir, &name, flags, Mode::empty()) {
                    Err(Errno::NOENT) => continue,
                    file => file?,
                };
                let size = fstat(&file)?.st_size as u64;
                // A damaged tree counts as missing everywhere, and names nothing.
                if let Some(tree) = read_all(&file, size).ok().and_then(|bytes| from_bytes(&bytes)) {
                    let blobs = tree.iter().filter_map(|(_, entry)| Blob::of(entry));
                    self.blobs.extend(blobs.map(|blob| (blob.digest, blob.executable)));
                }
                self.trees.insert(name);
            }
            // A change within the same tick of the file system's clock would not show.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
            if changed.0 + 2 < now {
                self.shards.insert(shard, changed);
            }
        }
        Ok(())
    }
}

/// Parses a path below `blobs/`: the digest, and whether the file is executable.
pub(super) fn parse_blob_name(name: &str) -> Option<(BlobDigest, bool)> {
    let (_, name) = name.split_once('/')?;
    let plain = name.strip_suffix('x');
    Some((plain.unwrap_or(name).parse().ok()?, plain.is_some()))
}

/// The names in a folder.
pub(super) fn names(dir: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    let mut entries = Dir::read_from(dir)?;
    while let Some(entry) = entries.read() {
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The files of a sharded folder, as `XX/NAME`.
pub(super) fn files(dir: &OwnedFd) -> Result<Vec<(String, Stat)>, Errno> {
    let mut files = Vec::new();
    for shard in names(dir)? {
        let Ok(inner) = open_dir(dir, &shard) else { continue };
        for name in names(&inner)? {
            match statat(&inner, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => files.push((format!("{shard}/{name}"), stat)),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(files)
}
