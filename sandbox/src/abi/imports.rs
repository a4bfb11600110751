//! The import table: every function of the host that a guest can import, one line each.
//!
//! This is the whole door between guest and host. An engine links what is listed here and nothing
//! else: it looks an import up with [`find`], and a module that imports anything beside the table
//! is refused. `docs/reference/imports.md` is generated from it.
//!
//! A line has the name, the parameters (`i32` where none is given), the handler, and the limits
//! that the function itself charges and tells the guest of. Time on the clock and of the processor
//! passes in all of them. A parameter that is called `…_out` is the address where an answer goes.

use super::{
    Args, CallResult, GuestEnd, GuestMemory, Host, Memory, Stop, fd, path, poll, process, pynbox, sock, types,
};
use crate::limits::Limit;
use crate::linking::ValueType;
use crate::vfs::Errno;

/// One function that a guest may import.
#[derive(Clone, Copy, Debug)]
pub struct HostFunction {
    /// The import's module.
    pub module: &'static str,
    /// The import's name.
    pub name: &'static str,
    /// The parameters, in order.
    pub parameters: &'static [Parameter],
    /// What comes back.
    pub result: FunctionResult,
    /// The code behind it.
    pub handler: Handler,
    /// The limits that a call charges.
    pub charges: &'static [Limit],
    /// What it does, where WASI's own documentation does not say it.
    pub about: &'static str,
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: ValueType,
}

/// What a function gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionResult {
    /// An `i32`: WASI's errno, 0 for success.
    Errno,
    /// It does not come back.
    Never,
}

/// The code behind a function.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// A function that works on the [`Host`] and the guest's memory: the same for every engine.
    Host(fn(&mut Host, &mut Memory<'_>, Args<'_>) -> CallResult),
    /// A function that works on instances, tables and functions: each engine has its own.
    Linker(LinkerFunction),
}

/// The functions that load libraries and call by signature. An engine implements each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table says what each does")]
pub enum LinkerFunction {
    Open,
    Symbol,
    Close,
    Error,
    Call,
    Closure,
    Release,
}

/// The function that this import names, if there is one.
pub fn find(module: &str, name: &str) -> Option<&'static HostFunction> {
    IMPORTS.iter().find(|function| function.module == module && function.name == name)
}

impl HostFunction {
    /// Makes the call. `raw` holds the arguments, an i32 in the low half. A function of the linker
    /// gives `ENOSYS` here: its engine calls it.
    ///
    /// # Errors
    ///
    /// What ended the guest, if the call did.
    ///
    /// # Panics
    ///
    /// If `raw` has another length than the function has parameters: a fault of the engine's
    /// linking.
    pub fn invoke(&self, host: &mut Host, memory: &mut dyn GuestMemory, raw: &[u64]) -> Result<u32, GuestEnd> {
        assert_eq!(raw.len(), self.parameters.len(), "`{}` was linked with another number of parameters", self.name);
        let Handler::Host(handler) = self.handler else { return Ok(types::errno(Errno::NOSYS)) };
        match handler(host, &mut Memory::new(memory), Args(raw)) {
            Ok(()) => Ok(0),
            Err(Stop::Errno(error)) => Ok(types::errno(error)),
            Err(Stop::Wasi(number)) => Ok(number),
            Err(Stop::Exit(status)) => Err(GuestEnd::Exit(status)),
            Err(Stop::Limit(limit)) => Err(GuestEnd::Limit(limit)),
        }
    }

    /// Whether the guest can call it without an engine's help.
    pub fn is_of_host(&self) -> bool {
        matches!(self.handler, Handler::Host(_))
    }
}

macro_rules! imports {
    ($($module:ident $kind:ident {$(
        $(#[doc = $about:literal])*
        $name:ident($($parameter:ident $(: $ty:ident)?),*) $(-> $never:tt)? = $handler:expr $(, $limit:ident)*;
    )*})*) => {
        &[$($(HostFunction {
            module: stringify!($module),
            name: stringify!($name),
            parameters: &[$(Parameter { name: stringify!($parameter), ty: imports!(@ty $($ty)?) }),*],
            result: imports!(@result $($never)?),
            handler: imports!(@$kind $handler),
            charges: &[$(Limit::$limit),*],
            about: concat!($($about),*),
        }),*),*]
    };
    (@ty) => { ValueType::I32 };
    (@ty $ty:ident) => { ValueType::$ty };
    (@result) => { FunctionResult::Errno };
    (@result !) => { FunctionResult::Never };
    (@host $handler:expr) => { Handler::Host($handler) };
    (@linker $handler:expr) => { Handler::Linker($handler) };
}

use LinkerFunction::{Call, Close, Closure, Error, Open, Release, Symbol};

/// Every function that a guest may import.
pub static IMPORTS: &[HostFunction] = imports! {
wasi_snapshot_preview1 host {
    args_get(argv_out, buffer_out) = process::args_get;
    args_sizes_get(count_out, bytes_out) = process::args_sizes_get;
    environ_get(environ_out, buffer_out) = process::environ_get;
    environ_sizes_get(count_out, bytes_out) = process::environ_sizes_get;
    clock_res_get(clock, nanoseconds_out) = process::clock_res_get;
    clock_time_get(clock, precision: I64, nanoseconds_out) = process::clock_time_get;
    fd_advise(fd, offset: I64, length: I64, advice) = fd::advise;
    fd_allocate(fd, offset: I64, length: I64) = fd::allocate, File, Write, Memory, Tmpfs;
    fd_close(fd) = fd::close;
    fd_datasync(fd) = fd::datasync;
    fd_fdstat_get(fd, fdstat_out) = fd::fdstat_get;
    fd_fdstat_set_flags(fd, fdflags) = fd::fdstat_set_flags;
    fd_fdstat_set_rights(fd, rights: I64, inheriting: I64) = fd::fdstat_set_rights;
    fd_filestat_get(fd, filestat_out) = fd::filestat_get;
    fd_filestat_set_size(fd, size: I64) = fd::filestat_set_size, File, Write, Tmpfs;
    fd_filestat_set_times(fd, atime: I64, mtime: I64, fstflags) = fd::filestat_set_times;
    fd_pread(fd, buffers, count, offset: I64, bytes_out) = fd::pread;
    fd_prestat_get(fd, prestat_out) = fd::prestat_get;
    fd_prestat_dir_name(fd, name_out, length) = fd::prestat_dir_name;
    fd_pwrite(fd, buffers, count, offset: I64, bytes_out) = fd::pwrite, Output, File, Write, Memory, Tmpfs;
    fd_read(fd, buffers, count, bytes_out) = fd::read;
    fd_readdir(fd, entries_out, length, cookie: I64, bytes_out) = fd::readdir, Memory;
    fd_renumber(fd, new_fd) = fd::renumber;
    fd_seek(fd, by: I64, whence, position_out) = fd::seek;
    fd_sync(fd) = fd::sync;
    fd_tell(fd, position_out) = fd::tell;
    fd_write(fd, buffers, count, bytes_out) = fd::write, Output, File, Write, Memory, Tmpfs;
    path_create_directory(dir, path, length) = path::create_directory, Files, Memory, Tmpfs;
    path_filestat_get(dir, lookup, path, length, filestat_out) = path::filestat_get;
    path_filestat_set_times(dir, lookup, path, length, atime: I64, mtime: I64, fstflags) = path::filestat_set_times;
    path_link(dir, lookup, path, length, new_dir, new_path, new_length) = path::link, Files, Memory, Tmpfs;
    path_open(dir, lookup, path, length, oflags, rights: I64, inheriting: I64, fdflags, fd_out) = path::open, Files, Open, Memory, Tmpfs;
    path_readlink(dir, path, length, target_out, target_length, bytes_out) = path::readlink;
    path_remove_directory(dir, path, length) = path::remove_directory, Tmpfs;
    path_rename(dir, path, length, new_dir, new_path, new_length) = path::rename, Tmpfs;
    path_symlink(target, target_length, dir, path, length) = path::symlink, Files, Memory, Tmpfs;
    path_unlink_file(dir, path, length) = path::unlink_file, Tmpfs;
    poll_oneoff(subscriptions, events_out, count, events_count_out) = poll::oneoff;
    proc_exit(status) -> ! = process::proc_exit;
    proc_raise(signal) = process::not_here;
    random_get(buffer_out, length) = process::random_get;
    sched_yield() = process::sched_yield;
    sock_accept(fd, fdflags, fd_out) = process::not_here;
    sock_recv(fd, buffers, count, riflags, bytes_out, roflags_out) = sock::receive;
    sock_send(fd, buffers, count, siflags, bytes_out) = sock::send, Memory;
    sock_shutdown(fd, how) = sock::shut_down;
}
pynbox host {
    /// `ioctl(fd, FIONREAD)`: how many bytes can be read at once, as u64
    fd_available(fd, bytes_out) = pynbox::fd_available;
    /// `fchmod`: the lowest 12 bits of `mode`. `EPERM` for set-user and set-group bits, `EROFS` below a read-only mount
    fd_chmod(fd, mode) = pynbox::fd_chmod;
    /// `fcntl(fd, F_DUPFD, least)`: the lowest free number that is at least `least`. Shares position and flags with `fd`
    fd_dup(fd, least, fd_out) = pynbox::fd_dup, Open;
    /// `dup2`: what was open as `new_fd` is closed
    fd_dup2(fd, new_fd) = pynbox::fd_dup2;
    /// `flock`, with Linux's numbers, among the guest's own open files. `EDEADLK` instead of a wait
    fd_flock(fd, operation) = pynbox::fd_flock;
    /// Linux's `st_mode`, type and permission bits, as u32
    fd_mode(fd, mode_out) = pynbox::fd_mode;
    /// `socketpair`, of stream sockets: two u32
    fd_pair(fds_out) = pynbox::fd_pair, Open;
    /// A directory's path, without a final NUL, and its length as u32. `ENOTDIR`, `ERANGE`
    fd_path(fd, path_out, length, bytes_out) = pynbox::fd_path;
    /// `pipe`: the end to read from and the end to write to, two u32. Nothing waits: `EAGAIN` instead
    fd_pipe(fds_out) = pynbox::fd_pipe, Open;
    /// `fstat` in one call: the structure below
    fd_stat(fd, stat_out) = pynbox::fd_stat;
    /// `access`, with Linux's numbers. `EROFS` below a read-only mount
    path_access(dir, path, length, mode) = pynbox::path_access;
    /// `fd_chmod` for a path
    path_chmod(dir, lookup, path, length, mode) = pynbox::path_chmod;
    /// `fd_mode` for a path
    path_mode(dir, lookup, path, length, mode_out) = pynbox::path_mode;
    /// `stat` or `lstat`: the structure below
    path_stat(dir, lookup, path, length, stat_out) = pynbox::path_stat;
}
pynbox linker {
    /// Loads the side module at an absolute path with all that it needs, relocates and initialises it. `flags` are
    /// Linux's: `RTLD_LAZY` 1, `RTLD_NOW` 2 (the same here), `RTLD_NOLOAD` 4, `RTLD_GLOBAL` 0x100. An empty path gives
    /// the program's handle
    dl_open(path, length, flags, handle_out) = Open, Memory;
    /// The address of a datum, or the table index of a function. Handle 0 is the program and every global module
    dl_symbol(handle, name, length, address_out) = Symbol, Memory;
    /// Gives a handle back. The module stays until the guest ends
    dl_close(handle) = Close;
    /// The text of the last failure of any of these functions, cut to `length` bytes, without a final NUL
    dl_error(text_out, length, bytes_out) = Error;
    /// Calls a table entry; arguments and result lie in slots of 8 bytes
    fn_call(function, signature, length, arguments, result_out) = Call;
    /// Makes a table entry that calls `dispatcher(user, arguments, result)`; the slots lie on the guest's stack
    fn_closure(signature, length, dispatcher, user, function_out) = Closure, Memory;
    /// Gives such an entry back
    fn_release(function) = Release;
}
};
