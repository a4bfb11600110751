//! What a guest takes of the account, in the terms of the engine.

use crate::account::{ACCOUNT, Charge, Full};

/// What a guest has taken of [`ACCOUNT`].
#[derive(Debug)]
pub(super) struct GuestCharges {
    /// Its linear memory.
    memory: Charge<'static>,
    /// The last refusal.
    pub(super) refused: Option<Full>,
}

/// Bytes of an entry of a table.
const ENTRY: usize = size_of::<usize>();

impl GuestCharges {
    pub(super) fn new() -> Self {
        Self { memory: ACCOUNT.none(), refused: None }
    }

    fn allowed(&mut self, result: Result<(), Full>) -> wasmtime::Result<bool> {
        self.refused = result.err();
        Ok(self.refused.is_none())
    }
}

impl wasmtime::ResourceLimiter for GuestCharges {
    /// A memory that could not be grown after this is charged too much, until the next call: each
    /// says what there is.
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let charged = self.memory.resize(desired);
        self.allowed(charged)
    }

    /// The heap holds tables. One that grows may be given twice the room that it has, as vectors
    /// are.
    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.allowed(ACCOUNT.room_for(desired.saturating_mul(ENTRY)))
    }

    /// The program, and side modules, those that failed included: none of them is given back before
    /// the guest ends.
    fn instances(&self) -> usize {
        1 + super::dl::LOADS_MAX
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        8
    }
}
