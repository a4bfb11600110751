//! The processes of a run: this one, which waits; the first one of a process namespace, which keeps order in it; and `sel_ldr`.
//!
//! When this process ends, however it does, the kernel kills the first one, and with it every process of its namespace. Signals that ask a program to
//! end are passed on; those that keys of a terminal send have reached `sel_ldr` already.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags};
use rustix::process::{self, DumpableBehavior, Pid, Signal, WaitOptions};

use super::filter::Filters;
use super::messages::{Messages, Told};
use super::sys;
use super::wall;
use crate::log::Log;
use crate::signals::{self, Signals};

/// The number that `sel_ldr` has in its namespace: the second one.
pub(super) const ENGINE_PID: i32 = 2;
/// Signals by which a program is asked to end.
const ASKING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
/// What begins a report about a start that failed, and one about an end.
const FAILED: u8 = b'f';
const ENDED: u8 = b'e';

/// What is to be started.
pub(super) struct Start {
    pub(super) engine: OwnedFd,
    /// The number that [`wall::program_number`] gave.
    pub(super) number: i32,
    pub(super) arguments: Vec<CString>,
    /// The engine's own, which is not the guest's.
    pub(super) environment: Vec<CString>,
    pub(super) filters: Filters,
    pub(super) max_memory: u32,
    /// Descriptors that it gets under the numbers that they have.
    pub(super) handed: Vec<OwnedFd>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that nobody asked for.
    Signalled(i32),
    /// It was asked to end by this signal, and did.
    Asked(i32),
    /// The engine refused what it was to load: why.
    Refused(String),
    /// It did not begin: what failed.
    Failed(String),
}

/// Starts it in a new process namespace, which the next child of this process has to be the first process of, and waits for its end.
///
/// # Errors
///
/// What the kernel says of pipes and processes.
pub(super) fn run(start: Start, log: &Log) -> Result<Ended, Errno> {
    let watched = Signals::of(&[&ASKING[..], &[libc::SIGCHLD]].concat());
    let before = watched.block();
    let (report, reporting) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (parent, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (said, saying) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let Some(first) = sys::fork()? else {
        drop((report, alive, said));
        first_process(start, saying, &before, File::from(reporting), &parent);
    };
    drop((start, reporting, parent, saying));
    let ended = wait(first, File::from(report), &watched, Messages::new(said, log));
    drop(alive);
    ended
}

/// Passes signals on, and what the engine says, until the first process has ended.
fn wait(first: Pid, mut report: File, watched: &Signals, mut messages: Messages<'_>) -> Result<Ended, Errno> {
    let arriving = watched.arriving()?;
    let mut asked = None;
    let mut silent = false;
    loop {
        let mut ready = [PollFd::new(&arriving, PollFlags::IN), PollFd::new(&messages, PollFlags::IN)];
        let watched = if silent { &mut ready[..1] } else { &mut ready[..] };
        match poll(watched, None) {
            Err(Errno::INTR) => continue,
            polled => polled?,
        };
        let [signals, said] = ready.map(|polled| !polled.revents().is_empty());
        if said && !silent {
            silent = !messages.take();
        }
        if !signals {
            continue;
        }
        let (signal, by_kernel) = signals::next_signal(&arriving)?;
        if signal == libc::SIGCHLD {
            // It may have been stopped or continued only.
            if process::waitpid(Some(first), WaitOptions::NOHANG)?.is_some() {
                break;
            }
            continue;
        }
        asked = Some(signal);
        if !by_kernel && let Some(signal) = Signal::from_named_raw(signal) {
            let _ = process::kill_process(first, signal);
        }
    }
    let mut text = Vec::new();
    report.read_to_end(&mut text).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let ended = match text.split_first() {
        Some((&FAILED, why)) => {
            let why = why.split(|&b| b == 0).next().unwrap_or(why);
            return Ok(Ended::Failed(String::from_utf8_lossy(why).into_owned()));
        }
        Some((&ENDED, status)) => status.try_into().map(i32::from_le_bytes).unwrap_or(libc::SIGKILL),
        // Somebody killed the first process, and so all.
        _ => libc::SIGKILL,
    };
    let exited = libc::WIFEXITED(ended).then(|| libc::WEXITSTATUS(ended));
    Ok(match (exited, asked, messages.end()) {
        (Some(_), _, Told { refused: Some(why), .. }) => Ended::Refused(why),
        (Some(_), None, Told { crash: Some(signal), .. }) => Ended::Signalled(signal),
        (Some(status), ..) => Ended::Exited(status),
        (None, Some(signal), _) => Ended::Asked(signal),
        (None, None, _) => Ended::Signalled(libc::WTERMSIG(ended)),
    })
}

/// The first process of the namespace: starts the second, passes signals on to it, and buries whatever ends.
fn first_process(start: Start, saying: OwnedFd, before: &Signals, mut reporting: File, parent: &OwnedFd) -> ! {
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
            let why = become_engine(&start, &saying, before);
            fail(&mut reporting, &why);
        }
        Err(error) => fail(&mut reporting, &format!("its first process: {error}")),
    };
    drop((start, saying));
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
                let _ = reporting.write_all(&[&[ENDED][..], &status.as_raw().to_le_bytes()].concat());
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
fn become_engine(start: &Start, saying: &OwnedFd, before: &Signals) -> String {
    signals::default_signals();
    before.block();
    let prepare = || -> Result<(), Errno> {
        for file in &start.handed {
            rustix::io::fcntl_setfd(file, FdFlags::empty())?;
        }
        rustix::stdio::dup2_stderr(saying)?;
        wall::allow_number(start.number)?;
        sys::duplicate_to(start.engine.as_fd(), start.number)
    };
    if let Err(error) = prepare() {
        return format!("its descriptors: {error}");
    }
    // Where this is impossible, the filter still keeps it from the caller's.
    let _ = sys::new_session_keyring();
    if let Err((what, why)) = wall::raise(&start.filters, start.number, start.max_memory) {
        return format!("{what}: {why}");
    }
    format!("it can't be executed: {}", sys::exec(start.number, &start.arguments, &start.environment))
}
