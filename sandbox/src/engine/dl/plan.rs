//! What loading a library takes: the files of all that it needs, read, and where its imports will
//! come from. A [`LoadPlan`] changes nothing that the guest sees.

use std::io::Read;
use std::sync::Arc;

use wasmtime::{ExternType, Func, Mutability, Tag};

use super::scope::{breadth_first, is_reserved, needed_first, symbol_of};
use super::state::{Handle, Libraries, LibraryFile, LibraryId};
use super::{LOADS_MAX, LinkError, Symbol, words};
use crate::abi;
use crate::account::{ACCOUNT, Full};
use crate::engine::guest::Context;
use crate::engine::{Library, Module, NoCode, PendingCode};
use crate::linking::{Import, SideError, SideModule, candidates};
use crate::vfs::{Errno, FileStat};

/// Bytes of one library's file.
const FILE_MAX: u64 = 64 << 20;
/// Bytes of heap that the engine and the loader take for a unit of [`SideModule::weight`].
const UNIT: usize = 128;

/// The libraries that one call of `dl_open` loads.
pub(super) struct LoadPlan {
    pub(super) pending: Vec<PendingLibrary>,
    /// What the first of them will be.
    pub(super) first: LibraryId,
    /// The one that was asked for, which may be loaded already.
    pub(super) root: LibraryId,
    global: bool,
}

/// A library that is about to be loaded.
pub(super) struct PendingLibrary {
    pub(super) name: String,
    path: Vec<u8>,
    pub(super) file: LibraryFile,
    pub(super) side: SideModule,
    pub(super) code: Code,
    pub(super) needed: Vec<LibraryId>,
    /// What each import will be given; nothing if it is weak, and nowhere.
    pub(super) sources: Vec<Option<ImportSource>>,
}

/// The code of a library.
pub(super) enum Code {
    /// It is on its way.
    Pending(PendingCode),
    Here(Module),
    /// It did not come.
    Lost,
}

/// What an import will be given.
pub(super) enum ImportSource {
    Memory,
    Table,
    StackPointer,
    MemoryBase,
    TableBase,
    /// A cell for the address of what was found.
    Cell(Definition),
    /// A function that is there.
    Function(Func),
    /// One of a library of this plan.
    Planned(LibraryId),
    /// The program's tag. All libraries share those that it does not have.
    Tag(Tag),
}

/// Where a symbol is defined.
#[derive(Clone, Copy)]
pub(super) enum Definition {
    /// A function of a module that is there.
    Function(Handle, Func),
    /// A datum of one that is there.
    Data(u32),
    /// Either, of a library of this plan.
    Planned(LibraryId),
}

impl Definition {
    /// What an imported function is given.
    fn function(self) -> Option<ImportSource> {
        match self {
            Self::Function(_, function) => Some(ImportSource::Function(function)),
            Self::Planned(id) => Some(ImportSource::Planned(id)),
            Self::Data(_) => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SymbolKind {
    Function,
    Data,
}

impl LoadPlan {
    /// Plans to load the library at `path`: nothing is pending if it is loaded already. With
    /// `loaded_only`, no other is found.
    ///
    /// # Errors
    ///
    /// [`LinkError`], of this library or of one that it needs.
    pub(super) fn new(
        store: &mut Context<'_>,
        path: &[u8],
        global: bool,
        loaded_only: bool,
    ) -> Result<Self, LinkError> {
        let first = store.data_mut().libraries().next();
        let mut plan = Self { pending: Vec::new(), first, root: first, global };
        let missing = || LinkError::new(Errno::NOENT, format!("`{}`: there is no such file", shown(path)));
        plan.root = plan.add(store, path, loaded_only)?.ok_or_else(missing)?;
        if !plan.pending.is_empty() {
            plan.add_needed(store)?;
            for index in 0..plan.pending.len() {
                plan.resolve_in_program(store, index)?;
            }
        }
        Ok(plan)
    }

    fn pending(&self, id: LibraryId) -> Option<&PendingLibrary> {
        self.pending.get(id.places_after(self.first)?)
    }

    /// What the pending library at this index will be.
    pub(super) fn id(&self, index: usize) -> LibraryId {
        self.first.after(index)
    }

    /// Adds the library at `path`, unless it is there; `None` if there is no such file.
    fn add(&mut self, store: &mut Context<'_>, path: &[u8], loaded_only: bool) -> Result<Option<LibraryId>, LinkError> {
        let name = shown(path);
        let failed = |errno: Errno| LinkError::new(errno, format!("`{name}`: {}", words(errno)));
        let file = match store.data_mut().host.vfs.open_named_file(path) {
            Ok(file) => Arc::new(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let file = LibraryFile { device: stat.st_dev, inode: stat.st_ino, file };
        let libraries = store.data_mut().libraries();
        if let Some(id) = libraries.of_file(&file) {
            return Ok(Some(id));
        }
        if let Some(index) = self.pending.iter().position(|pending| pending.file.is(&file)) {
            return Ok(Some(self.id(index)));
        }
        if loaded_only {
            return Ok(None);
        }
        let refused = |(errno, why): (Errno, String)| LinkError::new(errno, format!("`{name}`: {why}"));
        let Library { side, code } = read(libraries, &file, &FileStat::from(stat)).map_err(refused)?;
        self.pending.push(PendingLibrary {
            name,
            path: path.to_vec(),
            file,
            side,
            code: Code::Pending(code),
            needed: Vec::new(),
            sources: Vec::new(),
        });
        Ok(Some(self.id(self.pending.len() - 1)))
    }

    /// Adds what is needed, and what that needs.
    fn add_needed(&mut self, store: &mut Context<'_>) -> Result<(), LinkError> {
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
                    || LinkError::new(Errno::NOENT, format!("`{}` needs `{name}`, which is not there", this.name));
                this.needed.push(found.ok_or_else(missing)?);
            }
            index += 1;
        }
        Ok(())
    }

    /// Where the symbols of a pending library are looked for, after the program.
    fn scope(&self, store: &mut Context<'_>, id: LibraryId) -> Vec<Handle> {
        let libraries = store.data_mut().libraries();
        let needed = |id: LibraryId| match self.pending(id) {
            Some(pending) => pending.needed.as_slice(),
            None => libraries.get(id).map_or(&[][..], |library| &library.needed),
        };
        let mut all = libraries.globals.clone();
        if self.global {
            all.extend(breadth_first(self.root, needed));
        }
        all.extend(breadth_first(id, needed));
        all.into_iter().map(Handle::Library).collect()
    }

    /// Finds a symbol of the wanted kind.
    fn find(&self, store: &mut Context<'_>, scope: &[Handle], name: &str, wanted: SymbolKind) -> Option<Definition> {
        if is_reserved(name) {
            return None;
        }
        scope.iter().find_map(|&handle| {
            if let Handle::Library(id) = handle
                && let Some(pending) = self.pending(id)
            {
                return pending.exports(name, wanted).then_some(Definition::Planned(id));
            }
            match (symbol_of(store, handle, name)?, wanted) {
                (Symbol::Function(function), SymbolKind::Function) => Some(Definition::Function(handle, function)),
                (Symbol::Data(address), SymbolKind::Data) => Some(Definition::Data(address)),
                _ => None,
            }
        })
    }

    /// Decides what those imports of a library will be given that are the loader's or the
    /// program's, which is most of them: its code need not be there for that.
    fn resolve_in_program(&mut self, store: &mut Context<'_>, index: usize) -> Result<(), LinkError> {
        let this = &self.pending[index];
        let mut sources = Vec::with_capacity(this.side.imports.len());
        for import in &this.side.imports {
            sources.push(match import {
                Import::Memory => Some(ImportSource::Memory),
                Import::Table => Some(ImportSource::Table),
                Import::StackPointer => Some(ImportSource::StackPointer),
                Import::MemoryBase => Some(ImportSource::MemoryBase),
                Import::TableBase => Some(ImportSource::TableBase),
                Import::GotMemory(name) => {
                    self.find(store, &[Handle::Program], name, SymbolKind::Data).map(ImportSource::Cell)
                }
                Import::GotFunction(name) => {
                    self.find(store, &[Handle::Program], name, SymbolKind::Function).map(ImportSource::Cell)
                }
                Import::Function(name) => {
                    self.find(store, &[Handle::Program], name, SymbolKind::Function).and_then(Definition::function)
                }
                Import::Tag(name) => {
                    let program = store.data_mut().libraries().program;
                    program.get_tag(&mut *store, name).map(ImportSource::Tag)
                }
                Import::Host(module, name) => {
                    let function = abi::find(module, name).map(|function| (store.data().link)(store, function));
                    let why = || format!("`{}`: it imports `{module}.{name}`, which nothing provides", this.name);
                    let function = function.ok_or_else(|| LinkError::new(Errno::NOEXEC, why()))?;
                    Some(ImportSource::Function(function))
                }
            });
        }
        self.pending[index].sources = sources;
        Ok(())
    }

    /// Waits for the code of all pending libraries.
    pub(super) fn receive(&mut self) -> Result<(), LinkError> {
        for pending in &mut self.pending {
            pending.code = match std::mem::replace(&mut pending.code, Code::Lost) {
                Code::Pending(code) => Code::Here(code().map_err(|why| {
                    let errno = if matches!(why, NoCode::Memory(_)) { Errno::NOMEM } else { Errno::NOEXEC };
                    LinkError::new(errno, format!("`{}`: {why}", pending.name))
                })?),
                code => code,
            };
        }
        Ok(())
    }

    /// Decides what the other imports of a library will be given, whose code has been received.
    pub(super) fn resolve(&mut self, store: &mut Context<'_>, index: usize) -> Result<(), LinkError> {
        let scope = self.scope(store, self.id(index));
        let mut sources = std::mem::take(&mut self.pending[index].sources);
        let this = &self.pending[index];
        for (source, import) in sources.iter_mut().zip(&this.side.imports).filter(|(source, _)| source.is_none()) {
            if let Import::Tag(_) = import {
                continue;
            }
            let wanted = if matches!(import, Import::GotMemory(_)) { SymbolKind::Data } else { SymbolKind::Function };
            let found = self.find(store, &scope, import.name(), wanted);
            *source = match (import, found) {
                (Import::Function(_), Some(found)) => found.function(),
                (_, Some(found)) => Some(ImportSource::Cell(found)),
                (_, None) if this.side.is_weak(import.name()) => None,
                (_, None) => {
                    let why = format!("`{}`: undefined symbol `{}`", this.name, import.name());
                    return Err(LinkError::new(Errno::NOEXEC, why));
                }
            };
        }
        self.pending[index].sources = sources;
        Ok(())
    }

    /// The pending libraries, each after those that it needs as far as circles allow.
    pub(super) fn order(&self) -> Vec<usize> {
        needed_first(self.pending.len(), |index| &self.pending[index].needed, |id| id.places_after(self.first))
    }
}

impl PendingLibrary {
    /// Its code, which [`LoadPlan::receive`] has waited for.
    pub(super) fn code(&self) -> Result<&Module, LinkError> {
        match &self.code {
            Code::Here(module) => Ok(module),
            _ => Err(LinkError::new(Errno::IO, format!("`{}`: its code is not there", self.name))),
        }
    }

    /// Whether its code has such a symbol. Without its code it has none.
    fn exports(&self, name: &str, wanted: SymbolKind) -> bool {
        let export = self.code().ok().and_then(|code| code.module.get_export(name));
        match (export, wanted) {
            (Some(ExternType::Func(_)), SymbolKind::Function) => true,
            (Some(ExternType::Global(ty)), SymbolKind::Data) => {
                ty.mutability() == Mutability::Const && ty.content().is_i32()
            }
            _ => false,
        }
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// What is in a file: known from before, or read.
fn read(libraries: &mut Libraries, file: &LibraryFile, stat: &FileStat) -> Result<Library, (Errno, String)> {
    if libraries.loads >= LOADS_MAX {
        return Err((Errno::NOMEM, format!("more than {LOADS_MAX} libraries were loaded")));
    }
    if stat.size > FILE_MAX {
        return Err((Errno::FBIG, format!("libraries may have {} MiB", FILE_MAX >> 20)));
    }
    libraries.loads += 1;
    let source = libraries.source.as_mut().ok_or_else(|| (Errno::NOSYS, "nothing is loaded here".to_owned()))?;
    if let Some(library) = source.known(&file.file, stat) {
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
    let reader = std::fs::File::from(file.file.try_clone().map_err(|e| failed(&e))?);
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
