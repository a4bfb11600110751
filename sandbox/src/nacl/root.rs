//! The only files that `sel_ldr` sees: a file system in memory, with the guest's mounts in
//! `/guest`, the engine and its libraries, and two devices.
//!
//! A mount is a mount of the kernel's, read-only to the kernel if the options say so, so that the
//! guest, `sel_ldr` and whoever breaks out of it are held to the same. Where a mount has to appear
//! in a directory that does not have its mount point: a read-only directory is shown entry by entry
//! beside it; in a writable one the mount point is made, as its guest could have done.
//!
//! Names below a mount are opened one by one and links never followed: an earlier guest may have
//! left any. Nor does the kernel follow one for the engine, in any of these file systems
//! (`MOUNT_ATTR_NOSYMFOLLOW`): `sel_ldr` looks whether the last name of a path is a link, and at no
//! other, so that one to `/` in a mount would lead a guest out of `/guest`.
//!
//! What the host has mounted below a mount comes along, because without privileges nobody may
//! uncover what it covers. It is covered itself (`cover_foreign`), unless `--cross-mounts` lets the
//! guest in; an interface of the kernel, such as procfs, always is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};
use rustix::process;

use super::mounting::{
    DEVICE, DIRECTORY, PATH_ONLY, PROGRAM, READ_ONLY, WRITABLE, attributes, bind, memory, move_to, new_directory,
    new_file, new_folder,
};
use crate::kernel_file_systems;
use crate::limits::Tmpfs;
use crate::mount_table::{MountTable, mount_id};
use crate::sys::engine::set_mount_attributes;
use crate::vfs::{Access, Crossing, GuestPath, Mount};

/// Where the guest's tree lies.
pub(super) const GUEST: &CStr = c"/guest";
const GUEST_PATH: &str = "/guest";
/// Where the engine lies.
pub(super) const ENGINE: &str = "/engine";

/// Why the view can't be made.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A mount can't be attached.
    #[error("`{0}` can't be mounted at `{1}`: {2}")]
    Mount(PathBuf, GuestPath, Errno),
    /// Its mount point can't be had.
    #[error("there is no place for a mount at `{0}`: {1}; make that directory in what is mounted above it")]
    Point(GuestPath, Errno),
    /// What the host has mounted below a mount can't be kept from the guest.
    #[error(
        "`{0}`, where this machine has another file system mounted, can't be covered: {1}; mount another directory"
    )]
    Cover(String, Errno),
    /// A file of the engine can't be shown.
    #[error("`{0}` can't be shown to the engine: {1}")]
    Engine(PathBuf, Errno),
    /// Something else.
    #[error("the sandbox's file system can't be made ({0}: {1}); a kernel from 5.14 on is needed")]
    Other(&'static str, Errno),
}

/// A file of the host, and where the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EngineFile {
    pub(super) host: PathBuf,
    pub(super) at: PathBuf,
}

const DEVICES: [(&CStr, &str); 2] = [(c"/dev/null", "null"), (c"/dev/urandom", "urandom")];
/// Files of shared memory: each lasts as long as it is open.
const SHARED_FILES: u64 = 4096;
/// What the view is made of.
pub(super) struct Parts<'a> {
    /// The directories of the host.
    pub(super) mounts: Vec<Mount>,
    /// The folders in memory.
    pub(super) folders: &'a [Tmpfs],
    /// The engine's files.
    pub(super) engine: &'a [EngineFile],
    /// Bytes of memory that is shared.
    pub(super) shared: u64,
    pub(super) crossing: Crossing,
}

/// Makes the view and enters it: from then on this process sees nothing else. It has to be root of
/// a mount namespace of its own. Gives the guest's tree.
///
/// # Errors
///
/// [`RootError`].
pub(super) fn enter(parts: Parts<'_>) -> Result<OwnedFd, RootError> {
    let Parts { mounts, folders, engine, shared, crossing } = parts;
    let other = |what| move |error| RootError::Other(what, error);
    let table = File::open("/proc/self/mountinfo")
        .map_err(|error| RootError::Other("mounts", Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(other("private mounts"))?;
    let root = memory(c"0755", 16 << 20, None, MountAttrFlags::empty()).map_err(other("tmpfs"))?;
    // Over the old one, which paths from "/" still lead to.
    move_mount(&root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(other("root"))?;

    let dev = new_directory(root.as_fd(), b"dev").map_err(other("/dev"))?;
    for (source, name) in DEVICES {
        let point = new_file(dev.as_fd(), name.as_bytes()).map_err(other("/dev"))?;
        let device = bind(CWD, source, DEVICE).map_err(other("devices"))?;
        move_to(&device, point.as_fd()).map_err(other("devices"))?;
    }
    // Memory that two mappings share: all code that is loaded, and what guests ask for.
    let shm = new_directory(dev.as_fd(), b"shm").map_err(other("/dev/shm"))?;
    let flags =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    let memory = memory(c"0700", shared, Some(SHARED_FILES), flags).map_err(other("/dev/shm"))?;
    move_to(&memory, shm.as_fd()).map_err(other("/dev/shm"))?;

    for file in engine {
        show(root.as_fd(), file).map_err(|error| RootError::Engine(file.host.clone(), error))?;
    }
    let guest = new_directory(root.as_fd(), b"guest").map_err(other("/guest"))?;
    let mut view = View { own: HashSet::new(), crossing };
    MountTree::of(mounts, folders).lay(&GuestPath::root(), guest.as_fd(), None, &mut view)?;
    let table = MountTable::read_from(table).map_err(other("mounts"))?;
    view.cover_foreign(root.as_fd(), &table)?;

    set_mount_attributes(root.as_fd(), &attributes(READ_ONLY & !libc::MOUNT_ATTR_NODEV), false)
        .map_err(other("root"))?;
    process::fchdir(&root).map_err(other("root"))?;
    process::pivot_root(c".", c".").map_err(other("change of root"))?;
    unmount(c".", UnmountFlags::DETACH).map_err(other("change of root"))?;
    process::chdir(GUEST).map_err(other("/guest"))?;
    fs::open(GUEST, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(other("/guest"))
}

/// Shows one file of the host where the engine looks for it.
fn show(root: BorrowedFd<'_>, file: &EngineFile) -> Result<(), Errno> {
    let mut directory = fs::openat(root, c".", DIRECTORY, Mode::empty())?;
    let mut names: Vec<&[u8]> = file.at.iter().map(std::os::unix::ffi::OsStrExt::as_bytes).collect();
    let name = names.pop().ok_or(Errno::INVAL)?;
    for name in names.into_iter().filter(|&name| name != b"/") {
        directory = match new_directory(directory.as_fd(), name) {
            Err(Errno::EXIST) => fs::openat(&directory, name, DIRECTORY, Mode::empty())?,
            made => made?,
        };
    }
    let point = new_file(directory.as_fd(), name)?;
    move_to(&bind(CWD, file.host.as_path(), PROGRAM)?, point.as_fd())
}

/// A directory that lies under what is laid.
struct Layer {
    directory: OwnedFd,
    access: Access,
}

/// What lies at a place of the guest's tree.
enum LayerSource {
    Host(Mount),
    /// A folder in memory of so many bytes.
    Memory(u64),
}

/// The mounts as a tree of names.
#[derive(Default)]
struct MountTree {
    mount: Option<LayerSource>,
    below: BTreeMap<Vec<u8>, MountTree>,
}

impl MountTree {
    /// Of two mounts at one place the later one counts.
    fn of(mounts: Vec<Mount>, folders: &[Tmpfs]) -> Self {
        let mut root = Self::default();
        let hosts = mounts.into_iter().map(|mount| (mount.at.clone(), LayerSource::Host(mount)));
        let memory = folders.iter().map(|folder| (folder.at.clone(), LayerSource::Memory(folder.size)));
        for (at, source) in hosts.chain(memory) {
            let names = at.as_relative().split(|&b| b == b'/').filter(|name| !name.is_empty());
            let place = names.fold(&mut root, |tree, name| tree.below.entry(name.to_vec()).or_default());
            place.mount = Some(source);
        }
        root
    }

    /// Lays this tree, whose place in the guest's is `path`, onto the empty directory `point`, over
    /// `under`.
    fn lay(
        self,
        path: &GuestPath,
        point: BorrowedFd<'_>,
        under: Option<Layer>,
        view: &mut View,
    ) -> Result<(), RootError> {
        let Self { mount, below } = self;
        let source = match &mount {
            Some(LayerSource::Host(mount)) => mount.source.clone(),
            Some(LayerSource::Memory(_)) => PathBuf::from("tmpfs"),
            None => PathBuf::from("/"),
        };
        let failed = |error| RootError::Mount(source.clone(), path.clone(), error);
        let layer = match mount {
            Some(LayerSource::Host(mount)) => Some(Layer { directory: mount.root, access: mount.access }),
            Some(LayerSource::Memory(size)) => {
                let folder = new_folder(size).map_err(failed)?;
                make_points(&below, path, folder.as_fd())?;
                view.attach(&folder, point).map_err(failed)?;
                return lay_onto(below, path, folder.as_fd(), view);
            }
            None => under,
        };
        let Some(layer) = layer else {
            make_places(&BTreeMap::new(), &below, point).map_err(failed)?;
            return lay_at_places(below, path, point, |_| None, view);
        };
        if layer.access == Access::ReadWrite {
            make_points(&below, path, layer.directory.as_fd())?;
        }
        // What a program lists at "/" is in the same order on every machine, so that is shown entry
        // by entry.
        let as_it_is = has_points(&below, layer.directory.as_fd()) && !path.is_root();
        if layer.access == Access::ReadWrite || as_it_is {
            let flags = if layer.access == Access::ReadWrite { WRITABLE } else { READ_ONLY };
            let mount = bind(layer.directory.as_fd(), c"", flags).map_err(failed)?;
            view.attach(&mount, point).map_err(failed)?;
            return lay_onto(below, path, mount.as_fd(), view);
        }
        let entries = entries(&layer.directory, &below).map_err(failed)?;
        make_places(&entries, &below, point).map_err(failed)?;
        view.show_entries(&layer.directory, &entries, point).map_err(failed)?;
        let under = |name: &[u8]| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = fs::openat(&layer.directory, name, flags, Mode::empty()).ok()?;
            Some(Layer { directory, access: layer.access })
        };
        lay_at_places(below, path, point, under, view)
    }
}

/// Lays trees onto the empty directories of their names.
fn lay_at_places(
    trees: BTreeMap<Vec<u8>, MountTree>,
    path: &GuestPath,
    point: BorrowedFd<'_>,
    under: impl Fn(&[u8]) -> Option<Layer>,
    view: &mut View,
) -> Result<(), RootError> {
    for (name, tree) in trees {
        let path = path.child(&name);
        let point = fs::openat(point, name.as_slice(), DIRECTORY, Mode::empty())
            .map_err(|error| RootError::Point(path.clone(), error))?;
        tree.lay(&path, point.as_fd(), under(&name), view)?;
    }
    Ok(())
}

/// Lays trees into a mount that has their places.
fn lay_onto(
    trees: BTreeMap<Vec<u8>, MountTree>,
    path: &GuestPath,
    directory: BorrowedFd<'_>,
    view: &mut View,
) -> Result<(), RootError> {
    for (name, tree) in trees {
        let path = path.child(&name);
        let point = fs::openat(directory, name.as_slice(), DIRECTORY, Mode::empty())
            .map_err(|error| RootError::Point(path.clone(), error))?;
        match tree.mount {
            Some(_) => tree.lay(&path, point.as_fd(), None, view)?,
            None => lay_onto(tree.below, &path, point.as_fd(), view)?,
        }
    }
    Ok(())
}

/// Whether a directory has all places that the trees need in it.
fn has_points(trees: &BTreeMap<Vec<u8>, MountTree>, directory: BorrowedFd<'_>) -> bool {
    trees.iter().all(|(name, tree)| {
        fs::openat(directory, name.as_slice(), DIRECTORY, Mode::empty())
            .is_ok_and(|there| tree.mount.is_some() || has_points(&tree.below, there.as_fd()))
    })
}

/// Makes the places that are not there.
fn make_points(
    trees: &BTreeMap<Vec<u8>, MountTree>,
    path: &GuestPath,
    directory: BorrowedFd<'_>,
) -> Result<(), RootError> {
    for (name, tree) in trees {
        let path = path.child(name);
        let failed = |error| RootError::Point(path.clone(), error);
        match fs::mkdirat(directory, name.as_slice(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let there = fs::openat(directory, name.as_slice(), DIRECTORY, Mode::empty()).map_err(failed)?;
        if tree.mount.is_none() {
            make_points(&tree.below, &path, there.as_fd())?;
        }
    }
    Ok(())
}

/// An entry of a directory that is shown in a new one.
enum ShownEntry {
    Directory,
    File,
    Link(CString),
}

/// The entries of a directory, but for those that a tree takes the place of.
fn entries(directory: &OwnedFd, but: &BTreeMap<Vec<u8>, MountTree>) -> Result<BTreeMap<Vec<u8>, ShownEntry>, Errno> {
    let mut entries = BTreeMap::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." || but.contains_key(name.to_bytes()) {
            continue;
        }
        let stat = match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let entry = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => ShownEntry::Link(fs::readlinkat(directory, name, Vec::new())?),
            FileType::Directory => ShownEntry::Directory,
            _ => ShownEntry::File,
        };
        entries.insert(name.to_bytes().to_vec(), entry);
    }
    Ok(entries)
}

/// Makes a place for each entry and each tree in an empty directory of the view's own. A file
/// system in memory lists last what came first.
fn make_places(
    entries: &BTreeMap<Vec<u8>, ShownEntry>,
    trees: &BTreeMap<Vec<u8>, MountTree>,
    point: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let names: BTreeSet<_> = entries.keys().chain(trees.keys()).collect();
    for name in names.into_iter().rev() {
        match entries.get(name) {
            Some(ShownEntry::Link(target)) => fs::symlinkat(target, point, name.as_slice())?,
            Some(ShownEntry::File) => drop(new_file(point, name)?),
            Some(ShownEntry::Directory) | None => drop(new_directory(point, name)?),
        }
    }
    Ok(())
}

/// What is laid, and what may show through it.
struct View {
    /// The numbers of the mounts that are the options'.
    own: HashSet<u64>,
    crossing: Crossing,
}

impl View {
    /// Attaches a mount that belongs to the view.
    fn attach(&mut self, mount: &OwnedFd, point: BorrowedFd<'_>) -> Result<(), Errno> {
        self.own.insert(mount_id(mount)?);
        move_to(mount, point)
    }

    /// Shows each of these entries of a read-only directory at the place of its name. Where the
    /// host has mounted something onto an entry, that is not taken for the view's own, so that it
    /// is covered as everything of the kind.
    fn show_entries(
        &mut self,
        directory: &OwnedFd,
        entries: &BTreeMap<Vec<u8>, ShownEntry>,
        point: BorrowedFd<'_>,
    ) -> Result<(), Errno> {
        let above = mount_id(directory)?;
        for (name, entry) in entries {
            if matches!(entry, ShownEntry::Link(_)) {
                continue;
            }
            let place = fs::openat(point, name.as_slice(), PATH_ONLY, Mode::empty())?;
            // One look decides what is bound and whether it is the host's: a mount may come and go
            // meanwhile.
            let there = match fs::openat(directory, name.as_slice(), PATH_ONLY, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                there => there?,
            };
            let mount = bind(there.as_fd(), c"", READ_ONLY)?;
            if mount_id(&there)? == above {
                self.attach(&mount, place.as_fd())?;
            } else {
                move_to(&mount, place.as_fd())?;
            }
        }
        Ok(())
    }

    /// Covers what is mounted below `/guest` in the file system `root` and is not the view's own:
    /// with a directory or a file that nobody may read.
    ///
    /// # Errors
    ///
    /// [`RootError::Cover`]: without it, the guest must not be started.
    fn cover_foreign(&self, root: BorrowedFd<'_>, table: &MountTable) -> Result<(), RootError> {
        // The paths of the table are those of the root that is left now, which may have a `/guest`
        // of its own: so mounts are told by what they lie on.
        let mut waiting = vec![mount_id(root).map_err(|error| RootError::Other("mounts", error))?];
        while let Some(above) = waiting.pop() {
            let here = table.iter().filter(|line| line.parent == above && line.at.starts_with(GUEST_PATH));
            for line in here {
                if self.own.contains(&line.id) || !self.cover(root, &line.at)? {
                    waiting.push(line.id);
                }
            }
        }
        Ok(())
    }

    /// Covers one mount of the host's at this path in the file system `root`, unless the guest may
    /// cross into it. Gives whether it is out of reach.
    fn cover(&self, root: BorrowedFd<'_>, at: &Path) -> Result<bool, RootError> {
        let below = at.strip_prefix("/").unwrap_or(at);
        let failed = |error| RootError::Cover(crate::print::shown_path(at), error);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let there = match fs::openat2(root, below, PATH_ONLY, Mode::empty(), resolve) {
            // Something else lies over the place.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(true),
            there => there.map_err(failed)?,
        };
        let kernel = kernel_file_systems::name_of(&there).map_err(failed)?.is_some();
        if self.crossing == Crossing::Allowed && !kernel {
            return Ok(false);
        }
        let directory = FileType::from_raw_mode(fs::fstat(&there).map_err(failed)?.st_mode) == FileType::Directory;
        let covered = if directory { cover_directory(there.as_fd()) } else { cover_file(root, there.as_fd()) };
        covered.map(|()| true).map_err(failed)
    }
}

/// Covers a directory with one that nobody may look into.
fn cover_directory(point: BorrowedFd<'_>) -> Result<(), Errno> {
    let cover = memory(c"0000", 4 << 10, None, MountAttrFlags::empty())?;
    set_mount_attributes(cover.as_fd(), &attributes(READ_ONLY), false)?;
    move_to(&cover, point)
}

/// Covers a file with one that nobody may read. It is made in the directory `root`, and has no name
/// when it is in its place.
fn cover_file(root: BorrowedFd<'_>, point: BorrowedFd<'_>) -> Result<(), Errno> {
    const NAME: &CStr = c"covered";
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    drop(fs::openat(root, NAME, flags, Mode::empty())?);
    let file = fs::openat(root, NAME, PATH_ONLY, Mode::empty())?;
    move_to(&bind(file.as_fd(), c"", READ_ONLY)?, point)?;
    fs::unlinkat(root, NAME, AtFlags::empty())
}

/// Where the engine sees one of its own files.
pub(super) fn in_engine(name: &str) -> PathBuf {
    Path::new(ENGINE).join(name)
}
