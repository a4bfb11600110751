//! Process 1 of a Docker container: what the tool and the runner in the container tell each other,
//! and the runner's side of it.
//!
//! The container's image holds the runner ([`PROGRAM`]) and the action's image ([`IMAGE`]);
//! [`WORK`] is a volume. The runner waits on its standard input, at most [`IDLE`] if nothing comes:
//! containers are started ahead, and none may stay for ever. Then it gets
//!
//! 1. a [`Job`] as JSON, after its length (four bytes, the highest first),
//! 2. a tar stream of the inputs, in the folders `0`, `1`, … in the order of the job, cut into
//!    pieces with their length before them; an empty piece is the end.
//!
//! It runs the command under the [`NamespaceExecutor`], so that the action sees what it sees
//! anywhere, and answers on standard output with frames: a letter, a length, the content. [`LOG`]:
//! what the action prints, as it prints it. [`REPORT`]: how it ended, as JSON ([`JobReport`]).
//! [`OUTPUT`]: pieces of a tar stream of what it left in `/build`. [`END`]: that was all. When
//! standard input ends, nobody waits for the action any more: the runner ends, and the whole
//! container with it.

pub mod trees;

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::job::{Job, JobReport};
use crate::{Executor, ExecutorError, InputMount, NamespaceExecutor, Run, Status};

/// The runner in the container.
pub const PROGRAM: &str = "/pynbox-runner";
/// The action's image in the container.
pub const IMAGE: &str = "/image";
/// The container's writable folder, on a disk.
pub const WORK: &str = "/work";
/// How long a container that was started ahead waits for an action, unless the environment says
/// something else.
pub const IDLE: Duration = Duration::from_secs(10);
/// The variable of the runner's environment that says how many seconds it waits.
pub const IDLE_VARIABLE: &str = "PYNBOX_IDLE";

/// A frame with output of the action.
pub const LOG: u8 = b'l';
/// A frame with a [`JobReport`].
pub const REPORT: u8 = b'r';
/// A frame with a piece of the tar stream of `/build`.
pub const OUTPUT: u8 = b'o';
/// The last frame.
pub const END: u8 = b'e';
/// No frame or piece is longer.
pub const LONGEST: usize = 1 << 20;
/// A longer job is none of the tool's.
const LONGEST_JOB: usize = 256 << 20;

/// Where the job of a shell lies, in [`WORK`]; its inputs and its `/build` are there already.
pub const SHELL_JOB: &str = "job.json";
/// Where the report of a shell is put, in [`WORK`].
pub const SHELL_REPORT: &str = "report.json";
/// The folder of inputs, and that of `/build`, in [`WORK`].
pub const FOLDERS: (&str, &str) = ("inputs", "build");

/// The runner's main function; gives its exit status. What goes wrong between tool and runner is
/// said on standard error.
pub fn main() -> u8 {
    let work = Path::new(WORK);
    let served = if work.join(SHELL_JOB).exists() { shell(work) } else { serve(work) };
    match served {
        Ok(()) => 0,
        Err(error) => {
            // Nobody is left who could be told that it can't be said.
            let _ = writeln!(io::stderr(), "pynbox-runner: {error}");
            1
        }
    }
}

fn serve(work: &Path) -> io::Result<()> {
    let seconds = std::env::var(IDLE_VARIABLE).ok().and_then(|value| value.parse().ok());
    let idle = Timespec { tv_sec: seconds.unwrap_or(IDLE.as_secs().cast_signed()), tv_nsec: 0 };
    let stdin = io::stdin();
    if poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&idle))? == 0 {
        return Ok(());
    }
    let mut stdin = stdin.lock();
    let mut length = [0; 4];
    if let Err(error) = stdin.read_exact(&mut length) {
        // Whoever claimed this container went away without a word.
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) };
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST_JOB {
        return Err(io::Error::other("the job is too long"));
    }
    let mut json = vec![0; length];
    stdin.read_exact(&mut json)?;
    let job: Job = serde_json::from_slice(&json)?;
    let (inputs, build) = (work.join(FOLDERS.0), work.join(FOLDERS.1));
    fs::create_dir(&inputs)?;
    fs::create_dir(&build)?;
    trees::unpack(Pieces { from: &mut stdin, left: 0, ended: false }, &inputs)?;
    drop(stdin);
    std::thread::spawn(|| {
        let mut byte = [0];
        loop {
            match io::stdin().lock().read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => std::process::exit(1),
            }
        }
    });
    let out = Frames(Mutex::new(io::stdout()));
    let (reader, writer) = io::pipe()?;
    // Opened anew by its name, so that the executor has a file as it has anywhere.
    let log = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let status = std::thread::scope(|scope| {
        let copying = scope.spawn(|| copy_log(reader, &out));
        let status = with_run(&job, work, Path::new(&log), Executor::run);
        drop(writer);
        match copying.join() {
            Ok(copied) => copied.map(|()| status),
            Err(_) => Err(io::Error::other("copying the log failed")),
        }
    })?;
    out.send(REPORT, &serde_json::to_vec(&JobReport::new(status, false))?)?;
    let mut tar = io::BufWriter::with_capacity(LONGEST, Output(&out));
    trees::pack(&build, &mut tar)?;
    tar.flush()?;
    out.send(END, &[])
}

fn shell(work: &Path) -> io::Result<()> {
    let job: Job = serde_json::from_slice(&fs::read(work.join(SHELL_JOB))?)?;
    let result = with_run(&job, work, Path::new("/nowhere"), Executor::shell);
    let report = JobReport::new(result, false);
    fs::write(work.join(SHELL_REPORT), serde_json::to_vec(&report)?)
}

fn with_run(
    job: &Job,
    work: &Path,
    log: &Path,
    then: impl FnOnce(&NamespaceExecutor, &Run<'_>) -> Result<Status, ExecutorError>,
) -> Result<Status, ExecutorError> {
    job.check_contract()?;
    let hosts: Vec<_> = (0..job.inputs.len()).map(|index| work.join(FOLDERS.0).join(index.to_string())).collect();
    let inputs: Vec<_> = job.inputs.iter().zip(&hosts).map(|(at, host)| InputMount { at, host }).collect();
    let run = Run {
        root: Path::new(IMAGE),
        image: None,
        inputs: &inputs,
        command: &job.command,
        environment: &job.environment,
        build_dir: &work.join(FOLDERS.1),
        outputs: &job.outputs,
        log,
        limits: job.limits,
    };
    then(&NamespaceExecutor::new(), &run)
}

fn copy_log(mut from: impl Read, out: &Frames) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => out.send(LOG, &buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Standard output, a frame at a time.
struct Frames(Mutex<io::Stdout>);

impl Frames {
    fn send(&self, kind: u8, content: &[u8]) -> io::Result<()> {
        let mut out = self.0.lock().map_err(|_| io::Error::other("another thread failed"))?;
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        out.write_all(&[kind])?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(content)?;
        out.flush()
    }
}

struct Output<'a>(&'a Frames);

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(LONGEST);
        self.0.send(OUTPUT, &bytes[..length])?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that comes in pieces with their lengths; reads what is left of it when it is dropped
/// half-read.
struct Pieces<'a, R: Read> {
    from: &'a mut R,
    left: usize,
    ended: bool,
}

impl<R: Read> Read for Pieces<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            let mut length = [0; 4];
            self.from.read_exact(&mut length)?;
            self.left = u32::from_be_bytes(length) as usize;
            self.ended = self.left == 0;
        }
        if self.ended {
            return Ok(0);
        }
        let length = buffer.len().min(self.left);
        let got = self.from.read(&mut buffer[..length])?;
        if got == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= got;
        Ok(got)
    }
}
