//! The store, as operations on archives and patches see it.

use std::io::{self, Read};

use build_graph::Entry;

use crate::archive::{BlobSink, BlobSource};
use crate::store::{Store, StoreError};

fn as_io(error: StoreError) -> io::Error {
    let kind = if matches!(error, StoreError::NoBlob { .. }) { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

impl BlobSink for Store {
    fn put_bytes(&self, bytes: &[u8], executable: bool) -> io::Result<Entry> {
        Self::put_bytes(self, bytes, executable).map_err(as_io)
    }

    fn put_reader(&self, reader: &mut dyn Read, executable: bool) -> io::Result<Entry> {
        Self::put_reader(self, reader, executable).map_err(as_io)
    }
}

impl BlobSource for Store {
    fn read(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        self.read_blob(entry).map_err(as_io)
    }
}
