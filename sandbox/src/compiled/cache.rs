//! Compiled code that all installations of one user share: `--precompile --code-cache DIR` looks
//! there before it compiles, and leaves there what it compiled.
//!
//! A file is named by the blake3 of the WebAssembly and by a digest of all that decides what code
//! comes of it: the engine's version, its settings, the processor's features. It holds the blake3
//! of the code, then the code. The folder is trusted as an installation's own `compiled` is: it and
//! its files must belong to the user or root and be writable by nobody else. No guest runs while it
//! is open.

use std::fs::File;
use std::hash::{Hash as _, Hasher};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use super::store::{StoreError, check_owner};
use crate::engine::{Engine, EngineError};

const DIGEST: usize = blake3::OUT_LEN;

/// An open folder of shared code.
#[derive(Debug)]
pub struct CodeCache {
    directory: OwnedFd,
    engine: String,
}

impl CodeCache {
    /// Opens the folder for this engine's code; makes it if it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Distrusted`] if others than the user and root can write it,
    /// [`StoreError::Io`].
    pub fn open(directory: &Path, engine: &Engine) -> Result<Self, StoreError> {
        let name = crate::print::shown_path(directory);
        let io = StoreError::io(&name);
        match rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755)) {
            Err(error) if error != Errno::EXIST => return Err(StoreError::Io(name.clone(), error.into())),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty()).map_err(&io)?;
        let stat = rustix::fs::fstat(&directory).map_err(&io)?;
        check_owner(&name, stat.st_uid, stat.st_mode)?;
        let mut hasher = Blake3(blake3::Hasher::new());
        engine.id().hash(&mut hasher);
        engine.hash_compatibility(&mut hasher);
        Ok(Self { directory, engine: hasher.0.finalize().to_hex()[..16].to_owned() })
    }

    /// The code of a module: the one that is kept, or else compiled now and kept. That it can't be
    /// kept is no error.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`].
    pub fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, EngineError> {
        let name = format!("{}-{}", blake3::hash(wasm).to_hex(), self.engine);
        if let Some(code) = self.read(&name) {
            return Ok(code);
        }
        let code = engine.compile_ahead(wasm)?;
        let _ = self.write(&name, &code);
        Ok(code)
    }

    /// What is kept under a name; nothing if it is damaged, or not trusted.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(&self.directory, name, flags, Mode::empty(), ResolveFlags::BENEATH).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        check_owner(name, stat.st_uid, stat.st_mode).ok()?;
        // Its time says when it was used last.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let _ = rustix::fs::futimens(&fd, &Timestamps { last_access: now, last_modification: now });
        let (mut digest, mut code) = ([0; DIGEST], Vec::with_capacity(usize::try_from(stat.st_size).ok()?));
        let mut file = File::from(fd);
        file.read_exact(&mut digest).and_then(|()| file.read_to_end(&mut code)).ok()?;
        (blake3::hash(&code) == digest).then_some(code)
    }

    fn write(&self, name: &str, code: &[u8]) -> Result<(), Errno> {
        let temporary = format!("{name}.{}.tmp", std::process::id());
        let _ = rustix::fs::unlinkat(&self.directory, temporary.as_str(), AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let fd = rustix::fs::openat2(&self.directory, temporary.as_str(), flags, mode, ResolveFlags::BENEATH)?;
        let mut file = File::from(fd);
        let written = file.write_all(blake3::hash(code).as_bytes()).and_then(|()| file.write_all(code));
        // What a group may write is not trusted, whatever the umask.
        let done = match written {
            Ok(()) => rustix::fs::fchmod(&file, mode)
                .and_then(|()| rustix::fs::renameat(&self.directory, temporary.as_str(), &self.directory, name)),
            Err(_) => Err(Errno::IO),
        };
        if done.is_err() {
            let _ = rustix::fs::unlinkat(&self.directory, temporary.as_str(), AtFlags::empty());
        }
        done
    }
}

struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = *self.0.finalize().as_bytes();
        u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
    }
}
