//! Where the bytes of files go and come from, as the operations here see it.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use build_graph::{BlobDigest, Entry};

/// Takes files' bytes and keeps them under their digest.
pub trait BlobSink: Sync {
    /// Keeps these bytes.
    ///
    /// # Errors
    /// Whatever keeps them from being written.
    fn put_bytes(&self, bytes: &[u8], executable: bool) -> io::Result<Entry>;

    /// Keeps everything that a reader gives.
    ///
    /// # Errors
    /// The reader's own errors, as they are, and whatever keeps the bytes from being written.
    fn put_reader(&self, reader: &mut dyn Read, executable: bool) -> io::Result<Entry>;
}

/// Gives back bytes that were kept.
pub trait BlobSource: Sync {
    /// All bytes of a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if they are not there, or whatever keeps them from being read.
    fn read(&self, entry: &Entry) -> io::Result<Vec<u8>>;
}

/// Blobs in memory: for tests, and where nothing needs to stay.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    blobs: Mutex<HashMap<(BlobDigest, bool), Vec<u8>>>,
}

impl MemoryBlobs {
    /// Nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many blobs there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(BlobDigest, bool), Vec<u8>>> {
        // Every change is one insertion, so a panic elsewhere leaves nothing half done.
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobSink for MemoryBlobs {
    fn put_bytes(&self, bytes: &[u8], executable: bool) -> io::Result<Entry> {
        let digest = BlobDigest::of(bytes);
        self.lock().entry((digest, executable)).or_insert_with(|| bytes.to_vec());
        Ok(Entry::File { digest, size: bytes.len() as u64, executable })
    }

    fn put_reader(&self, reader: &mut dyn Read, executable: bool) -> io::Result<Entry> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        self.put_bytes(&bytes, executable)
    }
}

impl BlobSource for MemoryBlobs {
    fn read(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let Entry::File { digest, executable, .. } = entry else { return Err(io::ErrorKind::InvalidInput.into()) };
        self.lock().get(&(*digest, *executable)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
