//! What is known of a guest's libraries. All of it is data but for the instances, which come out of
//! it again: a library, its places in memory and table, and what it is given for each import.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_void};

use super::object::{Digest, Entry, Export, Link, Module};
use crate::engine::NativeSource;
use crate::engine::dl::scope::breadth_first;
use crate::engine::dl::state::{Handle, LibraryFile, LibraryId, Slot, Slots};
use crate::linking::Signature;

/// A guest's libraries.
#[derive(Default)]
pub(super) struct Libraries {
    /// Nothing where no libraries are loaded.
    pub(super) source: Option<Box<dyn NativeSource>>,
    loaded: Vec<LoadedLibrary>,
    /// Global libraries, in the order in which they became so.
    pub(super) globals: Vec<LibraryId>,
    /// Entries of the table.
    pub(super) slots: Slots,
    pub(super) closures: Closures,
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
pub(super) struct LoadedLibrary {
    pub(super) name: String,
    pub(super) module: &'static Module,
    pub(super) instance: *mut c_void,
    pub(super) memory_base: u32,
    pub(super) table_base: Slot,
    pub(super) needed: Vec<LibraryId>,
    /// How often it was opened by the guest.
    pub(super) opened: u32,
    pub(super) file: LibraryFile,
}

/// Something that a module defines.
#[derive(Clone, Copy)]
pub(super) struct Defined {
    pub(super) export: &'static Export,
    pub(super) module: &'static Module,
    pub(super) instance: *mut c_void,
    memory_base: u32,
    table_base: u32,
}

impl Defined {
    pub(super) fn of(library: &LoadedLibrary, export: &'static Export) -> Self {
        let LoadedLibrary { module, instance, memory_base, table_base, .. } = *library;
        Self { export, module, instance, memory_base, table_base: table_base.0 }
    }

    /// What the program itself defines: its addresses are no offsets.
    pub(super) fn of_program((module, instance): (&'static Module, *mut c_void), name: &[u8]) -> Option<Self> {
        let export = module.symbol(name)?;
        Some(Self { export, module, instance, memory_base: 0, table_base: 0 })
    }

    pub(super) fn is_function(&self) -> bool {
        !self.export.ty().is_empty()
    }

    pub(super) fn link(&self) -> Link {
        Link { code: self.export.code(), instance: self.instance }
    }

    /// The address of a datum.
    pub(super) fn address(&self) -> u32 {
        // SAFETY: an export without a type is a function that says where in an instance its
        // variable is (`module.h`).
        let variable = unsafe {
            let find: unsafe extern "C" fn(*mut c_void) -> *const u32 = std::mem::transmute(self.export.code());
            *find(self.instance)
        };
        self.memory_base.wrapping_add(variable)
    }

    /// Where in the table the module itself has put the function.
    pub(super) fn own_entry(&self) -> Option<Slot> {
        self.export.entry().map(|entry| Slot(self.table_base.wrapping_add(entry)))
    }
}

impl Libraries {
    /// Lets the guest load libraries, whose code comes from `source`.
    pub(super) fn allow(&mut self, source: Box<dyn NativeSource>) {
        self.source = Some(source);
    }

    pub(super) fn get(&self, id: LibraryId) -> Option<&LoadedLibrary> {
        id.places_after(LibraryId::FIRST).and_then(|index| self.loaded.get(index))
    }

    pub(super) fn get_mut(&mut self, id: LibraryId) -> Option<&mut LoadedLibrary> {
        id.places_after(LibraryId::FIRST).and_then(|index| self.loaded.get_mut(index))
    }

    /// The library of this file.
    pub(super) fn of_file(&self, file: &LibraryFile) -> Option<LibraryId> {
        let index = self.loaded.iter().position(|library| library.file.is(file));
        index.map(|index| LibraryId::FIRST.after(index))
    }

    /// The library that is loaded next.
    pub(super) fn next(&self) -> LibraryId {
        LibraryId::FIRST.after(self.loaded.len())
    }

    pub(super) fn add(&mut self, library: LoadedLibrary) {
        self.loaded.push(library);
    }

    /// Forgets this one and all that were added after it.
    pub(super) fn truncate(&mut self, first: LibraryId) {
        self.loaded.truncate(first.places_after(LibraryId::FIRST).unwrap_or(0));
    }

    /// What a search through this handle looks at, in order, after the program if that is meant: a
    /// library and all that it needs, breadth first, each once; or the global libraries.
    pub(super) fn search_order(&self, handle: Handle) -> Vec<LibraryId> {
        match handle {
            Handle::Program => self.globals.clone(),
            Handle::Library(id) => self.with_needed(id),
        }
    }

    /// A library and all that it needs, breadth first, each once.
    pub(super) fn with_needed(&self, id: LibraryId) -> Vec<LibraryId> {
        breadth_first(id, |id| self.get(id).map_or(&[], |library| &library.needed))
    }
}

/// Functions that the guest can call by the table, and that call its dispatcher. A released one is
/// given out again for the same signature.
#[derive(Default)]
pub(super) struct Closures {
    pub(super) all: Vec<Closure>,
    /// By the table entry.
    pub(super) live: HashMap<Slot, u32>,
    pub(super) released: HashMap<Signature, Vec<u32>>,
}

/// One of them.
pub(super) struct Closure {
    pub(super) instance: &'static ClosureInstance,
    pub(super) signature: Signature,
    pub(super) dispatcher: Slot,
    pub(super) user: u32,
}

/// What the runtime's code of closures is given as its instance: it begins with `struct
/// native_closure`.
#[repr(C)]
pub(super) struct ClosureInstance {
    ty: *const c_char,
    number: u32,
    /// The type's.
    digest: Digest,
}

impl ClosureInstance {
    /// For the closure of this number; it stays, since the guest may keep pointers to it.
    pub(super) fn lasting(ty: CString, number: u32, digest: Digest) -> &'static Self {
        Box::leak(Box::new(Self { ty: ty.into_raw(), number, digest }))
    }

    /// The entry of the table for it, if this is the code of closures.
    pub(super) fn entry(&'static self, code: *mut c_void) -> Entry {
        let instance = std::ptr::from_ref(self).cast_mut().cast();
        Entry::new(self.digest.as_ptr().cast(), Link { code, instance })
    }
}
