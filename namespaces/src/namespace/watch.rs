//! What an action takes of the machine, as process 1 of its container sees it: memory, processes,
//! and what lies in `/tmp` and `/dev/shm`.
//!
//! It is looked at from time to time and compared with the limits, because the kernel's own limits
//! are told to whom they bind: an action would see them, and could go around an error. Between two
//! looks an action may take more than it may; the next look ends it. The kernel's bounds behind
//! these stay: half of the machine's memory for each file system, and 4096 processes.
//!
//! Process 1 sees every process of its namespace, also those that let nobody look, because it keeps
//! one capability, `CAP_SYS_PTRACE`, in the action's user namespace. Memory is what
//! `proc_pid_status(5)` and `proc_pid_smaps(5)` call anonymous and shared; and, since no process
//! need have them mapped, files that only memory holds: those of the two file systems, of
//! `memfd_create(2)`, and the segments of `shmget(2)`.
//!
//! Not seen: pages of the kernel (page tables, buffers of pipes and sockets), which other bounds of
//! the kernel hold small, and files of `memfd_create` that are nowhere but in a socket's queue.
//! Where the caller's `/proc` is shown, the file systems alone are looked at: that one numbers
//! processes as somebody else does. Nothing here allocates (see [`super::sys`]).

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
use rustix::fs::{self, AtFlags, CWD, MemfdFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::plan::Watched;
use crate::ActionLimit;

type Result<T> = std::result::Result<T, Errno>;

const MILLISECOND: u64 = 1_000_000;
/// The time between two looks, in nanoseconds; and the shorter one once something is above half of
/// its limit.
const PAUSE: u64 = 100 * MILLISECOND;
const SHORT_PAUSE: u64 = 10 * MILLISECOND;
/// Looking takes no more than this part of a processor.
const SHARE: u64 = 10;
/// What a file costs beside its bytes, roughly: an inode and a name.
const INODE: u64 = 1024;
/// Most descriptors that one look follows.
const MAX_DESCRIPTORS: usize = 20_000;
/// Most files in memory that are told apart; of more, the rest is not counted.
const MAX_MEMORY_FILES: usize = 4096;

/// Looks at an action.
pub(super) struct LimitWatch<'a> {
    limits: &'a Watched,
    tmp: OwnedFd,
    shm: OwnedFd,
    /// `None` where it is the caller's.
    proc: Option<OwnedFd>,
    /// The device number of files that are in memory and in no file system of the view.
    memory_device: u64,
    /// When to look next, in nanoseconds of the machine's time.
    next: u64,
}

/// What is taken now.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    processes: u64,
    /// Memory of single processes.
    own: u64,
    /// Memory that several may share, counted once for each.
    shared: u64,
}

impl<'a> LimitWatch<'a> {
    /// Before the action is started, inside of its view.
    pub(super) fn new(limits: &'a Watched, tmp: OwnedFd, shm: OwnedFd, callers_proc: bool) -> Result<Self> {
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = if callers_proc { None } else { Some(fs::openat(CWD, c"/proc", folder, Mode::empty())?) };
        let file = fs::memfd_create(c"", MemfdFlags::CLOEXEC)?;
        let memory_device = fs::fstat(&file)?.st_dev;
        Ok(Self { limits, tmp, shm, proc, memory_device, next: now() + PAUSE })
    }

    /// How long until the next look.
    pub(super) fn pause(&self) -> Timespec {
        let left = self.next.saturating_sub(now());
        Timespec { tv_sec: (left / 1_000_000_000).cast_signed(), tv_nsec: (left % 1_000_000_000).cast_signed() }
    }

    /// Looks, if it is time, and gives a limit that is reached.
    pub(super) fn look(&mut self) -> Result<Option<ActionLimit>> {
        let start = now();
        if start < self.next {
            return Ok(None);
        }
        let limits = self.limits;
        let (tmp, shm) = (held(&self.tmp)?, held(&self.shm)?);
        let mut taken = Taken::default();
        let mut memory = tmp.bytes + shm.bytes;
        if let Some(proc) = &self.proc {
            // A fork bomb leaves little of the processor for more than that.
            if has_more_processes(proc.as_fd(), limits.processes)? {
                return Ok(Some(ActionLimit::Processes));
            }
            let mut files = MemoryFiles::new(self.memory_device);
            taken = processes(proc.as_fd(), Count::Fast, &mut files)?;
            let objects = memory + files.bytes + shared_segments(proc.as_fd())?;
            memory = taken.own + taken.shared.max(objects);
            if memory >= limits.memory {
                // Pages that processes share were counted for each of them.
                let exact = processes(proc.as_fd(), Count::Exact, &mut files)?;
                memory = exact.own + exact.shared.max(objects);
            }
        }
        let all = [
            (ActionLimit::Tmp, tmp.bytes, limits.tmp, tmp.full),
            (ActionLimit::Shm, shm.bytes, limits.shm, shm.full),
            (ActionLimit::Processes, taken.processes, limits.processes, false),
            (ActionLimit::Memory, memory, limits.memory, false),
        ];
        let near = all.iter().any(|(_, taken, limit, _)| *taken > limit / 2);
        let end = now();
        self.next = end + (if near { SHORT_PAUSE } else { PAUSE }).max((end - start) * SHARE);
        Ok(all.into_iter().find(|(_, taken, limit, full)| taken > limit || *full).map(|(limit, ..)| limit))
    }

    /// A limit that is reached when the action has ended: what it has filled may be why it ended.
    pub(super) fn last_look(&self) -> Result<Option<ActionLimit>> {
        for (limit, folder, most) in
            [(ActionLimit::Tmp, &self.tmp, self.limits.tmp), (ActionLimit::Shm, &self.shm, self.limits.shm)]
        {
            let held = held(folder)?;
            if held.full || held.bytes > most {
                return Ok(Some(limit));
            }
        }
        Ok(None)
    }
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

struct Held {
    bytes: u64,
    /// Nothing more fits in.
    full: bool,
}

/// What a file system in memory holds.
fn held(file_system: &OwnedFd) -> Result<Held> {
    let stat = fs::fstatvfs(file_system)?;
    let files = stat.f_files.saturating_sub(stat.f_ffree);
    let bytes = stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize + files * INODE;
    Ok(Held { bytes, full: stat.f_bfree == 0 || stat.f_ffree == 0 })
}

/// How memory is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// What several processes share counts for each.
    Fast,
    /// It counts for each by its share.
    Exact,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether there are more processes beside this one. Looks at no more names than that takes.
fn has_more_processes(proc: BorrowedFd<'_>, most: u64) -> Result<bool> {
    let list = fs::openat(proc, c".", DIRECTORY, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(&list, &mut buffer);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        count += u64::from(is_other_process(entry?.file_name()));
        if count > most {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a name in `/proc` is a process, and not this one.
fn is_other_process(name: &CStr) -> bool {
    name != c"1" && name.to_bytes().iter().all(u8::is_ascii_digit)
}

/// What all processes but this one take.
fn processes(proc: BorrowedFd<'_>, count: Count, files: &mut MemoryFiles) -> Result<Taken> {
    let mut taken = Taken::default();
    let list = fs::openat(proc, c".", DIRECTORY, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(&list, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if !is_other_process(name) {
            continue;
        }
        // One that has ended meanwhile takes nothing.
        let Ok(process) = fs::openat(proc, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        else {
            continue;
        };
        let mut text = [0; 4096];
        let status = read(process.as_fd(), c"status", &mut text);
        let number = |text: &[u8], name: &[u8]| field(text, name).unwrap_or(0);
        taken.processes += number(status, b"Threads:").max(1);
        let (mut own, mut shared) = (number(status, b"RssAnon:"), number(status, b"RssShmem:"));
        if count == Count::Exact {
            let mut text = [0; 4096];
            let exact = read(process.as_fd(), c"smaps_rollup", &mut text);
            own = field(exact, b"Pss_Anon:").unwrap_or(own);
            shared = field(exact, b"Pss_Shmem:").unwrap_or(shared);
        } else {
            files.of(process.as_fd());
        }
        taken.own += own * 1024;
        taken.shared += shared * 1024;
    }
    Ok(taken)
}

/// The beginning of a file; nothing if it can't be read.
fn read<'b>(folder: BorrowedFd<'_>, name: &CStr, buffer: &'b mut [u8]) -> &'b [u8] {
    let mut length = 0;
    if let Ok(file) = fs::openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        while let Ok(more @ 1..) = rustix::io::read(&file, &mut buffer[length..]) {
            length += more;
        }
    }
    &buffer[..length]
}

/// The number in the line that begins so.
fn field(text: &[u8], name: &[u8]) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    let digits = line.iter().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// Files that only memory holds and that processes have open, each once.
struct MemoryFiles {
    device: u64,
    /// Their inodes, in a table with free places that are 0.
    known: [u64; MAX_MEMORY_FILES],
    count: usize,
    /// Descriptors that may still be followed.
    left: usize,
    bytes: u64,
}

impl MemoryFiles {
    fn new(device: u64) -> Self {
        Self { device, known: [0; MAX_MEMORY_FILES], count: 0, left: MAX_DESCRIPTORS, bytes: 0 }
    }

    /// Adds those of one process.
    fn of(&mut self, process: BorrowedFd<'_>) {
        let Ok(list) = fs::openat(process, c"fd", DIRECTORY, Mode::empty()) else { return };
        let mut buffer = [MaybeUninit::uninit(); 2048];
        let mut entries = RawDir::new(&list, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            // Follows the link, to whatever is open there.
            if let Ok(stat) = fs::statat(&list, entry.file_name(), AtFlags::empty())
                && stat.st_dev == self.device
                && self.is_new(stat.st_ino)
            {
                self.bytes += stat.st_blocks.cast_unsigned() * 512;
            }
        }
    }

    fn is_new(&mut self, inode: u64) -> bool {
        if self.count + 1 == MAX_MEMORY_FILES {
            return false;
        }
        let mut at = inode as usize % MAX_MEMORY_FILES;
        while self.known[at] != 0 {
            if self.known[at] == inode {
                return false;
            }
            at = (at + 1) % MAX_MEMORY_FILES;
        }
        self.known[at] = inode;
        self.count += 1;
        true
    }
}

/// What the segments of `shmget(2)` hold in memory.
fn shared_segments(proc: BorrowedFd<'_>) -> Result<u64> {
    /// The column `rss`: the 15th.
    const COLUMN: usize = 14;
    // A kernel without such segments has no such file.
    let Ok(file) = fs::openat(proc, c"sysvipc/shm", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return Ok(0);
    };
    let mut buffer = [0; 4096];
    let (mut sum, mut column, mut number) = (0_u64, 0, None::<u64>);
    loop {
        let length = rustix::io::read(&file, &mut buffer)?;
        if length == 0 {
            return Ok(sum);
        }
        for byte in &buffer[..length] {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                }
                b' ' | b'\n' => {
                    if let Some(number) = number.take() {
                        if column == COLUMN {
                            sum = sum.saturating_add(number);
                        }
                        column += 1;
                    }
                    if *byte == b'\n' {
                        column = 0;
                    }
                }
                // The heading has words, and a key may be negative.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_whole_lines() {
        let text = b"Name:\tRssAnon: 7\nVmRSS:\t  12 kB\nRssAnon:\t    4711 kB\nThreads:\t3\n";
        assert_eq!(field(text, b"RssAnon:"), Some(4711));
        assert_eq!(field(text, b"Threads:"), Some(3));
        assert_eq!(field(text, b"Rss:"), None);
    }

    #[test]
    fn a_file_in_memory_counts_once() {
        let file = fs::memfd_create(c"", MemfdFlags::CLOEXEC).unwrap();
        let _again = rustix::io::dup(&file).unwrap();
        let before = of_this_process(&file);
        rustix::io::write(&file, &[1; 3 << 20]).unwrap();
        let after = of_this_process(&file);
        assert_eq!(after - before, 3 << 20);
    }

    fn of_this_process(file: &OwnedFd) -> u64 {
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own = fs::openat(CWD, c"/proc/self", folder, Mode::empty()).unwrap();
        let mut files = MemoryFiles::new(fs::fstat(file).unwrap().st_dev);
        files.of(own.as_fd());
        files.bytes
    }

    #[test]
    fn this_machines_segments_can_be_read() {
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = fs::openat(CWD, c"/proc", folder, Mode::empty()).unwrap();
        let text = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let rss = |line: &str| line.split_whitespace().nth(14).and_then(|word| word.parse::<u64>().ok());
        assert_eq!(shared_segments(proc.as_fd()).unwrap(), text.lines().filter_map(rss).sum::<u64>());
    }
}
