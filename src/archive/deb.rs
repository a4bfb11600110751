//! Debian binary packages: an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)).

use std::io::{Read, Seek, SeekFrom};

use build_graph::Tree;

use super::builder::Builder;
use super::compress::Compression;
use super::{ArchiveError, BlobSink, Options, tape};

/// What a Debian package would put on the system. Its control part (scripts, checksums) is not looked at.
///
/// # Errors
/// [`ArchiveError::NoPackage`] if the parts are missing, of another version or twice there; otherwise as
/// [`unpack`](super::unpack).
pub fn unpack_deb(
    mut package: impl Read + Seek,
    options: &Options<'_>,
    sink: &dyn BlobSink,
) -> Result<Tree, ArchiveError> {
    let no_package = |reason: String| ArchiveError::NoPackage { reason };
    package.seek(SeekFrom::Start(0)).map_err(|error| no_package(error.to_string()))?;
    let mut archive = ar::Archive::new(package);
    let mut data = None;
    let mut first = true;
    while let Some(member) = archive.next_entry() {
        let mut member = member.map_err(|error| no_package(error.to_string()))?;
        let name = member.header().identifier().to_vec();
        if first {
            let mut version = String::new();
            let read = member.by_ref().take(16).read_to_string(&mut version);
            if name != b"debian-binary" || read.is_err() || !version.starts_with("2.") {
                return Err(no_package("it does not begin with `debian-binary` of version 2".into()));
            }
            first = false;
        }
        if !name.starts_with(b"data.tar") {
            continue;
        }
        if data.is_some() {
            return Err(no_package("it has two members `data.tar`".into()));
        }
        let mut head = Vec::new();
        let damaged = |error| ArchiveError::Damaged { after: "(none)".into(), error };
        member.by_ref().take(512).read_to_end(&mut head).map_err(damaged)?;
        let Some(compression) = Compression::of(&head) else {
            return Err(no_package(format!("`{}` is in no known compression", name.escape_ascii())));
        };
        let stream = compression.decode(head.as_slice().chain(&mut member)).map_err(damaged)?;
        let mut builder = Builder::new(options, sink);
        tape::unpack(stream, &mut builder)?;
        data = Some(builder.finish());
    }
    data.ok_or_else(|| no_package("it has no member `data.tar`".into()))
}
