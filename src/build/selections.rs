//! Selections of trees that are in the store, each computed once a process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use build_graph::node::Selection;
use build_graph::{Projection, Tree, TreeDigest};

use super::BuildError;
use crate::store::{Store, StoreError};

/// A selected tree and its digest.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The digest of the tree.
    pub digest: TreeDigest,
    /// The tree; `None` where all of a node's tree is taken, which nobody has to read for its
    /// digest.
    tree: Option<Arc<Tree>>,
}

impl Selected {
    /// A whole tree.
    pub fn whole(tree: Arc<Tree>) -> Self {
        Self { digest: tree.digest(), tree: Some(tree) }
    }

    /// The tree itself, read from the store if it has to be.
    ///
    /// # Errors
    /// [`BuildError`] if the store fails; `Ok(None)` if it has lost the tree.
    pub fn tree(&self, store: &Store) -> Result<Option<Arc<Tree>>, BuildError> {
        match &self.tree {
            Some(tree) => Ok(Some(Arc::clone(tree))),
            None => Ok(store.tree(self.digest)?),
        }
    }

    /// Whether the tree itself is there, without reading it.
    ///
    /// # Errors
    /// [`BuildError`] if the store fails.
    pub fn is_kept(&self, store: &Store) -> Result<bool, BuildError> {
        Ok(self.tree.is_some() || store.keeps_tree(self.digest)?)
    }

    /// The tree itself, which has to be there.
    ///
    /// # Errors
    /// [`BuildError`] if the store fails or has lost the tree.
    pub fn present(&self, store: &Store) -> Result<Arc<Tree>, BuildError> {
        Ok(self.tree(store)?.ok_or(StoreError::NoTree { digest: self.digest })?)
    }
}

/// What came of each projection of each tree so far.
#[derive(Debug, Default)]
pub struct Selections {
    /// Trees that need not be read from the store.
    given: Mutex<HashMap<TreeDigest, Arc<Tree>>>,
    known: Mutex<HashMap<TreeDigest, HashMap<Projection, Selected>>>,
    /// How many parts were read of each tree.
    read: Mutex<HashMap<TreeDigest, usize>>,
}

/// So many parts of a tree are read alone, as a single action takes them. Whoever wants more reads
/// the tree, and has it for all others.
const FEW: usize = 3;

/// Why a selection could not be computed.
#[derive(Debug)]
pub enum SelectionFault {
    /// The store does not have the tree (any more).
    Lost,
    /// The store failed, or the projection matches nothing.
    Error(BuildError),
}

impl Selections {
    /// Takes a tree of this digest that need not be read from the store: files of the project.
    pub fn give(&self, digest: TreeDigest, tree: &Tree) {
        let mut given = self.given.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        given.entry(digest).or_insert_with(|| Arc::new(tree.clone()));
    }

    fn given(&self, digest: TreeDigest) -> Option<Arc<Tree>> {
        self.given.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&digest).cloned()
    }

    /// The selected part of a node's tree.
    ///
    /// # Errors
    /// [`SelectionFault::Lost`] if the tree has to be made again; else the error.
    pub fn select(&self, store: &Store, tree: TreeDigest, selection: &Selection) -> Result<Selected, SelectionFault> {
        let part = &selection.part;
        if part.is_all() {
            return Ok(Selected { digest: tree, tree: None });
        }
        let locked = || self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(selected) = locked().get(&tree).and_then(|parts| parts.get(part)) {
            return Ok(selected.clone());
        }
        let failed = |error: StoreError| SelectionFault::Error(error.into());
        let given = self.given(tree);
        let mut found = None;
        if given.is_none() && !part.include().is_empty() && self.reads_part(tree) {
            let read = store.tree_part(tree, |path| part.finds(path)).map_err(failed)?.ok_or(SelectionFault::Lost)?;
            // An error names what else is in the tree.
            found = part.apply(&read).ok();
        }
        let selected = match found {
            Some(selected) => selected,
            None => {
                let read = || store.tree(tree).map_err(failed);
                let whole = given.map_or_else(read, |given| Ok(Some(given)))?.ok_or(SelectionFault::Lost)?;
                part.apply(&whole).map_err(|nothing| {
                    let tree = selection.node.clone();
                    SelectionFault::Error(BuildError::Selection { tree, declared_at: None, nothing })
                })?
            }
        };
        let selected = Selected::whole(Arc::new(selected));
        // One file is found as quickly again, and mostly one node takes it.
        if selected.tree.as_ref().is_some_and(|tree| tree.len() > 1) {
            locked().entry(tree).or_default().insert(part.clone(), selected.clone());
        }
        Ok(selected)
    }

    /// Whether a part of the tree is read without the rest.
    fn reads_part(&self, tree: TreeDigest) -> bool {
        let mut read = self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let parts = read.entry(tree).or_default();
        *parts += 1;
        *parts <= FEW
    }
}
