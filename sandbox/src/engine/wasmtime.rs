//! The engine built on wasmtime.

use std::borrow::Cow;
use std::fs::File;
use std::sync::Arc;

use rustix::io::Errno;
use wasmtime::{
    AsContextMut as _, Config, Extern, ExternType, ImportType, Instance, OptLevel, Store, ThrownException, Trap,
};

use super::charges::{EXCEPTIONS, GuestCharges};
use super::dl::{self, Libraries, WasmtimeParts};
use super::guest::Guest;
use super::imports::{self, EndedByCall};
use super::stack::Stack;
use super::{CodeSource, EngineError, GuestExit, Layout};
use crate::abi::{self, GuestEnd, Handler, Host, LinkerFunction};
use crate::account::{ACCOUNT, Charge};
use crate::translate::{self, TranslateError};

/// Native stack that a guest's calls may take. 8 MiB carry 10,000 frames of Python; the guest's own
/// stack is in its memory.
const GUEST_STACK: usize = 16 << 20;
/// Stack of the thread that a guest runs on: beyond the guest's, room for the host's functions that
/// it calls.
pub const THREAD_STACK: usize = GUEST_STACK + (2 << 20);

/// Bytes that a guest takes besides its memory and code before it runs: tables, above all.
pub(super) const BESIDES: usize = 256 << 10;

/// The name for code of the usual layout. Changes with the version of the engine and with the
/// settings below.
pub const ENGINE_ID: &str = "wasmtime48-2";
/// What lies around a memory where the address space is limited, and around the exceptions.
const SMALL_GUARD: u64 = 64 << 10;

/// The engine, set up.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    layout: Layout,
    id: Arc<str>,
}

/// A module, ready to start.
#[derive(Clone)]
pub struct Module {
    pub(super) module: wasmtime::Module,
    /// Its code, as long as it is mapped.
    pub(super) code: Arc<Charge<'static>>,
    /// Bytes of its code that no file holds.
    copied: usize,
}

/// A module with memory and a host, whose code has not run yet.
pub struct Started {
    pub(super) store: Store<Guest>,
    pub(super) instance: Instance,
}

/// What became of a module that was given memory and a host.
pub enum Start<S = Started> {
    /// Its code can be called.
    Ready(S),
    /// Its start function ended it.
    Ended(GuestExit),
}

impl Engine {
    /// Sets the engine up. With `compiler`, it can compile; without, it starts faster and can only
    /// load what was compiled.
    ///
    /// # Errors
    ///
    /// [`EngineError::Setup`].
    pub fn new(compiler: bool, layout: Layout) -> Result<Self, EngineError> {
        // A snapshot's memory is one image that is mapped, whatever holes it has.
        Self::with(compiler, true, u64::MAX, layout)
    }

    /// An engine that compiles what a guest brought, while that guest runs: on the calling thread
    /// alone.
    ///
    /// # Errors
    ///
    /// [`EngineError::Setup`].
    pub fn for_untrusted(layout: Layout) -> Result<Self, EngineError> {
        // A few bytes at both ends of a memory are no reason for an image of it.
        Self::with(true, false, 0, layout)
    }

    /// `image` is the largest image of a memory that is made whatever holes it has, in bytes.
    fn with(compiler: bool, parallel: bool, image: u64, layout: Layout) -> Result<Self, EngineError> {
        let mut config = Config::new();
        config
            .enable_compiler(compiler)
            .parallel_compilation(parallel)
            .max_wasm_stack(GUEST_STACK)
            // Not used without async, but compared with the one above.
            .async_stack_size(THREAD_STACK)
            .memory_guaranteed_dense_image_size(image)
            .memory_init_cow(layout.has_images())
            // Of what the collector is for, a guest has exceptions and nothing else. Their heap is
            // small, and never grows: what is left of them lives for as long as somebody catches.
            .wasm_exceptions(true)
            .wasm_function_references(false)
            .wasm_gc(false)
            .gc_heap_initial_size(EXCEPTIONS as u64)
            .gc_heap_reservation(EXCEPTIONS as u64)
            .gc_heap_reservation_for_growth(0)
            .gc_heap_guard_size(SMALL_GUARD)
            .gc_heap_may_move(false)
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false)
            .native_unwind_info(false);
        if compiler {
            config.cranelift_opt_level(OptLevel::Speed);
        }
        if layout.reservation() < Layout::USUAL.reservation() {
            // Each access is checked. A memory has all of its space from the start, and is never
            // moved into another.
            config
                .memory_reservation(layout.reservation())
                .memory_reservation_for_growth(0)
                .memory_guard_size(SMALL_GUARD)
                .memory_may_move(false);
        }
        let engine = wasmtime::Engine::new(&config).map_err(|e| EngineError::Setup(format!("{e:#}")))?;
        let id = format!("{ENGINE_ID}{}", layout.suffix()).into();
        Ok(Self { engine, layout, id })
    }

    /// The layout that its code is for.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// A name for the code that this engine makes and takes; code of another name is never loaded.
    /// The engine itself compares versions, settings and the processor's features besides.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Feeds a hasher all that decides whether code of one engine can be run by another: version,
    /// settings, the processor's features.
    pub fn hash_compatibility(&self, hasher: &mut impl std::hash::Hasher) {
        std::hash::Hash::hash(&self.engine.precompile_compatibility_hash(), hasher);
    }

    /// Compiles a module.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`].
    pub fn compile(&self, wasm: &[u8]) -> Result<Module, EngineError> {
        match wasmtime::Module::new(&self.engine, translated(wasm)?) {
            Ok(module) => Ok(Module { module, code: Arc::new(ACCOUNT.none()), copied: 0 }),
            Err(e) => Err(EngineError::Invalid(format!("{e:#}"))),
        }
    }

    /// Compiles a module to bytes that [`Engine::load`] takes.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`].
    pub fn compile_ahead(&self, wasm: &[u8]) -> Result<Vec<u8>, EngineError> {
        self.engine.precompile_module(&translated(wasm)?).map_err(|e| EngineError::Invalid(format!("{e:#}")))
    }

    /// Takes code that [`Engine::compile_ahead`] gave to this process, at the guest's expense.
    ///
    /// # Safety
    ///
    /// The bytes are native code, and are run: they must be those that `compile_ahead` gave.
    ///
    /// # Errors
    ///
    /// [`EngineError::Compiled`], [`EngineError::Full`].
    pub unsafe fn take(&self, code: &[u8]) -> Result<Module, EngineError> {
        let charge = ACCOUNT.charge(code.len())?;
        // SAFETY: that is this function's own contract.
        let module = unsafe { wasmtime::Module::deserialize(&self.engine, code) };
        Module::loaded(module, charge, code.len())
    }

    /// Maps code that [`Engine::compile_ahead`] made, at the guest's expense.
    ///
    /// # Safety
    ///
    /// The file is native code, and is run: its bytes must be those that `compile_ahead` gave, and
    /// must not change while the module lives.
    ///
    /// # Errors
    ///
    /// [`EngineError::Compiled`], also for code of another engine; [`EngineError::Full`].
    pub unsafe fn load(&self, file: File) -> Result<Module, EngineError> {
        let length = rustix::fs::fstat(&file).map_err(|e| EngineError::Compiled(e.to_string()))?.st_size;
        let charge = ACCOUNT.charge(usize::try_from(length).unwrap_or(usize::MAX))?;
        // SAFETY: that is this function's own contract.
        let module = unsafe { wasmtime::Module::deserialize_open_file(&self.engine, file) };
        Module::loaded(module, charge, 0)
    }

    /// Gives the module its memory and `host`. No code of the guest runs yet, unless the module has
    /// a start function; then it runs here. The calling thread has to be the one that runs the
    /// guest, with a stack of [`THREAD_STACK`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Import`], [`EngineError::Export`], [`EngineError::Memory`],
    /// [`EngineError::Full`], [`EngineError::Instantiate`], [`EngineError::Start`].
    pub fn start(&self, module: &Module, host: Host) -> Result<Start, EngineError> {
        let module = &module.module;
        let stack = Stack::of_this_thread(THREAD_STACK);
        let charges = GuestCharges::new();
        let guest = Guest { host, charges, memory: None, stack, libraries: None, link: imports::link };
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.charges);
        let Some(ExternType::Memory(memory)) = module.get_export("memory").filter(|export| match export {
            ExternType::Memory(memory) => !memory.is_shared() && !memory.is_64(),
            _ => false,
        }) else {
            return Err(EngineError::Export("a 32-bit memory named `memory`"));
        };
        let needed = usize::try_from(memory.minimum().saturating_mul(memory.page_size())).unwrap_or(usize::MAX);
        if ACCOUNT.room_for(needed).is_err() {
            let needed = ACCOUNT.used().saturating_add(needed).saturating_add(BESIDES).div_ceil(1 << 20);
            return Err(EngineError::Memory { needed });
        }
        let mut given = Vec::new();
        for import in module.imports() {
            let function = abi::find(import.module(), import.name())
                .ok_or_else(|| EngineError::Import(import.module().to_owned(), import.name().to_owned()))?;
            given.push(Extern::Func(imports::link(&mut store.as_context_mut(), function)));
        }
        let instance = match Instance::new(&mut store, module, &given) {
            Ok(instance) => instance,
            Err(error) if error.is::<EndedByCall>() || error.is::<Trap>() => return Ok(Start::Ended(ending(&error))),
            Err(_) if let Some(full) = store.data().charges.refused => return Err(full.into()),
            // What the system says is the machine's; all else is the module's.
            Err(error) if error.chain().any(|cause| cause.is::<std::io::Error>() || cause.is::<Errno>()) => {
                return Err(EngineError::Start(format!("{error:#}")));
            }
            Err(error) => return Err(EngineError::Instantiate(format!("{error:#}"))),
        };
        let memory = instance.get_memory(&mut store, "memory");
        store.data_mut().memory = memory;
        store.data_mut().libraries = Some(Box::new(Libraries::new(WasmtimeParts::new(instance))));
        Ok(Start::Ready(Started { store, instance }))
    }
}

impl Module {
    fn loaded(
        module: wasmtime::Result<wasmtime::Module>,
        code: Charge<'static>,
        copied: usize,
    ) -> Result<Self, EngineError> {
        match module {
            Ok(module) => Ok(Self { module, code: Arc::new(code), copied }),
            Err(e) => Err(EngineError::Compiled(format!("{e:#}"))),
        }
    }

    /// Whether the module can ask for libraries while it runs.
    pub fn loads_libraries(&self) -> bool {
        let opens = |import: ImportType<'_>| {
            let function = abi::find(import.module(), import.name());
            function.is_some_and(|function| matches!(function.handler, Handler::Linker(LinkerFunction::Open)))
        };
        self.module.imports().any(opens)
    }

    /// Makes the image that the guest's memory is mapped from, which is otherwise done at the first
    /// start. It stays for the life of this process.
    ///
    /// # Errors
    ///
    /// [`EngineError::Start`], [`EngineError::Full`].
    pub fn prepare(&self) -> Result<(), EngineError> {
        // The image is part of the file, or a copy of a part of the code.
        std::mem::forget(ACCOUNT.charge(self.copied)?);
        self.module.initialize_copy_on_write_image().map_err(|e| EngineError::Start(format!("{e:#}")))
    }
}

impl Started {
    /// Lets the guest load side modules, whose code comes from `source`.
    pub fn allow_loading(&mut self, source: Box<dyn CodeSource>) {
        self.store.data_mut().libraries().own.source = Some(source);
    }

    /// Runs the exported function `entry` until the guest ends.
    ///
    /// # Errors
    ///
    /// [`EngineError::Start`] if there is no such function.
    pub fn run(&mut self, entry: &str) -> Result<GuestExit, EngineError> {
        Ok(self.call(entry)?.unwrap_or(GuestExit::Exit(0)))
    }

    /// Calls the exported function `entry`; `None` if it returned.
    pub(super) fn call(&mut self, entry: &str) -> Result<Option<GuestExit>, EngineError> {
        let function = self
            .instance
            .get_typed_func::<(), ()>(&mut self.store, entry)
            .map_err(|_| EngineError::Start(format!("there is no function `{entry}` without parameters")))?;
        let ended = function.call(&mut self.store, ());
        Ok(ended.err().map(|error| ending(&dl::uncaught(&mut self.store.as_context_mut(), error))))
    }

    /// The host that the guest works on.
    pub fn host(&mut self) -> &mut Host {
        &mut self.store.data_mut().host
    }
}

/// The module as it is compiled.
fn translated(wasm: &[u8]) -> Result<Cow<'_, [u8]>, EngineError> {
    match translate::translated(wasm) {
        // The engine has better words for what is damaged.
        Err(TranslateError::Invalid(_)) => Ok(wasm.into()),
        result => result.map_err(|error| EngineError::Invalid(error.to_string())),
    }
}

/// How a guest ended whose code gave this error.
fn ending(error: &wasmtime::Error) -> GuestExit {
    match error.downcast_ref::<EndedByCall>() {
        Some(EndedByCall(GuestEnd::Exit(status))) => return GuestExit::Exit(*status),
        Some(EndedByCall(GuestEnd::Limit(limit))) => return GuestExit::Limit(*limit),
        None => {}
    }
    if error.is::<ThrownException>() {
        return GuestExit::Trap("an exception was thrown that nothing catches".to_owned());
    }
    GuestExit::Trap(match error.downcast_ref::<Trap>() {
        Some(trap) => describe(*trap),
        None => format!("{error:#}"),
    })
}

/// A trap in words.
pub(super) fn describe(trap: Trap) -> String {
    match trap {
        Trap::StackOverflow => "its calls nest too deeply (the stack is exhausted)".to_owned(),
        Trap::UnreachableCodeReached => "it aborted (an unreachable instruction was reached)".to_owned(),
        other => other.to_string(),
    }
}
