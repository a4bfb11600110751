//! The file system that a guest sees: mounts, built-in devices and descriptors, in Linux's terms.
//!
//! Nothing here knows WebAssembly or WASI. Every error is Linux's [`Errno`].

mod access;
mod channel;
mod chmod;
mod descriptor;
mod device;
mod disguise;
mod folders;
mod io;
mod listing;
mod lock;
mod mounts;
mod ops;
mod path;
mod pipes;
mod quota;
mod stat;
mod trace;
mod walk;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::OFlags;
pub use rustix::io::Errno;

use crate::limits::{Limit, Limits};
use crate::mount_table::path_of;
use crate::report::Usage;
pub use descriptor::{DESCRIPTORS_MAX, Description, DescriptorTable};
pub use device::{Device, fill_random};
pub use disguise::INSTALLED;
pub use io::{Offset, Readiness, Whence};
pub use listing::Entry;
pub use lock::Lock;
pub use mounts::{Access, Crossing, Mount, MountError, Mounts};
pub use ops::OpenHow;
pub use path::GuestPath;
pub use stat::*;
pub use trace::{Seen, Trace};
pub use walk::Last;

use descriptor::{HandedKind, Object};
use disguise::Disguise;
use quota::Quota;

/// The descriptor of the guest's "/", the only directory that it starts with: where the C library
/// of WASI looks for one. A caller may hand in another file under this number, and the guest may
/// close it.
pub const ROOT_FD: u32 = 3;

/// A number that as the base of a path means "/", and is never a descriptor: so no descriptor of
/// the guest's decides where its paths begin.
pub const ROOT_BASE: u32 = 1 << 30;

/// What a guest may do with a descriptor of the host.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "two of the names say it")]
pub struct HandIn {
    pub readable: bool,
    pub writable: bool,
    /// Bytes are written one after the other, also to a file.
    pub stream: bool,
}

impl HandIn {
    /// For reading alone.
    pub const READ: Self = Self { readable: true, writable: false, stream: false };
    /// For writing alone, anywhere in a file.
    pub const WRITE: Self = Self { readable: false, writable: true, stream: false };
    /// For both.
    pub const BOTH: Self = Self { readable: true, writable: true, stream: false };
}

/// A guest's files and descriptors.
#[derive(Debug)]
pub struct Vfs {
    mounts: Mounts,
    table: DescriptorTable,
    trace: Option<Trace>,
    quota: Quota,
    disguise: Disguise,
    /// Files that the loader writes itself.
    own: Vec<OwnFile>,
    /// The inode of the last pipe or socket that the guest made.
    channels: u64,
}

/// A file of the loader's own.
#[derive(Debug)]
struct OwnFile {
    /// Device and inode.
    inode: (u64, u64),
    /// Where the guest would see it.
    paths: Vec<GuestPath>,
}

impl Vfs {
    /// A file system of these mounts, with "/" open as [`ROOT_FD`] and nothing else.
    pub fn new(mounts: Mounts) -> Self {
        let root = mounts.covering(&GuestPath::root()).map(|(_, m, _)| (m.access, m.root.try_clone().ok()));
        let (access, fd) = root.unwrap_or((Access::ReadOnly, None));
        let object = Object::Directory { path: GuestPath::root(), fd, access, entries: RefCell::default() };
        let mut table = DescriptorTable::default();
        // The table is empty and the number small: this cannot fail.
        let _ = table.set(ROOT_FD, Description::new(object, true, false, OFlags::empty()));
        Self {
            mounts,
            table,
            trace: None,
            quota: Quota::default(),
            disguise: Disguise::default(),
            own: Vec::new(),
            channels: 0,
        }
    }

    /// Limits what the guest may write, make and open from now on. What it uses is added to
    /// `usage`, of files only if there are limits or if `is_asked` says that somebody wants to know
    /// it.
    pub fn limit(&mut self, limits: &Limits, usage: Arc<Usage>, is_asked: bool) {
        self.quota = Quota::new(limits, usage, is_asked, &self.mounts);
        self.table.limit(limits.open());
    }

    /// Tells the guest other times and numbers of files than the machine's from now on: this time,
    /// in nanoseconds since 1970, and numbers of this run alone.
    pub fn disguise(&mut self, time: Option<i64>, hides_inodes: bool) {
        self.disguise = Disguise::new(time, hides_inodes);
    }

    /// Keeps a file that the loader writes from the guest: by whatever path it is found, it can't
    /// be opened for writing (`EACCES`), and below a mount nothing else takes its place (`EBUSY`).
    ///
    /// # Errors
    ///
    /// Those of fstat(2).
    pub fn keep_from_guest(&mut self, file: &OwnedFd) -> Result<(), Errno> {
        let stat = rustix::fs::fstat(file)?;
        let in_guest = |mount: &Mount| {
            let below = path_of(file).ok()?.strip_prefix(path_of(&mount.root).ok()?).ok()?.as_os_str().to_owned();
            mount.at.join_lexically(&[b"./", below.as_bytes()].concat())
        };
        let paths = self.mounts.iter().filter_map(in_guest).collect();
        self.own.push(OwnFile { inode: (stat.st_dev, stat.st_ino), paths });
        Ok(())
    }

    /// The limit that ends the run, if one was reached.
    pub fn over(&self) -> Option<Limit> {
        self.quota.over()
    }

    /// Hands a descriptor of the host to the guest under the number `number`.
    ///
    /// # Errors
    ///
    /// `EBADF` if the number lies outside the table; `EISDIR` for a directory, which has to be
    /// mounted instead.
    pub fn hand_in(&mut self, number: u32, fd: OwnedFd, how: HandIn) -> Result<(), Errno> {
        let stat = FileStat::from(rustix::fs::fstat(&fd)?);
        let kind = match stat.kind() {
            S_IFDIR => return Err(Errno::ISDIR),
            S_IFCHR if rustix::termios::isatty(&fd) => HandedKind::Terminal,
            S_IFREG if how.stream && how.writable => HandedKind::Stream,
            S_IFREG => HandedKind::File,
            _ => HandedKind::Other,
        };
        let mode = rustix::fs::fcntl_getfl(&fd)?;
        let access = mode & OFlags::ACCMODE;
        let readable = how.readable && access != OFlags::WRONLY;
        let writable = how.writable && access != OFlags::RDONLY;
        let object = Object::Handed { fd, kind };
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
        // The guest may have closed or replaced its "/", and may have no free descriptor: neither
        // is used.
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

    /// What the guest is told of a file: while a snapshot is made, nothing that is this machine's
    /// alone.
    fn told(&self, stat: FileStat) -> FileStat {
        self.trace.as_ref().map_or_else(|| self.disguise.told(stat), |trace| trace.told(&stat))
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
    pub fn table(&self) -> &DescriptorTable {
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
