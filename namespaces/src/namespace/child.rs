//! The child's side: from a copy of this process to the action.
//!
//! The copy is process 1 of the container. It makes the view, gives up every privilege, starts the
//! action as process 2 and waits for it; when it ends, the kernel ends all that is left in its
//! process namespace. Nothing here allocates (see [`super::sys`]).
//!
//! `/proc` is mounted while the host's is still in sight, as the kernel demands of an unprivileged
//! process.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use build_graph::{SOURCE_DATE_EPOCH, contract};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::process::{self, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets, Gid, Uid};

use super::caller;
use super::niceness::Niceness;
use super::plan::{PROCESSES, Plan, Top};
use super::report::{Failure, Report, Step, WithStep};
use super::sys::{self, MountAttributes};
use super::watch::Watch;

type Result<T> = std::result::Result<T, Failure>;

/// What the child inherits.
pub(super) struct Inherited {
    /// Where it reports to.
    pub(super) report: OwnedFd,
    /// Where the action's output goes; `None`: to the caller's own.
    pub(super) log: Option<OwnedFd>,
    /// The parent's process descriptor.
    pub(super) parent: OwnedFd,
    /// The caller's score for when memory runs out, and the same as text.
    pub(super) oom_score: (i32, Vec<u8>),
}

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

/// The child from its first instruction on.
pub(super) fn main(plan: &Plan, inherited: &Inherited) {
    let Err(failure) = container(plan, inherited);
    Report::Failed(failure).send(inherited.report.as_fd());
}

fn container(plan: &Plan, inherited: &Inherited) -> Result<Infallible> {
    process::set_parent_process_death_signal(Some(Signal::KILL)).at(Step::Watch)?;
    let mut parent = [PollFd::new(&inherited.parent, PollFlags::IN)];
    if poll(&mut parent, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).at(Step::Watch)? != 0 {
        sys::exit(0);
    }
    sys::default_signals();
    if !plan.terminal {
        process::setsid().at(Step::Session)?;
    }
    standard_streams(inherited).at(Step::Descriptors)?;
    let oom_score = caller::forget(inherited.oom_score.0).at(Step::Caller)?;
    become_root(plan)?;
    process::umask(Mode::empty());
    let InMemory { tmp, shm } = view(plan)?;
    identity()?;
    limits()?;
    let niceness = give_up_privileges(plan)?;
    process::chdir(c"/build").at(Step::WorkingDirectory)?;
    process::umask(Mode::from_raw_mode(contract::UMASK));
    let watch = Watch::new(&plan.watched, tmp, shm, plan.callers_proc).at(Step::Look)?;
    // From here on this process has the signal of a child's end blocked.
    let children = sys::ends_of_children().at(Step::Wait)?;

    let action = sys::clone_process(0, || {
        let Err(failure) = action(plan);
        Report::Failed(failure).send(inherited.report.as_fd());
    })
    .at(Step::Start)?;
    drop(action);
    oom_score.restore(&inherited.oom_score.1);
    Supervisor { children, watch, niceness }.supervise(inherited)
}

/// Process 1 while the action runs.
struct Supervisor<'a> {
    /// Readable when a child of this process has ended.
    children: OwnedFd,
    watch: Watch<'a>,
    /// What the filter hands over is answered by it.
    niceness: Option<Niceness>,
}

/// Whose ends were taken.
#[derive(Clone, Copy)]
enum Reaped {
    /// The action's, which ended so.
    Action(Report),
    /// Those of all that have ended.
    All,
    /// Those of some.
    Some,
}

impl Supervisor<'_> {
    /// Waits for process 2, and for whatever loses its parent meanwhile; ends with the action, or
    /// when it reaches a limit.
    fn supervise(mut self, inherited: &Inherited) -> Result<Infallible> {
        loop {
            let reaped = self.reap()?;
            let report = match reaped {
                Reaped::Action(report) => Some(self.watch.last_look().at(Step::Look)?.map_or(report, Report::Reached)),
                Reaped::All | Reaped::Some => self.watch.look().at(Step::Look)?.map(Report::Reached),
            };
            if let Some(report) = report {
                report.send(inherited.report.as_fd());
                sys::exit(0);
            }
            if let Reaped::All = reaped {
                self.wait()?;
            }
        }
    }

    /// Takes the ends of children.
    fn reap(&self) -> Result<Reaped> {
        const ACTION: i32 = 2;
        // A fork bomb can end as many as are taken, for ever.
        for _ in 0..64 {
            match process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == ACTION => {
                    match (status.exit_status(), status.terminating_signal()) {
                        (Some(status), _) => return Ok(Reaped::Action(Report::Exited(status))),
                        (_, Some(signal)) => return Ok(Reaped::Action(Report::Signalled(signal))),
                        _ => {}
                    }
                }
                // Nobody has ended.
                Ok(None) => return Ok(Reaped::All),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).at(Step::Wait),
            }
        }
        Ok(Reaped::Some)
    }

    /// Waits for an end, a call, or the next look.
    fn wait(&mut self) -> Result<()> {
        let children = self.children.as_fd();
        // One of them twice where there is one alone.
        let calls = self.niceness.as_ref().map_or(children, Niceness::listener);
        let mut both =
            [PollFd::from_borrowed_fd(children, PollFlags::IN), PollFd::from_borrowed_fd(calls, PollFlags::IN)];
        match poll(&mut both, Some(&self.watch.pause())) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(errno).at(Step::Wait),
        }
        let [child, call] = both.map(|one| one.revents().contains(PollFlags::IN));
        if let Some(niceness) = &mut self.niceness
            && call
        {
            niceness.answer_one().at(Step::Wait)?;
        }
        if child { sys::take_signal(self.children.as_fd()).at(Step::Wait) } else { Ok(()) }
    }
}

/// Process 2, up to the point where it is the action.
fn action(plan: &Plan) -> Result<Infallible> {
    keep_capabilities(CapabilitySet::empty()).at(Step::Capabilities)?;
    if plan.terminal {
        take_terminal().at(Step::Session)?;
    } else {
        process::setsid().at(Step::Session)?;
        let null = fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Step::Descriptors)?;
        rustix::stdio::dup2_stdin(&null).at(Step::Descriptors)?;
    }
    // The copying left them blocked.
    sys::default_signals();
    let mut errno = Errno::NOENT;
    for program in &plan.programs {
        match sys::exec(program, &plan.arguments, &plan.environment) {
            // One that is there but may not be run says more than those that are not there.
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => errno = Errno::ACCESS,
            other => {
                errno = other;
                break;
            }
        }
    }
    Err(errno).at(Step::Program)
}

/// Puts the action in the foreground of the caller's terminal, if there is one.
fn take_terminal() -> std::result::Result<(), Errno> {
    process::setpgid(None, None)?;
    let _background = sys::SignalIgnored::new(libc::SIGTTOU);
    match rustix::termios::tcsetpgrp(rustix::stdio::stdin(), process::getpid()) {
        Ok(()) | Err(Errno::NOTTY) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Leaves nothing open but the standard streams and what the container itself needs. (Standard
/// input is replaced once the view has its `/dev/null`; until then something must hold its number.)
fn standard_streams(inherited: &Inherited) -> std::result::Result<(), Errno> {
    if let Some(log) = &inherited.log {
        rustix::stdio::dup2_stdin(log)?;
        rustix::stdio::dup2_stdout(log)?;
        rustix::stdio::dup2_stderr(log)?;
    }
    let report = inherited.report.as_raw_fd() as u32;
    sys::close_range(3, report - 1)?;
    sys::close_range(report + 1, u32::MAX)
}

/// Becomes user and group 0 of the new user namespace.
fn become_root(plan: &Plan) -> Result<()> {
    // An unprivileged process may set its groups only after giving up setgroups(2); root does the
    // same, for the same view.
    write_file(CWD, c"/proc/self/setgroups", b"deny").at(Step::UserMap)?;
    write_file(CWD, c"/proc/self/gid_map", &plan.gid_map).at(Step::UserMap)?;
    write_file(CWD, c"/proc/self/uid_map", &plan.uid_map).at(Step::UserMap)?;
    thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).at(Step::UserMap)?;
    thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).at(Step::UserMap)
}

fn write_file(at: BorrowedFd<'_>, path: &CStr, content: &[u8]) -> std::result::Result<(), Errno> {
    let file = fs::openat(at, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, content).map(drop)
}

/// The file systems of the view that lie in memory and can be written.
struct InMemory {
    tmp: OwnedFd,
    shm: OwnedFd,
}

/// Makes the file system that the action sees, and makes it the only one.
///
/// Paths of the new tree are resolved one component at a time from a descriptor, links never
/// followed: an input may hold any link.
fn view(plan: &Plan) -> Result<InMemory> {
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
fn mount_proc(plan: &Plan, point: BorrowedFd<'_>, dev: BorrowedFd<'_>) -> Result<()> {
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
fn set_times(at: BorrowedFd<'_>, name: &CStr) -> std::result::Result<(), Errno> {
    let time = Timespec { tv_sec: SOURCE_DATE_EPOCH.cast_signed(), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    fs::utimensat(at, name, &times, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)
}

/// What tells one machine from another beside files: names and the network.
fn identity() -> Result<()> {
    rustix::system::sethostname(contract::HOSTNAME.as_bytes()).at(Step::HostName)?;
    rustix::system::setdomainname(b"(none)").at(Step::HostName)?;
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, flags, None);
    sys::loopback_up(socket.at(Step::Loopback)?.as_fd()).at(Step::Loopback)
}

/// The limits that every action has, soft and hard; `None` is no limit.
pub(super) const LIMITS: [(Resource, Option<u64>, Option<u64>); 15] = [
    (Resource::Core, Some(0), Some(0)),
    (Resource::Nofile, Some(1024), Some(4096)),
    // gcc raises its own to 64 MiB where it may.
    (Resource::Stack, Some(8 << 20), Some(64 << 20)),
    (Resource::Memlock, Some(64 << 10), Some(64 << 10)),
    (Resource::Msgqueue, Some(819_200), Some(819_200)),
    (Resource::Sigpending, Some(1024), Some(1024)),
    (Resource::Nice, Some(0), Some(0)),
    (Resource::Rtprio, Some(0), Some(0)),
    (Resource::As, None, None),
    (Resource::Cpu, None, None),
    (Resource::Data, None, None),
    (Resource::Fsize, None, None),
    (Resource::Locks, None, None),
    (Resource::Rss, None, None),
    (Resource::Rttime, None, None),
];

fn limits() -> Result<()> {
    for (index, (resource, current, maximum)) in LIMITS.into_iter().enumerate() {
        process::setrlimit(resource, Rlimit { current, maximum }).at(Step::Limit.of(index))?;
    }
    // Bounds what a fork bomb takes. The count is that of this user namespace, so other actions do
    // not matter; the host's root is not bound by it, but by the size of the process namespace. A
    // user with less keeps less: no build can tell.
    let maximum = process::getrlimit(Resource::Nproc).maximum.map_or(PROCESSES, |host| host.min(PROCESSES));
    process::setrlimit(Resource::Nproc, Rlimit { current: Some(maximum), maximum: Some(maximum) }).at(Step::Limits)
}

/// Gives up all privileges in the new user namespace, and every way to get one. Gives what answers
/// calls that the filter hands over.
fn give_up_privileges(plan: &Plan) -> Result<Option<Niceness>> {
    // Where this is impossible (no quota, no key rings), the filter still keeps the action from the
    // caller's.
    let _ = sys::new_session_keyring();
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    thread::set_capabilities_secure_bits(bits).at(Step::Capabilities)?;
    for capability in 0..64 {
        match thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno).at(Step::Capabilities),
        }
    }
    thread::clear_ambient_capability_set().at(Step::Capabilities)?;
    // The one with which this process sees what the action's take; the action gives it up before it
    // becomes its program.
    keep_capabilities(CapabilitySet::SYS_PTRACE).at(Step::Capabilities)?;
    // Process 1 holds a copy of the tool's memory; the action must not read it.
    process::set_dumpable_behavior(process::DumpableBehavior::NotDumpable).at(Step::Capabilities)?;
    thread::set_no_new_privs(true).at(Step::Filter)?;
    let listener = match sys::set_filter(&plan.filter, plan.listens) {
        // Whoever started the caller listens already, and there can be one alone.
        Err(Errno::BUSY) if plan.listens => sys::set_filter(&plan.plain_filter, false),
        result => result,
    };
    Ok(listener.at(Step::Filter)?.map(Niceness::new))
}

/// Gives up all capabilities but these.
fn keep_capabilities(kept: CapabilitySet) -> std::result::Result<(), Errno> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    thread::set_capabilities(None, sets)
}
