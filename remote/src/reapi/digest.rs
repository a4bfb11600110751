//! Digests in the protocol's form, and its digest functions.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use proto::digest_function::Value;

pub use crate::digest::{Hasher, hex, of, of_reader};
use crate::{DigestFunction, WireDigest};

/// The best function that a server offers; `None` if there is none that we speak.
pub fn choose(offered: &[i32]) -> Option<DigestFunction> {
    // Ours first: nothing has to be hashed twice then.
    [DigestFunction::Blake3, DigestFunction::Sha256]
        .into_iter()
        .find(|function| offered.contains(&(number(*function) as i32)))
}

/// A function's number in the protocol.
pub fn number(function: DigestFunction) -> Value {
    match function {
        DigestFunction::Sha256 => Value::Sha256,
        DigestFunction::Blake3 => Value::Blake3,
    }
}

/// A function's name in files of the store.
pub fn name(function: DigestFunction) -> &'static str {
    match function {
        DigestFunction::Sha256 => "sha256",
        DigestFunction::Blake3 => "blake3",
    }
}

/// The part of a resource's name that says the function: only where it is not one of the first that
/// the protocol had.
pub(super) fn resource_part(function: DigestFunction) -> &'static str {
    match function {
        DigestFunction::Blake3 => "blake3/",
        DigestFunction::Sha256 => "",
    }
}

/// As the protocol writes it.
pub fn to_proto(digest: &WireDigest) -> proto::Digest {
    proto::Digest { hash: hex(digest), size_bytes: digest.size.cast_signed() }
}

/// What a server said, if it is well-formed.
pub fn from_proto(digest: &proto::Digest) -> Option<WireDigest> {
    let hash: build_graph::BlobDigest = digest.hash.parse().ok()?;
    Some(WireDigest { hash: *hash.as_bytes(), size: u64::try_from(digest.size_bytes).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_digests_of_servers_are_none() {
        let digest = of(DigestFunction::Sha256, b"x");
        let good = to_proto(&digest);
        assert_eq!(from_proto(&good), Some(digest));
        let with = |hash: &str, size_bytes| proto::Digest { hash: hash.to_owned(), size_bytes };
        for bad in [
            with(&good.hash, -1),
            with(&good.hash[1..], 1),
            with(&good.hash.to_uppercase(), 1),
            with("", 0),
            with(&format!("../{}", &good.hash[3..]), 1),
        ] {
            assert_eq!(from_proto(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ours_is_preferred_and_weak_functions_are_not_taken() {
        let numbers = |values: &[Value]| values.iter().map(|value| *value as i32).collect::<Vec<_>>();
        assert_eq!(choose(&numbers(&[Value::Sha256, Value::Blake3])), Some(DigestFunction::Blake3));
        assert_eq!(choose(&numbers(&[Value::Sha1, Value::Sha256])), Some(DigestFunction::Sha256));
        assert_eq!(choose(&numbers(&[Value::Md5, Value::Sha1, Value::Murmur3])), None);
    }
}
