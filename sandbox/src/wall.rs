//! The second wall: before a guest's code runs, the process gives up what it does not need, so that
//! a fault in the engine or in the calls' implementation is not at once a fault in the machine.
//!
//! - no new privileges: no set-user program gives any;
//! - no capabilities, whoever starts it;
//! - no file outside the mounts, no TCP port, no signal to another process ([`crate::reach`]);
//! - resource limits: no core dump, no further process;
//! - a seccomp filter for all threads: the calls that the file system, the clocks and the engine's
//!   memory need, and no other (`filter`). In particular no exec, no new process or thread, no socket, no
//!   signal to another process, no memory that becomes executable, no open but `openat2`, and that
//!   only below a directory that is open (`open_how`).
//!
//! A guest that loads libraries needs memory that becomes executable. That is left to the process's
//! other threads, which run no code of the guest ([`crate::jobs`]): the thread that raises the
//! wall, and runs the guest, may not even then.

use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::filter::wasm as filter;
use crate::open_how;
use crate::reach::Reach;
use crate::vfs::Crossing;

/// Why the wall can't be built.
#[derive(Debug, thiserror::Error)]
#[error("the process can't be confined ({what}: {why}); `run --check` says what this machine lacks")]
pub struct WallError {
    what: &'static str,
    why: String,
}

impl WallError {
    fn new(what: &'static str, why: &dyn ToString) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// Builds a wall around a process that compiles what a guest brought ([`crate::compiler`]): it
/// keeps its memory and the descriptors that it has open, and gets nothing new, no executable
/// memory either.
///
/// # Errors
///
/// [`WallError`]; the guest's bytes must not be looked at then.
pub fn compile_only() -> Result<(), WallError> {
    give_up()?;
    let program = filter::compile_only().map_err(|e| WallError::new("seccomp filter", &e))?;
    seccompiler::apply_filter(&program).map_err(|e| WallError::new("seccomp", &e))
}

/// For the calling thread: no capabilities, no new privileges, and no files but those within reach.
///
/// # Errors
///
/// [`WallError`]; nothing of the guest's must run then.
pub fn confine_thread(reach: Reach) -> Result<(), WallError> {
    give_up_privileges()?;
    reach.confine().map_err(|e| WallError::new("Landlock", &e))
}

/// For the calling thread: no capabilities, and no new privileges.
pub(crate) fn give_up_privileges() -> Result<(), WallError> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(|e| WallError::new("capabilities", &e))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| WallError::new("no new privileges", &e))
}

/// No core dump, no further process.
fn give_up() -> Result<(), WallError> {
    for (resource, name) in [(Resource::Core, "RLIMIT_CORE"), (Resource::Nproc, "RLIMIT_NPROC")] {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        rustix::process::setrlimit(resource, none).map_err(|e| WallError::new(name, &e))?;
    }
    Ok(())
}

/// Builds the wall around this process, all of its threads included. It can't be taken down. With
/// `libraries`, other threads than this one may make memory executable. `crossing` is that of the
/// mounts. `reach` is this thread's; the others have to [confine](confine_thread)
/// themselves before.
///
/// # Errors
///
/// [`WallError`]; the guest must not be started then.
pub fn raise(libraries: bool, crossing: Crossing, reach: Reach) -> Result<(), WallError> {
    confine_thread(reach)?;
    give_up()?;
    // Without it, native code has a way around one wall: Landlock stands behind.
    open_how::seal();
    let program = filter::guest(libraries, crossing).map_err(|e| WallError::new("seccomp filter", &e))?;
    // This sets no-new-privileges too.
    seccompiler::apply_filter_all_threads(&program).map_err(|e| WallError::new("seccomp", &e))?;
    if libraries {
        let program = filter::no_code().map_err(|e| WallError::new("seccomp filter", &e))?;
        seccompiler::apply_filter(&program).map_err(|e| WallError::new("seccomp", &e))?;
    }
    Ok(())
}
