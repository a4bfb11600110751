//! The child's side: from a copy of this process to the action.
//!
//! The copy is process 1 of the container. It makes the view, gives up every privilege, starts the
//! action as process 2 and waits for it; when it ends, the kernel ends all that is left in its
//! process namespace. Nothing here allocates (see [`super::sys`]).

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use build_graph::contract;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{self, CWD, Mode, OFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{self, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets, Gid, Uid};

use super::child_message::{ChildMessage, Step, StepFailure, WithStep};
use super::niceness::Niceness;
use super::plan::{ContainerPlan, PROCESSES};
use super::view::{self, InMemory, set_times, write_file};
use super::watch::LimitWatch;
use super::{caller, sys};

type Result<T> = std::result::Result<T, StepFailure>;

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

/// The child from its first instruction on.
pub(super) fn main(plan: &ContainerPlan, inherited: &Inherited) {
    let Err(failure) = container(plan, inherited);
    ChildMessage::Failed(failure).send(inherited.report.as_fd());
}

fn container(plan: &ContainerPlan, inherited: &Inherited) -> Result<Infallible> {
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
    let InMemory { tmp, shm } = view::make(plan)?;
    identity()?;
    limits()?;
    let niceness = give_up_privileges(plan)?;
    process::chdir(c"/build").at(Step::WorkingDirectory)?;
    process::umask(Mode::from_raw_mode(contract::UMASK));
    output_folders(plan)?;
    let watch = LimitWatch::new(&plan.watched, tmp, shm, plan.callers_proc).at(Step::Look)?;
    // From here on this process has the signal of a child's end blocked.
    let children = sys::ends_of_children().at(Step::Wait)?;

    sys::start_program(|| {
        let Err(failure) = action(plan);
        ChildMessage::Failed(failure).send(inherited.report.as_fd());
    })
    .at(Step::Start)?;
    oom_score.restore(&inherited.oom_score.1);
    ActionSupervisor { children, watch, niceness }.supervise(inherited)
}

/// Makes the directories of outputs that are not there, below the working directory.
fn output_folders(plan: &ContainerPlan) -> Result<()> {
    let mut made = false;
    for (index, folder) in plan.output_folders.iter().enumerate() {
        match fs::mkdir(folder, Mode::from_raw_mode(0o777)) {
            Ok(()) => made = true,
            // A mount point of an input, or what a failed run left.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).at(Step::OutputFolder.of(index)),
        }
    }
    if made {
        // Those above others got the time of making these.
        for folder in plan.output_folders.iter().map(CString::as_c_str).chain([c"."]) {
            match set_times(CWD, folder) {
                // An input: nothing was made in it.
                Ok(()) | Err(Errno::ROFS) => {}
                Err(errno) => return Err(errno).at(Step::Times),
            }
        }
    }
    Ok(())
}

/// Process 1 while the action runs.
struct ActionSupervisor<'a> {
    /// Readable when a child of this process has ended.
    children: OwnedFd,
    watch: LimitWatch<'a>,
    /// What the filter hands over is answered by it.
    niceness: Option<Niceness>,
}

/// Whose ends were taken.
#[derive(Clone, Copy)]
enum Reaped {
    /// The action's, which ended so.
    Action(ChildMessage),
    /// Those of all that have ended.
    All,
    /// Those of some.
    Some,
}

impl ActionSupervisor<'_> {
    /// Waits for process 2, and for whatever loses its parent meanwhile; ends with the action, or
    /// when it reaches a limit.
    fn supervise(mut self, inherited: &Inherited) -> Result<Infallible> {
        loop {
            let reaped = self.reap()?;
            let report = match reaped {
                Reaped::Action(report) => {
                    Some(self.watch.last_look().at(Step::Look)?.map_or(report, ChildMessage::Reached))
                }
                Reaped::All | Reaped::Some => self.watch.look().at(Step::Look)?.map(ChildMessage::Reached),
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
                        (Some(status), _) => return Ok(Reaped::Action(ChildMessage::Exited(status))),
                        (_, Some(signal)) => return Ok(Reaped::Action(ChildMessage::Signalled(signal))),
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
fn action(plan: &ContainerPlan) -> Result<Infallible> {
    keep_capabilities(CapabilitySet::empty()).at(Step::Capabilities)?;
    if plan.terminal {
        take_terminal().at(Step::Session)?;
    } else {
        process::setsid().at(Step::Session)?;
        let null = fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Step::Descriptors)?;
        rustix::stdio::dup2_stdin(&null).at(Step::Descriptors)?;
    }
    // The start left them blocked.
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
fn become_root(plan: &ContainerPlan) -> Result<()> {
    // An unprivileged process may set its groups only after giving up setgroups(2); root does the
    // same, for the same view.
    write_file(CWD, c"/proc/self/setgroups", b"deny").at(Step::UserMap)?;
    write_file(CWD, c"/proc/self/gid_map", &plan.gid_map).at(Step::UserMap)?;
    write_file(CWD, c"/proc/self/uid_map", &plan.uid_map).at(Step::UserMap)?;
    thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).at(Step::UserMap)?;
    thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).at(Step::UserMap)
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
fn give_up_privileges(plan: &ContainerPlan) -> Result<Option<Niceness>> {
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
