//! Freezing a guest after its initialisation: the module is written anew with the memory and
//! globals that it then has.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::{Extern, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use super::wasmtime::{Engine, Module, Start, Started};
use super::{EngineError, GuestExit};
use crate::abi::Host;

/// A module that begins where another one's initialisation ended.
#[derive(Debug)]
pub struct Frozen {
    /// The module.
    pub wasm: Vec<u8>,
}

impl Engine {
    /// The module that [`Engine::freeze`] runs: the same with exports for all of its state. It
    /// comes out the same each time.
    ///
    /// # Errors
    ///
    /// [`EngineError::Snapshot`] if the module holds what can't be frozen.
    pub fn instrument(wasm: &[u8], init: &str) -> Result<Vec<u8>, EngineError> {
        let mut wizer = Wizer::new();
        wizer.init_func(init);
        let (_, instrumented) = wizer.instrument(wasm).map_err(|e| EngineError::Snapshot(format!("{e:#}")))?;
        Ok(instrumented)
    }

    /// Runs the exported function `init` of the module once and freezes the state that it leaves.
    /// `load` gives the module that is run for that, which it is handed as [`Engine::instrument`]
    /// makes it, `look` sees the host afterwards.
    ///
    /// # Errors
    ///
    /// [`EngineError::Snapshot`] if the module holds what can't be frozen, or `init` does not
    /// return; otherwise as [`Engine::start`].
    pub fn freeze<T>(
        &self,
        wasm: &[u8],
        init: &str,
        host: Host,
        load: impl FnOnce(&[u8]) -> Result<Module, EngineError>,
        look: impl FnOnce(&mut Host) -> Result<T, EngineError>,
    ) -> Result<(Frozen, T), EngineError> {
        let failed = |e: wasmtime::Error| EngineError::Snapshot(format!("{e:#}"));
        let mut wizer = Wizer::new();
        wizer.init_func(init);
        let (context, instrumented) = wizer.instrument(wasm).map_err(failed)?;
        let module = load(&instrumented)?;
        let ended = |what: &str, ending| {
            EngineError::Snapshot(match ending {
                GuestExit::Exit(status) => format!("{what} ended the program with status {status}"),
                GuestExit::Limit(limit) => format!("{what} reached the limit `{}`", limit.row().option),
                GuestExit::Trap(why) => format!("{what} failed: {why}"),
            })
        };
        let mut started = match self.start(&module, host)? {
            Start::Ready(started) => started,
            Start::Ended(ending) => return Err(ended("its start function", ending)),
        };
        // The start function, if there was one, has run: what the snapshot begins with must not run
        // it again, and doesn't.
        if let Some(ending) = started.call(init)? {
            return Err(ended(&format!("`{init}`"), ending));
        }
        let seen = look(started.host())?;
        let wasm = at_once(wizer.snapshot(&context, &mut SnapshotState::of(&mut started))).map_err(failed)?;
        Ok((Frozen { wasm }, seen))
    }
}

/// Runs a future that never waits.
fn at_once<T>(future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(wasmtime::Error::msg("the snapshot waited for something")),
    }
}

/// A copy of everything that a snapshot holds, by the names that `instrument` exported it under.
#[derive(Default)]
struct SnapshotState {
    globals: HashMap<String, SnapshotVal>,
    memories: HashMap<String, Vec<u8>>,
}

impl SnapshotState {
    fn of(started: &mut Started) -> Self {
        let Started { store, instance } = started;
        let mut state = Self::default();
        let exports: Vec<(String, Extern)> =
            instance.exports(&mut *store).map(|e| (e.name().to_owned(), e.into_extern())).collect();
        for (name, export) in exports {
            match export {
                Extern::Global(global) => {
                    let value = match global.get(&mut *store) {
                        Val::I32(v) => SnapshotVal::I32(v),
                        Val::I64(v) => SnapshotVal::I64(v),
                        Val::F32(v) => SnapshotVal::F32(v),
                        Val::F64(v) => SnapshotVal::F64(v),
                        Val::V128(v) => SnapshotVal::V128(v.as_u128()),
                        _ => continue,
                    };
                    state.globals.insert(name, value);
                }
                Extern::Memory(memory) => {
                    state.memories.insert(name, memory.data(&*store).to_vec());
                }
                _ => {}
            }
        }
        state
    }
}

impl InstanceState for SnapshotState {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        // Asked once for each name that `instrument` made; it refuses modules with globals of other
        // types.
        self.globals.remove(name).unwrap_or(SnapshotVal::I32(0))
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        contents(self.memories.get(name).map_or(&[], Vec::as_slice));
    }
}
