//! The calls that a guest may make, for any engine.
//!
//! [`IMPORTS`] lists them all: an engine links exactly these functions and hands each call's raw
//! arguments and the guest's memory to [`HostFunction::invoke`]. Everything in the arguments is
//! checked here; an engine needs to check nothing.
//!
//! Module `wasi_snapshot_preview1` has all 46 functions of WASI preview 1 with its types and
//! numbers. One directory is open at start: descriptor 3, "/". A socket of the host gives `ENOSYS`;
//! those of a pair that the guest made can be used. Times are signed: one before 1970 is negative.
//!
//! Module `pynbox` has what wasi-libc needs and WASI lacks. Every function returns WASI's errno.
//! Paths are bytes without a final NUL, relative to the directory descriptor `dir`; `lookup` is
//! WASI's `lookupflags` (bit 0: follow a link at the end). The structure of `fd_stat` and
//! `path_stat` is described in `docs/reference/imports.md`.

mod fd;
mod imports;
mod memory;
mod path;
mod poll;
mod process;
mod pynbox;
mod sock;
pub mod types;

pub use imports::{FunctionResult, Handler, HostFunction, IMPORTS, LinkerFunction, Parameter, find};
pub use memory::{GuestMemory, Memory};

use crate::limits::Limit;
use crate::vfs::{Errno, Vfs};

/// Everything of the host that one guest's calls work on.
#[derive(Debug)]
pub struct Host {
    /// Files and descriptors.
    pub vfs: Vfs,
    /// The guest's `argv`.
    pub args: Vec<Vec<u8>>,
    /// The guest's environment, each entry `NAME=VALUE`.
    pub env: Vec<Vec<u8>>,
    /// What every clock shows, in nanoseconds, in place of the time.
    pub still: Option<u64>,
}

/// Why a call does not end with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest gets this error.
    Errno(Errno),
    /// The guest gets this error, which only WASI has.
    Wasi(u32),
    /// The guest ends with this status.
    Exit(u32),
    /// The run reached this limit, and ends.
    Limit(Limit),
}

/// What a call gives; `Ok` is WASI's errno 0.
pub type CallResult = Result<(), Stop>;

/// What a call ended the guest with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEnd {
    /// Its own status.
    Exit(u32),
    /// A limit of the run.
    Limit(Limit),
}

/// The parameters of one call.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a>(&'a [u64]);

impl Args<'_> {
    /// A 32-bit parameter.
    #[expect(clippy::cast_possible_truncation, reason = "an i32 lies in the low half")]
    fn u32(&self, index: usize) -> u32 {
        self.0[index] as u32
    }

    /// A 64-bit parameter.
    fn u64(&self, index: usize) -> u64 {
        self.0[index]
    }
}
