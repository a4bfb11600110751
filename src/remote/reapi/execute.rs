//! One action on an engine: asked for, waited for, and waited for again when the connection breaks.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::longrunning::{Operation, operation};
use prost::Message as _;
use tonic::{Code, Status, Streaming};

use super::client::Client;
use super::retry::{may_pass, pause};
use super::{ReapiError, digest};
use crate::remote::WireDigest;

/// What came of one look at a stream.
enum Seen {
    Done(Box<proto::ExecuteResponse>),
    Broken(Status),
}

impl Client {
    /// Executes an action of which the server has every byte, and waits for it, however long it takes.
    ///
    /// # Errors
    /// [`ReapiError::Call`], whose `lacks` says which bytes the server misses if that is it.
    pub fn execute(&self, action: &WireDigest, skip_cache: bool) -> Result<proto::ExecuteResponse, ReapiError> {
        let function = self.function()?;
        self.wait(self.execute_within(action, function, skip_cache))
    }

    async fn execute_within(
        &self,
        action: &WireDigest,
        function: i32,
        skip_cache: bool,
    ) -> Result<proto::ExecuteResponse, ReapiError> {
        let mut operation: Option<String> = None;
        let mut attempt = 1;
        // Operations that the server began. That it begins one more is no sign that the next will end well.
        let mut begun = 0;
        loop {
            let began = match &operation {
                Some(name) => self.wait_for(name.clone()).await,
                None => {
                    begun += 1;
                    self.ask(action, function, skip_cache).await
                }
            };
            let seen = match began {
                Ok(stream) => self.watch(stream, &mut operation, &mut attempt).await?,
                Err(status) => Seen::Broken(status),
            };
            let status = match seen {
                Seen::Done(response) => {
                    let status = response.status.clone().unwrap_or_default();
                    if status.code == 0 {
                        return Ok(*response);
                    }
                    // The operation is over: it has to be asked for anew.
                    operation = None;
                    let details = status.encode_to_vec().into();
                    Status::with_details(Code::from_i32(status.code), status.message, details)
                }
                // The server has forgotten the operation, or can't be asked to wait for one.
                Seen::Broken(status)
                    if operation.is_some() && matches!(status.code(), Code::NotFound | Code::Unimplemented) =>
                {
                    operation = None;
                    status
                }
                Seen::Broken(status) if may_pass(status.code()) => status,
                Seen::Broken(status) => return Err(self.failed("executing", &status)),
            };
            let again = may_pass(status.code()) || matches!(status.code(), Code::NotFound | Code::Unimplemented);
            let most = self.endpoint().attempts;
            if !again || attempt >= most || (operation.is_none() && begun >= most) {
                return Err(self.failed("executing", &status));
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    async fn ask(&self, action: &WireDigest, function: i32, skip: bool) -> Result<Streaming<Operation>, Status> {
        let request = self.long_request(proto::ExecuteRequest {
            instance_name: self.endpoint().instance.clone(),
            skip_cache_lookup: skip,
            action_digest: Some(digest::to_proto(action)),
            digest_function: function,
            inline_stdout: true,
            inline_stderr: true,
            ..Default::default()
        });
        Ok(self.execution().execute(request).await?.into_inner())
    }

    async fn wait_for(&self, name: String) -> Result<Streaming<Operation>, Status> {
        let request = self.long_request(proto::WaitExecutionRequest { name });
        Ok(self.execution().wait_execution(request).await?.into_inner())
    }

    /// Reads a stream to the end of its operation. A server that says something is well: tries are counted anew.
    async fn watch(
        &self,
        mut stream: Streaming<Operation>,
        operation: &mut Option<String>,
        attempt: &mut u32,
    ) -> Result<Seen, ReapiError> {
        loop {
            // No deadline: an action may wait in a queue for hours. That the connection lives is seen to by pings.
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(Seen::Broken(Status::unavailable("the stream ended before the action did"))),
                Err(status) => return Ok(Seen::Broken(status)),
            };
            if operation.as_ref() != Some(&message.name) && !message.name.is_empty() {
                *operation = Some(message.name.clone());
                *attempt = 1;
            }
            if !message.done {
                continue;
            }
            return match message.result {
                Some(operation::Result::Response(any)) => match proto::ExecuteResponse::decode(&*any.value) {
                    Ok(response) => Ok(Seen::Done(Box::new(response))),
                    Err(error) => Err(self.wrong(format!("its answer to an execution is malformed: {error}"))),
                },
                Some(operation::Result::Error(status)) => {
                    let response = proto::ExecuteResponse { status: Some(status), ..Default::default() };
                    Ok(Seen::Done(Box::new(response)))
                }
                None => Err(self.wrong("an operation is done and has no result")),
            };
        }
    }
}
