//! The engine for native code: a shared object that the build graph made of a WebAssembly module
//! (wasm2c, clang), and the runtime that it is linked with (`recipes/files/native/runtime.c`).
//!
//! The runtime reserves the memory with guards around it, turns faults of the guest into traps, and
//! hands each call of the guest over to [`Run`], by its number in the import table. All checks that
//! keep the guest in its memory are part of the code: whoever made it is trusted
//! (`docs/security.md`).

mod guest;
mod image;
mod libraries;
mod link;
mod object;
mod types;

use std::any::Any;
use std::ffi::{c_char, c_uint, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::slice;
use std::thread;

use wasmtime::Trap;

use super::linker::{self, THREW_IN_LOAD, state::ClosureId};
use super::wasmtime::{BESIDES, Start, describe};
use super::{EngineError, GuestExit, NativeSource};
use crate::abi::{GuestEnd, Handler, Host, IMPORTS, LinkerFunction};
use crate::account::{ACCOUNT, Charge};
use crate::caller;
use crate::compiled::Image;
use guest::{Guest, Left, THREW};
pub use image::LibraryCode;
use libraries::{Libraries, NativeParts};
pub use object::Symbols;
use object::{LinearMemory, Link, MappedImage, Module, Object, Table};

/// Changes with the interface between the loader and native code (`NATIVE_VERSION`).
const VERSION: u32 = 4;
/// Address space that the runtime reserves for a memory (8 GiB, and a guard), and room for the rest
/// of the process.
const ADDRESSES: u64 = (8 << 30) + (512 << 20);

/// How native code reaches the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryBase {
    /// Relative to the segment register `%gs`.
    Segment,
    /// By a pointer.
    Pointer,
}

impl MemoryBase {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Segment, Self::Pointer];

    /// The faster one of those that this machine lets programs use.
    pub fn of_this_machine() -> Self {
        /// Of `AT_HWCAP2`: programs may set segment bases (`asm/hwcap2.h`).
        const FSGSBASE: u64 = 2;
        // SAFETY: reads what the kernel gave this process at its start.
        if unsafe { libc::getauxval(libc::AT_HWCAP2) } & FSGSBASE != 0 { Self::Segment } else { Self::Pointer }
    }

    /// Its word, as the build graph names directories.
    pub fn word(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Pointer => "pointer",
        }
    }

    /// The name for code of this kind that the loader can run.
    pub fn id(self) -> String {
        format!("native{VERSION}-{}", self.word())
    }

    /// Its number in `module.h`.
    fn number(self) -> u32 {
        match self {
            Self::Segment => 1,
            Self::Pointer => 2,
        }
    }
}

/// Native code of a program, ready to start.
pub struct NativeModule {
    runtime: Runtime,
    module: &'static Module,
    parts: ProgramParts,
    symbols: Symbols,
    /// Its code, as long as it is mapped.
    _code: Charge<'static>,
}

/// What a module has that is a program.
#[derive(Clone, Copy)]
struct ProgramParts {
    memory: unsafe extern "C" fn(*mut c_void) -> *const LinearMemory,
}

/// The functions of the runtime (`runtime.h`).
#[derive(Clone, Copy)]
struct Runtime {
    begin: unsafe extern "C" fn(*mut Run) -> bool,
    instantiate: unsafe extern "C" fn(*const Module, *mut c_void) -> c_uint,
    restore: unsafe extern "C" fn(*const Module, *mut c_void, *const MappedImage) -> c_uint,
    start: unsafe extern "C" fn(*const Module, *mut c_void) -> c_uint,
    resume: unsafe extern "C" fn(*const Module, *mut c_void) -> c_uint,
    trap: unsafe extern "C" fn() -> c_uint,
    thrown: unsafe extern "C" fn(*mut u32) -> bool,
    link: unsafe extern "C" fn(*const Module, *mut c_void, *mut u64) -> c_uint,
    call: unsafe extern "C" fn(Link, *const c_char, *const u64, *mut u64) -> c_uint,
    ty: unsafe extern "C" fn(*const Module, *const c_char) -> *const c_char,
    grow_table: unsafe extern "C" fn(*mut Table, u32) -> u32,
    /// Only their addresses are used.
    missing: *mut c_void,
    closure: *mut c_void,
}

/// The state that a program had at the end of its initialisation.
pub struct KeptState {
    /// The file that its memory is mapped from.
    pub file: File,
    /// The rest of it.
    pub image: Image,
}

/// How guest code came back (`enum native_end`): by itself, or by a call that ended the guest; all
/// else is a trap.
const RETURNED: c_uint = 0;
const ENDED: c_uint = 1;

/// What the runtime gets as its host: `struct native_host`, and what the calls work on.
#[repr(C)]
struct Run {
    call: unsafe extern "C" fn(*mut Run, u32, *const u64) -> i64,
    may_grow: unsafe extern "C" fn(*mut Run, u64) -> bool,
    closed: unsafe extern "C" fn(*mut Run, u32, *const u64, *mut u64) -> i64,
    runtime: Runtime,
    module: &'static Module,
    parts: ProgramParts,
    instance: *mut c_void,
    host: Host,
    libraries: Libraries,
    /// What its memory and its table take of the account.
    memory: Charge<'static>,
    /// What it asked for last, and did not get.
    refused: Option<usize>,
    /// What a call ended the guest with.
    end: Option<GuestEnd>,
    /// Why guest code trapped that a call of the guest had called.
    trapped: Option<String>,
    /// A panic of a call, which goes on above the guest's frames.
    panic: Option<Box<dyn Any + Send>>,
}

/// A program with memory and a host, whose code has not run yet.
pub struct NativeStarted<'m> {
    module: &'m NativeModule,
    run: *mut Run,
    /// Whether it goes on from its snapshot.
    resumes: bool,
}

impl NativeModule {
    /// Loads the code of a program, and the runtime that it was linked with, at the guest's
    /// expense. They stay in this process.
    ///
    /// # Safety
    ///
    /// Both files are native code, and are run: they must be what the build graph made, for this
    /// way to reach memory, and must not change while this process lives.
    ///
    /// # Errors
    ///
    /// [`EngineError::Setup`] where the address space is limited; [`EngineError::Compiled`];
    /// [`EngineError::Full`].
    pub unsafe fn load(runtime: &File, code: &File, base: MemoryBase) -> Result<Self, EngineError> {
        if caller::address_space().is_some_and(|left| left < ADDRESSES) {
            let why =
                "native code needs 9 GiB of address space, and `ulimit -v` leaves less; `--engine wasmtime` needs less";
            return Err(EngineError::Setup(why.to_owned()));
        }
        let mut size = 0;
        for file in [runtime, code] {
            let stat = rustix::fs::fstat(file).map_err(|e| EngineError::Compiled(e.to_string()))?;
            size += usize::try_from(stat.st_size).unwrap_or(0);
        }
        let charge = ACCOUNT.charge(size)?;
        // SAFETY: that is this function's own contract. Code finds the runtime by its name, since
        // that is loaded.
        let (runtime, code) = unsafe { (Object::open(runtime)?, Object::open(code)?) };
        // SAFETY: the symbols of the runtime have these types (`runtime.h`), and that of a module
        // is the description (`module.h`), which is constant and stays.
        let (runtime, module) = unsafe {
            let functions = Runtime {
                begin: runtime.symbol(c"native_begin")?,
                instantiate: runtime.symbol(c"native_instantiate")?,
                restore: runtime.symbol(c"native_restore")?,
                start: runtime.symbol(c"native_start")?,
                resume: runtime.symbol(c"native_resume")?,
                trap: runtime.symbol(c"native_trap")?,
                thrown: runtime.symbol(c"native_thrown")?,
                link: runtime.symbol(c"native_link")?,
                call: runtime.symbol(c"native_call")?,
                ty: runtime.symbol(c"native_type")?,
                grow_table: runtime.symbol(c"native_grow_table")?,
                missing: runtime.symbol(c"native_missing")?,
                closure: runtime.symbol(c"native_closure_code")?,
            };
            (functions, code.symbol::<&'static Module>(c"native_module")?)
        };
        if (module.version, module.variant) != (VERSION, base.number()) {
            let (version, variant) = (module.version, module.variant);
            return Err(EngineError::Compiled(format!("it is of version {version}, variant {variant}")));
        }
        let memory = module.memory.filter(|_| module.start.is_some());
        let memory = memory.ok_or_else(|| EngineError::Compiled("it is a library".to_owned()))?;
        Ok(Self { runtime, module, parts: ProgramParts { memory }, symbols: code.symbols(), _code: charge })
    }

    /// What code of libraries is bound to.
    pub fn symbols(&self) -> Symbols {
        self.symbols
    }

    /// Whether the program can load libraries: it has a table that it shares with them.
    pub fn loads_libraries(&self) -> bool {
        self.module.table.is_some()
    }

    /// Whether the program can begin with this image.
    pub fn takes(&self, image: &Image) -> bool {
        self.module.resume.is_some() && self.module.global_sizes().eq(image.globals.iter().map(|global| global.size))
    }

    /// Gives the program its memory, which begins as `kept` has it if that is given and is one that
    /// this module [takes](Self::takes), and `host`. No code of the guest runs yet, unless the
    /// module has a start function; then it runs here. The calling thread has to be the one that
    /// runs the guest. One guest runs in a process.
    ///
    /// # Errors
    ///
    /// [`EngineError::Memory`], [`EngineError::Full`], [`EngineError::Start`].
    pub fn start(&self, host: Host, kept: Option<KeptState>) -> Result<Start<NativeStarted<'_>>, EngineError> {
        let module = self.module;
        let instance = object::room(module.size)?.leak().as_mut_ptr().cast::<c_void>();
        let run = Run {
            call: Run::call_of_guest,
            may_grow: Run::growth_of_guest,
            closed: Run::closure_of_guest,
            runtime: self.runtime,
            module,
            parts: self.parts,
            instance,
            host,
            libraries: Libraries::new(NativeParts::default()),
            memory: ACCOUNT.none(),
            refused: None,
            end: None,
            trapped: None,
            panic: None,
        };
        // From here on the runtime and its callbacks reach it, until the process ends.
        let run = Box::into_raw(Box::new(run));
        // SAFETY: `run` begins with a `struct native_host`, and lives for ever.
        if !unsafe { (self.runtime.begin)(run) } {
            let why = io::Error::last_os_error();
            return Err(EngineError::Start(format!("its signals can't be handled: {why}")));
        }
        let kept = kept.filter(|kept| self.takes(&kept.image));
        let resumes = kept.is_some();
        // SAFETY: the instance has the module's size, and is zero. The image fits the module, and
        // is mapped, not kept.
        let end = unsafe {
            match kept {
                Some(KeptState { file, image }) => {
                    let globals: Vec<u64> = image.globals.iter().map(|global| global.value).collect();
                    let Image { offset, start, length, pages, most, .. } = image;
                    let (file, globals) = (file.as_raw_fd(), globals.as_ptr());
                    let mapped = MappedImage { file, offset, start, length, pages, most, globals };
                    (self.runtime.restore)(module, instance, &raw const mapped)
                }
                None => (self.runtime.instantiate)(module, instance),
            }
        };
        let started = NativeStarted { module: self, run, resumes };
        match started.ending(end) {
            None => Ok(Start::Ready(started)),
            Some(Ok(ending)) => Ok(Start::Ended(ending)),
            Some(Err(error)) => Err(error),
        }
    }
}

impl NativeStarted<'_> {
    /// Lets the guest load libraries, whose code comes from `source`.
    pub fn allow_loading(&mut self, source: Box<dyn NativeSource>) {
        // SAFETY: `run` is alive, and nobody else uses it: no code of the guest is running.
        unsafe { (*self.run).libraries.own.source = Some(source) };
    }

    /// Runs the program until it ends.
    ///
    /// # Errors
    ///
    /// [`EngineError::Start`] if the runtime could not go on.
    pub fn run(&mut self) -> Result<GuestExit, EngineError> {
        let NativeModule { runtime, module, .. } = self.module;
        // SAFETY: `run` is alive, and nobody else uses it: no code of the guest is running.
        let instance = unsafe { (*self.run).instance };
        let enter = if self.resumes { runtime.resume } else { runtime.start };
        // SAFETY: the instance has been filled, by what this enters.
        let end = unsafe { enter(*module, instance) };
        self.ending(end).unwrap_or(Ok(GuestExit::Exit(0)))
    }

    /// How guest code came back; `None`: by itself.
    fn ending(&self, end: c_uint) -> Option<Result<GuestExit, EngineError>> {
        // SAFETY: `run` is alive, and no code of the guest is running.
        let mut guest = unsafe { Guest::new(self.run) };
        let end = match end {
            THREW if matches!(guest.uncaught(), Err(Left::Ended)) => ENDED,
            end => end,
        };
        // SAFETY: as in `run`; the reference ends with this function.
        let run = unsafe { &mut *self.run };
        if let Some(panic) = run.panic.take() {
            resume_unwind(panic);
        }
        if let Some(why) = run.trapped.take() {
            return Some(Ok(GuestExit::Trap(why)));
        }
        match (end, run.end, run.refused) {
            (RETURNED, ..) => None,
            (THREW, ..) => Some(Ok(GuestExit::Trap("an exception was thrown that nothing catches".to_owned()))),
            (ENDED, Some(GuestEnd::Exit(status)), _) => Some(Ok(GuestExit::Exit(status))),
            (ENDED, Some(GuestEnd::Limit(limit)), _) => Some(Ok(GuestExit::Limit(limit))),
            (ENDED, None, Some(bytes)) => {
                let needed = ACCOUNT.used().saturating_add(bytes).saturating_add(BESIDES).div_ceil(1 << 20);
                Some(Err(EngineError::Memory { needed }))
            }
            (ENDED, None, None) => Some(Err(EngineError::Start("there is no room for its memory".to_owned()))),
            // SAFETY: reads a number.
            _ => Some(Ok(GuestExit::Trap(trap(unsafe { (self.module.runtime.trap)() })))),
        }
    }
}

impl Run {
    /// What the runtime calls for a call of the guest (`native_host.call`): gives WASI's errno, or
    /// -1 to end the guest. Nothing unwinds out of it.
    unsafe extern "C" fn call_of_guest(run: *mut Self, number: u32, arguments: *const u64) -> i64 {
        let function = &IMPORTS[number as usize];
        // SAFETY: code is compiled with the same table (`calls.h`): there are as many slots as
        // parameters, and at least one.
        let raw = unsafe { slice::from_raw_parts(arguments, function.parameters.len()) };
        // SAFETY: the runtime hands back what it was given, on the guest's thread.
        let mut guest = unsafe { Guest::new(run) };
        let called = || match function.handler {
            Handler::Host(_) => {
                let answer = guest.with_host(|host, memory| function.invoke(host, memory, raw));
                answer.map_err(|end| guest.ends(end))
            }
            Handler::Linker(which) => {
                #[expect(clippy::cast_possible_truncation, reason = "an i32 lies in the low half")]
                let raw: Vec<u32> = raw.iter().map(|&slot| slot as u32).collect();
                linker::answer(&mut guest, which, &raw).map_err(|left| match left {
                    Left::Threw if which == LinkerFunction::Open => guest.traps(THREW_IN_LOAD.to_owned()),
                    left => left,
                })
            }
        };
        let called = catch_unwind(AssertUnwindSafe(called));
        // SAFETY: as above; no reference to it is alive.
        unsafe { Self::answer(run, called.map(|answer| answer.map(i64::from))) }
    }

    /// What the runtime is told; a panic is noted.
    ///
    /// # Safety
    ///
    /// `run` is the guest's, and no reference to it is alive.
    unsafe fn answer(run: *mut Self, answer: thread::Result<Result<i64, Left>>) -> i64 {
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(Left::Ended)) => -1,
            Ok(Err(Left::Threw)) => -2,
            Err(panic) => {
                // SAFETY: that is this function's own contract.
                unsafe { (*run).panic = Some(panic) };
                -1
            }
        }
    }

    /// What the runtime asks before the memory and the table take so many bytes
    /// (`native_host.may_grow`).
    unsafe extern "C" fn growth_of_guest(run: *mut Self, bytes: u64) -> bool {
        // SAFETY: the runtime hands back what it was given, on the guest's thread; no reference to
        // it is alive while guest code runs. Nothing here panics.
        let run = unsafe { &mut *run };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let charged = run.memory.resize(bytes).is_ok();
        run.refused = (!charged).then_some(bytes);
        charged
    }

    /// What the runtime calls for a call of a closure (`native_host.closed`).
    unsafe extern "C" fn closure_of_guest(run: *mut Self, number: u32, arguments: *const u64, result: *mut u64) -> i64 {
        // SAFETY: as in `call_of_guest`.
        let mut guest = unsafe { Guest::new(run) };
        let id = ClosureId::from_number(number);
        let called = || {
            let count = guest.libraries().closures.get(id).signature.parameters.len();
            // SAFETY: the runtime hands over as many as the closure's type has, and one more.
            let given = unsafe { slice::from_raw_parts(arguments, count) };
            linker::call::dispatch(&mut guest, id, given)
        };
        let answer = catch_unwind(AssertUnwindSafe(called)).map(|answer| {
            answer.map(|value| {
                // SAFETY: the runtime gives room for the result.
                unsafe { *result = value };
                0
            })
        });
        // SAFETY: as above; no reference to it is alive.
        unsafe { Self::answer(run, answer) }
    }
}

/// What a trap of the runtime's (`wasm_rt_trap_t`) was, in the words that the other engine has.
fn trap(number: c_uint) -> String {
    describe(match number {
        1 => Trap::MemoryOutOfBounds,
        2 => Trap::IntegerOverflow,
        3 => Trap::IntegerDivisionByZero,
        4 => Trap::BadConversionToInteger,
        5 => Trap::UnreachableCodeReached,
        // The runtime tells no index that is too large, no empty entry and no other signature
        // apart.
        6 => return "wasm trap: an indirect call to no function of its signature".to_owned(),
        7 => Trap::NullReference,
        10 => Trap::StackOverflow,
        other => return format!("wasm trap: number {other} of the runtime"),
    })
}
