//! The format of a package: a tar archive, compressed with zstd, the same bytes for the same content.
//!
//! The first member is `package.json`, which describes the package and lists every file with its digest; the others lie below
//! `content/`, in the order of their paths' bytes, with mode 0644 or 0755, owner 0 and the time [`SOURCE_DATE_EPOCH`]. What is not
//! listed, or does not have the listed bytes, is not installed.

use std::fs::File;
use std::io::{self, Read, Write};

use build_graph::node::{Package, Target};
use build_graph::{Entry, RelPath, SOURCE_DATE_EPOCH, Tree, key};
use serde::{Deserialize, Serialize};
use tar::{EntryType, Header};
use thiserror::Error;

use crate::store::{Store, StoreError};

/// The version of the format.
const FORMAT: u32 = 1;
/// The member that describes the package.
const MANIFEST: &str = "package.json";
/// Where what is installed lies in the archive.
const CONTENT: &str = "content/";
/// More than the zeros that end an archive.
const MAX_PADDING: u64 = 1 << 20;
/// The largest description that is read.
const MAX_MANIFEST: u64 = 64 << 20;

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
    /// The archive is no package, or not a sound one.
    #[error("it is no sound package: {0}")]
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
    let manifest = Manifest {
        format: FORMAT,
        name: package.name.clone(),
        version: package.version.clone(),
        target: package.target.clone(),
        requires: package.requires.clone(),
        content: content.clone(),
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

/// Reads a package: first what it says of itself, then, by `accept`, each file with a reader of its bytes. The caller checks the bytes
/// against the entry. Links and empty directories come without bytes.
///
/// # Errors
/// [`PackageError`] for an archive that is damaged, holds what its description does not list, or does not hold all that it lists; the
/// error of `accept`.
pub fn read<E: From<PackageError>>(
    archive: impl Read,
    begin: impl FnOnce(&Manifest) -> Result<(), E>,
    mut accept: impl FnMut(&RelPath, &Entry, &mut dyn Read) -> Result<(), E>,
) -> Result<Manifest, E> {
    let decoder = zstd::Decoder::new(archive).map_err(PackageError::from)?;
    let mut archive = tar::Archive::new(decoder);
    let mut entries = archive.entries().map_err(PackageError::from)?;
    let members = &mut entries;
    let first = members.next().ok_or_else(|| invalid("it is empty"))?.map_err(PackageError::from)?;
    if &*first.path_bytes() != MANIFEST.as_bytes() || first.size() > MAX_MANIFEST {
        return Err(invalid(format!("its first member is not `{MANIFEST}`")).into());
    }
    let manifest: Manifest =
        serde_json::from_reader(first).map_err(|error| invalid(format!("`{MANIFEST}` does not read ({error})")))?;
    if manifest.format != FORMAT {
        return Err(invalid(format!("its format is {}, this program reads {FORMAT}", manifest.format)).into());
    }
    check_name(&manifest.name)?;
    let checked = rebuilt(&manifest.content)?;
    begin(&manifest)?;
    let mut seen = 0;
    let mut expected = checked.iter();
    for member in members {
        let mut member = member.map_err(PackageError::from)?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        // Written in the order of the description, so read in it: nothing twice, nothing beside it.
        let Some((path, entry)) =
            expected.next().filter(|(path, _)| name.trim_end_matches('/') == format!("{CONTENT}{path}"))
        else {
            return Err(invalid(format!("`{name}` is not what its description lists next")).into());
        };
        let kind = member.header().entry_type();
        let fits = match entry {
            Entry::File { size, .. } => kind.is_file() && member.size() == *size,
            Entry::Symlink { .. } => kind.is_symlink(),
            Entry::EmptyDirectory => kind.is_dir(),
        };
        if !fits {
            return Err(
                invalid(format!("`{name}` is not the kind or the size of file that its description lists")).into()
            );
        }
        accept(path, entry, &mut member)?;
        seen += 1;
    }
    if seen != manifest.content.len() {
        return Err(invalid(format!("it ends after {seen} of {} files", manifest.content.len())).into());
    }
    // Only at the end does the decoder compare its checksum.
    let padding = io::copy(&mut archive.into_inner().take(MAX_PADDING), &mut io::sink()).map_err(PackageError::from)?;
    if padding == MAX_PADDING {
        return Err(invalid("something follows its last file").into());
    }
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
    let fine = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte));
    if fine { Ok(()) } else { Err(invalid(format!("`{name}` can't name a package"))) }
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
