//! A partial file: the bytes of a source that have arrived, and their hash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use build_graph::Sha256;
use sha2::Digest;

use super::move_file;
use crate::regular;

/// A file of this machine can't be used.
#[derive(Debug)]
pub(super) struct LocalError {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// The bytes of a source that have arrived, in a file that this process has locked. Its name is the
/// SHA-256 of the source.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    sha256: Sha256,
    hasher: sha2::Sha256,
    length: u64,
}

impl Partial {
    /// Opens the partial file of a source, or makes an empty one. Waits while another process has it
    /// locked.
    pub(super) fn open(directory: &Path, sha256: &Sha256) -> Result<Self, LocalError> {
        let path = directory.join(format!("{sha256}.part"));
        let local = |error| LocalError { path: path.clone(), error };
        fs::create_dir_all(directory).map_err(local)?;
        let file = loop {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(local)?;
            file.lock().map_err(local)?;
            // The process that had the lock may have moved the complete file to its place.
            let ours = file.metadata().map_err(local)?;
            match fs::metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => break file,
                _ => {}
            }
        };
        let mut partial = Self { file, sha256: *sha256, hasher: sha2::Sha256::new(), length: 0, path: path.clone() };
        partial.hash_file().map_err(local)?;
        Ok(partial)
    }

    fn hash_file(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        self.file.seek(SeekFrom::Start(0))?;
        loop {
            let count = self.file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.length += count as u64;
        }
    }

    /// Returns how many bytes there are.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Returns the first bytes, to recognise web pages.
    pub(super) fn head(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| (&self.file).take(512).read_to_end(&mut head));
        let back = self.file.seek(SeekFrom::End(0));
        if read.is_err() || back.is_err() {
            head.clear();
        }
        head
    }

    /// Drops all bytes.
    pub(super) fn clear(&mut self) -> Result<(), LocalError> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        self.hasher = sha2::Sha256::new();
        self.length = 0;
        cleared.map(drop).map_err(|error| LocalError { path: self.path.clone(), error })
    }

    /// Adds bytes to the end.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        self.file.write_all(bytes).map_err(|error| LocalError { path: self.path.clone(), error })?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Returns the SHA-256 of the bytes.
    pub(super) fn digest(&self) -> Sha256 {
        Sha256::from_bytes(self.hasher.clone().finalize().into())
    }

    /// Returns whether these are the bytes of the source.
    pub(super) fn is_verified(&self) -> bool {
        self.digest() == self.sha256
    }

    /// Moves a verified file to its place.
    pub(super) fn finish(self, dest: &Path) -> Result<u64, LocalError> {
        self.file
            .sync_data()
            .map_err(|error| LocalError { path: self.path.clone(), error })
            .and_then(|()| move_file(&self.path, dest).map_err(|error| LocalError { path: dest.to_owned(), error }))?;
        Ok(self.length)
    }

    /// Keeps the bytes for a later run; removes an empty file.
    pub(super) fn close(self) {
        if self.length == 0 {
            // Nothing is lost if the empty file stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns the SHA-256 and the length of a file, to compare it with pins.
///
/// # Errors
/// [`io::Error`] if it can't be read.
pub fn sha256_of(path: &Path) -> io::Result<(Sha256, u64)> {
    let mut hasher = sha2::Sha256::new();
    let length = io::copy(&mut regular::open(path)?, &mut hasher)?;
    Ok((Sha256::from_bytes(hasher.finalize().into()), length))
}
