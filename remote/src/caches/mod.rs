//! All remotes of a project, in their order: what they have, what of it is believed, and what is
//! put there.
//!
//! A remote never fails a build. One that is down, slow or wrong counts as empty, and a warning
//! says so. Only errors of the local store are errors.

mod check;
mod remote;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use build_graph::{BlobDigest, Entry, NodeKey, Tree, TreeDigest};
use store::{Area, MissingBlob, Origin, Store, StoreError};

pub use self::check::Checked;
use self::remote::{Fetched, Remote, Warn};
use super::envelope::{Envelope, SignedEnvelope, WireBlob};
use super::settings::{KEY_VARIABLE, RemoteSettings, SettingsError};
use super::trust::{Distrust, Trust, now};
use super::{Damage, DigestFunction, RemoteError, WireDigest, digest};

/// So many keys are looked up by one request.
const LOOK_UP_AT_ONCE: usize = 512;
/// The files of so many results are put together.
const PUT_AT_ONCE: usize = 64;
/// So many refusals are warned of one by one.
const MAX_REFUSAL_WARNINGS: usize = 5;

/// A result that a remote has and that is believed.
#[derive(Debug)]
pub struct Hit {
    /// The tree.
    pub tree: Tree,
    /// Its digest.
    pub digest: TreeDigest,
    /// Where it came from, for the store's record.
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
    /// Whether its bytes go there too, or only its envelope: what is quickly made of other nodes'
    /// bytes is not kept twice.
    pub with_bytes: bool,
}

/// A remote by its place in the list, and a key that it was asked for.
type Asked = (usize, NodeKey);

/// The remotes.
#[derive(Default)]
pub struct Caches {
    remotes: Vec<Remote>,
    trust: Trust,
    /// What each remote answered.
    answers: Mutex<HashMap<Asked, Option<Arc<Hit>>>>,
    refused: AtomicUsize,
    /// Whether it was said that there is no key to sign with.
    is_keyless_said: AtomicBool,
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
        let circuits = store.area(Area::Remotes);
        let remotes = settings.into_iter().map(|settings| Remote::open(settings, root, &circuits));
        Ok(Self { remotes: remotes.collect::<Result<_, _>>()?, trust, ..Self::default() })
    }

    /// Has warnings handed to `warn`, each as one line; without this, nobody sees them.
    #[must_use]
    pub fn with_warnings(mut self, warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let warn: Arc<Warn> = Arc::new(warn);
        self.remotes.iter_mut().for_each(|remote| remote.warn = Arc::clone(&warn));
        self
    }

    /// Whether there is no remote.
    pub fn is_empty(&self) -> bool {
        self.remotes.is_empty()
    }

    /// Whether any remote takes what is built here.
    pub fn take_results(&self) -> bool {
        self.remotes.iter().any(Remote::takes_results)
    }

    /// Returns how many results and files were refused.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// The names of all remotes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.remotes.iter().map(|remote| remote.settings.name.as_str())
    }

    /// Returns, for each of these keys, the first result on a remote that is believed. Fetches
    /// nothing but that.
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

    /// As [`Caches::look_up`], for one key.
    pub fn look_up_one(&self, key: NodeKey) -> Option<Arc<Hit>> {
        self.look_up(&[key]).remove(&key)
    }

    /// Returns which of these results have all their bytes on remotes or in the store.
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
        let keys: Vec<_> = results.iter().map(|(key, _)| *key).collect();
        let trees: HashMap<_, _> = results.iter().copied().collect();
        for (at, remote) in self.remotes.iter().enumerate() {
            if wanted.iter().all(|(_, missing)| missing.is_empty()) {
                break;
            }
            self.ask(at, &keys);
            // As `fetch` chooses.
            let hit = |key| self.hit(at, key).filter(|hit| trees.get(&key) == Some(&hit.digest));
            let wire = |key: NodeKey, blob: &MissingBlob| hit(key)?.blobs.get(&blob.digest).copied();
            let mut named: Vec<_> =
                wanted.iter().flat_map(|(key, blobs)| blobs.iter().filter_map(|blob| wire(*key, blob))).collect();
            named.sort_unstable();
            named.dedup();
            if named.is_empty() {
                continue;
            }
            let Some(lost) = remote.missing(&named) else { continue };
            for (key, blobs) in &mut wanted {
                blobs.retain(|blob| wire(*key, blob).is_none_or(|wire| lost.contains(&wire)));
            }
        }
        Ok(wanted.into_iter().filter(|(_, missing)| missing.is_empty()).map(|(key, _)| key).collect())
    }

    /// Fetches files of a node's tree into the store, from every remote whose result of the key is
    /// this tree. Returns how many came.
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
            self.fetch_from(store, remote, &hit, &rest)?;
            let mut still_missing = Vec::new();
            for blob in rest {
                if !store.has_blob(&entry(&blob))? {
                    still_missing.push(blob);
                }
            }
            rest = still_missing;
        }
        Ok(blobs.len() - rest.len())
    }

    fn fetch_from(&self, store: &Store, remote: &Remote, hit: &Hit, blobs: &[MissingBlob]) -> Result<(), StoreError> {
        let mut wanted: BTreeMap<WireDigest, Vec<&MissingBlob>> = BTreeMap::new();
        for blob in blobs {
            if let Some(wire) = hit.blobs.get(&blob.digest) {
                wanted.entry(*wire).or_default().push(blob);
            }
        }
        let names: Vec<_> = wanted.keys().copied().collect();
        if names.is_empty() {
            return Ok(());
        }
        let fetched = remote.fetch(&names, &|wire, bytes| {
            let Some(blobs) = wanted.get(wire) else { return Ok(()) };
            match receive(store, blobs, bytes) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    self.warn_refused(remote, &format!("file {} comes with other bytes", blobs[0].digest));
                    Ok(())
                }
                Err(error) => Err(RemoteError::Local(io::Error::other(error))),
            }
        });
        match fetched {
            Fetched::AllBut(damaged) => {
                for damaged in damaged {
                    let Some(blobs) = wanted.get(&damaged.blob) else { continue };
                    let damage = match damaged.damage {
                        Damage::Incomplete(error) => format!("does not come whole ({error})"),
                        Damage::OtherBytes => "comes with other bytes".to_owned(),
                    };
                    self.warn_refused(remote, &format!("file {} {damage}", blobs[0].digest));
                }
                Ok(())
            }
            Fetched::Failed(Some(error)) => Err(error),
            Fetched::Failed(None) => Ok(()),
        }
    }

    /// Warns that something of a remote is refused; after a few times, that there is more, and then
    /// nothing.
    fn warn_refused(&self, remote: &Remote, what: &str) {
        match self.refused.fetch_add(1, Ordering::Relaxed) {
            ..MAX_REFUSAL_WARNINGS => remote.warn(&format!(": {what}; it is refused")),
            MAX_REFUSAL_WARNINGS => remote.warn(": more is refused"),
            _ => {}
        }
    }

    /// As [`Caches::push`], but also puts files that a remote says it has: what is there may be
    /// damaged.
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

    /// Puts results on all remotes that take them. Returns how many results went to a remote, and
    /// why others may not be signed.
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
                if !signable.is_empty() && !self.is_keyless_said.swap(true, Ordering::Relaxed) {
                    remote.warn(&format!(
                        ": nothing is put there, because it takes signed results, and there is no key to sign with; \
                         set `signing-key` of `[trust]`, or the variable `{KEY_VARIABLE}`"
                    ));
                }
                continue;
            }
            let Some(function) = remote.digest_function() else { continue };
            for batch in signable.chunks(PUT_AT_ONCE) {
                put += self.push_batch(store, remote, function, batch, anew)?;
            }
        }
        Ok((put, unsigned))
    }

    fn push_batch(
        &self,
        store: &Store,
        remote: &Remote,
        function: DigestFunction,
        batch: &[(&Outgoing, Option<String>)],
        anew: bool,
    ) -> Result<usize, StoreError> {
        let mut envelopes = Vec::new();
        let mut files: HashMap<WireDigest, Entry> = HashMap::new();
        for (result, engine) in batch {
            let mut blobs = BTreeMap::new();
            let entries = result.tree.iter().map(|(_, entry)| entry).filter(|_| result.with_bytes);
            for entry in entries {
                let Entry::File { digest, size, .. } = entry else { continue };
                let wire = match function {
                    DigestFunction::Blake3 => WireDigest { hash: *digest.as_bytes(), size: *size },
                    DigestFunction::Sha256 => {
                        digest::of_reader(function, &mut store.open_blob(entry)?).map_err(unreadable)?
                    }
                };
                blobs.insert(*digest.as_bytes(), WireBlob { digest: *digest, wire });
                files.insert(wire, entry.clone());
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
        let mut names: Vec<_> = files.keys().copied().collect();
        if !anew && !names.is_empty() {
            let Some(missing) = remote.missing(&names) else { return Ok(0) };
            names.retain(|name| missing.contains(name));
        }
        let open = |wire: &WireDigest| -> io::Result<File> {
            let entry = files.get(wire).ok_or(io::ErrorKind::NotFound)?;
            store.open_blob(entry).map_err(io::Error::other)
        };
        if !names.is_empty() && remote.put(&names, &open).is_none() {
            return Ok(0);
        }
        let key = self.trust.signing_key();
        let signed: Vec<_> = envelopes.into_iter().map(|envelope| SignedEnvelope::new(envelope, key)).collect();
        Ok(remote.put_results(&signed).unwrap_or(0))
    }

    fn hit(&self, at: usize, key: NodeKey) -> Option<Arc<Hit>> {
        lock(&self.answers).get(&(at, key)).cloned().flatten()
    }

    /// Asks a remote for those keys that it was not asked for before. Returns whether it has
    /// answered for all keys.
    fn ask(&self, at: usize, keys: &[NodeKey]) -> bool {
        let remote = &self.remotes[at];
        let mut new: Vec<_> =
            keys.iter().copied().filter(|key| !lock(&self.answers).contains_key(&(at, *key))).collect();
        new.sort_unstable_by_key(|key| *key.as_bytes());
        new.dedup();
        for batch in new.chunks(LOOK_UP_AT_ONCE) {
            let Some(answers) = remote.look_up(batch) else { return false };
            for (key, answer) in batch.iter().zip(answers) {
                let hit = answer.and_then(|bytes| self.believe(remote, *key, &bytes)).map(Arc::new);
                lock(&self.answers).insert((at, *key), hit);
            }
        }
        true
    }

    fn believe(&self, remote: &Remote, key: NodeKey, bytes: &[u8]) -> Option<Hit> {
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
                self.warn_refused(remote, &format!("the result of {key}: {distrust}"));
                None
            }
        }
    }
}

/// Takes the bytes of one file into the store. Returns whether they are the file's: the remote has
/// sent the bytes that it was asked for, but its own digest of them may be another file's.
fn receive(store: &Store, blobs: &[&MissingBlob], bytes: &mut dyn Read) -> Result<bool, StoreError> {
    let Some((first, others)) = blobs.split_first() else { return Ok(true) };
    let taken = store.put_reader(bytes, first.executable)?;
    if taken != entry(first) {
        return Ok(false);
    }
    for other in others.iter().filter(|other| other.executable != first.executable) {
        store.put_reader(&mut store.open_blob(&taken)?, other.executable)?;
    }
    Ok(true)
}

fn entry(blob: &MissingBlob) -> Entry {
    Entry::File { digest: blob.digest, size: blob.size, executable: blob.executable }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unreadable(source: io::Error) -> StoreError {
    StoreError::Io { doing: "reading", path: "a file of a result".into(), source }
}
