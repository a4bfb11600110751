//! The code of side modules: what was compiled ahead, or what is compiled now.
//!
//! The key is the digest of the bytes that were read, always: a guest can't give a module another one's code by giving its file another's times. Compiled
//! files come from the same store as a program's ([`crate::compiled`]) with the same checks, and a guest's own files are never taken for any. What is
//! compiled now goes there too, if the installation belongs to this user: the compiler's output for those very bytes, in a bounded number.

use std::sync::Arc;

use crate::compiled::{Store, StoreError};
use crate::engine::{CodeSource, Engine, Module};
use crate::jobs::Jobs;
use crate::log::Log;

/// Gets code for a guest, on the thread that may make it executable.
pub struct SideCode {
    /// Where the work is done.
    pub jobs: Jobs,
    /// The engine that runs the guest.
    pub engine: Engine,
    /// Compiled code, if there is any.
    pub store: Option<Arc<Store>>,
    /// Says where code came from.
    pub log: Arc<Log>,
}

impl CodeSource for SideCode {
    fn module(&mut self, wasm: &[u8]) -> Result<Module, String> {
        let (engine, store, log, wasm) = (self.engine.clone(), self.store.clone(), self.log.clone(), wasm.to_vec());
        let crashed = || "the compiler failed on it".to_owned();
        self.jobs.run(move || get(&engine, store.as_deref(), &log, &wasm)).unwrap_or_else(|| Err(crashed()))
    }
}

fn get(engine: &Engine, store: Option<&Store>, log: &Log, wasm: &[u8]) -> Result<Module, String> {
    let digest = Store::digest(wasm);
    match store.map_or(Err(StoreError::Absent), |store| load(engine, store, &digest)) {
        Ok(module) => {
            log.say(2, format_args!("a library's compiled code is loaded ({digest})"));
            return Ok(module);
        }
        Err(why) => log.say(1, format_args!("compiling a library ({digest}): {why}")),
    }
    let code = Engine::for_untrusted().and_then(|e| e.compile_ahead(wasm)).map_err(|e| e.to_string())?;
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
    let file = store.code(digest, false, code)?;
    // SAFETY: the store vouches for the bytes, and that only the user and root can change them.
    unsafe { engine.load(file) }.map_err(|e| StoreError::Damaged(e.to_string()))
}
