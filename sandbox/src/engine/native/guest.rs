//! The guest, as calls of it see it that are being answered.

use std::convert::Infallible;
use std::ffi::{CStr, c_char, c_uint, c_void};
use std::marker::PhantomData;
use std::{ptr, slice};

use super::libraries::{Instance, Libraries};
use super::object::{Entry, Link, Module, Table};
use super::{RETURNED, Run, Runtime};
use crate::abi::{GuestEnd, Host, Memory};
use crate::account::{ACCOUNT, Full};
use crate::engine::linker::UNCAUGHT;
use crate::engine::linker::state::Slot;
use crate::vfs::{Errno, Vfs};

/// How guest code was left that did not return.
#[derive(Debug)]
pub(super) enum Left {
    /// The guest ended; why is noted.
    Ended,
    /// It threw an exception, which goes on where it was called.
    Threw,
}

/// How guest code came back that trapped, or threw (`enum native_end`).
const TRAPPED: c_uint = 2;
pub(super) const THREW: c_uint = 3;

/// A guest whose code does not run now. What belongs to it is reached by short borrows alone: code
/// of the guest that is [called](Guest::call_as) makes calls of its own.
pub(super) struct Guest<'a> {
    run: *mut Run,
    borrowed: PhantomData<&'a mut Run>,
}

impl Guest<'_> {
    /// # Safety
    ///
    /// `run` is a guest's, on this thread, whose code does not run but where it is called from
    /// here; nobody else uses what it points to.
    pub(super) unsafe fn new(run: *mut Run) -> Self {
        Self { run, borrowed: PhantomData }
    }

    fn run(&mut self) -> &mut Run {
        // SAFETY: that is the contract of `new`; the borrow ends before guest code is called.
        unsafe { &mut *self.run }
    }

    pub(super) fn runtime(&mut self) -> Runtime {
        self.run().runtime
    }

    pub(super) fn libraries(&mut self) -> &mut Libraries {
        &mut self.run().libraries
    }

    /// The program.
    pub(super) fn program(&mut self) -> Instance {
        let run = self.run();
        Instance { module: run.module, state: run.instance }
    }

    pub(super) fn vfs(&mut self) -> &mut Vfs {
        &mut self.run().host.vfs
    }

    /// Works on the host and the guest's memory.
    pub(super) fn with_host<T>(&mut self, work: impl FnOnce(&mut Host, &mut &mut [u8]) -> T) -> T {
        let run = self.run();
        // SAFETY: the instance is the module's own.
        let memory = unsafe { (run.parts.memory)(run.instance) };
        // SAFETY: the memory, if there is one yet, has `size` bytes from `data` on; guest code does
        // not run, and nobody else uses them.
        let mut bytes = unsafe {
            match memory.as_ref().filter(|memory| !memory.data.is_null()) {
                Some(memory) => slice::from_raw_parts_mut(memory.data, usize::try_from(memory.size).unwrap_or(0)),
                None => slice::from_raw_parts_mut(ptr::NonNull::dangling().as_ptr(), 0),
            }
        };
        work(&mut run.host, &mut bytes)
    }

    /// Works on the guest's memory.
    pub(super) fn with_memory<T>(
        &mut self,
        work: impl FnOnce(&mut Memory<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.with_host(|_, bytes| work(&mut Memory::new(bytes)))
    }

    /// The program's memory, table and stack pointer, as libraries get them.
    pub(super) fn shared(&mut self) -> Option<[*mut c_void; 3]> {
        let Instance { module, state } = self.program();
        let (memory, table, pointer) = (module.memory?, module.table?, module.stack_pointer?);
        // SAFETY: the instance is the module's own.
        unsafe { Some([memory(state).cast_mut().cast(), table(state).cast(), pointer(state).cast()]) }
    }

    /// The program's table.
    pub(super) fn table(&mut self) -> Option<&mut Table> {
        let Instance { module, state } = self.program();
        // SAFETY: as above; guest code does not run while it is borrowed.
        unsafe { module.table?(state).as_mut() }
    }

    /// Fills an entry of the table that was allocated.
    pub(super) fn set(&mut self, slot: Slot, entry: Entry) {
        let set = self.table().is_some_and(|table| table.set(slot.0, entry));
        debug_assert!(set);
    }

    /// The program's stack pointer.
    pub(super) fn stack_pointer(&mut self) -> Option<&mut u32> {
        let Instance { module, state } = self.program();
        // SAFETY: as above.
        unsafe { module.stack_pointer?(state).as_mut() }
    }

    /// Adds empty entries to the table.
    ///
    /// # Errors
    ///
    /// There is no room: why, if the account has none.
    pub(super) fn grow_table(&mut self, entries: u32) -> Result<(), Option<Full>> {
        let grow = self.runtime().grow_table;
        let table = ptr::from_mut(self.table().ok_or(None)?);
        self.run().refused = None;
        // SAFETY: it is the program's table. This asks `may_grow`, and no reference is alive.
        let first = unsafe { grow(table, entries) };
        let full = self.run().refused.map(|_| Full { left: ACCOUNT.left() });
        if first == u32::MAX { Err(full) } else { Ok(()) }
    }

    /// The digest of a type, as this module knows it.
    pub(super) fn type_in(&mut self, module: &'static Module, ty: &CStr) -> *const c_char {
        let find = self.runtime().ty;
        // SAFETY: the module is there, the text is a C string.
        unsafe { find(module, ty.as_ptr()) }
    }

    /// Calls a function of the guest that has this type, with as many arguments; gives the result.
    ///
    /// # Errors
    ///
    /// [`Left`] if it did not return.
    pub(super) fn call_as(&mut self, function: Link, ty: &CStr, arguments: &[u64]) -> Result<u64, Left> {
        debug_assert!(arguments.len() >= ty.to_bytes().iter().position(|&letter| letter == b'>').unwrap_or(0));
        let call = self.runtime().call;
        let mut result = 0;
        // SAFETY: who calls has found the function by its type, or compared it.
        let end = unsafe { call(function, ty.as_ptr(), arguments.as_ptr(), &raw mut result) };
        self.came_back(end).map(|()| result)
    }

    /// Fills an instance of a library.
    ///
    /// # Errors
    ///
    /// [`Left`], as in [`call_as`](Self::call_as).
    pub(super) fn link(&mut self, module: &'static Module, instance: *mut c_void, given: *mut u64) -> Result<(), Left> {
        let link = self.runtime().link;
        // SAFETY: the instance has the module's size, what it is given is as `struct
        // native_imports` says, and both stay.
        let end = unsafe { link(module, instance, given) };
        self.came_back(end)
    }

    /// Notes that a call ends the guest.
    pub(super) fn ends(&mut self, end: GuestEnd) -> Left {
        self.run().end = Some(end);
        Left::Ended
    }

    /// Notes that the guest ends as by a trap: why, in words.
    pub(super) fn traps(&mut self, why: String) -> Left {
        self.run().trapped = Some(why);
        Left::Ended
    }

    fn came_back(&mut self, end: c_uint) -> Result<(), Left> {
        match end {
            RETURNED => Ok(()),
            THREW => Err(Left::Threw),
            TRAPPED => {
                // SAFETY: reads a number.
                let why = unsafe { (self.runtime().trap)() };
                Err(self.traps(super::trap(why)))
            }
            _ => Err(Left::Ended),
        }
    }

    /// Hands an exception that left the guest's code to the function for it, which may tell what it
    /// is, and end the guest: the program's, or that of the first library that has one. What it is
    /// given is the exception's value, an address, which that of C++ has.
    ///
    /// # Errors
    ///
    /// [`Left`]; the exception again if there is no such function, or it does not end the guest.
    pub(super) fn uncaught(&mut self) -> Result<Infallible, Left> {
        let (thrown, mut value) = (self.runtime().thrown, 0);
        // SAFETY: writes to the number.
        if unsafe { thrown(&raw mut value) } {
            let program = self.program();
            let own = |instance: Instance| {
                instance.symbol(UNCAUGHT.as_bytes()).filter(|function| function.export.ty() == c"i>")
            };
            let function = own(program).or_else(|| self.libraries().instances().copied().find_map(own));
            if let Some(function) = function {
                self.call_as(function.link(), c"i>", &[value.into()])?;
            }
        }
        Err(Left::Threw)
    }
}
