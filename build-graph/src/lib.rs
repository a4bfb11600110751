//! The pure part of `pynbox-build`: digests, trees, nodes, keys, the graph, its ninja text, and the
//! recipe language.
//!
//! Nothing in this crate touches a file, the clock, the environment or the network: what it
//! computes depends on its arguments alone.

#![forbid(unsafe_code)]

mod command;
pub mod contract;
mod digest;
pub mod dsl;
pub mod encode;
pub mod files;
pub mod graph;
pub mod key;
pub mod ninja;
pub mod node;
mod path;
mod select;
mod text;
mod tree;
pub mod untrusted;

pub use command::Command;
pub use digest::{BlobDigest, DigestParseError, NodeKey, Sha256, TreeDigest};
pub use path::{PathError, RelPath, SandboxPath};
pub use select::{Glob, GlobError, NothingSelected, Projection, Role};
pub use text::Text;
pub use tree::{Entry, Tree, TreeError};

/// The one time that every file of a tree has when it stands on a disk or in an archive: seconds
/// since 1970 in UTC, and the value of `SOURCE_DATE_EPOCH` in every action. It is
/// 1980-01-02T00:00:00Z, the first day that every archive format and zone can tell.
pub const SOURCE_DATE_EPOCH: u64 = 315_619_200;
