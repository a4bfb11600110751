//! Native code that packages bring: `DEST/lib/native/NAME/` has the module `NAME.wasm` that it was
//! made of, and `NAME.so` in a folder for each way to reach memory; of a program, with the runtime
//! `libnative.so`.
//!
//! It is the code of whichever program or library has the module's bytes. `run --precompile`, which
//! every install runs, takes it over into `DEST/compiled`. There it is looked up and checked as all
//! compiled code is ([`crate::compiled`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::abi::Host;
use crate::compiled::{Modules, Part, Record, Store, StoreError};
use crate::engine::{ENGINE_ID, EngineError, KeptState, MemoryBase, NativeModule};
use crate::install::Installation;
use crate::linking::SideModule;
use crate::log::Log;
use crate::run::{self, Program, RunError};

/// The parts of a module's native code.
const PARTS: [Part; 3] = [Part::Object, Part::Runtime, Part::Side];
/// The runtime's file.
const RUNTIME: &str = "libnative.so";

/// Native code of a program, as a package brought it.
#[derive(Debug)]
pub(crate) struct Brought {
    /// The digest of the module that it was made of.
    digest: String,
    folder: PathBuf,
    name: String,
}

impl Brought {
    /// All that lies in the folder; nothing if there is no such folder.
    ///
    /// # Errors
    ///
    /// [`StoreError`] for a module that is not trusted, or can't be read.
    pub(crate) fn in_folder(folder: &Path) -> Result<Vec<Self>, StoreError> {
        let io = |e| StoreError::Io(crate::print::shown_path(folder), e);
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io)?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let (name, folder) = entry.map(|entry| (entry.file_name(), entry.path())).map_err(io)?;
            let name = name.to_string_lossy().into_owned();
            let module = Store::open(&folder, &"".into())?.read(&format!("{name}.wasm"))?;
            all.push(Self { digest: Store::digest(&module), folder, name });
        }
        Ok(all)
    }

    /// Whether it is made of the module with this digest.
    pub(crate) fn is_of(&self, digest: &str) -> bool {
        self.digest == digest
    }

    /// Its code for this way to reach memory, and the runtime, if it is a program.
    fn read(&self, base: MemoryBase) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
        let store = Store::open(&self.folder.join(base.word()), &"".into())?;
        let runtime = match store.read(RUNTIME) {
            Err(StoreError::Absent) => None,
            runtime => Some(runtime?),
        };
        Ok((store.read(&format!("{}.so", self.name))?, runtime))
    }
}

/// Takes native code of a program, or of a library of which `side` is known, over into the store in
/// `directory`, or removes what is there if no package brings it any more. The caller holds the
/// store's lock.
///
/// # Errors
///
/// [`StoreError`].
pub(crate) fn keep(
    directory: &Path,
    brought: &[Brought],
    digest: &str,
    program: &Program,
    side: Option<&SideModule>,
    log: &Log,
) -> Result<(), StoreError> {
    let brought = brought.iter().find(|brought| brought.is_of(digest));
    for base in MemoryBase::ALL {
        let store = Store::open(directory, &base.id().into())?;
        let Some(brought) = brought else {
            store.forget(digest, &PARTS)?;
            continue;
        };
        let (object, runtime) = brought.read(base)?;
        let record = Record {
            code: Some(store.write_part(digest, Part::Object, &object)?),
            runtime: runtime.map(|runtime| store.write_part(digest, Part::Runtime, &runtime)).transpose()?,
            side: side.map(|side| store.write_part(digest, Part::Side, &side.to_bytes())).transpose()?,
            ..Record::default()
        };
        store.write_record(digest, &program.path, program.identity, &record)?;
        log.say(1, format_args!("native code of `{}` is kept ({})", program.name, base.word()));
    }
    Ok(())
}

/// Native code of a program, and where that of its libraries comes from.
pub(crate) struct Loaded {
    pub(crate) module: NativeModule,
    /// The program's snapshot, if it may be used.
    pub(crate) kept: Option<KeptState>,
    pub(crate) store: Arc<Store>,
    pub(crate) modules: Modules,
}

/// Loads the native code of a program, and the program's snapshot if it may be used.
///
/// # Errors
///
/// [`RunError::Native`] if there is none that is trusted; otherwise as [`NativeModule::load`].
pub(crate) fn load(program: &Program, host: &Host, installation: &Installation, log: &Log) -> Result<Loaded, RunError> {
    let base = MemoryBase::of_this_machine();
    let none = |why: StoreError| RunError::Native(program.name.clone(), why);
    let store = Store::open(&installation.compiled(), &Arc::from(base.id())).map_err(none)?;
    let modules = store.modules();
    let digest = match modules.digest(program.identity) {
        Some(digest) => digest.to_owned(),
        None => program.digest()?,
    };
    let record = store.record(&digest).map_err(none)?;
    let open = |part, code: Option<_>| store.open_part(&digest, part, code.ok_or(StoreError::Absent)?);
    let runtime = open(Part::Runtime, record.runtime.as_ref()).map_err(none)?;
    let code = open(Part::Object, record.code.as_ref()).map_err(none)?;
    log.say(2, format_args!("native code is loaded ({})", base.word()));
    // SAFETY: the store vouches for the bytes, which the install took from the package, and that
    // only the user and root can change them.
    let module = unsafe { NativeModule::load(&runtime, &code, base) }.map_err(|error| match error {
        EngineError::Setup(_) => RunError::Engine(error),
        error => RunError::Module(program.name.clone(), error),
    })?;
    let kept = snapshot(&digest, host, installation, log).filter(|kept| {
        let fits = module.takes(&kept.image);
        if !fits {
            log.say(1, format_args!("starting without the snapshot: it does not fit the native code"));
        }
        fits
    });
    log.say(2, format_args!("the snapshot is {}", if kept.is_some() { "loaded" } else { "not used" }));
    Ok(Loaded { module, kept, store: Arc::new(store), modules })
}

/// The snapshot that the other engine made of the program with this digest.
fn snapshot(digest: &str, host: &Host, installation: &Installation, log: &Log) -> Option<KeptState> {
    let store = Store::open(&installation.compiled(), &Arc::from(ENGINE_ID)).ok()?;
    let record = store.record(digest).ok()?;
    // What is mapped beyond a file's end is a fault of the guest's at any moment.
    let size = record.warm.as_ref().map(|warm| warm.identity.size);
    let image = record.image.clone().filter(|image| Some(image.offset.saturating_add(image.length)) <= size)?;
    let file = run::snapshot_file(&store, digest, &record, host, log)?;
    Some(KeptState { file, image })
}
