//! A folder as a remote that fails when a test says so.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use build_graph::NodeKey;
use tempfile::TempDir;

use super::directory::Directory;
use super::envelope::SignedEnvelope;
use super::object_layout::ObjectLayout;
use super::{Damage, DamagedBlob, DigestFunction, Open, Receive, RemoteError, Transport, WireDigest, digest};

/// A folder whose next requests fail.
pub(super) struct TestTransport {
    inner: ObjectLayout<Directory>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: VecDeque<RemoteError>,
    requests: usize,
    /// How many blobs each `fetch` asked for.
    asked_for: Vec<usize>,
    /// How many blobs a `fetch` brings before it fails.
    break_off_after: usize,
}

impl TestTransport {
    pub(super) fn new() -> (TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        let inner = ObjectLayout(Directory::new(folder.path().to_owned()));
        (folder, Self { inner, state: Mutex::default() })
    }

    /// The next requests fail so.
    pub(super) fn fail_with(&self, failures: impl IntoIterator<Item = RemoteError>) {
        let mut state = self.state.lock().unwrap();
        state.failures = failures.into_iter().collect();
        state.asked_for.clear();
    }

    pub(super) fn break_off_after(&self, blobs: usize) {
        self.state.lock().unwrap().break_off_after = blobs;
    }

    /// Puts so many blobs there; returns their digests in order.
    pub(super) fn fill(&self, count: u8) -> Vec<WireDigest> {
        let folder = tempfile::tempdir().unwrap();
        let blobs: Vec<_> = (0..count).map(|at| vec![at; 100 + usize::from(at)]).collect();
        let path = |blob: &WireDigest| folder.path().join(blob.size.to_string());
        let mut digests = Vec::new();
        for bytes in &blobs {
            let blob = digest::of(DigestFunction::Blake3, bytes);
            std::fs::write(path(&blob), bytes).unwrap();
            digests.push(blob);
        }
        self.inner.put(&digests, &|blob| std::fs::File::open(path(blob))).unwrap();
        digests.sort_unstable();
        digests
    }

    /// How many requests were made.
    pub(super) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    pub(super) fn asked_for(&self) -> Vec<usize> {
        self.state.lock().unwrap().asked_for.clone()
    }

    fn begin(&self) -> Result<(), RemoteError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests += 1;
        state.failures.pop_front().map_or(Ok(()), Err)
    }
}

/// An error that may pass.
pub(super) fn unavailable() -> RemoteError {
    RemoteError::Unavailable("it hung up".into())
}

pub(super) fn incomplete(blob: WireDigest) -> DamagedBlob {
    DamagedBlob { blob, damage: Damage::Incomplete("it ended".into()) }
}

impl Transport for &TestTransport {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn digest_function(&self) -> Result<DigestFunction, RemoteError> {
        self.inner.digest_function()
    }

    fn look_up(&self, keys: &[NodeKey]) -> Result<Vec<Option<Vec<u8>>>, RemoteError> {
        self.begin()?;
        self.inner.look_up(keys)
    }

    fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, RemoteError> {
        self.begin()?;
        self.inner.missing(blobs)
    }

    fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), RemoteError> {
        self.state.lock().unwrap().asked_for.push(blobs.len());
        let begun = self.begin();
        let count = if begun.is_ok() { blobs.len() } else { self.state.lock().unwrap().break_off_after };
        self.inner.fetch(&blobs[..count.min(blobs.len())], receive)?;
        begun
    }

    fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Result<(), RemoteError> {
        self.begin()?;
        self.inner.put(blobs, open)
    }

    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError> {
        self.begin()?;
        self.inner.put_result(result)
    }
}
