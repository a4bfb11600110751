//! Remote caches: results and bytes on other machines, and whom to believe.
//!
//! - [`reapi`]: the Remote Execution API, caches and engines
//! - [`envelope`]: what a remote says of a result, as bytes that a writer signs
//! - [`settings`]: which remotes there are; [`access`]: certificates and tokens; [`trust`]: whom to
//!   believe
//! - [`belief`]: which results that the store has are used
//! - [`caches`]: all of them together, as a build sees them; `circuit_breaker`: one of them, with
//!   attempts that end and a circuit that opens
//! - `budget`: what answers may take of memory
//! - `object_layout`, over `directory`, `http` and `s3`: remotes that keep objects under names
//! - [`pack`]: results and bytes as one file
//!
//! A [`Transport`] speaks one protocol, and nothing of what it says is trusted. What stands above
//! it checks the signature of every envelope, the key in it, and every byte against its digest;
//! retries, deadlines and the circuit that opens are above it as well. So a transport makes one
//! attempt, gives up after a time of its own, and says how it failed.

pub mod access;
pub mod belief;
mod budget;
pub mod caches;
mod circuit_breaker;
mod directory;
pub mod envelope;
mod http;
mod object_layout;
pub mod pack;
pub mod reapi;
mod s3;
pub mod settings;
pub mod trust;
mod worker_pool;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use build_graph::NodeKey;
use thiserror::Error;

use envelope::SignedEnvelope;
use object_layout::ObjectLayout;
use settings::{RemotePlace, RemoteSettings, SettingsError};

/// How a remote names bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestFunction {
    /// SHA-256, which most servers of the Remote Execution API want.
    Sha256,
    /// BLAKE3, as our own digests.
    Blake3,
}

/// The digest by which a remote knows a file's bytes, and their length. Not one of ours, even where
/// the function is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WireDigest {
    /// Of the bytes themselves, never of a compressed form.
    pub hash: [u8; 32],
    /// How many bytes these are.
    pub size: u64,
}

impl fmt::Display for WireDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", build_graph::BlobDigest::from_bytes(self.hash), self.size)
    }
}

/// Why a remote did not do what it was asked to.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// It can't be reached, does not answer, is overloaded, or broke off: trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// It answers that it can't just now.
    #[error("{0}")]
    Busy(String),
    /// It does not let us: wrong credentials, read-only, full.
    #[error("{0}")]
    Refused(String),
    /// What it says is not what its protocol allows, or bytes are not what their digest promises.
    #[error("{0}")]
    Wrong(String),
    /// This side failed: a file can't be read, the store can't be written.
    #[error("{0}")]
    Local(#[from] io::Error),
}

/// Bytes on their way to a remote.
#[derive(Debug)]
pub struct Upload {
    /// What the remote is to know them by.
    pub digest: WireDigest,
    /// The file that they are read from, at its beginning.
    pub file: File,
}

/// Takes the bytes of one blob as they arrive. It checks them, and stops reading after the blob's
/// size.
pub type Receive<'a> = dyn Fn(&WireDigest, &mut dyn Read) -> Result<(), RemoteError> + Sync + 'a;

/// One protocol to one remote. Calls may come from several threads at once.
pub trait Transport: Send + Sync {
    /// Where the remote is, for messages: never with credentials in it.
    fn place(&self) -> String;

    /// How the remote names bytes. A transport that has to ask the server does so at the first call
    /// and keeps the answer.
    ///
    /// # Errors
    /// [`RemoteError`] if the server can't be asked, or names bytes as nobody here can.
    fn digest_function(&self) -> Result<DigestFunction, RemoteError>;

    /// What the remote has under these keys, in their order: the bytes of a [`SignedEnvelope`], not
    /// yet believed. As many requests at once as the protocol is good at. `None` where there is
    /// nothing.
    ///
    /// # Errors
    /// [`RemoteError`] if the look-ups failed as a whole, or one of them did.
    fn look_up(&self, keys: &[NodeKey]) -> Result<Vec<Option<Vec<u8>>>, RemoteError>;

    /// Which of these blobs the remote does not have.
    ///
    /// # Errors
    /// [`RemoteError`].
    fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, RemoteError>;

    /// Fetches blobs: calls `receive` once with each that the remote has, in any order and from any
    /// threads; not at all with what it does not have. An error of `receive` ends the whole.
    ///
    /// # Errors
    /// [`RemoteError`]; what was received before has been received.
    fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), RemoteError>;

    /// Puts blobs that [`missing`](Self::missing) named.
    ///
    /// # Errors
    /// [`RemoteError`]; some of them may be there.
    fn put(&self, blobs: Vec<Upload>) -> Result<(), RemoteError>;

    /// Puts a result whose blobs are all there, in place of what was under its key.
    ///
    /// # Errors
    /// [`RemoteError`].
    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError>;
}

/// The transport to a remote, by where it is. `root` is the folder to which relative paths belong.
fn transport(settings: &RemoteSettings, root: &Path) -> Result<Box<dyn Transport>, SettingsError> {
    let failed = |problem| SettingsError::Transport { name: settings.name.clone(), problem };
    let access = settings.access(root).map_err(|error| failed(error.to_string()))?;
    Ok(match settings.place(root)? {
        RemotePlace::Folder(path) => Box::new(ObjectLayout(directory::Directory::new(path))),
        RemotePlace::Http(url) => Box::new(ObjectLayout(http::Http::new(url, settings, access).map_err(failed)?)),
        RemotePlace::S3 { bucket, endpoint } => {
            Box::new(ObjectLayout(s3::S3::new(&bucket, endpoint.as_deref(), settings, access).map_err(failed)?))
        }
        RemotePlace::Grpc(url) => {
            let endpoint = reapi::Endpoint::of_remote(&url, settings, access);
            Box::new(reapi::transport::ReapiTransport::new(endpoint).map_err(|error| failed(error.to_string()))?)
        }
    })
}
