//! Execution: one action is asked for, waited for, and waited for again when the connection breaks.
//! What nobody waits for any more is cancelled.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::longrunning::operations_client::OperationsClient;
use bazel_remote_apis::google::longrunning::{CancelOperationRequest, Operation, operation};
use prost::Message as _;
use proto::execution_client::ExecutionClient;
use proto::execution_stage::Value as Stage;
use support::retry::Retries;
use support::signals::before_end;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status, Streaming};

use super::cas::MAX_ANSWER;
use super::status::may_pass;
use super::{Channel, ReapiError, digest};
use crate::WireDigest;

/// A connection that held so long was good: tries are counted anew after it. Servers and proxies
/// end streams that are older than they like.
const GOOD: Duration = Duration::from_secs(10);
/// So long a server is given to hear that something is cancelled.
const CANCELLING: Duration = Duration::from_secs(2);

/// The operations that are under way on a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<Operations>>);

#[derive(Debug, Default)]
struct Operations {
    names: BTreeSet<String>,
    /// The process is about to end: nothing is to be begun, nor to be made of how these end.
    ending: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Operations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does not return if the process is about to end.
    async fn unless_ending(&self) {
        if self.lock().ending {
            std::future::pending::<()>().await;
        }
    }
}

/// How long an action on an engine may take.
#[derive(Debug, Clone, Copy)]
pub struct ExecutionLimits {
    /// Until a worker begins with it, where the engine says when that is.
    pub queue: Duration,
    /// In all.
    pub all: Duration,
}

/// The operation that one execution waits for.
struct Current {
    running: Running,
    name: Option<String>,
    /// Until when a worker has to begin with it.
    queue: Instant,
}

impl Current {
    fn set(&mut self, name: Option<String>) {
        let mut running = self.running.lock();
        if let Some(old) = self.name.take() {
            running.names.remove(&old);
        }
        running.names.extend(name.clone());
        drop(running);
        self.name = name;
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        self.set(None);
    }
}

/// Tells a server that nobody waits for these. It need not obey, and need not know how to.
async fn cancel(channel: &Channel, names: Vec<String>) {
    let telling = names.into_iter().map(|name| {
        let mut client = OperationsClient::new(channel.grpc());
        let request = channel.long_request(CancelOperationRequest { name });
        async move { client.cancel_operation(request).await }
    });
    let _ = tokio::time::timeout(CANCELLING, futures_util::future::join_all(telling)).await;
}

/// What came of one look at a stream.
enum Seen {
    Done(Box<proto::ExecuteResponse>),
    Broken(Status),
}

/// A client of a server's execution. Clones know of one another's operations.
#[derive(Debug, Clone)]
pub struct Execution {
    channel: Channel,
    running: Running,
}

impl Execution {
    /// The execution of the server that a channel leads to.
    pub fn new(channel: &Channel) -> Self {
        Self { channel: channel.clone(), running: Running::default() }
    }

    /// Executes an action of which the server has every byte, and waits for it within limits. An
    /// operation that is given up is cancelled.
    ///
    /// # Errors
    /// [`ReapiError::Call`], whose `lacks` says which bytes the server misses if that is it.
    pub fn execute(
        &self,
        action: &WireDigest,
        skip_cache: bool,
        limits: ExecutionLimits,
    ) -> Result<proto::ExecuteResponse, ReapiError> {
        let function = self.channel.capabilities()?.function_number();
        let queue = Instant::now() + limits.queue;
        let mut operation = Current { running: self.running.clone(), name: None, queue };
        self.channel.wait(async {
            let executed = self.execute_within(action, function, skip_cache, &mut operation);
            let executed = match tokio::time::timeout(limits.all, executed).await {
                Ok(executed) => executed,
                Err(_) => {
                    let late = format!("the action did not end within {} seconds", limits.all.as_secs());
                    Err(self.channel.failed("executing", &Status::deadline_exceeded(late)))
                }
            };
            self.running.unless_ending().await;
            if let (Err(_), Some(name)) = (&executed, operation.name.clone()) {
                cancel(&self.channel, vec![name]).await;
            }
            executed
        })
    }

    /// Has what is waited for cancelled before a signal ends this process.
    pub fn end_with_signals(&self) {
        let (running, channel) = (self.running.clone(), self.channel.clone());
        before_end(move || {
            let names = {
                let mut running = running.lock();
                running.ending = true;
                running.names.iter().cloned().collect()
            };
            channel.wait(cancel(&channel, names));
        });
    }

    async fn execute_within(
        &self,
        action: &WireDigest,
        function: i32,
        skip_cache: bool,
        operation: &mut Current,
    ) -> Result<proto::ExecuteResponse, ReapiError> {
        let mut retries = self.channel.retries();
        // Operations that the server began. That it begins one more is no sign that the next will
        // end well.
        let mut begun = 0;
        loop {
            self.running.unless_ending().await;
            let mut since = Instant::now();
            let began = match &operation.name {
                Some(name) => self.wait_for(name.clone()).await,
                None => {
                    begun += 1;
                    self.ask(action, function, skip_cache).await
                }
            };
            let opened = began.is_ok();
            let seen = match began {
                Ok(stream) => {
                    since = Instant::now();
                    self.watch(stream, operation, &mut retries).await?
                }
                Err(status) => Seen::Broken(status),
            };
            let status = match seen {
                Seen::Done(response) => {
                    let status = response.status.clone().unwrap_or_default();
                    if status.code == 0 {
                        return Ok(*response);
                    }
                    // The operation is over: it has to be asked for anew.
                    operation.set(None);
                    let details = status.encode_to_vec().into();
                    Status::with_details(Code::from_i32(status.code), status.message, details)
                }
                // The server has forgotten the operation, or can't be asked to wait for one.
                Seen::Broken(status)
                    if operation.name.is_some() && matches!(status.code(), Code::NotFound | Code::Unimplemented) =>
                {
                    operation.set(None);
                    status
                }
                Seen::Broken(status) if may_pass(status.code()) => {
                    if opened && since.elapsed() >= GOOD {
                        retries.begin_anew();
                    }
                    status
                }
                Seen::Broken(status) => return Err(self.channel.failed("executing", &status)),
            };
            let again = may_pass(status.code()) || matches!(status.code(), Code::NotFound | Code::Unimplemented);
            let most = self.channel.endpoint().attempts;
            let is_given_up = !again || (operation.name.is_none() && begun >= most);
            match retries.pause().filter(|_| !is_given_up) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(self.channel.failed("executing", &status)),
            }
        }
    }

    async fn ask(&self, action: &WireDigest, function: i32, skip: bool) -> Result<Streaming<Operation>, Status> {
        let request = self.channel.long_request(proto::ExecuteRequest {
            instance_name: self.channel.instance(),
            skip_cache_lookup: skip,
            action_digest: Some(digest::to_proto(action)),
            digest_function: function,
            inline_stdout: true,
            inline_stderr: true,
            ..Default::default()
        });
        Ok(self.client().execute(request).await?.into_inner())
    }

    async fn wait_for(&self, name: String) -> Result<Streaming<Operation>, Status> {
        let request = self.channel.long_request(proto::WaitExecutionRequest { name });
        Ok(self.client().wait_execution(request).await?.into_inner())
    }

    fn client(&self) -> ExecutionClient<tonic::transport::Channel> {
        ExecutionClient::new(self.channel.grpc()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Reads a stream to the end of its operation. A server that begins one is well: tries are
    /// counted anew.
    async fn watch(
        &self,
        mut stream: Streaming<Operation>,
        operation: &mut Current,
        retries: &mut Retries,
    ) -> Result<Seen, ReapiError> {
        let mut waits = false;
        loop {
            // That the connection lives is seen to by pings.
            let message = match self.next(&mut stream, waits.then_some(operation.queue)).await? {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(Seen::Broken(Status::unavailable("the stream ended before the action did"))),
                Err(status) => return Ok(Seen::Broken(status)),
            };
            if operation.name.as_ref() != Some(&message.name) && !message.name.is_empty() {
                // Another name for the same operation is no beginning.
                if operation.name.is_none() {
                    retries.begin_anew();
                }
                operation.set(Some(message.name.clone()));
            }
            if !message.done {
                waits = matches!(stage(&message), Some(Stage::CacheCheck | Stage::Queued));
                continue;
            }
            return match message.result {
                Some(operation::Result::Response(any)) => match proto::ExecuteResponse::decode(&*any.value) {
                    Ok(response) => Ok(Seen::Done(Box::new(response))),
                    Err(error) => Err(self.channel.wrong(format!("its answer to an execution is malformed: {error}"))),
                },
                Some(operation::Result::Error(status)) => {
                    let response = proto::ExecuteResponse { status: Some(status), ..Default::default() };
                    Ok(Seen::Done(Box::new(response)))
                }
                None => Err(self.channel.wrong("an operation is done and has no result")),
            };
        }
    }

    /// The next message; one that does not come until then says that no worker has begun.
    async fn next(
        &self,
        stream: &mut Streaming<Operation>,
        until: Option<Instant>,
    ) -> Result<Result<Option<Operation>, Status>, ReapiError> {
        let Some(until) = until else { return Ok(stream.message().await) };
        timeout_at(until, stream.message()).await.map_err(|_| {
            self.channel
                .failed("executing", &Status::deadline_exceeded("no worker was free within the engine's `patience`"))
        })
    }
}

/// What is being done with an action, if the server says so.
fn stage(operation: &Operation) -> Option<Stage> {
    let metadata = operation.metadata.as_ref()?;
    proto::ExecuteOperationMetadata::decode(&*metadata.value).ok()?.stage.try_into().ok()
}
