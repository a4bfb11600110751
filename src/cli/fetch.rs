//! `pynbox-build fetch`: gets all pinned sources that are not in the store, in parallel, with a
//! progress bar.

use std::sync::Arc;

use build_graph::dsl::assemble;
use build_graph::key::KeyInputs;
use build_graph::node::{Op, Source};
use build_graph::{Entry, Tree};
use clap::Args;
use serde::Serialize;

use super::json::{Answer, JsonOption};
use super::{CommandError, Session, console};
use crate::build::BuildError;
use crate::build::evaluate::source_name;
use crate::called::called;
use crate::source::Job;
use crate::store::{Store, StoreError};

/// Options of `fetch`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What this target needs, instead of the one of `pynbox.toml`
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Only these sources, by name
    names: Vec<String>,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `fetch`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Fetched {
    /// The names of the sources that were downloaded; the others were here already.
    fetched: Vec<String>,
}

impl Answer for Fetched {
    const SCHEMA: &'static str = "fetch/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let project = session.project()?;
    let store = session.store_of(&project)?;
    let loaded = project.load(&session.bundle, &[], &store)?;
    let target = session.target(&project, options.target.as_deref())?;
    let assembled = assemble(&session.bundle.set, &Arc::new(loaded.materials), &target)?;
    let Some(packages) = assembled.graph.aliases().get(target.as_str()) else {
        return Err(CommandError::input(format!("there is no target `{target}`")));
    };
    let needed = assembled.graph.closure(packages.iter().copied());
    let scratch = store.scratch()?;
    let mut jobs = Vec::new();
    let mut unknown = options.names.clone();
    for (at, node) in assembled.graph.nodes().iter().enumerate() {
        let Op::Source(source) = &node.op else { continue };
        let name = source_name(&node.name);
        unknown.retain(|wanted| wanted != name);
        let wanted = match options.names.as_slice() {
            [] => needed.contains(&at),
            names => names.iter().any(|wanted| wanted == name),
        };
        if wanted && store.whole_result(KeyInputs::new(&node.op, &[]).key())?.is_none() {
            let dest = scratch.path().join(jobs.len().to_string());
            jobs.push((&node.op, Job { name: name.to_owned(), source, dest }));
        }
    }
    if let Some(name) = unknown.first() {
        return Err(CommandError::input(format!("there is no source `{name}`"))
            .hint(format!("`{} source list` lists the pins", called())));
    }
    let fetcher = session.fetcher(&project, &store);
    let only_jobs: Vec<_> = jobs.iter().map(|(_, job)| job.clone()).collect();
    let results = fetcher.fetch_all(&only_jobs, &*console::with_transfers(jobs.len()), |at, result| {
        let (op, job) = &jobs[at];
        let entry = store.put_file(&result?.path, false)?;
        record(&store, op, job.source, entry)
    });
    let mut failed: Option<CommandError> = None;
    for error in results.into_iter().filter_map(Result::err) {
        // The last one ends the command.
        if let Some(before) = failed.replace(error) {
            errln!("{before}");
        }
    }
    match failed {
        Some(error) => Err(error),
        None => {
            outln!("fetch: all sources are here ({} new)", jobs.len());
            options.json.answer(|| Fetched { fetched: jobs.iter().map(|(_, job)| job.name.clone()).collect() })
        }
    }
}

/// Records a source's file, whose bytes were checked, as the result of its node.
pub(super) fn record(store: &Store, op: &Op, source: &Source, entry: Entry) -> Result<(), CommandError> {
    let mut tree = Tree::new();
    tree.insert(source.file.clone(), entry).map_err(BuildError::from)?;
    let digest = store.put_tree(&tree)?;
    let inputs = KeyInputs::new(op, &[]);
    store.record(inputs.key(), digest, &inputs.explain()).map_err(|error: StoreError| error.into())
}
