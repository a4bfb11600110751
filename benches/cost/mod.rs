//! What running a program costs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run took.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) clock: Duration,
    /// The processor's time, user and system, of the program and of all that it waited for.
    pub(crate) cpu: Duration,
    /// The peak of resident memory of the largest process, in KiB.
    pub(crate) memory: i64,
}

/// Runs a program, which has to succeed.
#[expect(clippy::zombie_processes, reason = "`wait4` below waits for the child")]
pub(crate) fn cost(command: &mut Command) -> Cost {
    let start = Instant::now();
    let child = command.stdout(Stdio::null()).spawn().expect("a program that starts");
    let mut status = 0;
    // SAFETY: a structure of integers, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of this function, and the process is a child that nobody
    // else waits for.
    let waited = unsafe { libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, &raw mut usage) };
    let clock = start.elapsed();
    assert!(waited > 0 && status == 0, "{command:?}: status {status}");
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Cost { clock, cpu: time(usage.ru_utime) + time(usage.ru_stime), memory: usage.ru_maxrss }
}
