//! Remote caches: results and bytes on other machines, and whom to believe.
//!
//! - [`reapi`]: the Remote Execution API, caches and engines
//! - [`envelope`]: what a remote says of a result, as bytes that a writer signs
//! - [`settings`]: which remotes there are; [`access`]: certificates and tokens; [`trust`]: whom to
//!   believe
//! - [`belief`]: which results that the store has are used
//! - [`caches`]: all of them together, as a build sees them
//! - `verify`, `retry`, `circuit_breaker`: policies for one remote, each a decorator of
//!   [`Transport`]; `stack` puts them together
//! - `budget`: what answers may take of memory
//! - `object_layout`, over `directory`, `http` and `s3`: remotes that keep objects under names
//! - [`place`]: the same places, for those who keep other things there
//! - [`pack`]: results and bytes as one file
//! - [`dsse`]: signed documents
//!
//! A [`Transport`] speaks one protocol to one remote. It makes one attempt, gives up after its own
//! deadline, and says how it failed. Nothing that it returns is trusted: `verify` checks the bytes
//! of blobs, and [`caches`] checks the signature and the key of every envelope.

pub mod access;
pub mod belief;
mod budget;
pub mod caches;
mod circuit_breaker;
pub mod digest;
mod directory;
pub mod dsse;
pub mod engine;
pub mod envelope;
mod http;
mod object_layout;
pub mod pack;
pub mod place;
#[cfg(feature = "reapi")]
pub mod reapi;
#[cfg(not(feature = "reapi"))]
#[path = "without_reapi.rs"]
pub mod reapi;
mod retry;
mod s3;
pub mod settings;
#[cfg(test)]
mod test_transport;
pub mod trust;
mod verify;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use build_graph::NodeKey;
use support::retry::RetryPolicy;
use thiserror::Error;

use self::retry::RetryTransport;
use circuit_breaker::CircuitBreakerTransport;
use envelope::SignedEnvelope;
use object_layout::ObjectLayout;
use settings::{RemotePlace, RemoteSettings, SettingsError};
use verify::VerifyTransport;

/// How often a request is tried.
const ATTEMPTS: u32 = 3;

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
    /// It can't be reached, does not answer, or broke off: trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// It answers that it is overloaded or out of order: trying again may help.
    #[error("{0}")]
    Busy(String),
    /// It does not let us: wrong credentials, read-only, full.
    #[error("{0}")]
    Refused(String),
    /// Its answer breaks its protocol.
    #[error("{0}")]
    Wrong(String),
    /// The bytes of some blobs are not what their digests promise. The others were received.
    #[error("{} files are damaged", .0.len())]
    Damaged(Vec<DamagedBlob>),
    /// It failed so often that it is not asked again for a while.
    #[error("{cause}")]
    LeftAlone {
        /// How it failed last.
        cause: Box<RemoteError>,
        /// For how long it is not asked.
        seconds: u64,
    },
    /// It was not asked, because it failed a moment ago ([`RemoteError::LeftAlone`]).
    #[error("it is left alone, because it failed a moment ago")]
    CircuitOpen,
    /// This side failed: a file can't be read, the store can't be written.
    #[error("{0}")]
    Local(#[from] io::Error),
}

impl RemoteError {
    /// Returns whether the same request may succeed a moment later.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Busy(_))
    }
}

/// A blob whose bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedBlob {
    /// The digest that was asked for.
    pub blob: WireDigest,
    /// What is wrong with the bytes.
    pub damage: Damage,
}

/// What is wrong with the bytes of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The transfer broke off, or they can't be decompressed; the error says where. Another transfer
    /// may be whole.
    Incomplete(String),
    /// They have another digest or length.
    OtherBytes,
}

/// Opens the bytes of one blob that is to be put, at its beginning.
pub type Open<'a> = dyn Fn(&WireDigest) -> io::Result<File> + Sync + 'a;

/// Takes the bytes of one blob as they arrive, to the end of the reader. An error of the reader is
/// the transport's affair: what this function returns after one is not looked at.
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

    /// Puts blobs, whether or not the remote has them. `open` is called once for each, from any
    /// thread.
    ///
    /// # Errors
    /// [`RemoteError`]; some of them may be there.
    fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Result<(), RemoteError>;

    /// Puts a result whose blobs are all there, in place of what was under its key.
    ///
    /// # Errors
    /// [`RemoteError`].
    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError>;
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn place(&self) -> String {
        (**self).place()
    }

    fn digest_function(&self) -> Result<DigestFunction, RemoteError> {
        (**self).digest_function()
    }

    fn look_up(&self, keys: &[NodeKey]) -> Result<Vec<Option<Vec<u8>>>, RemoteError> {
        (**self).look_up(keys)
    }

    fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, RemoteError> {
        (**self).missing(blobs)
    }

    fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), RemoteError> {
        (**self).fetch(blobs, receive)
    }

    fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Result<(), RemoteError> {
        (**self).put(blobs, open)
    }

    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError> {
        (**self).put_result(result)
    }
}

/// Adds all policies to a transport: each blob is verified, what failed is tried again, and a
/// remote that failed too often is left alone. `circuit` is the file that tells other processes so.
fn stack(transport: impl Transport, circuit: PathBuf) -> impl Transport {
    let verified = VerifyTransport::new(transport);
    let retried = RetryTransport::new(verified, RetryPolicy::of(ATTEMPTS));
    CircuitBreakerTransport::new(retried, circuit)
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
        #[cfg(feature = "reapi")]
        RemotePlace::Grpc(url) => {
            let endpoint = engine::Endpoint::of_remote(&url, settings, access);
            Box::new(reapi::transport::ReapiTransport::new(endpoint).map_err(|error| failed(error.to_string()))?)
        }
        #[cfg(not(feature = "reapi"))]
        RemotePlace::Grpc(_) => return Err(failed(reapi::MISSING.to_owned())),
    })
}
