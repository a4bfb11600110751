//! `pynbox-build run-action NODE`: what ninja starts for each edge.

use std::ffi::OsString;

use build_graph::node::NodeName;
use clap::{Args, ColorChoice};

use super::{Cli, CommandError, Common, Console, Kind, Session, Verb, overrides};
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

/// Reads the command line of an edge, as `gen` writes it where nothing more was asked of it. To
/// read any command line takes a good part of what an edge takes; `None` for any other.
pub(super) fn of_edge(arguments: impl Iterator<Item = OsString>) -> Option<Cli> {
    let arguments: Vec<_> = arguments.skip(1).map(|argument| argument.into_string().ok()).collect::<Option<_>>()?;
    let [verb, node, option, plan] = arguments.as_slice() else { return None };
    if verb != "run-action" || node.starts_with('-') || option != "--plan" {
        return None;
    }
    let options = Options { node: node.parse().ok()?, plan: Some(plan.parse().ok()?) };
    let common = Common {
        project: ".".into(),
        offline: false,
        executor: None,
        remote: Vec::new(),
        no_remote: false,
        quiet: false,
        verbose: false,
        color: ColorChoice::Auto,
    };
    Some(Cli { common, verb: Verb::RunAction(options) })
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let project = session.project()?;
    let log = BuildLog::of(&session.out(&project));
    let _ = session.noted_in.set(log.clone());
    let (workplace, _lock) = session.workplace_of_edge(project, options.plan.as_ref())?;
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn an_edge_is_read_as_any_command_line_is() {
        let read = |line: &str| of_edge(line.split(' ').map(OsString::from)).map(|cli| format!("{cli:?}"));
        let plan = "0".repeat(64);
        let edge = format!("program run-action wasm32-wasi/zlib/a.o --plan {plan}");
        let parsed = Cli::try_parse_from(edge.split(' ')).unwrap();
        assert_eq!(read(&edge), Some(format!("{parsed:?}")));
        for other in [
            "program run-action a".to_owned(),
            format!("program run-action --plan {plan} a"),
            format!("program run-action a --plan {}", &plan[1..]),
            format!("program run-action -a --plan {plan}"),
            format!("program run-action a/ --plan {plan}"),
            format!("program --offline run-action a --plan {plan}"),
            format!("program build a --plan {plan}"),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
