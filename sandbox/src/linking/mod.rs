//! Run-time loading, as far as it needs no engine: what a side module says about itself
//! ([`SideModule`]), where the modules that it needs are looked for ([`candidates`]), where a
//! program has its functions ([`TableIndex`]), and the signatures of `fn_call` and `fn_closure`
//! ([`Signature`]).
//!
//! A side module follows the dynamic-linking convention of WebAssembly's tool chains
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/DynamicLinking.md>). Its bytes come
//! from the guest: everything that can be wrong with them is found here, before any of it has an
//! effect.

mod dylink;
mod search;
mod signature;
mod table_index;

pub use dylink::{Area, FUNCTION_BYTES_MAX, Import, SideError, SideModule};
pub use search::{candidates, directory};
pub use signature::{PARAMETERS_MAX, Signature, SignatureError, ValueType};
pub use table_index::TableIndex;
