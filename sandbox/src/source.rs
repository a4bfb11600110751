//! Opening what the command line names on the host: the directories to mount, and the log.
//!
//! A guest may leave a symbolic link in a directory that is mounted for writing, and its user may
//! name a path through it later: `-m job/out:/x:rw`, where `job/out` has become a link to `/etc`. A
//! guest has the rights of its user, so the link's owner does not tell who made it. What tells is
//! where it lies: a link is followed if no guest can have made it,
//!
//! - because the directory that holds it holds this installation, too, and can't be mounted for
//!   writing ([`crate::overlap`]);
//! - or because it lies directly in DEST or in `DEST/generations`, where the links lead that this
//!   program was started by: who could make others there could have any program run;
//! - or because only root may write that directory, and this user is somebody else;
//! - or because the kernel made it, as in `/proc`, or it leads to this process's own descriptors,
//!   as `/dev/stdout` does;
//!
//! and if no other user of this machine can have made it. All other links are refused by name;
//! `--follow-links` follows them. Paths are walked name by name, so nothing of this changes between
//! the look and the opening.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fcntl_getfl, fcntl_setfl, fstat, openat, readlinkat};
use rustix::io::Errno;

use crate::install::Installation;
use crate::mount_table::path_of;
use crate::overlap::{self, FileId};
use crate::{kernel_file_systems, print};

/// Links followed before `ELOOP`, as in Linux.
const LINKS_MAX: usize = 40;
const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Why a path of the command line can't be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// What the kernel says.
    #[error(transparent)]
    Open(#[from] Errno),
    /// A link on the way that a guest may have made.
    #[error(
        "`{link}` is a symbolic link to `{target}`, which a guest or another user may have made; \
         name the directory or file that you mean, or give `--follow-links`",
        link = print::shown_path(.0),
        target = print::shown_path(.1)
    )]
    Link(PathBuf, PathBuf),
}

/// Which symbolic links are followed.
#[derive(Debug)]
pub struct Links {
    all: bool,
    me: u32,
    /// The directories that hold the installation, by device and inode.
    around: Vec<FileId>,
    /// Of these, DEST and its directory of generations, if the installation is one of several.
    of_generations: Vec<FileId>,
}

impl Links {
    /// Those that no guest of this installation can have made.
    pub fn of_no_guest(installation: Option<&Installation>) -> Self {
        let around = installation.and_then(|installation| overlap::directories_around(installation.place()).ok());
        let around = around.unwrap_or_default();
        let is_generation = installation.is_some_and(Installation::is_generation);
        let of_generations = around.iter().copied().skip(1).take(if is_generation { 2 } else { 0 }).collect();
        Self { all: false, me: rustix::process::geteuid().as_raw(), around, of_generations }
    }

    /// All of them.
    pub fn all() -> Self {
        Self { all: true, me: 0, around: Vec::new(), of_generations: Vec::new() }
    }

    /// None of them, but the kernel's own.
    pub fn none() -> Self {
        Self { all: false, me: 0, around: Vec::new(), of_generations: Vec::new() }
    }

    /// The path of a directory without links.
    ///
    /// # Errors
    ///
    /// As [`Links::open_directory`].
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, SourceError> {
        Ok(path_of(&self.open_directory(path)?)?)
    }

    /// Opens a directory to list it and to open files below it.
    ///
    /// # Errors
    ///
    /// [`SourceError`]; `ENOTDIR` for what is no directory.
    pub fn open_directory(&self, path: &Path) -> Result<OwnedFd, SourceError> {
        let (holder, name) = self.walk(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | holder.follow;
        let open = |more| openat(&holder.directory, name.as_slice(), flags | more, Mode::empty());
        // Listing it leaves no trace, where that may be said: by its owner.
        match open(OFlags::NOATIME) {
            Err(Errno::PERM) => Ok(open(OFlags::empty())?),
            opened => Ok(opened?),
        }
    }

    /// Opens a file to append to it, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// [`SourceError`]; `ENXIO` for a pipe (fifo(7)) that nobody reads.
    pub fn append(&self, path: &Path) -> Result<File, SourceError> {
        let (holder, name) = self.walk(path)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | holder.follow;
        // Nobody waits for a reader here.
        let opened = openat(&holder.directory, name.as_slice(), flags | OFlags::NONBLOCK, Mode::from_raw_mode(0o666))?;
        fcntl_setfl(&opened, fcntl_getfl(&opened)? - OFlags::NONBLOCK)?;
        Ok(opened.into())
    }

    /// Walks to the directory that holds the last name of a path, and gives that name, which was no
    /// link when it was looked at; `.` if the path ends in a directory that has no name.
    fn walk(&self, path: &Path) -> Result<(Holder, Vec<u8>), SourceError> {
        let start = |absolute| if absolute { c"/" } else { c"." };
        let open_start = |absolute| openat(CWD, start(absolute), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let text = path.as_os_str().as_bytes();
        if text.is_empty() {
            return Err(Errno::NOENT.into());
        }
        let mut holder = Holder { directory: open_start(text[0] == b'/')?, follow: OFlags::NOFOLLOW };
        let mut shown = if text[0] == b'/' { PathBuf::from("/") } else { PathBuf::new() };
        let mut names = names(text);
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            let here = holder.directory.as_fd();
            if name == b".." {
                holder.directory = openat(here, c"..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                shown.push("..");
                continue;
            }
            let found = match openat(here, name.as_slice(), PATH_ONLY, Mode::empty()) {
                // Whether it may be missing is for who opens it.
                Err(Errno::NOENT) if names.is_empty() => return Ok((holder, name)),
                found => found?,
            };
            shown.push(std::ffi::OsStr::from_bytes(&name));
            let stat = fstat(&found)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                if names.is_empty() {
                    return Ok((holder, name));
                }
                holder.directory = found;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::LOOP.into());
            }
            let target = readlinkat(&found, c"", Vec::new())?.into_bytes();
            if kernel_file_systems::name_of(here)?.is_some() {
                // Such a link may lead to what has no path: the kernel alone can follow it.
                if names.is_empty() {
                    return Ok((Holder { follow: OFlags::empty(), ..holder }, name));
                }
                holder.directory = openat(here, name.as_slice(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                continue;
            }
            if !self.all && !is_of_descriptors(&target) && !self.is_no_guests(here, &stat)? {
                let target = PathBuf::from(std::ffi::OsString::from_vec(target));
                return Err(SourceError::Link(shown, target));
            }
            if target.first() == Some(&b'/') {
                holder.directory = open_start(true)?;
                shown = PathBuf::from("/");
            } else {
                shown.pop();
            }
            let rest = std::mem::replace(&mut names, self::names(&target));
            names.extend(rest);
        }
        Ok((holder, b".".to_vec()))
    }

    /// Whether no guest, and no other user but root, can have made the link with this status in
    /// this directory.
    fn is_no_guests(&self, directory: BorrowedFd<'_>, link: &Stat) -> Result<bool, Errno> {
        let holder = fstat(directory)?;
        let (ours, trusted) = (|owner| owner == self.me || owner == 0, |owner: u32| owner == 0);
        let closed = |owner: &dyn Fn(u32) -> bool| {
            owner(holder.st_uid)
                && owner(link.st_uid)
                && (holder.st_mode & OTHERS_WRITE == 0 || holder.st_mode & STICKY != 0)
        };
        let holder = (holder.st_dev, holder.st_ino);
        let around = self.around.contains(&holder);
        Ok(self.of_generations.contains(&holder) || around && closed(&ours) || self.me != 0 && closed(&trusted))
    }
}

/// Whether a link leads to a descriptor of this process, which whoever started it has opened, or to
/// where these are.
fn is_of_descriptors(target: &[u8]) -> bool {
    let below = target.strip_prefix(b"/proc/self/fd");
    below.is_some_and(|rest| match rest.split_first() {
        None => true,
        Some((slash, number)) => *slash == b'/' && number.iter().all(u8::is_ascii_digit),
    })
}

/// The directory that holds a name.
struct Holder {
    directory: OwnedFd,
    /// `O_NOFOLLOW`, unless the name is a link that the kernel alone can follow.
    follow: OFlags,
}

fn names(text: &[u8]) -> VecDeque<Vec<u8>> {
    text.split(|&b| b == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// An installation in `home/dest`, and beside it `job/rw`, which guests write.
    fn home() -> (tempfile::TempDir, Links) {
        let home = tempfile::tempdir().unwrap();
        for folder in ["dest/bin", "job/rw/sub", "secret"] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let links = Links::of_no_guest(Some(&Installation::at(home.path().join("dest"))));
        (home, links)
    }

    fn inode(directory: &OwnedFd) -> u64 {
        fstat(directory).unwrap().st_ino
    }

    #[test]
    fn a_link_that_a_guest_can_have_made_is_refused() {
        let (home, links) = home();
        let at = |path: &str| home.path().join(path);
        symlink(at("secret"), at("job/rw/out")).unwrap();
        symlink("../../secret", at("job/rw/relative")).unwrap();
        symlink("sub", at("job/rw/inside")).unwrap();
        symlink("/etc/passwd", at("job/rw/log")).unwrap();
        symlink("nowhere", at("job/rw/dangling")).unwrap();
        for path in
            ["job/rw/out", "job/rw/out/", "job/rw/out/.", "job/rw/out/deeper", "job/rw/relative", "job/rw/inside"]
        {
            let refused = links.open_directory(&at(path)).unwrap_err();
            assert!(
                matches!(&refused, SourceError::Link(link, _) if link.starts_with(at("job/rw"))),
                "{path}: {refused}"
            );
            assert!(refused.to_string().contains("--follow-links"), "{refused}");
        }
        symlink("/proc/self/fd/../mem", at("job/rw/memory")).unwrap();
        for path in ["job/rw/log", "job/rw/dangling", "job/rw/out/new", "job/rw/memory"] {
            assert!(matches!(links.append(&at(path)), Err(SourceError::Link(..))), "{path}");
        }
        assert!(!at("job/rw/nowhere").exists() && !at("secret/new").exists());
        // `..` leads up from where it stands, not from where a name says.
        assert!(matches!(links.open_directory(&at("job/rw/out/../job")), Err(SourceError::Link(..))));
        let up = links.open_directory(&at("job/rw/../../secret")).unwrap();
        assert_eq!(inode(&up), inode(&Links::all().open_directory(&at("job/rw/out")).unwrap()));
    }

    #[test]
    fn links_beside_the_installation_and_of_the_system_are_followed() {
        let (home, links) = home();
        let at = |path: &str| home.path().join(path);
        symlink(at("job"), at("work")).unwrap();
        symlink("work/rw", at("again")).unwrap();
        let wanted = inode(&links.open_directory(&at("job/rw")).unwrap());
        for path in ["work/rw", "again", "again/", "work/./rw//"] {
            assert_eq!(inode(&links.open_directory(&at(path)).unwrap()), wanted, "{path}");
        }
        links.append(&at("work/rw/log")).unwrap().write_all(b"one\n").unwrap();
        links.append(&at("again/log")).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(at("job/rw/log")).unwrap(), "one\ntwo\n");
        // The kernel's own.
        links.open_directory(Path::new("/proc/self/fd")).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let number = format!("/proc/self/fd/{}", writer.as_raw_fd());
        links.append(Path::new(&number)).unwrap().write_all(b"through").unwrap();
        symlink(&number, at("job/rw/descriptor")).unwrap();
        links.append(&at("job/rw/descriptor")).unwrap().write_all(b", too").unwrap();
        drop(writer);
        assert_eq!(std::io::read_to_string(reader).unwrap(), "through, too");
        // What other users may replace is theirs, wherever it lies.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(links.open_directory(&at("work")), Err(SourceError::Link(..))));
    }

    #[test]
    fn links_to_the_current_generation_are_followed_whoever_may_write_there() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        for folder in ["generations/2/bin", "generations/2/root/sub", "secret"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        symlink("2", at("generations/current")).unwrap();
        symlink("generations/current/root", at("root")).unwrap();
        symlink("../../../secret", at("generations/2/root/out")).unwrap();
        for folder in [".", "generations", "generations/2/root"] {
            std::fs::set_permissions(at(folder), std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let links = Links::of_no_guest(Some(&Installation::at(at("generations/2"))));
        let wanted = inode(&links.open_directory(&at("generations/2/root/sub")).unwrap());
        assert_eq!(inode(&links.open_directory(&at("root/sub")).unwrap()), wanted);
        assert!(matches!(links.open_directory(&at("root/out")), Err(SourceError::Link(..))));
        // An installation that is no generation has no such links.
        let links = Links::of_no_guest(Some(&Installation::at(at("generations"))));
        assert!(matches!(links.open_directory(&at("root/sub")), Err(SourceError::Link(..))));
    }

    #[test]
    fn what_lacks_is_said_as_the_kernel_says_it() {
        let (home, links) = home();
        let open = |path: &str| links.open_directory(&home.path().join(path)).unwrap_err();
        std::fs::write(home.path().join("file"), "").unwrap();
        assert_eq!(open("none"), SourceError::Open(Errno::NOENT));
        assert_eq!(open("none/deeper"), SourceError::Open(Errno::NOENT));
        assert_eq!(open("file"), SourceError::Open(Errno::NOTDIR));
        assert_eq!(open("file/x"), SourceError::Open(Errno::NOTDIR));
        symlink("loop", home.path().join("loop")).unwrap();
        assert_eq!(open("loop"), SourceError::Open(Errno::LOOP));
        assert_eq!(links.open_directory(Path::new("")).unwrap_err(), SourceError::Open(Errno::NOENT));
        assert!(links.append(&home.path().join("job")).is_err());
        for path in ["/", ".", "..", "/.."] {
            links.open_directory(Path::new(path)).unwrap();
        }
    }
}
