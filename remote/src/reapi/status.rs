//! What the status of a call means.

use std::error::Error as _;

use bazel_remote_apis::google::rpc;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::pb::PreconditionFailure;

/// Returns whether the same call may succeed a moment later.
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

/// Returns what the server and the connection say of a failure. The connection's own words are in
/// the sources of the status.
pub(super) fn message(status: &Status) -> String {
    let mut message = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !message.contains(&text) {
            message = if message.is_empty() { text } else { format!("{message}: {text}") };
        }
        source = error.source();
    }
    message
}

/// Returns the digests in the violations `MISSING` of a failed precondition, as `HASH/SIZE`.
pub(super) fn lacks(details: &[u8]) -> Vec<String> {
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
