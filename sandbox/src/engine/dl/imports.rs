//! Where the imports of a pending library will come from.

use wasmtime::{ExternType, Func, Mutability, Tag};

use super::WasmtimeParts;
use crate::abi;
use crate::engine::guest::Context;
use crate::engine::linker::plan::{LoadPlan, PendingLibrary};
use crate::engine::linker::scope::is_reserved;
use crate::engine::linker::state::{Handle, LibraryId};
use crate::engine::linker::{LinkError, Linker as _, Symbol};
use crate::linking::Import;
use crate::vfs::Errno;

type Plan = LoadPlan<WasmtimeParts>;

/// What an import will be given.
pub(in crate::engine) enum ImportSource {
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
pub(in crate::engine) enum Definition {
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

/// Decides what those imports of a library will be given that are the loader's or the
/// program's, which is most of them: its code need not be there for that.
pub(super) fn resolve_in_program(plan: &mut Plan, store: &mut Context<'_>, index: usize) -> Result<(), LinkError> {
    let this = &plan.pending[index];
    let mut sources = Vec::with_capacity(this.side.imports.len());
    for import in &this.side.imports {
        sources.push(match import {
            Import::Memory => Some(ImportSource::Memory),
            Import::Table => Some(ImportSource::Table),
            Import::StackPointer => Some(ImportSource::StackPointer),
            Import::MemoryBase => Some(ImportSource::MemoryBase),
            Import::TableBase => Some(ImportSource::TableBase),
            Import::GotMemory(name) => {
                find(plan, store, &[Handle::Program], name, SymbolKind::Data).map(ImportSource::Cell)
            }
            Import::GotFunction(name) => {
                find(plan, store, &[Handle::Program], name, SymbolKind::Function).map(ImportSource::Cell)
            }
            Import::Function(name) => {
                find(plan, store, &[Handle::Program], name, SymbolKind::Function).and_then(Definition::function)
            }
            Import::Tag(name) => {
                let program = store.libraries().own.program;
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
    plan.pending[index].sources = sources;
    Ok(())
}

/// Decides what the other imports of a library will be given, whose code has been received.
pub(super) fn resolve(plan: &mut Plan, store: &mut Context<'_>, index: usize) -> Result<(), LinkError> {
    let scope = plan.scope(store.libraries(), plan.id(index)).into_iter().map(Handle::Library).collect::<Vec<_>>();
    let mut sources = std::mem::take(&mut plan.pending[index].sources);
    let this = &plan.pending[index];
    for (source, import) in sources.iter_mut().zip(&this.side.imports).filter(|(source, _)| source.is_none()) {
        if let Import::Tag(_) = import {
            continue;
        }
        let wanted = if matches!(import, Import::GotMemory(_)) { SymbolKind::Data } else { SymbolKind::Function };
        let found = find(plan, store, &scope, import.name(), wanted);
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
    plan.pending[index].sources = sources;
    Ok(())
}

/// Finds a symbol of the wanted kind.
fn find(plan: &Plan, store: &mut Context<'_>, scope: &[Handle], name: &str, wanted: SymbolKind) -> Option<Definition> {
    if is_reserved(name) {
        return None;
    }
    scope.iter().find_map(|&handle| {
        if let Handle::Library(id) = handle
            && let Some(pending) = plan.pending(id)
        {
            return exports(pending, name, wanted).then_some(Definition::Planned(id));
        }
        match (store.symbol(handle, name.as_bytes())?, wanted) {
            (Symbol::Function(function), SymbolKind::Function) => Some(Definition::Function(handle, function)),
            (Symbol::Data(address), SymbolKind::Data) => Some(Definition::Data(address)),
            _ => None,
        }
    })
}

/// Whether its code has such a symbol. Without its code it has none.
fn exports(pending: &PendingLibrary<WasmtimeParts>, name: &str, wanted: SymbolKind) -> bool {
    let export = pending.code().ok().and_then(|code| code.module.get_export(name));
    match (export, wanted) {
        (Some(ExternType::Func(_)), SymbolKind::Function) => true,
        (Some(ExternType::Global(ty)), SymbolKind::Data) => {
            ty.mutability() == Mutability::Const && ty.content().is_i32()
        }
        _ => false,
    }
}
