//! `pynbox-build shell NODE`: a shell in the view of an action that failed.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use build_graph::node::{NodeName, Op};
use clap::Args;

use super::{CommandError, Reader, Session};
use crate::build::action::{ActionRun, View};
use crate::build::builder::Stamps;
use crate::build::selections::Selected;
use crate::called::{called, quoted};
use crate::executor::{Status, describe_reached};

/// Options of `shell`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node of the action
    node: NodeName,
}

/// Gives the shell's exit status; 128 and its number for a signal, as shells do.
pub(super) fn run(session: &Session, options: &Options) -> Result<ExitCode, CommandError> {
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
        return Err(CommandError::input(format!("`{}` has not failed", node.name)).hint(format!(
            "build it first: `{} build {}`",
            called(),
            node.name
        )));
    }
    let mut inputs = workplace.builder(Stamps::Old).inputs(&node)?.into_iter();
    let image = inputs.next().ok_or_else(|| CommandError::input(format!("`{}` has no image", node.name)))?;
    let limits = workplace.project.settings.build.limits.limits();
    let inputs = inputs.map(Selected::whole).collect();
    let run = ActionRun { name: &node.name, action, image: image.digest(), inputs, limits };
    let view = View::new(store, &run)?;
    // On standard error: standard output is the shell's, and may be read by a program.
    if std::io::stdin().is_terminal() {
        let command: Vec<_> = action.command.words().map(|word| quoted(word)).collect();
        errln!(
            "a shell in the view of `{}`; `/build` is what the action left in `{}`, and it ran:\n{}",
            node.name,
            build.display(),
            command.join(" ")
        );
    }
    let status = match view.shell(store, &run, (workplace.executor.here.0)()?.as_ref(), &build)? {
        Status::Exited(status) => status,
        Status::Signalled(signal) => 128 + signal,
        Status::Reached(limit) => {
            return Err(CommandError::build(format!("the shell {}", describe_reached(limit, &limits))));
        }
    };
    Ok(u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from))
}
