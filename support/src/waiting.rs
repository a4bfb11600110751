//! Waiting for a lock that another process holds, and saying for whom.
//!
//! All locks between processes are `flock`, which the kernel releases when their holder dies.
//! `/proc/locks` says who holds one.

use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use build_graph::untrusted::printable;
use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::{Errno, retry_on_intr};

/// Is told for whom this process waits, in words: `` `pynbox-build gen` (process 4711) ``.
#[derive(Clone)]
pub struct Teller(Arc<dyn Fn(&str) + Send + Sync>);

impl Teller {
    /// Calls this function.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells.
    pub fn tell(&self, whom: &str) {
        (self.0)(whom);
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

/// Locks a file by `flock`. If that takes longer than `patience`, `tell` hears who holds the lock.
///
/// # Errors
/// Those of `flock`; [`Errno::WOULDBLOCK`] only if `operation` is one that does not wait.
pub fn lock(
    file: impl AsFd,
    operation: FlockOperation,
    patience: Duration,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<(), Errno> {
    let file = file.as_fd();
    let at_once = match operation {
        FlockOperation::LockShared => FlockOperation::NonBlockingLockShared,
        FlockOperation::LockExclusive => FlockOperation::NonBlockingLockExclusive,
        other => return retry_on_intr(|| flock(file, other)),
    };
    match retry_on_intr(|| flock(file, at_once)) {
        Err(Errno::WOULDBLOCK) => {}
        done => return done,
    }
    if patience.is_zero() {
        tell(&holders(file));
        return retry_on_intr(|| flock(file, operation));
    }
    thread::scope(|scope| {
        let (held, wait) = mpsc::channel::<()>();
        scope.spawn(move || {
            if wait.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                tell(&holders(file));
            }
        });
        let locked = retry_on_intr(|| flock(file, operation));
        drop(held);
        locked
    })
}

/// Says in words which processes hold a `flock` on a file, other than this one.
pub fn holders(file: impl AsFd) -> String {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = fstat(file).map_or(0, |stat| stat.st_ino);
    let mut processes = processes(&locks, inode);
    processes.retain(|process| *process != std::process::id());
    match &processes[..] {
        [] => "another process".to_owned(),
        [process] => describe(*process),
        [first, others @ ..] => format!("{} and {} more", describe(*first), others.len()),
    }
}

/// Returns the processes that hold a `flock` on a file of that inode, from the text of
/// `/proc/locks`.
fn processes(locks: &str, inode: u64) -> Vec<u32> {
    let mut processes: Vec<_> = locks
        .lines()
        .filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            // `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`; a waiter has `->` in second place.
            let [_, "FLOCK", _, _, process, file, ..] = fields[..] else { return None };
            (file.rsplit(':').next()?.parse() == Ok(inode)).then(|| process.parse().ok())?
        })
        .collect();
    processes.dedup();
    processes
}

fn describe(process: u32) -> String {
    let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let mut words: Vec<_> = command.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    if let Some(program) = words.first_mut() {
        *program = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    }
    let command = words.join(&b' ');
    if command.is_empty() {
        format!("process {process}")
    } else {
        format!("`{}` (process {process})", printable(&command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_found_and_waiters_are_not() {
        let locks = "1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 4712 08:01:131 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 4713 08:01:131 0 EOF\n\
                     3: FLOCK  ADVISORY  READ  4714 00:2d:131 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 4715 08:01:132 0 EOF\n";
        assert_eq!(processes(locks, 131), [4711, 4714]);
    }

    #[test]
    fn a_wait_beyond_patience_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let open = || fs::File::create(folder.path().join("lock")).unwrap();
        // A lock belongs to an open file: another one of the same process waits, too.
        let (holder, file) = (open(), open());
        flock(&holder, FlockOperation::LockExclusive).unwrap();
        for patience in [Duration::ZERO, Duration::from_millis(1)] {
            let (said, heard) = mpsc::sync_channel(1);
            thread::scope(|scope| {
                let tell = move |whom: &str| said.send(whom.to_owned()).unwrap();
                let file = &file;
                let waits = scope.spawn(move || lock(file, FlockOperation::LockShared, patience, &tell).unwrap());
                assert_eq!(heard.recv().unwrap(), "another process");
                assert!(!waits.is_finished());
                flock(&holder, FlockOperation::Unlock).unwrap();
            });
            flock(&file, FlockOperation::Unlock).unwrap();
            flock(&holder, FlockOperation::LockExclusive).unwrap();
        }
        // What does not wait is told nothing.
        let at_once = FlockOperation::NonBlockingLockShared;
        assert_eq!(lock(&file, at_once, Duration::ZERO, &|_| panic!("told")), Err(Errno::WOULDBLOCK));
        let own = describe(std::process::id());
        assert!(own.contains(&format!("(process {})", std::process::id())), "{own}");
    }
}
