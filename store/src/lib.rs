//! The content-addressed store: blobs, trees, and which tree each key gave.
//!
//! # On disk
//!
//! | path below the root | what it is |
//! |---|---|
//! | `format` | the number of the format, as text |
//! | `blobs/XX/DIGEST`, `blobs/XX/DIGESTx` | a file's bytes, mode 0444, or 0555 with the `x`; `XX` is the digest's first byte |
//! | `trees/XX/DIGEST` | a tree's manifest: the bytes whose BLAKE3 is the tree's digest (see [`build_graph::encode`]) |
//! | `results/XX/KEY` | which tree a key gave, and the lines that explain the key; begins with a checksum |
//! | `logs/XX/KEY` | what the action printed that made the key's result; gone with the result |
//! | `checkouts/BOOT/DIGEST-MODE` | a whole tree as files, shared by all who read it; not used after a reboot |
//! | `locks/` | locks of keys |
//! | `tmp/SESSION/` | unfinished files of a session |
//! | `cargo/`, `compiled/`, `executors/`, `locking/`, `logs/`, `partial/`, `remotes/`, `repositories/`, `wheels/`, `wire/` | what other rooms keep here: see [`Area`] |
//! | `gate`, `gc`, `generation` | the lock that keeps removals apart from look-ups, the lock of garbage collection, the count of removals |
//! | `drops` | a random mark, new after each `cache drop` |
//!
//! # What holds at any moment
//!
//! A process writes each file below `tmp/` and renames it into place when it is whole. So any
//! number of processes may work at once, and each may be killed at any moment. Nothing is flushed
//! to the disk: after a loss of power, a file on a journalling file system may be short or empty,
//! and nothing worse. Each use of a blob checks its size, mode and time, so that a short one is
//! noticed. Manifests and results carry checksums. Checkouts are not used after a reboot. A damaged
//! file counts as missing and is removed. [`Store::verify`] compares bytes with their digests; with
//! [`Options::verify_on_read`], each use does.
//!
//! Every open [`Store`] is a session. [`Store::gc`] removes nothing that was written, found or used
//! since the oldest living session began. The modification time of manifests and results, and the
//! status change time of blobs, record the last use.

mod area;
mod blob;
mod checkout;
mod error;
mod files;
mod gc;
mod ingest;
mod lock;
mod logs;
pub mod manifest;
mod materialise;
mod record;
mod remove;
mod session;
mod verify;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use build_graph::{NodeKey, Tree, TreeDigest};
use rustix::fs::{CWD, Mode, OFlags, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;

pub use area::{Area, AreaBytes, Place};
pub use blob::{Found, MissingBlob};
pub use checkout::MaterialisedTree;
pub use error::{Result, StoreError};
pub use gc::{GcPolicy, GcReport};
pub use ingest::{Observer, Taking};
pub use lock::KeyLock;
pub use materialise::Materialise;
pub use record::Origin;
pub use session::Scratch;
pub use verify::{Damage, Stats, VerifyReport};

use files::{open_dir, write_all};
use lock::Gate;
use record::Belief;
use session::Session;
use support::waiting::Teller;

/// The format that this program writes.
const FORMAT: u64 = 1;
const FORMAT_HEAD: &str = "pynbox-build store ";

/// How a store is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// Compare every blob with its digest whenever it is used, not only its size. Off by default.
    pub verify_on_read: bool,
    /// The most hard links of a blob; beyond, it is copied. The file system has a limit, too.
    pub max_links: u64,
    /// The longest file that an action may give, in bytes: a sparse file can claim any length.
    pub max_file_size: u64,
    /// Is told for which process this one waits, if that takes longer than a moment.
    pub waiting: Option<Teller>,
}

impl Default for Options {
    fn default() -> Self {
        Self { verify_on_read: false, max_links: u64::MAX, max_file_size: 64 << 30, waiting: None }
    }
}

/// An open store. Share it between threads; open it once a process.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    options: Options,
    dir: OwnedFd,
    blobs: OwnedFd,
    trees: OwnedFd,
    results: OwnedFd,
    logs: OwnedFd,
    checkouts: OwnedFd,
    boot: String,
    locks: Arc<OwnedFd>,
    gate: Gate,
    generation: OwnedFd,
    session: Arc<Session>,
    known: Mutex<HashMap<TreeDigest, Arc<Tree>>>,
    /// Which results count; `None`: all.
    belief: Option<Belief>,
}

impl Store {
    /// Returns where the store is by default: `$PYNBOX_CACHE`, or `pynbox-build` in
    /// `$XDG_CACHE_HOME`, or in `$HOME/.cache`.
    ///
    /// # Errors
    /// [`StoreError::NoRoot`] if none of them is set to an absolute path (`PYNBOX_CACHE` may be
    /// relative).
    pub fn default_root() -> Result<PathBuf> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let absolute = |path: &PathBuf| path.is_absolute();
        let root = match variable("PYNBOX_CACHE") {
            Some(root) => std::path::absolute(&root).map_err(|error| StoreError::outside("finding", &root, error))?,
            None => variable("XDG_CACHE_HOME")
                .filter(absolute)
                .or_else(|| variable("HOME").filter(absolute).map(|home| home.join(".cache")))
                .map(|cache| cache.join("pynbox-build"))
                .ok_or(StoreError::NoRoot)?,
        };
        if root.to_str().is_none() { Err(StoreError::NotText { root }) } else { Ok(root) }
    }

    /// Opens the store at `root`; makes it if there is nothing or an empty folder. Removes what
    /// dead processes left.
    ///
    /// # Errors
    /// [`StoreError`] if the folder is no store, has a newer format, belongs to another user, may
    /// be written by others, or can't be written to.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, Options::default())
    }

    /// As [`Store::open`], with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(root: &Path, options: Options) -> Result<Self> {
        let root = std::path::absolute(root).map_err(|error| StoreError::outside("finding", root, error))?;
        let dir = open_root(&root)?;
        check_format(&root, &dir)?;
        let sub =
            |name: &str| subdirectory(&dir, name).map_err(|error| inside(&root, "making the folder", name, error));
        let checkouts = sub("checkouts")?;
        let boot = boot();
        let checkouts =
            subdirectory(&checkouts, &boot).map_err(|error| inside(&root, "making the folder", "checkouts", error))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let open = |name: &str| {
            openat(&dir, name, flags, Mode::from_raw_mode(0o600)).map_err(|error| inside(&root, "opening", name, error))
        };
        let gate = Gate::new(open("gate")?, options.waiting.clone());
        let generation = open("generation")?;
        let session = Session::begin(&root, sub("tmp")?)?;
        session.sweep();
        let store = Self {
            blobs: sub("blobs")?,
            trees: sub("trees")?,
            results: sub("results")?,
            logs: sub(Area::Logs.folder())?,
            checkouts,
            boot,
            locks: Arc::new(sub("locks")?),
            gate,
            generation,
            session,
            known: Mutex::default(),
            belief: None,
            options,
            dir,
            root,
        };
        if store.generation()? == 0 {
            let _pass = store.gate.alone().map_err(store.inside("locking", "gate"))?;
            if store.generation()? == 0 {
                store.bump().map_err(store.inside("writing", "generation"))?;
            }
        }
        Ok(store)
    }

    /// Returns the store's folder, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Waits for the exclusive right to make the result of a key. Look the result up again once it
    /// is held.
    ///
    /// # Errors
    /// [`StoreError`] if the lock file can't be made.
    pub fn lock(&self, key: NodeKey) -> Result<KeyLock> {
        loop {
            if let Some(lock) = KeyLock::acquire(&self.root, &self.locks, key, true, self.options.waiting.as_ref())? {
                return Ok(lock);
            }
        }
    }

    /// Does as [`Store::lock`], but returns `None` where that would wait.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub fn try_lock(&self, key: NodeKey) -> Result<Option<KeyLock>> {
        KeyLock::acquire(&self.root, &self.locks, key, false, None)
    }

    /// Makes a new, empty folder on the store's file system.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be made.
    pub fn scratch(&self) -> Result<Scratch> {
        self.session.scratch()
    }

    fn inside(&self, doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(Errno) -> StoreError {
        let path = path.as_ref().to_owned();
        let root = self.root.clone();
        move |error| StoreError::inside(&root, doing, path, error)
    }

    /// Writes a whole small file below `tmp/` and renames it to `to` in `dir`, over what is there.
    fn write_file(&self, dir: &OwnedFd, to: &str, pieces: &[&[u8]]) -> Result<(), Errno> {
        let temporary = self.session.fresh();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.session.dir, &temporary, flags, Mode::from_raw_mode(0o644))?;
        let written = pieces
            .iter()
            .try_for_each(|piece| write_all(&file, piece))
            .and_then(|()| into_place(&self.session.dir, &temporary, dir, to));
        if written.is_err() {
            let _ = remove::remove_at(&self.session.dir, &*temporary);
        }
        written
    }
}

/// Returns the path of a digest's file in its folder: `XX/DIGEST`.
fn sharded(digest: &[u8; 32]) -> String {
    let digest = NodeKey::from_bytes(*digest).to_string();
    format!("{}/{digest}", &digest[..2])
}

/// Renames a finished file to its sharded name, over what is there; makes the shard's folder if
/// need be.
fn into_place(from: impl AsFd, name: &str, dir: &OwnedFd, to: &str) -> Result<(), Errno> {
    let from = from.as_fd();
    let rename = || rustix::fs::renameat(from, name, dir, to);
    match rename() {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    if let Some((shard, _)) = to.split_once('/') {
        match mkdirat(dir, shard, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    rename()
}

fn inside(root: &Path, doing: &'static str, path: &str, error: Errno) -> StoreError {
    StoreError::inside(root, doing, path, error)
}

fn subdirectory(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    match open_dir(dir, name) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    match mkdirat(dir, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => open_dir(dir, name),
        Err(error) => Err(error),
    }
}

/// Opens or makes the root folder; it must be ours alone to write to.
fn open_root(root: &Path) -> Result<OwnedFd> {
    let open = || openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let dir = match open() {
        Err(Errno::NOENT) => {
            std::fs::create_dir_all(root).map_err(|error| StoreError::inside(root, "making", root, error))?;
            open()
        }
        opened => opened,
    }
    .map_err(|error| StoreError::inside(root, "opening", root, error))?;
    let stat = fstat(&dir).map_err(|error| StoreError::inside(root, "looking at", root, error))?;
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user {
        return Err(StoreError::ForeignOwner { root: root.to_owned(), owner: stat.st_uid, user });
    }
    if stat.st_mode & 0o022 != 0 {
        // A careless umask may have left a new folder open; it is closed. A store in use is
        // refused: somebody may have written to it.
        if openat(&dir, "format", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).is_ok() {
            return Err(StoreError::WritableByOthers { root: root.to_owned() });
        }
        fchmod(&dir, Mode::from_raw_mode(stat.st_mode & 0o755))
            .map_err(|error| StoreError::inside(root, "closing", root, error))?;
    }
    Ok(dir)
}

fn check_format(root: &Path, dir: &OwnedFd) -> Result<()> {
    let not_a_store = || StoreError::NotAStore { root: root.to_owned() };
    let failed = |error| StoreError::inside(root, "reading", "format", error);
    let file = match openat(dir, "format", OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => {
            // If a process died while it made the store, nothing else is there yet.
            let others = rustix::fs::Dir::read_from(dir).map_err(failed)?.filter_map(Result::ok).any(|entry| {
                !matches!(entry.file_name().to_bytes(), b"." | b".." | b"format" | b"format.new" | b"lost+found")
            });
            if others {
                // Unless another process made the file meanwhile.
                if rustix::fs::statat(dir, "format", rustix::fs::AtFlags::empty()).is_ok() {
                    return check_format(root, dir);
                }
                return Err(not_a_store());
            }
            return write_format(dir).map_err(|error| StoreError::inside(root, "writing", "format", error));
        }
        opened => opened.map_err(|error| StoreError::inside(root, "reading", "format", error))?,
    };
    let bytes = files::read_all(&file, 64).map_err(|error| StoreError::inside(root, "reading", "format", error))?;
    // Cut short by a loss of power.
    if bytes.is_empty() {
        return write_format(dir).map_err(|error| StoreError::inside(root, "writing", "format", error));
    }
    let found = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_prefix(FORMAT_HEAD)?.trim_end().parse::<u64>().ok())
        .ok_or_else(not_a_store)?;
    if found > FORMAT {
        return Err(StoreError::NewerFormat { root: root.to_owned(), found, known: FORMAT });
    }
    Ok(())
}

fn write_format(dir: &OwnedFd) -> Result<(), Errno> {
    let name = "format.new";
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(dir, name, flags, Mode::from_raw_mode(0o644))?;
    write_all(&file, format!("{FORMAT_HEAD}{FORMAT}\n").as_bytes())?;
    rustix::fs::fsync(&file)?;
    match rustix::fs::renameat(dir, name, dir, "format") {
        // Another process that opens the store for the first time was faster with the same name.
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Returns a name for the time from one boot to the next.
fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let name: String = text.trim().chars().filter(char::is_ascii_alphanumeric).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}
