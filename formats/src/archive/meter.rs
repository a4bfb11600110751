//! Counting what comes out of a decompressor, and stopping it.

use std::io::{self, Read};

/// A stream that counts, and fails when more comes than it may hold. A few compressed kilobytes
/// decompress to anything.
pub struct Metered<R> {
    inner: R,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Metered<R> {
    /// A stream of so many bytes at most.
    pub fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most, exceeded: false }
    }

    /// Counts bytes that come from no stream: the holes of a sparse file.
    pub fn charge(&mut self, bytes: u64) -> io::Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.exceeded = true;
                Err(io::Error::other("more comes out than is read of it"))
            }
        }
    }

    /// Whether the limit ended the stream.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.charge(count as u64)?;
        Ok(count)
    }
}
