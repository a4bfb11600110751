//! The crates of a host program, from the lock file that cargo builds it by.

use std::io::{self, Read as _};

use build_graph::node::{HostProgram, Op};
use serde::Deserialize;

use crate::build::BuildError;
use crate::model::Model;

/// The name of cargo's lock file.
const LOCK_FILE: &str = "Cargo.lock";
/// No lock file is longer, in bytes.
const MAX_LENGTH: u64 = 16 << 20;

/// A crate of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LockedCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of its archive, which cargo compares.
    pub checksum: Option<String>,
    /// Where it comes from; none for those of the workspace itself.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<LockedCrate>,
}

impl LockedCrate {
    /// Its package URL (github.com/package-url/purl-spec).
    pub fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", super::bill::encoded(&self.name), super::bill::encoded(&self.version))
    }
}

/// Returns all crates that the lock file of a host program names, also those of its tests: the file
/// does not tell which is which.
///
/// # Errors
/// [`BuildError`] if there is no sound lock file in the store.
pub fn of(model: &Model<'_>, program: &HostProgram) -> Result<Vec<LockedCrate>, BuildError> {
    let node = &program.sources.node;
    let unusable = |why: String| BuildError::Input(format!("`{LOCK_FILE}` of `{node}` can't be read: {why}"));
    let lost = || unusable("the store does not have it".to_owned());
    let at = model.table().find(node.as_str()).ok_or_else(lost)?;
    let Op::Local { tree } = model.description(at)?.op else { return Err(lost()) };
    let path = match program.sources.part.strip() {
        None => LOCK_FILE.to_owned(),
        Some(strip) => format!("{strip}/{LOCK_FILE}"),
    };
    let entry = tree.get(&path).ok_or_else(lost)?;
    let file = model.store().open_blob(entry).map_err(|error| unusable(error.to_string()))?;
    let text = io::read_to_string(file.take(MAX_LENGTH)).map_err(|error| unusable(error.to_string()))?;
    parse(&text).map_err(|error| unusable(error.to_string()))
}

fn parse(text: &str) -> Result<Vec<LockedCrate>, toml::de::Error> {
    let lock: Lock = toml::from_str(text)?;
    Ok(lock.package.into_iter().filter(|package| package.source.is_some()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_names_crates_and_those_of_the_workspace_are_left_out() {
        let text = "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n[[package]]\nname = \"a_b\"\n\
                    version = \"1.0.0+2\"\nsource = \"registry+x\"\nchecksum = \"ff\"\ndependencies = [\"c\"]\n";
        let crates = parse(text).unwrap();
        assert_eq!(crates.iter().map(LockedCrate::purl).collect::<Vec<_>>(), ["pkg:cargo/a_b@1.0.0%2B2"]);
        assert_eq!(crates[0].checksum.as_deref(), Some("ff"));
        assert!(parse("package = 1").is_err());
    }
}
