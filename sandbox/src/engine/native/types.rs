//! Types of functions, as native code compares them.

use std::ffi::CString;

use sha2::{Digest as _, Sha256};

use super::object::Digest;
use crate::linking::{Signature, ValueType};

/// The type as the runtime reads it (`module.h`).
pub(super) fn text_of(signature: &Signature) -> CString {
    // It has letters alone.
    CString::new(signature.to_string()).unwrap_or_default()
}

/// Computes what wasm2c identifies a type by (`CWriter::SerializeFuncType`): SHA-256 of the
/// parameters' letters, a space, and the result's letter.
pub(super) fn digest_of(signature: &Signature) -> Digest {
    let letter = |&ty: &ValueType| match ty {
        ValueType::I32 => b'i',
        ValueType::I64 => b'j',
        ValueType::F32 => b'f',
        ValueType::F64 => b'd',
    };
    let Signature { parameters, result } = signature;
    let text: Vec<u8> = parameters.iter().map(letter).chain([b' ']).chain(result.iter().map(letter)).collect();
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_digest_that_wasm2c_writes() {
        // Of the example in wasm2c's documentation.
        let digest = digest_of(&Signature::parse(b"i>i").unwrap());
        let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "0780967a42f73ee6705c2fac83f567d2a2a069415ff8e7967f23ab00035f4a3c");
        assert_ne!(digest_of(&Signature::parse(b"i>l").unwrap()), digest_of(&Signature::parse(b"l>i").unwrap()));
    }
}
