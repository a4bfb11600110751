//! The mount table: which host directory shows where in the guest's tree.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::GuestPath;
use super::device;
use crate::kernel_file_systems;

/// What a guest may do below a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone; everything that would change the mount fails with `EROFS`, as on a mount that
    /// is read-only to the kernel.
    ReadOnly,
    /// Reading and writing, within what the host lets the user do.
    ReadWrite,
}

/// Whether a guest may go on where another file system of the host is mounted below a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crossing {
    /// Such a place gives `EACCES`.
    #[default]
    Refused,
    /// It may, unless that is an interface of the kernel, such as procfs.
    Allowed,
}

/// Why a directory can't be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// It can't be opened as a directory.
    #[error("{0}; does the directory exist?")]
    Open(Errno),
    /// It lies on an interface of the kernel.
    #[error("it lies on the kernel's `{0}`, through which a guest could change this machine; mount another directory")]
    KernelFileSystem(&'static str),
}

/// A host directory and its place in the guest's tree.
#[derive(Debug)]
pub struct Mount {
    /// Where the guest sees it.
    pub at: GuestPath,
    /// What the guest may do there.
    pub access: Access,
    /// What becomes of the host's mounts below it.
    pub crossing: Crossing,
    /// Whether this is a folder in memory, which no host's directory is behind.
    pub in_memory: bool,
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
    /// [`MountError`]: what open(2) says of `source` (`ENOTDIR` if it is no directory), or the
    /// kernel's file system that it lies on.
    pub fn open(source: &Path, at: GuestPath, access: Access, crossing: Crossing) -> Result<Self, MountError> {
        let root = rustix::fs::open(source, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(MountError::Open)?;
        Self::of(root, source, at, access, crossing)
    }

    /// Makes a mount of an open directory, which `source` names.
    ///
    /// # Errors
    ///
    /// [`MountError::KernelFileSystem`], or what fstatfs(2) says.
    pub fn of(
        root: OwnedFd,
        source: &Path,
        at: GuestPath,
        access: Access,
        crossing: Crossing,
    ) -> Result<Self, MountError> {
        match kernel_file_systems::name_of(&root) {
            Ok(None) => Ok(Self { at, access, crossing, in_memory: false, root, source: source.to_owned() }),
            Ok(Some(name)) => Err(MountError::KernelFileSystem(name)),
            Err(error) => Err(MountError::Open(error)),
        }
    }
}

impl Mount {
    /// A folder in memory, for writing.
    pub fn in_memory(root: OwnedFd, at: GuestPath) -> Self {
        let (access, crossing) = (Access::ReadWrite, Crossing::Refused);
        Self { at, access, crossing, in_memory: true, root, source: PathBuf::new() }
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

    /// Whether `path` has to be a directory, whatever the host holds there, because a mount lies
    /// further below, or because it is "/".
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
