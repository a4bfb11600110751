//! The calls for pipes and pairs of sockets of the guest's own.

use std::io::{IoSlice, IoSliceMut};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Vfs;
use super::channel::Channel;
use super::descriptor::{Description, Object};
use super::io::Readiness;
use super::stat::S_IFSOCK;

impl Vfs {
    /// pipe(2): the numbers of the end to read from and of the one to write to.
    ///
    /// # Errors
    ///
    /// `EMFILE`.
    pub fn make_pipe(&mut self) -> Result<(u32, u32), Errno> {
        self.channels += 1;
        let (reading, writing) = Channel::pipe(self.channels);
        self.add_both([(reading, true, false), (writing, false, true)])
    }

    /// socketpair(2), of connected stream sockets.
    ///
    /// # Errors
    ///
    /// `EMFILE`.
    pub fn make_socket_pair(&mut self) -> Result<(u32, u32), Errno> {
        let (one, two) = Channel::pair(self.channels + 1);
        self.channels += 2;
        self.add_both([(one, true, true), (two, true, true)])
    }

    fn add_both(&mut self, [one, two]: [(Channel, bool, bool); 2]) -> Result<(u32, u32), Errno> {
        let description = |(channel, readable, writable)| {
            Description::new(Object::Channel(channel), readable, writable, OFlags::empty())
        };
        let first = self.quota.opened(self.table.add(description(one), 0))?;
        match self.quota.opened(self.table.add(description(two), 0)) {
            Ok(second) => Ok((first, second)),
            Err(error) => {
                self.table.remove(first)?;
                Err(error)
            }
        }
    }

    /// The socket of a pair behind `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF`; `ENOTSOCK` for what is no socket, `ENOSYS` for one of the host.
    fn socket(&self, fd: u32) -> Result<&Channel, Errno> {
        let description = self.table.get(fd)?;
        match &description.object {
            Object::Channel(channel) if channel.is_socket() => Ok(channel),
            _ if description.stat()?.kind() == S_IFSOCK => Err(Errno::NOSYS),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// recv(2) from a socket of a pair.
    ///
    /// # Errors
    ///
    /// As [`Vfs::read`]; `ENOTSOCK` for what is no socket, `ENOSYS` for one of the host.
    pub fn receive(&mut self, fd: u32, buffers: &mut [IoSliceMut<'_>], peek: bool) -> Result<usize, Errno> {
        let socket = self.socket(fd)?;
        // Other than read(2), recv(2) waits for bytes that nobody wants.
        if buffers.iter().all(|b| b.is_empty())
            && socket.ready(Readiness { read: true, ..Readiness::default() }) == Readiness::default()
        {
            return Err(Errno::AGAIN);
        }
        socket.read(buffers, peek)
    }

    /// send(2) to a socket of a pair.
    ///
    /// # Errors
    ///
    /// As [`Vfs::write`]; `ENOTSOCK` for what is no socket, `ENOSYS` for one of the host.
    pub fn send(&mut self, fd: u32, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.socket(fd)?.write(buffers)
    }

    /// shutdown(2) of a socket of a pair.
    ///
    /// # Errors
    ///
    /// `EBADF`; `ENOTSOCK` for what is no socket, `ENOSYS` for one of the host.
    pub fn shut_down(&mut self, fd: u32, reading: bool, writing: bool) -> Result<(), Errno> {
        self.socket(fd)?.shut_down(reading, writing)
    }
}
