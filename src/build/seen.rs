//! Files as they were looked at, to notice later that one has changed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use build_graph::{Entry, RelPath, Tree};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, openat, stat, statat};
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
    stat(path).ok().map(|stat| identity_of(&stat))
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

/// A thread looks at so many files before it takes others.
const LOOKED_AT_ONCE: usize = 512;

/// The folder of the last file that was looked at, open: the kernel finds the next file in it in
/// half the time that it takes from the root, and a folder in place of a source may have a million.
#[derive(Default)]
struct OpenFolder<'s> {
    path: &'s [u8],
    /// How many files of it were looked at in a row.
    files: usize,
    open: Option<OwnedFd>,
}

impl<'s> OpenFolder<'s> {
    /// It is opened for more files than this.
    const FEW: usize = 2;

    fn identity(&mut self, path: &'s Path) -> Option<Identity> {
        let Some((folder, name)) = split(path.as_os_str().as_bytes()) else { return identity(path) };
        if folder != self.path {
            *self = Self { path: folder, files: 0, open: None };
        }
        self.files += 1;
        if self.files == Self::FEW + 1 {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            // What can't be opened is looked at by its path.
            self.open = openat(CWD, OsStr::from_bytes(folder), flags, Mode::empty()).ok();
        }
        match &self.open {
            Some(open) => statat(open, name, AtFlags::empty()).ok().map(|stat| identity_of(&stat)),
            None => identity(path),
        }
    }
}

/// The folder of a path, and its name there.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    let (folder, name) = (&path[..slash], &path[slash + 1..]);
    (!folder.is_empty() && !name.is_empty()).then_some((folder, name))
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
        seen.par_chunks(LOOKED_AT_ONCE).all(|part| {
            let mut folder = OpenFolder::default();
            part.iter().all(|seen| folder.identity(&seen.path) == seen.identity)
        })
    }

    /// The places of those that are not the same any more.
    pub fn changed(seen: &[Self]) -> Vec<usize> {
        let parts = seen.par_chunks(LOOKED_AT_ONCE).enumerate();
        let changed = parts.map(|(number, part)| {
            let mut folder = OpenFolder::default();
            let mut changed = Vec::new();
            for (at, seen) in part.iter().enumerate() {
                if folder.identity(&seen.path) != seen.identity {
                    changed.push(number * LOOKED_AT_ONCE + at);
                }
            }
            changed
        });
        changed.flatten_iter().collect()
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

    /// Writes many of them: for each the length of its path, that, and its identity.
    pub fn write_all(seen: &[Self], bytes: &mut Vec<u8>) {
        for Self { path, identity } in seen {
            let path = path.as_os_str().as_bytes();
            bytes.extend_from_slice(&(path.len() as u32).to_le_bytes());
            bytes.extend_from_slice(path);
            bytes.push(u8::from(identity.is_some()));
            if let Some((device, inode, size, changed, status)) = identity {
                let [changed, status] = [changed, status].map(|time| time.cast_unsigned());
                for number in [*device, *inode, *size, changed, status] {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
    }

    /// Reads what [`Seen::write_all`] wrote; `None` if it is anything else.
    pub fn read_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let length = take(&mut bytes).map(u32::from_le_bytes)? as usize;
            let path = OsStr::from_bytes(bytes.split_off(..length)?).into();
            let identity = match take(&mut bytes)? {
                [0] => None,
                [1] => {
                    let mut number = || take(&mut bytes).map(u64::from_le_bytes);
                    let (device, inode, size) = (number()?, number()?, number()?);
                    Some((device, inode, size, number()?.cast_signed(), number()?.cast_signed()))
                }
                _ => return None,
            };
            all.push(Self { path, identity });
        }
        Some(all)
    }
}

/// Takes the first bytes off.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Files of several folders, some of which are not there.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files = vec![PathBuf::from("/"), folder.to_path_buf(), "relative".into()];
        for (name, count) in [("a", 1), ("b", 7), ("a", 3), ("none", 5)] {
            files.extend((0..count).map(|number| folder.join(name).join(format!("{number}"))));
        }
        for file in &files[3..files.len() - 5] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "content").unwrap();
        }
        files
    }

    #[test]
    fn what_changes_is_noticed_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let seen: Vec<_> = files.iter().map(|file| Seen::now(file.clone())).collect();
        assert!(Seen::all_are_current(&seen));
        assert_eq!(Seen::changed(&seen), [0; 0]);
        let other = |changed: &Path| -> Vec<usize> { (0..files.len()).filter(|at| files[*at] == changed).collect() };
        for (at, file) in files.iter().enumerate().take(11).skip(4) {
            fs::write(file, "another one").unwrap();
            assert!(!Seen::all_are_current(&seen));
            assert!(Seen::changed(&seen).contains(&at), "{at}");
        }
        let seen: Vec<_> = files.iter().map(|file| Seen::now(file.clone())).collect();
        fs::create_dir(folder.path().join("none")).unwrap();
        let file = files.last().unwrap();
        fs::write(file, "").unwrap();
        assert_eq!(Seen::changed(&seen), [other(folder.path()), other(file)].concat());
        fs::rename(folder.path().join("b"), folder.path().join("c")).unwrap();
        assert_eq!(Seen::changed(&seen).len(), 9);
        std::os::unix::fs::symlink("c", folder.path().join("b")).unwrap();
        assert_eq!(Seen::changed(&seen).len(), 2);
    }

    #[test]
    fn what_is_read_is_what_was_written_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let seen: Vec<_> = files(folder.path()).into_iter().map(Seen::now).collect();
        let mut bytes = Vec::new();
        Seen::write_all(&seen, &mut bytes);
        assert_eq!(Seen::read_all(&bytes).unwrap(), seen);
        for end in 0..bytes.len() {
            assert_ne!(Seen::read_all(&bytes[..end]).as_ref(), Some(&seen), "{end}");
        }
        assert_eq!(Seen::read_all(&[&bytes[..], b"x"].concat()), None);
        for at in 0..bytes.len() {
            let damaged = [&bytes[..at], &[!bytes[at]], &bytes[at + 1..]].concat();
            assert_ne!(Seen::read_all(&damaged).as_ref(), Some(&seen), "{at}");
        }
    }
}
