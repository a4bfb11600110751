//! What servers of our own have in common, which do wrong when told to.

use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use proto::capabilities_server::{Capabilities, CapabilitiesServer};
use pynbox_build::remote::reapi::Endpoint;
use tonic::{Request, Response, Status};

/// A service that says what its server can do.
pub(crate) struct Says(proto::ServerCapabilities);

#[tonic::async_trait]
impl Capabilities for Says {
    async fn get_capabilities(
        &self,
        _: Request<proto::GetCapabilitiesRequest>,
    ) -> Result<Response<proto::ServerCapabilities>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

/// That of a cache.
pub(crate) fn cache(cache: proto::CacheCapabilities) -> Says {
    Says(proto::ServerCapabilities { cache_capabilities: Some(cache), ..Default::default() })
}

/// That of a cache and engine with SHA-256.
pub(crate) fn engine() -> CapabilitiesServer<Says> {
    let functions = vec![proto::digest_function::Value::Sha256 as i32];
    let execution = proto::ExecutionCapabilities {
        exec_enabled: true,
        digest_function: functions[0],
        digest_functions: functions.clone(),
        ..Default::default()
    };
    let cache = proto::CacheCapabilities { digest_functions: functions, ..Default::default() };
    CapabilitiesServer::new(Says(proto::ServerCapabilities {
        cache_capabilities: Some(cache),
        execution_capabilities: Some(execution),
        ..Default::default()
    }))
}

/// Serves on a port of its own until the runtime is dropped. The endpoint is one of little
/// patience.
pub(crate) fn serve(router: tonic::transport::server::Router) -> (tokio::runtime::Runtime, Endpoint) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    let incoming = futures_util::stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(connection, _)| connection);
        Some((accepted, listener))
    });
    runtime.spawn(router.serve_with_incoming(incoming));
    (runtime, Endpoint { deadline: Duration::from_secs(2), attempts: 3, ..Endpoint::new(url) })
}
