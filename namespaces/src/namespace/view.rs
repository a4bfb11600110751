//! The file system that an action sees. It is made by the child, and nothing here allocates (see
//! [`super::sys`]).
//!
//! `/proc` is mounted while the host's is still in sight, as the kernel demands of an unprivileged
//! process.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use build_graph::SOURCE_DATE_EPOCH;
use rustix::fd::BorrowedFd;
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::process;

use super::child_message::{Step, StepFailure, WithStep};
use super::plan::{ContainerPlan, Top};
use super::sys::{self, MountAttributes};

type Result<T> = std::result::Result<T, StepFailure>;

/// Private as all are, so that no later mount of the host shows up.
const READ_ONLY: MountAttributes = MountAttributes {
    set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
    clear: 0,
    propagation: libc::MS_PRIVATE,
    userns_fd: 0,
};
const WRITABLE: MountAttributes =
    MountAttributes { set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV, ..READ_ONLY };
/// Read-only, so that nobody changes the mode or the times of the host's node; writing to the
/// device is not concerned.
const DEVICE: MountAttributes =
    MountAttributes { set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC, ..READ_ONLY };

const PROC: MountAttributes = MountAttributes { set: READ_ONLY.set | libc::MOUNT_ATTR_NOEXEC, ..READ_ONLY };
const FREE: MountAttrFlags = MountAttrFlags::empty();

pub(super) const DEVICES: [(&CStr, &CStr); 5] = [
    (c"/dev/null", c"null"),
    (c"/dev/zero", c"zero"),
    (c"/dev/full", c"full"),
    (c"/dev/random", c"random"),
    (c"/dev/urandom", c"urandom"),
];

const DEVICE_LINKS: [(&CStr, &CStr); 4] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
];

/// Files of `/proc` that tell of the machine, or that only root could read: what engines mask, and
/// what differs between users.
pub(super) const MASKED_FILES: [&CStr; 16] = [
    c"interrupts",
    c"kcore",
    c"keys",
    c"kmsg",
    c"kpagecgroup",
    c"kpagecount",
    c"kpageflags",
    c"latency_stats",
    c"pagetypeinfo",
    c"sched_debug",
    c"slabinfo",
    c"sysrq-trigger",
    c"timer_list",
    c"timer_stats",
    c"vmallocinfo",
    c"vmcore",
];

/// Directories of `/proc` that tell of the machine.
pub(super) const MASKED_DIRECTORIES: [&CStr; 4] = [c"acpi", c"asound", c"scsi", c"tty/driver"];

/// The file systems of the view that lie in memory and can be written.
pub(super) struct InMemory {
    pub(super) tmp: OwnedFd,
    pub(super) shm: OwnedFd,
}

/// Makes the file system that the action sees, and makes it the only one.
///
/// Paths of the new tree are resolved one component at a time from a descriptor, links never
/// followed: an input may hold any link.
pub(super) fn make(plan: &ContainerPlan) -> Result<InMemory> {
    let root = new_file_system(c"tmpfs", c"mode", c"0755", FREE).at(Step::Root)?;
    move_mount(&root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).at(Step::Root)?;
    let root = root.as_fd();

    let dev = new_directory(root, c"dev").at(Step::Devices)?;
    for (index, (source, name)) in DEVICES.iter().enumerate() {
        let step = Step::Device.of(index);
        let point = new_file(dev.as_fd(), name).at(step)?;
        attach(bind(source, &DEVICE).at(step)?, point.as_fd()).at(step)?;
    }
    for (target, name) in DEVICE_LINKS {
        fs::symlinkat(target, &dev, name).at(Step::Devices)?;
        set_times(dev.as_fd(), name).at(Step::Devices)?;
    }
    for (index, entry) in plan.top.iter().enumerate() {
        let step = Step::Image.of(index);
        let point = match &entry.kind {
            Top::Link(target) => {
                fs::symlinkat(target, root, &entry.name).at(step)?;
                set_times(root, &entry.name).at(step)?;
                continue;
            }
            Top::Directory => new_directory(root, &entry.name).at(step)?,
            Top::File => new_file(root, &entry.name).at(step)?,
        };
        attach(bind(&entry.source, &READ_ONLY).at(step)?, point.as_fd()).at(step)?;
    }
    let tmp = new_temporary(root, c"tmp", FREE).at(Step::Temporary)?;
    let shm = new_temporary(dev.as_fd(), c"shm", MountAttrFlags::MOUNT_ATTR_NOEXEC).at(Step::Temporary)?;
    let proc_point = new_directory(root, c"proc").at(Step::Proc)?;
    mount_proc(plan, proc_point.as_fd(), dev.as_fd())?;

    let build_point = new_directory(root, c"build").at(Step::Build)?;
    let build = bind(&plan.build_dir, &WRITABLE).at(Step::Build)?;
    move_to(&build, build_point.as_fd()).at(Step::Build)?;
    for input in &plan.inputs {
        let index = input.index as usize;
        let mount = bind(&input.source, &READ_ONLY).at(Step::Input.of(index))?;
        let point = mount_point(root, &input.at).at(Step::MountPoint.of(index))?;
        attach(mount, point.as_fd()).at(Step::MountPoint.of(index))?;
    }
    for directory in [build.as_fd(), dev.as_fd(), root] {
        set_times(directory, c"").at(Step::Times)?;
    }
    sys::set_mount_attributes(root, &READ_ONLY, false).at(Step::Root)?;

    process::fchdir(root).at(Step::ChangeRoot)?;
    process::pivot_root(c".", c".").at(Step::ChangeRoot)?;
    unmount(c".", UnmountFlags::DETACH).at(Step::ChangeRoot)?;
    Ok(InMemory { tmp, shm })
}

/// Mounts a file system in memory that everybody may write to.
fn new_temporary(parent: BorrowedFd<'_>, name: &CStr, flags: MountAttrFlags) -> std::result::Result<OwnedFd, Errno> {
    let point = new_directory(parent, name)?;
    let flags = flags | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    // Of the kernel's own size: an action sees it.
    let mount = new_file_system(c"tmpfs", c"mode", c"1777", flags)?;
    set_times(mount.as_fd(), c"")?;
    move_to(&mount, point.as_fd())?;
    Ok(mount)
}

/// Mounts the process namespace's own `/proc`: read-only, with what tells of the machine hidden
/// behind empty files and directories.
fn mount_proc(plan: &ContainerPlan, point: BorrowedFd<'_>, dev: BorrowedFd<'_>) -> Result<()> {
    // Process 1 is not dumpable and so, under this option, not there: its command line is the
    // host's. (`invisible` would still show it to the machine's root group.)
    let proc = if plan.callers_proc {
        bind(c"/proc", &PROC).at(Step::Proc)?
    } else {
        new_file_system(c"proc", c"hidepid", c"ptraceable", FREE).at(Step::Proc)?
    };
    move_to(&proc, point).at(Step::Proc)?;
    if let Some(pid_max) = &plan.pid_max {
        // A machine with very many processors takes no number as low as this; the limit on the
        // user's processes is left then.
        match write_file(proc.as_fd(), c"sys/kernel/pid_max", pid_max) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno).at(Step::Limits),
        }
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    for (index, name) in MASKED_FILES.iter().enumerate() {
        let step = Step::MaskedFile.of(index);
        if let Some(point) = existing(proc.as_fd(), name, OFlags::empty()).at(step)? {
            attach(open_tree(dev, c"null", clone).at(step)?, point.as_fd()).at(step)?;
        }
    }
    let mut empty = None;
    for (index, name) in MASKED_DIRECTORIES.iter().enumerate() {
        let step = Step::MaskedDirectory.of(index);
        let Some(point) = existing(proc.as_fd(), name, OFlags::DIRECTORY).at(step)? else { continue };
        let mount = match &empty {
            None => new_file_system(c"tmpfs", c"mode", c"0555", MountAttrFlags::from_bits_retain(PROC.set as u32))
                .at(step)?,
            Some(first) => open_tree(first, c"", clone | OpenTreeFlags::AT_EMPTY_PATH).at(step)?,
        };
        move_to(&mount, point.as_fd()).at(step)?;
        empty.get_or_insert(mount);
    }
    sys::set_mount_attributes(proc.as_fd(), &PROC, false).at(Step::Proc)
}

/// A new file system with one option set, not yet attached to anything.
fn new_file_system(
    kind: &CStr,
    option: &CStr,
    value: &CStr,
    flags: MountAttrFlags,
) -> std::result::Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, option, value)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// A directory or file of the host as a mount that is not yet attached to anything. Mounts below it
/// come along, with the same attributes: without privileges, what they cover may not be uncovered.
fn bind(source: &CStr, attributes: &MountAttributes) -> std::result::Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(CWD, source, flags)?;
    sys::set_mount_attributes(mount.as_fd(), attributes, true)?;
    Ok(mount)
}

fn move_to(mount: &OwnedFd, point: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", point, c"", flags)
}

fn attach(mount: OwnedFd, point: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    move_to(&mount, point)
}

const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn new_directory(parent: BorrowedFd<'_>, name: &CStr) -> std::result::Result<OwnedFd, Errno> {
    fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    fs::openat(parent, name, PATH_ONLY | OFlags::DIRECTORY, Mode::empty())
}

fn new_file(parent: BorrowedFd<'_>, name: &CStr) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))
}

/// Opens what is there; `None` if nothing is.
fn existing(parent: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> std::result::Result<Option<OwnedFd>, Errno> {
    match fs::openat(parent, name, PATH_ONLY | flags, Mode::empty()) {
        Ok(point) => Ok(Some(point)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The directory to mount an input on; what lacks is made, where that is possible.
fn mount_point(root: BorrowedFd<'_>, at: &[CString]) -> std::result::Result<OwnedFd, Errno> {
    let mut directory: Option<OwnedFd> = None;
    for name in at {
        let parent = directory.as_ref().map_or(root, AsFd::as_fd);
        let next = match existing(parent, name, OFlags::DIRECTORY)? {
            Some(next) => next,
            None => {
                let made = new_directory(parent, name)?;
                set_times(made.as_fd(), c"")?;
                set_times(parent, c"")?;
                made
            }
        };
        directory = Some(next);
    }
    directory.ok_or(Errno::INVAL)
}

/// Gives a file of the view, or with an empty name what the descriptor stands for, the one time of
/// every tree.
pub(super) fn set_times(at: BorrowedFd<'_>, name: &CStr) -> std::result::Result<(), Errno> {
    let time = Timespec { tv_sec: SOURCE_DATE_EPOCH.cast_signed(), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    fs::utimensat(at, name, &times, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)
}

pub(super) fn write_file(at: BorrowedFd<'_>, path: &CStr, content: &[u8]) -> std::result::Result<(), Errno> {
    let file = fs::openat(at, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, content).map(drop)
}
