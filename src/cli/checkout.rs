//! `pynbox-build checkout NODE DIR`: lays out a node's tree in a folder; builds it if it is not there.

use std::path::PathBuf;

use build_graph::node::NodeName;
use clap::Args;

use super::{CommandError, Session};
use crate::build::BuildError;
use crate::build::demand::Stamps;
use crate::store::{Materialise, StoreError};

/// Options of `checkout`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node
    node: NodeName,
    /// The folder, which must not be there yet
    #[arg(required_unless_present_any = ["digest", "list"])]
    dir: Option<PathBuf>,
    /// Print the digest of the tree instead
    #[arg(long)]
    digest: bool,
    /// Print what is in the tree instead: a line an entry, as JSON
    #[arg(long)]
    list: bool,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let store = &workplace.store;
    let digest = workplace.demand(Stamps::Old).obtain(&options.node)?.tree;
    if options.digest {
        outln!("{digest}");
        return Ok(());
    }
    let tree =
        store.tree(digest)?.ok_or_else(|| BuildError::Input(format!("the store has lost `{}`", options.node)))?;
    if options.list {
        for (path, entry) in tree.iter() {
            let line = serde_json::to_string(&(path, entry)).map_err(|error| BuildError::Input(error.to_string()))?;
            outln!("{line}");
        }
    }
    if let Some(dir) = &options.dir {
        store.materialise(&tree, dir, Materialise::Copy).map_err(|error| match error {
            StoreError::Exists { .. } => {
                CommandError::input(error.to_string()).hint("name a folder that is not there yet")
            }
            StoreError::Io { doing, path, source } if path == *dir => CommandError::named(doing, path)(source),
            error => error.into(),
        })?;
    }
    Ok(())
}
