//! The second wall: what `sel_ldr` gives up before it is started, so that a guest that breaks out
//! of it finds itself in a process that can do little more than the guest could.
//!
//! - no capabilities, and none to be had; no new privileges;
//! - resource limits: no core dump, a bounded number of threads, descriptors and bytes;
//! - a seccomp filter ([`crate::filter::nacl`]): files below the mounts, memory, threads, time, messages
//!   to itself, and no other call. In particular no program is started, no process, no socket to
//!   anywhere, nobody is traced or sent a signal, nothing is mounted, no file gets a set-user bit.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::bounds::Bounds;
use crate::caller;
use crate::filter::nacl::Filters;
use crate::sys::notify;

/// Threads of this namespace's user that are not the guest's: the engine's first, and the
/// launcher's. For root the kernel does not count; the filter's questions do.
const OTHER_THREADS: u64 = 64;
/// Descriptors of one guest.
const DESCRIPTORS: u64 = 2048;

/// The number under which the program to start has to be open: one above all that the limit of
/// descriptors will allow, so that what the filter allows for this number can be done once.
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

/// Builds the wall around this process, which has one thread, for good. `asking` is given where the
/// filter's questions arrive.
pub(super) fn raise(
    filters: &Filters,
    bounds: &Bounds,
    asking: impl FnOnce(OwnedFd) -> Result<(), Errno>,
) -> Result<(), (&'static str, String)> {
    let mut limits = vec![
        (Resource::Core, 0),
        (Resource::Memlock, 64 << 10),
        (Resource::Msgqueue, 0),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
        (Resource::Nproc, u64::from(bounds.threads) + OTHER_THREADS),
        (Resource::Nofile, bounds.numbers),
        (Resource::Data, bounds.loading),
    ];
    // The launcher looks more often; this is for when it can't.
    limits.extend(bounds.cpu.map(|cpu| (Resource::Cpu, cpu.as_secs() + 2)));
    for (resource, limit) in limits {
        rustix::process::setrlimit(resource, caller::lower(resource, limit, limit))
            .map_err(|e| ("resource limits", e.to_string()))?;
    }
    // While a program is loaded, space is reserved that nobody uses; see `Supervisor::begin`.
    for resource in [Resource::As, Resource::Fsize] {
        let Rlimit { maximum, .. } = rustix::process::getrlimit(resource);
        rustix::process::setrlimit(resource, Rlimit { current: maximum, maximum })
            .map_err(|e| ("resource limits", e.to_string()))?;
    }
    give_up_capabilities().map_err(|e| ("capabilities", e.to_string()))?;
    let seccomp = |error: &dyn ToString| ("seccomp", error.to_string());
    let listener = notify::listen(&filters.asking).map_err(|error| match error {
        Errno::BUSY => ("seccomp", "who started this answers its questions already".to_owned()),
        error => seccomp(&error),
    })?;
    asking(listener).map_err(|error| seccomp(&error))?;
    // The last must not forbid itself, so the one that allows little is last.
    for filter in [&filters.crash, &filters.calls] {
        seccompiler::apply_filter(filter).map_err(|error| seccomp(&error))?;
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
