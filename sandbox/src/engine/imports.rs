//! Gives a guest the functions of the import table ([`IMPORTS`](crate::abi::IMPORTS)), as functions
//! of wasmtime.

use wasmtime::{AsContextMut, Caller, Func, FuncType, Val, ValType};

use super::dl;
use super::guest::{Context, Guest};
use super::values::{self, val_type};
use crate::abi::{FunctionResult, GuestEnd, Handler, HostFunction};

/// Makes the engine's function for one of the import table.
pub(super) fn link(store: &mut Context<'_>, function: &'static HostFunction) -> Func {
    let parameters = function.parameters.iter().map(|parameter| val_type(parameter.ty));
    let result = match function.result {
        FunctionResult::Errno => Some(ValType::I32),
        FunctionResult::Never => None,
    };
    let ty = FuncType::new(store.engine(), parameters, result);
    Func::new(&mut *store, ty, move |mut caller: Caller<'_, Guest>, arguments, results| {
        let mut store = caller.as_context_mut();
        let answer = match function.handler {
            Handler::Host(_) => call_host(&mut store, function, arguments)?,
            Handler::Linker(which) => {
                store.data().stack.check()?;
                let raw: Vec<u32> = arguments.iter().map(|v| v.i32().unwrap_or(0).cast_unsigned()).collect();
                dl::answer(&mut store, which, &raw)?
            }
        };
        if let Some(result) = results.first_mut() {
            *result = Val::I32(answer.cast_signed());
        }
        Ok(())
    })
}

fn call_host(store: &mut Context<'_>, function: &HostFunction, arguments: &[Val]) -> wasmtime::Result<u32> {
    /// As many as the longest line of the import table has.
    const PARAMETERS_MAX: usize = 9;
    let mut raw = [0u64; PARAMETERS_MAX];
    for (slot, value) in raw.iter_mut().zip(arguments) {
        *slot = values::to_slot(value);
    }
    let raw = &raw[..arguments.len()];
    match store.data().memory {
        Some(memory) => {
            let (mut bytes, guest) = memory.data_and_store_mut(store);
            function.invoke(&mut guest.host, &mut bytes, raw)
        }
        // A start function calls before its memory is known.
        None => function.invoke(&mut store.data_mut().host, &mut Vec::new(), raw),
    }
    .map_err(|end| wasmtime::Error::from(EndedByCall(end)))
}

/// Carries the end of a guest through the engine, by `proc_exit` or by a limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the guest ended")]
pub(super) struct EndedByCall(pub(super) GuestEnd);

#[cfg(test)]
mod tests {
    use crate::abi::IMPORTS;

    #[test]
    fn every_function_fits_the_raw_arguments() {
        assert_eq!(IMPORTS.iter().map(|function| function.parameters.len()).max(), Some(9));
    }
}
