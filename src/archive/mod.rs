//! Unpacking archives that nobody vouches for: tar (plain or compressed with gzip, bzip2, xz or zstd), zip, and Debian packages.
//!
//! Nothing is written to a file system by name. Each file's bytes go to a [`BlobSink`], each member's path becomes a path of a
//! [`Tree`], and a path of a tree can neither leave it nor run through a symbolic link. So what other unpackers must defend
//! against while they write is refused here before anything has a place: `..`, absolute paths, files through links, devices,
//! members that disagree about one path. Every refusal names the member.

mod blob;
mod builder;
mod compress;
mod deb;
mod tape;
mod zip;

use std::io::{self, Read, Seek, SeekFrom};

use build_graph::{RelPath, Tree};
use thiserror::Error;

pub use blob::{BlobSink, BlobSource, MemoryBlobs};
pub(crate) use compress::{Meter, Metered};
pub use deb::unpack_deb;

/// How much an archive may hold before it counts as an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, uncompressed, of everything together, headers included.
    pub bytes: u64,
    /// Members.
    pub members: u64,
    /// Bytes of a member's path or of a link's target.
    pub path: usize,
}

impl Default for Limits {
    /// 16 GiB, a million members, 4096 bytes: far above what any source archive or package holds.
    fn default() -> Self {
        Self { bytes: 16 << 30, members: 1_000_000, path: 4096 }
    }
}

/// How to unpack.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// How many leading components are taken off each path; a member with no more than these is left out.
    pub strip: u32,
    /// The limits.
    pub limits: Limits,
    /// Gives a member another path, or leaves it out (`None`) without storing its bytes.
    pub place: Option<&'a dyn Fn(RelPath) -> Option<RelPath>>,
}

/// An archive was not unpacked. No tree comes of it; blobs already stored stay in the sink.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The first bytes are of no known format.
    #[error(
        "this is no archive: expected tar, tar.gz, tar.bz2, tar.xz, tar.zst or zip, but it begins with `{begins}`; \
         if it is a web page, fetch it again from another origin"
    )]
    UnknownFormat {
        /// The first bytes, escaped.
        begins: String,
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
        "the archive holds more than {limit} {of} (reached at member `{member}`); raise the limit if that is right"
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
    #[error("the archive is damaged or cut short after member `{after}`: {error}; fetch it again")]
    Damaged {
        /// The last member that was whole; `(none)` at the beginning.
        after: String,
        /// What the decoder says.
        error: io::Error,
    },
    /// The archive can't be read, or a blob can't be stored.
    #[error("storing member `{member}` failed: {error}")]
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
/// Symbolic links are kept as they are written: in a tree they are data. Modes become "executable" (the owner's bit) or not;
/// times, owners, set-uid bits and extended attributes are dropped. A path that comes twice must come with the same content.
///
/// # Errors
/// [`ArchiveError`]; see its variants.
pub fn unpack(mut archive: impl Read + Seek, options: &Options<'_>, sink: &dyn BlobSink) -> Result<Tree, ArchiveError> {
    let damaged = |error| ArchiveError::Damaged { after: "(none)".into(), error };
    let mut head = Vec::new();
    archive.by_ref().take(512).read_to_end(&mut head).map_err(damaged)?;
    archive.seek(SeekFrom::Start(0)).map_err(damaged)?;
    if compress::is_zip(&head) {
        return zip::unpack(archive, options, sink);
    }
    let Some(compression) = compress::Compression::of(&head) else {
        return Err(ArchiveError::UnknownFormat { begins: head[..head.len().min(40)].escape_ascii().to_string() });
    };
    let stream = compression.decode(archive).map_err(damaged)?;
    let mut builder = builder::Builder::new(options, sink);
    tape::unpack(stream, &mut builder)?;
    Ok(builder.finish())
}
