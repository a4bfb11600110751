//! Loading one module with all that it needs.
//!
//! First a [`Plan`] is made: files read, and the program's symbols found. It changes nothing that
//! the guest sees. Then memory and table entries are taken; until here, another thread brings the
//! code. All other symbols are found, instances made, which compares all types, and cells filled;
//! if anything of this fails, everything is given back but the instances, which the engine keeps to
//! its end. Then the modules' own code runs.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use wasmtime::{
    Caller, Extern, ExternType, Func, FuncType, Global, GlobalType, ImportType, Instance, Memory, Mutability, Table,
    Val, ValType,
};

use super::scope::{breadth_first, is_reserved, symbol_of};
use super::slots::lacking;
use super::{Context, Dl, Failure, LOADS_MAX, Loaded, PROGRAM, Stop, Symbol, dl, slots, words};
use crate::account::{ACCOUNT, Full};
use crate::engine::wasmtime::{Guest, host_function};
use crate::engine::{Coming, Library, Module, NoCode};
use crate::linking::{Import, SideError, SideModule, candidates};
use crate::vfs::{Errno, FileStat};

/// Bytes of one module's file.
const FILE_MAX: u64 = 64 << 20;
/// Bytes of heap that the engine and the loader take for a unit of [`SideModule::weight`].
const UNIT: usize = 128;

/// A module that is about to be loaded.
struct Pending {
    name: String,
    path: Vec<u8>,
    file: Arc<OwnedFd>,
    device: u64,
    inode: u64,
    side: SideModule,
    /// Its code, on its way; then there.
    coming: Option<Coming>,
    code: Option<Module>,
    needed: Vec<u32>,
    targets: Vec<Option<Target>>,
}

/// What an import will be given; nothing if it is weak, and nowhere.
enum Target {
    Memory,
    Table,
    StackPointer,
    MemoryBase,
    TableBase,
    /// A cell for the address of what was found.
    Cell(Found),
    /// A function that is there.
    Function(Func),
    /// One of a module of this plan: its handle.
    Later(u32),
}

/// Where a symbol was found.
#[derive(Clone, Copy)]
enum Found {
    /// A function of a module that is there.
    Function(u32, Func),
    /// A datum of one that is there.
    Data(u32),
    /// Of a module of this plan: its handle.
    Later(u32),
}

impl Found {
    /// What an imported function is given.
    fn function(self) -> Option<Target> {
        match self {
            Self::Function(_, function) => Some(Target::Function(function)),
            Self::Later(handle) => Some(Target::Later(handle)),
            Self::Data(_) => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Function,
    Data,
}

struct Plan {
    pending: Vec<Pending>,
    /// Handle of the first of them.
    first: u32,
    root: u32,
    global: bool,
}

/// What was taken for a module.
#[derive(Clone, Copy, Default)]
struct Room {
    /// What `malloc` gave, for `free`.
    block: u32,
    memory_base: u32,
    table_base: u32,
}

/// Loads the module at `path`, unless it is there already, and gives its handle, which is then open
/// once more.
pub(super) fn load(store: &mut Context<'_>, path: &[u8], global: bool, no_load: bool) -> Result<u32, Stop> {
    let first = u32::try_from(dl(store).modules.len()).map_err(|_| Errno::NOMEM)? + 2;
    let mut plan = Plan { pending: Vec::new(), first, root: 0, global };
    let name = String::from_utf8_lossy(path).into_owned();
    plan.root = plan.add(store, path, no_load)?.ok_or_else(|| no_such_file(&name))?;
    if plan.root >= first {
        plan.add_needed(store)?;
        for index in 0..plan.pending.len() {
            plan.resolve_in_program(store, index)?;
        }
        plan.link(store)?;
    }
    let root = plan.root;
    if let Some(module) = dl(store).module_mut(root) {
        module.opened = module.opened.saturating_add(1);
    }
    if global {
        for handle in dl(store).closure(root) {
            let globals = &mut dl(store).globals;
            if !globals.contains(&handle) {
                globals.push(handle);
            }
        }
    }
    plan.initialise(store)?;
    Ok(root)
}

/// Gets what is in a file: known from before, or read.
fn get(dl: &mut Dl, file: &Arc<OwnedFd>, stat: &FileStat) -> Result<Library, (Errno, String)> {
    if dl.loads >= LOADS_MAX {
        return Err((Errno::NOMEM, format!("more than {LOADS_MAX} libraries were loaded")));
    }
    if stat.size > FILE_MAX {
        return Err((Errno::FBIG, format!("libraries may have {} MiB", FILE_MAX >> 20)));
    }
    dl.loads += 1;
    let source = dl.source.as_mut().ok_or_else(|| (Errno::NOSYS, "nothing is loaded here".to_owned()))?;
    if let Some(library) = source.known(file, stat) {
        ACCOUNT.room_for(library.side.weight() * UNIT).map_err(no_memory)?;
        return Ok(library);
    }
    let failed = |error: &std::io::Error| {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        (errno, words(errno))
    };
    let size = usize::try_from(stat.size).unwrap_or(usize::MAX);
    ACCOUNT.room_for(size).map_err(no_memory)?;
    let mut bytes = Vec::with_capacity(size);
    // No more than that, should the file have grown meanwhile.
    let reader = std::fs::File::from(file.try_clone().map_err(|e| failed(&e))?);
    reader.take(stat.size).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    let side = SideModule::parse(&bytes).map_err(|e| match e {
        SideError::Full(full) => no_memory(full),
        e => (Errno::NOEXEC, e.to_string()),
    })?;
    ACCOUNT.room_for(side.weight() * UNIT).map_err(no_memory)?;
    Ok(Library { side, code: source.code(bytes) })
}

fn no_memory(full: Full) -> (Errno, String) {
    (Errno::NOMEM, full.to_string())
}

fn no_such_file(name: &str) -> Failure {
    Failure::new(Errno::NOENT, format!("`{name}`: there is no such file"))
}

impl Plan {
    fn pending(&self, handle: u32) -> Option<&Pending> {
        self.pending.get((handle as usize).checked_sub(self.first as usize)?)
    }

    fn handle(&self, index: usize) -> u32 {
        self.first + u32::try_from(index).unwrap_or(u32::MAX - self.first)
    }

    /// Adds the module at `path` and gives its handle; `None` if there is no such file. With
    /// `known`, only one that is loaded is found.
    fn add(&mut self, store: &mut Context<'_>, path: &[u8], known: bool) -> Result<Option<u32>, Failure> {
        let name = String::from_utf8_lossy(path).into_owned();
        let failed = |errno: Errno| Failure::new(errno, format!("`{name}`: {}", words(errno)));
        let file = match store.data_mut().host.vfs.open_named_file(path) {
            Ok(file) => Arc::new(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let (device, inode) = (stat.st_dev, stat.st_ino);
        let dl = dl(store);
        if let Some(index) = dl.modules.iter().position(|m| (m.device, m.inode) == (device, inode)) {
            return Ok(Some(u32::try_from(index).unwrap_or(u32::MAX - 2) + 2));
        }
        if let Some(index) = self.pending.iter().position(|m| (m.device, m.inode) == (device, inode)) {
            return Ok(Some(self.handle(index)));
        }
        if known {
            return Ok(None);
        }
        let refused = |(errno, why): (Errno, String)| Failure::new(errno, format!("`{name}`: {why}"));
        let Library { side, code } = get(dl, &file, &FileStat::from(stat)).map_err(refused)?;
        self.pending.push(Pending {
            name,
            path: path.to_vec(),
            file,
            device,
            inode,
            side,
            coming: Some(code),
            code: None,
            needed: Vec::new(),
            targets: Vec::new(),
        });
        Ok(Some(self.handle(self.pending.len() - 1)))
    }

    /// Adds what is needed, and what that needs.
    fn add_needed(&mut self, store: &mut Context<'_>) -> Result<(), Failure> {
        let mut index = 0;
        while index < self.pending.len() {
            for name in self.pending[index].side.needed.clone() {
                let this = &self.pending[index];
                let mut found = None;
                for path in candidates(name.as_bytes(), &this.path, &this.side.runtime_paths) {
                    found = self.add(store, &path, false)?;
                    if found.is_some() {
                        break;
                    }
                }
                let this = &mut self.pending[index];
                let missing =
                    || Failure::new(Errno::NOENT, format!("`{}` needs `{name}`, which is not there", this.name));
                let handle = found.ok_or_else(missing)?;
                this.needed.push(handle);
            }
            index += 1;
        }
        Ok(())
    }

    /// Where the symbols of a module are looked for.
    fn scope(&self, store: &mut Context<'_>, handle: u32) -> Vec<u32> {
        let dl = dl(store);
        let needed = |h: u32| match self.pending(h) {
            Some(pending) => pending.needed.as_slice(),
            None => dl.module(h).map_or(&[][..], |m| &m.needed),
        };
        let mut all = vec![PROGRAM];
        all.extend(&dl.globals);
        if self.global {
            all.extend(breadth_first(self.root, needed));
        }
        all.extend(breadth_first(handle, needed));
        all
    }

    /// Finds a symbol of the wanted kind.
    fn find(&self, store: &mut Context<'_>, scope: &[u32], name: &str, wanted: Wanted) -> Option<Found> {
        if is_reserved(name) {
            return None;
        }
        scope.iter().find_map(|&handle| match self.pending(handle) {
            Some(pending) => match (pending.code.as_ref()?.module.get_export(name)?, wanted) {
                (ExternType::Func(_), Wanted::Function) => Some(Found::Later(handle)),
                (ExternType::Global(ty), Wanted::Data)
                    if ty.mutability() == Mutability::Const && ty.content().is_i32() =>
                {
                    Some(Found::Later(handle))
                }
                _ => None,
            },
            None => match (symbol_of(store, handle, name)?, wanted) {
                (Symbol::Function(function), Wanted::Function) => Some(Found::Function(handle, function)),
                (Symbol::Data(address), Wanted::Data) => Some(Found::Data(address)),
                _ => None,
            },
        })
    }

    /// Decides what the imports of a module will be given that are the loader's or the program's,
    /// which is most of them: its code need not be there for that.
    fn resolve_in_program(&mut self, store: &mut Context<'_>, index: usize) -> Result<(), Failure> {
        let this = &self.pending[index];
        let mut targets = Vec::with_capacity(this.side.imports.len());
        for import in &this.side.imports {
            targets.push(match import {
                Import::Memory => Some(Target::Memory),
                Import::Table => Some(Target::Table),
                Import::StackPointer => Some(Target::StackPointer),
                Import::MemoryBase => Some(Target::MemoryBase),
                Import::TableBase => Some(Target::TableBase),
                Import::GotMemory(name) => self.find(store, &[PROGRAM], name, Wanted::Data).map(Target::Cell),
                Import::GotFunction(name) => self.find(store, &[PROGRAM], name, Wanted::Function).map(Target::Cell),
                Import::Function(name) => {
                    self.find(store, &[PROGRAM], name, Wanted::Function).and_then(Found::function)
                }
                Import::Host(module, name) => {
                    let function = host_function(&mut *store, module, name);
                    let why = || format!("`{}`: it imports `{module}.{name}`, which nothing provides", this.name);
                    let function = function.ok_or_else(|| Failure::new(Errno::NOEXEC, why()))?;
                    Some(Target::Function(function))
                }
            });
        }
        self.pending[index].targets = targets;
        Ok(())
    }

    /// Waits for the code of all modules.
    fn receive(&mut self) -> Result<(), Failure> {
        for pending in &mut self.pending {
            if let Some(coming) = pending.coming.take() {
                pending.code = Some(coming().map_err(|why| {
                    let errno = if matches!(why, NoCode::Memory(_)) { Errno::NOMEM } else { Errno::NOEXEC };
                    Failure::new(errno, format!("`{}`: {why}", pending.name))
                })?);
            }
        }
        Ok(())
    }

    /// Decides what the other imports of a module will be given.
    fn resolve(&mut self, store: &mut Context<'_>, index: usize) -> Result<(), Failure> {
        let scope = self.scope(store, self.handle(index));
        let mut targets = std::mem::take(&mut self.pending[index].targets);
        let this = &self.pending[index];
        for (target, import) in targets.iter_mut().zip(&this.side.imports).filter(|(target, _)| target.is_none()) {
            let wanted = if matches!(import, Import::GotMemory(_)) { Wanted::Data } else { Wanted::Function };
            // The program has been asked.
            let found = self.find(store, &scope[1..], import.name(), wanted);
            *target = match (import, found) {
                (Import::Function(_), Some(found)) => found.function(),
                (_, Some(found)) => Some(Target::Cell(found)),
                (_, None) if this.side.is_weak(import.name()) => None,
                (_, None) => {
                    let why = format!("`{}`: undefined symbol `{}`", this.name, import.name());
                    return Err(Failure::new(Errno::NOEXEC, why));
                }
            };
        }
        self.pending[index].targets = targets;
        Ok(())
    }

    /// The modules, each after those that it needs as far as circles allow.
    fn order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.pending.len());
        let mut seen = vec![false; self.pending.len()];
        // Pairs of a module and how many of its needs have been looked at: no recursion, because a
        // chain may be long.
        let mut stack = Vec::new();
        for start in 0..self.pending.len() {
            if !std::mem::replace(&mut seen[start], true) {
                stack.push((start, 0));
            }
            while let Some((index, next)) = stack.pop() {
                let Some(&handle) = self.pending[index].needed.get(next) else {
                    order.push(index);
                    continue;
                };
                stack.push((index, next + 1));
                if let Some(other) = (handle as usize).checked_sub(self.first as usize)
                    && !std::mem::replace(&mut seen[other], true)
                {
                    stack.push((other, 0));
                }
            }
        }
        order
    }

    /// Takes room and makes the instances. Afterwards the modules are registered, but none of their
    /// code has run.
    fn link(&mut self, store: &mut Context<'_>) -> Result<(), Stop> {
        let program = Program::of(store)?;
        let mut rooms = vec![Room::default(); self.pending.len()];
        let result = self.try_link(store, &program, &mut rooms);
        dl(store).busy = false;
        let Err(stop) = result else { return Ok(()) };
        if let Stop::Failed(_) = stop {
            let first = self.first as usize - 2;
            dl(store).modules.truncate(first);
            dl(store).busy = true;
            for (room, pending) in rooms.iter().zip(&self.pending) {
                slots::give_back(store, room.table_base, pending.side.table.size * u32::from(room.table_base != 0));
                if room.block != 0
                    && let Some((_, free)) = dl(store).heap.clone()
                {
                    free.call(&mut *store, room.block)?;
                }
            }
            dl(store).busy = false;
        }
        Err(stop)
    }

    fn try_link(&mut self, store: &mut Context<'_>, program: &Program, rooms: &mut [Room]) -> Result<(), Stop> {
        dl(store).busy = true;
        for (room, pending) in rooms.iter_mut().zip(&self.pending) {
            take_memory(store, program.memory, pending, room)?;
            let table = pending.side.table;
            room.table_base = slots::allocate(store, table.size, table.alignment)?;
        }
        // As late as can be.
        self.receive()?;
        for index in 0..self.pending.len() {
            self.resolve(store, index)?;
        }
        let mut instances: Vec<Option<Instance>> = vec![None; self.pending.len()];
        let mut cells = Vec::new();
        let mut late = Vec::new();
        for index in self.order() {
            let pending = &self.pending[index];
            let room = rooms[index];
            let mut imports = Vec::with_capacity(pending.targets.len());
            // Few are asked for, each after the one before.
            let mut types = pending.code()?.module.imports().enumerate();
            for (position, (target, import)) in pending.targets.iter().zip(&pending.side.imports).enumerate() {
                imports.push(match target {
                    Some(Target::Memory) => program.memory.into(),
                    Some(Target::Table) => program.table.into(),
                    Some(Target::StackPointer) => program.stack_pointer.into(),
                    Some(Target::MemoryBase) => cell(store, Mutability::Const, room.memory_base)?.into(),
                    Some(Target::TableBase) => cell(store, Mutability::Const, room.table_base)?.into(),
                    Some(Target::Cell(found)) => {
                        let cell = cell(store, Mutability::Var, 0)?;
                        cells.push((cell, import, *found));
                        cell.into()
                    }
                    Some(Target::Function(function)) => Extern::Func(*function),
                    Some(Target::Later(handle)) => {
                        let instance = instances[(handle - self.first) as usize];
                        match instance.and_then(|i| i.get_func(&mut *store, import.name())) {
                            Some(function) => function.into(),
                            None => {
                                let number = dl(store).late.len();
                                dl(store).late.push(None);
                                let ty = pending.function_type(&mut types, position)?;
                                late.push(Late { number, index, import, handle: *handle, ty: ty.clone() });
                                forward(store, ty, number).into()
                            }
                        }
                    }
                    None if matches!(import, Import::Function(_)) => {
                        missing(store, pending.function_type(&mut types, position)?, import.name().to_owned()).into()
                    }
                    // A cell for the address of a symbol that is missing.
                    None => cell(store, Mutability::Var, 0)?.into(),
                });
            }
            let code = pending.code()?;
            // Once an instance has been begun, the engine keeps the code to its end.
            dl(store).code.push(code.code.clone());
            let instance = Instance::new(&mut *store, &code.module, &imports);
            instances[index] = Some(instance.map_err(|e| pending.refused(store, &imports, &e))?);
        }
        for (index, (instance, room)) in instances.into_iter().zip(&*rooms).enumerate() {
            let pending = &self.pending[index];
            let loaded = Loaded {
                name: pending.name.clone(),
                instance: instance.ok_or(Errno::IO)?,
                memory_base: room.memory_base,
                table_base: room.table_base,
                entries: pending.side.entries.clone(),
                needed: pending.needed.clone(),
                opened: 0,
                device: pending.device,
                inode: pending.inode,
                _file: pending.file.clone(),
            };
            dl(store).modules.push(loaded);
        }
        for Late { number, index, import, handle, ty } in late {
            if let Some(Symbol::Function(function)) = symbol_of(store, handle, import.name()) {
                if !function.ty(&*store).matches(&ty) {
                    return Err(self.pending[index].mistyped(import.name()).into());
                }
                dl(store).late[number] = Some(function);
            }
        }
        for (cell, import, found) in cells {
            let found = match found {
                Found::Later(handle) => (handle, symbol_of(store, handle, import.name())),
                Found::Function(handle, function) => (handle, Some(Symbol::Function(function))),
                Found::Data(address) => (PROGRAM, Some(Symbol::Data(address))),
            };
            let address = match found {
                (handle, Some(Symbol::Function(function))) => slots::of(store, handle, import.name(), function)?,
                (_, Some(Symbol::Data(address))) => address,
                (_, None) => 0,
            };
            cell.set(&mut *store, Val::I32(address.cast_signed()))?;
        }
        Ok(())
    }

    /// Runs the modules' own code: relocations, then constructors. From here on the guest answers
    /// for what happens.
    fn initialise(&self, store: &mut Context<'_>) -> Result<(), Stop> {
        dl(store).nesting += 1;
        let order = self.order();
        for name in ["__wasm_apply_data_relocs", "__wasm_call_ctors"] {
            for &index in &order {
                let side = &self.pending[index].side;
                if !(if name == "__wasm_call_ctors" { side.constructs } else { side.relocates }) {
                    continue;
                }
                let handle = self.handle(index);
                let instance = dl(store).module(handle).map(|m| m.instance).ok_or(Errno::IO)?;
                if let Ok(function) = instance.get_typed_func::<(), ()>(&mut *store, name) {
                    function.call(&mut *store, ())?;
                }
            }
        }
        dl(store).nesting -= 1;
        Ok(())
    }
}

/// A function that a module of a circle gets before it exists.
struct Late<'a> {
    /// Which of [`Dl::late`].
    number: usize,
    /// Who gets it, and as what.
    index: usize,
    import: &'a Import,
    ty: FuncType,
    /// Whose it is.
    handle: u32,
}

impl Pending {
    /// Its code, which [`Plan::receive`] has waited for.
    fn code(&self) -> Result<&Module, Failure> {
        self.code.as_ref().ok_or_else(|| Failure::new(Errno::IO, format!("`{}`: its code is not there", self.name)))
    }

    /// The type of the import at this position, which is a function, of those that are left.
    fn function_type<'m>(
        &self,
        left: &mut impl Iterator<Item = (usize, ImportType<'m>)>,
        position: usize,
    ) -> Result<FuncType, Failure> {
        let import = left.find(|(at, _)| *at == position);
        let ty = import.and_then(|(_, import)| import.ty().func().cloned());
        ty.ok_or_else(|| Failure::new(Errno::NOEXEC, format!("`{}` is not what it was read as", self.name)))
    }

    /// Why the engine does not take what a module is given: most often a function has another type
    /// than the module declares.
    fn refused(&self, store: &mut Context<'_>, given: &[Extern], error: &wasmtime::Error) -> Failure {
        let types = self.code.iter().flat_map(|code| code.module.imports());
        for (import, (wanted, given)) in self.side.imports.iter().zip(types.zip(given)) {
            if let (ExternType::Func(wanted), Extern::Func(given)) = (wanted.ty(), given)
                && !given.ty(&*store).matches(&wanted)
            {
                return self.mistyped(import.name());
            }
        }
        Failure::new(Errno::NOEXEC, format!("`{}` can't be linked: {error:#}", self.name))
    }

    fn mistyped(&self, function: &str) -> Failure {
        let why = "has another type than the library expects; compile both with the same declarations";
        Failure::new(Errno::NOEXEC, format!("`{}`: function `{function}` {why}", self.name))
    }
}

/// What every side module shares with the program.
struct Program {
    memory: Memory,
    table: Table,
    stack_pointer: Global,
}

impl Program {
    fn of(store: &mut Context<'_>) -> Result<Self, Failure> {
        let program = dl(store).program;
        let memory = store.data().memory.ok_or_else(|| lacking("memory"))?;
        let table = slots::table(store)?;
        let name = "__stack_pointer";
        let stack_pointer = program.get_global(&mut *store, name).ok_or_else(|| lacking(name))?;
        if dl(store).heap.is_none() {
            let malloc = program.get_typed_func(&mut *store, "malloc").map_err(|_| lacking("malloc"))?;
            let free = program.get_typed_func(&mut *store, "free").map_err(|_| lacking("free"))?;
            dl(store).heap = Some((malloc, free));
        }
        Ok(Self { memory, table, stack_pointer })
    }
}

/// Takes memory for a module from the program's `malloc`, and clears it.
fn take_memory(store: &mut Context<'_>, memory: Memory, pending: &Pending, room: &mut Room) -> Result<(), Stop> {
    let area = pending.side.memory;
    if area.size == 0 {
        return Ok(());
    }
    let failed =
        || Failure::new(Errno::NOMEM, format!("`{}`: no memory for {} bytes of data", pending.name, area.size));
    let wanted = area.size.checked_add(area.alignment - 1).ok_or_else(failed)?;
    let (malloc, _) = dl(store).heap.clone().ok_or_else(failed)?;
    let block = malloc.call(&mut *store, wanted)?;
    // Zero is malloc's failure; the rest is for one that lies.
    let base = block.checked_next_multiple_of(area.alignment).filter(|_| block != 0).ok_or_else(failed)?;
    room.block = block;
    room.memory_base = base;
    let start = base as usize;
    let bytes = memory.data_mut(&mut *store).get_mut(start..start + area.size as usize);
    bytes.ok_or_else(failed)?.fill(0);
    Ok(())
}

fn cell(store: &mut Context<'_>, mutability: Mutability, value: u32) -> Result<Global, Stop> {
    let ty = GlobalType::new(ValType::I32, mutability);
    Ok(Global::new(&mut *store, ty, Val::I32(value.cast_signed()))?)
}

/// A function that stands for one of a module that does not exist yet.
fn forward(store: &mut Context<'_>, ty: FuncType, number: usize) -> Func {
    Func::new(&mut *store, ty, move |mut caller: Caller<'_, Guest>, params, results| {
        caller.data().stack.check()?;
        let function = caller.data().dl.as_ref().and_then(|dl| dl.late.get(number).copied().flatten());
        function.ok_or_else(|| wasmtime::Error::msg("a library was called before it was there"))?.call(
            &mut caller,
            params,
            results,
        )
    })
}

/// A weak function that nobody provides: calling it ends the guest, as a jump to address zero does.
fn missing(store: &mut Context<'_>, ty: FuncType, name: String) -> Func {
    Func::new(&mut *store, ty, move |_: Caller<'_, Guest>, _, _| {
        Err(wasmtime::Error::msg(format!("it called `{name}`, a weak symbol that no library has")))
    })
}
