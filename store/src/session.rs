//! Sessions: one for every open [`Store`](super::Store), with a folder of its own under `tmp/` for
//! unfinished files.
//!
//! `tmp/SESSION/lock` is locked while the session lives. Its modification time says when the
//! session began: what was marked as used since then may be in use. A new session removes the
//! folders of dead ones.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, openat, renameat_with, statat,
    unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use super::error::{Result, StoreError};
use super::files::{Time, changed, modified, open_dir};
use super::lock::is_at;
use super::remove::remove_at;

/// How many seconds a session's folder without a lock is left alone: its owner may be about to make
/// the lock.
const GRACE: i64 = 3600;

#[derive(Debug)]
pub(super) struct Session {
    root: PathBuf,
    tmp: OwnedFd,
    name: String,
    /// The session's folder.
    pub(super) dir: OwnedFd,
    lock: OwnedFd,
    /// When it began, by the clock of the file system.
    pub(super) start: Time,
    counter: AtomicU64,
}

impl Session {
    pub(super) fn begin(root: &Path, tmp: OwnedFd) -> Result<Arc<Self>> {
        let error = |error| StoreError::inside(root, "making a folder in", "tmp", error);
        loop {
            let name = format!("{}-{:016x}", std::process::id(), random().map_err(error)?);
            match mkdirat(&tmp, &name, Mode::from_raw_mode(0o755)) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(error(errno)),
            }
            let opened = open_dir(&tmp, &name).and_then(|dir| {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let lock = openat(&dir, "lock", flags, Mode::from_raw_mode(0o600))?;
                Ok((dir, lock))
            });
            let (dir, lock) = match opened {
                Ok(opened) => opened,
                // Another session removed it before it was locked.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(error(errno)),
            };
            let locked = retry_on_intr(|| flock(&lock, FlockOperation::NonBlockingLockExclusive)).is_ok();
            if locked && is_at(&lock, &dir, "lock").map_err(error)? {
                let start = modified(&fstat(&lock).map_err(error)?);
                let root = root.to_owned();
                return Ok(Arc::new(Self { root, tmp, name, dir, lock, start, counter: AtomicU64::new(0) }));
            }
        }
    }

    /// Returns an unused name for the session's folder.
    pub(super) fn fresh(&self) -> String {
        self.counter.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Makes a new, empty folder that other users can't enter: an untrusted action writes there.
    pub(super) fn scratch(self: &Arc<Self>) -> Result<Scratch> {
        let name = self.fresh();
        mkdirat(&self.dir, &name, Mode::from_raw_mode(0o700))
            .map_err(|error| StoreError::inside(&self.root, "making a folder in", "tmp", error))?;
        let path = self.root.join("tmp").join(&self.name).join(&name);
        Ok(Scratch { session: self.clone(), name, path })
    }

    /// Removes the folders of dead sessions, as far as it can.
    pub(super) fn sweep(&self) {
        let _ = for_each_name(&self.tmp, |name| {
            if name == self.name {
                return Ok(());
            }
            let dead = match open_lock(&self.tmp, name) {
                // Held while the folder is removed, so that nobody else does the same.
                Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(Some(lock)),
                Err(Errno::NOENT) => {
                    let stat = statat(&self.tmp, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    (changed(&stat).0 + GRACE < self.start.0).then_some(None)
                }
                Err(_) => None,
            };
            if dead.is_some() {
                let _ = remove_at(&self.tmp, name);
            }
            Ok(())
        });
    }

    /// Returns when the oldest living session began.
    pub(super) fn oldest(&self) -> Result<Time, Errno> {
        let mut oldest = self.start;
        for_each_name(&self.tmp, |name| {
            let lock = match open_lock(&self.tmp, name) {
                Ok(lock) => lock,
                // About to begin: not before this moment.
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error),
            };
            if flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK) {
                oldest = oldest.min(modified(&fstat(&lock)?));
            }
            Ok(())
        })?;
        Ok(oldest)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Mostly nothing else is left in it.
        let emptied = unlinkat(&self.dir, "lock", AtFlags::empty());
        if emptied.and_then(|()| unlinkat(&self.tmp, &self.name, AtFlags::REMOVEDIR)).is_err() {
            let _ = remove_at(&self.tmp, &self.name);
        }
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

fn open_lock(tmp: &OwnedFd, session: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(tmp, format!("{session}/lock"), flags, Mode::empty())
}

fn for_each_name(dir: &OwnedFd, mut action: impl FnMut(&str) -> Result<(), Errno>) -> Result<(), Errno> {
    let mut entries = Dir::read_from(dir)?;
    while let Some(entry) = entries.read() {
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            action(name)?;
        }
    }
    Ok(())
}

fn random() -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes))
}

/// A new folder on the store's own file system. It is removed with its content when this value is
/// dropped; if the process dies, the next one that opens the store removes it. Files in it can be
/// [ingested](super::Store::ingest_paths) without a copy.
#[derive(Debug)]
pub struct Scratch {
    session: Arc<Session>,
    name: String,
    path: PathBuf,
}

impl Scratch {
    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder in it, and opens that.
    pub(super) fn make_folder(&self, name: &str) -> Result<OwnedFd, Errno> {
        let name = format!("{}/{name}", self.name);
        mkdirat(&self.session.dir, &name, Mode::from_raw_mode(0o755))?;
        open_dir(&self.session.dir, &name)
    }

    /// Keeps the folder: moves it to `to`, which must not exist and must be on the same file
    /// system.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if `to` is there, [`StoreError::Io`] if the move fails; then the
    /// folder stays what it was.
    pub fn keep(&self, to: &Path) -> Result<()> {
        match renameat_with(&self.session.dir, &self.name, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(StoreError::Exists { path: to.to_owned() }),
            Err(error) => Err(StoreError::outside("moving a folder to", to, error)),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_at(&self.session.dir, &self.name);
    }
}
