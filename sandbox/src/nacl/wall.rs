//! The second wall: what `sel_ldr` gives up before it is started, so that a guest that breaks out of it finds itself in a process that can do little
//! more than the guest could.
//!
//! - no capabilities, and none to be had; no new privileges;
//! - resource limits: no core dump, a bounded number of threads, descriptors and bytes;
//! - a seccomp filter ([`super::filter`]): files below the mounts, memory, threads, time, messages to itself, and no other call. In particular no
//!   program is started, no process, no socket to anywhere, nobody is traced or sent a signal, nothing is mounted, no file gets a set-user bit.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::filter::Filters;

use crate::caller;

/// Threads of all guests of one run.
const THREADS: u64 = 1024;
/// Descriptors of one guest.
const DESCRIPTORS: u64 = 2048;
/// What the engine needs beside the guest's memory: while it loads a program, the whole space for code (256 MiB) can be written.
const ENGINE_MEMORY: u64 = 320 << 20;

/// The number under which the program to start has to be open: one above all that the limit of descriptors will allow, so that what the filter
/// allows for this number can be done once.
pub(super) fn program_number() -> i32 {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    i32::try_from(DESCRIPTORS.min(maximum.saturating_sub(1))).unwrap_or(i32::MAX)
}

/// Lets this process have a descriptor of that number, until [`raise`].
pub(super) fn allow_number(number: i32) -> Result<(), Errno> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let needed = u64::from(number.cast_unsigned()) + 1;
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
}

/// Builds the wall around this process, which has one thread, for good. `max_memory` is the guest's, in MiB.
pub(super) fn raise(filters: &Filters, number: i32, max_memory: u32) -> Result<(), (&'static str, String)> {
    let limits = [
        (Resource::Core, 0),
        (Resource::Memlock, 64 << 10),
        (Resource::Msgqueue, 0),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
        (Resource::Nproc, THREADS),
        (Resource::Nofile, u64::from(number.cast_unsigned())),
        (Resource::Data, (u64::from(max_memory) << 20) + ENGINE_MEMORY),
    ];
    for (resource, limit) in limits {
        rustix::process::setrlimit(resource, caller::lower(resource, limit, limit))
            .map_err(|e| ("resource limits", e.to_string()))?;
    }
    give_up_capabilities().map_err(|e| ("capabilities", e.to_string()))?;
    // These set no-new-privileges too. The last must not forbid itself, so the one that allows little is last.
    for filter in [&filters.crash, &filters.calls] {
        seccompiler::apply_filter(filter).map_err(|e| ("seccomp", e.to_string()))?;
    }
    Ok(())
}

fn give_up_capabilities() -> Result<(), Errno> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    thread::set_capabilities_secure_bits(bits)?;
    for capability in 0..64 {
        match thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
