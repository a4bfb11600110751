//! WASI's `path_*` calls.

use super::types::{RIGHT_READ, RIGHT_WRITE, filestat, last, open_flags, timestamps};
use super::{Args, CallResult, Host, Memory};
use crate::vfs::{Errno, Last, OpenHow};

const OFLAG_CREAT: u32 = 1;
const OFLAG_DIRECTORY: u32 = 2;
const OFLAG_EXCL: u32 = 4;
const OFLAG_TRUNC: u32 = 8;

pub(super) fn create_directory(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(1), a.u32(2))?;
    Ok(host.vfs.make_dir(a.u32(0), &path)?)
}

pub(super) fn filestat_get(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(2), a.u32(3))?;
    let stat = host.vfs.stat_at(a.u32(0), &path, last(a.u32(1)))?;
    Ok(memory.write(a.u32(4), &filestat(&stat))?)
}

pub(super) fn filestat_set_times(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(2), a.u32(3))?;
    let times = timestamps(a.u64(4), a.u64(5), a.u32(6))?;
    Ok(host.vfs.set_times_at(a.u32(0), &path, last(a.u32(1)), &times)?)
}

pub(super) fn link(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let old = memory.text(a.u32(2), a.u32(3))?;
    let new = memory.text(a.u32(5), a.u32(6))?;
    Ok(host.vfs.link(a.u32(0), &old, last(a.u32(1)), a.u32(4), &new)?)
}

pub(super) fn open(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let (dir, oflags, wanted, out) = (a.u32(0), a.u32(4), a.u64(5), a.u32(8));
    let path = memory.text(a.u32(2), a.u32(3))?;
    memory.check(out, 4)?;
    if oflags & !15 != 0 {
        return Err(Errno::INVAL.into());
    }
    let how = OpenHow {
        read: wanted & RIGHT_READ != 0,
        write: wanted & RIGHT_WRITE != 0,
        create: oflags & OFLAG_CREAT != 0,
        exclusive: oflags & OFLAG_EXCL != 0,
        truncate: oflags & OFLAG_TRUNC != 0,
        directory: oflags & OFLAG_DIRECTORY != 0,
        no_follow: last(a.u32(1)) == Last::Keep,
        flags: open_flags(a.u32(7))?,
    };
    let fd = host.vfs.open(dir, &path, how)?;
    Ok(memory.write_u32(out, fd)?)
}

pub(super) fn readlink(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let (out, room, used) = (a.u32(3), a.u32(4), a.u32(5));
    let path = memory.text(a.u32(1), a.u32(2))?;
    let target = host.vfs.read_link(a.u32(0), &path)?;
    let length = target.len().min(room as usize);
    memory.check(used, 4)?;
    memory.write(out, &target[..length])?;
    Ok(memory.write_u32(used, u32::try_from(length).map_err(|_| Errno::OVERFLOW)?)?)
}

pub(super) fn remove_directory(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(1), a.u32(2))?;
    Ok(host.vfs.remove_dir(a.u32(0), &path)?)
}

pub(super) fn rename(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let old = memory.text(a.u32(1), a.u32(2))?;
    let new = memory.text(a.u32(4), a.u32(5))?;
    Ok(host.vfs.rename(a.u32(0), &old, a.u32(3), &new)?)
}

pub(super) fn symlink(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let target = memory.text(a.u32(0), a.u32(1))?;
    let path = memory.text(a.u32(3), a.u32(4))?;
    Ok(host.vfs.make_symlink(&target, a.u32(2), &path)?)
}

pub(super) fn unlink_file(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let path = memory.text(a.u32(1), a.u32(2))?;
    Ok(host.vfs.remove_file(a.u32(0), &path)?)
}
