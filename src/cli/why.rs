//! `pynbox-build why NODE`: what a node's key is made of, and what has changed since it was known
//! last. Never builds anything.

use std::collections::HashSet;

use build_graph::key::KeyInputs;
use build_graph::node::NodeName;
use clap::Args;
use serde::Serialize;

use super::json::{self, Answer, JsonOption};
use super::{CommandError, Reader, Session, Workplace, overrides};
use crate::build::BuildError;
use crate::build::current::{Current, State};
use crate::build::history;
use crate::build::plan::Known;
use crate::build::why::Why;
use crate::model::{At, Model, NodeRecord};

/// Options of `why`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node, or a recipe, a target or a pattern with all its nodes
    #[arg(value_name = "NODE")]
    name: String,
    /// Print all parts of the key, not only what changed
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `why`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct WhyAnswer {
    /// The nodes that were asked about.
    nodes: Vec<Explained>,
}

/// A node with what changed since it was known last.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Explained {
    /// The node as it is now.
    node: NodeRecord,
    /// Whether an earlier plan knew it.
    known_before: bool,
    /// Where the chains of changes begin: files, pins, descriptions.
    because: Vec<String>,
    /// The chains, a line a step.
    changes: Vec<ChangeLine>,
}

/// A step of a chain of changes.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ChangeLine {
    /// How deep it stands: a step follows from the deeper ones after it.
    depth: usize,
    /// What changed.
    text: String,
}

impl Answer for WhyAnswer {
    const SCHEMA: &'static str = "why/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace_for(Reader::Looker)?;
    let current = Current::new(&workplace.plan, &workplace.store);
    let overridden = overrides::named(&workplace.overrides);
    let mut why = Why::new(&current, &workplace.project.root, &overridden);
    let model = Model::new(&workplace.plan, &workplace.store);
    let members = model.named(&options.name)?;
    if options.json.json {
        let nodes = members.iter().map(|at| explained(&model, &mut why, *at)).collect::<Result<_, _>>()?;
        return json::print(&WhyAnswer { nodes });
    }
    for (number, member) in members.iter().enumerate() {
        if number > 0 {
            outln!("");
        }
        explain(&workplace, &current, &mut why, &model.name(*member)?, options.all || session.common.verbose)?;
    }
    if members.is_empty() {
        outln!("`{}` has no nodes", options.name);
    }
    Ok(())
}

fn explained(model: &Model<'_>, why: &mut Why<'_>, at: At) -> Result<Explained, CommandError> {
    let name = model.name(at)?;
    let since = history::last_with(model.plan().out(), &name);
    why.forget();
    let lines = since.as_ref().map(|since| why.tell(&name, since)).transpose()?.unwrap_or_default();
    Ok(Explained {
        node: model.record(at, true)?,
        known_before: since.is_some(),
        because: std::mem::take(&mut why.roots).into_iter().collect(),
        changes: lines.into_iter().map(|(depth, text)| ChangeLine { depth, text }).collect(),
    })
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
            why.roots.clear();
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
            for (depth, line) in &lines {
                outln!("  {}{line}", "  ".repeat(*depth));
            }
            // In a chain that is long, the end of it is what one looks for.
            if lines.len() > 1 {
                for root in &why.roots {
                    outln!("root:   {root}");
                }
            }
        }
    }
    let mut named = HashSet::new();
    let selections = node.op.selections();
    for selection in &selections {
        if named.insert(&selection.node) {
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
