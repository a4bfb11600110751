//! `pynbox-build gen --dry-run`: what `gen` would leave to run, and why. Runs nothing, asks no
//! remote, and changes nothing in `out/`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use build_graph::node::NodeName;
use clap::Args;
use serde::Serialize;

use super::json::{self, Answer, JsonOption};
use super::{CommandError, Session, overrides};
use crate::build::current::{Current, State};
use crate::build::history::{self, Snapshot};
use crate::build::plan::{NewPlan, OutDir, Plan};
use crate::build::why::Why;
use crate::model::{At, Model, Standing};
use crate::store::Store;

/// Options of `gen` for those who only ask.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Options {
    /// Only say what would be left to run; write no plan and no `build.ninja`, and ask no remote
    #[arg(long, short = 'n', conflicts_with = "if_changed")]
    pub(super) dry_run: bool,
    /// With each node that would run, say why: the file, the pin or the description that changed
    #[arg(long, requires = "dry_run")]
    explain: bool,
    /// Write the plan that would be made to a file, for `diff`
    #[arg(long, requires = "dry_run", value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    pub(super) json: JsonOption,
}

/// The answer of `gen --dry-run`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DryRun {
    /// How many nodes there are that somebody can ask for.
    nodes: usize,
    /// How many of them are known.
    known: usize,
    /// What has to run, or is done by `gen` itself.
    run: Vec<Run>,
    /// What may have to run when its inputs are known.
    wait: Vec<Wait>,
}

/// A node that has to run.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Run {
    /// Its name.
    node: String,
    /// What it does.
    operation: String,
    /// Whether `gen` does it itself.
    by_gen: bool,
    /// With `--explain`: what changed at the root.
    because: Vec<String>,
}

/// A node that waits.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Wait {
    /// Its name.
    node: String,
    /// The inputs that it waits for.
    waits_for: Vec<String>,
}

impl Answer for DryRun {
    const SCHEMA: &'static str = "gen-dry-run/1";
}

pub(super) fn run(
    session: &Session,
    options: &Options,
    target: Option<&str>,
    overridden: &[String],
) -> Result<(), CommandError> {
    let project = session.project()?;
    let store = session.store_of(&project)?;
    let out = session.out(&project);
    let loaded = project.load(&session.bundle, overridden, &store)?;
    let graph = session.assembled(&project, loaded, target)?.graph;
    let new = NewPlan::new(&graph, |_| None)?;
    if let Some(file) = &options.save {
        new.write_to(file)?;
    }
    let plan = new.open(&out)?;
    let model = Model::new(&plan, &store);
    let aliases = plan.aliases().keys().map(|alias| model.named(alias)).collect::<Result<Vec<_>, _>>()?.concat();
    let wanted: Vec<_> =
        model.reach(&aliases, crate::model::walk::Way::Inputs, None).into_iter().map(|(at, _)| at).collect();
    let overridden = overrides::named(overridden);
    let mut reasons = Reasons::new(&model.current, &project.root, &overridden, &out, &store);
    let mut answer = DryRun { nodes: wanted.len(), known: 0, run: Vec::new(), wait: Vec::new() };
    for at in wanted {
        match model.standing(at)? {
            Standing::Ready => {
                let because = if options.explain { reasons.of(&model.name(at)?)? } else { Vec::new() };
                answer.run.push(has_to_run(&model, at, because));
            }
            Standing::Waiting => answer.wait.push(waits(&model, at)?),
            Standing::Known | Standing::Left | Standing::Built => answer.known += 1,
        }
    }
    if options.json.json { json::print(&answer) } else { answer.show(options) }
}

fn has_to_run(model: &Model<'_>, at: At, because: Vec<String>) -> Run {
    let operation = model.table().verb(at).to_owned();
    let by_gen = matches!(operation.as_str(), "unpack" | "wheel" | "patch" | "merge");
    Run { node: model.table().name(at).to_owned(), operation, by_gen, because }
}

fn waits(model: &Model<'_>, at: At) -> Result<Wait, CommandError> {
    let waits_for = match model.current.state(&model.name(at)?)? {
        State::Waits(inputs) => inputs.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    Ok(Wait { node: model.table().name(at).to_owned(), waits_for })
}

impl DryRun {
    fn show(&self, options: &Options) -> Result<(), CommandError> {
        for run in &self.run {
            let who = if run.by_gen { "gen itself" } else { "run" };
            outln!("{who}: {} ({})", run.node, run.operation);
            for because in &run.because {
                outln!("  {because}");
            }
        }
        if options.explain {
            for wait in &self.wait {
                outln!("wait: {}", wait.node);
                outln!("  for {}", wait.waits_for.join(", "));
            }
        }
        let (run, wait) = (self.run.len(), self.wait.len());
        outln!("gen --dry-run: {} nodes, {} known, {run} to run, {wait} that wait for them", self.nodes, self.known);
        Ok(())
    }
}

/// Says why nodes have to run, from what the plan in `out/` and the ones before it knew.
struct Reasons<'a> {
    why: Why<'a>,
    before: Snapshot,
    out: &'a OutDir,
}

impl<'a> Reasons<'a> {
    fn new(
        current: &'a Current<'a>,
        root: &'a std::path::Path,
        overrides: &'a [(String, PathBuf)],
        out: &'a OutDir,
        store: &Store,
    ) -> Self {
        let before = Plan::open(out).map(|plan| Snapshot::of(&plan, store)).unwrap_or_default();
        Self { why: Why::new(current, root, overrides), before, out }
    }

    fn of(&mut self, node: &NodeName) -> Result<Vec<String>, CommandError> {
        let older;
        let since = if self.before.result(node).is_some() {
            &self.before
        } else {
            let Some(found) = history::last_with(self.out, node) else {
                return Ok(vec!["it was never known in this project before".to_owned()]);
            };
            older = found;
            &older
        };
        self.why.forget();
        let lines = self.why.tell(node, since)?;
        let roots: BTreeSet<_> = std::mem::take(&mut self.why.roots);
        Ok(match (roots.is_empty(), lines.is_empty()) {
            (true, true) => vec!["nothing has changed: the store has lost its result".to_owned()],
            (true, false) => lines.into_iter().map(|(_, line)| line).collect(),
            (false, _) => roots.into_iter().collect(),
        })
    }
}
