//! `pynbox-build cache keygen|sign|verify|check`: who vouches for results, and whether they are
//! right to.

use std::path::PathBuf;
use std::str::FromStr;

use build_graph::node::Op;
use build_graph::untrusted::printable_path;
use build_graph::{NodeKey, Tree};
use clap::Args;

use super::cache_answers::{Key, Rebuilt, Refused, RemoteVerified, Rerun, Signed};
use super::json::JsonOption;
use super::{CommandError, Session, Workplace};
use crate::build::builder::Stamps;
use crate::build::evaluate::is_carried;
use crate::build::plan::Plan;
use crate::build::reachable::Reachable;
use crate::remote::caches::Outgoing;
use crate::remote::envelope::KeyId;
use crate::remote::trust::{self, public_text};
use crate::store::Origin;

/// So many differences are shown of one node.
const SHOWN: usize = 10;

/// Options of `cache keygen`.
#[derive(Debug, Args)]
pub(super) struct KeygenOptions {
    /// The file to make; only its owner will be able to read it
    file: PathBuf,
    #[command(flatten)]
    json: JsonOption,
}

/// Which nodes of the current graph.
#[derive(Debug, Args)]
pub(super) struct Nodes {
    /// Only nodes whose names begin so
    #[arg(value_name = "NODE")]
    pub(super) nodes: Vec<String>,
}

impl Nodes {
    pub(super) fn has(&self, name: &str) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|begin| name.starts_with(begin.as_str()))
    }

    /// What the plan has of them needs.
    fn reachable(&self, workplace: &Workplace) -> Result<Reachable, CommandError> {
        demand_known(&workplace.plan, &self.nodes)?;
        Ok(Reachable::of(&workplace.plan, &workplace.store, |name| self.has(name))?)
    }
}

/// An error if no node's name begins with one of these.
pub(super) fn demand_known(plan: &Plan, begins: &[String]) -> Result<(), CommandError> {
    match begins.iter().find(|begin| !plan.names().any(|name| name.starts_with(begin.as_str()))) {
        None => Ok(()),
        Some(none) => Err(CommandError::input(format!("no node's name begins with `{none}`"))
            .hint("names are those that ninja prints, such as `wasm32-wasi/zlib`")),
    }
}

/// Options of `cache sign`.
#[derive(Debug, Args)]
pub(super) struct SignOptions {
    /// Put files there even if they are there already, for they may be damaged
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    json: JsonOption,
}

/// Options of `cache verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyOptions {
    /// Read what the remote of this name has for the current graph: signatures and all bytes
    #[arg(long, value_name = "NAME")]
    pub(super) remote_name: Option<String>,
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    pub(super) json: JsonOption,
}

impl VerifyOptions {
    /// Nodes are chosen of what a remote has; of a store, all is read.
    pub(super) fn demand_remote(&self) -> Result<(), CommandError> {
        match &self.nodes.nodes[..] {
            [] => Ok(()),
            [node, ..] => Err(CommandError::input(format!("`{node}` chooses of what a remote has, and none is named"))
                .hint("name the remote, `--remote-name NAME`; without nodes, the whole store is verified")),
        }
    }
}

/// Options of `cache check`.
#[derive(Debug, Args)]
pub(super) struct CheckOptions {
    /// How many of the actions to execute again, such as `5%`
    #[arg(default_value = "5%")]
    share: Share,
    #[command(flatten)]
    nodes: Nodes,
    /// Choose as an earlier check did that printed this number
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    json: JsonOption,
}

/// Makes a key.
pub(super) fn keygen(options: &KeygenOptions) -> Result<(), CommandError> {
    let key = trust::generate(&options.file)?.verifying_key();
    outln!("# pynbox.toml of those who are to believe what it signs (key {})", KeyId::of(&key));
    outln!("[[trust.key]]\nkey = \"{}\"", public_text(&key));
    errln!(
        "the secret key is in `{}`; name it in `PYNBOX_SIGNING_KEY` where results are written",
        printable_path(&options.file)
    );
    options.json.answer(|| Key {
        file: options.file.to_string_lossy().into_owned(),
        id: KeyId::of(&key).to_string(),
        public: public_text(&key),
    })
}

/// Puts on remotes what the current graph needs and the store has.
pub(super) fn sign(session: &Session, options: &SignOptions) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    if !workplace.caches.take_results() {
        return Err(CommandError::input("no remote is to be written to")
            .hint("set `role = \"read-write\"` for one, or name one: `--remote NAME:rw=URL`"));
    }
    let store = &workplace.store;
    let reachable = options.nodes.reachable(&workplace)?;
    let mut outgoing = Vec::new();
    let mut unsigned = Vec::new();
    let mut incomplete = 0;
    for (name, key) in &reachable.nodes {
        let with_bytes = is_carried(&workplace.plan.node(name)?.op);
        let recorded = store.result_from(*key)?;
        if recorded.is_none()
            && let Some(origin) = store.origin(*key)?
            && let Err(why) = workplace.belief.judge(&origin)
        {
            outln!("{key} is not signed: {why}");
            unsigned.push(Refused { key: key.to_string(), why: why.clone() });
            continue;
        }
        let tree = recorded.as_ref().map(|(tree, _)| store.tree(*tree)).transpose()?.flatten();
        match (tree, recorded) {
            // What it is made of need not be here if its bytes don't go there.
            (Some(tree), Some((_, origin))) if !with_bytes || store.missing(&tree)?.is_empty() => {
                outgoing.push(Outgoing { key: *key, tree, origin, with_bytes });
            }
            _ => incomplete += 1,
        }
    }
    let caches = &workplace.caches;
    let pushed = if options.anew { caches.push_anew(store, &outgoing) } else { caches.push(store, &outgoing) };
    let (put, refused) = pushed?;
    for (key, why) in &refused {
        outln!("{key} is not signed: {why}");
        unsigned.push(Refused { key: key.to_string(), why: why.clone() });
    }
    outln!("{put} results put on remotes; {} not signed, {incomplete} not in the store", unsigned.len());
    options.json.answer(|| Signed { put, refused: unsigned, incomplete })?;
    if put == 0 && !outgoing.is_empty() && refused.len() < outgoing.len() {
        return Err(CommandError::environment("no remote took anything"));
    }
    Ok(())
}

/// Reads what a remote has for the current graph.
pub(super) fn verify(session: &Session, options: &VerifyOptions) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let name = options.remote_name.as_deref().unwrap_or_default();
    let reachable = options.nodes.reachable(&workplace)?;
    let mut keys: Vec<_> = reachable.keys.into_iter().collect();
    keys.sort_unstable_by_key(|key| *key.as_bytes());
    if !workplace.caches.names().any(|known| known == name) {
        let known: Vec<_> = workplace.caches.names().collect();
        return Err(CommandError::input(format!("there is no remote `{name}`"))
            .hint(format!("there are: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })));
    }
    let checked = workplace.caches.check(name, &keys).map_err(CommandError::environment)?;
    outln!(
        "remote `{name}`: {} results and {} files are right, {} absent",
        checked.results,
        checked.files,
        checked.absent
    );
    for wrong in &checked.wrong {
        outln!("wrong: {wrong}");
    }
    options.json.answer(|| RemoteVerified::of(name, &checked))?;
    if checked.wrong.is_empty() {
        return Ok(());
    }
    Err(CommandError::build(format!("remote `{name}`: {} things are wrong", checked.wrong.len()))
        .hint("readers refuse what is wrong; `cache sign --anew` from a store that is right puts files and results there again"))
}

/// Executes a share of the actions again.
pub(super) fn check(session: &Session, options: &CheckOptions) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let builder = workplace.builder(Stamps::Old);
    let store = &workplace.store;
    let seed = options.seed.unwrap_or_else(seed);
    let reachable = options.nodes.reachable(&workplace)?;
    let mut actions = Vec::new();
    for (name, key) in &reachable.nodes {
        let node = workplace.plan.node(name)?;
        if !matches!(node.op, Op::Action(_)) || !workplace.plan.is_known(name) {
            continue;
        }
        let Some(before) = store.result(*key)? else { continue };
        actions.push((name, *key, before));
    }
    let chosen = options.share.choose(&actions, |(_, key, _)| *key, seed);
    let mut wrong = Vec::new();
    for (name, key, before) in &chosen {
        let again = builder.again(name)?;
        if again.digest() == *before {
            continue;
        }
        let origin = origin_in_words(&store.origin(*key)?.unwrap_or_default());
        outln!("{name}: another run gave other bytes ({origin})");
        let files = store.tree(*before)?.map_or_else(Vec::new, |before| differences(&before, &again));
        for line in files.iter().take(SHOWN) {
            outln!("  {line}");
        }
        wrong.push(Rebuilt { node: name.to_string(), origin, files });
    }
    outln!(
        "check: {} of {} actions executed again, {} came out differently (--seed {seed})",
        chosen.len(),
        actions.len(),
        wrong.len()
    );
    let count = wrong.len();
    let (actions, executed) = (actions.len(), chosen.len());
    options.json.answer(|| Rerun { seed, actions, executed, differences: wrong })?;
    if count == 0 {
        return Ok(());
    }
    Err(CommandError::build(format!("{count} results are not what their actions give"))
        .hint("either the action is not reproducible (run the check again with the seed), or somebody put a wrong result on a remote"))
}

fn origin_in_words(origin: &Origin) -> String {
    match origin {
        Origin::Here => "the first was made here".to_owned(),
        Origin::Engine(engine) => format!("the first came from the engine `{engine}`"),
        Origin::Cache { remote, .. } => format!("the first came from the remote `{remote}`"),
        Origin::Pack { .. } => "the first came from a pack that was imported".to_owned(),
    }
}

fn differences(before: &Tree, after: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, entry) in before.iter() {
        match after.get(path.as_str()) {
            Some(other) if other == entry => {}
            Some(_) => lines.push(format!("`{path}` differs")),
            None => lines.push(format!("`{path}` is not there any more")),
        }
    }
    lines.extend(
        after
            .iter()
            .filter(|(path, _)| before.get(path.as_str()).is_none())
            .map(|(path, _)| format!("`{path}` is new")),
    );
    lines
}

/// A number that is another one each time.
pub(super) fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Without random bytes, the same are chosen each time: still a check.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_le_bytes(bytes)
}

/// A share of a whole: `5%`, `0.5%`, `100%`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(f64);

impl Share {
    /// Chooses so many of all, by chance, as the seed says; at least one if any is asked for.
    pub(super) fn choose<T>(self, all: &[T], key: impl Fn(&T) -> NodeKey, seed: u64) -> Vec<&T> {
        let number = |item: &&T| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&seed.to_le_bytes()).update(key(item).as_bytes());
            let mut number = [0; 4];
            hasher.finalize_xof().fill(&mut number);
            u32::from_le_bytes(number)
        };
        let limit = self.0 / 100.0 * (f64::from(u32::MAX) + 1.0);
        let mut chosen: Vec<_> = all.iter().filter(|item| f64::from(number(item)) < limit).collect();
        if chosen.is_empty() && self.0 > 0.0 {
            chosen.extend(all.iter().min_by_key(number));
        }
        chosen
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
        let number = number.filter(|number| (0.0..=100.0).contains(number));
        number.map(Self).ok_or_else(|| format!("`{text}` is no share: expected a percentage such as `5%`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u8) -> Vec<NodeKey> {
        (0..count).map(|at| format!("{at:064x}").parse().unwrap()).collect()
    }

    fn chosen(share: &str, count: u8, seed: u64) -> usize {
        share.parse::<Share>().unwrap().choose(&keys(count), |key| *key, seed).len()
    }

    #[test]
    fn a_share_of_some_actions_is_at_least_one() {
        for seed in 0..100 {
            assert!(chosen("1%", 20, seed) >= 1);
            assert_eq!(chosen("0.0001%", 1, seed), 1);
            assert_eq!(chosen("100%", 20, seed), 20);
            assert_eq!(chosen("0%", 20, seed), 0);
            assert_eq!(chosen("5%", 0, seed), 0);
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["5", "-1%", "101%", "NaN%", "%", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
