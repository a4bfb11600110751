//! REAPI v2, the protocol of Bazel's, Buck2's and BuildStream's caches and engines, over gRPC.
//!
//! - [`digest`]: the server's names of bytes, which are not ours
//! - [`client`]: a connection: capabilities, results of actions
//! - `retry`: deadlines and repeated calls
//! - `blobs`: bytes to and from the server, in batches and streams, compressed where it can
//! - [`merkle`]: our trees as the protocol's directories
//! - [`transport`]: a cache
//! - [`engine`]: actions executed elsewhere
//! - `execute`: one action on an engine
//! - `memo`: the server's digests of our trees, kept in the store

mod blobs;
pub mod client;
pub mod digest;
pub mod engine;
mod execute;
mod memo;
pub mod merkle;
mod retry;
pub mod transport;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use build_graph::untrusted::{printable, printable_path};
use thiserror::Error;
use url::Url;

pub use blobs::{Blob, Receive, Source};
pub use client::{Capabilities, Client};
pub use execute::ExecutionLimits;

use super::WireDigest;
use super::access::Access;
use super::settings::RemoteSettings;

/// Where a server is and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `grpc://HOST:PORT`, or `grpcs://HOST:PORT` for TLS.
    pub url: String,
    /// The server's instance; mostly empty.
    pub instance: String,
    /// Certificates and headers.
    pub access: Access,
    /// How long one call may take, and how long a stream may be silent.
    pub deadline: Duration,
    /// How often a call is tried.
    pub attempts: u32,
}

impl Endpoint {
    /// An endpoint without an instance's name, with the system's certificates and the usual
    /// patience.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            instance: String::new(),
            access: Access::default(),
            deadline: Duration::from_secs(30),
            attempts: 4,
        }
    }

    /// The endpoint of a remote cache: its URL's path is the instance.
    pub fn of_remote(url: &Url, settings: &RemoteSettings, access: Access) -> Self {
        let mut place = url.clone();
        place.set_path("");
        let mut endpoint = Self::new(place.as_str().trim_end_matches('/'));
        endpoint.instance = url.path().trim_matches('/').to_owned();
        endpoint.deadline = settings.deadline();
        endpoint.access = access;
        endpoint
    }
}

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
