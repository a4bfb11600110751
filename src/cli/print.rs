//! The one way to print, which can't panic.
//!
//! Standard output has three ends. A reader that closed it (`| head`) ends this process as SIGPIPE
//! would end another program, without a word. A device that takes no more (a full disk) is said on
//! standard error once; the work goes on, and [`status`] makes the exit status 3 if the command
//! itself succeeded. Standard error is for people: what can't be written there is dropped, and
//! changes no status.
//!
//! Text passes `untrusted::printable` on its way out, so that no name that somebody else chose can
//! send a terminal a control character. A name that could forge a *line* is up to who prints it.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use build_graph::untrusted::printable;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::signals;

/// What a shell reports of a program that SIGPIPE ended.
pub(super) const CLOSED_PIPE: u8 = 128 + 13;

/// The exit status of a command that succeeded but could not print what it found: the
/// environment's.
const UNWRITABLE: u8 = 3;

/// Writes a line to standard output.
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::print::out_line(format_args!($($text)*)) };
}

/// Writes a line to standard error.
macro_rules! errln {
    ($($text:tt)*) => { $crate::cli::print::err_line(format_args!($($text)*)) };
}

/// Writes a line of a summary to standard output, unless `--quiet` says otherwise.
macro_rules! sayln {
    ($($text:tt)*) => { if !$crate::cli::print::is_quiet() { outln!($($text)*) } };
}

/// Writes a note to standard error, unless `--quiet` says otherwise.
macro_rules! noteln {
    ($($text:tt)*) => { if !$crate::cli::print::is_quiet() { errln!($($text)*) } };
}

/// Whether notes and summaries are dropped.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Drops notes and summaries from now on, or prints them.
pub(crate) fn be_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether notes and summaries are dropped.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether standard output is for an answer as JSON, and for nothing else.
static ONLY_JSON: AtomicBool = AtomicBool::new(false);

/// Leaves standard output to an answer as JSON: lines go to standard error from now on.
pub(super) fn leave_output_to_json() {
    ONLY_JSON.store(true, Ordering::Relaxed);
}

/// The first failure of standard output; nothing is written to it afterwards.
static FAILED: OnceLock<Errno> = OnceLock::new();

/// Held while something is written, so that lines of two threads don't mix.
static TURN: Mutex<()> = Mutex::new(());

/// See [`outln!`].
pub(super) fn out_line(text: fmt::Arguments<'_>) {
    if !ONLY_JSON.load(Ordering::Relaxed) {
        out(line(text).as_bytes());
    } else if !is_quiet() {
        err_line(text);
    }
}

/// Writes these bytes to standard output as they are: a path, or text that is our own.
pub(super) fn out(bytes: &[u8]) {
    if FAILED.get().is_some() {
        return;
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let written = write_all(rustix::stdio::stdout(), bytes);
    drop(turn);
    if let Err(error) = written
        && FAILED.set(error).is_ok()
    {
        if error == Errno::PIPE {
            signals::end_with(CLOSED_PIPE);
        }
        errln!("error: standard output can't be written: {error}");
    }
}

/// See [`errln!`].
pub(super) fn err_line(text: fmt::Arguments<'_>) {
    err(line(text).as_bytes());
}

/// Writes these bytes to standard error as they are.
pub(super) fn err(bytes: &[u8]) {
    // Nobody is left who could be told.
    let _ = write_all(rustix::stdio::stderr(), bytes);
}

/// The exit status of a command that ends with this one: another if it succeeded and its output was
/// lost.
pub(super) fn status(of_command: u8) -> u8 {
    if of_command == 0 && FAILED.get().is_some() { UNWRITABLE } else { of_command }
}

/// Writes everything; waits for a stream that somebody made non-blocking.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let stream = to.as_fd();
                match poll(&mut [PollFd::new(&stream, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn line(text: fmt::Arguments<'_>) -> String {
    format!("{}\n", printable(&text.to_string()).lines())
}
