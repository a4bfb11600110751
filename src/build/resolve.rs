//! What is known without running anything: `gen` looks every node up before ninja starts.
//!
//! In topological order, a node all of whose inputs have known trees gets its key. If the store has the result for the key, whole, the
//! node is *known*: it needs no edge. If it has not, but the operation is one that is evaluated in process in a moment, it is evaluated
//! now. Everything else is *left* for ninja, and so is everything that needs it.
//!
//! A node that is only left because an input of it is left may still stay as it is, if that input comes out the same as before (early
//! cutoff). Its key is computed with the trees that its inputs had last time; if the store has that result, the node keeps a stamp, and
//! ninja starts nothing for it when its inputs' stamps don't change.

use std::collections::HashMap;
use std::sync::Arc;

use build_graph::graph::{Graph, NodeIndex};
use build_graph::key::KeyInputs;
use build_graph::node::{Node, NodeName, Op};
use build_graph::{BlobDigest, TreeDigest};

use super::BuildError;
use super::demand::record;
use super::evaluate::{Means, evaluate};
use super::selections::{SelectionFault, Selections};
use crate::store::Found;

/// What is to happen with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its tree is in the store, whole.
    Known(TreeDigest),
    /// It has to run: its inputs are known and nobody has its result. This is the tree that it had last time, if any.
    Run(Option<TreeDigest>),
    /// An input of it is left. With the trees that its inputs had last time, it had this one, if any.
    Wait(Option<TreeDigest>),
}

impl State {
    /// The tree that it has, or had with its inputs of last time.
    fn last(self) -> Option<TreeDigest> {
        match self {
            Self::Known(tree) => Some(tree),
            Self::Run(tree) | Self::Wait(tree) => tree,
        }
    }
}

/// What `gen` found out about each node, by its index.
#[derive(Debug)]
pub struct Resolution {
    /// The states.
    pub states: Vec<State>,
    /// How many nodes were evaluated in process.
    pub evaluated: usize,
}

/// Resolves every node of a graph.
///
/// `contents` are the bytes of the project's files in it, `last` gives the tree that a node had last time.
///
/// # Errors
/// [`BuildError`] if the store fails or an in-process operation can't be done (a patch that does not apply).
pub fn resolve(
    graph: &Graph,
    contents: &HashMap<BlobDigest, Arc<[u8]>>,
    means: &Means<'_>,
    last: &dyn Fn(&NodeName) -> Option<TreeDigest>,
) -> Result<Resolution, BuildError> {
    let mut resolver = Resolver {
        graph,
        contents,
        means,
        last,
        selections: Selections::default(),
        found: Found::default(),
        states: Vec::with_capacity(graph.nodes().len()),
        evaluated: 0,
    };
    for at in 0..graph.nodes().len() {
        let state = resolver.node(at).map_err(|error| error.at(&graph.nodes()[at].name))?;
        resolver.states.push(state);
    }
    Ok(Resolution { states: resolver.states, evaluated: resolver.evaluated })
}

struct Resolver<'a> {
    graph: &'a Graph,
    contents: &'a HashMap<BlobDigest, Arc<[u8]>>,
    means: &'a Means<'a>,
    last: &'a dyn Fn(&NodeName) -> Option<TreeDigest>,
    selections: Selections,
    found: Found,
    states: Vec<State>,
    evaluated: usize,
}

impl Resolver<'_> {
    fn run(&self, node: &Node) -> State {
        State::Run((self.last)(&node.name))
    }

    fn node(&mut self, at: NodeIndex) -> Result<State, BuildError> {
        let node = &self.graph.nodes()[at];
        let store = self.means.store;
        if let Op::Local { tree } = &node.op {
            for missing in store.missing_beside(tree, &mut self.found)? {
                if let Some(bytes) = self.contents.get(&missing.digest) {
                    store.put_bytes(bytes, missing.executable)?;
                }
            }
            return Ok(State::Known(store.put_tree(tree)?));
        }
        let waits = self.graph.inputs(at).iter().any(|input| !matches!(self.states[*input], State::Known(_)));
        let mut digests = Vec::new();
        let mut trees = Vec::new();
        for selection in node.op.selections() {
            let input = self.graph.index_of(&selection.node).filter(|input| *input < self.states.len());
            let tree = input.and_then(|input| self.states[input].last());
            let Some(tree) = tree else { return Ok(State::Wait(None)) };
            match self.selections.select(store, tree, &selection.part) {
                Ok(selected) => {
                    digests.push(selected.digest);
                    trees.push(selected);
                }
                // What was selected last time may be gone, or be no match: then there is no last time.
                Err(_) if waits => return Ok(State::Wait(None)),
                Err(SelectionFault::Lost) => return Ok(self.run(node)),
                Err(SelectionFault::Error(error)) => return Err(error),
            }
        }
        let key = KeyInputs::new(&node.op, &digests).key();
        let result = store.whole_result_beside(key, &mut self.found)?;
        if waits {
            return Ok(State::Wait(result));
        }
        if let Some(digest) = result {
            return Ok(State::Known(digest));
        }
        if !matches!(node.op, Op::Unpack { .. } | Op::Patch { .. } | Op::Merge { .. }) {
            return Ok(self.run(node));
        }
        let mut inputs = Vec::with_capacity(trees.len());
        for selected in &trees {
            match selected.tree(store)? {
                Some(tree) if store.missing_beside(&tree, &mut self.found)?.is_empty() => inputs.push(tree),
                _ => return Ok(self.run(node)),
            }
        }
        let (tree, origin) = evaluate(self.means, node, inputs)?;
        self.evaluated += 1;
        Ok(State::Known(record(self.means, node, key, &digests, &tree, origin)?))
    }
}
