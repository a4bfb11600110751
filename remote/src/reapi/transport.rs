//! The protocol's caches as a [`Transport`].
//!
//! A result is stored under the digest of an `Action` that holds only our key, as its salt. It is a
//! true `ActionResult`: its outputs are the files of the tree, so that a server can check that it
//! has them all, and keeps them as long as the result. The signed envelope is its standard output:
//! inline if it is small, else a blob of its own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use build_graph::{Entry, NodeKey};
use prost::Message as _;
use tonic::Code;

use super::merkle::Node;
use super::status::may_pass;
use super::stream::{Blob, Source};
use super::{ActionCache, Cas, Channel, Endpoint, ReapiError, digest};
use crate::budget::{Budget, MAX_ENVELOPE, MAX_ENVELOPES, check_length};
use crate::envelope::SignedEnvelope;
use crate::{DigestFunction, Open, Receive, RemoteError, Transport, WireDigest};

/// An envelope of more bytes is a blob of its own.
const INLINE: usize = 256 << 10;
/// So many files are open at once.
const MAX_OPEN: usize = 128;

/// A cache that speaks the protocol.
#[derive(Debug)]
pub struct ReapiTransport {
    channel: Channel,
    cas: Cas,
    cache: ActionCache,
}

impl ReapiTransport {
    /// The cache at an endpoint; nothing is sent yet. Calls are tried once, whatever the endpoint
    /// says: a decorator repeats them.
    ///
    /// # Errors
    /// [`ReapiError::Settings`] if the endpoint makes no sense.
    pub fn new(endpoint: Endpoint) -> Result<Self, ReapiError> {
        let channel = Channel::new(Endpoint { attempts: 1, ..endpoint })?;
        Ok(Self { cas: Cas::new(&channel), cache: ActionCache::new(&channel), channel })
    }

    /// Returns the digest under which a key's result is stored, and the messages that it is made of.
    fn action(&self, function: DigestFunction, key: &NodeKey) -> (WireDigest, Vec<Blob>) {
        let mut blobs = Vec::new();
        let mut keep = |bytes: Vec<u8>| {
            let digest = digest::of(function, &bytes);
            blobs.push(Blob { digest, source: Source::Bytes(bytes) });
            digest
        };
        let command = proto::Command { arguments: vec!["pynbox-node-v1".to_owned()], ..Default::default() };
        let command = keep(command.encode_to_vec());
        let root = keep(proto::Directory::default().encode_to_vec());
        let action = proto::Action {
            command_digest: Some(digest::to_proto(&command)),
            input_root_digest: Some(digest::to_proto(&root)),
            salt: key.as_bytes().to_vec(),
            ..Default::default()
        };
        (keep(action.encode_to_vec()), blobs)
    }

    /// The envelope in a result, if it holds one.
    fn envelope(&self, result: &proto::ActionResult, budget: &Budget) -> Result<Option<Vec<u8>>, RemoteError> {
        match &result.stdout_digest {
            Some(digest) if result.stdout_raw.is_empty() => {
                let digest = digest::from_proto(digest).filter(|digest| digest.size <= MAX_ENVELOPE);
                // No envelope is that long; the other answers still count.
                let Some(digest) = digest else { return Ok(Some(Vec::new())) };
                if !budget.take(digest.size) {
                    return Err(RemoteError::Wrong(format!("its answers have more than {MAX_ENVELOPES} bytes")));
                }
                match self.cas.fetch_one(&digest) {
                    Err(error) if error.is_absent() => Ok(None),
                    Err(ReapiError::Wrong { .. }) => Ok(Some(Vec::new())),
                    fetched => Ok(Some(fetched?)),
                }
            }
            _ => Ok(Some(result.stdout_raw.clone()).filter(|bytes| !bytes.is_empty())),
        }
    }

    fn result(&self, function: DigestFunction, signed: &SignedEnvelope) -> (proto::ActionResult, Vec<Blob>) {
        let envelope = &signed.envelope;
        let wire: HashMap<_, _> = envelope.blobs.iter().map(|blob| (blob.digest, blob.wire)).collect();
        let tree = Node::of(&envelope.tree, |_, entry| match entry {
            Entry::File { digest, .. } => wire.get(digest).copied(),
            _ => None,
        });
        let mut blobs = Vec::new();
        let mut keep = |bytes: Vec<u8>| {
            let digest = digest::of(function, &bytes);
            blobs.push(Blob { digest, source: Source::Bytes(bytes) });
            Some(digest::to_proto(&digest))
        };
        // Some servers check the directories apart from the message that holds them all.
        let mut directories = BTreeMap::new();
        tree.messages(function, &mut directories);
        directories.into_values().for_each(|directory| drop(keep(directory)));
        let directory = proto::OutputDirectory {
            path: "tree".to_owned(),
            tree_digest: keep(tree.tree_message(function).encode_to_vec()),
            ..Default::default()
        };
        let mut result = proto::ActionResult {
            output_directories: vec![directory],
            execution_metadata: Some(proto::ExecutedActionMetadata {
                worker: envelope.engine.clone().unwrap_or_default(),
                ..Default::default()
            }),
            ..Default::default()
        };
        if signed.to_bytes().len() <= INLINE {
            result.stdout_raw = signed.to_bytes().to_vec();
        } else {
            result.stdout_digest = keep(signed.to_bytes().to_vec());
        }
        (result, blobs)
    }

    fn send_missing(&self, blobs: Vec<Blob>) -> Result<(), ReapiError> {
        let digests: Vec<_> = blobs.iter().map(|blob| blob.digest).collect();
        let missing = self.cas.missing(&digests)?;
        // Each once.
        let lacking: BTreeMap<_, _> =
            blobs.into_iter().filter(|blob| missing.contains(&blob.digest)).map(|blob| (blob.digest, blob)).collect();
        self.cas.upload(lacking.into_values().collect())
    }
}

impl From<ReapiError> for RemoteError {
    fn from(error: ReapiError) -> Self {
        match error {
            ReapiError::Call { code: Code::DataLoss, .. } => Self::Wrong(error.to_string()),
            ReapiError::Call { code, .. } if may_pass(code) => Self::Unavailable(error.to_string()),
            ReapiError::Absent { .. } => Self::Unavailable(error.to_string()),
            ReapiError::Call { .. } | ReapiError::Settings(_) => Self::Refused(error.to_string()),
            ReapiError::Wrong { .. } => Self::Wrong(error.to_string()),
            ReapiError::Io { source, .. } => Self::Local(source),
        }
    }
}

impl Transport for ReapiTransport {
    fn place(&self) -> String {
        let endpoint = self.channel.endpoint();
        // The address may have a password in it.
        let url = match (endpoint.url.split_once("://"), endpoint.url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => endpoint.url.clone(),
        };
        if endpoint.instance.is_empty() { url } else { format!("{url} ({})", endpoint.instance) }
    }

    fn digest_function(&self) -> Result<DigestFunction, RemoteError> {
        Ok(self.channel.capabilities()?.function)
    }

    fn look_up(&self, keys: &[NodeKey]) -> Result<Vec<Option<Vec<u8>>>, RemoteError> {
        let function = self.channel.capabilities()?.function;
        let actions: Vec<_> = keys.iter().map(|key| self.action(function, key).0).collect();
        let mut found = Vec::with_capacity(keys.len());
        let budget = Budget::new(MAX_ENVELOPES);
        for result in self.cache.results(&actions)? {
            found.push(match result {
                Some(result) => self.envelope(&result, &budget)?,
                None => None,
            });
        }
        Ok(found)
    }

    fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, RemoteError> {
        Ok(self.cas.missing(blobs)?)
    }

    fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), RemoteError> {
        self.cas.fetch(blobs, receive)
    }

    fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Result<(), RemoteError> {
        for part in blobs.chunks(MAX_OPEN) {
            let blob = |digest| Ok(Blob { digest, source: Source::File(open(&digest)?) });
            let blobs = part.iter().copied().map(blob).collect::<io::Result<_>>()?;
            self.cas.upload(blobs)?;
        }
        Ok(())
    }

    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError> {
        check_length(result)?;
        let capabilities = self.channel.capabilities()?;
        let function = capabilities.function;
        if !capabilities.update_results {
            return Err(RemoteError::Refused(format!("`{}` takes no results from us", self.place())));
        }
        let (action, mut blobs) = self.action(function, &result.envelope.key);
        let (message, more) = self.result(function, result);
        blobs.extend(more);
        self.send_missing(blobs)?;
        Ok(self.cache.update(&action, &message)?)
    }
}
