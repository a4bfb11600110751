//! `which FILE`: where an installed file comes from.

use std::path::{Path, PathBuf};

use build_graph::node::{NodeName, Op, Part, Selection};
use build_graph::untrusted::{printable, printable_path};
use build_graph::{Entry, RelPath, Tree};
use clap::Args;
use serde::Serialize;

use super::super::json::{self, Answer, JsonOption};
use super::super::provenance::package_node;
use super::super::{CommandError, Session};
use crate::build::BuildError;
use crate::install::Installed;
use crate::install::package::Manifest;
use crate::model::{At, Model};
use crate::provenance::ingredients::{self, What};

/// Options of `which`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The file, such as `DEST/root/python/lib/python2.7/os.py`
    file: PathBuf,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `which`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Origin {
    /// The file's path, relative to DEST.
    file: String,
    /// The packages that installed it.
    packages: Vec<Installer>,
    /// The nodes from the package to the one that made the file; none if the project's plan has not
    /// made this package.
    nodes: Vec<Step>,
    /// The sources that the last node is made of, or the wheel that the package was made of.
    sources: Vec<Pinned>,
    /// The patches that were applied to them.
    patches: Vec<String>,
}

/// A package that has a file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Installer {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
}

/// A node on the way.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Step {
    /// Its name.
    node: String,
    /// What it does.
    operation: String,
    /// Where the file is in its tree.
    path: String,
}

/// A pinned file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Pinned {
    /// Its name.
    file: String,
    /// Its SHA-256.
    sha256: String,
}

impl Answer for Origin {
    const SCHEMA: &'static str = "which/1";
}

pub(in crate::cli) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let (installed, path) = locate(&options.file)?;
    let receipts = installed.current.receipts()?;
    let having: Vec<_> = receipts.iter().filter(|receipt| receipt.content.get(path.as_str()).is_some()).collect();
    let Some(first) = having.first() else {
        let message = format!("no package installed `{}`", printable_path(&options.file));
        return Err(CommandError::input(message).hint("a user or a guest made it"));
    };
    let packages =
        having.iter().map(|receipt| Installer { name: receipt.name.clone(), version: receipt.version.clone() });
    let (nodes, mut sources, patches) = trace(session, first, &path)?.unwrap_or_default();
    if let Some(wheel) = first.wheel.as_ref().filter(|_| nodes.is_empty()) {
        sources.push(Pinned { file: wheel.file.clone(), sha256: wheel.sha256.to_string() });
    }
    let answer = Origin { file: path.to_string(), packages: packages.collect(), nodes, sources, patches };
    if options.json.json {
        return json::print(&answer);
    }
    outln!("file:    {}", printable(&answer.file));
    for package in &answer.packages {
        outln!("package: {} {}", printable(&package.name), printable(&package.version));
    }
    for step in &answer.nodes {
        outln!("node:    {} ({}): {}", step.node, step.operation, printable(&step.path));
    }
    for source in &answer.sources {
        outln!("source:  {} sha256:{}", printable(&source.file), source.sha256);
    }
    for patch in &answer.patches {
        outln!("patch:   {}", printable(patch));
    }
    if answer.nodes.is_empty() && first.wheel.is_none() {
        outln!("node:    not known here: this project's build has not made this package");
    }
    Ok(())
}

/// The installation that a file lies in, and the file's path there. The file itself may be a link.
fn locate(file: &Path) -> Result<(Installed, RelPath), CommandError> {
    let not_installed = || {
        CommandError::input(format!("`{}` is in no folder that packages are installed in", printable_path(file)))
            .hint("name a file by its path below DEST, such as `DEST/bin/run`")
    };
    let name = file.file_name().ok_or_else(not_installed)?;
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(CommandError::named("open", folder))?;
    let file = folder.join(name);
    for dest in file.ancestors().skip(1) {
        let Some(installed) = Installed::find(dest)? else { continue };
        // In the current generation, which the links in DEST lead to, or in DEST itself.
        let path = [&installed.current.path, &installed.dest].into_iter().find_map(|root| file.strip_prefix(root).ok());
        let path = path.and_then(Path::to_str).and_then(|path| RelPath::new(path).ok()).ok_or_else(not_installed)?;
        return Ok((installed, path));
    }
    Err(not_installed())
}

type Traced = (Vec<Step>, Vec<Pinned>, Vec<String>);

/// Follows a file from its package to the node that made it; `None` if there is no project, or its
/// build has not made the package.
fn trace(session: &Session, receipt: &Manifest, path: &RelPath) -> Result<Option<Traced>, CommandError> {
    if session.project().is_err() {
        return Ok(None);
    }
    let questioned = session.questioned()?;
    let model = Model::new(&questioned.plan, &questioned.store);
    let Some(entry) = receipt.content.get(path.as_str()) else { return Ok(None) };
    let Some((package, _)) = package_node(&model, receipt)? else { return Ok(None) };
    let mut steps = Vec::new();
    let (mut at, mut here) = (package, path.clone());
    loop {
        let node = model.description(at)?;
        let (operation, path) = (node.op.verb().to_owned(), here.to_string());
        steps.push(Step { node: node.name.to_string(), operation, path });
        match before(&model, &node.op, &here, entry)? {
            Some((input, path)) => (at, here) = (input, path),
            None => break,
        }
    }
    if steps.len() == 1 {
        // The package has another file there now.
        return Ok(None);
    }
    let mut sources = Vec::new();
    let mut patches = Vec::new();
    for ingredient in ingredients::of(&model, &session.bundle.set, &[at])?.into_iter().filter(|one| !one.is_tool) {
        match ingredient.what {
            What::Source(source) => {
                sources.push(Pinned { file: source.file.to_string(), sha256: source.sha256.to_string() });
            }
            What::Patch { .. } => patches.push(ingredient.name),
            What::Files(_) | What::Crate(_) => {}
        }
    }
    Ok(Some((steps, sources, patches)))
}

/// The input that a node took this file from unchanged, and where it is there.
fn before(model: &Model<'_>, op: &Op, path: &RelPath, entry: &Entry) -> Result<Option<(At, RelPath)>, BuildError> {
    let parts: Vec<Part> = match op {
        Op::Package(package) => package.content.clone(),
        Op::Merge { parts } => parts.clone(),
        Op::Patch { base, .. } => vec![Part { selection: base.clone(), at: None }],
        _ => Vec::new(),
    };
    for Part { selection, at } in parts {
        let below = match &at {
            None => Some(path.clone()),
            Some(at) => path.strip_prefix(at),
        };
        let Some(below) = below else { continue };
        let there = match selection.part.strip() {
            None => below,
            Some(strip) => strip.join(&below),
        };
        let Some(input) = model.table().find(selection.node.as_str()) else { continue };
        if selected(model, &selection, &there)?.as_ref() == Some(entry) {
            return Ok(Some((input, there)));
        }
    }
    Ok(None)
}

/// What stands at a path of a node's tree, if the tree is known.
fn selected(model: &Model<'_>, selection: &Selection, path: &RelPath) -> Result<Option<Entry>, BuildError> {
    let name: &NodeName = &selection.node;
    let Some(digest) = model.current.tree(name)? else { return Ok(None) };
    let tree = model.store().tree(digest)?;
    Ok(tree.as_ref().and_then(|tree: &std::sync::Arc<Tree>| tree.get(path.as_str())).cloned())
}
