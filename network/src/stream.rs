//! Asynchronous bytes as a reader.

use std::io::{self, Cursor, Read};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// Pieces of bytes that arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Reads a stream; each read waits for the next piece.
///
/// A read fails with [`io::ErrorKind::TimedOut`] if nothing came within `silence`, or if the stream
/// did not end by `until`.
pub struct StreamReader {
    runtime: Handle,
    stream: ByteStream,
    silence: Option<Duration>,
    until: Option<Instant>,
    piece: Cursor<Bytes>,
}

impl StreamReader {
    /// Begins to read.
    pub fn new(runtime: Handle, stream: ByteStream, silence: Option<Duration>, until: Option<Instant>) -> Self {
        Self { runtime, stream, silence, until, piece: Cursor::default() }
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let silent = self.silence.map(|silence| Instant::now() + silence);
        let next = self.stream.next();
        let next = match silent.into_iter().chain(self.until).min() {
            Some(until) => self.runtime.block_on(bounded(until, next))?,
            None => self.runtime.block_on(next),
        };
        next.transpose()
    }
}

async fn bounded<T>(until: Instant, future: impl Future<Output = T>) -> io::Result<T> {
    timeout_at(until, future).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.next()? {
                Some(piece) => self.piece = Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::runtime;

    fn reader(stream: ByteStream, silence: Duration, until: Duration) -> StreamReader {
        StreamReader::new(runtime::handle().unwrap(), stream, Some(silence), Some(Instant::now() + until))
    }

    #[test]
    fn pieces_are_read_in_order() {
        let pieces = [&b"alpha"[..], b"", b"beta"].map(|piece| Ok(Bytes::from_static(piece)));
        let minute = Duration::from_secs(60);
        let text = io::read_to_string(reader(stream::iter(pieces).boxed(), minute, minute)).unwrap();
        assert_eq!(text, "alphabeta");
    }

    #[test]
    fn silence_and_lateness_are_errors() {
        let (short, long) = (Duration::from_millis(20), Duration::from_secs(60));
        for (silence, until) in [(short, long), (long, short)] {
            let failed = reader(stream::pending().boxed(), silence, until).read(&mut [0]).unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        }
    }
}
