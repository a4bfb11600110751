//! Statements about how packages were built: in-toto statements in signed envelopes, as objects
//! beside the packages.
//!
//! The index lists each by its digest, so whoever vouches for the index vouches for them. A
//! statement names what it is about by digests: the archive of the package, and the tree that the
//! package installs, so that it can be compared with an installation, too.

use std::collections::BTreeMap;

use build_graph::untrusted::is_printable;
use build_graph::{BlobDigest, TreeDigest};
use serde::Deserialize;

use crate::remote::dsse::Signed;

/// The type of the signed document.
pub const KIND: &str = "application/vnd.in-toto+json";
/// The longest envelope that is read.
pub const MAX_STATEMENT: u64 = 8 << 20;
/// What in-toto calls the format, version 1.
const TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement in its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    envelope: Signed,
    /// The digests of what it is about, by algorithm.
    subjects: Vec<BTreeMap<String, String>>,
}

/// As much of the document as is understood here.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

impl Statement {
    /// Reads an envelope. `None` if the bytes are none, or hold no statement of in-toto's version
    /// 1.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let envelope = Signed::from_bytes(bytes, KIND)?;
        let document: Document = serde_json::from_slice(envelope.payload()).ok()?;
        let sound = document.kind == TYPE && envelope.signers().all(is_printable);
        let subjects = document.subject.into_iter().map(|subject| subject.digest).collect();
        sound.then_some(Self { envelope, subjects })
    }

    /// The envelope.
    pub fn envelope(&self) -> &Signed {
        &self.envelope
    }

    /// Whether it is about this archive.
    pub fn is_about_archive(&self, archive: BlobDigest) -> bool {
        self.has("blake3", &archive.to_string())
    }

    /// Whether it is about a package that installs this.
    pub fn is_about_content(&self, content: TreeDigest) -> bool {
        self.has("pynboxTree", &content.to_string())
    }

    fn has(&self, algorithm: &str, digest: &str) -> bool {
        self.subjects.iter().any(|digests| digests.get(algorithm).is_some_and(|there| there == digest))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn envelope(payload: &str) -> Vec<u8> {
        Signed::new(KIND, payload.as_bytes().to_vec(), &[&SigningKey::from_bytes(&[1; 32])]).to_bytes()
    }

    #[test]
    fn a_statement_is_about_what_its_subjects_name() {
        let (archive, content) = (BlobDigest::from_bytes([1; 32]), TreeDigest::from_bytes([2; 32]));
        let payload = format!(
            "{{\"_type\":\"{TYPE}\",\"subject\":[{{\"name\":\"a\",\"digest\":{{\"blake3\":\"{archive}\"}}}},\
             {{\"name\":\"b\",\"digest\":{{\"pynboxTree\":\"{content}\"}}}}],\"predicate\":{{}}}}"
        );
        let statement = Statement::from_bytes(&envelope(&payload)).unwrap();
        assert!(statement.is_about_archive(archive) && statement.is_about_content(content));
        assert!(!statement.is_about_archive(BlobDigest::from_bytes([2; 32])));
        assert!(!statement.is_about_content(TreeDigest::from_bytes([1; 32])));
    }

    #[test]
    fn other_documents_are_refused() {
        let other = Signed::new("another/type", b"{}".to_vec(), &[]).to_bytes();
        let version = "{\"_type\":\"https://in-toto.io/Statement/v2\",\"subject\":[]}";
        for bytes in [&b""[..], b"<html>", &other, &envelope("{}"), &envelope(version), &envelope("[")] {
            assert!(Statement::from_bytes(bytes).is_none(), "{}", String::from_utf8_lossy(bytes));
        }
        let shown = Signed::new(KIND, format!("{{\"_type\":\"{TYPE}\",\"subject\":[]}}").into_bytes(), &[]).to_bytes();
        assert!(Statement::from_bytes(&shown).is_some());
        let shown = String::from_utf8(shown).unwrap();
        let hostile = "[{\"keyid\":\"\\u001b[2J\",\"sig\":\"".to_owned() + &"A".repeat(86) + "==\"}]";
        assert!(Statement::from_bytes(shown.replace("[]", &hostile).as_bytes()).is_none());
    }
}
