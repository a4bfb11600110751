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
pub(super) mod scope;
mod slots;
pub(super) mod state;

use wasmtime::{Func, ThrownException, Val};

use super::guest::Context;
use crate::abi::{LinkerFunction, types};
use crate::account::Full;
use crate::vfs::Errno;
pub use slots::TABLE;
pub(super) use state::Libraries;

/// Most side modules that one guest may load, attempts included.
pub(super) const LOADS_MAX: usize = 1000;
/// Longest text that is kept for `dl_error`.
pub(super) const TEXT_MAX: usize = 4096;

/// Loads within constructors of loads.
pub(super) const OPEN_NESTING_MAX: u32 = 16;
/// The flags that Linux has: LAZY, NOW, NOLOAD, DEEPBIND, GLOBAL, NODELETE. Binding is always at
/// once, and no module is ever removed.
pub(super) const OPEN_FLAGS: u32 = 0x110f;
pub(super) const RTLD_LAZY_OR_NOW: u32 = 3;
pub(super) const RTLD_NOLOAD: u32 = 4;
pub(super) const RTLD_GLOBAL: u32 = 0x100;
/// Bytes of heap that opening a library takes before it is looked at: paths, above all.
pub(super) const OPEN_COST: usize = 256 << 10;

/// Why a call fails: the guest gets a number, and the text if it asks.
#[derive(Debug)]
pub(super) struct LinkError {
    pub(super) errno: Errno,
    pub(super) text: String,
}

impl LinkError {
    pub(super) fn new(errno: Errno, text: impl Into<String>) -> Self {
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
pub(super) fn words(errno: Errno) -> String {
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
        // Exceptions pass through functions that are called here, but not through a load: what is
        // half done of it stays so, as it may when the guest ends.
        Err(LinkStop::Ends(error)) if which == LinkerFunction::Open && error.is::<ThrownException>() => {
            store.take_pending_exception();
            Err(wasmtime::Error::msg("a library threw an exception while it was loaded"))
        }
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

/// The function that is given an exception which has left the program: it may tell what it is, and
/// end the guest.
const UNCAUGHT: &str = "sandbox_uncaught_exception";

/// What a guest's run ends with that ended with this error. An exception is handed to the program's
/// function for it, or that of the first library that has one; its value is what the tag of C++
/// has, an address.
pub(super) fn uncaught(store: &mut Context<'_>, error: wasmtime::Error) -> wasmtime::Error {
    if !error.is::<ThrownException>() {
        return error;
    }
    let exception = store.take_pending_exception();
    let address = exception.and_then(|exception| exception.field(&mut *store, 0).ok());
    let Some(Val::I32(address)) = address else { return error };
    let libraries = store.data_mut().libraries();
    let mut instances = vec![libraries.program];
    instances.extend(libraries.instances());
    for instance in instances {
        if let Ok(function) = instance.get_typed_func::<i32, ()>(&mut *store, UNCAUGHT) {
            return function.call(&mut *store, address).err().unwrap_or(error);
        }
    }
    error
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Symbol {
    Function(Func),
    Data(u32),
}
