//! Reading and writing the store's directory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::record::{Code, Identity, Record, escaped};
use crate::account::Full;
#[cfg(feature = "wasm")]
use crate::engine::EngineError;
use crate::open_how;
use crate::vfs::{Crossing, FileStat, GuestPath, S_IFDIR, S_IFREG};

/// Names of the index of modules and of the lock that writers take.
const MODULES: &str = "modules";
const LOCK: &str = "lock";
/// Longest text file that is read: one that is longer is not ours.
const TEXT_MAX: u64 = 16 << 20;

/// What a file of the store holds of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its code.
    Code,
    /// Its snapshot's code.
    Snapshot,
    /// What a library's bytes say.
    Side,
    /// Where a program has its functions in its table.
    Table,
    /// Its native code.
    Object,
    /// The runtime that its native code is linked with.
    Runtime,
}

impl Part {
    fn suffix(self) -> &'static str {
        match self {
            Self::Code => "cwasm",
            Self::Snapshot => "warm.cwasm",
            Self::Side => "side",
            Self::Table => "table",
            Self::Object => "so",
            Self::Runtime => "runtime.so",
        }
    }
}

/// Which module files were compiled ahead, by their identity.
#[derive(Clone, Debug, Default)]
pub struct Modules(HashMap<Identity, String>);

impl Modules {
    /// The digest of the module file with this identity, if it is known without reading the file.
    pub fn digest(&self, identity: Identity) -> Option<&str> {
        self.0.get(&identity).map(String::as_str)
    }
}

/// The store of compiled code of one engine.
#[derive(Debug)]
pub struct Store {
    directory: OwnedFd,
    engine: Arc<str>,
}

/// Why something of the store is not used, or can't be written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such file.
    #[error("there is none")]
    Absent,
    /// It is not trusted.
    #[error("`{0}` is not trusted: {1}")]
    Distrusted(String, &'static str),
    /// It is not what was written.
    #[error("`{0}` is damaged")]
    Damaged(String),
    /// Reading or writing failed.
    #[error("`{0}`: {1}")]
    Io(String, io::Error),
    /// It takes more memory than the guest has left.
    #[error(transparent)]
    Full(#[from] Full),
}

#[cfg(feature = "wasm")]
impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Full(full) => Self::Full(full),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl StoreError {
    pub(super) fn io(name: &str) -> impl Fn(Errno) -> Self {
        move |e| if e == Errno::NOENT { Self::Absent } else { Self::Io(name.to_owned(), e.into()) }
    }
}

impl Store {
    /// Opens the store in `directory` for the code of the engine with this id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`], [`StoreError::Distrusted`] if others than the user and root can
    /// write it, [`StoreError::Io`].
    pub fn open(directory: &Path, engine: &Arc<str>) -> Result<Self, StoreError> {
        let name = crate::print::shown_path(directory);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty()).map_err(StoreError::io(&name))?;
        let stat = rustix::fs::fstat(&directory).map_err(StoreError::io(&name))?;
        check_owner(&name, stat.st_uid, stat.st_mode)?;
        debug_assert_eq!(FileStat::from(stat).kind(), S_IFDIR);
        Ok(Self { directory, engine: engine.clone() })
    }

    /// The store's directory.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The digest of a module's bytes, as the store names it.
    pub fn digest(bytes: &[u8]) -> String {
        blake3::hash(bytes).to_hex().to_string()
    }

    /// The same of what is read, piece by piece.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn digest_of(mut module: impl Read) -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut module, &mut hasher)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The index of modules. Lines of it that make no sense are as good as not there: they cost a
    /// hash alone.
    pub fn modules(&self) -> Modules {
        let text = self.read_text(MODULES).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split(' ');
            Some((Identity::parse(&mut words)?, words.next()?.to_owned()))
        };
        Modules(text.lines().filter_map(entry).collect())
    }

    /// What is known of the module with this digest.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as for each file.
    pub fn record(&self, digest: &str) -> Result<Record, StoreError> {
        let name = self.name(digest, "record");
        Record::parse(&self.read_text(&name)?).map_err(|_| StoreError::Damaged(name))
    }

    /// The bytes of a file that is trusted as the store's own are, whatever its name is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`], [`StoreError::Distrusted`], [`StoreError::Io`].
    pub fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let (mut file, _) = self.open_trusted(name)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| StoreError::Io(name.to_owned(), e))?;
        Ok(bytes)
    }

    /// Removes the record of a module and these parts of it, as far as they are there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn forget(&self, digest: &str, parts: &[Part]) -> Result<(), StoreError> {
        for suffix in std::iter::once("record").chain(parts.iter().map(|part| part.suffix())) {
            let name = self.name(digest, suffix);
            match rustix::fs::unlinkat(&self.directory, name.as_str(), AtFlags::empty()) {
                Err(error) if error != Errno::NOENT => return Err(StoreError::io(&name)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Opens the part of a module that `code` describes. The file then holds the bytes that were
    /// recorded.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; [`StoreError::Damaged`] if the bytes are others.
    pub fn open_part(&self, digest: &str, part: Part, code: &Code) -> Result<File, StoreError> {
        Ok(self.open_checked(digest, part, code)?.0)
    }

    /// What to put into a record for a part that was recorded before, if it is still what it was:
    /// another file with the same bytes, as in a copied installation, is hashed this once.
    ///
    /// # Errors
    ///
    /// As [`Store::open_part`].
    pub fn recognise(&self, digest: &str, part: Part, code: &Code) -> Result<Code, StoreError> {
        let (_, identity) = self.open_checked(digest, part, code)?;
        Ok(Code { identity, digest: code.digest.clone() })
    }

    fn open_checked(&self, digest: &str, part: Part, code: &Code) -> Result<(File, Identity), StoreError> {
        let name = self.name(digest, part.suffix());
        let (mut file, identity) = self.open_trusted(&name)?;
        if identity != code.identity {
            let mut hasher = blake3::Hasher::new();
            io::copy(&mut file, &mut hasher).map_err(|e| StoreError::Io(name.clone(), e))?;
            if hasher.finalize().to_hex().as_str() != code.digest {
                return Err(StoreError::Damaged(name));
            }
            rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).map_err(StoreError::io(&name))?;
        }
        Ok((file, identity))
    }

    /// Takes the lock that writers hold; it is given back when the file is closed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn lock(&self) -> Result<OwnedFd, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&self.directory, LOCK, flags, Mode::from_raw_mode(0o600))
            .map_err(StoreError::io(LOCK))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(StoreError::io(LOCK))?;
        Ok(lock)
    }

    /// Writes a part of a module, and says what to put into the record.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn write_part(&self, digest: &str, part: Part, bytes: &[u8]) -> Result<Code, StoreError> {
        let identity = self.write(&self.name(digest, part.suffix()), bytes)?;
        Ok(Code { identity, digest: Self::digest(bytes) })
    }

    /// Writes the record of a module, notes which file at which guest path it is, and removes what
    /// belongs to no path any more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn write_record(
        &self,
        digest: &str,
        path: &GuestPath,
        module: Identity,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.write(&self.name(digest, "record"), record.text().as_bytes())?;
        let (old, path) = (self.read_text(MODULES).unwrap_or_default(), escaped(path));
        // Identity, digest, path.
        let word = |line: &str, index| line.splitn(6, ' ').nth(index).map(str::to_owned);
        let other = |line: &&str| word(line, 5).is_some_and(|p| p != path);
        let mut lines: Vec<String> = old.lines().filter(other).map(str::to_owned).collect();
        lines.push(format!("{} {digest} {path}", module.text()));
        self.write(MODULES, (lines.join("\n") + "\n").as_bytes())?;
        let kept: Vec<String> = lines.iter().filter_map(|line| word(line, 4)).collect();
        self.remove_all_but(&kept)
    }

    /// Keeps the code of a program that was compiled ahead, for another layout of memory. There are
    /// few layouts, and no guest runs yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing depends on it.
    pub fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let record = Record { code: Some(self.write_part(digest, Part::Code, bytes)?), ..Record::default() };
        self.write(&self.name(digest, "record"), record.text().as_bytes()).map(drop)
    }

    /// Removes the files of this engine, for whichever layout, that are named by none of these
    /// digests. A process that runs the code keeps it.
    fn remove_all_but(&self, digests: &[String]) -> Result<(), StoreError> {
        let io = StoreError::io("compiled");
        for entry in rustix::fs::Dir::read_from(&self.directory).map_err(&io)? {
            let name = entry.map_err(&io)?.file_name().to_string_lossy().into_owned();
            let Some((digest, rest)) = name.split_once('-') else { continue };
            let ours = rest.strip_prefix(&*self.engine).is_some_and(|suffix| suffix.starts_with(['.', '-']));
            if ours && !digests.iter().any(|d| d == digest) {
                rustix::fs::unlinkat(&self.directory, name.as_str(), AtFlags::empty()).map_err(&io)?;
            }
        }
        Ok(())
    }

    fn name(&self, digest: &str, suffix: &str) -> String {
        format!("{digest}-{}.{suffix}", self.engine)
    }

    fn open_trusted(&self, name: &str) -> Result<(File, Identity), StoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // The only call for opening that the second wall lets through.
        let fd = open_how::open(self.directory.as_fd(), name, flags, Crossing::Refused).map_err(|e| match e {
            Errno::LOOP => StoreError::Distrusted(name.to_owned(), "it is a symbolic link"),
            e => StoreError::io(name)(e),
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(StoreError::io(name))?;
        check_owner(name, stat.st_uid, stat.st_mode)?;
        let stat = FileStat::from(stat);
        if stat.kind() != S_IFREG {
            return Err(StoreError::Distrusted(name.to_owned(), "it is no regular file"));
        }
        if stat.nlink != 1 {
            return Err(StoreError::Distrusted(name.to_owned(), "it has a second name (a hard link)"));
        }
        Ok((File::from(fd), Identity::of(&stat)))
    }

    fn read_text(&self, name: &str) -> Result<String, StoreError> {
        let (file, _) = self.open_trusted(name)?;
        let mut text = String::new();
        file.take(TEXT_MAX).read_to_string(&mut text).map_err(|e| StoreError::Io(name.to_owned(), e))?;
        Ok(text)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<Identity, StoreError> {
        let io = StoreError::io(name);
        let temporary = format!("{name}.{}.tmp", std::process::id());
        // What a killed run left under this name.
        let _ = rustix::fs::unlinkat(&self.directory, temporary.as_str(), AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let fd = rustix::fs::openat2(&self.directory, temporary.as_str(), flags, mode, ResolveFlags::BENEATH)
            .map_err(&io)?;
        let mut file = File::from(fd);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(e) = written {
            let _ = rustix::fs::unlinkat(&self.directory, temporary.as_str(), AtFlags::empty());
            return Err(StoreError::Io(name.to_owned(), e));
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).map_err(&io)?;
        rustix::fs::renameat(&self.directory, temporary.as_str(), &self.directory, name).map_err(&io)?;
        // The rename changes the inode's time, so the identity is taken after it.
        Ok(Identity::of(&FileStat::from(rustix::fs::fstat(&file).map_err(&io)?)))
    }
}

/// Whether only this user and root could have written what has this owner and mode.
pub(super) fn check_owner(name: &str, owner: u32, mode: u32) -> Result<(), StoreError> {
    let me = rustix::process::geteuid().as_raw();
    if owner != me && owner != 0 {
        return Err(StoreError::Distrusted(name.to_owned(), "it belongs to another user"));
    }
    if mode & 0o022 != 0 {
        return Err(StoreError::Distrusted(name.to_owned(), "others can write it"));
    }
    Ok(())
}
