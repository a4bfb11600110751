//! Directory listings: the host's names, the mount points among them, `.` and `..`.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{FileType, RawDir, SeekFrom};
use rustix::io::Errno;

use super::descriptor::Object;
use super::stat::{FileStat, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK};
use super::trace::Seen;
use super::{GuestPath, Vfs, device};
use crate::account::ACCOUNT;

/// What an entry takes beside its name.
const ENTRY: usize = size_of::<Entry>() + 32;
/// Bytes of a listing that are read without a question whether there is room for more.
const STEP: usize = 64 << 10;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without a slash.
    pub name: Vec<u8>,
    /// Inode number, zero where there is none.
    pub ino: u64,
    /// The type bits of `st_mode`; zero if unknown.
    pub kind: u32,
}

impl Vfs {
    /// The entries of the directory behind `fd`. They are read anew if `rewind` says so, else taken
    /// as the last call left them.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOTDIR`, `ENOMEM` for more than the guest has memory left for, and those of
    /// getdents(2).
    pub fn entries(&mut self, fd: u32, rewind: bool) -> Result<Rc<Vec<Entry>>, Errno> {
        let description = self.table.get(fd)?.clone();
        let Object::Directory { path, fd, entries, .. } = &description.object else {
            return Err(Errno::NOTDIR);
        };
        if !rewind && let Some(known) = &*entries.borrow() {
            return Ok(known.clone());
        }
        *entries.borrow_mut() = None;
        let read = Rc::new(self.read_directory(path, fd.as_ref())?);
        *entries.borrow_mut() = Some(read.clone());
        Ok(read)
    }

    fn read_directory(&mut self, path: &GuestPath, fd: Option<&OwnedFd>) -> Result<Vec<Entry>, Errno> {
        let dot = |name: &[u8]| Entry { name: name.to_vec(), ino: 0, kind: S_IFDIR };
        let mut all = vec![dot(b"."), dot(b"..")];
        if let Some(fd) = fd {
            self.read_host(path, fd, &mut all)?;
        } else if path.as_relative() == device::DIRECTORY && self.mounts.has_builtin_devices() {
            all.extend(device::NAMES.map(|(name, d)| Entry { name: name.to_vec(), ino: d.stat().ino, kind: S_IFCHR }));
        }
        for name in self.mounts.names_in(path) {
            let entry = Entry { name: name.to_vec(), ino: 0, kind: S_IFDIR };
            match all.iter_mut().find(|e| e.name == name) {
                Some(hidden) => *hidden = entry,
                None => all.push(entry),
            }
        }
        // By name, whatever the file system's order is: a guest sees the same wherever it was
        // installed.
        all[2..].sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn read_host(&mut self, path: &GuestPath, fd: &OwnedFd, all: &mut Vec<Entry>) -> Result<(), Errno> {
        let traced = self.trace.is_some();
        if let Some(trace) = &mut self.trace {
            trace.add(path, Seen::of(&FileStat::from(rustix::fs::fstat(fd)?), true));
        }
        let device = rustix::fs::fstat(fd)?.st_dev;
        rustix::fs::seek(fd, SeekFrom::Start(0))?;
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut names = RawDir::new(fd, buffer.spare_capacity_mut());
        let (mut held, mut asked) = (0, 0);
        while let Some(entry) = names.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                held += ENTRY + name.len();
                if held > asked {
                    // It may become twice as long.
                    ACCOUNT.room_for(held + STEP)?;
                    asked = held + STEP;
                }
                let ino = self.disguise.inode(device, entry.ino());
                all.push(Entry { name: name.to_vec(), ino, kind: kind(entry.file_type()) });
            }
        }
        if traced {
            // As in [`Trace::told`](super::Trace): not the file system's numbers.
            all.iter_mut().for_each(|entry| entry.ino = 0);
        }
        Ok(())
    }
}

fn kind(file_type: FileType) -> u32 {
    match file_type {
        FileType::RegularFile => S_IFREG,
        FileType::Directory => S_IFDIR,
        FileType::Symlink => S_IFLNK,
        FileType::Fifo => S_IFIFO,
        FileType::Socket => S_IFSOCK,
        FileType::CharacterDevice => S_IFCHR,
        FileType::BlockDevice => S_IFBLK,
        FileType::Unknown => 0,
    }
}
