//! From a guest's path to what lies there.
//!
//! The kernel is always asked with `openat2` (`crate::open_how`), from the directory that a mount
//! opened at start, with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and `RESOLVE_NO_MAGICLINKS`, and
//! never with a `..`. So no answer of the kernel can lie outside the mount, whatever someone
//! renames or links meanwhile. `RESOLVE_NO_XDEV` stops at what the host has mounted below; where
//! that may be crossed, what was opened is looked at, so that no interface of the kernel is
//! reached. Symbolic links are read and followed here, in the guest's own tree: an absolute one
//! starts at the guest's "/", a relative one may lead into another mount, and `..` stops at "/".

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::device::{self, Device};
use super::mounts::{Access, Crossing, Mount};
use super::stat::{FileStat, S_IFDIR, S_IFLNK};
use super::trace::Seen;
use super::{GuestPath, Vfs};
use crate::{kernel_file_systems, open_how};

/// Longest path that a guest may give, as PATH_MAX; links may expand it to [`EXPANDED_MAX`].
const PATH_MAX: usize = 4096;
const EXPANDED_MAX: usize = 16 * PATH_MAX;
/// Links followed before `ELOOP`, as in Linux.
const LINKS_MAX: usize = 40;
/// Walks begun anew because a component became a link after it had been looked at.
const RACES_MAX: usize = 8;

/// What lies at a path.
#[derive(Debug)]
pub(crate) enum Found {
    /// Something of the host; `handle` is opened with `O_PATH` and can be asked but not read.
    Host { mount: usize, handle: OwnedFd, stat: FileStat },
    /// A directory that exists because something is mounted below it.
    Virtual,
    /// A built-in device.
    Device(Device),
}

impl Found {
    pub(crate) fn is_dir(&self) -> bool {
        match self {
            Found::Host { stat, .. } => stat.kind() == S_IFDIR,
            Found::Virtual => true,
            Found::Device(_) => false,
        }
    }

    fn is_symlink(&self) -> bool {
        matches!(self, Found::Host { stat, .. } if stat.kind() == S_IFLNK)
    }
}

/// A path that was walked to its end.
#[derive(Debug)]
pub(crate) struct Walked {
    /// Where it leads; without links up to the last component, and including it if that was to be
    /// followed.
    pub(crate) path: GuestPath,
    /// What lies there; `None` if only the last component is missing.
    pub(crate) found: Option<Found>,
    /// Whether the path ended in a slash or `.`, so that only a directory will do.
    pub(crate) must_be_dir: bool,
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Follow it.
    Follow,
    /// The link itself is meant.
    Keep,
}

impl Vfs {
    /// Walks `text` from the directory `base`.
    ///
    /// # Errors
    ///
    /// As path_resolution(7): `ENOENT` (also for an empty path, and when more than the last
    /// component is missing), `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`, `EACCES`.
    pub(crate) fn walk_or_missing(&mut self, base: &GuestPath, text: &[u8], last: Last) -> Result<Walked, Errno> {
        self.walk_with(base, text, last, true)
    }

    /// As [`Vfs::walk_or_missing`], for what has to be there: `found` is never `None`.
    ///
    /// # Errors
    ///
    /// The same; `ENOENT` also if the last component is missing.
    pub(crate) fn walk(&mut self, base: &GuestPath, text: &[u8], last: Last) -> Result<Walked, Errno> {
        match self.walk_with(base, text, last, false) {
            Ok(Walked { found: None, .. }) => Err(Errno::NOENT),
            result => result,
        }
    }

    fn walk_with(&mut self, base: &GuestPath, text: &[u8], last: Last, may_miss: bool) -> Result<Walked, Errno> {
        if text.is_empty() {
            return Err(Errno::NOENT);
        }
        if text.contains(&0) {
            return Err(Errno::INVAL);
        }
        if text.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let must_be_dir = ends_as_directory(text);
        let follow = last == Last::Follow || must_be_dir;
        if let Some(path) = base.join_lexically(text) {
            match self.look(&path) {
                Ok(found) if !(follow && found.is_symlink()) => {
                    return Ok(Walked { path, found: Some(found), must_be_dir });
                }
                Ok(_) | Err(Errno::LOOP) => {}
                // Which component is missing matters only to who wants to make it.
                Err(Errno::NOENT) if may_miss => {}
                Err(error) => return Err(error),
            }
        }
        for _ in 0..RACES_MAX {
            match self.walk_by_component(base, text, follow, must_be_dir) {
                Err(Race::Again) => {}
                Err(Race::Failed(error)) => return Err(error),
                Ok(walked) => return Ok(walked),
            }
        }
        Err(Errno::LOOP)
    }

    /// Walks to the directory that holds the last component of `text`, for calls that make or
    /// remove that name.
    ///
    /// Gives the directory's path, the name, and whether `text` ended in a slash.
    ///
    /// # Errors
    ///
    /// As [`Vfs::walk`]. Whether the name is one is left to [`check_name`].
    pub(crate) fn walk_to_parent(
        &mut self,
        base: &GuestPath,
        text: &[u8],
    ) -> Result<(GuestPath, Vec<u8>, bool), Errno> {
        if text.is_empty() {
            return Err(Errno::NOENT);
        }
        let slashes = text.iter().rev().take_while(|&&b| b == b'/').count();
        let trimmed = &text[..text.len() - slashes];
        let start = trimmed.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        let (parent, name) = trimmed.split_at(start);
        let walked = self.walk(base, if parent.is_empty() { b"." } else { parent }, Last::Follow)?;
        match walked.found {
            None => Err(Errno::NOENT),
            Some(found) if !found.is_dir() => Err(Errno::NOTDIR),
            Some(_) => Ok((walked.path, name.to_vec(), slashes > 0)),
        }
    }

    fn walk_by_component(
        &mut self,
        base: &GuestPath,
        text: &[u8],
        follow: bool,
        mut must_be_dir: bool,
    ) -> Result<Walked, Race> {
        let mut here = if text.first() == Some(&b'/') { GuestPath::root() } else { base.clone() };
        let mut todo = components(text);
        let mut todo_bytes = text.len();
        let mut links = 0;
        let mut in_virtual = false;
        while let Some(name) = todo.pop_front() {
            if name == b".." {
                here.pop();
                in_virtual = false;
                continue;
            }
            let path = here.child(&name);
            let looked = match self.look(&path) {
                // The host has something else where the guest sees a directory that only leads to
                // mounts.
                Err(Errno::LOOP | Errno::NOTDIR) if in_virtual => Err(Errno::NOENT),
                looked => looked,
            };
            let found = match looked {
                Ok(found) => found,
                Err(Errno::NOENT) if todo.is_empty() => {
                    return Ok(Walked { path, found: None, must_be_dir });
                }
                // Every component before this one was no link a moment ago.
                Err(Errno::LOOP) => return Err(Race::Again),
                Err(error) => return Err(error.into()),
            };
            if let Found::Host { handle, .. } = &found
                && found.is_symlink()
                && (follow || !todo.is_empty())
            {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(handle, open_how::empty_path(), Vec::new())?.into_bytes();
                if target.is_empty() {
                    return Err(Errno::NOENT.into());
                }
                todo_bytes += target.len();
                if todo_bytes > EXPANDED_MAX {
                    return Err(Errno::NAMETOOLONG.into());
                }
                if target[0] == b'/' {
                    here = GuestPath::root();
                    in_virtual = false;
                }
                // A link to `dir/` at the end asks for a directory as the path itself would.
                must_be_dir |= todo.is_empty() && ends_as_directory(&target);
                let mut expanded = components(&target);
                expanded.append(&mut todo);
                todo = expanded;
                continue;
            }
            if !todo.is_empty() && !found.is_dir() {
                return Err(Errno::NOTDIR.into());
            }
            if todo.is_empty() {
                return Ok(Walked { path, found: Some(found), must_be_dir });
            }
            in_virtual = matches!(found, Found::Virtual);
            here = path;
        }
        // The path ended in `..`, or in a link to "/".
        let found = self.look(&here).map_err(|error| if error == Errno::LOOP { Race::Again } else { error.into() })?;
        Ok(Walked { path: here, found: Some(found), must_be_dir })
    }

    /// Looks at one resolved path.
    ///
    /// # Errors
    ///
    /// `ELOOP` if a component before the last is a symbolic link; otherwise what the kernel says.
    pub(crate) fn look(&mut self, path: &GuestPath) -> Result<Found, Errno> {
        if self.mounts.has_builtin_devices()
            && let Some(device) = Device::at(path)
        {
            return Ok(Found::Device(device));
        }
        let from_host = match self.mounts.covering(path) {
            None => Err(Errno::NOENT),
            Some((index, mount, below)) => {
                open_beneath(mount, below, OFlags::PATH | OFlags::NOFOLLOW).and_then(|handle| {
                    let stat = FileStat::from(rustix::fs::fstat(&handle)?);
                    Ok(Found::Host { mount: index, handle, stat })
                })
            }
        };
        if let Some(trace) = &mut self.trace {
            match &from_host {
                Ok(Found::Host { stat, .. }) => trace.add(path, Seen::of(stat, false)),
                Err(Errno::NOENT | Errno::NOTDIR) => trace.add(path, Seen::Absent),
                _ => {}
            }
        }
        match from_host {
            Ok(found) if found.is_dir() => Ok(found),
            _ if self.mounts.is_above_mount(path) => Ok(Found::Virtual),
            Err(Errno::NOENT) if path.as_relative() == device::DIRECTORY && self.mounts.has_builtin_devices() => {
                Ok(Found::Virtual)
            }
            other => other,
        }
    }
}

/// Opens `below` beneath a mount's root as the module's description says.
///
/// # Errors
///
/// Those of openat2(2); what it says of an attempt to leave or to cross (`EXDEV`) becomes `EACCES`,
/// as does a file of the kernel's.
pub(crate) fn open_beneath(mount: &Mount, below: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let below = if below.is_empty() { b"." } else { below };
    if mount.access == Access::ReadOnly && !flags.intersects(OFlags::PATH | OFlags::NOATIME) {
        // Reading is no change either. The kernel allows that to a file's owner alone.
        match open_beneath(mount, below, flags | OFlags::NOATIME) {
            Err(Errno::PERM) => {}
            opened => return opened,
        }
    }
    if mount.crossing == Crossing::Refused {
        return open_from(mount, below, flags);
    }
    if flags.contains(OFlags::CREATE) {
        // A file that was made can't be unmade, so the directory is looked at before.
        let parent = below.iter().rposition(|&b| b == b'/').map_or(&b"."[..], |slash| &below[..slash]);
        refuse_kernel(open_from(mount, parent, OFlags::PATH)?)?;
    }
    refuse_kernel(open_from(mount, below, flags)?)
}

fn open_from(mount: &Mount, below: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    loop {
        match open_how::open(mount.root.as_fd(), below, flags, mount.crossing) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::XDEV) => return Err(Errno::ACCESS),
            result => return result,
        }
    }
}

fn refuse_kernel(file: OwnedFd) -> Result<OwnedFd, Errno> {
    if kernel_file_systems::name_of(&file)?.is_some() { Err(Errno::ACCESS) } else { Ok(file) }
}

enum Race {
    /// The tree changed under the walk; begin again.
    Again,
    Failed(Errno),
}

impl From<Errno> for Race {
    fn from(error: Errno) -> Self {
        Race::Failed(error)
    }
}

fn components(text: &[u8]) -> VecDeque<Vec<u8>> {
    text.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".").map(<[u8]>::to_vec).collect()
}

/// Whether the last component of a path can be a name.
///
/// # Errors
///
/// `EINVAL` for `.`, `ENOTEMPTY` for `..`, `EBUSY` for "/", which has none; `ENAMETOOLONG`.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Errno> {
    match name {
        b"" => Err(Errno::BUSY),
        b"." => Err(Errno::INVAL),
        b".." => Err(Errno::NOTEMPTY),
        name if name.len() > 255 => Err(Errno::NAMETOOLONG),
        _ => Ok(()),
    }
}

fn ends_as_directory(text: &[u8]) -> bool {
    text.ends_with(b"/") || ends_in_dots(text)
}

/// Whether a path ends in `.` or `..`, with slashes or without: then it names something that has to
/// be there.
pub(crate) fn ends_in_dots(text: &[u8]) -> bool {
    matches!(text.split(|&b| b == b'/').rfind(|part| !part.is_empty()), Some(b"." | b".."))
}
