//! The model of a build that every question reads: the nodes of a plan with what is known of them,
//! so that no two answers disagree.
//!
//! What is asked of all nodes at once (names, recipes, operations, keys, trees, inputs) comes from
//! the plan's table and costs no look at a description. What is asked of one node (its state now,
//! its description, its size) is read when it is asked. Nothing here builds, and nothing writes.
//!
//! - [`diff`]: what differs between two plans
//! - [`names`]: what a word of the user means: a node, a recipe, a target, a pattern
//! - [`walk`]: what a node needs, what needs it, and how two nodes hang together
//! - [`pins`]: the sources and patches from which a node comes

pub mod diff;
pub mod names;
pub mod pins;
pub mod walk;

use std::cell::OnceCell;
use std::collections::BTreeSet;

use build_graph::node::{Node, NodeName};
use build_graph::{Entry, TreeDigest};
use serde::Serialize;

use crate::build::BuildError;
use crate::build::current::{Current, State};
use crate::build::plan::Plan;
use crate::build::plan::table::Table;
use crate::store::Store;
use walk::Users;

/// The number of a node in its plan; each node comes after its inputs.
pub type At = usize;

/// A plan's nodes, and what is known of them.
pub struct Model<'a> {
    /// The nodes as they are now.
    pub current: Current<'a>,
    targets: BTreeSet<&'a str>,
    users: OnceCell<Users>,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// `gen` knew its result.
    Known,
    /// `gen` did not know its result; whether somebody built it since was not asked.
    Left,
    /// It was built since `gen`.
    Built,
    /// It has to run: its inputs are known, and nobody has its result.
    Ready,
    /// It waits for inputs.
    Waiting,
}

impl Standing {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Left => "left",
            Self::Built => "built",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
        }
    }
}

/// A node as answers show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeRecord {
    /// Its name.
    pub name: String,
    /// The recipe that declares it.
    pub recipe: String,
    /// The target below whose name it lies; none for what serves all targets.
    pub target: Option<String>,
    /// What it does: `fetch`, `local`, `unpack`, `patch`, `merge`, `image`, `run`, `package`,
    /// `cargo`.
    pub operation: String,
    /// How it stands.
    pub state: Standing,
    /// Its key, if it is known and the node is none of files of the project.
    pub key: Option<String>,
    /// The digest of its tree, if it is known.
    pub tree: Option<String>,
    /// The nodes whose trees it takes.
    pub inputs: Vec<String>,
}

impl<'a> Model<'a> {
    /// Reads a plan, whose results are looked up in a store.
    pub fn new(plan: &'a Plan, store: &'a Store) -> Self {
        // A target is a name below which recipes have theirs.
        let targets = plan.aliases().keys().filter_map(|name| Some(name.split_once('/')?.0)).collect();
        Self { current: Current::new(plan, store), targets, users: OnceCell::new() }
    }

    /// The plan.
    pub fn plan(&self) -> &'a Plan {
        self.current.plan
    }

    /// The store.
    pub fn store(&self) -> &'a Store {
        self.current.store
    }

    /// What the plan says of all nodes.
    pub fn table(&self) -> &'a Table {
        self.current.plan.table()
    }

    /// All nodes.
    pub fn all(&self) -> std::ops::Range<At> {
        0..self.table().len()
    }

    /// The targets for which there are recipes.
    pub fn targets(&self) -> &BTreeSet<&'a str> {
        &self.targets
    }

    /// A node's name.
    ///
    /// # Errors
    /// [`BuildError::Input`] if a damaged plan has another text there.
    pub fn name(&self, at: At) -> Result<NodeName, BuildError> {
        self.plan().name(at)
    }

    /// The target below whose name a node lies.
    pub fn target(&self, at: At) -> Option<&'a str> {
        let (first, _) = self.table().name(at).split_once('/')?;
        self.targets.get(first).copied()
    }

    /// The description of a node.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if it is damaged.
    pub fn description(&self, at: At) -> Result<Node, BuildError> {
        self.plan().node(&self.name(at)?)
    }

    /// How a node stood when `gen` ended.
    pub fn planned(&self, at: At) -> Standing {
        if self.table().known(at).is_some() { Standing::Known } else { Standing::Left }
    }

    /// How a node stands now.
    ///
    /// # Errors
    /// [`BuildError`] if the plan or the store can't be read.
    pub fn standing(&self, at: At) -> Result<Standing, BuildError> {
        if self.planned(at) == Standing::Known {
            return Ok(Standing::Known);
        }
        Ok(match self.current.state(&self.name(at)?)? {
            State::Done(_) => Standing::Built,
            State::Ready(..) => Standing::Ready,
            State::Waits(_) => Standing::Waiting,
        })
    }

    /// What answers show of a node; `now` looks into the store for what was built since `gen`.
    ///
    /// # Errors
    /// As [`Model::standing`].
    pub fn record(&self, at: At, now: bool) -> Result<NodeRecord, BuildError> {
        let table = self.table();
        let mut known = table.known(at);
        let mut key = known.and_then(|known| known.key);
        let mut state = self.planned(at);
        if now && known.is_none() {
            state = self.standing(at)?;
            match self.current.state(&self.name(at)?)? {
                State::Done(found) => (known, key) = (Some(found), found.key),
                State::Ready(of_inputs, _) => key = Some(of_inputs),
                State::Waits(_) => {}
            }
        }
        Ok(NodeRecord {
            name: table.name(at).to_owned(),
            recipe: table.recipe(at).to_owned(),
            target: self.target(at).map(str::to_owned),
            operation: table.verb(at).to_owned(),
            state,
            key: key.map(|key| key.to_string()),
            tree: known.map(|known| known.tree.to_string()),
            inputs: table.inputs(at).map(|input| table.name(input).to_owned()).collect(),
        })
    }

    /// The bytes of all files of a node's tree; `None` if its tree is not known or not here.
    ///
    /// # Errors
    /// As [`Model::standing`].
    pub fn size(&self, at: At) -> Result<Option<u64>, BuildError> {
        let Some(tree) = self.current.tree(&self.name(at)?)? else { return Ok(None) };
        self.size_of(tree)
    }

    fn size_of(&self, tree: TreeDigest) -> Result<Option<u64>, BuildError> {
        let Some(tree) = self.store().tree(tree)? else { return Ok(None) };
        let sizes = tree.iter().map(|(_, entry)| match entry {
            Entry::File { size, .. } => *size,
            _ => 0,
        });
        Ok(Some(sizes.sum()))
    }

    /// For each node those that take its tree, made when it is asked first.
    fn users(&self) -> &Users {
        self.users.get_or_init(|| Users::of(self.table()))
    }
}

#[cfg(test)]
mod tests;
