//! What a run may use, as the command line sets it: one table of all limits, their values, and the
//! profiles that set many of them at once.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use crate::vfs::{DESCRIPTORS_MAX, GuestPath};

/// A limit that the owner of a run sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Limit {
    /// Seconds on the clock.
    Time,
    /// Seconds of the processor, of the guest and of what is compiled for it.
    Cpu,
    /// Bytes of the host's memory.
    Memory,
    /// Bytes that leave by the standard streams and the descriptors that were handed in.
    Output,
    /// Bytes of one file.
    File,
    /// Bytes written to files in all.
    Write,
    /// Files made.
    Files,
    /// Numbers of descriptors.
    Open,
    /// Threads.
    Threads,
    /// Bytes of a folder in memory.
    Tmpfs,
}

/// What the table says of one limit.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which one.
    pub limit: Limit,
    /// The option that sets it.
    pub option: &'static str,
    /// What the option takes.
    pub value: &'static str,
    /// The name in the line of `--status-fd`.
    pub word: &'static str,
    /// How a guest that reaches it is told, if it is.
    pub told: Option<&'static str>,
    /// The exit status of a run that it ends, if it does.
    pub status: Option<u8>,
    /// The value that `--profile strict` gives.
    pub strict: &'static str,
}

/// Every limit, in the order of [`Limit`]. `--help` and the documentation are compared with it.
pub const TABLE: [Row; 10] = [
    row(Limit::Time, "--time", "SECONDS", "time", None, Some(124), "10"),
    row(Limit::Cpu, "--cpu", "SECONDS", "cpu", None, Some(152), "10"),
    row(Limit::Memory, "--max-memory", "MIB", "memory", Some("ENOMEM"), Some(137), "256"),
    row(Limit::Output, "--max-output", "BYTES", "output", None, Some(153), "1M"),
    row(Limit::File, "--max-file", "BYTES", "file", Some("EFBIG"), None, "64M"),
    row(Limit::Write, "--max-write", "BYTES", "write", Some("EDQUOT"), None, "256M"),
    row(Limit::Files, "--max-files", "N", "files", Some("EDQUOT"), None, "10000"),
    row(Limit::Open, "--max-open", "N", "open", Some("EMFILE"), None, "256"),
    row(Limit::Threads, "--threads", "N", "threads", Some("EAGAIN"), None, "16"),
    row(Limit::Tmpfs, "--tmpfs", "GUEST:BYTES", "tmpfs", Some("ENOSPC"), None, "/tmp:64M"),
];

const fn row(
    limit: Limit,
    option: &'static str,
    value: &'static str,
    word: &'static str,
    told: Option<&'static str>,
    status: Option<u8>,
    strict: &'static str,
) -> Row {
    Row { limit, option, value, word, told, status, strict }
}

impl Limit {
    /// Its row of the table.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The limit that this option sets; `name` is without the dashes.
    pub fn of_option(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.option.strip_prefix("--") == Some(name)).map(|row| row.limit)
    }
}

/// A folder in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where the guest sees it.
    pub at: GuestPath,
    /// Most bytes that its files hold.
    pub size: u64,
}

/// A set of values that an owner asks for by one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For programs of strangers.
    Strict,
}

impl Profile {
    /// The profile of this name.
    pub fn named(name: &OsStr) -> Option<Self> {
        (name.as_bytes() == b"strict").then_some(Self::Strict)
    }
}

/// What the command line says of each limit; `None` is what it does not mention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `--time`.
    pub time: Option<Duration>,
    /// `--cpu`.
    pub cpu: Option<Duration>,
    /// `--max-memory`, in bytes.
    pub memory: Option<u64>,
    /// `--max-output`.
    pub output: Option<u64>,
    /// `--max-file`.
    pub file: Option<u64>,
    /// `--max-write`.
    pub write: Option<u64>,
    /// `--max-files`.
    pub files: Option<u64>,
    /// `--max-open`.
    pub open: Option<u32>,
    /// `--threads`.
    pub threads: Option<u32>,
    /// `--tmpfs`, of several at one place the last.
    pub tmpfs: Vec<Tmpfs>,
}

/// Most memory that 32-bit WebAssembly can address, and what a guest may have by default.
pub const MEMORY_MAX: u64 = 4096 << 20;
/// The unit of a plain number for `--max-memory`.
const MIB: u64 = 1 << 20;
/// More seconds than any run takes; the sum with every clock fits 64 bits of nanoseconds.
const SECONDS_MAX: u64 = 1_000_000_000;

impl Limits {
    /// Most bytes of memory.
    pub fn memory(&self) -> u64 {
        self.memory.unwrap_or(MEMORY_MAX)
    }

    /// Most bytes of memory in whole MiB, at least one.
    pub fn memory_mib(&self) -> u32 {
        u32::try_from((self.memory() / MIB).max(1)).unwrap_or(u32::MAX)
    }

    /// One more than the highest number that a descriptor of the guest's may get.
    pub fn open(&self) -> usize {
        self.open.map_or(DESCRIPTORS_MAX, |open| open as usize)
    }

    /// Sets one limit to what its option was given.
    ///
    /// # Errors
    ///
    /// What the value should be, in words.
    pub fn set(&mut self, limit: Limit, value: &OsStr) -> Result<(), &'static str> {
        match limit {
            Limit::Time => self.time = Some(seconds(value)?),
            Limit::Cpu => self.cpu = Some(seconds(value)?),
            Limit::Memory => self.memory = Some(memory(value)?),
            Limit::Output => self.output = Some(bytes(value)?),
            Limit::File => self.file = Some(bytes(value)?),
            Limit::Write => self.write = Some(bytes(value)?),
            Limit::Files => self.files = Some(number(value).ok_or(NUMBER)?),
            Limit::Open => self.open = Some(open(value)?),
            Limit::Threads => self.threads = Some(threads(value)?),
            Limit::Tmpfs => {
                let new = tmpfs(value)?;
                self.tmpfs.retain(|old| old.at != new.at);
                self.tmpfs.push(new);
            }
        }
        Ok(())
    }

    /// Gives the limits that the command line does not mention the values of a profile. A place in
    /// `taken` gets no folder in memory: something else is to be there.
    pub fn complete(&mut self, profile: Profile, taken: &[&GuestPath]) {
        let Profile::Strict = profile;
        let mut strict = Self::default();
        for row in &TABLE {
            // The table is right: a test sets each of its values.
            let _ = strict.set(row.limit, OsStr::new(row.strict));
        }
        self.time = self.time.or(strict.time);
        self.cpu = self.cpu.or(strict.cpu);
        self.memory = self.memory.or(strict.memory);
        self.output = self.output.or(strict.output);
        self.file = self.file.or(strict.file);
        self.write = self.write.or(strict.write);
        self.files = self.files.or(strict.files);
        self.open = self.open.or(strict.open);
        self.threads = self.threads.or(strict.threads);
        for folder in strict.tmpfs {
            if !taken.contains(&&folder.at) && self.tmpfs.iter().all(|own| own.at != folder.at) {
                self.tmpfs.push(folder);
            }
        }
    }

    /// The limits that are set.
    pub fn given(&self) -> impl Iterator<Item = Limit> {
        let is_set = [
            self.time.is_some(),
            self.cpu.is_some(),
            self.memory.is_some(),
            self.output.is_some(),
            self.file.is_some(),
            self.write.is_some(),
            self.files.is_some(),
            self.open.is_some(),
            self.threads.is_some(),
            !self.tmpfs.is_empty(),
        ];
        TABLE.iter().zip(is_set).filter_map(|(row, is_set)| is_set.then_some(row.limit))
    }
}

const NUMBER: &str = "that is no number up to 18446744073709551615";

/// A number without a sign.
pub(crate) fn number(text: &OsStr) -> Option<u64> {
    let text = text.to_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

/// Bytes: a number, or one with a suffix of a power of 1024.
fn bytes(value: &OsStr) -> Result<u64, &'static str> {
    sized(value, 1).ok_or("that is no number of bytes up to 18446744073709551615; write it as 1000000, 64K, 10M or 2G")
}

/// A number in this unit, or with a suffix in its.
fn sized(value: &OsStr, unit: u64) -> Option<u64> {
    let (digits, unit) = match value.as_bytes().split_last()? {
        (b'K' | b'k', digits) => (digits, 1 << 10),
        (b'M' | b'm', digits) => (digits, 1 << 20),
        (b'G' | b'g', digits) => (digits, 1 << 30),
        _ => (value.as_bytes(), unit),
    };
    number(OsStr::from_bytes(digits))?.checked_mul(unit)
}

fn memory(value: &OsStr) -> Result<u64, &'static str> {
    sized(value, MIB)
        .filter(|size| (MIB..=MEMORY_MAX).contains(size))
        .ok_or("that is no number from 1 to 4096, of MiB, and no such size with a suffix; write it as 256, 512M or 2G")
}

fn open(value: &OsStr) -> Result<u32, &'static str> {
    let open = number(value).and_then(|open| u32::try_from(open).ok());
    open.filter(|&open| open as usize <= DESCRIPTORS_MAX).ok_or("that is no number from 0 to 1024")
}

fn threads(value: &OsStr) -> Result<u32, &'static str> {
    let threads = number(value).and_then(|threads| u32::try_from(threads).ok());
    threads.filter(|&threads| threads > 0).ok_or("that is no number from 1 to 4294967295")
}

/// Seconds, with decimals or without.
fn seconds(value: &OsStr) -> Result<Duration, &'static str> {
    let time = decimal(value).filter(|time| !time.is_zero() && time.as_secs() <= SECONDS_MAX);
    time.ok_or("that is no number of seconds above 0 and up to 1000000000; write it as 10 or 0.5")
}

/// A number of seconds without a sign. What is less than a nanosecond counts for nothing.
pub(crate) fn decimal(text: &OsStr) -> Option<Duration> {
    let text = text.to_str()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: String = part.chars().chain("000000000".chars()).take(9).collect();
    Some(Duration::new(number(OsStr::new(whole))?, nanoseconds.parse().ok()?))
}

fn tmpfs(value: &OsStr) -> Result<Tmpfs, &'static str> {
    let text = value.as_bytes();
    let colon = text.iter().rposition(|&b| b == b':').ok_or("the size is missing; write it as /tmp:64M")?;
    let at = GuestPath::parse_absolute(&text[..colon])
        .ok_or("the guest's path is not absolute, or holds `..`; write it as /tmp:64M")?;
    let size = bytes(OsStr::from_bytes(&text[colon + 1..]))?;
    if size == 0 {
        return Err("a folder of no size holds nothing; write it as /tmp:64M");
    }
    Ok(Tmpfs { at, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(limit: Limit, value: &str) -> Result<Limits, &'static str> {
        let mut limits = Limits::default();
        limits.set(limit, OsStr::new(value)).map(|()| limits)
    }

    #[test]
    fn the_table_is_in_the_order_of_the_limits() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!((row.limit as usize, row.limit.row().option), (index, row.option));
            assert_eq!(Limit::of_option(&row.option[2..]), Some(row.limit));
            assert_eq!(set(row.limit, row.strict).map(|limits| limits.given().collect()), Ok(vec![row.limit]));
            assert!(row.told.is_some() || row.status.is_some(), "`{}` does nothing", row.option);
        }
    }

    #[test]
    fn sizes_have_suffixes() {
        let output = |value: &str| set(Limit::Output, value).map(|limits| limits.output.unwrap());
        assert_eq!((output("0"), output("1000")), (Ok(0), Ok(1000)));
        assert_eq!((output("2K"), output("3m"), output("1G")), (Ok(2048), Ok(3 << 20), Ok(1 << 30)));
        assert_eq!(output("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["", "K", "-1", "+1", "1.5M", "1 M", "1T", "1KB", "18446744073709551616", "17179869184G", "0x10"] {
            assert!(output(wrong).is_err(), "{wrong}");
        }
        let memory = |value: &str| set(Limit::Memory, value).map(|limits| limits.memory());
        assert_eq!((memory("64"), memory("64M"), memory("2G")), (Ok(64 << 20), Ok(64 << 20), Ok(2 << 30)));
        assert_eq!((memory("4096"), memory("1536K")), (Ok(MEMORY_MAX), Ok(1536 << 10)));
        for wrong in ["0", "4097", "5G", "1023K", "x"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_may_have_decimals() {
        let time = |value: &str| set(Limit::Time, value).map(|limits| limits.time.unwrap());
        assert_eq!((time("10"), time("0.5")), (Ok(Duration::from_secs(10)), Ok(Duration::from_millis(500))));
        assert_eq!(time("1.000000001"), Ok(Duration::new(1, 1)));
        assert_eq!(time("1.0000000019"), Ok(Duration::new(1, 1)));
        assert_eq!(time("1000000000"), Ok(Duration::from_secs(SECONDS_MAX)));
        for wrong in [
            "",
            "0",
            "0.0",
            "-1",
            "1e3",
            "inf",
            "NaN",
            "1.5.5",
            "1,5",
            ".",
            "1.",
            ".5",
            "1000000001",
            "1.x",
            "1.00000000000x",
        ] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_beyond_the_most_is_told_the_most() {
        for (limit, value, most) in [
            (Limit::Threads, "99999999999", u64::from(u32::MAX)),
            (Limit::Time, "1000000001", SECONDS_MAX),
            (Limit::Cpu, "99999999999999999999", SECONDS_MAX),
            (Limit::Output, "99999999999999999999", u64::MAX),
            (Limit::File, "17179869184G", u64::MAX),
            (Limit::Write, "99999999999999999999K", u64::MAX),
            (Limit::Files, "99999999999999999999", u64::MAX),
            (Limit::Open, "1025", DESCRIPTORS_MAX as u64),
            (Limit::Memory, "4097", MEMORY_MAX / MIB),
            (Limit::Tmpfs, "/tmp:99999999999999999999", u64::MAX),
        ] {
            let why = set(limit, value).unwrap_err();
            assert!(why.contains(&most.to_string()), "`{} {value}`: {why}", limit.row().option);
        }
    }

    #[test]
    fn folders_in_memory_have_a_place_and_a_size() {
        let at = |path: &str| GuestPath::parse_absolute(path.as_bytes()).unwrap();
        assert_eq!(set(Limit::Tmpfs, "/a:b:1K").map(|l| l.tmpfs), Ok(vec![Tmpfs { at: at("/a:b"), size: 1024 }]));
        for wrong in ["/tmp", "tmp:1M", "/tmp:", "/tmp:0", "/a/../b:1M", ":1M", "/tmp:x"] {
            assert!(set(Limit::Tmpfs, wrong).is_err(), "{wrong}");
        }
        let mut limits = set(Limit::Tmpfs, "/tmp:1M").unwrap();
        limits.set(Limit::Tmpfs, OsStr::new("/tmp/:2M")).unwrap();
        assert_eq!(limits.tmpfs, [Tmpfs { at: at("/tmp"), size: 2 << 20 }]);
    }

    #[test]
    fn a_profile_changes_nothing_that_was_said() {
        let mut limits = Limits { time: Some(Duration::from_secs(99)), open: Some(5), ..Limits::default() };
        limits.complete(Profile::Strict, &[]);
        assert_eq!((limits.time, limits.open), (Some(Duration::from_secs(99)), Some(5)));
        assert_eq!((limits.cpu, limits.memory()), (Some(Duration::from_secs(10)), 256 << 20));
        assert_eq!(limits.given().count(), TABLE.len());
        let tmp = GuestPath::parse_absolute(b"/tmp").unwrap();
        let mut limits = Limits::default();
        limits.complete(Profile::Strict, &[&tmp]);
        assert_eq!(limits.tmpfs, []);
    }
}
