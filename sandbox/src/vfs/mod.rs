//! The file system that a guest sees: mounts, built-in devices and descriptors, in Linux's terms.
//!
//! Nothing here knows WebAssembly or WASI. Every error is Linux's [`Errno`].

mod access;
mod channel;
mod chmod;
mod descriptor;
mod device;
mod io;
mod listing;
mod lock;
mod mounts;
mod ops;
mod path;
mod stat;
mod trace;
mod walk;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::OFlags;
pub use rustix::io::Errno;

pub use descriptor::{DESCRIPTORS_MAX, Description, Table};
pub use device::{Device, fill_random};
pub use io::{Offset, Ready, Whence};
pub use listing::Entry;
pub use lock::Lock;
pub use mounts::{Access, Crossing, Mount, MountError, Mounts};
pub use ops::OpenHow;
pub use path::GuestPath;
pub use stat::*;
pub use trace::{Seen, Trace};
pub use walk::Last;

use descriptor::Object;

/// The descriptor of the guest's "/", the only directory that it starts with: where the C library
/// of WASI looks for one. A caller may hand in another file under this number, and the guest may
/// close it.
pub const ROOT_FD: u32 = 3;

/// A number that as the base of a path means "/", and is never a descriptor: so no descriptor of
/// the guest's decides where its paths begin.
pub const ROOT_BASE: u32 = 1 << 30;

/// A guest's files and descriptors.
#[derive(Debug)]
pub struct Vfs {
    mounts: Mounts,
    table: Table,
    trace: Option<Trace>,
    /// The inode of the last pipe or socket that the guest made.
    channels: u64,
}

impl Vfs {
    /// A file system of these mounts, with "/" open as [`ROOT_FD`] and nothing else.
    pub fn new(mounts: Mounts) -> Self {
        let root = mounts.covering(&GuestPath::root()).map(|(_, m, _)| (m.access, m.root.try_clone().ok()));
        let (access, fd) = root.unwrap_or((Access::ReadOnly, None));
        let object = Object::Directory { path: GuestPath::root(), fd, access, entries: RefCell::default() };
        let mut table = Table::default();
        // The table is empty and the number small: this cannot fail.
        let _ = table.set(ROOT_FD, Description::new(object, true, false, OFlags::empty()));
        Self { mounts, table, trace: None, channels: 0 }
    }

    /// Hands a descriptor of the host to the guest under the number `number`.
    ///
    /// # Errors
    ///
    /// `EBADF` if the number lies outside the table; `EISDIR` for a directory, which has to be
    /// mounted instead.
    pub fn hand_in(&mut self, number: u32, fd: OwnedFd, readable: bool, writable: bool) -> Result<(), Errno> {
        let stat = FileStat::from(rustix::fs::fstat(&fd)?);
        if stat.kind() == S_IFDIR {
            return Err(Errno::ISDIR);
        }
        let mode = rustix::fs::fcntl_getfl(&fd)?;
        let access = mode & OFlags::ACCMODE;
        let terminal = stat.kind() == S_IFCHR && rustix::termios::isatty(&fd);
        let readable = readable && access != OFlags::WRONLY;
        let writable = writable && access != OFlags::RDONLY;
        let object = Object::Handed { fd, terminal };
        self.table.set(number, Description::new(object, readable, writable, mode & OFlags::APPEND))
    }

    /// Gives the guest `/dev/null` as `number`.
    ///
    /// # Errors
    ///
    /// `EBADF` if the number lies outside the table.
    pub fn give_null(&mut self, number: u32) -> Result<(), Errno> {
        self.table.set(number, Description::new(Object::Device(Device::Null), true, true, OFlags::empty()))
    }

    /// Gives the guest as `number` a descriptor whose written bytes are collected.
    ///
    /// # Errors
    ///
    /// `EBADF` if the number lies outside the table.
    pub fn give_sink(&mut self, number: u32) -> Result<Rc<RefCell<Vec<u8>>>, Errno> {
        let bytes = Rc::new(RefCell::new(Vec::new()));
        self.table.set(number, Description::new(Object::Sink(bytes.clone()), false, true, OFlags::empty()))?;
        Ok(bytes)
    }

    /// Opens a file for the host's own use, by the guest's rules. The guest gets no descriptor.
    ///
    /// # Errors
    ///
    /// Those of open(2); `EACCES` for what is no regular file.
    pub fn open_file(&mut self, path: &GuestPath) -> Result<OwnedFd, Errno> {
        let mut text = b"/".to_vec();
        text.extend_from_slice(path.as_relative());
        self.open_named_file(&text)
    }

    /// As [`Vfs::open_file`], for an absolute path as a guest writes it.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn open_named_file(&mut self, text: &[u8]) -> Result<OwnedFd, Errno> {
        // The guest may have closed or replaced its "/", and may have no free descriptor: neither is used.
        let walked = self.walk(&GuestPath::root(), text, Last::Follow)?;
        match Rc::into_inner(self.open_walked(walked, OpenHow::READ)?).map(|d| d.object) {
            Some(Object::File { fd, .. }) => Ok(fd),
            Some(Object::Directory { .. }) => Err(Errno::ISDIR),
            _ => Err(Errno::ACCESS),
        }
    }

    /// Begins to record what the guest learns about the host's files.
    pub fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// What the guest is told of a file: while a snapshot is made, nothing that is this machine's alone.
    fn told(&self, stat: FileStat) -> FileStat {
        self.trace.as_ref().map_or(stat, |trace| trace.told(&stat))
    }

    /// Ends the recording that [`Vfs::start_trace`] began.
    pub fn take_trace(&mut self) -> Option<Trace> {
        self.trace.take()
    }

    /// The mounts.
    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// The descriptors.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The path of the directory behind `fd`, which is the base of a path. A C library that only
    /// knows WASI begins all paths at [`ROOT_FD`], also when that is another file, or closed.
    fn directory(&self, fd: u32) -> Result<GuestPath, Errno> {
        match self.table.get(fd).map(|description| &description.object) {
            Ok(Object::Directory { path, .. }) => Ok(path.clone()),
            _ if fd == ROOT_FD || fd == ROOT_BASE => Ok(GuestPath::root()),
            Ok(_) => Err(Errno::NOTDIR),
            Err(error) => Err(error),
        }
    }

    /// The path of the directory that `fd` is open on.
    ///
    /// # Errors
    ///
    /// `EBADF`; `ENOTDIR` for anything else.
    pub fn directory_path(&self, fd: u32) -> Result<&GuestPath, Errno> {
        match &self.table.get(fd)?.object {
            Object::Directory { path, .. } => Ok(path),
            _ => Err(Errno::NOTDIR),
        }
    }
}
