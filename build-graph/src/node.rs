//! Nodes: what can stand in the graph.
//!
//! Every node gives one tree. A node names its inputs by [`Selection`]s of other nodes' trees,
//! never by paths of the host.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Command, Projection, RelPath, SandboxPath, Sha256, Text, Tree};

/// A text can't name a node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` can't name a node: use letters, digits and `+-._/`, components not empty and not beginning with `.`")]
pub struct NodeNameError {
    name: String,
}

/// The name of a node, such as `wasm32-wasi/zlib/adler32.o`: also the path of its stamp, and what a
/// user gives to `why`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct NodeName(Text);

impl NodeName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`NodeNameError`] if it holds anything but letters, digits and `+-._/`, or an empty
    /// component or one that begins with `.`.
    pub fn new(name: impl Into<Text>) -> Result<Self, NodeNameError> {
        let name = name.into();
        let fine = name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
        });
        if fine { Ok(Self(name)) } else { Err(NodeNameError { name: name.to_string() }) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<Text> for NodeName {
    type Error = NodeNameError;

    fn try_from(name: Text) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl From<NodeName> for Text {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

/// A node of the graph: a name and what makes its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name, unique in the graph.
    pub name: NodeName,
    /// The recipe that declares it, for messages. Not part of the key.
    pub recipe: Text,
    /// Where the recipe declares it, `FILE:LINE`, for messages. Not part of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_at: Option<Text>,
    /// What makes its tree.
    pub op: Op,
}

/// Part of another node's tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selection {
    /// The node whose tree it is.
    pub node: NodeName,
    /// Which part.
    #[serde(default, skip_serializing_if = "Projection::is_all")]
    pub part: Projection,
}

/// What makes a node's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// A pinned file from outside; the tree holds it alone.
    Source(Source),
    /// Files of the project (patches, our C sources, an overriding folder): their bytes are known
    /// when the graph is made.
    Local {
        /// What they are.
        tree: Tree,
    },
    /// What an archive holds.
    Unpack {
        /// A node whose tree is one archive file: tar, plain or compressed with gzip, bzip2, xz or
        /// zstd, or zip; told by its bytes.
        archive: NodeName,
        /// How many leading components are taken off each path; a member with no more than these is
        /// left out.
        strip: u32,
        /// Which of the members are stored, by the paths that are left: of an archive of which
        /// little is wanted, the rest need not be.
        #[serde(default, skip_serializing_if = "Projection::is_all")]
        part: Projection,
    },
    /// What a wheel of Python holds, where its parts are installed.
    Wheel(Box<Wheel>),
    /// A tree with unified diffs applied, without fuzz, in the order of their paths.
    Patch {
        /// The tree.
        base: Selection,
        /// A tree of nothing but patches; their paths in it are `a/PATH` and `b/PATH`.
        patches: Selection,
    },
    /// Several selections laid together; the same path twice with different contents is an error.
    Merge {
        /// The parts.
        parts: Vec<Part>,
    },
    /// A root file system from Debian packages, unpacked without maintainer scripts.
    Image(Image),
    /// A command in a container.
    Action(Action),
    /// An installable archive; the tree holds it alone.
    Package(Package),
    /// A program for the host, built by cargo outside any image; the tree holds it alone.
    HostProgram(HostProgram),
}

impl Op {
    /// Every selection that it takes of other nodes' trees, in an order that its parts fix.
    pub fn selections(&self) -> Vec<Cow<'_, Selection>> {
        let whole = |node: &NodeName| Cow::Owned(Selection { node: node.clone(), part: Projection::all() });
        match self {
            Self::Source(_) | Self::Local { .. } => Vec::new(),
            Self::Unpack { archive, .. } => vec![whole(archive)],
            Self::Wheel(wheel) => vec![whole(&wheel.archive)],
            Self::Patch { base, patches } => vec![Cow::Borrowed(base), Cow::Borrowed(patches)],
            Self::Merge { parts } => parts.iter().map(|part| Cow::Borrowed(&part.selection)).collect(),
            Self::Image(image) => image.packages.iter().map(whole).collect(),
            Self::Action(action) => std::iter::once(&action.image)
                .chain(action.inputs.iter().map(|input| &input.selection))
                .map(Cow::Borrowed)
                .collect(),
            Self::Package(package) => package.content.iter().map(|part| Cow::Borrowed(&part.selection)).collect(),
            Self::HostProgram(program) => vec![Cow::Borrowed(&program.sources)],
        }
    }

    /// A word for what it does, as ninja and `why` print it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Source(_) => "fetch",
            Self::Local { .. } => "local",
            Self::Unpack { .. } => "unpack",
            Self::Wheel(_) => "wheel",
            Self::Patch { .. } => "patch",
            Self::Merge { .. } => "merge",
            Self::Image(_) => "image",
            Self::Action(_) => "run",
            Self::Package(_) => "package",
            Self::HostProgram(_) => "cargo",
        }
    }

    /// The ninja pool in which it runs.
    pub fn pool(&self) -> Option<&str> {
        match self {
            Self::Source(_) => Some("fetch"),
            Self::HostProgram(_) => Some("heavy"),
            Self::Action(action) => action.pool.as_deref(),
            _ => None,
        }
    }
}

/// A pinned file and where it can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file's name in its tree.
    pub file: RelPath,
    /// What its bytes must be.
    pub sha256: Sha256,
    /// Its length in bytes, where the lock knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where it can be had, in the order of trying. Not part of the key.
    pub origins: Vec<Origin>,
}

/// A place where a pinned file can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// A URL (https, http or file).
    Url {
        /// The URL.
        url: String,
    },
    /// A path below a Debian mirror's root, such as
    /// `pool/main/z/zlib/zlib_1.2.13.dfsg.orig.tar.bz2`; the mirror is apt's.
    Debian {
        /// The path.
        path: RelPath,
    },
    /// A file that a Python package index offers; the index is pip's.
    Pypi {
        /// The project.
        project: String,
        /// The file's name.
        file: String,
    },
}

/// A wheel, and for what it is unpacked. It must be of this project and version, and everything
/// that it requires must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wheel {
    /// A node whose tree is the wheel.
    pub archive: NodeName,
    /// The project, by its name in normal form.
    pub project: String,
    /// Its version.
    pub version: String,
    /// Which of its extras are wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extras: Vec<String>,
    /// The other projects that are there, by their names in normal form, with their versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<String, String>,
    /// The version of Python.
    pub python: String,
    /// Where its modules lie, from the prefix that it is installed in.
    pub site: RelPath,
    /// Where its headers lie, from there.
    pub headers: RelPath,
    /// The path of the interpreter, for the first lines of scripts.
    pub interpreter: String,
}

/// A selection with its place in a merged tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// What.
    #[serde(flatten)]
    pub selection: Selection,
    /// Below which directory; `None`: at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<RelPath>,
}

/// A root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Nodes whose trees are one Debian binary package (`.deb`) each. Their order does not matter.
    pub packages: Vec<NodeName>,
    /// Symbolic links that maintainer scripts would have made: path → target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<RelPath, String>,
    /// Paths that no build needs (documentation, locales), left out to keep images small.
    #[serde(default, skip_serializing_if = "Projection::is_all")]
    pub part: Projection,
}

/// A hermetic command. Its working directory is `/build`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The root file system that it runs in.
    pub image: Selection,
    /// Program and arguments; a program without `/` is looked up in `PATH`.
    pub command: Command,
    /// What its environment holds beside the fixed values of [`crate::contract`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The selections that it sees, read-only, and where.
    pub inputs: Vec<ActionInput>,
    /// The files and directories below `/build` that are its result; each must be there at the end.
    pub outputs: Vec<RelPath>,
    /// What the action builds for.
    pub target: Target,
    /// The ninja pool that it runs in. Not part of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Text>,
}

/// A selection as an action sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ActionInput {
    /// What.
    #[serde(flatten)]
    pub selection: Selection,
    /// At which directory.
    pub at: SandboxPath,
}

/// What code is built for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target(pub Text);

impl Target {
    /// The name, such as `wasm32-wasi`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An installable archive: a tar file, compressed with zstd, of what it installs and a description
/// of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name, as `install` takes it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub target: Target,
    /// Names of the packages that it needs at run time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// What it installs, with paths as they will stand below DEST.
    pub content: Vec<Part>,
}

/// A program that cargo builds for the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostProgram {
    /// A tree that is a cargo workspace with its lock file.
    pub sources: Selection,
    /// The binary's name.
    pub binary: String,
    /// The features of the crate that it is built with, and no other: none of the default ones
    /// unless it is named.
    pub features: Vec<String>,
    /// The versions of the host's compilers and C library, so that others are another key.
    pub toolchain: String,
}
