//! Calling functions, and making them, by signatures that are known at run time alone.

use std::ffi::CString;
use std::slice;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use super::guest::{Ended, Guest};
use super::libraries::{Closure, ClosureInstance};
use super::link::{allocate, give_back, set};
use super::object::{Digest, Link};
use super::open::{Result, no_function};
use crate::account::ACCOUNT;
use crate::engine::dl::LinkError;
use crate::engine::dl::state::{Slot, SlotRange};
use crate::linking::{Signature, ValueType};
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

fn signature_at(guest: &mut Guest<'_>, at: u32, length: u32) -> Result<Signature> {
    let text = guest.with_memory(|m| m.text(at, length))?;
    Ok(Signature::parse(&text).map_err(|e| LinkError::new(Errno::INVAL, e.to_string()))?)
}

/// The type of a function, as the runtime reads it and as wasm2c's code compares it.
struct FunctionType {
    text: CString,
    digest: Digest,
}

impl FunctionType {
    fn of(signature: &Signature) -> Self {
        // It has letters alone.
        let text = CString::new(signature.to_string()).unwrap_or_default();
        Self { text, digest: digest_of(signature) }
    }

    /// That of a dispatcher.
    fn dispatcher() -> &'static Self {
        static TYPE: LazyLock<FunctionType> =
            LazyLock::new(|| FunctionType::of(&Signature { parameters: vec![ValueType::I32; 3], result: None }));
        &TYPE
    }
}

/// Computes what wasm2c identifies a type by (`CWriter::SerializeFuncType`): SHA-256 of the
/// parameters' letters, a space, and the result's letter.
fn digest_of(signature: &Signature) -> Digest {
    let letter = |&ty: &ValueType| match ty {
        ValueType::I32 => b'i',
        ValueType::I64 => b'j',
        ValueType::F32 => b'f',
        ValueType::F64 => b'd',
    };
    let Signature { parameters, result } = signature;
    let text: Vec<u8> = parameters.iter().map(letter).chain([b' ']).chain(result.iter().map(letter)).collect();
    Sha256::digest(text).into()
}

/// The function in an entry, which has to have this type.
fn function_at(guest: &mut Guest<'_>, slot: Slot, ty: &FunctionType, what: &str) -> Result<Link> {
    let entry = guest.table().and_then(|table| table.get(slot.0)).filter(|entry| !entry.code.is_null());
    let entry = entry.ok_or_else(|| no_function(slot))?;
    let mistyped = || format!("the {what} at {:#x} is not `{}`", slot.0, ty.text.to_string_lossy());
    Ok(entry.of_type(&ty.digest).ok_or_else(|| LinkError::new(Errno::INVAL, mistyped()))?)
}

pub(super) fn call(guest: &mut Guest<'_>, raw: &[u32]) -> Result {
    let &[slot, text, length, arguments, result] = raw else { return Err(Errno::INVAL.into()) };
    let signature = signature_at(guest, text, length)?;
    let ty = FunctionType::of(&signature);
    let function = function_at(guest, Slot(slot), &ty, "function")?;
    let count = u32::try_from(signature.parameters.len()).map_err(|_| Errno::INVAL)?;
    let values: Vec<u64> = guest.with_memory(|m| {
        if signature.result.is_some() {
            m.check(result, VALUE)?;
        }
        Ok(m.slice(arguments, count * VALUE)?.as_chunks::<8>().0.iter().map(|slot| u64::from_le_bytes(*slot)).collect())
    })?;
    let value = guest.call(function, &ty.text, &values)?;
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
    function_at(guest, dispatcher, FunctionType::dispatcher(), "dispatcher")?;
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
            let FunctionType { text, digest } = FunctionType::of(&signature);
            let instance = ClosureInstance::lasting(text, number, digest);
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
    let entry = closure.instance.entry(code);
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
    let ty = FunctionType::dispatcher();
    let Ok(function) = function_at(guest, dispatcher, ty, "dispatcher") else {
        return Err(guest.traps(NO_FUNCTION));
    };
    guest.call(function, &ty.text, &[user.into(), (base + VALUE).into(), base.into()])?;
    let value = guest.with_memory(|m| Ok(m.slice(base, VALUE)?.as_chunks::<8>().0[0]));
    *guest.stack_pointer().ok_or(Ended)? = top;
    value.map(u64::from_le_bytes).map_err(|_| guest.traps(EXHAUSTION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_digest_that_wasm2c_writes() {
        // Of the example in wasm2c's documentation.
        let digest = digest_of(&Signature::parse(b"i>i").unwrap());
        let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "0780967a42f73ee6705c2fac83f567d2a2a069415ff8e7967f23ab00035f4a3c");
        assert_ne!(digest_of(&Signature::parse(b"i>l").unwrap()), digest_of(&Signature::parse(b"l>i").unwrap()));
    }
}
