//! The calls that take a descriptor: read, write, seek and the like.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FallocateFlags, OFlags, SeekFrom, Timestamps};
use rustix::io::Errno;

use super::descriptor::{Description, HandedKind, Object};
use super::stat::FileStat;
use super::{Vfs, chmod, quota};

/// Where a read or write happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// At the description's own position, which moves.
    Current,
    /// At this byte; the position stays.
    At(u64),
}

/// What a seek counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The file's beginning.
    Start,
    /// The position.
    Current,
    /// The file's end.
    End,
}

/// What is waited for on a descriptor, and what came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Something can be read, or the end is reached.
    pub read: bool,
    /// Something can be written.
    pub write: bool,
    /// The other side is gone.
    pub hangup: bool,
}

impl Vfs {
    /// read(2), readv(2), pread(2).
    ///
    /// # Errors
    ///
    /// Those of read(2); `ESPIPE` for an offset in what has none.
    pub fn read(&mut self, fd: u32, buffers: &mut [IoSliceMut<'_>], offset: Offset) -> Result<usize, Errno> {
        let description = self.table.get(fd)?;
        check_offset(description, offset)?;
        description.check_readable()?;
        match &description.object {
            Object::Device(device) => {
                let mut total = 0;
                for buffer in buffers {
                    total += device.read(buffer)?;
                }
                Ok(total)
            }
            Object::Channel(channel) => channel.read(buffers, false),
            Object::Sink(_) | Object::Directory { .. } => Err(Errno::BADF),
            Object::File { fd, .. } => host_read(fd.as_fd(), buffers, offset),
            Object::Handed { fd, .. } => {
                check_would_block(description, fd.as_fd(), PollFlags::IN)?;
                host_read(fd.as_fd(), buffers, offset)
            }
        }
    }

    /// write(2), writev(2), pwrite(2).
    ///
    /// # Errors
    ///
    /// Those of write(2); `ESPIPE` for an offset in what has none; `EFBIG` and `EDQUOT` at a limit.
    /// After a write that would go beyond the limit of all output, [`Vfs::over`] says so.
    pub fn write(&mut self, fd: u32, buffers: &[IoSlice<'_>], offset: Offset) -> Result<usize, Errno> {
        let description = self.table.get(fd)?;
        check_offset(description, offset)?;
        description.check_writable()?;
        let appends = description.flags.get().contains(OFlags::APPEND);
        match &description.object {
            Object::Device(device) => device.write(buffers.iter().map(|b| b.len()).sum()),
            Object::Sink(bytes) => {
                let mut bytes = bytes.borrow_mut();
                for buffer in buffers {
                    // What nobody will read to its end need not be kept.
                    let room = SINK_MAX.saturating_sub(bytes.len()).min(buffer.len());
                    bytes.extend_from_slice(&buffer[..room]);
                }
                Ok(buffers.iter().map(|b| b.len()).sum())
            }
            Object::Channel(channel) => channel.write(buffers),
            Object::Directory { .. } => Err(Errno::BADF),
            Object::File { fd, .. } => {
                let wanted = total(buffers);
                let mut most = self.quota.memory_for(fd, wanted)?;
                let span = if self.quota.needs_span() { Some(quota::span(fd, appends, offset)?) } else { None };
                if let Some(span) = span {
                    most = self.quota.writable(span, most)?;
                }
                let count = self.quota.change(fd, || match most {
                    all if all == wanted => host_write(fd.as_fd(), buffers, offset),
                    most => host_write(fd.as_fd(), &quota::cut(buffers, most), offset),
                })?;
                if let Some(span) = span {
                    self.quota.wrote(span, count as u64);
                }
                Ok(count)
            }
            Object::Handed { kind: HandedKind::Stream, .. } if offset != Offset::Current => Err(Errno::SPIPE),
            Object::Handed { fd, kind } => {
                check_would_block(description, fd.as_fd(), PollFlags::OUT)?;
                let (mut most, mut hole) = (total(buffers), 0);
                if matches!(kind, HandedKind::File | HandedKind::Stream) && self.quota.needs_span() {
                    let span = quota::span(fd, appends, offset)?;
                    most = self.quota.fitting(span.at, most)?;
                    hole = span.hole();
                }
                self.quota.leave(hole, most, |count| host_write(fd.as_fd(), &quota::cut(buffers, count), offset))
            }
        }
    }

    /// lseek(2).
    ///
    /// # Errors
    ///
    /// Those of lseek(2); `ESPIPE` for a terminal, a pipe, a socket and a standard stream that is
    /// written to.
    pub fn seek(&mut self, fd: u32, whence: Whence, by: i64) -> Result<u64, Errno> {
        let description = self.table.get(fd)?;
        match &description.object {
            Object::Device(_) | Object::Sink(_) => Ok(0),
            Object::Handed { kind: HandedKind::Terminal | HandedKind::Stream, .. } | Object::Channel(_) => {
                Err(Errno::SPIPE)
            }
            Object::Directory { .. } => Err(Errno::ISDIR),
            Object::File { fd, .. } | Object::Handed { fd, .. } => {
                let to = match whence {
                    Whence::Start => SeekFrom::Start(u64::try_from(by).map_err(|_| Errno::INVAL)?),
                    Whence::Current => SeekFrom::Current(by),
                    Whence::End => SeekFrom::End(by),
                };
                rustix::fs::seek(fd, to)
            }
        }
    }

    /// close(2).
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn close(&mut self, fd: u32) -> Result<(), Errno> {
        self.table.remove(fd).map(drop)?;
        self.quota.settle();
        Ok(())
    }

    /// dup2(2) and close of the old number.
    ///
    /// # Errors
    ///
    /// `EBADF` if either is not open: WASI renumbers onto open descriptors alone.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.table.get(from)?;
        self.table.get(to)?;
        if from != to {
            let moved = self.table.remove(from)?;
            self.table.set(to, moved)?;
            self.quota.settle();
        }
        Ok(())
    }

    /// fcntl(F_DUPFD): the lowest free number that is at least `least` then shares the description.
    ///
    /// # Errors
    ///
    /// `EBADF`, `EMFILE`, `EINVAL`.
    pub fn duplicate(&mut self, fd: u32, least: u32) -> Result<u32, Errno> {
        let description: Rc<Description> = self.table.get(fd)?.clone();
        self.quota.opened(self.table.add(description, least))
    }

    /// dup2(2).
    ///
    /// # Errors
    ///
    /// `EBADF` if `fd` is not open or `to` lies outside the table.
    pub fn duplicate_onto(&mut self, fd: u32, to: u32) -> Result<(), Errno> {
        let description: Rc<Description> = self.table.get(fd)?.clone();
        self.table.set(to, description)?;
        self.quota.settle();
        Ok(())
    }

    /// fstat(2).
    ///
    /// # Errors
    ///
    /// `EBADF`, and those of fstat(2).
    pub fn stat(&self, fd: u32) -> Result<FileStat, Errno> {
        Ok(self.told(self.table.get(fd)?.stat()?))
    }

    /// `O_APPEND` and `O_NONBLOCK` of the description.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn flags(&self, fd: u32) -> Result<OFlags, Errno> {
        Ok(self.table.get(fd)?.flags.get())
    }

    /// Sets `O_APPEND` and `O_NONBLOCK`. A descriptor that was handed in keeps its flags on the
    /// host, where others share them.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EPERM` for a change of `O_APPEND` on a descriptor that was handed in.
    pub fn set_flags(&mut self, fd: u32, flags: OFlags) -> Result<(), Errno> {
        let description = self.table.get(fd)?;
        let flags = flags & (OFlags::APPEND | OFlags::NONBLOCK);
        let append_changes = (flags ^ description.flags.get()).contains(OFlags::APPEND);
        match &description.object {
            Object::File { fd, .. } => {
                let others = rustix::fs::fcntl_getfl(fd)? - OFlags::APPEND;
                rustix::fs::fcntl_setfl(fd, others | (flags & OFlags::APPEND))?;
            }
            Object::Handed { .. } if append_changes => return Err(Errno::PERM),
            _ => {}
        }
        description.flags.set(flags);
        Ok(())
    }

    /// fsync(2), or fdatasync(2) if `data_only`.
    ///
    /// # Errors
    ///
    /// Those of fsync(2).
    pub fn sync(&mut self, fd: u32, data_only: bool) -> Result<(), Errno> {
        let host = self.table.get(fd)?.host()?;
        if data_only { rustix::fs::fdatasync(host) } else { rustix::fs::fsync(host) }
    }

    /// ftruncate(2).
    ///
    /// # Errors
    ///
    /// Those of ftruncate(2); `EINVAL` if the descriptor is not open for writing; `EPERM` for a
    /// file that was handed in.
    pub fn truncate(&mut self, fd: u32, size: u64) -> Result<(), Errno> {
        let description = self.table.get(fd)?;
        description.check_writable().map_err(|_| Errno::INVAL)?;
        i64::try_from(size).map_err(|_| Errno::INVAL)?;
        description.check_resizable()?;
        let host = description.host()?;
        let now = if self.quota.needs_span() { file_size(host)? } else { size };
        let resize = || self.quota.change(host, || rustix::fs::ftruncate(host, size));
        self.quota.grow(now, size, size.saturating_sub(now), resize)
    }

    /// posix_fallocate(3).
    ///
    /// # Errors
    ///
    /// Those of fallocate(2); `EPERM` for a file that was handed in.
    pub fn allocate(&mut self, fd: u32, offset: u64, length: u64) -> Result<(), Errno> {
        let description = self.table.get(fd)?;
        description.check_writable()?;
        i64::try_from(offset).and(i64::try_from(length)).map_err(|_| Errno::INVAL)?;
        description.check_resizable()?;
        let host = description.host()?;
        let end = offset.saturating_add(length);
        let now = if self.quota.needs_span() { file_size(host)? } else { end };
        // Room on a disk is used, whether anything is written there or not.
        let used = length.max(end.saturating_sub(now));
        if self.quota.memory_for(host, length)? < length {
            return Err(Errno::NOSPC);
        }
        let allocate = || rustix::fs::fallocate(host, FallocateFlags::empty(), offset, length);
        self.quota.grow(now, end, used, || self.quota.change(host, allocate))
    }

    /// futimens(3).
    ///
    /// # Errors
    ///
    /// Those of futimens(3).
    pub fn set_times(&mut self, fd: u32, times: &Timestamps) -> Result<(), Errno> {
        let description = self.table.get(fd)?;
        description.check_changeable()?;
        rustix::fs::futimens(description.host()?, times)
    }

    /// fchmod(2).
    ///
    /// # Errors
    ///
    /// As [`Vfs::chmod_at`].
    pub fn chmod(&mut self, fd: u32, mode: u32) -> Result<(), Errno> {
        let description = self.table.get(fd)?;
        description.check_changeable()?;
        if matches!(&description.object, Object::Directory { path, .. } if self.mounts.is_mount_point(path)) {
            return Err(Errno::PERM);
        }
        chmod::by_descriptor(description.host()?, mode)
    }

    /// Waits until one of the descriptors is ready for what is asked of it, or until `timeout`;
    /// gives what came for each.
    ///
    /// A descriptor that is not open gives its error; one that is not open for what is asked is
    /// never ready for it, but for a file or device, which is always ready for everything.
    ///
    /// # Errors
    ///
    /// Those of poll(2).
    pub fn poll(
        &self,
        asked: &[(u32, Readiness)],
        timeout: Option<Timespec>,
    ) -> Result<Vec<Result<Readiness, Errno>>, Errno> {
        let mut answers: Vec<Result<Readiness, Errno>> = Vec::with_capacity(asked.len());
        let mut waiting = Vec::new();
        let mut slots = Vec::new();
        for (slot, &(fd, want)) in asked.iter().enumerate() {
            let answer = self.table.get(fd).map(|d| match &d.object {
                Object::Handed { fd, .. } => {
                    let mut flags = PollFlags::empty();
                    flags.set(PollFlags::IN, want.read && d.readable);
                    flags.set(PollFlags::OUT, want.write && d.writable);
                    waiting.push(PollFd::new(fd, flags));
                    slots.push(slot);
                    Readiness::default()
                }
                // Only the guest itself could make it ready.
                Object::Channel(channel) => channel.ready(want),
                // Files, directories and devices never make one wait.
                _ => want,
            });
            answers.push(answer);
        }
        let settled = answers.iter().any(|a| *a != Ok(Readiness::default()));
        let timeout = if settled { Some(Timespec { tv_sec: 0, tv_nsec: 0 }) } else { timeout };
        match rustix::event::poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for (fd, slot) in waiting.iter().zip(slots) {
            let came = fd.revents();
            let hangup = came.intersects(PollFlags::HUP | PollFlags::ERR);
            let want = asked[slot].1;
            answers[slot] = Ok(Readiness {
                read: want.read && (came.contains(PollFlags::IN) || hangup),
                write: want.write && (came.contains(PollFlags::OUT) || hangup),
                hangup,
            });
        }
        Ok(answers)
    }

    /// Bytes that can be read at once from a pipe, a socket or what was handed in; zero where the
    /// host cannot say.
    pub fn readable_bytes(&self, fd: u32) -> u64 {
        match self.table.get(fd).map(|d| (&d.object, d.host())) {
            Ok((Object::Channel(channel), _)) => channel.available() as u64,
            Ok((_, Ok(host))) => rustix::io::ioctl_fionread(host).unwrap_or(0),
            _ => 0,
        }
    }
}

fn total(buffers: &[IoSlice<'_>]) -> u64 {
    buffers.iter().map(|buffer| buffer.len() as u64).sum()
}

fn file_size(fd: impl AsFd) -> Result<u64, Errno> {
    Ok(u64::try_from(rustix::fs::fstat(fd)?.st_size).unwrap_or(0))
}

/// Bytes that a collecting descriptor keeps.
const SINK_MAX: usize = 64 * 1024;

fn check_offset(description: &Description, offset: Offset) -> Result<(), Errno> {
    match description.object {
        Object::Channel(_) if offset != Offset::Current => Err(Errno::SPIPE),
        _ => Ok(()),
    }
}

fn check_would_block(description: &Description, fd: BorrowedFd<'_>, events: PollFlags) -> Result<(), Errno> {
    if !description.flags.get().contains(OFlags::NONBLOCK) {
        return Ok(());
    }
    let mut fds = [PollFd::from_borrowed_fd(fd, events)];
    match rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) => Err(Errno::AGAIN),
        _ => Ok(()),
    }
}

fn host_read(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], offset: Offset) -> Result<usize, Errno> {
    match (offset, buffers) {
        (Offset::Current, [one]) => rustix::io::read(fd, &mut **one),
        (Offset::Current, many) => rustix::io::readv(fd, many),
        (Offset::At(at), many) => {
            i64::try_from(at).map_err(|_| Errno::INVAL)?;
            rustix::io::preadv(fd, many, at)
        }
    }
}

fn host_write(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>], offset: Offset) -> Result<usize, Errno> {
    match offset {
        Offset::Current => rustix::io::writev(fd, buffers),
        Offset::At(at) => {
            i64::try_from(at).map_err(|_| Errno::INVAL)?;
            rustix::io::pwritev(fd, buffers, at)
        }
    }
}
