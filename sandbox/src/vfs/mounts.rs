//! The mount table: which host directory shows where in the guest's tree.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::GuestPath;
use super::device;

/// What a guest may do below a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone; everything that would change the mount fails with `EROFS`, as on a mount that is read-only to the kernel.
    ReadOnly,
    /// Reading and writing, within what the host lets the user do.
    ReadWrite,
}

/// A host directory and its place in the guest's tree.
#[derive(Debug)]
pub struct Mount {
    /// Where the guest sees it.
    pub at: GuestPath,
    /// What the guest may do there.
    pub access: Access,
    /// The directory, opened once: later renames on the host do not move the mount.
    pub root: OwnedFd,
    /// The name that the user gave, for messages.
    pub source: PathBuf,
}

impl Mount {
    /// Opens `source` as the root of a mount at `at`.
    ///
    /// # Errors
    ///
    /// What open(2) says of `source`; `ENOTDIR` if it is no directory.
    pub fn open(source: &Path, at: GuestPath, access: Access) -> Result<Self, Errno> {
        let root = rustix::fs::open(source, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { at, access, root, source: source.to_owned() })
    }
}

/// All mounts of one guest.
#[derive(Debug, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Sorts the mounts so that the first one that covers a path is the innermost.
    ///
    /// Of two at the same place the later one counts, as in mount(2).
    pub fn new(mounts: Vec<Mount>) -> Self {
        let mut kept: Vec<Mount> = Vec::with_capacity(mounts.len());
        for mount in mounts {
            kept.retain(|m| m.at != mount.at);
            kept.push(mount);
        }
        kept.sort_by_key(|m| {
            std::cmp::Reverse(m.at.as_relative().split(|&b| b == b'/').count() * usize::from(!m.at.is_root()))
        });
        Self(kept)
    }

    /// Every mount, innermost first.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// The mount that covers `path`, with its index and the path below the mount's root.
    pub(crate) fn covering<'p>(&self, path: &'p GuestPath) -> Option<(usize, &Mount, &'p [u8])> {
        self.0.iter().enumerate().find_map(|(index, m)| path.below(&m.at).map(|rest| (index, m, rest)))
    }

    /// The mount of this index.
    pub(crate) fn get(&self, index: usize) -> &Mount {
        &self.0[index]
    }

    /// Whether something is mounted exactly here.
    pub(crate) fn is_mount_point(&self, path: &GuestPath) -> bool {
        self.0.iter().any(|m| m.at == *path)
    }

    /// Whether `path` has to be a directory, whatever the host holds there, because a mount lies further below, or because it is "/".
    pub(crate) fn is_above_mount(&self, path: &GuestPath) -> bool {
        path.is_root() || self.0.iter().any(|m| m.at.is_strictly_below(path))
    }

    /// Whether `/dev` is the built-in one: nothing is mounted there.
    pub(crate) fn has_builtin_devices(&self) -> bool {
        !self.0.iter().any(|m| m.at.as_relative() == device::DIRECTORY)
    }

    /// The names that mounts add to the listing of `path`.
    pub(crate) fn names_in(&self, path: &GuestPath) -> Vec<&[u8]> {
        let mut names: Vec<&[u8]> = self
            .0
            .iter()
            .filter_map(|m| m.at.below(path))
            .filter(|rest| !rest.is_empty())
            .map(|rest| rest.split(|&b| b == b'/').next().unwrap_or(rest))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
