//! `pynbox-build log NODE`: what actions printed, whether they failed or not.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read};

use build_graph::node::NodeName;
use build_graph::untrusted::printable;
use clap::Args;

use super::{CommandError, Reader, Session};
use crate::build::current::State;
use crate::build::journal::is_warning;
use crate::build::log::BuildLog;
use crate::called::called;
use crate::model::{At, Model};
use crate::regular;
use crate::store::Origin;

/// What a node does that has a log.
const ACTION: &str = "run";

/// Options of `log`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Nodes; a recipe stands for all its actions
    #[arg(value_name = "NODE|RECIPE", required_unless_present = "warnings")]
    names: Vec<String>,
    /// Print only warnings; without a name, those of the last build
    #[arg(long)]
    warnings: bool,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace_for(Reader::Looker)?;
    let plan = &workplace.plan;
    let model = Model::new(plan, &workplace.store);
    let mut nodes = BTreeSet::new();
    for name in &options.names {
        nodes.extend(actions_of(&model, name)?);
    }
    if options.names.is_empty() {
        let last = BuildLog::of(plan.out()).last()?.unwrap_or_default();
        nodes.extend(last.runs.into_iter().filter(|run| run.warnings > 0).map(|run| run.node));
    }
    // One node's log is printed as it is; several need their names.
    let single = match (&nodes.iter().collect::<Vec<_>>()[..], &options.names[..]) {
        ([node], [name]) => node.as_str() == name,
        _ => false,
    };
    let mut printed = 0;
    for node in &nodes {
        match open(&model, node)? {
            Log::File(file) if single => print(file, options.warnings),
            Log::File(file) => {
                outln!("== {node}");
                print(file, options.warnings);
            }
            Log::None(why) if single => errln!("note: {why}"),
            Log::None(_) => continue,
        }
        printed += 1;
    }
    if printed == 0 {
        errln!("note: {} printed nothing", if nodes.is_empty() { "no action" } else { "these actions" });
    }
    Ok(())
}

/// The actions that a word stands for: a node, those of a recipe, or those that a pattern matches.
fn actions_of(model: &Model<'_>, word: &str) -> Result<Vec<NodeName>, CommandError> {
    let table = model.table();
    let named = model.named(word)?;
    if let ([node], true) = (&named[..], table.find(word).is_some())
        && table.verb(*node) != ACTION
    {
        return Err(CommandError::input(format!("`{word}` is no action, so it has no log"))
            .hint(format!("`{} list` names the actions: their lines begin with `{ACTION}`", called())));
    }
    // A recipe's nodes lie at `TARGET/RECIPE/`, beside those that it is asked for.
    let folder = |at: At| table.name(at).rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
    let folders: BTreeSet<_> = match model.plan().alias(word) {
        Some(_) => named.iter().filter_map(|at| folder(*at)).collect(),
        None => BTreeSet::new(),
    };
    let beside = model.all().filter(|at| folders.iter().any(|folder| table.name(*at).starts_with(folder)));
    let actions = named.iter().copied().chain(beside).filter(|at| table.verb(*at) == ACTION);
    Ok(actions.map(|at| model.name(at)).collect::<Result<_, _>>()?)
}

enum Log {
    File(Box<dyn Read>),
    /// There is none, and why.
    None(String),
}

/// Opens the log of the last run of an action: of the one that failed, or of the one whose result
/// the plan has.
fn open(model: &Model<'_>, node: &NodeName) -> Result<Log, CommandError> {
    let failed = model.plan().out().failed(node).join("log");
    if let Ok(file) = regular::open(&failed) {
        return Ok(Log::File(Box::new(file)));
    }
    let key = match model.current.state(node)? {
        State::Done(known) => known.key,
        State::Ready(..) | State::Waits(_) => {
            return Ok(Log::None(format!("`{node}` has not been built; run `{} build {node}`", called())));
        }
    };
    let store = model.store();
    if let Some(file) = key.map(|key| store.log(key)).transpose()?.flatten() {
        return Ok(Log::File(Box::new(file)));
    }
    Ok(Log::None(match key.map(|key| store.origin(key)).transpose()?.flatten() {
        Some(Origin::Cache { remote, .. }) => {
            format!("`{node}` came from the remote `{}`; its log is where it was built", printable(&remote))
        }
        Some(Origin::Pack { .. }) => format!("`{node}` came from an imported file; its log is where it was built"),
        _ => format!("`{node}` printed nothing, or was built before logs were kept"),
    }))
}

fn print(log: Box<dyn Read>, warnings: bool) {
    for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
        let line = printable(&line).lines().to_string();
        if !warnings || is_warning(&line) {
            outln!("{line}");
        }
    }
}
