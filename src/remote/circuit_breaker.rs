//! One remote behind a retry policy and a circuit breaker, which opens when all attempts fail.
//!
//! ninja starts a process for each node, so the state of the breaker is a file in the store: a
//! remote that does not answer costs one process its deadline, and the others nothing.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use build_graph::untrusted::printable;

use super::settings::{RemoteSettings, Role};
use super::trust::now;
use super::{DigestFunction, RemoteError, Transport};
use crate::retry::RetryPolicy;

/// How often something is tried.
const POLICY: RetryPolicy = RetryPolicy::of(3);
/// For how many seconds a remote is left alone when it failed for the first time; each time after
/// is twice as long.
const ALONE: u64 = 30;
const ALONE_AT_MOST: u64 = 600;

/// What a remote is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// To say how it names files.
    DigestFunction,
    /// To say which results it has.
    Results,
    /// To say which files it lacks.
    Missing,
    /// To give files.
    Files,
    /// To take files.
    TakeFiles,
    /// To take results.
    TakeResults,
}

impl Request {
    /// Whether something is put there.
    fn writes(self) -> bool {
        matches!(self, Self::TakeFiles | Self::TakeResults)
    }
}

impl fmt::Display for Request {
    /// What it can't do, if it fails.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DigestFunction => "be asked how it names files",
            Self::Results => "be asked",
            Self::Missing => "say what it has",
            Self::Files => "give files",
            Self::TakeFiles => "take files",
            Self::TakeResults => "take results",
        })
    }
}

/// A remote and what one knows of its health.
pub(super) struct Guarded {
    pub(super) settings: RemoteSettings,
    /// Where it is, as records of results say.
    pub(super) place: String,
    transport: Box<dyn Transport>,
    circuit: PathBuf,
    open: AtomicBool,
    write_refused: AtomicBool,
}

impl Guarded {
    /// `folder` is where the circuits of all remotes are.
    pub(super) fn new(settings: RemoteSettings, place: String, transport: Box<dyn Transport>, folder: &Path) -> Self {
        let name = blake3::hash(format!("{}\n{}", settings.name, settings.url).as_bytes()).to_hex();
        let circuit = folder.join(&name[..32]);
        let open = AtomicBool::new(read(&circuit).is_some_and(|(until, _)| until > now()));
        Self { settings, place, transport, circuit, open, write_refused: AtomicBool::new(false) }
    }

    /// Whether it is worth asking.
    pub(super) fn is_up(&self) -> bool {
        !self.open.load(Ordering::Relaxed)
    }

    /// Whether what is built here goes there.
    pub(super) fn takes_results(&self) -> bool {
        self.settings.role == Role::ReadWrite && !self.write_refused.load(Ordering::Relaxed)
    }

    /// How it names bytes; `None` if it does not say so.
    pub(super) fn function(&self) -> Option<DigestFunction> {
        self.call(Request::DigestFunction, |transport| transport.digest_function())
    }

    /// Asks it, several times if need be. `None` if it does not do it; why is on the standard error
    /// then.
    pub(super) fn call<T>(
        &self,
        request: Request,
        call: impl Fn(&dyn Transport) -> Result<T, RemoteError>,
    ) -> Option<T> {
        self.call_on(request, &|| false, call)
    }

    /// As [`Guarded::call`], for what is done in many steps, of which an attempt does not repeat
    /// those that were done: `got_on` says, after an attempt that failed, whether it was worth it.
    /// Then attempts are counted anew.
    pub(super) fn call_on<T>(
        &self,
        request: Request,
        got_on: &dyn Fn() -> bool,
        call: impl Fn(&dyn Transport) -> Result<T, RemoteError>,
    ) -> Option<T> {
        if !self.is_up() {
            return None;
        }
        let mut retries = POLICY.begin();
        loop {
            match call(self.transport.as_ref()) {
                Ok(done) => {
                    if self.circuit.exists() {
                        let _ = fs::remove_file(&self.circuit);
                    }
                    return Some(done);
                }
                Err(RemoteError::Unavailable(_) | RemoteError::Busy(_)) if got_on() => {
                    retries.begin_anew();
                    std::thread::sleep(POLICY.pause_after(1));
                }
                Err(RemoteError::Unavailable(_) | RemoteError::Busy(_)) if let Some(pause) = retries.pause() => {
                    std::thread::sleep(pause);
                }
                Err(error @ (RemoteError::Unavailable(_) | RemoteError::Busy(_))) => {
                    let seconds = self.trip();
                    self.say(request, &error, &format!("it is left alone for {seconds} s"));
                    return None;
                }
                Err(error @ RemoteError::Refused(_)) if self.takes_results() && request.writes() => {
                    self.write_refused.store(true, Ordering::Relaxed);
                    self.say(request, &error, "nothing more is put there");
                    return None;
                }
                Err(error) => {
                    self.say(request, &error, "the build goes on without it");
                    return None;
                }
            }
        }
    }

    /// Opens the circuit; gives for how many seconds.
    fn trip(&self) -> u64 {
        self.open.store(true, Ordering::Relaxed);
        let seconds = read(&self.circuit).map_or(ALONE, |(_, last)| (last * 2).clamp(ALONE, ALONE_AT_MOST));
        if let Some(folder) = self.circuit.parent() {
            // Without the file, other processes find out for themselves.
            let _ = fs::create_dir_all(folder);
            let _ = fs::write(&self.circuit, format!("{} {seconds}\n", now() + seconds));
        }
        seconds
    }

    fn say(&self, request: Request, error: &RemoteError, then: &str) {
        // What the server said is part of the error, and is one line here.
        let error = error.to_string();
        errln!("warning: remote `{}` can't {request}: {}; {then}", self.settings.name, printable(&error));
    }
}

/// What is left of something that is done in steps.
#[derive(Debug)]
pub(super) struct Left {
    now: AtomicUsize,
    last: AtomicUsize,
}

impl Left {
    pub(super) fn new() -> Self {
        Self { now: AtomicUsize::new(usize::MAX), last: AtomicUsize::new(usize::MAX) }
    }

    /// So much is left when an attempt begins.
    pub(super) fn begin(&self, left: usize) {
        self.now.store(left, Ordering::Relaxed);
        self.last.store(left, Ordering::Relaxed);
    }

    /// One step is done.
    pub(super) fn done(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the attempt did an eighth of what was left. With less a remote would be asked too
    /// often for what it has.
    pub(super) fn got_on(&self) -> bool {
        let (now, last) = (self.now.load(Ordering::Relaxed), self.last.load(Ordering::Relaxed));
        now < last && (last - now).saturating_mul(8) >= last
    }
}

/// Until when the circuit is open, and for how many seconds it was opened.
fn read(circuit: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(circuit).ok()?;
    let (until, seconds) = text.trim_end().split_once(' ')?;
    Some((until.parse().ok()?, seconds.parse().ok()?))
}
