//! Unpacking archives that nobody vouches for: tar (plain or compressed with gzip, bzip2, xz or
//! zstd), zip, and Debian packages.
//!
//! Nothing is written to a file system by name. Each file's bytes go to a [`BlobSink`], each
//! member's path becomes a path of a [`Tree`], and a path of a tree can neither leave it nor run
//! through a symbolic link. So what other unpackers must defend against while they write is refused
//! here before anything has a place: `..`, absolute paths, files through links, devices, members
//! that disagree about one path. Every refusal names the member.

mod blob;
mod builder;
mod compress;
mod deb;
mod meter;
mod pax;
mod tape;
mod zip;

use std::io::{self, Read, Seek, SeekFrom};

use build_graph::untrusted::printable;
use build_graph::{RelPath, Tree};
use thiserror::Error;

pub use blob::{BlobSink, BlobSource, MemoryBlobs};
pub use compress::Compression;
pub use deb::unpack_deb;
pub use meter::Metered;
pub use tape::{Bounds, Member, each_member};

/// How much an archive may hold before it counts as an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes, uncompressed, of everything together, headers included.
    pub bytes: u64,
    /// Members.
    pub members: u64,
    /// Bytes of a member's path or of a link's target.
    pub path: usize,
    /// Bytes of all paths and targets of links together: they are held in memory, and compress
    /// well.
    pub names: u64,
}

impl Default for ArchiveLimits {
    /// 16 GiB, a million members, 4096 bytes a path and 64 MiB of paths: far above what any source
    /// archive or package holds.
    fn default() -> Self {
        Self { bytes: 16 << 30, members: 1_000_000, path: 4096, names: 64 << 20 }
    }
}

/// How to unpack.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// How many leading components are taken off each path. All members must share them, and
    /// nothing but directories may have no more than these.
    pub strip: u32,
    /// The limits.
    pub limits: ArchiveLimits,
    /// Gives a member another path, or leaves it out (`None`) without storing its bytes.
    pub place: Option<&'a dyn Fn(RelPath) -> Option<RelPath>>,
}

/// An archive was not unpacked. No tree comes of it; blobs already stored stay in the sink.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The first bytes are of no known format.
    #[error(
        "{}: expected tar, tar.gz, tar.bz2, tar.xz, tar.zst or zip, but it {is}; pack it again, or, if it is a web page, fetch it \
         again from another origin",
        .inside.map_or_else(|| "this is no archive".to_owned(), |outer| format!("what is compressed with {outer} is no tar archive"))
    )]
    UnknownFormat {
        /// The compression that was undone, if one was.
        inside: Option<&'static str>,
        /// What it is, or how it begins.
        is: String,
    },
    /// A member is refused.
    #[error("member `{member}` is refused: {reason}")]
    Refused {
        /// Its path as the archive has it, escaped where it is not text.
        member: String,
        /// Why.
        reason: String,
    },
    /// The archive is larger than the limits allow.
    #[error(
        "the archive holds more than {limit} {of} (reached at member `{member}`), which no source archive or package does; \
         get it from another origin, or pack it anew with less in it"
    )]
    TooLarge {
        /// The limit.
        limit: u64,
        /// Of what.
        of: &'static str,
        /// The member at which it was passed.
        member: String,
    },
    /// The archive is cut short or damaged.
    #[error("the archive is damaged or cut short after member `{after}`: {}; fetch it again", printable(&error.to_string()))]
    Damaged {
        /// The last member that was whole; `(none)` at the beginning.
        after: String,
        /// What the decoder says.
        error: io::Error,
    },
    /// The archive is not damaged, and can't be read on.
    #[error("the archive can't be read after member `{after}`: {reason}")]
    Unreadable {
        /// The last member that was read; `(none)` at the beginning.
        after: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The archive can't be read, or a blob can't be stored.
    #[error("storing member `{member}` failed: {}", printable(&error.to_string()))]
    Store {
        /// The member.
        member: String,
        /// What the sink says.
        error: io::Error,
    },
    /// A Debian package lacks a part.
    #[error("this is no Debian package: {reason}")]
    NoPackage {
        /// What is missing or wrong.
        reason: String,
    },
}

/// What an archive holds. The format is told by the first bytes.
///
/// Symbolic links are kept as they are written: in a tree they are data. Modes become "executable"
/// (the owner's bit) or not; times, owners, set-uid bits and extended attributes are dropped. A
/// path that comes twice must come with the same content.
///
/// # Errors
/// [`ArchiveError`]; see its variants.
pub fn unpack(mut archive: impl Read + Seek, options: &Options<'_>, sink: &dyn BlobSink) -> Result<Tree, ArchiveError> {
    let damaged = |error| damage("(none)", error);
    let head = head(&mut archive).map_err(damaged)?;
    archive.seek(SeekFrom::Start(0)).map_err(damaged)?;
    if compress::is_zip(&head) {
        return zip::unpack(archive, options, sink);
    }
    let Some(compression) = Compression::of(&head) else {
        let hidden = zip::stands_at_the_end(&mut archive).map_err(damaged)?;
        return Err(ArchiveError::UnknownFormat { inside: None, is: what_it_is(&head, hidden) });
    };
    let mut builder = builder::Builder::new(options, sink);
    unpack_tar(archive, compression, &mut builder)?;
    builder.finish()
}

/// Gives every member of a compressed tar stream to the builder.
fn unpack_tar(
    archive: impl Read,
    compression: Compression,
    builder: &mut builder::Builder<'_>,
) -> Result<(), ArchiveError> {
    let damaged = |error| damage("(none)", error);
    let mut stream = compression.decode(archive).map_err(damaged)?;
    let head = head(&mut stream).map_err(damaged)?;
    if !compress::is_tar(&head) {
        return Err(ArchiveError::UnknownFormat { inside: compression.name(), is: what_it_is(&head, false) });
    }
    tape::unpack(head.as_slice().chain(stream), builder)
}

fn head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    stream.take(512).read_to_end(&mut head)?;
    Ok(head)
}

fn what_it_is(head: &[u8], zip_at_the_end: bool) -> String {
    let begins = format!("begins with `{}`", printable(&head[..head.len().min(40)]));
    match compress::other_kind(head) {
        _ if zip_at_the_end => {
            format!("{begins}, and only then comes a zip archive (it unpacks itself; `unzip` does, too)")
        }
        Some(kind) => format!("is {kind}"),
        None if head.is_empty() => "is empty".to_owned(),
        None => begins,
    }
}

/// An archive that ends in an error of its reader.
fn damage(after: &str, error: io::Error) -> ArchiveError {
    match compress::Unreadable::of(&error) {
        Some(why) => ArchiveError::Unreadable { after: after.to_owned(), reason: why.to_string() },
        None => ArchiveError::Damaged { after: after.to_owned(), error },
    }
}
