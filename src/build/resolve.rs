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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use build_graph::dsl::header_folders;
use build_graph::graph::{Graph, NodeIndex, Outline};
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

/// The verb of a node that is files of the project.
const LOCAL: &str = "local";

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
    /// The nodes that were looked at, if the others are taken over from an earlier resolution.
    pub again: Vec<NodeIndex>,
}

/// Nodes that can be resolved.
pub trait Described {
    /// How they hang together.
    fn outline(&self) -> &impl Outline;
    /// The description of a node.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if it can't be read.
    fn described(&self, at: NodeIndex) -> Result<Cow<'_, Node>, BuildError>;
    /// The node of that name.
    fn find_node(&self, name: &NodeName) -> Option<NodeIndex>;
}

impl Described for Graph {
    fn outline(&self) -> &impl Outline {
        self
    }

    fn described(&self, at: NodeIndex) -> Result<Cow<'_, Node>, BuildError> {
        Ok(Cow::Borrowed(&self.nodes()[at]))
    }

    fn find_node(&self, name: &NodeName) -> Option<NodeIndex> {
        self.index_of(name)
    }
}

/// Resolves every node of a graph.
///
/// `contents` are the bytes of the project's files in it, `found` are trees of the project that are
/// whole in the store, `last` gives the tree that a node had last time.
///
/// # Errors
/// [`BuildError`] if the store fails or an in-process operation can't be done (a patch that does
/// not apply).
pub fn resolve(
    graph: &Graph,
    contents: &HashMap<BlobDigest, Arc<[u8]>>,
    context: &BuildContext<'_>,
    found: Found,
    last: &dyn Fn(&NodeName) -> Option<TreeDigest>,
) -> Result<Resolution, BuildError> {
    let count = graph.nodes().len();
    let (states, keys) = (vec![None; count], vec![None; count]);
    let mut resolver = Resolver::new(graph, contents, context, found, last, states, keys);
    let mut waiting: Vec<_> = (0..count).collect();
    while !waiting.is_empty() {
        let mut asked = Vec::new();
        let mut later = Vec::new();
        for at in waiting {
            if graph.inputs(at).iter().any(|input| resolver.states[*input].is_none()) {
                later.push(at);
                continue;
            }
            match resolver.node(at)? {
                Step::Done(state) => resolver.states[at] = Some(state),
                Step::Ask(question) => asked.push((at, question)),
            }
        }
        resolver.answer(asked)?;
        waiting = later;
    }
    resolver.leave_what_nobody_has()?;
    resolver.push()?;
    Ok(resolver.resolution())
}

/// Resolves those nodes again of which `again` says so, and what hangs on those of them that are
/// not what they were; the others are as `before` says. No remote is asked.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_again<N: Described>(
    nodes: &N,
    before: (Vec<State>, Vec<Option<NodeKey>>),
    again: &[bool],
    context: &BuildContext<'_>,
    found: Found,
    last: &dyn Fn(&NodeName) -> Option<TreeDigest>,
) -> Result<Resolution, BuildError> {
    let (states, keys) = before;
    let states = states.into_iter().map(Some).collect();
    let contents = HashMap::new();
    let mut resolver = Resolver::new(nodes, &contents, context, found, last, states, keys);
    let outline = nodes.outline();
    let mut looked_at = Vec::new();
    let mut is_other = vec![false; outline.count()];
    for at in 0..outline.count() {
        if !again[at] && !outline.inputs_of(at).any(|input| is_other[input]) {
            continue;
        }
        looked_at.push(at);
        let before = resolver.states[at].take();
        resolver.keys[at] = None;
        if let Step::Done(state) = resolver.node(at)? {
            resolver.states[at] = Some(state);
        }
        // Who takes the project's files takes parts of them: those whose part has changed are
        // known.
        is_other[at] = resolver.states[at] != before && outline.verb_of(at) != LOCAL;
    }
    Ok(Resolution { again: looked_at, ..resolver.resolution() })
}

struct Resolver<'a, N> {
    graph: &'a N,
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

impl<'a, N: Described> Resolver<'a, N> {
    fn new(
        graph: &'a N,
        contents: &'a HashMap<BlobDigest, Arc<[u8]>>,
        context: &'a BuildContext<'a>,
        found: Found,
        last: &'a dyn Fn(&NodeName) -> Option<TreeDigest>,
        states: Vec<Option<State>>,
        keys: Vec<Option<NodeKey>>,
    ) -> Self {
        let selections = Selections::default();
        let (remote, made, runs) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { graph, contents, context, last, selections, found, states, keys, remote, made, runs }
    }

    fn resolution(self) -> Resolution {
        let (evaluated, remote) = (self.made.len(), self.remote.len());
        let states = self.states.into_iter().map(|state| state.unwrap_or(State::Run(None))).collect();
        Resolution { states, keys: self.keys, evaluated, remote, runs: self.runs, again: Vec::new() }
    }

    fn run(&self, node: &Node) -> State {
        State::Run((self.last)(&node.name))
    }

    fn node(&mut self, at: NodeIndex) -> Result<Step, BuildError> {
        let node = self.graph.described(at)?;
        self.step(at, &node).map_err(|error| error.at(&node.name))
    }

    fn step(&mut self, at: NodeIndex, node: &Node) -> Result<Step, BuildError> {
        let graph = self.graph;
        let store = self.context.store;
        if let Op::Local { tree } = &node.op {
            let digest = store.put_tree(tree)?;
            self.selections.give(digest, tree);
            if self.found.has_tree(digest) {
                return Ok(Step::Done(State::Known(digest)));
            }
            for missing in store.missing_beside(tree, &mut self.found)? {
                if let Some(bytes) = self.contents.get(&missing.digest) {
                    store.put_bytes(bytes, missing.executable)?;
                }
            }
            return Ok(Step::Done(State::Known(digest)));
        }
        let is_known = |input: NodeIndex| matches!(self.states[input], Some(State::Known(_)));
        let waits = graph.outline().inputs_of(at).any(|input| !is_known(input));
        let mut digests = Vec::new();
        let mut selected = Vec::new();
        // What is known is looked at whatever the others are: an input that lacks what is taken of
        // it is an error now.
        let mut no_last_time = false;
        for selection in node.op.selections() {
            let input = graph.find_node(&selection.node);
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
            let node = &*self.graph.described(at)?;
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
            && !header_folders(action.command.words()).is_empty()
        {
            // The first is the image.
            let trees =
                question.selected.iter().skip(1).map(|selected| selected.tree(store)).collect::<Result<Vec<_>, _>>()?;
            let wrong = trees.into_iter().collect::<Option<Vec<_>>>().and_then(|trees| wrong_folder(action, &trees));
            if let Some(wrong) = wrong {
                return Err(BuildError::Input(wrong));
            }
        }
        if !matches!(node.op, Op::Unpack { .. } | Op::Wheel(_) | Op::Patch { .. } | Op::Merge { .. }) {
            return Ok(self.run(node));
        }
        for selected in &question.selected {
            match selected.tree(store)? {
                Some(tree) if store.missing_beside(&tree, &mut self.found)?.is_empty() => {}
                _ => return Ok(self.run(node)),
            }
        }
        let start = now();
        let Evaluated { tree, origin, .. } = evaluate(self.context, node, &question.selected)?;
        let digest = record(self.context, node, question.key, &question.digests, &tree, origin.clone())?;
        self.runs.push(run(node, question.key, digest, start, Outcome::Evaluated));
        let with_bytes = is_carried(&node.op);
        self.made.push(Outgoing { key: question.key, tree: Arc::new(tree), origin, with_bytes });
        Ok(State::Known(digest))
    }

    /// Leaves nodes to ninja whose bytes are needed and of which no remote has them all.
    fn leave_what_nobody_has(&mut self) -> Result<(), BuildError> {
        if self.remote.is_empty() {
            return Ok(());
        }
        // What somebody asks for, and what nodes need that have to run. A node that waits may never
        // run, because another target's source can't be had; if it does, it gets its inputs itself.
        let carried = |at: &NodeIndex| self.graph.described(*at).is_ok_and(|node| is_carried(&node.op));
        let mut needed: BTreeSet<NodeIndex> =
            self.graph.outline().groups().flat_map(|(_, nodes)| nodes).filter(carried).collect();
        for at in (0..self.states.len()).filter(|at| matches!(self.states[*at], Some(State::Run(_)))) {
            needed.extend(self.graph.outline().inputs_of(at));
        }
        let mut needed: Vec<_> = needed.into_iter().collect();
        while !needed.is_empty() {
            let (at, results): (Vec<_>, Vec<_>) =
                needed.iter().filter_map(|at| Some((*at, *self.remote.get(at)?))).unzip();
            let whole = self.context.caches.whole(self.context.store, &results)?;
            needed.clear();
            for (at, (key, _)) in at.into_iter().zip(results) {
                if !whole.contains(&key) {
                    self.states[at] = Some(self.run(&*self.graph.described(at)?));
                    self.remote.remove(&at);
                    needed.extend(self.graph.outline().inputs_of(at));
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
