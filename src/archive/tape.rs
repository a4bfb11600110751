//! Members of a tar stream.

use std::io::{self, Read};

use tar::{Archive, EntryType};

use super::ArchiveError;
use super::builder::Builder;
use super::compress::{Exceeded, Meter, Metered};

/// What the headers of one member may take: a long name, a long link and extended attributes, each in blocks.
const HEADER_BUDGET: u64 = 1 << 20;

/// Gives every member of the stream to the builder.
pub(super) fn unpack(stream: impl Read, builder: &mut Builder<'_>) -> Result<(), ArchiveError> {
    let limit = builder.limits().bytes;
    let meter = Meter::new(limit);
    let mut archive = Archive::new(Metered::new(stream, meter.clone()));
    let result = members(&mut archive, &meter, builder);
    let result = result.and_then(|()| {
        // What follows the end mark is padding, and the checksum of the compression comes after it.
        meter.body();
        io::copy(&mut archive.into_inner(), &mut io::sink())
            .map(drop)
            .map_err(|error| ArchiveError::Damaged { after: builder.member.clone(), error })
    });
    match (result, meter.exceeded()) {
        (Err(_), Some(Exceeded::Total)) => Err(builder.too_large(limit, "bytes")),
        (Err(_), Some(Exceeded::Header)) => {
            Err(builder.refuse(format!("the headers of the member after it are larger than {HEADER_BUDGET} bytes")))
        }
        (result, _) => result,
    }
}

fn members<R: Read>(
    archive: &mut Archive<Metered<R>>,
    meter: &Meter,
    builder: &mut Builder<'_>,
) -> Result<(), ArchiveError> {
    let first = |error| ArchiveError::Damaged { after: "(none)".into(), error };
    meter.header(HEADER_BUDGET);
    for entry in archive.entries().map_err(first)? {
        meter.body();
        let mut entry = entry.map_err(|error| ArchiveError::Damaged { after: builder.member.clone(), error })?;
        let name = entry.path_bytes().into_owned();
        builder.begin(&name)?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader && entry.size() > HEADER_BUDGET {
            return Err(builder.refuse("it is a global header of more than a megabyte"));
        }
        check_extensions(&mut entry, builder)?;
        match kind {
            // Archives from before POSIX mark a directory by nothing but the slash at its end.
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") && entry.size() == 0 => {
                builder.directory(&name)?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
                builder.file(&name, executable, &mut entry)?;
            }
            EntryType::Directory => builder.directory(&name)?,
            EntryType::Symlink => builder.symlink(&name, &entry.link_name_bytes().unwrap_or_default())?,
            EntryType::Link => {
                if entry.size() != 0 {
                    return Err(builder.refuse("it is a hard link with content of its own"));
                }
                builder.hard_link(&name, &entry.link_name_bytes().unwrap_or_default())?;
            }
            EntryType::XGlobalHeader => {}
            EntryType::Char | EntryType::Block => return Err(builder.refuse("it is a device")),
            EntryType::Fifo => return Err(builder.refuse("it is a named pipe")),
            other => {
                let kind = char::from(other.as_byte()).escape_default();
                return Err(builder.refuse(format!("members of type `{kind}` are not known")));
            }
        }
        io::copy(&mut entry, &mut io::sink())
            .map_err(|error| ArchiveError::Damaged { after: builder.member.clone(), error })?;
        // At most the last block's padding, then the next member's headers.
        meter.header(HEADER_BUDGET);
    }
    Ok(())
}

/// Refuses pax records that the tar reader would not honour.
///
/// It undoes GNU's old sparse format; those that hide in pax records it takes for plain files with wrong content. A global header
/// may rename and resize all members after it, which the reader ignores; git's holds a comment and nothing else.
fn check_extensions<R: Read>(entry: &mut tar::Entry<'_, R>, builder: &Builder<'_>) -> Result<(), ArchiveError> {
    let global = entry.header().entry_type() == EntryType::XGlobalHeader;
    let extensions =
        entry.pax_extensions().map_err(|error| builder.refuse(format!("its pax records can't be read: {error}")))?;
    for extension in extensions.into_iter().flatten() {
        let extension = extension.map_err(|error| builder.refuse(format!("its pax records are malformed: {error}")))?;
        let key = extension.key_bytes();
        if key.starts_with(b"GNU.sparse.") {
            return Err(builder.refuse("it is a sparse file in a pax format; write the archive without `--sparse`"));
        }
        if global && matches!(key, b"path" | b"linkpath" | b"size") {
            return Err(builder.refuse(format!("a global header sets `{}` for all members", key.escape_ascii())));
        }
    }
    Ok(())
}
