//! What servers of our own have in common, which do wrong when told to.

use std::time::Duration;

use pynbox_build::remote::reapi::Endpoint;

/// Serves on a port of its own until the runtime is dropped. The endpoint is one of little patience.
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
