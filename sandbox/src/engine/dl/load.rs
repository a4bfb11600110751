//! Loading one module with all that it needs.
//!
//! First a [`Plan`] is made: files read, code compiled, every symbol found, every type compared. It changes nothing that the guest sees. Then memory and table
//! entries are taken, instances made and cells filled; if that fails, everything is given back. Then the modules' own code runs.

use std::io::Read;
use std::os::fd::OwnedFd;

use wasmtime::{
    Caller, Extern, ExternType, Func, FuncType, Global, GlobalType, Instance, Memory, Mutability, Table, Val, ValType,
};

use super::scope::{breadth_first, is_reserved, symbol_of};
use super::slots::lacking;
use super::{Context, Dl, Failure, LOADS_MAX, Loaded, PROGRAM, Stop, Symbol, dl, slots, words};
use crate::engine::Library;
use crate::engine::wasmtime::{Guest, host_function};
use crate::linking::{Import, SideModule, candidates};
use crate::vfs::{Errno, FileStat};

/// Bytes of one module's file, and of all together: their code stays in the host's memory.
const FILE_MAX: u64 = 64 << 20;
const FILES_MAX: u64 = 256 << 20;
/// Functions, globals, exports and imports of all modules together, weighed by what they cost the host.
const WEIGHT_MAX: u64 = 8_000_000;

/// A module that is about to be loaded.
struct Pending {
    name: String,
    path: Vec<u8>,
    file: OwnedFd,
    device: u64,
    inode: u64,
    side: SideModule,
    code: wasmtime::Module,
    needed: Vec<u32>,
    targets: Vec<Target>,
}

/// What an import will be given.
enum Target {
    Memory,
    Table,
    StackPointer,
    MemoryBase,
    TableBase,
    /// A cell for an address; the symbol is looked for again when it exists.
    Got(String, Wanted),
    /// There already.
    Function(Func),
    /// Of a module of this plan.
    Later(u32, String),
    /// Weak, and nowhere.
    Missing(String),
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

/// Loads the module at `path`, unless it is there already, and gives its handle, which is then open once more.
pub(super) fn load(store: &mut Context<'_>, path: &[u8], global: bool, no_load: bool) -> Result<u32, Stop> {
    let first = u32::try_from(dl(store).modules.len()).map_err(|_| Errno::NOMEM)? + 2;
    let mut plan = Plan { pending: Vec::new(), first, root: 0, global };
    let name = String::from_utf8_lossy(path).into_owned();
    plan.root = plan.add(store, path, no_load)?.ok_or_else(|| no_such_file(&name))?;
    if plan.root >= first {
        plan.add_needed(store)?;
        for index in 0..plan.pending.len() {
            plan.resolve(store, index)?;
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

/// Gets what is in a file, within the limits of a guest: known from before, or read, and compiled if need be.
fn get(dl: &mut Dl, file: &OwnedFd, stat: &FileStat) -> Result<Library, (Errno, String)> {
    if dl.loads >= LOADS_MAX {
        return Err((Errno::NOMEM, format!("more than {LOADS_MAX} libraries were loaded")));
    }
    if stat.size > FILE_MAX || dl.bytes + stat.size > FILES_MAX {
        let limits = (FILE_MAX >> 20, FILES_MAX >> 20);
        return Err((Errno::FBIG, format!("libraries may have {} MiB, and {} MiB together", limits.0, limits.1)));
    }
    dl.loads += 1;
    let source = dl.source.as_mut().ok_or_else(|| (Errno::NOSYS, "nothing is loaded here".to_owned()))?;
    if let Some(library) = source.known(stat) {
        dl.weigh(&library.side)?;
        dl.bytes += stat.size;
        return Ok(library);
    }
    let failed = |error: &std::io::Error| {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        (errno, words(errno))
    };
    let mut bytes = Vec::with_capacity(usize::try_from(stat.size).unwrap_or(0) + 1);
    let mut reader = std::fs::File::from(file.try_clone().map_err(|e| failed(&e))?).take(FILE_MAX + 1);
    reader.read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    // What was read counts, should the file have grown meanwhile.
    if bytes.len() as u64 > FILE_MAX {
        return Err((Errno::FBIG, "it is too large".to_owned()));
    }
    let side = SideModule::parse(&bytes).map_err(|e| (Errno::NOEXEC, e.to_string()))?;
    dl.weigh(&side)?;
    dl.bytes += bytes.len() as u64;
    let source = dl.source.as_mut().ok_or_else(|| (Errno::NOSYS, "nothing is loaded here".to_owned()))?;
    let module = source.module(bytes).map_err(|why| (Errno::NOEXEC, why))?;
    Ok(Library { side, module })
}

impl Dl {
    /// Adds a module to what all together may weigh.
    fn weigh(&mut self, side: &SideModule) -> Result<(), (Errno, String)> {
        self.weight = self.weight.saturating_add(side.weight());
        if self.weight > WEIGHT_MAX {
            return Err((Errno::NOMEM, "all libraries together have too many functions and symbols".to_owned()));
        }
        Ok(())
    }
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

    /// Adds the module at `path` and gives its handle; `None` if there is no such file. With `known`, only one that is loaded is found.
    fn add(&mut self, store: &mut Context<'_>, path: &[u8], known: bool) -> Result<Option<u32>, Failure> {
        let name = String::from_utf8_lossy(path).into_owned();
        let failed = |errno: Errno| Failure::new(errno, format!("`{name}`: {}", words(errno)));
        let file = match store.data_mut().host.vfs.open_named_file(path) {
            Ok(file) => file,
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
        let Library { side, module } = get(dl, &file, &FileStat::from(stat)).map_err(refused)?;
        let (needed, targets) = (Vec::new(), Vec::new());
        let code = module.module;
        self.pending.push(Pending { name, path: path.to_vec(), file, device, inode, side, code, needed, targets });
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

    /// Finds a symbol of the wanted kind; of one in this plan, the type alone.
    fn find(&self, store: &mut Context<'_>, scope: &[u32], name: &str, wanted: Wanted) -> Option<Found> {
        if is_reserved(name) {
            return None;
        }
        scope.iter().find_map(|&handle| match self.pending(handle) {
            Some(pending) => match (pending.code.get_export(name)?, wanted) {
                (ExternType::Func(ty), Wanted::Function) => Some(Found::Later(handle, ty)),
                (ExternType::Global(ty), Wanted::Data)
                    if ty.mutability() == Mutability::Const && ty.content().is_i32() =>
                {
                    Some(Found::Data)
                }
                _ => None,
            },
            None => match (symbol_of(store, handle, name)?, wanted) {
                (Symbol::Function(function), Wanted::Function) => Some(Found::Function(function)),
                (Symbol::Data(_), Wanted::Data) => Some(Found::Data),
                _ => None,
            },
        })
    }

    /// Decides what each import of a module will be given.
    fn resolve(&mut self, store: &mut Context<'_>, index: usize) -> Result<(), Failure> {
        let scope = self.scope(store, self.handle(index));
        let this = &self.pending[index];
        let types: Vec<ExternType> = this.code.imports().map(|i| i.ty()).collect();
        let refused = |errno, why: String| Failure::new(errno, format!("`{}`: {why}", this.name));
        let undefined = |name: &str| refused(Errno::NOEXEC, format!("undefined symbol `{name}`"));
        let mut targets = Vec::with_capacity(types.len());
        for (import, ty) in this.side.imports.iter().zip(types) {
            targets.push(match import {
                Import::Memory => Target::Memory,
                Import::Table => Target::Table,
                Import::StackPointer => Target::StackPointer,
                Import::MemoryBase => Target::MemoryBase,
                Import::TableBase => Target::TableBase,
                Import::GotMemory(name) | Import::GotFunction(name) => {
                    let function = matches!(import, Import::GotFunction(_));
                    let wanted = if function { Wanted::Function } else { Wanted::Data };
                    if !this.side.is_weak(name) && self.find(store, &scope, name, wanted).is_none() {
                        return Err(undefined(name));
                    }
                    Target::Got(name.clone(), wanted)
                }
                Import::Host(module, name) => {
                    let function = host_function(&mut *store, module, name).ok_or_else(|| {
                        refused(Errno::NOEXEC, format!("it imports `{module}.{name}`, which nothing provides"))
                    })?;
                    check_type(&function.ty(&*store), &ty)
                        .map_err(|why| refused(Errno::NOEXEC, format!("`{name}` {why}")))?;
                    Target::Function(function)
                }
                Import::Function(name) => {
                    let (target, provided) = match self.find(store, &scope, name, Wanted::Function) {
                        Some(Found::Function(function)) => (Target::Function(function), Some(function.ty(&*store))),
                        Some(Found::Later(handle, ty)) => (Target::Later(handle, name.clone()), Some(ty)),
                        _ if this.side.is_weak(name) => (Target::Missing(name.clone()), None),
                        _ => return Err(undefined(name)),
                    };
                    if let Some(provided) = provided {
                        check_type(&provided, &ty)
                            .map_err(|why| refused(Errno::NOEXEC, format!("function `{name}` {why}")))?;
                    }
                    target
                }
            });
        }
        self.pending[index].targets = targets;
        Ok(())
    }

    /// The modules, each after those that it needs as far as circles allow.
    fn order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.pending.len());
        let mut seen = vec![false; self.pending.len()];
        // Pairs of a module and how many of its needs have been looked at: no recursion, because a chain may be long.
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

    /// Makes the instances. Afterwards the modules are registered, but none of their code has run.
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
        let mut instances: Vec<Option<Instance>> = vec![None; self.pending.len()];
        let mut cells = Vec::new();
        let mut late = Vec::new();
        for index in self.order() {
            let pending = &self.pending[index];
            let mut imports = Vec::with_capacity(pending.targets.len());
            for (target, import) in pending.targets.iter().zip(pending.code.imports()) {
                imports.push(match target {
                    Target::Memory => program.memory.into(),
                    Target::Table => program.table.into(),
                    Target::StackPointer => program.stack_pointer.into(),
                    Target::MemoryBase => cell(store, Mutability::Const, rooms[index].memory_base)?.into(),
                    Target::TableBase => cell(store, Mutability::Const, rooms[index].table_base)?.into(),
                    Target::Got(name, wanted) => {
                        let cell = cell(store, Mutability::Var, 0)?;
                        cells.push((self.handle(index), cell, name.clone(), *wanted));
                        cell.into()
                    }
                    Target::Function(function) => Extern::Func(*function),
                    Target::Later(handle, name) => {
                        let instance = instances[(handle - self.first) as usize];
                        match instance.and_then(|i| i.get_func(&mut *store, name)) {
                            Some(function) => function.into(),
                            None => {
                                let number = dl(store).late.len();
                                dl(store).late.push(None);
                                late.push((number, *handle, name.clone()));
                                forward(store, import.ty().unwrap_func().clone(), number).into()
                            }
                        }
                    }
                    Target::Missing(name) => missing(store, import.ty().unwrap_func().clone(), name.clone()).into(),
                });
            }
            let failed =
                |e: wasmtime::Error| Failure::new(Errno::NOEXEC, format!("`{}` can't be linked: {e:#}", pending.name));
            instances[index] = Some(Instance::new(&mut *store, &pending.code, &imports).map_err(failed)?);
            slots::note(store, rooms[index].table_base, pending.side.table.size);
        }
        for (index, (instance, room)) in instances.into_iter().zip(&*rooms).enumerate() {
            let pending = &self.pending[index];
            let loaded = Loaded {
                name: pending.name.clone(),
                instance: instance.ok_or(Errno::IO)?,
                memory_base: room.memory_base,
                needed: pending.needed.clone(),
                opened: 0,
                device: pending.device,
                inode: pending.inode,
                _file: pending.file.try_clone().map_err(|_| Errno::MFILE)?,
            };
            dl(store).modules.push(loaded);
        }
        for (number, handle, name) in late {
            if let Some(Symbol::Function(function)) = symbol_of(store, handle, &name) {
                dl(store).late[number] = Some(function);
            }
        }
        self.fill(store, cells)
    }

    /// Fills the cells with addresses.
    fn fill(&self, store: &mut Context<'_>, cells: Vec<(u32, Global, String, Wanted)>) -> Result<(), Stop> {
        let mut scope = (0, Vec::new());
        for (handle, cell, name, wanted) in cells {
            if scope.0 != handle {
                scope = (handle, self.scope(store, handle));
            }
            let found = scope.1.iter().find_map(|&h| match (symbol_of(store, h, &name)?, wanted) {
                (symbol @ Symbol::Function(_), Wanted::Function) | (symbol @ Symbol::Data(_), Wanted::Data) => {
                    Some(symbol)
                }
                _ => None,
            });
            let address = match found {
                Some(Symbol::Function(function)) => slots::of(store, function)?,
                Some(Symbol::Data(address)) => address,
                None => 0,
            };
            cell.set(&mut *store, Val::I32(address.cast_signed()))?;
        }
        Ok(())
    }

    /// Runs the modules' own code: relocations, then constructors. From here on the guest answers for what happens.
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

enum Found {
    Function(Func),
    Later(u32, FuncType),
    Data,
}

fn check_type(provided: &FuncType, wanted: &ExternType) -> Result<(), String> {
    match wanted {
        ExternType::Func(wanted) if provided.matches(wanted) => Ok(()),
        _ => Err("has another type than the library expects; compile both with the same declarations".to_owned()),
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
