//! All remotes of a project, in their order: what they have, what of it is believed, and what is
//! put there.
//!
//! Nothing here fails a build: a remote that is down, slow or wrong is as good as empty, and is
//! spoken of on the standard error. Only the local store's own errors are errors.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use build_graph::{BlobDigest, Entry, NodeKey, Tree, TreeDigest};
use sha2::{Digest as _, Sha256};

use super::circuit_breaker::{Guarded, Left, Request};
use super::envelope::{Envelope, SignedEnvelope, WireBlob};
use super::object_layout::{at_once, is_on_the_way};
use super::settings::{KEY_VARIABLE, RemoteSettings, SettingsError};
use super::trust::{Distrust, Trust, now};
use super::{DigestFunction, RemoteError, Upload, WireDigest, transport};
use crate::store::{Area, MissingBlob, Origin, Store, StoreError};

/// So many keys are asked for in one call.
const BATCH: usize = 512;
/// So much that is refused is spoken of, each in a line.
const SPOKEN_OF: usize = 5;

/// A result that a remote has and that is believed.
#[derive(Debug)]
pub struct Hit {
    /// The tree.
    pub tree: Tree,
    /// Its digest.
    pub digest: TreeDigest,
    /// Whence it is, for the store's record.
    pub origin: Origin,
    blobs: HashMap<BlobDigest, WireDigest>,
}

/// A result to be put on remotes.
#[derive(Debug)]
pub struct Outgoing {
    /// Its key.
    pub key: NodeKey,
    /// Its tree, whose bytes the store has.
    pub tree: Arc<Tree>,
    /// Where it was computed.
    pub origin: Origin,
    /// Whether its bytes go there too, or only what it is: what is made of other nodes' bytes in a
    /// moment is not kept twice.
    pub with_bytes: bool,
}

/// What a check of a remote found.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many results it has that are believed.
    pub results: usize,
    /// How many files of these have the right bytes.
    pub files: usize,
    /// What is not right, in words.
    pub wrong: Vec<String>,
    /// How many of the keys it has nothing for.
    pub absent: usize,
}

/// A remote by its place, and what it was asked for.
type Asked = (usize, NodeKey);

/// The remotes.
#[derive(Default)]
pub struct Caches {
    remotes: Vec<Guarded>,
    trust: Trust,
    /// What each remote said, by its place and the key.
    said: Mutex<HashMap<Asked, Option<Arc<Hit>>>>,
    refused: AtomicUsize,
    /// Whether it was said that there is no key.
    keyless: AtomicBool,
}

impl Caches {
    /// Opens remotes. `root` is the project's folder, to which relative paths belong.
    ///
    /// # Errors
    /// [`SettingsError`] if a remote can't be what its settings say.
    pub fn open(
        settings: Vec<RemoteSettings>,
        trust: Trust,
        root: &Path,
        store: &Store,
    ) -> Result<Self, SettingsError> {
        let folder = store.area(Area::Remotes);
        let guarded = |settings: RemoteSettings| {
            let transport = transport(&settings, root)?;
            let place = settings.identity(root)?;
            Ok(Guarded::new(settings, place, transport, &folder))
        };
        Ok(Self { remotes: settings.into_iter().map(guarded).collect::<Result<_, _>>()?, trust, ..Self::default() })
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.remotes.is_empty()
    }

    /// Whether what is built here is put anywhere.
    pub fn take_results(&self) -> bool {
        self.remotes.iter().any(Guarded::takes_results)
    }

    /// How many results and files were refused.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// What the remotes have under these keys: of each key, the first result that is believed.
    /// Nothing is fetched but that.
    pub fn look_up(&self, keys: &[NodeKey]) -> HashMap<NodeKey, Arc<Hit>> {
        let mut found = HashMap::new();
        for at in 0..self.remotes.len() {
            let rest: Vec<_> = keys.iter().copied().filter(|key| !found.contains_key(key)).collect();
            if rest.is_empty() {
                break;
            }
            self.ask(at, &rest);
            found.extend(rest.iter().filter_map(|key| Some((*key, self.hit(at, *key)?))));
        }
        found
    }

    /// What the remotes have under one key.
    pub fn look_up_one(&self, key: NodeKey) -> Option<Arc<Hit>> {
        self.look_up(&[key]).remove(&key)
    }

    /// Which of these results have all their bytes on a remote, or in the store.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be read.
    pub fn whole(&self, store: &Store, results: &[(NodeKey, TreeDigest)]) -> Result<HashSet<NodeKey>, StoreError> {
        let mut wanted: Vec<(NodeKey, Vec<MissingBlob>)> = Vec::new();
        for (key, digest) in results {
            if let Some(tree) = store.tree(*digest)? {
                wanted.push((*key, store.missing(&tree)?));
            }
        }
        for (at, remote) in self.remotes.iter().enumerate() {
            if wanted.iter().all(|(_, missing)| missing.is_empty()) {
                break;
            }
            let keys: Vec<_> = results.iter().map(|(key, _)| *key).collect();
            self.ask(at, &keys);
            let trees: HashMap<_, _> = results.iter().copied().collect();
            // As when they are fetched.
            let hit = |key| self.hit(at, key).filter(|hit| trees.get(&key) == Some(&hit.digest));
            let wire = |key: NodeKey, blob: &MissingBlob| hit(key)?.blobs.get(&blob.digest).copied();
            let mut named: Vec<_> =
                wanted.iter().flat_map(|(key, blobs)| blobs.iter().filter_map(|blob| wire(*key, blob))).collect();
            named.sort_unstable();
            named.dedup();
            if named.is_empty() {
                continue;
            }
            let Some(lost) = remote.call(Request::Missing, |transport| transport.missing(&named)) else { continue };
            for (key, blobs) in &mut wanted {
                blobs.retain(|blob| wire(*key, blob).is_none_or(|wire| lost.contains(&wire)));
            }
        }
        Ok(wanted.into_iter().filter(|(_, missing)| missing.is_empty()).map(|(key, _)| key).collect())
    }

    /// Fetches files of a node's tree into the store, from whichever remote has them and says of
    /// the key what we believe of it. Gives how many were had.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be read or written.
    pub fn fetch(
        &self,
        store: &Store,
        key: NodeKey,
        digest: TreeDigest,
        blobs: &[MissingBlob],
    ) -> Result<usize, StoreError> {
        let mut rest: Vec<_> = blobs.to_vec();
        for (at, remote) in self.remotes.iter().enumerate() {
            if rest.is_empty() {
                break;
            }
            self.ask(at, &[key]);
            let Some(hit) = self.hit(at, key).filter(|hit| hit.digest == digest) else { continue };
            // What broke off is asked for once more.
            for _ in 0..2 {
                let broken = AtomicUsize::new(0);
                self.fetch_from(store, remote, &hit, &rest, &broken)?;
                if broken.into_inner() == 0 {
                    break;
                }
            }
            let mut still = Vec::new();
            for blob in rest {
                if !store.has_blob(&entry(&blob))? {
                    still.push(blob);
                }
            }
            rest = still;
        }
        Ok(blobs.len() - rest.len())
    }

    /// Fetches what is missing from one remote; counts the files that did not come whole.
    fn fetch_from(
        &self,
        store: &Store,
        remote: &Guarded,
        hit: &Hit,
        blobs: &[MissingBlob],
        broken: &AtomicUsize,
    ) -> Result<(), StoreError> {
        let failed = Mutex::new(None);
        let fail = |error: StoreError| {
            let text = error.to_string();
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            RemoteError::Local(io::Error::other(text))
        };
        let left = Left::new();
        remote.call_on(Request::Files, &|| left.got_on(), |transport| {
            let mut wanted: BTreeMap<WireDigest, Vec<&MissingBlob>> = BTreeMap::new();
            for blob in blobs {
                // An attempt before may have brought it.
                if let Some(wire) = hit.blobs.get(&blob.digest)
                    && !store.has_blob(&entry(blob)).map_err(fail)?
                {
                    wanted.entry(*wire).or_default().push(blob);
                }
            }
            let names: Vec<_> = wanted.keys().copied().collect();
            if names.is_empty() {
                return Ok(());
            }
            left.begin(names.len());
            transport.fetch(&names, &|wire, reader| {
                let Some(blobs) = wanted.get(wire) else { return Ok(()) };
                match receive(store, blobs, reader) {
                    Ok(()) => {
                        left.done();
                        Ok(())
                    }
                    Err(Received::OnTheWay(error)) => Err(RemoteError::Unavailable(error.to_string())),
                    Err(Received::Broken(error)) => {
                        broken.fetch_add(1, Ordering::Relaxed);
                        self.speak(remote, &format!("file {} does not come whole ({error})", blobs[0].digest));
                        Ok(())
                    }
                    Err(Received::OtherBytes) => {
                        self.speak(remote, &format!("file {} comes with other bytes", blobs[0].digest));
                        Ok(())
                    }
                    Err(Received::Store(error)) => Err(fail(error)),
                }
            })
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Says that something of a remote is refused; after a few times, that there is more, and then
    /// nothing.
    fn speak(&self, remote: &Guarded, what: &str) {
        let name = &remote.settings.name;
        match self.refused.fetch_add(1, Ordering::Relaxed) {
            ..SPOKEN_OF => errln!("warning: remote `{name}`: {what}; it is refused"),
            SPOKEN_OF => errln!("warning: remote `{name}`: more is refused"),
            _ => {}
        }
    }

    /// As [`Caches::push`], but puts files there even where they are said to be already: what is
    /// there may be damaged.
    ///
    /// # Errors
    /// As [`Caches::push`].
    pub fn push_anew(
        &self,
        store: &Store,
        results: &[Outgoing],
    ) -> Result<(usize, Vec<(NodeKey, String)>), StoreError> {
        self.push_files(store, results, true)
    }

    /// Puts results on all remotes that take them. Gives how many results went to a remote, and why
    /// others may not be signed.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be read.
    pub fn push(&self, store: &Store, results: &[Outgoing]) -> Result<(usize, Vec<(NodeKey, String)>), StoreError> {
        self.push_files(store, results, false)
    }

    fn push_files(
        &self,
        store: &Store,
        results: &[Outgoing],
        anew: bool,
    ) -> Result<(usize, Vec<(NodeKey, String)>), StoreError> {
        let mut unsigned = Vec::new();
        let mut signable = Vec::new();
        for result in results {
            match self.trust.may_sign(&result.origin) {
                Ok(engine) => signable.push((result, engine)),
                Err(why) => unsigned.push((result.key, why)),
            }
        }
        let mut put = 0;
        for remote in self.remotes.iter().filter(|remote| remote.takes_results()) {
            // It may have what somebody has signed, which is worth more.
            if self.trust.signing_key().is_none() && !remote.settings.unsigned {
                if !signable.is_empty() && !self.keyless.swap(true, Ordering::Relaxed) {
                    errln!(
                        "warning: nothing is put on remote `{}`: it holds what is signed, and there is no key to sign with \
                         (`signing-key`, or the variable `{KEY_VARIABLE}`)",
                        remote.settings.name
                    );
                }
                continue;
            }
            let Some(function) = remote.function() else { continue };
            for batch in signable.chunks(64) {
                put += self.push_batch(store, remote, function, batch, anew)?;
            }
        }
        Ok((put, unsigned))
    }

    fn push_batch(
        &self,
        store: &Store,
        remote: &Guarded,
        function: DigestFunction,
        batch: &[(&Outgoing, Option<String>)],
        anew: bool,
    ) -> Result<usize, StoreError> {
        let mut envelopes = Vec::new();
        let mut files: HashMap<WireDigest, Entry> = HashMap::new();
        for (result, engine) in batch {
            let mut blobs = BTreeMap::new();
            let entries = result.tree.iter().map(|(_, entry)| entry).filter(|_| result.with_bytes);
            for (file, digest, size) in entries.filter_map(parts) {
                let hash = match function {
                    DigestFunction::Blake3 => *digest.as_bytes(),
                    DigestFunction::Sha256 => sha256(store.open_blob(file)?).map_err(unreadable)?,
                };
                let wire = WireDigest { hash, size };
                blobs.insert(*digest.as_bytes(), WireBlob { digest, wire });
                files.insert(wire, file.clone());
            }
            envelopes.push(Envelope {
                key: result.key,
                tree: Tree::clone(&result.tree),
                engine: engine.clone(),
                signed_at: now(),
                function,
                blobs: blobs.into_values().collect(),
            });
        }
        let names: Vec<_> = files.keys().copied().collect();
        if !names.is_empty() {
            let sent = remote.call(Request::TakeFiles, |transport| {
                let mut uploads = Vec::new();
                let wanted = if anew { names.iter().copied().collect() } else { transport.missing(&names)? };
                for digest in wanted {
                    let Some(file) = files.get(&digest) else { continue };
                    uploads.push(Upload { digest, file: store.open_blob(file).map_err(io::Error::other)? });
                }
                // As many open files as a process may have.
                while !uploads.is_empty() {
                    let rest = uploads.split_off(uploads.len().min(128));
                    transport.put(uploads)?;
                    uploads = rest;
                }
                Ok(())
            });
            if sent.is_none() {
                return Ok(0);
            }
        }
        let signed: Vec<_> =
            envelopes.into_iter().map(|envelope| SignedEnvelope::new(envelope, self.trust.signing_key())).collect();
        let put = remote.call(Request::TakeResults, |transport| {
            at_once(8, &signed, |signed| transport.put_result(signed)).map(|done| done.len())
        });
        Ok(put.unwrap_or(0))
    }

    /// The names of all remotes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.remotes.iter().map(|remote| remote.settings.name.as_str())
    }

    /// Reads what the remote of this name has under these keys, all bytes of it.
    ///
    /// # Errors
    /// A text if there is no such remote (see [`Caches::names`]), or it can't be asked.
    pub fn check(&self, name: &str, keys: &[NodeKey]) -> Result<Checked, String> {
        let at = self.remotes.iter().position(|remote| remote.settings.name == name);
        let at = at.ok_or_else(|| format!("there is no remote `{name}`"))?;
        let remote = &self.remotes[at];
        let before = self.refused();
        self.ask(at, keys);
        let unread = || format!("remote `{name}` can't be read");
        {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if keys.iter().any(|key| !said.contains_key(&(at, *key))) {
                return Err(unread());
            }
        }
        let mut checked = Checked::default();
        let mut wanted: HashMap<WireDigest, (BlobDigest, NodeKey)> = HashMap::new();
        for key in keys {
            match self.hit(at, *key) {
                Some(hit) => {
                    checked.results += 1;
                    wanted.extend(hit.blobs.iter().map(|(digest, wire)| (*wire, (*digest, *key))));
                }
                None => checked.absent += 1,
            }
        }
        let refused = self.refused() - before;
        checked.absent -= refused.min(checked.absent);
        if refused > 0 {
            checked.wrong.push(format!("{refused} results are not believed"));
        }
        let names: Vec<_> = wanted.keys().copied().collect();
        let seen: Mutex<HashMap<WireDigest, bool>> = Mutex::default();
        let done = remote.call(Request::Files, |transport| {
            transport.fetch(&names, &|wire, reader| {
                let mut hasher = blake3::Hasher::new();
                let read = io::copy(&mut reader.take(wire.size + 1), &mut hasher);
                let right = read.is_ok_and(|size| size == wire.size)
                    && wanted.get(wire).is_some_and(|(digest, _)| hasher.finalize().as_bytes() == digest.as_bytes());
                seen.lock().unwrap_or_else(PoisonError::into_inner).insert(*wire, right);
                Ok(())
            })
        });
        if done.is_none() && !names.is_empty() || !remote.is_up() {
            return Err(unread());
        }
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (wire, (digest, key)) in &wanted {
            match seen.get(wire) {
                Some(true) => checked.files += 1,
                Some(false) => checked.wrong.push(format!("file {digest} of the result {key} has other bytes")),
                None => checked.wrong.push(format!("file {digest} of the result {key} is not there")),
            }
        }
        checked.wrong.sort();
        Ok(checked)
    }

    fn hit(&self, at: usize, key: NodeKey) -> Option<Arc<Hit>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).get(&(at, key)).cloned().flatten()
    }

    /// Asks a remote for what it has not been asked for yet.
    fn ask(&self, at: usize, keys: &[NodeKey]) {
        let remote = &self.remotes[at];
        let said = || self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<_> = keys.iter().copied().filter(|key| !said().contains_key(&(at, *key))).collect();
        new.sort_unstable_by_key(|key| *key.as_bytes());
        new.dedup();
        for batch in new.chunks(BATCH) {
            let Some(answers) = remote.call(Request::Results, |transport| {
                let answers = transport.look_up(batch)?;
                if answers.len() == batch.len() {
                    Ok(answers)
                } else {
                    Err(RemoteError::Wrong("its answers don't fit".into()))
                }
            }) else {
                return;
            };
            for (key, answer) in batch.iter().zip(answers) {
                let hit = answer.and_then(|bytes| self.believe(remote, *key, &bytes)).map(Arc::new);
                said().insert((at, *key), hit);
            }
        }
    }

    fn believe(&self, remote: &Guarded, key: NodeKey, bytes: &[u8]) -> Option<Hit> {
        let judged = SignedEnvelope::from_bytes(bytes).ok_or(Distrust::Malformed).and_then(|signed| {
            let vouched = self.trust.judge(key, &signed, remote.settings.unsigned)?;
            let signer = signed.signer().map(|id| id.as_str().to_owned());
            Ok((signed.envelope, vouched, signer))
        });
        match judged {
            Ok((envelope, signed, signer)) => Some(Hit {
                digest: envelope.tree_digest(),
                origin: Origin::Cache {
                    remote: remote.settings.name.clone(),
                    place: Some(remote.place.clone()),
                    signed,
                    engine: envelope.engine,
                    signed_at: signer.as_ref().map(|_| envelope.signed_at),
                    signer,
                },
                blobs: envelope.blobs.iter().map(|blob| (blob.digest, blob.wire)).collect(),
                tree: envelope.tree,
            }),
            Err(distrust) => {
                self.speak(remote, &format!("the result of {key}: {distrust}"));
                None
            }
        }
    }
}

/// Why bytes were not taken.
enum Received {
    /// The remote, or what lies between, is in trouble.
    OnTheWay(io::Error),
    /// This file does not come whole.
    Broken(io::Error),
    /// These are not the bytes that it should have.
    OtherBytes,
    /// The store can't take them.
    Store(StoreError),
}

/// Takes the bytes of one file into the store, if they are what they should be.
fn receive(store: &Store, blobs: &[&MissingBlob], reader: &mut dyn Read) -> Result<(), Received> {
    let Some((first, others)) = blobs.split_first() else { return Ok(()) };
    let broken = RefCell::new(None);
    let mut noting = Noting { reader: reader.take(first.size + 1), broken: &broken };
    let taken = store.put_reader(&mut noting, first.executable);
    match broken.take() {
        Some(error) if is_on_the_way(&error) => return Err(Received::OnTheWay(error)),
        Some(error) => return Err(Received::Broken(error)),
        None => {}
    }
    let taken = taken.map_err(Received::Store)?;
    if taken != entry(first) {
        return Err(Received::OtherBytes);
    }
    for other in others.iter().filter(|other| other.executable != first.executable) {
        let mut file = store.open_blob(&taken).map_err(Received::Store)?;
        store.put_reader(&mut file, other.executable).map_err(Received::Store)?;
    }
    Ok(())
}

/// Tells errors of the remote from those of the store.
struct Noting<'a, R> {
    reader: R,
    broken: &'a RefCell<Option<io::Error>>,
}

impl<R: Read> Read for Noting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.broken.replace(Some(error));
            }
            kind.into()
        })
    }
}

fn entry(blob: &MissingBlob) -> Entry {
    Entry::File { digest: blob.digest, size: blob.size, executable: blob.executable }
}

fn parts(entry: &Entry) -> Option<(&Entry, BlobDigest, u64)> {
    match entry {
        Entry::File { digest, size, .. } => Some((entry, *digest, *size)),
        _ => None,
    }
}

fn sha256(mut file: File) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher)?;
    Ok(hasher.finalize().into())
}

fn unreadable(source: io::Error) -> StoreError {
    StoreError::Io { doing: "reading", path: "a file of a result".into(), source }
}
