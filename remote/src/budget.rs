//! What answers of remotes may take of memory, however many come at once and whatever they say of
//! themselves.
//!
//! A zstd frame of ten kilobytes unpacks to a hundred megabytes, and a server is asked for many
//! things at a time. So what counts is the sum: whatever of answers is held in memory is taken from
//! one [`Budget`], byte by byte as it is unpacked, and a remote that uses it up is refused as a
//! whole. Files go to the disk and take a decoder's window each, which is bounded, too.

use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use zstd::stream::read::Decoder;

use super::RemoteError;
use super::envelope::SignedEnvelope;

/// The longest envelope. It would hold a tree of a hundred thousand files; the largest one of ours
/// has a fiftieth of that.
pub(super) const MAX_ENVELOPE: u64 = 32 << 20;
/// So many bytes of envelopes are held at once. All those of our own graph have a tenth.
pub(super) const MAX_ENVELOPES: u64 = 128 << 20;
/// The base-2 logarithm of the largest window of a decoder, 8 MB: what levels up to 19 use.
pub(super) const MAX_WINDOW_LOG: u32 = 23;
/// The same for objects that this program alone compresses, quickly: there are many at a time.
const MAX_OBJECT_WINDOW_LOG: u32 = 21;
/// What is read at a time, before what is read is known to be of use.
const PIECE: usize = 64 << 10;

/// Bytes that may still be held.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicU64,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        Self { left: AtomicU64::new(bytes) }
    }

    /// Takes so many bytes, if they are left.
    #[must_use]
    pub(super) fn take(&self, bytes: u64) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// Bytes that were not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// All that came at once is too much.
    OverBudget,
    /// Longer than allowed, no frame, or broken off.
    Io(io::Error),
}

/// Reads all of what is no longer than `longest`, and begins as `head` does if it is longer than
/// that. What is else is read no further, and given as far as it was read. What is held of it is
/// taken from the budget before.
pub(super) fn read_within(
    mut reader: impl Read,
    head: &[u8],
    longest: u64,
    budget: &Budget,
) -> Result<Vec<u8>, Unread> {
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        if bytes.len() == bytes.capacity() {
            let more = bytes.len().max(PIECE);
            if !budget.take(more as u64) {
                return Err(Unread::OverBudget);
            }
            bytes.reserve_exact(more);
        }
        let room = bytes.capacity() - bytes.len();
        let read = reader.by_ref().take(room as u64).read_to_end(&mut bytes).map_err(Unread::Io)?;
        if read == 0 || !bytes.starts_with(&head[..head.len().min(bytes.len())]) {
            return Ok(bytes);
        }
        if bytes.len() as u64 > longest {
            return Err(Unread::Io(io::Error::new(io::ErrorKind::FileTooLarge, "it is too long")));
        }
    }
}

/// Refuses to put what nobody would read.
///
/// # Errors
/// [`RemoteError::Wrong`] if the result is longer than [`MAX_ENVELOPE`].
pub(super) fn check_length(result: &SignedEnvelope) -> Result<(), RemoteError> {
    if result.to_bytes().len() as u64 <= MAX_ENVELOPE {
        return Ok(());
    }
    Err(RemoteError::Wrong(format!("the result {} has more than {MAX_ENVELOPE} bytes", result.envelope.key)))
}

/// What an object of a remote holds, as it is unpacked.
///
/// # Errors
/// If no decoder can be made.
pub(super) fn unpacked<'a>(object: Box<dyn Read + 'a>) -> io::Result<impl Read + 'a> {
    let mut decoder = Decoder::with_buffer(BufReader::new(object))?;
    decoder.window_log_max(MAX_OBJECT_WINDOW_LOG)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_bounded() {
        let budget = Budget::new(300_000);
        let read = |size: u64| read_within(io::repeat(b'x').take(size), b"xx", 1 << 20, &budget);
        assert_eq!(read(100).unwrap().len(), 100);
        assert_eq!(read(60_000).unwrap().len(), 60_000);
        assert!(matches!(read(1 << 20), Err(Unread::OverBudget)));
    }

    #[test]
    fn what_is_too_long_or_begins_otherwise_is_not_read() {
        let budget = Budget::new(u64::MAX);
        let long = read_within(io::repeat(b'x'), b"xx", 1 << 20, &budget);
        assert!(matches!(long, Err(Unread::Io(error)) if error.kind() == io::ErrorKind::FileTooLarge));
        assert!(read_within(io::repeat(b'x'), b"xy", 1 << 20, &budget).unwrap().len() <= PIECE);
        assert_eq!(read_within(&b"x"[..], b"xy", 1 << 20, &budget).unwrap(), b"x");
        assert_eq!(read_within(&b""[..], b"xy", 1 << 20, &budget).unwrap(), b"");
    }

    #[test]
    fn a_large_window_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(MAX_OBJECT_WINDOW_LOG + 1).unwrap();
        io::copy(&mut io::repeat(0).take(8 << 20), &mut encoder).unwrap();
        let frame = encoder.finish().unwrap();
        let read =
            |frame: &[u8]| unpacked(Box::new(frame)).and_then(|mut reader| io::copy(&mut reader, &mut io::sink()));
        assert!(read(&frame).is_err());
        assert_eq!(read(&zstd::encode_all(io::repeat(0).take(8 << 20), 1).unwrap()).unwrap(), 8 << 20);
    }
}
