//! Digests by the function that a remote names bytes by.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::{DigestFunction, WireDigest};

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
    /// Begins with no bytes.
    pub fn new(function: DigestFunction) -> Self {
        let state = match function {
            DigestFunction::Sha256 => State::Sha256(Sha256::new()),
            DigestFunction::Blake3 => State::Blake3(Box::default()),
        };
        Self { state, size: 0 }
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.state {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// Returns how many bytes were added.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the digest of all pieces.
    pub fn finish(self) -> WireDigest {
        let hash = match self.state {
            State::Sha256(hasher) => hasher.finalize().into(),
            State::Blake3(hasher) => *hasher.finalize().as_bytes(),
        };
        WireDigest { hash, size: self.size }
    }
}

/// Returns the digest of bytes in memory.
pub fn of(function: DigestFunction, bytes: &[u8]) -> WireDigest {
    let mut hasher = Hasher::new(function);
    hasher.update(bytes);
    hasher.finish()
}

/// Returns the digest of all that a reader gives.
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

/// Returns the hash as 64 hexadecimal digits.
pub fn hex(digest: &WireDigest) -> String {
    build_graph::BlobDigest::from_bytes(digest.hash).to_string()
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
        }
    }
}
