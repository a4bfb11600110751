//! Members of a tar stream.
//!
//! The tar crate reads the fields of a header; what stands between headers is read here. The
//! crate's own iterator believes the sizes of links, reads extended headers into memory whatever
//! their size, and ends a member's pax records at the first empty line.

use std::io::{self, Read};

use build_graph::untrusted::printable;
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::builder::Builder;
use super::compress::is_header;
use super::meter::Metered;
use super::pax::{self, Records};
use super::{ArchiveError, damage};

/// Headers and contents come in blocks.
const BLOCK: usize = 512;
/// What the headers of one member may take: a long name, a long link and extended attributes.
const HEADER_BUDGET: u64 = 1 << 20;

/// How much of a tar stream is read.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of everything together, headers and padding included.
    pub bytes: u64,
    /// Bytes of the headers of one member: they are held in memory.
    pub header: u64,
    /// Bytes of padding after the mark that ends the archive.
    pub padding: u64,
}

/// A member; reading it gives its content.
pub struct Member<'r, R> {
    header: Header,
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    reader: &'r mut Metered<R>,
    /// What is to come of its content: zeros that are not stored, then bytes that are.
    parts: Vec<(u64, u64)>,
}

impl<R> Member<'_, R> {
    /// Its path, as the archive has it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Where it links to.
    pub fn link(&self) -> &[u8] {
        &self.link
    }

    /// Returns what it is.
    pub fn kind(&self) -> EntryType {
        self.header.entry_type()
    }

    /// The size by its headers. For a link or a directory it means nothing.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn is_executable(&self) -> bool {
        number(&self.header.as_old().mode).is_some_and(|mode| mode & 0o100 != 0)
    }
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((zeros, stored)) = self.parts.last_mut() {
            let room = buffer.len();
            let at_most = |left: u64| room.min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = match (*zeros, *stored) {
                (0, 0) => {
                    self.parts.pop();
                    continue;
                }
                (0, left) => {
                    let count = self.reader.read(&mut buffer[..at_most(left)])?;
                    if count == 0 && !buffer.is_empty() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    *stored -= count as u64;
                    count
                }
                (left, _) => {
                    let count = at_most(left);
                    buffer[..count].fill(0);
                    *zeros -= count as u64;
                    count
                }
            };
            return Ok(count);
        }
        Ok(0)
    }
}

/// Calls `take` with every member of the stream, one after the other; the next one follows whether
/// or not it was read.
///
/// Everything that comes out of the stream is counted, and what has to be held in memory is
/// bounded, so `stream` may be a decompressor. Members that tar programs read differently are
/// refused.
///
/// # Errors
/// [`ArchiveError::TooLarge`], [`ArchiveError::Refused`], [`ArchiveError::Damaged`] and
/// [`ArchiveError::Unreadable`]; the errors of `take`.
pub fn each_member<R: Read, E: From<ArchiveError>>(
    stream: R,
    bounds: Bounds,
    mut take: impl FnMut(&mut Member<'_, R>) -> Result<(), E>,
) -> Result<(), E> {
    let mut tape = Tape { reader: Metered::new(stream, bounds.bytes), bounds, member: "(none)".to_owned(), claimed: 0 };
    let mut read = || -> Result<(), E> {
        while tape.next(&mut take)? {}
        Ok(tape.rest()?)
    };
    let result = read();
    if result.is_err() && tape.reader.is_exceeded() {
        return Err(ArchiveError::TooLarge { limit: bounds.bytes, of: "bytes", member: tape.member }.into());
    }
    result
}

struct Tape<R> {
    reader: Metered<R>,
    bounds: Bounds,
    /// The member at hand, for messages.
    member: String,
    /// The size in its headers, if it is of a type that has no content.
    claimed: u64,
}

/// What stood before a member's own header.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Option<Records>,
    /// Bytes of them all.
    bytes: u64,
}

impl<R: Read> Tape<R> {
    fn refuse(&self, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Refused { member: self.member.clone(), reason: reason.into() }
    }

    fn damage(&self, error: io::Error) -> ArchiveError {
        damage(&self.member, error)
    }

    fn malformed(&self, what: &str) -> ArchiveError {
        self.damage(io::Error::new(io::ErrorKind::InvalidData, what))
    }

    /// Gives the next member; `false` if none follows.
    fn next<E: From<ArchiveError>>(
        &mut self,
        take: &mut impl FnMut(&mut Member<'_, R>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.header()? else {
                let alone = extensions.bytes > 0;
                return if alone {
                    Err(self.malformed("headers of a member, and no member").into())
                } else {
                    Ok(false)
                };
            };
            let size = number(&header.as_old().size).ok_or_else(|| self.malformed("a header's size is no number"))?;
            let two = |there: bool, what: &str| match there {
                true => Err(ArchiveError::Refused {
                    member: self.member.clone(),
                    reason: format!("the member after it has two {what}"),
                }),
                false => Ok(()),
            };
            match header.entry_type() {
                EntryType::GNULongName => {
                    two(extensions.name.is_some(), "long names")?;
                    extensions.name = Some(self.long(size, &mut extensions.bytes)?);
                }
                EntryType::GNULongLink => {
                    two(extensions.link.is_some(), "long links")?;
                    extensions.link = Some(self.long(size, &mut extensions.bytes)?);
                }
                EntryType::XHeader => {
                    two(extensions.records.is_some(), "headers of pax records")?;
                    let bytes = self.extension(size, &mut extensions.bytes)?;
                    extensions.records = Some(pax::records(&bytes).map_err(|reason| self.refuse_next(&reason))?);
                }
                EntryType::XGlobalHeader => {
                    let bytes = self.extension(size, &mut extensions.bytes)?;
                    let records = pax::records(&bytes).map_err(|reason| self.refuse_next(&reason))?;
                    // They may rename and resize all members after them; git's holds a comment and
                    // nothing else.
                    if let Some(key) = records.first_key() {
                        let reason = format!("a global header sets `{key}` for all members after it");
                        return Err(self.refuse(reason).into());
                    }
                    extensions.bytes = 0;
                }
                _ => return self.member(header, size, extensions, take).map(|()| true),
            }
        }
    }

    fn refuse_next(&self, reason: &str) -> ArchiveError {
        self.refuse(format!("of the member after it, {reason}"))
    }

    /// The next header; `None` at the end mark, or where the stream ends without one.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        match fill(&mut self.reader, header.as_mut_bytes()).map_err(|error| self.damage(error))? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(self.damage(io::ErrorKind::UnexpectedEof.into())),
        }
        let block = header.as_bytes();
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !is_header(block) {
            if self.claimed > 0 {
                return Err(self.refuse(format!(
                    "it is a link or a directory whose header says that {} bytes follow, and something does that is no \
                     member; pack it again without contents of links (`pax -o linkdata` writes them)",
                    self.claimed
                )));
            }
            return Err(self.malformed("the checksum of a header is wrong"));
        }
        Ok(Some(header))
    }

    /// A long name. Its size counts the NUL at its end; where it does not, programs differ in how
    /// long the name is.
    fn long(&mut self, size: u64, bytes: &mut u64) -> Result<Vec<u8>, ArchiveError> {
        let mut name = self.extension(size, bytes)?;
        match name.iter().position(|byte| *byte == 0) {
            Some(end) => name.truncate(end),
            None => return Err(self.refuse("the member after it has a long name without an end")),
        }
        Ok(name)
    }

    /// The content of a header that belongs to the next member.
    fn extension(&mut self, size: u64, bytes: &mut u64) -> Result<Vec<u8>, ArchiveError> {
        *bytes = bytes.saturating_add(size).saturating_add(BLOCK as u64);
        if *bytes > self.bounds.header {
            return Err(
                self.refuse(format!("the headers of the member after it have more than {} bytes", self.bounds.header))
            );
        }
        let mut content = Vec::new();
        let padded = size.next_multiple_of(BLOCK as u64);
        let read = self.reader.by_ref().take(padded).read_to_end(&mut content).map_err(|error| self.damage(error))?;
        if (read as u64) < padded {
            return Err(self.damage(io::ErrorKind::UnexpectedEof.into()));
        }
        content.truncate(size as usize);
        Ok(content)
    }

    fn member<E: From<ArchiveError>>(
        &mut self,
        header: Header,
        size: u64,
        extensions: Extensions,
        take: &mut impl FnMut(&mut Member<'_, R>) -> Result<(), E>,
    ) -> Result<(), E> {
        let records = extensions.records.unwrap_or_default();
        let own_name = extensions.name.unwrap_or_else(|| header.path_bytes().into_owned());
        self.member = printable(records.path.as_ref().unwrap_or(&own_name)).to_string();
        if records.sparse {
            return Err(self
                .refuse("it is a sparse file in a pax format; write the archive without `--sparse`")
                .into());
        }
        let contradicted = |key: &str| {
            let reason = format!("a long name and its pax records set its `{key}`, and contradict each other");
            ArchiveError::Refused { member: self.member.clone(), reason }
        };
        // Programs differ in which of the two counts.
        let long =
            |long: Option<&Vec<u8>>, record: Option<&Vec<u8>>| long.is_some() && record.is_some() && long != record;
        let (long_name, long_link) =
            (Some(&own_name).filter(|name| **name != *header.path_bytes()), extensions.link.as_ref());
        if long(long_name, records.path.as_ref()) {
            return Err(contradicted("path").into());
        }
        if long(long_link, records.linkpath.as_ref()) {
            return Err(contradicted("linkpath").into());
        }
        let name = records.path.unwrap_or(own_name);
        let link = records.linkpath.or(extensions.link);
        let link = link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let stored = records.size.unwrap_or(size);
        let kind = header.entry_type();
        if number(&header.as_old().mode).is_none() {
            return Err(self.malformed("the mode of a member is no number").into());
        }

        let mut size = stored;
        let mut parts = vec![(0, stored)];
        self.claimed = 0;
        if stores_nothing(kind) {
            self.claimed = stored;
            parts.clear();
        } else if kind == EntryType::GNUSparse {
            (size, parts) = self.sparse(&header, stored)?;
        }
        let mut member = Member { header, name, link, size, reader: &mut self.reader, parts };
        take(&mut member)?;
        // What is left of it, and of its last block.
        let content = member.parts.iter().map(|(_, stored)| stored).sum::<u64>();
        let read = stored - content;
        let rest = if stores_nothing(kind) { 0 } else { stored.next_multiple_of(BLOCK as u64) - read };
        let skipped =
            io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink()).map_err(|error| self.damage(error))?;
        if skipped < rest {
            return Err(self.damage(io::ErrorKind::UnexpectedEof.into()).into());
        }
        Ok(())
    }

    /// The size of a sparse file in GNU's old format, and where it has holes. Parts come last to
    /// first.
    fn sparse(&mut self, header: &Header, stored: u64) -> Result<(u64, Vec<(u64, u64)>), ArchiveError> {
        let Some(gnu) = header.as_gnu() else { return Err(self.malformed("a sparse file in no GNU header")) };
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the map of a sparse file makes no sense");
        let size = number(&gnu.realsize).ok_or_else(malformed).map_err(|error| self.damage(error))?;
        let mut parts = Vec::new();
        let mut end = 0;
        let mut add = |pieces: &[GnuSparseHeader]| {
            for piece in pieces.iter().filter(|piece| piece.offset[0] != 0 && piece.numbytes[0] != 0) {
                let (offset, length) = (number(&piece.offset)?, number(&piece.numbytes)?);
                parts.push((offset.checked_sub(end)?, length));
                end = offset.checked_add(length)?;
            }
            Some(())
        };
        let mut known = add(&gnu.sparse);
        let mut more = gnu.is_extended();
        let mut bytes = 0;
        while more && known.is_some() {
            bytes += BLOCK as u64;
            let mut block = GnuExtSparseHeader::new();
            if bytes > self.bounds.header {
                return Err(self.refuse(format!("its map of holes has more than {} bytes", self.bounds.header)));
            }
            if fill(&mut self.reader, block.as_mut_bytes()).map_err(|error| self.damage(error))? < BLOCK {
                return Err(self.damage(io::ErrorKind::UnexpectedEof.into()));
            }
            known = add(block.sparse());
            more = block.is_extended();
        }
        let total = parts.iter().map(|(_, stored)| *stored).try_fold(0_u64, u64::checked_add);
        let hole = known.and_then(|()| size.checked_sub(end)).filter(|_| total == Some(stored));
        parts.push((hole.ok_or_else(malformed).map_err(|error| self.damage(error))?, 0));
        parts.reverse();
        self.reader.charge(size - stored).map_err(|error| self.damage(error))?;
        Ok((size, parts))
    }

    /// What follows the end mark: padding, and the checksum of the compression comes after it.
    /// Members do not.
    fn rest(&mut self) -> Result<(), ArchiveError> {
        let mut block = [0; BLOCK];
        let mut left = self.bounds.padding;
        loop {
            let read = fill(&mut self.reader, &mut block).map_err(|error| self.damage(error))?;
            if read == BLOCK && block.iter().any(|byte| *byte != 0) && is_header(&block) {
                return Err(self.refuse(
                    "after it comes the mark that ends the archive, and then more members: unpack the archives that were \
                     put together (`tar -i`), and pack them as one",
                ));
            }
            left = left.checked_sub(read as u64).ok_or_else(|| {
                self.refuse(format!("more than {} bytes follow the mark that ends the archive", self.bounds.padding))
            })?;
            if read < BLOCK {
                return Ok(());
            }
        }
    }
}

/// Whether nothing is stored with a member of this type, whatever its size says (POSIX.1-2017, pax,
/// "ustar Interchange Format").
fn stores_nothing(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    matches!(kind, Link | Symlink | Directory | Char | Block | Fifo)
}

/// A number of a header: octal digits, or, in GNU's extension, bytes after a first one of 0x80.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        return rest.iter().try_fold(0_u64, |value, byte| Some(value.checked_mul(256)? + u64::from(*byte)));
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => Some(value.checked_mul(8)? + u64::from(digit - b'0')),
        _ => None,
    })
}

fn fill(reader: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match reader.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Gives every member of the stream to the builder.
pub(super) fn unpack(stream: impl Read, builder: &mut Builder<'_>) -> Result<(), ArchiveError> {
    let bytes = builder.limits().bytes;
    let bounds = Bounds { bytes, header: HEADER_BUDGET, padding: bytes };
    each_member(stream, bounds, |member| {
        let name = member.name().to_vec();
        builder.begin(&name)?;
        match member.kind() {
            // Archives from before POSIX mark a directory by nothing but the slash at its end.
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => {
                if member.size() != 0 {
                    return Err(builder.refuse("it is a directory by its name, and a file with content by its header"));
                }
                builder.directory(&name)
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                builder.file(&name, member.is_executable(), member)
            }
            EntryType::Directory => builder.directory(&name),
            EntryType::Symlink => builder.symlink(&name, member.link()),
            EntryType::Link => builder.hard_link(&name, member.link()),
            EntryType::Char | EntryType::Block => Err(builder.refuse("it is a device")),
            EntryType::Fifo => Err(builder.refuse("it is a named pipe")),
            other => Err(builder.refuse(format!("members of type `{}` are not known", printable(&[other.as_byte()])))),
        }
    })
}
