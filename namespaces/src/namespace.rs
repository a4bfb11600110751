//! The embedded executor: Linux namespaces, made by our own calls.
//!
//! Why our own code and not bubblewrap or a library. An action of a small C file takes 20 ms, so
//! the container must cost next to nothing: here it is one copy of this process and some hundred
//! system calls, with no program started but the action itself, and no tool that must be installed
//! first. bubblewrap (4.4 ms an empty action) can't give what the contract asks for: a system-call
//! filter must be handed to it ready-made, limits, key ring, times and the bounding set are not its
//! business, and an error of its is text. Crates that start processes in namespaces stop at
//! namespaces and use the old mount calls, with which a read-only view of a tree that holds mounts
//! can't be had at once. rustix gives the new ones (`open_tree`, `move_mount`, `fsopen`) in safe
//! form; what it lacks is in `sys.rs`, the one module with unsafe code. No helper program is
//! executed: the copy of this process does the work, and therefore allocates nothing (another
//! thread may hold the allocator's lock), and everything it needs is in a `ContainerPlan` before it is made.
//!
//! What an action could tell of the host in spite of all this: its kernel, processors, memory and
//! clock, and in `/proc/self/mountinfo` where on the host its directories are. That is the kernel's
//! and can't be hidden file by file; well-behaved builds do not read it.
//!
//! What an action may take ([`ActionLimits`]) is watched by process 1 of its container ([`watch`]),
//! and what it prints by the caller. Behind that, its processes are bounded by `RLIMIT_NPROC`,
//! which counts each user namespace apart (since Linux 5.14) but does not bind the host's root, and
//! since Linux 6.14 by `kernel.pid_max` of the process namespace, which binds everybody.

mod caller;
mod child;
mod child_message;
mod diagnose;
mod filter;
mod niceness;
mod plan;
mod sys;
mod view;
mod watch;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use build_graph::contract;
use build_graph::untrusted::printable_path;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    PidfdFlags, Resource, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal, waitid,
};

use super::{ActionLimit, ActionLimits, Executor, ExecutorError, InputMount, Run, Status};
use child_message::{ChildMessage, Step, StepFailure, StepIndex};
pub use filter::{DENIED_SYSCALLS, DeniedSyscall};
use plan::ContainerPlan;

const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Lets this process wait for its children, whatever its caller ignored (`trap '' CHLD`). To be
/// called before any is started.
pub fn wait_for_children() {
    sys::wait_for_children();
}

/// Runs actions in namespaces of this machine's kernel, as root or as an ordinary user.
#[derive(Debug, Clone, Default)]
pub struct NamespaceExecutor {
    callers_proc: bool,
}

/// Makes a container once, to learn whether this machine lets us.
///
/// # Errors
/// [`ExecutorError::Environment`] says what to change.
pub fn probe() -> Result<NamespaceExecutor, ExecutorError> {
    let executor = NamespaceExecutor::new();
    let folder = tempfile::tempdir().map_err(|source| ExecutorError::Host {
        doing: "make a directory in",
        path: std::env::temp_dir(),
        source,
        hint: String::new(),
    })?;
    executor.probe(folder.path())?;
    Ok(executor)
}

impl NamespaceExecutor {
    /// The executor, without asking whether this machine allows it: the first run will tell.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, showing the caller's own `/proc` (read-only, masked as always) in place of a new
    /// one, for containers whose kernel lets nobody inside mount one. An action can tell: `/proc`
    /// numbers processes as the caller's container does.
    #[must_use]
    pub fn with_callers_proc(self) -> Self {
        Self { callers_proc: true }
    }

    /// Makes a container once, to learn whether this machine lets us; `folder` must be empty and
    /// stays so.
    ///
    /// # Errors
    /// As [`probe`].
    pub fn probe(&self, folder: &Path) -> Result<(), ExecutorError> {
        let nothing = Run {
            root: folder,
            image: None,
            inputs: &[],
            command: &["/nothing".to_owned()],
            environment: &[],
            build_dir: folder,
            outputs: &[],
            log: Path::new("/dev/null"),
            limits: ActionLimits { time: Some(Duration::from_secs(60)), ..ActionLimits::DEFAULT },
        };
        match self.run(&nothing) {
            // The empty image holds no program: everything before worked.
            Ok(_) | Err(ExecutorError::Program { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn start(&self, run: &Run<'_>, plan: &ContainerPlan, log: Option<OwnedFd>) -> Result<Container, ExecutorError> {
        let internal = |doing: &str| {
            let doing = doing.to_owned();
            move |errno: Errno| ExecutorError::Environment {
                hint: "see `ulimit -n` and `ulimit -u`".to_owned(),
                doing,
                source: errno.into(),
            }
        };
        let (report, report_in) =
            pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(internal("making a pipe"))?;
        let oom_score = caller::OomScore::lowered();
        let inherited = child::Inherited {
            report: high(&report_in).map_err(internal("copying a descriptor"))?,
            log,
            parent: pidfd_open(getpid(), PidfdFlags::empty()).map_err(internal("opening a process descriptor"))?,
            oom_score: (oom_score.wish(), oom_score.wish().to_string().into_bytes()),
        };
        let init = sys::clone_process(NAMESPACES, || child::main(plan, &inherited)).map_err(|errno| {
            ExecutorError::Environment {
                doing: "making namespaces".to_owned(),
                source: errno.into(),
                hint: diagnose::hint(None, errno),
            }
        })?;
        drop(oom_score);
        let deadline = run.limits.time.map(|time| Instant::now() + time);
        Ok(Container { init, report, deadline, ended: false })
    }
}

/// A descriptor's twin with a number above those that the child gives to the standard streams.
fn high(fd: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 10)
}

impl Executor for NamespaceExecutor {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn run(&self, run: &Run<'_>) -> Result<Status, ExecutorError> {
        check_directories(run)?;
        let mut rest = fs::read_dir(run.build_dir).map_err(|source| host("read", run.build_dir, source))?;
        if rest.next().is_some() {
            let path = printable_path(&run.build_dir);
            return Err(ExecutorError::Internal(format!("the build directory `{path}` is not empty")));
        }
        let plan = ContainerPlan::new(run, self.callers_proc, false)?;
        let mut log = File::create(run.log).map_err(|source| host("write", run.log, source))?;
        // A pipe, not the file: a descriptor of the file would tell its path, and could be read and
        // cut.
        let pipe_error = |errno: Errno| host("make a pipe for", run.log, errno.into());
        let (output, output_in) = pipe_with(PipeFlags::CLOEXEC).map_err(pipe_error)?;
        rustix::io::ioctl_fionbio(&output, true).map_err(pipe_error)?;
        let child_end = high(&output_in).map_err(pipe_error)?;
        drop(output_in);
        let mut container = self.start(run, &plan, Some(child_end))?;
        let reached = container.copy_output(&output, &mut log, run.limits.log).map_err(|error| match error {
            CopyError::Log(source) => host("write", run.log, source),
            CopyError::Wait(errno) => ExecutorError::Internal(format!("can't wait for a container: {errno}")),
        })?;
        container.finish(run, &plan, reached)
    }

    fn shell(&self, run: &Run<'_>) -> Result<Status, ExecutorError> {
        check_directories(run)?;
        let plan = ContainerPlan::new(run, self.callers_proc, true)?;
        let terminal = ForegroundKept::new();
        let mut container = self.start(run, &plan, None)?;
        let late = container
            .wait(&mut [])
            .map_err(|errno| ExecutorError::Internal(format!("can't wait for a container: {errno}")))?;
        let status = container.finish(run, &plan, late.then_some(ActionLimit::Time));
        drop(terminal);
        status
    }
}

fn host(doing: &'static str, path: &Path, source: io::Error) -> ExecutorError {
    let hint = match Errno::from_io_error(&source) {
        Some(Errno::NOSPC | Errno::DQUOT) => "; make room on that file system",
        _ => "",
    };
    ExecutorError::Host { doing, path: path.to_owned(), source, hint: hint.to_owned() }
}

/// Refuses what would make every program of the action fail for a reason that it can't see.
fn check_directories(run: &Run<'_>) -> Result<(), ExecutorError> {
    let inputs = run.inputs.iter().map(|input| ("use the input", input.host));
    let directories = [("use the image", run.root), ("use the build directory", run.build_dir)];
    for (doing, path) in directories.into_iter().chain(inputs) {
        let metadata = fs::metadata(path).map_err(|source| host(doing, path, source))?;
        if !metadata.is_dir() {
            return Err(host(doing, path, Errno::NOTDIR.into()));
        }
    }
    for (doing, path) in directories {
        let flags = rustix::fs::statvfs(path).map_err(|errno| host(doing, path, errno.into()))?.f_flag;
        if flags.contains(rustix::fs::StatVfsMountFlags::NOEXEC) {
            let hint = "; it lies on a file system that is mounted `noexec`: choose another place".to_owned();
            return Err(ExecutorError::Host { doing, path: path.to_owned(), source: Errno::ACCESS.into(), hint });
        }
    }
    Ok(())
}

/// A container that runs. Dropping it ends it.
struct Container {
    /// Process 1.
    init: OwnedFd,
    report: OwnedFd,
    deadline: Option<Instant>,
    ended: bool,
}

enum CopyError {
    Log(io::Error),
    Wait(Errno),
}

impl Container {
    /// Copies what the action prints until the container has ended, `most` bytes of it; tells which
    /// limit was reached.
    fn copy_output(&mut self, output: &OwnedFd, log: &mut File, most: u64) -> Result<Option<ActionLimit>, CopyError> {
        let mut buffer = [0; 64 << 10];
        let mut left = most;
        let mut late = false;
        let mut watched = Some(output);
        loop {
            if let Some(output) = watched {
                late |= self.wait(&mut [PollFd::new(output, PollFlags::IN)]).map_err(CopyError::Wait)?;
            } else {
                late |= self.wait(&mut []).map_err(CopyError::Wait)?;
            }
            // When the container has ended, nobody can write any more: what is in the pipe is all.
            loop {
                match rustix::io::read(output, &mut buffer) {
                    Ok(0) => {
                        watched = None;
                        break;
                    }
                    Ok(length) => {
                        let fits = usize::try_from(left).map_or(length, |left| length.min(left));
                        log.write_all(&buffer[..fits]).map_err(CopyError::Log)?;
                        left -= fits as u64;
                        if fits < length {
                            self.kill();
                            return Ok(Some(ActionLimit::Log));
                        }
                    }
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(CopyError::Log(errno.into())),
                }
                if !self.ended && self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    break;
                }
            }
            if self.ended {
                return Ok(late.then_some(ActionLimit::Time));
            }
        }
    }

    /// Waits until the container has ended or one of the others is ready. When its time is up, ends
    /// it and says so.
    fn wait(&mut self, others: &mut [PollFd<'_>]) -> Result<bool, Errno> {
        loop {
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                self.kill();
                return Ok(true);
            }
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut all = [PollFd::new(&self.init, PollFlags::IN), PollFd::new(&self.init, PollFlags::empty())];
            let count = if let [other] = others {
                all[1] = other.clone();
                2
            } else {
                1
            };
            match poll(&mut all[..count], timeout.as_ref()) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno),
            }
            self.ended = !all[0].revents().is_empty();
            return Ok(false);
        }
    }

    /// Ends everything in the container. When this returns it is gone: the kernel lets go of
    /// process 1 after all others.
    fn kill(&mut self) {
        // It fails only if the process has ended already.
        let _ = pidfd_send_signal(&self.init, Signal::KILL);
        while let Err(Errno::INTR) =
            waitid(WaitId::PidFd(self.init.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {}
        self.ended = true;
    }

    /// What became of the action, after the container has ended.
    fn finish(
        mut self,
        run: &Run<'_>,
        plan: &ContainerPlan,
        reached: Option<ActionLimit>,
    ) -> Result<Status, ExecutorError> {
        self.kill();
        let ended = loop {
            match waitid(WaitId::PidFd(self.init.as_fd()), WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        let mut bytes = [0; 64];
        let length = rustix::io::read(&self.report, &mut bytes).unwrap_or(0);
        match (ChildMessage::first(&bytes[..length]), reached) {
            (Some(ChildMessage::Failed(failure)), _) => Err(explain(failure, run, plan)),
            (Some(ChildMessage::Reached(limit)), _) | (_, Some(limit)) => Ok(Status::Reached(limit)),
            (Some(ChildMessage::Exited(status)), _) => Ok(Status::Exited(status)),
            (Some(ChildMessage::Signalled(signal)), _) => Ok(Status::Signalled(signal)),
            (None, None) => match ended {
                Ok(Some(status)) if status.terminating_signal().is_some() => {
                    Err(ExecutorError::Killed { signal: status.terminating_signal().unwrap_or_default() })
                }
                other => {
                    let how = match other {
                        Ok(Some(status)) => status
                            .exit_status()
                            .map_or_else(|| "how is not known".to_owned(), |status| format!("with status {status}")),
                        Ok(None) => "and there is no such process".to_owned(),
                        Err(error) => error.to_string(),
                    };
                    Err(ExecutorError::Internal(format!("process 1 of a container ended without a word: {how}")))
                }
            },
        }
    }
}

/// What a limit bounds, as manual pages name it.
fn limited(resource: Resource) -> &'static str {
    match resource {
        Resource::Core => "core files",
        Resource::Nofile => "open files",
        Resource::Stack => "the stack",
        Resource::Memlock => "locked memory",
        Resource::Msgqueue => "message queues",
        Resource::Sigpending => "pending signals",
        Resource::Nice => "niceness",
        Resource::Rtprio => "real-time priority",
        Resource::As => "address space",
        Resource::Cpu => "processor time",
        Resource::Data => "data",
        Resource::Fsize => "the size of files",
        Resource::Locks => "file locks",
        Resource::Rss => "resident memory",
        Resource::Rttime => "real-time processor time",
        _ => "processes",
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
            let _ = waitid(WaitId::PidFd(self.init.as_fd()), WaitIdOptions::EXITED);
        }
    }
}

/// Renders a failed step of the child.
fn explain(
    StepFailure { place: StepIndex { step, index }, errno }: StepFailure,
    run: &Run<'_>,
    plan: &ContainerPlan,
) -> ExecutorError {
    let source = io::Error::from(errno);
    let name = |names: &[&std::ffi::CStr]| {
        names.get(index).map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let input = |index: usize| run.inputs.get(index).copied();
    let doing = match step {
        Step::Program => {
            return ExecutorError::Program { program: run.command.first().cloned().unwrap_or_default(), source };
        }
        Step::MountPoint => {
            return match input(index) {
                Some(InputMount { at, .. }) => ExecutorError::MountPoint { at: at.clone(), source },
                None => ExecutorError::Internal(format!("can't mount input {index}: {source}")),
            };
        }
        Step::Input => {
            return match input(index) {
                Some(InputMount { host: path, .. }) => host("show the action", path, source),
                None => ExecutorError::Internal(format!("can't bind input {index}: {source}")),
            };
        }
        Step::OutputFolder if matches!(errno, Errno::ROFS | Errno::NOTDIR) => {
            let folder = plan.output_folders.get(index).map(|folder| folder.to_string_lossy().into_owned());
            let what = format!("the directory `{}` of an output", folder.unwrap_or_default());
            return ExecutorError::Description { what, reason: "lies in an input, where nothing can be made" };
        }
        Step::OutputFolder => return host("make the directories of outputs in", run.build_dir, source),
        Step::Build if errno != Errno::NOSYS => return host("show the action", run.build_dir, source),
        Step::Image if errno != Errno::NOSYS => {
            let name = plan.top.get(index).map_or_else(String::new, |entry| entry.name.to_string_lossy().into_owned());
            return host("show the action", &run.root.join(name), source);
        }
        Step::Watch => "watching this process".to_owned(),
        Step::Session => "starting a session".to_owned(),
        Step::Descriptors => "closing descriptors".to_owned(),
        Step::Caller => "forgetting how the caller is scheduled".to_owned(),
        Step::UserMap => "becoming user 0 of a user namespace".to_owned(),
        Step::Root => "mounting `/`".to_owned(),
        Step::Devices => "filling `/dev`".to_owned(),
        Step::Device => format!("binding `{}`", name(&view::DEVICES.map(|(path, _)| path))),
        Step::Build => "binding `/build`".to_owned(),
        Step::Image => "binding the image".to_owned(),
        Step::Temporary => "mounting `/tmp` and `/dev/shm`".to_owned(),
        Step::Proc => "mounting `/proc`".to_owned(),
        Step::MaskedFile => format!("hiding `/proc/{}`", name(&view::MASKED_FILES)),
        Step::MaskedDirectory => format!("hiding `/proc/{}`", name(&view::MASKED_DIRECTORIES)),
        Step::Times => "setting the times of directories".to_owned(),
        Step::ChangeRoot => "changing the root directory".to_owned(),
        Step::HostName => format!("setting the host name `{}`", contract::HOSTNAME),
        Step::Loopback => "starting the loopback interface".to_owned(),
        Step::Limit => match child::LIMITS.get(index) {
            Some((resource, _, hard)) => {
                let hard = hard.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
                format!("setting the limit of {} to {hard}", limited(*resource))
            }
            None => "setting a limit".to_owned(),
        },
        Step::Limits => "setting the limit of processes".to_owned(),
        Step::Capabilities => "giving up capabilities".to_owned(),
        Step::Filter => "setting the system-call filter".to_owned(),
        Step::WorkingDirectory => "changing to `/build`".to_owned(),
        Step::Look => "looking at what the action takes".to_owned(),
        Step::Start => "starting the action's first process".to_owned(),
        Step::Wait => "waiting for the action".to_owned(),
    };
    ExecutorError::Environment { doing, source, hint: diagnose::hint(Some(step), errno) }
}

/// While a shell has the terminal, its signals are not for us; afterwards the terminal is ours
/// again.
struct ForegroundKept {
    _ignored: [sys::SignalIgnored; 3],
}

impl ForegroundKept {
    fn new() -> Self {
        Self { _ignored: [libc::SIGINT, libc::SIGQUIT, libc::SIGTTOU].map(sys::SignalIgnored::new) }
    }
}

impl Drop for ForegroundKept {
    fn drop(&mut self) {
        // Fails where standard input is no terminal, or not ours: then there is nothing to take
        // back.
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpgrp());
    }
}
