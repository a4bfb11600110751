//! What the current plan needs of the store: the results of its nodes, and their trees.

use std::collections::{BTreeMap, HashSet};

use build_graph::node::{Node, NodeName, Op};
use build_graph::{NodeKey, TreeDigest};

use super::BuildError;
use super::current::{Current, State};
use super::plan::Plan;
use crate::store::Store;

/// The results and trees of a plan's nodes, as far as they are known.
#[derive(Debug, Clone, Default)]
pub struct Reachable {
    /// The keys of the nodes.
    pub keys: HashSet<NodeKey>,
    /// The nodes with their keys, sorted by name.
    pub nodes: Vec<(NodeName, NodeKey)>,
    /// Trees that stand under no key: files of the project.
    pub trees: HashSet<TreeDigest>,
    /// Nodes whose key is not known yet, because an input of theirs was never built, or is lost.
    pub unknown: Vec<NodeName>,
}

impl Reachable {
    /// Finds what those nodes of a plan need whose names are `wanted`, themselves included. The
    /// trees that nodes have are what `gen` knew and what follows from that by results of the
    /// store; nothing is built.
    ///
    /// # Errors
    /// [`BuildError`] if the plan or the store can't be read.
    pub fn of(plan: &Plan, store: &Store, wanted: impl Fn(&str) -> bool) -> Result<Self, BuildError> {
        let current = Current::new(plan, store);
        let mut reachable = Self::default();
        for node in closure(plan, wanted)?.into_values() {
            let name = node.name;
            if let Op::Local { tree } = &node.op {
                reachable.trees.insert(tree.digest());
                continue;
            }
            let key = match current.state(&name)? {
                State::Done(known) => known.key,
                State::Ready(key, _) => Some(key),
                State::Waits(_) => None,
            };
            match key {
                Some(key) => {
                    reachable.keys.insert(key);
                    reachable.nodes.push((name, key));
                }
                None => reachable.unknown.push(name),
            }
        }
        Ok(reachable)
    }
}

/// The wanted nodes and all that they need, by name.
fn closure(plan: &Plan, wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Node>, BuildError> {
    let mut found = BTreeMap::new();
    let mut left: Vec<String> = plan.names().filter(|name| wanted(name)).map(str::to_owned).collect();
    while let Some(name) = left.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let node = plan.node(&name.parse().map_err(|error| BuildError::Input(format!("{error}")))?)?;
        left.extend(node.op.selections().iter().map(|selection| selection.node.to_string()));
        found.insert(name, node);
    }
    Ok(found)
}
