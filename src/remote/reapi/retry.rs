//! Calls that are given time, and tried again when that may help.

use std::future::Future;

use bazel_remote_apis::google::rpc;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::pb::PreconditionFailure;

use super::ReapiError;
use super::client::Client;
use crate::retry::{Retries, RetryPolicy};

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

impl Client {
    /// Makes a call until it succeeds, fails for good, or has been tried often enough.
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
    /// That of the call, if another attempt won't help or there were enough.
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
    let Ok(status) = rpc::Status::decode(details) else { return Vec::new() };
    let failures = status.details.iter().filter(|any| any.type_url.ends_with("google.rpc.PreconditionFailure"));
    failures
        .filter_map(|any| PreconditionFailure::decode(&*any.value).ok())
        .flat_map(|failure| failure.violations)
        .filter(|violation| violation.r#type == "MISSING")
        .filter_map(|violation| Some(violation.subject.rsplit_once("blobs/")?.1.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_not_repeated() {
        assert!(may_pass(Code::Unavailable));
        assert!(!may_pass(Code::PermissionDenied) && !may_pass(Code::NotFound) && !may_pass(Code::InvalidArgument));
    }
}
