//! What a guest's descriptor stands for.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{OFlags, fstat};
use rustix::io::Errno;

use super::channel::Channel;
use super::device::Device;
use super::lock::Lock;
use super::mounts::Access;
use super::stat::{FileStat, S_IFCHR};
use super::{GuestPath, listing::Entry};

/// Most descriptors that a guest may have open at once.
pub const DESCRIPTORS_MAX: usize = 1024;

/// An open file description: what `dup` shares.
#[derive(Debug)]
pub struct Description {
    pub(crate) object: Object,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// Of `O_APPEND` and `O_NONBLOCK`, those that are set.
    pub(crate) flags: Cell<OFlags>,
    /// The lock on the whole file that flock(2) gave.
    pub(crate) lock: Cell<Option<Lock>>,
}

/// The kinds of open objects.
#[derive(Debug)]
pub(crate) enum Object {
    /// A regular file that the guest opened below a mount.
    File { fd: OwnedFd, access: Access },
    /// A descriptor of the host that was handed in.
    Handed { fd: OwnedFd, kind: HandedKind },
    /// A directory; without `fd` it is virtual.
    Directory { path: GuestPath, fd: Option<OwnedFd>, access: Access, entries: RefCell<Option<Rc<Vec<Entry>>>> },
    /// A built-in device.
    Device(Device),
    /// An end of a pipe or a socket within the guest.
    Channel(Channel),
    /// Takes what is written, for a look at it later.
    Sink(Rc<RefCell<Vec<u8>>>),
}

/// What a descriptor that was handed in leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandedKind {
    Terminal,
    /// A regular file, read and written anywhere. Its size, its mode and its times are none of the
    /// guest's business.
    File,
    /// A regular file that bytes are written to one after the other, where the descriptor stands.
    Stream,
    /// A pipe, a socket, a device.
    Other,
}

impl Description {
    pub(crate) fn new(object: Object, readable: bool, writable: bool, flags: OFlags) -> Rc<Self> {
        Rc::new(Self { object, readable, writable, flags: Cell::new(flags), lock: Cell::default() })
    }

    /// The host's descriptor behind this one.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is none, as calls such as ftruncate say of a device.
    pub(crate) fn host(&self) -> Result<&OwnedFd, Errno> {
        match &self.object {
            Object::File { fd, .. } | Object::Handed { fd, .. } | Object::Directory { fd: Some(fd), .. } => Ok(fd),
            _ => Err(Errno::INVAL),
        }
    }

    /// Whether reading gives a file's bytes.
    ///
    /// # Errors
    ///
    /// `EBADF` for one that was opened for writing alone, `EISDIR` for a directory.
    pub(crate) fn check_readable(&self) -> Result<(), Errno> {
        match &self.object {
            Object::Directory { .. } => Err(Errno::ISDIR),
            _ if !self.readable => Err(Errno::BADF),
            _ => Ok(()),
        }
    }

    /// Whether writing is allowed.
    ///
    /// # Errors
    ///
    /// `EBADF` for one that was opened for reading alone.
    pub(crate) fn check_writable(&self) -> Result<(), Errno> {
        if self.writable { Ok(()) } else { Err(Errno::BADF) }
    }

    /// Whether the inode behind may be changed (mode, times): the mount has to be writable, the
    /// descriptor need not be.
    ///
    /// # Errors
    ///
    /// `EROFS` below a read-only mount, `EPERM` for what was handed in and for what is no file.
    pub(crate) fn check_changeable(&self) -> Result<(), Errno> {
        match &self.object {
            Object::File { access, .. } | Object::Directory { fd: Some(_), access, .. } => match access {
                Access::ReadOnly => Err(Errno::ROFS),
                Access::ReadWrite => Ok(()),
            },
            Object::Directory { fd: None, .. } => Err(Errno::ROFS),
            _ => Err(Errno::PERM),
        }
    }

    /// Whether a file may become longer or shorter without being written.
    ///
    /// # Errors
    ///
    /// `EPERM` for a file that was handed in: that is to read and to write, as its option says.
    pub(crate) fn check_resizable(&self) -> Result<(), Errno> {
        match &self.object {
            Object::Handed { kind: HandedKind::File | HandedKind::Stream, .. } => Err(Errno::PERM),
            _ => Ok(()),
        }
    }

    /// What fstat(2) says.
    ///
    /// # Errors
    ///
    /// Those of fstat(2).
    pub(crate) fn stat(&self) -> Result<FileStat, Errno> {
        match &self.object {
            Object::Device(device) => Ok(device.stat()),
            Object::Channel(channel) => Ok(channel.stat()),
            Object::Sink(_) => Ok(FileStat { mode: S_IFCHR | 0o600, ..Device::Null.stat() }),
            Object::Directory { fd: None, .. } => Ok(FileStat::virtual_directory(1)),
            Object::File { fd, .. } | Object::Handed { fd, .. } | Object::Directory { fd: Some(fd), .. } => {
                Ok(FileStat::from(fstat(fd)?))
            }
        }
    }

    /// Whether it is open for reading.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether it is open for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether this is a terminal.
    pub fn is_terminal(&self) -> bool {
        matches!(self.object, Object::Handed { kind: HandedKind::Terminal, .. })
    }
}

/// The guest's descriptor table.
#[derive(Debug)]
pub struct DescriptorTable {
    slots: Vec<Option<Rc<Description>>>,
    /// One more than the highest number that is given.
    limit: usize,
}

impl Default for DescriptorTable {
    fn default() -> Self {
        Self { slots: Vec::new(), limit: DESCRIPTORS_MAX }
    }
}

impl DescriptorTable {
    /// Gives numbers below `limit` alone from now on; what has a higher one keeps it.
    pub(crate) fn limit(&mut self, limit: usize) {
        self.limit = limit.min(DESCRIPTORS_MAX);
    }

    /// What `fd` stands for.
    ///
    /// # Errors
    ///
    /// `EBADF` if it is not open.
    pub fn get(&self, fd: u32) -> Result<&Rc<Description>, Errno> {
        self.slots.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    /// Puts `description` at the lowest free number that is at least `least`.
    ///
    /// # Errors
    ///
    /// `EMFILE` if the table is full, `EINVAL` if `least` lies outside it.
    pub(crate) fn add(&mut self, description: Rc<Description>, least: u32) -> Result<u32, Errno> {
        let least = least as usize;
        if least >= self.limit {
            return Err(Errno::INVAL);
        }
        let free = (least..self.slots.len()).find(|&i| self.slots[i].is_none()).unwrap_or(self.slots.len().max(least));
        if free >= self.limit {
            return Err(Errno::MFILE);
        }
        self.put(free, description);
        u32::try_from(free).map_err(|_| Errno::MFILE)
    }

    /// Puts `description` at this number, closing what was there.
    ///
    /// # Errors
    ///
    /// `EBADF` if the number lies outside the table.
    pub(crate) fn set(&mut self, fd: u32, description: Rc<Description>) -> Result<(), Errno> {
        if fd as usize >= self.limit {
            return Err(Errno::BADF);
        }
        self.put(fd as usize, description);
        Ok(())
    }

    /// Closes `fd` and gives what it stood for.
    ///
    /// # Errors
    ///
    /// `EBADF` if it is not open.
    pub(crate) fn remove(&mut self, fd: u32) -> Result<Rc<Description>, Errno> {
        self.slots.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)
    }

    /// All that is open, once for each number.
    pub(crate) fn descriptions(&self) -> impl Iterator<Item = &Rc<Description>> {
        self.slots.iter().flatten()
    }

    /// The numbers that are open.
    pub fn open_numbers(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.slots).filter(|(_, d)| d.is_some()).map(|(n, _)| n)
    }

    fn put(&mut self, index: usize, description: Rc<Description>) {
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        self.slots[index] = Some(description);
    }
}
