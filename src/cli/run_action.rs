//! `pynbox-build run-action NODE`: what ninja starts for each edge.

use build_graph::node::NodeName;
use clap::Args;

use super::{CommandError, Session, means};
use crate::build::demand::Demand;

/// Options of `run-action`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node
    node: NodeName,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let project = session.project()?;
    let store = session.store()?;
    let plan = session.plan(&project)?;
    let fetch = session.fetcher(&project, &store);
    let demand = Demand::new(means(&store, &fetch, plan.out()), &plan);
    let obtained = demand.obtain(&options.node)?;
    plan.out().write_last_key(&options.node, obtained.key)?;
    plan.out().write_stamp(&options.node, obtained.tree)?;
    Ok(())
}
