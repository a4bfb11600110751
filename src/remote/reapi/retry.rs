//! Calls that are given time, and tried again when that may help.

use std::future::Future;
use std::time::Duration;

use bazel_remote_apis::google::rpc;
use prost::Message as _;
use tonic::{Code, Status};

use super::ReapiError;
use super::client::Client;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether the same call may work a moment later.
pub(super) fn may_pass(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unknown
        | Code::Cancelled => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// How long to wait before try number `attempt` (from 1): somewhere between nothing and a bound that doubles, so that many clients
/// of a server that comes back don't come back together.
pub(super) fn pause(attempt: u32) -> Duration {
    let bound = FIRST_PAUSE.saturating_mul(1 << (attempt - 1).min(10)).min(LONGEST_PAUSE);
    let mut bytes = [0; 4];
    // Without randomness the whole bound is waited.
    let share = match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(4) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        _ => 1.0,
    };
    bound.mul_f64(share)
}

impl Client {
    /// Makes a call until it succeeds, fails for good, or has been tried often enough.
    pub(super) async fn call<T, F>(&self, call: &'static str, mut make: impl FnMut() -> F) -> Result<T, ReapiError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut attempt = 1;
        loop {
            let status = match tokio::time::timeout(self.endpoint().deadline, make()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            if !may_pass(status.code()) || attempt >= self.endpoint().attempts {
                return Err(self.failed(call, &status));
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    /// The error of a call.
    pub(super) fn failed(&self, call: &'static str, status: &Status) -> ReapiError {
        let mut message = status.message().to_owned();
        // The connection's own words are in the sources.
        let mut source = std::error::Error::source(status);
        while let Some(error) = source {
            let text = error.to_string();
            if !message.contains(&text) {
                message = if message.is_empty() { text } else { format!("{message}: {text}") };
            }
            source = error.source();
        }
        if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) {
            message += &self.endpoint().access.hint();
        }
        ReapiError::Call {
            url: self.endpoint().url.clone(),
            call,
            code: status.code(),
            message,
            lacks: lacks(status.details()),
        }
    }
}

/// The digests in the violations `MISSING` of a failed precondition, as `HASH/SIZE`.
fn lacks(details: &[u8]) -> Vec<String> {
    /// `google.rpc.PreconditionFailure`, which the crate of the protocol does not hold.
    #[derive(Clone, PartialEq, prost::Message)]
    struct PreconditionFailure {
        #[prost(message, repeated, tag = "1")]
        violations: Vec<Violation>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Violation {
        #[prost(string, tag = "1")]
        kind: String,
        #[prost(string, tag = "2")]
        subject: String,
    }
    let Ok(status) = rpc::Status::decode(details) else { return Vec::new() };
    let failures = status.details.iter().filter(|any| any.type_url.ends_with("google.rpc.PreconditionFailure"));
    failures
        .filter_map(|any| PreconditionFailure::decode(&*any.value).ok())
        .flat_map(|failure| failure.violations)
        .filter(|violation| violation.kind == "MISSING")
        .filter_map(|violation| Some(violation.subject.rsplit_once("blobs/")?.1.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        for attempt in 1..40 {
            assert!(pause(attempt) <= LONGEST_PAUSE);
        }
        assert!(pause(1) <= FIRST_PAUSE);
    }

    #[test]
    fn a_refusal_is_not_repeated() {
        assert!(may_pass(Code::Unavailable));
        assert!(!may_pass(Code::PermissionDenied) && !may_pass(Code::NotFound) && !may_pass(Code::InvalidArgument));
    }
}
