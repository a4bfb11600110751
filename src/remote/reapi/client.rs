//! A connection to a server.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream::byte_stream_client::ByteStreamClient;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use prost::Message as _;
use proto::action_cache_client::ActionCacheClient;
use proto::capabilities_client::CapabilitiesClient;
use proto::compressor::Value as Compressor;
use proto::content_addressable_storage_client::ContentAddressableStorageClient;
use proto::execution_client::ExecutionClient;
use tokio::runtime::Handle;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request};

use super::execute::Running;
use super::{Endpoint, ReapiError, digest};
use crate::remote::budget::Budget;
use crate::remote::{DigestFunction, WireDigest};

/// What no message of a client may exceed: the bound of gRPC unless a server says otherwise.
const MESSAGE: u64 = 4 << 20;
/// What the rest of a message takes beside the blobs in it, at most.
const HEAD: u64 = 256 << 10;
/// Messages of servers that are larger than this are refused: batches have less, and nobody sends
/// larger pieces.
const ANSWER: usize = 16 << 20;
/// The same for results, of which many come at once: one of ours has at most 256 KiB inline.
const RESULT: usize = 4 << 20;
/// So many bytes of results are held at once.
const MAX_RESULTS: u64 = 128 << 20;
/// So many results are asked for at once: the protocol has no call for many.
const LOOK_UPS: usize = 64;

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

/// A client of one server. Connects when it is used first; share it between threads. Not to be used
/// inside of an asynchronous runtime.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    pub(super) runtime: Handle,
    pub(super) channel: Channel,
    pub(super) headers: MetadataMap,
    pub(super) running: Running,
    capabilities: OnceLock<Capabilities>,
}

impl Client {
    /// A client of the server at this endpoint. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ReapiError::Settings`] if the address, a header or a certificate is malformed,
    /// [`ReapiError::Io`] if a file can't be read.
    pub fn new(endpoint: Endpoint) -> Result<Self, ReapiError> {
        let runtime = network::runtime::handle()
            .map_err(|error| ReapiError::Settings(format!("can't start threads for `{}`: {error}", endpoint.url)))?;
        let channel = {
            // The channel's own task lives in the runtime.
            let _inside = runtime.enter();
            channel(&endpoint)?
        };
        let headers = headers(&endpoint)?;
        let running = Running::default();
        Ok(Self { endpoint, runtime, channel, headers, running, capabilities: OnceLock::new() })
    }

    /// The server that it speaks to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Does something asynchronous to its end.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A call with the endpoint's headers and its deadline, of which the server is told.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request.set_timeout(self.endpoint.deadline);
        request
    }

    /// As [`Client::request`], for streams that may take long.
    pub(super) fn long_request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request
    }

    pub(super) fn storage(&self) -> ContentAddressableStorageClient<Channel> {
        ContentAddressableStorageClient::new(self.channel.clone()).max_decoding_message_size(ANSWER)
    }

    pub(super) fn streams(&self) -> ByteStreamClient<Channel> {
        ByteStreamClient::new(self.channel.clone()).max_decoding_message_size(ANSWER)
    }

    pub(super) fn execution(&self) -> ExecutionClient<Channel> {
        ExecutionClient::new(self.channel.clone()).max_decoding_message_size(ANSWER)
    }

    fn results(&self) -> ActionCacheClient<Channel> {
        ActionCacheClient::new(self.channel.clone()).max_decoding_message_size(RESULT)
    }

    /// What the server can do; asked once.
    ///
    /// # Errors
    /// [`ReapiError::Call`] if it can't be reached, [`ReapiError::Wrong`] if it speaks no digest
    /// function of ours.
    pub fn capabilities(&self) -> Result<&Capabilities, ReapiError> {
        if let Some(known) = self.capabilities.get() {
            return Ok(known);
        }
        let answer = self.wait(self.call("asking for capabilities", || {
            let request = self.request(proto::GetCapabilitiesRequest { instance_name: self.endpoint.instance.clone() });
            let mut client = CapabilitiesClient::new(self.channel.clone());
            async move { client.get_capabilities(request).await }
        }))?;
        let capabilities = self.understand(&answer.into_inner())?;
        Ok(self.capabilities.get_or_init(|| capabilities))
    }

    /// What the server can do, after [`Client::capabilities`] has asked.
    pub(super) fn capabilities_known(&self) -> Result<&Capabilities, ReapiError> {
        self.capabilities.get().ok_or_else(|| self.wrong("it was used before it was asked for its capabilities"))
    }

    fn understand(&self, answer: &proto::ServerCapabilities) -> Result<Capabilities, ReapiError> {
        let cache = answer.cache_capabilities.clone().unwrap_or_default();
        let execution = answer.execution_capabilities.clone().unwrap_or_default();
        let mut offered = cache.digest_functions.clone();
        // What an engine names actions by must be what its cache names bytes by.
        if execution.exec_enabled {
            let mut executes = execution.digest_functions.clone();
            executes.push(execution.digest_function);
            offered.retain(|function| executes.contains(function));
        }
        let function = digest::choose(&offered).ok_or_else(|| {
            let problem = if offered.is_empty() {
                "it offers no digest function; is it a server of the remote execution protocol?".to_owned()
            } else {
                "it offers digest functions of which none is SHA-256 or BLAKE3".to_owned()
            };
            self.wrong(problem)
        })?;
        let bound = u64::try_from(cache.max_batch_total_size_bytes).ok().filter(|bound| *bound > 0).unwrap_or(MESSAGE);
        Ok(Capabilities {
            function,
            batch: bound.min(MESSAGE).saturating_sub(HEAD),
            zstd: cache.supported_compressors.contains(&(Compressor::Zstd as i32)),
            max_blob: u64::try_from(cache.max_cas_blob_size_bytes).ok().filter(|bound| *bound > 0),
            update_results: cache.action_cache_update_capabilities.is_some_and(|update| update.update_enabled),
            executes: execution.exec_enabled,
        })
    }

    /// The results that the server has for actions, in their order; `None` where it has none, or
    /// has lost part of it.
    ///
    /// # Errors
    /// [`ReapiError::Call`].
    pub fn action_results(&self, actions: &[WireDigest]) -> Result<Vec<Option<proto::ActionResult>>, ReapiError> {
        let function = self.function()?;
        let budget = Budget::new(MAX_RESULTS);
        let budget = &budget;
        let ask = |action: &WireDigest| {
            let action = digest::to_proto(action);
            async move {
                let asked = self.call("asking for a result", || {
                    let request = self.request(proto::GetActionResultRequest {
                        instance_name: self.endpoint.instance.clone(),
                        action_digest: Some(action.clone()),
                        inline_stdout: true,
                        digest_function: function,
                        ..Default::default()
                    });
                    let mut client = self.results();
                    async move { client.get_action_result(request).await }
                });
                match asked.await {
                    Ok(answer) if budget.take(answer.get_ref().encoded_len() as u64) => Ok(Some(answer.into_inner())),
                    Ok(_) => Err(self.wrong(format!("its results have more than {MAX_RESULTS} bytes"))),
                    Err(ReapiError::Call { code: Code::NotFound, .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        self.wait(stream::iter(actions).map(ask).buffered(LOOK_UPS).try_collect())
    }

    /// Gives the server a result for an action.
    ///
    /// # Errors
    /// [`ReapiError::Call`].
    pub fn update_action_result(&self, action: &WireDigest, result: &proto::ActionResult) -> Result<(), ReapiError> {
        let function = self.function()?;
        self.wait(self.call("writing a result", || {
            let request = self.request(proto::UpdateActionResultRequest {
                instance_name: self.endpoint.instance.clone(),
                action_digest: Some(digest::to_proto(action)),
                action_result: Some(result.clone()),
                results_cache_policy: None,
                digest_function: function,
            });
            let mut client = self.results();
            async move { client.update_action_result(request).await }
        }))
        .map(drop)
    }

    /// The number of the server's digest function.
    pub(super) fn function(&self) -> Result<i32, ReapiError> {
        Ok(digest::number(self.capabilities()?.function) as i32)
    }

    /// The server did what no server may.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ReapiError {
        ReapiError::Wrong { url: self.endpoint.url.clone(), problem: problem.into() }
    }

    pub(super) fn absent(&self, digest: &WireDigest) -> ReapiError {
        ReapiError::Absent { url: self.endpoint.url.clone(), digest: *digest }
    }
}

fn channel(endpoint: &Endpoint) -> Result<Channel, ReapiError> {
    let settings = |problem: String| ReapiError::Settings(format!("`{}`: {problem}", endpoint.url));
    let (tls, rest) = match endpoint.url.split_once("://") {
        Some(("grpc" | "http", rest)) => (false, rest),
        Some(("grpcs" | "https", rest)) => (true, rest),
        _ => return Err(settings("expected `grpc://HOST:PORT`, or `grpcs://HOST:PORT` for TLS".to_owned())),
    };
    let scheme = if tls { "https" } else { "http" };
    let mut channel = Channel::from_shared(format!("{scheme}://{rest}"))
        .map_err(|error| settings(error.to_string()))?
        .connect_timeout(endpoint.deadline.min(Duration::from_secs(10)))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .tcp_nodelay(true)
        .user_agent(concat!("pynbox-build/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| settings(error.to_string()))?;
    if tls {
        let mut config = ClientTlsConfig::new();
        config = match &endpoint.access.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
            None => config.with_native_roots(),
        };
        if let Some((certificate, key)) = &endpoint.access.identity {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        channel = channel.tls_config(config).map_err(|error| settings(error.to_string()))?;
    }
    Ok(channel.connect_lazy())
}

fn headers(endpoint: &Endpoint) -> Result<MetadataMap, ReapiError> {
    let mut headers = MetadataMap::new();
    for (name, value) in &endpoint.access.headers {
        // The value may be a secret.
        let malformed =
            || ReapiError::Settings(format!("`{}`: the header `{name}` or its value is malformed", endpoint.url));
        let key: AsciiMetadataKey = name.parse().map_err(|_| malformed())?;
        let mut value: AsciiMetadataValue = value.parse().map_err(|_| malformed())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    let tool = proto::RequestMetadata {
        tool_details: Some(proto::ToolDetails {
            tool_name: "pynbox-build".to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        ..Default::default()
    };
    headers.insert_bin(
        "build.bazel.remote.execution.v2.requestmetadata-bin",
        MetadataValue::from_bytes(&tool.encode_to_vec()),
    );
    Ok(headers)
}
