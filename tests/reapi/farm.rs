//! An engine of our own that keeps what it is sent and runs nothing: what an action came to is told
//! to it, lies included.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use bazel_remote_apis::google::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use bazel_remote_apis::google::longrunning as operations;
use bazel_remote_apis::google::protobuf::Empty;
use bazel_remote_apis::google::rpc;
use futures_util::{Stream, StreamExt as _, stream};
use operations::Operation;
use operations::operations_server::{Operations, OperationsServer};
use prost::Message as _;
use proto::content_addressable_storage_server::{ContentAddressableStorage, ContentAddressableStorageServer};
use proto::execution_server::{Execution, ExecutionServer};
use pynbox_build::build_graph::{Entry, RelPath, Tree};
use pynbox_build::executor::{ActionLimits, runner_program};
use pynbox_build::remote::DigestFunction;
use pynbox_build::remote::reapi::engine::{Engine, EngineSettings, Ran, RemoteAction};
use pynbox_build::remote::reapi::{Endpoint, ReapiError, digest};
use pynbox_build::store::{Store, Taking};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::own;

/// What is to come of executions, the last one for all that follow.
#[derive(Clone)]
enum Act {
    /// The action ended, with this result.
    End(Box<proto::ActionResult>),
    /// The engine misses what it was sent.
    Miss,
    /// It runs and runs; the stream ends at once, so that the client has to wait for the operation
    /// by its name.
    Hang,
    /// It waits for a worker.
    Queue,
}

#[derive(Clone, Default)]
struct Farm {
    blobs: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    acts: Arc<Mutex<Vec<Act>>>,
    executed: Arc<Mutex<u32>>,
    waited: Arc<Mutex<u32>>,
    cancelling: Arc<tokio::sync::Notify>,
    cancelled: Arc<Mutex<Vec<String>>>,
    received: Arc<Mutex<usize>>,
}

impl Farm {
    fn start(acts: Vec<Act>) -> (tokio::runtime::Runtime, Self, Endpoint) {
        let farm = Self { acts: Arc::new(Mutex::new(acts)), ..Self::default() };
        let router = tonic::transport::Server::builder()
            .add_service(own::engine())
            .add_service(ContentAddressableStorageServer::new(farm.clone()))
            .add_service(ByteStreamServer::new(farm.clone()))
            .add_service(OperationsServer::new(farm.clone()))
            .add_service(ExecutionServer::new(farm.clone()));
        let (runtime, endpoint) = own::serve(router);
        (runtime, farm, endpoint)
    }

    /// Keeps bytes; gives their digest.
    fn keep(&self, bytes: &[u8]) -> proto::Digest {
        let digest = digest::to_proto(&digest::of(DigestFunction::Sha256, bytes));
        self.blobs.lock().unwrap().insert(digest.hash.clone(), bytes.to_vec());
        digest
    }

    /// A result as an honest worker gives it: this one output.
    fn result(&self, path: &str, bytes: &[u8]) -> proto::ActionResult {
        let file =
            proto::OutputFile { path: path.to_owned(), digest: Some(self.keep(bytes)), ..proto::OutputFile::default() };
        proto::ActionResult {
            output_files: vec![file],
            stderr_raw: br#"{"callers_proc":false,"ending":{"exited":0}}"#.to_vec(),
            ..proto::ActionResult::default()
        }
    }

    fn set(&self, act: Act) {
        *self.acts.lock().unwrap() = vec![act];
    }
}

fn hash_of(resource: &str) -> String {
    let parts: Vec<_> = resource.split('/').collect();
    let at = parts.iter().position(|part| *part == "blobs").unwrap();
    parts[at + 1].to_owned()
}

#[tonic::async_trait]
impl ContentAddressableStorage for Farm {
    type GetTreeStream = Pin<Box<dyn Stream<Item = Result<proto::GetTreeResponse, Status>> + Send>>;
    type GetChunkMappingStream = Pin<Box<dyn Stream<Item = Result<proto::GetChunkMappingResponse, Status>> + Send>>;

    async fn find_missing_blobs(
        &self,
        request: Request<proto::FindMissingBlobsRequest>,
    ) -> Result<Response<proto::FindMissingBlobsResponse>, Status> {
        let blobs = self.blobs.lock().unwrap();
        let asked = request.into_inner().blob_digests.into_iter();
        let missing_blob_digests = asked.filter(|digest| !blobs.contains_key(&digest.hash)).collect();
        Ok(Response::new(proto::FindMissingBlobsResponse { missing_blob_digests }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<proto::BatchUpdateBlobsRequest>,
    ) -> Result<Response<proto::BatchUpdateBlobsResponse>, Status> {
        let mut responses = Vec::new();
        for blob in request.into_inner().requests {
            *self.received.lock().unwrap() += 1;
            let digest = Some(self.keep(&blob.data));
            responses.push(proto::batch_update_blobs_response::Response { digest, status: None });
        }
        Ok(Response::new(proto::BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<proto::BatchReadBlobsRequest>,
    ) -> Result<Response<proto::BatchReadBlobsResponse>, Status> {
        let blobs = self.blobs.lock().unwrap();
        let read = |digest: proto::Digest| {
            let data = blobs.get(&digest.hash).cloned();
            let code = if data.is_some() { Code::Ok } else { Code::NotFound };
            proto::batch_read_blobs_response::Response {
                digest: Some(digest),
                data: data.unwrap_or_default(),
                status: Some(rpc::Status { code: code as i32, ..rpc::Status::default() }),
                ..Default::default()
            }
        };
        let responses = request.into_inner().digests.into_iter().map(read).collect();
        Ok(Response::new(proto::BatchReadBlobsResponse { responses }))
    }

    async fn get_tree(&self, _: Request<proto::GetTreeRequest>) -> Result<Response<Self::GetTreeStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_chunk_mapping(
        &self,
        _: Request<proto::GetChunkMappingRequest>,
    ) -> Result<Response<Self::GetChunkMappingStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn register_chunk_mapping(
        &self,
        _: Request<Streaming<proto::RegisterChunkMappingRequest>>,
    ) -> Result<Response<proto::RegisterChunkMappingResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn split_blob(
        &self,
        _: Request<proto::SplitBlobRequest>,
    ) -> Result<Response<proto::SplitBlobResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn splice_blob(
        &self,
        _: Request<proto::SpliceBlobRequest>,
    ) -> Result<Response<proto::SpliceBlobResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl ByteStream for Farm {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<ReadResponse, Status>> + Send>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let known = self.blobs.lock().unwrap().get(&hash_of(&request.into_inner().resource_name)).cloned();
        let bytes = known.ok_or_else(|| Status::not_found("no such blob"))?;
        let pieces: Vec<_> = bytes.chunks(1 << 20).map(|piece| Ok(ReadResponse { data: piece.to_vec() })).collect();
        Ok(Response::new(Box::pin(stream::iter(pieces))))
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Result<Response<WriteResponse>, Status> {
        let mut messages = request.into_inner();
        let mut bytes = Vec::new();
        while let Some(message) = messages.message().await? {
            bytes.extend(message.data);
        }
        *self.received.lock().unwrap() += 1;
        self.keep(&bytes);
        Ok(Response::new(WriteResponse { committed_size: i64::try_from(bytes.len()).unwrap() }))
    }

    async fn query_write_status(
        &self,
        _: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Operation, Status>> + Send>>;

#[tonic::async_trait]
impl Execution for Farm {
    type ExecuteStream = Messages;
    type WaitExecutionStream = Messages;

    async fn execute(&self, _: Request<proto::ExecuteRequest>) -> Result<Response<Messages>, Status> {
        *self.executed.lock().unwrap() += 1;
        let act = {
            let mut acts = self.acts.lock().unwrap();
            if acts.len() > 1 { acts.remove(0) } else { acts[0].clone() }
        };
        let begun = Operation { name: "the operation".to_owned(), ..Operation::default() };
        let mut response = proto::ExecuteResponse::default();
        match act {
            Act::Hang => return Ok(Response::new(Box::pin(stream::iter([Ok(begun)])))),
            Act::Queue => {
                let stage = proto::execution_stage::Value::Queued as i32;
                let metadata = proto::ExecuteOperationMetadata { stage, ..Default::default() };
                let mut queued = begun;
                queued.metadata = Some(Default::default());
                if let Some(any) = &mut queued.metadata {
                    any.value = metadata.encode_to_vec();
                }
                return Ok(Response::new(Box::pin(stream::iter([Ok(queued)]).chain(stream::pending()))));
            }
            Act::Miss => {
                self.blobs.lock().unwrap().clear();
                let code = Code::FailedPrecondition as i32;
                response.status =
                    Some(rpc::Status { code, message: "it is gone".to_owned(), ..rpc::Status::default() });
            }
            Act::End(result) => response.result = Some(*result),
        }
        let mut answer = operations::operation::Result::Response(Default::default());
        if let operations::operation::Result::Response(any) = &mut answer {
            any.value = response.encode_to_vec();
        }
        let done = Operation { done: true, result: Some(answer), ..begun };
        Ok(Response::new(Box::pin(stream::iter([Ok(done)]))))
    }

    async fn wait_execution(&self, _: Request<proto::WaitExecutionRequest>) -> Result<Response<Messages>, Status> {
        *self.waited.lock().unwrap() += 1;
        let cancelling = Arc::clone(&self.cancelling);
        // An operation that is cancelled ends with that.
        let end = stream::once(async move {
            cancelling.notified().await;
            Err(Status::cancelled("as you said"))
        });
        Ok(Response::new(Box::pin(end)))
    }
}

#[tonic::async_trait]
impl Operations for Farm {
    async fn cancel_operation(
        &self,
        request: Request<operations::CancelOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        self.cancelled.lock().unwrap().push(request.into_inner().name);
        self.cancelling.notify_one();
        // So that there is time to do wrong.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(Response::new(Empty {}))
    }

    async fn list_operations(
        &self,
        _: Request<operations::ListOperationsRequest>,
    ) -> Result<Response<operations::ListOperationsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_operation(&self, _: Request<operations::GetOperationRequest>) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn delete_operation(
        &self,
        _: Request<operations::DeleteOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn wait_operation(
        &self,
        _: Request<operations::WaitOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

/// A project's store, and an engine with little patience.
struct Client {
    folder: tempfile::TempDir,
    store: Store,
    engine: Engine,
    image: Tree,
}

impl Client {
    fn new(endpoint: Endpoint) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let settings = EngineSettings {
            name: "farm".to_owned(),
            endpoint,
            platform: Default::default(),
            patience: Duration::from_secs(1),
        };
        let engine = Engine::open(settings, runner_program().unwrap()).unwrap();
        let mut image = Tree::new();
        for name in ["one", "two"] {
            image.insert(RelPath::new(name).unwrap(), store.put_bytes(name.as_bytes(), false).unwrap()).unwrap();
        }
        Self { folder, store, engine, image }
    }

    /// Runs an action with the outputs `out` and `dir`; gives what was made.
    fn run(&self) -> Result<(Ran, HashMap<String, Vec<u8>>), ReapiError> {
        let build = self.folder.path().join("build");
        let _ = fs::remove_dir_all(&build);
        fs::create_dir(&build).unwrap();
        let action = RemoteAction {
            image: &self.image,
            inputs: &[],
            command: &["/bin/true".to_owned()],
            environment: &[],
            outputs: &["out", "dir"].map(|name| RelPath::new(name).unwrap()),
            limits: ActionLimits { time: Some(Duration::from_secs(1)), ..ActionLimits::DEFAULT },
        };
        let ran = self.engine.run(&self.store, &action, &build, &self.folder.path().join("log"))?;
        Ok((ran, made(&build)))
    }
}

fn made(build: &Path) -> HashMap<String, Vec<u8>> {
    let entries = fs::read_dir(build).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
        .collect()
}

#[test]
fn what_the_farm_says_is_taken() {
    let (_runtime, farm, endpoint) = Farm::start(vec![Act::Hang]);
    let client = Client::new(endpoint);
    farm.set(Act::End(Box::new(farm.result("outputs/out", b"made"))));
    assert_eq!(client.run().unwrap().1, HashMap::from([("out".to_owned(), b"made".to_vec())]));
}

#[test]
fn what_an_engine_has_lost_is_sent_again() {
    let (_runtime, farm, endpoint) = Farm::start(vec![Act::Hang]);
    let client = Client::new(endpoint);
    let result = farm.result("outputs/out", b"made");
    farm.set(Act::End(Box::new(result.clone())));
    client.run().unwrap();
    let sent = std::mem::take(&mut *farm.received.lock().unwrap());
    // Nothing is sent of what was there a moment ago, until the engine says that it is gone.
    client.run().unwrap();
    assert_eq!(*farm.received.lock().unwrap(), 0);
    *farm.acts.lock().unwrap() = vec![Act::Miss, Act::End(Box::new(result))];
    // With the rest, the output has gone too: that is the engine's fault, not the action's.
    let error = client.run().unwrap_err().to_string();
    assert!(error.contains("does not have an output"), "{error}");
    assert_eq!(*farm.received.lock().unwrap(), sent);
    farm.keep(b"made");
    client.run().unwrap();
    // One that loses everything each time is given up.
    farm.set(Act::Miss);
    let before = *farm.executed.lock().unwrap();
    let error = client.run().unwrap_err().to_string();
    assert!(error.contains("it is gone"), "{error}");
    assert_eq!(*farm.executed.lock().unwrap() - before, 2);
}

#[test]
fn a_lie_of_an_engine_is_an_error_and_nothing_of_it_stays() {
    let (_runtime, farm, endpoint) = Farm::start(vec![Act::Hang]);
    let client = Client::new(endpoint);
    let honest = farm.result("outputs/out", b"made");
    let link = |path: &str, target: &str| proto::OutputSymlink {
        path: path.to_owned(),
        target: target.to_owned(),
        ..proto::OutputSymlink::default()
    };
    let directory = |tree: &proto::Tree| proto::OutputDirectory {
        path: "outputs/dir".to_owned(),
        tree_digest: Some(farm.keep(&tree.encode_to_vec())),
        ..proto::OutputDirectory::default()
    };
    let tree = |name: &str| proto::Tree {
        root: Some(proto::Directory {
            files: vec![proto::FileNode {
                name: name.to_owned(),
                digest: Some(farm.keep(b"made")),
                ..Default::default()
            }],
            ..Default::default()
        }),
        children: Vec::new(),
    };
    let other = |change: &dyn Fn(&mut proto::ActionResult)| {
        let mut result = honest.clone();
        change(&mut result);
        result
    };
    let lies: Vec<(&str, proto::ActionResult, &str)> = vec![
        ("says nothing of the command", other(&|result| result.stderr_raw.clear()), "without a report"),
        ("reports words", other(&|result| result.stderr_raw = b"fine".to_vec()), "without a report"),
        ("reports another status", other(&|result| result.exit_code = 1), "differ"),
        (
            "has no such output",
            other(&|result| {
                result.output_files[0].digest = Some(digest::to_proto(&digest::of(DigestFunction::Sha256, b"lost")));
            }),
            "does not have an output",
        ),
        (
            "gives a malformed digest",
            other(&|result| {
                result.output_files[0].digest = Some(proto::Digest { hash: "0".to_owned(), size_bytes: 4 });
            }),
            "digest",
        ),
        (
            "gives a negative size",
            other(&|result| result.output_files[0].digest.as_mut().unwrap().size_bytes = -1),
            "digest",
        ),
        ("gives what is no output", farm.result("outputs/more", b"made"), "is no output"),
        ("gives a file elsewhere", farm.result("outputs/../../out", b"made"), "outputs/../../out"),
        ("gives a file at the top", farm.result("/etc/passwd", b"made"), "is no output"),
        (
            "gives an output twice",
            other(&|result| result.output_files.extend(farm.result("outputs/out", b"more").output_files)),
            "out",
        ),
        ("gives a file and a link", other(&|result| result.output_symlinks.push(link("outputs/out", "/etc"))), "out"),
        (
            "gives a directory that leaves",
            other(&|result| result.output_directories.push(directory(&tree("../out")))),
            "../out",
        ),
        (
            "gives a directory with a path in a name",
            other(&|result| result.output_directories.push(directory(&tree("a/b")))),
            "a/b",
        ),
        (
            "gives a directory of garbage",
            other(&|result| {
                result.output_directories.push(proto::OutputDirectory {
                    path: "outputs/dir".to_owned(),
                    tree_digest: Some(farm.keep(b"\xff\xff\xff")),
                    ..Default::default()
                });
            }),
            "dir",
        ),
    ];
    for (what, result, why) in lies {
        farm.set(Act::End(Box::new(result)));
        let error = client.run().map(|(_, made)| made).unwrap_err();
        assert!(matches!(error, ReapiError::Wrong { .. }), "an engine that {what}: {error}");
        assert!(error.to_string().contains(why), "an engine that {what}: {error}");
        assert!(made(&client.folder.path().join("build")).values().all(|bytes| bytes.is_empty() || bytes == b"made"));
    }
    // Other bytes under an output's name.
    let mut blobs = farm.blobs.lock().unwrap();
    let hash = honest.output_files[0].digest.clone().unwrap().hash;
    blobs.insert(hash, b"evil".to_vec());
    drop(blobs);
    farm.set(Act::End(Box::new(honest.clone())));
    let error = client.run().map(|(_, made)| made).unwrap_err().to_string();
    assert!(error.contains("it sent other bytes"), "{error}");
    assert!(made(&client.folder.path().join("build")).is_empty());
    // A command that failed, it says, has no outputs, whatever the engine adds.
    let mut failed = honest;
    failed.exit_code = 1;
    failed.stderr_raw = br#"{"callers_proc":false,"ending":{"exited":7}}"#.to_vec();
    farm.set(Act::End(Box::new(failed)));
    assert!(client.run().unwrap().1.is_empty());
}

#[test]
fn who_is_too_slow_is_given_up_and_told_so() {
    let (_runtime, farm, endpoint) = Farm::start(vec![Act::Hang]);
    let client = Client::new(endpoint);
    let error = client.run().map(|(_, made)| made).unwrap_err().to_string();
    assert!(error.contains("did not end within 2 seconds"), "{error}");
    assert_eq!(*farm.cancelled.lock().unwrap(), ["the operation"]);
}

#[test]
fn who_waits_in_a_queue_is_given_up_sooner() {
    let (_runtime, farm, endpoint) = Farm::start(vec![Act::Queue]);
    let client = Client::new(endpoint);
    let error = client.run().map(|(_, made)| made).unwrap_err().to_string();
    assert!(error.contains("no worker was free"), "{error}");
    assert_eq!(*farm.cancelled.lock().unwrap(), ["the operation"]);
    assert_eq!(*farm.executed.lock().unwrap(), 1);
}

#[test]
fn a_log_without_end_is_refused() {
    let (_runtime, farm, endpoint) = Farm::start(vec![Act::Hang]);
    let client = Client::new(endpoint);
    let mut result = farm.result("outputs/out", b"made");
    let hash = farm.keep(b"a log").hash;
    result.stdout_digest = Some(proto::Digest { hash, size_bytes: 50 << 30 });
    farm.set(Act::End(Box::new(result)));
    let error = client.run().map(|(_, made)| made).unwrap_err().to_string();
    assert!(error.contains("at most"), "{error}");
}

#[test]
fn an_interrupted_program_cancels_what_it_waits_for() {
    let (_runtime, farm, endpoint) = Farm::start(vec![Act::Hang]);
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("[engine]\nname = \"farm\"\nurl = \"{}\"\n", endpoint.url);
    fs::write(folder.path().join("pynbox.toml"), settings).unwrap();
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pynbox-build"));
        command.arg("--executor").args(arguments).arg("-C").arg(folder.path());
        command
    };
    let made = tool(&["auto", "gen"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // A check runs actions again, one after the other.
    let mut checking = tool(&["reapi", "cache", "check", "100%", "wasm32-wasi/zlib/adler32"]);
    let mut child = checking.process_group(0).stdout(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while *farm.waited.lock().unwrap() == 0 {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(*farm.cancelled.lock().unwrap(), ["the operation"]);
    assert_eq!(*farm.executed.lock().unwrap(), 1, "nothing is begun any more");
}

#[test]
fn links_of_an_engine_are_made_as_links() {
    let (_runtime, farm, endpoint) = Farm::start(vec![Act::Hang]);
    let client = Client::new(endpoint);
    let mut result = farm.result("outputs/out", b"made");
    result.output_symlinks.push(proto::OutputSymlink {
        path: "outputs/dir".to_owned(),
        target: "/etc/passwd".to_owned(),
        ..proto::OutputSymlink::default()
    });
    farm.set(Act::End(Box::new(result)));
    client.run().unwrap();
    let link = client.folder.path().join("build/dir");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("/etc/passwd"));
    let tree = client.store.ingest(&client.folder.path().join("build"), Taking::Move).unwrap();
    let entry = tree.iter().find(|(path, _)| path.as_str() == "dir").unwrap().1.clone();
    assert!(matches!(entry, Entry::Symlink { .. }), "{entry:?}");
}
