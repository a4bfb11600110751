//! Calling functions, and making them, by signatures that are known at run time alone.

use std::sync::LazyLock;

use super::state::{Closure, ClosureId, Slot, SlotRange};
use super::{LinkError, Linker, Stopped, give_back, take_slots};
use crate::account::ACCOUNT;
use crate::linking::{Signature, ValueType};
use crate::vfs::Errno;

/// Most closures that live at once, and that are made for different signatures: each has a function
/// of the host that stays.
const CLOSURES_MAX: usize = 65_536;
/// Bytes of heap that a closure takes if it is the first one of its signature and that is long.
const CLOSURE_COST: usize = 32 << 10;
/// Bytes that hold an argument or a result.
const VALUE: u32 = 8;
/// Alignment of the guest's stack.
const STACK_ALIGNMENT: u32 = 16;
const NO_STACK_POINTER: &str = "the program does not export `__stack_pointer`";
/// The type of a dispatcher.
static DISPATCHER: LazyLock<Signature> =
    LazyLock::new(|| Signature { parameters: vec![ValueType::I32; 3], result: None });

fn signature_at<L: Linker>(linker: &mut L, at: u32, length: u32) -> Result<Signature, LinkError> {
    let text = linker.with_memory(|m| m.text(at, length))?;
    Signature::parse(&text).map_err(|e| LinkError::new(Errno::INVAL, e.to_string()))
}

pub(super) fn call<L: Linker>(linker: &mut L, raw: &[u32]) -> Stopped<L> {
    let &[slot, text, length, arguments, result] = raw else { return Err(Errno::INVAL.into()) };
    let signature = signature_at(linker, text, length)?;
    let function = linker.function(Slot(slot), &signature, "function")?;
    let count = u32::try_from(signature.parameters.len()).map_err(|_| Errno::INVAL)?;
    let values: Vec<u64> = linker.with_memory(|m| {
        if signature.result.is_some() {
            m.check(result, VALUE)?;
        }
        Ok(m.slice(arguments, count * VALUE)?.as_chunks::<8>().0.iter().map(|slot| u64::from_le_bytes(*slot)).collect())
    })?;
    let value = linker.call(function, &signature, &values).map_err(super::Stop::Ends)?;
    if signature.result.is_some() {
        linker.with_memory(|m| m.write_u64(result, value))?;
    }
    Ok(())
}

pub(super) fn closure<L: Linker>(linker: &mut L, raw: &[u32]) -> Stopped<L> {
    let &[text, length, dispatcher, user, out] = raw else { return Err(Errno::INVAL.into()) };
    linker.with_memory(|m| m.check(out, 4))?;
    let signature = signature_at(linker, text, length)?;
    let dispatcher = Slot(dispatcher);
    linker.function(dispatcher, &DISPATCHER, "dispatcher")?;
    let closures = &mut linker.libraries().closures;
    let id = match closures.reuse(&signature, dispatcher, user) {
        Some(id) => id,
        None if closures.count() >= CLOSURES_MAX => {
            let text = format!("more than {CLOSURES_MAX} closures were made; release some");
            return Err(LinkError::new(Errno::NOMEM, text).into());
        }
        None => {
            ACCOUNT.room_for(CLOSURE_COST)?;
            let id = closures.next();
            let function = linker.closure(id, &signature);
            linker.libraries().closures.add(Closure { function, signature, dispatcher, user });
            id
        }
    };
    let slot = match take_slots(linker, 1, 1) {
        Ok(slot) => slot,
        Err(error) => {
            linker.libraries().closures.release(id);
            return Err(error.into());
        }
    };
    let function = linker.libraries().closures.get(id).function;
    linker.place(slot, function)?;
    linker.libraries().closures.place(id, slot);
    Ok(linker.with_memory(|m| m.write_u32(out, slot.0))?)
}

pub(super) fn release<L: Linker>(linker: &mut L, raw: &[u32]) -> Stopped<L> {
    let &[number] = raw else { return Err(Errno::INVAL.into()) };
    let slot = Slot(number);
    let Some(id) = linker.libraries().closures.remove(slot) else {
        return Err(LinkError::new(Errno::INVAL, format!("{number:#x} is no closure")).into());
    };
    give_back(linker, SlotRange { start: slot, length: 1 });
    linker.libraries().closures.release(id);
    Ok(())
}

/// What a closure does: the arguments and room for the result go to the guest's stack, and the
/// dispatcher is called. Gives the result's slot.
///
/// # Errors
///
/// What ended the guest.
pub(in crate::engine) fn dispatch<L: Linker>(linker: &mut L, id: ClosureId, arguments: &[u64]) -> Result<u64, L::End> {
    let Closure { dispatcher, user, .. } = *linker.libraries().closures.get(id);
    let Some(top) = linker.stack_pointer() else { return Err(fails(linker, NO_STACK_POINTER)) };
    let slots = std::iter::once(0).chain(arguments.iter().copied()).flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
    let base = u32::try_from(slots.len()).ok().and_then(|size| top.checked_sub(size));
    let base = base.map(|base| base & !(STACK_ALIGNMENT - 1));
    let written = base.filter(|&base| linker.with_memory(|m| m.write(base, &slots)).is_ok());
    let Some(base) = written else { return Err(fails(linker, "the stack is exhausted")) };
    if linker.set_stack_pointer(base).is_err() {
        return Err(fails(linker, NO_STACK_POINTER));
    }
    let Ok(function) = linker.function(dispatcher, &DISPATCHER, "dispatcher") else {
        return Err(fails(linker, "its dispatcher is gone"));
    };
    linker.call(function, &DISPATCHER, &[user.into(), (base + VALUE).into(), base.into()])?;
    let result = linker.with_memory(|m| Ok(u64::from_le_bytes(m.slice(base, VALUE)?.as_chunks::<8>().0[0])));
    let Ok(result) = result else { return Err(fails(linker, "its stack is gone")) };
    linker.set_stack_pointer(top).map(|()| result).map_err(|_| fails(linker, NO_STACK_POINTER))
}

fn fails<L: Linker>(linker: &mut L, why: &str) -> L::End {
    linker.end(format!("a closure can't be called: {why}"))
}
