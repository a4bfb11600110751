//! Run-time loading: the functions `dl_*` and `fn_*` of the import table.
//!
//! All parameters are i32, all results WASI's errno. What a module of the guest does in its own
//! relocations and constructors is the guest's doing: if they trap or exit, the guest ends.
//! Everything before is the loader's: it gives an errno and a text, and takes back what was
//! allocated.
//!
//! A module stays until the guest ends, as in musl: `dl_close` only takes the handle back. The
//! engine can't free an instance, and pointers to a module's functions (as `atexit` keeps) would
//! otherwise lead nowhere. So the number of loads is limited ([`LOADS_MAX`]).

mod call;
mod link;
mod open;
mod plan;
mod scope;
mod slots;
mod state;

use wasmtime::Func;

use super::guest::Context;
use crate::abi::{LinkerFunction, types};
use crate::account::Full;
use crate::vfs::Errno;
pub use slots::TABLE;
pub(super) use state::Libraries;

/// Most side modules that one guest may load, attempts included.
pub(super) const LOADS_MAX: usize = 1000;
/// Longest text that is kept for `dl_error`.
const TEXT_MAX: usize = 4096;

/// Why a call fails: the guest gets a number, and the text if it asks.
#[derive(Debug)]
struct LinkError {
    errno: Errno,
    text: String,
}

impl LinkError {
    fn new(errno: Errno, text: impl Into<String>) -> Self {
        Self { errno, text: text.into() }
    }
}

/// A call's failure, or the guest's end.
enum LinkStop {
    Failed(LinkError),
    Ends(wasmtime::Error),
}

impl From<LinkError> for LinkStop {
    fn from(error: LinkError) -> Self {
        Self::Failed(error)
    }
}

impl From<wasmtime::Error> for LinkStop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Ends(error)
    }
}

impl From<Errno> for LinkStop {
    fn from(errno: Errno) -> Self {
        Self::Failed(LinkError::new(errno, words(errno)))
    }
}

impl From<Full> for LinkError {
    fn from(full: Full) -> Self {
        Self::new(Errno::NOMEM, full.to_string())
    }
}

impl From<Full> for LinkStop {
    fn from(full: Full) -> Self {
        Self::Failed(full.into())
    }
}

/// The system's words for an error.
fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

type LinkResult = Result<(), LinkStop>;

/// Calls one of the functions with these arguments, as many as the import table says. Gives WASI's
/// errno.
///
/// # Errors
///
/// What ended the guest.
pub(super) fn call(store: &mut Context<'_>, which: LinkerFunction, raw: &[u32]) -> wasmtime::Result<u32> {
    if store.data().libraries.is_none() {
        return Ok(types::errno(Errno::NOSYS));
    }
    let result = match which {
        LinkerFunction::Open => open::open(store, raw),
        LinkerFunction::Symbol => open::symbol(store, raw),
        LinkerFunction::Close => open::close(store, raw),
        LinkerFunction::Error => open::error(store, raw),
        LinkerFunction::Call => call::call(store, raw),
        LinkerFunction::Closure => call::closure(store, raw),
        LinkerFunction::Release => call::release(store, raw),
    };
    match result {
        Ok(()) => Ok(0),
        Err(LinkStop::Ends(error)) => Err(error),
        Err(LinkStop::Failed(LinkError { errno, mut text })) => {
            // `dl_error` tells of another function's failure, not of its own.
            if which != LinkerFunction::Error {
                let end = (0..=TEXT_MAX.min(text.len())).rev().find(|&i| text.is_char_boundary(i));
                text.truncate(end.unwrap_or(0));
                store.data_mut().libraries().error = text;
            }
            Ok(types::errno(errno))
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Symbol {
    Function(Func),
    Data(u32),
}
