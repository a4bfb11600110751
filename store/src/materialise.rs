//! Writes trees as files.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use build_graph::{Entry, RelPath, Tree};
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, copy_file_range, fchmod, flock, fstat, futimens,
    ioctl_ficlone, linkat, mkdirat, openat, renameat_with, symlinkat, utimensat,
};
use rustix::io::{Errno, retry_on_intr};

use super::blob::{Blob, open_to_read};
use super::files::{EPOCHS, accessed, open_dir, write_all};
use super::lock::is_at;
use super::remove::remove_at;
use super::{Result, Scratch, Store, StoreError};

/// How files are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Materialise {
    /// Hard links to the store's own files, mode 0444 or 0555: for trees that nobody can write to.
    /// No two paths of a tree share an inode: the second of two equal files is a copy, and so is a
    /// file that can't be linked.
    Link,
    /// Files of their own, mode 0644 or 0755, sharing blocks where the file system can.
    Copy,
}

impl Store {
    /// Makes a tree's files below `dest`, which must not exist, and appears when it is whole.
    /// Everything in it, and `dest` itself, has
    /// [`SOURCE_DATE_EPOCH`](build_graph::SOURCE_DATE_EPOCH) as its time.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if `dest` is there, [`StoreError::MissingBlob`] if the store lacks a
    /// file's bytes (see [`Store::missing`] for all of them), [`StoreError`] if something can't be
    /// made.
    pub fn materialise(&self, tree: &Tree, dest: &Path, mode: Materialise) -> Result<()> {
        let outside = |error| StoreError::outside("making", dest, error);
        // A path that ends in no name, such as `.`, is that of a folder that is there.
        let (Some(parent), Some(name)) = (dest.parent(), dest.file_name()) else {
            return Err(StoreError::Exists { path: dest.to_owned() });
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let parent = openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(outside)?;
        let mut partial = OsString::from(".");
        partial.push(name);
        partial.push(".partial");
        let top = begin_partial(&parent, &partial).map_err(outside)?;
        let made = self.fill(tree, &top, dest, mode).and_then(|()| {
            match renameat_with(&parent, &partial, &parent, name, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(()),
                Err(Errno::EXIST | Errno::NOTEMPTY) => Err(StoreError::Exists { path: dest.to_owned() }),
                Err(error) => Err(outside(error)),
            }
        });
        if made.is_err() {
            let _ = remove_at(&parent, &*partial);
        }
        let _ = flock(&top, FlockOperation::Unlock);
        made
    }

    /// Makes a tree's files in a new folder of a scratch folder, and returns its path. Nobody else
    /// looks there, so it need not appear at once.
    ///
    /// # Errors
    /// As [`Store::materialise`].
    pub fn materialise_in(&self, scratch: &Scratch, name: &str, tree: &Tree, mode: Materialise) -> Result<PathBuf> {
        let path = scratch.path().join(name);
        let top = match scratch.make_folder(name) {
            Ok(top) => top,
            Err(Errno::EXIST) => return Err(StoreError::Exists { path }),
            Err(error) => return Err(StoreError::outside("making", path, error)),
        };
        self.fill(tree, &top, &path, mode)?;
        Ok(path)
    }

    /// Makes a tree's files in the empty folder `top`; `shown` is its path for messages.
    pub(super) fn fill(&self, tree: &Tree, top: &OwnedFd, shown: &Path, mode: Materialise) -> Result<()> {
        let mut builder =
            Builder { store: self, top, shown, mode, open: Vec::new(), linked: HashSet::new(), clone: true };
        for (path, entry) in tree.iter() {
            builder.make(path, entry)?;
        }
        builder.close_to(0).map_err(|error| builder.failed("", error))?;
        finish_dir(top.as_fd()).map_err(|error| builder.failed("", error))
    }
}

/// The folder beside the destination in which the tree is built. It is locked and empty; what a
/// dead process left in it is removed.
fn begin_partial(parent: &OwnedFd, partial: &OsStr) -> Result<OwnedFd, Errno> {
    loop {
        match mkdirat(parent, partial, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let dir = match open_dir(parent, partial) {
            Err(Errno::NOENT) => continue,
            opened => opened?,
        };
        retry_on_intr(|| flock(&dir, FlockOperation::LockExclusive))?;
        if !is_at(&dir, parent, partial)? {
            continue;
        }
        let empty = !rustix::fs::Dir::read_from(&dir)?
            .filter_map(Result::ok)
            .any(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."));
        if empty {
            return Ok(dir);
        }
        remove_at(parent, partial)?;
    }
}

struct Builder<'a> {
    store: &'a Store,
    top: &'a OwnedFd,
    shown: &'a Path,
    mode: Materialise,
    /// The folders from the top to the present one.
    open: Vec<(String, OwnedFd)>,
    linked: HashSet<Blob>,
    /// Whether the file system shares blocks, unless a try has failed.
    clone: bool,
}

impl Builder<'_> {
    fn make(&mut self, path: &RelPath, entry: &Entry) -> Result<()> {
        let (parent, name) = match path.as_str().rsplit_once('/') {
            Some((parent, name)) => (Some(parent), name),
            None => (None, path.as_str()),
        };
        self.enter(parent).map_err(|error| self.failed(path.as_str(), error))?;
        match entry {
            Entry::File { .. } => {
                let Some(blob) = Blob::of(entry) else { return Ok(()) };
                self.file(path, name, blob)
            }
            Entry::Symlink { target } => symlinkat(target.as_str(), self.here(), name)
                .and_then(|()| utimensat(self.here(), name, &EPOCHS, AtFlags::SYMLINK_NOFOLLOW))
                .map_err(|error| self.failed(path.as_str(), error)),
            Entry::EmptyDirectory => mkdirat(self.here(), name, Mode::from_raw_mode(0o755))
                .and_then(|()| open_dir(self.here(), name))
                .and_then(|dir| finish_dir(dir.as_fd()))
                .map_err(|error| self.failed(path.as_str(), error)),
        }
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.top.as_fd(), |(_, dir)| dir.as_fd())
    }

    /// Enters a folder, and makes those on the way that are missing. Paths come sorted, so no
    /// folder is entered twice.
    fn enter(&mut self, parent: Option<&str>) -> Result<(), Errno> {
        let components = || parent.into_iter().flat_map(|parent| parent.split('/'));
        let common = components().zip(&self.open).take_while(|(component, (name, _))| component == name).count();
        self.close_to(common)?;
        for component in components().skip(common) {
            mkdirat(self.here(), component, Mode::from_raw_mode(0o755))?;
            let dir = open_dir(self.here(), component)?;
            self.open.push((component.to_owned(), dir));
        }
        Ok(())
    }

    fn close_to(&mut self, depth: usize) -> Result<(), Errno> {
        while self.open.len() > depth {
            if let Some((_, dir)) = self.open.pop() {
                finish_dir(dir.as_fd())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &RelPath, name: &str, blob: Blob) -> Result<()> {
        let missing = || StoreError::MissingBlob { path: path.clone(), digest: blob.digest };
        let stat = self.store.check(blob)?.ok_or_else(missing)?;
        if self.mode == Materialise::Link && stat.st_nlink < self.store.options.max_links && self.linked.insert(blob) {
            let from = blob.name();
            let blobs = &self.store.blobs;
            // Reading a blob by another of its links may have changed its time of access.
            if accessed(&stat) != (EPOCHS.last_access.tv_sec, 0) {
                match utimensat(blobs, &from, &EPOCHS, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => return Err(missing()),
                    set => set.map_err(self.store.inside("sealing the blob", &from))?,
                }
            }
            match linkat(blobs, &from, self.here(), name, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(Errno::NOENT) => return Err(missing()),
                // Too many links, another file system, or one without links; links that the kernel
                // forbids.
                Err(Errno::MLINK | Errno::XDEV | Errno::OPNOTSUPP | Errno::PERM) => {}
                Err(error) => return Err(self.failed(path.as_str(), error)),
            }
        }
        let file = match open_to_read(&self.store.blobs, &blob.name()) {
            Err(Errno::NOENT) => return Err(missing()),
            opened => opened.map_err(self.store.inside("opening the blob", blob.name()))?,
        };
        let copied = self.copy(&file, name, blob).map_err(|error| self.failed(path.as_str(), error))?;
        if copied { Ok(()) } else { Err(missing()) }
    }

    /// Returns false if the blob has another length than the tree says.
    fn copy(&mut self, from: &OwnedFd, name: &str, blob: Blob) -> Result<bool, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let to = openat(self.here(), name, flags, Mode::from_raw_mode(0o600))?;
        self.clone = self.clone && (blob.size == 0 || ioctl_ficlone(&to, from).is_ok());
        if !self.clone {
            copy_bytes(from, &to, blob.size)?;
        }
        let mode = match (self.mode, blob.executable) {
            (Materialise::Link, _) => blob.mode(),
            (Materialise::Copy, true) => 0o755,
            (Materialise::Copy, false) => 0o644,
        };
        fchmod(&to, Mode::from_raw_mode(mode))?;
        futimens(&to, &EPOCHS)?;
        Ok(fstat(&to)?.st_size as u64 == blob.size)
    }

    /// The error of a call on something below the destination.
    fn failed(&self, path: &str, error: Errno) -> StoreError {
        let path = if path.is_empty() { self.shown.to_owned() } else { self.shown.join(path) };
        match path.strip_prefix(&self.store.root) {
            Ok(path) => self.store.inside("making", path)(error),
            Err(_) => StoreError::outside("making", path, error),
        }
    }
}

fn finish_dir(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    // Whatever the umask is.
    fchmod(dir, Mode::from_raw_mode(0o755))?;
    futimens(dir, &EPOCHS)
}

fn copy_bytes(from: &OwnedFd, to: &OwnedFd, size: u64) -> Result<(), Errno> {
    let mut left = size;
    while left > 0 {
        match copy_file_range(from, None, to, None, usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30)) {
            Ok(0) => return Ok(()),
            Ok(count) => left -= count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
            Err(error) => return Err(error),
        }
    }
    if left > 0 {
        let mut buffer = vec![0; usize::try_from(left.min(super::files::SMALL)).unwrap_or(1)];
        loop {
            match rustix::io::read(from, &mut buffer) {
                Ok(0) => break,
                Ok(count) => write_all(to, &buffer[..count])?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
