//! Digests as the server counts them, in the protocol's form; and how they are made.

use std::io::{self, Read};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use proto::digest_function::Value;
use sha2::{Digest as _, Sha256};

use crate::remote::{DigestFunction, WireDigest};

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

/// Hashes bytes that come in pieces.
#[derive(Debug, Clone)]
pub struct Hasher {
    state: State,
    size: u64,
}

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// Begins.
    pub fn new(function: DigestFunction) -> Self {
        let state = match function {
            DigestFunction::Sha256 => State::Sha256(Sha256::new()),
            DigestFunction::Blake3 => State::Blake3(Box::default()),
        };
        Self { state, size: 0 }
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.state {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// How many bytes it has got.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of all pieces.
    pub fn finish(self) -> WireDigest {
        let hash = match self.state {
            State::Sha256(hasher) => hasher.finalize().into(),
            State::Blake3(hasher) => *hasher.finalize().as_bytes(),
        };
        WireDigest { hash, size: self.size }
    }
}

/// The digest of bytes in memory.
pub fn of(function: DigestFunction, bytes: &[u8]) -> WireDigest {
    let mut hasher = Hasher::new(function);
    hasher.update(bytes);
    hasher.finish()
}

/// The digest of all that a reader gives.
///
/// # Errors
/// Those of the reader.
pub fn of_reader(function: DigestFunction, reader: &mut dyn Read) -> io::Result<WireDigest> {
    let mut hasher = Hasher::new(function);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A hash as the protocol writes it.
pub fn hex(digest: &WireDigest) -> String {
    build_graph::BlobDigest::from_bytes(digest.hash).to_string()
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
    fn functions_give_what_others_get_of_the_same_bytes() {
        for (function, hash) in [
            (DigestFunction::Sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (DigestFunction::Blake3, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        ] {
            let digest = of(function, b"");
            assert_eq!((&*hex(&digest), digest.size), (hash, 0));
            assert_eq!(of_reader(function, &mut &b""[..]).unwrap(), digest);
            assert_eq!(from_proto(&to_proto(&digest)), Some(digest));
        }
    }

    #[test]
    fn malformed_digests_of_servers_are_none() {
        let good = to_proto(&of(DigestFunction::Sha256, b"x"));
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
