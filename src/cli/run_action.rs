//! `pynbox-build run-action NODE`: what ninja starts for each edge.

use build_graph::node::NodeName;
use clap::Args;

use super::{CommandError, Session};
use crate::build::demand::Stamps;
use crate::executor::Ahead;

/// Options of `run-action`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node
    node: NodeName,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace_with(Ahead::HandOver)?;
    let obtained = workplace.demand(Stamps::Current).obtain(&options.node)?;
    workplace.plan.out().write_last_key(&options.node, obtained.key)?;
    workplace.plan.out().write_stamp(&options.node, obtained.tree)?;
    if !obtained.built {
        outln!("{}: another build had made it already, so it was taken from the store", options.node);
    }
    Ok(())
}
