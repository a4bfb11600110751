//! Loading libraries: what a load takes is planned first, then taken, then the libraries' own code
//! runs. If anything fails before that, all is given back but instances and the code that fills them.

use std::ffi::c_void;
use std::sync::Arc;

use super::guest::Guest;
use super::image::LibraryCode;
use super::libraries::{Defined, Libraries, LoadedLibrary};
use super::object::{Entry, ImportKind, Line, Link, Module, room};
use super::open::{Result, Stop};
use crate::engine::dl::scope::{breadth_first, needed_first};
use crate::engine::dl::state::{Handle, LibraryFile, LibraryId, Slot, SlotRange};
use crate::engine::dl::{LOADS_MAX, LinkError, words};
use crate::engine::{NativeLibrary, NoCode};
use crate::linking::{Area, SideModule, candidates};
use crate::vfs::{Errno, FileStat};

/// Words before the slots of `struct native_imports`: memory, table, stack pointer, and both bases
/// in one; words of a slot.
const IMPORTS_HEAD: usize = 4;
const SLOT_WORDS: usize = 2;

/// A library that is about to be loaded.
struct Pending {
    name: String,
    path: Vec<u8>,
    file: LibraryFile,
    side: SideModule,
    code: Code,
    needed: Vec<LibraryId>,
}

enum Code {
    /// It is on its way.
    Pending(Box<dyn FnOnce() -> std::result::Result<LibraryCode, NoCode>>),
    Here(LibraryCode),
    /// It did not come.
    Lost,
}

/// The libraries that one call of `dl_open` loads.
struct Plan {
    pending: Vec<Pending>,
    first: LibraryId,
    /// The one that was asked for, which may be loaded already.
    root: LibraryId,
    global: bool,
}

/// What was taken for a library.
#[derive(Clone, Copy)]
struct Room {
    /// What `malloc` gave, for `free`.
    block: u32,
    memory_base: u32,
    table: SlotRange,
}

impl Room {
    const NONE: Self = Self { block: 0, memory_base: 0, table: SlotRange { start: Slot(0), length: 0 } };
}

/// Loads the library at `path`, unless it is there already, and gives its handle, which is then
/// open once more.
pub(super) fn load(guest: &mut Guest<'_>, path: &[u8], global: bool, loaded_only: bool) -> Result<Handle> {
    let mut plan = Plan::new(guest, path, global, loaded_only)?;
    if !plan.pending.is_empty() {
        link(guest, &mut plan)?;
    }
    let libraries = guest.libraries();
    if let Some(library) = libraries.get_mut(plan.root) {
        library.opened = library.opened.saturating_add(1);
    }
    if global {
        for id in libraries.with_needed(plan.root) {
            if !libraries.globals.contains(&id) {
                libraries.globals.push(id);
            }
        }
    }
    initialise(guest, &plan)?;
    Ok(Handle::Library(plan.root))
}

impl Plan {
    fn new(
        guest: &mut Guest<'_>,
        path: &[u8],
        global: bool,
        loaded_only: bool,
    ) -> std::result::Result<Self, LinkError> {
        let first = guest.libraries().next();
        let mut plan = Self { pending: Vec::new(), first, root: first, global };
        let missing = || LinkError::new(Errno::NOENT, format!("`{}`: there is no such file", shown(path)));
        plan.root = plan.add(guest, path, loaded_only)?.ok_or_else(missing)?;
        let mut index = 0;
        while index < plan.pending.len() {
            plan.add_needed(guest, index)?;
            index += 1;
        }
        Ok(plan)
    }

    fn id(&self, index: usize) -> LibraryId {
        self.first.after(index)
    }

    /// Adds the library at `path`, unless it is there; `None` if there is no such file.
    fn add(
        &mut self,
        guest: &mut Guest<'_>,
        path: &[u8],
        loaded_only: bool,
    ) -> std::result::Result<Option<LibraryId>, LinkError> {
        let name = shown(path);
        let failed = |errno: Errno| LinkError::new(errno, format!("`{name}`: {}", words(errno)));
        let file = match guest.with_host(|host, _| host.vfs.open_named_file(path)) {
            Ok(file) => Arc::new(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let file = LibraryFile { device: stat.st_dev, inode: stat.st_ino, file };
        let libraries = guest.libraries();
        if let Some(id) = libraries.of_file(&file) {
            return Ok(Some(id));
        }
        if let Some(index) = self.pending.iter().position(|pending| pending.file.is(&file)) {
            return Ok(Some(self.id(index)));
        }
        if loaded_only {
            return Ok(None);
        }
        let refused = |errno, why: &dyn ToString| LinkError::new(errno, format!("`{name}`: {}", why.to_string()));
        if libraries.loads >= LOADS_MAX {
            return Err(refused(Errno::NOMEM, &format!("more than {LOADS_MAX} libraries were loaded")));
        }
        libraries.loads += 1;
        let source = libraries.source.as_mut().ok_or_else(|| refused(Errno::NOSYS, &"nothing is loaded here"))?;
        let NativeLibrary { side, code } =
            source.library(&file.file, &FileStat::from(stat)).map_err(|why| refused(errno_of(&why), &why))?;
        let (path, needed, code) = (path.to_vec(), Vec::new(), Code::Pending(code));
        self.pending.push(Pending { name, path, file, side, code, needed });
        Ok(Some(self.id(self.pending.len() - 1)))
    }

    /// Adds what the pending library at this index needs.
    fn add_needed(&mut self, guest: &mut Guest<'_>, index: usize) -> std::result::Result<(), LinkError> {
        for name in self.pending[index].side.needed.clone() {
            let this = &self.pending[index];
            let mut found = None;
            for path in candidates(name.as_bytes(), &this.path, &this.side.runtime_paths) {
                found = self.add(guest, &path, false)?;
                if found.is_some() {
                    break;
                }
            }
            let this = &mut self.pending[index];
            let missing =
                || LinkError::new(Errno::NOENT, format!("`{}` needs `{name}`, which is not there", this.name));
            this.needed.push(found.ok_or_else(missing)?);
        }
        Ok(())
    }

    /// Waits for the code of all pending libraries, and looks whether it is that of what was read.
    fn receive(&mut self) -> std::result::Result<(), LinkError> {
        for pending in &mut self.pending {
            if let Code::Pending(code) = std::mem::replace(&mut pending.code, Code::Lost) {
                let code =
                    code().map_err(|why| LinkError::new(errno_of(&why), format!("`{}`: {why}", pending.name)))?;
                pending.code = Code::Here(code);
            }
        }
        Ok(())
    }

    /// The pending libraries, each after those that it needs as far as circles allow.
    fn order(&self) -> Vec<usize> {
        needed_first(self.pending.len(), |index| &self.pending[index].needed, |id| id.places_after(self.first))
    }

    /// The pending library of this number, whose code is there.
    fn pending(&self, id: LibraryId) -> Option<(&Pending, &LibraryCode)> {
        let pending = self.pending.get(id.places_after(self.first)?)?;
        match &pending.code {
            Code::Here(code) => Some((pending, code)),
            Code::Pending(_) | Code::Lost => None,
        }
    }

    /// Where the symbols of a library are looked for, after the program.
    fn scope(&self, libraries: &Libraries, id: LibraryId) -> Vec<LibraryId> {
        let needed = |id: LibraryId| match id.places_after(self.first).and_then(|index| self.pending.get(index)) {
            Some(pending) => pending.needed.as_slice(),
            None => libraries.get(id).map_or(&[][..], |library| &library.needed),
        };
        let mut all = libraries.globals.clone();
        if self.global {
            all.extend(breadth_first(self.root, needed));
        }
        all.extend(breadth_first(id, needed));
        all
    }

    /// Looks whether the code of a pending library can be run here, and whether there is something for
    /// each of its imports. All code is there.
    fn check(&self, guest: &mut Guest<'_>, index: usize) -> std::result::Result<(), LinkError> {
        let id = self.id(index);
        let lost = || LinkError::new(Errno::IO, format!("`{}`: its code is not there", self.pending[index].name));
        let (Pending { name: library, side, .. }, code) = self.pending(id).ok_or_else(lost)?;
        let ((program, _), module) = (guest.program(), code.module());
        if (module.version, module.variant) != (program.version, program.variant) || module.start.is_some() {
            let text = format!("`{library}`: its native code is for another runtime; install its package again");
            return Err(LinkError::new(Errno::NOEXEC, text));
        }
        let libraries = guest.libraries();
        let scope = self.scope(libraries, id);
        for import in module.imports() {
            let (name, is_datum) = (import.name().to_bytes(), import.kind() == ImportKind::Datum);
            let symbol = |module: &Module| module.symbol(name).map(|export| export.ty().to_owned());
            let exported = |&id: &LibraryId| match self.pending(id) {
                Some((_, code)) => symbol(code.module()),
                None => symbol(libraries.get(id)?.module),
            };
            let all = symbol(program).into_iter().chain(scope.iter().filter_map(exported));
            let found = all.into_iter().find(|ty| ty.is_empty() == is_datum);
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
}

/// What is taken for a library before any of its code runs. It is given back if that does not come
/// to pass.
struct Prepared {
    code: LibraryCode,
    instance: Vec<Line>,
    given: Vec<u64>,
}

impl Pending {
    fn prepare(&mut self) -> std::result::Result<Prepared, LinkError> {
        let Code::Here(code) = std::mem::replace(&mut self.code, Code::Lost) else {
            return Err(LinkError::new(Errno::IO, format!("`{}`: its code is not there", self.name)));
        };
        let words = IMPORTS_HEAD + SLOT_WORDS * code.module().imports().len();
        let instance = room(code.module().size)?;
        Ok(Prepared { code, instance, given: vec![0; words] })
    }
}

fn errno_of(why: &NoCode) -> Errno {
    if matches!(why, NoCode::Memory(_)) { Errno::NOMEM } else { Errno::NOEXEC }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// What a library that is loaded defines under this name.
pub(super) fn defined_by(libraries: &Libraries, id: LibraryId, name: &[u8]) -> Option<Defined> {
    let library = libraries.get(id)?;
    library.module.symbol(name).map(|export| Defined::of(library, export))
}

/// The address of a symbol: a datum's, or a function's entry in the table: the one that it has, or
/// a new one.
pub(super) fn address(guest: &mut Guest<'_>, defined: &Defined) -> std::result::Result<u32, LinkError> {
    if !defined.is_function() {
        return Ok(defined.address());
    }
    if let Some(slot) = defined.own_entry() {
        return Ok(slot.0);
    }
    // A function of one instance.
    let key = defined.export.code() as usize ^ (defined.instance as usize).rotate_left(32);
    if let Some(&slot) = guest.libraries().slots.known.get(&key) {
        return Ok(slot.0);
    }
    let slot = allocate(guest, 1, 1)?;
    let entry = Entry::new(guest.type_in(defined.module, defined.export.ty()), defined.link());
    set(guest, slot, entry);
    guest.libraries().slots.known.insert(key, slot);
    Ok(slot.0)
}

/// Takes `length` entries, aligned; they are empty.
pub(super) fn allocate(guest: &mut Guest<'_>, length: u32, alignment: u32) -> std::result::Result<Slot, LinkError> {
    if length == 0 {
        return Ok(Slot(0));
    }
    if let Some(base) = guest.libraries().slots.take(length, alignment) {
        return Ok(base);
    }
    let full = || {
        LinkError::new(Errno::NOMEM, format!("there is no room for {length} more entries in the table of functions"))
    };
    let old = guest.table().ok_or_else(full)?.size;
    let base = old.checked_next_multiple_of(alignment).ok_or_else(full)?;
    let added = (base - old).checked_add(length).ok_or_else(full)?;
    guest.grow_table(added).ok_or_else(full)?;
    if base > old {
        guest.libraries().slots.free(SlotRange { start: Slot(old), length: base - old });
    }
    Ok(Slot(base))
}

/// Gives entries back and empties them.
pub(super) fn give_back(guest: &mut Guest<'_>, range: SlotRange) {
    for index in 0..range.length {
        set(guest, Slot(range.start.0 + index), Entry::NONE);
    }
    if range.length > 0 {
        guest.libraries().slots.free(range);
    }
}

/// Fills an entry that was allocated.
pub(super) fn set(guest: &mut Guest<'_>, slot: Slot, entry: Entry) {
    let set = guest.table().is_some_and(|table| table.set(slot.0, entry));
    debug_assert!(set);
}

/// Takes room and makes the instances. Afterwards the libraries are registered, but none of their
/// code has run.
fn link(guest: &mut Guest<'_>, plan: &mut Plan) -> Result {
    let mut rooms = vec![Room::NONE; plan.pending.len()];
    guest.libraries().busy = true;
    let result = try_link(guest, plan, &mut rooms);
    guest.libraries().busy = false;
    let Err(Stop::Failed(_)) = result else { return result };
    guest.libraries().truncate(plan.first);
    guest.libraries().busy = true;
    for room in rooms {
        give_back(guest, room.table);
        if room.block != 0
            && let Ok(free) = heap(guest, "free", c"i>")
        {
            guest.call(free, c"i>", &[room.block.into()])?;
        }
    }
    guest.libraries().busy = false;
    result
}

fn try_link(guest: &mut Guest<'_>, plan: &mut Plan, rooms: &mut [Room]) -> Result {
    let lacking = || {
        LinkError::new(
            Errno::NOSYS,
            "the program was not linked for run-time loading: it exports no table of functions",
        )
    };
    let shared = guest.shared().ok_or_else(lacking)?;
    for (room, pending) in rooms.iter_mut().zip(&plan.pending) {
        take_memory(guest, pending, room)?;
        let Area { size, alignment } = pending.side.table;
        room.table = SlotRange { start: allocate(guest, size, alignment)?, length: size };
    }
    // As late as can be.
    plan.receive()?;
    for index in 0..rooms.len() {
        plan.check(guest, index)?;
    }
    let prepared = plan.pending.iter_mut().map(Pending::prepare).collect::<std::result::Result<Vec<_>, _>>()?;
    // From here on code and instances stay, whatever becomes of the load: the table may lead to them.
    let mut given = Vec::with_capacity(rooms.len());
    for ((prepared, pending), room) in prepared.into_iter().zip(&plan.pending).zip(rooms) {
        given.push(instantiate(guest, pending, prepared, room, shared)?);
    }
    for (index, given) in given.into_iter().enumerate() {
        resolve(guest, plan, index, given)?;
    }
    Ok(())
}

/// A function of the program's allocator.
fn heap(guest: &mut Guest<'_>, name: &str, ty: &std::ffi::CStr) -> std::result::Result<Link, LinkError> {
    let defined = Defined::of_program(guest.program(), name.as_bytes()).filter(|defined| defined.export.ty() == ty);
    let lacking = || {
        let text = format!("the program was not linked for run-time loading: it does not export `{name}`");
        LinkError::new(Errno::NOSYS, text)
    };
    Ok(defined.ok_or_else(lacking)?.link())
}

/// Takes memory for a library from the program's `malloc`, and clears it.
fn take_memory(guest: &mut Guest<'_>, pending: &Pending, room: &mut Room) -> Result {
    let area = pending.side.memory;
    if area.size == 0 {
        return Ok(());
    }
    let failed =
        || LinkError::new(Errno::NOMEM, format!("`{}`: no memory for {} bytes of data", pending.name, area.size));
    let wanted = area.size.checked_add(area.alignment - 1).ok_or_else(failed)?;
    let malloc = heap(guest, "malloc", c"i>i")?;
    #[expect(clippy::cast_possible_truncation, reason = "an i32 lies in the low half")]
    let block = guest.call(malloc, c"i>i", &[wanted.into()])? as u32;
    // Zero is malloc's failure; the rest is for one that lies.
    let base = block.checked_next_multiple_of(area.alignment).filter(|_| block != 0).ok_or_else(failed)?;
    room.block = block;
    room.memory_base = base;
    guest.with_memory(|m| m.slice_mut(base, area.size).map(|bytes| bytes.fill(0))).map_err(|_| failed())?;
    Ok(())
}

/// Makes the instance of a library, which fills its places in memory and table, and registers it.
/// Gives what it is given for its imports, where functions lead nowhere yet.
fn instantiate(
    guest: &mut Guest<'_>,
    pending: &Pending,
    Prepared { code, instance, mut given }: Prepared,
    room: &Room,
    [memory, table, stack_pointer]: [*mut c_void; 3],
) -> Result<*mut u64> {
    let module = code.keep();
    let bases = u64::from(room.memory_base) | u64::from(room.table.start.0) << 32;
    given[..IMPORTS_HEAD].copy_from_slice(&[memory as u64, table as u64, stack_pointer as u64, bases]);
    let missing = guest.runtime().missing as u64;
    for (slot, import) in given[IMPORTS_HEAD..].as_chunks_mut::<SLOT_WORDS>().0.iter_mut().zip(module.imports()) {
        *slot = if import.kind() == ImportKind::Function { [missing, 0] } else { [0; SLOT_WORDS] };
    }
    let (instance, given) = (instance.leak().as_mut_ptr().cast(), given.leak().as_mut_ptr());
    guest.link(module, instance, given)?;
    guest.libraries().add(LoadedLibrary {
        name: pending.name.clone(),
        module,
        instance,
        memory_base: room.memory_base,
        table_base: room.table.start,
        needed: pending.needed.clone(),
        opened: 0,
        file: pending.file.clone(),
    });
    Ok(given)
}

/// Gives a library something for each of its imports, which have been [checked](Plan::check). A weak
/// function that nobody has stays what ends the guest, as a jump to address zero does.
fn resolve(guest: &mut Guest<'_>, plan: &Plan, index: usize, given: *mut u64) -> std::result::Result<(), LinkError> {
    let id = plan.id(index);
    let program = guest.program();
    let libraries = guest.libraries();
    let scope = plan.scope(libraries, id);
    let imports = libraries.get(id).map_or(&[][..], |loaded| loaded.module.imports());
    for (position, import) in imports.iter().enumerate() {
        let (name, is_datum) = (import.name().to_bytes(), import.kind() == ImportKind::Datum);
        let libraries = guest.libraries();
        let defined = Defined::of_program(program, name)
            .into_iter()
            .chain(scope.iter().filter_map(|&id| defined_by(libraries, id, name)))
            .find(|defined| defined.is_function() != is_datum);
        let Some(defined) = defined else { continue };
        let words = match import.kind() {
            ImportKind::Function => [defined.link().code as u64, defined.link().instance as u64],
            ImportKind::Entry | ImportKind::Datum => [address(guest, &defined)?.into(), 0],
        };
        for (word, value) in words.into_iter().enumerate() {
            // SAFETY: there are so many slots.
            unsafe { given.add(IMPORTS_HEAD + SLOT_WORDS * position + word).write(value) };
        }
    }
    Ok(())
}

/// Runs the libraries' own code: relocations, then constructors. From here on the guest answers
/// for what happens.
fn initialise(guest: &mut Guest<'_>, plan: &Plan) -> Result {
    guest.libraries().nesting += 1;
    let order = plan.order();
    for name in [&b"__wasm_apply_data_relocs"[..], b"__wasm_call_ctors"] {
        for &index in &order {
            let library = guest.libraries().get(plan.id(index));
            let function = library.and_then(|library| own_function(library.module, library.instance, name));
            if let Some(function) = function {
                guest.call(function, c">", &[])?;
            }
        }
    }
    guest.libraries().nesting -= 1;
    Ok(())
}

/// A function without parameters of the convention between modules and loader.
fn own_function(module: &'static Module, instance: *mut c_void, name: &[u8]) -> Option<Link> {
    let export = module.find(name).filter(|export| export.ty() == c">")?;
    Some(Link { code: export.code(), instance })
}
