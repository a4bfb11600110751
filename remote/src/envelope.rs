//! Envelopes: what a remote keeps of a result. Which tree its key gave, which blobs that tree
//! needs, who computed it, and who signed it.
//!
//! # Bytes
//!
//! An envelope is written in the canonical encoding of [`build_graph::encode`]:
//!
//! | part | |
//! |---|---|
//! | domain | `pynbox-envelope-v1` |
//! | digest | the node's key |
//! | digest | the output tree |
//! | text | the tree's manifest, whose BLAKE3 is the digest before |
//! | text | the engine that computed it, as its settings name it; empty: the signer's own machine |
//! | number | when it was signed, in seconds since 1970 |
//! | number | the function of the wire digests: 1 SHA-256, 2 BLAKE3 |
//! | list | the blobs that the remote holds, by digest: BLAKE3 (digest), size (number), wire digest (digest) |
//!
//! A signed envelope is the domain `pynbox-signed-v1`, the key's id (text), the signature (text of
//! 64 bytes), both empty where nobody signed, and then the envelope's bytes. The signature is
//! Ed25519 over the envelope's bytes, which begin with a domain that nothing else is signed under.

use std::fmt;

use build_graph::encode::{Bytes, Encoder as _, Reader};
use build_graph::{BlobDigest, Entry, NodeKey, Tree, TreeDigest};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use store::manifest::{from_bytes, to_bytes};

use super::{DigestFunction, WireDigest};

const DOMAIN: &[u8] = b"pynbox-envelope-v1";
const SIGNED_DOMAIN: &[u8] = b"pynbox-signed-v1";

/// A blob that a remote holds for a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireBlob {
    /// Our digest of its bytes.
    pub digest: BlobDigest,
    /// What the remote knows it by.
    pub wire: WireDigest,
}

/// A result, as a remote keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The key.
    pub key: NodeKey,
    /// The tree that it gave.
    pub tree: Tree,
    /// The engine that computed it; `None`: the signer's own machine.
    pub engine: Option<String>,
    /// When it was signed, in seconds since 1970.
    pub signed_at: u64,
    /// How the remote names bytes.
    pub function: DigestFunction,
    /// The blobs that the remote holds, sorted by digest, each once. Blobs of the tree that are not
    /// here are built again from the node's inputs: an unpacked archive needs no second copy.
    pub blobs: Vec<WireBlob>,
}

impl Envelope {
    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let manifest = to_bytes(&self.tree);
        let mut bytes = Bytes(Vec::with_capacity(manifest.len() + 128 * (self.blobs.len() + 2)));
        bytes.sized(0, DOMAIN);
        bytes.digest("key", self.key.as_bytes());
        bytes.digest("tree", blake3::hash(&manifest).as_bytes());
        bytes.sized(1, &manifest);
        bytes.text("engine", self.engine.as_deref().unwrap_or_default());
        bytes.number("signed at", self.signed_at);
        bytes.number(
            "function",
            match self.function {
                DigestFunction::Sha256 => 1,
                DigestFunction::Blake3 => 2,
            },
        );
        bytes.list("blobs", self.blobs.len());
        for blob in &self.blobs {
            bytes.digest("blob", blob.digest.as_bytes());
            bytes.number("size", blob.wire.size);
            bytes.digest("wire", &blob.wire.hash);
        }
        bytes.0
    }

    /// Parses an envelope. Returns `None` unless the bytes are exactly what
    /// [`to_bytes`](Self::to_bytes) gives for it, the manifest is the tree's, and every blob is a
    /// file of the tree, with its size.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.sized(0)? != DOMAIN {
            return None;
        }
        let key = NodeKey::from_bytes(reader.digest()?);
        let digest = reader.digest()?;
        let manifest = reader.sized(1)?;
        if *blake3::hash(manifest).as_bytes() != digest {
            return None;
        }
        let tree = from_bytes(manifest)?;
        let engine = std::str::from_utf8(reader.sized(1)?).ok()?;
        let signed_at = reader.head(2)?;
        let function = match reader.head(2)? {
            1 => DigestFunction::Sha256,
            2 => DigestFunction::Blake3,
            _ => return None,
        };
        let length = reader.head(4)?;
        let mut blobs: Vec<WireBlob> = Vec::new();
        for _ in 0..length {
            let digest = BlobDigest::from_bytes(reader.digest()?);
            let size = reader.head(2)?;
            let hash = reader.digest()?;
            let sorted = blobs.last().is_none_or(|last| last.digest.as_bytes() < digest.as_bytes());
            if !sorted || (function == DigestFunction::Blake3 && hash != *digest.as_bytes()) {
                return None;
            }
            blobs.push(WireBlob { digest, wire: WireDigest { hash, size } });
        }
        if !reader.0.is_empty() {
            return None;
        }
        let engine = (!engine.is_empty()).then(|| engine.to_owned());
        let envelope = Self { key, tree, engine, signed_at, function, blobs };
        envelope.fits().then_some(envelope)
    }

    /// The digest of the tree.
    pub fn tree_digest(&self) -> TreeDigest {
        self.tree.digest()
    }

    fn fits(&self) -> bool {
        let mut files: Vec<_> = self.tree.iter().filter_map(|(_, entry)| file(entry)).collect();
        files.sort_unstable();
        self.blobs.iter().all(|blob| files.binary_search(&(*blob.digest.as_bytes(), blob.wire.size)).is_ok())
    }
}

fn file(entry: &Entry) -> Option<([u8; 32], u64)> {
    match entry {
        Entry::File { digest, size, .. } => Some((*digest.as_bytes(), *size)),
        _ => None,
    }
}

/// The id of a public key in settings and messages: the first 16 hexadecimal digits of its BLAKE3.
/// It only says which key to try.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// The id of a key.
    pub fn of(key: &VerifyingKey) -> Self {
        Self(blake3::hash(key.as_bytes()).to_hex()[..16].to_owned())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An envelope with its signature, as a remote keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEnvelope {
    /// The result.
    pub envelope: Envelope,
    signature: Option<(KeyId, Signature)>,
    bytes: Vec<u8>,
}

impl SignedEnvelope {
    /// Signs an envelope; without a key, it stays unsigned.
    pub fn new(envelope: Envelope, key: Option<&SigningKey>) -> Self {
        let content = envelope.to_bytes();
        let signature = key.map(|key| (KeyId::of(&key.verifying_key()), key.sign(&content)));
        let mut bytes = Bytes(Vec::with_capacity(content.len() + 160));
        bytes.sized(0, SIGNED_DOMAIN);
        bytes.sized(1, signature.as_ref().map_or("", |(id, _)| id.as_str()).as_bytes());
        bytes.sized(1, &signature.as_ref().map_or_else(Vec::new, |(_, signature)| signature.to_vec()));
        bytes.0.extend_from_slice(&content);
        Self { envelope, signature, bytes: bytes.0 }
    }

    /// Parses what a remote sent; checks no signature. Returns `None` if the bytes are not what
    /// [`to_bytes`](Self::to_bytes) gives.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.sized(0)? != SIGNED_DOMAIN {
            return None;
        }
        let id = std::str::from_utf8(reader.sized(1)?).ok()?;
        let signature = reader.sized(1)?;
        let signature = match (id, signature) {
            ("", []) => None,
            (id, signature) => {
                let known = id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                known.then_some(())?;
                Some((KeyId(id.to_owned()), Signature::from_slice(signature).ok()?))
            }
        };
        Some(Self { envelope: Envelope::from_bytes(reader.0)?, signature, bytes: bytes.to_owned() })
    }

    /// With what the bytes of every one begin.
    pub(super) fn head() -> Vec<u8> {
        let mut bytes = Bytes(Vec::new());
        bytes.sized(0, SIGNED_DOMAIN);
        bytes.0
    }

    /// The bytes as a remote keeps them.
    pub fn to_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key that claims to have signed it.
    pub fn signer(&self) -> Option<&KeyId> {
        self.signature.as_ref().map(|(id, _)| id)
    }

    /// Whether this very key has signed it.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        self.signature
            .as_ref()
            .is_some_and(|(_, signature)| key.verify_strict(&self.envelope.to_bytes(), signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use build_graph::RelPath;
    use proptest::prelude::*;

    use super::*;

    fn envelope() -> Envelope {
        let mut tree = Tree::new();
        let mut blobs = Vec::new();
        for (name, bytes) in [("a", &b"alpha"[..]), ("b/c", b"beta")] {
            let (digest, size) = (BlobDigest::of(bytes), bytes.len() as u64);
            tree.insert(RelPath::new(name).unwrap(), Entry::File { digest, size, executable: false }).unwrap();
            blobs.push(WireBlob {
                digest,
                wire: WireDigest { hash: *blake3::hash(digest.as_bytes()).as_bytes(), size },
            });
        }
        blobs.sort_by_key(|blob| *blob.digest.as_bytes());
        Envelope {
            key: NodeKey::from_bytes([7; 32]),
            tree,
            engine: Some("farm".to_owned()),
            signed_at: 1_700_000_000,
            function: DigestFunction::Sha256,
            blobs,
        }
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn the_encoding_and_the_signature_stay_as_they_are() {
        let signed = SignedEnvelope::new(envelope(), Some(&key(1)));
        insta::assert_snapshot!(blake3::hash(signed.to_bytes()).to_hex().as_str(), @"9291131093f538910c34f040339a4f916791a160fe62110ae04a8df39d82aa56");
        assert_eq!(signed.signer().unwrap(), &KeyId::of(&key(1).verifying_key()));
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        for key in [None, Some(key(1))] {
            let signed = SignedEnvelope::new(envelope(), key.as_ref());
            let read = SignedEnvelope::from_bytes(signed.to_bytes()).unwrap();
            assert_eq!(read, signed);
            assert_eq!(key.is_some(), read.signer().is_some());
            if let Some(key) = key {
                assert!(read.is_signed_by(&key.verifying_key()));
            }
        }
    }

    #[test]
    fn only_the_signer_has_signed_it() {
        let signed = SignedEnvelope::new(envelope(), Some(&key(1)));
        assert!(!signed.is_signed_by(&key(2).verifying_key()));
        assert!(!SignedEnvelope::new(envelope(), None).is_signed_by(&key(1).verifying_key()));
    }

    #[test]
    fn blobs_that_the_tree_has_not_are_refused() {
        let with = |change: &dyn Fn(&mut Envelope)| {
            let mut envelope = envelope();
            change(&mut envelope);
            Envelope::from_bytes(&envelope.to_bytes())
        };
        assert!(with(&|_| {}).is_some());
        assert!(with(&|envelope| envelope.blobs[0].digest = BlobDigest::from_bytes([0; 32])).is_none());
        assert!(with(&|envelope| envelope.blobs[0].wire.size += 1).is_none());
        assert!(with(&|envelope| envelope.blobs.swap(0, 1)).is_none());
        assert!(with(&|envelope| envelope.blobs[1] = envelope.blobs[0]).is_none());
        assert!(with(&|envelope| envelope.function = DigestFunction::Blake3).is_none());
    }

    proptest! {
        #[test]
        fn no_changed_byte_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = SignedEnvelope::new(envelope(), Some(&key(1))).to_bytes().to_owned();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Some(read) = SignedEnvelope::from_bytes(&bytes) {
                // The id only says which key to try.
                let id = read.signer() != Some(&KeyId::of(&key(1).verifying_key()));
                prop_assert!(id || !read.is_signed_by(&key(1).verifying_key()));
            }
            prop_assert!(SignedEnvelope::from_bytes(&bytes[..at]).is_none());
        }
    }
}
