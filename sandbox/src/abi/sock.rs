//! WASI's `sock_*` calls, for the sockets of a pair that the guest made.

use super::{Args, CallResult, Host, Memory};
use crate::vfs::Errno;

const RECV_PEEK: u32 = 1;
const RECV_WAITALL: u32 = 2;
const SHUT_RD: u32 = 1;
const SHUT_WR: u32 = 2;

/// Of the flags, `RECV_WAITALL` changes nothing: nobody can be waited for.
pub(super) fn receive(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let (fd, flags, used, told) = (a.u32(0), a.u32(3), a.u32(4), a.u32(5));
    if flags & !(RECV_PEEK | RECV_WAITALL) != 0 {
        return Err(Errno::INVAL.into());
    }
    memory.check(used, 4)?;
    memory.check(told, 2)?;
    let peek = flags & RECV_PEEK != 0;
    let count = memory.scatter(a.u32(1), a.u32(2), |buffers| host.vfs.receive(fd, buffers, peek))?;
    memory.write_u32(used, u32::try_from(count).map_err(|_| Errno::OVERFLOW)?)?;
    Ok(memory.write(told, &[0; 2])?)
}

pub(super) fn send(host: &mut Host, memory: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    if a.u32(3) != 0 {
        return Err(Errno::INVAL.into());
    }
    memory.check(a.u32(4), 4)?;
    let count = host.vfs.send(a.u32(0), &memory.gather(a.u32(1), a.u32(2))?)?;
    Ok(memory.write_u32(a.u32(4), u32::try_from(count).map_err(|_| Errno::OVERFLOW)?)?)
}

pub(super) fn shut_down(host: &mut Host, _: &mut Memory<'_>, a: Args<'_>) -> CallResult {
    let how = a.u32(1);
    if how == 0 || how & !(SHUT_RD | SHUT_WR) != 0 {
        return Err(Errno::INVAL.into());
    }
    Ok(host.vfs.shut_down(a.u32(0), how & SHUT_RD != 0, how & SHUT_WR != 0)?)
}
