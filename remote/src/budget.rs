//! Bounds the memory that all answers of a remote take together.
//!
//! A zstd frame of ten kilobytes unpacks to a hundred megabytes, and a server is asked for many
//! things at a time, so a bound for each answer is not enough. Bytes of answers that are held in
//! memory are taken from one [`Budget`] as they are unpacked; a remote that exhausts it is refused.
//! Files go to the disk, and each takes only a decoder's window, which is bounded.

use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use zstd::stream::read::Decoder;

use super::RemoteError;
use super::envelope::SignedEnvelope;

/// The longest envelope: enough for a tree of a hundred thousand files. Our largest tree has two
/// thousand.
pub(super) const MAX_ENVELOPE: u64 = 32 << 20;
/// So many bytes of envelopes are held at once. All envelopes of our graph take a tenth of it.
pub(super) const MAX_ENVELOPES: u64 = 128 << 20;
/// The base-2 logarithm of the largest window of a decoder, 8 MB: what levels up to 19 use.
#[cfg(feature = "reapi")]
pub(super) const MAX_WINDOW_LOG: u32 = 23;
/// The same for objects that this program alone compresses, quickly: there are many at a time.
const MAX_OBJECT_WINDOW_LOG: u32 = 21;
/// So many bytes are read before the beginning is checked.
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

/// Why bytes were not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The budget is exhausted.
    OverBudget,
    /// The bytes are too long, are no frame, or break off.
    Io(io::Error),
}

/// Reads bytes that begin with `head`, at most `longest` of them. Bytes that begin otherwise are
/// returned as far as they were read. Takes memory from the budget before it is allocated.
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

/// Refuses to put a result that no reader would accept.
///
/// # Errors
/// [`RemoteError::Wrong`] if the result is longer than [`MAX_ENVELOPE`].
pub(super) fn check_length(result: &SignedEnvelope) -> Result<(), RemoteError> {
    if result.to_bytes().len() as u64 <= MAX_ENVELOPE {
        return Ok(());
    }
    Err(RemoteError::Wrong(format!("the result {} has more than {MAX_ENVELOPE} bytes", result.envelope.key)))
}

/// Decompresses an object of a remote.
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
