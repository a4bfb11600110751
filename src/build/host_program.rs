//! Programs for the host, built by cargo outside any image.
//!
//! The toolchain is the host's, and cargo may ask its registry for the crates that the lock file pins: so this is the one operation
//! whose environment is not made by an executor. Its key holds the sources with their lock file, the versions of the compilers and of the
//! C library, the features and the flags; paths of the machine are remapped, so that they are in no output.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use build_graph::node::{HostProgram, NodeName};
use build_graph::{RelPath, Tree, key};

use super::BuildError;
use super::host_toolchain::host_toolchain;
use super::{cargo_home, cargo_places};
use crate::store::{Materialise, Store};

/// Variables of the caller that cargo needs to find its compiler and its registry; everything else is taken from its environment.
const KEPT_VARIABLES: [&str; 13] = [
    "PATH",
    "HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CARGO_HTTP_PROXY",
    "CARGO_HTTP_CAINFO",
    "CARGO_NET_OFFLINE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Builds the program; its tree is the binary at `bin/NAME`.
///
/// # Errors
/// [`BuildError::HostProgram`] if cargo is missing, is another version than the key says, or fails.
pub fn build(store: &Store, node: &NodeName, program: &HostProgram, sources: &Tree) -> Result<Tree, BuildError> {
    let error = |problem: String| BuildError::HostProgram(problem);
    let installed = host_toolchain().map_err(error)?;
    if installed != program.toolchain {
        return Err(error(format!(
            "this program was compiled with another toolchain ({}) than the host has now ({installed}); compile it again: \
             `cargo build --release`",
            program.toolchain
        )));
    }
    // One place for all builds of this program, so that cargo finds its earlier work; the path stays out of the output.
    let place = cargo_places::hold(store, node)?;
    let (workspace, target) = (place.path.join("workspace"), place.path.join("target"));
    if workspace.exists() {
        fs::remove_dir_all(&workspace).map_err(BuildError::io("remove", &workspace))?;
    }
    store.materialise(sources, &workspace, Materialise::Copy)?;
    touch(sources, &workspace)?;
    let remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push(format!("={to}"));
        flag
    };
    let home = cargo_home::prepare(&place.path)?;
    let flags = [remap(&workspace, "/src"), remap(&target, "/target"), remap(&home, "/cargo")];
    let mut command = Command::new("cargo");
    // Cargo reads settings from the current folder and all above it. At the root there are none but the machine's own.
    command.current_dir("/").args(key::HOST_PROGRAM_FLAGS).args(["--bin", &program.binary]);
    command.arg("--features").arg(program.features.join(","));
    command.arg("--manifest-path").arg(workspace.join("Cargo.toml"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for name in KEPT_VARIABLES {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, value) in std::env::vars_os() {
        let registry =
            name.to_str().is_some_and(|name| name.starts_with("CARGO_REGISTR") || name.starts_with("CARGO_SOURCE"));
        if registry {
            command.env(name, value);
        }
    }
    command.env("CARGO_HOME", &home).env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "0");
    // The separator allows paths with spaces.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\u{1f}")));
    command.env("SOURCE_DATE_EPOCH", build_graph::SOURCE_DATE_EPOCH.to_string());
    let done = command
        .output()
        .map_err(|cause| error(format!("can't start `cargo` ({cause}): install Rust, or put it in PATH")))?;
    if !done.status.success() {
        let log = String::from_utf8_lossy(&done.stderr);
        let tail: Vec<_> = log.lines().rev().take(40).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        return Err(error(format!("cargo ended with {}:\n{}", done.status, tail.join("\n"))));
    }
    let entry = store.put_file(&target.join("release").join(&program.binary), true)?;
    let mut tree = Tree::new();
    let path = RelPath::new(format!("bin/{}", program.binary)).map_err(|cause| error(cause.to_string()))?;
    tree.insert(path, entry)?;
    Ok(tree)
}

/// Gives every file the present time: cargo takes a file that is older than its last build for unchanged.
fn touch(tree: &Tree, workspace: &Path) -> Result<(), BuildError> {
    let now = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
    for (path, _) in tree.iter() {
        let path = workspace.join(path);
        let file = fs::File::options().append(true).open(&path).map_err(BuildError::io("open", &path))?;
        file.set_times(now).map_err(BuildError::io("touch", &path))?;
    }
    Ok(())
}
