//! Building: nodes become trees in the store.
//!
//! - [`plan`]: what `gen` leaves behind for ninja and the other verbs (`out/`)
//! - [`resolve`]: what is known without running anything
//! - [`demand`]: one node, with whatever is missing for it
//! - [`evaluate`](mod@evaluate): one operation on trees that are there
//! - [`action`]: one action under an executor
//! - [`selections`]: parts of trees
//! - [`reachable`]: what the plan needs of the store
//! - [`cargo_places`]: where cargo builds host programs
//! - `blobs`: the store as archives and patches see it

pub mod action;
mod blobs;
mod cargo_home;
pub mod cargo_places;
mod cargo_start;
pub mod compilers;
pub mod demand;
pub mod evaluate;
pub mod host_program;
pub mod host_toolchain;
pub mod plan;
pub mod reachable;
pub mod resolve;
pub mod selections;

use std::path::PathBuf;

use build_graph::NothingSelected;
use build_graph::node::NodeName;
use build_graph::untrusted::printable_path;
use thiserror::Error;

use crate::executor::ExecutorError;
use crate::store::StoreError;

/// A node could not be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The executor failed, not the command in it.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A pinned file could not be had.
    #[error(transparent)]
    Fetch(#[from] crate::source::FetchError),
    /// An archive can't be unpacked.
    #[error(transparent)]
    Archive(#[from] crate::archive::ArchiveError),
    /// A root file system can't be made of its packages.
    #[error(transparent)]
    Image(#[from] crate::image::ImageError),
    /// A patch does not apply.
    #[error(transparent)]
    Patch(#[from] crate::patch::PatchError),
    /// A recipe selects what is not there.
    #[error("{0} in the tree that the recipe selects from; mend the pattern in the recipe")]
    Selection(NothingSelected),
    /// Two inputs don't fit together.
    #[error("its inputs don't fit together: {0}; let the recipe select less, or put one of them elsewhere")]
    Tree(#[from] build_graph::TreeError),
    /// A package can't be written.
    #[error(transparent)]
    Package(#[from] crate::install::package::PackageError),
    /// An action's command failed.
    #[error("its command {status}")]
    Failed {
        /// How it ended.
        status: String,
        /// Where its directory and its log were kept.
        kept: Option<PathBuf>,
    },
    /// An action left out outputs that it declares.
    #[error("its command succeeded, but {0}")]
    Outputs(String),
    /// A host program could not be built.
    #[error("{0}")]
    HostProgram(String),
    /// An input has an unexpected shape.
    #[error("{0}")]
    Input(String),
    /// The settings ask for what can't be.
    #[error("{0}")]
    Settings(String),
    /// Something in `out/` is missing or not what `gen` wrote.
    #[error("`{}` {problem}; run `pynbox-build gen` again", printable_path(.path))]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of the host can't be read or written.
    #[error("can't {doing} `{}`: {source}", printable_path(.path))]
    Io {
        /// What was tried: `read`, `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something failed while this node was built.
    #[error("`{node}`: {source}")]
    Node {
        /// The node.
        node: NodeName,
        /// What failed.
        #[source]
        source: Box<BuildError>,
    },
}

impl BuildError {
    /// Names the node in which it happened, unless one is named already.
    #[must_use]
    pub fn at(self, node: &NodeName) -> Self {
        match self {
            Self::Node { .. } => self,
            other => Self::Node { node: node.clone(), source: Box::new(other) },
        }
    }

    /// A file of the host that can't be read or written.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
