//! The connection to a server, which all clients of it share: headers, deadlines, retries,
//! capabilities.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use prost::Message as _;
use proto::capabilities_client::CapabilitiesClient;
use support::retry::{Retries, RetryPolicy};
use tokio::runtime::Handle;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status};

use super::status::{lacks, may_pass, message};
use super::{Capabilities, Endpoint, ReapiError};
use crate::WireDigest;

/// A connection to one server, made by the first call. Clones share it. Its methods must not be
/// called by tasks of the asynchronous runtime.
#[derive(Debug, Clone)]
pub struct Channel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    runtime: Handle,
    grpc: tonic::transport::Channel,
    headers: MetadataMap,
    capabilities: OnceLock<Capabilities>,
}

impl Channel {
    /// The connection to the server at this endpoint. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ReapiError::Settings`] if the address, a header or a certificate is malformed.
    pub fn new(endpoint: Endpoint) -> Result<Self, ReapiError> {
        let runtime = network::runtime::handle()
            .map_err(|error| ReapiError::Settings(format!("can't start threads for `{}`: {error}", endpoint.url)))?;
        let grpc = {
            // The connection's own task lives in the runtime.
            let _inside = runtime.enter();
            connect(&endpoint)?
        };
        let headers = headers(&endpoint)?;
        Ok(Self(Arc::new(Shared { endpoint, runtime, grpc, headers, capabilities: OnceLock::new() })))
    }

    /// The server that it leads to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Returns what the server can do; asks once.
    ///
    /// # Errors
    /// [`ReapiError::Call`] if it can't be reached, [`ReapiError::Wrong`] if it has no digest
    /// function of ours.
    pub fn capabilities(&self) -> Result<&Capabilities, ReapiError> {
        if let Some(known) = self.0.capabilities.get() {
            return Ok(known);
        }
        let answer = self.wait(self.call("asking for capabilities", || {
            let request = self.request(proto::GetCapabilitiesRequest { instance_name: self.instance() });
            let mut client = CapabilitiesClient::new(self.grpc());
            async move { client.get_capabilities(request).await }
        }))?;
        let capabilities = Capabilities::from_proto(answer.into_inner()).map_err(|problem| self.wrong(problem))?;
        Ok(self.0.capabilities.get_or_init(|| capabilities))
    }

    pub(super) fn grpc(&self) -> tonic::transport::Channel {
        self.0.grpc.clone()
    }

    pub(super) fn headers(&self) -> MetadataMap {
        self.0.headers.clone()
    }

    pub(super) fn instance(&self) -> String {
        self.endpoint().instance.clone()
    }

    /// Waits for a future to end.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(future)
    }

    /// A call with the endpoint's headers and its deadline, of which the server is told.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.long_request(message);
        request.set_timeout(self.endpoint().deadline);
        request
    }

    /// As [`Channel::request`], for streams that may take long.
    pub(super) fn long_request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers();
        request
    }

    /// Makes a call until it succeeds, fails for good, or was tried often enough.
    ///
    /// # Errors
    /// [`ReapiError::Call`], of the last attempt.
    pub(super) async fn call<T, F>(&self, call: &'static str, mut make: impl FnMut() -> F) -> Result<T, ReapiError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut retries = self.retries();
        loop {
            let status = match tokio::time::timeout(self.endpoint().deadline, make()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            self.wait_to_retry(call, &status, &mut retries).await?;
        }
    }

    /// The attempts at one call.
    pub(super) fn retries(&self) -> Retries {
        RetryPolicy::of(self.endpoint().attempts).begin()
    }

    /// Waits before the next attempt at a call that ended so.
    ///
    /// # Errors
    /// [`ReapiError::Call`] if another attempt won't help, or there were enough.
    pub(super) async fn wait_to_retry(
        &self,
        call: &'static str,
        status: &Status,
        retries: &mut Retries,
    ) -> Result<(), ReapiError> {
        match retries.pause().filter(|_| may_pass(status.code())) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(self.failed(call, status)),
        }
        Ok(())
    }

    /// The error of a call.
    pub(super) fn failed(&self, call: &'static str, status: &Status) -> ReapiError {
        let code = status.code();
        let mut message = message(status);
        if matches!(code, Code::Unauthenticated | Code::PermissionDenied) {
            message += &self.endpoint().access.hint();
        }
        ReapiError::Call { url: self.endpoint().url.clone(), call, code, message, lacks: lacks(status.details()) }
    }

    /// The server did what no server may.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ReapiError {
        ReapiError::Wrong { url: self.endpoint().url.clone(), problem: problem.into() }
    }

    pub(super) fn absent(&self, digest: &WireDigest) -> ReapiError {
        ReapiError::Absent { url: self.endpoint().url.clone(), digest: *digest }
    }
}

fn connect(endpoint: &Endpoint) -> Result<tonic::transport::Channel, ReapiError> {
    let settings = |problem: String| ReapiError::Settings(format!("`{}`: {problem}", endpoint.url));
    let (tls, rest) = match endpoint.url.split_once("://") {
        Some(("grpc" | "http", rest)) => (false, rest),
        Some(("grpcs" | "https", rest)) => (true, rest),
        _ => return Err(settings("expected `grpc://HOST:PORT`, or `grpcs://HOST:PORT` for TLS".to_owned())),
    };
    let scheme = if tls { "https" } else { "http" };
    let mut channel = tonic::transport::Channel::from_shared(format!("{scheme}://{rest}"))
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
