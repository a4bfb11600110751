//! The ways in which files are opened while a guest runs, as a table that can't be changed.
//!
//! openat2(2) takes its flags by a pointer, and a filter sees the pointer alone. So all that it may
//! point at lies in one page of the program's constants, and the filter ([`crate::wall`]) compares
//! the pointer with the entries' addresses. Each entry keeps the kernel below the directory that is
//! given, without links, and no mode has a set-user bit. Native code in the process can open
//! nothing in another way; where the kernel has mseal(2), not even by mapping another page there.
//!
//! Calls that work on an open file by an empty path find it here too, for the same reason.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::sys;
use crate::vfs::Crossing;

/// The kernel's `struct open_how`.
#[derive(Clone, Copy)]
#[repr(C)]
struct KernelOpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// One place of the table. The padding, which is zero, is an empty string, too.
#[derive(Clone, Copy)]
#[repr(C)]
struct TableEntry {
    how: KernelOpenHow,
    padding: u64,
}

const PAGE: usize = 4096;
const ENTRY: usize = size_of::<TableEntry>();
const ENTRIES: usize = PAGE / ENTRY;
/// What the kernel is told the size of an entry is.
pub(crate) const SIZE: usize = size_of::<KernelOpenHow>();

#[repr(C, align(4096))]
struct OpenHowTable([TableEntry; ENTRIES]);

/// By [`Crossing`].
static TABLES: [OpenHowTable; 2] = [table(Crossing::Refused), table(Crossing::Allowed)];

/// How a guest's file is opened: never in a way that could wait or take a terminal.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const ACCESSES: [OFlags; 3] = [OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR];
const STATUS: [OFlags; 6] = [
    OFlags::empty(),
    OFlags::DSYNC,
    OFlags::SYNC,
    OFlags::APPEND,
    OFlags::APPEND.union(OFlags::DSYNC),
    OFlags::APPEND.union(OFlags::SYNC),
];
const MAKING: [OFlags; 6] = [
    OFlags::empty(),
    OFlags::TRUNC,
    OFlags::CREATE,
    OFlags::CREATE.union(OFlags::TRUNC),
    OFlags::CREATE.union(OFlags::EXCL),
    OFlags::CREATE.union(OFlags::EXCL).union(OFlags::TRUNC),
];
/// What else is opened: handles, directories, files of the loader's own.
const OTHERS: [OFlags; 6] = [
    OFlags::PATH.union(OFlags::CLOEXEC),
    OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC),
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC),
    OFlags::DIRECTORY.union(OFlags::CLOEXEC),
    OFlags::DIRECTORY.union(OFlags::NOATIME).union(OFlags::CLOEXEC),
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC),
];

/// The mode of a file that is made, before the umask.
pub(crate) const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

const fn table(crossing: Crossing) -> OpenHowTable {
    let mut entries = [entry_of(OFlags::PATH.union(OFlags::CLOEXEC), crossing); ENTRIES];
    let mut next = 0;
    while next < OTHERS.len() {
        entries[next] = entry_of(OTHERS[next], crossing);
        next += 1;
    }
    let mut status = 0;
    while status < STATUS.len() {
        let flags = FILE.union(STATUS[status]);
        entries[next] = entry_of(flags.union(OFlags::NOATIME), crossing);
        next += 1;
        let mut access = 0;
        while access < ACCESSES.len() {
            let mut making = 0;
            while making < MAKING.len() {
                entries[next] = entry_of(flags.union(ACCESSES[access]).union(MAKING[making]), crossing);
                next += 1;
                making += 1;
            }
            access += 1;
        }
        status += 1;
    }
    OpenHowTable(entries)
}

const fn entry_of(flags: OFlags, crossing: Crossing) -> TableEntry {
    let within = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
    let resolve = match crossing {
        Crossing::Refused => within.union(ResolveFlags::NO_XDEV),
        Crossing::Allowed => within,
    };
    let mode = if flags.contains(OFlags::CREATE) { NEW_FILE.as_raw_mode() as u64 } else { 0 };
    TableEntry { how: KernelOpenHow { flags: flags.bits() as u64, mode, resolve: resolve.bits() }, padding: 0 }
}

impl OpenHowTable {
    const fn of(crossing: Crossing) -> &'static Self {
        match crossing {
            Crossing::Refused => &TABLES[0],
            Crossing::Allowed => &TABLES[1],
        }
    }
}

/// Opens a path below a directory. A file that is made has the mode [`NEW_FILE`].
///
/// # Errors
///
/// Those of openat2(2): `EXDEV` for an attempt to leave the directory, `ELOOP` for a link; `EINVAL`
/// for flags that the table does not have.
pub(crate) fn open(
    directory: BorrowedFd<'_>,
    path: impl Arg,
    flags: OFlags,
    crossing: Crossing,
) -> Result<OwnedFd, Errno> {
    let wanted = u64::from((flags | OFlags::CLOEXEC).bits());
    let entry = OpenHowTable::of(crossing).0.iter().find(|entry| entry.how.flags == wanted);
    debug_assert!(entry.is_some(), "{flags:?}");
    let how = &entry.ok_or(Errno::INVAL)?.how;
    path.into_with_c_str(|path| {
        // SAFETY: the path ends with a zero, and the structure has the kernel's form and the size
        // that goes with it.
        let opened = unsafe { libc::syscall(libc::SYS_openat2, directory.as_raw_fd(), path.as_ptr(), how, SIZE) };
        let number = i32::try_from(sys::check(opened)?).map_err(|_| Errno::BADF)?;
        // SAFETY: the kernel has made it just now, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    })
}

/// The empty path that calls on an open file are given.
pub(crate) fn empty_path() -> &'static CStr {
    // SAFETY: the padding is a zero, and constant.
    unsafe { CStr::from_ptr((&raw const TABLES[0].0[0].padding).cast()) }
}

/// Where the entries are: an address is one of theirs if it is `.0` in the bits `.1`.
#[cfg(feature = "wasm")]
pub(crate) fn addresses(crossing: Crossing) -> (u64, u64) {
    (std::ptr::from_ref(OpenHowTable::of(crossing)) as u64, !((ENTRIES - 1) * ENTRY) as u64)
}

/// Forbids for good that anything else is mapped where the tables are. Gives whether the kernel can
/// do that, which it can from Linux 6.10 on.
#[cfg(feature = "wasm")]
pub(crate) fn seal() -> bool {
    // SAFETY: the range is that of constants, which nobody unmaps or changes.
    unsafe { libc::syscall(libc::SYS_mseal, &raw const TABLES, size_of_val(&TABLES), 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_keeps_below_its_directory() {
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for table in &TABLES {
            for TableEntry { how, padding } in &table.0 {
                assert!(ResolveFlags::from_bits_retain(how.resolve).contains(within));
                assert!(how.flags & u64::from(OFlags::CLOEXEC.bits()) != 0 && how.mode & 0o7000 == 0);
                assert_eq!((*padding, ENTRY), (0, 32));
            }
        }
        assert!(empty_path().is_empty());
        // Where the structures begin, none of them is the empty path.
        #[cfg(feature = "wasm")]
        for crossing in [Crossing::Refused, Crossing::Allowed] {
            let (base, mask) = addresses(crossing);
            assert_ne!(empty_path().as_ptr() as u64 & mask, base);
            let all = OpenHowTable::of(crossing).0.iter().all(|entry| std::ptr::from_ref(entry) as u64 & mask == base);
            assert!(all && base.wrapping_add(PAGE as u64) & mask != base);
        }
    }
}
