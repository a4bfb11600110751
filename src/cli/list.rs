//! `pynbox-build list`: the nodes of the graph, by name.

use std::sync::Arc;

use build_graph::dsl::assemble;
use build_graph::key;
use clap::Args;

use super::{CommandError, Session};
use crate::print;

/// Options of `list`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// With each node, what its key is made of: a selection of a tree stands there as the digest of
    /// the node that it is of and of its patterns. Nodes with equal lines have equal keys
    #[arg(long)]
    keys: bool,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let project = session.project()?;
    let loaded = project.load(&session.bundle, &[], &session.store_of(&project)?)?;
    let target = session.target(&project, None)?;
    let graph = assemble(&session.bundle.set, &Arc::new(loaded.materials), &target)?.graph;
    if options.keys {
        print::out(key::listing(&graph).as_bytes());
        return Ok(());
    }
    let mut lines: Vec<_> = graph.nodes().iter().map(|node| format!("{} {}\n", node.op.verb(), node.name)).collect();
    lines.sort_unstable();
    print::out(lines.concat().as_bytes());
    Ok(())
}
