//! `pynbox-build query`: how the nodes of the graph hang together, and what they come from. Builds
//! nothing.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::json::{self, Answer, JsonOption};
use super::{CommandError, Session};
use crate::model::pins::{PatchRecord, SourceRecord};
use crate::model::walk::Way;
use crate::model::{At, Model, NodeRecord};

/// The questions.
#[derive(Debug, Subcommand)]

pub(super) enum Verb {
    /// List what nodes need
    Deps(Walk),
    /// List what needs nodes
    Rdeps(Walk),
    /// Print a shortest way from a node to one that it needs
    Path(Ends),
    /// List the pinned files that nodes come from
    Sources(Of),
    /// List the patches that are applied on the way to nodes
    Patches(Of),
}

/// Options of `deps` and `rdeps`.
#[derive(Debug, Args)]
pub(super) struct Walk {
    /// Nodes, recipes, targets or patterns
    #[arg(value_name = "NODE", required = true)]
    of: Vec<String>,
    /// Go so many edges far, not to the end
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    #[command(flatten)]
    json: JsonOption,
}

/// Options of `path`.
#[derive(Debug, Args)]
pub(super) struct Ends {
    /// The node, or a recipe or pattern, that needs the other one
    #[arg(value_name = "FROM")]
    from: String,
    /// What it needs
    #[arg(value_name = "TO")]
    to: String,
    #[command(flatten)]
    json: JsonOption,
}

/// Options of `sources` and `patches`.
#[derive(Debug, Args)]
pub(super) struct Of {
    /// Nodes, recipes, targets or patterns
    #[arg(value_name = "NODE", required = true)]
    of: Vec<String>,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `query deps`, `query rdeps` and `query path`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Found {
    /// The nodes: sorted by name, or, of `path`, from the one to the other.
    nodes: Vec<NodeRecord>,
}

impl Answer for Found {
    const SCHEMA: &'static str = "query-nodes/1";
}

/// The answer of `query sources`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Sources {
    /// The pinned files.
    sources: Vec<SourceRecord>,
}

impl Answer for Sources {
    const SCHEMA: &'static str = "query-sources/1";
}

/// The answer of `query patches`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Patches {
    /// The patches.
    patches: Vec<PatchRecord>,
}

impl Answer for Patches {
    const SCHEMA: &'static str = "query-patches/1";
}

pub(super) fn run(session: &Session, verb: &Verb) -> Result<(), CommandError> {
    let questioned = session.questioned()?;
    let model = Model::new(&questioned.plan, &questioned.store);
    match verb {
        Verb::Deps(walk) => walked(&model, walk, Way::Inputs),
        Verb::Rdeps(walk) => walked(&model, walk, Way::Users),
        Verb::Path(ends) => path(&model, ends),
        Verb::Sources(of) => {
            let sources = model.sources(&nodes(&model, &of.of)?)?;
            if of.json.json {
                return json::print(&Sources { sources });
            }
            let rows: Vec<_> =
                sources.into_iter().map(|source| [source.file, source.sha256, source.origins.join(" ")]).collect();
            super::print_columns(&rows);
            Ok(())
        }
        Verb::Patches(of) => {
            let patches = model.patches(&nodes(&model, &of.of)?)?;
            if of.json.json {
                return json::print(&Patches { patches });
            }
            let rows: Vec<_> = patches.into_iter().map(|patch| [patch.node, patch.file]).collect();
            super::print_columns(&rows);
            Ok(())
        }
    }
}

/// The nodes that several words mean.
fn nodes(model: &Model<'_>, words: &[String]) -> Result<Vec<At>, CommandError> {
    let mut nodes = words.iter().map(|word| model.named(word)).collect::<Result<Vec<_>, _>>()?.concat();
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

fn walked(model: &Model<'_>, walk: &Walk, way: Way) -> Result<(), CommandError> {
    let reached = model.reach(&nodes(model, &walk.of)?, way, walk.depth);
    let mut found: Vec<_> = reached.into_iter().filter(|(_, distance)| *distance > 0).map(|(at, _)| at).collect();
    found.sort_unstable_by_key(|at| model.table().name(*at));
    show(model, &found, walk.json)
}

fn path(model: &Model<'_>, ends: &Ends) -> Result<(), CommandError> {
    let (from, to) = (model.named(&ends.from)?, model.named(&ends.to)?);
    match model.path(&from, &to) {
        Some(path) => show(model, &path, ends.json),
        None => Err(CommandError::input(format!("`{}` does not need `{}`", ends.from, ends.to))
            .hint("try it the other way round, or see what it needs by `query deps`")),
    }
}

fn show(model: &Model<'_>, nodes: &[At], json: JsonOption) -> Result<(), CommandError> {
    if json.json {
        let nodes = nodes.iter().map(|at| model.record(*at, false)).collect::<Result<_, _>>()?;
        return json::print(&Found { nodes });
    }
    let text: String = nodes.iter().flat_map(|at| [model.table().name(*at), "\n"]).collect();
    super::print::out(text.as_bytes());
    Ok(())
}
