//! The processes of a run: this one, which waits; the first one of a process namespace, which keeps
//! order in it; and `sel_ldr`.
//!
//! When this process ends, however it does, the kernel kills the first one, and with it every
//! process of its namespace. Signals that ask a program to end are passed on; those that keys of a
//! terminal send have reached `sel_ldr` already.
//!
//! How this process waits is in [`super::waiting`].

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{self, DumpableBehavior, Pid, Signal, WaitOptions};

use super::bounds::Bounds;
use super::messages::Messages;
use super::streams::Streams;
use super::supervisor::Supervisor;
use super::waiting::{ENDED, Ended, EngineEnd, FAILED, Waiting};
use super::wall;
use crate::filter::nacl::Filters;
use crate::log::Log;
use crate::report::Report;
use crate::signals::{self, Signals};
use crate::sys::{self, Used, engine};

/// The number that `sel_ldr` has in its namespace: the second one.
pub(super) const ENGINE_PID: i32 = 2;
/// Signals by which a program is asked to end.
const ASKING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
/// What is to be started.
pub(super) struct EngineStart {
    pub(super) engine: OwnedFd,
    /// The number that [`wall::program_number`] gave.
    pub(super) number: i32,
    pub(super) arguments: Vec<CString>,
    /// The engine's own, which is not the guest's.
    pub(super) environment: Vec<CString>,
    pub(super) filters: Filters,
    /// What the guest has as standard output, if it is not this process's.
    pub(super) output: Option<OwnedFd>,
    /// Descriptors that it gets under the numbers that they have.
    pub(super) handed: Vec<OwnedFd>,
}

/// What a run needs of this process while it lasts.
pub(super) struct Surroundings<'a> {
    pub(super) bounds: &'a Bounds,
    /// See [`super::supervisor::processes`].
    pub(super) processes: OwnedFd,
    pub(super) streams: Streams,
    pub(super) report: &'a Report,
    pub(super) log: &'a Log,
}

/// Starts it in a new process namespace, and waits for its end.
///
/// # Errors
///
/// What the kernel says of pipes and processes.
pub(super) fn run(start: EngineStart, surroundings: Surroundings<'_>) -> Result<Ended, Errno> {
    let watched = Signals::of(&[&ASKING[..], &[libc::SIGCHLD]].concat());
    let before = watched.block();
    let (report, reporting) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (parent, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (said, saying) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (answering, asking) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let Some(first) = engine::fork_first()? else {
        let bounds = surroundings.bounds;
        drop((report, alive, said, answering, surroundings));
        first_process(start, bounds, Ways { saying, asking, before }, File::from(reporting), &parent);
    };
    drop((start, reporting, parent, saying, asking));
    let Surroundings { bounds, processes, streams, report: run, log } = surroundings;
    let carrying = streams.carry(&run.usage).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
    // Before its first instruction; where it could not become the engine, there is none.
    let listener = received(&answering)?;
    let supervisor = listener.map(|listener| Supervisor::new(listener, &processes, bounds, &run.usage));
    let waiting = Waiting::new(first, Messages::new(said, log), supervisor, carrying, bounds, run);
    let ended = waiting.wait(File::from(report), &watched);
    drop(alive);
    ended
}

/// Where the engine's questions arrive, once it has said so; `None` if it never did.
fn received(from: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [std::io::IoSliceMut::new(&mut byte)];
    rustix::io::retry_on_intr(|| recvmsg(from, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let listener = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(listener)
}

/// What the first process has of the ways to this one.
struct Ways {
    /// For the engine's messages.
    saying: OwnedFd,
    /// For where the engine's questions arrive.
    asking: OwnedFd,
    /// The signals that were blocked before.
    before: Signals,
}

/// The first process of the namespace: starts the second, passes signals on to it, and buries
/// whatever ends.
fn first_process(start: EngineStart, bounds: &Bounds, ways: Ways, mut reporting: File, parent: &OwnedFd) -> ! {
    let all = Signals::all();
    all.block();
    let watch = || -> Result<Option<Pid>, Errno> {
        process::set_parent_process_death_signal(Some(Signal::KILL))?;
        let mut parent = [PollFd::new(parent, PollFlags::IN)];
        if poll(&mut parent, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? != 0 {
            // It ended before it was watched.
            sys::exit(0);
        }
        process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        sys::fork()
    };
    let second = match watch() {
        Ok(Some(second)) => second,
        Ok(None) => {
            let why = become_engine(&start, bounds, &ways);
            fail(&mut reporting, &why);
        }
        Err(error) => fail(&mut reporting, &format!("its first process: {error}")),
    };
    drop((start, ways));
    loop {
        let (signal, _) = all.wait();
        if signal != libc::SIGCHLD {
            if let Some(signal) = Signal::from_named_raw(signal) {
                let _ = process::kill_process(second, signal);
            }
            continue;
        }
        while let Ok(Some((pid, status))) = process::wait(WaitOptions::NOHANG) {
            if pid == second {
                let Used { cpu, memory } = sys::used_by_children();
                let cpu = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
                let end = EngineEnd { status: status.as_raw(), cpu, memory };
                let _ = reporting.write_all(&[&[ENDED][..], &end.write()].concat());
                sys::exit(0);
            }
        }
    }
}

fn fail(reporting: &mut File, why: &str) -> ! {
    let _ = reporting.write_all(&[&[FAILED][..], why.as_bytes(), &[0]].concat());
    sys::exit(127)
}

/// The second process, up to the point where it is `sel_ldr`; comes back with what failed.
fn become_engine(start: &EngineStart, bounds: &Bounds, ways: &Ways) -> String {
    signals::default_signals();
    // A file that becomes too long gives an error.
    signals::ignore(libc::SIGXFSZ);
    ways.before.block();
    let prepare = || -> Result<(), Errno> {
        for file in &start.handed {
            rustix::io::fcntl_setfd(file, FdFlags::empty())?;
        }
        if let Some(output) = &start.output {
            rustix::stdio::dup2_stdout(output)?;
        }
        rustix::stdio::dup2_stderr(&ways.saying)?;
        wall::allow_number(start.number)?;
        engine::duplicate_to(start.engine.as_fd(), start.number)
    };
    if let Err(error) = prepare() {
        return format!("its descriptors: {error}");
    }
    // Where this is impossible, the filter still keeps it from the caller's.
    let _ = engine::new_session_keyring();
    let asking = |listener: OwnedFd| send(&ways.asking, &listener);
    if let Err((what, why)) = wall::raise(&start.filters, bounds, asking) {
        return format!("{what}: {why}");
    }
    format!("it can't be executed: {}", engine::exec(start.number, &start.arguments, &start.environment))
}

fn send(to: &OwnedFd, listener: &OwnedFd) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(to, &[std::io::IoSlice::new(&[0])], &mut control, SendFlags::empty()).map(drop)
}
