//! REAPI v2, the protocol of Bazel's, Buck2's and BuildStream's caches and engines, over gRPC.
//!
//! - [`channel`]: the connection, with headers, deadlines and retries; over it three clients:
//! - [`cas`]: bytes to and from the server; [`action_cache`]: results of actions; [`execution`]:
//!   actions on an engine
//! - [`transport`]: a cache, by the first two; [`engine`]: actions executed elsewhere, by the first
//!   and the third
//! - [`capabilities`], `status`, [`digest`], `stream`, [`merkle`]: the protocol's parts
//! - `memo`: the server's digests of our trees, kept in the store

pub mod action_cache;
pub mod capabilities;
pub mod cas;
pub mod channel;
pub mod digest;
pub mod engine;
pub mod execution;
mod memo;
pub mod merkle;
mod status;
mod stream;
pub mod transport;

use std::io;
use std::path::PathBuf;

use build_graph::untrusted::{printable, printable_path};
use thiserror::Error;

pub use action_cache::ActionCache;
pub use capabilities::Capabilities;
pub use cas::Cas;
pub use channel::Channel;
pub use execution::{Execution, ExecutionLimits};
pub use stream::{Blob, Source};

use crate::WireDigest;
pub use crate::engine::Endpoint;

/// A server could not be used.
#[derive(Debug, Error)]
pub enum ReapiError {
    /// What the user set makes no sense.
    #[error("{0}")]
    Settings(String),
    /// A call failed for good.
    #[error("`{url}`: {call} failed: {} ({code})", printable(message))]
    Call {
        /// The server.
        url: String,
        /// What was asked.
        call: &'static str,
        /// The code of gRPC.
        code: tonic::Code,
        /// What the server or the connection said.
        message: String,
        /// Digests that the server says it lacks.
        lacks: Vec<String>,
    },
    /// The server answered what no server may.
    #[error("`{url}`: {problem}")]
    Wrong {
        /// The server.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The server does not have these bytes.
    #[error("`{url}` does not have {digest}")]
    Absent {
        /// The server.
        url: String,
        /// Which.
        digest: WireDigest,
    },
    /// A file of this machine can't be read or written.
    #[error("can't {doing} `{}`: {source}", printable_path(.path))]
    Io {
        /// What was tried: `read`, `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ReapiError {
    /// Whether this says that something is not there, and nothing of the server's health.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Call { code: tonic::Code::NotFound, .. })
    }
}
