//! Libraries of a guest that is native code: what is shared by all engines needs of them.

use std::ffi::{CStr, c_void};
use std::ptr;

use super::guest::{Guest, Left};
use super::image::LibraryCode;
use super::libraries::{ClosureInstance, Defined, Instance, Libraries, NativeParts};
use super::object::{Entry, Export, ExportKind, ImportKind, Line, Link, Module, room};
use super::types::{digest_of, text_of};
use crate::abi::Memory;
use crate::account::Full;
use crate::engine::Library;
use crate::engine::linker::state::{ClosureId, Handle, LibraryFile, LibraryId, LoadedLibrary, Slot, SlotRange};
use crate::engine::linker::{LinkError, Linker, Room, Stop, Symbol, plan, take_slots};
use crate::linking::Signature;
use crate::vfs::{Errno, FileStat, Vfs};

type LoadPlan = plan::LoadPlan<NativeParts>;
type PendingLibrary = plan::PendingLibrary<NativeParts>;

/// Words before the slots of `struct native_imports`: memory, table, stack pointer, both bases in
/// one, and the instance; words of a slot.
const IMPORTS_HEAD: usize = 5;
const SLOT_WORDS: usize = 2;

impl Linker for Guest<'_> {
    type Parts = NativeParts;
    type End = Left;
    type Callable = Link;

    fn libraries(&mut self) -> &mut Libraries {
        Guest::libraries(self)
    }

    fn vfs(&mut self) -> &mut Vfs {
        Guest::vfs(self)
    }

    fn with_memory<T>(&mut self, work: impl FnOnce(&mut Memory<'_>) -> Result<T, Errno>) -> Result<T, Errno> {
        Guest::with_memory(self, work)
    }

    fn read(&mut self, file: &LibraryFile, stat: &FileStat) -> Result<Library<LibraryCode>, LinkError> {
        let source = self.libraries().own.source.as_mut();
        let source = source.ok_or_else(|| LinkError::new(Errno::NOSYS, "nothing is loaded here"))?;
        source.library(&file.file, stat).map_err(|why| LinkError::of(&why, why.to_string()))
    }

    fn symbol(&mut self, handle: Handle, name: &[u8]) -> Option<Symbol<Defined>> {
        let (instance, base) = match handle {
            // Addresses of the program are no offsets.
            Handle::Program => (self.program(), 0),
            Handle::Library(id) => self.libraries().get(id).map(|library| (library.instance, library.memory_base))?,
        };
        let defined = instance.symbol(name)?;
        match defined.export.kind() {
            ExportKind::Function => Some(Symbol::Function(defined)),
            ExportKind::Datum => Some(Symbol::Data(base.wrapping_add(defined.variable()))),
            ExportKind::Tag => None,
        }
    }

    fn slot_of(&mut self, handle: Handle, _: &[u8], function: Defined) -> Result<Slot, LinkError> {
        let base = match handle {
            Handle::Program => 0,
            Handle::Library(id) => self.libraries().get(id).map_or(0, |library| library.table_base.0),
        };
        // Where the module itself has put it.
        if let Some(entry) = function.export.entry() {
            return Ok(Slot(base.wrapping_add(entry)));
        }
        if let Some(&slot) = self.libraries().slots.known.get(&function.link()) {
            return Ok(slot);
        }
        let slot = take_slots(self, 1, 1)?;
        let entry = Entry::new(self.type_in(function.of.module, function.export.ty()), function.link());
        self.set(slot, entry);
        self.libraries().slots.known.insert(function.link(), slot);
        Ok(slot)
    }

    fn table_size(&mut self) -> Result<u32, LinkError> {
        self.table().map(|table| table.size).ok_or_else(lacking_table)
    }

    fn grow_table(&mut self, by: u32) -> Result<(), Option<Full>> {
        Guest::grow_table(self, by)
    }

    fn clear(&mut self, range: SlotRange) {
        for index in 0..range.length {
            self.set(Slot(range.start.0 + index), Entry::NONE);
        }
    }

    fn ready(&mut self) -> Result<(), LinkError> {
        self.shared().map(|_| ()).ok_or_else(lacking_table)
    }

    fn allocate(&mut self, bytes: u32) -> Result<u32, Stop<Left>> {
        let malloc = heap(self, "malloc", c"i>i")?;
        #[expect(clippy::cast_possible_truncation, reason = "an i32 lies in the low half")]
        self.call_as(malloc, c"i>i", &[bytes.into()]).map(|block| block as u32).map_err(Stop::Ends)
    }

    fn free(&mut self, block: u32) -> Result<(), Stop<Left>> {
        let free = heap(self, "free", c"i>")?;
        self.call_as(free, c"i>", &[block.into()]).map(|_| ()).map_err(Stop::Ends)
    }

    fn prepare(&mut self, _: &mut LoadPlan, _: usize) -> Result<(), LinkError> {
        Ok(())
    }

    fn instantiate(&mut self, plan: &mut LoadPlan, rooms: &[Room]) -> Result<(), Stop<Left>> {
        let shared = self.shared().ok_or_else(lacking_table)?;
        for index in 0..rooms.len() {
            check(self, plan, index)?;
        }
        let prepared = plan.pending.iter_mut().map(Prepared::of).collect::<Result<Vec<_>, _>>()?;
        // From here on code and instances stay, whatever becomes of the load: the table may lead to
        // them.
        let mut given = Vec::with_capacity(rooms.len());
        for ((prepared, pending), &room) in prepared.into_iter().zip(&plan.pending).zip(rooms) {
            given.push(prepared.instantiate(self, pending, room, shared)?);
        }
        for (index, given) in given.into_iter().enumerate() {
            resolve(self, plan, index, given)?;
        }
        Ok(())
    }

    fn call_own(&mut self, id: LibraryId, name: &str) -> Result<(), Stop<Left>> {
        let Instance { module, state } = self.libraries().get(id).map(|library| library.instance).ok_or(Errno::IO)?;
        if let Some(export) = module.find(name.as_bytes()).filter(|export| export.ty() == c">") {
            let function = Link { code: export.code(), instance: state };
            self.call_as(function, c">", &[]).map_err(Stop::Ends)?;
        }
        Ok(())
    }

    fn function(&mut self, slot: Slot, ty: &Signature, what: &str) -> Result<Link, LinkError> {
        let entry = self.table().and_then(|table| table.get(slot.0)).filter(|entry| !entry.code.is_null());
        let none = || LinkError::new(Errno::INVAL, format!("there is no function at {:#x}", slot.0));
        let mistyped = || LinkError::new(Errno::INVAL, format!("the {what} at {:#x} is not `{ty}`", slot.0));
        entry.ok_or_else(none)?.of_type(&digest_of(ty)).ok_or_else(mistyped)
    }

    fn call(&mut self, function: Link, ty: &Signature, arguments: &[u64]) -> Result<u64, Left> {
        self.call_as(function, &text_of(ty), arguments)
    }

    fn closure(&mut self, id: ClosureId, ty: &Signature) -> &'static ClosureInstance {
        ClosureInstance::lasting(text_of(ty), id.number(), digest_of(ty))
    }

    fn place(&mut self, slot: Slot, closure: &'static ClosureInstance) -> Result<(), LinkError> {
        let code = self.runtime().closure;
        self.set(slot, closure.entry(code));
        Ok(())
    }

    fn stack_pointer(&mut self) -> Option<u32> {
        Guest::stack_pointer(self).map(|pointer| *pointer)
    }

    fn set_stack_pointer(&mut self, to: u32) -> Result<(), LinkError> {
        *Guest::stack_pointer(self).ok_or_else(lacking_table)? = to;
        Ok(())
    }

    fn end(&mut self, why: String) -> Left {
        self.traps(why)
    }
}

fn lacking_table() -> LinkError {
    let text = "the program was not linked for run-time loading: it exports no table of functions";
    LinkError::new(Errno::NOSYS, text)
}

/// A function of the program's allocator.
fn heap(guest: &mut Guest<'_>, name: &str, ty: &CStr) -> Result<Link, LinkError> {
    let defined = guest.program().symbol(name.as_bytes()).filter(|defined| defined.export.ty() == ty);
    let lacking = || {
        let text = format!("the program was not linked for run-time loading: it does not export `{name}`");
        LinkError::new(Errno::NOSYS, text)
    };
    Ok(defined.ok_or_else(lacking)?.link())
}

/// Looks whether the code of a pending library can be run here, and whether there is something for
/// each of its imports. All code is there.
fn check(guest: &mut Guest<'_>, plan: &LoadPlan, index: usize) -> Result<(), LinkError> {
    let PendingLibrary { name: library, side, .. } = &plan.pending[index];
    let (program, module) = (guest.program().module, plan.pending[index].code()?.module());
    if (module.version, module.variant) != (program.version, program.variant) || module.start.is_some() {
        let text = format!("`{library}`: its native code is for another runtime; install its package again");
        return Err(LinkError::new(Errno::NOEXEC, text));
    }
    let libraries = guest.libraries();
    let scope = plan.scope(libraries, plan.id(index));
    for import in module.imports() {
        let wanted = match import.kind() {
            ImportKind::Function | ImportKind::Entry => ExportKind::Function,
            ImportKind::Datum => ExportKind::Datum,
            // There is one for each name.
            ImportKind::Tag => continue,
        };
        let name = import.name().to_bytes();
        let symbol = |module: &Module| {
            module.symbol(name).filter(|export| export.kind() == wanted).map(|export| export.ty().to_owned())
        };
        let exported = |&id: &LibraryId| match plan.pending(id) {
            Some(pending) => symbol(pending.code().ok()?.module()),
            None => symbol(libraries.get(id)?.instance.module),
        };
        let found = symbol(program).into_iter().chain(scope.iter().filter_map(exported)).next();
        let text = String::from_utf8_lossy(name);
        let why = match found {
            Some(ty) if import.kind() == ImportKind::Function && *ty != *import.ty() => format!(
                "function `{text}` has another type than the library expects; compile both with the same declarations"
            ),
            None if !side.is_weak(&text) => format!("undefined symbol `{text}`"),
            _ => continue,
        };
        return Err(LinkError::new(Errno::NOEXEC, format!("`{library}`: {why}")));
    }
    Ok(())
}

/// What is taken for a library before any of its code runs. It is given back if that does not come
/// to pass.
struct Prepared {
    code: LibraryCode,
    state: Vec<Line>,
    given: Vec<u64>,
}

impl Prepared {
    fn of(pending: &mut PendingLibrary) -> Result<Self, LinkError> {
        let code = pending.take_code()?;
        let words = IMPORTS_HEAD + SLOT_WORDS * code.module().imports().len();
        let state = room(code.module().size)?;
        Ok(Self { code, state, given: vec![0; words] })
    }

    /// Makes the instance of the library, which fills its places in memory and table, and registers
    /// it. Gives what it is given for its imports, where functions lead nowhere yet.
    fn instantiate(
        self,
        guest: &mut Guest<'_>,
        pending: &PendingLibrary,
        room: Room,
        [memory, table, stack_pointer]: [*mut c_void; 3],
    ) -> Result<*mut u64, Stop<Left>> {
        let Self { code, state, mut given } = self;
        let module = code.keep();
        let bases = u64::from(room.memory_base) | u64::from(room.table.start.0) << 32;
        let state: *mut c_void = state.leak().as_mut_ptr().cast();
        given[..IMPORTS_HEAD].copy_from_slice(&[
            memory as u64,
            table as u64,
            stack_pointer as u64,
            bases,
            state as u64,
        ]);
        let missing = guest.runtime().missing as u64;
        for (slot, import) in given[IMPORTS_HEAD..].as_chunks_mut::<SLOT_WORDS>().0.iter_mut().zip(module.imports()) {
            *slot = match import.kind() {
                ImportKind::Function => [missing, 0],
                ImportKind::Tag => [tag(guest, import.name()) as u64, 0],
                ImportKind::Entry | ImportKind::Datum => [0; SLOT_WORDS],
            };
        }
        let given = given.leak().as_mut_ptr();
        guest.link(module, state, given).map_err(Stop::Ends)?;
        guest.libraries().add(LoadedLibrary::new(pending, room, Instance { module, state }));
        Ok(given)
    }
}

/// The tag of exceptions with this name: the program's, or one that all libraries share.
fn tag(guest: &mut Guest<'_>, name: &CStr) -> *const c_void {
    let program = guest.program().module.symbol(name.to_bytes());
    if let Some(tag) = program.and_then(Export::tag) {
        return tag;
    }
    let tags = &mut guest.libraries().own.tags;
    // A tag is its address.
    let tag: &u8 = tags.entry(name.to_owned()).or_insert_with(|| Box::leak(Box::new(0)));
    ptr::from_ref(tag).cast()
}

/// Gives a library something for each of its imports, which have been [checked](check). A weak
/// function that nobody has stays what ends the guest, as a jump to address zero does.
fn resolve(guest: &mut Guest<'_>, plan: &LoadPlan, index: usize, given: *mut u64) -> Result<(), LinkError> {
    let id = plan.id(index);
    let libraries = guest.libraries();
    let imports = libraries.get(id).map_or(&[][..], |loaded| loaded.instance.module.imports());
    let scope = plan.scope(libraries, id).into_iter().map(Handle::Library);
    let scope: Vec<_> = std::iter::once(Handle::Program).chain(scope).collect();
    for (position, import) in imports.iter().enumerate() {
        let name = import.name().to_bytes();
        let words = scope.iter().find_map(|&handle| match (guest.symbol(handle, name)?, import.kind()) {
            (Symbol::Function(function), ImportKind::Function) => {
                let Link { code, instance } = function.link();
                Some(Ok([code as u64, instance as u64]))
            }
            (Symbol::Function(function), ImportKind::Entry) => {
                Some(guest.slot_of(handle, name, function).map(|slot| [slot.0.into(), 0]))
            }
            (Symbol::Data(address), ImportKind::Datum) => Some(Ok([address.into(), 0])),
            _ => None,
        });
        let Some(words) = words else { continue };
        for (word, value) in words?.into_iter().enumerate() {
            // SAFETY: there are so many slots.
            unsafe { given.add(IMPORTS_HEAD + SLOT_WORDS * position + word).write(value) };
        }
    }
    Ok(())
}
