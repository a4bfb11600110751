//! Digests and their types.
//!
//! Every digest is BLAKE3 with 32 bytes of output. What a digest is *of* is part of its type, so
//! that a tree's digest can't be taken for a blob's or for a key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::untrusted::printable;

/// A digest was not written as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is no digest: expected 64 lower-case hexadecimal digits", printable(text))]
pub struct DigestParseError {
    text: String,
}

fn parse_hex(text: &str) -> Result<[u8; 32], DigestParseError> {
    let error = || DigestParseError { text: text.chars().take(80).collect() };
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return Err(error());
    }
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    for (out, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
        let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else { return Err(error()) };
        *out = high << 4 | low;
    }
    Ok(digest)
}

fn write_hex(bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    // Only ASCII digits were written.
    f.pad(std::str::from_utf8(&text).unwrap_or_default())
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes that are known to be such a digest.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = DigestParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type! {
    /// The digest of a file's bytes.
    BlobDigest
}

digest_type! {
    /// The digest of a tree's manifest (see [`Tree::digest`](crate::Tree::digest)).
    TreeDigest
}

digest_type! {
    /// The key of a node: everything that can change its output, and nothing else (see
    /// [`crate::key`]).
    NodeKey
}

digest_type! {
    /// The SHA-256 by which an upstream source is pinned. The one digest here that is not BLAKE3.
    Sha256
}

impl BlobDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        let digest = BlobDigest::of(b"");
        assert_eq!(digest.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
        assert_eq!(digest.to_string().parse::<BlobDigest>().unwrap(), digest);
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = BlobDigest::of(b"").to_string();
        for bad in ["", "af", &good.to_uppercase(), &format!("{good}0"), &good.replace('a', "g")] {
            assert!(bad.parse::<BlobDigest>().is_err(), "{bad}");
        }
    }
}
