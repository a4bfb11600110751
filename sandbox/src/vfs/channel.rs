//! Pipes and pairs of sockets within one guest.
//!
//! Both ends are the guest's own, and it has one thread: where Linux would wait for the other end,
//! nobody could ever come. Such a call gives `EAGAIN`, whether the descriptor has `O_NONBLOCK` or
//! not.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::rc::Rc;

use rustix::io::Errno;

use super::io::Readiness;
use super::stat::{FileStat, S_IFIFO, S_IFSOCK};
use crate::account::ACCOUNT;

/// Bytes that a pipe holds, and one direction of a pair of sockets, as on Linux.
const PIPE_CAPACITY: usize = 64 * 1024;
const SOCKET_CAPACITY: usize = 208 * 1024;
/// So much is written at once or not at all: `PIPE_BUF`.
const ATOMIC_MAX: usize = 4096;
/// The device that Linux shows for pipes and sockets is none of the host's disks; neither is this
/// one.
const DEVICE: u64 = 8;

/// One direction.
#[derive(Debug)]
struct Queue {
    capacity: usize,
    bytes: RefCell<VecDeque<u8>>,
    /// Nobody will read any more.
    reader_gone: Cell<bool>,
    /// Nobody will write any more.
    writer_gone: Cell<bool>,
    /// The writer went without having read what was sent to it, and the reader has not been told
    /// yet.
    reset: Cell<bool>,
}

impl Queue {
    fn new(capacity: usize) -> Rc<Self> {
        let (reader_gone, writer_gone, reset) = Default::default();
        Rc::new(Self { capacity, bytes: RefCell::default(), reader_gone, writer_gone, reset })
    }

    fn room(&self) -> usize {
        self.capacity - self.bytes.borrow().len()
    }

    fn is_closed(&self) -> bool {
        self.reader_gone.get() || self.writer_gone.get()
    }
}

/// One end of a pipe, or one of a pair of sockets. The other end learns when it is dropped.
#[derive(Debug)]
pub(crate) struct Channel {
    number: u64,
    /// What comes in; `None` for the writing end of a pipe.
    incoming: Option<Rc<Queue>>,
    /// What goes out; `None` for the reading end of a pipe.
    outgoing: Option<Rc<Queue>>,
}

impl Channel {
    /// A pipe: the end to read from, and the one to write to. `number` is its inode's.
    pub(crate) fn pipe(number: u64) -> (Self, Self) {
        let queue = Queue::new(PIPE_CAPACITY);
        let reading = Self { number, incoming: Some(queue.clone()), outgoing: None };
        (reading, Self { number, incoming: None, outgoing: Some(queue) })
    }

    /// Two sockets that are connected with each other. The second one has the next number.
    pub(crate) fn pair(number: u64) -> (Self, Self) {
        let (there, back) = (Queue::new(SOCKET_CAPACITY), Queue::new(SOCKET_CAPACITY));
        let one = Self { number, incoming: Some(back.clone()), outgoing: Some(there.clone()) };
        (one, Self { number: number + 1, incoming: Some(there), outgoing: Some(back) })
    }

    /// Whether this is a socket.
    pub(crate) fn is_socket(&self) -> bool {
        self.incoming.is_some() && self.outgoing.is_some()
    }

    /// Takes bytes out; with `peek`, only looks at them. Zero is the end.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is nothing yet, `EBADF` for the wrong end of a pipe, `ECONNRESET` (once)
    /// if the other end went without having read all.
    pub(crate) fn read(&self, buffers: &mut [IoSliceMut<'_>], peek: bool) -> Result<usize, Errno> {
        let queue = self.incoming.as_ref().ok_or(Errno::BADF)?;
        let mut bytes = queue.bytes.borrow_mut();
        if buffers.iter().all(|b| b.is_empty()) {
            return Ok(0);
        }
        if bytes.is_empty() {
            if queue.reset.take() {
                return Err(Errno::CONNRESET);
            }
            return if queue.is_closed() { Ok(0) } else { Err(Errno::AGAIN) };
        }
        let mut total = 0;
        for buffer in buffers {
            let count = buffer.len().min(bytes.len() - total);
            for (to, from) in buffer.iter_mut().zip(bytes.range(total..total + count)) {
                *to = *from;
            }
            total += count;
        }
        if !peek {
            bytes.drain(..total);
        }
        Ok(total)
    }

    /// Puts bytes in, as many as there is room for.
    ///
    /// # Errors
    ///
    /// `EPIPE` if nobody reads any more, `EAGAIN` if there is no room, `ENOMEM` if the guest has no
    /// memory left, `EBADF` for the wrong end of a pipe.
    pub(crate) fn write(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let queue = self.outgoing.as_ref().ok_or(Errno::BADF)?;
        let wanted: usize = buffers.iter().map(|b| b.len()).sum();
        if queue.is_closed() && (wanted > 0 || self.is_socket()) {
            return Err(Errno::PIPE);
        }
        if wanted == 0 {
            return Ok(0);
        }
        let room = queue.room();
        if room == 0 || (wanted <= ATOMIC_MAX && wanted > room) {
            return Err(Errno::AGAIN);
        }
        let mut bytes = queue.bytes.borrow_mut();
        let mut left = room;
        let held = bytes.len() + wanted.min(room);
        if held > bytes.capacity() {
            // It may become twice as long.
            ACCOUNT.room_for(2 * held)?;
        }
        for buffer in buffers {
            let count = buffer.len().min(left);
            bytes.extend(&buffer[..count]);
            left -= count;
        }
        Ok(room - left)
    }

    /// shutdown(2), for a socket.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` for a pipe.
    pub(crate) fn shut_down(&self, reading: bool, writing: bool) -> Result<(), Errno> {
        let (Some(incoming), Some(outgoing)) = (&self.incoming, &self.outgoing) else {
            return Err(Errno::NOTSOCK);
        };
        if reading {
            incoming.reader_gone.set(true);
        }
        if writing {
            outgoing.writer_gone.set(true);
        }
        Ok(())
    }

    /// What of `want` can be done at once.
    pub(crate) fn ready(&self, want: Readiness) -> Readiness {
        // A pipe hangs up when its other end is gone, a socket when both directions are closed.
        let closed = |queue: &Option<Rc<Queue>>| queue.as_ref().is_none_or(|queue| queue.is_closed());
        let over = closed(&self.incoming) && closed(&self.outgoing);
        let has_bytes = self.available() > 0;
        let has_room = self.outgoing.as_ref().is_some_and(|queue| queue.is_closed() || queue.room() >= ATOMIC_MAX);
        let has_end = self.incoming.as_ref().is_some_and(|queue| queue.is_closed());
        Readiness {
            read: want.read && (has_bytes || has_end || over),
            write: want.write && has_room,
            hangup: over && (want.read || (want.write && has_room)),
        }
    }

    /// Bytes that can be read at once.
    pub(crate) fn available(&self) -> usize {
        self.incoming.as_ref().map_or(0, |queue| queue.bytes.borrow().len())
    }

    /// What fstat(2) says.
    pub(crate) fn stat(&self) -> FileStat {
        let mode = if self.is_socket() { S_IFSOCK | 0o777 } else { S_IFIFO | 0o600 };
        FileStat { dev: DEVICE, ino: self.number, nlink: 1, mode, blksize: 4096, ..FileStat::default() }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(queue) = &self.incoming {
            queue.reader_gone.set(true);
        }
        if let Some(queue) = &self.outgoing {
            queue.writer_gone.set(true);
            queue.reset.set(self.available() > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(channel: &Channel, bytes: &[u8]) -> Result<usize, Errno> {
        channel.write(&[IoSlice::new(bytes)])
    }

    fn get(channel: &Channel, room: usize) -> Result<Vec<u8>, Errno> {
        let mut buffer = vec![0; room];
        let count = channel.read(&mut [IoSliceMut::new(&mut buffer)], false)?;
        buffer.truncate(count);
        Ok(buffer)
    }

    const BOTH: Readiness = Readiness { read: true, write: true, hangup: false };

    #[test]
    fn a_pipe_gives_what_was_put_in_and_then_the_end() {
        let (reading, writing) = Channel::pipe(1);
        assert_eq!(get(&reading, 3), Err(Errno::AGAIN));
        assert_eq!(reading.ready(BOTH), Readiness::default());
        assert_eq!(writing.write(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")]), Ok(4));
        assert_eq!((reading.available(), get(&reading, 3)), (4, Ok(b"abc".to_vec())));
        assert_eq!((put(&reading, b"x"), get(&writing, 1)), (Err(Errno::BADF), Err(Errno::BADF)));
        drop(writing);
        assert_eq!(reading.ready(BOTH), Readiness { read: true, write: false, hangup: true });
        assert_eq!((get(&reading, 3), get(&reading, 3)), (Ok(b"d".to_vec()), Ok(vec![])));
    }

    #[test]
    fn a_full_pipe_takes_no_more_and_small_writes_are_not_cut() {
        let (reading, writing) = Channel::pipe(1);
        assert_eq!(put(&writing, &vec![1; PIPE_CAPACITY + 10]), Ok(PIPE_CAPACITY));
        assert_eq!(put(&writing, b"x"), Err(Errno::AGAIN));
        assert_eq!(writing.ready(BOTH), Readiness::default());
        assert_eq!(get(&reading, 100).map(|b| b.len()), Ok(100));
        assert_eq!((put(&writing, &[2; 101]), put(&writing, &[2; 100])), (Err(Errno::AGAIN), Ok(100)));
        assert_eq!(
            get(&reading, PIPE_CAPACITY).map(|b| b[PIPE_CAPACITY - 101..PIPE_CAPACITY - 99].to_vec()),
            Ok(vec![1, 2])
        );
        drop(reading);
        assert_eq!((put(&writing, b"x"), put(&writing, b"")), (Err(Errno::PIPE), Ok(0)));
        assert_eq!(writing.ready(BOTH), Readiness { read: true, write: true, hangup: true });
    }

    #[test]
    fn sockets_of_a_pair_speak_both_ways_until_they_are_shut_down() {
        let (one, two) = Channel::pair(5);
        assert_eq!((put(&one, b"ping"), put(&two, b"pong")), (Ok(4), Ok(4)));
        let mut looked = [0; 2];
        assert_eq!((two.read(&mut [IoSliceMut::new(&mut looked)], true), &looked), (Ok(2), b"pi"));
        assert_eq!((get(&two, 9), get(&one, 9)), (Ok(b"ping".to_vec()), Ok(b"pong".to_vec())));
        assert_eq!(one.shut_down(false, true), Ok(()));
        assert_eq!((put(&one, b"x"), get(&two, 1)), (Err(Errno::PIPE), Ok(vec![])));
        assert_eq!((put(&two, b"still"), get(&one, 9)), (Ok(5), Ok(b"still".to_vec())));
        assert_ne!(one.stat().ino, two.stat().ino);
        assert_eq!(
            (one.ready(BOTH), put(&two, b"unread")),
            (Readiness { read: false, write: true, hangup: false }, Ok(6))
        );
        drop(one);
        assert_eq!(
            (two.ready(BOTH), put(&two, b"")),
            (Readiness { read: true, write: true, hangup: true }, Err(Errno::PIPE))
        );
        assert_eq!((get(&two, 1), get(&two, 1)), (Err(Errno::CONNRESET), Ok(vec![])));
        assert_eq!(Channel::pipe(1).0.shut_down(true, true), Err(Errno::NOTSOCK));
    }
}
