//! What a server can do.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use proto::compressor::Value as Compressor;

use super::digest;
use crate::DigestFunction;

/// What no message of a client may exceed: gRPC's bound, unless a server has a smaller one.
const MAX_MESSAGE: u64 = 4 << 20;
/// What a message takes at most beside the blobs in it.
const MESSAGE_HEAD: u64 = 256 << 10;

/// What a server can do, as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// How it names bytes.
    pub function: DigestFunction,
    /// How many bytes go into one batch.
    pub batch: u64,
    /// Whether streams may be compressed by zstd.
    pub zstd: bool,
    /// The largest blob that it takes; `None`: any.
    pub max_blob: Option<u64>,
    /// Whether it takes results of actions from us.
    pub update_results: bool,
    /// Whether it executes actions.
    pub executes: bool,
}

impl Capabilities {
    /// Reads a server's answer.
    ///
    /// # Errors
    /// Why it can't be used: it has no digest function of ours.
    pub(super) fn from_proto(answer: proto::ServerCapabilities) -> Result<Self, String> {
        let cache = answer.cache_capabilities.unwrap_or_default();
        let execution = answer.execution_capabilities.unwrap_or_default();
        let mut offered = cache.digest_functions;
        // What an engine names actions by must be what its cache names bytes by.
        if execution.exec_enabled {
            let mut executes = execution.digest_functions;
            executes.push(execution.digest_function);
            offered.retain(|function| executes.contains(function));
        }
        let function = digest::choose(&offered).ok_or_else(|| {
            if offered.is_empty() {
                "it offers no digest function; is it a server of the remote execution protocol?".to_owned()
            } else {
                "it offers digest functions of which none is SHA-256 or BLAKE3".to_owned()
            }
        })?;
        let positive = |bytes: i64| u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        let message = positive(cache.max_batch_total_size_bytes).unwrap_or(MAX_MESSAGE).min(MAX_MESSAGE);
        Ok(Self {
            function,
            batch: message.saturating_sub(MESSAGE_HEAD),
            zstd: cache.supported_compressors.contains(&(Compressor::Zstd as i32)),
            max_blob: positive(cache.max_cas_blob_size_bytes),
            update_results: cache.action_cache_update_capabilities.is_some_and(|update| update.update_enabled),
            executes: execution.exec_enabled,
        })
    }

    /// The number of the digest function in the protocol.
    pub(super) fn function_number(&self) -> i32 {
        digest::number(self.function) as i32
    }
}
