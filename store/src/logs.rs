//! Logs of actions: what the command printed that made a key's result.
//!
//! A log stands under the key until the result goes. It is no part of the result: nothing depends
//! on it, and what another machine built has none here.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use build_graph::NodeKey;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::files::kind;
use super::{Result, Store, StoreError, into_place, sharded};

impl Store {
    /// Keeps the log of the action that made a key's result: moves the file, which must lie in a
    /// [`Scratch`](super::Scratch) of this store, into the place of an earlier one. An empty log is
    /// not kept. Returns its length in bytes.
    ///
    /// # Errors
    /// [`StoreError`] if `log` is no regular file or can't be moved.
    pub fn keep_log(&self, key: NodeKey, log: &Path) -> Result<u64> {
        let name = sharded(key.as_bytes());
        let failed = |error| self.inside("keeping the log", &name)(error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(CWD, log, flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&file).map_err(failed)?;
        if kind(&stat) != FileType::RegularFile {
            return Err(failed(Errno::INVAL));
        }
        let length = stat.st_size as u64;
        if length == 0 {
            self.remove_log(&name).map_err(failed)?;
            return Ok(0);
        }
        fchmod(&file, Mode::from_raw_mode(0o444)).map_err(failed)?;
        let temporary = self.session.fresh();
        renameat(CWD, log, &self.session.dir, &temporary).map_err(failed)?;
        into_place(&self.session.dir, &temporary, &self.logs, &name).map_err(failed)?;
        Ok(length)
    }

    /// Opens the log of a key; `None` if there is none, or if nothing was printed.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub fn log(&self, key: NodeKey) -> Result<Option<File>> {
        let name = sharded(key.as_bytes());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.logs, &name, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            opened => Ok(Some(opened.map_err(self.inside("reading the log", &name))?.into())),
        }
    }

    /// Reads the first bytes of a key's log, at most so many.
    ///
    /// # Errors
    /// As [`Store::log`].
    pub fn read_log(&self, key: NodeKey, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.log(key)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read: io::Result<usize> = file.take(limit).read_to_end(&mut bytes);
        read.map_err(|error| StoreError::inside(&self.root, "reading the log", sharded(key.as_bytes()), error))?;
        Ok(Some(bytes))
    }

    /// Removes the log of a key.
    pub(super) fn remove_log(&self, name: &str) -> Result<(), Errno> {
        match unlinkat(&self.logs, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
