//! An engine of our own, which ends operations as it is told to: what a client does about each end.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::longrunning::{Operation, operation};
use bazel_remote_apis::google::rpc;
use futures_util::{Stream, stream};
use prost::Message as _;
use proto::execution_server::{Execution, ExecutionServer};
use pynbox_build::remote::DigestFunction;
use pynbox_build::remote::reapi::{Channel, ExecutionLimits, ReapiError, digest, execution};
use tonic::{Code, Request, Response, Status};

use crate::own;

/// What comes of an operation that is asked for or waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is done, with this code of the engine's own.
    Done(Code),
    /// It begins, and then the stream ends.
    Lost,
    /// The stream ends, and each time the operation has another name.
    Renamed,
    /// The call itself fails.
    Refused(Code),
}

#[derive(Clone)]
struct Scripted {
    executions: Arc<Mutex<Vec<End>>>,
    waits: Arc<Mutex<Vec<End>>>,
    asked: Arc<AtomicU32>,
    waited: Arc<AtomicU32>,
}

type Operations = Pin<Box<dyn Stream<Item = Result<Operation, Status>> + Send>>;

/// The last of a script is said again for ever.
fn next(script: &Mutex<Vec<End>>) -> End {
    let mut script = script.lock().unwrap();
    if script.len() > 1 { script.remove(0) } else { script[0] }
}

fn operations(end: End, number: u32) -> Result<Response<Operations>, Status> {
    let name = format!("operation {number}");
    let begun = Operation { name: name.clone(), ..Operation::default() };
    let messages: Operations = match end {
        End::Refused(code) => return Err(Status::new(code, "refused")),
        End::Lost => Box::pin(stream::iter([Ok(begun)])),
        End::Renamed => {
            static NAMES: AtomicU32 = AtomicU32::new(0);
            let name = format!("name {}", NAMES.fetch_add(1, Ordering::SeqCst));
            Box::pin(stream::iter([Ok(Operation { name, ..Operation::default() })]))
        }
        End::Done(code) => {
            let response = proto::ExecuteResponse {
                status: Some(rpc::Status {
                    code: code as i32,
                    message: "said so".to_owned(),
                    ..rpc::Status::default()
                }),
                result: Some(proto::ActionResult { exit_code: 7, ..proto::ActionResult::default() }),
                ..proto::ExecuteResponse::default()
            };
            let mut answer = operation::Result::Response(Default::default());
            if let operation::Result::Response(any) = &mut answer {
                any.value = response.encode_to_vec();
            }
            let done = Operation { name, done: true, result: Some(answer), ..Operation::default() };
            Box::pin(stream::iter([Ok(begun), Ok(done)]))
        }
    };
    Ok(Response::new(messages))
}

#[tonic::async_trait]
impl Execution for Scripted {
    type ExecuteStream = Operations;
    type WaitExecutionStream = Operations;

    async fn execute(&self, _: Request<proto::ExecuteRequest>) -> Result<Response<Operations>, Status> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        operations(next(&self.executions), number)
    }

    async fn wait_execution(&self, _: Request<proto::WaitExecutionRequest>) -> Result<Response<Operations>, Status> {
        self.waited.fetch_add(1, Ordering::SeqCst);
        operations(next(&self.waits), self.asked.load(Ordering::SeqCst) - 1)
    }
}

/// Executes one action on an engine with these scripts: what came of it, and how often the engine
/// was asked and waited for.
fn execute(executions: &[End], waits: &[End]) -> (Result<i32, ReapiError>, u32, u32) {
    let scripted = Scripted {
        executions: Arc::new(Mutex::new(executions.to_vec())),
        waits: Arc::new(Mutex::new(waits.to_vec())),
        asked: Arc::default(),
        waited: Arc::default(),
    };
    let router = tonic::transport::Server::builder()
        .add_service(own::engine())
        .add_service(ExecutionServer::new(scripted.clone()));
    let (_runtime, endpoint) = own::serve(router);
    let execution = execution::Execution::new(&Channel::new(endpoint).unwrap());
    let action = digest::of(DigestFunction::Sha256, b"an action");
    let result =
        execution.execute(&action, false, LIMITS).map(|response| response.result.unwrap_or_default().exit_code);
    (result, scripted.asked.load(Ordering::SeqCst), scripted.waited.load(Ordering::SeqCst))
}

const LIMITS: ExecutionLimits = ExecutionLimits { queue: Duration::from_secs(60), all: Duration::from_secs(60) };
const NEVER: &[End] = &[End::Refused(Code::NotFound)];

#[test]
fn an_engine_that_ends_every_operation_with_an_error_is_given_up() {
    for code in [Code::Internal, Code::Unavailable, Code::ResourceExhausted, Code::Aborted] {
        let (result, asked, _) = execute(&[End::Done(code)], NEVER);
        let why = result.unwrap_err().to_string();
        assert!(why.contains("said so"), "{code:?}: {why}");
        assert_eq!(asked, 3, "{code:?}");
    }
}

#[test]
fn an_error_that_will_not_pass_is_not_tried_again() {
    for code in [Code::InvalidArgument, Code::PermissionDenied, Code::FailedPrecondition] {
        let (result, asked, _) = execute(&[End::Done(code)], NEVER);
        assert!(result.is_err(), "{code:?}");
        assert_eq!(asked, 1, "{code:?}");
    }
}

#[test]
fn a_busy_engine_is_asked_again() {
    let busy = End::Refused(Code::ResourceExhausted);
    let (result, asked, _) = execute(&[busy, End::Done(Code::Unavailable), End::Done(Code::Ok)], NEVER);
    assert_eq!((result.unwrap(), asked), (7, 3));
}

#[test]
fn who_loses_the_stream_waits_for_the_same_operation() {
    let (result, asked, waited) = execute(&[End::Lost], &[End::Lost, End::Done(Code::Ok)]);
    assert_eq!((result.unwrap(), asked, waited), (7, 1, 2));
}

#[test]
fn an_operation_that_the_engine_forgot_is_asked_for_anew() {
    let (result, asked, waited) = execute(&[End::Lost, End::Done(Code::Ok)], NEVER);
    assert_eq!((result.unwrap(), asked, waited), (7, 2, 1));
    // But not for ever.
    let (result, asked, _) = execute(&[End::Lost], NEVER);
    assert!(result.is_err());
    assert!(asked <= 3, "{asked}");
}

#[test]
fn an_engine_that_renames_an_operation_for_ever_is_given_up() {
    let (result, asked, waited) = execute(&[End::Renamed], &[End::Renamed]);
    assert!(result.is_err());
    assert!(asked + waited <= 4, "{asked} and {waited}");
}
