//! `pynbox-build why NODE`: what a node's key is made of, and what has changed since it was known
//! last. Never builds anything.

use build_graph::key::KeyInputs;
use build_graph::node::NodeName;
use clap::Args;

use super::{CommandError, Reader, Session, Workplace, overrides};
use crate::build::BuildError;
use crate::build::current::{Current, State};
use crate::build::history;
use crate::build::plan::Known;
use crate::build::why::Why;

/// Options of `why`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node, or a recipe or a target with all its nodes
    #[arg(value_name = "NODE")]
    name: String,
    /// Print all parts of the key, not only what changed
    #[arg(long)]
    all: bool,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace_for(Reader::Looker)?;
    let current = Current::new(&workplace.plan, &workplace.store);
    let overridden = overrides::named(&workplace.overrides);
    let mut why = Why::new(&current, &workplace.project.root, &overridden);
    let name = options.name.parse::<NodeName>().ok().filter(|name| workplace.plan.has(name));
    if let Some(name) = name {
        return explain(&workplace, &current, &mut why, &name, options.all);
    }
    let Some(members) = workplace.plan.alias(&options.name) else {
        return Err(workplace.plan.no_node(&options.name).into());
    };
    for (number, member) in members.iter().enumerate() {
        if number > 0 {
            outln!("");
        }
        explain(&workplace, &current, &mut why, member, options.all)?;
    }
    if members.is_empty() {
        outln!("`{}` has no nodes", options.name);
    }
    Ok(())
}

fn explain(
    workplace: &Workplace,
    current: &Current<'_>,
    why: &mut Why<'_>,
    name: &NodeName,
    all: bool,
) -> Result<(), CommandError> {
    let plan = &workplace.plan;
    let node = plan.node(name)?;
    let state = current.state(name)?;
    outln!("node:   {} ({}, recipe {})", node.name, node.op.verb(), node.recipe);
    let known = match &state {
        State::Done(known) => Some(*known),
        _ => None,
    };
    let key = match &state {
        State::Done(known) => known.key,
        State::Ready(key, _) => Some(*key),
        State::Waits(_) => None,
    };
    match (key, known) {
        (Some(key), _) => outln!("key:    {key}"),
        (None, Some(_)) => outln!("key:    none: these are files of the project"),
        (None, None) => outln!("key:    not known before its inputs are"),
    }
    match known {
        Some(Known { tree, .. }) => outln!("result: {tree}"),
        None => outln!("result: none yet"),
    }
    outln!("state:  {}", why.state(name)?);
    if all {
        match current.digests(&node)? {
            Ok(digests) => {
                for line in KeyInputs::new(&node.op, &digests).explain() {
                    outln!("  {line}");
                }
            }
            Err(_) => outln!("  the parts of the key are not known before its inputs are"),
        }
    }
    match history::last_with(plan.out(), name) {
        None if known.is_none() => outln!("it was never known in this project before"),
        None => {}
        Some(since) => {
            let before = since.result(name);
            let lines = why.tell(name, &since)?;
            if !lines.is_empty() {
                let known = if known.is_some() {
                    "changed since it was another one"
                } else {
                    "changed since it was known last"
                };
                outln!("{known}:");
            } else if known.is_none() && key.is_some() && before.and_then(|before| before.key) == key {
                outln!("nothing has changed: the store has lost its result");
            }
            for (depth, line) in lines {
                outln!("  {}{line}", "  ".repeat(depth));
            }
        }
    }
    for (number, selection) in node.op.selections().iter().enumerate() {
        let repeated = node.op.selections()[..number].iter().any(|earlier| earlier.node == selection.node);
        if !repeated {
            outln!("takes:  {} ({})", selection.node, standing(current, &selection.node)?);
        }
    }
    Ok(())
}

fn standing(current: &Current<'_>, node: &NodeName) -> Result<&'static str, BuildError> {
    Ok(match current.state(node)? {
        State::Done(_) => "known",
        State::Ready(..) => "has to run",
        State::Waits(_) => "waits",
    })
}
