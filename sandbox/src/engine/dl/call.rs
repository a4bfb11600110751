//! Calling functions, and making them, by signatures that are known at run time alone.

use wasmtime::{AsContextMut, Caller, Func, FuncType, Mutability, Val, ValType};

use super::state::{Closure, ClosureId, Slot, SlotRange};
use super::{LinkError, LinkResult, LinkStop, slots};
use crate::account::ACCOUNT;
use crate::engine::guest::{Context, Guest, with_memory};
use crate::engine::values::{from_slot, to_slot, val_type};
use crate::linking::Signature;
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

fn function_type(store: &Context<'_>, signature: &Signature) -> FuncType {
    let parameters = signature.parameters.iter().map(|&ty| val_type(ty));
    FuncType::new(store.engine(), parameters, signature.result.map(val_type))
}

fn signature_at(store: &mut Context<'_>, at: u32, length: u32) -> Result<Signature, LinkStop> {
    let text = with_memory(store, |m| m.text(at, length))?;
    Ok(Signature::parse(&text).map_err(|e| LinkError::new(Errno::INVAL, e.to_string()))?)
}

fn function_at(store: &mut Context<'_>, slot: Slot) -> Result<Func, LinkError> {
    slots::get(store, slot)
        .ok_or_else(|| LinkError::new(Errno::INVAL, format!("there is no function at {:#x}", slot.0)))
}

/// Letters for a type, as far as it has any.
fn describe(ty: &FuncType) -> String {
    let letter = |ty: ValType| match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'l',
        ValType::F32 => 'f',
        ValType::F64 => 'd',
        _ => '?',
    };
    let (parameters, results) = (ty.params().map(letter), ty.results().map(letter));
    format!("{}>{}", parameters.collect::<String>(), results.collect::<String>())
}

pub(super) fn call(store: &mut Context<'_>, raw: &[u32]) -> LinkResult {
    let &[slot, text, length, arguments, result] = raw else { return Err(Errno::INVAL.into()) };
    let signature = signature_at(store, text, length)?;
    let function = function_at(store, Slot(slot))?;
    let ty = function.ty(&*store);
    if !FuncType::eq(&ty, &function_type(store, &signature)) {
        let text = format!("the function at {slot:#x} is `{}`, not `{signature}`", describe(&ty));
        return Err(LinkError::new(Errno::INVAL, text).into());
    }
    let count = u32::try_from(signature.parameters.len()).map_err(|_| Errno::INVAL)?;
    let values: Vec<Val> = with_memory(store, |m| {
        if signature.result.is_some() {
            m.check(result, VALUE)?;
        }
        let slots = m.slice(arguments, count * VALUE)?.as_chunks::<8>().0;
        let types = signature.parameters.iter();
        Ok(types.zip(slots).map(|(&ty, slot)| from_slot(ty, u64::from_le_bytes(*slot))).collect())
    })?;
    let mut results = [Val::I32(0)];
    let results = &mut results[..usize::from(signature.result.is_some())];
    function.call(&mut *store, &values, results)?;
    if let Some(value) = results.first() {
        with_memory(store, |m| m.write_u64(result, to_slot(value)))?;
    }
    Ok(())
}

pub(super) fn closure(store: &mut Context<'_>, raw: &[u32]) -> LinkResult {
    let &[text, length, dispatcher, user, out] = raw else { return Err(Errno::INVAL.into()) };
    with_memory(store, |m| m.check(out, 4))?;
    let signature = signature_at(store, text, length)?;
    let dispatcher = Slot(dispatcher);
    let function = function_at(store, dispatcher)?;
    let wanted = FuncType::new(store.engine(), [ValType::I32, ValType::I32, ValType::I32], []);
    if !FuncType::eq(&function.ty(&*store), &wanted) {
        let text =
            format!("the dispatcher at {:#x} is `{}`, not `iii>`", dispatcher.0, describe(&function.ty(&*store)));
        return Err(LinkError::new(Errno::INVAL, text).into());
    }
    let closures = &mut store.data_mut().libraries().closures;
    let id = match closures.reuse(&signature, dispatcher, user) {
        Some(id) => id,
        None if closures.count() >= CLOSURES_MAX => {
            let text = format!("more than {CLOSURES_MAX} closures were made; release some");
            return Err(LinkError::new(Errno::NOMEM, text).into());
        }
        None => {
            ACCOUNT.room_for(CLOSURE_COST)?;
            let id = closures.next();
            let ty = function_type(store, &signature);
            let function = Func::new(&mut *store, ty, move |mut caller: Caller<'_, Guest>, params, results| {
                dispatch(&mut caller.as_context_mut(), id, params, results)
            });
            store.data_mut().libraries().closures.add(Closure { function, signature, dispatcher, user });
            id
        }
    };
    let function = store.data_mut().libraries().closures.get(id).function;
    let slot = match slots::allocate(store, 1, 1) {
        Ok(slot) => slot,
        Err(error) => {
            store.data_mut().libraries().closures.release(id);
            return Err(error.into());
        }
    };
    slots::set(store, slot, function)?;
    store.data_mut().libraries().closures.place(id, slot);
    Ok(with_memory(store, |m| m.write_u32(out, slot.0))?)
}

pub(super) fn release(store: &mut Context<'_>, raw: &[u32]) -> LinkResult {
    let &[number] = raw else { return Err(Errno::INVAL.into()) };
    let slot = Slot(number);
    let Some(id) = store.data_mut().libraries().closures.remove(slot) else {
        return Err(LinkError::new(Errno::INVAL, format!("{number:#x} is no closure")).into());
    };
    slots::give_back(store, SlotRange { start: slot, length: 1 });
    store.data_mut().libraries().closures.release(id);
    Ok(())
}

/// What a closure does: the arguments and room for the result go to the guest's stack, and the
/// dispatcher is called.
fn dispatch(store: &mut Context<'_>, id: ClosureId, params: &[Val], results: &mut [Val]) -> wasmtime::Result<()> {
    store.data().stack.check()?;
    let Closure { signature, dispatcher, user, .. } = store.data_mut().libraries().closures.get(id).clone();
    let ends = |why: &str| wasmtime::Error::msg(format!("a closure can't be called: {why}"));
    let program = store.data_mut().libraries().program;
    let stack = program
        .get_global(&mut *store, "__stack_pointer")
        .filter(|g| g.ty(&*store).mutability() == Mutability::Var)
        .ok_or_else(|| ends("the program does not export `__stack_pointer`"))?;
    let old = stack.get(&mut *store);
    let top = old.i32().ok_or_else(|| ends("`__stack_pointer` is no address"))?.cast_unsigned();
    let size = (u32::try_from(params.len())? + 1) * VALUE;
    let base = top.checked_sub(size).ok_or_else(|| ends("the stack is exhausted"))? & !(STACK_ALIGNMENT - 1);
    let slots = std::iter::once(0).chain(params.iter().map(to_slot)).flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
    with_memory(store, |m| m.write(base, &slots)).map_err(|_| ends("the stack is exhausted"))?;
    stack.set(&mut *store, Val::I32(base.cast_signed()))?;
    let function = function_at(store, dispatcher).map_err(|_| ends("its dispatcher is gone"))?;
    let arguments = [user, base + VALUE, base].map(|v| Val::I32(v.cast_signed()));
    function.call(&mut *store, &arguments, &mut [])?;
    if let (Some(ty), Some(out)) = (signature.result, results.first_mut()) {
        let bytes = with_memory(store, |m| Ok(m.slice(base, VALUE)?.as_chunks::<8>().0[0]))
            .map_err(|_| ends("its stack is gone"))?;
        *out = from_slot(ty, u64::from_le_bytes(bytes));
    }
    stack.set(&mut *store, old)
}
