//! Run-time loading: the functions `dl_*` and `fn_*` of the import table, whichever engine runs the
//! guest.
//!
//! All parameters are i32, all results WASI's errno. What a module of the guest does in its own
//! relocations and constructors is the guest's doing: if they trap or exit, the guest ends.
//! Everything before is the loader's: it gives an errno and a text, and takes back what was
//! allocated.
//!
//! A module stays until the guest ends, as in musl: `dl_close` only takes the handle back. No
//! engine can free an instance, and pointers to a module's functions (as `atexit` keeps) would
//! otherwise lead nowhere. So the number of loads is limited ([`LOADS_MAX`]).

pub(super) mod call;
mod load;
mod open;
pub(super) mod plan;
pub(super) mod scope;
pub(super) mod state;

use crate::abi::{LinkerFunction, Memory, types};
use crate::account::Full;
use crate::engine::Library;
use crate::linking::Signature;
use crate::vfs::{Errno, FileStat, Vfs};
use plan::LoadPlan;
use state::{ClosureId, Handle, Libraries, LibraryFile, LibraryId, Slot, SlotRange};

/// Most side modules that one guest may load, attempts included.
pub(super) const LOADS_MAX: usize = 1000;
/// Longest text that is kept for `dl_error`.
const TEXT_MAX: usize = 4096;

/// The function that is given an exception which has left the program: it may tell what it is, and
/// end the guest.
pub(super) const UNCAUGHT: &str = "sandbox_uncaught_exception";
/// Why a guest ends whose library does so: exceptions pass through functions that the host calls,
/// but what is half done of a load would stay so.
pub(super) const THREW_IN_LOAD: &str = "a library threw an exception while it was loaded";

/// What an engine keeps of a guest's libraries, beside what is the same for all.
pub(super) trait Parts: Sized {
    /// The code of a library.
    type Code;
    /// A library in memory.
    type Instance;
    /// A function of a module.
    type Function: Copy;
    /// What a function is known by.
    type FunctionKey: Eq + std::hash::Hash;
    /// What is known of a library's imports before its code is there.
    type Sources: Default;
    /// A function that calls the guest's dispatcher.
    type Closure: Copy;
}

/// What a load has taken for a library.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// What `malloc` gave, for `free`.
    pub(super) block: u32,
    pub(super) memory_base: u32,
    pub(super) table: SlotRange,
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub(super) enum Symbol<F> {
    Function(F),
    Data(u32),
}

/// A guest, as loading libraries needs its engine.
pub(super) trait Linker: Sized {
    type Parts: Parts;
    /// Why the guest ended in its own code.
    type End;
    /// A function of the program's table whose type has been compared.
    type Callable;

    fn libraries(&mut self) -> &mut Libraries<Self::Parts>;

    fn vfs(&mut self) -> &mut Vfs;

    fn with_memory<T>(&mut self, work: impl FnOnce(&mut Memory<'_>) -> Result<T, Errno>) -> Result<T, Errno>;

    /// What is in the file of a library, and its code, which may come later.
    fn read(&mut self, file: &LibraryFile, stat: &FileStat) -> Result<Library<Code<Self>>, LinkError>;

    /// What the module with this handle exports under this name.
    fn symbol(&mut self, handle: Handle, name: &[u8]) -> Option<Symbol<Function<Self>>>;

    /// The entry of the function that a module exports under this name: the one that it has, or a
    /// new one.
    fn slot_of(&mut self, handle: Handle, name: &[u8], function: Function<Self>) -> Result<Slot, LinkError>;

    /// The entries of the program's table.
    fn table_size(&mut self) -> Result<u32, LinkError>;

    /// Adds empty entries to it; `None` if there is no room.
    fn grow_table(&mut self, by: u32) -> Result<(), Option<Full>>;

    /// Empties entries.
    fn clear(&mut self, range: SlotRange);

    /// Looks whether the program has what it shares with libraries.
    fn ready(&mut self) -> Result<(), LinkError>;

    /// Calls the program's `malloc`.
    fn allocate(&mut self, bytes: u32) -> Stopped<Self, u32>;

    /// Calls the program's `free`.
    fn free(&mut self, block: u32) -> Stopped<Self>;

    /// Decides what imports of a pending library are given, as far as that is known without its
    /// code.
    fn prepare(&mut self, plan: &mut LoadPlan<Self::Parts>, index: usize) -> Result<(), LinkError>;

    /// Makes the instances of a plan's libraries, whose code is there, and registers them.
    fn instantiate(&mut self, plan: &mut LoadPlan<Self::Parts>, rooms: &[Room]) -> Stopped<Self>;

    /// Calls a function without parameters or result that the library has by the convention between
    /// modules and loader.
    fn call_own(&mut self, id: LibraryId, name: &str) -> Stopped<Self>;

    /// The function in an entry, if it has this type; `what` it is to be.
    fn function(&mut self, slot: Slot, ty: &Signature, what: &str) -> Result<Self::Callable, LinkError>;

    /// Calls it with as many arguments as the type says, and gives the result, in slots.
    fn call(&mut self, function: Self::Callable, ty: &Signature, arguments: &[u64]) -> Result<u64, Self::End>;

    /// Makes a function of this type that [dispatches](call::dispatch).
    fn closure(&mut self, id: ClosureId, ty: &Signature) -> Closure<Self>;

    /// Puts it into an entry.
    fn place(&mut self, slot: Slot, closure: Closure<Self>) -> Result<(), LinkError>;

    /// The stack pointer of the program; `None` if it has none.
    fn stack_pointer(&mut self) -> Option<u32>;

    /// Changes it.
    fn set_stack_pointer(&mut self, to: u32) -> Result<(), LinkError>;

    /// Ends the guest as by a trap; why, in words.
    fn end(&mut self, why: String) -> Self::End;
}

type Code<L> = <<L as Linker>::Parts as Parts>::Code;
type Function<L> = <<L as Linker>::Parts as Parts>::Function;
type Closure<L> = <<L as Linker>::Parts as Parts>::Closure;
pub(super) type Stopped<L, T = ()> = Result<T, Stop<<L as Linker>::End>>;

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

impl From<Full> for LinkError {
    fn from(full: Full) -> Self {
        Self::new(Errno::NOMEM, full.to_string())
    }
}

impl From<Errno> for LinkError {
    fn from(errno: Errno) -> Self {
        Self::new(errno, words(errno))
    }
}

/// A call's failure, or the guest's end.
pub(super) enum Stop<E> {
    Failed(LinkError),
    Ends(E),
}

impl<E, F: Into<LinkError>> From<F> for Stop<E> {
    fn from(failure: F) -> Self {
        Self::Failed(failure.into())
    }
}

/// The system's words for an error.
pub(super) fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Answers a call with these arguments, as many as the import table says; gives WASI's errno.
///
/// # Errors
///
/// What ended the guest.
pub(super) fn answer<L: Linker>(linker: &mut L, which: LinkerFunction, raw: &[u32]) -> Result<u32, L::End> {
    let result = match which {
        LinkerFunction::Open => open::open(linker, raw),
        LinkerFunction::Symbol => open::symbol(linker, raw),
        LinkerFunction::Close => open::close(linker, raw),
        LinkerFunction::Error => open::error(linker, raw),
        LinkerFunction::Call => call::call(linker, raw),
        LinkerFunction::Closure => call::closure(linker, raw),
        LinkerFunction::Release => call::release(linker, raw),
    };
    match result {
        Ok(()) => Ok(0),
        Err(Stop::Ends(end)) => Err(end),
        Err(Stop::Failed(LinkError { errno, mut text })) => {
            // `dl_error` tells of another function's failure, not of its own.
            if which != LinkerFunction::Error {
                let end = (0..=TEXT_MAX.min(text.len())).rev().find(|&i| text.is_char_boundary(i));
                text.truncate(end.unwrap_or(0));
                linker.libraries().error = text;
            }
            Ok(types::errno(errno))
        }
    }
}

/// Takes `length` entries of the table, aligned; they are empty.
pub(super) fn take_slots<L: Linker>(linker: &mut L, length: u32, alignment: u32) -> Result<Slot, LinkError> {
    if length == 0 {
        return Ok(Slot(0));
    }
    if let Some(base) = linker.libraries().slots.take(length, alignment) {
        return Ok(base);
    }
    let full = || {
        LinkError::new(Errno::NOMEM, format!("there is no room for {length} more entries in the table of functions"))
    };
    let old = linker.table_size()?;
    let base = old.checked_next_multiple_of(alignment).ok_or_else(full)?;
    let added = (base - old).checked_add(length).ok_or_else(full)?;
    linker.grow_table(added).map_err(|refused| refused.map_or_else(full, LinkError::from))?;
    if base > old {
        linker.libraries().slots.free(SlotRange { start: Slot(old), length: base - old });
    }
    Ok(Slot(base))
}

/// Gives entries back and empties them.
fn give_back<L: Linker>(linker: &mut L, range: SlotRange) {
    if range.length > 0 {
        linker.clear(range);
        linker.libraries().slots.free(range);
    }
}
