//! What runs a guest's code. The rest of the crate knows an engine only by the names given here.

mod charges;
mod dl;
mod guest;
mod imports;
mod layout;
mod linker;
mod native;
mod snapshot;
mod stack;
mod values;
mod wasmtime;

pub use self::wasmtime::{ENGINE_ID, Engine, Module, Start, Started, THREAD_STACK};
pub use dl::TABLE;
pub use layout::Layout;
pub use native::{KeptState, LibraryCode, MemoryBase, NativeModule, NativeStarted, Symbols};
pub use snapshot::Frozen;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::account::Full;
use crate::limits::Limit;
use crate::linking::{SideModule, TableIndex};
use crate::vfs::FileStat;

/// A side module: its code, and what its bytes say.
pub struct Library<C = Module> {
    /// What the bytes say.
    pub side: SideModule,
    /// The code.
    pub code: PendingCode<C>,
}

/// Code that is being brought, perhaps by another thread: waits for it, and gives it or says why
/// there is none.
pub type PendingCode<C = Module> = Box<dyn FnOnce() -> Result<C, NoCode>>;

/// Why there is no code of a library.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoCode {
    /// It can't be loaded or compiled.
    #[error("{0}")]
    Refused(String),
    /// It, or its compilation, takes more memory than the guest has left.
    #[error("{0}")]
    Memory(String),
}

/// Where the code of a side module comes from: compiled before, or now. All is for the engine that
/// runs the guest.
pub trait CodeSource {
    /// The side module in this file, which looks so, if that is known without reading the file.
    fn known(&mut self, file: &Arc<OwnedFd>, stat: &FileStat) -> Option<Library>;

    /// The code for these bytes.
    fn code(&mut self, wasm: Vec<u8>) -> PendingCode;

    /// Where the program has its functions in its table, if that is known.
    fn table_index(&mut self) -> Option<TableIndex>;
}

/// Where native code of libraries comes from.
pub trait NativeSource {
    /// The library in this file, which looks so.
    ///
    /// # Errors
    ///
    /// [`NoCode`] if no package brought native code of it.
    fn library(&mut self, file: &Arc<OwnedFd>, stat: &FileStat) -> Result<Library<LibraryCode>, NoCode>;
}

impl From<Full> for NoCode {
    fn from(full: Full) -> Self {
        Self::Memory(full.to_string())
    }
}

impl From<EngineError> for NoCode {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Full(full) => full.into(),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// How a guest's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestExit {
    /// The guest's own status.
    Exit(u32),
    /// The guest did what no program may; why, in words.
    Trap(String),
    /// The run reached this limit.
    Limit(Limit),
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
    /// The memory that it begins with does not fit in the account.
    #[error("it needs {needed} MiB to begin with; give it more memory with `--max-memory {needed}`")]
    Memory {
        /// What is needed in all, in MiB.
        needed: usize,
    },
    /// Its code or its tables do not fit in the account.
    #[error(transparent)]
    Full(#[from] Full),
    /// Its imports or tables are not what the engine gives.
    #[error("it can't be instantiated: {0}")]
    Instantiate(String),
    /// The machine has no room for its memory or tables.
    #[error("it can't be started: {0}")]
    Start(String),
    /// Its state can't be frozen.
    #[error("its initialised state can't be kept: {0}")]
    Snapshot(String),
}
