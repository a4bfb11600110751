//! Arguments, environment, clocks, random bytes, and the end.

use rustix::time::{ClockId, clock_getres, clock_gettime};

use super::{Args, CallResult, Host, Memory, Stop};
use crate::vfs::{Errno, fill_random};

pub(super) fn args_sizes_get(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    sizes(&host.args, memory, a)
}

pub(super) fn args_get(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    strings(&host.args, memory, a)
}

pub(super) fn environ_sizes_get(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    sizes(&host.env, memory, a)
}

pub(super) fn environ_get(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    strings(&host.env, memory, a)
}

fn sizes(all: &[Vec<u8>], memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let bytes: usize = all.iter().map(|s| s.len() + 1).sum();
    memory.write_u32(a.u32(0), u32::try_from(all.len()).map_err(|_| Errno::TOOBIG)?)?;
    Ok(memory.write_u32(a.u32(1), u32::try_from(bytes).map_err(|_| Errno::TOOBIG)?)?)
}

/// Writes the strings with a NUL each, and a table of their addresses.
fn strings(all: &[Vec<u8>], memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let (mut slot, mut at) = (a.u32(0), a.u32(1));
    for string in all {
        memory.write_u32(slot, at)?;
        memory.write(at, string)?;
        let length = u32::try_from(string.len()).map_err(|_| Errno::TOOBIG)?;
        at = at.checked_add(length).ok_or(Errno::FAULT)?;
        memory.write(at, &[0])?;
        at = at.checked_add(1).ok_or(Errno::FAULT)?;
        slot = slot.checked_add(4).ok_or(Errno::FAULT)?;
    }
    Ok(())
}

/// Linux's clock for WASI's number.
pub(super) fn clock(number: u32) -> Result<ClockId, Errno> {
    match number {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::INVAL),
    }
}

/// The clock's time in nanoseconds.
pub(super) fn now(clock: ClockId) -> u64 {
    nanoseconds(clock_gettime(clock))
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

pub(super) fn clock_res_get(_: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let resolution = nanoseconds(clock_getres(clock(a.u32(0))?));
    Ok(memory.write_u64(a.u32(1), resolution)?)
}

pub(super) fn clock_time_get(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let clock = clock(a.u32(0))?;
    let time = host.still.unwrap_or_else(|| now(clock));
    Ok(memory.write_u64(a.u32(2), time)?)
}

pub(super) fn random_get(_: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(fill_random(memory.slice_mut(a.u32(0), a.u32(1))?)?)
}

pub(super) fn sched_yield(_: &mut Host, _: &mut Memory<'_>, _: Args<'_>) -> CallResult {
    rustix::thread::sched_yield();
    Ok(())
}

/// What a sandbox must not give: signals and sockets.
pub(super) fn not_here(_: &mut Host, _: &mut Memory<'_>, _: Args<'_>) -> CallResult {
    Err(Errno::NOSYS.into())
}

pub(super) fn proc_exit(_: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Err(Stop::Exit(a.u32(0)))
}
