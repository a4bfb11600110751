//! What is known of a guest's libraries, and the handles and numbers by which they are named.
//! Nothing here works on the guest's store.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use wasmtime::{Func, Instance, Tag, TypedFunc};

use super::scope::breadth_first;
use crate::account::Charge;
use crate::engine::CodeSource;
use crate::linking::{Signature, TableIndex};

/// What the guest names a module by: the program, or a library.
///
/// As a number, the program is 1 and libraries follow in the order in which they were loaded. 0 is
/// no handle; `dl_symbol` takes it for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Handle {
    Program,
    Library(LibraryId),
}

impl Handle {
    const PROGRAM_NUMBER: u32 = 1;
    const FIRST_LIBRARY: u32 = 2;

    /// The handle that a guest gives; `None` for 0.
    pub(in crate::engine) fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => None,
            Self::PROGRAM_NUMBER => Some(Self::Program),
            library => Some(Self::Library(LibraryId((library - Self::FIRST_LIBRARY) as usize))),
        }
    }

    /// The handle as a guest gets it.
    pub(in crate::engine) fn number(self) -> u32 {
        match self {
            Self::Program => Self::PROGRAM_NUMBER,
            // There are at most `LOADS_MAX`.
            Self::Library(LibraryId(index)) => Self::FIRST_LIBRARY + u32::try_from(index).unwrap_or(0),
        }
    }
}

/// A library, by its place among all that were loaded or are about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct LibraryId(usize);

impl LibraryId {
    /// The first that a guest loads.
    pub(in crate::engine) const FIRST: Self = Self(0);

    /// The one that comes so many places after this one.
    pub(in crate::engine) fn after(self, places: usize) -> Self {
        Self(self.0 + places)
    }

    /// By how many places it comes after `first`; `None` if it comes before.
    pub(in crate::engine) fn places_after(self, first: Self) -> Option<usize> {
        self.0.checked_sub(first.0)
    }
}

/// An entry of the program's table of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::engine) struct Slot(pub(in crate::engine) u32);

/// A range of the table's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct SlotRange {
    pub(in crate::engine) start: Slot,
    pub(in crate::engine) length: u32,
}

impl SlotRange {
    pub(in crate::engine) fn contains(self, slot: Slot) -> bool {
        slot.0.checked_sub(self.start.0).is_some_and(|offset| offset < self.length)
    }

    /// The entry after the last.
    fn end(self) -> u32 {
        self.start.0.saturating_add(self.length)
    }
}

/// A guest's libraries.
pub(in crate::engine) struct Libraries {
    pub(super) program: Instance,
    /// Nothing where no libraries are loaded.
    pub(super) source: Option<Box<dyn CodeSource>>,
    loaded: Vec<LoadedLibrary>,
    /// Global libraries, in the order in which they became so.
    pub(super) globals: Vec<LibraryId>,
    pub(super) slots: Slots,
    pub(super) closures: Closures,
    /// Functions that libraries of a circle get before they exist.
    pub(super) forwards: Vec<Option<Func>>,
    /// Tags of exceptions that libraries import and the program does not have.
    pub(super) tags: HashMap<String, Tag>,
    /// The program's `malloc` and `free`, once they were needed.
    pub(super) heap: Option<Heap>,
    /// The code of all libraries of which the engine has instances.
    pub(super) code: Vec<Arc<Charge<'static>>>,
    /// Attempts so far.
    pub(super) loads: usize,
    /// Loads that run constructors now, each within the one before.
    pub(super) nesting: u32,
    /// Set while the loader itself is at work: the guest's `malloc` must not load then.
    pub(super) busy: bool,
    /// The text for `dl_error`.
    pub(super) error: String,
}

/// The program's allocator.
#[derive(Clone)]
pub(super) struct Heap {
    pub(super) malloc: TypedFunc<u32, u32>,
    pub(super) free: TypedFunc<u32, ()>,
}

/// A library that is loaded.
pub(super) struct LoadedLibrary {
    pub(super) name: String,
    pub(super) instance: Instance,
    pub(super) memory_base: u32,
    pub(super) table_base: Slot,
    /// Where its part of the table has its functions.
    pub(super) entries: TableIndex,
    pub(super) needed: Vec<LibraryId>,
    /// How often it was opened by the guest.
    pub(super) opened: u32,
    pub(super) file: LibraryFile,
}

/// The file of a library. It is held, so that its inode's number is not given to another file.
#[derive(Clone)]
pub(in crate::engine) struct LibraryFile {
    pub(in crate::engine) device: u64,
    pub(in crate::engine) inode: u64,
    pub(in crate::engine) file: Arc<OwnedFd>,
}

impl LibraryFile {
    pub(in crate::engine) fn is(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Libraries {
    /// Of a program that has loaded none.
    pub(in crate::engine) fn new(program: Instance) -> Self {
        Self {
            program,
            source: None,
            loaded: Vec::new(),
            globals: Vec::new(),
            slots: Slots::default(),
            closures: Closures::default(),
            forwards: Vec::new(),
            tags: HashMap::new(),
            heap: None,
            code: Vec::new(),
            loads: 0,
            nesting: 0,
            busy: false,
            error: String::new(),
        }
    }

    /// Lets the guest load libraries, whose code comes from `source`.
    pub(in crate::engine) fn allow(&mut self, source: Box<dyn CodeSource>) {
        self.source = Some(source);
    }

    /// The library, if it is loaded.
    pub(super) fn get(&self, id: LibraryId) -> Option<&LoadedLibrary> {
        self.loaded.get(id.0)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: LibraryId) -> Option<&mut LoadedLibrary> {
        self.loaded.get_mut(id.0)
    }

    /// The library of this file.
    pub(super) fn of_file(&self, file: &LibraryFile) -> Option<LibraryId> {
        self.loaded.iter().position(|library| library.file.is(file)).map(LibraryId)
    }

    /// The library that is loaded next.
    pub(super) fn next(&self) -> LibraryId {
        LibraryId(self.loaded.len())
    }

    /// The instances of all, in the order in which they were loaded.
    pub(super) fn instances(&self) -> impl Iterator<Item = Instance> {
        self.loaded.iter().map(|library| library.instance)
    }

    /// Adds one.
    pub(super) fn add(&mut self, library: LoadedLibrary) {
        self.loaded.push(library);
    }

    /// Forgets this one and all that were added after it.
    pub(super) fn truncate(&mut self, first: LibraryId) {
        self.loaded.truncate(first.0);
    }

    /// What a search through this handle looks at, in order: a library and all that it needs,
    /// breadth first, each once; or the program and the global libraries.
    pub(super) fn search_order(&self, handle: Handle) -> Vec<Handle> {
        let libraries = match handle {
            Handle::Program => self.globals.clone(),
            Handle::Library(id) => self.with_needed(id),
        };
        let program = (handle == Handle::Program).then_some(Handle::Program);
        program.into_iter().chain(libraries.into_iter().map(Handle::Library)).collect()
    }

    /// A library and all that it needs, breadth first, each once.
    pub(super) fn with_needed(&self, id: LibraryId) -> Vec<LibraryId> {
        breadth_first(id, |id| self.get(id).map_or(&[], |library| &library.needed))
    }
}

/// What is known of the table.
#[derive(Default)]
pub(in crate::engine) struct Slots {
    /// Entries by the function that they hold: a function's address is the same whoever asks for
    /// it.
    pub(in crate::engine) known: HashMap<usize, Slot>,
    /// Ranges that nobody has.
    free: Vec<SlotRange>,
    /// Where the program has its functions: nothing before that is asked for the first time, then
    /// nothing inside if it is not known.
    pub(in crate::engine) index: Option<Option<TableIndex>>,
    /// Whether each entry was looked at.
    pub(in crate::engine) scanned: bool,
}

impl Slots {
    /// Takes `length` free entries, aligned.
    pub(in crate::engine) fn take(&mut self, length: u32, alignment: u32) -> Option<Slot> {
        for index in 0..self.free.len() {
            let range = self.free[index];
            let base = range.start.0.checked_next_multiple_of(alignment)?;
            let skipped = base - range.start.0;
            if range.length < skipped || range.length - skipped < length {
                continue;
            }
            self.free.remove(index);
            let before = SlotRange { start: range.start, length: skipped };
            let after = SlotRange { start: Slot(base + length), length: range.length - skipped - length };
            self.free.extend([before, after].into_iter().filter(|range| range.length > 0));
            return Some(Slot(base));
        }
        None
    }

    /// Frees entries. What was known of them is forgotten.
    pub(in crate::engine) fn free(&mut self, range: SlotRange) {
        self.known.retain(|_, &mut slot| !range.contains(slot));
        self.free.push(range);
        // Neighbours become one.
        self.free.sort_unstable();
        self.free.dedup_by(|next, first| {
            let touches = first.end() == next.start.0;
            first.length += if touches { next.length } else { 0 };
            touches
        });
    }
}

/// Closures of one guest. A released one is given out again for the same signature.
#[derive(Default)]
pub(super) struct Closures {
    all: Vec<Closure>,
    /// By the table entry.
    live: HashMap<Slot, ClosureId>,
    released: HashMap<Signature, Vec<ClosureId>>,
}

/// A closure, by its place among all that were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClosureId(usize);

/// A function of the host that calls the guest's dispatcher.
#[derive(Clone)]
pub(super) struct Closure {
    pub(super) function: Func,
    pub(super) signature: Signature,
    pub(super) dispatcher: Slot,
    pub(super) user: u32,
}

impl Closures {
    /// How many were made.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The closure that is added next.
    pub(super) fn next(&self) -> ClosureId {
        ClosureId(self.all.len())
    }

    /// Adds one.
    pub(super) fn add(&mut self, closure: Closure) {
        self.all.push(closure);
    }

    /// The closure.
    pub(super) fn get(&self, id: ClosureId) -> &Closure {
        &self.all[id.0]
    }

    /// Takes a released one of this signature for another dispatcher.
    pub(super) fn reuse(&mut self, signature: &Signature, dispatcher: Slot, user: u32) -> Option<ClosureId> {
        let id = self.released.get_mut(signature)?.pop()?;
        let closure = &mut self.all[id.0];
        (closure.dispatcher, closure.user) = (dispatcher, user);
        Some(id)
    }

    /// Notes that the closure stands in this entry.
    pub(super) fn place(&mut self, id: ClosureId, slot: Slot) {
        self.live.insert(slot, id);
    }

    /// Takes the closure out of this entry.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<ClosureId> {
        self.live.remove(&slot)
    }

    /// Keeps one that no entry has for the next of its signature.
    pub(super) fn release(&mut self, id: ClosureId) {
        let signature = self.all[id.0].signature.clone();
        self.released.entry(signature).or_default().push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_its_number() {
        for number in [1, 2, 3, 1001] {
            assert_eq!(Handle::from_number(number).map(Handle::number), Some(number));
        }
        assert_eq!(Handle::from_number(0), None);
        assert_eq!(Handle::from_number(2), Some(Handle::Library(LibraryId(0))));
        let (first, third) = (LibraryId(4), LibraryId(4).after(2));
        assert_eq!((third.places_after(first), first.places_after(third)), (Some(2), None));
    }

    #[test]
    fn free_entries_are_given_out_aligned_and_grow_together_again() {
        let mut slots = Slots::default();
        let range = |start, length| SlotRange { start: Slot(start), length };
        slots.free(range(3, 10));
        slots.known.insert(7, Slot(20));
        assert_eq!((slots.take(4, 4), slots.take(6, 1), slots.take(5, 1)), (Some(Slot(4)), None, Some(Slot(8))));
        slots.free(range(4, 4));
        slots.free(range(8, 5));
        assert_eq!(slots.free, [range(3, 10)]);
        slots.free(range(20, 1));
        assert!(slots.known.is_empty());
    }
}
