//! The compiler of programs that nobody compiled ahead, and of libraries that a guest brought, in processes of its own.
//!
//! A compiler is a large program, and the bytes come from who is not trusted. So each module is compiled by a process that does nothing else: it has
//! no file, can open none, and has limits on memory and time. If it crashes, or goes beyond them, the module is not loaded, and nothing else happens.
//!
//! Behind the wall ([`crate::wall`]) no process can be started. [`Compiler::start`] forks one before, which waits; for every module it forks
//! another. What that one gives is run as native code: isolating it keeps the loader alive and the machine's memory free, it does not make the compiler
//! less trusted.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::os::fd::AsRawFd as _;
use std::sync::{Mutex, PoisonError};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus};

use crate::engine::Engine;
use crate::reach::Reach;
use crate::wall;

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
pub struct Compiler(Mutex<io::Result<Server>>);

#[derive(Debug)]
struct Server {
    /// `None` while it is being dropped.
    requests: Option<File>,
    answers: File,
    process: Pid,
}

/// How a message begins.
const CODE: u8 = 0;
const REFUSAL: u8 = 1;
/// Longest message that is believed: one that is longer is a fault.
const MESSAGE_MAX: u64 = 1 << 30;

impl Compiler {
    /// Forks the process that will compile. To be called while this process has one thread. If that fails, only compiling fails later: most guests
    /// need none.
    pub fn start(limits: Limits) -> Self {
        Self(Mutex::new(Server::start(limits)))
    }

    /// Compiles a module for [`Engine::take`], within the limits.
    ///
    /// # Errors
    ///
    /// [`CompileError`].
    pub fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let mut server = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server = server.as_mut().map_err(|error| CompileError::Absent(io::Error::from(error.kind())))?;
        send(server.requests.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?, CODE, wasm)?;
        match receive(&mut server.answers)? {
            (CODE, code) => Ok(code),
            (_, text) => Err(CompileError::Refused(String::from_utf8_lossy(&text).into_owned())),
        }
    }
}

impl Server {
    fn start(limits: Limits) -> io::Result<Self> {
        let (wanted, requests) = pipe_with(PipeFlags::CLOEXEC)?;
        let (answers, given) = pipe_with(PipeFlags::CLOEXEC)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        // SAFETY: this process has one thread, so nothing is locked or half done in the child.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                keep_only(&null, [wanted.as_raw_fd(), given.as_raw_fd()]);
                serve(File::from(wanted), File::from(given), limits)
            }
            child => {
                let process = Pid::from_raw(child).ok_or(io::ErrorKind::NotFound)?;
                Ok(Self { requests: Some(requests.into()), answers: answers.into(), process })
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends when nobody can ask any more; waiting leaves no dead process to whoever started this one.
        self.requests = None;
        let _ = rustix::process::waitpid(Some(self.process), WaitOptions::empty());
    }
}

/// In the new process: makes the streams lead nowhere and closes all else, so that no pipe of the guest's stays open here.
fn keep_only(null: &File, kept: [i32; 2]) {
    for stream in 0..3 {
        // SAFETY: nothing in this process uses the streams' numbers for anything else.
        unsafe { libc::dup2(null.as_raw_fd(), stream) };
    }
    let mut first = 3;
    let (low, high) = (kept[0].min(kept[1]), kept[0].max(kept[1]));
    for next in [low, high, i32::MAX] {
        if first < next {
            // SAFETY: whatever these are, nothing here will use them. A kernel without the call (before 5.9) leaves them open, unused.
            unsafe { libc::syscall(libc::SYS_close_range, first, next - 1, 0) };
        }
        first = next.saturating_add(1);
    }
}

/// Compiles what is asked for until nobody asks any more.
fn serve(mut requests: File, mut answers: File, limits: Limits) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // No process of this user may read or write the memory of this one and its children (prctl(2),
    // PR_SET_DUMPABLE).
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let confined = wall::confine_thread(Reach::of([])).map_err(|error| error.to_string());
    while let Ok((_, wasm)) = receive(&mut requests) {
        let sent = match confined.clone().and_then(|()| apart(&wasm, limits)) {
            Ok(code) => send(&mut answers, CODE, &code),
            Err(why) => send(&mut answers, REFUSAL, why.as_bytes()),
        };
        if sent.is_err() {
            break;
        }
    }
    end(0)
}

/// Compiles in one more process, and waits for it.
fn apart(wasm: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("no compiler could be started: {error}");
    let result = rustix::fs::memfd_create("code", MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut result = File::from(result);
    // SAFETY: this process has one thread.
    let status = match unsafe { libc::fork() } {
        -1 => return Err(failed(io::Error::last_os_error())),
        0 => work(wasm, result, limits),
        child => wait(child).map_err(|e| failed(e.into()))?,
    };
    let mut bytes = Vec::new();
    result
        .rewind()
        .and_then(|()| result.read_to_end(&mut bytes))
        .map_err(|e| format!("the compiler's output is lost: {e}"))?;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => Ok(bytes),
        (Some(1), _) => Err(String::from_utf8_lossy(&bytes).into_owned()),
        (_, Some(signal)) if signal == Signal::XCPU.as_raw() || signal == Signal::KILL.as_raw() => {
            Err(format!("its compilation took more than {} s; {NO_LIMITS}", limits.seconds))
        }
        (_, Some(signal)) if signal == Signal::XFSZ.as_raw() => {
            Err(format!("its code would have more than {} MiB; {NO_LIMITS}", CODE_MAX >> 20))
        }
        (_, signal) => {
            let how = signal.map_or(String::new(), |signal| format!(" by signal {signal}"));
            Err(format!(
                "the compiler was ended{how}; the module may need more than {} MiB; {NO_LIMITS}",
                limits.memory >> 20
            ))
        }
    }
}

/// The next step for who has a module that is larger than the limits, and trusts it.
const NO_LIMITS: &str = "`run --precompile`, for what is installed, has no such limit";

fn wait(child: i32) -> Result<WaitStatus, Errno> {
    loop {
        match rustix::process::waitpid(Pid::from_raw(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// In the process of one module: gives up what it does not need, compiles, leaves code or text in `result`, and ends.
fn work(wasm: &[u8], mut result: File, limits: Limits) -> ! {
    let compiled = std::panic::catch_unwind(|| {
        confine(limits)?;
        let engine = Engine::for_untrusted().map_err(|e| e.to_string())?;
        engine.compile_ahead(wasm).map_err(|e| e.to_string())
    });
    let compiled = compiled.unwrap_or_else(|_| Err("the compiler failed on it".to_owned()));
    let (status, bytes) = match &compiled {
        Ok(code) => (0, code.as_slice()),
        Err(why) => (1, why.as_bytes()),
    };
    end(if result.write_all(bytes).is_ok() { status } else { 2 })
}

/// The longest code of a module, in bytes.
const CODE_MAX: u64 = 256 << 20;

fn confine(limits: Limits) -> Result<(), String> {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let limit = |resource, current, maximum| {
        let limit = Rlimit { current: Some(current), maximum: Some(maximum) };
        rustix::process::setrlimit(resource, limit).map_err(|e| format!("the compiler can't be limited: {e}"))
    };
    limit(Resource::As, limits.memory, limits.memory)?;
    limit(Resource::Cpu, limits.seconds, limits.seconds + 1)?;
    // What few bytes are compiled to may be much, and is held by those who get it; never more than a message holds.
    limit(Resource::Fsize, CODE_MAX, CODE_MAX)?;
    wall::compile_only().map_err(|e| e.to_string())
}

fn end(status: i32) -> ! {
    // SAFETY: ends this process. What the parent registered for its own end must not run here.
    unsafe { libc::_exit(status) }
}

/// A message: how it begins, its length in 8 bytes, its bytes.
fn send(to: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let mut head = [kind; 9];
    head[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    to.write_all(&head)?;
    to.write_all(bytes)
}

fn receive(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let (mut kind, mut length) = ([0], [0; 8]);
    from.read_exact(&mut kind)?;
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MESSAGE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok((kind[0], bytes)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        send(&mut bytes, REFUSAL, b"why").unwrap();
        assert_eq!(receive(&mut bytes.as_slice()).unwrap(), (REFUSAL, b"why".to_vec()));
        assert_eq!(receive(&mut &bytes[..bytes.len() - 1]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(receive(&mut &[0xff; 20][..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
