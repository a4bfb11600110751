//! The calls that name a file: open, stat, and what makes, removes and changes names.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, OFlags, Timestamps};
use rustix::io::Errno;

use super::descriptor::{Description, Object};
use super::mounts::Access;
use super::stat::{FileStat, S_IFDIR, S_IFLNK, S_IFREG};
use super::walk::{Found, Last, Walked, check_name, ends_in_dots, open_beneath};
use super::{GuestPath, Vfs, chmod};
use crate::open_how;

/// How a file is opened, as the flags of open(2).
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are open(2)'s")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct OpenHow {
    pub read: bool,
    pub write: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub directory: bool,
    pub no_follow: bool,
    /// Of `O_APPEND`, `O_NONBLOCK`, `O_SYNC` and `O_DSYNC`, those that are wanted.
    pub flags: OFlags,
}

impl OpenHow {
    /// For reading alone, of what is there.
    pub const READ: Self = Self {
        read: true,
        write: false,
        create: false,
        exclusive: false,
        truncate: false,
        directory: false,
        no_follow: false,
        flags: OFlags::empty(),
    };
}

impl Vfs {
    /// Opens `text`, seen from the directory `base`, and gives the new descriptor's number.
    ///
    /// # Errors
    ///
    /// Those of open(2). Devices, pipes and sockets that lie in a mount give `EACCES`, as on a
    /// mount with `nodev`.
    pub fn open(&mut self, base: u32, text: &[u8], how: OpenHow) -> Result<u32, Errno> {
        let base = self.directory(base)?;
        let follow = if how.no_follow || (how.create && how.exclusive) { Last::Keep } else { Last::Follow };
        let makes_name = how.create && !ends_in_dots(text);
        // No file can be made by the name of a directory, whatever is there.
        if makes_name && text.ends_with(b"/") {
            self.walk_to_parent(&base, text)?;
            return Err(Errno::ISDIR);
        }
        let walked =
            if makes_name { self.walk_or_missing(&base, text, follow)? } else { self.walk(&base, text, follow)? };
        if how.create && !makes_name && walked.found.as_ref().is_some_and(|found| !found.is_dir()) {
            return Err(Errno::NOTDIR);
        }
        let description = self.open_walked(walked, how)?;
        if how.truncate {
            self.quota.settle();
        }
        self.quota.opened(self.table.add(description, 0))
    }

    pub(super) fn open_walked(&mut self, walked: Walked, how: OpenHow) -> Result<Rc<Description>, Errno> {
        let Walked { path, found, must_be_dir } = walked;
        let wants_dir = must_be_dir || how.directory;
        let keep = how.flags & (OFlags::APPEND | OFlags::NONBLOCK);
        let Some(found) = found else {
            return if !how.create {
                Err(Errno::NOENT)
            } else if must_be_dir {
                Err(Errno::ISDIR)
            } else {
                self.create(&path, how, keep)
            };
        };
        if how.create && how.exclusive {
            return Err(Errno::EXIST);
        }
        if found.is_dir() && (how.write || how.create || how.truncate) {
            return Err(Errno::ISDIR);
        }
        match found {
            Found::Virtual => {
                let object =
                    Object::Directory { path, fd: None, access: Access::ReadOnly, entries: RefCell::default() };
                Ok(Description::new(object, true, false, keep))
            }
            Found::Device(_) if wants_dir => Err(Errno::NOTDIR),
            Found::Device(device) => Ok(Description::new(Object::Device(device), how.read, how.write, keep)),
            Found::Host { mount, stat, .. } => {
                let mount = self.mounts.get(mount);
                let access = mount.access;
                let below = path.below(&mount.at).ok_or(Errno::IO)?;
                match stat.kind() {
                    S_IFDIR => {
                        let fd = open_beneath(mount, below, OFlags::RDONLY | OFlags::DIRECTORY)?;
                        let object = Object::Directory { path, fd: Some(fd), access, entries: RefCell::default() };
                        Ok(Description::new(object, true, false, keep))
                    }
                    S_IFREG if wants_dir => Err(Errno::NOTDIR),
                    S_IFREG if access == Access::ReadOnly && (how.write || how.truncate) => Err(Errno::ROFS),
                    S_IFREG
                        if (how.write || how.truncate)
                            && self.own.iter().any(|own| own.inode == (stat.dev, stat.ino)) =>
                    {
                        Err(Errno::ACCESS)
                    }
                    S_IFREG => {
                        let mut flags = host_flags(how);
                        flags.set(OFlags::TRUNC, how.truncate);
                        let fd = open_beneath(mount, below, flags)?;
                        regular_file(fd, access, how, keep)
                    }
                    S_IFLNK => Err(Errno::LOOP),
                    _ if wants_dir => Err(Errno::NOTDIR),
                    _ => Err(Errno::ACCESS),
                }
            }
        }
    }

    fn create(&mut self, path: &GuestPath, how: OpenHow, keep: OFlags) -> Result<Rc<Description>, Errno> {
        let (mount, below) = self.writable(path)?;
        let mut flags = host_flags(how) | OFlags::CREATE;
        flags.set(OFlags::EXCL, how.exclusive);
        flags.set(OFlags::TRUNC, how.truncate);
        let made = self.quota.make(&mount.root, || open_beneath(mount, below, flags));
        let fd = made.map_err(|e| match path.split_last() {
            // The directory is only virtual.
            Some((parent, _)) if e == Errno::NOENT && self.mounts.is_above_mount(&parent) => Errno::ROFS,
            _ => e,
        })?;
        regular_file(fd, mount.access, how, keep)
    }

    /// stat(2) or, with [`Last::Keep`], lstat(2).
    ///
    /// # Errors
    ///
    /// Those of stat(2).
    pub fn stat_at(&mut self, base: u32, text: &[u8], last: Last) -> Result<FileStat, Errno> {
        let base = self.directory(base)?;
        let walked = self.walk(&base, text, last)?;
        match walked.found {
            None => Err(Errno::NOENT),
            Some(found) if walked.must_be_dir && !found.is_dir() => Err(Errno::NOTDIR),
            Some(Found::Host { stat, .. }) => Ok(self.told(stat)),
            Some(Found::Virtual) => Ok(FileStat::virtual_directory(1)),
            Some(Found::Device(device)) => Ok(device.stat()),
        }
    }

    /// readlink(2).
    ///
    /// # Errors
    ///
    /// Those of readlink(2); `EINVAL` if it is no symbolic link.
    pub fn read_link(&mut self, base: u32, text: &[u8]) -> Result<Vec<u8>, Errno> {
        let base = self.directory(base)?;
        let walked = self.walk(&base, text, Last::Keep)?;
        match walked.found {
            None => Err(Errno::NOENT),
            Some(found) if walked.must_be_dir && !found.is_dir() => Err(Errno::NOTDIR),
            Some(Found::Host { handle, stat, .. }) if stat.kind() == S_IFLNK => {
                Ok(rustix::fs::readlinkat(handle, open_how::empty_path(), Vec::new())?.into_bytes())
            }
            Some(_) => Err(Errno::INVAL),
        }
    }

    /// mkdir(2), with mode 0777 before the umask.
    ///
    /// # Errors
    ///
    /// Those of mkdir(2).
    pub fn make_dir(&mut self, base: u32, text: &[u8]) -> Result<(), Errno> {
        let (path, _) = self.new_name(base, text)?;
        let (dir, name) = self.writable_parent(&path)?;
        self.quota.make(&dir, || rustix::fs::mkdirat(&dir, name.as_slice(), Mode::from_raw_mode(0o777)))
    }

    /// symlink(2). The target is stored as it is; it is looked at when a guest follows it.
    ///
    /// # Errors
    ///
    /// Those of symlink(2).
    pub fn make_symlink(&mut self, target: &[u8], base: u32, text: &[u8]) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::NOENT);
        }
        let (path, slash) = self.new_name(base, text)?;
        if slash {
            return Err(Errno::NOENT);
        }
        let (dir, name) = self.writable_parent(&path)?;
        self.quota.make(&dir, || rustix::fs::symlinkat(target, &dir, name.as_slice()))
    }

    /// unlink(2).
    ///
    /// # Errors
    ///
    /// Those of unlink(2); `EBUSY` for a mount point and what lies above one.
    pub fn remove_file(&mut self, base: u32, text: &[u8]) -> Result<(), Errno> {
        let (path, slash) = self.old_name(base, text).map_err(|e| match e {
            // `.`, `..`, "/", and a directory that something is mounted at.
            Errno::BUSY | Errno::INVAL | Errno::NOTEMPTY => Errno::ISDIR,
            e => e,
        })?;
        let (dir, name) = self.writable_parent(&path)?;
        if slash {
            let found = self.look(&path)?;
            return Err(if found.is_dir() { Errno::ISDIR } else { Errno::NOTDIR });
        }
        self.quota.change(&dir, || rustix::fs::unlinkat(&dir, name.as_slice(), AtFlags::empty()))
    }

    /// rmdir(2).
    ///
    /// # Errors
    ///
    /// Those of rmdir(2); `EBUSY` for a mount point and what lies above one.
    pub fn remove_dir(&mut self, base: u32, text: &[u8]) -> Result<(), Errno> {
        let (path, _) = self.old_name(base, text)?;
        let (dir, name) = self.writable_parent(&path)?;
        self.quota.change(&dir, || rustix::fs::unlinkat(&dir, name.as_slice(), AtFlags::REMOVEDIR))
    }

    /// rename(2).
    ///
    /// # Errors
    ///
    /// Those of rename(2); `EXDEV` between two mounts, `EBUSY` for a mount point and what lies
    /// above one.
    pub fn rename(&mut self, old_base: u32, old: &[u8], new_base: u32, new: &[u8]) -> Result<(), Errno> {
        let (old_base, new_base) = (self.directory(old_base)?, self.directory(new_base)?);
        let (old_parent, old_name, old_slash) = self.walk_to_parent(&old_base, old)?;
        let (new_parent, new_name, new_slash) = self.walk_to_parent(&new_base, new)?;
        // What is no name is told before what is too long for one.
        for name in [&old_name, &new_name] {
            if let Err(Errno::INVAL | Errno::NOTEMPTY | Errno::BUSY) = check_name(name) {
                return Err(Errno::BUSY);
            }
        }
        let old_path = self.removable(&old_parent, &old_name)?;
        if check_name(&new_name).is_err() {
            self.look(&old_path)?;
        }
        let new_path = self.removable(&new_parent, &new_name)?;
        self.check_same_mount(&old_path, &new_path)?;
        let (old_dir, old_name) = self.writable_parent(&old_path)?;
        let (new_dir, new_name) = self.writable_parent(&new_path)?;
        if (old_slash || new_slash) && !self.look(&old_path)?.is_dir() {
            return Err(Errno::NOTDIR);
        }
        let (old, new) = (old_name.as_slice(), new_name.as_slice());
        self.quota.change(&new_dir, || rustix::fs::renameat(&old_dir, old, &new_dir, new))
    }

    /// link(2).
    ///
    /// # Errors
    ///
    /// Those of link(2); `EXDEV` between two mounts.
    pub fn link(&mut self, old_base: u32, old: &[u8], last: Last, new_base: u32, new: &[u8]) -> Result<(), Errno> {
        let base = self.directory(old_base)?;
        let walked = self.walk(&base, old, last)?;
        let Some(found) = walked.found else { return Err(Errno::NOENT) };
        if walked.must_be_dir && !found.is_dir() {
            return Err(Errno::NOTDIR);
        }
        let (new_path, slash) = self.new_name(new_base, new)?;
        if slash {
            return Err(Errno::NOENT);
        }
        if found.is_dir() {
            return Err(Errno::PERM);
        }
        self.check_same_mount(&walked.path, &new_path)?;
        let (old_dir, old_name) = self.writable_parent(&walked.path)?;
        let (new_dir, new_name) = self.writable_parent(&new_path)?;
        let (old, new) = (old_name.as_slice(), new_name.as_slice());
        self.quota.make(&new_dir, || rustix::fs::linkat(&old_dir, old, &new_dir, new, AtFlags::empty()))
    }

    /// utimensat(2).
    ///
    /// # Errors
    ///
    /// Those of utimensat(2).
    pub fn set_times_at(&mut self, base: u32, text: &[u8], last: Last, times: &Timestamps) -> Result<(), Errno> {
        let handle = self.changeable(base, text, last)?.0;
        rustix::fs::utimensat(handle, open_how::empty_path(), times, AtFlags::EMPTY_PATH)
    }

    /// chmod(2); the mode's lowest twelve bits are taken.
    ///
    /// # Errors
    ///
    /// Those of chmod(2); `EPERM` for the set-user and set-group bits: no guest makes a program
    /// that runs as its user; and for a mount's root, whose mode says who of the host gets in.
    pub fn chmod_at(&mut self, base: u32, text: &[u8], last: Last, mode: u32) -> Result<(), Errno> {
        let (handle, path) = self.changeable(base, text, last)?;
        if self.mounts.is_mount_point(&path) {
            return Err(Errno::PERM);
        }
        let reopen = || {
            let (mount, below) = self.writable(&path)?;
            open_beneath(mount, below, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)
        };
        chmod::by_handle(&handle, mode, reopen)
    }

    fn changeable(&mut self, base: u32, text: &[u8], last: Last) -> Result<(OwnedFd, GuestPath), Errno> {
        let base = self.directory(base)?;
        let walked = self.walk(&base, text, last)?;
        match walked.found {
            None => Err(Errno::NOENT),
            Some(found) if walked.must_be_dir && !found.is_dir() => Err(Errno::NOTDIR),
            Some(Found::Virtual) => Err(Errno::ROFS),
            Some(Found::Device(_)) => Err(Errno::PERM),
            Some(Found::Host { mount, handle, .. }) => match self.mounts.get(mount).access {
                Access::ReadOnly => Err(Errno::ROFS),
                Access::ReadWrite => Ok((handle, walked.path)),
            },
        }
    }

    /// The path of a name that is to be made, and whether it was given with a slash at its end.
    fn new_name(&mut self, base: u32, text: &[u8]) -> Result<(GuestPath, bool), Errno> {
        let base = self.directory(base)?;
        let (parent, name, slash) = self.walk_to_parent(&base, text)?;
        check_name(&name).map_err(|e| if e == Errno::NAMETOOLONG { e } else { Errno::EXIST })?;
        let path = parent.child(&name);
        match self.look(&path) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => Ok((path, slash)),
            Err(error) => Err(error),
        }
    }

    /// The path of a name that is to go, and whether it was given with a slash at its end.
    fn old_name(&mut self, base: u32, text: &[u8]) -> Result<(GuestPath, bool), Errno> {
        let base = self.directory(base)?;
        let (parent, name, slash) = self.walk_to_parent(&base, text)?;
        Ok((self.removable(&parent, &name)?, slash))
    }

    /// The path of a name that is no mount point and no file of the loader's own, nor above one.
    fn removable(&self, parent: &GuestPath, name: &[u8]) -> Result<GuestPath, Errno> {
        check_name(name)?;
        let path = parent.child(name);
        let holds_own = self.own.iter().flat_map(|own| &own.paths).any(|own| own.below(&path).is_some());
        if self.mounts.is_mount_point(&path) || self.mounts.is_above_mount(&path) || holds_own {
            return Err(Errno::BUSY);
        }
        Ok(path)
    }

    fn check_same_mount(&self, a: &GuestPath, b: &GuestPath) -> Result<(), Errno> {
        let index = |path| self.mounts.covering(path).map(|(index, ..)| index);
        if index(a) == index(b) { Ok(()) } else { Err(Errno::XDEV) }
    }

    /// The mount that `path` may be changed in, and what lies below its root.
    fn writable<'a>(&'a self, path: &'a GuestPath) -> Result<(&'a super::Mount, &'a [u8]), Errno> {
        if self.mounts.has_builtin_devices() && super::Device::at(path).is_some() {
            return Err(Errno::ROFS);
        }
        match self.mounts.covering(path) {
            Some((_, mount, below)) if mount.access == Access::ReadWrite => Ok((mount, below)),
            _ => Err(Errno::ROFS),
        }
    }

    /// The directory that holds `path`, opened for the kernel's `*at` calls, and the name in it.
    fn writable_parent(&self, path: &GuestPath) -> Result<(OwnedFd, Vec<u8>), Errno> {
        let (parent, name) = path.split_last().ok_or(Errno::BUSY)?;
        let (mount, _) = self.writable(path)?;
        // A directory that is only virtual holds nothing but mount points.
        let below = parent.below(&mount.at).ok_or(Errno::BUSY)?;
        match open_beneath(mount, below, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(dir) => Ok((dir, name.to_vec())),
            Err(_) if self.mounts.is_above_mount(&parent) => Err(Errno::ROFS),
            Err(error) => Err(error),
        }
    }
}

/// The flags of the host's open: never one that could wait or take a terminal.
fn host_flags(how: OpenHow) -> OFlags {
    let access = match (how.read, how.write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (_, false) => OFlags::RDONLY,
    };
    access | how.flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Takes a descriptor as a regular file; something else may have been put there after it was looked
/// at.
fn regular_file(fd: OwnedFd, access: Access, how: OpenHow, keep: OFlags) -> Result<Rc<Description>, Errno> {
    if FileStat::from(rustix::fs::fstat(&fd)?).kind() != S_IFREG {
        return Err(Errno::ACCESS);
    }
    Ok(Description::new(Object::File { fd, access }, how.read || !how.write, how.write, keep))
}
