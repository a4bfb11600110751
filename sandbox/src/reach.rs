//! What files a thread may still open, as Landlock (landlock(7)) lets the kernel enforce it: those
//! of the mounts, and nothing else of the machine.
//!
//! The guest's own calls are held to the mounts by [`crate::vfs`]. This stands behind it: who gets
//! native code to run in the process finds no other file, no TCP port, and no process to send a
//! signal to. A kernel that knows less enforces less, and `run --check` says what.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
};

use crate::sys;
use crate::vfs::Access;

/// The newest interface that is asked for; what a kernel lacks of it is left out.
const NEWEST: ABI = ABI::V6;

/// The first version that lets a file be moved from directory to directory: before, every such move
/// fails, and nothing is enforced.
const OLDEST: i32 = 2;

/// The kernel's version of Landlock; 0 if it has none, or has it switched off.
pub fn version() -> i32 {
    sys::landlock_version()
}

/// Whether the kernel's version is enforced.
pub fn is_enforced() -> bool {
    version() >= OLDEST
}

/// The files that one thread may open from some moment on.
#[derive(Debug)]
pub struct Reach(Result<Option<RulesetCreated>, RulesetError>);

impl Reach {
    /// Below these directories: reading, or everything but running programs and making device
    /// nodes, pipes and sockets. What the kernel refuses is told when the thread is confined.
    pub fn of<'a>(directories: impl IntoIterator<Item = (BorrowedFd<'a>, Access)>) -> Self {
        Self(if is_enforced() { ruleset(directories).map(Some) } else { Ok(None) })
    }

    /// Confines the calling thread, for good.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn confine(self) -> Result<(), RulesetError> {
        self.0?.map_or(Ok(()), |ruleset| ruleset.restrict_self().map(drop))
    }
}

fn ruleset<'a>(
    directories: impl IntoIterator<Item = (BorrowedFd<'a>, Access)>,
) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for (directory, access) in directories {
        ruleset = ruleset.add_rule(PathBeneath::new(directory, rights(access)))?;
    }
    Ok(ruleset)
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    match access {
        Access::ReadOnly => read,
        Access::ReadWrite => {
            read | AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::Refer
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::MakeSym
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
        }
    }
}
