//! What a guest's descriptor stands for.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{FileType, OFlags, fstat};
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
    /// A descriptor of the host that was handed in: a terminal, a pipe, a file.
    Handed { fd: OwnedFd, terminal: bool },
    /// A directory; without `fd` it is virtual.
    Directory { path: GuestPath, fd: Option<OwnedFd>, access: Access, entries: RefCell<Option<Rc<[Entry]>>> },
    /// A built-in device.
    Device(Device),
    /// An end of a pipe or a socket within the guest.
    Channel(Channel),
    /// Takes what is written, for a look at it later.
    Sink(Rc<RefCell<Vec<u8>>>),
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

    /// Whether the inode behind may be changed (mode, times): the mount has to be writable, the descriptor need not be.
    ///
    /// # Errors
    ///
    /// `EROFS` below a read-only mount, `EPERM` for what was handed in for reading alone and for what is no file.
    pub(crate) fn check_changeable(&self) -> Result<(), Errno> {
        match &self.object {
            Object::File { access, .. } | Object::Directory { fd: Some(_), access, .. } => match access {
                Access::ReadOnly => Err(Errno::ROFS),
                Access::ReadWrite => Ok(()),
            },
            // A terminal or a device is more than what was handed in.
            Object::Handed { fd, .. } if self.writable => match FileType::from_raw_mode(fstat(fd)?.st_mode) {
                FileType::RegularFile => Ok(()),
                _ => Err(Errno::PERM),
            },
            Object::Directory { fd: None, .. } => Err(Errno::ROFS),
            _ => Err(Errno::PERM),
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
        matches!(self.object, Object::Handed { terminal: true, .. })
    }
}

/// The guest's descriptor table.
#[derive(Debug, Default)]
pub struct Table(Vec<Option<Rc<Description>>>);

impl Table {
    /// What `fd` stands for.
    ///
    /// # Errors
    ///
    /// `EBADF` if it is not open.
    pub fn get(&self, fd: u32) -> Result<&Rc<Description>, Errno> {
        self.0.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    /// Puts `description` at the lowest free number that is at least `least`.
    ///
    /// # Errors
    ///
    /// `EMFILE` if the table is full, `EINVAL` if `least` lies outside it.
    pub(crate) fn add(&mut self, description: Rc<Description>, least: u32) -> Result<u32, Errno> {
        let least = least as usize;
        if least >= DESCRIPTORS_MAX {
            return Err(Errno::INVAL);
        }
        let free = (least..self.0.len()).find(|&i| self.0[i].is_none()).unwrap_or(self.0.len().max(least));
        if free >= DESCRIPTORS_MAX {
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
        if fd as usize >= DESCRIPTORS_MAX {
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
        self.0.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)
    }

    /// All that is open, once for each number.
    pub(crate) fn descriptions(&self) -> impl Iterator<Item = &Rc<Description>> {
        self.0.iter().flatten()
    }

    /// The numbers that are open.
    pub fn open_numbers(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.0).filter(|(_, d)| d.is_some()).map(|(n, _)| n)
    }

    fn put(&mut self, index: usize, description: Rc<Description>) {
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        self.0[index] = Some(description);
    }
}
