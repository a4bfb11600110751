//! The command line of `run`, read but not yet acted on. A front for another target reads the same options.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use lexopt::Arg;

use crate::print;
use crate::vfs::{Access, Crossing, GuestPath};

/// What `run` prints when it is called without arguments, and for `--help`.
pub const USAGE: &str = "\
usage: run [OPTIONS] PROGRAM [ARGUMENTS...]

Runs PROGRAM, a path that the guest sees or the short name `python`, in a sandbox: it sees the mounted
directories and nothing else of this machine.

  -m HOST:VIRTUAL:ro|rw   mount the directory HOST at VIRTUAL, read-only or for writing; repeatable.
                          Without any -m: DEST/root:/:ro, where DEST is the installation of this program
      --cross-mounts      let the guest also into what this machine has mounted below the directories HOST
                          (never into procfs, sysfs and other file systems that are interfaces of the kernel)
  -h D:d                  hand the open descriptor D to the guest as descriptor d
  -r D:d                  the same, for reading only
  -w D:d                  the same, for writing only
  -E NAME=VALUE           set a variable of the guest's environment, which is otherwise empty; repeatable
  -p                      pass this process's environment
  -l FILE                 append the log to FILE (default: standard error)
  -v                      log more; repeatable
      --max-memory MIB    most memory that the guest may have, up to 4096 (the default)
      --precompile [--code-cache DIR] PATH...  compile the programs and libraries at these guest paths ahead of
                          time, then end; DIR keeps what was compiled for other installations of this user
      --help              print this

What follows PROGRAM belongs to the guest. Exit status: the guest's own; 2 wrong usage or no such program;
3 something of this machine is in the way; 134 the guest did what no program may (a trap).
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

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Run this program with these arguments (`argv[0]` is not among them).
    Run(OsString, Vec<OsString>),
    /// Compile the modules at these guest paths ahead of time: at least one.
    Precompile {
        /// The modules.
        paths: Vec<OsString>,
        /// The folder with code that was compiled before, by whichever installation.
        cache: Option<PathBuf>,
    },
    /// Print the usage to standard output.
    Help,
}

/// The whole command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `-m`.
    pub mounts: Vec<MountOption>,
    /// `--cross-mounts`.
    pub crossing: Crossing,
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
    /// `--max-memory`, in MiB.
    pub max_memory: u32,
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
    /// `--max-memory` with a wrong value.
    #[error("`--max-memory {0}` is no number from 1 to 4096")]
    MaxMemory(String),
}

/// Most memory that 32-bit WebAssembly can address, in MiB.
const MEMORY_MAX: u32 = 4096;

impl Options {
    /// Reads the arguments that follow the program's own name.
    ///
    /// # Errors
    ///
    /// [`UsageError`], which names the argument and what it should be.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut options = Options {
            mounts: Vec::new(),
            crossing: Crossing::Refused,
            hands: Vec::new(),
            env: Vec::new(),
            pass_env: false,
            log: None,
            verbosity: 0,
            max_memory: MEMORY_MAX,
            task: Task::Help,
        };
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('m') => options.mounts.push(mount(&parser.value()?)?),
                Arg::Short('h') => options.hands.push(hand("-h", &parser.value()?, true, true)?),
                Arg::Short('r') => options.hands.push(hand("-r", &parser.value()?, true, false)?),
                Arg::Short('w') => options.hands.push(hand("-w", &parser.value()?, false, true)?),
                Arg::Short('E') => options.env.push(env(parser.value()?)?),
                Arg::Short('p') => options.pass_env = true,
                Arg::Short('l') => options.log = Some(parser.value()?.into()),
                Arg::Short('v') => options.verbosity += 1,
                Arg::Long("cross-mounts") => options.crossing = Crossing::Allowed,
                Arg::Long("max-memory") => options.max_memory = max_memory(&parser.value()?)?,
                Arg::Long("precompile") => {
                    let mut paths = Vec::new();
                    let mut cache = None;
                    while let Some(arg) = parser.next()? {
                        match arg {
                            Arg::Value(path) => paths.push(path),
                            Arg::Long("code-cache") => cache = Some(parser.value()?.into()),
                            extra => return Err(extra.unexpected().into()),
                        }
                    }
                    if paths.is_empty() {
                        return Err(UsageError::NothingToCompile);
                    }
                    options.task = Task::Precompile { paths, cache };
                    return Ok(options);
                }
                Arg::Long("help") => return Ok(options),
                Arg::Value(program) => {
                    options.task = Task::Run(program, parser.raw_args()?.collect());
                    return Ok(options);
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Err(UsageError::Empty)
    }
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

fn max_memory(value: &OsStr) -> Result<u32, UsageError> {
    let wrong = || UsageError::MaxMemory(print::shown(value.as_bytes()));
    match value.to_str().and_then(|text| text.parse().ok()) {
        Some(mib @ 1..=MEMORY_MAX) => Ok(mib),
        _ => Err(wrong()),
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
    fn wrong_usage_is_said() {
        assert!(matches!(Options::parse([]), Err(UsageError::Empty)));
        assert!(matches!(Options::parse(["-v".into()]), Err(UsageError::Empty)));
        assert!(parse("-E =1 /x").unwrap_err().contains("NAME=VALUE"));
        assert!(parse("--max-memory 0 /x").is_err() && parse("--max-memory 5000 /x").is_err());
        assert!(parse("-q /x").unwrap_err().contains("--help"));
        assert!(parse("--precompile").is_err() && parse("--precompile /x -v").is_err());
        let paths = ["/x", "/y.so"].map(OsString::from).to_vec();
        assert_eq!(parse("--precompile /x /y.so").unwrap().task, Task::Precompile { paths, cache: None });
        let cached = parse("--precompile --code-cache /c /x").unwrap().task;
        assert_eq!(cached, Task::Precompile { paths: vec!["/x".into()], cache: Some("/c".into()) });
        assert!(parse("--precompile --code-cache /c").is_err() && parse("--code-cache /c /x").is_err());
    }
}
