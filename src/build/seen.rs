//! Files as they were looked at, to notice later that one has changed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use build_graph::{Entry, RelPath, Tree};
use rayon::prelude::*;
use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};

/// No kernel's clock for files has longer steps.
pub const CLOCK_STEP: Duration = Duration::from_millis(20);

/// A file or folder as it was looked at: if nothing of this has changed, its content has not
/// either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    path: PathBuf,
    /// `None`: it was not there.
    identity: Option<Identity>,
}

/// Device, inode, size, and the times of change in nanoseconds (content, then status), as far as 64
/// bits hold them: other times give other numbers up to the year 2262.
type Identity = (u64, u64, u64, i64, i64);

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|metadata| {
        let changed = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
        let status = nanoseconds(metadata.ctime(), metadata.ctime_nsec());
        (metadata.dev(), metadata.ino(), if metadata.is_dir() { 0 } else { metadata.size() }, changed, status)
    })
}

fn identity_of(stat: &Stat) -> Identity {
    let changed = nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64);
    let status = nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64);
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    (stat.st_dev, stat.st_ino, if is_folder { 0 } else { stat.st_size as u64 }, changed, status)
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}

impl Seen {
    /// Looks at a path.
    pub fn now(path: PathBuf) -> Self {
        Self { identity: identity(&path), path }
    }

    /// What `stat` said of a path, which is no symbolic link.
    pub fn of(path: PathBuf, stat: &Stat) -> Self {
        Self { path, identity: Some(identity_of(stat)) }
    }

    /// Whether something was there.
    pub fn was_there(&self) -> bool {
        self.identity.is_some()
    }

    /// Whether it is still the same.
    pub fn is_current(&self) -> bool {
        identity(&self.path) == self.identity
    }

    /// Whether all of these are still the same.
    pub fn all_are_current(seen: &[Self]) -> bool {
        // The kernel takes a microsecond a file; a folder in place of a source may have a million.
        seen.par_iter().with_min_len(512).all(Self::is_current)
    }

    /// The places of those that are not the same any more.
    pub fn changed(seen: &[Self]) -> Vec<usize> {
        let places = seen.par_iter().with_min_len(512).enumerate();
        places.filter(|(_, seen)| !seen.is_current()).map(|(at, _)| at).collect()
    }

    /// Whether a later change would show. The kernel stamps files by a clock with coarse steps, so
    /// that a second change within the step of the first looks like the first; what was stamped
    /// while somebody looked, between `start` and `end`, or just before, may have been changed
    /// again.
    pub fn is_settled(&self, start: SystemTime, end: SystemTime) -> bool {
        let nanoseconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
        let step = CLOCK_STEP.as_nanos() as i64;
        let looked = nanoseconds(start) - step..=nanoseconds(end) + step;
        self.identity.is_none_or(|(.., status)| !looked.contains(&status))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What an earlier load of a project found in folders in place of sources: files of them that have
/// not changed since are not read again. Only as long as the store has lost nothing.
#[derive(Debug, Default)]
pub struct EarlierFolders {
    /// The folders with their trees, by the sources' names.
    pub trees: BTreeMap<String, (PathBuf, Arc<Tree>)>,
    /// What was looked at then, by path.
    pub seen: HashMap<PathBuf, Seen>,
}

impl EarlierFolders {
    /// The entry of a file in the folder of a source, if it is as it was.
    pub fn file(&self, source: &str, folder: &Path, path: &RelPath, seen: &Seen, stat: &Stat) -> Option<Entry> {
        let (_, tree) = self.trees.get(source).filter(|(earlier, _)| earlier == folder)?;
        let entry = tree.get(path.as_str())?;
        let Entry::File { size, executable, .. } = entry else { return None };
        let same = self.seen.get(&seen.path)? == seen;
        let fits = *size == stat.st_size as u64 && *executable == (stat.st_mode & 0o100 != 0);
        (same && fits).then(|| entry.clone())
    }
}
