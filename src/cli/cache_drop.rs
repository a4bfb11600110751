//! `pynbox-build cache drop`: forgets results that are not to be used any more.

use std::collections::BTreeSet;

use build_graph::NodeKey;
use build_graph::untrusted::printable;
use clap::Args;

use super::cache_answers::Dropped;
use super::cache_remote::{Nodes, demand_known};
use super::json::JsonOption;
use super::{CommandError, Session};
use crate::build::reachable::Reachable;
use crate::remote::trust::key_id;
use crate::store::Origin;

/// What `--origin` calls packs that were imported.
const PACKS: &str = "pack";
/// What `--origin` calls this machine.
const HERE: &str = "here";

/// Options of `cache drop`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    dropped: ToDrop,
    #[command(flatten)]
    json: JsonOption,
}

/// Which results.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ToDrop {
    /// Forget what this key signed, or is said to have: its id, or the key itself
    #[arg(long, value_name = "KEY")]
    signer: Option<String>,
    /// Forget what came from a remote or an engine of this name, or from a remote at this place;
    /// `pack`: from packs; `here`: what was computed on this machine
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Forget the results of the current graph's nodes whose names begin so
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let store = session.store()?;
    let ToDrop { signer, origin, nodes } = &options.dropped;
    let keys: Vec<NodeKey> = if let Some(key) = signer {
        let id = key_id(key).map_err(|_| CommandError::input(format!("`{}` is no key", printable(key)))).map_err(
            |error| {
                error.hint("name its id, 16 hexadecimal digits in lower case, or the key as `cache keygen` printed it")
            },
        )?;
        let origins = store.origins()?;
        origins.into_iter().filter(|(_, origin)| origin.signer() == Some(id.as_str())).map(|(key, _)| key).collect()
    } else if let Some(name) = origin {
        let origins = store.origins()?;
        let from: Vec<_> = origins.iter().filter(|(_, origin)| names(origin).contains(&name.as_str())).collect();
        if from.is_empty() {
            let known: BTreeSet<_> =
                origins.iter().filter_map(|(_, origin)| names(origin).into_iter().next()).collect();
            let known: Vec<_> = known.iter().map(|name| format!("`{}`", printable(name))).collect();
            return Err(CommandError::input(format!("no result in the store came from `{}`", printable(name))).hint(
                format!("results came from {}", if known.is_empty() { "nowhere".to_owned() } else { known.join(", ") }),
            ));
        }
        from.into_iter().map(|(key, _)| *key).collect()
    } else {
        let workplace = session.workplace()?;
        let plan = &workplace.plan;
        let nodes = Nodes { nodes: nodes.clone() };
        demand_known(plan, &nodes.nodes)?;
        let reachable = Reachable::of(plan, &store, |name| nodes.has(name))?;
        // Not what they need as well.
        reachable.nodes.into_iter().filter(|(name, _)| nodes.has(name.as_str())).map(|(_, key)| key).collect()
    };
    let dropped = store.drop_results(&keys)?;
    outln!("{dropped} results dropped; what needs them is taken or made anew after the next `pynbox-build gen`");
    options.json.answer(|| Dropped { results: dropped })
}

/// By which names results of an origin are known.
fn names(origin: &Origin) -> Vec<&str> {
    match origin {
        Origin::Here => vec![HERE],
        Origin::Engine(engine) => vec![engine],
        Origin::Cache { remote, place, engine, .. } => {
            [Some(remote.as_str()), place.as_deref(), engine.as_deref()].into_iter().flatten().collect()
        }
        Origin::Pack { engine, .. } => [Some(PACKS), engine.as_deref()].into_iter().flatten().collect(),
    }
}
