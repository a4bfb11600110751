//! `run --precompile`: compiling programs and libraries ahead of time, and making programs'
//! snapshots.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::compiled::{CodeCache, Part, Record, Store, StoreError};
use crate::engine::{Engine, EngineError, Layout, TABLE};
use crate::initialise::{self, InitLimits, InitialiseError};
use crate::install::Installation;
use crate::linking::{SideModule, TableIndex};
use crate::log::Log;
use crate::native_code::{self, Brought};
use crate::options::Options;
use crate::run::{self, Program, RunError};
use crate::snapshot::{self, DirectoryTimes, Sights};
use crate::vfs::{Mounts, Vfs};

/// Why a module can't be compiled ahead.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum PrecompileError {
    #[error(transparent)]
    Run(Box<RunError>),
    #[error("`{0}` can't be compiled: {1}")]
    Module(String, EngineError),
    #[error("the engine: {0}")]
    Engine(EngineError),
    #[error("no process can be started for an initialisation: {0}")]
    Process(std::io::Error),
    #[error("the directory of compiled code `{0}` can't be made: {1}")]
    Directory(PathBuf, std::io::Error),
    #[error("compiled code can't be kept in `{0}`: {1}")]
    Store(PathBuf, StoreError),
    #[error("native code can't be taken from `{0}`: {1}; install its package again")]
    Native(PathBuf, StoreError),
    #[error("the cache of compiled code can't be used: {0}")]
    Cache(StoreError),
    #[error("`{0}`: its section `pynbox.snapshot` has a line that is no rule: `{1}`")]
    Rule(String, String),
}

impl PrecompileError {
    /// Whether the module is at fault, rather than the machine.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self, Self::Module(..) | Self::Rule(..))
            || matches!(self, Self::Run(e) if matches!(**e, RunError::Program(..)))
    }
}

impl From<RunError> for PrecompileError {
    fn from(error: RunError) -> Self {
        Self::Run(Box::new(error))
    }
}

/// Compiles the modules at these guest paths, seen through the default mounts, into the
/// installation's store: programs, with their snapshots, and libraries. Those before one that fails
/// are kept. What `cache`, a folder, has compiled before is not compiled again. An initialisation
/// may take `init_time`.
///
/// # Errors
///
/// [`PrecompileError`].
pub fn run<'p>(
    installation: &Installation,
    paths: impl IntoIterator<Item = &'p [u8]>,
    cache: Option<&Path>,
    init_time: Option<Duration>,
    log: &Log,
) -> Result<(), PrecompileError> {
    let engine = Engine::new(true, Layout::USUAL).map_err(PrecompileError::Engine)?;
    let cache = cache.map(|folder| CodeCache::open(folder, &engine)).transpose().map_err(PrecompileError::Cache)?;
    let default = InitLimits::default();
    let limits = InitLimits { time: init_time.unwrap_or(default.time), ..default };
    let compiler = CachingCompiler { engine, cache, limits };
    let native = installation.native();
    let brought = Brought::in_folder(&native).map_err(|e| PrecompileError::Native(native, e))?;
    paths.into_iter().try_for_each(|path| one(installation, &compiler, &brought, path, log))
}

/// Compiles, or takes what was compiled before.
struct CachingCompiler {
    engine: Engine,
    cache: Option<CodeCache>,
    /// What an initialisation may take.
    limits: InitLimits,
}

impl CachingCompiler {
    fn code(&self, wasm: &[u8]) -> Result<Vec<u8>, EngineError> {
        match &self.cache {
            Some(cache) => cache.compile(&self.engine, wasm),
            None => self.engine.compile_ahead(wasm),
        }
    }
}

fn one(
    installation: &Installation,
    compiler: &CachingCompiler,
    brought: &[Brought],
    path: &[u8],
    log: &Log,
) -> Result<(), PrecompileError> {
    let engine = &compiler.engine;
    let mut vfs = Vfs::new(run::default_mounts(installation, log)?);
    let program = Program::open(&mut vfs, installation, path, &Options::default())?;
    let wasm = program.read()?;
    let rules = snapshot::rules(&wasm).map_err(|line| PrecompileError::Rule(program.name.clone(), line))?;
    let digest = Store::digest(&wasm);
    let failed = |e| PrecompileError::Module(program.name.clone(), e);
    let directory = installation.compiled();
    // The same bytes give the same code.
    let known = Store::open(&directory, engine.id()).ok().and_then(|store| {
        let code = store.record(&digest).ok()?.code?;
        store.recognise(&digest, Part::Code, &code).ok()
    });
    let plain = match &known {
        Some(_) => None,
        None => Some(compiler.code(&wasm).map_err(failed)?),
    };
    match &plain {
        Some(plain) => log.say(1, format_args!("`{}` is compiled: {} bytes", program.name, plain.len())),
        None => log.say(1, format_args!("`{}` has been compiled before", program.name)),
    }

    let mut record = Record { code: known, rules, ..Record::default() };
    let mut warm = None;
    if snapshot::takes_part(&wasm) {
        let Initialised { module: bytes, seen, times } =
            freeze(compiler, &wasm, vfs.mounts()).map_err(|error| match error {
                InitialiseError::Refused(error) => failed(error),
                InitialiseError::Process(error) => PrecompileError::Process(error),
            })?;
        let code = compiler.code(&bytes).map_err(failed)?;
        let image = snapshot::image(&bytes, &code);
        warm = Some((code, image));
        log.say(1, format_args!("its snapshot is made: {} bytes of module, {} paths seen", bytes.len(), seen.len()));
        (record.seen, record.times) = (seen, times);
    }

    // Whatever the umask is: what a group may write is not trusted.
    match std::fs::DirBuilder::new().mode(0o755).create(&directory) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(PrecompileError::Directory(directory, e));
        }
        _ => {}
    }
    let kept = |e| PrecompileError::Store(directory.clone(), e);
    let store = Store::open(&directory, engine.id()).map_err(kept)?;
    let _lock = store.lock().map_err(kept)?;
    if let Some(plain) = plain {
        record.code = Some(store.write_part(&digest, Part::Code, &plain).map_err(kept)?);
    }
    let side = SideModule::parse(&wasm).ok();
    if let Some(side) = &side {
        record.side = Some(store.write_part(&digest, Part::Side, &side.to_bytes()).map_err(kept)?);
    }
    if let Ok(Some(index)) = TableIndex::of(&wasm, TABLE)
        && record.side.is_none()
    {
        record.table = Some(store.write_part(&digest, Part::Table, index.as_bytes()).map_err(kept)?);
    }
    if let Some((warm, image)) = warm {
        if image.is_none() && brought.iter().any(|brought| brought.is_of(&digest)) {
            log.say(1, format_args!("native code of `{}` will start without its snapshot", program.name));
        }
        record.image = image;
        record.warm = Some(store.write_part(&digest, Part::Snapshot, &warm).map_err(kept)?);
    }
    store.write_record(&digest, &program.path, program.identity, &record).map_err(kept)?;
    native_code::keep(&directory, brought, &digest, &program, side.as_ref(), log).map_err(kept)
}

/// The module of a snapshot, and when it is current.
struct Initialised {
    module: Vec<u8>,
    seen: Sights,
    times: DirectoryTimes,
}

/// Makes the snapshot: the module that begins where the program's initialisation ended, and what
/// that saw.
fn freeze(compiler: &CachingCompiler, wasm: &[u8], mounts: &Mounts) -> Result<Initialised, InitialiseError> {
    let code = compiler.code(&Engine::instrument(wasm, snapshot::INIT)?)?;
    let (module, mut seen) = initialise::initialise(wasm, &code, compiler.limits)?;
    let times = snapshot::add_parents(&mut seen, mounts).map_err(|e| EngineError::Snapshot(e.to_string()))?;
    // The names that are absent are looked for, one by one.
    snapshot::check(&seen, &DirectoryTimes::new(), mounts).map_err(EngineError::Snapshot)?;
    Ok(Initialised { module, seen, times })
}
