//! A circuit breaker: a remote that failed is not asked again for a while.
//!
//! ninja starts a process for each node, so the state of the breaker is a file in the store: a
//! remote that does not answer costs one process its deadline, and the others nothing.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use build_graph::NodeKey;

use super::envelope::SignedEnvelope;
use super::trust::now;
use super::{DigestFunction, Open, Receive, RemoteError, Transport, WireDigest};

/// For how many seconds the circuit opens at the first failure. Each failure after it doubles the
/// time.
const FIRST_PAUSE: u64 = 30;
/// The circuit never opens for longer than so many seconds.
const LONGEST_PAUSE: u64 = 600;

/// A transport behind a circuit breaker.
///
/// The circuit opens when a request fails in a way that may pass
/// ([`RemoteError::LeftAlone`]); all requests after it fail at once ([`RemoteError::CircuitOpen`]).
/// The first success after the pause closes it.
pub(super) struct CircuitBreakerTransport<T> {
    inner: T,
    /// The file that says until when the circuit is open, and for how many seconds it was opened:
    /// two numbers, the first in seconds since 1970. A closed circuit has no file.
    file: PathBuf,
    is_open: AtomicBool,
}

impl<T: Transport> CircuitBreakerTransport<T> {
    /// Reads the state that another process may have left in `file`.
    pub(super) fn new(inner: T, file: PathBuf) -> Self {
        let is_open = AtomicBool::new(read(&file).is_some_and(|(until, _)| until > now()));
        Self { inner, file, is_open }
    }

    /// Makes a request, unless the circuit is open. Opens it if the request fails in a way that may
    /// pass.
    fn attempt<R>(&self, call: impl FnOnce(&T) -> Result<R, RemoteError>) -> Result<R, RemoteError> {
        if self.is_open.load(Ordering::Relaxed) {
            return Err(RemoteError::CircuitOpen);
        }
        call(&self.inner).map_err(|error| match error.may_pass() {
            false => error,
            // Of several requests at once, the first one opens it.
            true if self.is_open.swap(true, Ordering::Relaxed) => RemoteError::CircuitOpen,
            true => RemoteError::LeftAlone { seconds: self.note_failure(), cause: Box::new(error) },
        })
    }

    /// As [`attempt`](Self::attempt), and closes the circuit if the remote answers.
    fn call<R>(&self, call: impl FnOnce(&T) -> Result<R, RemoteError>) -> Result<R, RemoteError> {
        let done = self.attempt(call);
        if matches!(done, Ok(_) | Err(RemoteError::Damaged(_))) && self.file.exists() {
            let _ = fs::remove_file(&self.file);
        }
        done
    }

    /// Tells other processes that the circuit is open; returns for how many seconds.
    fn note_failure(&self) -> u64 {
        let seconds = read(&self.file).map_or(FIRST_PAUSE, |(_, last)| (last * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE));
        if let Some(folder) = self.file.parent() {
            // Without the file, other processes find out for themselves.
            let _ = fs::create_dir_all(folder);
            let _ = fs::write(&self.file, format!("{} {seconds}\n", now() + seconds));
        }
        seconds
    }
}

impl<T: Transport> Transport for CircuitBreakerTransport<T> {
    fn place(&self) -> String {
        self.inner.place()
    }

    /// Not every transport asks the remote for that, so success does not close the circuit.
    fn digest_function(&self) -> Result<DigestFunction, RemoteError> {
        self.attempt(T::digest_function)
    }

    fn look_up(&self, keys: &[NodeKey]) -> Result<Vec<Option<Vec<u8>>>, RemoteError> {
        self.call(|inner| inner.look_up(keys))
    }

    fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, RemoteError> {
        self.call(|inner| inner.missing(blobs))
    }

    fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), RemoteError> {
        self.call(|inner| inner.fetch(blobs, receive))
    }

    fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Result<(), RemoteError> {
        self.call(|inner| inner.put(blobs, open))
    }

    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError> {
        self.call(|inner| inner.put_result(result))
    }
}

/// Until when the circuit is open, and for how many seconds it was opened.
fn read(file: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(file).ok()?;
    let (until, seconds) = text.trim_end().split_once(' ')?;
    Some((until.parse().ok()?, seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::test_transport::{TestTransport, unavailable};
    use super::*;

    #[test]
    fn a_failure_opens_the_circuit_for_other_processes_too() {
        let (folder, transport) = TestTransport::new();
        let file = folder.path().join("circuits/one");
        transport.fail_with([unavailable()]);
        let breaker = CircuitBreakerTransport::new(&transport, file.clone());
        let failed = breaker.missing(&[]).unwrap_err();
        assert!(matches!(failed, RemoteError::LeftAlone { seconds: 30, .. }), "{failed:?}");
        for breaker in [breaker, CircuitBreakerTransport::new(&transport, file)] {
            assert!(matches!(breaker.missing(&[]), Err(RemoteError::CircuitOpen)));
        }
        assert_eq!(transport.requests(), 1);
    }

    #[test]
    fn each_failure_doubles_the_pause_and_a_success_ends_it() {
        let (folder, transport) = TestTransport::new();
        let file = folder.path().join("one");
        for (before, expected) in [("1 30\n", 60), ("1 500\n", 600), ("words", 30)] {
            fs::write(&file, before).unwrap();
            transport.fail_with([unavailable()]);
            let failed = CircuitBreakerTransport::new(&transport, file.clone()).missing(&[]).unwrap_err();
            assert!(matches!(failed, RemoteError::LeftAlone { seconds, .. } if seconds == expected), "{failed:?}");
        }
        fs::write(&file, "1 30\n").unwrap();
        let breaker = CircuitBreakerTransport::new(&transport, file.clone());
        breaker.digest_function().unwrap();
        assert!(file.exists(), "nobody was asked");
        breaker.missing(&[]).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn several_failures_at_once_count_as_one() {
        let (folder, transport) = TestTransport::new();
        let file = folder.path().join("one");
        let breaker = CircuitBreakerTransport::new(&transport, file.clone());
        // Both requests begin before either fails.
        transport.fail_with([unavailable(), unavailable()]);
        let failed = breaker.attempt(|inner| {
            assert!(matches!(breaker.missing(&[]), Err(RemoteError::LeftAlone { seconds: 30, .. })));
            inner.missing(&[])
        });
        assert!(matches!(failed, Err(RemoteError::CircuitOpen)), "{failed:?}");
        assert!(fs::read_to_string(&file).unwrap().ends_with(" 30\n"));
    }

    #[test]
    fn a_refusal_is_passed_on_and_opens_nothing() {
        let (folder, transport) = TestTransport::new();
        let file = folder.path().join("one");
        transport.fail_with([RemoteError::Refused("read-only".into())]);
        let breaker = CircuitBreakerTransport::new(&transport, file.clone());
        assert!(matches!(breaker.missing(&[]), Err(RemoteError::Refused(_))));
        assert!(breaker.missing(&[]).is_ok() && !file.exists());
    }
}
