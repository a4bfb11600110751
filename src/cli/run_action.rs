//! `pynbox-build run-action NODE`: what ninja starts for each edge.

use build_graph::node::NodeName;
use clap::Args;

use super::{CommandError, Session, means};
use crate::build::demand::{Demand, Stamps};

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
    let demand = Demand::new(means(&store, &fetch, plan.out()), &plan, Stamps::Current);
    let obtained = demand.obtain(&options.node)?;
    if !obtained.built {
        println!("{}: another build had made it already, so it was taken from the store", options.node);
    }
    plan.out().write_last_key(&options.node, obtained.key)?;
    plan.out().write_stamp(&options.node, obtained.tree)?;
    Ok(())
}
