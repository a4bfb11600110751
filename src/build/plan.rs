//! What `gen` leaves behind: the descriptions of all nodes with the results that are known, and
//! stamps of nodes that had a tree last time.
//!
//! ```text
//! out/plan               the nodes with what is known of them (below); an input of each edge that
//!                        has to run
//! out/record             what that `gen` saw (`record`); absent while one runs or if it failed
//! out/belief             whom `gen` believed of what the store has
//! out/stamps/NAME.digest the digest of its tree: the output of its edge
//! out/builds             what each build did (`log`)
//! out/history/NUMBER     what was known when an earlier plan ended, for `why` (`history`)
//! out/failed/NODE        the directory and the log of an action that failed
//! out/lock               held by whoever reads or writes any of this (`out_lock`)
//! ```
//!
//! The plan is one file, so that nobody ever sees half of one and half of another:
//!
//! ```text
//! pynbox-plan 5 ID LENGTH NODES        the BLAKE3 of all that follows; how long the head is, and
//!                                      how many nodes there are
//! alias NAME NODE…                     the head: a line an alias,
//! takers BLOCK SIZE LENGTH             where it stands who takes what of the project's files,
//!                                      compressed by zstd, and how long that is (`plan::takers`),
//! node BLOCK SIZE OFFSET LENGTH …      a line a node (`plan::table`)
//! …                                    the lines of the nodes in the order of their names
//!                                      (`plan::nodes`)
//! …                                    blocks of descriptions, a JSON document each, in the order
//!                                      of the lines; each block is compressed by zstd
//! ```
//!
//! Nodes of one recipe are described almost alike, so a block takes a small part of its documents.
//! A reader decompresses the one block that it needs. Who needs a few nodes finds them by their
//! names (`Nodes`), and does not read the lines of the others (`Plan`).
//!
//! A stamp is a claim: whoever takes it up has to see that the store still has the bytes.

mod belief;
mod new;
pub mod nodes;
mod out_dir;
pub mod table;
mod takers;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::str::FromStr;

use build_graph::graph::{NodeIndex, Outline};
use build_graph::node::{Node, NodeName};
use build_graph::untrusted::printable;
use build_graph::{NodeKey, TreeDigest};

use super::BuildError;
pub use belief::{Believed, read_belief};
pub use new::NewPlan;
use nodes::{FirstLine, Nodes};
pub use out_dir::{OutDir, denied, refuse_foreign, write_atomically, write_atomically_by, write_if_changed};
use table::{Place, Table};

/// Stands for a digest that is not known.
pub(super) const NONE: &str = "-";
/// How many names that are like a misspelt one are shown.
const MAX_SIMILAR: usize = 3;

/// Names a plan by what is in it: two of the same name plan the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlanId(String);

impl PlanId {
    /// Reads the name of the plan in a folder; `None` if there is none.
    pub fn read(out: &OutDir) -> Option<Self> {
        let file = fs::File::open(out.plan()).ok()?;
        Some(FirstLine::read(&file).ok()??.id)
    }

    fn of(content: &[u8]) -> Self {
        Self(blake3::hash(content).to_string())
    }
}

impl std::fmt::Display for PlanId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PlanId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fine = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fine { Ok(Self(text.to_owned())) } else { Err(format!("`{}` does not name a plan", printable(text))) }
    }
}

/// A result that was known when a plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The tree.
    pub tree: TreeDigest,
    /// The key that it stands under; files of the project have none.
    pub key: Option<NodeKey>,
}

/// What was planned: all nodes, with the results that were known.
#[derive(Debug)]
pub struct Plan {
    nodes: Nodes,
    /// Where it stands who takes what of the project's files.
    takers: Place,
    aliases: BTreeMap<String, Vec<NodeName>>,
    table: Table,
}

impl Borrow<Nodes> for Plan {
    fn borrow(&self) -> &Nodes {
        &self.nodes
    }
}

/// Two plans whose descriptions are compared.
pub struct Compared<'a> {
    first: &'a Plan,
    second: &'a Plan,
    /// The blocks that were compared last, and whether they are equal.
    last: Option<(u64, u64, bool)>,
}

impl<'a> Compared<'a> {
    /// Compares nodes of these.
    pub fn new(first: &'a Plan, second: &'a Plan) -> Self {
        Self { first, second, last: None }
    }

    /// Whether the plans describe a node of the first and one of the second by the same bytes. What
    /// lies at one place of equal blocks is not decompressed.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if a plan is damaged.
    pub fn are_alike(&mut self, first: NodeIndex, second: NodeIndex) -> Result<bool, BuildError> {
        let (old, new) = (self.first.table.place(first), self.second.table.place(second));
        if (old.packed, old.offset, old.length) == (new.packed, new.offset, new.length) {
            let equal = match self.last {
                Some((block, other, equal)) if (block, other) == (old.block, new.block) => equal,
                _ => {
                    let packed = |plan: &Plan, place| {
                        plan.packed_block(place).map_err(|error| BuildError::Plan {
                            path: plan.out().plan(),
                            problem: format!("is damaged ({error})"),
                        })
                    };
                    packed(self.first, old)? == packed(self.second, new)?
                }
            };
            self.last = Some((old.block, new.block, equal));
            if equal {
                return Ok(true);
            }
        }
        Ok(self.first.document(first)? == self.second.document(second)?)
    }
}

/// What it takes to read single nodes.
impl Deref for Plan {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl Plan {
    /// Opens what `gen` left in a folder. What is opened stays as it is, whoever writes another
    /// one.
    ///
    /// # Errors
    /// [`BuildError::NoPlan`] if there is none, [`BuildError::Plan`] if it is damaged.
    pub fn open(out: &OutDir) -> Result<Self, BuildError> {
        Self::of(Nodes::open(out)?, &out.plan())
    }

    /// Reads a plan from a file of any name, of which `out` tells the stamps.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if it is none, or damaged.
    pub fn read(out: &OutDir, file: fs::File, path: &Path) -> Result<Self, BuildError> {
        Self::of(Nodes::read(out, file, path)?, path)
    }

    fn of(nodes: Nodes, path: &Path) -> Result<Self, BuildError> {
        let damaged = |problem: String| BuildError::Plan { path: path.to_path_buf(), problem };
        let head = nodes.head().map_err(BuildError::io("read", path))?;
        let mut head = String::from_utf8(head).map_err(|_| damaged("is not text".to_owned()))?;
        let (mut aliases, mut takers) = (BTreeMap::new(), None);
        let of_aliases = head.split_inclusive('\n').take_while(|line| !line.starts_with("node "));
        let lines_of_nodes = of_aliases.map(str::len).sum();
        let wrong = |line: &str| damaged(format!("has a line that no gen wrote (`{}`)", printable(line)));
        for line in head[..lines_of_nodes].lines() {
            match parse_takers(line, nodes.size()) {
                Some(place) => takers = Some(place),
                None => {
                    let (name, members) = parse_alias(line).ok_or_else(|| wrong(line))?;
                    aliases.insert(name, members);
                }
            }
        }
        let takers = takers.ok_or_else(|| damaged("does not say who takes the project's files".to_owned()))?;
        let order = nodes.order().map_err(BuildError::io("read", path))?;
        let table = Table::parse(head.split_off(lines_of_nodes), nodes.size(), order).map_err(|line| wrong(&line))?;
        Ok(Self { nodes, takers, aliases, table })
    }

    /// The names of all nodes; each comes after its inputs.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.table.len()).map(|at| self.table.name(at))
    }

    /// The name of a node.
    ///
    /// # Errors
    /// [`BuildError::Input`] if a damaged plan has another text there.
    pub fn name(&self, at: NodeIndex) -> Result<NodeName, BuildError> {
        self.table.name(at).parse().map_err(|error| BuildError::Input(format!("{error}")))
    }

    /// What the plan says of all nodes without their descriptions.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// All further names with their nodes.
    pub fn aliases(&self) -> &BTreeMap<String, Vec<NodeName>> {
        &self.aliases
    }

    /// The nodes of an alias: a target, a recipe of the default target, or `TARGET/RECIPE`.
    pub fn alias(&self, name: &str) -> Option<&[NodeName]> {
        self.aliases.get(name).map(Vec::as_slice)
    }

    /// Whether there is a node of that name.
    pub fn has(&self, name: &NodeName) -> bool {
        self.table.find(name.as_str()).is_some()
    }

    /// The error for a name that is no node's, which names those that are most like it.
    pub fn no_node(&self, name: &str) -> BuildError {
        let similar = match self.alias(name) {
            Some(members) => members.iter().map(ToString::to_string).collect(),
            None => similar(name, self.names().chain(self.aliases.keys().map(String::as_str))),
        };
        BuildError::NoNode { name: printable(name).to_string(), similar }
    }

    /// The description of a node.
    ///
    /// # Errors
    /// [`BuildError::NoNode`] if there is none of that name, [`BuildError::Plan`] if it is damaged.
    pub fn node(&self, name: &NodeName) -> Result<Node, BuildError> {
        let at = self.table.find(name.as_str()).ok_or_else(|| self.no_node(name.as_str()))?;
        self.nodes.described(name, self.table.place(at))
    }

    /// The bytes of a description: what is written of a node.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if they can't be read.
    pub fn document(&self, at: usize) -> Result<Vec<u8>, BuildError> {
        self.nodes.document(self.table.name(at), self.table.place(at))
    }

    /// The result of a node as `gen` knew it.
    pub fn known_result(&self, name: &str) -> Option<Known> {
        self.table.known(self.table.find(name)?)
    }

    /// The digest of a node's tree as `gen` knew it.
    pub fn known(&self, name: &NodeName) -> Option<TreeDigest> {
        self.known_result(name.as_str()).map(|known| known.tree)
    }

    /// Whether `gen` knew the node's tree, so that it has no edge and no stamp.
    pub fn is_known(&self, name: &NodeName) -> bool {
        self.known_result(name.as_str()).is_some()
    }
}

impl Outline for Plan {
    fn count(&self) -> usize {
        self.table.len()
    }

    fn name_of(&self, node: NodeIndex) -> &str {
        self.table.name(node)
    }

    fn verb_of(&self, node: NodeIndex) -> &str {
        self.table.verb(node)
    }

    fn pool_of(&self, node: NodeIndex) -> Option<&str> {
        self.table.pool(node)
    }

    fn inputs_of(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.table.inputs(node)
    }

    fn groups(&self) -> impl Iterator<Item = (&str, Vec<NodeIndex>)> {
        let find = |name: &NodeName| self.table.find(name.as_str());
        self.aliases.iter().map(move |(name, nodes)| (name.as_str(), nodes.iter().filter_map(find).collect()))
    }
}

/// Those of the names that are most like one that is none of them; the likest first.
pub fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // What somebody types is mostly the end of a node's name, or all of it with a mistake.
    let likeness = |other: &str| {
        let tail = other.match_indices('/').map(|(at, _)| &other[at + 1..]);
        let best = tail.map(|tail| strsim::jaro_winkler(name, tail)).fold(0.0, f64::max);
        strsim::jaro_winkler(name, other).max(best * 0.99)
    };
    let mut names: Vec<_> = names.map(|other| (likeness(other), other)).filter(|(like, _)| *like > 0.85).collect();
    names.sort_by(|(a, a_name), (b, b_name)| {
        b.total_cmp(a).then(a_name.len().cmp(&b_name.len())).then(a_name.cmp(b_name))
    });
    names.into_iter().take(MAX_SIMILAR).map(|(_, name)| name.to_owned()).collect()
}

/// The tree that each node had when it was known or built last, as far as one can tell; `plan` is
/// the one that is there.
pub fn last_trees<'a>(out: &'a OutDir, plan: Option<&'a Plan>) -> impl Fn(&NodeName) -> Option<TreeDigest> + use<'a> {
    let stamped = out.stamped();
    // A known node has no edge: its stamp is of an earlier time, if it has one.
    move |name| {
        let known = plan.and_then(|plan| plan.known(name));
        known.or_else(|| stamped.contains(name).then(|| out.read_stamp(name)).flatten())
    }
}

/// Reads the line of an alias: its name, and its nodes.
fn parse_alias(line: &str) -> Option<(String, Vec<NodeName>)> {
    let mut words = line.strip_prefix("alias ")?.split(' ');
    let name = words.next()?.to_owned();
    Some((name, words.map(|word| word.parse().ok()).collect::<Option<_>>()?))
}

/// Reads the line of the takers; `size` is the length of all blocks.
fn parse_takers(line: &str, size: u64) -> Option<Place> {
    let mut words = line.strip_prefix("takers ")?.split(' ').map(|word| word.parse::<u64>().ok());
    let (block, packed, length) = (words.next()??, words.next()??, words.next()??);
    let fits = words.next().is_none() && block.checked_add(packed)? <= size;
    fits.then_some(Place { block, packed, offset: 0, length })
}

/// A result that is known, of its two digests; `Some(None)` if there is none.
pub(super) fn parse_known(tree: &str, key: &str) -> Option<Option<Known>> {
    let tree: Option<TreeDigest> = if tree == NONE { None } else { Some(tree.parse().ok()?) };
    let key: Option<NodeKey> = if key == NONE { None } else { Some(key.parse().ok()?) };
    Some(tree.map(|tree| Known { tree, key }))
}

#[cfg(test)]
mod tests;
