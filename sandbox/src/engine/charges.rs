//! What a guest takes of the account, in the terms of the engine.

use crate::account::{ACCOUNT, Charge, Full};

/// What a guest has taken of [`ACCOUNT`].
#[derive(Debug)]
pub(super) struct GuestCharges {
    /// Its linear memory.
    memory: Charge<'static>,
    /// Its exceptions.
    exceptions: Charge<'static>,
    /// The last refusal.
    pub(super) refused: Option<Full>,
}

/// Bytes of the heap of exceptions: room for some ten thousand that are caught and not yet done
/// with.
pub(super) const EXCEPTIONS: usize = 1 << 20;

/// Bytes of an entry of a table.
const ENTRY: usize = size_of::<usize>();

impl GuestCharges {
    pub(super) fn new() -> Self {
        Self { memory: ACCOUNT.none(), exceptions: ACCOUNT.none(), refused: None }
    }

    fn allowed(&mut self, result: Result<(), Full>) -> wasmtime::Result<bool> {
        self.refused = result.err();
        Ok(self.refused.is_none())
    }
}

impl wasmtime::ResourceLimiter for GuestCharges {
    /// A memory that could not be grown after this is charged too much, until the next call: each
    /// says what there is.
    ///
    /// The heap of exceptions is a memory for the engine, too, which does not say which one it
    /// means. That one is told by its size; a program's of the same size is charged no less than it
    /// has.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let charged = match (current, desired) {
            (0, EXCEPTIONS) if self.exceptions.bytes() == 0 => self.exceptions.resize(EXCEPTIONS),
            // The engine asks, and then refuses: that heap can't grow.
            (EXCEPTIONS, _) => self.memory.resize(desired.max(self.memory.bytes())),
            _ => self.memory.resize(desired),
        };
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
        1 + super::linker::LOADS_MAX
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        8
    }
}
