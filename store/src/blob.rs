//! Blobs: files' bytes, each under its digest and whether it is executable.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use build_graph::{BlobDigest, Entry, RelPath, SOURCE_DATE_EPOCH, Tree, TreeDigest};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, futimens, openat, statat, unlinkat, utimensat};
use rustix::io::{Errno, pread, pwrite};
use support::regular;

use super::files::{EPOCHS, SMALL, changed, kind, modified, read_all, write_all};
use super::remove::remove_at;
use super::{Result, Store, StoreError, into_place, sharded};

/// A file of a tree whose bytes are not in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingBlob {
    /// Where it stands in the tree.
    pub path: RelPath,
    /// The digest of its bytes.
    pub digest: BlobDigest,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it is executable.
    pub executable: bool,
}

/// A blob as trees name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Blob {
    pub(super) digest: BlobDigest,
    pub(super) size: u64,
    pub(super) executable: bool,
}

/// What one round of look-ups found, so that it checks nothing twice: trees share most of their
/// files. Good for that round only; garbage collection may remove the files later.
#[derive(Debug, Default)]
pub struct Found {
    blobs: HashSet<Blob>,
    pub(super) trees: HashSet<TreeDigest>,
}

impl Found {
    /// Takes a tree for whole, because its files were put into the store in this round.
    pub fn add_tree(&mut self, tree: TreeDigest) {
        self.trees.insert(tree);
    }

    /// Whether a tree was found whole.
    pub fn has_tree(&self, tree: TreeDigest) -> bool {
        self.trees.contains(&tree)
    }
}

/// What the metadata of a blob's file says.
enum Look {
    Good(Stat),
    /// Of the right length, but somebody changed its mode or time, and perhaps its bytes.
    Touched(Stat),
    Damaged(Stat),
    Absent,
}

impl Blob {
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        match *entry {
            Entry::File { digest, size, executable } => Some(Self { digest, size, executable }),
            _ => None,
        }
    }

    pub(super) fn entry(self) -> Entry {
        Entry::File { digest: self.digest, size: self.size, executable: self.executable }
    }

    /// Its path below `blobs/`.
    pub(super) fn name(self) -> String {
        let mut name = sharded(self.digest.as_bytes());
        if self.executable {
            name.push('x');
        }
        name
    }

    pub(super) fn mode(self) -> u32 {
        if self.executable { 0o555 } else { 0o444 }
    }

    fn look(self, stat: Result<Stat, Errno>) -> Result<Look, Errno> {
        let stat = match stat {
            Err(Errno::NOENT) => return Ok(Look::Absent),
            stat => stat?,
        };
        Ok(if kind(&stat) != FileType::RegularFile || stat.st_size as u64 != self.size {
            Look::Damaged(stat)
        } else if stat.st_mode & 0o7777 != self.mode() || modified(&stat) != (SOURCE_DATE_EPOCH as i64, 0) {
            Look::Touched(stat)
        } else {
            Look::Good(stat)
        })
    }
}

impl Store {
    /// Puts bytes into the store and returns their entry.
    ///
    /// # Errors
    /// [`StoreError`] if they can't be written.
    pub fn put_bytes(&self, bytes: &[u8], executable: bool) -> Result<Entry> {
        let blob = Blob { digest: BlobDigest::of(bytes), size: bytes.len() as u64, executable };
        if !self.keep(blob)? {
            let (name, file) = self.temporary()?;
            let written = write_all(&file, bytes);
            self.finish(&name, &file, written, blob)?;
        }
        Ok(blob.entry())
    }

    /// Puts everything that a reader gives into the store, and hashes it meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the reader fails, [`StoreError`] if the bytes can't be written.
    pub fn put_reader(&self, reader: &mut dyn Read, executable: bool) -> Result<Entry> {
        let mut buffer = Buffer::of_thread();
        let first = fill(reader, &mut buffer.0).map_err(|error| StoreError::outside("reading", "stream", error))?;
        let buffer = &mut buffer.0;
        if first < buffer.len() {
            return self.put_bytes(&buffer[..first], executable);
        }
        let (name, file) = self.temporary()?;
        let result = self.stream(reader, &file, buffer);
        let (digest, size) = match result {
            Ok(done) => done,
            Err(error) => {
                let _ = remove_at(&self.session.dir, &*name);
                return Err(error);
            }
        };
        let blob = Blob { digest, size, executable };
        self.finish(&name, &file, Ok(()), blob)?;
        Ok(blob.entry())
    }

    /// Puts a file's bytes into the store. The file stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file can't be read, [`StoreError`] if the bytes can't be written.
    pub fn put_file(&self, path: &Path, executable: bool) -> Result<Entry> {
        let outside = |error| StoreError::outside("reading", path, error);
        let file = regular::open(path).map_err(outside)?;
        let size = file.metadata().map_err(outside)?.len();
        self.put_open(file.into(), size, executable, path)
    }

    /// Puts an open file's bytes into the store; `size` is a guess, `path` is for messages.
    pub(super) fn put_open(&self, file: OwnedFd, size: u64, executable: bool, path: &Path) -> Result<Entry> {
        let outside = |error| StoreError::outside("reading", path, error);
        if size <= SMALL {
            let bytes = read_all(&file, size).map_err(outside)?;
            return self.put_bytes(&bytes, executable);
        }
        // Large files are read twice unless they are there already: most are.
        let mut file = File::from(file);
        let (digest, size) = hash_stream(&mut file).map_err(outside)?;
        let blob = Blob { digest, size, executable };
        if self.keep(blob)? {
            return Ok(blob.entry());
        }
        io::Seek::rewind(&mut file).map_err(outside)?;
        self.put_reader(&mut file, executable).map_err(|error| match error {
            StoreError::Io { doing: "reading", source, .. } => outside(source),
            error => error,
        })
    }

    /// Whether the store has this file's bytes.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be read.
    pub fn has_blob(&self, entry: &Entry) -> Result<bool> {
        match Blob::of(entry) {
            Some(blob) => Ok(self.check(blob)?.is_some()),
            None => Ok(false),
        }
    }

    /// Opens a file's bytes. Damage that left length, mode and time alone is only noticed with
    /// [`verify_on_read`](super::Options::verify_on_read).
    ///
    /// # Errors
    /// [`StoreError::NoBlob`] if the store has not got them, [`StoreError::NotAFile`] if the entry
    /// has no bytes.
    pub fn open_blob(&self, entry: &Entry) -> Result<File> {
        let blob = Blob::of(entry).ok_or(StoreError::NotAFile)?;
        let absent = || StoreError::NoBlob { digest: blob.digest };
        self.check(blob)?.ok_or_else(absent)?;
        match open_to_read(&self.blobs, &blob.name()) {
            Ok(file) => Ok(File::from(file)),
            Err(Errno::NOENT) => Err(absent()),
            Err(error) => Err(self.inside("opening the blob", blob.name())(error)),
        }
    }

    /// Reads a file's bytes and compares them with their digest.
    ///
    /// # Errors
    /// As [`Store::open_blob`]; a blob whose bytes are wrong is removed and counts as missing.
    pub fn read_blob(&self, entry: &Entry) -> Result<Vec<u8>> {
        let blob = Blob::of(entry).ok_or(StoreError::NotAFile)?;
        let file = OwnedFd::from(self.open_blob(entry)?);
        let failed = |error| StoreError::inside(&self.root, "reading the blob", blob.name(), error);
        let stat = fstat(&file).map_err(|error| failed(error.into()))?;
        let bytes = read_all(&file, blob.size).map_err(failed)?;
        if BlobDigest::of(&bytes) == blob.digest {
            return Ok(bytes);
        }
        self.drop_damaged(&self.blobs, &blob.name(), &stat);
        Err(StoreError::NoBlob { digest: blob.digest })
    }

    /// Returns the files of a tree whose bytes are not in the store, by path.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be read.
    pub fn missing(&self, tree: &Tree) -> Result<Vec<MissingBlob>> {
        self.missing_beside(tree, &mut Found::default())
    }

    /// Does as [`Store::missing`], but skips what is in `found`, and adds to it.
    ///
    /// # Errors
    /// As [`Store::missing`].
    pub fn missing_beside(&self, tree: &Tree, found: &mut Found) -> Result<Vec<MissingBlob>> {
        let mut missing = Vec::new();
        for (path, entry) in tree.iter() {
            let Some(blob) = Blob::of(entry).filter(|blob| !found.blobs.contains(blob)) else { continue };
            if self.check(blob)?.is_some() {
                found.blobs.insert(blob);
            } else {
                let Blob { digest, size, executable } = blob;
                missing.push(MissingBlob { path: path.clone(), digest, size, executable });
            }
        }
        Ok(missing)
    }

    /// Returns the metadata of a blob if it can be used. A damaged blob is removed.
    pub(super) fn check(&self, blob: Blob) -> Result<Option<Stat>> {
        let name = blob.name();
        let failed = |error| self.inside("looking at the blob", &name)(error);
        let stat = match blob.look(statat(&self.blobs, &name, AtFlags::SYMLINK_NOFOLLOW)).map_err(failed)? {
            Look::Absent => return Ok(None),
            Look::Good(stat) if !self.options.verify_on_read => return Ok(Some(stat)),
            Look::Good(stat) | Look::Touched(stat) => stat,
            Look::Damaged(stat) => {
                // The length that was asked for may be the wrong one.
                if kind(&stat) != FileType::RegularFile || !self.holds(&name, blob.digest) {
                    self.drop_damaged(&self.blobs, &name, &stat);
                }
                return Ok(None);
            }
        };
        let file = match open_to_read(&self.blobs, &name) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.map_err(failed)?,
        };
        let (digest, _) = hash_stream(&mut File::from(
            file.try_clone().map_err(|error| StoreError::inside(&self.root, "reading the blob", &name, error))?,
        ))
        .map_err(|error| StoreError::inside(&self.root, "reading the blob", &name, error))?;
        if digest != blob.digest {
            self.drop_damaged(&self.blobs, &name, &stat);
            return Ok(None);
        }
        seal(&file, blob).map_err(failed)?;
        Ok(Some(fstat(&file).map_err(failed)?))
    }

    /// Whether the file of this name has these bytes, of whatever length.
    fn holds(&self, name: &str, digest: BlobDigest) -> bool {
        let Ok(file) = open_to_read(&self.blobs, name) else { return false };
        hash_stream(&mut File::from(file)).is_ok_and(|(found, _)| found == digest)
    }

    /// Whether the blob is there; if so, it is marked as used.
    pub(super) fn keep(&self, blob: Blob) -> Result<bool> {
        if !self.options.verify_on_read
            && let Some(kept) = self.keep_good(blob)?
        {
            return Ok(kept);
        }
        Ok(self.check(blob)?.is_some() && self.keep_good(blob)? == Some(true))
    }

    /// As [`Store::keep`], by its metadata alone; `None` if these say that it has to be looked at.
    fn keep_good(&self, blob: Blob) -> Result<Option<bool>> {
        let name = blob.name();
        let failed = |error| self.inside("marking the blob", &name)(error);
        let _pass = self.gate.shared().map_err(failed)?;
        match blob.look(statat(&self.blobs, &name, AtFlags::SYMLINK_NOFOLLOW)).map_err(failed)? {
            Look::Absent => Ok(Some(false)),
            Look::Good(stat) if changed(&stat) >= self.session.start => Ok(Some(true)),
            Look::Good(_) => match utimensat(&self.blobs, &name, &EPOCHS, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(()) => Ok(Some(true)),
                Err(Errno::NOENT) => Ok(Some(false)),
                Err(error) => Err(failed(error)),
            },
            Look::Touched(_) | Look::Damaged(_) => Ok(None),
        }
    }

    /// Renames a finished, sealed file into its place, or removes it if its bytes are there.
    pub(super) fn adopt(&self, dir: impl AsFd, name: &str, blob: Blob) -> Result<(), Errno> {
        let to = blob.name();
        let _pass = self.gate.shared()?;
        // The file that is there may be damaged; the new one is right.
        into_place(dir, name, &self.blobs, &to)
    }

    fn temporary(&self) -> Result<(String, OwnedFd)> {
        let name = self.session.fresh();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.session.dir, &name, flags, Mode::from_raw_mode(0o644))
            .map_err(self.inside("making a file in", "tmp"))?;
        Ok((name, file))
    }

    fn stream(&self, reader: &mut dyn Read, file: &OwnedFd, buffer: &mut [u8]) -> Result<(BlobDigest, u64)> {
        let mut hasher = blake3::Hasher::new();
        let mut size = 0;
        let mut filled = buffer.len();
        while filled > 0 {
            hasher.update(&buffer[..filled]);
            write_all(file, &buffer[..filled]).map_err(self.inside("writing a blob", "tmp"))?;
            size += filled as u64;
            filled = fill(reader, buffer).map_err(|error| StoreError::outside("reading", "stream", error))?;
        }
        Ok((BlobDigest::from_bytes(*hasher.finalize().as_bytes()), size))
    }

    fn finish(&self, name: &str, file: &OwnedFd, written: Result<(), Errno>, blob: Blob) -> Result<()> {
        let done = written.and_then(|()| seal(file, blob)).and_then(|()| self.adopt(&self.session.dir, name, blob));
        done.map_err(|error| {
            let _ = remove_at(&self.session.dir, name);
            self.inside("writing the blob", blob.name())(error)
        })
    }

    /// Removes a damaged file, if it is still the one that was checked. A failure is no error: the
    /// next blob that is put there replaces it.
    pub(super) fn drop_damaged(&self, dir: &OwnedFd, name: &str, seen: &Stat) {
        let Ok(_pass) = self.gate.alone() else { return };
        let Ok(stat) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        let same = (stat.st_dev, stat.st_ino, changed(&stat)) == (seen.st_dev, seen.st_ino, changed(seen));
        if same && self.bump().is_ok() {
            let _ = if kind(&stat) == FileType::Directory {
                remove_at(dir, name)
            } else {
                unlinkat(dir, name, AtFlags::empty())
            };
            let _ = self.bump();
        }
    }

    /// Returns a number that grows with each removal. What a look-up found is still there while the
    /// number, read before it, stays the same.
    ///
    /// # Errors
    /// [`StoreError`] if the counter can't be read.
    pub fn generation(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        match pread(&self.generation, &mut bytes, 0) {
            Ok(8) => Ok(u64::from_le_bytes(bytes)),
            Ok(_) => Ok(0),
            Err(error) => Err(self.inside("reading", "generation")(error)),
        }
    }

    /// Advances the generation. The caller is alone inside the gate, and calls it before a removal
    /// and after it: then a process that looked up meanwhile sees another number later, even if
    /// this one dies in between.
    pub(super) fn bump(&self) -> Result<(), Errno> {
        let mut bytes = [0; 8];
        let next = match pread(&self.generation, &mut bytes, 0)? {
            8 => u64::from_le_bytes(bytes) + 1,
            // The first number depends on the time, so that a store made anew in the same place
            // doesn't repeat the old one's.
            _ => (modified(&fstat(&self.generation)?).0 as u64) << 24,
        };
        pwrite(&self.generation, &next.to_le_bytes(), 0)?;
        Ok(())
    }
}

/// Gives a finished blob its mode and its time.
pub(super) fn seal(file: &OwnedFd, blob: Blob) -> Result<(), Errno> {
    fchmod(file, Mode::from_raw_mode(blob.mode()))?;
    futimens(file, &EPOCHS)
}

/// Opens a file of ours without changing its time of access.
pub(super) fn open_to_read(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(dir, name, flags, Mode::empty()),
        opened => opened,
    }
}

/// Returns the digest and length of everything that a reader gives. Reads ahead while it hashes.
pub(super) fn hash_stream(reader: &mut (dyn Read + Send)) -> io::Result<(BlobDigest, u64)> {
    let (mut now, mut next) = (vec![0; SMALL as usize], vec![0; SMALL as usize]);
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    let mut filled = fill(reader, &mut now)?;
    while filled == now.len() {
        let hash = || {
            hasher.update_rayon(&now);
        };
        let ((), read) = rayon::join(hash, || fill(reader, &mut next));
        size += filled as u64;
        filled = read?;
        std::mem::swap(&mut now, &mut next);
    }
    hasher.update(&now[..filled]);
    size += filled as u64;
    Ok((BlobDigest::from_bytes(*hasher.finalize().as_bytes()), size))
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The buffer for small files, [`SMALL`] bytes. Each thread keeps one: to clear a new one takes
/// longer than to read most files.
struct Buffer(Vec<u8>);

impl Buffer {
    fn of_thread() -> Self {
        let mut buffer = BUFFER.take();
        buffer.resize(SMALL as usize, 0);
        Self(buffer)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // A thread that ends has dropped its thread-local values.
        let _ = BUFFER.try_with(|place| place.set(std::mem::take(&mut self.0)));
    }
}

/// Reads until the buffer is full or the reader is at its end.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
