//! What runs a guest's code. The rest of the crate knows an engine only by the names given here.

mod dl;
mod limits;
mod snapshot;
mod wasmtime;

pub use self::wasmtime::{Engine, Module, Started, THREAD_STACK};
pub use snapshot::Frozen;

use crate::linking::SideModule;
use crate::vfs::FileStat;

/// A side module: its code, and what its bytes say.
pub struct Library {
    /// What the bytes say.
    pub side: SideModule,
    /// The code.
    pub module: Module,
}

/// Where the code of a side module comes from: compiled before, or now.
pub trait CodeSource {
    /// The side module in the file that looks so, if that is known without reading the file.
    fn known(&mut self, file: &FileStat) -> Option<Library>;

    /// The code for these bytes, for the engine that runs the guest.
    ///
    /// # Errors
    ///
    /// Why there is none, in words.
    fn module(&mut self, wasm: Vec<u8>) -> Result<Module, String>;
}

/// How a guest's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest's own status.
    Exit(u32),
    /// The guest did what no program may; why, in words.
    Trap(String),
}

/// Why a module can't be loaded or started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine can't work on this machine.
    #[error("the engine can't be set up: {0}")]
    Setup(String),
    /// The bytes are no module that this engine takes.
    #[error("it is no valid WebAssembly module: {0}")]
    Invalid(String),
    /// The compiled code can't be used.
    #[error("the compiled code does not load: {0}")]
    Compiled(String),
    /// An import that there is not.
    #[error("it imports `{0}.{1}`, which is neither WASI preview 1 nor `pynbox`")]
    Import(String, String),
    /// An export that is needed.
    #[error("it does not export {0}")]
    Export(&'static str),
    /// There is no room for its memory or tables.
    #[error("it can't be started: {0}")]
    Start(String),
    /// Its state can't be frozen.
    #[error("its initialised state can't be kept: {0}")]
    Snapshot(String),
}
