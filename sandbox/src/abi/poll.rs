//! `poll_oneoff`: waiting for clocks and descriptors.

use rustix::event::Timespec;

use super::process::{clock, now};
use super::types::{self, put};
use super::{Args, CallResult, Host, Memory};
use crate::vfs::{Errno, Readiness};

/// More than a guest can have use for: each descriptor twice, and as many clocks.
const SUBSCRIPTIONS_MAX: u32 = 4096;
const SUBSCRIPTION_SIZE: u32 = 48;
const EVENT_SIZE: u32 = 32;

const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;
const ABSOLUTE: u16 = 1;
const HANGUP: u16 = 1;

struct Subscription {
    userdata: u64,
    kind: u8,
    wait: Wait,
}

enum Wait {
    /// Nanoseconds from now, or why the clock can't be waited for.
    Clock(Result<u64, Errno>),
    Descriptor(u32, Readiness),
}

pub(super) fn oneoff(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let (from, to, count, out) = (a.u32(0), a.u32(1), a.u32(2), a.u32(3));
    if count == 0 || count > SUBSCRIPTIONS_MAX {
        return Err(Errno::INVAL.into());
    }
    memory.check(to, count * EVENT_SIZE)?;
    memory.check(out, 4)?;
    let subscriptions = memory
        .slice(from, count * SUBSCRIPTION_SIZE)?
        .chunks_exact(SUBSCRIPTION_SIZE as usize)
        .map(|bytes| subscription(bytes, host.still))
        .collect::<Result<Vec<_>, _>>()?;

    // A clock that can't be waited for is an event at once.
    let nearest = subscriptions
        .iter()
        .filter_map(|s| match s.wait {
            Wait::Clock(after) => Some(after.unwrap_or(0)),
            Wait::Descriptor(..) => None,
        })
        .min();
    let asked: Vec<(u32, Readiness)> = subscriptions
        .iter()
        .filter_map(|s| match s.wait {
            Wait::Descriptor(fd, ready) => Some((fd, ready)),
            Wait::Clock(_) => None,
        })
        .collect();
    let started = now(rustix::time::ClockId::Monotonic);
    let (answers, waited) = loop {
        let passed = now(rustix::time::ClockId::Monotonic).saturating_sub(started);
        let left = nearest.map(|n| n.saturating_sub(passed));
        let answers = host.vfs.poll(&asked, left.map(timespec))?;
        let waited = now(rustix::time::ClockId::Monotonic).saturating_sub(started);
        let came = answers.iter().any(|answer| *answer != Ok(Readiness::default()));
        if came || nearest.is_some_and(|n| n <= waited) {
            break (answers, waited);
        }
    };

    let mut answers = answers.into_iter();
    let mut events = 0;
    for s in &subscriptions {
        let (error, bytes, flags) = match s.wait {
            Wait::Clock(Err(error)) => (types::errno(error), 0, 0),
            Wait::Clock(Ok(after)) if after <= waited => (0, 0, 0),
            Wait::Clock(Ok(_)) => continue,
            Wait::Descriptor(fd, _) => match answers.next() {
                Some(Err(error)) => (types::errno(error), 0, 0),
                Some(Ok(ready)) if ready != Readiness::default() => {
                    let bytes = if s.kind == FD_READ { host.vfs.readable_bytes(fd) } else { 0 };
                    (0, bytes, if ready.hangup { HANGUP } else { 0 })
                }
                _ => continue,
            },
        };
        let mut event = [0; EVENT_SIZE as usize];
        put(&mut event, 0, s.userdata);
        event[8..10].copy_from_slice(&u16::try_from(error).unwrap_or(0).to_le_bytes());
        event[10] = s.kind;
        put(&mut event, 16, bytes);
        event[24..26].copy_from_slice(&flags.to_le_bytes());
        memory.write(to + events * EVENT_SIZE, &event)?;
        events += 1;
    }
    Ok(memory.write_u32(out, events)?)
}

/// `still` is what all clocks show, if they stand still.
fn subscription(bytes: &[u8], still: Option<u64>) -> Result<Subscription, Errno> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let kind = bytes[8];
    let wait = match kind {
        CLOCK => {
            let timeout = long(24);
            let absolute = u16::from_le_bytes([bytes[40], bytes[41]]) & ABSOLUTE != 0;
            let after = |c| if absolute { timeout.saturating_sub(still.unwrap_or_else(|| now(c))) } else { timeout };
            Wait::Clock(clock(word(16)).map(after))
        }
        FD_READ => Wait::Descriptor(word(16), Readiness { read: true, ..Readiness::default() }),
        FD_WRITE => Wait::Descriptor(word(16), Readiness { write: true, ..Readiness::default() }),
        _ => return Err(Errno::INVAL),
    };
    Ok(Subscription { userdata: long(0), kind, wait })
}

fn timespec(nanoseconds: u64) -> Timespec {
    // The kernel takes 2^63 nanoseconds at most; a guest may ask for more, and the loop then waits
    // again.
    let nanoseconds = nanoseconds.min(i64::MAX as u64);
    Timespec {
        tv_sec: i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(nanoseconds % 1_000_000_000).unwrap_or(0),
    }
}
