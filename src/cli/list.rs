//! `pynbox-build list`: the nodes of the graph, by name; or, of a folder, what is installed there.

use std::path::Path;

use build_graph::key;
use clap::Args;
use serde::Serialize;

use super::json::{self, Answer, JsonOption};
use super::print;
use super::{CommandError, Session};
use crate::install::Installed;
use crate::model::{Model, NodeRecord};

/// Options of `list`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only nodes whose names or recipes match one of these: a name, a recipe, a target, or a
    /// pattern such as `'wasm32-wasi/zlib/*.o'` (`**` goes over `/`). A folder in which packages are
    /// installed: what they are, and its generations
    #[arg(value_name = "PATTERN|DEST")]
    patterns: Vec<String>,
    /// With each node, its recipe, how it stands now (`known`, `built` since `gen`, `ready` to run,
    /// `waiting`), and its key
    #[arg(long, short = 'l', conflicts_with = "keys")]
    long: bool,
    /// With each node, what its key is made of: a selection of a tree stands there as the digest of
    /// the node that it is of and of its patterns. Nodes with equal lines have equal keys
    #[arg(long, conflicts_with_all = ["patterns", "json"])]
    keys: bool,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `list`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Nodes {
    /// The nodes, sorted by name.
    nodes: Vec<NodeRecord>,
}

impl Answer for Nodes {
    const SCHEMA: &'static str = "list/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    if options.keys {
        let project = session.project()?;
        let loaded = project.load(&session.bundle, &[], &session.store_of(&project)?)?;
        let graph = session.assembled(&project, loaded, None)?.graph;
        print::out(key::listing(&graph).as_bytes());
        return Ok(());
    }
    if let [dest] = options.patterns.as_slice()
        && let Some(installed) = Installed::find(Path::new(dest))?
    {
        return super::dest::list(&installed, &session.bundle.set, options.json);
    }
    let questioned = session.questioned()?;
    let model = Model::new(&questioned.plan, &questioned.store);
    let mut nodes = match options.patterns.as_slice() {
        [] => model.all().collect(),
        patterns => patterns.iter().map(|pattern| model.named(pattern)).collect::<Result<Vec<_>, _>>()?.concat(),
    };
    nodes.sort_unstable_by_key(|at| model.table().name(*at));
    nodes.dedup();
    if options.json.json {
        let nodes = nodes.into_iter().map(|at| model.record(at, options.long)).collect::<Result<_, _>>()?;
        return json::print(&Nodes { nodes });
    }
    if options.long {
        return long(&model, &nodes);
    }
    let table = model.table();
    let mut lines: Vec<_> = nodes.iter().map(|at| format!("{} {}\n", table.verb(*at), table.name(*at))).collect();
    lines.sort_unstable();
    print::out(lines.concat().as_bytes());
    Ok(())
}

fn long(model: &Model<'_>, nodes: &[usize]) -> Result<(), CommandError> {
    let mut rows = Vec::new();
    for at in nodes {
        let NodeRecord { name, recipe, operation, state, key, .. } = model.record(*at, true)?;
        let key = key.map_or_else(|| "-".to_owned(), |key| key[..16].to_owned());
        rows.push([operation, state.word().to_owned(), key, recipe, name]);
    }
    super::print_columns(&rows);
    Ok(())
}
