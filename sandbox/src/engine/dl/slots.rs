//! Entries of the program's table: who has which, and which are free.

use std::collections::HashMap;

use wasmtime::{Func, Ref, Table};

use super::{Context, Dl, Failure, dl};
use crate::account::ACCOUNT;
use crate::linking::TableIndex;
use crate::vfs::Errno;

/// The name that programs export their table under.
pub const TABLE: &str = "__indirect_function_table";

/// Entries that the table is scanned to for functions of the program: one that is larger is not a
/// linker's.
const SCAN_MAX: u64 = 1_000_000;

/// Bytes of heap that an entry takes which is known, while its map grows.
const KNOWN_COST: usize = 64;

/// What is known of the table.
#[derive(Default)]
pub(super) struct Slots {
    /// Entries by the function that they hold: a function's address is the same whoever asks for
    /// it.
    known: HashMap<usize, u32>,
    /// Ranges that nobody has: start and length.
    free: Vec<(u32, u32)>,
    /// Where the program has its functions: nothing before that is asked for the first time, then
    /// nothing inside if it is not known.
    index: Option<Option<TableIndex>>,
    /// Whether each entry was looked at.
    scanned: bool,
}

pub(super) fn table(store: &mut Context<'_>) -> Result<Table, Failure> {
    let program = dl(store).program;
    program.get_table(store, TABLE).ok_or_else(|| lacking(TABLE))
}

/// The program lacks what loading needs.
pub(super) fn lacking(what: &str) -> Failure {
    Failure::new(Errno::NOSYS, format!("the program was not linked for run-time loading: it does not export `{what}`"))
}

impl Dl {
    fn take_free(&mut self, size: u32, alignment: u32) -> Option<u32> {
        let free = &mut self.slots.free;
        for index in 0..free.len() {
            let (start, length) = free[index];
            let base = start.checked_next_multiple_of(alignment)?;
            let skipped = base - start;
            if length < skipped || length - skipped < size {
                continue;
            }
            free.remove(index);
            let rest = (base + size, length - skipped - size);
            free.extend([(start, skipped), rest].into_iter().filter(|r| r.1 > 0));
            return Some(base);
        }
        None
    }
}

/// Takes `size` entries, aligned; they are null.
pub(super) fn allocate(store: &mut Context<'_>, size: u32, alignment: u32) -> Result<u32, Failure> {
    if size == 0 {
        return Ok(0);
    }
    if let Some(base) = dl(store).take_free(size, alignment) {
        return Ok(base);
    }
    let table = table(store)?;
    let full =
        || Failure::new(Errno::NOMEM, format!("there is no room for {size} more entries in the table of functions"));
    let old = u32::try_from(table.size(&*store)).map_err(|_| full())?;
    let base = old.checked_next_multiple_of(alignment).ok_or_else(full)?;
    let added = (base - old).checked_add(size).ok_or_else(full)?;
    table.grow(&mut *store, added.into(), Ref::Func(None)).map_err(|_| match store.data().limits.refused {
        Some(refused) => refused.into(),
        None => full(),
    })?;
    if base > old {
        dl(store).slots.free.push((old, base - old));
    }
    Ok(base)
}

/// Gives entries back and empties them.
pub(super) fn give_back(store: &mut Context<'_>, base: u32, size: u32) {
    if size == 0 {
        return;
    }
    if let Ok(table) = table(store) {
        let cleared = table.fill(&mut *store, base.into(), Ref::Func(None), size.into());
        debug_assert!(cleared.is_ok());
    }
    let slots = &mut dl(store).slots;
    slots.known.retain(|_, &mut slot| !(base..base.saturating_add(size)).contains(&slot));
    slots.free.push((base, size));
    // Neighbours become one.
    slots.free.sort_unstable();
    slots.free.dedup_by(|next, first| {
        let touches = first.0 + first.1 == next.0;
        first.1 += if touches { next.1 } else { 0 };
        touches
    });
}

/// The function in an entry.
pub(super) fn get(store: &mut Context<'_>, slot: u32) -> Option<Func> {
    match table(store).ok()?.get(&mut *store, slot.into())? {
        Ref::Func(function) => function,
        _ => None,
    }
}

pub(super) fn set(store: &mut Context<'_>, slot: u32, function: Func) -> Result<(), Failure> {
    table(store)?
        .set(&mut *store, slot.into(), Ref::Func(Some(function)))
        .map_err(|_| Failure::new(Errno::INVAL, format!("the table of functions has no entry {slot}")))
}

/// Notes which functions are in the table, unless they have an entry already; once.
fn scan(store: &mut Context<'_>) -> Result<(), Failure> {
    if dl(store).slots.scanned {
        return Ok(());
    }
    let table = table(store)?;
    let size = table.size(&*store).min(SCAN_MAX);
    ACCOUNT.room_for(usize::try_from(size).unwrap_or(usize::MAX).saturating_mul(KNOWN_COST))?;
    for slot in 0..u32::try_from(size).unwrap_or(0) {
        if let Some(Ref::Func(Some(function))) = table.get(&mut *store, slot.into()) {
            let key = function.to_raw(&mut *store) as usize;
            dl(store).slots.known.entry(key).or_insert(slot);
        }
    }
    dl(store).slots.scanned = true;
    Ok(())
}

/// The entry of the function that a module exports under this name: the one that it has, or a new
/// one.
pub(super) fn of(store: &mut Context<'_>, module: u32, name: &str, function: Func) -> Result<u32, Failure> {
    let key = function.to_raw(&mut *store) as usize;
    if let Some(&slot) = dl(store).slots.known.get(&key) {
        return Ok(slot);
    }
    let entry = match dl(store).module(module) {
        Some(module) => module.entries.entry(name).map(|entry| module.table_base.saturating_add(entry)),
        None => program_entry(store, name)?,
    };
    if let Some(slot) = entry {
        if get(store, slot).is_some_and(|there| there.to_raw(&mut *store) as usize == key) {
            dl(store).slots.known.insert(key, slot);
            return Ok(slot);
        }
        // Somebody has changed the table.
        scan(store)?;
    }
    if let Some(&slot) = dl(store).slots.known.get(&key) {
        return Ok(slot);
    }
    let slot = allocate(store, 1, 1)?;
    set(store, slot, function)?;
    dl(store).slots.known.insert(key, slot);
    Ok(slot)
}

/// Where the program has the function that it exports under this name, as far as that is known; if
/// nothing is, each entry is looked at.
fn program_entry(store: &mut Context<'_>, name: &str) -> Result<Option<u32>, Failure> {
    let Dl { source, slots, .. } = dl(store);
    let index = slots.index.get_or_insert_with(|| source.as_mut().and_then(|source| source.table_index()));
    match index {
        Some(index) => Ok(index.entry(name)),
        None => scan(store).map(|()| None),
    }
}
