//! WASI's `fd_*` calls.

use super::types::{self, fdflags, filestat, filetype, open_flags, put, timestamps, whence};
use super::{Args, CallResult, Host, Memory, Stop};
use crate::vfs::{Errno, Offset, ROOT_BASE, ROOT_FD, S_IFDIR, Whence};

const ROOT_NAME: &[u8] = b"/";
const FDSTAT_SIZE: usize = 24;
const DIRENT_SIZE: usize = 24;

pub(super) fn advise(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    host.vfs.table().get(a.u32(0))?;
    // Advice binds nobody.
    if a.u32(3) > 5 { Err(Errno::INVAL.into()) } else { Ok(()) }
}

pub(super) fn allocate(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.allocate(a.u32(0), a.u64(1), a.u64(2))?)
}

pub(super) fn close(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.close(a.u32(0))?)
}

pub(super) fn datasync(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.sync(a.u32(0), true)?)
}

pub(super) fn sync(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.sync(a.u32(0), false)?)
}

fn rights_of(host: &Host, fd: u32) -> Result<(u32, u64), Errno> {
    if fd == ROOT_BASE {
        // wasi-libc asks what may be done below the base of a path before it opens it.
        return Ok((S_IFDIR, types::rights(S_IFDIR, true, false, false)));
    }
    let description = host.vfs.table().get(fd)?;
    let kind = host.vfs.stat(fd)?.kind();
    let (readable, writable) = (description.is_readable(), description.is_writable());
    Ok((kind, types::rights(kind, readable, writable, description.is_terminal())))
}

pub(super) fn fdstat_get(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let (kind, rights) = rights_of(host, a.u32(0))?;
    let mut out = [0; FDSTAT_SIZE];
    out[0] = filetype(kind);
    if a.u32(0) != ROOT_BASE {
        out[2..4].copy_from_slice(&fdflags(host.vfs.flags(a.u32(0))?).to_le_bytes());
    }
    put(&mut out, 8, rights);
    put(&mut out, 16, if kind == S_IFDIR { types::RIGHTS } else { 0 });
    Ok(memory.write(a.u32(1), &out)?)
}

pub(super) fn fdstat_set_flags(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.set_flags(a.u32(0), open_flags(a.u32(1))?)?)
}

/// Rights are a description of what a descriptor can do, not a means of giving it up: lowering them
/// changes nothing.
pub(super) fn fdstat_set_rights(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let (_, rights) = rights_of(host, a.u32(0))?;
    if a.u64(1) & !rights != 0 { Err(Stop::Wasi(types::ENOTCAPABLE)) } else { Ok(()) }
}

pub(super) fn filestat_get(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let stat = host.vfs.stat(a.u32(0))?;
    Ok(memory.write(a.u32(1), &filestat(&stat))?)
}

pub(super) fn filestat_set_size(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.truncate(a.u32(0), a.u64(1))?)
}

pub(super) fn filestat_set_times(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let times = timestamps(a.u64(1), a.u64(2), a.u32(3))?;
    Ok(host.vfs.set_times(a.u32(0), &times)?)
}

pub(super) fn read(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    read_to(host, memory, a, Offset::Current, a.u32(3))
}

pub(super) fn pread(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    read_to(host, memory, a, Offset::At(a.u64(3)), a.u32(4))
}

fn read_to(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>, offset: Offset, out: u32) -> CallResult {
    memory.check(out, 4)?;
    let count = memory.scatter(a.u32(1), a.u32(2), |buffers| host.vfs.read(a.u32(0), buffers, offset))?;
    Ok(memory.write_u32(out, count_of(count)?)?)
}

pub(super) fn write(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    write_from(host, memory, a, Offset::Current, a.u32(3))
}

pub(super) fn pwrite(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    write_from(host, memory, a, Offset::At(a.u64(3)), a.u32(4))
}

fn write_from(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>, offset: Offset, out: u32) -> CallResult {
    memory.check(out, 4)?;
    let count = host.vfs.write(a.u32(0), &memory.gather(a.u32(1), a.u32(2))?, offset)?;
    if let Some(limit) = host.vfs.over() {
        return Err(Stop::Limit(limit));
    }
    Ok(memory.write_u32(out, count_of(count)?)?)
}

/// Overlapping buffers, counted several times on a device, may add up to more than 32 bits.
fn count_of(count: usize) -> Result<u32, Errno> {
    u32::try_from(count).map_err(|_| Errno::OVERFLOW)
}

pub(super) fn prestat_get(_: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    preopened(a.u32(0))?;
    let mut out = [0; 8];
    out[4] = 1;
    Ok(memory.write(a.u32(1), &out)?)
}

pub(super) fn prestat_dir_name(_: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    preopened(a.u32(0))?;
    if (a.u32(2) as usize) < ROOT_NAME.len() {
        return Err(Errno::NAMETOOLONG.into());
    }
    Ok(memory.write(a.u32(1), ROOT_NAME)?)
}

/// Whether paths may begin at `fd` from the start: at this one number, whatever lies there.
fn preopened(fd: u32) -> Result<(), Errno> {
    if fd == ROOT_FD { Ok(()) } else { Err(Errno::BADF) }
}

pub(super) fn readdir(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let (fd, at, room, cookie, used) = (a.u32(0), a.u32(1), a.u32(2), a.u64(3), a.u32(4));
    memory.check(used, 4)?;
    memory.check(at, room)?;
    let entries = host.vfs.entries(fd, cookie == 0)?;
    let first = usize::try_from(cookie).unwrap_or(usize::MAX).min(entries.len());
    let mut out = memory.slice_mut(at, room)?;
    let mut written = 0;
    for (index, entry) in entries.iter().enumerate().skip(first) {
        if out.is_empty() {
            break;
        }
        let mut head = [0; DIRENT_SIZE];
        put(&mut head, 0, index as u64 + 1);
        put(&mut head, 8, entry.ino);
        let length = u32::try_from(entry.name.len()).map_err(|_| Errno::OVERFLOW)?;
        head[16..20].copy_from_slice(&length.to_le_bytes());
        head[20] = filetype(entry.kind);
        // The last entry may be cut: the guest sees a full buffer and asks again from that cookie.
        for part in [&head[..], &entry.name] {
            let count = part.len().min(out.len());
            let (now, rest) = out.split_at_mut(count);
            now.copy_from_slice(&part[..count]);
            written += count;
            out = rest;
        }
    }
    Ok(memory.write_u32(used, count_of(written)?)?)
}

pub(super) fn renumber(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    Ok(host.vfs.renumber(a.u32(0), a.u32(1))?)
}

pub(super) fn seek(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    memory.check(a.u32(3), 8)?;
    let position = host.vfs.seek(a.u32(0), whence(a.u32(2))?, a.u64(1).cast_signed())?;
    Ok(memory.write_u64(a.u32(3), position)?)
}

pub(super) fn tell(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let position = host.vfs.seek(a.u32(0), Whence::Current, 0)?;
    Ok(memory.write_u64(a.u32(1), position)?)
}
