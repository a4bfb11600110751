//! What is known of a guest's libraries, and the handles and numbers by which they are named.
//! Nothing here works on the guest's store.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::plan::PendingLibrary;
use super::scope::breadth_first;
use super::{Parts, Room};
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
pub(in crate::engine) struct Libraries<P: Parts> {
    /// What the engine keeps besides.
    pub(in crate::engine) own: P,
    loaded: Vec<LoadedLibrary<P>>,
    /// Global libraries, in the order in which they became so.
    pub(super) globals: Vec<LibraryId>,
    pub(in crate::engine) slots: Slots<P::FunctionKey>,
    pub(in crate::engine) closures: Closures<P>,
    /// Attempts so far.
    pub(super) loads: usize,
    /// Loads that run constructors now, each within the one before.
    pub(super) nesting: u32,
    /// Set while the loader itself is at work: the guest's `malloc` must not load then.
    pub(super) busy: bool,
    /// The text for `dl_error`.
    pub(super) error: String,
}

/// A library that is loaded.
pub(in crate::engine) struct LoadedLibrary<P: Parts> {
    pub(super) name: String,
    pub(in crate::engine) instance: P::Instance,
    pub(in crate::engine) memory_base: u32,
    pub(in crate::engine) table_base: Slot,
    pub(super) needed: Vec<LibraryId>,
    /// How often it was opened by the guest.
    pub(super) opened: u32,
    file: LibraryFile,
}

impl<P: Parts> LoadedLibrary<P> {
    /// The library that was pending, in this room.
    pub(in crate::engine) fn new(pending: &PendingLibrary<P>, room: Room, instance: P::Instance) -> Self {
        Self {
            name: pending.name.clone(),
            instance,
            memory_base: room.memory_base,
            table_base: room.table.start,
            needed: pending.needed.clone(),
            opened: 0,
            file: pending.file.clone(),
        }
    }
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

impl<P: Parts> Libraries<P> {
    /// Of a program that has loaded none.
    pub(in crate::engine) fn new(own: P) -> Self {
        Self {
            own,
            loaded: Vec::new(),
            globals: Vec::new(),
            slots: Slots::default(),
            closures: Closures::default(),
            loads: 0,
            nesting: 0,
            busy: false,
            error: String::new(),
        }
    }

    /// The library, if it is loaded.
    pub(in crate::engine) fn get(&self, id: LibraryId) -> Option<&LoadedLibrary<P>> {
        self.loaded.get(id.0)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: LibraryId) -> Option<&mut LoadedLibrary<P>> {
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
    pub(in crate::engine) fn instances(&self) -> impl Iterator<Item = &P::Instance> {
        self.loaded.iter().map(|library| &library.instance)
    }

    /// Adds one.
    pub(in crate::engine) fn add(&mut self, library: LoadedLibrary<P>) {
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
pub(in crate::engine) struct Slots<K> {
    /// Entries by the function that they hold: a function's address is the same whoever asks for
    /// it.
    pub(in crate::engine) known: HashMap<K, Slot>,
    /// Ranges that nobody has.
    free: Vec<SlotRange>,
    /// Where the program has its functions: nothing before that is asked for the first time, then
    /// nothing inside if it is not known.
    pub(in crate::engine) index: Option<Option<TableIndex>>,
    /// Whether each entry was looked at.
    pub(in crate::engine) scanned: bool,
}

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Self { known: HashMap::new(), free: Vec::new(), index: None, scanned: false }
    }
}

impl<K> Slots<K> {
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
pub(in crate::engine) struct Closures<P: Parts> {
    all: Vec<Closure<P>>,
    /// By the table entry.
    live: HashMap<Slot, ClosureId>,
    released: HashMap<Signature, Vec<ClosureId>>,
}

/// A closure, by its place among all that were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct ClosureId(usize);

impl ClosureId {
    /// As a number, which native code is given.
    pub(in crate::engine) fn number(self) -> u32 {
        // There are few.
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// The closure of this number.
    pub(in crate::engine) fn from_number(number: u32) -> Self {
        Self(number as usize)
    }
}

/// A function of the host that calls the guest's dispatcher.
pub(in crate::engine) struct Closure<P: Parts> {
    pub(super) function: P::Closure,
    pub(in crate::engine) signature: Signature,
    pub(super) dispatcher: Slot,
    pub(super) user: u32,
}

impl<P: Parts> Default for Closures<P> {
    fn default() -> Self {
        Self { all: Vec::new(), live: HashMap::new(), released: HashMap::new() }
    }
}

impl<P: Parts> Closures<P> {
    /// How many were made.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The closure that is added next.
    pub(super) fn next(&self) -> ClosureId {
        ClosureId(self.all.len())
    }

    /// Adds one.
    pub(super) fn add(&mut self, closure: Closure<P>) {
        self.all.push(closure);
    }

    /// The closure.
    pub(in crate::engine) fn get(&self, id: ClosureId) -> &Closure<P> {
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
        let mut slots = Slots::<u32>::default();
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
