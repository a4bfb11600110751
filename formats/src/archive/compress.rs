//! Telling compressions by their first bytes, and undoing them.

use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use thiserror::Error;

use build_graph::untrusted::printable;

/// Memory that an xz stream may ask for: the largest preset needs 65 MiB.
const MAX_XZ_MEMORY: u64 = 512 << 20;

/// The longest window of a zstd frame that the decoder takes: what every decoder must be able to,
/// times 16.
const MAX_ZSTD_WINDOW: u64 = 128 << 20;

/// Bytes of a stream that are looked at before they are decoded.
const PEEK: usize = 512;

/// How a tar stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// RFC 8878.
    Zstd,
}

/// A compressed stream is sound as far as it was read, and can't be read on. Comes as the source of
/// an [`io::Error`].
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    #[error("{what} after the end of the {compression} stream; cut that off, or pack it again")]
    Follows { compression: &'static str, what: String },
    #[error(
        "it is compressed with a window of {window} bytes (`zstd --long`), and {MAX_ZSTD_WINDOW} is the most that is read; \
         compress it again without `--long`"
    )]
    Window { window: u64 },
    #[error("to decompress it takes more than {MAX_XZ_MEMORY} bytes of memory; compress it again with `xz -9` at most")]
    Memory,
}

impl Unreadable {
    /// What an error of a decompressor says of the archive itself, if it is no damage.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl Compression {
    /// Tells by the first 512 bytes; `None` if they begin neither a known compression nor a tar
    /// archive.
    pub fn of(head: &[u8]) -> Option<Self> {
        [Self::Gzip, Self::Bzip2, Self::Xz, Self::Zstd]
            .into_iter()
            .find(|compression| compression.begins(head))
            .or_else(|| is_tar(head).then_some(Self::None))
    }

    /// The name of its program; `None` if there is none.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Bzip2 => Some("bzip2"),
            Self::Xz => Some("xz"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Whether a stream of this compression begins so. A zstd file may begin with a skippable frame
    /// (RFC 8878, 3.1.2), as those of parallel compressors do.
    fn begins(self, head: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::Gzip => head.starts_with(&[0x1f, 0x8b]),
            Self::Bzip2 => matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', ..]),
            Self::Xz => head.starts_with(b"\xfd7zXZ\0"),
            Self::Zstd => matches!(head, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]),
        }
    }

    /// The stream that was compressed. Concatenated streams count as one, as the formats say. Zeros
    /// may follow where the formats' own programs skip them: after gzip and bzip2 (a tape's
    /// padding), and in fours after xz.
    pub fn decode<'a>(self, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let reader = Peeked::new(reader);
        Ok(match self {
            Self::None => Box::new(reader),
            compression => Box::new(Concatenated { compression, state: State::Between { reader, first: true } }),
        })
    }

    fn start<R: Read>(self, mut reader: Peeked<R>) -> io::Result<Stream<R>> {
        Ok(match self {
            Self::None => Stream::Plain(reader),
            Self::Gzip => Stream::Gzip(GzDecoder::new(reader)),
            Self::Bzip2 => Stream::Bzip2(BzDecoder::new(reader)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(MAX_XZ_MEMORY, 0)?;
                Stream::Xz(XzDecoder::new_stream(reader, stream))
            }
            Self::Zstd => {
                if let Some(window) = zstd_window(reader.peek(18)?).filter(|window| *window > MAX_ZSTD_WINDOW) {
                    return Err(unreadable(Unreadable::Window { window }));
                }
                Stream::Zstd(zstd::stream::read::Decoder::with_buffer(reader)?.single_frame())
            }
        })
    }
}

fn unreadable(why: Unreadable) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Streams of one compression, one after the other.
struct Concatenated<R: Read> {
    compression: Compression,
    state: State<R>,
}

enum State<R: Read> {
    /// Before the first stream or after one.
    Between {
        reader: Peeked<R>,
        first: bool,
    },
    In(Box<Stream<R>>),
    Ended,
}

enum Stream<R: Read> {
    Plain(Peeked<R>),
    Gzip(GzDecoder<Peeked<R>>),
    Bzip2(BzDecoder<Peeked<R>>),
    Xz(XzDecoder<Peeked<R>>),
    Zstd(zstd::stream::read::Decoder<'static, Peeked<R>>),
}

impl<R: Read> Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        };
        read.map_err(|error| {
            let xz = error.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
            match xz {
                Some(liblzma::stream::Error::MemLimit) => unreadable(Unreadable::Memory),
                _ => error,
            }
        })
    }

    fn into_reader(self) -> Peeked<R> {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<R: Read> Read for Concatenated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Between { mut reader, first } => {
                    if first || self.another(&mut reader)? {
                        self.state = State::In(Box::new(self.compression.start(reader)?));
                    }
                }
                State::In(mut stream) => {
                    let count = stream.read(buffer)?;
                    if count > 0 {
                        self.state = State::In(stream);
                        return Ok(count);
                    }
                    self.state = State::Between { reader: stream.into_reader(), first: false };
                }
            }
        }
    }
}

impl<R: Read> Concatenated<R> {
    /// Whether a further stream follows; an error if something else does.
    fn another(&self, reader: &mut Peeked<R>) -> io::Result<bool> {
        let follows = |what: String| {
            Err(unreadable(Unreadable::Follows { compression: self.compression.name().unwrap_or_default(), what }))
        };
        let zeros = reader.skip_zeros()?;
        let next = reader.peek(40)?;
        let padding = match self.compression {
            Compression::Gzip | Compression::Bzip2 => true,
            Compression::Xz => zeros.is_multiple_of(4),
            Compression::None | Compression::Zstd => zeros == 0,
        };
        if !padding {
            return follows(format!("{zeros} zeros are"));
        }
        if next.is_empty() {
            return Ok(false);
        }
        if !self.compression.begins(next) {
            return follows(format!("`{}` stands", printable(next)));
        }
        // What follows zeros is lost to the format's own program; only in xz they are padding
        // between streams.
        if zeros > 0 && self.compression != Compression::Xz {
            return follows(format!("{zeros} zeros and another stream are"));
        }
        Ok(true)
    }
}

/// A buffered reader that can look ahead.
struct Peeked<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read> Peeked<R> {
    fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; 1 << 16].into_boxed_slice(), start: 0, end: 0 }
    }

    /// The next bytes: so many, or all that there are.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        debug_assert!(count <= PEEK);
        while self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    fn skip_zeros(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let zeros = self.fill_buf()?.iter().take_while(|byte| **byte == 0).count();
            if zeros == 0 {
                return Ok(skipped);
            }
            self.consume(zeros);
            skipped += zeros as u64;
        }
    }
}

impl<R: Read> BufRead for Peeked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.peek(1)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

impl<R: Read> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// The window of the frame that begins so (RFC 8878, 3.1.1.1); `None` if it is skippable or cut
/// short.
fn zstd_window(head: &[u8]) -> Option<u64> {
    let rest = head.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
    let (descriptor, rest) = rest.split_first()?;
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // The whole content is the window, and its size stands after the dictionary's number.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (bytes, more) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let mut size = [0; 8];
    size[..bytes].copy_from_slice(rest.get(dictionary..dictionary + bytes)?);
    Some(u64::from_le_bytes(size).saturating_add(more))
}

/// Whether these bytes begin a zip archive (one without members is its end record alone).
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// What a file of another kind is, by its first bytes.
pub(super) fn other_kind(head: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 19] = [
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"\x04\x22\x4d\x18", "compressed with lz4"),
        (b"LZIP", "compressed with lzip"),
        (b"\x89LZO\0", "compressed with lzop"),
        (b"\x5d\0\0", "compressed with lzma, the format before xz"),
        (b"\x1f\x9d", "compressed with compress"),
        (b"\x1f\x8b", "compressed with gzip"),
        (b"BZh", "compressed with bzip2"),
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"PK\x03\x04", "a zip archive"),
        (b"!<arch>\n", "an ar archive or a Debian package"),
        (b"\xed\xab\xee\xdb", "an RPM package"),
        (b"07070", "a cpio archive"),
        (b"MSCF", "a cabinet"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a Windows program"),
        (b"#!", "a script"),
    ];
    KINDS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind)
}

/// Whether a block is a tar header: its checksum is right (POSIX.1-2017, pax, "ustar Interchange
/// Format"), or the archive is empty and begins with zeros.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.len() >= 512 && (head.iter().all(|byte| *byte == 0) || is_header(head))
}

/// Whether a block is the header of a member.
pub(super) fn is_header(block: &[u8]) -> bool {
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(index, byte)| u64::from(if (148..156).contains(&index) { b' ' } else { *byte }))
        .sum();
    let field = String::from_utf8_lossy(&block[148..156]);
    // All zeros have a checksum field that holds nothing.
    u64::from_str_radix(field.trim_matches(|c| c == ' ' || c == '\0'), 8).is_ok_and(|stored| stored == sum)
}
