//! The command `run`: from its options to a guest, and from the guest's end to an exit status.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::mem;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use crate::abi::Host;
use crate::account::ACCOUNT;
use crate::compiled::{Code, Identity, Modules, Part, Record, Store, StoreError, leads_to_cold};
use crate::compiler::{CompileError, Compiler};
use crate::descriptors::Handed;
use crate::engine::{Engine, EngineError, GuestExit, Layout, Module, Start, THREAD_STACK};
use crate::front::{self, Begun, FrontError, NoProgram};
use crate::install::Installation;
use crate::jobs::{self, Jobs};
use crate::limits::{Limit, Limits, Tmpfs};
use crate::log::Log;
use crate::native_code::Loaded;
use crate::native_side::NativeSide;
use crate::options::{EngineName, Options, Task};
use crate::outcome::{ENVIRONMENT_STATUS, How, Outcome, USAGE_STATUS};
use crate::precompile::PrecompileError;
use crate::reach::Reach;
use crate::report::Report;
use crate::side_code::SideCode;
use crate::vfs::{Access, FileStat, GuestPath, Mount, Mounts, Vfs};
use crate::watch::Watch;
use crate::{caller, check, compiler, native_code, precompile, print, scratch, snapshot, wall};

/// Bytes that the C library takes at once for the heap of a thread; memory is only used as it is
/// written. By default the guest's thread would ask the kernel for each page.
#[cfg(target_env = "gnu")]
const HEAP_STEP: i32 = 8 << 20;

/// Why a guest can't be run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum RunError {
    #[error(transparent)]
    Front(#[from] FrontError),
    #[error("there is no program `{0}` in the sandbox: {1}")]
    Program(String, NoProgram),
    #[error("`{0}` can't be read: {1}")]
    Read(String, io::Error),
    #[error("`{0}` can't be run: {1}")]
    Module(String, EngineError),
    #[error("`{0}` can't be run: {1}")]
    Compile(String, CompileError),
    #[error("`{0}` can't be run: {1}; free some memory")]
    Start(String, EngineError),
    #[error(
        "`{0}` has no native code here: {1}; install it with `--engine native`, or run it with `--engine wasmtime`"
    )]
    Native(String, StoreError),
    #[error("the engine: {0}")]
    Engine(EngineError),
    #[error(transparent)]
    Wall(#[from] wall::WallError),
    #[error("no thread for the guest: {0}")]
    Thread(io::Error),
    #[error("the run can't be watched over: {0}; is `ulimit -i` or `-u` too low?")]
    Watch(io::Error),
    #[error(
        "no folder in memory can be made for `{0}`: {1}; as an ordinary user this needs `user.max_user_namespaces` above 0, and where there are \
         such settings `kernel.unprivileged_userns_clone` 1 and `kernel.apparmor_restrict_unprivileged_userns` 0"
    )]
    Scratch(GuestPath, Errno),
    #[error("the log or the status can't be kept from the guest: {0}")]
    Own(Errno),
    #[error(transparent)]
    Precompile(#[from] PrecompileError),
}

impl RunError {
    /// How the run ends by it.
    fn how(&self) -> How {
        match self {
            Self::Module(_, EngineError::Memory { .. } | EngineError::Full(_))
            | Self::Compile(_, CompileError::Memory(_) | CompileError::Full(_)) => How::Limit(Limit::Memory),
            _ => How::Refused(self.status()),
        }
    }

    fn status(&self) -> u8 {
        match self {
            Self::Front(error) => error.status(),
            Self::Program(..) | Self::Native(..) | Self::Module(..) | Self::Compile(_, CompileError::Refused(_)) => {
                USAGE_STATUS
            }
            Self::Precompile(error) if error.is_input() => USAGE_STATUS,
            _ => ENVIRONMENT_STATUS,
        }
    }
}

/// Runs the command with these arguments (without the program's own name) and ends the process.
pub fn main(args: impl Iterator<Item = OsString>) -> ! {
    let Begun { options, handed, log, report } = front::begin(args);
    if options.task == Task::Check {
        report.end(&front::check(&check::wasm::walls()));
    }
    front::die_with_parent(&options);
    let report = Arc::new(report);
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number, while there is one thread.
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, HEAP_STEP);
        if caller::address_space().is_some() {
            // Each thread's heap would reserve 64 MiB.
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
    // The guest has a stack of its own, whatever the limit for the first thread is. The engine's
    // settings are made there too: the first thread waits, and brings code of libraries to memory
    // if the guest asks for them.
    let name = "guest".to_owned();
    let (jobs, server) = jobs::pair();
    let refused = |error: RunError| -> ! {
        log.error(format_args!("{error}"));
        report.end(&Outcome::new(error.how(), error))
    };
    // While there is one thread.
    let scratch = scratch(&options.limits).unwrap_or_else(|error| refused(error));
    // What native code loads has been compiled.
    let compiler = match options.engine {
        Some(EngineName::Native) => Compiler::absent(),
        _ => Compiler::start(compiler::CompilerLimits::default()),
    };
    let watch = Watch::start(&options.limits, report.clone(), log.clone())
        .unwrap_or_else(|error| refused(RunError::Watch(error)));
    let compiler = Arc::new(compiler.watched(&watch));
    ACCOUNT.when_exhausted({
        let (log, report) = (log.clone(), report.clone());
        move || {
            let (claim, outcome) = (report.claim(), Outcome::reached(Limit::Memory));
            log.last(format_args!("the program was ended: {}", outcome.reason.as_deref().unwrap_or_default()));
            claim.end(&outcome)
        }
    });
    let work = {
        let (log, report) = (log.clone(), report.clone());
        move || {
            let outcome =
                run(&options, Own { handed, scratch, jobs, compiler }, &log, &report).unwrap_or_else(|error| {
                    log.error(format_args!("{error}"));
                    Outcome::new(error.how(), error)
                });
            // At once, without giving back what ends with the process.
            report.end(&outcome)
        }
    };
    match std::thread::Builder::new().name(name).stack_size(THREAD_STACK).spawn(work) {
        Err(error) => refused(RunError::Thread(error)),
        Ok(guest) => {
            server.serve();
            let _ = guest.join();
        }
    }
    // The thread ends the process itself unless it panicked, which it has then said.
    report.end(&Outcome::new(How::Fault, "the loader failed; this is a fault of its own"))
}

/// What the guest's thread gets from the first one.
struct Own {
    handed: Handed,
    scratch: Vec<Mount>,
    jobs: Jobs,
    compiler: Arc<Compiler>,
}

fn run(options: &Options, own: Own, log: &Arc<Log>, report: &Arc<Report>) -> Result<Outcome, RunError> {
    let Own { handed, scratch, jobs, compiler } = own;
    let installation = Installation::of_this_program().map_err(FrontError::Installation)?;
    let (name, args) = match &options.task {
        Task::Run(name, args) => (name, args),
        Task::Precompile { paths: names, cache, init_time } => {
            let paths: Vec<Vec<u8>> = names.iter().map(|name| program_path(&installation, name.as_bytes())).collect();
            let time = init_time.map(|seconds| Duration::from_secs(seconds.into()));
            precompile::run(&installation, paths.iter().map(Vec::as_slice), cache.as_deref(), time, log)?;
            return Ok(Outcome::exit(0));
        }
        Task::Check | Task::Help => return Ok(Outcome::exit(0)),
    };
    ACCOUNT.limit(usize::try_from(options.limits.memory()).unwrap_or(usize::MAX));
    let sources = front::sources(options, &installation)?;
    let mut mounts = front::mounts(&sources, options, &installation, log)?;
    mounts.extend(scratch);
    let mut vfs = Vfs::new(Mounts::new(mounts));
    let program = Program::open(&mut vfs, &installation, name.as_bytes(), options)?;
    handed.give(&mut vfs).map_err(FrontError::from)?;
    vfs.limit(&options.limits, report.usage.clone(), report.status().is_some());
    for file in report.status().into_iter().chain(log.file()) {
        vfs.keep_from_guest(file).map_err(RunError::Own)?;
    }
    raise_descriptor_limit();

    let mut argv = vec![name.as_bytes().to_vec()];
    argv.extend(args.iter().map(|a| a.clone().into_vec()));
    let still = options.fixed_time.and_then(|time| i64::try_from(time.as_nanos()).ok());
    vfs.disguise(still, options.hide_inodes);
    let still = still.map(i64::cast_unsigned);
    let host = Host { vfs, args: argv, env: front::environment(options), still };
    log.say(1, format_args!("`{}` is `{}`", program.name, program.path));

    let failed = |e| match e {
        e @ EngineError::Start(_) => RunError::Start(program.name.clone(), e),
        e => RunError::Module(program.name.clone(), e),
    };
    if options.engine == Some(EngineName::Native) {
        let Loaded { module, kept, store, modules } = native_code::load(&program, &host, &installation, log)?;
        let libraries = module.loads_libraries();
        confine(&host, Some(&store).filter(|_| libraries).map(|store| &**store), libraries, options, &jobs, log)?;
        let start = module.start(host, kept).map_err(failed)?;
        report.usage.guest_has_begun();
        let ending = match start {
            Start::Ended(ending) => ending,
            Start::Ready(mut started) => {
                let symbols = module.symbols();
                started.allow_loading(Box::new(NativeSide { jobs, store, modules, symbols, log: log.clone() }));
                log.say(2, format_args!("calling native code"));
                started.run().map_err(failed)?
            }
        };
        return Ok(outcome(ending, &program, log));
    }
    let ReadyProgram { engine, module, entry, store, modules, table } =
        load(&program, &host, &installation, &compiler, log)?;
    module.prepare().map_err(failed)?;
    confine(&host, store.as_deref(), module.loads_libraries(), options, &jobs, log)?;
    let start = engine.start(&module, host).map_err(failed)?;
    report.usage.guest_has_begun();
    let ending = match start {
        Start::Ended(ending) => ending,
        Start::Ready(mut started) => {
            let code = SideCode { jobs, engine, store, modules, table, compiler: compiler.clone(), log: log.clone() };
            started.allow_loading(Box::new(code));
            log.say(2, format_args!("calling `{entry}`"));
            let ending = started.run(entry).map_err(|e| RunError::Module(program.name.clone(), e))?;
            // Its memory goes with the process, which ends now. Giving it back first takes longer.
            mem::forget(started);
            compiler.end();
            ending
        }
    };
    mem::forget(module);
    Ok(outcome(ending, &program, log))
}

/// Raises the wall. With a `store`, code is still taken from it; with `libraries`, the first thread
/// may make it executable.
fn confine(
    host: &Host,
    store: Option<&Store>,
    libraries: bool,
    options: &Options,
    jobs: &Jobs,
    log: &Log,
) -> Result<(), RunError> {
    let compiled = || store.iter().map(|store| (store.directory(), Access::ReadOnly));
    let mounted = host.vfs.mounts().iter().map(|mount| (mount.root.as_fd(), mount.access));
    // The first thread brings code, and nothing else.
    let bringing = Reach::of(compiled());
    let first = jobs.start(move |_| wall::confine_thread(bringing));
    let reach = Reach::of(mounted.chain(compiled()));
    first.wait().ok_or_else(|| RunError::Thread(io::ErrorKind::Other.into()))??;
    wall::raise(libraries, options.crossing, reach)?;
    log.say(2, format_args!("confined"));
    Ok(())
}

/// How a run ended whose guest ended so; all but an exit is told in the log.
fn outcome(ending: GuestExit, program: &Program, log: &Log) -> Outcome {
    let outcome = match ending {
        GuestExit::Exit(status) => {
            log.say(1, format_args!("the guest ended with status {status}"));
            // What a parent can see of a status.
            return Outcome::exit((status & 0xff) as u8);
        }
        GuestExit::Trap(why) => Outcome::new(How::Trap, why),
        GuestExit::Limit(limit) => Outcome::reached(limit),
    };
    log.error(format_args!("`{}` was ended: {}", program.name, outcome.reason.as_deref().unwrap_or_default()));
    outcome
}

/// The guest path of a program given by a path or by a short name.
fn program_path(installation: &Installation, name: &[u8]) -> Vec<u8> {
    installation.program(name).unwrap_or_else(|| name.to_vec())
}

/// A program that was found in the guest's tree.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: GuestPath,
    pub(crate) file: OwnedFd,
    pub(crate) identity: Identity,
}

impl Program {
    pub(crate) fn open(
        vfs: &mut Vfs,
        installation: &Installation,
        name: &[u8],
        options: &Options,
    ) -> Result<Self, RunError> {
        let text = print::shown(name);
        let mut absolute = program_path(installation, name);
        if absolute.first() != Some(&b'/') {
            absolute.insert(0, b'/');
        }
        let path = GuestPath::parse_absolute(&absolute);
        let no_program =
            |e| RunError::Program(text.clone(), NoProgram::of(options, name, path.as_ref(), e, "/test/hello.wasm"));
        let path = path.clone().ok_or_else(|| no_program(Errno::INVAL))?;
        let file = vfs.open_file(&path).map_err(no_program)?;
        let stat = rustix::fs::fstat(&file).map_err(no_program)?;
        Ok(Self { name: text, path, file, identity: Identity::of(&FileStat::from(stat)) })
    }

    /// The program's bytes.
    pub(crate) fn read(&self) -> Result<Vec<u8>, RunError> {
        let mut file = self.bytes()?;
        let mut bytes = Vec::with_capacity(usize::try_from(self.identity.size).unwrap_or(0));
        file.read_to_end(&mut bytes).map_err(|e| RunError::Read(self.name.clone(), e))?;
        Ok(bytes)
    }

    /// The digest of the program's bytes, which are read in pieces.
    pub(crate) fn digest(&self) -> Result<String, RunError> {
        Store::digest_of(self.bytes()?).map_err(|e| RunError::Read(self.name.clone(), e))
    }

    /// The file from its beginning, and no more of it than there was when it was opened. One that
    /// does not fit in the account is not read at all: a hole makes it as long as somebody likes.
    fn bytes(&self) -> Result<io::Take<File>, RunError> {
        let failed = |e| RunError::Read(self.name.clone(), e);
        if self.identity.size > PROGRAM_MAX {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let room = ACCOUNT.room_for(usize::try_from(self.identity.size).unwrap_or(usize::MAX));
        room.map_err(|full| RunError::Module(self.name.clone(), full.into()))?;
        let mut file = File::from(self.file.try_clone().map_err(failed)?);
        file.rewind().map_err(failed)?;
        Ok(file.take(self.identity.size))
    }
}

/// The longest program, in bytes.
const PROGRAM_MAX: u64 = 1 << 30;

/// A program's code, and how it is started.
struct ReadyProgram {
    engine: Engine,
    module: Module,
    entry: &'static str,
    /// For the code of libraries.
    store: Option<Arc<Store>>,
    /// Which libraries were compiled ahead.
    modules: Modules,
    /// The program's digest, and the file that says where it has its functions in its table.
    table: Option<(String, Code)>,
}

/// Loads the program's code, in order of preference: its snapshot, its compiled code, compiled now
/// as a guest's library is.
fn load(
    program: &Program,
    host: &Host,
    installation: &Installation,
    compiler: &Compiler,
    log: &Log,
) -> Result<ReadyProgram, RunError> {
    let layout = Layout::within_limits();
    if layout != Layout::USUAL {
        log.say(1, format_args!("`ulimit -v` leaves less than the usual address space; its own code is needed"));
    }
    let engine = Engine::new(false, layout).map_err(RunError::Engine)?;
    let open_store = |engine: &Engine| {
        let store = Store::open(&installation.compiled(), engine.id());
        store.inspect_err(|error| log.say(1, format_args!("no compiled code: {error}"))).ok().map(Arc::new)
    };
    let store = open_store(&engine);
    let modules = store.as_ref().map(|store| store.modules()).unwrap_or_default();
    if let Some(store) = &store {
        let digest = match modules.digest(program.identity) {
            Some(digest) => digest.to_owned(),
            None => {
                log.say(2, format_args!("the module's digest is not known: hashing it"));
                program.digest()?
            }
        };
        match load_compiled(&engine, store, &digest, host, log) {
            Ok(CompiledProgram { module, entry, table }) => {
                let table = table.map(|table| (digest, table));
                return Ok(ReadyProgram { engine, module, entry, store: Some(store.clone()), modules, table });
            }
            // Compiling takes more.
            Err(StoreError::Full(full)) => return Err(RunError::Module(program.name.clone(), full.into())),
            Err(why) => log.say(1, format_args!("no compiled code for `{}`: {why}", program.name)),
        }
    }
    log.say(1, format_args!("compiling `{}`; `run --precompile {}` would save that", program.name, program.path));
    let (engine, store) = match layout.without_file() {
        same if same == layout => (engine, store),
        other => {
            let engine = Engine::new(false, other).map_err(RunError::Engine)?;
            let store = open_store(&engine);
            (engine, store)
        }
    };
    let code =
        compiler.compile(program.read()?, engine.layout()).map_err(|e| RunError::Compile(program.name.clone(), e))?;
    // SAFETY: these are the bytes that the compiler gave just now.
    let module = unsafe { engine.take(&code) }.map_err(|e| RunError::Module(program.name.clone(), e))?;
    // A program that was compiled ahead, for another layout.
    if let (Some(store), Some(digest)) = (&store, modules.digest(program.identity)) {
        match store.keep(digest, &code) {
            Ok(()) => log.say(2, format_args!("the program's compiled code is kept")),
            Err(why) => log.say(1, format_args!("the program's compiled code is not kept: {why}")),
        }
    }
    Ok(ReadyProgram { engine, module, entry: "_start", store, modules, table: None })
}

/// A program's code from the store.
struct CompiledProgram {
    module: Module,
    entry: &'static str,
    table: Option<Code>,
}

fn load_compiled(
    engine: &Engine,
    store: &Store,
    digest: &str,
    host: &Host,
    log: &Log,
) -> Result<CompiledProgram, StoreError> {
    let record = store.record(digest)?;
    if let Some(file) = snapshot_file(store, digest, &record, host, log) {
        // SAFETY: the store vouches for the bytes, and that only the user and root can change them.
        match unsafe { engine.load(file) } {
            Ok(module) => {
                log.say(2, format_args!("the snapshot is loaded"));
                return Ok(CompiledProgram { module, entry: snapshot::RESUME, table: record.table });
            }
            // With more memory, the snapshot is what is started.
            Err(EngineError::Full(full)) => return Err(full.into()),
            Err(why) => log.say(1, format_args!("starting without the snapshot: {why}")),
        }
    }
    let code = record.code.as_ref().ok_or(StoreError::Absent)?;
    let file = store.open_part(digest, Part::Code, code)?;
    // SAFETY: the store vouches for the bytes, and that only the user and root can change them.
    let module = unsafe { engine.load(file) }?;
    log.say(2, format_args!("compiled code is loaded"));
    Ok(CompiledProgram { module, entry: "_start", table: record.table })
}

/// The file of the program's snapshot, if there is one that may be used for this start; says why
/// not.
pub(crate) fn snapshot_file(store: &Store, digest: &str, record: &Record, host: &Host, log: &Log) -> Option<File> {
    let warm = record.warm.as_ref()?;
    let usable = if leads_to_cold(&record.rules, &host.args[1..], &host.env) {
        Err("the arguments or the environment ask for a fresh start".to_owned())
    } else {
        snapshot::check(&record.seen, &record.times, host.vfs.mounts())
    };
    let file = usable.and_then(|()| store.open_part(digest, Part::Snapshot, warm).map_err(|e| e.to_string()));
    file.inspect_err(|why| log.say(1, format_args!("starting without the snapshot: {why}"))).ok()
}

/// Makes the folders in memory.
fn scratch(limits: &Limits) -> Result<Vec<Mount>, RunError> {
    let make = |folder: &Tmpfs| {
        let root = scratch::make(folder.size).map_err(|error| RunError::Scratch(folder.at.clone(), error))?;
        Ok(Mount::in_memory(root, folder.at.clone()))
    };
    limits.tmpfs.iter().map(make).collect()
}

/// The mount that a guest has who asks for none.
pub(crate) fn default_mounts(installation: &Installation, log: &Log) -> Result<Mounts, RunError> {
    let sources = front::sources(&Options::default(), installation)?;
    Ok(Mounts::new(front::mounts(&sources, &Options::default(), installation, log)?))
}

/// Lets a guest have as many descriptors as it may, besides the loader's own, if the machine
/// allows.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = 2048.min(limit.maximum.unwrap_or(u64::MAX));
    if limit.current.is_some_and(|c| c < wanted) {
        // Without it, the guest meets `EMFILE` earlier.
        let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}
