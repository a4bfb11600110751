//! Run-time loading: the functions `dl_*` and `fn_*` of the import module `pynbox`.
//!
//! | function | what it does |
//! |---|---|
//! | `dl_open(path, path_len, flags, handle_out)` | loads the side module at an absolute path of the guest, with all that it needs, relocates and initialises it. `flags` are Linux's: `RTLD_LAZY` 1, `RTLD_NOW` 2 (the same here), `RTLD_NOLOAD` 4, `RTLD_GLOBAL` 0x100. An empty path gives the program's handle |
//! | `dl_symbol(handle, name, name_len, address_out)` | the address of a datum, or the table index of a function; handle 0 is the program and every global module |
//! | `dl_close(handle)` | gives a handle back |
//! | `dl_error(buffer, len, written_out)` | the text of the last failure of any of these functions, cut to `len` bytes, without a final NUL |
//! | `fn_call(function, signature, signature_len, arguments, result)` | calls a table entry; arguments and result lie in slots of 8 bytes |
//! | `fn_closure(signature, signature_len, dispatcher, user, function_out)` | a new table entry that calls `dispatcher(user, arguments, result)`; the slots lie on the guest's stack |
//! | `fn_release(function)` | gives such an entry back |
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
mod load;
mod open;
mod scope;
mod slots;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use wasmtime::{AsContextMut, Caller, Func, FuncType, Instance, StoreContextMut, TypedFunc, Val, ValType};

use super::CodeSource;
use super::wasmtime::Guest;
use crate::abi::{Memory, types};
use crate::account::{Charge, Full};
use crate::linking::TableIndex;
use crate::vfs::Errno;
use slots::Slots;
pub use slots::TABLE;

/// Most side modules that one guest may load, attempts included.
pub(super) const LOADS_MAX: usize = 1000;
/// Loads within constructors of loads.
const NESTING_MAX: u32 = 16;
/// The program's own handle.
const PROGRAM: u32 = 1;
/// Longest text that is kept for `dl_error`.
const TEXT_MAX: usize = 4096;

const RTLD_NOLOAD: u32 = 4;
const RTLD_GLOBAL: u32 = 0x100;

/// A guest's side modules.
pub(super) struct Dl {
    program: Instance,
    source: Option<Box<dyn CodeSource>>,
    modules: Vec<Loaded>,
    /// Global modules, in the order in which they became so.
    globals: Vec<u32>,
    slots: Slots,
    closures: call::Closures,
    /// Functions that modules in a circle get before they exist.
    late: Vec<Option<Func>>,
    /// The program's `malloc` and `free`, once they were needed.
    heap: Option<(TypedFunc<u32, u32>, TypedFunc<u32, ()>)>,
    /// The code of all modules of which the engine has instances.
    code: Vec<Arc<Charge<'static>>>,
    /// Attempts so far.
    loads: usize,
    nesting: u32,
    /// Set while the loader itself is at work: the guest's `malloc` must not load then.
    busy: bool,
    error: String,
}

/// A module that is loaded. Its handle is its index and 2.
struct Loaded {
    name: String,
    instance: Instance,
    memory_base: u32,
    table_base: u32,
    /// Where its part of the table has its functions.
    entries: TableIndex,
    needed: Vec<u32>,
    /// How often it was opened by the guest.
    opened: u32,
    device: u64,
    inode: u64,
    /// Holds the inode, so that its number is not given to another file meanwhile.
    _file: Arc<OwnedFd>,
}

/// Why a call fails: the guest gets a number, and the text if it asks.
#[derive(Debug)]
struct Failure {
    errno: Errno,
    text: String,
}

impl Failure {
    fn new(errno: Errno, text: impl Into<String>) -> Self {
        Self { errno, text: text.into() }
    }
}

/// A call's failure, or the guest's end.
enum Stop {
    Failed(Failure),
    Ends(wasmtime::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Ends(error)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(Failure::new(errno, words(errno)))
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        Self::new(Errno::NOMEM, full.to_string())
    }
}

impl From<Full> for Stop {
    fn from(full: Full) -> Self {
        Self::Failed(full.into())
    }
}

/// The system's words for an error.
fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

type Context<'a> = StoreContextMut<'a, Guest>;
type Outcome = Result<(), Stop>;

/// A function of this module, with its number of parameters.
type Entry = (&'static str, usize, fn(&mut Context<'_>, &[u32]) -> Outcome);

const FUNCTIONS: &[Entry] = &[
    ("dl_open", 4, open::open),
    ("dl_symbol", 4, open::symbol),
    ("dl_close", 1, open::close),
    ("dl_error", 3, open::error),
    ("fn_call", 5, call::call),
    ("fn_closure", 5, call::closure),
    ("fn_release", 1, call::release),
];

/// The function of this name, for a guest's import.
pub(super) fn function(mut store: impl AsContextMut<Data = Guest>, module: &str, name: &str) -> Option<Func> {
    let &(name, parameters, body) = FUNCTIONS.iter().find(|f| module == "pynbox" && f.0 == name)?;
    let mut store = store.as_context_mut();
    let ty = FuncType::new(store.engine(), std::iter::repeat_n(ValType::I32, parameters), [ValType::I32]);
    Some(Func::new(&mut store, ty, move |mut caller: Caller<'_, Guest>, params, results| {
        let raw: Vec<u32> = params.iter().map(|v| v.i32().unwrap_or(0).cast_unsigned()).collect();
        let mut store = caller.as_context_mut();
        store.data().stack.check()?;
        let outcome = if store.data().dl.is_some() { body(&mut store, &raw) } else { Err(Errno::NOSYS.into()) };
        let errno = match outcome {
            Ok(()) => 0,
            Err(Stop::Failed(failure)) => keep(&mut store, name, failure),
            Err(Stop::Ends(error)) => return Err(error),
        };
        results[0] = Val::I32(errno.cast_signed());
        Ok(())
    }))
}

/// Keeps a failure's text for `dl_error`, and gives WASI's number.
fn keep(store: &mut Context<'_>, name: &str, mut failure: Failure) -> u32 {
    if let Some(dl) = &mut store.data_mut().dl
        && name != "dl_error"
    {
        let end = (0..=TEXT_MAX.min(failure.text.len())).rev().find(|&i| failure.text.is_char_boundary(i));
        failure.text.truncate(end.unwrap_or(0));
        dl.error = failure.text;
    }
    types::errno(failure.errno)
}

impl Dl {
    pub(super) fn new(program: Instance) -> Self {
        Self {
            program,
            source: None,
            modules: Vec::new(),
            globals: Vec::new(),
            slots: Slots::default(),
            closures: call::Closures::default(),
            late: Vec::new(),
            heap: None,
            code: Vec::new(),
            loads: 0,
            nesting: 0,
            busy: false,
            error: String::new(),
        }
    }

    pub(super) fn allow(&mut self, source: Box<dyn CodeSource>) {
        self.source = Some(source);
    }

    /// The module with this handle or number in `needed`.
    fn module(&self, handle: u32) -> Option<&Loaded> {
        self.modules.get((handle as usize).checked_sub(2)?)
    }

    fn module_mut(&mut self, handle: u32) -> Option<&mut Loaded> {
        self.modules.get_mut((handle as usize).checked_sub(2)?)
    }

    /// The module and all that it needs, breadth first, each once; the program's handle gives the
    /// program and the global modules.
    fn closure(&self, handle: u32) -> Vec<u32> {
        if handle == PROGRAM {
            return std::iter::once(PROGRAM).chain(self.globals.iter().copied()).collect();
        }
        scope::breadth_first(handle, |h| self.module(h).map_or(&[], |m| &m.needed))
    }
}

/// The loader's part of a guest. [`function`] has looked that there is one.
fn dl<'a>(store: &'a mut Context<'_>) -> &'a mut Dl {
    store.data_mut().dl.as_mut().expect("a guest that calls has its `Dl`")
}

/// Works on the guest's memory.
fn memory<T>(store: &mut Context<'_>, work: impl FnOnce(&mut Memory<'_>) -> Result<T, Errno>) -> Result<T, Errno> {
    let memory = store.data().memory.ok_or(Errno::FAULT)?;
    let mut bytes = memory.data_mut(store);
    work(&mut Memory::new(&mut bytes))
}

/// Symbols by name, and what they stand for.
#[derive(Clone, Copy)]
enum Symbol {
    Function(Func),
    Data(u32),
}
