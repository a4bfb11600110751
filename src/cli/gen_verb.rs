//! `pynbox-build gen`: resolves what is known and writes the rest out as ninja.

mod amend;
mod for_ninja;
mod left;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use build_graph::dsl::{Assembled, assemble};
use build_graph::graph::Outline;
use build_graph::ninja::{LeftNode, write_ninja};
use build_graph::node::{NodeName, Target};
use clap::Args;
use serde::Serialize;

use super::json::{Answer, JsonOption};
use super::program::build_id;
use super::{CommandError, Session, build_context, by, dry_run, overrides, waiting_for};
use crate::build::BuildError;
use crate::build::compilers;
use crate::build::evaluate::BuildContext;
use crate::build::history::{self, LastKeys};
use crate::build::log::{self, BuildLog, Generated, Moment, Run};
use crate::build::out_lock::OutLock;
use crate::build::plan::{self, Believed, Known, NewPlan, OutDir, Plan, PlanId};
use crate::build::record::{Question, Record, Summary};
use crate::build::resolve::{Described, Resolution, State, resolve, resolve_again};
use crate::build::seen::{CLOCK_STEP, EarlierFolders, Seen};
use crate::executor::Leftover;
use crate::project::{Loaded, Project};
use crate::remote::caches::Caches;
use crate::store::{Found, Store};
use amend::Amendment;
use for_ninja::{absolute, option_list, pools, refuse_names};
use left::{Left, remove_if_there, write_stamps};

/// The file that ninja reads.
const BUILD_FILE: &str = "build.ninja";
/// What ninja writes; another user's would keep it from working.
const NINJA_FILES: [&str; 2] = [".ninja_log", ".ninja_deps"];
/// So often files are read again that change while they are read.
const MAX_READINGS: usize = 5;
/// The option by which ninja asks.
const IF_CHANGED: &str = "--if-changed";

/// Options of `gen`.
#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// Only if anything has changed since the last time (ninja asks so)
    #[arg(long, hide = true)]
    pub(super) if_changed: bool,
    #[command(flatten)]
    pub(super) ask: dry_run::Options,
}

/// What decides the graph.
#[derive(Debug, Clone, Args)]
pub(super) struct Wanted {
    /// Build for this target by default, instead of the one of `pynbox.toml`
    #[arg(long, value_name = "TARGET")]
    pub(super) target: Option<String>,
    /// Take a file or a folder of yours in place of a pinned source
    #[arg(long, value_name = "NAME=PATH")]
    override_source: Vec<String>,
}

/// The answer of `gen`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct GenAnswer {
    /// Whether the last plan still holds, because nothing has changed.
    unchanged: bool,
    /// How many nodes the plan has.
    nodes: usize,
    /// How many of them are left to run for the default target.
    left: usize,
    /// How many are left for other targets.
    left_elsewhere: usize,
    /// How many results are on remotes.
    remote: usize,
}

impl Answer for GenAnswer {
    const SCHEMA: &'static str = "gen/1";
}

impl GenAnswer {
    fn of(summary: Summary, unchanged: bool) -> Self {
        let Summary { nodes, left, elsewhere, remote } = summary;
        Self { unchanged, nodes, left, left_elsewhere: elsewhere, remote }
    }
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    if options.ask.dry_run {
        return dry_run::run(session, &options.ask, options.wanted.target.as_deref(), &options.wanted.override_source);
    }
    let generation = Generation::new(session, options)?;
    let asked_by_ninja = options.if_changed;
    // What is left may be known by now, if the store has got results since.
    let results = generation.store.results_mark()?;
    let as_left = |record: &Record| record.results.is_some() && record.results == results;
    let answered = |record: &Record| asked_by_ninja || record.summary.left == 0 || as_left(record);
    let (looked_at, mut last);
    {
        let _lock = OutLock::for_reading(&generation.out, &waiting_for)?;
        (looked_at, last) = (Record::file_now(&generation.out), Record::read(&generation.out));
        if let Some(record) = &last
            && generation.is_unchanged(record)?
            && answered(record)
        {
            return generation.say_unchanged(record);
        }
    }
    generation.refuse_what_others_own()?;
    let _lock = OutLock::for_writing(&generation.out, &waiting_for)?;
    // Whoever wrote meanwhile may have done what there is to do.
    if !looked_at.is_current() {
        last = Record::read(&generation.out);
        if let Some(record) = &last
            && generation.is_unchanged(record)?
            && answered(record)
        {
            return generation.say_unchanged(record);
        }
    }
    generation.generate(last)
}

/// On what a plan is based.
struct Base {
    target: Target,
    /// The store's counter of losses, and its mark of results.
    generation: u64,
    results: Option<String>,
    /// What was looked at.
    seen: Vec<Seen>,
    /// The folders in place of sources, by the sources' names.
    folders: BTreeMap<String, PathBuf>,
    caches: Caches,
}

/// One run of `gen`: what it is asked, and where its answer goes.
struct Generation<'a> {
    session: &'a Session,
    project: Project,
    /// As the project believes it.
    store: Store,
    belief: Believed,
    out: OutDir,
    build_file: PathBuf,
    /// The target that was asked for, if any.
    target: Option<String>,
    overrides: Vec<String>,
    question: Question,
    by_ninja: bool,
    json: JsonOption,
    start: Moment,
}

impl<'a> Generation<'a> {
    fn new(session: &'a Session, options: &Options) -> Result<Self, CommandError> {
        let start = log::now();
        let project = session.project()?;
        let (store, belief) = session.believing_store(&project)?;
        let (believed, told) = (belief.digest(), session.told_unsigned(&project)?);
        let belief = Arc::new(belief.and_unsigned(told.iter().cloned()));
        let store = store.believing(by(&belief));
        // Before anything is looked up: what is dropped meanwhile makes this plan one of before.
        let drops = store.drop_mark()?;
        let out = session.out(&project);
        let build_file = project.root.join(BUILD_FILE);
        let program = std::env::current_exe().map_err(BuildError::io("find", "this program"))?;
        let id = build_id(&program).map_err(BuildError::io("read", &program))?;
        // Paths are the caller's; the same text means another one where ninja starts gen.
        let overrides =
            options.wanted.override_source.iter().map(|option| absolute(option)).collect::<Result<Vec<_>, _>>()?;
        let target = options.wanted.target.clone();
        let list = option_list(session, target.as_deref(), &overrides);
        refuse_names(&project, &store, &program, &list)?;
        let remotes = format!("{:?} {drops} {}", session.remotes(&project)?, belief.digest());
        let remotes = blake3::hash(remotes.as_bytes()).to_string();
        let question = Question {
            root: project.root.clone(),
            program: (program, id),
            compilers: compilers::places(),
            options: list,
            store: store.root().to_path_buf(),
            remotes,
        };
        let belief = Believed { digest: believed, drops, unsigned: told.into_iter().collect() };
        let (by_ninja, json) = (options.if_changed, options.ask.json);
        Ok(Self {
            session,
            project,
            store,
            belief,
            out,
            build_file,
            target,
            overrides,
            question,
            by_ninja,
            json,
            start,
        })
    }

    /// Whether all that a `gen` saw is still so.
    fn is_unchanged(&self, record: &Record) -> Result<bool, CommandError> {
        let generation = self.store.generation()?;
        Ok(record.answers(&self.question, generation, &self.out, &self.build_file))
    }

    fn say_unchanged(&self, record: &Record) -> Result<(), CommandError> {
        if self.by_ninja {
            self.note(&record.plan, record.summary, false, Vec::new(), LastKeys::new());
            return Ok(());
        }
        let Summary { nodes, left, elsewhere, remote } = record.summary;
        let left = if left == 0 { "all resolved, none".to_owned() } else { left.to_string() };
        let elsewhere = if elsewhere == 0 { String::new() } else { format!(" but {elsewhere} for other targets") };
        let asked = if remote == 0 { String::new() } else { format!("; {remote} are on remotes, not asked again") };
        sayln!(
            "gen: {nodes} nodes, {left} left to run{elsewhere} (program, files, options and store unchanged{asked})"
        );
        self.json.answer(|| GenAnswer::of(record.summary, true))
    }

    /// Appends to the build log what was found. The plan stands without it, too: on a file system
    /// that is read-only, nobody can write a log.
    fn note(&self, plan: &PlanId, summary: Summary, made: bool, runs: Vec<Run>, last: LastKeys) {
        let generated = Generated {
            start: self.start,
            end: log::now(),
            plan: plan.to_string(),
            by_ninja: self.by_ninja,
            made,
            nodes: summary.nodes as u64,
            left: (summary.left + summary.elsewhere) as u64,
            runs,
            last,
        };
        let log = BuildLog::of(&self.out);
        if let Err(error) = log.append(&[log::Record::Gen(generated)]) {
            errln!("note: the build log lacks what happens now: {error}");
        }
    }

    /// What another user made is said before anything is done, with how to mend it.
    fn refuse_what_others_own(&self) -> Result<(), BuildError> {
        let out = &self.out;
        let folders = [out.path().to_path_buf(), out.path().join("lock"), out.stamps()];
        let files = [BUILD_FILE].iter().chain(&NINJA_FILES).map(|name| self.project.root.join(name));
        plan::refuse_foreign(folders.into_iter().chain(files))
    }

    /// Makes a plan; `record` is of the last one.
    fn generate(&self, record: Option<Record>) -> Result<(), CommandError> {
        let target = self.session.target(&self.project, self.target.as_deref())?;
        // Read before the store is asked, so that what gets lost meanwhile is noticed next time.
        let generation = self.store.generation()?;
        let results = self.store.results_mark()?;
        let old = Plan::open(&self.out).ok();
        let same_store =
            |record: &Record| record.question.store == self.question.store && record.generation == generation;
        let last = record.filter(same_store).zip(old.as_ref());
        let amendment = last.as_ref().and_then(|(record, old)| self.amend(record, old, results.as_ref()));
        // From now on the plan is no answer to what was asked, until there is another one.
        Record::remove(&self.out)?;
        if let Some(amendment) = amendment
            && let Some((resolution, plan)) = self.resolve_again(&amendment)?
        {
            let Amendment { plan: nodes, seen, .. } = amendment;
            let folders = last.map(|(record, _)| record.folders).unwrap_or_default();
            let base = Base { target, generation, results, seen, folders, caches: Caches::default() };
            return self.leave(nodes, resolution, plan, Some(nodes), base);
        }
        let earlier = last.map(|(record, old)| record.folders(old, &self.store)).unwrap_or_default();
        let Loaded { materials, seen, folders, found, .. } = self.load(&earlier)?;
        drop(earlier);
        let assembled = assemble(&self.session.bundle.set, &materials.into(), &target)?;
        let caches = self.session.caches(&self.project, &self.store)?;
        let resolution = self.resolve(&assembled, found, old.as_ref(), &caches)?;
        let plan = NewPlan::new(&assembled.graph, known(&resolution))?;
        let base = Base { target, generation, results, seen, folders, caches };
        self.leave(&assembled.graph, resolution, plan, old.as_ref(), base)
    }

    /// Writes what was found out about nodes, and says so; `old` is the last plan.
    fn leave(
        &self,
        nodes: &impl Outline,
        mut resolution: Resolution,
        plan: NewPlan,
        old: Option<&Plan>,
        base: Base,
    ) -> Result<(), CommandError> {
        let Base { target, generation, results, seen, folders, caches } = base;
        let left = Left::of(nodes, &resolution, &target);
        let names = left.all.iter().map(|at| nodes.name_of(*at));
        let last = match old {
            Some(old) if *old.id() != plan.id => history::keep(old, &self.store, names)?,
            _ => history::last_keys(&self.out, names),
        };
        self.belief.write(&self.out)?;
        let plan = plan.write(&self.out)?;
        write_stamps(&self.out, nodes, &resolution.states, &left.all)?;
        let has_to_run = |node: usize| matches!(resolution.states[node], State::Run(_));
        let edges: Vec<_> =
            left.all.iter().map(|node| LeftNode { node: *node, has_to_run: has_to_run(*node) }).collect();
        let settings = self.ninja_settings(&plan, &target);
        // ninja believes its log over the stamps; with generator rules it does without one.
        remove_if_there(&self.project.root.join(NINJA_FILES[0]))?;
        let build_file = self.write_build_file(|to| write_ninja(to, nodes, &edges, &pools(), &settings))?;
        let summary = Summary {
            nodes: nodes.count(),
            left: left.all.len() - left.elsewhere,
            elsewhere: left.elsewhere,
            remote: resolution.remote,
        };
        let record = Record {
            question: self.question.clone(),
            generation,
            results: results.filter(|_| caches.is_empty()),
            seen,
            folders,
            plan,
            plan_file: Seen::now(self.out.plan()),
            build_file,
            ended: SystemTime::now(),
            summary,
            changed: OnceLock::new(),
        };
        record.write(&self.out)?;
        if self.session.common.verbose {
            for at in &resolution.again {
                outln!("again: {}", nodes.name_of(*at));
            }
            for at in &left.all {
                outln!("left: {}", nodes.name_of(*at));
            }
        }
        let log = BuildLog::of(&self.out);
        log.rotate()?;
        self.note(&record.plan, summary, true, std::mem::take(&mut resolution.runs), last);
        say_what_was_done(&left, &resolution, &caches);
        self.json.answer(|| GenAnswer::of(summary, false))
    }

    /// What the recipes need, read when nothing of it changes any more.
    fn load(&self, earlier: &EarlierFolders) -> Result<Loaded, CommandError> {
        let mut readings = 0;
        loop {
            readings += 1;
            let start = SystemTime::now();
            let mut loaded = self.project.load_again(&self.session.bundle, &self.overrides, &self.store, earlier)?;
            let end = SystemTime::now();
            // Reading may change files, too: rustup makes its settings when it is asked first.
            let settled = loaded.seen.iter().all(|seen| seen.is_settled(start, end));
            if settled && Seen::all_are_current(&loaded.seen) {
                loaded.seen.append(&mut loaded.unread);
                return Ok(loaded);
            }
            if readings == MAX_READINGS {
                // Their times don't say what was read.
                loaded.seen.append(&mut loaded.unread);
                return Ok(Loaded { folders: BTreeMap::new(), ..loaded });
            }
            std::thread::sleep(CLOCK_STEP);
        }
    }

    fn resolve(
        &self,
        assembled: &Assembled,
        found: Found,
        old: Option<&Plan>,
        caches: &Caches,
    ) -> Result<Resolution, CommandError> {
        let last = plan::last_trees(&self.out, old);
        let graph = &assembled.graph;
        self.with_context(caches, |context| resolve(graph, &assembled.contents, context, found, &last))?
            .map_err(|error| overrides::blame(error, &self.overrides, |node| inputs_of(graph, node)))
    }

    /// Resolves what may have changed, and plans the rest as it was; `None` if it can't be done so.
    fn resolve_again(&self, amendment: &Amendment<'_>) -> Result<Option<(Resolution, NewPlan)>, CommandError> {
        let Amendment { plan, others, again, trees, .. } = amendment;
        let mut found = Found::default();
        trees.iter().for_each(|tree| found.add_tree(*tree));
        let last = plan::last_trees(&self.out, Some(plan));
        let before = amendment.before(&self.out);
        let resolution = self.with_context(&Caches::default(), |context| {
            resolve_again(amendment, before, again, context, found, &last)
        })?;
        let planned = resolution.and_then(|resolution| {
            Ok(NewPlan::amended(plan, others, known(&resolution))?.map(|new| (resolution, new)))
        });
        match planned {
            // It is made anew.
            Err(BuildError::Plan { .. }) => Ok(None),
            planned => {
                planned.map_err(|error| overrides::blame(error, &self.overrides, |node| inputs_of(amendment, node)))
            }
        }
    }

    /// Does something with what evaluates nodes.
    fn with_context<T>(&self, caches: &Caches, act: impl FnOnce(&BuildContext<'_>) -> T) -> Result<T, CommandError> {
        let fetch = self.session.fetcher(&self.project, &self.store);
        let executor = self.session.find_executor(&self.project, &self.store, Leftover::Removed)?;
        let limits = self.project.settings.build.limits.limits();
        Ok(act(&build_context(&self.store, &fetch, &executor, limits, &self.out, caches)))
    }
}

/// What is known of each node, by index.
fn known(resolution: &Resolution) -> impl Fn(usize) -> Option<Known> {
    |at| match resolution.states[at] {
        State::Known(tree) => Some(Known { tree, key: resolution.keys[at] }),
        _ => None,
    }
}

fn say_what_was_done(left: &Left, resolution: &Resolution, caches: &Caches) {
    let mut notes = String::new();
    if resolution.evaluated > 0 {
        notes = format!(" ({} evaluated now)", resolution.evaluated);
    }
    if resolution.remote > 0 {
        notes.push_str(&format!(" ({} on remotes)", resolution.remote));
    }
    if caches.refused() > 0 {
        notes.push_str(&format!(" ({} refused)", caches.refused()));
    }
    let others =
        if left.elsewhere == 0 { String::new() } else { format!(", {} of them for other targets", left.elsewhere) };
    let (all, left) = (left.wanted, left.all.len());
    sayln!("gen: {all} nodes, {} resolved{notes}, {left} left to run{others}", all - left);
}

fn inputs_of(nodes: &impl Described, node: &NodeName) -> Vec<NodeName> {
    let outline = nodes.outline();
    let inputs = nodes.find_node(node).into_iter().flat_map(|at| outline.inputs_of(at));
    inputs.filter_map(|input| outline.name_of(input).parse().ok()).collect()
}
