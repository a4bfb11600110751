//! Members of a zip archive.

use std::io::{Read, Seek, SeekFrom};

use build_graph::Tree;

use super::builder::Builder;
use super::{ArchiveError, BlobSink, Options};

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
    let promised = promised_members(&mut archive)
        .map_err(|error| ArchiveError::Damaged { after: builder.member.clone(), error })?;
    let mut zip = zip::ZipArchive::new(archive).map_err(|error| damaged(&builder, error))?;
    // The reader keeps one member a name; two members of one name would otherwise hide each other.
    if promised.is_some_and(|promised| usize::from(promised) != zip.len()) {
        return Err(builder.refuse("the archive's directory names a member twice, or not all of them"));
    }
    let mut left = options.limits.bytes;
    for index in 0..zip.len() {
        let mut member = zip.by_index(index).map_err(|error| damaged(&builder, error))?;
        let name = member.name_raw().to_vec();
        builder.begin(&name)?;
        if name.contains(&b'\\') {
            return Err(builder.refuse("its path holds a backslash"));
        }
        if member.encrypted() {
            return Err(builder.refuse("it is encrypted"));
        }
        let mode = member.unix_mode().unwrap_or(0);
        match mode & TYPE {
            _ if name.ends_with(b"/") => builder.directory(&name)?,
            DIRECTORY => builder.directory(&name)?,
            SYMLINK => {
                let mut target = Vec::new();
                let limit = options.limits.path as u64 + 1;
                member
                    .take(limit)
                    .read_to_end(&mut target)
                    .map_err(|error| ArchiveError::Damaged { after: builder.member.clone(), error })?;
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
    Ok(builder.finish())
}

fn damaged(builder: &Builder<'_>, error: zip::result::ZipError) -> ArchiveError {
    ArchiveError::Damaged { after: builder.member.clone(), error: error.into() }
}

/// The number of members by the end record (APPNOTE 4.3.16); `None` if it is in the zip64 record instead.
fn promised_members<R: Read + Seek>(archive: &mut R) -> std::io::Result<Option<u16>> {
    const RECORD: usize = 22;
    const LONGEST: u64 = RECORD as u64 + 0xffff;
    let length = archive.seek(SeekFrom::End(0))?;
    archive.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut tail = Vec::new();
    archive.take(LONGEST).read_to_end(&mut tail)?;
    archive.seek(SeekFrom::Start(0))?;
    let found = tail.windows(RECORD).rev().find(|record| record.starts_with(b"PK\x05\x06"));
    Ok(found.map(|record| u16::from_le_bytes([record[10], record[11]])).filter(|count| *count != 0xffff))
}
