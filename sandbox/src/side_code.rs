//! The code of side modules: what was compiled ahead, or what is compiled now.
//!
//! The key is the digest of the bytes. A file that `--precompile` has hashed is known again by its [`Identity`], which holds the time of its last change
//! of any kind: no guest can set that, so it can't give its own file the looks of another. All other files are read and hashed. Compiled
//! files come from the same store as a program's ([`crate::compiled`]) with the same checks, and a guest's own files are never taken for any. What is
//! compiled now goes there too, if the installation belongs to this user: the compiler's output for those very bytes, in a bounded number.

use std::io::Read as _;
use std::sync::Arc;

use crate::compiled::{Identity, Modules, Part, Store, StoreError};
use crate::compiler::Compiler;
use crate::engine::{CodeSource, Engine, Library, Module};
use crate::jobs::Jobs;
use crate::linking::SideModule;
use crate::log::Log;
use crate::vfs::FileStat;

/// Gets code for a guest, on the thread that may make it executable.
pub struct SideCode {
    /// Where the work is done.
    pub jobs: Jobs,
    /// The engine that runs the guest.
    pub engine: Engine,
    /// Compiled code, if there is any.
    pub store: Option<Arc<Store>>,
    /// Which files are known without being read.
    pub modules: Modules,
    /// Compiles what was not compiled before.
    pub compiler: Arc<Compiler>,
    /// Says where code came from.
    pub log: Arc<Log>,
}

impl CodeSource for SideCode {
    fn known(&mut self, file: &FileStat) -> Option<Library> {
        let digest = self.modules.digest(Identity::of(file))?.to_owned();
        let (engine, store, log) = (self.engine.clone(), self.store.clone()?, self.log.clone());
        let loaded = self.jobs.run(move || known(&engine, &store, &digest).map_err(|why| (why, digest)))?;
        match loaded {
            Ok(library) => {
                log.say(2, format_args!("a library's compiled code is loaded, and the library is not read"));
                Some(library)
            }
            Err((why, digest)) => {
                log.say(1, format_args!("a library that was compiled ahead ({digest}) is read: {why}"));
                None
            }
        }
    }

    fn module(&mut self, wasm: Vec<u8>) -> Result<Module, String> {
        let (engine, store, log) = (self.engine.clone(), self.store.clone(), self.log.clone());
        let compiler = self.compiler.clone();
        let lost = || "its code can't be loaded".to_owned();
        let get = move || get(&engine, store.as_deref(), &compiler, &log, &wasm);
        self.jobs.run(get).unwrap_or_else(|| Err(lost()))
    }
}

fn known(engine: &Engine, store: &Store, digest: &str) -> Result<Library, StoreError> {
    let record = store.record(digest)?;
    let kept = record.side.as_ref().ok_or(StoreError::Absent)?;
    let mut bytes = Vec::new();
    let read = store.open_part(digest, Part::Side, kept)?.read_to_end(&mut bytes);
    read.map_err(|error| StoreError::Io(digest.to_owned(), error))?;
    let side = SideModule::from_bytes(&bytes).ok_or_else(|| StoreError::Damaged(digest.to_owned()))?;
    Ok(Library { side, module: load(engine, store, digest)? })
}

fn get(engine: &Engine, store: Option<&Store>, compiler: &Compiler, log: &Log, wasm: &[u8]) -> Result<Module, String> {
    let digest = Store::digest(wasm);
    match store.map_or(Err(StoreError::Absent), |store| load(engine, store, &digest)) {
        Ok(module) => {
            log.say(2, format_args!("a library's compiled code is loaded ({digest})"));
            return Ok(module);
        }
        Err(why) => log.say(1, format_args!("compiling a library ({digest}): {why}")),
    }
    let code = compiler.compile(wasm).map_err(|e| e.to_string())?;
    // SAFETY: these are the bytes that the compiler gave just now.
    let module = unsafe { engine.take(&code) }.map_err(|e| e.to_string())?;
    match store.map(|store| store.keep(&digest, &code)) {
        Some(Ok(true)) => log.say(2, format_args!("the library's compiled code is kept")),
        Some(Ok(false)) => log.say(1, format_args!("the library's compiled code is not kept: there are too many")),
        Some(Err(why)) => log.say(1, format_args!("the library's compiled code is not kept: {why}")),
        None => {}
    }
    Ok(module)
}

fn load(engine: &Engine, store: &Store, digest: &str) -> Result<Module, StoreError> {
    let record = store.record(digest)?;
    let code = record.code.as_ref().ok_or(StoreError::Absent)?;
    let file = store.open_part(digest, Part::Code, code)?;
    // SAFETY: the store vouches for the bytes, and that only the user and root can change them.
    unsafe { engine.load(file) }.map_err(|e| StoreError::Damaged(e.to_string()))
}
