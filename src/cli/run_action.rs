//! `pynbox-build run-action NODE`: what ninja starts for each edge.

use build_graph::node::NodeName;
use clap::Args;

use super::{CommandError, Console, Kind, Session, overrides};
use crate::build::builder::Stamps;
use crate::build::journal::Journal;
use crate::build::log::BuildLog;
use crate::build::plan::PlanId;

/// Options of `run-action`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node
    node: NodeName,
    /// The plan that the edge is of
    #[arg(long)]
    plan: Option<PlanId>,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let log = BuildLog::of(&session.out(&session.project()?));
    let _ = session.noted_in.set(log.clone());
    let (workplace, _lock) = session.workplace_of_edge(options.plan.as_ref())?;
    let inputs = |node: &NodeName| {
        let node = workplace.plan.node(node).map(|node| node.op.selections().iter().map(|s| s.node.clone()).collect());
        node.unwrap_or_default()
    };
    let journal = Journal::new(log, Box::new(Console), |error| Kind::of_build(error).exit_code());
    let obtained = workplace.builder(Stamps::Current).noting(journal).obtain(&options.node);
    let blame = |error| overrides::blame(error, &session.last_overrides(&workplace.project), inputs);
    let obtained = obtained.map_err(blame)?;
    workplace.plan.out().write_stamp(&options.node, obtained.tree)?;
    if !obtained.built {
        outln!("{}: another build had made it already, so it was taken from the store", options.node);
    }
    Ok(())
}
