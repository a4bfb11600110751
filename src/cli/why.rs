//! `pynbox-build why NODE`: what a node's key is made of, and what changed since it was last built.

use build_graph::key::KeyInputs;
use build_graph::node::NodeName;
use clap::Args;

use super::{CommandError, Session};
use crate::build::demand::Stamps;

/// Options of `why`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node
    node: NodeName,
    /// Print all parts of the key, not only what changed
    #[arg(long)]
    all: bool,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let (store, plan) = (&workplace.store, &workplace.plan);
    let node = plan.node(&options.node)?;
    let digests = workplace.demand(Stamps::Current).input_digests(&node)?;
    let inputs = KeyInputs::new(&node.op, &digests);
    let key = inputs.key();
    let lines = inputs.explain();
    outln!("node:   {} ({}, recipe {})", node.name, node.op.verb(), node.recipe);
    outln!("key:    {key}");
    match store.result(key)? {
        Some(tree) => outln!("result: {tree}"),
        None => outln!("result: none yet, it has to run"),
    }
    if options.all {
        for line in &lines {
            outln!("  {line}");
        }
    }
    let last = plan.out().read_last_key(&node.name).filter(|last| *last != key);
    if let Some(last) = last
        && let Some(before) = store.explanation(last)?
    {
        outln!("changed since it was last built (key {last}):");
        for line in before.iter().filter(|line| !lines.contains(line)) {
            outln!("  - {line}");
        }
        for line in lines.iter().filter(|line| !before.contains(line)) {
            outln!("  + {line}");
        }
    }
    for selection in node.op.selections() {
        let state = if plan.is_known(&selection.node) { "known" } else { "left" };
        outln!("takes:  {} ({state})", selection.node);
    }
    Ok(())
}
