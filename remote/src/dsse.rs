//! Signed documents: a DSSE envelope (Dead Simple Signing Envelope, version 1.0.2,
//! github.com/secure-systems-lab/dsse) around the bytes of a document.
//!
//! The signature covers the type and the bytes of the document as they are, so nothing has to be
//! brought into a canonical form before it is verified, and nothing is parsed before that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::envelope::KeyId;

/// So many signatures of one document are looked at.
const MAX_SIGNATURES: usize = 16;

/// A document and its signatures. Nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    kind: String,
    payload: Vec<u8>,
    signatures: Vec<(String, Signature)>,
}

/// The envelope as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Signed {
    /// Signs the bytes of a document of this type with each of the keys.
    pub fn new(kind: &str, payload: Vec<u8>, keys: &[&SigningKey]) -> Self {
        let message = pre_authentication_encoding(kind, &payload);
        let sign = |key: &&SigningKey| (KeyId::of(&key.verifying_key()).to_string(), key.sign(&message));
        Self { kind: kind.to_owned(), signatures: keys.iter().map(sign).collect(), payload }
    }

    /// Reads an envelope. `None` if the bytes are none, or hold a document of another type.
    pub fn from_bytes(bytes: &[u8], kind: &str) -> Option<Self> {
        let envelope: Envelope = serde_json::from_slice(bytes).ok()?;
        if envelope.payload_type != kind || envelope.signatures.len() > MAX_SIGNATURES {
            return None;
        }
        let signature = |signature: EnvelopeSignature| {
            Some((signature.keyid, Signature::from_slice(&STANDARD.decode(signature.sig).ok()?).ok()?))
        };
        Some(Self {
            kind: envelope.payload_type,
            payload: STANDARD.decode(envelope.payload).ok()?,
            signatures: envelope.signatures.into_iter().map(signature).collect::<Option<_>>()?,
        })
    }

    /// The envelope as bytes of JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let signature = |(id, signature): &(String, Signature)| EnvelopeSignature {
            keyid: id.clone(),
            sig: STANDARD.encode(signature.to_bytes()),
        };
        let envelope = Envelope {
            payload: STANDARD.encode(&self.payload),
            payload_type: self.kind.clone(),
            signatures: self.signatures.iter().map(signature).collect(),
        };
        // Texts alone: nothing of it can fail.
        serde_json::to_vec(&envelope).unwrap_or_default()
    }

    /// The bytes of the document, whoever signed them.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The ids of the keys that claim to have signed it.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|(id, _)| id.as_str())
    }

    /// Whether this very key has signed it.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let message = pre_authentication_encoding(&self.kind, &self.payload);
        self.signatures.iter().any(|(_, signature)| key.verify_strict(&message, signature).is_ok())
    }
}

/// What is signed: `PAE(type, body)` of DSSE.
fn pre_authentication_encoding(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "application/vnd.example+json";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    /// The example of DSSE's protocol, for the encoding alone.
    #[test]
    fn the_encoding_is_that_of_the_standard() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn a_signature_is_of_these_bytes_this_type_and_this_key() {
        let signed = Signed::new(KIND, b"{}".to_vec(), &[&key(1), &key(2)]);
        let read = Signed::from_bytes(&signed.to_bytes(), KIND).unwrap();
        assert_eq!(read, signed);
        assert!(read.is_signed_by(&key(1).verifying_key()) && read.is_signed_by(&key(2).verifying_key()));
        assert!(!read.is_signed_by(&key(3).verifying_key()));
        assert!(Signed::from_bytes(&signed.to_bytes(), "another/type").is_none());
        let other_type = Signed { kind: "another/type".to_owned(), ..signed.clone() };
        assert!(!other_type.is_signed_by(&key(1).verifying_key()));
        let other_bytes = Signed { payload: b"[]".to_vec(), ..signed.clone() };
        assert!(!other_bytes.is_signed_by(&key(1).verifying_key()));
        // The id in the envelope decides nothing.
        let mut renamed = signed;
        renamed.signatures.truncate(1);
        renamed.signatures[0].0 = KeyId::of(&key(3).verifying_key()).to_string();
        assert!(renamed.is_signed_by(&key(1).verifying_key()) && !renamed.is_signed_by(&key(3).verifying_key()));
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for bytes in [&b""[..], b"<html>", b"{}", b"{\"payload\":\"!\",\"payloadType\":\"x\",\"signatures\":[]}"] {
            assert!(Signed::from_bytes(bytes, "x").is_none());
        }
        let many: Vec<_> = (0..=MAX_SIGNATURES as u8).map(key).collect();
        let signed = Signed::new(KIND, Vec::new(), &many.iter().collect::<Vec<_>>());
        assert!(Signed::from_bytes(&signed.to_bytes(), KIND).is_none());
    }
}
