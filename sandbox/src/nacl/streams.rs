//! Descriptors that the guest writes to by way of this process.
//!
//! What leaves by them is counted, and ends exactly at a limit. And a standard stream that leads to
//! a file is a pipe to the guest, which can neither cut it off nor write at other places.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::bounds::Bounds;
use crate::options::HandOption;
use crate::report::Usage;

const BUFFER: usize = 64 << 10;
/// Stack of a thread that carries bytes.
const STACK: usize = 128 << 10;

/// The descriptors that are carried.
pub(super) struct Streams {
    ways: Vec<Way>,
    limit: Option<u64>,
    /// The error of a file that took no more.
    failed: Arc<AtomicI32>,
}

/// From the guest to a file.
struct Way {
    from: OwnedFd,
    to: OwnedFd,
    /// What the guest writes to, until it has it.
    entry: OwnedFd,
}

/// What is heard of the threads that carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// More would leave than may.
    Limit,
    /// All has left, or can't.
    End,
}

/// Where the threads that carry are heard.
pub(super) struct Carrying {
    events: File,
    failed: Arc<AtomicI32>,
}

impl Streams {
    /// Chooses, of what is handed in to be written, what is to be carried, and puts pipes in its
    /// place.
    pub(super) fn choose(handed: &mut [(HandOption, OwnedFd)], bounds: &Bounds) -> Result<Self, Errno> {
        let mut streams = Self { ways: Vec::new(), limit: bounds.output, failed: Arc::default() };
        let counts = bounds.output.is_some();
        for (hand, file) in handed {
            if hand.read || !hand.write {
                continue;
            }
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&*file)?.st_mode);
            let is_terminal = kind == FileType::CharacterDevice;
            let appends = || rustix::fs::fcntl_getfl(&*file).is_ok_and(|flags| flags.contains(OFlags::APPEND));
            let is_stream = hand.guest == 1 || hand.guest == 2;
            let keeps_place = kind == FileType::RegularFile && (is_stream || appends());
            if counts || keeps_place || (bounds.is_reported && !is_terminal && kind != FileType::RegularFile) {
                *file = streams.entry_to(file)?;
            }
        }
        Ok(streams)
    }

    /// What the guest gets for this file. Of one file that it has twice, bytes stay in their order.
    fn entry_to(&mut self, file: &OwnedFd) -> Result<OwnedFd, Errno> {
        let identity = |file: &OwnedFd| rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
        let this = identity(file)?;
        for way in &self.ways {
            if identity(&way.to)? == this {
                return rustix::io::fcntl_dupfd_cloexec(&way.entry, 3);
            }
        }
        let (from, entry) = pipe_with(PipeFlags::CLOEXEC)?;
        let to = rustix::io::fcntl_dupfd_cloexec(file, 3)?;
        let given = rustix::io::fcntl_dupfd_cloexec(&entry, 3)?;
        self.ways.push(Way { from, to, entry });
        Ok(given)
    }

    /// Begins to carry. To be called when the guest has its descriptors, and nobody in this
    /// process.
    pub(super) fn carry(self, usage: &Arc<Usage>) -> io::Result<Carrying> {
        let (events, event) = pipe_with(PipeFlags::CLOEXEC)?;
        let left = Arc::new(AtomicU64::new(self.limit.unwrap_or(u64::MAX)));
        for Way { from, to, entry } in self.ways {
            drop(entry);
            let (left, usage, failed) = (Arc::clone(&left), Arc::clone(usage), Arc::clone(&self.failed));
            let event = File::from(event.try_clone()?);
            let carry = move || {
                if let Err(error) = carry(from, &to, &left, &usage, &event) {
                    failed.store(error.raw_os_error(), Ordering::Relaxed);
                }
            };
            thread::Builder::new().stack_size(STACK).spawn(carry)?;
        }
        Ok(Carrying { events: events.into(), failed: self.failed })
    }
}

impl Carrying {
    /// Waits until something is heard.
    pub(super) fn hear(&mut self) -> Heard {
        match self.events.read(&mut [0]) {
            Ok(1) => Heard::Limit,
            _ => Heard::End,
        }
    }

    /// The error of a file that did not take all that the guest wrote.
    pub(super) fn error(&self) -> Option<Errno> {
        Some(self.failed.load(Ordering::Relaxed)).filter(|&error| error != 0).map(Errno::from_raw_os_error)
    }
}

impl AsFd for Carrying {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// Carries bytes until there are no more, or no more may.
fn carry(from: OwnedFd, to: &OwnedFd, left: &AtomicU64, usage: &Usage, mut event: &File) -> Result<(), Errno> {
    let mut from = File::from(from);
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) | Ok(0) => return Ok(()),
            Ok(length) => length,
        };
        let mut allowed = length as u64;
        // Other threads take of it, too.
        let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            allowed = left.min(length as u64);
            Some(left - allowed)
        });
        match write(to, &buffer[..allowed as usize], &usage.output) {
            Ok(()) => {}
            // Nobody reads: the guest gets the same error when it writes again.
            Err(Errno::PIPE) => return Ok(()),
            Err(error) => return Err(error),
        }
        if allowed < length as u64 {
            let _ = event.write_all(&[1]);
            return Ok(());
        }
    }
}

fn write(to: &OwnedFd, mut bytes: &[u8], output: &AtomicU64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(length) => {
                output.fetch_add(length as u64, Ordering::Relaxed);
                bytes = &bytes[length..];
            }
            Err(Errno::INTR) => {}
            // Somebody else made it so.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(to, PollFlags::OUT)], None)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
