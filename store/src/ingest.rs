//! Makes trees of folders, such as the one that an untrusted action left.
//!
//! The whole folder is listed first; if a tree can't hold something in it, no file is taken. No
//! link is followed: every file is opened anew from the top, and the kernel refuses links on the
//! way.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use build_graph::files::is_leaving;
use build_graph::untrusted::printable;
use build_graph::{Entry, RelPath, Tree};
use rayon::prelude::*;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, chmod, flistxattr, fstat, openat, openat2,
    readlinkat, statat,
};
use rustix::io::Errno;

use super::blob::{Blob, hash_stream, seal};
use super::files::{SMALL, kind, read_all};
use super::remove::make_ours;
use super::{Result, Store, StoreError};

/// A path with more bytes than this is refused: no system call could name it.
pub(super) const MAX_PATH: usize = 4000;
/// A path with more components than this is refused.
pub(super) const MAX_DEPTH: usize = 256;
/// The most problems of a folder that an error names.
const MAX_PROBLEMS: usize = 10;

/// What becomes of the files of a folder whose tree is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// They stay.
    Copy,
    /// They stay, and only sources are taken: nothing that version control or an editor left (see
    /// [`is_leaving`]).
    Sources,
    /// They may go: a file is renamed into the store if possible, and copied if not. Unreadable
    /// folders are made readable. No other process may write to the folder any more.
    Move,
}

/// Is told of each folder (`None`: the top) before it is listed, and of each file before it is
/// read, with what `stat` says of it. Returns the entry of a file if that is known and the store
/// has its bytes; such a file is not read.
pub type Observer<'a> = dyn Fn(Option<&RelPath>, &Stat) -> Option<Entry> + Sync + 'a;

impl Store {
    /// Stores a folder and returns its tree. Of a file's mode only the owner's right to execute it
    /// is kept, and of times and owners nothing.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] if it holds devices, sockets, pipes, names or link targets that are
    /// not UTF-8, or paths that are too deep; [`StoreError`] if something can't be read or stored.
    pub fn ingest(&self, dir: &Path, taking: Taking) -> Result<Tree> {
        self.ingest_observed(dir, taking, &|_, _| None)
    }

    /// As [`Store::ingest`], with somebody who sees what is looked at, and knows some files.
    ///
    /// # Errors
    /// As [`Store::ingest`].
    pub fn ingest_observed(&self, dir: &Path, taking: Taking, observer: &Observer<'_>) -> Result<Tree> {
        let mut walk = Walk::new(self, dir, taking, observer)?;
        walk.directory(None);
        walk.store()
    }

    /// Does as [`Store::ingest`], of these files and folders only, at their own paths.
    ///
    /// # Errors
    /// As [`Store::ingest`], and [`StoreError::MissingOutputs`] with all that are not there.
    pub fn ingest_paths(&self, dir: &Path, outputs: &[RelPath], taking: Taking) -> Result<Tree> {
        let mut walk = Walk::new(self, dir, taking, &|_, _| None)?;
        let mut missing = Vec::new();
        for output in outputs {
            if !walk.output(output) {
                missing.push(output.clone());
            }
        }
        if !missing.is_empty() {
            return Err(StoreError::MissingOutputs { outputs: missing });
        }
        walk.store()
    }
}

/// What was found at a path.
enum Found {
    File { size: u64, executable: bool },
    Known(Entry),
    Symlink(String),
    EmptyDirectory,
}

struct Walk<'a> {
    store: &'a Store,
    dir: &'a Path,
    top: OwnedFd,
    taking: Taking,
    observer: &'a Observer<'a>,
    found: BTreeMap<RelPath, Found>,
    problems: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(store: &'a Store, dir: &'a Path, taking: Taking, observer: &'a Observer<'a>) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(CWD, dir, flags, Mode::empty());
        let top = match (open(), taking) {
            (Err(Errno::ACCESS), Taking::Move) => {
                let name = CString::new(dir.as_os_str().as_encoded_bytes()).map_err(|_| Errno::INVAL);
                name.and_then(|name| make_ours(CWD, &name)).and_then(|()| open())
            }
            (opened, _) => opened,
        }
        .map_err(|error| StoreError::outside("opening", dir, error))?;
        Ok(Self { store, dir, top, taking, observer, found: BTreeMap::new(), problems: Vec::new() })
    }

    fn problem(&mut self, path: &(impl AsRef<[u8]> + ?Sized), what: impl std::fmt::Display) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(format!("`{}` {what}", printable(path)));
        }
    }

    /// Adds one declared output. Returns false if it is not there.
    fn output(&mut self, output: &RelPath) -> bool {
        let opened = match output.parent() {
            None => self.top.try_clone().map_err(|_| Errno::MFILE),
            Some(parent) => self.open_dir_at(parent.as_str()),
        };
        let parent = match opened {
            Ok(parent) => parent,
            Err(Errno::NOTDIR | Errno::LOOP) if self.runs_through_link(output) => {
                self.problem(output.as_str(), "lies below a symbolic link");
                return true;
            }
            Err(Errno::NOENT | Errno::NOTDIR) => return false,
            Err(error) => {
                self.problem(output.as_str(), format_args!("can't be reached ({error})"));
                return true;
            }
        };
        let Ok(name) = CString::new(output.file_name()) else { return false };
        match statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT | Errno::NOTDIR) => return false,
            Err(error) => self.problem(output.as_str(), format_args!("can't be looked at ({error})")),
            Ok(stat) => {
                if self.entry(&parent, &name, output.clone(), &stat) {
                    self.directory(Some(output.clone()));
                }
            }
        }
        true
    }

    fn runs_through_link(&self, path: &RelPath) -> bool {
        std::iter::successors(path.parent(), RelPath::parent).any(|above| {
            open_beneath(&self.top, above.as_str(), OFlags::PATH)
                .and_then(fstat)
                .is_ok_and(|stat| kind(&stat) == FileType::Symlink)
        })
    }

    /// Adds everything below a folder.
    fn directory(&mut self, start: Option<RelPath>) {
        let mut waiting = vec![start];
        while let Some(path) = waiting.pop() {
            if self.problems.len() >= MAX_PROBLEMS {
                return;
            }
            let shown = path.as_ref().map_or(".", RelPath::as_str).to_owned();
            match self.list(path.as_ref(), &mut waiting) {
                Ok(0) => {
                    if let Some(path) = path {
                        self.found.insert(path, Found::EmptyDirectory);
                    }
                }
                Ok(_) => {}
                Err(error) => self.problem(&shown, format_args!("can't be read ({error})")),
            }
        }
    }

    /// Adds what is directly in a folder, and returns the number of entries.
    fn list(&mut self, path: Option<&RelPath>, waiting: &mut Vec<Option<RelPath>>) -> Result<usize, Errno> {
        let dir = match path {
            None => self.top.try_clone().map_err(|_| Errno::MFILE)?,
            Some(path) => self.open_dir_at(path.as_str())?,
        };
        (self.observer)(path, &fstat(&dir)?);
        let mut count = 0;
        let mut entries = Dir::read_from(&dir)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if self.taking == Taking::Sources && name.to_str().is_ok_and(is_leaving) {
                continue;
            }
            count += 1;
            if self.problems.len() >= MAX_PROBLEMS {
                return Ok(count);
            }
            let above = path.map_or(String::new(), |path| format!("{path}/"));
            let full = match name.to_str().map(|name| RelPath::new(format!("{above}{name}"))) {
                Ok(Ok(full)) => full,
                Ok(Err(_)) => {
                    self.problem(&[above.as_bytes(), name.to_bytes()].concat(), "has a line feed in its name");
                    continue;
                }
                Err(_) => {
                    self.problem(&[above.as_bytes(), name.to_bytes()].concat(), "is no UTF-8");
                    continue;
                }
            };
            if full.as_str().len() > MAX_PATH || full.as_str().split('/').count() > MAX_DEPTH {
                self.problem(full.as_str(), "is too deep");
                continue;
            }
            let stat = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if self.entry(&dir, name, full.clone(), &stat) {
                waiting.push(Some(full));
            }
        }
        Ok(count)
    }

    /// Adds what stands at a path. Returns true if it is a folder, whose content comes next.
    fn entry(&mut self, dir: &OwnedFd, name: &CStr, path: RelPath, stat: &Stat) -> bool {
        let what = match kind(stat) {
            FileType::Directory => return true,
            FileType::RegularFile => {
                let size = stat.st_size as u64;
                if let Some(entry) = (self.observer)(Some(&path), stat) {
                    self.found.insert(path, Found::Known(entry));
                } else if size <= self.store.options.max_file_size {
                    self.found.insert(path, Found::File { size, executable: stat.st_mode & 0o100 != 0 });
                } else {
                    let limit = self.store.options.max_file_size;
                    self.problem(path.as_str(), format_args!("has {size} bytes, more than {limit}"));
                }
                return false;
            }
            FileType::Symlink => {
                match readlinkat(dir, name, Vec::new()).map(CString::into_string) {
                    Ok(Ok(target)) => {
                        self.found.insert(path, Found::Symlink(target));
                    }
                    Ok(Err(_)) => self.problem(path.as_str(), "is a link whose target is no UTF-8"),
                    Err(error) => self.problem(path.as_str(), format_args!("can't be read ({error})")),
                }
                return false;
            }
            FileType::Socket => "is a socket",
            FileType::Fifo => "is a named pipe",
            FileType::CharacterDevice | FileType::BlockDevice => "is a device",
            FileType::Unknown => "is of an unknown kind",
        };
        self.problem(path.as_str(), what);
        false
    }

    /// Opens a folder below the top; gives it the modes it lacks where the folder is ours to take.
    fn open_dir_at(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = open_beneath(&self.top, path, flags);
        if self.taking != Taking::Move {
            return opened;
        }
        match opened {
            // Files are to be renamed out of it.
            Ok(dir) if fstat(&dir)?.st_mode & 0o700 == 0o700 => Ok(dir),
            Ok(_) | Err(Errno::ACCESS) => {
                make_ours_beneath(&self.top, path)?;
                open_beneath(&self.top, path, flags)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts all that was found into the store.
    fn store(self) -> Result<Tree> {
        if !self.problems.is_empty() {
            return Err(StoreError::Unfit { dir: self.dir.to_owned(), problems: self.problems });
        }
        let found: Vec<_> = self.found.iter().collect();
        let take = |(path, found): &(&RelPath, &Found)| {
            let entry = match found {
                Found::File { size, executable } => self.file(path, *size, *executable)?,
                Found::Known(entry) => entry.clone(),
                Found::Symlink(target) => Entry::Symlink { target: target.clone() },
                Found::EmptyDirectory => Entry::EmptyDirectory,
            };
            Ok(((*path).clone(), entry))
        };
        // A few files are quicker than waking other threads.
        let entries: Vec<_> = if found.len() < 8 {
            found.iter().map(take).collect::<Result<_>>()?
        } else {
            found.par_iter().map(take).collect::<Result<_>>()?
        };
        let mut tree = Tree::new();
        for (path, entry) in entries {
            tree.insert(path, entry)
                .map_err(|error| StoreError::Unfit { dir: self.dir.to_owned(), problems: vec![error.to_string()] })?;
        }
        Ok(tree)
    }

    fn file(&self, path: &RelPath, size: u64, executable: bool) -> Result<Entry> {
        let shown = || self.dir.join(path);
        let outside = |error: Errno| StoreError::outside("reading", shown(), error);
        let file = match open_beneath(&self.top, path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Err(Errno::ACCESS) if self.taking == Taking::Move => make_ours_beneath(&self.top, path.as_str())
                .and_then(|()| open_beneath(&self.top, path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK)),
            opened => opened,
        }
        .map_err(outside)?;
        let stat = fstat(&file).map_err(outside)?;
        if kind(&stat) != FileType::RegularFile {
            return Err(outside(Errno::INVAL));
        }
        if !self.can_move(&file, &stat) {
            return self.store.put_open(file, size, executable, &shown());
        }
        let (digest, size) = if size <= SMALL {
            let bytes = read_all(&file, size).map_err(|error| StoreError::outside("reading", shown(), error))?;
            (build_graph::BlobDigest::of(&bytes), bytes.len() as u64)
        } else {
            let mut file =
                File::from(file.try_clone().map_err(|error| StoreError::outside("reading", shown(), error))?);
            hash_stream(&mut file).map_err(|error| StoreError::outside("reading", shown(), error))?
        };
        let blob = Blob { digest, size, executable };
        if self.store.keep(blob)? {
            return Ok(blob.entry());
        }
        let moved = self.parent(path).and_then(|parent| {
            seal(&file, blob)?;
            self.store.adopt(parent, path.file_name(), blob)
        });
        match moved {
            Ok(()) => Ok(blob.entry()),
            // One file system, but two mounts of it.
            Err(Errno::XDEV | Errno::PERM | Errno::ACCESS) => {
                let mut file = File::from(file);
                file.rewind().map_err(|error| StoreError::outside("reading", shown(), error))?;
                self.store.put_open(file.into(), size, executable, &shown())
            }
            Err(error) => Err(self.store.inside("moving into the store", blob.name())(error)),
        }
    }

    fn parent(&self, path: &RelPath) -> Result<OwnedFd, Errno> {
        match path.parent() {
            None => self.top.try_clone().map_err(|_| Errno::MFILE),
            Some(parent) => open_beneath(&self.top, parent.as_str(), OFlags::RDONLY | OFlags::DIRECTORY),
        }
    }

    /// Whether the file itself can become a blob: it is ours, it has no other hard link, and it has
    /// no attributes beside its bytes.
    fn can_move(&self, file: &OwnedFd, stat: &Stat) -> bool {
        self.taking == Taking::Move
            && stat.st_nlink == 1
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && fstat(&self.store.blobs).is_ok_and(|blobs| blobs.st_dev == stat.st_dev)
            && matches!(flistxattr(file, &mut [0_u8; 0][..]), Ok(0) | Err(Errno::OPNOTSUPP))
    }
}

/// Opens a file or folder below `top`; the kernel refuses a path that runs through a link or leaves
/// `top`.
fn open_beneath(top: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(top, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
        // An old kernel, or a filter of system calls that does not know it: one component at a
        // time.
        Err(Errno::NOSYS | Errno::PERM) => {}
        opened => return opened,
    }
    let mut dir = top.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
    let mut components = path.split('/').peekable();
    while let Some(component) = components.next() {
        if components.peek().is_none() {
            return openat(&dir, component, flags, Mode::empty());
        }
        let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        dir = openat(&dir, component, way, Mode::empty())?;
    }
    Ok(dir)
}

/// Gives the owner all rights to a file or folder below `top`.
fn make_ours_beneath(top: &OwnedFd, path: &str) -> Result<(), Errno> {
    let handle = open_beneath(top, path, OFlags::PATH)?;
    let stat = fstat(&handle)?;
    if !matches!(kind(&stat), FileType::Directory | FileType::RegularFile) {
        return Err(Errno::ACCESS);
    }
    let mode = stat.st_mode & 0o777 | if kind(&stat) == FileType::Directory { 0o700 } else { 0o400 };
    chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), Mode::from_raw_mode(mode))
}
