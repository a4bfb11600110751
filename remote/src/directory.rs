//! A folder as a remote, for example on a network file system. Each object is written beside its
//! place and renamed into it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use build_graph::untrusted::printable_path;

use super::RemoteError;
use super::object_layout::Objects;

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

    pub(super) fn failed(&self, doing: &str, at: &Path, error: &io::Error) -> RemoteError {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let text = format!("can't {doing} in `{}`: {error}", printable_path(at));
        match error.kind() {
            PermissionDenied => RemoteError::Refused(format!(
                "{text}; let its group write to `{}` (`chmod g+ws`) if others put results there, too",
                printable_path(&self.path)
            )),
            ReadOnlyFilesystem | StorageFull | QuotaExceeded => RemoteError::Refused(text),
            _ => RemoteError::Unavailable(text),
        }
    }

    pub(super) fn write(&self, to: &Path, bytes: &mut dyn Read) -> Result<(), RemoteError> {
        let share = Share::of(&self.path).map_err(|error| self.failed("write", &self.path, &error))?;
        let folder = to.parent().unwrap_or(&self.path);
        let below = folder.strip_prefix(&self.path).unwrap_or(Path::new(""));
        let mut at = self.path.clone();
        for name in below {
            at.push(name);
            share.folder(&at).map_err(|error| self.failed("make a folder", &at, &error))?;
        }
        let mut write = || -> io::Result<()> {
            // A rename between folders is not atomic on every file system.
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
            io::copy(bytes, &mut file)?;
            share.give(file.path())?;
            file.as_file().set_permissions(fs::Permissions::from_mode(share.file_mode()))?;
            // Readers on other machines see the name before the bytes otherwise.
            file.as_file().sync_all()?;
            file.persist(to)?;
            Ok(())
        };
        write().map_err(|error| self.failed("write", folder, &error))
    }
}

/// Who else uses a folder: objects get the rights of the folder, whatever the umask of the writer.
struct Share {
    mode: u32,
    group: u32,
}

impl Share {
    fn of(top: &Path) -> io::Result<Self> {
        match fs::metadata(top) {
            Ok(top) => Ok(Self { mode: top.mode() & 0o7777, group: top.gid() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(top)?;
                Self::of(top)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a folder with the rights of the one at the top, unless it is there.
    fn folder(&self, path: &Path) -> io::Result<()> {
        let is_new = match fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error),
        };
        let there = fs::metadata(path)?;
        let wanted = if is_new { 0 } else { there.mode() & 0o7777 } | self.mode | 0o700;
        // Only its owner can change its mode.
        if there.mode() & 0o7777 != wanted && there.uid() == rustix::process::geteuid().as_raw() {
            self.give(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(wanted))?;
        }
        Ok(())
    }

    /// Gives a file to the folder's group, if that group has more rights than others have.
    fn give(&self, path: &Path) -> io::Result<()> {
        let there = fs::metadata(path)?;
        let shared = self.mode >> 3 & 0o7 != self.mode & 0o7;
        if shared && there.gid() != self.group {
            // A user outside of that group can't.
            let _ = std::os::unix::fs::chown(path, None, Some(self.group));
        }
        Ok(())
    }

    /// Objects are replaced, never written into.
    fn file_mode(&self) -> u32 {
        0o600 | self.mode & 0o044
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
        // Others may have put a pipe there; opening one would wait for a writer.
        let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(self.file(name));
        match opened.and_then(|file| Ok((file.metadata()?.is_file(), file))) {
            Ok((true, file)) => Ok(Some(Box::new(file))),
            Ok((false, _)) => Err(RemoteError::Wrong(format!("`{}` is no file", printable_path(&self.file(name))))),
            // A folder that is gone (not mounted) is not an empty remote.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::metadata(&self.path) {
                Ok(_) => Ok(None),
                Err(error) => Err(self.failed("read", &self.path, &error)),
            },
            Err(error) => Err(self.failed("read", &self.path, &error)),
        }
    }

    fn has(&self, name: &str) -> Result<bool, RemoteError> {
        match fs::metadata(self.file(name)) {
            Ok(file) => Ok(file.is_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("read", &self.path, &error)),
        }
    }

    fn put(&self, name: &str, _length: u64, mut bytes: Box<dyn Read + Send>) -> Result<(), RemoteError> {
        self.write(&self.file(name), &mut bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;
    use std::thread;

    use rustix::process::{Gid, Uid, geteuid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

    use super::*;

    const NAMES: [&str; 3] = ["cas/0123", "cas/0145", "ac/0123"];

    fn put(folder: &Path, text: &str) {
        for name in NAMES {
            Directory::new(folder.to_path_buf()).put(name, 0, Box::new(io::Cursor::new(text.to_owned()))).unwrap();
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_put_there_is_as_open_as_the_folder() {
        for (top, file) in [(0o755, 0o644), (0o700, 0o600), (0o2775, 0o644), (0o2770, 0o640), (0o1777, 0o644)] {
            let folder = tempfile::tempdir().unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(top)).unwrap();
            put(folder.path(), "text");
            for below in ["cas", "cas/01", "ac", "ac/01"] {
                assert_eq!(mode(&folder.path().join(below)), top, "{below}");
            }
            for object in ["cas/01/0123", "cas/01/0145", "ac/01/0123"] {
                assert_eq!(mode(&folder.path().join(object)), file, "{top:o}: {object}");
            }
        }
    }

    #[test]
    fn folders_of_an_earlier_time_are_opened_by_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("cas/01")).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o2775)).unwrap();
        put(folder.path(), "text");
        assert_eq!([mode(&folder.path().join("cas")), mode(&folder.path().join("cas/01"))], [0o2775; 2]);
    }

    /// As root, two users of a group that is the own one of neither; otherwise the same user twice.
    #[test]
    fn all_of_a_group_put_results_there() {
        let folder = tempfile::tempdir().unwrap();
        let (users, group) = if geteuid().is_root() { (Some([5001, 5002]), 4242) } else { (None, 0) };
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for top in ["setgid", "plain"] {
            let path = folder.path().join(top);
            fs::create_dir(&path).unwrap();
            if users.is_some() {
                chown(&path, None, Some(group)).unwrap();
            }
            let more = if top == "setgid" { 0o2000 } else { 0 };
            fs::set_permissions(&path, fs::Permissions::from_mode(0o775 | more)).unwrap();
            for turn in 0..4 {
                let path = path.clone();
                // Rights are a thread's own.
                let user = users.map(|users| users[turn % 2]);
                thread::spawn(move || {
                    if let Some(user) = user {
                        let (own, group) = (Gid::from_raw(user), Gid::from_raw(group));
                        set_thread_groups(&[group]).unwrap();
                        set_thread_res_gid(own, own, own).unwrap();
                        let user = Uid::from_raw(user);
                        set_thread_res_uid(user, user, user).unwrap();
                    }
                    put(&path, &format!("turn {turn}"));
                })
                .join()
                .unwrap();
            }
            assert_eq!(fs::read_to_string(path.join("ac/01/0123")).unwrap(), "turn 3");
        }
    }
}
