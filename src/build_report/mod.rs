//! The report of a build: one set of data (`data.json` within the page), and its views.
//!
//! | module | what it has |
//! |---|---|
//! | here | what is reported, from the plan, the store and the build log |
//! | [`page`] | a page of HTML that needs nothing else |
//! | [`trace`] | a trace in the trace-event format |

pub mod page;
pub mod trace;

use std::collections::{BTreeMap, HashMap};

use build_graph::node::{NodeName, Op};
use serde::Serialize;

use crate::build::BuildError;
use crate::build::current::State;
use crate::build::log::{Build, Generated, Outcome, Run};
use crate::build::why::is_of_inputs;
use crate::model::Model;
use crate::store::Origin;

/// No more differences of a key are listed.
const MAX_DIFFERENCES: usize = 4;
/// The lane of what `gen` did itself.
const GEN_LANE: usize = 0;

/// What is reported of a build. Times are microseconds since its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// When the build began, in microseconds since 1970.
    pub started: u64,
    /// How long it took from the beginning of `gen` to the end of the last run.
    pub wall: u64,
    /// The sum of all runs.
    pub busy: u64,
    /// How many lanes the timeline has: `gen`, and as many as nodes ran at once.
    pub lanes: usize,
    /// When `gen` ran.
    pub gen_spans: Vec<Span>,
    /// The nodes of the plan; runs and nodes name them by their place here.
    pub nodes: Vec<ReportedNode>,
    /// The runs, in the order of their beginnings.
    pub runs: Vec<ReportedRun>,
    /// The chain of runs, each an input of the next, that took longest in all; places in `runs`.
    pub critical_path: Vec<usize>,
    /// How long these took.
    pub critical: u64,
    /// The packages whose bytes are known.
    pub packages: Vec<PackageSize>,
}

/// From when to when something took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Span {
    /// Its beginning.
    pub start: u64,
    /// Its end.
    pub end: u64,
}

/// A node as it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReportedNode {
    /// Its name.
    pub name: String,
    /// What kind of node it is.
    pub verb: String,
    /// Its recipe.
    pub recipe: String,
    /// How it stands.
    pub state: Standing,
    /// The remote or the engine that its result is from, where it is not from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its key, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The places of the nodes that it takes.
    pub inputs: Vec<usize>,
}

/// How a node stands after a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It ran.
    Ran,
    /// It ran and failed.
    Failed,
    /// Its result was known before.
    Known,
    /// It is files of the project.
    Files,
    /// It did not have to run, because its inputs came out as before.
    CutOff,
    /// It has not been built.
    Left,
}

/// A run as it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReportedRun {
    /// The place of its node.
    pub node: usize,
    /// When it began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Its row of the timeline.
    pub lane: usize,
    /// The process.
    pub pid: u32,
    /// How it ended: `built`, `evaluated`, `local`, `remote` or `failed`.
    pub outcome: &'static str,
    /// The engine or the remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The exit status of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u8>,
    /// Why no cache had it, or why it failed; what is named first counts most.
    pub why: Vec<String>,
    /// Whether it came out as before.
    pub same: bool,
    /// How many bytes it printed.
    pub log: u64,
    /// How many of its lines are warnings.
    pub warnings: u64,
}

/// How large a package is, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PackageSize {
    /// The place of its node.
    pub node: usize,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub target: String,
    /// The archive.
    pub archive: u64,
    /// What it installs.
    pub installed: u64,
}

impl Report {
    /// Puts together what a build did, with the plan and the store as they are now.
    ///
    /// # Errors
    /// [`BuildError`] if the plan or the store can't be read.
    pub fn of(build: &Build, model: &Model<'_>) -> Result<Self, BuildError> {
        let (begin, end) = build.span().unwrap_or_default();
        let mut reporter = Reporter { build, model, nodes: Vec::new(), strangers: HashMap::new() };
        reporter.nodes()?;
        let packages = reporter.packages()?;
        let mut runs: Vec<_> = build.all_runs().collect();
        runs.sort_by_key(|run| (run.start, run.end));
        let lanes_of = lanes(build, &runs);
        let mut reported = Vec::with_capacity(runs.len());
        for (run, lane) in runs.iter().zip(&lanes_of) {
            reported.push(reporter.run(run, *lane, begin)?);
        }
        let critical_path = critical_path(&reporter.nodes, &reported);
        let took = |run: &ReportedRun| run.end - run.start;
        let span = |one: &Generated| Span { start: one.start - begin, end: one.end.max(one.start) - begin };
        Ok(Self {
            started: begin,
            wall: end - begin,
            busy: reported.iter().map(took).sum(),
            lanes: lanes_of.iter().max().map_or(1, |lane| lane + 1),
            gen_spans: build.generated.iter().map(span).collect(),
            critical: critical_path.iter().map(|at| took(&reported[*at])).sum(),
            nodes: reporter.nodes,
            runs: reported,
            critical_path,
            packages,
        })
    }
}

struct Reporter<'a> {
    build: &'a Build,
    model: &'a Model<'a>,
    nodes: Vec<ReportedNode>,
    /// Nodes that ran and that the plan does not have.
    strangers: HashMap<NodeName, usize>,
}

impl Reporter<'_> {
    fn nodes(&mut self) -> Result<(), BuildError> {
        let table = self.model.table();
        let runs: HashMap<_, _> = self.build.all_runs().map(|run| (run.node.as_str(), run)).collect();
        for at in self.model.all() {
            let name = table.name(at);
            let known = match self.model.current.state(&self.model.name(at)?) {
                Ok(State::Done(known)) => Some(known),
                // What is damaged or does not fit counts as not built; `gen` says what is wrong.
                Ok(State::Ready(..) | State::Waits(_)) | Err(_) => None,
            };
            let run = runs.get(name);
            let state = match (run.map(|run| &run.outcome), known) {
                (Some(Outcome::Failed { .. }), _) => Standing::Failed,
                (Some(_), _) => Standing::Ran,
                (None, Some(_)) if table.verb(at) == "local" => Standing::Files,
                (None, Some(_)) if table.known(at).is_some() => Standing::Known,
                (None, Some(_)) => Standing::CutOff,
                (None, None) => Standing::Left,
            };
            let key = known.and_then(|known| known.key).or_else(|| run.and_then(|run| run.key));
            let from = match key.map(|key| self.model.store().origin(key)).transpose()?.flatten() {
                Some(Origin::Cache { remote, .. }) => Some(remote),
                Some(Origin::Engine(engine)) => Some(engine),
                Some(Origin::Pack { .. }) => Some("an imported file".to_owned()),
                Some(Origin::Here) | None => None,
            };
            self.nodes.push(ReportedNode {
                name: name.to_owned(),
                verb: table.verb(at).to_owned(),
                recipe: table.recipe(at).to_owned(),
                state,
                from,
                key: key.map(|key| key.to_string()),
                inputs: table.inputs(at).collect(),
            });
        }
        Ok(())
    }

    /// The place of a node; one that the plan does not have gets one.
    fn place(&mut self, run: &Run) -> usize {
        if let Some(at) = self.model.table().find(run.node.as_str()) {
            return at;
        }
        *self.strangers.entry(run.node.clone()).or_insert_with(|| {
            let failed = matches!(run.outcome, Outcome::Failed { .. });
            self.nodes.push(ReportedNode {
                name: run.node.to_string(),
                verb: run.verb.clone(),
                recipe: String::new(),
                state: if failed { Standing::Failed } else { Standing::Ran },
                from: None,
                key: run.key.map(|key| key.to_string()),
                inputs: Vec::new(),
            });
            self.nodes.len() - 1
        })
    }

    fn run(&mut self, run: &Run, lane: usize, begin: u64) -> Result<ReportedRun, BuildError> {
        let why = self.why(run)?;
        let node = self.place(run);
        let (outcome, place, status) = match &run.outcome {
            Outcome::Built => ("built", None, None),
            Outcome::BuiltOn(engine) => ("built", Some(engine.clone()), None),
            Outcome::Evaluated => ("evaluated", None, None),
            Outcome::Local => ("local", None, None),
            Outcome::Remote(remote) => ("remote", Some(remote.clone()), None),
            Outcome::Failed { status, .. } => ("failed", None, Some(*status)),
        };
        let start = run.start.saturating_sub(begin);
        Ok(ReportedRun {
            node,
            start,
            end: run.end.saturating_sub(begin).max(start),
            lane,
            pid: run.pid,
            outcome,
            place,
            status,
            why,
            same: run.same,
            log: run.log,
            warnings: run.warnings,
        })
    }

    /// Says why no cache had the result of a run.
    fn why(&self, run: &Run) -> Result<Vec<String>, BuildError> {
        if run.outcome.is_hit() {
            return Ok(Vec::new());
        }
        let mut why = Vec::new();
        if let Outcome::Failed { why: failure, .. } = &run.outcome {
            why.push(failure.clone());
        }
        let (last, key) = match (self.build.last_key(&run.node), run.key) {
            (_, None) => return Ok(why),
            (None, Some(_)) => {
                why.push("never built in this project before".to_owned());
                return Ok(why);
            }
            (Some(last), Some(key)) => (last, key),
        };
        if last == key {
            why.push("nothing changed: the store had lost its result".to_owned());
            return Ok(why);
        }
        let store = self.model.store();
        let (Some(before), Some(now)) = (store.explanation(last)?, store.explanation(key)?) else {
            why.push("its key is another one; what it was made of is not known any more".to_owned());
            return Ok(why);
        };
        why.extend(differences(&before, &now, &self.taken(&run.node)?));
        Ok(why)
    }

    /// The nodes from which a node takes trees now, by the digests of what it takes.
    fn taken(&self, name: &NodeName) -> Result<HashMap<String, NodeName>, BuildError> {
        let Some(at) = self.model.table().find(name.as_str()) else { return Ok(HashMap::new()) };
        let node = self.model.description(at)?;
        let Ok(Ok(digests)) = self.model.current.digests(&node) else { return Ok(HashMap::new()) };
        let selections = node.op.selections();
        let nodes = selections.iter().map(|selection| selection.node.clone());
        Ok(digests.iter().map(ToString::to_string).zip(nodes).collect())
    }

    fn packages(&self) -> Result<Vec<PackageSize>, BuildError> {
        let (store, current) = (self.model.store(), &self.model.current);
        let mut packages = Vec::new();
        for at in self.model.all().filter(|at| self.model.table().verb(*at) == "package") {
            let node = self.model.description(at)?;
            let Op::Package(package) = &node.op else { continue };
            let Ok(Some(tree)) = current.tree(&node.name) else { continue };
            let Some(tree) = store.tree(tree)? else { continue };
            let mut installed = 0;
            for part in &package.content {
                if let Ok(Some(tree)) = current.tree(&part.selection.node)
                    && let Ok(part) = current.selections.select(store, tree, &part.selection)
                    && let Some(tree) = part.tree(store)?
                {
                    installed += bytes(&tree);
                }
            }
            packages.push(PackageSize {
                node: at,
                name: package.name.clone(),
                version: package.version.clone(),
                target: package.target.to_string(),
                archive: bytes(&tree),
                installed,
            });
        }
        packages.sort_by(|a, b| b.installed.cmp(&a.installed).then_with(|| a.name.cmp(&b.name)));
        Ok(packages)
    }
}

fn bytes(tree: &build_graph::Tree) -> u64 {
    let size = |entry: &build_graph::Entry| match entry {
        build_graph::Entry::File { size, .. } => *size,
        _ => 0,
    };
    tree.iter().map(|(_, entry)| size(entry)).sum()
}

/// Says how two explanations of keys differ: inputs by the nodes that they are of, everything else
/// as it stands.
fn differences(before: &[String], now: &[String], taken: &HashMap<String, NodeName>) -> Vec<String> {
    let mut found = Vec::new();
    let changed: Vec<_> = now.iter().filter(|line| !before.contains(line)).collect();
    for line in changed.iter().filter(|line| is_of_inputs(line)) {
        let Some((label, digest)) = line.rsplit_once(": ") else { continue };
        let what = match taken.get(digest) {
            Some(input) => format!("`{input}` changed"),
            // How many there are says nothing that they don't.
            None if digest.len() < 64 => continue,
            None => format!("its {} changed", label.trim()),
        };
        if !found.contains(&what) {
            found.push(what);
        }
    }
    let own = |line: &&&String| !is_of_inputs(line);
    let gone: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
    found.extend(gone.iter().filter(own).map(|line| format!("its description changed: - {line}")));
    found.extend(changed.iter().filter(own).map(|line| format!("its description changed: + {line}")));
    if found.is_empty() {
        found.push("it takes fewer inputs, or others".to_owned());
    }
    let more = found.len().saturating_sub(MAX_DIFFERENCES);
    found.truncate(MAX_DIFFERENCES);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    found
}

/// Gives each run a row in which nothing else runs at the time: `gen` has the first.
fn lanes(build: &Build, runs: &[&Run]) -> Vec<usize> {
    let of_gen: std::collections::HashSet<*const Run> =
        build.generated.iter().flat_map(|generated| &generated.runs).map(std::ptr::from_ref).collect();
    let mut free_from: Vec<u64> = Vec::new();
    runs.iter()
        .map(|run| {
            if of_gen.contains(&std::ptr::from_ref(*run)) {
                return GEN_LANE;
            }
            let lane = free_from.iter().position(|end| *end <= run.start).unwrap_or_else(|| {
                free_from.push(0);
                free_from.len() - 1
            });
            free_from[lane] = run.end;
            GEN_LANE + 1 + lane
        })
        .collect()
}

/// Finds the chain of runs, each of which needs the one before, that took longest.
fn critical_path(nodes: &[ReportedNode], runs: &[ReportedRun]) -> Vec<usize> {
    let mut of_node: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, run) in runs.iter().enumerate() {
        of_node.insert(run.node, at);
    }
    // A run begins after those that it needs have ended: in the order of beginnings, inputs come
    // first.
    let mut longest: Vec<(u64, Option<usize>)> = vec![(0, None); runs.len()];
    for (at, run) in runs.iter().enumerate() {
        let inputs = nodes[run.node].inputs.iter().filter_map(|input| of_node.get(input)).filter(|input| **input < at);
        let before = inputs.max_by_key(|input| longest[**input].0).copied();
        longest[at] = (run.end - run.start + before.map_or(0, |before| longest[before].0), before);
    }
    let mut path = Vec::new();
    let mut at = (0..runs.len()).max_by_key(|at| longest[*at].0);
    while let Some(here) = at {
        path.push(here);
        at = longest[here].1;
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests;
