//! What was known when earlier plans ended, so that `why` can say what has changed since a node was
//! known last.
//!
//! A file `out/history/NUMBER` is written when another plan takes the place of one, with a line a
//! node whose result that plan knew, or that was built by it, in the order of their names: tree,
//! key, name. It is kept as long as a node that is left now has no newer one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use build_graph::NodeKey;
use build_graph::node::NodeName;

use super::BuildError;
use super::current::{Current, State};
use super::plan::{Known, NONE, OutDir, Plan, parse_known, write_atomically};
use crate::store::Store;

/// No more than this are kept, whoever needs them.
const MAX_SNAPSHOTS: usize = 32;

/// What was known when a plan ended: the lines of its file. Whoever asks for a node reads the few
/// that lead to it.
#[derive(Debug, Default)]
pub struct Snapshot {
    lines: String,
}

impl Snapshot {
    /// The result that the node had.
    pub fn result(&self, node: &NodeName) -> Option<Known> {
        self.find(node.as_str())
    }

    fn find(&self, node: &str) -> Option<Known> {
        let lines = self.lines.as_bytes();
        let (mut begin, mut end) = (0, lines.len());
        while begin < end {
            let middle = begin + (end - begin) / 2;
            let start = lines[begin..middle].iter().rposition(|byte| *byte == b'\n').map_or(begin, |at| begin + at + 1);
            let stop = lines[middle..end].iter().position(|byte| *byte == b'\n').map_or(end, |at| middle + at);
            // Line feeds are no parts of characters.
            let mut fields = self.lines[start..stop].splitn(3, ' ');
            let (tree, key, name) = (fields.next()?, fields.next()?, fields.next()?);
            match name.cmp(node) {
                std::cmp::Ordering::Less => begin = stop + 1,
                std::cmp::Ordering::Equal => return parse_known(tree, key)?,
                std::cmp::Ordering::Greater => end = start,
            }
        }
        None
    }

    /// What is known by a plan now.
    pub fn of(plan: &Plan, store: &Store) -> Self {
        let current = Current::new(plan, store);
        let table = plan.table();
        // What was built by that plan has a stamp. A plan that is damaged or does not fit its store
        // has less of a history.
        let built = |node: &NodeName| {
            let at = table.find(node.as_str()).filter(|at| table.known(*at).is_none())?;
            let Ok(State::Done(known)) = current.state(node) else { return None };
            Some((at, known))
        };
        let built: HashMap<_, _> = plan.out().stamped().iter().filter_map(built).collect();
        let mut lines = String::new();
        for at in table.by_name() {
            let Some(Known { tree, key }) = table.known(at).or_else(|| built.get(&at).copied()) else { continue };
            let name = table.name(at);
            let _ = match key {
                Some(key) => writeln!(lines, "{tree} {key} {name}"),
                None => writeln!(lines, "{tree} {NONE} {name}"),
            };
        }
        Self { lines }
    }

    /// Takes the key of a node whose result this has; gives whether it has none.
    fn is_last_of(&self, node: &str, last: &mut LastKeys) -> bool {
        let Some(known) = self.find(node) else { return true };
        last.extend(known.key.and_then(|key| Some((node.parse().ok()?, key))));
        false
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
    let newest = Snapshot::of(old, store);
    let numbers = numbers(old.out());
    let number = numbers.last().map_or(1, |last| last + 1);
    write_atomically(&file(old.out(), number), newest.lines.as_bytes())?;
    let mut looking: Vec<_> = left.collect();
    let mut last = LastKeys::new();
    // The newest one stays: the next edit may make a node need it.
    looking.retain(|node| newest.is_last_of(node, &mut last));
    for (place, number) in numbers.iter().rev().enumerate() {
        let before = looking.len();
        if place + 1 < MAX_SNAPSHOTS
            && before > 0
            && let Some(snapshot) = read(old.out(), *number)
        {
            looking.retain(|node| snapshot.is_last_of(node, &mut last));
        }
        if looking.len() == before {
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
    Some(Snapshot { lines: fs::read_to_string(file(out, number)).ok()? })
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

#[cfg(test)]
mod tests {
    use build_graph::TreeDigest;

    use super::*;

    #[test]
    fn every_node_of_a_snapshot_is_found_and_no_other() {
        let names: Vec<_> = (0..200).map(|number| format!("target/n{number:03}")).collect();
        let result = |at: usize| {
            let key = (!at.is_multiple_of(3)).then(|| NodeKey::from_bytes([at as u8; 32]));
            Known { tree: TreeDigest::from_bytes([at as u8; 32]), key }
        };
        for count in [0, 1, 2, 3, 199] {
            let line = |at: usize| {
                let Known { tree, key } = result(at);
                format!("{tree} {} {}\n", key.map_or(NONE.to_owned(), |key| key.to_string()), names[at])
            };
            let snapshot = Snapshot { lines: (0..count).map(line).collect() };
            for (at, name) in names.iter().enumerate() {
                let found = snapshot.result(&name.parse().unwrap());
                assert_eq!(found, (at < count).then(|| result(at)), "{name} of {count}");
            }
            for name in ["a", "target", "target/n", "target/n0001", "z"] {
                assert_eq!(snapshot.find(name), None);
            }
        }
    }

    #[test]
    fn a_damaged_snapshot_has_no_results() {
        for lines in ["", "\n\n", "x", "a b c\n", "a b n", "é\n\u{1f600} \n"] {
            assert_eq!(Snapshot { lines: lines.to_owned() }.find("n"), None, "{lines:?}");
        }
    }
}
