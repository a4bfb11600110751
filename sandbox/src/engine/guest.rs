//! What the engine keeps for a guest, which every function of the host gets.

use wasmtime::{Func, Memory, StoreContextMut};

use super::charges::GuestCharges;
use super::dl::Libraries;
use super::stack::Stack;
use crate::abi::{self, Host, HostFunction};
use crate::vfs::Errno;

/// A guest's store, as functions of the host see it.
pub(super) type Context<'a> = StoreContextMut<'a, Guest>;

/// The data of a guest's store.
pub(super) struct Guest {
    pub(super) host: Host,
    pub(super) charges: GuestCharges,
    /// Nothing before the program's instance is made: its start function has no memory.
    pub(super) memory: Option<Memory>,
    pub(super) stack: Stack,
    /// Nothing while the program's start function runs: it can't load libraries.
    pub(super) libraries: Option<Box<Libraries>>,
    /// Makes the engine's function for one of the import table.
    pub(super) link: fn(&mut Context<'_>, &'static HostFunction) -> Func,
}

impl Guest {
    /// The guest's libraries.
    ///
    /// # Panics
    ///
    /// If the program's start function is running: the functions that load are not called then
    /// (`imports::link`).
    pub(super) fn libraries(&mut self) -> &mut Libraries {
        self.libraries.as_mut().expect("the program has been instantiated")
    }
}

/// Works on the guest's memory.
///
/// # Errors
///
/// `EFAULT` before there is one; what `work` says.
pub(super) fn with_memory<T>(
    store: &mut Context<'_>,
    work: impl FnOnce(&mut abi::Memory<'_>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let memory = store.data().memory.ok_or(Errno::FAULT)?;
    let mut bytes = memory.data_mut(store);
    work(&mut abi::Memory::new(&mut bytes))
}
