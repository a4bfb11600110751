//! Carrying a [`LoadPlan`] out.
//!
//! First memory and table entries are taken; until here, another thread brings the code. All other
//! symbols are found, instances made, which compares all types, and addresses filled in; if
//! anything of this fails, everything is given back but the instances, which the engine keeps to
//! its end. Then the libraries' own code runs.

use super::plan::{LoadPlan, PendingLibrary};
use super::state::{Handle, Slot, SlotRange};
use super::{LinkError, Linker, Room, Stop, Stopped, give_back, take_slots};
use crate::linking::Area;
use crate::vfs::Errno;

impl Room {
    const NONE: Self = Self { block: 0, memory_base: 0, table: SlotRange { start: Slot(0), length: 0 } };
}

/// Loads the library at `path`, unless it is there already, and gives its handle, which is then
/// open once more.
pub(super) fn load<L: Linker>(linker: &mut L, path: &[u8], global: bool, loaded_only: bool) -> Stopped<L, Handle> {
    let mut plan = LoadPlan::new(linker, path, global, loaded_only)?;
    if !plan.pending.is_empty() {
        link(linker, &mut plan)?;
    }
    let libraries = linker.libraries();
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
    initialise(linker, &plan)?;
    Ok(Handle::Library(plan.root))
}

/// Takes room and makes the instances. Afterwards the libraries are registered, but none of their
/// code has run.
fn link<L: Linker>(linker: &mut L, plan: &mut LoadPlan<L::Parts>) -> Stopped<L> {
    linker.ready()?;
    let mut rooms = vec![Room::NONE; plan.pending.len()];
    linker.libraries().busy = true;
    let result = try_link(linker, plan, &mut rooms);
    if let Err(Stop::Failed(_)) = result {
        linker.libraries().truncate(plan.first);
        for room in rooms {
            give_back(linker, room.table);
            if room.block != 0 {
                linker.free(room.block)?;
            }
        }
    }
    linker.libraries().busy = false;
    result
}

fn try_link<L: Linker>(linker: &mut L, plan: &mut LoadPlan<L::Parts>, rooms: &mut [Room]) -> Stopped<L> {
    for (room, pending) in rooms.iter_mut().zip(&plan.pending) {
        take_memory(linker, pending, room)?;
        let Area { size, alignment } = pending.side.table;
        room.table = SlotRange { start: take_slots(linker, size, alignment)?, length: size };
    }
    // As late as can be.
    plan.receive()?;
    linker.instantiate(plan, rooms)
}

/// Takes memory for a library from the program's `malloc`, and clears it.
fn take_memory<L: Linker>(linker: &mut L, pending: &PendingLibrary<L::Parts>, room: &mut Room) -> Stopped<L> {
    let area = pending.side.memory;
    if area.size == 0 {
        return Ok(());
    }
    let failed =
        || LinkError::new(Errno::NOMEM, format!("`{}`: no memory for {} bytes of data", pending.name, area.size));
    let wanted = area.size.checked_add(area.alignment - 1).ok_or_else(failed)?;
    let block = linker.allocate(wanted)?;
    // Zero is malloc's failure; the rest is for one that lies.
    let base = block.checked_next_multiple_of(area.alignment).filter(|_| block != 0).ok_or_else(failed)?;
    room.block = block;
    room.memory_base = base;
    linker.with_memory(|m| m.slice_mut(base, area.size).map(|bytes| bytes.fill(0))).map_err(|_| failed())?;
    Ok(())
}

/// Runs the libraries' own code: relocations, then constructors. From here on the guest answers
/// for what happens.
fn initialise<L: Linker>(linker: &mut L, plan: &LoadPlan<L::Parts>) -> Stopped<L> {
    linker.libraries().nesting += 1;
    let order = plan.order();
    for name in ["__wasm_apply_data_relocs", "__wasm_call_ctors"] {
        for &index in &order {
            let side = &plan.pending[index].side;
            if if name == "__wasm_call_ctors" { side.constructs } else { side.relocates } {
                linker.call_own(plan.id(index), name)?;
            }
        }
    }
    linker.libraries().nesting -= 1;
    Ok(())
}
