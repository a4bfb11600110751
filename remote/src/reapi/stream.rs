//! Blobs as streams of messages: read in pieces, compressed where the server takes that.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use bazel_remote_apis::google::bytestream::WriteRequest;
use futures_util::stream::{self, Stream};
use zstd::stream::write::{Decoder, Encoder};

use crate::WireDigest;
use crate::budget::MAX_WINDOW_LOG;

/// What one message of a stream carries.
const PIECE: usize = 1 << 20;
/// Fast, and still half of a program.
const LEVEL: i32 = 3;

/// Where bytes to be sent are.
#[derive(Debug)]
pub enum Source {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file, from its beginning.
    File(File),
}

/// Bytes to be sent.
#[derive(Debug)]
pub struct Blob {
    /// Their digest.
    pub digest: WireDigest,
    /// Where they are.
    pub source: Source,
}

impl Blob {
    /// Reads all bytes.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        match &self.source {
            Source::Bytes(bytes) => Ok(bytes.clone()),
            Source::File(file) => {
                let mut bytes = vec![0; usize::try_from(self.digest.size).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, 0)?;
                Ok(bytes)
            }
        }
    }

    /// Reads the bytes from `at` on, as many as a message carries.
    fn piece(&self, at: u64) -> io::Result<Vec<u8>> {
        match &self.source {
            Source::Bytes(bytes) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes[from..].iter().take(PIECE).copied().collect())
            }
            Source::File(file) => {
                let mut piece = vec![0; PIECE];
                let count = file.read_at(&mut piece, at)?;
                piece.truncate(count);
                Ok(piece)
            }
        }
    }
}

/// The messages of a blob that is sent.
struct Outgoing {
    blob: Arc<Blob>,
    compressed: bool,
    encoder: Option<Encoder<'static, Vec<u8>>>,
    /// The resource's name, for the first message.
    name: String,
    read: u64,
    written: u64,
    done: bool,
}

impl Outgoing {
    fn next(&mut self) -> io::Result<WriteRequest> {
        let mut data = Vec::new();
        while data.is_empty() && !self.done {
            let piece = self.blob.piece(self.read)?;
            self.read += piece.len() as u64;
            self.done = self.read >= self.blob.digest.size || piece.is_empty();
            data = if self.compressed { self.compress(&piece)? } else { piece };
        }
        let write_offset = self.written.cast_signed();
        self.written += data.len() as u64;
        let resource_name = std::mem::take(&mut self.name);
        Ok(WriteRequest { resource_name, write_offset, finish_write: self.done, data })
    }

    fn compress(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => Encoder::new(Vec::new(), LEVEL)?,
        };
        encoder.write_all(piece)?;
        if self.done {
            return encoder.finish();
        }
        encoder.flush()?;
        let data = std::mem::take(encoder.get_mut());
        self.encoder = Some(encoder);
        Ok(data)
    }
}

/// The error that ended a stream before its time.
pub(super) type ReadError = Arc<Mutex<Option<io::Error>>>;

/// Returns the messages that carry a blob. If the file can't be read, they end, and the error is in
/// the second part.
pub(super) fn messages(
    blob: Arc<Blob>,
    name: String,
    compressed: bool,
) -> (impl Stream<Item = WriteRequest> + Send + 'static, ReadError) {
    let read_error = ReadError::default();
    let set_error = Arc::clone(&read_error);
    let outgoing = Outgoing { blob, compressed, encoder: None, name, read: 0, written: 0, done: false };
    let messages = stream::unfold(outgoing, move |mut outgoing| {
        let next = if outgoing.done {
            None
        } else {
            match outgoing.next() {
                Ok(message) => Some((message, outgoing)),
                Err(error) => {
                    *set_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    None
                }
            }
        };
        std::future::ready(next)
    });
    (messages, read_error)
}

/// A blob that arrives, in a file without a name that never gets longer than the blob.
pub(super) enum Incoming {
    Plain(Bounded),
    Compressed(Box<Decoder<'static, Bounded>>),
}

impl Incoming {
    pub(super) fn new(size: u64, compressed: bool) -> io::Result<Self> {
        let file = Bounded { file: tempfile::tempfile()?, written: 0, bound: size };
        if !compressed {
            return Ok(Self::Plain(file));
        }
        let mut decoder = Decoder::new(file)?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        Ok(Self::Compressed(Box::new(decoder)))
    }

    /// Adds what a message carries.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] or [`io::ErrorKind::Other`] if these are not the blob's
    /// bytes; other kinds if the file can't be written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Compressed(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
        }
    }

    /// Returns the file at its beginning, and how many bytes it has.
    pub(super) fn finish(self) -> io::Result<(File, u64)> {
        let Bounded { mut file, written, .. } = match self {
            Self::Plain(file) => file,
            Self::Compressed(decoder) => decoder.into_inner(),
        };
        io::Seek::rewind(&mut file)?;
        Ok((file, written))
    }
}

/// A file of at most so many bytes.
pub(super) struct Bounded {
    file: File,
    written: u64,
    bound: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written + bytes.len() as u64 > self.bound {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there are more of them"));
        }
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use futures_util::StreamExt as _;

    use super::*;

    fn sent(blob: &Arc<Blob>, compressed: bool) -> Vec<WriteRequest> {
        let (messages, read_error) = messages(Arc::clone(blob), "name".to_owned(), compressed);
        let all = network::runtime::handle().unwrap().block_on(messages.collect());
        assert!(read_error.lock().unwrap().is_none());
        all
    }

    #[test]
    fn what_is_sent_arrives_and_no_more() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at >> 8) as u8).collect();
        let blob = |bytes: &[u8]| {
            let digest = WireDigest { hash: [0; 32], size: bytes.len() as u64 };
            Arc::new(Blob { digest, source: Source::Bytes(bytes.to_owned()) })
        };
        for compressed in [false, true] {
            for bytes in [&bytes[..], &bytes[..1], b""] {
                let messages = sent(&blob(bytes), compressed);
                assert!(messages[0].resource_name == "name" && messages.last().unwrap().finish_write);
                let mut incoming = Incoming::new(bytes.len() as u64, compressed).unwrap();
                messages.iter().for_each(|message| incoming.write(&message.data).unwrap());
                let (mut file, written) = incoming.finish().unwrap();
                let mut arrived = Vec::new();
                file.read_to_end(&mut arrived).unwrap();
                assert!(arrived == bytes && written == bytes.len() as u64);
            }
            let mut short = Incoming::new(10, compressed).unwrap();
            let refused = sent(&blob(&bytes), compressed).iter().try_for_each(|message| short.write(&message.data));
            assert!(refused.is_err());
        }
    }
}
