//! A project with the plan that `gen` left in it.

use std::borrow::Borrow;
use std::sync::Arc;

use build_graph::dsl::{Assembled, assemble};

use super::console::Console;
use super::executors::FindExecutor;
use super::program::build_id;
use super::session::{Session, by, waiting_for};
use super::{CommandError, overrides};
use crate::build::BuildError;
use crate::build::builder::{Builder, Stamps};
use crate::build::evaluate::BuildContext;
use crate::build::out_lock::OutLock;
use crate::build::plan::nodes::Nodes;
use crate::build::plan::{self, OutDir, Plan, PlanId};
use crate::build::record::{Record, Stale};
use crate::called::called;
use crate::executor::{ActionLimits, Leftover};
use crate::project::{Loaded, Project};
use crate::remote::belief::Belief;
use crate::remote::caches::Caches;
use crate::source::Fetcher;
use crate::store::Store;

/// A project with a plan, and what it takes to build nodes of it: of all, or of single ones
/// ([`Nodes`]).
pub(super) struct Workplace<P = Plan> {
    pub(super) project: Project,
    /// As the project believes it.
    pub(super) store: Store,
    pub(super) belief: Arc<Belief>,
    pub(super) plan: P,
    pub(super) fetcher: Fetcher,
    pub(super) executor: FindExecutor,
    pub(super) caches: Caches,
    /// The sources that the `gen` overrode which made the plan, where that was asked: `NAME=PATH`.
    pub(super) overrides: Vec<String>,
}

/// A plan to be asked, and the store in which its results are looked up.
pub(super) struct Questioned {
    pub(super) plan: Plan,
    /// As the project believes it.
    pub(super) store: Store,
}

/// Who takes up a plan.
pub(super) enum Reader {
    /// One who answers for what it gives out: the plan has to be current.
    Giver,
    /// The same, where the plan may be missing: then it is one of a graph of which nothing is
    /// known.
    GiverOfSources,
    /// One who explains or looks at what there is; it says what is not current.
    Looker,
}

impl<P: Borrow<Nodes>> Workplace<P> {
    /// Builds nodes of the plan.
    pub(super) fn builder(&self, stamps: Stamps) -> Builder<'_> {
        let (plan, limits) = (self.plan.borrow(), self.project.settings.build.limits.limits());
        let context = build_context(&self.store, &self.fetcher, &self.executor, limits, plan.out(), &self.caches);
        let builder = Builder::new(context, plan, stamps);
        match stamps {
            Stamps::Current => builder,
            // Who asked for a result expects no build.
            Stamps::Old => builder.telling(|node| noteln!("note: building `{node}`, which the store does not have")),
        }
    }
}

impl Session {
    /// The project with what `gen` left in it, which has to be what it would leave now.
    pub(super) fn workplace(&self) -> Result<Workplace, CommandError> {
        self.workplace_for(Reader::Giver)
    }

    pub(super) fn workplace_for(&self, reader: Reader) -> Result<Workplace, CommandError> {
        let project = self.project()?;
        let (store, belief) = self.believing_store(&project)?;
        let out = self.out(&project);
        // What is open stays as it is. Only stamps would be another plan's.
        let _lock = OutLock::for_reading(&out, &waiting_for)?;
        let is_without = matches!(reader, Reader::GiverOfSources) && !out.plan().exists();
        let open = || -> Result<_, CommandError> {
            // Each takes a while where there are many nodes and files.
            let (plan, record) = rayon::join(|| Plan::open(&out), || Record::read_and_look(&out));
            Ok((plan?, record))
        };
        let (plan, record) =
            if is_without { (self.plan_of(&project, &self.store_of(&project)?, &[], &out)?, None) } else { open()? };
        let overrides = match &reader {
            Reader::GiverOfSources if is_without => Vec::new(),
            Reader::Giver | Reader::GiverOfSources => {
                overrides::among(&check(record, &plan, &project)?.map_err(refuse)?.question.options)
            }
            Reader::Looker => match check(record, &plan, &project)? {
                Ok(record) => overrides::among(&record.question.options),
                Err(stale) => {
                    noteln!("note: {stale}; run `{} gen` to take it up", called());
                    self.last_overrides(&project)
                }
            },
        };
        let unsigned = match plan::read_belief(&out, &belief.digest(), &store.drop_mark()?) {
            // Who only looks believes no more than is believed now.
            Err(_) if is_without || matches!(reader, Reader::Looker) => Vec::new(),
            unsigned => unsigned?,
        };
        self.furnished(project, plan, (store, belief), unsigned, Leftover::Removed, overrides)
    }

    /// What an edge is built with that ninja starts, which has asked whether the plan is current:
    /// the nodes of this plan, and what keeps others from writing another one.
    pub(super) fn workplace_of_edge(
        &self,
        project: Project,
        plan: Option<&PlanId>,
    ) -> Result<(Workplace<Nodes>, OutLock), CommandError> {
        let (store, belief) = self.believing_store(&project)?;
        let out = self.out(&project);
        let lock = OutLock::for_reading(&out, &waiting_for)?;
        let nodes = Nodes::open(&out)?;
        if plan.is_some_and(|id| id != nodes.id()) {
            return Err(CommandError::input("another `gen` has made a new plan since this ninja started")
                .hint("run ninja again"));
        }
        let unsigned = plan::read_belief(&out, &belief.digest(), &store.drop_mark()?)?;
        let workplace = self.furnished(project, nodes, (store, belief), unsigned, Leftover::HandedOver, Vec::new())?;
        Ok((workplace, lock))
    }

    fn furnished<P>(
        &self,
        project: Project,
        plan: P,
        (store, belief): (Store, Belief),
        unsigned: Vec<String>,
        leftover: Leftover,
        overrides: Vec<String>,
    ) -> Result<Workplace<P>, CommandError> {
        let belief = Arc::new(self.and_told(belief, &project)?.and_unsigned(unsigned));
        let store = store.believing(by(&belief));
        let fetcher = self.fetcher(&project, &store);
        let executor = self.find_executor(&project, &store, leftover)?;
        let caches = self.caches(&project, &store)?;
        Ok(Workplace { project, store, belief, plan, fetcher, executor, caches, overrides })
    }

    /// What questions about all nodes are asked of: the plan that `gen` left, or, before the first
    /// one, the plan of a graph of which nothing is known.
    pub(super) fn questioned(&self) -> Result<Questioned, CommandError> {
        let project = self.project()?;
        if self.out(&project).plan().exists() {
            let Workplace { plan, store, .. } = self.workplace_for(Reader::Looker)?;
            return Ok(Questioned { plan, store });
        }
        let store = self.store_of(&project)?;
        let plan = self.plan_of(&project, &store, &[], &self.out(&project))?;
        Ok(Questioned { plan, store })
    }

    /// The sources that the last `gen` overrode: `NAME=PATH`.
    pub(super) fn last_overrides(&self, project: &Project) -> Vec<String> {
        Record::read(&self.out(project)).map(|record| overrides::among(&record.question.options)).unwrap_or_default()
    }

    /// The graph that the recipes make of a project's files.
    pub(super) fn assembled(
        &self,
        project: &Project,
        loaded: Loaded,
        target: Option<&str>,
    ) -> Result<Assembled, CommandError> {
        let target = self.target(project, target)?;
        Ok(assemble(&self.bundle.set, &Arc::new(loaded.materials), &target)?)
    }
}

/// Whether a plan, beside which there was this record, is the one that `gen` would make now.
fn check(record: Option<Record>, plan: &Plan, project: &Project) -> Result<Result<Record, Stale>, CommandError> {
    let program = std::env::current_exe().map_err(BuildError::io("find", "this program"))?;
    let id = build_id(&program).map_err(BuildError::io("read", &program))?;
    Ok(Record::check(record, plan, &project.root, &id))
}

pub(super) fn refuse(stale: Stale) -> CommandError {
    CommandError::input(stale.to_string()).hint(format!("run `{} gen && ninja`, then this again", called()))
}

/// Returns what the evaluation of nodes needs in this project.
pub(super) fn build_context<'a>(
    store: &'a Store,
    fetch: &'a Fetcher,
    executor: &'a FindExecutor,
    limits: ActionLimits,
    out: &'a OutDir,
    caches: &'a Caches,
) -> BuildContext<'a> {
    let engine = executor.engine_name.as_deref();
    BuildContext { store, fetch, runner: executor, engine, limits, out: Some(out), caches, reporter: &Console }
}
