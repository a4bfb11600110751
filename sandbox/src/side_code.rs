//! The code of side modules: what was compiled ahead, or what is compiled now.
//!
//! The key is the digest of the bytes. A file that `--precompile` has hashed is known again by its
//! [`Identity`], which holds the time of its last change of any kind: no guest can set that, so it
//! can't give its own file the looks of another. All other files are read and hashed. Compiled
//! files come from the same store as a program's ([`crate::compiled`]) with the same checks, and a
//! guest's own files are never taken for any. What is compiled now is kept for nobody: a guest
//! would learn what others had loaded by the time that it takes, and could fill the place.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::account::ACCOUNT;
use crate::compiled::{Code, Identity, Modules, Part, Record, Store, StoreError};
use crate::compiler::Compiler;
use crate::engine::{CodeSource, Engine, Library, Module, NoCode, PendingCode};
use crate::jobs::{Jobs, Wanted};
use crate::linking::{SideModule, TableIndex};
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
    /// The program's digest, and the file that says where it has its functions in its table.
    pub table: Option<(String, Code)>,
    /// Compiles what was not compiled before.
    pub compiler: Arc<Compiler>,
    /// Says where code came from.
    pub log: Arc<Log>,
}

impl CodeSource for SideCode {
    fn known(&mut self, file: &Arc<OwnedFd>, stat: &FileStat) -> Option<Library> {
        let digest = self.modules.digest(Identity::of(stat))?.to_owned();
        let store = self.store.clone()?;
        let (side, record) = match known(&store, &digest) {
            Ok(known) => known,
            Err(why) => {
                self.log.say(1, format_args!("a library that was compiled ahead ({digest}) is read: {why}"));
                return None;
            }
        };
        let (file, size) = (file.clone(), stat.size);
        Some(Library {
            side,
            code: self.bring(move |bring| match load(&bring.engine, &store, &record, &digest) {
                Ok(module) => {
                    bring.log.say(2, format_args!("a library's compiled code is loaded, and the library is not read"));
                    Ok(module)
                }
                Err(StoreError::Full(full)) => Err(full.into()),
                Err(why) => {
                    bring.log.say(1, format_args!("a library that was compiled ahead ({digest}) is read: {why}"));
                    let refused = |why| NoCode::Refused(format!("it can't be read: {why}"));
                    ACCOUNT.room_for(usize::try_from(size).unwrap_or(usize::MAX))?;
                    bring.get(read_again(&file, size, &digest).map_err(refused)?)
                }
            })(),
        })
    }

    /// Begins when it is waited for: a compilation may take all that the guest has left, so nothing
    /// of the guest's must grow meanwhile.
    fn code(&mut self, wasm: Vec<u8>) -> PendingCode {
        let begin = self.bring(move |bring| bring.get(wasm));
        Box::new(move || begin()())
    }

    fn table_index(&mut self) -> Option<TableIndex> {
        let (digest, code) = self.table.take()?;
        let bytes = read(self.store.as_ref()?, &digest, Part::Table, &code);
        let index = bytes.and_then(|bytes| TableIndex::try_from(bytes).map_err(|_| StoreError::Damaged(digest)));
        let log = |why: &StoreError| self.log.say(1, format_args!("the program's table is looked through: {why}"));
        index.inspect_err(log).ok()
    }
}

impl SideCode {
    /// How to have code brought on the thread that may make it executable, while the guest's does
    /// other things.
    fn bring(
        &self,
        job: impl FnOnce(&Bring) -> Result<Module, NoCode> + Send + 'static,
    ) -> impl FnOnce() -> PendingCode + 'static {
        let (engine, store, compiler) = (self.engine.clone(), self.store.clone(), self.compiler.clone());
        let (log, jobs) = (self.log.clone(), self.jobs.clone());
        move || {
            let promise = jobs.start(move |wanted| {
                let wanted = wanted.clone();
                job(&Bring { engine, store, compiler, log, wanted })
            });
            let lost = || Err(NoCode::Refused("its code can't be loaded".to_owned()));
            Box::new(move || promise.wait().unwrap_or_else(lost))
        }
    }
}

/// What a job needs.
struct Bring {
    engine: Engine,
    store: Option<Arc<Store>>,
    compiler: Arc<Compiler>,
    log: Arc<Log>,
    wanted: Wanted,
}

impl Bring {
    /// The code for these bytes, from the store or compiled.
    fn get(&self, wasm: Vec<u8>) -> Result<Module, NoCode> {
        let (engine, store, log) = (&self.engine, self.store.as_deref(), &self.log);
        let digest = Store::digest(&wasm);
        let kept = |store: &Store| load(engine, store, &store.record(&digest)?, &digest);
        match store.ok_or(StoreError::Absent).and_then(kept) {
            Ok(module) => {
                log.say(2, format_args!("a library's compiled code is loaded ({digest})"));
                return Ok(module);
            }
            Err(StoreError::Full(full)) => return Err(full.into()),
            Err(why) => log.say(1, format_args!("compiling a library ({digest}): {why}")),
        }
        // Loading has failed meanwhile, for another reason.
        if !self.wanted.is() {
            return Err(NoCode::Refused("nobody waits for it".to_owned()));
        }
        let code = self.compiler.compile(wasm, engine.layout())?;
        // SAFETY: these are the bytes that the compiler gave just now.
        Ok(unsafe { engine.take(&code) }?)
    }
}

/// What is known of the library with this digest.
fn known(store: &Store, digest: &str) -> Result<(SideModule, Record), StoreError> {
    let record = store.record(digest)?;
    let kept = record.side.as_ref().ok_or(StoreError::Absent)?;
    let bytes = read(store, digest, Part::Side, kept)?;
    let side = SideModule::from_bytes(&bytes).ok_or_else(|| StoreError::Damaged(digest.to_owned()))?;
    Ok((side, record))
}

fn read(store: &Store, digest: &str, part: Part, code: &Code) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    ACCOUNT.room_for(usize::try_from(code.identity.size).unwrap_or(usize::MAX))?;
    let read = store.open_part(digest, part, code)?.read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|error| StoreError::Io(digest.to_owned(), error))
}

/// The bytes of a library of which everything but the code is known already: they must still be
/// those.
fn read_again(file: &OwnedFd, size: u64, digest: &str) -> Result<Vec<u8>, io::Error> {
    let mut bytes = Vec::new();
    File::from(file.try_clone()?).take(size).read_to_end(&mut bytes)?;
    if Store::digest(&bytes) != digest {
        return Err(io::Error::other("it has changed"));
    }
    Ok(bytes)
}

fn load(engine: &Engine, store: &Store, record: &Record, digest: &str) -> Result<Module, StoreError> {
    let code = record.code.as_ref().ok_or(StoreError::Absent)?;
    let file = store.open_part(digest, Part::Code, code)?;
    // SAFETY: the store vouches for the bytes, and that only the user and root can change them.
    Ok(unsafe { engine.load(file) }?)
}
