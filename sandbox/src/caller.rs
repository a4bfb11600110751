//! The limits that the caller of `run` had already, by `ulimit` or otherwise. They hold besides the
//! options: of two limits the lower one counts.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit};

use crate::{signals, sys};

/// So long before the kernel would kill the process for its use of the processor, it ends by
/// itself, and can say why.
const BEFORE_THE_KERNEL: Duration = Duration::from_millis(100);

/// Takes care that the process outlives what it may: a file that becomes too long gives `EFBIG`,
/// and no signal.
pub(crate) fn outlive_limits() {
    signals::ignore(libc::SIGXFSZ);
}

/// The seconds that the caller lets each process have of the processor (`ulimit -t`), if they are
/// limited.
pub(crate) fn cpu_seconds() -> Option<u64> {
    getrlimit(Resource::Cpu).current
}

/// The same as a time, shortly before the kernel would end a process.
#[cfg(feature = "nacl")]
pub(crate) fn cpu() -> Option<Duration> {
    let time = Duration::from_secs(cpu_seconds()?);
    Some(time.checked_sub(BEFORE_THE_KERNEL).unwrap_or(Duration::from_millis(1)))
}

/// Has SIGPROF sent shortly before the kernel would end the process for its use of the processor:
/// that clock counts as the kernel's limit does, in steps, and may be ahead of all others.
pub(crate) fn signal_before_the_kernel(seconds: u64) {
    let used = sys::used_by_this_process().cpu + BEFORE_THE_KERNEL;
    let left = Duration::from_secs(seconds).saturating_sub(used).max(Duration::from_micros(1));
    // SAFETY: zeros are an `itimerval`; the pointer is to a live one.
    unsafe {
        let mut timer: libc::itimerval = std::mem::zeroed();
        timer.it_value.tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        timer.it_value.tv_usec = left.subsec_micros().into();
        libc::setitimer(libc::ITIMER_PROF, &raw const timer, std::ptr::null_mut());
    }
}

/// What is left of the address space that the caller lets the process have (`ulimit -v`), if that
/// is limited.
#[cfg(feature = "wasm")]
pub(crate) fn address_space() -> Option<u64> {
    /// Where the kernel does not tell what is used: more than it is at the start.
    const USED: u64 = 256 << 20;
    let limit = getrlimit(Resource::As).current?;
    // proc_pid_statm(5): the first number is the size, in pages.
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let used = pages.map_or(USED, |pages| pages.saturating_mul(rustix::param::page_size() as u64));
    Some(limit.saturating_sub(used))
}

/// Whether the caller limits the length of files (`ulimit -f`).
#[cfg(feature = "wasm")]
pub(crate) fn limits_files() -> bool {
    getrlimit(Resource::Fsize).current.is_some()
}

/// A limit of ours, or the caller's where that is lower: nobody but root may raise it.
pub(crate) fn lower(resource: Resource, current: u64, maximum: u64) -> Rlimit {
    let callers = getrlimit(resource);
    let maximum = maximum.min(callers.maximum.unwrap_or(u64::MAX));
    let current = current.min(callers.current.unwrap_or(u64::MAX)).min(maximum);
    Rlimit { current: Some(current), maximum: Some(maximum) }
}
