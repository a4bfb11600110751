//! What went into nodes: pinned files, patches, files of the project, and which of it are tools.

use std::collections::BTreeMap;
use std::io;

use build_graph::dsl::{Recipe, RecipeSet};
use build_graph::node::{Op, Origin, Selection, Source};
use build_graph::{BlobDigest, Entry, Tree};
use sha2::{Digest as _, Sha256};

use super::crates::{self, LockedCrate};
use crate::build::BuildError;
use crate::model::{At, Model};
use crate::store::Store;

/// Something that went into a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingredient {
    /// The node that has it.
    pub node: String,
    /// What it is called: a file's name, or the node's.
    pub name: String,
    /// Its recipe's version, where it is a recipe's own source.
    pub version: Option<String>,
    /// Its license, as its recipe states it.
    pub license: Option<String>,
    /// Whether it only helped to build: a compiler, a library of the build machine.
    pub is_tool: bool,
    /// What it is.
    pub what: What,
}

/// What an ingredient is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A pinned file from outside.
    Source(Source),
    /// A patch that was applied.
    Patch {
        /// Its BLAKE3.
        blake3: BlobDigest,
        /// Its SHA-256, if the store has it.
        sha256: Option<String>,
    },
    /// Files of the project, with the digest of their tree.
    Files(build_graph::TreeDigest),
    /// A crate that a host program's lock file names.
    Crate(LockedCrate),
}

impl What {
    /// Where it can be had.
    pub fn uri(&self) -> Option<String> {
        let source = match self {
            Self::Source(source) => source,
            Self::Crate(one) => return Some(one.purl()),
            Self::Patch { .. } | Self::Files(_) => return None,
        };
        source.origins.first().map(|origin| match origin {
            Origin::Url { url } => url.clone(),
            Origin::Debian { path } => format!("debian:{path}"),
            Origin::Pypi { project, file } => format!("pypi:{project}/{file}"),
        })
    }

    /// Its SHA-256, if it is known.
    pub fn sha256(&self) -> Option<String> {
        match self {
            Self::Source(source) => Some(source.sha256.to_string()),
            Self::Patch { sha256, .. } => sha256.clone(),
            Self::Crate(one) => one.checksum.clone(),
            Self::Files(_) => None,
        }
    }

    /// Its digests, by the names of their algorithms; `pynboxTree` is the BLAKE3 of a tree's
    /// canonical form (`docs/concepts/keys.md`).
    pub fn digests(&self) -> BTreeMap<&'static str, String> {
        let own = match self {
            Self::Source(_) | Self::Crate(_) => None,
            Self::Patch { blake3, .. } => Some(("blake3", blake3.to_string())),
            Self::Files(tree) => Some(("pynboxTree", tree.to_string())),
        };
        own.into_iter().chain(self.sha256().map(|digest| ("sha256", digest))).collect()
    }
}

/// The license that a recipe states.
///
/// # Errors
/// [`BuildError::Input`] if it is no SPDX expression.
pub fn license_of(recipes: &RecipeSet, recipe: &str) -> Result<Option<String>, BuildError> {
    let license = recipes.recipes.iter().filter(|one| one.name() == recipe).find_map(Recipe::stated_license);
    if let Some(license) = license
        && let Err(error) = spdx::Expression::parse(license)
    {
        let why = error.reason.to_string();
        return Err(BuildError::Input(format!(
            "the recipe `{recipe}` states the license `{license}`, which is no SPDX expression: {why}; see \
             https://spdx.org/licenses"
        )));
    }
    Ok(license.map(str::to_owned))
}

/// What went into these nodes, sorted by node and name.
///
/// # Errors
/// [`BuildError`] if the plan or the store can't be read, or a recipe states no sound license.
pub fn of(model: &Model<'_>, recipes: &RecipeSet, nodes: &[At]) -> Result<Vec<Ingredient>, BuildError> {
    let mut found = Vec::new();
    for (at, is_tool) in reach(model, nodes)? {
        let node = model.description(at)?;
        let recipe = recipes.recipes.iter().find(|recipe| node.recipe == recipe.name());
        let mut add = |name: String, what: What| -> Result<(), BuildError> {
            // What a toolchain brings is no recipe's own, and neither is a crate.
            let own = recipe.filter(|_| !is_tool || !name.ends_with(".deb"));
            let own = own.filter(|_| !matches!(what, What::Crate(_)));
            found.push(Ingredient {
                node: node.name.to_string(),
                name,
                version: own.map(|recipe| recipe.stated_version().to_owned()),
                license: own.map_or(Ok(None), |recipe| license_of(recipes, recipe.name()))?,
                is_tool,
                what,
            });
            Ok(())
        };
        match &node.op {
            Op::Source(source) => add(source.file.to_string(), What::Source(source.clone()))?,
            Op::Local { tree } if is_of_patches(model, at)? => {
                for (path, entry) in tree.iter() {
                    if let Entry::File { digest, .. } = entry {
                        add(path.to_string(), What::Patch { blake3: *digest, sha256: sha256(model.store(), entry)? })?;
                    }
                }
            }
            Op::HostProgram(program) => {
                for one in crates::of(model, program)? {
                    add(one.name.clone(), What::Crate(one))?;
                }
            }
            Op::Local { tree } => add(node.name.to_string(), What::Files(tree.digest()))?,
            _ => {}
        }
    }
    // Stable: crates of one name stay in the order of their versions.
    found.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name)));
    Ok(found)
}

/// Whether a node's files are applied as patches.
fn is_of_patches(model: &Model<'_>, at: At) -> Result<bool, BuildError> {
    let name = model.table().name(at);
    for user in model.next(at, crate::model::walk::Way::Users) {
        if model.table().verb(user) == "patch"
            && let Op::Patch { patches, .. } = model.description(user)?.op
            && patches.node.as_str() == name
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All that nodes come from, and whether it only helped: the image of an action, and what an action
/// takes of another target.
fn reach(model: &Model<'_>, nodes: &[At]) -> Result<BTreeMap<At, bool>, BuildError> {
    let mut found: BTreeMap<At, bool> = BTreeMap::new();
    let mut open: Vec<(At, bool)> = nodes.iter().map(|at| (*at, false)).collect();
    while let Some((at, is_tool)) = open.pop() {
        match found.get(&at) {
            Some(before) if !*before || is_tool => continue,
            _ => found.insert(at, is_tool),
        };
        let node = model.description(at)?;
        for selection in node.op.selections() {
            if let Some(input) = model.table().find(selection.node.as_str()) {
                open.push((input, is_tool || helps(model, &node.op, &selection, input)));
            }
        }
    }
    Ok(found)
}

fn helps(model: &Model<'_>, op: &Op, selection: &Selection, input: At) -> bool {
    match op {
        Op::Action(action) => {
            let target = model.target(input);
            action.image == *selection || target.is_some_and(|target| target != action.target.as_str())
        }
        _ => false,
    }
}

/// The SHA-256 of a file, if the store has it.
///
/// # Errors
/// [`BuildError`] if it can't be read.
pub fn sha256(store: &Store, entry: &Entry) -> Result<Option<String>, BuildError> {
    let mut tree = Tree::new();
    let alone = "file".parse().map_err(|error| BuildError::Input(format!("{error}")))?;
    tree.insert(alone, entry.clone()).map_err(|error| BuildError::Input(error.to_string()))?;
    if !store.missing(&tree)?.is_empty() {
        return Ok(None);
    }
    sha256_of(store.open_blob(entry)?).map(Some).map_err(BuildError::io("read", store.root()))
}

/// The SHA-256 of what is read.
///
/// # Errors
/// Those of reading.
pub fn sha256_of(mut from: impl io::Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut from, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
