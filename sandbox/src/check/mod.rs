//! `run --check`: which walls this machine gives, each probed by raising it in a process of its own
//! and trying what it has to stop.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::WaitOptions;

use crate::outcome::ENVIRONMENT_STATUS;
use crate::{print, sys};

#[cfg(feature = "wasm")]
pub(crate) mod wasm;

/// Exit status if guests can be run, but a wall is weaker than this program can make it.
pub(crate) const WEAKER_STATUS: u8 = 1;

/// What follows if a wall is missing.
pub(crate) const NO_GUEST: &str = "no guest can be run on this machine";

/// What a wall is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WallState {
    /// As strong as this program makes it.
    Stands,
    /// Guests run without it, or with less of it: what is missing, and what to change.
    #[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "Native Client's front does without none"))]
    Weaker(String),
    /// No guest is run without it: why it can't be had, and what to change.
    Missing(String),
}

/// One wall, and what it stops.
#[derive(Clone, Debug)]
pub(crate) struct Wall {
    pub(crate) name: &'static str,
    pub(crate) stops: &'static str,
    pub(crate) state: WallState,
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.state {
            WallState::Stands => ("ok", self.stops),
            WallState::Weaker(why) => ("weaker", why.as_str()),
            WallState::Missing(why) => ("MISSING", why.as_str()),
        };
        write!(f, "{word:<8} {:<13} {text}", self.name)
    }
}

/// Says what each wall is, one a line, and what follows from that.
///
/// Gives the exit status: 0, [`WEAKER_STATUS`], or that of something of the machine being in the
/// way.
///
/// # Errors
///
/// That of writing to standard output.
pub(crate) fn say(walls: &[Wall]) -> Result<u8, Errno> {
    let any = |which: fn(&WallState) -> bool| walls.iter().any(|wall| which(&wall.state));
    let (status, end) = if any(|state| matches!(state, WallState::Missing(_))) {
        (ENVIRONMENT_STATUS, NO_GUEST)
    } else if any(|state| matches!(state, WallState::Weaker(_))) {
        (WEAKER_STATUS, "guests can be run, behind weaker walls than this program can raise")
    } else {
        (0, "all walls stand")
    };
    for wall in walls {
        print::out(&format!("{}\n", print::one_line(&wall.to_string())))?;
    }
    print::out(&format!("{end}\n"))?;
    Ok(status)
}

/// Does something that can't be undone in a process of its own, and gives what that says. To be
/// called while this process has one thread.
///
/// # Errors
///
/// What the process says, or that there was none or it ended without a word.
pub(crate) fn apart(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let no_process = |error: &dyn fmt::Display| format!("no process could be started: {error}");
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| no_process(&error))?;
    let Some(child) = sys::fork().map_err(|error| no_process(&error))? else {
        let said = match work() {
            Ok(()) => b"+".to_vec(),
            Err(why) => [b"-", why.as_bytes()].concat(),
        };
        let _ = File::from(writing).write_all(&said);
        sys::exit(0)
    };
    drop(writing);
    let mut said = Vec::new();
    let read = File::from(reading).read_to_end(&mut said);
    while let Err(Errno::INTR) = rustix::process::waitpid(Some(child), WaitOptions::empty()) {}
    match (read, said.split_first()) {
        (Ok(_), Some((b'+', _))) => Ok(()),
        (Ok(_), Some((_, why))) => Err(String::from_utf8_lossy(why).into_owned()),
        _ => Err("the process that tried it was ended".to_owned()),
    }
}

/// Whether a call is refused, as a wall has to refuse it.
///
/// # Errors
///
/// What it gave in place of that.
pub(crate) fn refused(what: &str, result: Result<(), Errno>) -> Result<(), String> {
    match result {
        Err(Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::NOENT) => Ok(()),
        Ok(()) => Err(format!("{what} is allowed behind it")),
        Err(error) => Err(format!("{what} gives another error behind it: {error}")),
    }
}

/// What every loader's last wall lacks where the kernel has no filters.
pub(crate) const NO_FILTER: &str = "a kernel with CONFIG_SECCOMP_FILTER is needed, and in a container one whose own filter lets seccomp(2) and prctl(2) pass";

/// Whether this process has neither capabilities nor a way to any.
///
/// # Errors
///
/// What it has.
#[cfg(feature = "wasm")]
pub(crate) fn has_no_privileges() -> Result<(), String> {
    let sets = rustix::thread::capabilities(None).map_err(|error| error.to_string())?;
    if !sets.effective.is_empty() || !sets.permitted.is_empty() {
        return Err("capabilities are left".to_owned());
    }
    match rustix::thread::no_new_privs() {
        Ok(true) => Ok(()),
        _ => Err("programs may give new privileges".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_apart_says_how_it_went() {
        assert_eq!(apart(|| Ok(())), Ok(()));
        assert_eq!(apart(|| Err("why".to_owned())), Err("why".to_owned()));
        let gone = apart(|| sys::exit(0));
        assert_eq!(gone, Err("the process that tried it was ended".to_owned()));
    }

    #[test]
    fn a_wall_that_lets_pass_is_no_wall() {
        assert!(refused("it", Err(Errno::PERM)).is_ok() && refused("it", Err(Errno::ACCESS)).is_ok());
        assert_eq!(refused("opening", Ok(())).unwrap_err(), "opening is allowed behind it");
        assert!(refused("it", Err(Errno::INVAL)).is_err());
    }
}
