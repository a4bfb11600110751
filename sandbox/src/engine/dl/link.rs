//! Making the instances of libraries.

use wasmtime::{
    Caller, Extern, ExternType, Func, FuncType, Global, GlobalType, ImportType, Instance, Memory, Mutability, Table,
    Tag, Val, ValType,
};

use super::imports::{self, Definition, ImportSource};
use super::slots::{self, lacking};
use super::{Heap, LibraryInstance, STACK_POINTER, WasmtimeParts};
use crate::engine::guest::{Context, Guest};
use crate::engine::linker::state::{Handle, LibraryId, LoadedLibrary};
use crate::engine::linker::{LinkError, Linker as _, Room, Stop, Symbol, plan};
use crate::linking::Import;
use crate::vfs::Errno;

type LoadPlan = plan::LoadPlan<WasmtimeParts>;
type PendingLibrary = plan::PendingLibrary<WasmtimeParts>;
type LinkStop = Stop<wasmtime::Error>;

/// Makes the instances of a plan's libraries, and registers them.
pub(super) fn instantiate(store: &mut Context<'_>, plan: &mut LoadPlan, rooms: &[Room]) -> Result<(), LinkStop> {
    let program = SharedExports::of(store)?;
    for index in 0..plan.pending.len() {
        imports::resolve(plan, store, index)?;
    }
    let mut instances = Instances { all: vec![None; plan.pending.len()], cells: Vec::new(), forwards: Vec::new() };
    for index in plan.order() {
        instances.make(plan, store, &program, rooms[index], index)?;
    }
    let Instances { all, cells, forwards } = instances;
    for ((pending, instance), &room) in plan.pending.iter().zip(all).zip(rooms) {
        let instance = LibraryInstance { instance: instance.ok_or(Errno::IO)?, entries: pending.side.entries.clone() };
        store.libraries().add(LoadedLibrary::new(pending, room, instance));
    }
    for forward in forwards {
        forward.fill(plan, store)?;
    }
    for cell in cells {
        cell.fill(store)?;
    }
    Ok(())
}

/// The instances of a plan's libraries, and what is to be filled once all are there.
struct Instances<'a> {
    all: Vec<Option<Instance>>,
    cells: Vec<AddressCell<'a>>,
    forwards: Vec<Forward<'a>>,
}

impl<'a> Instances<'a> {
    /// Makes the instance of one library.
    fn make(
        &mut self,
        plan: &'a LoadPlan,
        store: &mut Context<'_>,
        program: &SharedExports,
        room: Room,
        index: usize,
    ) -> Result<(), LinkStop> {
        let pending = &plan.pending[index];
        let code = pending.code()?;
        let mut imports = Vec::with_capacity(pending.sources.len());
        // Few are asked for, each after the one before.
        let mut types = code.module.imports().enumerate();
        for (position, (source, import)) in pending.sources.iter().zip(&pending.side.imports).enumerate() {
            imports.push(match source {
                Some(ImportSource::Memory) => program.memory.into(),
                Some(ImportSource::Table) => program.table.into(),
                Some(ImportSource::StackPointer) => program.stack_pointer.into(),
                Some(ImportSource::MemoryBase) => new_cell(store, Mutability::Const, room.memory_base)?.into(),
                Some(ImportSource::TableBase) => new_cell(store, Mutability::Const, room.table.start.0)?.into(),
                Some(ImportSource::Cell(definition)) => {
                    let cell = new_cell(store, Mutability::Var, 0)?;
                    self.cells.push(AddressCell { cell, import, definition: *definition });
                    cell.into()
                }
                Some(ImportSource::Function(function)) => Extern::Func(*function),
                Some(ImportSource::Tag(tag)) => Extern::Tag(*tag),
                Some(ImportSource::Planned(of)) => {
                    let instance = of.places_after(plan.first).and_then(|index| self.all[index]);
                    match instance.and_then(|instance| instance.get_func(&mut *store, import.name())) {
                        Some(function) => function.into(),
                        None => {
                            let ty = function_type(pending, &mut types, position)?;
                            let forward = Forward::new(store, ty, index, import, *of);
                            let function = forward.function(store);
                            self.forwards.push(forward);
                            function.into()
                        }
                    }
                }
                None if let Import::Tag(name) = import => {
                    shared_tag(store, pending, name, import_type(&mut types, position))?.into()
                }
                None if matches!(import, Import::Function(_)) => {
                    missing(store, function_type(pending, &mut types, position)?, import.name().to_owned()).into()
                }
                // A cell for the address of a symbol that is missing.
                None => new_cell(store, Mutability::Var, 0)?.into(),
            });
        }
        // Once an instance has been begun, the engine keeps the code to its end.
        store.libraries().own.code.push(code.code.clone());
        let instance = Instance::new(&mut *store, &code.module, &imports);
        self.all[index] = Some(instance.map_err(|error| refused(pending, store, &imports, &error))?);
        Ok(())
    }
}

/// A cell that is to hold the address of a symbol.
struct AddressCell<'a> {
    cell: Global,
    import: &'a Import,
    definition: Definition,
}

impl AddressCell<'_> {
    fn fill(self, store: &mut Context<'_>) -> Result<(), LinkStop> {
        let name = self.import.name();
        let (module, symbol) = match self.definition {
            Definition::Planned(id) => (Handle::Library(id), store.symbol(Handle::Library(id), name.as_bytes())),
            Definition::Function(module, function) => (module, Some(Symbol::Function(function))),
            Definition::Data(address) => (Handle::Program, Some(Symbol::Data(address))),
        };
        let address = match symbol {
            Some(Symbol::Function(function)) => slots::of(store, module, name, function)?.0,
            Some(Symbol::Data(address)) => address,
            None => 0,
        };
        self.cell.set(&mut *store, Val::I32(address.cast_signed())).map_err(Stop::Ends)
    }
}

/// A function that a library of a circle gets before it exists.
struct Forward<'a> {
    /// Which of [`WasmtimeParts::forwards`].
    number: usize,
    /// Which pending library gets it, and as what.
    index: usize,
    import: &'a Import,
    ty: FuncType,
    /// Whose it is.
    of: LibraryId,
}

impl<'a> Forward<'a> {
    fn new(store: &mut Context<'_>, ty: FuncType, index: usize, import: &'a Import, of: LibraryId) -> Self {
        let all = &mut store.libraries().own.forwards;
        all.push(None);
        Self { number: all.len() - 1, index, import, ty, of }
    }

    /// A function that calls the one that it stands for.
    fn function(&self, store: &mut Context<'_>) -> Func {
        let number = self.number;
        Func::new(&mut *store, self.ty.clone(), move |mut caller: Caller<'_, Guest>, params, results| {
            caller.data().stack.check()?;
            let function = caller.data_mut().libraries().own.forwards.get(number).copied().flatten();
            let function = function.ok_or_else(|| wasmtime::Error::msg("a library was called before it was there"))?;
            function.call(&mut caller, params, results)
        })
    }

    /// Finds the function that it stands for.
    fn fill(self, plan: &LoadPlan, store: &mut Context<'_>) -> Result<(), LinkError> {
        let name = self.import.name();
        if let Some(Symbol::Function(function)) = store.symbol(Handle::Library(self.of), name.as_bytes()) {
            if !function.ty(&*store).matches(&self.ty) {
                return Err(mistyped(&plan.pending[self.index], name));
            }
            store.libraries().own.forwards[self.number] = Some(function);
        }
        Ok(())
    }
}

/// The type of the import at this position, which is a function, of those that are left.
fn function_type<'m>(
    pending: &PendingLibrary,
    left: &mut impl Iterator<Item = (usize, ImportType<'m>)>,
    position: usize,
) -> Result<FuncType, LinkError> {
    match import_type(left, position) {
        Some(ExternType::Func(ty)) => Ok(ty),
        _ => Err(misread(pending)),
    }
}

/// The type of the import at this position, of those that are left.
fn import_type<'m>(left: &mut impl Iterator<Item = (usize, ImportType<'m>)>, position: usize) -> Option<ExternType> {
    left.find(|(at, _)| *at == position).map(|(_, import)| import.ty())
}

fn misread(pending: &PendingLibrary) -> LinkError {
    LinkError::new(Errno::NOEXEC, format!("`{}` is not what it was read as", pending.name))
}

/// The tag that all libraries share under this name, made for the first of them: what one throws,
/// another one catches.
fn shared_tag(
    store: &mut Context<'_>,
    pending: &PendingLibrary,
    name: &str,
    ty: Option<ExternType>,
) -> Result<Tag, LinkStop> {
    if let Some(&tag) = store.libraries().own.tags.get(name) {
        return Ok(tag);
    }
    let Some(ExternType::Tag(ty)) = ty else { return Err(misread(pending).into()) };
    let tag = Tag::new(&mut *store, &ty).map_err(Stop::Ends)?;
    store.libraries().own.tags.insert(name.to_owned(), tag);
    Ok(tag)
}

/// Why the engine does not take what a library is given: most often a function has another type
/// than the library declares.
fn refused(pending: &PendingLibrary, store: &mut Context<'_>, given: &[Extern], error: &wasmtime::Error) -> LinkError {
    let types = pending.code().into_iter().flat_map(|code| code.module.imports());
    for (import, (wanted, given)) in pending.side.imports.iter().zip(types.zip(given)) {
        if let (ExternType::Func(wanted), Extern::Func(given)) = (wanted.ty(), given)
            && !given.ty(&*store).matches(&wanted)
        {
            return mistyped(pending, import.name());
        }
    }
    LinkError::new(Errno::NOEXEC, format!("`{}` can't be linked: {error:#}", pending.name))
}

fn mistyped(pending: &PendingLibrary, function: &str) -> LinkError {
    let why = "has another type than the library expects; compile both with the same declarations";
    LinkError::new(Errno::NOEXEC, format!("`{}`: function `{function}` {why}", pending.name))
}

/// What every library shares with the program.
pub(super) struct SharedExports {
    memory: Memory,
    table: Table,
    stack_pointer: Global,
}

impl SharedExports {
    pub(super) fn of(store: &mut Context<'_>) -> Result<Self, LinkError> {
        let program = store.libraries().own.program;
        let memory = store.data().memory.ok_or_else(|| lacking("memory"))?;
        let table = slots::table(store)?;
        let name = STACK_POINTER;
        let stack_pointer = program.get_global(&mut *store, name).ok_or_else(|| lacking(name))?;
        if store.libraries().own.heap.is_none() {
            let malloc = program.get_typed_func(&mut *store, "malloc").map_err(|_| lacking("malloc"))?;
            let free = program.get_typed_func(&mut *store, "free").map_err(|_| lacking("free"))?;
            store.libraries().own.heap = Some(Heap { malloc, free });
        }
        Ok(Self { memory, table, stack_pointer })
    }
}

fn new_cell(store: &mut Context<'_>, mutability: Mutability, value: u32) -> Result<Global, LinkStop> {
    let ty = GlobalType::new(ValType::I32, mutability);
    Global::new(&mut *store, ty, Val::I32(value.cast_signed())).map_err(Stop::Ends)
}

/// A weak function that nobody provides: calling it ends the guest, as a jump to address zero does.
fn missing(store: &mut Context<'_>, ty: FuncType, name: String) -> Func {
    Func::new(&mut *store, ty, move |_: Caller<'_, Guest>, _, _| {
        Err(wasmtime::Error::msg(format!("it called `{name}`, a weak symbol that no library has")))
    })
}
