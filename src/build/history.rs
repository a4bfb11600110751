//! What was known when earlier plans ended, so that `why` can say what has changed since a node was
//! known last.
//!
//! A file `out/history/NUMBER` is written when another plan takes the place of one, with a line a
//! node whose result that plan knew, or that was built by it: tree, key, name. It is kept as long
//! as a node that is left now has no newer one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use build_graph::NodeKey;
use build_graph::node::NodeName;

use super::BuildError;
use super::current::{Current, State};
use super::plan::{Known, OutDir, Plan, parse_known, write_atomically};
use crate::store::Store;

/// No more than this are kept, whoever needs them.
const MAX_SNAPSHOTS: usize = 32;

/// What was known when a plan ended.
#[derive(Debug, Default)]
pub struct Snapshot {
    known: HashMap<String, Known>,
}

impl Snapshot {
    /// The result that the node had.
    pub fn result(&self, node: &NodeName) -> Option<Known> {
        self.known.get(node.as_str()).copied()
    }

    /// What is known by a plan now.
    pub fn of(plan: &Plan, store: &Store) -> Self {
        let current = Current::new(plan, store);
        let table = plan.table();
        let of_plan = (0..table.len()).filter_map(|at| Some((table.name(at).to_owned(), table.known(at)?)));
        let mut known: HashMap<_, _> = of_plan.collect();
        // What was built by that plan has a stamp.
        for node in plan.out().stamped() {
            // A plan that is damaged or does not fit its store has less of a history.
            if plan.has(&node)
                && !plan.is_known(&node)
                && let Ok(State::Done(result)) = current.state(&node)
            {
                known.insert(node.to_string(), result);
            }
        }
        Self { known }
    }

    /// Takes the key of a node whose result this has; gives whether it has none.
    fn is_last_of(&self, node: &str, last: &mut LastKeys) -> bool {
        let Some(known) = self.known.get(node) else { return true };
        last.extend(known.key.and_then(|key| Some((node.parse().ok()?, key))));
        false
    }

    fn parse(text: &str) -> Option<Self> {
        let mut known = HashMap::new();
        for line in text.lines() {
            let mut fields = line.splitn(3, ' ');
            let result = parse_known(fields.next()?, fields.next()?)??;
            known.insert(fields.next()?.to_owned(), result);
        }
        Some(Self { known })
    }
}

/// The keys that nodes had when they were known last.
pub type LastKeys = BTreeMap<NodeName, NodeKey>;

/// Notes what is known by a plan that is about to be replaced, and forgets what nobody needs:
/// `left` are the nodes that the new plan leaves to run. Returns the keys that these had last.
///
/// # Errors
/// [`BuildError::Io`] if it can't be written.
pub fn keep<'a>(old: &Plan, store: &Store, left: impl Iterator<Item = &'a str>) -> Result<LastKeys, BuildError> {
    let known = Snapshot::of(old, store).known;
    let mut text = String::new();
    for name in old.names() {
        let Some(known) = known.get(name) else { continue };
        let key = known.key.map_or_else(|| "-".to_owned(), |key| key.to_string());
        let _ = writeln!(text, "{} {key} {name}", known.tree);
    }
    let numbers = numbers(old.out());
    let number = numbers.last().map_or(1, |last| last + 1);
    write_atomically(&file(old.out(), number), text.as_bytes())?;
    let mut looking: Vec<_> = left.collect();
    let mut last = LastKeys::new();
    for (place, number) in std::iter::once(&number).chain(numbers.iter().rev()).enumerate() {
        let before = looking.len();
        if place < MAX_SNAPSHOTS
            && let Some(snapshot) = read(old.out(), *number)
        {
            looking.retain(|node| snapshot.is_last_of(node, &mut last));
        }
        // The newest one stays: the next edit may make a node need it.
        if place > 0 && looking.len() == before {
            let path = file(old.out(), *number);
            fs::remove_file(&path).map_err(BuildError::io("remove", path))?;
        }
    }
    Ok(last)
}

/// Returns the keys that these nodes had last, from the snapshots that are there.
pub fn last_keys<'a>(out: &OutDir, left: impl Iterator<Item = &'a str>) -> LastKeys {
    let numbers = numbers(out);
    let mut last = LastKeys::new();
    if numbers.is_empty() {
        return last;
    }
    let mut looking: Vec<_> = left.collect();
    for snapshot in numbers.into_iter().rev().filter_map(|number| read(out, number)) {
        if looking.is_empty() {
            break;
        }
        looking.retain(|node| snapshot.is_last_of(node, &mut last));
    }
    last
}

/// The newest snapshot in which a node has a result.
pub fn last_with(out: &OutDir, node: &NodeName) -> Option<Snapshot> {
    let mut numbers = numbers(out);
    numbers.reverse();
    numbers.into_iter().filter_map(|number| read(out, number)).find(|snapshot| snapshot.result(node).is_some())
}

fn read(out: &OutDir, number: u64) -> Option<Snapshot> {
    Snapshot::parse(&fs::read_to_string(file(out, number)).ok()?)
}

fn numbers(out: &OutDir) -> Vec<u64> {
    let Ok(folder) = fs::read_dir(folder(out)) else { return Vec::new() };
    let mut numbers: Vec<_> = folder.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn folder(out: &OutDir) -> PathBuf {
    out.path().join("history")
}

fn file(out: &OutDir, number: u64) -> PathBuf {
    folder(out).join(number.to_string())
}
