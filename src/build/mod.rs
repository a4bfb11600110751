//! Building: nodes become trees in the store.
//!
//! - [`plan`]: what `gen` leaves behind for ninja and the other verbs (`out/`)
//! - [`out_lock`]: who reads and who writes it
//! - [`record`]: what `gen` saw, by which one tells whether the plan is current
//! - [`history`]: what earlier plans knew
//! - [`current`]: what a plan's nodes are now
//! - [`log`]: what each build did (`out/builds`); [`journal`] writes it
//! - [`why`]: what has changed since a node was known last
//! - [`resolve`]: what is known without running anything
//! - [`builder`]: one node, with whatever is missing for it
//! - [`evaluate`](mod@evaluate): one operation on trees that are there
//! - [`action`]: one action
//! - [`action_runner`]: where actions run
//! - [`selections`]: parts of trees
//! - [`seen`]: files as they were looked at
//! - [`reachable`]: what the plan needs of the store
//! - `patched`: which patches touched what an action failed at
//! - `blobs`: the store as archives and patches see it

pub mod action;
pub mod action_runner;
pub(crate) mod blobs;
pub mod builder;
mod cargo_home;
mod cargo_start;
pub mod compilers;
pub mod current;
pub mod evaluate;
pub mod headers;
pub mod history;
pub mod host_program;
pub mod host_toolchain;
pub mod journal;
pub mod log;
pub mod out_lock;
mod patched;
pub mod plan;
pub mod reachable;
pub mod record;
pub mod resolve;
pub mod seen;
pub mod selections;
mod wheel;
pub mod why;

use std::path::PathBuf;

use build_graph::NothingSelected;
use build_graph::node::{Node, NodeName};
use build_graph::untrusted::printable_path;
use thiserror::Error;

use crate::called::called;
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
    /// The engine failed, not the command on it.
    #[error(transparent)]
    Engine(#[from] remote::reapi::ReapiError),
    /// A pinned file could not be had.
    #[error(transparent)]
    Fetch(#[from] crate::source::FetchError),
    /// An archive can't be unpacked.
    #[error(transparent)]
    Archive(#[from] crate::archive::ArchiveError),
    /// A wheel can't be unpacked.
    #[error(transparent)]
    Wheel(#[from] crate::python::wheel::WheelError),
    /// A root file system can't be made of its packages.
    #[error(transparent)]
    Image(#[from] crate::image::ImageError),
    /// A patch does not apply.
    #[error(transparent)]
    Patch(#[from] crate::patch::PatchError),
    /// A recipe selects what is not there.
    #[error(
        "{nothing} in the tree of `{tree}`{}; mend the pattern in the recipe",
        .declared_at.as_ref().map(|place| format!(", from which {place} selects")).unwrap_or_default()
    )]
    Selection {
        /// The node that it selects from.
        tree: NodeName,
        /// Where the recipe does so.
        declared_at: Option<String>,
        /// The pattern.
        nothing: NothingSelected,
    },
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
        /// The files that its log names and a patch of its recipe changes, each with the patch.
        patched: Vec<(String, String)>,
    },
    /// An action left out outputs that it declares.
    #[error("its command succeeded, but {problem}")]
    Outputs {
        /// What is wrong with them.
        problem: String,
        /// Where its directory and its log were kept.
        kept: Option<PathBuf>,
    },
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
    #[error("`{}` {problem}; run `{} gen` again", printable_path(.path), called())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No `gen` has run.
    #[error("there is no plan in `{}`; run `{} gen`", printable_path(.out), called())]
    NoPlan {
        /// The folder.
        out: PathBuf,
    },
    /// No node has that name.
    #[error("there is no node `{name}`{}", did_you_mean(.similar))]
    NoNode {
        /// The name.
        name: String,
        /// Names that are like it.
        similar: Vec<String>,
    },
    /// What another user made can't be written to.
    #[error(
        "{} belong{} to user {owner}{}, and user {me} can't write there; give it away as that user, or as root: `chown -R {me} {}`",
        listed(.paths), if .paths.len() == 1 { "s" } else { "" }, if *.owner == 0 { " (root)" } else { "" }, words(.paths)
    )]
    Foreign {
        /// The files and folders.
        paths: Vec<PathBuf>,
        /// Whose the first is.
        owner: u32,
        /// Who wants to write.
        me: u32,
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

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", printable_path(path))).collect::<Vec<_>>().join(", ")
}

fn words(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| printable_path(path).to_string()).collect::<Vec<_>>().join(" ")
}

fn did_you_mean(similar: &[String]) -> String {
    match similar {
        [] => format!("; ninja and `{} gen` print the names of nodes", called()),
        names => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("; like it are {}", names.join(", "))
        }
    }
}

impl BuildError {
    /// Says where the recipe declares the node that takes what is not there.
    #[must_use]
    pub fn declared(self, node: &Node) -> Self {
        match self {
            Self::Selection { tree, nothing, declared_at: None } => {
                Self::Selection { tree, nothing, declared_at: node.declared_at.as_ref().map(ToString::to_string) }
            }
            other => other,
        }
    }

    /// Names the node in which it happened, unless one is named already.
    #[must_use]
    pub fn at(self, node: &NodeName) -> Self {
        match self {
            Self::Node { .. } => self,
            other => Self::Node { node: node.clone(), source: Box::new(other) },
        }
    }

    /// What failed, without the node in which it did.
    pub fn innermost(&self) -> &Self {
        match self {
            Self::Node { source, .. } => source.innermost(),
            other => other,
        }
    }

    /// A file of the host that can't be read or written.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
