//! Compiles the project's files into the crate: patches, files of recipes, lock files, and the
//! loader's sources, so that a program with recipes of its own has them wherever it runs. Also
//! notes the digest of the recipes' own sources.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use build_graph::dsl::SourcesDigest;
use build_graph::files::is_leaving;

/// Folders whose files recipes use, from the project's root.
const FILES: [&str; 3] = ["patches", "recipes/files", "sandbox"];
/// The folder with a file for each recipe.
const PACKAGES: &str = "recipes/src/packages";
/// Folders with the recipes' and the keys' code.
const SOURCES: [&str; 2] = ["build-graph/src", "recipes/src"];

fn main() {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).expect("cargo sets it");
    let root = manifest.parent().expect("the crate lies in the project").to_path_buf();
    let mut text = String::from("/// Path, bytes.\npub(crate) static FILES: &[(&str, &[u8])] = &[\n");
    for folder in FILES {
        for path in files(&root, folder) {
            let host = root.join(&path);
            writeln!(text, "({path:?}, include_bytes!({host:?})),").expect("writing to a string");
        }
    }
    text.push_str("];\n");
    let sources: Vec<(String, Vec<u8>)> = SOURCES
        .iter()
        .flat_map(|folder| files(&root, folder))
        .filter(|path| path.ends_with(".rs"))
        .map(|path| (path.clone(), fs::read(root.join(&path)).expect("a file that was listed can be read")))
        .collect();
    let mut sources = sources;
    sources.sort();
    let digest = SourcesDigest::of(sources.iter().map(|(path, bytes)| (path.as_str(), &**bytes)));
    writeln!(text, "/// The folders of the recipes' code.\npub(crate) static SOURCE_FOLDERS: &[&str] = &{SOURCES:?};")
        .expect("string");
    writeln!(text, "/// The digest of that code.\npub(crate) static SOURCES_DIGEST: &str = {digest:?};")
        .expect("string");
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets it");
    fs::write(out.join("files.rs"), text).expect("cargo's folder can be written");
    fs::write(out.join("packages.rs"), packages(&root)).expect("cargo's folder can be written");
}

/// The recipes: a module for each file of their folder, or for the `mod.rs` of a folder in it, and
/// a list of all.
fn packages(root: &Path) -> String {
    let (mut modules, mut list) =
        (String::new(), String::from("pub(crate) static RECIPES: &[build_graph::dsl::Recipe] = &["));
    for path in files(root, PACKAGES) {
        let inside = path[PACKAGES.len() + 1..].trim_end_matches("/mod.rs");
        let name = inside.trim_end_matches(".rs");
        if name.contains('/') || name == inside && !path.ends_with("/mod.rs") {
            continue;
        }
        writeln!(modules, "#[path = {:?}]\npub(crate) mod {name};", root.join(&path)).expect("writing to a string");
        write!(list, "{name}::RECIPE, ").expect("writing to a string");
    }
    format!("{modules}{list}];\n")
}

/// The files below a folder, sorted, by their paths from the root; cargo is told to look at all of
/// it.
fn files(root: &Path, folder: &str) -> Vec<String> {
    let top = root.join(folder);
    println!("cargo::rerun-if-changed={}", top.display());
    let walk = walkdir::WalkDir::new(&top).sort_by_file_name().into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        !(name.starts_with('.') || is_leaving(&name) || (name == "target" && entry.file_type().is_dir()))
    });
    walk.filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_str()?.to_owned()))
        .collect()
}
