//! Dead Simple Signing Envelopes (github.com/secure-systems-lab/dsse, v1.0.2), signed by the keys
//! that `cache keygen` makes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::remote::envelope::KeyId;

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// Its bytes, in base64.
    pub payload: String,
    /// Who signed it.
    pub signatures: Vec<Signed>,
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The id of the key, as `[[trust.key]]` and `cache keygen` have it: only a hint.
    pub keyid: String,
    /// The signature, in base64.
    pub sig: String,
}

impl Envelope {
    /// Signs a payload.
    pub fn sign(payload_type: &str, payload: &[u8], key: &SigningKey) -> Self {
        let signature = key.sign(&pre_authentication(payload_type, payload));
        let keyid = KeyId::of(&key.verifying_key()).as_str().to_owned();
        Self {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signed { keyid, sig: STANDARD.encode(signature.to_bytes()) }],
        }
    }

    /// The payload, if one of the signatures is this key's.
    pub fn verify(&self, key: &VerifyingKey) -> Option<Vec<u8>> {
        let payload = STANDARD.decode(&self.payload).ok()?;
        let message = pre_authentication(&self.payload_type, &payload);
        let signed = self.signatures.iter().any(|signed| {
            let bytes = STANDARD.decode(&signed.sig).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
            bytes.is_some_and(|bytes| key.verify_strict(&message, &Signature::from_bytes(&bytes)).is_ok())
        });
        signed.then_some(payload)
    }
}

/// What is signed: the type and the payload, each with its length.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pre_authentication("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn only_the_signed_bytes_and_type_are_taken() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let envelope = Envelope::sign("a", b"payload", &key);
        assert_eq!(envelope.verify(&key.verifying_key()).as_deref(), Some(&b"payload"[..]));
        assert_eq!(envelope.verify(&SigningKey::from_bytes(&[8; 32]).verifying_key()), None);
        let lies = [
            Envelope { payload_type: "b".to_owned(), ..envelope.clone() },
            Envelope { payload: STANDARD.encode("another"), ..envelope.clone() },
            Envelope { signatures: Vec::new(), ..envelope },
        ];
        for lie in lies {
            assert_eq!(lie.verify(&key.verifying_key()), None, "{lie:?}");
        }
    }
}
