//! What a guest may write, make and open, and what it has. Linux's words tell it where the end is.

use std::cell::Cell;
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::folders::Folders;
use super::mounts::Mounts;
use crate::limits::{Limit, Limits};
use crate::report::Usage;

/// The account of a guest's files. Without limits, and when nobody asks, it keeps none.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    file: Option<u64>,
    write: Option<u64>,
    files: Option<u64>,
    output: Option<u64>,
    /// Whether somebody wants to know how much it was.
    is_asked: bool,
    usage: Arc<Usage>,
    over: Cell<Option<Limit>>,
    folders: Folders,
}

/// Where a write would happen: at which byte, in a file of which size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) size: u64,
}

impl Span {
    /// Bytes between the file's end and the write.
    pub(super) fn hole(self) -> u64 {
        self.at.saturating_sub(self.size)
    }
}

impl Quota {
    /// Of a guest with these mounts.
    pub(super) fn new(limits: &Limits, usage: Arc<Usage>, is_asked: bool, mounts: &Mounts) -> Self {
        let Limits { file, write, files, output, .. } = *limits;
        Self { file, write, files, output, is_asked, usage, over: Cell::default(), folders: Folders::of(mounts) }
    }

    /// The limit that ends the run, if one was reached.
    pub(super) fn over(&self) -> Option<Limit> {
        self.over.get()
    }

    /// Whether it matters where in a file a guest writes.
    pub(super) fn needs_span(&self) -> bool {
        self.is_asked || self.file.is_some() || self.write.is_some() || self.output.is_some()
    }

    fn refuse<T>(&self, limit: Limit, error: Errno) -> Result<T, Errno> {
        self.usage.reached(limit);
        Err(error)
    }

    /// Changes something on the file system that holds `file`. A full folder in memory is noted,
    /// and so is what the folders hold then.
    ///
    /// # Errors
    ///
    /// What `change` says.
    pub(super) fn change<T>(&self, file: impl AsFd, change: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        let changed = change();
        if matches!(changed, Err(Errno::NOSPC)) && self.folders.hold(file)? {
            self.usage.reached(Limit::Tmpfs);
        }
        self.folders.settle();
        changed
    }

    /// Notes what the folders in memory hold, after something may have been given back.
    pub(super) fn settle(&self) {
        self.folders.settle();
    }

    /// For how many of `wanted` bytes of this file there is memory, where it lies in memory.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is none at all.
    pub(super) fn memory_for(&self, file: impl AsFd, wanted: u64) -> Result<u64, Errno> {
        self.folders.room(file, wanted)
    }

    /// How many of `wanted` bytes may be written to a file there.
    ///
    /// # Errors
    ///
    /// `EFBIG` if none may, for the file would be too long, `EDQUOT` if that is too much in all.
    pub(super) fn writable(&self, span: Span, wanted: u64) -> Result<u64, Errno> {
        let fitting = self.fitting(span.at, wanted)?;
        let hole = span.hole();
        let left = left(self.write, &self.usage.written);
        if wanted > 0 && left <= hole {
            return self.refuse(Limit::Write, Errno::DQUOT);
        }
        Ok(fitting.min(left - hole.min(left)))
    }

    /// How many of `wanted` bytes at `at` do not make a file too long.
    ///
    /// # Errors
    ///
    /// `EFBIG` if none of them fits.
    pub(super) fn fitting(&self, at: u64, wanted: u64) -> Result<u64, Errno> {
        let room = self.file.map_or(u64::MAX, |most| most.saturating_sub(at));
        if wanted > 0 && room == 0 {
            return self.refuse(Limit::File, Errno::FBIG);
        }
        Ok(wanted.min(room))
    }

    /// Notes that so many bytes were written there; a hole before them counts as well.
    pub(super) fn wrote(&self, span: Span, count: u64) {
        let hole = if count > 0 { span.hole() } else { 0 };
        self.usage.written.fetch_add(hole.saturating_add(count), Ordering::Relaxed);
    }

    /// Has a file of `size` bytes become one of `new` bytes by `resize`, by which room for `used`
    /// bytes is used.
    ///
    /// # Errors
    ///
    /// As [`Quota::writable`]; what `resize` says.
    pub(super) fn grow(
        &self,
        size: u64,
        new: u64,
        used: u64,
        resize: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if new > size && self.file.is_some_and(|most| new > most) {
            return self.refuse(Limit::File, Errno::FBIG);
        }
        if used > left(self.write, &self.usage.written) {
            return self.refuse(Limit::Write, Errno::DQUOT);
        }
        resize()?;
        self.usage.written.fetch_add(used, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a name in `directory`, or below it, by `make`.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if there were too many; what `make` says.
    pub(super) fn make<T>(&self, directory: impl AsFd, make: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        if left(self.files, &self.usage.files) == 0 {
            return self.refuse(Limit::Files, Errno::DQUOT);
        }
        // A name takes less than a page.
        self.memory_for(&directory, 1)?;
        let made = self.change(directory, make)?;
        self.usage.files.fetch_add(1, Ordering::Relaxed);
        Ok(made)
    }

    /// Notes that the guest was told that it has too many descriptors.
    pub(super) fn opened<T>(&self, added: Result<T, Errno>) -> Result<T, Errno> {
        match added {
            Err(Errno::MFILE) => self.refuse(Limit::Open, Errno::MFILE),
            added => added,
        }
    }

    /// Lets `wanted` bytes leave by `write`, after a hole of so many, or as many as may. If they
    /// are fewer, the run is over.
    ///
    /// # Errors
    ///
    /// What `write` says.
    pub(super) fn leave(
        &self,
        hole: u64,
        wanted: u64,
        write: impl FnOnce(u64) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let most = left(self.output, &self.usage.output).saturating_sub(hole).min(wanted);
        let count = if most > 0 || wanted == 0 { write(most)? } else { 0 };
        if count > 0 {
            self.usage.output.fetch_add(hole.saturating_add(count as u64), Ordering::Relaxed);
        }
        if most < wanted && count as u64 == most {
            self.over.set(Some(Limit::Output));
        }
        Ok(count)
    }
}

fn left(most: Option<u64>, used: &AtomicU64) -> u64 {
    most.map_or(u64::MAX, |most| most.saturating_sub(used.load(Ordering::Relaxed)))
}

/// Where the next write to an open file happens.
///
/// # Errors
///
/// Those of fstat(2) and lseek(2).
pub(super) fn span(fd: impl AsFd, appends: bool, offset: super::Offset) -> Result<Span, Errno> {
    let size = u64::try_from(rustix::fs::fstat(&fd)?.st_size).unwrap_or(0);
    let at = match offset {
        _ if appends => size,
        super::Offset::At(at) => at,
        super::Offset::Current => rustix::fs::seek(&fd, SeekFrom::Current(0))?,
    };
    Ok(Span { at, size })
}

/// The first `count` bytes of these.
pub(super) fn cut<'a>(buffers: &'a [IoSlice<'a>], count: u64) -> Vec<IoSlice<'a>> {
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    let mut cut = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        let part = buffer.len().min(left);
        cut.push(IoSlice::new(&buffer[..part]));
        left -= part;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(limits: Limits) -> Quota {
        Quota::new(&limits, Arc::default(), false, &Mounts::default())
    }

    #[test]
    fn what_is_written_ends_exactly_at_the_limits() {
        let quota = quota(Limits { file: Some(100), write: Some(150), ..Limits::default() });
        let at = |at, size| Span { at, size };
        assert_eq!((quota.writable(at(0, 0), 100), quota.writable(at(0, 0), 101)), (Ok(100), Ok(100)));
        assert_eq!((quota.writable(at(99, 0), 9), quota.writable(at(100, 0), 0)), (Ok(1), Ok(0)));
        assert_eq!(
            (quota.writable(at(100, 0), 1), quota.writable(at(u64::MAX, 0), 1)),
            (Err(Errno::FBIG), Err(Errno::FBIG))
        );
        quota.wrote(at(0, 0), 100);
        // A hole of 20 and what comes after it.
        assert_eq!(quota.writable(at(20, 0), 80), Ok(30));
        assert_eq!(quota.writable(at(50, 0), 1), Err(Errno::DQUOT));
        quota.wrote(at(20, 0), 29);
        let grow = |size, new, used| quota.grow(size, new, used, || Ok(()));
        assert_eq!((quota.writable(at(0, 9), 5), grow(9, 10, 1), grow(9, 10, 1)), (Ok(1), Ok(()), Err(Errno::DQUOT)));
        assert_eq!((grow(9, 3, 0), grow(200, 150, 0), grow(9, 101, 0)), (Ok(()), Ok(()), Err(Errno::FBIG)));
        assert_eq!((quota.writable(at(0, 9), 1), quota.writable(at(0, 9), 0)), (Err(Errno::DQUOT), Ok(0)));
    }

    #[test]
    fn what_was_not_made_does_not_count() {
        let quota = quota(Limits { files: Some(1), ..Limits::default() });
        let folder = tempfile::tempfile().unwrap();
        assert_eq!(quota.make(&folder, || Err::<(), _>(Errno::EXIST)), Err(Errno::EXIST));
        assert_eq!((quota.make(&folder, || Ok(1)), quota.make(&folder, || Ok(2))), (Ok(1), Err(Errno::DQUOT)));
    }

    #[test]
    fn the_run_is_over_when_more_is_to_leave_than_may() {
        let quota = quota(Limits { output: Some(10), ..Limits::default() });
        let leave = |hole, wanted, taken: u64| {
            let left = quota.leave(hole, wanted, |most| Ok(usize::try_from(most.min(taken)).unwrap()));
            (left, quota.over())
        };
        assert_eq!((leave(0, 10, 4), leave(0, 9, 5)), ((Ok(4), None), (Ok(5), None)));
        assert_eq!((leave(0, 1, 1), leave(0, 0, 0)), ((Ok(1), None), (Ok(0), None)));
        assert_eq!(leave(0, 1, 1), (Ok(0), Some(Limit::Output)));
    }

    #[test]
    fn a_hole_leaves_as_bytes_do() {
        let quota = quota(Limits { output: Some(10), ..Limits::default() });
        let write = |most: u64| Ok(usize::try_from(most).unwrap());
        assert_eq!((quota.leave(5, 3, write), quota.over()), (Ok(3), None));
        assert_eq!((quota.leave(1, 3, write), quota.over()), (Ok(1), Some(Limit::Output)));
    }

    #[test]
    fn buffers_are_cut() {
        let (a, b) = ([1; 3], [2; 3]);
        let lengths =
            |count| cut(&[IoSlice::new(&a), IoSlice::new(&b)], count).iter().map(|b| b.len()).collect::<Vec<_>>();
        assert_eq!((lengths(0), lengths(4), lengths(9)), (vec![0, 0], vec![3, 1], vec![3, 3]));
    }
}
