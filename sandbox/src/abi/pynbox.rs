//! The import module `pynbox`; its functions are described in the [module above](super).

use super::types::{last, put};
use super::{Args, Host, Memory, Outcome};
use crate::vfs::FileStat;

const STAT_SIZE: u32 = 96;

pub(super) fn fd_dup(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> Outcome {
    memory.check(a.u32(2), 4)?;
    let new = host.vfs.duplicate(a.u32(0), a.u32(1))?;
    Ok(memory.write_u32(a.u32(2), new)?)
}

pub(super) fn fd_dup2(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> Outcome {
    Ok(host.vfs.duplicate_onto(a.u32(0), a.u32(1))?)
}

pub(super) fn fd_mode(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> Outcome {
    let stat = host.vfs.stat(a.u32(0))?;
    Ok(memory.write_u32(a.u32(1), stat.mode)?)
}

pub(super) fn path_mode(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> Outcome {
    let path = memory.text(a.u32(2), a.u32(3))?;
    let stat = host.vfs.stat_at(a.u32(0), &path, last(a.u32(1)))?;
    Ok(memory.write_u32(a.u32(4), stat.mode)?)
}

pub(super) fn fd_chmod(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> Outcome {
    Ok(host.vfs.chmod(a.u32(0), a.u32(1))?)
}

pub(super) fn path_chmod(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> Outcome {
    let path = memory.text(a.u32(2), a.u32(3))?;
    Ok(host.vfs.chmod_at(a.u32(0), &path, last(a.u32(1)), a.u32(4))?)
}

pub(super) fn fd_stat(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> Outcome {
    let stat = host.vfs.stat(a.u32(0))?;
    Ok(memory.write(a.u32(1), &layout(&stat))?)
}

pub(super) fn path_stat(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> Outcome {
    let path = memory.text(a.u32(2), a.u32(3))?;
    let stat = host.vfs.stat_at(a.u32(0), &path, last(a.u32(1)))?;
    Ok(memory.write(a.u32(4), &layout(&stat))?)
}

pub(super) fn fd_available(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> Outcome {
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
