//! The numbers of WASI preview 1 (`wasi_snapshot_preview1.witx`), and their counterparts in Linux.

use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use crate::vfs::{Errno, FileStat, Last, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, S_IFSOCK, Whence};

/// WASI's number for an error of Linux. One that WASI lacks becomes `EIO`.
pub fn errno(error: Errno) -> u32 {
    NUMBERS.iter().find(|(linux, _)| *linux == error).map_or(EIO, |&(_, wasi)| wasi)
}

/// WASI's `EIO`.
const EIO: u32 = 29;

const NUMBERS: [(Errno, u32); 75] = [
    (Errno::TOOBIG, 1),
    (Errno::ACCESS, 2),
    (Errno::ADDRINUSE, 3),
    (Errno::ADDRNOTAVAIL, 4),
    (Errno::AFNOSUPPORT, 5),
    (Errno::AGAIN, 6),
    (Errno::ALREADY, 7),
    (Errno::BADF, 8),
    (Errno::BADMSG, 9),
    (Errno::BUSY, 10),
    (Errno::CANCELED, 11),
    (Errno::CHILD, 12),
    (Errno::CONNABORTED, 13),
    (Errno::CONNREFUSED, 14),
    (Errno::CONNRESET, 15),
    (Errno::DEADLK, 16),
    (Errno::DESTADDRREQ, 17),
    (Errno::DOM, 18),
    (Errno::DQUOT, 19),
    (Errno::EXIST, 20),
    (Errno::FAULT, 21),
    (Errno::FBIG, 22),
    (Errno::HOSTUNREACH, 23),
    (Errno::IDRM, 24),
    (Errno::ILSEQ, 25),
    (Errno::INPROGRESS, 26),
    (Errno::INTR, 27),
    (Errno::INVAL, 28),
    (Errno::IO, 29),
    (Errno::ISCONN, 30),
    (Errno::ISDIR, 31),
    (Errno::LOOP, 32),
    (Errno::MFILE, 33),
    (Errno::MLINK, 34),
    (Errno::MSGSIZE, 35),
    (Errno::MULTIHOP, 36),
    (Errno::NAMETOOLONG, 37),
    (Errno::NETDOWN, 38),
    (Errno::NETRESET, 39),
    (Errno::NETUNREACH, 40),
    (Errno::NFILE, 41),
    (Errno::NOBUFS, 42),
    (Errno::NODEV, 43),
    (Errno::NOENT, 44),
    (Errno::NOEXEC, 45),
    (Errno::NOLCK, 46),
    (Errno::NOLINK, 47),
    (Errno::NOMEM, 48),
    (Errno::NOMSG, 49),
    (Errno::NOPROTOOPT, 50),
    (Errno::NOSPC, 51),
    (Errno::NOSYS, 52),
    (Errno::NOTCONN, 53),
    (Errno::NOTDIR, 54),
    (Errno::NOTEMPTY, 55),
    (Errno::NOTRECOVERABLE, 56),
    (Errno::NOTSOCK, 57),
    (Errno::OPNOTSUPP, 58),
    (Errno::NOTTY, 59),
    (Errno::NXIO, 60),
    (Errno::OVERFLOW, 61),
    (Errno::OWNERDEAD, 62),
    (Errno::PERM, 63),
    (Errno::PIPE, 64),
    (Errno::PROTO, 65),
    (Errno::PROTONOSUPPORT, 66),
    (Errno::PROTOTYPE, 67),
    (Errno::RANGE, 68),
    (Errno::ROFS, 69),
    (Errno::SPIPE, 70),
    (Errno::SRCH, 71),
    (Errno::STALE, 72),
    (Errno::TIMEDOUT, 73),
    (Errno::TXTBSY, 74),
    (Errno::XDEV, 75),
];

/// WASI's `ENOTCAPABLE`, which Linux lacks.
pub(crate) const ENOTCAPABLE: u32 = 76;

pub(crate) const FILETYPE_UNKNOWN: u8 = 0;
pub(crate) const FILETYPE_DIRECTORY: u8 = 3;

/// WASI's file type for the type bits of a mode; pipes have none.
pub(crate) fn filetype(kind: u32) -> u8 {
    match kind {
        S_IFBLK => 1,
        S_IFCHR => 2,
        S_IFDIR => FILETYPE_DIRECTORY,
        S_IFREG => 4,
        S_IFSOCK => 6,
        S_IFLNK => 7,
        _ => FILETYPE_UNKNOWN,
    }
}

pub(crate) const RIGHT_READ: u64 = 1 << 1;
pub(crate) const RIGHT_SEEK: u64 = 1 << 2;
pub(crate) const RIGHT_TELL: u64 = 1 << 5;
pub(crate) const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_ALLOCATE: u64 = 1 << 8;
const RIGHT_READDIR: u64 = 1 << 14;
const RIGHT_SET_SIZE: u64 = 1 << 22;
/// `path_*` and `fd_readdir`.
const RIGHTS_OF_PATHS: u64 = 0x01ff_fe00 & !(1 << 21 | 1 << 22 | 1 << 23) | (1 << 25) | (1 << 26);
/// What every descriptor may do: flags, sync, advise, stat, times, poll.
const RIGHTS_OF_ALL: u64 = 1 | 1 << 3 | 1 << 4 | 1 << 7 | 1 << 21 | 1 << 23 | 1 << 27;
/// Every right of preview 1.
pub(crate) const RIGHTS: u64 = (1 << 30) - 1;

/// The rights that a descriptor shows. wasi-libc reads two things from them: whether it is open for
/// reading and writing, and that a character device that can't be sought is a terminal.
pub(crate) fn rights(kind: u32, readable: bool, writable: bool, terminal: bool) -> u64 {
    if kind == S_IFDIR {
        return RIGHTS_OF_ALL | RIGHTS_OF_PATHS | RIGHT_READDIR;
    }
    let mut rights = RIGHTS_OF_ALL;
    if readable {
        rights |= RIGHT_READ;
    }
    if writable {
        rights |= RIGHT_WRITE | RIGHT_ALLOCATE | RIGHT_SET_SIZE;
    }
    if !terminal {
        rights |= RIGHT_SEEK | RIGHT_TELL;
    }
    rights
}

/// WASI's `filestat`, 64 bytes.
pub(crate) fn filestat(stat: &FileStat) -> [u8; 64] {
    let mut out = [0; 64];
    put(&mut out, 0, stat.dev);
    put(&mut out, 8, stat.ino);
    out[16] = filetype(stat.kind());
    put(&mut out, 24, stat.nlink);
    put(&mut out, 32, stat.size);
    for (at, time) in [(40, stat.atime), (48, stat.mtime), (56, stat.ctime)] {
        put(&mut out, at, u64::try_from(time).unwrap_or(0));
    }
    out
}

/// Writes a number into a structure.
pub(crate) fn put(out: &mut [u8], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

const FDFLAG_APPEND: u32 = 1;
const FDFLAG_DSYNC: u32 = 2;
const FDFLAG_NONBLOCK: u32 = 4;
const FDFLAG_RSYNC: u32 = 8;
const FDFLAG_SYNC: u32 = 16;

/// Flags of Linux's open for WASI's `fdflags`.
///
/// # Errors
///
/// `EINVAL` for a bit that WASI does not define.
pub(crate) fn open_flags(fdflags: u32) -> Result<OFlags, Errno> {
    if fdflags & !31 != 0 {
        return Err(Errno::INVAL);
    }
    let mut flags = OFlags::empty();
    flags.set(OFlags::APPEND, fdflags & FDFLAG_APPEND != 0);
    flags.set(OFlags::DSYNC, fdflags & FDFLAG_DSYNC != 0);
    flags.set(OFlags::NONBLOCK, fdflags & FDFLAG_NONBLOCK != 0);
    flags.set(OFlags::SYNC, fdflags & (FDFLAG_SYNC | FDFLAG_RSYNC) != 0);
    Ok(flags)
}

/// WASI's `fdflags` for flags of Linux.
pub(crate) fn fdflags(flags: OFlags) -> u16 {
    let mut out = 0;
    if flags.contains(OFlags::APPEND) {
        out |= FDFLAG_APPEND as u16;
    }
    if flags.contains(OFlags::NONBLOCK) {
        out |= FDFLAG_NONBLOCK as u16;
    }
    out
}

/// Whether WASI's `lookupflags` follow a link at the end.
pub(crate) fn last(lookupflags: u32) -> Last {
    if lookupflags & 1 != 0 { Last::Follow } else { Last::Keep }
}

/// WASI's `whence`.
///
/// # Errors
///
/// `EINVAL` for a number that WASI does not define.
pub(crate) fn whence(number: u32) -> Result<Whence, Errno> {
    match number {
        0 => Ok(Whence::Start),
        1 => Ok(Whence::Current),
        2 => Ok(Whence::End),
        _ => Err(Errno::INVAL),
    }
}

/// The times that `fd_filestat_set_times` and its twin are asked to set. WASI's have no sign; here
/// a time before 1970 is negative, and one after 2262 can't be said.
///
/// # Errors
///
/// `EINVAL` if a time is given both as a number and as "now".
pub(crate) fn timestamps(atime: u64, mtime: u64, fstflags: u32) -> Result<Timestamps, Errno> {
    let one = |nanos: u64, set: bool, now: bool| match (set, now) {
        (true, true) => Err(Errno::INVAL),
        (true, false) => Ok(Timespec {
            tv_sec: nanos.cast_signed().div_euclid(1_000_000_000),
            tv_nsec: nanos.cast_signed().rem_euclid(1_000_000_000),
        }),
        (false, true) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        (false, false) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
    };
    if fstflags & !15 != 0 {
        return Err(Errno::INVAL);
    }
    Ok(Timestamps {
        last_access: one(atime, fstflags & 1 != 0, fstflags & 2 != 0)?,
        last_modification: one(mtime, fstflags & 4 != 0, fstflags & 8 != 0)?,
    })
}
