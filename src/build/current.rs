//! What the nodes of a plan are now, without running anything and without believing a stamp: what
//! `gen` knew, and what follows from that by the results that the store has got since.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use build_graph::key::KeyInputs;
use build_graph::node::{Node, NodeName, Op};
use build_graph::{NodeKey, TreeDigest};

use super::BuildError;
use super::plan::{Known, Plan};
use super::selections::{SelectionFault, Selections};
use crate::store::Store;

/// The nodes of a plan as they are now.
pub struct Current<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Where results are.
    pub store: &'a Store,
    /// Parts of trees.
    pub selections: Selections,
    found: RefCell<HashMap<NodeName, State>>,
}

/// What a node is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its tree is known.
    Done(Known),
    /// Its inputs are known, and with that its key; nobody has its result.
    Ready(NodeKey, Vec<TreeDigest>),
    /// These of its inputs are not known.
    Waits(Vec<NodeName>),
}

impl<'a> Current<'a> {
    /// Looks at a plan's nodes.
    pub fn new(plan: &'a Plan, store: &'a Store) -> Self {
        Self { plan, store, selections: Selections::default(), found: RefCell::default() }
    }

    /// What the node is now.
    ///
    /// # Errors
    /// [`BuildError`] if the plan or the store can't be read, or if a recipe selects what is not
    /// there.
    pub fn state(&self, name: &NodeName) -> Result<State, BuildError> {
        if let Some(known) = self.plan.known_result(name.as_str()) {
            return Ok(State::Done(known));
        }
        if let Some(state) = self.found.borrow().get(name) {
            return Ok(state.clone());
        }
        let state = self.look(&self.plan.node(name)?).map_err(|error| error.at(name))?;
        self.found.borrow_mut().insert(name.clone(), state.clone());
        Ok(state)
    }

    /// The node's tree, if it is known.
    ///
    /// # Errors
    /// As [`Current::state`].
    pub fn tree(&self, name: &NodeName) -> Result<Option<TreeDigest>, BuildError> {
        // One input that is not known suffices: a library may take the objects of 100,000 units.
        if let Some(at) = self.plan.table().find(name.as_str())
            && self.plan.table().known(at).is_none()
            && !self.found.borrow().contains_key(name)
        {
            for input in self.plan.table().inputs(at) {
                if self.plan.table().known(input).is_none() && self.tree(&self.plan.name(input)?)?.is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(match self.state(name)? {
            State::Done(known) => Some(known.tree),
            _ => None,
        })
    }

    /// The digests of a node's selections, in their order; `Err` with the inputs that are not
    /// known.
    ///
    /// # Errors
    /// As [`Current::state`].
    pub fn digests(&self, node: &Node) -> Result<Result<Vec<TreeDigest>, Vec<NodeName>>, BuildError> {
        let mut digests = Vec::new();
        // In order, and each once: a library may take the objects of 100,000 units.
        let (mut unknown, mut named) = (Vec::new(), HashSet::new());
        for selection in node.op.selections() {
            let digest = match self.tree(&selection.node)? {
                None => None,
                Some(tree) => match self.selections.select(self.store, tree, &selection) {
                    Ok(selected) => Some(selected.digest),
                    // It is made again when somebody needs it.
                    Err(SelectionFault::Lost) => None,
                    Err(SelectionFault::Error(error)) => return Err(error),
                },
            };
            match digest {
                Some(digest) => digests.push(digest),
                None if named.insert(selection.node.clone()) => unknown.push(selection.node.clone()),
                None => {}
            }
        }
        Ok(if unknown.is_empty() { Ok(digests) } else { Err(unknown) })
    }

    fn look(&self, node: &Node) -> Result<State, BuildError> {
        if let Op::Local { tree } = &node.op {
            let digest = tree.digest();
            self.selections.give(digest, tree);
            return Ok(State::Done(Known { tree: digest, key: None }));
        }
        let digests = match self.digests(node)? {
            Ok(digests) => digests,
            Err(unknown) => return Ok(State::Waits(unknown)),
        };
        let key = KeyInputs::new(&node.op, &digests).key();
        Ok(match self.store.result(key)? {
            Some(tree) => State::Done(Known { tree, key: Some(key) }),
            None => State::Ready(key, digests),
        })
    }
}
