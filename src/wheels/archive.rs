//! Packages of wheels, as the transaction of an install takes them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use build_graph::dsl::package_of_project;
use build_graph::node::{Package, Target};
use build_graph::{Entry, RelPath, Tree, TreeDigest};

use super::resolve::Chosen;
use super::{PYTHON, Place, WheelsError, bytecode};
use crate::install::package::{self, WheelOrigin};
use crate::python::names::ProjectName;
use crate::store::{Area, Store};

/// A package of a wheel.
#[derive(Debug)]
pub struct WheelPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its archive.
    pub path: PathBuf,
}

/// What makes the bytecode of packages.
#[derive(Debug, Clone, Copy)]
pub struct Compiler<'a> {
    /// An installation of Python and of the loader.
    pub installation: &'a Path,
}

/// Where the package of a wheel is kept, for a Python whose package holds this tree (`None`:
/// without bytecode) and for what it needs.
fn kept(store: &Store, chosen: &Chosen, target: &Target, python: Option<TreeDigest>) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"pynbox-wheel-package-v1");
    for text in [target.as_str()].into_iter().chain(chosen.needs.iter().map(ProjectName::as_str)) {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.update(chosen.tree.digest().as_bytes());
    if let Some(python) = python {
        hasher.update(python.as_bytes());
    }
    let folder = store.area(Area::Wheels).join(chosen.sha256.to_string());
    folder.join(format!("{}.tar.zst", hasher.finalize().to_hex()))
}

/// Returns whether the package of a wheel with this bytecode is there already.
pub fn is_kept(store: &Store, chosen: &Chosen, target: &Target, python: Option<TreeDigest>) -> bool {
    kept(store, chosen, target, python).is_file()
}

/// Makes the package of a wheel, with bytecode if there is a compiler: the Python whose package
/// holds this tree. One that was made before is taken as it is.
///
/// # Errors
/// [`WheelsError`] if bytecode can't be made, or the package can't be written.
pub fn make(
    store: &Store,
    place: &Place,
    chosen: &Chosen,
    target: &Target,
    python: Option<TreeDigest>,
    compiler: Option<&Compiler<'_>>,
) -> Result<WheelPackage, WheelsError> {
    let path = kept(store, chosen, target, python);
    let name = package_of_project(chosen.project.as_str());
    let version = chosen.version.to_string();
    if path.is_file() {
        return Ok(WheelPackage { name, version, path });
    }
    let mut tree = chosen.tree.clone();
    if let Some(compiler) = compiler {
        add_bytecode(store, place, &name, compiler, &mut tree)?;
    }
    let requires =
        [PYTHON.to_owned()].into_iter().chain(chosen.needs.iter().map(|need| package_of_project(need.as_str())));
    let description = Package {
        name: name.clone(),
        version: version.clone(),
        target: target.clone(),
        requires: requires.collect(),
        content: Vec::new(),
    };
    let origin = WheelOrigin { file: chosen.file.clone(), sha256: chosen.sha256 };
    let scratch = store.scratch()?;
    let written = scratch.path().join("package");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| WheelsError::File { path, error }
    };
    let file = File::create(&written).map_err(failed(&written))?;
    package::write_with(&description, &tree.below(&place.prefix), Some(origin), store, file)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    fs::rename(&written, &path).map_err(failed(&path))?;
    Ok(WheelPackage { name, version, path })
}

/// Adds the bytecode of all modules that compile.
fn add_bytecode(
    store: &Store,
    place: &Place,
    package: &str,
    compiler: &Compiler<'_>,
    tree: &mut Tree,
) -> Result<(), WheelsError> {
    let failed = |reason: String| WheelsError::Bytecode { package: package.to_owned(), reason };
    let mut modules = Vec::new();
    for (path, entry) in tree.iter() {
        let Some(below) = path.strip_prefix(&place.layout.site) else { continue };
        if let (Entry::File { .. }, Some(_)) = (entry, below.as_str().strip_suffix(".py")) {
            let module = bytecode::Module { inside: format!("{}/{below}", place.site_inside), entry: entry.clone() };
            modules.push((path.clone(), module));
        }
    }
    let compiled = bytecode::compile(compiler.installation, modules.iter().map(|(_, module)| module), store)
        .map_err(|error| failed(error.to_string()))?;
    for ((path, _), bytes) in modules.iter().zip(compiled) {
        let Some(bytes) = bytes else { continue };
        let entry = store.put_bytes(&bytes, false)?;
        let at = cached(path, &place.cache_tag).map_err(|error| failed(error.to_string()))?;
        tree.insert(at, entry).map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

/// Where the bytecode of a module lies: `a/__pycache__/b.cpython-313.pyc` for `a/b.py`.
fn cached(path: &RelPath, tag: &str) -> Result<RelPath, build_graph::PathError> {
    let stem = path.file_name().trim_end_matches(".py");
    let file = format!("__pycache__/{stem}.{tag}.pyc");
    match path.parent() {
        Some(parent) => RelPath::new(format!("{parent}/{file}")),
        None => RelPath::new(file),
    }
}
