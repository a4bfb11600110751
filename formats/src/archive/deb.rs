//! Debian binary packages: an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*`
//! (deb(5)).

use std::io::{self, Read, Seek, SeekFrom};

use build_graph::Tree;
use build_graph::untrusted::printable;

use super::builder::Builder;
use super::compress::Compression;
use super::{ArchiveError, BlobSink, Options, damage, head, unpack_tar};

/// What an `ar` archive begins with.
const MAGIC: &[u8; 8] = b"!<arch>\n";

/// What a Debian package would put on the system. Its control part (scripts, checksums) is not
/// looked at.
///
/// # Errors
/// [`ArchiveError::NoPackage`] if the parts are missing, of another version or twice there;
/// otherwise as [`unpack`](super::unpack).
pub fn unpack_deb(
    mut package: impl Read + Seek,
    options: &Options<'_>,
    sink: &dyn BlobSink,
) -> Result<Tree, ArchiveError> {
    let no_package = |reason: String| ArchiveError::NoPackage { reason };
    let unreadable = |error: io::Error| no_package(printable(&error.to_string()).to_string());
    package.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut magic = Vec::new();
    package.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(unreadable)?;
    if magic != MAGIC {
        return Err(no_package(format!("it begins with `{}`", printable(&magic))));
    }
    let mut at = MAGIC.len() as u64;
    let mut data = None;
    let mut first = true;
    while let Some(Member { name, size }) = Member::read(&mut package, &no_package)? {
        at += Member::HEADER;
        let mut member = package.by_ref().take(size);
        if first {
            let mut version = Vec::new();
            let read = member.by_ref().take(16).read_to_end(&mut version);
            if name != b"debian-binary" || read.is_err() || !version.starts_with(b"2.") {
                return Err(no_package("it does not begin with `debian-binary` of version 2".into()));
            }
            first = false;
        }
        if name.starts_with(b"data.tar") {
            if data.is_some() {
                return Err(no_package("it has two members `data.tar`".into()));
            }
            let head = head(&mut member).map_err(|error| damage("(none)", error))?;
            let Some(compression) = Compression::of(&head) else {
                return Err(no_package(format!("`{}` is in no known compression", printable(&name))));
            };
            let mut builder = Builder::new(options, sink);
            unpack_tar(head.as_slice().chain(&mut member), compression, &mut builder)?;
            data = Some(builder.finish()?);
        }
        // Members begin at even places.
        at = at.saturating_add(size.next_multiple_of(2));
        package.seek(SeekFrom::Start(at)).map_err(unreadable)?;
    }
    data.ok_or_else(|| no_package("it has no member `data.tar`".into()))
}

/// A member of an `ar` archive, as dpkg writes them: with a short name. The formats that keep long
/// names elsewhere let a header ask for any amount of memory.
struct Member {
    name: Vec<u8>,
    size: u64,
}

impl Member {
    const HEADER: u64 = 60;

    /// The next member's header; `None` at the end.
    fn read(
        package: &mut impl Read,
        no_package: &impl Fn(String) -> ArchiveError,
    ) -> Result<Option<Self>, ArchiveError> {
        let mut header = Vec::new();
        let read = package.by_ref().take(Self::HEADER).read_to_end(&mut header);
        read.map_err(|error| no_package(printable(&error.to_string()).to_string()))?;
        if header.is_empty() {
            return Ok(None);
        }
        let malformed = || no_package("a member's header is malformed or cut short".to_owned());
        let (name, size) = match header.get(58..) {
            Some(b"`\n") => (header[..16].trim_ascii_end(), header[48..58].trim_ascii_end()),
            _ => return Err(malformed()),
        };
        let digits = std::str::from_utf8(size).ok().filter(|size| size.bytes().all(|byte| byte.is_ascii_digit()));
        let size = digits.and_then(|size| size.parse().ok()).ok_or_else(malformed)?;
        Ok(Some(Self { name: name.strip_suffix(b"/").unwrap_or(name).to_vec(), size }))
    }
}
