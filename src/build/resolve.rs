//! What is known without running anything: `gen` looks every node up before ninja starts.
//!
//! In topological order, a node all of whose inputs have known trees gets its key. If the store has
//! the result for the key, whole, the node is *known*: it needs no edge. If it has not, but the
//! operation is one that is evaluated in process in a moment, it is evaluated now. Everything else
//! is *left* for ninja, and so is everything that needs it.
//!
//! A node that is only left because an input of it is left may still stay as it is, if that input
//! comes out the same as before (early cutoff). Its key is computed with the trees that its inputs
//! had last time; if the store has that result, the node keeps a stamp, and ninja starts nothing
//! for it when its inputs' stamps don't change.
//!
//! Where there are remotes, they are asked in waves: for all nodes at once whose inputs are known
//! and whose results the store has not got. What a remote has is known without its bytes, so that
//! keys follow from it; those of what is in between are never fetched. Only where a node that is
//! left needs them, or somebody asks for the node itself, the remote must still have them all, or
//! the node is left, too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use build_graph::dsl::header_folders;
use build_graph::graph::{Graph, NodeIndex};
use build_graph::key::KeyInputs;
use build_graph::node::{Node, NodeName, Op};
use build_graph::{BlobDigest, NodeKey, TreeDigest};

use super::BuildError;
use super::builder::{recall, record};
use super::evaluate::{BuildContext, Evaluated, evaluate, is_carried};
use super::headers::wrong_folder;
use super::log::{Moment, Outcome, Run, now};
use super::selections::{Selected, SelectionFault, Selections};
use crate::remote::caches::Outgoing;
use crate::store::{Found, Origin};

/// What is to happen with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its tree is in the store, whole, or on a remote.
    Known(TreeDigest),
    /// It has to run: its inputs are known and nobody has its result. This is the tree that it had
    /// last time, if any.
    Run(Option<TreeDigest>),
    /// An input of it is left. With the trees that its inputs had last time, it had this one, if
    /// any.
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
    /// The keys of the known ones; files of the project have none.
    pub keys: Vec<Option<NodeKey>>,
    /// How many nodes were evaluated in process.
    pub evaluated: usize,
    /// How many known ones a remote has, and the store not whole.
    pub remote: usize,
    /// What was evaluated, and what remotes had, for the build log.
    pub runs: Vec<Run>,
}

/// Resolves every node of a graph.
///
/// `contents` are the bytes of the project's files in it, `last` gives the tree that a node had
/// last time.
///
/// # Errors
/// [`BuildError`] if the store fails or an in-process operation can't be done (a patch that does
/// not apply).
pub fn resolve(
    graph: &Graph,
    contents: &HashMap<BlobDigest, Arc<[u8]>>,
    context: &BuildContext<'_>,
    last: &dyn Fn(&NodeName) -> Option<TreeDigest>,
) -> Result<Resolution, BuildError> {
    let count = graph.nodes().len();
    let mut resolver = Resolver {
        graph,
        contents,
        context,
        last,
        selections: Selections::default(),
        found: Found::default(),
        states: vec![None; count],
        keys: vec![None; count],
        remote: BTreeMap::new(),
        made: Vec::new(),
        runs: Vec::new(),
    };
    let mut waiting: Vec<_> = (0..count).collect();
    while !waiting.is_empty() {
        let mut asked = Vec::new();
        let mut later = Vec::new();
        for at in waiting {
            if graph.inputs(at).iter().any(|input| resolver.states[*input].is_none()) {
                later.push(at);
                continue;
            }
            match resolver.node(at).map_err(|error| error.at(&graph.nodes()[at].name))? {
                Step::Done(state) => resolver.states[at] = Some(state),
                Step::Ask(question) => asked.push((at, question)),
            }
        }
        resolver.answer(asked)?;
        waiting = later;
    }
    resolver.leave_what_nobody_has()?;
    resolver.push()?;
    let (evaluated, remote) = (resolver.made.len(), resolver.remote.len());
    let states = resolver.states.into_iter().map(|state| state.unwrap_or(State::Run(None))).collect();
    Ok(Resolution { states, keys: resolver.keys, evaluated, remote, runs: resolver.runs })
}

struct Resolver<'a> {
    graph: &'a Graph,
    contents: &'a HashMap<BlobDigest, Arc<[u8]>>,
    context: &'a BuildContext<'a>,
    last: &'a dyn Fn(&NodeName) -> Option<TreeDigest>,
    selections: Selections,
    found: Found,
    states: Vec<Option<State>>,
    keys: Vec<Option<NodeKey>>,
    /// The nodes that are known because a remote has them.
    remote: BTreeMap<NodeIndex, (NodeKey, TreeDigest)>,
    /// What was evaluated now.
    made: Vec<Outgoing>,
    runs: Vec<Run>,
}

/// The record of a node that has ended now.
fn run(node: &Node, key: NodeKey, tree: TreeDigest, start: Moment, outcome: Outcome) -> Run {
    Run {
        node: node.name.clone(),
        verb: node.op.verb().to_owned(),
        start,
        end: now(),
        pid: std::process::id(),
        key: Some(key),
        tree: Some(tree),
        outcome,
        same: false,
        log: 0,
        warnings: 0,
    }
}

/// How far one comes with a node.
enum Step {
    Done(State),
    /// The store does not have it; remotes may.
    Ask(Question),
}

/// A node with its key, whose result the store has not got.
struct Question {
    key: NodeKey,
    digests: Vec<TreeDigest>,
    selected: Vec<Selected>,
}

impl Resolver<'_> {
    fn run(&self, node: &Node) -> State {
        State::Run((self.last)(&node.name))
    }

    fn node(&mut self, at: NodeIndex) -> Result<Step, BuildError> {
        let node = &self.graph.nodes()[at];
        let store = self.context.store;
        if let Op::Local { tree } = &node.op {
            let digest = store.put_tree(tree)?;
            for missing in store.missing_beside(tree, &mut self.found)? {
                if let Some(bytes) = self.contents.get(&missing.digest) {
                    store.put_bytes(bytes, missing.executable)?;
                }
            }
            return Ok(Step::Done(State::Known(digest)));
        }
        let inputs = self.graph.inputs(at);
        let is_known = |input: NodeIndex| matches!(self.states[input], Some(State::Known(_)));
        let waits = inputs.iter().any(|input| !is_known(*input));
        let mut digests = Vec::new();
        let mut selected = Vec::new();
        // What is known is looked at whatever the others are: an input that lacks what is taken of
        // it is an error now.
        let mut no_last_time = false;
        for selection in node.op.selections() {
            let input = self.graph.index_of(&selection.node);
            let tree = input.and_then(|input| self.states[input]?.last());
            let Some(tree) = tree else {
                no_last_time = true;
                continue;
            };
            match self.selections.select(store, tree, &selection) {
                Ok(part) => {
                    digests.push(part.digest);
                    selected.push(part);
                }
                // What was selected last time may be gone, or be no match: then there is no last
                // time. But what matches nothing of a tree that is known will not match later
                // either.
                Err(SelectionFault::Error(error)) if input.is_some_and(is_known) => {
                    return Err(error.declared(node));
                }
                Err(_) if waits => no_last_time = true,
                Err(SelectionFault::Lost) => return Ok(Step::Done(self.run(node))),
                Err(SelectionFault::Error(error)) => return Err(error.declared(node)),
            }
        }
        if no_last_time {
            return Ok(Step::Done(State::Wait(None)));
        }
        let key = KeyInputs::new(&node.op, &digests).key();
        let result = store.whole_result_beside(key, &mut self.found)?;
        if waits {
            return Ok(Step::Done(State::Wait(result)));
        }
        self.keys[at] = Some(key);
        if let Some(digest) = result {
            return Ok(Step::Done(State::Known(digest)));
        }
        let question = Question { key, digests, selected };
        if self.context.caches.is_empty() {
            return Ok(Step::Done(self.evaluate(node, &question)?));
        }
        Ok(Step::Ask(question))
    }

    /// Asks the remotes for what the store has not got.
    fn answer(&mut self, asked: Vec<(NodeIndex, Question)>) -> Result<(), BuildError> {
        if asked.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = asked.iter().map(|(_, question)| question.key).collect();
        let hits = self.context.caches.look_up(&keys);
        for (at, question) in asked {
            let node = &self.graph.nodes()[at];
            let state = match hits.get(&question.key) {
                Some(hit) => {
                    recall(self.context, &node.op, question.key, &question.digests, hit)?;
                    self.remote.insert(at, (question.key, hit.digest));
                    if let Origin::Cache { remote, .. } = &hit.origin {
                        let outcome = Outcome::Remote(remote.clone());
                        self.runs.push(run(node, question.key, hit.digest, now(), outcome));
                    }
                    State::Known(hit.digest)
                }
                None => self.evaluate(node, &question).map_err(|error| error.at(&node.name))?,
            };
            self.states[at] = Some(state);
        }
        Ok(())
    }

    /// Evaluates what is done in a moment, if the bytes are there.
    fn evaluate(&mut self, node: &Node, question: &Question) -> Result<State, BuildError> {
        let store = self.context.store;
        if let Op::Action(action) = &node.op
            && !header_folders(&action.command).is_empty()
        {
            // The first is the image.
            let trees =
                question.selected.iter().skip(1).map(|selected| selected.tree(store)).collect::<Result<Vec<_>, _>>()?;
            let wrong = trees.into_iter().collect::<Option<Vec<_>>>().and_then(|trees| wrong_folder(action, &trees));
            if let Some(wrong) = wrong {
                return Err(BuildError::Input(wrong));
            }
        }
        if !matches!(node.op, Op::Unpack { .. } | Op::Patch { .. } | Op::Merge { .. }) {
            return Ok(self.run(node));
        }
        let mut inputs = Vec::with_capacity(question.selected.len());
        for selected in &question.selected {
            match selected.tree(store)? {
                Some(tree) if store.missing_beside(&tree, &mut self.found)?.is_empty() => inputs.push(tree),
                _ => return Ok(self.run(node)),
            }
        }
        let start = now();
        let Evaluated { tree, origin, .. } = evaluate(self.context, node, inputs)?;
        let digest = record(self.context, node, question.key, &question.digests, &tree, origin.clone())?;
        self.runs.push(run(node, question.key, digest, start, Outcome::Evaluated));
        let with_bytes = is_carried(&node.op);
        self.made.push(Outgoing { key: question.key, tree: Arc::new(tree), origin, with_bytes });
        Ok(State::Known(digest))
    }

    /// Leaves nodes to ninja whose bytes are needed and of which no remote has them all.
    fn leave_what_nobody_has(&mut self) -> Result<(), BuildError> {
        // What somebody asks for, and what nodes need that have to run. A node that waits may never
        // run, because another target's source can't be had; if it does, it gets its inputs itself.
        let carried = |at: &NodeIndex| is_carried(&self.graph.nodes()[*at].op);
        let mut needed: BTreeSet<NodeIndex> =
            self.graph.aliases().values().flatten().copied().filter(carried).collect();
        for at in (0..self.states.len()).filter(|at| matches!(self.states[*at], Some(State::Run(_)))) {
            needed.extend(self.graph.inputs(at));
        }
        let mut needed: Vec<_> = needed.into_iter().collect();
        while !needed.is_empty() {
            let (at, results): (Vec<_>, Vec<_>) =
                needed.iter().filter_map(|at| Some((*at, *self.remote.get(at)?))).unzip();
            let whole = self.context.caches.whole(self.context.store, &results)?;
            needed.clear();
            for (at, (key, _)) in at.into_iter().zip(results) {
                if !whole.contains(&key) {
                    self.states[at] = Some(self.run(&self.graph.nodes()[at]));
                    self.remote.remove(&at);
                    needed.extend(self.graph.inputs(at));
                }
            }
        }
        Ok(())
    }

    /// Puts on remotes what was evaluated now.
    fn push(&self) -> Result<(), BuildError> {
        if self.context.caches.take_results() {
            self.context.caches.push(self.context.store, &self.made)?;
        }
        Ok(())
    }
}
