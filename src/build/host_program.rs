//! Programs for the host, built by cargo outside any image.
//!
//! The toolchain is the host's, and cargo may ask its registry for the crates that the lock file
//! pins: so this is the one operation whose environment is not made by an executor. Its key holds
//! the sources with their lock file, the versions of the compilers, of the C library and of
//! binutils, the features and the flags. Settings of the caller that could change the result are
//! out of reach (see `cargo_start`, `cargo_home`); paths of the machine and of its registry are
//! remapped, so that they are in no output.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use build_graph::node::{HostProgram, Node, NodeName, Op};
use build_graph::{RelPath, Tree, key};
use serde::Deserialize;

use super::cargo_start::{self, Start};
use super::compilers::Compilers;
use super::{BuildError, cargo_home};
use crate::called::called;
use crate::store::{Area, Materialise, Store};

/// The node for the compilers that are there: they may be others than those that the plan was made
/// for.
pub fn for_these_compilers(store: &Store, node: &Node) -> Node {
    let mut node = node.clone();
    if let Op::HostProgram(program) = &mut node.op
        && let Ok(compilers) = Compilers::asked(store)
    {
        // Without compilers, another machine's result may be had.
        program.toolchain = compilers.versions;
    }
    node
}

/// Builds the program; its tree is the binary at `bin/NAME`.
///
/// # Errors
/// [`BuildError::HostProgram`] if cargo is missing, is another version than the key says, or fails.
pub fn build(
    store: &Store,
    node: &NodeName,
    program: &HostProgram,
    sources: &Tree,
    offline: bool,
) -> Result<Tree, BuildError> {
    let error = |problem: String| BuildError::HostProgram(problem);
    let installed = Compilers::asked(store)?.versions;
    if installed != program.toolchain {
        return Err(error(format!(
            "the compilers of this machine ({installed}) are not those that the plan names ({}); make the plan again: \
             `{} gen`",
            program.toolchain,
            called()
        )));
    }
    // One place for all builds of this program, so that cargo finds its earlier work; the path
    // stays out of the output.
    let place = store.place(Area::Cargo, node.as_str())?;
    let (workspace, target) = (place.path().join("workspace"), place.path().join("target"));
    if workspace.exists() {
        fs::remove_dir_all(&workspace).map_err(BuildError::io("remove", &workspace))?;
    }
    store.materialise(sources, &workspace, Materialise::Copy)?;
    touch(sources, &workspace)?;
    let home = cargo_home::prepare(place.path())?;
    let start = Start::new(store)?;
    let cargo = |verb: &[&str]| {
        let mut command = start.command("cargo");
        command.args(verb).arg("--manifest-path").arg(workspace.join("Cargo.toml"));
        command.arg("--features").arg(program.features.join(","));
        command.env("CARGO_HOME", &home).env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "0");
        command.env("SOURCE_DATE_EPOCH", build_graph::SOURCE_DATE_EPOCH.to_string());
        if offline {
            command.env("CARGO_NET_OFFLINE", "true");
        }
        command
    };
    let mut flags = vec![remap(&workspace, "/src"), remap(&target, "/target"), remap(&home, "/cargo")];
    // Fetches and unpacks the crates, and says where they are.
    let metadata = run(cargo(&["metadata", "--locked", "--no-default-features", "--format-version", "1"])
        .args(host_triple(&installed).iter().flat_map(|triple| ["--filter-platform", triple])))?;
    flags.extend(remapped_crates(&metadata.stdout, &workspace).map_err(error)?);
    // The separator allows paths with spaces.
    let flags = flags.join(OsStr::new("\u{1f}"));
    run(cargo(&key::HOST_PROGRAM_FLAGS).args(["--bin", &program.binary]).env("CARGO_ENCODED_RUSTFLAGS", flags))?;
    let entry = store.put_file(&target.join("release").join(&program.binary), true)?;
    let mut tree = Tree::new();
    let path = RelPath::new(format!("bin/{}", program.binary)).map_err(|cause| error(cause.to_string()))?;
    tree.insert(path, entry)?;
    Ok(tree)
}

/// Runs cargo to its end.
fn run(command: &mut Command) -> Result<Output, BuildError> {
    let error = BuildError::HostProgram;
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| error(format!("can't start `cargo` ({cause}): install Rust, or put it in PATH")))?;
    if done.status.success() {
        return Ok(done);
    }
    let log = String::from_utf8_lossy(&done.stderr);
    let tail: Vec<_> = log.lines().rev().take(40).collect();
    let tail: Vec<_> = tail.into_iter().rev().collect();
    let why = cargo_start::explain(&log).map_or_else(String::new, |why| format!("\n{why}"));
    Err(error(format!("cargo ended with {}:\n{}{why}", done.status, tail.join("\n"))))
}

fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push(format!("={to}"));
    flag
}

/// The platform that a compiler compiles for, in what it says of itself.
fn host_triple(toolchain: &str) -> Option<&str> {
    toolchain.split("; ").find_map(|part| part.strip_prefix("host: "))
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    manifest_path: PathBuf,
}

/// Remaps the folders of all crates that are not the workspace's: where they lie depends on the
/// registry, on what stands in for it, and on the machine. Of two flags that fit, rustc takes the
/// later one.
fn remapped_crates(metadata: &[u8], workspace: &Path) -> Result<Vec<OsString>, String> {
    let metadata: Metadata = serde_json::from_slice(metadata)
        .map_err(|problem| format!("what `cargo metadata` says is malformed: {problem}"))?;
    let (mut folders, mut crates) = (BTreeSet::new(), BTreeSet::new());
    for package in metadata.packages {
        let Some(root) = package.manifest_path.parent().filter(|root| !root.starts_with(workspace)) else { continue };
        let name = format!("{}-{}", package.name, package.version);
        match root.parent() {
            // A registry's, all of which are called so.
            Some(above) if root.file_name().is_some_and(|file| *file == *name) => {
                folders.insert(remap(above, "/cargo/crates"))
            }
            _ => crates.insert(remap(root, &format!("/cargo/crates/{name}"))),
        };
    }
    Ok(folders.into_iter().chain(crates).collect())
}

/// Gives every file the present time: cargo takes a file that is older than its last build for
/// unchanged.
fn touch(tree: &Tree, workspace: &Path) -> Result<(), BuildError> {
    let now = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
    for (path, _) in tree.iter() {
        let path = workspace.join(path);
        let file = fs::File::options().append(true).open(&path).map_err(BuildError::io("open", &path))?;
        file.set_times(now).map_err(BuildError::io("touch", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_called_alike_wherever_they_come_from() {
        let flags = |root: &str| {
            let metadata = format!(
                "{{\"packages\": [{{\"name\": \"a\", \"version\": \"1.0.0\", \"manifest_path\": \"{root}/Cargo.toml\"}}, \
                 {{\"name\": \"run\", \"version\": \"0.1.0\", \"manifest_path\": \"/place/workspace/Cargo.toml\"}}]}}"
            );
            let flags = remapped_crates(metadata.as_bytes(), Path::new("/place/workspace")).unwrap();
            flags.iter().map(|flag| flag.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        // A crate of a registry, of a mirror, of a vendored folder, of a git checkout:
        // `/cargo/crates/a-1.0.0`.
        assert_eq!(
            flags("/h/registry/src/index.x-1/a-1.0.0"),
            ["--remap-path-prefix=/h/registry/src/index.x-1=/cargo/crates"]
        );
        assert_eq!(
            flags("/h/registry/src/mirror-2/a-1.0.0"),
            ["--remap-path-prefix=/h/registry/src/mirror-2=/cargo/crates"]
        );
        assert_eq!(flags("/me/vendor/a"), ["--remap-path-prefix=/me/vendor/a=/cargo/crates/a-1.0.0"]);
    }
}
