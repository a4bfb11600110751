//! Folders in memory (`--tmpfs`): a tmpfs of the kernel for each, which lies in nobody's tree and
//! is gone with the process.

use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use rustix::process::WaitOptions;

use crate::sys;

/// What an inode costs the kernel beside its bytes; so many of this fit as many inodes as there may
/// be.
const INODE: u64 = 1024;

/// Makes a folder in memory whose files hold at most `size` bytes, in pages, and which has an inode
/// for each KiB of that. To be called while this process has one thread.
///
/// # Errors
///
/// What the kernel says: `EPERM` to who is not root where ordinary users get no namespaces.
pub fn make(size: u64) -> Result<OwnedFd, Errno> {
    match mount(size) {
        Err(Errno::PERM) => mount_as_user(size),
        mounted => mounted,
    }
}

fn mount(size: u64) -> Result<OwnedFd, Errno> {
    let new = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |name: &str, value: u64| rustix::mount::fsconfig_set_string(new.as_fd(), name, value.to_string());
    set("size", size)?;
    set("nr_inodes", (size / INODE).max(16))?;
    rustix::mount::fsconfig_set_string(new.as_fd(), "mode", "755")?;
    rustix::mount::fsconfig_create(new.as_fd())?;
    let forbidden =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = rustix::mount::fsmount(new.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, forbidden)?;
    // What `fsmount` gives is no directory that can be read (O_PATH).
    rustix::fs::openat(&mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// A process that is root in namespaces of its own makes it, and hands it over.
fn mount_as_user(size: u64) -> Result<OwnedFd, Errno> {
    let (ours, its) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let Some(child) = sys::fork()? else {
        let made = enter_namespaces().and_then(|()| mount(size));
        let _ = send(&its, &made);
        sys::exit(0)
    };
    drop(its);
    let made = receive(&ours);
    let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
    made
}

/// As root of a user namespace in which this process is the user that it is.
fn enter_namespaces() -> Result<(), Errno> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    let write =
        |path: &str, text: String| fs::write(path, text).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO));
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    write("/proc/self/uid_map", format!("{user} {user} 1"))
}

fn send(to: &OwnedFd, made: &Result<OwnedFd, Errno>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let error = match made {
        Ok(_) => 0,
        Err(error) => error.raw_os_error(),
    };
    let files: Vec<_> = made.iter().map(OwnedFd::as_fd).collect();
    if !files.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&files));
    }
    rustix::net::sendmsg(to, &[IoSlice::new(&error.to_le_bytes())], &mut control, SendFlags::empty()).map(drop)
}

fn receive(from: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut error = [0; 4];
    let mut buffers = [IoSliceMut::new(&mut error)];
    rustix::net::recvmsg(from, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut files) = message
            && let Some(file) = files.next()
        {
            return Ok(file);
        }
    }
    match i32::from_le_bytes(error) {
        0 => Err(Errno::IO),
        error => Err(Errno::from_raw_os_error(error)),
    }
}
