//! Members of a zip archive.

use std::io::{self, Read, Seek, SeekFrom};

use build_graph::Tree;

use super::builder::Builder;
use super::{ArchiveError, BlobSink, Options, damage};

/// The file type bits of a Unix mode, and two of their values.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const DIRECTORY: u32 = 0o040_000;

/// What a zip archive holds.
pub(super) fn unpack<R: Read + Seek>(
    mut archive: R,
    options: &Options<'_>,
    sink: &dyn BlobSink,
) -> Result<Tree, ArchiveError> {
    let mut builder = Builder::new(options, sink);
    let promised = promised_members(&mut archive).map_err(|error| damage(&builder.member, error))?;
    let mut zip = zip::ZipArchive::new(archive).map_err(|error| damaged(&builder, error))?;
    // The reader keeps one member a name; two members of one name would otherwise hide each other.
    if promised.is_some_and(|promised| usize::from(promised) != zip.len()) {
        return Err(builder.refuse("the archive's directory names a member twice, or not all of them"));
    }
    let mut left = options.limits.bytes;
    for index in 0..zip.len() {
        // First as it is stored: a member that can't be unpacked has a name, too.
        let (name, encrypted, method) = {
            let member = zip.by_index_raw(index).map_err(|error| damaged(&builder, error))?;
            (member.name_raw().to_vec(), member.encrypted(), member.compression())
        };
        builder.begin(&name)?;
        if name.contains(&b'\\') {
            return Err(builder.refuse("its path holds a backslash"));
        }
        if encrypted {
            return Err(builder.refuse("it is encrypted"));
        }
        if let Some(method) = unknown_method(method) {
            return Err(builder.refuse(format!(
                "it is compressed by {method}; only stored and deflated members are read: unpack the archive and pack it again"
            )));
        }
        let mut member = zip.by_index(index).map_err(|error| damaged(&builder, error))?;
        let mode = member.unix_mode().unwrap_or(0);
        match mode & TYPE {
            _ if name.ends_with(b"/") => {
                if member.size() > 0 {
                    return Err(builder.refuse("it is a directory by its name, and has content"));
                }
                builder.directory(&name)?;
            }
            DIRECTORY => builder.directory(&name)?,
            SYMLINK => {
                let mut target = Vec::new();
                let limit = options.limits.path as u64 + 1;
                member.take(limit).read_to_end(&mut target).map_err(|error| damage(&builder.member, error))?;
                builder.symlink(&name, &target)?;
            }
            0 | REGULAR => {
                let mut bounded = member.by_ref().take(left.saturating_add(1));
                let result = builder.file(&name, mode & 0o100 != 0, &mut bounded);
                let used = left.saturating_add(1) - bounded.limit();
                match left.checked_sub(used) {
                    Some(rest) => left = rest,
                    None => return Err(builder.too_large(options.limits.bytes, "bytes")),
                }
                result?;
            }
            other => return Err(builder.refuse(format!("members with the mode {other:o} are not known"))),
        }
    }
    builder.finish()
}

/// What a member is compressed by, if that is not known here (APPNOTE 4.4.5).
fn unknown_method(method: zip::CompressionMethod) -> Option<String> {
    let number = match method {
        zip::CompressionMethod::Stored | zip::CompressionMethod::Deflated => return None,
        #[expect(deprecated, reason = "the only way to the number of a method that is not compiled in")]
        zip::CompressionMethod::Unsupported(number) => number,
        _ => return Some("another method".to_owned()),
    };
    let name = match number {
        1 => "shrink",
        2..=5 => "reduce",
        6 => "implode",
        9 => "deflate64",
        12 => "bzip2",
        14 => "lzma",
        93 => "zstd",
        95 => "xz",
        98 => "ppmd",
        _ => return Some(format!("method {number}")),
    };
    Some(format!("{name} (method {number})"))
}

fn damaged(builder: &Builder<'_>, error: zip::result::ZipError) -> ArchiveError {
    damage(&builder.member, error.into())
}

/// Whether a zip archive ends here, whatever it begins with.
pub(super) fn stands_at_the_end<R: Read + Seek>(archive: &mut R) -> io::Result<bool> {
    // The record's last field is the length of the comment, with which the file ends.
    let tail = tail(archive)?;
    let ends_it = |(at, record): (usize, &[u8])| {
        record.starts_with(END) && usize::from(u16::from_le_bytes([record[20], record[21]])) == tail.len() - at - RECORD
    };
    Ok(tail.windows(RECORD).enumerate().any(ends_it))
}

/// The end record (APPNOTE 4.3.16): its length and its mark.
const RECORD: usize = 22;
const END: &[u8] = b"PK\x05\x06";

/// The number of members by the end record; `None` if it is in the zip64 record instead.
fn promised_members<R: Read + Seek>(archive: &mut R) -> io::Result<Option<u16>> {
    let tail = tail(archive)?;
    let found = tail.windows(RECORD).rev().find(|record| record.starts_with(END));
    Ok(found.map(|record| u16::from_le_bytes([record[10], record[11]])).filter(|count| *count != 0xffff))
}

/// The end of the file, as far as the end record may stand before it.
fn tail<R: Read + Seek>(archive: &mut R) -> io::Result<Vec<u8>> {
    const LONGEST: u64 = RECORD as u64 + 0xffff;
    let length = archive.seek(SeekFrom::End(0))?;
    archive.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut tail = Vec::new();
    archive.take(LONGEST).read_to_end(&mut tail)?;
    archive.seek(SeekFrom::Start(0))?;
    Ok(tail)
}
