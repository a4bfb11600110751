//! Native code of libraries: what a package brought, and nothing else.
//!
//! A library is known by the digest of its bytes, or by its [`Identity`] without being read, as in
//! [`crate::side_code`]. One that a guest brings has no native code, unless it has the very bytes
//! of a package's.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::account::ACCOUNT;
use crate::compiled::{Identity, Modules, Part, Record, Store, StoreError};
use crate::engine::{Library, LibraryCode, NativeSource, NoCode, Symbols};
use crate::jobs::Jobs;
use crate::linking::SideModule;
use crate::log::Log;
use crate::vfs::FileStat;

/// Gets native code for a guest, on the thread that may make it executable.
pub struct NativeSide {
    /// Where the work is done.
    pub jobs: Jobs,
    /// Native code that packages brought.
    pub store: Arc<Store>,
    /// Which files are known without being read.
    pub modules: Modules,
    /// What the code is bound to.
    pub symbols: Symbols,
    /// Says where code came from.
    pub log: Arc<Log>,
}

impl NativeSource for NativeSide {
    fn library(&mut self, file: &Arc<OwnedFd>, stat: &FileStat) -> Result<Library<LibraryCode>, NoCode> {
        let digest = match self.modules.digest(Identity::of(stat)) {
            Some(digest) => digest.to_owned(),
            None => digest_of(file, stat).map_err(|why| NoCode::Refused(why.to_string()))?,
        };
        let none = |why: StoreError| match why {
            StoreError::Full(full) => NoCode::from(full),
            StoreError::Absent => NoCode::Refused("it is not native code; `run --engine wasmtime` loads it".to_owned()),
            why => NoCode::Refused(format!("its native code can't be used: {why}; `run --engine wasmtime` loads it")),
        };
        let record = self.store.record(&digest).map_err(none)?;
        let side = side(&self.store, &digest, &record).map_err(none)?;
        let (store, symbols, log) = (self.store.clone(), self.symbols, self.log.clone());
        let promise = self.jobs.start(move |_| {
            let mapped = map(&store, &digest, &record, symbols);
            log.say(2, format_args!("a library's native code is loaded ({digest})"));
            mapped
        });
        let lost = || Err(NoCode::Refused("its code can't be loaded".to_owned()));
        Ok(Library { side, code: Box::new(move || promise.wait().map_or_else(lost, |mapped| mapped.map_err(none))) })
    }
}

fn digest_of(file: &OwnedFd, stat: &FileStat) -> std::io::Result<String> {
    use std::io::Seek as _;
    let mut file = std::fs::File::from(file.try_clone()?);
    file.rewind()?;
    Store::digest_of(file.take(stat.size))
}

/// What the library's bytes say.
fn side(store: &Store, digest: &str, record: &Record) -> Result<SideModule, StoreError> {
    let kept = record.side.as_ref().ok_or(StoreError::Absent)?;
    ACCOUNT.room_for(usize::try_from(kept.identity.size).unwrap_or(usize::MAX))?;
    let mut bytes = Vec::new();
    let read = store.open_part(digest, Part::Side, kept)?.read_to_end(&mut bytes);
    read.map_err(|error| StoreError::Io(digest.to_owned(), error))?;
    SideModule::from_bytes(&bytes).ok_or_else(|| StoreError::Damaged(digest.to_owned()))
}

fn map(store: &Store, digest: &str, record: &Record, symbols: Symbols) -> Result<LibraryCode, StoreError> {
    let code = record.code.as_ref().ok_or(StoreError::Absent)?;
    let file = store.open_part(digest, Part::Object, code)?;
    // SAFETY: the store vouches for the bytes, which the install took from the package, and that
    // only the user and root can change them.
    Ok(unsafe { LibraryCode::map(&file, symbols) }?)
}
