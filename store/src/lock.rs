//! Locks between processes. All are `flock`s, which the kernel releases when their holder dies.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use build_graph::NodeKey;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, openat, statat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::error::{Result, StoreError};
use support::waiting::{self, Teller};

/// Nobody is told of a shorter wait for the gate: it is passed for a few system calls only.
const GATE_PATIENCE: Duration = Duration::from_secs(2);
/// Nobody is told of a shorter wait for another lock.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// Locks a file; tells for whom it waits.
pub(super) fn flock_telling(
    file: impl AsFd,
    operation: FlockOperation,
    patience: Duration,
    teller: Option<&Teller>,
) -> Result<(), Errno> {
    match teller {
        Some(teller) => waiting::lock(file, operation, patience, &|whom| teller.tell(whom)),
        None => retry_on_intr(|| flock(&file, operation)),
    }
}

/// The lock that keeps removals apart from look-ups: nothing is removed between the moment when a
/// look-up finds it and the moment when it is marked as used.
///
/// Look-ups and insertions hold it shared, for a few system calls. Removals hold it exclusively. A
/// thread never takes it twice.
#[derive(Debug)]
pub(super) struct Gate {
    file: OwnedFd,
    inside: Mutex<Inside>,
    left: Condvar,
    waiting: Option<Teller>,
}

#[derive(Debug, Default)]
struct Inside {
    shared: usize,
    alone: bool,
}

/// A hold on the gate, until it is dropped.
pub(super) struct Pass<'gate>(&'gate Gate);

impl Gate {
    pub(super) fn new(file: OwnedFd, waiting: Option<Teller>) -> Self {
        Self { file, inside: Mutex::default(), left: Condvar::new(), waiting }
    }

    fn flock(&self, operation: FlockOperation) -> Result<(), Errno> {
        flock_telling(&self.file, operation, GATE_PATIENCE, self.waiting.as_ref())
    }

    /// Takes the gate together with other shared holders.
    pub(super) fn shared(&self) -> Result<Pass<'_>, Errno> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while inside.alone {
            inside = self.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        if inside.shared == 0 {
            self.flock(FlockOperation::LockShared)?;
        }
        inside.shared += 1;
        Ok(Pass(self))
    }

    /// Takes the gate exclusively.
    pub(super) fn alone(&self) -> Result<Pass<'_>, Errno> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while inside.alone || inside.shared > 0 {
            inside = self.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        self.flock(FlockOperation::LockExclusive)?;
        inside.alone = true;
        Ok(Pass(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.alone {
            inside.alone = false;
        } else {
            inside.shared -= 1;
        }
        if inside.shared == 0 {
            // Unlocking explicitly, not by closing: a forked child may hold a copy of the
            // descriptor.
            let _ = flock(&self.0.file, FlockOperation::Unlock);
            self.0.left.notify_all();
        }
    }
}

/// A lock file that is held. It is removed when it is released.
#[derive(Debug)]
pub(super) struct LockFile {
    dir: Arc<OwnedFd>,
    name: String,
    file: OwnedFd,
}

impl LockFile {
    /// Makes the file and locks it. Where `operation` does not wait, returns `None` if another
    /// holds it.
    pub(super) fn acquire(
        dir: &Arc<OwnedFd>,
        name: &str,
        operation: FlockOperation,
        teller: Option<&Teller>,
    ) -> Result<Option<Self>, Errno> {
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = openat(dir, name, flags, Mode::from_raw_mode(0o600))?;
            match flock_telling(&file, operation, PATIENCE, teller) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error),
            }
            // The last holder may have removed the file that was opened: then it locks nothing.
            if is_at(&file, dir, name)? {
                return Ok(Some(Self { dir: dir.clone(), name: name.to_owned(), file }));
            }
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Only an exclusive holder may remove it: then nobody else holds it, and who waits for it
        // checks that it is still there.
        if flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok()
            && is_at(&self.file, &self.dir, &self.name).unwrap_or(false)
        {
            let _ = unlinkat(&self.dir, &self.name, AtFlags::empty());
        }
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Whether the open file is the one that stands at the name.
pub(super) fn is_at(file: impl AsFd, dir: impl AsFd, name: impl rustix::path::Arg) -> Result<bool, Errno> {
    let open = fstat(file)?;
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (open.st_dev, open.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The exclusive right to make a key's result, among all processes that use the store. It ends when
/// this value is dropped, or its process dies.
#[derive(Debug)]
pub struct KeyLock {
    _file: LockFile,
}

impl KeyLock {
    /// Waits, or gives `None` where that would wait.
    pub(super) fn acquire(
        root: &Path,
        dir: &Arc<OwnedFd>,
        key: NodeKey,
        wait: bool,
        teller: Option<&Teller>,
    ) -> Result<Option<Self>> {
        let operation = if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
        let name = key.to_string();
        let file = LockFile::acquire(dir, &name, operation, teller)
            .map_err(|error| StoreError::inside(root, "locking", format!("locks/{name}"), error))?;
        Ok(file.map(|file| Self { _file: file }))
    }
}
