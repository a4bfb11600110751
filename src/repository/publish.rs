//! Putting packages into a repository.
//!
//! Objects have the names of their digests, so they can be put in any order and by many at once;
//! the index is replaced last. Publishers don't take one another's packages away:
//!
//! - A place that honours conditions (a folder, most buckets, some web servers) replaces the index
//!   only over the one that was read; otherwise it is read again and merged again. Whether a server
//!   does is tried out.
//! - A server is asked again after a while ([`SETTLE`]) whether the index still has what was put
//!   there: it may ignore conditions, or may have looked for two publishers before it wrote for
//!   either. If another publisher was at work at the same moment, it is put there again.

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use build_graph::BlobDigest;
use build_graph::node::Target;
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::RepositoryError;
use super::client::{State, read_document, read_state};
use super::index::{self, CodeEntry, Index, PackageEntry, ToolEntry};
use super::trust::{self, Anchors, KeyList, Keyring, Seen};
use crate::remote::dsse::Signed;
use crate::remote::envelope::KeyId;
use crate::remote::place::{Over, Place};
use crate::remote::trust::{public_key, public_text};
use crate::retry::RetryPolicy;

/// The time in which a publisher replaces an index after it has read it; one that takes longer
/// begins again.
const REPLACING: Duration = Duration::from_secs(1);
/// After so long nobody is at work any more who had read an older index.
pub const SETTLE: Duration = Duration::from_secs(3);
/// How often an index is merged because others were faster.
const MERGES: RetryPolicy = RetryPolicy::of(12);
/// The object that shows whether a server honours conditions.
const CONDITIONS: &str = ".conditions";
const DAY: u64 = 24 * 60 * 60;

/// A change of the keys of a repository.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// Keys that may sign the next list, and indexes.
    pub root: Vec<VerifyingKey>,
    /// Keys that may sign indexes.
    pub index: Vec<VerifyingKey>,
    /// The ids of keys that never count again.
    pub revoked: Vec<String>,
}

impl KeyChange {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty() && self.index.is_empty() && self.revoked.is_empty()
    }

    fn apply(&self, list: &mut KeyList) {
        for (keys, others) in [(&self.root, 0), (&self.index, 1)] {
            for text in keys.iter().map(public_text) {
                list.root.retain(|key| *key != text);
                list.index.retain(|key| *key != text);
                if others == 0 { &mut list.root } else { &mut list.index }.push(text);
            }
        }
        for id in &self.revoked {
            let stays = |text: &String| public_key(text).is_some_and(|key| KeyId::of(&key).as_str() != id);
            list.root.retain(stays);
            list.index.retain(stays);
            if !list.revoked.contains(id) {
                list.revoked.push(id.clone());
            }
        }
    }
}

/// What is added to an index.
#[derive(Debug, Clone, Default)]
pub struct Additions {
    /// Packages; one that is there already stays as it is.
    pub packages: Vec<PackageEntry>,
    /// Compiled code; it takes the place of code of the same package, loader and processor.
    pub code: Vec<CodeEntry>,
    /// Tools; each takes the place of one with the same name for the same platform.
    pub tools: Vec<ToolEntry>,
    /// Versions that are withdrawn, or are no longer.
    pub withdrawals: Vec<Withdrawal>,
}

/// A change of what installs choose by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The target, or all for which it is published.
    pub target: Option<Target>,
    /// Why it is withdrawn; `None` if it is no longer.
    pub reason: Option<String>,
}

impl Withdrawal {
    fn is_of(&self, package: &PackageEntry) -> bool {
        let target = self.target.as_ref().is_none_or(|target| *target == package.target);
        target && (&package.name, &package.version) == (&self.name, &self.version)
    }
}

/// A repository that is published to.
pub struct Publisher<'a> {
    place: Box<dyn Place>,
    anchors: Anchors,
    key: &'a SigningKey,
    memory: &'a Path,
    /// How long an index is of use, in days.
    days: u64,
    settle: Duration,
}

impl<'a> Publisher<'a> {
    /// Publishes with this key, which the publisher trusts; so it does the anchors. `memory`
    /// remembers what was seen of the repository. An index is of use for so many days.
    pub fn new(place: Box<dyn Place>, mut anchors: Anchors, key: &'a SigningKey, memory: &'a Path, days: u64) -> Self {
        anchors.add(&key.verifying_key());
        Self { place, anchors, key, memory, days, settle: SETTLE }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        self.place.shown()
    }

    /// The index that is there now; `None` if there is none yet.
    ///
    /// # Errors
    /// [`RepositoryError`] if it can't be read, nobody trusted vouches for it, or it is older than
    /// what was seen. That it has expired is no error: a new one takes its place.
    pub fn index(&self) -> Result<Option<Index>, RepositoryError> {
        Ok(self.read()?.map(|(_, index)| index))
    }

    fn read(&self) -> Result<Option<(State, Index)>, RepositoryError> {
        let seen = Seen::read(self.memory)?;
        // A folder that has been there and is gone is one that is not mounted.
        if seen.number() == 0 {
            self.place.make()?;
        }
        let Some(state) = read_state(&*self.place, self.anchors.clone(), &seen)? else {
            return match seen.number() {
                0 => Ok(None),
                number => Err(RepositoryError::Vanished { number, memory: self.memory.to_path_buf() }),
            };
        };
        let voucher = state.keyring.vouch(&state.signed)?;
        let index = Index::from_bytes(state.signed.payload())?;
        voucher.check(index.signed_at)?;
        // As on the day it was signed.
        match seen.check(&index, state.signed.payload(), state.lists, index.signed_at) {
            // Of two publishers that were at work at once, on a server without conditions.
            Err(RepositoryError::TwoIndexes(_)) => {}
            checked => checked?,
        }
        Ok(Some((state, index)))
    }

    /// Puts an object, unless it is there; with `anew`, in any case, for it may be damaged.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn put(
        &self,
        name: &str,
        length: u64,
        anew: bool,
        open: impl Fn() -> io::Result<Box<dyn Read + Send>>,
    ) -> Result<bool, RepositoryError> {
        let mut retries = RetryPolicy::of(4).begin();
        loop {
            let attempt = || -> Result<bool, RepositoryError> {
                if !anew && self.place.has(name)? {
                    return Ok(false);
                }
                let bytes = open().map_err(RepositoryError::io("read", name))?;
                self.place.put(name, length, bytes)?;
                Ok(true)
            };
            match attempt() {
                Err(error) if error.may_pass() => match retries.pause() {
                    Some(pause) => std::thread::sleep(pause),
                    None => return Err(error),
                },
                done => return done,
            }
        }
    }

    /// Puts bytes, whatever was there.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn put_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
        let open = || Ok(Box::new(Cursor::new(bytes.to_vec())) as Box<dyn Read + Send>);
        self.put(name, bytes.len() as u64, true, open).map(drop)
    }

    /// Adds to the index, withdraws from it, renews it, and changes the keys; gives the index that
    /// is there then. The objects that it lists have to be there.
    ///
    /// # Errors
    /// [`RepositoryError`]; either all of it is published, or nothing.
    pub fn publish(&self, additions: &Additions, keys: &KeyChange, now: u64) -> Result<Index, RepositoryError> {
        let honours = self.honours_conditions();
        let mut retries = MERGES.begin();
        loop {
            let begun = Instant::now();
            let before = self.read()?;
            let (mut keyring, mut lists, mut index, over) = match before {
                Some((state, index)) => (state.keyring, state.lists, index, state.document.version.map(Over::Version)),
                None => {
                    let keyring = Keyring::new(self.anchors.clone(), &Seen::read(self.memory)?);
                    (keyring, 0, Index::empty(), Some(Over::Nothing))
                }
            };
            if index.signed_at > now + trust::CLOCK_TOLERANCE {
                return Err(RepositoryError::Future { signed_at: index.signed_at, now });
            }
            merge(&mut index, additions)?;
            if lists == 0 || !keys.is_empty() {
                let Some(number) = self.put_list(&mut keyring, lists, keys, now)? else {
                    std::thread::sleep(retries.pause().ok_or(RepositoryError::Crowded)?);
                    continue;
                };
                lists = number;
            }
            index.number += 1;
            index.keys = lists;
            // Time goes on for readers, if this machine's clock is a little slow.
            index.signed_at = now.max(index.signed_at).max(index.number);
            index.expires = index.signed_at + self.days * DAY;
            index.sort();
            let document = index.to_bytes();
            let signed = Signed::new(index::KIND, document.clone(), &[self.key]);
            keyring.vouch(&signed).map_err(|_| self.not_allowed("sign an index of this repository"))?;
            let bytes = signed.to_bytes();
            let done = match over {
                Some(over) if self.place.replaces_one_at_a_time() => self.place.replace("index.json", &bytes, &over)?,
                over => self.replace_and_look(&bytes, additions, begun, over.filter(|_| honours).as_ref())?,
            };
            if done {
                Seen::remember(self.memory, &keyring, &index, &document)?;
                return Ok(index);
            }
            std::thread::sleep(retries.pause().ok_or(RepositoryError::Crowded)?);
        }
    }

    /// Whether the place replaces an object only if a condition holds: it is asked for what it must
    /// refuse.
    fn honours_conditions(&self) -> bool {
        let refused = || matches!(self.place.replace(CONDITIONS, b"\n", &Over::Nothing), Ok(false));
        // The first time, there may be nothing.
        refused() || refused()
    }

    /// Replaces the index on a server, and looks whether it stays; without `over` where conditions
    /// are ignored.
    fn replace_and_look(
        &self,
        bytes: &[u8],
        additions: &Additions,
        begun: Instant,
        over: Option<&Over>,
    ) -> Result<bool, RepositoryError> {
        match over {
            Some(over) if self.place.replace("index.json", bytes, over)? => {}
            None if begun.elapsed() <= REPLACING => {
                self.place.put("index.json", bytes.len() as u64, Box::new(Cursor::new(bytes.to_vec())))?;
            }
            _ => return Ok(false),
        }
        std::thread::sleep(self.settle);
        let Some(there) = read_document(&*self.place, "index.json", index::MAX_INDEX)? else { return Ok(false) };
        if there.bytes == bytes {
            return Ok(true);
        }
        // Another one stands there. What was added is in it if it was made after ours.
        let index = Signed::from_bytes(&there.bytes, index::KIND)
            .and_then(|signed| Index::from_bytes(signed.payload()).ok())
            .unwrap_or_else(Index::empty);
        let has = |package: &PackageEntry| index.packages.iter().any(|one| one.is_same_version(package));
        let stands = |change: &Withdrawal| {
            index.packages.iter().filter(|one| change.is_of(one)).all(|one| one.withdrawn == change.reason)
        };
        Ok(additions.packages.iter().all(has)
            && additions.code.iter().all(|code| index.code.iter().any(|one| one.is_same(code)))
            && additions.withdrawals.iter().all(stands))
    }

    /// Publishes the next list of keys, unless the last one says the same; gives its number. `None`
    /// if another publisher was faster.
    fn put_list(
        &self,
        keyring: &mut Keyring,
        lists: u64,
        change: &KeyChange,
        now: u64,
    ) -> Result<Option<u64>, RepositoryError> {
        let own = self.key.verifying_key();
        let mut list = match keyring.list() {
            Some(list) if keyring.is_root(&own) => list.next(now),
            Some(_) => return Err(self.not_allowed("change the keys of this repository")),
            None if lists == 0 => KeyList::first(&own, now),
            None => return Err(self.not_allowed("change the keys of this repository: no list of them is trusted here")),
        };
        let is_there = |list: &KeyList| {
            list.root.iter().chain(&list.index).all(|key| !change.revoked.iter().any(|id| is_key(key, id)))
                && change.root.iter().map(public_text).all(|key| list.root.contains(&key))
                && change.index.iter().map(public_text).all(|key| list.index.contains(&key))
                && change.revoked.iter().all(|id| list.revoked.contains(id))
        };
        // A merge that comes again has published it already.
        if keyring.list().is_some_and(is_there) {
            return Ok(Some(lists));
        }
        change.apply(&mut list);
        if list.root.is_empty() {
            return Err(self.not_allowed("revoke the last root key"));
        }
        let bytes = Signed::new(trust::KIND, list.to_bytes(), &[self.key]).to_bytes();
        let name = KeyList::object_name(list.number);
        if !self.place.replace(&name, &bytes, &Over::Nothing)? {
            return Ok(None);
        }
        keyring.follow(list.number, &bytes)?;
        Ok(Some(list.number))
    }

    fn not_allowed(&self, what: &'static str) -> RepositoryError {
        RepositoryError::NotAllowed { key: KeyId::of(&self.key.verifying_key()).to_string(), what }
    }
}

fn is_key(text: &str, id: &str) -> bool {
    public_key(text).is_some_and(|key| KeyId::of(&key).as_str() == id)
}

/// Adds to an index, and withdraws from it; nothing in it gets other bytes.
fn merge(index: &mut Index, additions: &Additions) -> Result<(), RepositoryError> {
    for package in &additions.packages {
        match index.packages.iter_mut().find(|there| there.is_same_version(package)) {
            Some(there) if is_same(there, package) => {
                there.provenance.statement = package.provenance.statement.or(there.provenance.statement);
            }
            Some(there) => {
                let (name, version) = (there.name.clone(), there.version.clone());
                return Err(RepositoryError::Published { name, version });
            }
            None => index.packages.push(package.clone()),
        }
    }
    for change in &additions.withdrawals {
        let mut there = index.packages.iter_mut().filter(|package| change.is_of(package)).peekable();
        if there.peek().is_none() {
            let (name, version) = (change.name.clone(), change.version.clone());
            return Err(RepositoryError::NotPublished { name, version });
        }
        there.for_each(|package| package.withdrawn.clone_from(&change.reason));
    }
    index.code.retain(|there| !additions.code.iter().any(|code| code.is_same(there)));
    index.code.extend(additions.code.iter().cloned());
    let is_replaced = |there: &ToolEntry| {
        additions.tools.iter().any(|tool| (&tool.name, &tool.platform) == (&there.name, &there.platform))
    };
    index.tools.retain(|there| !is_replaced(there));
    index.tools.extend(additions.tools.iter().cloned());
    Ok(())
}

fn is_same(there: &PackageEntry, package: &PackageEntry) -> bool {
    (there.object, there.content, &there.requires) == (package.object, package.content, &package.requires)
}

/// The digest of bytes, and how many they are.
pub fn object_of(bytes: &[u8]) -> index::Object {
    index::Object { digest: BlobDigest::of(bytes), size: bytes.len() as u64 }
}
