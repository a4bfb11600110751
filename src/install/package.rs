//! The format of a package: a tar archive, compressed with zstd, the same bytes for the same
//! content.
//!
//! The first member is `package.json`, which describes the package and lists every file with its
//! digest; the others lie below `content/`, in the order of their paths' bytes, with mode 0644 or
//! 0755, owner 0 and the time [`SOURCE_DATE_EPOCH`]. What is not listed, or does not have the
//! listed bytes, is not installed.

use std::fs::File;
use std::io::{self, Read, Write};

use build_graph::node::{Package, Target};
use build_graph::untrusted::{is_printable, printable};
use build_graph::{Entry, RelPath, SOURCE_DATE_EPOCH, Sha256, Tree, key};
use serde::{Deserialize, Serialize};
use tar::{EntryType, Header};
use thiserror::Error;

use crate::archive::{ArchiveError, Bounds, Compression, Member, each_member};
use crate::store::{Store, StoreError};

/// The version of the format.
const FORMAT: u32 = 1;
/// The member that describes the package.
const MANIFEST: &str = "package.json";
/// Where what is installed lies in the archive.
const CONTENT: &str = "content/";
/// What is read of a package: nobody vouches for it, and a few kilobytes decompress to anything.
const BOUNDS: Bounds = Bounds { bytes: 16 << 30, header: 64 << 10, padding: 1 << 20 };
/// The largest description that is read.
const MAX_MANIFEST: u64 = 16 << 20;

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the format: 1.
    pub format: u32,
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub target: Target,
    /// The packages that it needs.
    pub requires: Vec<String>,
    /// What it installs.
    pub content: Tree,
    /// The wheel that it was made of without a recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wheel: Option<WheelOrigin>,
}

/// The wheel that a package was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelOrigin {
    /// Its file's name.
    pub file: String,
    /// What its bytes are.
    pub sha256: Sha256,
}

impl Manifest {
    /// Reads a receipt, which whoever can write to DEST may have made.
    ///
    /// # Errors
    /// [`PackageError`] if it is longer than any package's description, does not read, or is not
    /// what [`read`] would have taken.
    pub fn parse(receipt: &[u8]) -> Result<Self, PackageError> {
        if receipt.len() as u64 > MAX_MANIFEST {
            return Err(invalid(format!("it has more than {MAX_MANIFEST} bytes")));
        }
        let manifest: Self = serde_json::from_slice(receipt).map_err(|error| invalid(error.to_string()))?;
        manifest.check()?;
        rebuilt(&manifest.content)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), PackageError> {
        if self.format != FORMAT {
            return Err(invalid(format!("its format is {}, this program reads {FORMAT}", self.format)));
        }
        check_name(&self.name)?;
        // They are printed when something is in the way, and stay in receipts.
        let paths = self.content.iter().map(|(path, _)| path.as_str());
        let file = self.wheel.as_ref().map(|wheel| &wheel.file);
        let texts = [&self.version].into_iter().chain(&self.requires).chain(file).map(String::as_str);
        let words = texts.chain([self.target.as_str()]);
        match words.chain(paths).find(|text| !is_printable(text)) {
            Some(text) => Err(invalid(format!("`{}` holds characters that can't be printed", printable(text)))),
            None => Ok(()),
        }
    }
}

/// A package can't be written or read.
#[derive(Debug, Error)]
pub enum PackageError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file can't be read or written.
    #[error("the archive can't be read or written: {0}")]
    Io(#[from] io::Error),
    /// The archive is damaged, or larger than any package.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The archive is no package, or not a sound one.
    #[error("it is no sound package: {}", printable(.0).lines())]
    Invalid(String),
}

fn invalid(problem: impl Into<String>) -> PackageError {
    PackageError::Invalid(problem.into())
}

/// The name of a package's file.
pub fn file_name(package: &Package) -> String {
    format!("{}-{}-{}.tar.zst", package.name, package.version, package.target)
}

/// Writes a package of this content, whose bytes are in the store.
///
/// # Errors
/// [`PackageError`] if the store has lost a file, or the archive can't be written.
pub fn write(package: &Package, content: &Tree, store: &Store, file: File) -> Result<(), PackageError> {
    write_with(package, content, None, store, file)
}

/// As [`write()`], for a package that was made of this wheel.
///
/// # Errors
/// As [`write()`].
pub fn write_with(
    package: &Package,
    content: &Tree,
    wheel: Option<WheelOrigin>,
    store: &Store,
    file: File,
) -> Result<(), PackageError> {
    let manifest = Manifest {
        format: FORMAT,
        name: package.name.clone(),
        version: package.version.clone(),
        target: package.target.clone(),
        requires: package.requires.clone(),
        content: content.clone(),
        wheel,
    };
    let mut encoder = zstd::Encoder::new(file, key::PACKAGE_COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    let mut archive = tar::Builder::new(encoder);
    archive.mode(tar::HeaderMode::Deterministic);
    let description = serde_json::to_vec(&manifest).map_err(io::Error::from)?;
    append(&mut archive, MANIFEST, EntryType::Regular, 0o644, description.len() as u64, &*description)?;
    for (path, entry) in content.iter() {
        let name = format!("{CONTENT}{path}");
        match entry {
            Entry::File { size, executable, .. } => {
                let blob = store.open_blob(entry)?;
                append(&mut archive, &name, EntryType::Regular, if *executable { 0o755 } else { 0o644 }, *size, blob)?;
            }
            Entry::Symlink { target } => {
                let mut header = header(EntryType::Symlink, 0o777, 0);
                archive.append_link(&mut header, &name, target)?;
            }
            Entry::EmptyDirectory => append(&mut archive, &name, EntryType::Directory, 0o755, 0, io::empty())?,
        }
    }
    archive.into_inner()?.finish()?.flush()?;
    Ok(())
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(SOURCE_DATE_EPOCH);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    name: &str,
    kind: EntryType,
    mode: u32,
    size: u64,
    bytes: impl Read,
) -> io::Result<()> {
    archive.append_data(&mut header(kind, mode, size), name, bytes)
}

/// Reads a package: first what it says of itself, then, by `accept`, each file with a reader of its
/// bytes. The caller checks the bytes against the entry. Links and empty directories come without
/// bytes.
///
/// # Errors
/// [`PackageError`] for an archive that is damaged, holds what its description does not list, or
/// does not hold all that it lists; the error of `accept`.
pub fn read<E: From<PackageError>>(
    archive: impl Read,
    begin: impl FnOnce(&Manifest) -> Result<(), E>,
    mut accept: impl FnMut(&RelPath, &Entry, &mut dyn Read) -> Result<(), E>,
) -> Result<Manifest, E> {
    /// Errors of both kinds on their way through the reader of members.
    struct Through<E>(E);
    impl<E: From<PackageError>> From<ArchiveError> for Through<E> {
        fn from(error: ArchiveError) -> Self {
            Self(PackageError::from(error).into())
        }
    }
    let mut begin = Some(begin);
    let mut described: Option<(Manifest, std::vec::IntoIter<(RelPath, Entry)>)> = None;
    let mut seen = 0;
    let stream = Compression::Zstd.decode(archive).map_err(PackageError::from)?;
    each_member(stream, BOUNDS, |member| {
        let Some((_, expected)) = &mut described else {
            let manifest = read_manifest(member).map_err(|error| Through(error.into()))?;
            let content = rebuilt(&manifest.content).map_err(|error| Through(error.into()))?;
            if let Some(begin) = begin.take() {
                begin(&manifest).map_err(Through)?;
            }
            let content: Vec<_> = content.iter().map(|(path, entry)| (path.clone(), entry.clone())).collect();
            described = Some((manifest, content.into_iter()));
            return Ok(());
        };
        let name = member.name().to_vec();
        let invalid = |problem: &str| Through(invalid(format!("`{}` is {problem}", printable(&name))).into());
        // Written in the order of the description, so read in it: nothing twice, nothing beside it.
        let listed = |path: &RelPath| name.strip_suffix(b"/").unwrap_or(&name) == format!("{CONTENT}{path}").as_bytes();
        let Some((path, entry)) = expected.next().filter(|(path, _)| listed(path)) else {
            return Err(invalid("not what its description lists next"));
        };
        let kind = member.kind();
        let fits = match &entry {
            Entry::File { size, .. } => kind.is_file() && member.size() == *size,
            Entry::Symlink { .. } => kind.is_symlink(),
            Entry::EmptyDirectory => kind.is_dir(),
        };
        if !fits {
            return Err(invalid("not the kind or the size of file that its description lists"));
        }
        seen += 1;
        accept(&path, &entry, member).map_err(Through)
    })
    .map_err(|Through(error)| error)?;
    let (manifest, _) = described.ok_or_else(|| invalid("it is empty"))?;
    if seen != manifest.content.len() {
        return Err(invalid(format!("it ends after {seen} of {} files", manifest.content.len())).into());
    }
    Ok(manifest)
}

/// The first member.
fn read_manifest(member: &mut Member<'_, impl Read>) -> Result<Manifest, PackageError> {
    if member.name() != MANIFEST.as_bytes() || !member.kind().is_file() {
        return Err(invalid(format!("its first member is not `{MANIFEST}`")));
    }
    if member.size() > MAX_MANIFEST {
        return Err(invalid(format!("`{MANIFEST}` has more than {MAX_MANIFEST} bytes")));
    }
    let manifest: Manifest = serde_json::from_reader(io::BufReader::new(member))
        .map_err(|error| invalid(format!("`{MANIFEST}` does not read ({error})")))?;
    manifest.check()?;
    Ok(manifest)
}

/// What a package says of itself, without a look at what it installs.
///
/// # Errors
/// [`PackageError`] as [`read`].
pub fn describe(archive: impl Read) -> Result<Manifest, PackageError> {
    enum Stop {
        Error(PackageError),
        Described(Box<Manifest>),
    }
    impl From<PackageError> for Stop {
        fn from(error: PackageError) -> Self {
            Self::Error(error)
        }
    }
    let described = read(archive, |manifest| Err(Stop::Described(Box::new(manifest.clone()))), |_, _, _| Ok(()));
    match described {
        Ok(manifest) => Ok(manifest),
        Err(Stop::Described(manifest)) => Ok(*manifest),
        Err(Stop::Error(error)) => Err(error),
    }
}

fn check_name(name: &str) -> Result<(), PackageError> {
    if is_package_name(name) { Ok(()) } else { Err(invalid(format!("`{}` can't name a package", printable(name)))) }
}

/// Whether a package may have this name: it becomes part of the names of files.
pub fn is_package_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

/// The same tree, put together anew, so that a file below a link or a file is found out.
fn rebuilt(tree: &Tree) -> Result<Tree, PackageError> {
    let mut checked = Tree::new();
    for (path, entry) in tree.iter() {
        checked.insert(path.clone(), entry.clone()).map_err(|error| invalid(error.to_string()))?;
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_the_compressor_that_is_linked_in() {
        assert_eq!(key::PACKAGE_COMPRESSOR, format!("zstd {}", zstd::zstd_safe::version_string()));
    }
}
