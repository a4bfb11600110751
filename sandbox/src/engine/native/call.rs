//! Calling functions, and making them, by signatures that are known at run time alone.

use std::ffi::{CString, c_char};
use std::slice;

use super::guest::{Ended, Guest};
use super::libraries::{Closure, ClosureInstance};
use super::link::{allocate, give_back, set};
use super::object::{Entry, Link};
use super::open::{Result, no_function};
use crate::account::ACCOUNT;
use crate::engine::dl::LinkError;
use crate::engine::dl::state::{Slot, SlotRange};
use crate::linking::Signature;
use crate::vfs::Errno;

/// Most closures that live at once, and that are made for different signatures.
const CLOSURES_MAX: usize = 65_536;
/// Bytes of heap that a closure takes if it is the first one of its signature and that is long.
const CLOSURE_COST: usize = 4 << 10;
/// Bytes that hold an argument or a result.
const VALUE: u32 = 8;
/// Alignment of the guest's stack.
const STACK_ALIGNMENT: u32 = 16;
/// Traps, by the runtime's numbers (`wasm_rt_trap_t`): an indirect call to no function of its type,
/// an exhausted stack.
const NO_FUNCTION: u32 = 6;
const EXHAUSTION: u32 = 10;
/// The type of a dispatcher.
const DISPATCHER: &std::ffi::CStr = c"iii>";

fn signature_at(guest: &mut Guest<'_>, at: u32, length: u32) -> Result<Signature> {
    let text = guest.with_memory(|m| m.text(at, length))?;
    Ok(Signature::parse(&text).map_err(|e| LinkError::new(Errno::INVAL, e.to_string()))?)
}

fn text_of(signature: &Signature) -> CString {
    // It has letters alone.
    CString::new(signature.to_string()).unwrap_or_default()
}

/// The digest of a type, as the program or a library knows it; null: nobody has such a function.
fn type_of(guest: &mut Guest<'_>, ty: &std::ffi::CStr) -> *const c_char {
    let (program, _) = guest.program();
    let modules: Vec<_> =
        std::iter::once(program).chain(guest.libraries().all().map(|library| library.module)).collect();
    let types = modules.into_iter().map(|module| guest.type_in(module, ty));
    types.into_iter().find(|ty| !ty.is_null()).unwrap_or(std::ptr::null())
}

fn entry_at(guest: &mut Guest<'_>, slot: Slot) -> Result<Entry> {
    let entry = guest.table().and_then(|table| table.get(slot.0)).filter(|entry| !entry.code.is_null());
    Ok(entry.ok_or_else(|| no_function(slot))?)
}

/// The function in an entry, which has to have this type.
fn function_at(guest: &mut Guest<'_>, slot: Slot, ty: &std::ffi::CStr, what: &str) -> Result<Link> {
    let entry = entry_at(guest, slot)?;
    let digest = type_of(guest, ty);
    let mistyped = || format!("the {what} at {:#x} is not `{}`", slot.0, ty.to_string_lossy());
    Ok(entry.of_type(digest).ok_or_else(|| LinkError::new(Errno::INVAL, mistyped()))?)
}

pub(super) fn call(guest: &mut Guest<'_>, raw: &[u32]) -> Result {
    let &[slot, text, length, arguments, result] = raw else { return Err(Errno::INVAL.into()) };
    let signature = signature_at(guest, text, length)?;
    let ty = text_of(&signature);
    let function = function_at(guest, Slot(slot), &ty, "function")?;
    let count = u32::try_from(signature.parameters.len()).map_err(|_| Errno::INVAL)?;
    let values: Vec<u64> = guest.with_memory(|m| {
        if signature.result.is_some() {
            m.check(result, VALUE)?;
        }
        Ok(m.slice(arguments, count * VALUE)?.as_chunks::<8>().0.iter().map(|slot| u64::from_le_bytes(*slot)).collect())
    })?;
    let value = guest.call(function, &ty, &values)?;
    if signature.result.is_some() {
        guest.with_memory(|m| m.write_u64(result, value))?;
    }
    Ok(())
}

pub(super) fn closure(guest: &mut Guest<'_>, raw: &[u32]) -> Result {
    let &[text, length, dispatcher, user, out] = raw else { return Err(Errno::INVAL.into()) };
    guest.with_memory(|m| m.check(out, 4))?;
    let signature = signature_at(guest, text, length)?;
    let dispatcher = Slot(dispatcher);
    function_at(guest, dispatcher, DISPATCHER, "dispatcher")?;
    let ty = text_of(&signature);
    let digest = type_of(guest, &ty);
    let closures = &mut guest.libraries().closures;
    let number = match closures.released.get_mut(&signature).and_then(Vec::pop) {
        Some(number) => number,
        None if closures.all.len() >= CLOSURES_MAX => {
            let text = format!("more than {CLOSURES_MAX} closures were made; release some");
            return Err(LinkError::new(Errno::NOMEM, text).into());
        }
        None => {
            ACCOUNT.room_for(CLOSURE_COST)?;
            let number = u32::try_from(closures.all.len()).map_err(|_| Errno::NOMEM)?;
            let instance = ClosureInstance::lasting(ty, number);
            closures.all.push(Closure { instance, signature: signature.clone(), dispatcher, user });
            number
        }
    };
    let slot = match allocate(guest, 1, 1) {
        Ok(slot) => slot,
        Err(error) => {
            guest.libraries().closures.released.entry(signature).or_default().push(number);
            return Err(error.into());
        }
    };
    let code = guest.runtime().closure;
    let closures = &mut guest.libraries().closures;
    closures.live.insert(slot, number);
    let closure = &mut closures.all[number as usize];
    (closure.dispatcher, closure.user) = (dispatcher, user);
    let entry = Entry::new(digest, Link { code, instance: closure.instance });
    set(guest, slot, entry);
    Ok(guest.with_memory(|m| m.write_u32(out, slot.0))?)
}

pub(super) fn release(guest: &mut Guest<'_>, raw: &[u32]) -> Result {
    let &[number] = raw else { return Err(Errno::INVAL.into()) };
    let slot = Slot(number);
    let Some(closure) = guest.libraries().closures.live.remove(&slot) else {
        return Err(LinkError::new(Errno::INVAL, format!("{number:#x} is no closure")).into());
    };
    give_back(guest, SlotRange { start: slot, length: 1 });
    let closures = &mut guest.libraries().closures;
    let signature = closures.all[closure as usize].signature.clone();
    closures.released.entry(signature).or_default().push(closure);
    Ok(())
}

/// What a closure does: the arguments and room for the result go to the guest's stack, and the
/// dispatcher is called. Where that can't be, the guest ends, as by a trap.
///
/// # Errors
///
/// [`Ended`] if the guest ended in it.
pub(super) fn dispatch(guest: &mut Guest<'_>, number: u32, arguments: *const u64) -> std::result::Result<u64, Ended> {
    let Closure { signature, dispatcher, user, .. } = &guest.libraries().closures.all[number as usize];
    let (count, dispatcher, user) = (signature.parameters.len(), *dispatcher, *user);
    // SAFETY: the runtime hands over as many as the closure's type has, and one more.
    let given = unsafe { slice::from_raw_parts(arguments, count) };
    let slots: Vec<u8> = std::iter::once(0).chain(given.iter().copied()).flat_map(u64::to_le_bytes).collect();
    let size = u32::try_from(slots.len()).map_err(|_| Ended)?;
    let top = *guest.stack_pointer().ok_or(Ended)?;
    let base = top.checked_sub(size).map(|base| base & !(STACK_ALIGNMENT - 1));
    let written = base.and_then(|base| guest.with_memory(|m| m.write(base, &slots)).ok().map(|()| base));
    let Some(base) = written else { return Err(guest.traps(EXHAUSTION)) };
    *guest.stack_pointer().ok_or(Ended)? = base;
    let Ok(function) = function_at(guest, dispatcher, DISPATCHER, "dispatcher") else {
        return Err(guest.traps(NO_FUNCTION));
    };
    guest.call(function, DISPATCHER, &[user.into(), (base + VALUE).into(), base.into()])?;
    let value = guest.with_memory(|m| Ok(m.slice(base, VALUE)?.as_chunks::<8>().0[0]));
    *guest.stack_pointer().ok_or(Ended)? = top;
    value.map(u64::from_le_bytes).map_err(|_| guest.traps(EXHAUSTION))
}
