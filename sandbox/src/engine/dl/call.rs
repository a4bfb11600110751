//! Calling functions, and making them, by signatures that are known at run time alone.

use std::collections::HashMap;

use wasmtime::{AsContextMut, Caller, Func, FuncType, Mutability, Val, ValType};

use super::{Context, Dl, Failure, Outcome, Stop, dl, memory, slots};
use crate::account::ACCOUNT;
use crate::engine::wasmtime::Guest;
use crate::linking::{Kind, Signature};
use crate::vfs::Errno;

/// Most closures that live at once, and that are made for different signatures: each has a function
/// of the host that stays.
const CLOSURES_MAX: usize = 65_536;
/// Bytes of heap that a closure takes if it is the first one of its signature and that is long.
const CLOSURE_COST: usize = 32 << 10;
/// Bytes of a slot that holds an argument or a result.
const SLOT: u32 = 8;
/// Alignment of the guest's stack.
const STACK_ALIGNMENT: u32 = 16;

/// Closures of one guest. A released one is given out again for the same signature.
#[derive(Default)]
pub(super) struct Closures {
    all: Vec<Closure>,
    /// By the table entry.
    live: HashMap<u32, usize>,
    released: HashMap<Signature, Vec<usize>>,
}

struct Closure {
    function: Func,
    signature: Signature,
    dispatcher: u32,
    user: u32,
}

impl Kind {
    fn ty(self) -> ValType {
        match self {
            Kind::I32 => ValType::I32,
            Kind::I64 => ValType::I64,
            Kind::F32 => ValType::F32,
            Kind::F64 => ValType::F64,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a 32-bit value lies in the low half of its slot")]
    fn value(self, slot: u64) -> Val {
        match self {
            Kind::I32 => Val::I32((slot as u32).cast_signed()),
            Kind::I64 => Val::I64(slot.cast_signed()),
            Kind::F32 => Val::F32(slot as u32),
            Kind::F64 => Val::F64(slot),
        }
    }
}

fn slot_of(value: &Val) -> u64 {
    match value {
        Val::I32(v) => u64::from(v.cast_unsigned()),
        Val::I64(v) => v.cast_unsigned(),
        Val::F32(v) => u64::from(*v),
        Val::F64(v) => *v,
        _ => 0,
    }
}

fn function_type(store: &Context<'_>, signature: &Signature) -> FuncType {
    let parameters = signature.parameters.iter().map(|k| k.ty());
    FuncType::new(store.engine(), parameters, signature.result.map(Kind::ty))
}

fn signature_at(store: &mut Context<'_>, at: u32, length: u32) -> Result<Signature, Stop> {
    let text = memory(store, |m| m.text(at, length))?;
    Ok(Signature::parse(&text).map_err(|e| Failure::new(Errno::INVAL, e.to_string()))?)
}

fn function_at(store: &mut Context<'_>, slot: u32) -> Result<Func, Failure> {
    slots::get(store, slot).ok_or_else(|| Failure::new(Errno::INVAL, format!("there is no function at {slot:#x}")))
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

pub(super) fn call(store: &mut Context<'_>, raw: &[u32]) -> Outcome {
    let &[slot, text, length, arguments, result] = raw else { return Err(Errno::INVAL.into()) };
    let signature = signature_at(store, text, length)?;
    let function = function_at(store, slot)?;
    let ty = function.ty(&*store);
    if !FuncType::eq(&ty, &function_type(store, &signature)) {
        let text = format!("the function at {slot:#x} is `{}`, not `{signature}`", describe(&ty));
        return Err(Failure::new(Errno::INVAL, text).into());
    }
    let count = u32::try_from(signature.parameters.len()).map_err(|_| Errno::INVAL)?;
    let values: Vec<Val> = memory(store, |m| {
        if signature.result.is_some() {
            m.check(result, SLOT)?;
        }
        let slots = m.slice(arguments, count * SLOT)?.as_chunks::<8>().0;
        let kinds = signature.parameters.iter();
        Ok(kinds.zip(slots).map(|(kind, slot)| kind.value(u64::from_le_bytes(*slot))).collect())
    })?;
    let mut results = [Val::I32(0)];
    let results = &mut results[..usize::from(signature.result.is_some())];
    function.call(&mut *store, &values, results)?;
    if let Some(value) = results.first() {
        memory(store, |m| m.write_u64(result, slot_of(value)))?;
    }
    Ok(())
}

pub(super) fn closure(store: &mut Context<'_>, raw: &[u32]) -> Outcome {
    let &[text, length, dispatcher, user, out] = raw else { return Err(Errno::INVAL.into()) };
    memory(store, |m| m.check(out, 4))?;
    let signature = signature_at(store, text, length)?;
    let function = function_at(store, dispatcher)?;
    let wanted = FuncType::new(store.engine(), [ValType::I32, ValType::I32, ValType::I32], []);
    if !FuncType::eq(&function.ty(&*store), &wanted) {
        let text = format!("the dispatcher at {dispatcher:#x} is `{}`, not `iii>`", describe(&function.ty(&*store)));
        return Err(Failure::new(Errno::INVAL, text).into());
    }
    let closures = &mut dl(store).closures;
    let index = match closures.released.get_mut(&signature).and_then(Vec::pop) {
        Some(index) => {
            closures.all[index].dispatcher = dispatcher;
            closures.all[index].user = user;
            index
        }
        None if closures.all.len() >= CLOSURES_MAX => {
            let text = format!("more than {CLOSURES_MAX} closures were made; release some");
            return Err(Failure::new(Errno::NOMEM, text).into());
        }
        None => {
            ACCOUNT.room_for(CLOSURE_COST)?;
            let index = closures.all.len();
            let ty = function_type(store, &signature);
            let function = Func::new(&mut *store, ty, move |mut caller: Caller<'_, Guest>, params, results| {
                dispatch(&mut caller.as_context_mut(), index, params, results)
            });
            dl(store).closures.all.push(Closure { function, signature, dispatcher, user });
            index
        }
    };
    let function = dl(store).closures.all[index].function;
    let slot = match slots::allocate(store, 1, 1) {
        Ok(slot) => slot,
        Err(failure) => {
            dl(store).release(index);
            return Err(failure.into());
        }
    };
    slots::set(store, slot, function)?;
    dl(store).closures.live.insert(slot, index);
    Ok(memory(store, |m| m.write_u32(out, slot))?)
}

pub(super) fn release(store: &mut Context<'_>, raw: &[u32]) -> Outcome {
    let slot = raw[0];
    let Some(index) = dl(store).closures.live.remove(&slot) else {
        return Err(Failure::new(Errno::INVAL, format!("{slot:#x} is no closure")).into());
    };
    slots::give_back(store, slot, 1);
    dl(store).release(index);
    Ok(())
}

impl Dl {
    fn release(&mut self, index: usize) {
        let signature = self.closures.all[index].signature.clone();
        self.closures.released.entry(signature).or_default().push(index);
    }
}

/// What a closure does: the arguments and room for the result go to the guest's stack, and the
/// dispatcher is called.
fn dispatch(store: &mut Context<'_>, index: usize, params: &[Val], results: &mut [Val]) -> wasmtime::Result<()> {
    store.data().stack.check()?;
    let Closure { dispatcher, user, .. } = dl(store).closures.all[index];
    let signature = dl(store).closures.all[index].signature.clone();
    let ends = |why: &str| wasmtime::Error::msg(format!("a closure can't be called: {why}"));
    let program = dl(store).program;
    let stack = program
        .get_global(&mut *store, "__stack_pointer")
        .filter(|g| g.ty(&*store).mutability() == Mutability::Var)
        .ok_or_else(|| ends("the program does not export `__stack_pointer`"))?;
    let old = stack.get(&mut *store);
    let top = old.i32().ok_or_else(|| ends("`__stack_pointer` is no address"))?.cast_unsigned();
    let size = (u32::try_from(params.len())? + 1) * SLOT;
    let base = top.checked_sub(size).ok_or_else(|| ends("the stack is exhausted"))? & !(STACK_ALIGNMENT - 1);
    let slots = std::iter::once(0).chain(params.iter().map(slot_of)).flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
    memory(store, |m| m.write(base, &slots)).map_err(|_| ends("the stack is exhausted"))?;
    stack.set(&mut *store, Val::I32(base.cast_signed()))?;
    let function = function_at(store, dispatcher).map_err(|_| ends("its dispatcher is gone"))?;
    let arguments = [user, base + SLOT, base].map(|v| Val::I32(v.cast_signed()));
    function.call(&mut *store, &arguments, &mut [])?;
    if let (Some(kind), Some(out)) = (signature.result, results.first_mut()) {
        let bytes =
            memory(store, |m| Ok(m.slice(base, SLOT)?.as_chunks::<8>().0[0])).map_err(|_| ends("its stack is gone"))?;
        *out = kind.value(u64::from_le_bytes(bytes));
    }
    stack.set(&mut *store, old)
}
