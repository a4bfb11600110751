//! Builds one node: takes it from the store if its result is there, else built, with every input
//! that has been lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use build_graph::key::KeyInputs;
use build_graph::node::{Node, NodeName, Op, Selection};
use build_graph::{NodeKey, Tree, TreeDigest};

use super::action_runner::LOG;
use super::evaluate::{BuildContext, Evaluated, evaluate, is_carried};
use super::journal::{Journal, Noted};
use super::patched;
use super::plan::nodes::Nodes;
use super::selections::{Selected, SelectionFault, Selections};
use super::{BuildError, host_program};
use crate::called::called;
use crate::remote::caches::{Hit, Outgoing};
use crate::store::{MissingBlob, Origin, StoreError};

/// Builds nodes of a plan, each with every input that the store has lost.
pub struct Builder<'a> {
    context: BuildContext<'a>,
    plan: &'a Nodes,
    selections: Selections,
    stamps: Stamps,
    obtained: Mutex<HashMap<NodeName, Obtained>>,
    journal: Option<Journal>,
    told: Option<fn(&NodeName)>,
}

/// What the stamps of nodes that `gen` left to ninja are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamps {
    /// They are current: ninja asks, which has seen to a node's inputs before.
    Current,
    /// They may be of an earlier time: nobody knows whether ninja has run since, or failed.
    Old,
}

/// A node's tree, whole in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obtained {
    /// Its digest.
    pub tree: TreeDigest,
    /// The key that it stands under.
    pub key: NodeKey,
    /// Whether it was built now, and not known before.
    pub built: bool,
}

impl<'a> Builder<'a> {
    /// Makes a builder of the nodes of this plan.
    pub fn new(context: BuildContext<'a>, plan: &'a Nodes, stamps: Stamps) -> Self {
        let (selections, obtained) = (Selections::default(), Mutex::default());
        Self { context, plan, selections, stamps, obtained, journal: None, told: None }
    }

    /// Notes all that it does in a journal.
    #[must_use]
    pub fn noting(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Tells of each action and each host program before it is executed, which can take long.
    #[must_use]
    pub fn telling(self, told: fn(&NodeName)) -> Self {
        Self { told: Some(told), ..self }
    }

    /// The tree of a node, whole in the store; built if it is not there. The digests of its inputs
    /// are what the plan and the stamps claim; an input whose bytes are gone is built first.
    ///
    /// # Errors
    /// [`BuildError::Node`], which names the node that failed: this one or one that it needs.
    pub fn obtain(&self, name: &NodeName) -> Result<Obtained, BuildError> {
        let locked = || self.obtained.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(obtained) = locked().get(name)
            && let Some(tree) = self.context.store.tree(obtained.tree)?
            && self.context.store.missing(&tree)?.is_empty()
        {
            return Ok(*obtained);
        }
        let mut node = self.plan.node(name)?;
        if matches!(node.op, Op::HostProgram(_)) {
            node = host_program::for_these_compilers(self.context.store, &node);
        }
        let mut noted = Noted::begin(self.journal.as_ref(), &node);
        let obtained = self.obtain_described(&node, &mut noted).map_err(|error| error.at(name));
        noted.end(&obtained, self.plan.out().read_stamp(name));
        let obtained = obtained?;
        locked().insert(name.clone(), obtained);
        Ok(obtained)
    }

    /// The selected trees of a node, in their order, with all their bytes in the store.
    ///
    /// # Errors
    /// As [`Builder::obtain`].
    pub fn inputs(&self, node: &Node) -> Result<Vec<Arc<Tree>>, BuildError> {
        self.whole_inputs(node)?.iter().map(|selected| selected.present(self.context.store)).collect()
    }

    /// The selections of a node, in their order, with all their bytes in the store.
    fn whole_inputs(&self, node: &Node) -> Result<Vec<Selected>, BuildError> {
        let whole = |selection: &Selection| {
            let selected = self.select(selection)?;
            self.make_whole(&selection.node, &selected)?;
            Ok(selected)
        };
        node.op.selections().iter().map(|selection| whole(selection)).collect()
    }

    fn obtain_described(&self, node: &Node, noted: &mut Noted<'_>) -> Result<Obtained, BuildError> {
        let store = self.context.store;
        let mut selected = Vec::new();
        for selection in node.op.selections() {
            selected.push(self.select(&selection).map_err(|error| error.declared(node))?);
        }
        let digests: Vec<_> = selected.iter().map(|selected| selected.digest).collect();
        let key = KeyInputs::new(&node.op, &digests).key();
        noted.key(key);
        if let Some((tree, _)) = store.whole_result(key)? {
            return Ok(Obtained { tree, key, built: false });
        }
        // Whoever has the lock builds; the others find the result when they get it.
        let _lock = store.lock(key)?;
        if let Some((tree, _)) = store.whole_result(key)? {
            return Ok(Obtained { tree, key, built: false });
        }
        if let Some((tree, origin)) = take(&self.context, &node.op, key, &digests)? {
            noted.remote(&origin);
            return Ok(Obtained { tree, key, built: false });
        }
        for (selection, selected) in node.op.selections().iter().zip(&selected) {
            self.have_at_hand(node, &selection.node, selected)?;
        }
        if let Op::Local { tree } = &node.op
            && !store.missing(tree)?.is_empty()
        {
            return Err(BuildError::Plan {
                path: self.plan.out().plan(),
                problem: format!("names files of the project in `{}` which the store has lost", node.name),
            });
        }
        noted.has_inputs();
        if let (Some(told), Op::Action(_) | Op::HostProgram(_)) = (self.told, &node.op) {
            told(&node.name);
        }
        let evaluated = match evaluate(&self.context, node, &selected) {
            // A checkout went after it was seen, or the files are laid out with others.
            Err(BuildError::Store(StoreError::MissingBlob { .. })) if self.takes_checkouts(node) => {
                evaluate(&self.context, node, &self.whole_inputs(node)?)
            }
            evaluated => evaluated,
        };
        let evaluated = evaluated.map_err(|error| patched::blame(error, self.plan, store, node))?;
        let Evaluated { tree, origin, left } = evaluated;
        noted.built(&origin);
        if let Some(left) = left {
            noted.keep_log(store, key, &left.path().join(LOG))?;
        }
        let digest = record(&self.context, node, key, &digests, &tree, origin.clone())?;
        if self.context.caches.take_results() {
            let with_bytes = is_carried(&node.op);
            self.context.caches.push(store, &[Outgoing { key, tree: Arc::new(tree), origin, with_bytes }])?;
        }
        Ok(Obtained { tree: digest, key, built: true })
    }

    /// Makes the node's operation once more, with nothing of it recorded, and gives its tree.
    ///
    /// # Errors
    /// As [`Builder::obtain`].
    pub fn again(&self, name: &NodeName) -> Result<Tree, BuildError> {
        let node = self.plan.node(name)?;
        let inputs = self.whole_inputs(&node).map_err(|error| error.at(name))?;
        Ok(evaluate(&self.context, &node, &inputs).map_err(|error| error.at(name))?.tree)
    }

    /// The key of a node, as far as it follows from what `gen` and the stamps say, and from what
    /// the store has.
    fn claimed_key(&self, node: &Node) -> Option<NodeKey> {
        let mut digests = Vec::new();
        for selection in node.op.selections() {
            let tree = self.claimed(&selection.node).ok()??;
            digests.push(self.selections.select(self.context.store, tree, &selection).ok()?.digest);
        }
        Some(KeyInputs::new(&node.op, &digests).key())
    }

    fn claimed(&self, name: &NodeName) -> Result<Option<TreeDigest>, BuildError> {
        match self.stamps {
            Stamps::Current => self.plan.claimed_tree(name),
            Stamps::Old => self.plan.known_tree(name),
        }
    }

    fn select(&self, selection: &Selection) -> Result<Selected, BuildError> {
        let tree = match self.claimed(&selection.node)? {
            Some(tree) => tree,
            None => self.obtain(&selection.node)?.tree,
        };
        match self.selections.select(self.context.store, tree, selection) {
            Ok(selected) => Ok(selected),
            Err(SelectionFault::Error(error)) => Err(error),
            Err(SelectionFault::Lost) => {
                let tree = self.obtain(&selection.node)?.tree;
                match self.selections.select(self.context.store, tree, selection) {
                    Ok(selected) => Ok(selected),
                    Err(SelectionFault::Error(error)) => Err(error),
                    Err(SelectionFault::Lost) => Err(lost(&selection.node)),
                }
            }
        }
    }

    /// Whether the files of its inputs may come from checkouts, and nobody reads their blobs.
    fn takes_checkouts(&self, node: &Node) -> bool {
        matches!(node.op, Op::Action(_)) && !self.context.runner.reads_blobs()
    }

    /// Sees to it that all bytes of an input of `node` are in the store or in a checkout.
    fn have_at_hand(&self, node: &Node, input: &NodeName, selected: &Selected) -> Result<(), BuildError> {
        let store = self.context.store;
        if self.takes_checkouts(node) && store.is_checked_out(selected.digest) && selected.is_kept(store)? {
            return Ok(());
        }
        self.make_whole(input, selected)
    }

    /// Sees to it that all bytes of a selected tree are in the store.
    fn make_whole(&self, node: &NodeName, selected: &Selected) -> Result<(), BuildError> {
        let store = self.context.store;
        let whole = || -> Result<_, BuildError> {
            let Some(tree) = selected.tree(store)? else { return Ok(None) };
            let missing = store.missing(&tree)?;
            Ok(Some((tree, missing)))
        };
        match whole()? {
            Some((_, missing)) if missing.is_empty() => return Ok(()),
            Some((tree, missing)) => {
                // Of what a remote has, only what is selected.
                self.fetch(node, &missing)?;
                if store.missing(&tree)?.is_empty() {
                    return Ok(());
                }
            }
            None => {}
        }
        // Builds it, and what it needs, from their descriptions; the same inputs give the same
        // bytes.
        self.obtain(node)?;
        match whole()? {
            Some((_, missing)) if missing.is_empty() => Ok(()),
            _ => Err(lost(node)),
        }
    }

    /// Fetches files of a node's tree from remotes, if they have them.
    fn fetch(&self, name: &NodeName, missing: &[MissingBlob]) -> Result<(), BuildError> {
        if self.context.caches.is_empty() {
            return Ok(());
        }
        let node = self.plan.node(name)?;
        if let (Some(key), Some(tree)) = (self.claimed_key(&node), self.claimed(name)?) {
            self.context.caches.fetch(self.context.store, key, tree, missing)?;
        }
        Ok(())
    }
}

fn lost(node: &NodeName) -> BuildError {
    BuildError::Input(format!(
        "the store has lost what it takes of `{node}`, and building that anew gave other bytes; run `{program} gen` again, and \
         `{program} why {node}` if it happens twice",
        program = called()
    ))
}

/// The tree of a key if a remote has it with all its bytes, which are in the store then.
fn take(
    context: &BuildContext<'_>,
    op: &Op,
    key: NodeKey,
    digests: &[TreeDigest],
) -> Result<Option<(TreeDigest, Origin)>, BuildError> {
    let Some(hit) = context.caches.look_up_one(key) else { return Ok(None) };
    recall(context, op, key, digests, &hit)?;
    let missing = context.store.missing(&hit.tree)?;
    context.caches.fetch(context.store, key, hit.digest, &missing)?;
    Ok(context.store.missing(&hit.tree)?.is_empty().then(|| (hit.digest, hit.origin.clone())))
}

/// Records what a remote says a key gave. The bytes stay there until they are needed.
///
/// # Errors
/// [`BuildError::Store`].
pub fn recall(
    context: &BuildContext<'_>,
    op: &Op,
    key: NodeKey,
    digests: &[TreeDigest],
    hit: &Hit,
) -> Result<(), BuildError> {
    let tree = context.store.put_tree(&hit.tree)?;
    context.store.record_from(key, tree, &KeyInputs::new(op, digests).explain(), hit.origin.clone())?;
    Ok(())
}

/// Puts a node's tree into the store and its result under its key, with the explanation of the key.
///
/// # Errors
/// [`BuildError::Store`].
pub fn record(
    context: &BuildContext<'_>,
    node: &Node,
    key: NodeKey,
    digests: &[TreeDigest],
    tree: &Tree,
    origin: Origin,
) -> Result<TreeDigest, BuildError> {
    let digest = context.store.put_tree(tree)?;
    context.store.record_from(key, digest, &KeyInputs::new(&node.op, digests).explain(), origin)?;
    Ok(digest)
}
