//! flock(2): locks on whole files, among the guest's own open files. The host's locks are not
//! touched: a guest could make others wait.

use std::rc::Rc;

use rustix::io::Errno;

use super::Vfs;

/// A lock on a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Others may have the same.
    Shared,
    /// Nobody else has any.
    Exclusive,
}

impl Vfs {
    /// flock(2); `None` gives the lock back. It belongs to the open file, which duplicates of a
    /// descriptor share, and ends with it.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EWOULDBLOCK` if another open file has a lock that does not allow this one. Its
    /// holder is the guest itself, so a guest that would wait (`waits`) would wait for ever:
    /// `EDEADLK`.
    pub fn lock(&mut self, fd: u32, lock: Option<Lock>, waits: bool) -> Result<(), Errno> {
        let description = self.table.get(fd)?;
        // As on Linux, a lock that is to be changed is given back first.
        description.lock.set(None);
        let Some(wanted) = lock else { return Ok(()) };
        let stat = description.stat()?;
        for other in self.table.descriptions() {
            let Some(held) = other.lock.get() else { continue };
            if Rc::ptr_eq(other, description) || (held == Lock::Shared && wanted == Lock::Shared) {
                continue;
            }
            let its = other.stat()?;
            if (its.dev, its.ino) == (stat.dev, stat.ino) {
                return Err(if waits { Errno::DEADLK } else { Errno::WOULDBLOCK });
            }
        }
        description.lock.set(Some(wanted));
        Ok(())
    }
}
