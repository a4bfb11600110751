//! Places that keep objects under names, for those who know the names: folders, web servers,
//! buckets.
//!
//! Beside what remote caches ask of them, objects are read from a byte on, and replaced if a
//! condition holds. Retries, digests and bounds are the caller's.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use build_graph::untrusted::printable_path;
use support::regular;

use super::RemoteError;
use super::directory::Directory;
use super::http::Http;
use super::object_layout::Objects;
use super::s3::S3;
use super::settings::{RemotePlace, RemoteSettings, SettingsError};

/// Bytes of an object.
pub struct Part<'p> {
    /// The first of them: where the reader asked for them, or 0.
    pub from: u64,
    /// The bytes up to the object's end.
    pub bytes: Box<dyn Read + 'p>,
    /// What tells this state of the object from another, where the place says that.
    pub version: Option<String>,
}

/// What has to be in an object's place for it to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Nothing.
    Nothing,
    /// This state of it.
    Version(String),
}

/// A place that keeps objects under names. Each call makes one attempt.
pub trait Place: Send + Sync {
    /// Where it is, for messages: never with credentials in it.
    fn shown(&self) -> String;

    /// Makes the place, where that is a matter of this machine.
    ///
    /// # Errors
    /// [`RemoteError`].
    fn make(&self) -> Result<(), RemoteError> {
        Ok(())
    }

    /// Whether of two who replace an object at once, each over what it has read, only one is told
    /// that it did. Some servers look first and write then, and may tell both.
    fn replaces_one_at_a_time(&self) -> bool {
        false
    }

    /// Opens an object from a byte on; a place that can't do that gives the whole. `size` says how
    /// many bytes that may be, and decides how long it may take. `None` if there is no such object,
    /// or it has no such byte.
    ///
    /// # Errors
    /// [`RemoteError`].
    fn get(&self, name: &str, from: u64, size: u64) -> Result<Option<Part<'_>>, RemoteError>;

    /// Whether there is such an object.
    ///
    /// # Errors
    /// [`RemoteError`].
    fn has(&self, name: &str) -> Result<bool, RemoteError>;

    /// Puts an object, whatever was there; nobody sees a part of it.
    ///
    /// # Errors
    /// [`RemoteError`].
    fn put(&self, name: &str, length: u64, bytes: Box<dyn Read + Send>) -> Result<(), RemoteError>;

    /// Puts an object if the condition holds; says whether it did. A server that ignores conditions
    /// says that it did.
    ///
    /// # Errors
    /// [`RemoteError`].
    fn replace(&self, name: &str, bytes: &[u8], over: &Over) -> Result<bool, RemoteError>;
}

/// Opens the place of a remote. `root` is the folder to which relative paths belong.
///
/// # Errors
/// [`SettingsError`] if it is no such place, or its transport can't be set up.
pub fn open(settings: &RemoteSettings, root: &Path) -> Result<Box<dyn Place>, SettingsError> {
    let failed = |problem| SettingsError::Transport { name: settings.name.clone(), problem };
    let access = settings.access(root).map_err(|error| failed(error.to_string()))?;
    Ok(match settings.place(root)? {
        RemotePlace::Folder(path) => Box::new(Folder(path)),
        RemotePlace::Http(url) => Box::new(Http::new(url, settings, access).map_err(failed)?),
        RemotePlace::S3 { bucket, endpoint } => {
            Box::new(S3::new(&bucket, endpoint.as_deref(), settings, access).map_err(failed)?)
        }
        RemotePlace::Grpc(_) => {
            return Err(failed("objects have no names of their own on servers of the Remote Execution API".to_owned()));
        }
    })
}

/// A folder, which keeps objects under the very names that they have on a web server.
struct Folder(PathBuf);

impl Folder {
    fn failed(&self, doing: &str, error: &io::Error) -> RemoteError {
        Directory::new(self.0.clone()).failed(doing, &self.0, error)
    }
}

impl Place for Folder {
    fn replaces_one_at_a_time(&self) -> bool {
        true
    }

    fn shown(&self) -> String {
        printable_path(&self.0).to_string()
    }

    fn make(&self) -> Result<(), RemoteError> {
        fs::create_dir_all(&self.0).map_err(|error| self.failed("make a folder", &error))
    }

    fn get(&self, name: &str, from: u64, _size: u64) -> Result<Option<Part<'_>>, RemoteError> {
        let path = self.0.join(name);
        let opened = regular::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            Ok((version_of(&file.metadata()?), file))
        });
        match opened {
            Ok((version, file)) => Ok(Some(Part { from, bytes: Box::new(file), version: Some(version) })),
            // A folder that is gone as a whole (not mounted) is no empty place.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::metadata(&self.0) {
                Ok(_) => Ok(None),
                Err(error) => Err(self.failed("read", &error)),
            },
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory) => {
                Err(RemoteError::Wrong(format!("`{}` is no regular file", printable_path(&path))))
            }
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn has(&self, name: &str) -> Result<bool, RemoteError> {
        match fs::metadata(self.0.join(name)) {
            Ok(file) => Ok(file.is_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn put(&self, name: &str, _length: u64, mut bytes: Box<dyn Read + Send>) -> Result<(), RemoteError> {
        Directory::new(self.0.clone()).write(&self.0.join(name), &mut bytes)
    }

    /// Those who write take turns by a lock.
    fn replace(&self, name: &str, bytes: &[u8], over: &Over) -> Result<bool, RemoteError> {
        let lock = File::create(self.0.join(".lock")).and_then(|lock| lock.lock().map(|()| lock));
        let _lock = lock.map_err(|error| self.failed("take the lock", &error))?;
        let there = match fs::metadata(self.0.join(name)) {
            Ok(file) => Over::Version(version_of(&file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Over::Nothing,
            Err(error) => return Err(self.failed("read", &error)),
        };
        if there != *over {
            return Ok(false);
        }
        self.put(name, bytes.len() as u64, Box::new(io::Cursor::new(bytes.to_vec())))?;
        Ok(true)
    }
}

/// What tells one state of an object in a folder from another: each is a file of its own.
fn version_of(file: &fs::Metadata) -> String {
    format!("{}-{}-{}-{}", file.ino(), file.size(), file.mtime(), file.mtime_nsec())
}

/// Servers keep objects under names already.
macro_rules! servers_are_places {
    ($($kind:ty),+) => {
        $(
            impl Place for $kind {
                fn shown(&self) -> String {
                    Objects::place(self)
                }

                fn get(&self, name: &str, from: u64, size: u64) -> Result<Option<Part<'_>>, RemoteError> {
                    self.get_from(name, from, size)
                }

                fn has(&self, name: &str) -> Result<bool, RemoteError> {
                    Objects::has(self, name)
                }

                fn put(&self, name: &str, length: u64, bytes: Box<dyn Read + Send>) -> Result<(), RemoteError> {
                    Objects::put(self, name, length, bytes)
                }

                fn replace(&self, name: &str, bytes: &[u8], over: &Over) -> Result<bool, RemoteError> {
                    self.put_over(name, bytes, over)
                }
            }
        )+
    };
}

servers_are_places!(Http, S3);
