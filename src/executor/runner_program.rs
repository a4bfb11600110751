//! The static program that does an action's last steps elsewhere: in a Docker container, on a remote worker.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ExecutorError;

/// The variable that names it, where it lies in no place of the list below.
const VARIABLE: &str = "PYNBOX_RUNNER";
const NAME: &str = "pynbox-runner";
/// Where `cargo runner` puts it, in cargo's target folder.
const BUILT: &str = "x86_64-unknown-linux-gnu/release/pynbox-runner";

/// The bytes of `pynbox-runner`: the file that `PYNBOX_RUNNER` names, or the one beside this program, or the one that `cargo runner` made.
///
/// # Errors
/// [`ExecutorError::Host`] if there is none, or it is not linked statically.
pub fn runner_program() -> Result<Vec<u8>, ExecutorError> {
    let places = places();
    for place in &places {
        match fs::read(place) {
            Ok(bytes) if is_static(&bytes) => return Ok(bytes),
            Ok(_) | Err(_) => {}
        }
    }
    Err(ExecutorError::Host {
        doing: "find the static program",
        path: places.into_iter().next().unwrap_or_else(|| NAME.into()),
        source: io::ErrorKind::NotFound.into(),
        hint: format!("; build it with `cargo runner`, or name it with the variable `{VARIABLE}`"),
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

/// Whether an ELF program of 64 bits names no loader.
fn is_static(program: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, size: usize| {
        let bytes = program.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0_usize, |value, byte| value << 8 | usize::from(*byte)))
    };
    let look = || {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        for index in 0..count {
            if number(start.checked_add(index * size)?, 4)? == INTERPRETER as usize {
                return Some(false);
            }
        }
        Some(count > 0)
    };
    program.starts_with(b"\x7fELF\x02\x01") && look().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_none() {
        assert!(!is_static(&fs::read(std::env::current_exe().unwrap()).unwrap()));
        assert!(!is_static(b"\x7fELF\x02\x01"));
        assert!(!is_static(b"#!/bin/sh"));
    }
}
