//! `pynbox-build shell NODE`: a shell in the view of an action that failed.

use build_graph::node::{NodeName, Op};
use build_graph::untrusted::printable_path;
use clap::Args;

use super::{CommandError, Reader, Session};
use crate::build::action::{ActionRun, View};
use crate::build::demand::Stamps;

/// Options of `shell`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node of the action
    node: NodeName,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace_for(Reader::Looker)?;
    let (store, plan) = (&workplace.store, &workplace.plan);
    let node = plan.node(&options.node)?;
    let Op::Action(action) = &node.op else {
        return Err(CommandError::input(format!(
            "`{}` is no action, so there is no view to open a shell in",
            node.name
        )));
    };
    let build = plan.out().failed(&node.name).join("build");
    if !build.is_dir() {
        return Err(CommandError::input(format!("`{}` has not failed", node.name))
            .hint(format!("build it first: `ninja {}`", printable_path(&plan.out().stamp(&node.name)))));
    }
    let mut inputs = workplace.demand(Stamps::Old).inputs(&node)?.into_iter();
    let image = inputs.next().ok_or_else(|| CommandError::input(format!("`{}` has no image", node.name)))?;
    let run = ActionRun { name: &node.name, action, image, inputs: inputs.collect() };
    let view = View::new(store, &run)?;
    outln!("the action's command is: {}", action.command.join(" "));
    view.shell(action, (workplace.executor.here)()?.as_ref(), &build)?;
    Ok(())
}
