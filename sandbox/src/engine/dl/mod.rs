//! Libraries of a guest that wasmtime runs.

mod imports;
mod link;
mod slots;

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use wasmtime::{
    AsContextMut as _, Caller, Extern, Func, FuncType, Instance, Mutability, Ref, Tag, ThrownException, TypedFunc, Val,
    ValType,
};

use super::guest::{self, Context, Guest};
use super::linker::plan::LoadPlan;
use super::linker::scope::is_reserved;
use super::linker::state::{self, ClosureId, Handle, LibraryFile, LibraryId, Slot, SlotRange};
use super::linker::{self, LinkError, Linker, Parts, Room, Stop, Symbol, THREW_IN_LOAD, UNCAUGHT};
use super::values::{from_slot, to_slot, val_type};
use super::{CodeSource, Library, Module};
use crate::abi::{LinkerFunction, Memory, types};
use crate::account::{ACCOUNT, Charge, Full};
use crate::linking::{SideError, SideModule, Signature, TableIndex};
use crate::vfs::{Errno, FileStat, Vfs};
use imports::ImportSource;
use link::SharedExports;
pub use slots::TABLE;

/// Bytes of one library's file.
const FILE_MAX: u64 = 64 << 20;
/// Bytes of heap that the engine and the loader take for a unit of [`SideModule::weight`].
const UNIT: usize = 128;

/// A guest's libraries.
pub(super) type Libraries = state::Libraries<WasmtimeParts>;

/// What is kept of a guest's libraries for wasmtime.
pub(super) struct WasmtimeParts {
    program: Instance,
    /// Nothing where no libraries are loaded.
    pub(super) source: Option<Box<dyn CodeSource>>,
    /// Functions that libraries of a circle get before they exist.
    forwards: Vec<Option<Func>>,
    /// Tags of exceptions that libraries import and the program does not have.
    tags: HashMap<String, Tag>,
    /// The program's `malloc` and `free`, once they were needed.
    heap: Option<Heap>,
    /// The code of all libraries of which the engine has instances.
    code: Vec<Arc<Charge<'static>>>,
}

/// The program's allocator.
#[derive(Clone)]
struct Heap {
    malloc: TypedFunc<u32, u32>,
    free: TypedFunc<u32, ()>,
}

/// A library in memory.
pub(super) struct LibraryInstance {
    instance: Instance,
    /// Where its part of the table has its functions.
    entries: TableIndex,
}

impl WasmtimeParts {
    /// Of a program that has loaded none.
    pub(super) fn new(program: Instance) -> Self {
        Self { program, source: None, forwards: Vec::new(), tags: HashMap::new(), heap: None, code: Vec::new() }
    }
}

impl Parts for WasmtimeParts {
    type Code = Module;
    type Instance = LibraryInstance;
    type Function = Func;
    type FunctionKey = usize;
    type Sources = Vec<Option<ImportSource>>;
    type Closure = Func;
}

impl Linker for Context<'_> {
    type Parts = WasmtimeParts;
    type End = wasmtime::Error;
    type Callable = Func;

    fn libraries(&mut self) -> &mut Libraries {
        self.data_mut().libraries()
    }

    fn vfs(&mut self) -> &mut Vfs {
        &mut self.data_mut().host.vfs
    }

    fn with_memory<T>(&mut self, work: impl FnOnce(&mut Memory<'_>) -> Result<T, Errno>) -> Result<T, Errno> {
        guest::with_memory(self, work)
    }

    /// Known from before, or read.
    fn read(&mut self, file: &LibraryFile, stat: &FileStat) -> Result<Library, LinkError> {
        if stat.size > FILE_MAX {
            return Err(LinkError::new(Errno::FBIG, format!("libraries may have {} MiB", FILE_MAX >> 20)));
        }
        let source = self.libraries().own.source.as_mut();
        let source = source.ok_or_else(|| LinkError::new(Errno::NOSYS, "nothing is loaded here"))?;
        if let Some(library) = source.known(&file.file, stat) {
            ACCOUNT.room_for(library.side.weight() * UNIT)?;
            return Ok(library);
        }
        let failed = |error: &std::io::Error| LinkError::from(Errno::from_io_error(error).unwrap_or(Errno::IO));
        let size = usize::try_from(stat.size).unwrap_or(usize::MAX);
        ACCOUNT.room_for(size)?;
        let mut bytes = Vec::with_capacity(size);
        // No more than that, should the file have grown meanwhile.
        let reader = std::fs::File::from(file.file.try_clone().map_err(|e| failed(&e))?);
        reader.take(stat.size).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        let side = SideModule::parse(&bytes).map_err(|e| match e {
            SideError::Full(full) => full.into(),
            e => LinkError::new(Errno::NOEXEC, e.to_string()),
        })?;
        ACCOUNT.room_for(side.weight() * UNIT)?;
        Ok(Library { side, code: source.code(bytes) })
    }

    fn symbol(&mut self, handle: Handle, name: &[u8]) -> Option<Symbol<Func>> {
        let name = std::str::from_utf8(name).ok().filter(|name| !is_reserved(name))?;
        let libraries = self.libraries();
        // Addresses of the program are no offsets.
        let (instance, base) = match handle {
            Handle::Program => (libraries.own.program, 0),
            Handle::Library(id) => libraries.get(id).map(|library| (library.instance.instance, library.memory_base))?,
        };
        match instance.get_export(&mut *self, name)? {
            Extern::Func(function) => Some(Symbol::Function(function)),
            Extern::Global(global) if global.ty(&*self).mutability() == Mutability::Const => {
                match global.get(&mut *self) {
                    Val::I32(offset) => Some(Symbol::Data(base.wrapping_add(offset.cast_unsigned()))),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn slot_of(&mut self, handle: Handle, name: &[u8], function: Func) -> Result<Slot, LinkError> {
        slots::of(self, handle, std::str::from_utf8(name).unwrap_or_default(), function)
    }

    fn table_size(&mut self) -> Result<u32, LinkError> {
        let size = slots::table(self)?.size(&*self);
        u32::try_from(size).map_err(|_| Errno::NOMEM.into())
    }

    fn grow_table(&mut self, by: u32) -> Result<(), Option<Full>> {
        let table = slots::table(self).map_err(|_| None)?;
        let grown = table.grow(&mut *self, by.into(), Ref::Func(None));
        grown.map(|_| ()).map_err(|_| self.data().charges.refused)
    }

    fn clear(&mut self, range: SlotRange) {
        if let Ok(table) = slots::table(self) {
            let cleared = table.fill(&mut *self, range.start.0.into(), Ref::Func(None), range.length.into());
            debug_assert!(cleared.is_ok());
        }
    }

    fn ready(&mut self) -> Result<(), LinkError> {
        SharedExports::of(self).map(|_| ())
    }

    fn allocate(&mut self, bytes: u32) -> Result<u32, Stop<wasmtime::Error>> {
        let heap = self.libraries().own.heap.clone().ok_or(Errno::NOSYS)?;
        heap.malloc.call(&mut *self, bytes).map_err(Stop::Ends)
    }

    fn free(&mut self, block: u32) -> Result<(), Stop<wasmtime::Error>> {
        let heap = self.libraries().own.heap.clone().ok_or(Errno::NOSYS)?;
        heap.free.call(&mut *self, block).map_err(Stop::Ends)
    }

    fn prepare(&mut self, plan: &mut LoadPlan<WasmtimeParts>, index: usize) -> Result<(), LinkError> {
        imports::resolve_in_program(plan, self, index)
    }

    fn instantiate(&mut self, plan: &mut LoadPlan<WasmtimeParts>, rooms: &[Room]) -> Result<(), Stop<wasmtime::Error>> {
        link::instantiate(self, plan, rooms)
    }

    fn call_own(&mut self, id: LibraryId, name: &str) -> Result<(), Stop<wasmtime::Error>> {
        let library = self.libraries().get(id);
        let instance = library.map(|library| library.instance.instance).ok_or(Errno::IO)?;
        if let Ok(function) = instance.get_typed_func::<(), ()>(&mut *self, name) {
            function.call(&mut *self, ()).map_err(Stop::Ends)?;
        }
        Ok(())
    }

    fn function(&mut self, slot: Slot, ty: &Signature, what: &str) -> Result<Func, LinkError> {
        let none = || LinkError::new(Errno::INVAL, format!("there is no function at {:#x}", slot.0));
        let function = slots::get(self, slot).ok_or_else(none)?;
        let own = function.ty(&*self);
        if !FuncType::eq(&own, &function_type(self, ty)) {
            let text = format!("the {what} at {:#x} is `{}`, not `{ty}`", slot.0, describe(&own));
            return Err(LinkError::new(Errno::INVAL, text));
        }
        Ok(function)
    }

    fn call(&mut self, function: Func, ty: &Signature, arguments: &[u64]) -> wasmtime::Result<u64> {
        let values: Vec<Val> = ty.parameters.iter().zip(arguments).map(|(&ty, &slot)| from_slot(ty, slot)).collect();
        let mut results = [Val::I32(0)];
        let results = &mut results[..usize::from(ty.result.is_some())];
        function.call(&mut *self, &values, results)?;
        Ok(results.first().map_or(0, to_slot))
    }

    fn closure(&mut self, id: ClosureId, ty: &Signature) -> Func {
        let (result, ty) = (ty.result, function_type(self, ty));
        Func::new(&mut *self, ty, move |mut caller: Caller<'_, Guest>, params, results| {
            caller.data().stack.check()?;
            let slots: Vec<u64> = params.iter().map(to_slot).collect();
            let value = linker::call::dispatch(&mut caller.as_context_mut(), id, &slots)?;
            if let (Some(ty), Some(out)) = (result, results.first_mut()) {
                *out = from_slot(ty, value);
            }
            Ok(())
        })
    }

    fn place(&mut self, slot: Slot, closure: Func) -> Result<(), LinkError> {
        slots::set(self, slot, closure)
    }

    fn stack_pointer(&mut self) -> Option<u32> {
        let program = self.libraries().own.program;
        let stack = program.get_global(&mut *self, STACK_POINTER)?;
        stack.get(&mut *self).i32().map(i32::cast_unsigned)
    }

    fn set_stack_pointer(&mut self, to: u32) -> Result<(), LinkError> {
        let program = self.libraries().own.program;
        let stack = program.get_global(&mut *self, STACK_POINTER);
        let set = stack.map(|stack| stack.set(&mut *self, Val::I32(to.cast_signed())));
        if matches!(set, Some(Ok(()))) { Ok(()) } else { Err(slots::lacking(STACK_POINTER)) }
    }

    fn end(&mut self, why: String) -> wasmtime::Error {
        wasmtime::Error::msg(why)
    }
}

const STACK_POINTER: &str = "__stack_pointer";

fn function_type(store: &Context<'_>, signature: &Signature) -> FuncType {
    let parameters = signature.parameters.iter().map(|&ty| val_type(ty));
    FuncType::new(store.engine(), parameters, signature.result.map(val_type))
}

/// Letters for a type, as far as it has any.
fn describe(ty: &FuncType) -> String {
    let letter = |ty: ValType| match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'l',
        ValType::F32 => 'f',
        ValType::F64 => 'd',
        _ => '?',
    };
    let (parameters, results) = (ty.params().map(letter), ty.results().map(letter));
    format!("{}>{}", parameters.collect::<String>(), results.collect::<String>())
}

/// Answers a call of the guest; gives WASI's errno.
///
/// # Errors
///
/// What ended the guest.
pub(super) fn answer(store: &mut Context<'_>, which: LinkerFunction, raw: &[u32]) -> wasmtime::Result<u32> {
    if store.data().libraries.is_none() {
        return Ok(types::errno(Errno::NOSYS));
    }
    linker::answer(store, which, raw).map_err(|error| {
        // Exceptions pass through functions that are called here, but not through a load: what is
        // half done of it stays so, as it may when the guest ends.
        if which == LinkerFunction::Open && error.is::<ThrownException>() {
            store.take_pending_exception();
            return wasmtime::Error::msg(THREW_IN_LOAD);
        }
        error
    })
}

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
    let mut instances = vec![libraries.own.program];
    instances.extend(libraries.instances().map(|library| library.instance));
    for instance in instances {
        if let Ok(function) = instance.get_typed_func::<i32, ()>(&mut *store, UNCAUGHT) {
            return function.call(&mut *store, address).err().unwrap_or(error);
        }
    }
    error
}
