//! How much a guest may have.

/// The guest's limits, in the terms of the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of linear memory.
    pub(super) memory: usize,
}

/// Entries of all tables of a guest: each costs eight bytes of the host's memory.
const TABLE_MAX: usize = 10_000_000;

impl wasmtime::ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.memory)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_MAX)
    }

    /// The program, and side modules, those that failed included: none of them is given back before the guest ends.
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
