//! Mounts and the places for them, as the view of a guest is made of ([`super::root`]).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount, open_tree,
};

use crate::sys::engine::{MountAttributes, set_mount_attributes};

pub(super) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | WRITABLE;
/// No file of a guest is a program of the host's, and no link leads anywhere.
pub(super) const WRITABLE: u64 =
    libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_NOSYMFOLLOW;
pub(super) const PROGRAM: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOSYMFOLLOW;
pub(super) const DEVICE: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;

/// Bytes for each file that a folder in memory has room for.
const BYTES_A_FILE: u64 = 1024;
pub(super) const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
pub(super) const DIRECTORY: OFlags = PATH_ONLY.union(OFlags::DIRECTORY);

pub(super) fn attributes(set: u64) -> MountAttributes {
    MountAttributes { set, clear: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 }
}

/// A folder in memory for the guest.
pub(super) fn new_folder(size: u64) -> Result<OwnedFd, Errno> {
    let flags = MountAttrFlags::from_bits_retain(u32::try_from(WRITABLE).unwrap_or(0));
    memory(c"0755", size, Some((size / BYTES_A_FILE).max(16)), flags)
}

/// A new file system in memory, of so many bytes and files, not yet attached to anything.
pub(super) fn memory(mode: &CStr, size: u64, files: Option<u64>, flags: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let number = |value: u64| CString::new(value.to_string()).unwrap_or_default();
    fsconfig_set_string(&context, c"mode", mode)?;
    fsconfig_set_string(&context, c"size", number(size))?;
    if let Some(files) = files {
        fsconfig_set_string(&context, c"nr_inodes", number(files))?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// A file or directory of the host as a mount that is not yet attached to anything. Mounts below it
/// come along, with the same attributes: without privileges, what they cover may not be uncovered.
pub(super) fn bind(at: BorrowedFd<'_>, source: impl rustix::path::Arg, flags: u64) -> Result<OwnedFd, Errno> {
    let how = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(at, source, how)?;
    set_mount_attributes(mount.as_fd(), &attributes(flags), true)?;
    Ok(mount)
}

pub(super) fn move_to(mount: &OwnedFd, point: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", point, c"", flags)
}

pub(super) fn new_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    fs::openat(parent, name, DIRECTORY, Mode::empty())
}

pub(super) fn new_file(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))
}
