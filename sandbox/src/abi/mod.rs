//! The calls that a guest may make, for any engine.
//!
//! [`CALLS`] is the whole door between guest and host: an engine links exactly these functions and
//! hands each call's raw arguments and the guest's memory to [`Call::function`]. Everything in the
//! arguments is checked here; an engine needs to check nothing.
//!
//! # Module `wasi_snapshot_preview1`
//!
//! All 46 functions of WASI preview 1 with its types and numbers. One directory is open at start:
//! descriptor 3, "/". A socket of the host gives `ENOSYS`; those of a pair that the guest made can
//! be used. Times are signed: one before 1970 is a negative number.
//!
//! # Module `pynbox`
//!
//! What wasi-libc needs and WASI lacks. Every function returns WASI's errno as an `i32`; addresses
//! and lengths are `i32`, paths are bytes without a final NUL, relative to the directory descriptor
//! `dir`, and `lookupflags` is WASI's (bit 0: follow a link at the end).
//!
//! | function | what it does |
//! |---|---|
//! | `fd_dup(fd: i32, min_fd: i32, out: i32) -> i32` | `fcntl(fd, F_DUPFD, min_fd)`: the lowest free number that is at least `min_fd` shares position and flags with `fd`; stored at `out` as u32. `EBADF`, `EMFILE`, `EINVAL` |
//! | `fd_dup2(fd: i32, new_fd: i32) -> i32` | `dup2(fd, new_fd)`: what was at `new_fd` is closed. `EBADF` |
//! | `fd_mode(fd: i32, out: i32) -> i32` | Linux's `st_mode`, type and permission bits, at `out` as u32 |
//! | `path_mode(dir: i32, lookupflags: i32, path: i32, path_len: i32, out: i32) -> i32` | the same for a path |
//! | `fd_chmod(fd: i32, mode: i32) -> i32` | `fchmod`: the lowest 12 bits of `mode`; set-user and set-group bits are refused with `EPERM`. `EROFS` below a read-only mount |
//! | `path_chmod(dir: i32, lookupflags: i32, path: i32, path_len: i32, mode: i32) -> i32` | the same for a path |
//! | `fd_stat(fd: i32, out: i32) -> i32` | `fstat` in one call: the structure below |
//! | `path_stat(dir: i32, lookupflags: i32, path: i32, path_len: i32, out: i32) -> i32` | `stat` or `lstat` |
//! | `fd_pipe(out: i32) -> i32` | `pipe`: the numbers of the end to read from and of the one to write to, at `out` as two u32. Nothing waits: `EAGAIN` instead |
//! | `fd_pair(out: i32) -> i32` | `socketpair`, of stream sockets |
//! | `fd_flock(fd: i32, operation: i32) -> i32` | `flock`, with Linux's numbers, among the guest's own open files. `EDEADLK` instead of a wait |
//! | `fd_path(fd: i32, buf: i32, len: i32, used: i32) -> i32` | a directory's path, without a NUL; its length at `used` as u32. `ENOTDIR`, `ERANGE` |
//! | `path_access(dir: i32, path: i32, path_len: i32, mode: i32) -> i32` | `access`, with Linux's numbers. `EROFS` below a read-only mount |
//! | `fd_available(fd: i32, out: i32) -> i32` | `ioctl(fd, FIONREAD)`: bytes that can be read at once, at `out` as u64 |
//!
//! The structure of `fd_stat` and `path_stat` is 96 bytes, little endian: `dev` u64 at 0, `ino` u64
//! at 8, `nlink` u64 at 16, `mode` u32 at 24, zero u32 at 28, `rdev` u64 at 32, `size` u64 at 40,
//! `blksize` u64 at 48, `blocks` u64 at 56, then `atime`, `mtime`, `ctime` as i64 nanoseconds since
//! 1970 at 64, 72, 80, and a zero u64 at 88. Owner and group are not told.

mod fd;
mod memory;
mod path;
mod poll;
mod process;
mod pynbox;
mod sock;
pub mod types;

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
pub type Outcome = Result<(), Stop>;

/// One function that a guest may import.
#[derive(Clone, Copy)]
pub struct Call {
    /// The import's module.
    pub module: &'static str,
    /// The import's name.
    pub name: &'static str,
    /// One letter a parameter: `i` for an i32, `l` for an i64.
    pub params: &'static str,
    /// Whether the call returns an errno as i32; `proc_exit` alone does not.
    pub returns: bool,
    /// The function.
    pub function: fn(&mut Host, &mut Memory<'_>, Args<'_>) -> Outcome,
}

impl Call {
    /// Makes the call. `raw` holds the parameters, an i32 in the low half.
    ///
    /// # Errors
    ///
    /// What ended the guest, if the call did.
    ///
    /// # Panics
    ///
    /// If `raw` has another length than the call has parameters: a fault of the engine's linking.
    pub fn invoke(&self, host: &mut Host, memory: &mut dyn GuestMemory, raw: &[u64]) -> Result<u32, End> {
        assert_eq!(raw.len(), self.params.len(), "`{}` was linked with another number of parameters", self.name);
        match (self.function)(host, &mut Memory::new(memory), Args(raw)) {
            Ok(()) => Ok(0),
            Err(Stop::Errno(error)) => Ok(types::errno(error)),
            Err(Stop::Wasi(number)) => Ok(number),
            Err(Stop::Exit(status)) => Err(End::Exit(status)),
            Err(Stop::Limit(limit)) => Err(End::Limit(limit)),
        }
    }
}

/// What a call ended the guest with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
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

const WASI: &str = "wasi_snapshot_preview1";
const PYNBOX: &str = "pynbox";

macro_rules! calls {
    ($($module:ident $name:literal ($params:literal) $function:path;)*) => {
        &[$(Call { module: $module, name: $name, params: $params, returns: true, function: $function }),*]
    };
}

/// Every function that a guest may import, but `proc_exit`, which is [`PROC_EXIT`].
pub const CALLS: &[Call] = calls! {
    WASI "args_get" ("ii") process::args_get;
    WASI "args_sizes_get" ("ii") process::args_sizes_get;
    WASI "environ_get" ("ii") process::environ_get;
    WASI "environ_sizes_get" ("ii") process::environ_sizes_get;
    WASI "clock_res_get" ("ii") process::clock_res_get;
    WASI "clock_time_get" ("ili") process::clock_time_get;
    WASI "fd_advise" ("illi") fd::advise;
    WASI "fd_allocate" ("ill") fd::allocate;
    WASI "fd_close" ("i") fd::close;
    WASI "fd_datasync" ("i") fd::datasync;
    WASI "fd_fdstat_get" ("ii") fd::fdstat_get;
    WASI "fd_fdstat_set_flags" ("ii") fd::fdstat_set_flags;
    WASI "fd_fdstat_set_rights" ("ill") fd::fdstat_set_rights;
    WASI "fd_filestat_get" ("ii") fd::filestat_get;
    WASI "fd_filestat_set_size" ("il") fd::filestat_set_size;
    WASI "fd_filestat_set_times" ("illi") fd::filestat_set_times;
    WASI "fd_pread" ("iiili") fd::pread;
    WASI "fd_prestat_get" ("ii") fd::prestat_get;
    WASI "fd_prestat_dir_name" ("iii") fd::prestat_dir_name;
    WASI "fd_pwrite" ("iiili") fd::pwrite;
    WASI "fd_read" ("iiii") fd::read;
    WASI "fd_readdir" ("iiili") fd::readdir;
    WASI "fd_renumber" ("ii") fd::renumber;
    WASI "fd_seek" ("ilii") fd::seek;
    WASI "fd_sync" ("i") fd::sync;
    WASI "fd_tell" ("ii") fd::tell;
    WASI "fd_write" ("iiii") fd::write;
    WASI "path_create_directory" ("iii") path::create_directory;
    WASI "path_filestat_get" ("iiiii") path::filestat_get;
    WASI "path_filestat_set_times" ("iiiilli") path::filestat_set_times;
    WASI "path_link" ("iiiiiii") path::link;
    WASI "path_open" ("iiiiillii") path::open;
    WASI "path_readlink" ("iiiiii") path::readlink;
    WASI "path_remove_directory" ("iii") path::remove_directory;
    WASI "path_rename" ("iiiiii") path::rename;
    WASI "path_symlink" ("iiiii") path::symlink;
    WASI "path_unlink_file" ("iii") path::unlink_file;
    WASI "poll_oneoff" ("iiii") poll::oneoff;
    WASI "proc_raise" ("i") process::not_here;
    WASI "random_get" ("ii") process::random_get;
    WASI "sched_yield" ("") process::sched_yield;
    WASI "sock_accept" ("iii") process::not_here;
    WASI "sock_recv" ("iiiiii") sock::receive;
    WASI "sock_send" ("iiiii") sock::send;
    WASI "sock_shutdown" ("ii") sock::shut_down;
    PYNBOX "fd_available" ("ii") pynbox::fd_available;
    PYNBOX "fd_chmod" ("ii") pynbox::fd_chmod;
    PYNBOX "fd_dup" ("iii") pynbox::fd_dup;
    PYNBOX "fd_dup2" ("ii") pynbox::fd_dup2;
    PYNBOX "fd_flock" ("ii") pynbox::fd_flock;
    PYNBOX "fd_mode" ("ii") pynbox::fd_mode;
    PYNBOX "fd_pair" ("i") pynbox::fd_pair;
    PYNBOX "fd_path" ("iiii") pynbox::fd_path;
    PYNBOX "fd_pipe" ("i") pynbox::fd_pipe;
    PYNBOX "fd_stat" ("ii") pynbox::fd_stat;
    PYNBOX "path_access" ("iiii") pynbox::path_access;
    PYNBOX "path_chmod" ("iiiii") pynbox::path_chmod;
    PYNBOX "path_mode" ("iiiii") pynbox::path_mode;
    PYNBOX "path_stat" ("iiiii") pynbox::path_stat;
};

/// `proc_exit`, which does not return.
pub const PROC_EXIT: Call =
    Call { module: WASI, name: "proc_exit", params: "i", returns: false, function: process::proc_exit };
