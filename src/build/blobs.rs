//! The store, as operations on archives and patches see it.

use std::io::{self, Read};

use build_graph::Entry;

use crate::archive::{BlobSink, BlobSource};
use crate::store::{Store, StoreError};

fn as_io(error: StoreError) -> io::Error {
    let kind = if matches!(error, StoreError::NoBlob { .. }) { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

/// A store that takes and gives the bytes of files.
pub(crate) struct StoreBlobs<'a>(pub(crate) &'a Store);

impl BlobSink for StoreBlobs<'_> {
    fn put_bytes(&self, bytes: &[u8], executable: bool) -> io::Result<Entry> {
        self.0.put_bytes(bytes, executable).map_err(as_io)
    }

    fn put_reader(&self, reader: &mut dyn Read, executable: bool) -> io::Result<Entry> {
        self.0.put_reader(reader, executable).map_err(as_io)
    }
}

impl BlobSource for StoreBlobs<'_> {
    fn read(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        self.0.read_blob(entry).map_err(as_io)
    }
}
