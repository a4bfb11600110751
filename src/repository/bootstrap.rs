//! What machines without Rust install with: `install.sh`, and the archives that it fetches, the
//! tool and the loader.
//!
//! The script carries their SHA-256 and the key of the repository. It is as trusted as the way that
//! it came: a reader who compares its own digest needs to trust nothing else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use build_graph::{Entry, SOURCE_DATE_EPOCH, Sha256};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::Digest as _;
use tar::{EntryType, Header};

use super::RepositoryError;
use super::index::ToolEntry;
use super::publish::object_of;
use crate::install::package::{self, PackageError};

/// The name of the tool's entry.
pub const TOOL: &str = "pynbox-build";
/// The name of the loader's entry.
pub const LOADER: &str = "loader";
/// The file of the loader in its package.
pub const LOADER_PATH: &str = "bin/run";

const SCRIPT: &str = include_str!("install.sh");

/// A program to be published.
pub struct Tool {
    /// Its entry in the index.
    pub entry: ToolEntry,
    /// The archive.
    pub bytes: Vec<u8>,
}

/// What programs of this machine run on.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Packs a program of this machine.
///
/// # Errors
/// [`RepositoryError::Io`] if it can't be read.
pub fn tool(program: &Path) -> Result<Tool, RepositoryError> {
    let failed = RepositoryError::io("read", program);
    let packed = File::open(program).and_then(|file| {
        let length = file.metadata()?.len();
        pack(|archive| append(archive, TOOL, length, true, file))
    });
    Ok(described(TOOL, packed.map_err(failed)?))
}

/// Packs the loader of a package, with whatever else that installs.
///
/// # Errors
/// [`RepositoryError::Io`] if the package can't be read.
pub fn loader(archive: File) -> Result<Tool, RepositoryError> {
    let failed = |error: io::Error| RepositoryError::io("read", LOADER)(error);
    let packed = pack(|packed| {
        let read = package::read::<PackageError>(
            archive,
            |_| Ok(()),
            |path, entry, bytes| match entry {
                Entry::File { size, executable, .. } => Ok(append(packed, path.as_str(), *size, *executable, bytes)?),
                Entry::Symlink { target } => {
                    let mut header = header(EntryType::Symlink, 0, true);
                    Ok(packed.append_link(&mut header, path.as_str(), target)?)
                }
                Entry::EmptyDirectory => Ok(()),
            },
        );
        read.map(drop).map_err(io::Error::other)
    });
    Ok(described(LOADER, packed.map_err(failed)?))
}

type Archive = tar::Builder<GzEncoder<Vec<u8>>>;

fn pack(fill: impl FnOnce(&mut Archive) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    fill(&mut archive)?;
    let mut encoder = archive.into_inner()?;
    encoder.flush()?;
    encoder.finish()
}

fn header(kind: EntryType, length: u64, executable: bool) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_size(length);
    header.set_mtime(SOURCE_DATE_EPOCH);
    header
}

fn append(archive: &mut Archive, name: &str, length: u64, executable: bool, bytes: impl Read) -> io::Result<()> {
    archive.append_data(&mut header(EntryType::Regular, length, executable), name, bytes)
}

fn described(name: &str, bytes: Vec<u8>) -> Tool {
    let sha256 = Sha256::from_bytes(sha2::Sha256::digest(&bytes).into());
    let entry = ToolEntry { name: name.to_owned(), platform: platform(), object: object_of(&bytes), sha256 };
    Tool { entry, bytes }
}

/// Returns `install.sh` for a repository at this address, whose index this key signs. `None` without
/// a tool for this platform.
pub fn script(address: &str, key: &str, tools: &[ToolEntry]) -> Option<String> {
    let platform = platform();
    let find = |name: &str| tools.iter().find(|tool| tool.name == name && tool.platform == platform);
    let tool = find(TOOL)?;
    let loader = find(LOADER);
    let values = [
        ("@REPOSITORY@", quoted(address.trim_end_matches('/'))),
        ("@KEY@", quoted(key)),
        ("@TOOL@", quoted(&tool.object_name())),
        ("@TOOL_SHA256@", tool.sha256.to_string()),
        ("@LOADER@", quoted(&loader.map(ToolEntry::object_name).unwrap_or_default())),
        ("@LOADER_SHA256@", loader.map(|loader| loader.sha256.to_string()).unwrap_or_default()),
        ("@ARCH@", std::env::consts::ARCH.to_owned()),
    ];
    Some(values.iter().fold(SCRIPT.to_owned(), |script, (name, value)| script.replace(name, value)))
}

/// A word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<ToolEntry> {
        vec![described(TOOL, b"tool".to_vec()).entry, described(LOADER, b"loader".to_vec()).entry]
    }

    #[test]
    fn the_script_is_short_and_has_no_gaps() {
        let script = script("https://host/it's/", "KEY", &tools()).unwrap();
        assert!(script.lines().count() <= 100, "{}", script.lines().count());
        assert!(!script.replace("\"$@\"", "").contains('@'), "{script}");
        assert!(script.contains("'https://host/it'\\''s'") && script.contains(&tools()[0].sha256.to_string()));
    }

    #[test]
    fn without_a_tool_there_is_no_script() {
        assert!(script("https://host", "KEY", &tools()[1..]).is_none());
        assert!(script("https://host", "KEY", &tools()[..1]).unwrap().contains("loader=''"));
    }
}
