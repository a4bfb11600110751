//! The import module `pynbox`; [the import table](super::IMPORTS) says what each function does.

use super::types::{last, put};
use super::{Args, CallResult, Host, Memory};
use crate::vfs::{Errno, FileStat, Lock};

const STAT_SIZE: u32 = 96;

pub(super) fn fd_dup(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    memory.check(a.u32(2), 4)?;
    let new = host.vfs.duplicate(a.u32(0), a.u32(1))?;
    Ok(memory.write_u32(a.u32(2), new)?)
}

pub(super) fn fd_dup2(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.duplicate_onto(a.u32(0), a.u32(1))?)
}

const LOCK_SH: u32 = 1;
const LOCK_EX: u32 = 2;
const LOCK_NB: u32 = 4;
const LOCK_UN: u32 = 8;

pub(super) fn fd_flock(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let lock = match a.u32(1) & !LOCK_NB {
        LOCK_SH => Some(Lock::Shared),
        LOCK_EX => Some(Lock::Exclusive),
        LOCK_UN => None,
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(host.vfs.lock(a.u32(0), lock, a.u32(1) & LOCK_NB == 0)?)
}

pub(super) fn fd_pipe(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    memory.check(a.u32(0), 8)?;
    let ends = host.vfs.make_pipe()?;
    Ok(write_both(memory, a.u32(0), ends)?)
}

pub(super) fn fd_pair(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    memory.check(a.u32(0), 8)?;
    let ends = host.vfs.make_socket_pair()?;
    Ok(write_both(memory, a.u32(0), ends)?)
}

/// Writes two numbers; the address has been checked.
fn write_both(memory: &mut Memory<'_>, at: u32, (one, two): (u32, u32)) -> Result<(), Errno> {
    memory.write_u32(at, one)?;
    memory.write_u32(at + 4, two)
}

pub(super) fn fd_path(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = host.vfs.directory_path(a.u32(0))?;
    let path = [b"/", path.as_relative()].concat();
    if path.len() > a.u32(2) as usize {
        return Err(Errno::RANGE.into());
    }
    memory.write(a.u32(1), &path)?;
    Ok(memory.write_u32(a.u32(3), u32::try_from(path.len()).map_err(|_| Errno::RANGE)?)?)
}

pub(super) fn path_access(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(1), a.u32(2))?;
    Ok(host.vfs.access_at(a.u32(0), &path, a.u32(3))?)
}

pub(super) fn fd_mode(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let stat = host.vfs.stat(a.u32(0))?;
    Ok(memory.write_u32(a.u32(1), stat.mode)?)
}

pub(super) fn path_mode(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(2), a.u32(3))?;
    let stat = host.vfs.stat_at(a.u32(0), &path, last(a.u32(1)))?;
    Ok(memory.write_u32(a.u32(4), stat.mode)?)
}

pub(super) fn fd_chmod(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.chmod(a.u32(0), a.u32(1))?)
}

pub(super) fn path_chmod(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(2), a.u32(3))?;
    Ok(host.vfs.chmod_at(a.u32(0), &path, last(a.u32(1)), a.u32(4))?)
}

pub(super) fn fd_stat(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let stat = host.vfs.stat(a.u32(0))?;
    Ok(memory.write(a.u32(1), &layout(&stat))?)
}

pub(super) fn path_stat(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(2), a.u32(3))?;
    let stat = host.vfs.stat_at(a.u32(0), &path, last(a.u32(1)))?;
    Ok(memory.write(a.u32(4), &layout(&stat))?)
}

pub(super) fn fd_available(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    host.vfs.table().get(a.u32(0))?;
    let bytes = host.vfs.readable_bytes(a.u32(0));
    Ok(memory.write_u64(a.u32(1), bytes)?)
}

fn layout(stat: &FileStat) -> [u8; STAT_SIZE as usize] {
    let mut out = [0; STAT_SIZE as usize];
    put(&mut out, 0, stat.dev);
    put(&mut out, 8, stat.ino);
    put(&mut out, 16, stat.nlink);
    put(&mut out, 24, u64::from(stat.mode));
    put(&mut out, 32, stat.rdev);
    put(&mut out, 40, stat.size);
    put(&mut out, 48, stat.blksize);
    put(&mut out, 56, stat.blocks);
    put(&mut out, 64, stat.atime.cast_unsigned());
    put(&mut out, 72, stat.mtime.cast_unsigned());
    put(&mut out, 80, stat.ctime.cast_unsigned());
    out
}
