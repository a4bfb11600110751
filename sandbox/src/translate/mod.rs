//! Writing a module anew, before it is compiled, as the engine takes it best: a library's own
//! functions are bound to it (`own`), and exceptions of the older kind become those of the standard
//! (`exceptions`).
//!
//! The bytes may come from a guest. What is written is at most some sixteen times as long as what
//! was read, and the engine validates it: a module that was not valid is refused there.

mod exceptions;
pub(crate) mod own;
mod write;

use std::borrow::Cow;

use wasmparser::BinaryReaderError;

/// Why a module is not translated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TranslateError {
    /// Its bytes are damaged.
    #[error(transparent)]
    Invalid(#[from] BinaryReaderError),
    /// Its exceptions are none that a compiler writes.
    #[error("its exceptions are of the older kind, and it {0}")]
    Exceptions(&'static str),
    /// Two sections of a kind: what is written of both would stand for each.
    #[error("it has two sections of the kind {0}")]
    Twice(u8),
}

/// Gives the module as it is to be compiled: itself, if nothing has to be changed.
///
/// # Errors
///
/// [`TranslateError`].
pub fn translated(wasm: &[u8]) -> Result<Cow<'_, [u8]>, TranslateError> {
    let mut module = Cow::Borrowed(wasm);
    for pass in [own::bound, exceptions::to_standard] {
        if let Some(written) = pass(&module)? {
            module = Cow::Owned(written);
        }
    }
    Ok(module)
}

/// Refuses a second section of a kind of which there is one.
fn once(sections: &[(u8, std::ops::Range<usize>)], id: u8) -> Result<(), TranslateError> {
    let known = id != section::CUSTOM && sections.iter().any(|(other, _)| *other == id);
    if known { Err(TranslateError::Twice(id)) } else { Ok(()) }
}

/// Sections (binary format, 5.5.2).
mod section {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const TYPES: u8 = 1;
    pub(super) const ELEMENTS: u8 = 9;
    pub(super) const CODE: u8 = 10;
}
