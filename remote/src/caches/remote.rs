//! One remote as a build sees it: what it says, or a warning.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use build_graph::NodeKey;
use build_graph::untrusted::printable;
use network::parallel;
use store::StoreError;

use super::super::envelope::SignedEnvelope;
use super::super::settings::{RemoteSettings, Role, SettingsError};
use super::super::{DamagedBlob, DigestFunction, Open, Receive, RemoteError, Transport, WireDigest, stack, transport};

/// So many results are put at once.
const PUT_AT_ONCE: usize = 8;

/// A remote and its transport, with all policies.
pub(super) struct Remote {
    pub(super) settings: RemoteSettings,
    /// Where it is, as records of results say.
    pub(super) place: String,
    transport: Box<dyn Transport>,
    /// Takes warnings, each one line.
    pub(super) warn: Arc<Warn>,
    /// It refused to take something: nothing more is put there.
    writes_refused: AtomicBool,
}

/// Takes a warning, one line without a dot at its end.
pub(super) type Warn = dyn Fn(&str) + Send + Sync;

fn silent() -> Arc<Warn> {
    Arc::new(|_| {})
}

/// What a remote is asked for, in the words of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    DigestFunction,
    LookUp,
    Missing,
    Fetch,
    Put,
    PutResults,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DigestFunction => "say how it names files",
            Self::LookUp => "be asked",
            Self::Missing => "say what it has",
            Self::Fetch => "give files",
            Self::Put => "take files",
            Self::PutResults => "take results",
        })
    }
}

/// What came of fetching files.
#[derive(Debug)]
pub(super) enum Fetched {
    /// All that the remote has came, but for those that are damaged.
    AllBut(Vec<DamagedBlob>),
    /// It failed; because of the store, if its error is given.
    Failed(Option<StoreError>),
}

impl Remote {
    /// Opens a remote. `root` is the project's folder, to which relative paths belong; `circuits`
    /// is the folder of the circuit breakers' files.
    pub(super) fn open(settings: RemoteSettings, root: &Path, circuits: &Path) -> Result<Self, SettingsError> {
        let place = settings.identity(root)?;
        let name = blake3::hash(format!("{}\n{}", settings.name, settings.url).as_bytes()).to_hex();
        let transport = Box::new(stack(transport(&settings, root)?, circuits.join(&name[..32])));
        Ok(Self { settings, place, transport, warn: silent(), writes_refused: AtomicBool::new(false) })
    }

    /// Whether what is built here goes there.
    pub(super) fn takes_results(&self) -> bool {
        self.settings.role == Role::ReadWrite && !self.writes_refused.load(Ordering::Relaxed)
    }

    pub(super) fn digest_function(&self) -> Option<DigestFunction> {
        self.answer(Request::DigestFunction, self.transport.digest_function())
    }

    pub(super) fn look_up(&self, keys: &[NodeKey]) -> Option<Vec<Option<Vec<u8>>>> {
        self.answer(Request::LookUp, self.transport.look_up(keys))
    }

    pub(super) fn missing(&self, blobs: &[WireDigest]) -> Option<HashSet<WireDigest>> {
        self.answer(Request::Missing, self.transport.missing(blobs))
    }

    /// Fetches files. An error of `receive` that is a [`StoreError`] within
    /// [`RemoteError::Local`] is returned, without a warning.
    pub(super) fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Fetched {
        let error = match self.transport.fetch(blobs, receive) {
            Ok(()) => return Fetched::AllBut(Vec::new()),
            Err(RemoteError::Damaged(damaged)) => return Fetched::AllBut(damaged),
            Err(RemoteError::Local(error)) => match error.downcast::<StoreError>() {
                Ok(error) => return Fetched::Failed(Some(error)),
                Err(error) => error.into(),
            },
            Err(error) => error,
        };
        self.answer::<()>(Request::Fetch, Err(error));
        Fetched::Failed(None)
    }

    pub(super) fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Option<()> {
        self.answer_write(Request::Put, self.transport.put(blobs, open))
    }

    /// Puts results; returns how many.
    pub(super) fn put_results(&self, results: &[SignedEnvelope]) -> Option<usize> {
        let put = parallel::map(PUT_AT_ONCE, results, |result| match self.transport.put_result(result) {
            Ok(()) => Ok(true),
            // The request that opened the circuit says why.
            Err(RemoteError::CircuitOpen) => Ok(false),
            Err(error) => Err(error),
        });
        let put = self.answer_write(Request::PutResults, put)?;
        Some(put.into_iter().filter(|put| *put).count())
    }

    pub(super) fn warn(&self, what: &str) {
        (self.warn)(&format!("remote `{}`{what}", self.settings.name));
    }

    /// The answer; a warning in place of an error.
    fn answer<T>(&self, request: Request, answer: Result<T, RemoteError>) -> Option<T> {
        answer.map_err(|error| self.warn_failed(request, &error, "the build goes on without it")).ok()
    }

    fn answer_write<T>(&self, request: Request, answer: Result<T, RemoteError>) -> Option<T> {
        if let Err(error @ RemoteError::Refused(_)) = &answer {
            self.writes_refused.store(true, Ordering::Relaxed);
            self.warn_failed(request, error, "nothing more is put there");
            return None;
        }
        self.answer(request, answer)
    }

    fn warn_failed(&self, request: Request, error: &RemoteError, consequence: &str) {
        let consequence = match error {
            // The first failure was warned of.
            RemoteError::CircuitOpen => return,
            RemoteError::LeftAlone { seconds, .. } => &format!("it is left alone for {seconds} s"),
            _ => consequence,
        };
        // What the server said is part of the error, and is one line here.
        self.warn(&format!(" can't {request}: {}; {consequence}", printable(&error.to_string())));
    }
}
