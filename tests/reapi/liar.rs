//! A server of our own that speaks BLAKE3 and zstd, which the real ones here do not, and does wrong
//! when told to.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use bazel_remote_apis::google::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use futures_util::{Stream, stream};
use proto::capabilities_server::CapabilitiesServer;
use pynbox_build::remote::reapi::{Blob, Cas, Channel, Endpoint, ReapiError, Source, digest};
use pynbox_build::remote::{DigestFunction, WireDigest};
use tonic::{Request, Response, Status, Streaming};

use crate::own;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vice {
    None,
    /// Sends other bytes.
    Flip,
    /// Ends too early.
    Cut,
    /// Goes on for ever.
    Flood,
    /// Says a few times that it is busy.
    Busy(u32),
    /// Sends what is no zstd.
    Garble,
    /// Stops in the middle and says nothing more.
    Stall,
    /// Says again and again that there is more, and sends nothing.
    Drip,
    /// Takes what it is sent and does not say so.
    Mute,
}

#[derive(Clone)]
struct Liar {
    vice: Vice,
    streams: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    calls: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl ByteStream for Liar {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<ReadResponse, Status>> + Send>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if let Vice::Busy(times) = self.vice
            && call < times
        {
            return Err(Status::unavailable("busy"));
        }
        let name = request.into_inner().resource_name;
        let known = self.streams.lock().unwrap().get(&name).cloned();
        let mut bytes = known.ok_or_else(|| Status::not_found("no such blob"))?;
        match self.vice {
            Vice::Flip => {
                let mut plain = zstd::decode_all(&*bytes).unwrap();
                plain[100] ^= 1;
                bytes = zstd::encode_all(&*plain, 1).unwrap();
            }
            Vice::Cut => bytes.truncate(bytes.len() / 2),
            Vice::Garble => bytes[0] ^= 0xff,
            Vice::Flood => {
                let flood = zstd::encode_all(&*vec![0; 64 << 20], 1).unwrap();
                let endless = stream::repeat_with(move || Ok(ReadResponse { data: flood.clone() }));
                return Ok(Response::new(Box::pin(endless)));
            }
            Vice::Stall => {
                let half = ReadResponse { data: bytes[..bytes.len() / 2].to_vec() };
                let stalled = stream::once(async { Ok(half) });
                let stalled = futures_util::StreamExt::chain(stalled, stream::pending());
                return Ok(Response::new(Box::pin(stalled)));
            }
            Vice::Drip => {
                let drips = stream::unfold((), |()| async {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    Some((Ok(ReadResponse::default()), ()))
                });
                return Ok(Response::new(Box::pin(drips)));
            }
            Vice::None | Vice::Busy(_) | Vice::Mute => {}
        }
        let pieces: Vec<_> = bytes.chunks(64 << 10).map(|piece| Ok(ReadResponse { data: piece.to_vec() })).collect();
        Ok(Response::new(Box::pin(stream::iter(pieces))))
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Result<Response<WriteResponse>, Status> {
        let mut messages = request.into_inner();
        let (mut name, mut bytes) = (String::new(), Vec::new());
        while let Some(message) = messages.message().await? {
            if name.is_empty() {
                // `uploads/UUID/REST`
                name = message.resource_name.splitn(3, '/').nth(2).unwrap_or_default().to_owned();
            }
            if message.write_offset != i64::try_from(bytes.len()).unwrap() {
                return Err(Status::invalid_argument("a gap"));
            }
            bytes.extend(message.data);
        }
        if self.vice == Vice::Mute {
            std::future::pending::<()>().await;
        }
        let committed_size = i64::try_from(bytes.len()).unwrap();
        self.streams.lock().unwrap().insert(name, bytes);
        Ok(Response::new(WriteResponse { committed_size }))
    }

    async fn query_write_status(
        &self,
        _: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

/// Serves until the runtime is dropped.
fn serve(vice: Vice) -> (tokio::runtime::Runtime, Liar, Endpoint) {
    let liar = Liar { vice, streams: Arc::default(), calls: Arc::default() };
    let functions = [proto::digest_function::Value::Sha256, proto::digest_function::Value::Blake3];
    let capabilities = own::cache(proto::CacheCapabilities {
        digest_functions: functions.map(|function| function as i32).to_vec(),
        // So small that everything goes by streams.
        max_batch_total_size_bytes: 1,
        supported_compressors: vec![proto::compressor::Value::Zstd as i32],
        ..Default::default()
    });
    let router = tonic::transport::Server::builder()
        .add_service(CapabilitiesServer::new(capabilities))
        .add_service(ByteStreamServer::new(liar.clone()));
    let (runtime, endpoint) = own::serve(router);
    (runtime, liar, endpoint)
}

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|number| (number / 7).to_le_bytes()).collect()
}

/// Sends a blob to the server and takes it back.
fn there_and_back(vice: Vice) -> (Result<Vec<u8>, ReapiError>, WireDigest, Liar) {
    let (_runtime, liar, endpoint) = serve(vice);
    let channel = Channel::new(endpoint).unwrap();
    let cas = Cas::new(&channel);
    assert_eq!(channel.capabilities().unwrap().function, DigestFunction::Blake3);
    let digest = digest::of(DigestFunction::Blake3, &content());
    cas.upload(vec![Blob { digest, source: Source::Bytes(content()) }]).unwrap();
    (cas.fetch_one(&digest), digest, liar)
}

#[test]
fn streams_are_compressed_and_named_by_their_function() {
    let (got, digest, liar) = there_and_back(Vice::None);
    assert!(got.unwrap() == content());
    let streams = liar.streams.lock().unwrap();
    let sent = &streams[&format!("compressed-blobs/zstd/blake3/{}/{}", digest::hex(&digest), digest.size)];
    assert!(sent.len() < content().len() / 2 && zstd::decode_all(&**sent).unwrap() == content());
}

#[test]
fn a_busy_server_is_asked_again() {
    assert!(there_and_back(Vice::Busy(2)).0.unwrap() == content());
    let (refused, _, liar) = there_and_back(Vice::Busy(100));
    assert!(matches!(refused, Err(ReapiError::Call { code: tonic::Code::Unavailable, .. })), "{refused:?}");
    assert_eq!(liar.calls.load(Ordering::SeqCst), 3);
}

#[test]
fn no_wrong_byte_comes_in() {
    for vice in [Vice::Flip, Vice::Cut, Vice::Flood, Vice::Garble] {
        let (got, ..) = there_and_back(vice);
        assert!(got.is_err(), "{vice:?}");
        assert_eq!(matches!(got, Err(ReapiError::Wrong { .. })), vice != Vice::Cut, "{vice:?}: {got:?}");
    }
}

#[test]
fn a_stream_ends_that_brings_nothing_or_is_not_answered() {
    for vice in [Vice::Drip, Vice::Mute] {
        let (_runtime, liar, endpoint) = serve(vice);
        let channel = Channel::new(Endpoint { attempts: 1, ..endpoint }).unwrap();
        channel.capabilities().unwrap();
        let cas = Cas::new(&channel);
        let bytes = vec![7; 10_000];
        let digest = digest::of(DigestFunction::Blake3, &bytes);
        let sent = cas.upload(vec![Blob { digest, source: Source::Bytes(bytes.clone()) }]);
        let ended = if vice == Vice::Mute {
            sent
        } else {
            sent.unwrap();
            cas.fetch_one(&digest).map(drop)
        };
        assert!(
            matches!(ended, Err(ReapiError::Call { code: tonic::Code::DeadlineExceeded, .. })),
            "{vice:?}: {ended:?}"
        );
        drop(liar);
    }
}

#[test]
fn a_stream_that_stalls_ends() {
    let (got, ..) = there_and_back(Vice::Stall);
    assert!(matches!(got, Err(ReapiError::Call { code: tonic::Code::DeadlineExceeded, .. })), "{got:?}");
}
