//! Entries of the program's table: who has which, and which are free.

use wasmtime::{Func, Ref, Table};

use super::Libraries;
use crate::account::ACCOUNT;
use crate::engine::guest::Context;
use crate::engine::linker::state::{Handle, Slot};
use crate::engine::linker::{LinkError, Linker as _, take_slots};
use crate::vfs::Errno;

/// The name that programs export their table under.
pub const TABLE: &str = "__indirect_function_table";

/// Entries that the table is scanned to for functions of the program: one that is larger is not a
/// linker's.
const SCAN_MAX: u64 = 1_000_000;

/// Bytes of heap that an entry takes which is known, while its map grows.
const KNOWN_COST: usize = 64;

pub(super) fn table(store: &mut Context<'_>) -> Result<Table, LinkError> {
    let program = store.libraries().own.program;
    program.get_table(store, TABLE).ok_or_else(|| lacking(TABLE))
}

/// The program lacks what loading needs.
pub(super) fn lacking(what: &str) -> LinkError {
    LinkError::new(
        Errno::NOSYS,
        format!("the program was not linked for run-time loading: it does not export `{what}`"),
    )
}

/// The function in an entry.
pub(super) fn get(store: &mut Context<'_>, slot: Slot) -> Option<Func> {
    match table(store).ok()?.get(&mut *store, slot.0.into())? {
        Ref::Func(function) => function,
        _ => None,
    }
}

pub(super) fn set(store: &mut Context<'_>, slot: Slot, function: Func) -> Result<(), LinkError> {
    table(store)?
        .set(&mut *store, slot.0.into(), Ref::Func(Some(function)))
        .map_err(|_| LinkError::new(Errno::INVAL, format!("the table of functions has no entry {}", slot.0)))
}

/// Notes which functions are in the table, unless they have an entry already; once.
fn scan(store: &mut Context<'_>) -> Result<(), LinkError> {
    if store.libraries().slots.scanned {
        return Ok(());
    }
    let table = table(store)?;
    let size = table.size(&*store).min(SCAN_MAX);
    ACCOUNT.room_for(usize::try_from(size).unwrap_or(usize::MAX).saturating_mul(KNOWN_COST))?;
    for slot in 0..u32::try_from(size).unwrap_or(0) {
        if let Some(Ref::Func(Some(function))) = table.get(&mut *store, slot.into()) {
            let key = function.to_raw(&mut *store) as usize;
            store.libraries().slots.known.entry(key).or_insert(Slot(slot));
        }
    }
    store.libraries().slots.scanned = true;
    Ok(())
}

/// The entry of the function that a module exports under this name: the one that it has, or a new
/// one.
pub(super) fn of(store: &mut Context<'_>, module: Handle, name: &str, function: Func) -> Result<Slot, LinkError> {
    let key = function.to_raw(&mut *store) as usize;
    if let Some(&slot) = store.libraries().slots.known.get(&key) {
        return Ok(slot);
    }
    let entry = match module {
        Handle::Program => program_entry(store, name)?,
        Handle::Library(id) => store.libraries().get(id).and_then(|library| {
            library.instance.entries.entry(name).map(|entry| Slot(library.table_base.0.saturating_add(entry)))
        }),
    };
    if let Some(slot) = entry {
        if get(store, slot).is_some_and(|there| there.to_raw(&mut *store) as usize == key) {
            store.libraries().slots.known.insert(key, slot);
            return Ok(slot);
        }
        // Somebody has changed the table.
        scan(store)?;
    }
    if let Some(&slot) = store.libraries().slots.known.get(&key) {
        return Ok(slot);
    }
    let slot = take_slots(store, 1, 1)?;
    set(store, slot, function)?;
    store.libraries().slots.known.insert(key, slot);
    Ok(slot)
}

/// Where the program has the function that it exports under this name, as far as that is known; if
/// nothing is, each entry is looked at.
fn program_entry(store: &mut Context<'_>, name: &str) -> Result<Option<Slot>, LinkError> {
    let Libraries { own, slots, .. } = store.libraries();
    let index = slots.index.get_or_insert_with(|| own.source.as_mut().and_then(|source| source.table_index()));
    match index {
        Some(index) => Ok(index.entry(name).map(Slot)),
        None => scan(store).map(|()| None),
    }
}
