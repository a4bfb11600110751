//! The compiler of programs that nobody compiled ahead, and of libraries that a guest brought, in processes of its own.
//!
//! A compiler is a large program, and the bytes come from who is not trusted. So each module is compiled by a process that does nothing else: it has
//! no file, can open none, and has limits on memory and time. If it crashes, or goes beyond them, the module is not loaded, and nothing else happens.
//!
//! Behind the wall ([`crate::wall`]) no process can be started. [`Compiler::start`] forks one before, which waits; for every module it forks
//! another. What that one gives is run as native code: isolating it keeps the loader alive and the machine's memory free, it does not make the compiler
//! less trusted.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Pid, Resource, Signal, WaitOptions};

use crate::engine::Engine;
use crate::reach::Reach;
use crate::watch::{Timer, Watch};
use crate::{caller, wall};

/// What the compilation of one module may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: u64,
    /// Seconds of the processor's time.
    pub seconds: u64,
}

impl Default for Limits {
    /// Many times of what the largest known module needs.
    fn default() -> Self {
        Self { memory: 2 << 30, seconds: 120 }
    }
}

/// Why a module was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// There is no process that could do it.
    #[error("no compiler could be started: {0}")]
    Absent(io::Error),
    /// The process for all modules has ended, or does not speak.
    #[error("the compiler does not answer: {0}")]
    Lost(#[from] io::Error),
    /// The compiler's own words.
    #[error("{0}")]
    Refused(String),
}

/// The compiler. When it is dropped, its process ends.
#[derive(Debug)]
pub struct Compiler {
    server: Mutex<io::Result<Server>>,
    life: Arc<Life>,
    watch: Option<Arc<Watch>>,
}

#[derive(Debug)]
struct Server {
    requests: File,
    answers: File,
}

/// The life of the compiler's process.
#[derive(Debug, Default)]
struct Life(Mutex<Option<(OwnedFd, Pid)>>);

/// How a message begins.
const CODE: u8 = 0;
const REFUSAL: u8 = 1;
/// Longest message that is believed: one that is longer is a fault.
const MESSAGE_MAX: u64 = 1 << 30;

impl Compiler {
    /// Forks the process that will compile. To be called while this process has one thread. If that fails, only compiling fails later: most guests
    /// need none.
    pub fn start(limits: Limits) -> Self {
        let (server, life) = match Server::start(limits) {
            Ok((server, life)) => (Ok(server), life),
            Err(error) => (Err(error), Life::default()),
        };
        Self { server: Mutex::new(server), life: Arc::new(life), watch: None }
    }

    /// The same, as a part of a run that is watched over: what it takes of the processor's time counts, and it ends with the run.
    #[must_use]
    pub fn watched(mut self, watch: &Arc<Watch>) -> Self {
        let life = self.life.clone();
        watch.before_the_end(move || life.end());
        self.watch = Some(watch.clone());
        self
    }

    /// Compiles a module for [`Engine::take`], within the limits.
    ///
    /// # Errors
    ///
    /// [`CompileError`].
    pub fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let server = server.as_mut().map_err(|error| CompileError::Absent(io::Error::from(error.kind())))?;
        let left = self.watch.as_ref().and_then(|watch| watch.cpu_left());
        let answer = send(&mut server.requests, CODE, left.unwrap_or(Duration::MAX), wasm)
            .and_then(|()| receive(&mut server.answers));
        if let Some(watch) = &self.watch {
            watch.add_cpu(answer.as_ref().map_or(Duration::ZERO, |(_, used, _)| *used));
            watch.wait_for_the_end();
        }
        match answer? {
            (CODE, _, bytes) => Ok(bytes),
            (_, _, bytes) => Err(CompileError::Refused(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.life.end();
    }
}

impl Life {
    /// Ends the compiler's process and what it has started, whatever they are doing, and waits until they have: no dead process is left to whoever
    /// started this one.
    fn end(&self) {
        if let Some((alive, process)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(alive);
            let _ = rustix::process::waitpid(Some(process), WaitOptions::empty());
        }
    }
}

impl Server {
    fn start(limits: Limits) -> io::Result<(Self, Life)> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (wanted, requests) = pipe_with(PipeFlags::CLOEXEC)?;
        let (answers, given) = pipe_with(PipeFlags::CLOEXEC)?;
        let (life, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        // SAFETY: there is one thread, so that the child may do whatever this process could.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                keep_only(&null, [&wanted, &given, &life]);
                serve(File::from(wanted), File::from(given), &life, limits)
            }
            child => {
                let process = Pid::from_raw(child).ok_or(io::ErrorKind::NotFound)?;
                let life = Life(Mutex::new(Some((alive, process))));
                Ok((Self { requests: requests.into(), answers: answers.into() }, life))
            }
        }
    }
}

/// In the new process: makes the streams lead nowhere and closes all else, so that no pipe of the guest's stays open here.
fn keep_only(null: &File, kept: [&OwnedFd; 3]) {
    for stream in 0..3 {
        // SAFETY: nothing in this process uses the streams' numbers for anything else.
        unsafe { libc::dup2(null.as_raw_fd(), stream) };
    }
    let mut first = 3;
    let mut kept = kept.map(AsRawFd::as_raw_fd);
    kept.sort_unstable();
    for next in kept.into_iter().chain([i32::MAX]) {
        if first < next {
            // SAFETY: whatever these are, nothing here will use them. A kernel without the call (before 5.9) leaves them open, unused.
            unsafe { libc::syscall(libc::SYS_close_range, first, next - 1, 0) };
        }
        first = next.saturating_add(1);
    }
}

/// Compiles what is asked for until nobody asks any more.
fn serve(mut requests: File, mut answers: File, life: &OwnedFd, limits: Limits) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // No process of this user may read or write the memory of this one and its children (prctl(2),
    // PR_SET_DUMPABLE).
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let confined = wall::confine_thread(Reach::of([])).map_err(|error| error.to_string());
    while is_next(&requests, life)
        && let Ok((_, left, wasm)) = receive(&mut requests)
    {
        let (code, used) = match &confined {
            Ok(()) => apart(&wasm, left, life, limits),
            Err(why) => (Err(why.clone()), Duration::ZERO),
        };
        let sent = match code {
            Ok(code) => send(&mut answers, CODE, used, &code),
            Err(why) => send(&mut answers, REFUSAL, used, why.as_bytes()),
        };
        if sent.is_err() {
            break;
        }
    }
    end(0)
}

/// Waits until something comes from `from`: `false` if nobody asks for it any more.
fn is_next(from: &impl AsFd, life: &OwnedFd) -> bool {
    loop {
        let mut ready = [PollFd::new(life, PollFlags::IN), PollFd::new(from, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) => return ready[0].revents().is_empty(),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Compiles in one more process, and waits for it: the code or why there is none, and what of the processor's time it took.
fn apart(wasm: &[u8], left: Duration, life: &OwnedFd, limits: Limits) -> (Result<Vec<u8>, String>, Duration) {
    let failed = |error: io::Error| (Err(format!("no compiler could be started: {error}")), Duration::ZERO);
    let (result, giving) = match pipe_with(PipeFlags::CLOEXEC) {
        Ok((result, giving)) => (File::from(result), File::from(giving)),
        Err(error) => return failed(error.into()),
    };
    // SAFETY: this process has one thread.
    let child = match unsafe { libc::fork() } {
        -1 => return failed(io::Error::last_os_error()),
        0 => work(wasm, giving, left, limits),
        child => child,
    };
    drop(giving);
    let bytes = read_result(result, life);
    if bytes.is_none()
        && let Some(child) = Pid::from_raw(child)
    {
        let _ = rustix::process::kill_process(child, Signal::KILL);
    }
    let (status, used) = match wait(child) {
        Ok(waited) => waited,
        Err(error) => return failed(error),
    };
    let Some(bytes) = bytes else { end(0) };
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    let code = match (libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)), signal) {
        (Some(0), _) => Ok(bytes),
        (Some(1), _) => Err(String::from_utf8_lossy(&bytes).into_owned()),
        (_, Some(libc::SIGXCPU | libc::SIGKILL)) if used >= left => {
            Err("its compilation took more than was left of the processor's time".to_owned())
        }
        (_, Some(libc::SIGXCPU | libc::SIGKILL)) => {
            Err(format!("its compilation took more than {} s; {NO_LIMITS}", limits.seconds))
        }
        (_, signal) => {
            let how = signal.map_or(String::new(), |signal| format!(" by signal {signal}"));
            Err(format!(
                "the compiler was ended{how}; the module may need more than {} MiB; {NO_LIMITS}",
                limits.memory >> 20
            ))
        }
    };
    (code, used)
}

/// All that the compiler gives; `None` if nobody asks for it any more.
fn read_result(mut result: File, life: &OwnedFd) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while is_next(&result, life) {
        match result.read(&mut buffer) {
            Ok(0) | Err(_) => return Some(bytes),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    None
}

/// The next step for who has a module that is larger than the limits, and trusts it.
const NO_LIMITS: &str = "`run --precompile`, for what is installed, has no such limit";

/// Waits for a child: its status, and what of the processor's time it took.
fn wait(child: i32) -> io::Result<(i32, Duration)> {
    loop {
        let mut status = 0;
        // SAFETY: zeros are an `rusage`; both pointers are to live variables.
        let (waited, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(child, &raw mut status, 0, &raw mut usage), usage)
        };
        let time = |time: libc::timeval| {
            Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
                + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
        };
        if waited == child {
            return Ok((status, time(usage.ru_utime) + time(usage.ru_stime)));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// In the process of one module: gives up what it does not need, compiles, leaves code or text in `result`, and ends.
fn work(wasm: &[u8], mut result: File, left: Duration, limits: Limits) -> ! {
    let compiled = std::panic::catch_unwind(|| {
        confine(left, limits)?;
        let engine = Engine::for_untrusted().map_err(|e| e.to_string())?;
        let code = engine.compile_ahead(wasm).map_err(|e| e.to_string())?;
        if code.len() as u64 > CODE_MAX {
            return Err(format!("its code would have more than {} MiB; {NO_LIMITS}", CODE_MAX >> 20));
        }
        Ok(code)
    });
    let compiled = compiled.unwrap_or_else(|_| Err("the compiler failed on it".to_owned()));
    let (status, bytes) = match &compiled {
        Ok(code) => (0, code.as_slice()),
        Err(why) => (1, why.as_bytes()),
    };
    end(if result.write_all(bytes).is_ok() { status } else { 2 })
}

/// The longest code of a module, in bytes: what few bytes are compiled to may be much, and is held by those who get it.
const CODE_MAX: u64 = 256 << 20;

fn confine(left: Duration, limits: Limits) -> Result<(), String> {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let failed = |error: io::Error| format!("the compiler can't be limited: {error}");
    let limit = |resource, current, maximum| {
        rustix::process::setrlimit(resource, caller::lower(resource, current, maximum)).map_err(|e| failed(e.into()))
    };
    limit(Resource::As, limits.memory, limits.memory)?;
    limit(Resource::Cpu, limits.seconds, limits.seconds + 1)?;
    // It has no file to write.
    limit(Resource::Fsize, 0, 0)?;
    if left < Duration::from_secs(limits.seconds) {
        Timer::new().map_err(failed)?.set(left);
    }
    wall::compile_only().map_err(|e| e.to_string())
}

fn end(status: i32) -> ! {
    // SAFETY: ends this process. What the parent registered for its own end must not run here.
    unsafe { libc::_exit(status) }
}

/// A message: how it begins, the processor's time that may be or was taken, in nanoseconds, its length, both in 8 bytes, and its bytes.
fn send(to: &mut impl Write, kind: u8, cpu: Duration, bytes: &[u8]) -> io::Result<()> {
    let mut head = [kind; 17];
    head[1..9].copy_from_slice(&u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX).to_le_bytes());
    head[9..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    to.write_all(&head)?;
    to.write_all(bytes)
}

fn receive(from: &mut impl Read) -> io::Result<(u8, Duration, Vec<u8>)> {
    let (mut kind, mut cpu, mut length) = ([0], [0; 8], [0; 8]);
    from.read_exact(&mut kind)?;
    from.read_exact(&mut cpu)?;
    from.read_exact(&mut length)?;
    let (cpu, length) = (Duration::from_nanos(u64::from_le_bytes(cpu)), u64::from_le_bytes(length));
    if length > MESSAGE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok((kind[0], cpu, bytes)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        let time = Duration::from_micros(7);
        send(&mut bytes, REFUSAL, time, b"why").unwrap();
        assert_eq!(receive(&mut bytes.as_slice()).unwrap(), (REFUSAL, time, b"why".to_vec()));
        assert_eq!(receive(&mut &bytes[..bytes.len() - 1]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(receive(&mut &[0xff; 20][..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
