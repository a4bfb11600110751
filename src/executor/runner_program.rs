//! The static program that does an action's last steps elsewhere: in a Docker container, on a
//! remote worker.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::Endianness;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::ExecutorError;

/// The variable that names it, where it lies in no place of the list below.
const VARIABLE: &str = "PYNBOX_RUNNER";
const NAME: &str = "pynbox-runner";
/// Where `cargo runner` puts it, in cargo's target folder.
const BUILT: &str = "x86_64-unknown-linux-gnu/release/pynbox-runner";

/// The bytes of `pynbox-runner`: the file that `PYNBOX_RUNNER` names, or the one beside this
/// program, or the one that `cargo runner` made where this program was built, or else where cargo
/// builds in the project that this is called in.
///
/// # Errors
/// [`ExecutorError::Host`] if there is none, or it is not linked statically.
pub fn runner_program() -> Result<Vec<u8>, ExecutorError> {
    let places = places();
    let asks = std::env::var_os(VARIABLE).is_none();
    // cargo is asked last: it is another program, and takes a while.
    let asked = std::iter::once_with(|| asks.then(|| built_by_cargo(Path::new("."))).flatten()).flatten();
    for place in places.iter().cloned().chain(asked) {
        match fs::read(place) {
            Ok(bytes) if is_static(&bytes) => return Ok(bytes),
            Ok(_) | Err(_) => {}
        }
    }
    Err(ExecutorError::Host {
        doing: "find the static program",
        path: places.into_iter().next().unwrap_or_else(|| NAME.into()),
        source: io::ErrorKind::NotFound.into(),
        hint: format!(
            "; build it with `cargo runner` in the source tree of pynbox-build, and name it with the variable \
             `{VARIABLE}` if it does not lie there"
        ),
    })
}

fn places() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return vec![named.into()];
    }
    let program = std::env::current_exe().unwrap_or_default();
    let mut places = Vec::new();
    let folders = program.ancestors().skip(1);
    places.extend(folders.clone().skip(1).take(2).map(|folder| folder.join(BUILT)));
    places.extend(folders.take(1).map(|folder| folder.join(Path::new(NAME))));
    places
}

/// Where cargo puts it with the settings that count here, if there is a cargo and a project of it.
fn built_by_cargo(project: &Path) -> Option<PathBuf> {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new("cargo").args(arguments).current_dir(project).output().ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(Path::new(metadata.get("target_directory")?.as_str()?).join(BUILT))
}

/// Whether an ELF program of 64 bits names no loader.
fn is_static(program: &[u8]) -> bool {
    let Ok(header) = FileHeader64::<Endianness>::parse(program) else { return false };
    let Ok(endian) = header.endian() else { return false };
    let segments = header.program_headers(endian, program).unwrap_or_default();
    !segments.is_empty() && segments.iter().all(|segment| segment.p_type(endian) != PT_INTERP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_it_builds() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("src")).unwrap();
        fs::create_dir_all(at(".cargo")).unwrap();
        fs::write(at("src/lib.rs"), "").unwrap();
        fs::write(at("Cargo.toml"), "[package]\nname = \"a\"\n").unwrap();
        fs::write(at(".cargo/config.toml"), "[build]\ntarget-dir = \"elsewhere\"\n").unwrap();
        let expected =
            if std::env::var_os("CARGO_TARGET_DIR").is_some() { None } else { Some(at("elsewhere").join(BUILT)) };
        assert!(expected.is_none() || built_by_cargo(folder.path()) == expected);
        // Where there is no project, it says nothing.
        fs::remove_file(at("Cargo.toml")).unwrap();
        assert_eq!(built_by_cargo(folder.path()), None);
    }

    #[test]
    fn a_dynamic_program_is_none() {
        assert!(!is_static(&fs::read(std::env::current_exe().unwrap()).unwrap()));
        assert!(!is_static(b"\x7fELF\x02\x01"));
        assert!(!is_static(b"#!/bin/sh"));
    }
}
