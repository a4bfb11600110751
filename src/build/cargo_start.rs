//! From where, and with which environment, cargo and the compilers are started for a host program.
//!
//! cargo obeys settings (`.cargo/config.toml`) of the folder in which it is started and of all
//! above it, up to `/`, and nothing that it documents keeps it from that. They could change what is
//! built and would be in no key. So it is started in `cargo/.start/` below the store, and told by a
//! variable of its own test suite to look no further. In case that it does not listen, the folder
//! above has settings with which it can't go on: a build fails then, and is not wrong. (What says
//! where crates are had is taken from the settings of the caller; see [`super::cargo_home`].)

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::BuildError;
use crate::store::{Area, Store};

/// Variables of the caller that say where compilers, temporary files and crates are, and how many
/// jobs may run.
const KEPT_VARIABLES: [&str; 19] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
    "CARGO_BUILD_JOBS",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
];
/// What the names of others begin with: registries, what stands in for them, and how to reach them.
const KEPT_PREFIXES: [&str; 4] = ["CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_HTTP_", "CARGO_NET_"];
/// Those of them that are paths, which a caller may have meant from its own folder.
const PATHS: [&str; 6] = ["HOME", "TMPDIR", "RUSTUP_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "CARGO_HTTP_CAINFO"];

/// A compiler that no machine has: cargo names it when it reads settings that it should not.
const NO_COMPILER: &str = "/settings-above-the-folder-of-cargo-are-read";

/// The folder in which cargo is started.
#[derive(Debug, Clone)]
pub(super) struct Start(PathBuf);

impl Start {
    /// Makes it, if it is not there.
    pub(super) fn new(store: &Store) -> Result<Self, BuildError> {
        let above = store.area(Area::Cargo);
        let (folder, settings) = (above.join(".start"), above.join(".cargo"));
        for made in [&folder, &settings] {
            fs::create_dir_all(made).map_err(BuildError::io("create", made))?;
        }
        let file = settings.join("config.toml");
        let text = format!("# No cargo that pynbox-build starts reads this.\n[build]\nrustc = \"{NO_COMPILER}\"\n");
        if !fs::read_to_string(&file).is_ok_and(|there| there == text) {
            super::plan::write_atomically(&file, text.as_bytes())?;
        }
        // As cargo finds it to be.
        folder.canonicalize().map(Self).map_err(BuildError::io("find", folder))
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A command in that folder with what it needs of the caller's environment, and with nothing
    /// else.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).env_clear().envs(kept_variables()).env("__CARGO_TEST_ROOT", &self.0);
        command
    }
}

fn kept_variables() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let text = name.to_str()?;
        let kept = KEPT_VARIABLES.contains(&text) || KEPT_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        if !kept {
            return None;
        }
        let value = if PATHS.contains(&text) && !value.is_empty() {
            std::path::absolute(&value).map_or(value, PathBuf::into_os_string)
        } else {
            value
        };
        Some((name, value))
    })
}

/// What a user is told if cargo has read settings that it should not.
pub(super) fn explain(log: &str) -> Option<String> {
    log.contains(NO_COMPILER).then(|| {
        "this cargo reads settings of the folders above the one in which it was started, which would be part of the result and of \
         no key; build with Rust 1.95, as this project does"
            .to_owned()
    })
}
