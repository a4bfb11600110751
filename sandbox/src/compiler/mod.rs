//! The compiler of programs that nobody compiled ahead, and of libraries that a guest brought, in
//! processes of its own.
//!
//! A compiler is a large program, and the bytes come from who is not trusted. So each module is
//! compiled by a process that does nothing else: it has no file, can open none, and has limits on
//! memory and time. If it crashes, or goes beyond them, the module is not loaded, and nothing else
//! happens.
//!
//! A compilation is at the guest's expense: it may take what is left of the account
//! ([`crate::account`]), which is charged with that while it runs.
//!
//! Behind the wall ([`crate::wall`]) no process can be started. [`Compiler::start`] forks one
//! before, which waits; for every module it forks another. What that one gives is run as native
//! code: isolating it keeps the loader alive and the machine's memory free, it does not make the
//! compiler less trusted.

mod messages;

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Pid, Resource, Signal};

use messages::{Answer, AnswerHead, CODE, NO_MEMORY, REFUSAL, Request, refuse, send_tail};
pub(crate) use messages::{exactly, number};

use crate::account::{ACCOUNT, Full};
use crate::engine::{Engine, Layout, NoCode};
use crate::reach::Reach;
use crate::sys::{self, Used};
use crate::watch::{Timer, Watch};
use crate::{caller, wall};

/// What the compilation of one module may take.
#[derive(Clone, Copy, Debug)]
pub struct CompilerLimits {
    /// Bytes, unless less is left of the account: for the process, and for the code that it makes.
    pub memory: usize,
    /// Seconds of the processor's time.
    pub seconds: u64,
}

impl Default for CompilerLimits {
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
    /// The account has no room for it.
    #[error(transparent)]
    Full(#[from] Full),
    /// It would have taken more bytes than it could have.
    #[error("its compilation takes more than the {} KiB of memory that are left for it; `--max-memory` gives more, and {NO_LIMITS}", .0 >> 10)]
    Memory(usize),
    /// The compiler's own words.
    #[error("{0}")]
    Refused(String),
}

impl From<CompileError> for NoCode {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Full(_) | CompileError::Memory(_) => Self::Memory(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

/// The compiler. When it is dropped, its process ends.
#[derive(Debug)]
pub struct Compiler {
    limits: CompilerLimits,
    server: Mutex<io::Result<CompilerProcess>>,
    life: Arc<Life>,
    watch: Option<Arc<Watch>>,
}

#[derive(Debug)]
struct CompilerProcess {
    requests: File,
    answers: File,
}

/// The life of the compiler's process.
#[derive(Debug, Default)]
struct Life(Mutex<Option<(OwnedFd, Pid)>>);

/// Bytes of the account that a compilation leaves to whatever else goes on.
const SPARE: usize = 1 << 20;

impl Compiler {
    /// Forks the process that will compile. To be called while this process has one thread. If that
    /// fails, only compiling fails later: most guests need none.
    pub fn start(limits: CompilerLimits) -> Self {
        let seconds = limits.seconds.min(caller::cpu_seconds().unwrap_or(u64::MAX));
        let (server, life) = match CompilerProcess::start(seconds) {
            Ok((server, life)) => (Ok(server), life),
            Err(error) => (Err(error), Life::default()),
        };
        Self { limits, server: Mutex::new(server), life: Arc::new(life), watch: None }
    }

    /// Ends its process, and waits until that has ended; nothing is compiled any more.
    pub fn end(&self) {
        self.life.end();
    }

    /// None: whatever is to be compiled is refused.
    pub fn absent() -> Self {
        let server = Mutex::new(Err(io::ErrorKind::Unsupported.into()));
        Self { limits: CompilerLimits::default(), server, life: Arc::default(), watch: None }
    }

    /// The same, as a part of a run that is watched over: what it takes of the processor's time
    /// counts, and it ends with the run.
    #[must_use]
    pub fn watched(mut self, watch: &Arc<Watch>) -> Self {
        let (life, usage) = (self.life.clone(), watch.usage().clone());
        watch.before_the_end(move || usage.cpu_of_others_is(life.end()));
        self.watch = Some(watch.clone());
        self
    }

    /// Compiles a module for the [`Engine::take`] of an engine with this layout, within the limits
    /// and what is left of the account.
    ///
    /// # Errors
    ///
    /// [`CompileError`].
    pub fn compile(&self, wasm: Vec<u8>, layout: Layout) -> Result<Vec<u8>, CompileError> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let server = server.as_mut().map_err(|error| CompileError::Absent(io::Error::from(error.kind())))?;
        // The compiler's copy of the module.
        let copy = ACCOUNT.reserve(wasm.len())?;
        let memory = self.limits.memory.min(ACCOUNT.left().saturating_sub(SPARE));
        let mut working = ACCOUNT.reserve(memory)?;
        let cpu = self.watch.as_ref().and_then(|watch| watch.cpu_left()).unwrap_or(Duration::MAX);
        let length = wasm.len();
        let request = Request { layout, cpu, memory, length: length as u64 };
        let answer = request.send(&mut server.requests, &wasm).and_then(|()| {
            drop(wasm);
            let head = AnswerHead::receive(&mut server.answers)?;
            // The code is this process's now.
            let _ = working.resize(for_process(memory));
            head.receive_rest(&mut server.answers)
        });
        drop((copy, working));
        let used = answer.as_ref().map_or(Used::default(), |answer| answer.used);
        ACCOUNT.note_peak(length.saturating_add(usize::try_from(used.memory).unwrap_or(usize::MAX)));
        if let Some(watch) = &self.watch {
            watch.add_cpu(used.cpu);
            watch.wait_for_the_end();
        }
        let Answer { kind, bytes, .. } = answer?;
        match kind {
            CODE => Ok(bytes),
            NO_MEMORY => {
                ACCOUNT.note_full();
                Err(CompileError::Memory(memory))
            }
            _ => Err(CompileError::Refused(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }
}

/// What of a compilation's memory is its process's; the rest is for the code that it gives.
fn for_process(memory: usize) -> usize {
    memory / 4 * 3
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.end();
    }
}

impl Life {
    /// Ends the compiler's process and what it has started, whatever they are doing, and waits
    /// until they have: no dead process is left to whoever started this one. Gives what they all
    /// took of the processor's time.
    fn end(&self) -> Duration {
        let Some((alive, process)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Duration::ZERO;
        };
        drop(alive);
        sys::wait(process).map_or(Duration::ZERO, |(_, used)| used.cpu)
    }
}

impl CompilerProcess {
    fn start(seconds: u64) -> io::Result<(Self, Life)> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (wanted, requests) = pipe_with(PipeFlags::CLOEXEC)?;
        let (answers, given) = pipe_with(PipeFlags::CLOEXEC)?;
        let (life, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let Some(process) = sys::fork()? else {
            keep_only(&null, &[wanted.as_fd(), given.as_fd(), life.as_fd()]);
            serve(File::from(wanted), File::from(given), &life, seconds)
        };
        let life = Life(Mutex::new(Some((alive, process))));
        Ok((Self { requests: requests.into(), answers: answers.into() }, life))
    }
}

/// In the new process: makes the streams lead nowhere and closes all else, so that no pipe of the
/// guest's stays open here.
fn keep_only(null: &File, kept: &[BorrowedFd<'_>]) {
    for stream in 0..3 {
        let _ = sys::redirect_stream(stream, null.as_fd());
    }
    // SAFETY: whatever these are, nothing in this process will use them.
    unsafe { sys::close_all_but(kept) };
}

/// Compiles what is asked for until nobody asks any more.
fn serve(mut requests: File, mut answers: File, life: &OwnedFd, seconds: u64) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let size = File::open("/proc/self/statm").map_err(|error| error.to_string());
    // No process of this user may read or write the memory of this one and its children (prctl(2),
    // PR_SET_DUMPABLE).
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let confined = wall::confine_thread(Reach::of([])).map_err(|error| error.to_string());
    while is_next(&requests, life)
        && let Ok((Request { layout, cpu, memory, .. }, wasm)) = Request::receive(&mut requests)
    {
        // The module is no part of what its compilation takes.
        let size = confined.clone().and_then(|()| size.as_ref().map_err(Clone::clone).and_then(address_space));
        let answered = match size {
            Ok((space, resident)) => {
                let process = space.saturating_add(for_process(memory));
                let share = Share { layout, process, resident, code: memory - for_process(memory), cpu, seconds };
                apart(wasm, share, life, &mut answers)
            }
            Err(why) => refuse(&mut answers, REFUSAL, &why, Used::default()),
        };
        if answered.is_err() {
            break;
        }
    }
    sys::exit(0)
}

/// What one process is to do, and what it may take.
#[derive(Clone, Copy)]
struct Share {
    /// What the code is for.
    layout: Layout,
    /// Bytes of address space, with what it has from the beginning.
    process: usize,
    /// Bytes that it is resident with from the beginning.
    resident: usize,
    /// Bytes of the code that it gives.
    code: usize,
    /// What is left of the processor's time.
    cpu: Duration,
    /// Most seconds of the processor's time, whatever is left.
    seconds: u64,
}

/// Bytes of address space that this process has now, and those that are resident, from its own
/// `statm` (proc(5)).
fn address_space(mut statm: &File) -> Result<(usize, usize), String> {
    let mut text = String::new();
    let read = statm.rewind().and_then(|()| statm.read_to_string(&mut text));
    let mut fields = text.split(' ').map(|pages| pages.parse::<usize>().ok());
    let mut field = || Some(fields.next()?? * rustix::param::page_size());
    let sizes = read.ok().and_then(|_| Some((field()?, field()?)));
    sizes.ok_or_else(|| "the compiler can't be limited: `/proc/self/statm` does not say how large it is".to_owned())
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

/// Compiles in one more process, passes on what it gives without holding it here, and waits for it.
fn apart(wasm: Vec<u8>, share: Share, life: &OwnedFd, answers: &mut File) -> io::Result<()> {
    let failed = |error: io::Error| format!("no compiler could be started: {error}");
    let (result, giving) = match pipe_with(PipeFlags::CLOEXEC) {
        Ok((result, giving)) => (File::from(result), File::from(giving)),
        Err(error) => return refuse(answers, REFUSAL, &failed(error.into()), Used::default()),
    };
    let child = match sys::fork() {
        Err(error) => return refuse(answers, REFUSAL, &failed(error.into()), Used::default()),
        Ok(None) => work(&wasm, giving, share),
        Ok(Some(child)) => child,
    };
    drop((wasm, giving));
    let mut result = WhileAsked { from: result, life };
    let mut passed = AnswerHead::receive(&mut result).and_then(|head| {
        head.send(answers)?;
        Ok((head.length, io::copy(&mut (&mut result).take(head.length), answers)?))
    });
    if let Err(error) = &passed
        && error.kind() == io::ErrorKind::ConnectionAborted
    {
        let _ = rustix::process::kill_process(child, Signal::KILL);
        let _ = sys::wait(child);
        sys::exit(0);
    }
    let (status, mut used) = sys::wait(child)?;
    used.memory = used.memory.saturating_sub(share.resident as u64);
    if let Ok((length, count)) = &mut passed {
        // It was ended on its way.
        let whole = length == count;
        io::copy(&mut io::repeat(0).take(*length - *count), answers)?;
        return send_tail(answers, whole, used);
    }
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    match (libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)), signal) {
        (Some(OUT_OF_MEMORY), _) => refuse(answers, NO_MEMORY, "", used),
        (_, Some(libc::SIGXCPU | libc::SIGKILL)) if used.cpu >= share.cpu => {
            refuse(answers, REFUSAL, "its compilation took more than was left of the processor's time", used)
        }
        (_, Some(libc::SIGXCPU | libc::SIGKILL)) => {
            let why = format!("its compilation took more than {} s; {NO_LIMITS}", share.seconds);
            refuse(answers, REFUSAL, &why, used)
        }
        (_, signal) => {
            let how = signal.map_or(String::new(), |signal| format!(" by signal {signal}"));
            let why = format!("the compiler was ended{how}; does it hold functions that nest very deeply?");
            refuse(answers, REFUSAL, &why, used)
        }
    }
}

/// What comes from `from`; the error `ConnectionAborted` if nobody asks for it any more.
struct WhileAsked<'a> {
    from: File,
    life: &'a OwnedFd,
}

impl Read for WhileAsked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if is_next(&self.from, self.life) {
            self.from.read(buffer)
        } else {
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }
}

/// The next step for who has a module that is larger than the limits, and trusts it.
const NO_LIMITS: &str = "`run --precompile`, for what is installed, has no such limit";

/// The exit status of a process that has no memory left.
const OUT_OF_MEMORY: i32 = 3;

/// In the process of one module: gives up what it does not need, compiles, gives code or text to
/// `result`, and ends.
fn work(wasm: &[u8], mut result: File, share: Share) -> ! {
    ACCOUNT.when_exhausted(|| sys::exit(OUT_OF_MEMORY));
    ACCOUNT.end_if_refused();
    grow_stack();
    let compiled = std::panic::catch_unwind(|| {
        confine(share)?;
        let engine = Engine::for_untrusted(share.layout).map_err(|e| e.to_string())?;
        engine.compile_ahead(wasm).map_err(|e| e.to_string())
    });
    let compiled = compiled.unwrap_or_else(|_| Err("the compiler failed on it".to_owned()));
    let (kind, bytes) = match &compiled {
        Ok(code) if code.len() > share.code => sys::exit(OUT_OF_MEMORY),
        Ok(code) => (CODE, code.as_slice()),
        Err(why) => (REFUSAL, why.as_bytes()),
    };
    let head = AnswerHead { kind, length: bytes.len() as u64 };
    let sent = head.send(&mut result).and_then(|()| result.write_all(bytes));
    sys::exit(i32::from(sent.is_err()))
}

/// Bytes of stack that a compilation needs.
const STACK: usize = 256 << 10;

/// Takes the stack before the address space is limited: a stack that can't grow any more ends a
/// process by a signal, which says nothing of memory.
#[inline(never)]
fn grow_stack() {
    let stack = [1u8; STACK];
    std::hint::black_box(&stack);
}

/// Bytes by which the heap of a compilation grows.
#[cfg(target_env = "gnu")]
const HEAP_STEP: i32 = 256 << 10;

fn confine(share: Share) -> Result<(), String> {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number, while there is one thread.
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, HEAP_STEP);
    }
    let failed = |error: io::Error| format!("the compiler can't be limited: {error}");
    let limit = |resource, current, maximum| {
        rustix::process::setrlimit(resource, caller::lower(resource, current, maximum)).map_err(|e| failed(e.into()))
    };
    limit(Resource::As, share.process as u64, share.process as u64)?;
    limit(Resource::Cpu, share.seconds, share.seconds + 1)?;
    // It has no file to write.
    limit(Resource::Fsize, 0, 0)?;
    if share.cpu < Duration::from_secs(share.seconds) {
        Timer::new().map_err(failed)?.set(share.cpu);
    }
    wall::compile_only().map_err(|e| e.to_string())
}
