//! The compilers of this machine, as keys of host programs have them.
//!
//! Asking them takes a tenth of a second, so what they said is kept in the store
//! (`cargo/compilers.json`), with the files that would change if another one said it: programs,
//! rustup's settings. Who builds asks anew, since a program in PATH may be a front for others.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BuildError;
use super::cargo_start::Start;
use super::host_toolchain::host_toolchain;
use super::seen::Seen;
use crate::store::{Area, Store};

/// What the compilers say, and what that depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compilers {
    /// Their versions, on one line.
    pub versions: String,
    /// Files that change when the versions do.
    pub seen: Vec<Seen>,
    /// Where the programs are, and other settings of the caller.
    places: Vec<String>,
}

impl Compilers {
    /// The ones that are there, by what they said last where nothing seems to have changed since.
    ///
    /// # Errors
    /// [`BuildError::HostProgram`] if one is missing, [`BuildError::Io`].
    pub fn known(store: &Store) -> Result<Self, BuildError> {
        let kept = std::fs::read(file(store)).ok().and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        match kept {
            Some(kept) if kept.places == places() && kept.seen.iter().all(Seen::is_current) => Ok(kept),
            _ => Self::asked(store),
        }
    }

    /// The ones that are there, asked now.
    ///
    /// # Errors
    /// As [`Compilers::known`].
    pub fn asked(store: &Store) -> Result<Self, BuildError> {
        let start = Start::new(store)?;
        let places = places();
        // Looked at first: what changes meanwhile is noticed next time.
        let mut seen: Vec<_> = watched(&start).into_iter().map(Seen::now).collect();
        let versions = host_toolchain(|program| start.command(program)).map_err(BuildError::HostProgram)?;
        // Where `rustc` is rustup's, the compiler itself.
        if let Ok(output) = start.command("rustc").args(["--print", "sysroot"]).output() {
            let root = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
            seen.extend(["bin/rustc", "bin/cargo"].map(|name| Seen::now(root.join(name))));
        }
        let compilers = Self { versions, seen, places };
        if let Ok(json) = serde_json::to_vec(&compilers) {
            super::plan::write_atomically(&file(store), &json)?;
        }
        Ok(compilers)
    }
}

fn file(store: &Store) -> PathBuf {
    store.area(Area::Cargo).join("compilers.json")
}

const PROGRAMS: [&str; 7] = ["rustc", "cargo", "cc", "ldd", "as", "ld", "ar"];

/// Where PATH has the programs, and what rustup goes by: elsewhere, other compilers may be.
pub fn places() -> Vec<String> {
    let programs = PROGRAMS.iter().map(|name| find(name).unwrap_or_default().to_string_lossy().into_owned());
    let variables = ["HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
        .iter()
        .map(|name| format!("{name}={}", std::env::var_os(name).unwrap_or_default().to_string_lossy()));
    programs.chain(variables).collect()
}

/// What would change with the compilers: the programs, rustup's settings, and the files that tell
/// it which toolchain to take.
fn watched(start: &Start) -> Vec<PathBuf> {
    let mut paths: Vec<_> = PROGRAMS.iter().filter_map(|name| find(name)).collect();
    let rustup =
        std::env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".rustup")));
    paths.extend(rustup.map(|home| home.join("settings.toml")));
    paths.extend(
        start
            .path()
            .ancestors()
            .flat_map(|above| ["rust-toolchain", "rust-toolchain.toml"].map(|name| above.join(name))),
    );
    paths
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
