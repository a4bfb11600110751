//! The limits of a run as the kernel holds them for the engine, a process of its own.
//!
//! While `sel_ldr` loads a program, all space for code can be written, which the kernel counts as
//! if it were used. So what the guest may have is set when the guest begins: when the engine makes
//! its first thread ([`super::supervisor`]).
//!
//! The memory of a run is what `--max-memory` says, and at most [`BESIDE`] more: what folders in
//! memory may hold is taken from it beforehand; the rest is private memory of the engine, its own
//! included.

use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use crate::caller;
use crate::limits::{Limits, MEMORY_MAX};
use crate::options::Options;
use crate::report::Report;

/// What the engine needs while it loads a program: the whole space for code is 256 MiB.
const LOADING: u64 = 320 << 20;
/// Code that is loaded lies in shared memory, beside what `--max-memory` says.
const CODE: u64 = 48 << 20;
/// Addresses that the engine reserves: the guest's 4 GiB, and what is to lie around them.
const ADDRESSES: u64 = 100 << 30;
/// The engine's first stack.
pub(crate) const STACK: u64 = 4 << 20;
/// What a run may take beside what `--max-memory` says: code, a stack, and this program.
#[cfg(test)]
const BESIDE: u64 = 64 << 20;
/// Threads of a guest that nobody limits.
const THREADS: u32 = 256;
/// Descriptors of a guest that nobody limits.
const DESCRIPTORS: u32 = 1024;

/// The limits of one run.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Bytes of private memory while a program is loaded.
    pub(crate) loading: u64,
    /// Bytes of private memory from the guest's beginning on, where they are limited.
    pub(crate) memory: Option<u64>,
    /// Bytes of shared memory.
    pub(crate) shared: u64,
    /// Threads of the guest.
    pub(crate) threads: u32,
    /// Descriptors of the guest.
    pub(crate) open: u32,
    /// Descriptors that the guest has from its beginning.
    pub(crate) handed: u32,
    /// A number that no descriptor of the engine's may have.
    pub(crate) numbers: u64,
    /// Bytes of a file.
    pub(crate) file: Option<u64>,
    /// Bytes written to files.
    pub(crate) write: Option<u64>,
    /// Files made.
    pub(crate) files: Option<u64>,
    /// Device and inode of each file that is handed in as it is.
    pub(crate) files_handed: Vec<(u64, u64)>,
    /// Bytes that leave by descriptors.
    pub(crate) output: Option<u64>,
    /// Whether somebody is told what the run used.
    pub(crate) is_reported: bool,
    /// The moment that ends the run.
    pub(crate) deadline: Option<Instant>,
    /// The processor's time that ends the run.
    pub(crate) cpu: Option<Duration>,
}

impl Bounds {
    /// The bounds of a run. No descriptor of the engine's may have the number `numbers`.
    pub(crate) fn of(options: &Options, report: &Report, numbers: i32) -> Result<Self, BoundsError> {
        let limits = &options.limits;
        let addresses = getrlimit(Resource::As);
        if addresses.maximum.is_some_and(|maximum| maximum < ADDRESSES) {
            return Err(BoundsError::AddressSpace);
        }
        // What the caller says of addresses is all that can be said of memory.
        let all = limits.memory.into_iter().chain(addresses.current).min();
        let memory = match all {
            Some(all) => Some(private_part(all, limits)?),
            None => None,
        };
        Ok(Self {
            loading: all.unwrap_or(MEMORY_MAX).saturating_add(LOADING),
            memory,
            // Without a limit, all that can be code.
            shared: if memory.is_some() { CODE } else { LOADING },
            threads: limits.threads.unwrap_or(THREADS),
            open: limits.open.unwrap_or(DESCRIPTORS),
            handed: u32::try_from(3 + options.hands.len()).unwrap_or(u32::MAX),
            numbers: u64::from(numbers.cast_unsigned()),
            file: limits.file,
            write: limits.write,
            files: limits.files,
            files_handed: Vec::new(),
            output: limits.output,
            is_reported: options.status_fd.is_some(),
            deadline: limits.time.and_then(|time| report.begun().checked_add(time)),
            cpu: limits.cpu.into_iter().chain(caller::cpu()).min(),
        })
    }
}

/// What is left of all memory beside the folders in memory.
fn private_part(all: u64, limits: &Limits) -> Result<u64, BoundsError> {
    let folders = limits.tmpfs.iter().fold(0u64, |sum, folder| sum.saturating_add(folder.size));
    all.checked_sub(folders).filter(|&left| left > 0).ok_or(BoundsError::Folders)
}

/// Why no guest can have such bounds.
#[derive(Debug)]
pub(crate) enum BoundsError {
    /// The folders in memory take all of it.
    Folders,
    /// The caller leaves too few addresses.
    AddressSpace,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_the_limit_of_memory_is_bounded() {
        // This program, twice, and what the kernel's count of pages may be off.
        const OURS: u64 = 12 << 20;
        const { assert!(CODE + STACK + OURS <= BESIDE) };
    }
}
