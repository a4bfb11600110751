//! A guest's libraries as native code. All that is kept of one is data but for the instance, which
//! comes out of it again.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_void};

use super::image::LibraryCode;
use super::object::{Digest, Entry, Export, Link, Module};
use crate::engine::NativeSource;
use crate::engine::linker::Parts;
use crate::engine::linker::state;

/// A guest's libraries.
pub(super) type Libraries = state::Libraries<NativeParts>;

/// What is kept of a guest's libraries for native code.
#[derive(Default)]
pub(super) struct NativeParts {
    /// Nothing where no libraries are loaded.
    pub(super) source: Option<Box<dyn NativeSource>>,
    /// Tags of exceptions that libraries import and the program does not have.
    pub(super) tags: HashMap<CString, &'static u8>,
}

impl Parts for NativeParts {
    type Code = LibraryCode;
    type Instance = Instance;
    type Function = Defined;
    type FunctionKey = Link;
    type Sources = ();
    type Closure = &'static ClosureInstance;
}

/// A module in memory, and the state that its code works on.
#[derive(Clone, Copy)]
pub(super) struct Instance {
    pub(super) module: &'static Module,
    pub(super) state: *mut c_void,
}

impl Instance {
    /// What it defines under this name.
    pub(super) fn symbol(self, name: &[u8]) -> Option<Defined> {
        self.module.symbol(name).map(|export| Defined { export, of: self })
    }
}

/// Something that a module defines.
#[derive(Clone, Copy)]
pub(super) struct Defined {
    pub(super) export: &'static Export,
    pub(super) of: Instance,
}

impl Defined {
    pub(super) fn link(&self) -> Link {
        Link { code: self.export.code(), instance: self.of.state }
    }

    /// The value of a variable: where a datum is, in the module's own part of memory.
    pub(super) fn variable(&self) -> u32 {
        // SAFETY: an export without a type is a function that says where in an instance its
        // variable is (`module.h`).
        unsafe {
            let find: unsafe extern "C" fn(*mut c_void) -> *const u32 = std::mem::transmute(self.export.code());
            *find(self.of.state)
        }
    }
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
