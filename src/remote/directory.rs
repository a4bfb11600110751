//! A folder as a remote, on a network file system for example: every object is written beside its place and renamed into it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::RemoteError;
use super::layout::Objects;
use build_graph::untrusted::printable_path;

/// A folder with objects, `NAME/XX/DIGEST`, where `XX` begins the digest.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn file(&self, name: &str) -> PathBuf {
        match name.split_once('/') {
            Some((folder, digest)) => self.path.join(folder).join(&digest[..2]).join(digest),
            None => self.path.join(name),
        }
    }

    fn failed(&self, doing: &str, error: &io::Error) -> RemoteError {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let text = format!("can't {doing} in `{}`: {error}", printable_path(&self.path));
        match error.kind() {
            PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded => RemoteError::Refused(text),
            _ => RemoteError::Unavailable(text),
        }
    }

    fn write(&self, to: &Path, bytes: &mut dyn Read) -> io::Result<()> {
        let folder = to.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        // Beside its place: a rename between folders is no rename on every file system.
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644))
            .tempfile_in(folder)?;
        io::copy(bytes, &mut file)?;
        // Readers on other machines see the name before the bytes otherwise.
        file.as_file().sync_all()?;
        file.persist(to)?;
        Ok(())
    }
}

impl Objects for Directory {
    fn place(&self) -> String {
        printable_path(&self.path).to_string()
    }

    fn width(&self) -> usize {
        4
    }

    fn get(&self, name: &str, _size: u64) -> Result<Option<Box<dyn Read + '_>>, RemoteError> {
        // Whoever may write there may put a pipe there, of which nobody writes the other end.
        let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(self.file(name));
        match opened.and_then(|file| Ok((file.metadata()?.is_file(), file))) {
            Ok((true, file)) => Ok(Some(Box::new(file))),
            Ok((false, _)) => Err(RemoteError::Wrong(format!("`{}` is no file", printable_path(&self.file(name))))),
            // A folder that is gone as a whole (not mounted) is no empty remote.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::metadata(&self.path) {
                Ok(_) => Ok(None),
                Err(error) => Err(self.failed("read", &error)),
            },
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn has(&self, name: &str) -> Result<bool, RemoteError> {
        match fs::metadata(self.file(name)) {
            Ok(file) => Ok(file.is_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn put(&self, name: &str, _length: u64, bytes: &mut (dyn Read + Send)) -> Result<(), RemoteError> {
        self.write(&self.file(name), bytes).map_err(|error| self.failed("write", &error))
    }
}
