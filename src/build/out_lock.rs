//! The lock on `out/`: one for whoever writes a plan, shared by all who read one.
//!
//! It is a `flock`, which the kernel releases when its holder dies. Whoever has to wait for it says
//! for which process.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use support::waiting::holders;

use super::BuildError;
use super::plan::{OutDir, denied};

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct OutLock {
    /// `None` where nobody can write: on a file system that is read-only, in somebody else's
    /// folder.
    _file: Option<File>,
}

impl OutLock {
    /// Waits until nobody writes the plan, and keeps everybody from it.
    ///
    /// `waiting` is told whom this waits for, if it has to.
    ///
    /// # Errors
    /// [`BuildError::Io`] if the lock can't be had.
    pub fn for_reading(out: &OutDir, waiting: &dyn Fn(&str)) -> Result<Self, BuildError> {
        let path = path(out);
        loop {
            let file = match File::open(&path) {
                Ok(file) => file,
                // Nobody has written a plan here yet, or who did had no lock.
                Err(error) if error.kind() == io::ErrorKind::NotFound => match create(&path) {
                    Ok(file) => file,
                    Err(_) => return Ok(Self { _file: None }),
                },
                Err(error) => return Err(BuildError::io("open", &path)(error)),
            };
            match file.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting(&holders(&file));
                    file.lock_shared().map_err(BuildError::io("lock", &path))?;
                }
                Err(TryLockError::Error(error)) => return Err(BuildError::io("lock", &path)(error)),
            }
            if is_at(&file, &path) {
                return Ok(Self { _file: Some(file) });
            }
        }
    }

    /// Waits until nobody else reads or writes the plan, and keeps everybody from it.
    ///
    /// `waiting` is told whom this waits for, if it has to.
    ///
    /// # Errors
    /// [`BuildError::Foreign`] if `out/` is somebody else's, [`BuildError::Io`] if the lock can't
    /// be had.
    pub fn for_writing(out: &OutDir, waiting: &dyn Fn(&str)) -> Result<Self, BuildError> {
        let path = path(out);
        loop {
            fs::create_dir_all(out.path()).map_err(denied("create", out.path()))?;
            let file = create(&path).map_err(denied("open", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting(&holders(&file));
                    file.lock().map_err(BuildError::io("lock", &path))?;
                }
                Err(TryLockError::Error(error)) => return Err(BuildError::io("lock", &path)(error)),
            }
            // `clean` may have removed the file that was opened: then it locks nothing.
            if is_at(&file, &path) {
                return Ok(Self { _file: Some(file) });
            }
        }
    }
}

fn path(out: &OutDir) -> PathBuf {
    out.path().join("lock")
}

fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create(true).open(path)
}

/// Whether the open file is the one that stands at the path.
fn is_at(file: &File, path: &Path) -> bool {
    let same = || -> io::Result<bool> {
        let (open, there) = (file.metadata()?, fs::metadata(path)?);
        Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
    };
    same().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_keeps_others_out_and_they_say_whom_they_wait_for() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutDir::new(folder.path().join("out"));
        let first = OutLock::for_writing(&out, &|_| panic!("nobody is there")).unwrap();
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                drop(OutLock::for_reading(&out, &|whom| said.send(whom.to_owned()).unwrap()).unwrap());
            });
            assert_ne!(heard.recv().unwrap(), "");
            assert!(!second.is_finished());
            drop(first);
        });
        // Who reads does not wait for others who read.
        let _first = OutLock::for_reading(&out, &|_| panic!("nobody writes")).unwrap();
        let _second = OutLock::for_reading(&out, &|_| panic!("nobody writes")).unwrap();
    }
}
