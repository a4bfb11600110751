//! The command line of `run`, read but not yet acted on. A front for another target reads the same
//! options.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;

use crate::limits::{self, Limit, Limits, Profile};
use crate::print;
use crate::vfs::{Access, Crossing, GuestPath, INSTALLED};

/// What `run` prints when it is called without arguments, and for `--help`.
pub const USAGE: &str = "\
usage: run [OPTIONS] PROGRAM [ARGUMENTS...]

Runs PROGRAM, a path that the guest sees or a short name such as `python`, in a sandbox: it sees the mounted
directories and nothing else of this machine.

  -m HOST:VIRTUAL:ro|rw   mount the directory HOST at VIRTUAL, read-only or for writing; repeatable.
                          Without any -m: DEST/root:/:ro, where DEST is the installation of this program
      --follow-links      follow symbolic links in HOST and FILE that a guest or another user may have made
      --allow-root-writes  let the guest change what packages installed, where DEST/root is mounted for writing
      --cross-mounts      let the guest also into what this machine has mounted below the directories HOST
                          (never into procfs, sysfs and other file systems that are interfaces of the kernel)
  -h D:d                  hand the open descriptor D to the guest as descriptor d
  -r D:d                  the same, for reading only
  -w D:d                  the same, for writing only
  -E NAME=VALUE           set a variable of the guest's environment, which is otherwise empty; repeatable
  -p                      pass this process's environment
  -l FILE                 append the log to FILE (default: standard error)
  -v                      log more; repeatable
      --die-with-parent   be killed when the process ends that started this one
      --time SECONDS      end the run after so long: status 124 (SECONDS may have decimals)
      --cpu SECONDS       end it when it has used so much of the processor's time: status 152
      --max-memory MIB    most memory of this machine that the guest costs in all, up to 4096 (the default)
      --max-output BYTES  let so much leave by the streams and descriptors, then end the run: status 153
                          (BYTES, and MIB, too, may have a suffix: 64K, 10M, 2G)
      --max-file BYTES    the longest file that the guest may write: EFBIG beyond
      --max-write BYTES   how much it may write to files in all: EDQUOT beyond
      --max-files N       how many files, directories and links it may make: EDQUOT beyond
      --max-open N        the numbers of its descriptors are below N, at most 1024 (the default): EMFILE beyond
      --threads N         how many threads it may have: EAGAIN beyond (WebAssembly has one)
      --tmpfs GUEST:BYTES mount an empty folder in memory at GUEST, of this size: ENOSPC beyond; repeatable
      --profile strict    give all limits that are not given values for programs of strangers
      --fixed-time[=SECONDS]  all clocks stand at so many seconds after 1970, and files have that time; without
                          a number at 1980-01-02, the time of all installed files
      --hide-inodes       tell the guest numbers of its own for inodes, devices and links
      --status-fd N       write one line of JSON about how the run ended to the open descriptor N
      --engine wasmtime|native
                          what runs the program's code: wasmtime (if nothing is said), or native code that a
                          package brought, which `pynbox-build install DEST PACKAGE --engine native` installs
      --precompile [--code-cache DIR] [--init-time SECONDS] PATH...
                          compile the programs and libraries at these guest paths ahead of time, then end; DIR
                          keeps what was compiled for other installations of this user; SECONDS is how long the
                          initialisation of a program may take, for its snapshot (60)
      --check             say which walls this machine gives around a guest, and what to change: status 0, all;
                          1, guests can be run with less; 3, none can be run
      --help              print this

What follows PROGRAM belongs to the guest. Exit status: the guest's own; 2 wrong usage or no such program;
3 something of this machine is in the way; 70 a fault of this program; 134 the guest did what no program may
(a trap); 137 it needs more memory than it may have; 124, 152, 153 as above; 128 and N: signal N.
";

/// A mount as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    /// The host's directory.
    pub host: PathBuf,
    /// Where the guest sees it.
    pub at: GuestPath,
    /// What the guest may do there.
    pub access: Access,
}

/// A descriptor to hand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOption {
    /// The number in this process.
    pub host: i32,
    /// The guest's number.
    pub guest: u32,
    /// Whether the guest may read from it.
    pub read: bool,
    /// Whether the guest may write to it.
    pub write: bool,
}

/// What runs the code of a guest of WebAssembly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineName {
    /// Code that wasmtime compiled.
    #[default]
    Wasmtime,
    /// Native code that a package brought.
    Native,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Run this program with these arguments (`argv[0]` is not among them).
    Run(OsString, Vec<OsString>),
    /// Compile the modules at these guest paths ahead of time: at least one.
    Precompile {
        /// The modules.
        paths: Vec<OsString>,
        /// The folder with code that was compiled before, by whichever installation.
        cache: Option<PathBuf>,
        /// How many seconds each initialisation may take.
        init_time: Option<u16>,
    },
    /// Say which walls this machine gives.
    Check,
    /// Print the usage to standard output.
    #[default]
    Help,
}

/// The whole command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-m`.
    pub mounts: Vec<MountOption>,
    /// `--cross-mounts`.
    pub crossing: Crossing,
    /// `--follow-links`.
    pub follow_links: bool,
    /// `--allow-root-writes`.
    pub root_writes: bool,
    /// `--die-with-parent`.
    pub die_with_parent: bool,
    /// `-h`, `-r`, `-w`.
    pub hands: Vec<HandOption>,
    /// `-E`, in order: name and value joined by `=`.
    pub env: Vec<Vec<u8>>,
    /// `-p`.
    pub pass_env: bool,
    /// `-l`.
    pub log: Option<PathBuf>,
    /// How often `-v` was given.
    pub verbosity: u32,
    /// What the run may use.
    pub limits: Limits,
    /// `--fixed-time`, since 1970.
    pub fixed_time: Option<Duration>,
    /// `--hide-inodes`.
    pub hide_inodes: bool,
    /// `--engine`.
    pub engine: Option<EngineName>,
    /// `--status-fd`.
    pub status_fd: Option<i32>,
    /// What to do.
    pub task: Task,
}

/// Why a command line can't be read.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// Nothing was given.
    #[error("no program given")]
    Empty,
    /// An option that is not known, or lacks its value.
    #[error("{0}; `run --help` lists the options")]
    Option(#[from] lexopt::Error),
    /// `-m` with a wrong value.
    #[error("`-m {0}`: {1}; write it as HOST:VIRTUAL:ro or HOST:VIRTUAL:rw, with VIRTUAL beginning with `/`")]
    Mount(String, &'static str),
    /// `-h`, `-r` or `-w` with a wrong value.
    #[error("`{0} {1}`: {2}; write it as D:d, the descriptor's number here and the guest's")]
    Hand(&'static str, String, &'static str),
    /// `-E` with a wrong value.
    #[error("`-E {0}` has no `=` after a name; write it as NAME=VALUE")]
    Env(String),
    /// `--precompile` without a module.
    #[error("`--precompile` needs the guest path of a module")]
    NothingToCompile,
    /// `--init-time` with a wrong value.
    #[error("`--init-time {0}` is no number of seconds from 1 to 65535")]
    InitTime(String),
    /// A limit with a wrong value.
    #[error("`{0} {1}`: {2}")]
    Limit(&'static str, String, &'static str),
    /// `--profile` with a wrong value.
    #[error("there is no profile `{0}`; there is `strict`")]
    Profile(String),
    /// `--fixed-time` with a wrong value.
    #[error("`--fixed-time={0}` is no number of seconds since 1970, up to 9223372036")]
    FixedTime(String),
    /// `--engine` with a wrong value.
    #[error("there is no engine `{0}`; there are `wasmtime` and `native`")]
    Engine(String),
    /// `--status-fd` with a wrong value.
    #[error("`--status-fd {0}` is no number of a descriptor")]
    StatusFd(String),
    /// Two things for one place.
    #[error("`--tmpfs` and `-m` both name `{0}`; leave one of them out")]
    Place(GuestPath),
    /// A limit where there is no guest.
    #[error("`{0}` has no meaning with `--precompile`; leave it out")]
    NoGuest(&'static str),
}

impl Options {
    /// Reads the arguments that follow the program's own name.
    ///
    /// # Errors
    ///
    /// [`UsageError`], which names the argument and what it should be.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut options = Self::default();
        options.read(args).map(|()| options)
    }

    /// Reads the arguments as [`Options::parse`] does. After an error, what was read before it
    /// is there: who is to be told of it, too.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn read(&mut self, args: impl IntoIterator<Item = OsString>) -> Result<(), UsageError> {
        let mut parser = lexopt::Parser::from_args(args);
        let mut profile = None;
        self.task = loop {
            match parser.next()?.ok_or(UsageError::Empty)? {
                Arg::Short('m') => self.mounts.push(mount(&parser.value()?)?),
                Arg::Short('h') => self.hands.push(hand("-h", &parser.value()?, true, true)?),
                Arg::Short('r') => self.hands.push(hand("-r", &parser.value()?, true, false)?),
                Arg::Short('w') => self.hands.push(hand("-w", &parser.value()?, false, true)?),
                Arg::Short('E') => self.env.push(env(parser.value()?)?),
                Arg::Short('p') => self.pass_env = true,
                Arg::Short('l') => self.log = Some(parser.value()?.into()),
                Arg::Short('v') => self.verbosity += 1,
                Arg::Long("cross-mounts") => self.crossing = Crossing::Allowed,
                Arg::Long("follow-links") => self.follow_links = true,
                Arg::Long("allow-root-writes") => self.root_writes = true,
                Arg::Long("die-with-parent") => self.die_with_parent = true,
                Arg::Long("fixed-time") => self.fixed_time = Some(fixed_time(parser.optional_value())?),
                Arg::Long("hide-inodes") => self.hide_inodes = true,
                Arg::Long("profile") => profile = Some(named_profile(&parser.value()?)?),
                Arg::Long("engine") => self.engine = Some(engine(&parser.value()?)?),
                Arg::Long("status-fd") => self.status_fd = Some(status_fd(&parser.value()?)?),
                Arg::Long("check") => break Task::Check,
                Arg::Long("precompile") => break precompile(&mut parser)?,
                Arg::Long("help") => return Ok(()),
                Arg::Long(name) if let Some(limit) = Limit::of_option(name) => {
                    let value = parser.value()?;
                    let wrong = |why| UsageError::Limit(limit.row().option, print::shown(value.as_bytes()), why);
                    self.limits.set(limit, &value).map_err(wrong)?;
                }
                Arg::Value(program) => break Task::Run(program, parser.raw_args()?.collect()),
                other => return Err(other.unexpected().into()),
            }
        };
        let places: Vec<&GuestPath> = self.mounts.iter().map(|mount| &mount.at).collect();
        if let Some(folder) = self.limits.tmpfs.iter().find(|folder| places.contains(&&folder.at)) {
            return Err(UsageError::Place(folder.at.clone()));
        }
        if let Task::Precompile { .. } = self.task {
            let without_meaning = |limit: &Limit| !matches!(limit, Limit::Time | Limit::Cpu);
            let limit = self.limits.given().find(without_meaning).map(|limit| limit.row().option);
            let others = [
                (profile.is_some(), "--profile"),
                (self.fixed_time.is_some(), "--fixed-time"),
                (self.hide_inodes, "--hide-inodes"),
                (self.engine.is_some(), "--engine"),
            ];
            let other = others.into_iter().find_map(|(is_given, option)| is_given.then_some(option));
            if let Some(option) = limit.or(other) {
                return Err(UsageError::NoGuest(option));
            }
        }
        if let Some(profile) = profile {
            self.limits.complete(profile, &places);
        }
        Ok(())
    }
}

fn precompile(parser: &mut lexopt::Parser) -> Result<Task, UsageError> {
    let mut paths = Vec::new();
    let (mut cache, mut init_time) = (None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(path) => paths.push(path),
            Arg::Long("code-cache") => cache = Some(parser.value()?.into()),
            Arg::Long("init-time") => init_time = Some(seconds(&parser.value()?)?),
            extra => return Err(extra.unexpected().into()),
        }
    }
    if paths.is_empty() {
        return Err(UsageError::NothingToCompile);
    }
    Ok(Task::Precompile { paths, cache, init_time })
}

fn seconds(value: &OsStr) -> Result<u16, UsageError> {
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|&seconds| seconds > 0);
    number.ok_or_else(|| UsageError::InitTime(print::shown(value.as_bytes())))
}

fn named_profile(name: &OsStr) -> Result<Profile, UsageError> {
    Profile::named(name).ok_or_else(|| UsageError::Profile(print::shown(name.as_bytes())))
}

fn engine(name: &OsStr) -> Result<EngineName, UsageError> {
    match name.to_str() {
        Some("wasmtime") => Ok(EngineName::Wasmtime),
        Some("native") => Ok(EngineName::Native),
        _ => Err(UsageError::Engine(print::shown(name.as_bytes()))),
    }
}

/// Latest time that a clock may stand at: nanoseconds have to fit 63 bits.
const LATEST: Duration = Duration::from_secs(i64::MAX as u64 / 1_000_000_000);

fn fixed_time(value: Option<OsString>) -> Result<Duration, UsageError> {
    let Some(value) = value else { return Ok(Duration::from_secs(INSTALLED)) };
    let time = limits::decimal(&value).filter(|&time| time <= LATEST);
    time.ok_or_else(|| UsageError::FixedTime(print::shown(value.as_bytes())))
}

fn status_fd(value: &OsStr) -> Result<i32, UsageError> {
    let number = limits::number(value).and_then(|number| i32::try_from(number).ok());
    number.ok_or_else(|| UsageError::StatusFd(print::shown(value.as_bytes())))
}

/// The host's part may hold colons: the other two are taken from the end.
fn mount(value: &OsStr) -> Result<MountOption, UsageError> {
    let wrong = |why| UsageError::Mount(print::shown(value.as_bytes()), why);
    let mut parts = value.as_bytes().rsplitn(3, |&b| b == b':');
    let access = match parts.next() {
        Some(b"ro") => Access::ReadOnly,
        Some(b"rw") => Access::ReadWrite,
        _ => return Err(wrong("it does not end in `:ro` or `:rw`")),
    };
    let at = parts.next().ok_or_else(|| wrong("the virtual path is missing"))?;
    let at = GuestPath::parse_absolute(at).ok_or_else(|| wrong("the virtual path is not absolute, or holds `..`"))?;
    match parts.next() {
        Some(host) if !host.is_empty() => Ok(MountOption { host: PathBuf::from(OsStr::from_bytes(host)), at, access }),
        _ => Err(wrong("the host's directory is missing")),
    }
}

fn hand(option: &'static str, value: &OsStr, read: bool, write: bool) -> Result<HandOption, UsageError> {
    let wrong = |why| UsageError::Hand(option, print::shown(value.as_bytes()), why);
    let text = value.to_str().ok_or_else(|| wrong("that is no number"))?;
    let (host, guest) = text.split_once(':').ok_or_else(|| wrong("the `:` is missing"))?;
    let number = |text: &str| match text.parse::<u16>() {
        Ok(number) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(wrong("that is no number of a descriptor")),
    };
    let (host, guest) = (i32::from(number(host)?), u32::from(number(guest)?));
    if guest >= 1024 {
        return Err(wrong("the guest's descriptors end at 1023"));
    }
    Ok(HandOption { host, guest, read, write })
}

fn env(value: OsString) -> Result<Vec<u8>, UsageError> {
    match value.as_bytes().iter().position(|&b| b == b'=') {
        None | Some(0) => Err(UsageError::Env(print::shown(value.as_bytes()))),
        Some(_) => Ok(value.into_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(OsString::from)).map_err(|e| e.to_string())
    }

    #[test]
    fn what_follows_the_program_is_the_guests() {
        let options = parse("-v -E A=1 -p python -c pass -v -m x").unwrap();
        let args = ["-c", "pass", "-v", "-m", "x"].map(OsString::from).to_vec();
        assert_eq!(options.task, Task::Run("python".into(), args));
        assert_eq!((options.verbosity, options.pass_env, options.env), (1, true, vec![b"A=1".to_vec()]));
    }

    #[test]
    fn mounts_are_read_from_their_end() {
        let options = parse("-m /a:b:/data:rw /x").unwrap();
        let expected = MountOption {
            host: "/a:b".into(),
            at: GuestPath::parse_absolute(b"/data").unwrap(),
            access: Access::ReadWrite,
        };
        assert_eq!(options.mounts, [expected]);
        for wrong in ["/a:/b", "/a:/b:rx", "/a:b:ro", "/a:/../b:ro", ":/b:ro", "/b:ro"] {
            assert!(parse(&format!("-m {wrong} /x")).unwrap_err().contains("HOST:VIRTUAL"), "{wrong}");
        }
    }

    #[test]
    fn descriptors() {
        let options = parse("-h5:5 -r 0:7 -w 1:8 /x").unwrap();
        let all: Vec<_> = options.hands.iter().map(|h| (h.host, h.guest, h.read, h.write)).collect();
        assert_eq!(all, [(5, 5, true, true), (0, 7, true, false), (1, 8, false, true)]);
        for wrong in ["5", "5:", ":5", "-1:5", "5:1024", "5:99999", "+5:5"] {
            assert!(parse(&format!("-h {wrong} /x")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_count_more_than_a_profile_whatever_the_order() {
        for text in ["--time 99 --max-memory 64 --profile strict /x", "--profile strict --max-memory 64 --time 99 /x"] {
            let limits = parse(text).unwrap().limits;
            assert_eq!((limits.time.map(|t| t.as_secs()), limits.memory_mib()), (Some(99), 64), "{text}");
            assert_eq!((limits.output, limits.tmpfs.len()), (Some(1 << 20), 1), "{text}");
        }
        assert_eq!(parse("-m /a:/tmp:rw --profile strict /x").unwrap().limits.tmpfs, []);
        assert_eq!(parse("/x --time 5").unwrap().limits, Limits::default());
    }

    #[test]
    fn who_is_told_is_known_before_an_error() {
        let mut options = Options::default();
        let args = ["--status-fd", "5", "--bogus"].map(OsString::from);
        assert!(options.read(args).is_err());
        assert_eq!(options.status_fd, Some(5));
    }

    #[test]
    fn the_usage_names_every_limit() {
        for row in &limits::TABLE {
            let line = USAGE.lines().find(|line| line.contains(&format!(" {} {}", row.option, row.value)));
            assert!(line.is_some(), "`{}`", row.option);
            let stated = row.status.map(|status| status.to_string()).or(row.told.map(str::to_owned));
            assert!(USAGE.contains(&stated.unwrap_or_default()), "`{}`", row.option);
        }
    }

    #[test]
    fn wrong_usage_is_said() {
        assert!(matches!(Options::parse([]), Err(UsageError::Empty)));
        assert!(matches!(Options::parse(["-v".into()]), Err(UsageError::Empty)));
        assert!(parse("-E =1 /x").unwrap_err().contains("NAME=VALUE"));
        assert!(parse("--max-memory 0 /x").unwrap_err().starts_with("`--max-memory 0`: that is no number"));
        assert!(parse("--profile lax /x").unwrap_err().contains("`strict`"));
        assert_eq!(parse("--fixed-time /x").unwrap().fixed_time, Some(Duration::from_secs(315_619_200)));
        assert_eq!(parse("--fixed-time=0.5 /x").unwrap().fixed_time, Some(Duration::from_millis(500)));
        assert_eq!(parse("--fixed-time=0 /x").unwrap().fixed_time, Some(Duration::ZERO));
        assert!(parse("--fixed-time=x /x").is_err() && parse("--fixed-time=9223372037 /x").is_err());
        assert!(parse("--status-fd -1 /x").is_err() && parse("--status-fd x /x").is_err());
        assert_eq!(parse("--engine native /x").unwrap().engine, Some(EngineName::Native));
        assert!(parse("--engine wasm3 /x").unwrap_err().contains("there are `wasmtime` and `native`"));
        assert!(parse("--engine native --precompile /x").unwrap_err().contains("`--engine` has no meaning"));
        assert!(parse("-m /a:/tmp:ro --tmpfs /tmp:1M /x").unwrap_err().contains("`/tmp`"));
        assert!(parse("--max-output 5 --precompile /x").unwrap_err().contains("`--max-output`"));
        assert!(parse("--profile strict --precompile /x").unwrap_err().contains("`--profile`"));
        assert!(parse("--time 5 --precompile /x").is_ok());
        assert!(parse("-q /x").unwrap_err().contains("--help"));
        assert!(parse("--precompile").is_err() && parse("--precompile /x -v").is_err());
        let paths = ["/x", "/y.so"].map(OsString::from).to_vec();
        let task = Task::Precompile { paths, cache: None, init_time: None };
        assert_eq!(parse("--precompile /x /y.so").unwrap().task, task);
        let cached = parse("--precompile --code-cache /c --init-time 5 /x").unwrap().task;
        let task = Task::Precompile { paths: vec!["/x".into()], cache: Some("/c".into()), init_time: Some(5) };
        assert_eq!(cached, task);
        for wrong in ["0", "x", "70000", "-1"] {
            assert!(
                parse(&format!("--precompile --init-time={wrong} /x")).unwrap_err().contains("from 1 to"),
                "{wrong}"
            );
        }
        assert!(parse("--precompile --code-cache /c").is_err() && parse("--code-cache /c /x").is_err());
    }
}
