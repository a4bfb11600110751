//! Telling compressions by their first bytes, and undoing them.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

/// Memory that an xz stream may ask for: the largest preset needs 65 MiB.
const XZ_MEMORY: u64 = 512 << 20;

/// How a tar stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    /// Tells by the first 512 bytes; `None` if they begin neither a known compression nor a tar archive.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => is_tar(head).then_some(Self::None),
        }
    }

    /// The stream that was compressed. Concatenated streams count as one, as the formats say.
    pub(super) fn decode<'a>(self, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let reader = BufReader::with_capacity(1 << 16, reader);
        Ok(match self {
            Self::None => Box::new(reader),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream))
            }
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        })
    }
}

/// Whether these bytes begin a zip archive (one without members is its end record alone).
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// Whether a block is a tar header: its checksum is right (POSIX.1-2017, pax, "ustar Interchange Format"), or the archive is
/// empty and begins with zeros.
fn is_tar(head: &[u8]) -> bool {
    if head.len() < 512 {
        return false;
    }
    if head.iter().all(|byte| *byte == 0) {
        return true;
    }
    let sum: u64 = head
        .iter()
        .enumerate()
        .map(|(index, byte)| u64::from(if (148..156).contains(&index) { b' ' } else { *byte }))
        .sum();
    let field = String::from_utf8_lossy(&head[148..156]);
    u64::from_str_radix(field.trim_matches(|c| c == ' ' || c == '\0'), 8).is_ok_and(|stored| stored == sum)
}

/// Why a [`Metered`] stream ended with an error of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// More came out than the whole archive may hold.
    Total,
    /// The headers of one member are larger than any that are meant well.
    Header,
}

/// A stream that counts, and stops at a total and at a budget for headers.
///
/// The tar reader reads extended headers into memory whole. Without a budget, a few compressed kilobytes could fill it.
pub(crate) struct Metered<R> {
    inner: R,
    meter: Meter,
}

/// What a [`Metered`] stream shares with who watches it.
#[derive(Clone)]
pub(crate) struct Meter(Rc<Gauge>);

struct Gauge {
    left: Cell<u64>,
    header_left: Cell<Option<u64>>,
    exceeded: Cell<Option<Exceeded>>,
}

impl Meter {
    pub(crate) fn new(total: u64) -> Self {
        Self(Rc::new(Gauge { left: Cell::new(total), header_left: Cell::new(None), exceeded: Cell::new(None) }))
    }

    /// From now on no more than this may be read, until [`Meter::body`] is called.
    pub(crate) fn header(&self, budget: u64) {
        self.0.header_left.set(Some(budget));
    }

    /// What is read now is a file's content.
    pub(crate) fn body(&self) {
        self.0.header_left.set(None);
    }

    /// Which limit ended the stream, if one did.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        self.0.exceeded.get()
    }
}

impl<R: Read> Metered<R> {
    pub(crate) fn new(inner: R, meter: Meter) -> Self {
        Self { inner, meter }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let gauge = &self.meter.0;
        let count = self.inner.read(buffer)?;
        let read = count as u64;
        let stop = |why| {
            gauge.exceeded.set(Some(why));
            Err(io::Error::other("a limit was reached"))
        };
        match gauge.left.get().checked_sub(read) {
            Some(left) => gauge.left.set(left),
            None => return stop(Exceeded::Total),
        }
        if let Some(left) = gauge.header_left.get() {
            match left.checked_sub(read) {
                Some(left) => gauge.header_left.set(Some(left)),
                None => return stop(Exceeded::Header),
            }
        }
        Ok(count)
    }
}
