//! The guest's memory, as its calls see it.

use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

use super::Stop;
use crate::vfs::Errno;

/// Most buffers in one scattered read or write, as Linux's IOV_MAX.
const BUFFERS_MAX: u32 = 1024;
/// Size of WASI's `iovec`: two 32-bit words, address and length.
const BUFFER_SIZE: u32 = 8;

/// Where an engine keeps a guest's linear memory.
///
/// Addresses are the guest's, and nothing about them is trusted: every access is checked against
/// the memory's present size.
pub trait GuestMemory {
    /// All bytes.
    fn bytes(&mut self) -> &mut [u8];
}

impl GuestMemory for Vec<u8> {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

impl GuestMemory for &mut [u8] {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

/// Checked access to a [`GuestMemory`]. Every method gives `EFAULT` for what does not lie in the
/// memory.
pub struct Memory<'a>(&'a mut [u8]);

impl<'a> Memory<'a> {
    /// A view of the memory for one call.
    pub fn new(memory: &'a mut dyn GuestMemory) -> Self {
        Self(memory.bytes())
    }

    fn range(&self, at: u32, length: u32) -> Result<Range<usize>, Errno> {
        let (start, end) = (at as usize, at as usize + length as usize);
        if end <= self.0.len() { Ok(start..end) } else { Err(Errno::FAULT) }
    }

    /// `length` bytes at `at`.
    pub fn slice(&self, at: u32, length: u32) -> Result<&[u8], Errno> {
        Ok(&self.0[self.range(at, length)?])
    }

    /// `length` bytes at `at`, to be written.
    pub fn slice_mut(&mut self, at: u32, length: u32) -> Result<&mut [u8], Errno> {
        let range = self.range(at, length)?;
        Ok(&mut self.0[range])
    }

    /// Writes `bytes` at `at`.
    pub fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let length = u32::try_from(bytes.len()).map_err(|_| Errno::FAULT)?;
        self.slice_mut(at, length)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a 32-bit number.
    pub fn write_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    /// Writes a 64-bit number.
    pub fn write_u64(&mut self, at: u32, value: u64) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    /// Whether a call may answer with `length` bytes at `at`: asked before the call changes
    /// anything.
    pub fn check(&self, at: u32, length: u32) -> Result<(), Errno> {
        self.range(at, length).map(drop)
    }

    /// A path or name: a copy, because a guest may give memory that the call itself writes.
    pub fn text(&self, at: u32, length: u32) -> Result<Vec<u8>, Errno> {
        // Longer than any path or link may be; the walk gives the exact limit.
        if length > 65536 {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(self.slice(at, length)?.to_vec())
    }

    fn buffer_ranges(&self, at: u32, count: u32) -> Result<Vec<Range<usize>>, Errno> {
        if count > BUFFERS_MAX {
            return Err(Errno::INVAL);
        }
        let table = self.slice(at, count * BUFFER_SIZE)?;
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        table.chunks_exact(BUFFER_SIZE as usize).map(|entry| self.range(word(&entry[..4]), word(&entry[4..]))).collect()
    }

    /// The buffers of a scattered write, from `count` entries at `at`.
    pub fn gather(&self, at: u32, count: u32) -> Result<Vec<IoSlice<'_>>, Errno> {
        Ok(self.buffer_ranges(at, count)?.into_iter().map(|r| IoSlice::new(&self.0[r])).collect())
    }

    /// Reads into the buffers that `count` entries at `at` describe, by `read`. Where buffers
    /// overlap, only those before the first overlapping one are used: a short read, which every
    /// reader has to expect.
    pub fn scatter<T>(
        &mut self,
        at: u32,
        count: u32,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut ranges = self.buffer_ranges(at, count)?;
        let disjoint =
            (0..ranges.len()).find(|&i| ranges[..i].iter().any(|r| overlap(r, &ranges[i]))).unwrap_or(ranges.len());
        ranges.truncate(disjoint);
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_by_key(|&i| (ranges[i].start, ranges[i].end));
        let mut pieces: Vec<(usize, IoSliceMut<'_>)> = Vec::with_capacity(ranges.len());
        let (mut rest, mut done) = (&mut *self.0, 0);
        for index in order {
            let range = &ranges[index];
            // An empty buffer may lie within another one.
            let start = range.start.max(done);
            let end = range.end.max(start);
            let (_, tail) = rest.split_at_mut(start - done);
            let (piece, tail) = tail.split_at_mut(end - start);
            pieces.push((index, IoSliceMut::new(if range.is_empty() { &mut piece[..0] } else { piece })));
            (rest, done) = (tail, end);
        }
        pieces.sort_by_key(|(index, _)| *index);
        let mut buffers: Vec<IoSliceMut<'_>> = pieces.into_iter().map(|(_, b)| b).collect();
        read(&mut buffers)
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    !a.is_empty() && !b.is_empty() && a.start < b.end && b.start < a.end
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Stop::Errno(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_buffers(buffers: &[(u32, u32)]) -> Vec<u8> {
        let mut memory = vec![0; 65536];
        for (i, (at, length)) in buffers.iter().enumerate() {
            memory[i * 8..i * 8 + 4].copy_from_slice(&at.to_le_bytes());
            memory[i * 8 + 4..i * 8 + 8].copy_from_slice(&length.to_le_bytes());
        }
        memory
    }

    fn lengths(buffers: &[(u32, u32)]) -> Result<Vec<usize>, Errno> {
        let mut bytes = with_buffers(buffers);
        let count = u32::try_from(buffers.len()).unwrap();
        Memory::new(&mut bytes).scatter(0, count, |b| Ok(b.iter().map(|s| s.len()).collect()))
    }

    #[test]
    fn buffers_keep_the_guests_order() {
        assert_eq!(lengths(&[(3000, 10), (1000, 20), (2000, 0)]), Ok(vec![10, 20, 0]));
    }

    #[test]
    fn overlapping_buffers_make_a_short_read() {
        assert_eq!(lengths(&[(1000, 10), (1005, 10), (4000, 1)]), Ok(vec![10]));
        assert_eq!(lengths(&[(1000, 10), (1000, 10)]), Ok(vec![10]));
    }

    #[test]
    fn an_empty_buffer_within_another_is_harmless() {
        assert_eq!(lengths(&[(1000, 10), (1005, 0)]), Ok(vec![10, 0]));
        assert_eq!(lengths(&[(1005, 0), (1000, 10)]), Ok(vec![0, 10]));
    }

    #[test]
    fn what_lies_outside_is_a_fault() {
        assert_eq!(lengths(&[(65535, 2)]), Err(Errno::FAULT));
        assert_eq!(lengths(&[(u32::MAX, u32::MAX)]), Err(Errno::FAULT));
        let mut bytes = vec![0; 16];
        let memory = Memory::new(&mut bytes);
        assert_eq!(memory.gather(0, u32::MAX).map(|b| b.len()), Err(Errno::INVAL));
        assert_eq!(memory.gather(0, 3).map(|b| b.len()), Err(Errno::FAULT));
        assert_eq!(memory.slice(u32::MAX, u32::MAX), Err(Errno::FAULT));
        assert_eq!(memory.slice(16, 0), Ok(&[][..]));
        assert_eq!(memory.slice(17, 0), Err(Errno::FAULT));
    }
}
