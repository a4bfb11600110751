//! What the launcher decides of the engine's calls: those whose sum is limited, for which the
//! filter asks (`seccomp_unotify(2)`).
//!
//! A decision looks at numbers alone, which are in registers that nobody can change while the
//! thread waits; never at memory of the engine's. So it holds for whoever breaks out of the guest,
//! too. It counts what a call may do, before it does it: a call that then does less, or fails, is
//! counted all the same.
//!
//! - Threads: `EAGAIN` beyond `--threads`.
//! - Memory: the kernel counts private memory that can be written (`RLIMIT_DATA`), but none that
//!   could be once and still holds what was written. What a guest protects from writing is taken
//!   from what it may have.
//! - Bytes written to files, and files made: `EDQUOT` beyond `--max-write` and `--max-files`.
//! - Length and flags of a file that was handed in: `EPERM`. The file that a number stands for is
//!   looked at before the call; who has broken out may exchange it meanwhile.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, prlimit};

use super::bounds::{Bounds, STACK};
use crate::caller;
use crate::limits::Limit;
use crate::report::Usage;
use crate::sys::engine;
use crate::sys::notify::{self, Asked};

/// What the launcher must be able to see of processes: see [`processes`].
const PROC: &str = "/proc";
/// Most that one call writes.
const MAX_WRITE: u64 = 0x7fff_f000;
const PAGE: u64 = 4096;

/// Decides, and counts.
pub(super) struct Supervisor<'a> {
    listener: OwnedFd,
    processes: &'a OwnedFd,
    bounds: &'a Bounds,
    usage: &'a Usage,
    /// The engine, from the guest's beginning on.
    engine: Option<Pid>,
    /// Threads of the guest that have begun, or were allowed to.
    threads: u32,
    /// Bytes that may hold something and are not counted by the kernel.
    kept: u64,
    /// What of these was found by looking at the engine's memory.
    found: u64,
    /// What was allowed to each thread last, which it may not have done yet.
    granted: HashMap<u32, Effect>,
}

/// What a call does that is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    ThreadBegins,
    ThreadEnds,
    /// So many bytes may no longer be counted.
    Kept(u64),
    Written(u64),
    Makes,
}

enum Decision {
    Allow(Effect),
    /// The guest is told of the limit by this error.
    Refuse(Limit, Errno),
    /// The guest gets an error.
    Forbid(Errno),
    /// The run ends.
    End(Limit),
}

/// The machine's processes, opened before this process leaves the machine's files. `None` if they
/// are those of another process namespace.
pub(super) fn processes() -> Result<Option<OwnedFd>, Errno> {
    let directory = fs::open(PROC, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let own = fs::readlinkat(&directory, "self", Vec::new())?;
    let is_own = own.to_bytes() == std::process::id().to_string().as_bytes();
    Ok(is_own.then_some(directory))
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(listener: OwnedFd, processes: &'a OwnedFd, bounds: &'a Bounds, usage: &'a Usage) -> Self {
        Self {
            listener,
            processes,
            bounds,
            usage,
            engine: None,
            threads: 0,
            kept: 0,
            found: 0,
            granted: HashMap::new(),
        }
    }

    /// Takes one question and answers it; gives the limit that ends the run.
    ///
    /// # Errors
    ///
    /// What the kernel says; the run can't go on then.
    pub(super) fn take(&mut self) -> Result<Option<Limit>, Errno> {
        let Some(asked) = notify::receive(&self.listener)? else { return Ok(None) };
        self.granted.remove(&asked.thread);
        let decision = match self.decide(&asked) {
            // It ended meanwhile, with all that could be looked at.
            Err(_) if !notify::is_waiting(&self.listener, &asked) => return Ok(None),
            decision => decision?,
        };
        let (answer, effect) = match decision {
            Decision::Allow(effect) => (Ok(()), effect),
            Decision::Refuse(limit, error) => {
                self.usage.reached(limit);
                (Err(error), Effect::None)
            }
            Decision::Forbid(error) => (Err(error), Effect::None),
            Decision::End(limit) => return Ok(Some(limit)),
        };
        // A thread that a signal interrupts asks again.
        if !notify::answer(&self.listener, &asked, answer)? {
            return Ok(None);
        }
        match effect {
            Effect::None => return Ok(None),
            Effect::ThreadBegins => self.threads += 1,
            Effect::ThreadEnds => self.threads = self.threads.saturating_sub(1),
            Effect::Kept(_) => {}
            Effect::Written(bytes) => drop(self.usage.written.fetch_add(bytes, Ordering::Relaxed)),
            Effect::Makes => drop(self.usage.files.fetch_add(1, Ordering::Relaxed)),
        }
        self.granted.insert(asked.thread, effect);
        Ok(None)
    }

    /// Whether the guest has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.engine.is_some()
    }

    /// The processor's time of the engine, once the guest has begun.
    pub(super) fn cpu(&self) -> Option<Duration> {
        self.engine.and_then(engine::cpu_time)
    }

    /// Threads that may run at once.
    pub(super) fn runnable(&self) -> u32 {
        self.threads.max(1)
    }

    /// The most memory that the engine had at once, in bytes, as far as it is known yet.
    pub(super) fn peak(&self) -> Option<u64> {
        self.status(self.engine?, "VmHWM:").ok()
    }

    fn decide(&mut self, asked: &Asked) -> Result<Decision, Errno> {
        if self.engine.is_none() {
            if asked.call != libc::SYS_clone {
                return Ok(Decision::Allow(Effect::None));
            }
            if !self.begin(asked.thread)? {
                return Ok(Decision::End(Limit::Memory));
            }
        }
        let argument = |at: usize| asked.arguments[at];
        match asked.call {
            libc::SYS_clone => self.begin_thread(),
            libc::SYS_exit => Ok(Decision::Allow(Effect::ThreadEnds)),
            libc::SYS_mprotect => self.keep(argument(1).next_multiple_of(PAGE)),
            libc::SYS_write | libc::SYS_pwrite64 => self.write(Some(argument(0)), argument(2).min(MAX_WRITE)),
            libc::SYS_fcntl => self.change(argument(0)).map(|change| change.unwrap_or(Decision::Allow(Effect::None))),
            libc::SYS_ftruncate => match self.change(argument(0))? {
                Some(refused) => Ok(refused),
                None => self.write(Some(argument(0)), argument(1)),
            },
            libc::SYS_truncate | libc::SYS_mmap => self.write(None, argument(1)),
            _ => Ok(self.make()),
        }
    }

    /// The guest begins: what it may have is set. Gives whether it fits.
    fn begin(&mut self, thread: u32) -> Result<bool, Errno> {
        let engine = i32::try_from(thread).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        self.engine = Some(engine);
        if let Some(memory) = self.bounds.memory {
            // No more than this is kept; looking which part is takes some milliseconds.
            self.found = self.status(engine, "RssAnon:")?;
            self.kept = self.found;
            let used = self.status(engine, "VmData:")?;
            if used + self.kept > memory {
                return Ok(false);
            }
            limit(engine, Resource::Data, memory - self.kept, memory)?;
            limit(engine, Resource::Stack, STACK, STACK)?;
        }
        let file = self.bounds.file.unwrap_or(u64::MAX);
        limit(engine, Resource::Fsize, file, file)?;
        let open = self.first_numbers(engine)?.min(self.bounds.numbers);
        limit(engine, Resource::Nofile, open, open)?;
        Ok(true)
    }

    fn begin_thread(&mut self) -> Result<Decision, Errno> {
        if self.threads >= self.bounds.threads {
            // A thread that was allowed may have failed to begin.
            let beginning = self.granted.values().filter(|&&effect| effect == Effect::ThreadBegins).count();
            let others = u32::try_from(beginning).unwrap_or(u32::MAX);
            self.threads = self.threads.min(self.count_threads()?.saturating_add(others));
        }
        Ok(if self.threads < self.bounds.threads {
            Decision::Allow(Effect::ThreadBegins)
        } else {
            Decision::Refuse(Limit::Threads, Errno::AGAIN)
        })
    }

    /// The threads of the guest that there are, without the engine's first.
    fn count_threads(&self) -> Result<u32, Errno> {
        let Some(engine) = self.engine else { return Ok(0) };
        let path = format!("{}/task", engine.as_raw_nonzero());
        // A directory for each thread, itself, and the one above.
        let links = fs::statat(self.processes, path, AtFlags::empty())?.st_nlink;
        Ok(u32::try_from(links.saturating_sub(3)).unwrap_or(u32::MAX))
    }

    /// So many bytes are no longer to be written.
    fn keep(&mut self, bytes: u64) -> Result<Decision, Errno> {
        let (Some(engine), Some(memory)) = (self.engine, self.bounds.memory) else {
            return Ok(Decision::Allow(Effect::None));
        };
        // Most was never written, or will be again: from time to time it pays to look.
        if (self.kept - self.found).saturating_add(bytes) > memory / 16 {
            let waiting: u64 =
                self.granted.values().map(|effect| if let Effect::Kept(n) = effect { *n } else { 0 }).sum();
            self.found = self.look(engine)?;
            self.kept = self.found.saturating_add(waiting);
        }
        let kept = self.kept.saturating_add(bytes);
        if kept > memory {
            return Ok(Decision::Refuse(Limit::Memory, Errno::NOMEM));
        }
        self.kept = kept;
        limit(engine, Resource::Data, memory - kept, memory)?;
        Ok(Decision::Allow(Effect::Kept(bytes)))
    }

    /// What a file is, other than its bytes, is changed by its number: no file that was handed in.
    fn change(&self, number: u64) -> Result<Option<Decision>, Errno> {
        let handed = self.file(number)?.filter(|stat| self.bounds.files_handed.contains(&(stat.st_dev, stat.st_ino)));
        Ok(handed.map(|_| Decision::Forbid(Errno::PERM)))
    }

    /// The regular file that is open as this number.
    fn file(&self, number: u64) -> Result<Option<Stat>, Errno> {
        let Some(engine) = self.engine else { return Ok(None) };
        let path = format!("{}/fd/{}", engine.as_raw_nonzero(), number & u64::from(u32::MAX));
        match fs::statat(self.processes, path, AtFlags::empty()) {
            Ok(stat) => Ok(Some(stat).filter(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Bytes are written to the file that is open as this number, or to another file.
    fn write(&self, number: Option<u64>, bytes: u64) -> Result<Decision, Errno> {
        let Some(limit) = self.bounds.write else { return Ok(Decision::Allow(Effect::None)) };
        if let Some(number) = number
            && self.file(number)?.is_none()
        {
            return Ok(Decision::Allow(Effect::None));
        }
        let written = self.usage.written.load(Ordering::Relaxed);
        Ok(if written.saturating_add(bytes) <= limit {
            Decision::Allow(Effect::Written(bytes))
        } else {
            Decision::Refuse(Limit::Write, Errno::DQUOT)
        })
    }

    /// A file is made.
    fn make(&self) -> Decision {
        match self.bounds.files {
            Some(limit) if self.usage.files.load(Ordering::Relaxed) >= limit => {
                Decision::Refuse(Limit::Files, Errno::DQUOT)
            }
            _ => Decision::Allow(Effect::Makes),
        }
    }

    /// A number below which there is room for as many descriptors as the guest may have. (It has
    /// the standard streams already, and those that were handed in; the engine has some of its
    /// own.)
    fn first_numbers(&self, engine: Pid) -> Result<u64, Errno> {
        let path = format!("{}/fd", engine.as_raw_nonzero());
        let directory =
            fs::openat(self.processes, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut taken = Vec::new();
        for entry in Dir::new(directory)? {
            taken.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u64>().ok()));
        }
        taken.sort_unstable();
        let mut left = u64::from(self.bounds.open.saturating_sub(self.bounds.handed));
        let mut next = 0;
        for number in taken {
            if number - next >= left {
                break;
            }
            left -= number - next;
            next = number + 1;
        }
        Ok(next + left)
    }

    /// A number of kilobytes of what the kernel says about the engine, as bytes.
    fn status(&self, engine: Pid, field: &str) -> Result<u64, Errno> {
        let text = self.read(engine, "status")?;
        kilobytes(text.lines(), field).next().ok_or(Errno::IO)
    }

    /// Bytes of private memory that hold something and can't be written.
    fn look(&self, engine: Pid) -> Result<u64, Errno> {
        Ok(unwritable(&self.read(engine, "smaps")?))
    }

    fn read(&self, engine: Pid, name: &str) -> Result<String, Errno> {
        let path = format!("{}/{name}", engine.as_raw_nonzero());
        let file = fs::openat(self.processes, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        // Names of files may be anything.
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl AsFd for Supervisor<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Sets a limit of the engine's: `current` may be changed later, up to `maximum`.
fn limit(engine: Pid, resource: Resource, current: u64, maximum: u64) -> Result<(), Errno> {
    prlimit(Some(engine), resource, caller::lower(resource, current, maximum)).map(drop)
}

/// The numbers of lines such as `VmData:     123 kB`, as bytes.
fn kilobytes<'t>(lines: impl Iterator<Item = &'t str>, field: &str) -> impl Iterator<Item = u64> {
    lines
        .filter_map(move |line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.trim().parse().ok())
        .map(|n: u64| n << 10)
}

/// The sum over the mappings of `smaps` that are private and can't be written.
fn unwritable(smaps: &str) -> u64 {
    let mut counts = false;
    let mut sum = 0;
    for line in smaps.lines() {
        // `55e0-55f0 r-xp 00000000 fe:00 42  /engine/sel_ldr`; no field has a `-` in its name.
        if let Some((range, rest)) = line.split_once(' ')
            && range.contains('-')
        {
            let access = rest.as_bytes();
            counts = access.get(1) == Some(&b'-') && access.get(3) == Some(&b'p');
        } else if counts {
            sum += kilobytes(std::iter::once(line), "Anonymous:").next().unwrap_or(0);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_can_no_longer_be_written_is_found() {
        let text = "\
10000-20000 rw-p 00000000 00:00 0 \nRss: 64 kB\nAnonymous:    64 kB\n\
20000-30000 r--p 00000000 00:00 0 \nRss: 64 kB\nAnonymous:    12 kB\n\
30000-40000 r-xs 00000000 00:01 7  /dev/shm/x (deleted)\nAnonymous:     8 kB\n\
40000-50000 ---p 00000000 00:00 0  [a-b rw-p]\nAnonymous:     4 kB\nVmFlags: mr mw me\n";
        assert_eq!(unwritable(text), 16 << 10);
        assert_eq!(kilobytes("A: 1 kB\nVmData:\t  20 kB".lines(), "VmData:").next(), Some(20 << 10));
    }
}
