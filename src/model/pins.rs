//! The sources and patches from which a node comes.

use build_graph::node::{Op, Origin, Source};
use build_graph::{Entry, Tree};
use serde::Serialize;

use super::walk::Way;
use super::{At, Model};
use crate::build::BuildError;

/// A pinned file from which a node comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourceRecord {
    /// The node that fetches it.
    pub node: String,
    /// The file's name.
    pub file: String,
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// Its length in bytes, where the lock knows it.
    pub size: Option<u64>,
    /// Where it can be had: a URL, `debian:PATH` below a Debian mirror, `pypi:PROJECT/FILE` of an
    /// index of Python packages.
    pub origins: Vec<String>,
}

/// A patch that is applied on the way to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PatchRecord {
    /// The node of the recipe's patches.
    pub node: String,
    /// The recipe.
    pub recipe: String,
    /// The patch's name.
    pub file: String,
    /// The BLAKE3 of its bytes.
    pub blake3: String,
}

impl SourceRecord {
    fn new(node: &str, source: &Source) -> Self {
        let origin = |origin: &Origin| match origin {
            Origin::Url { url } => url.clone(),
            Origin::Debian { path } => format!("debian:{path}"),
            Origin::Pypi { project, file } => format!("pypi:{project}/{file}"),
        };
        Self {
            node: node.to_owned(),
            file: source.file.to_string(),
            sha256: source.sha256.to_string(),
            size: source.size,
            origins: source.origins.iter().map(origin).collect(),
        }
    }
}

impl Model<'_> {
    /// The pinned files that are needed for these nodes.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if the plan is damaged.
    pub fn sources(&self, of: &[At]) -> Result<Vec<SourceRecord>, BuildError> {
        let mut found = Vec::new();
        for (at, _) in self.reach(of, Way::Inputs, None) {
            if self.table().verb(at) == "fetch"
                && let Op::Source(source) = self.description(at)?.op
            {
                found.push(SourceRecord::new(self.table().name(at), &source));
            }
        }
        Ok(found)
    }

    /// The patches that are applied on the way to these nodes, in the order of their names.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if the plan is damaged.
    pub fn patches(&self, of: &[At]) -> Result<Vec<PatchRecord>, BuildError> {
        let mut found = Vec::new();
        for (at, _) in self.reach(of, Way::Inputs, None) {
            if self.table().verb(at) != "patch" {
                continue;
            }
            let Op::Patch { patches, .. } = self.description(at)?.op else { continue };
            let Some(patches) = self.table().find(patches.node.as_str()) else { continue };
            if let Op::Local { tree } = self.description(patches)?.op {
                found.extend(files(&tree).map(|(file, blake3)| PatchRecord {
                    node: self.table().name(patches).to_owned(),
                    recipe: self.table().recipe(patches).to_owned(),
                    file,
                    blake3,
                }));
            }
        }
        found.dedup();
        Ok(found)
    }
}

fn files(tree: &Tree) -> impl Iterator<Item = (String, String)> + '_ {
    tree.iter().filter_map(|(path, entry)| match entry {
        Entry::File { digest, .. } => Some((path.to_string(), digest.to_string())),
        _ => None,
    })
}
