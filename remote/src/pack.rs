//! Packs: results with all their bytes in one file, to carry a store's content by hand or by a CI
//! service's cache.
//!
//! A pack is a tar archive, compressed with zstd. Its members, all regular files, are in this
//! order:
//!
//! | member | its bytes |
//! |---|---|
//! | `pynbox-pack-1` | none |
//! | `results/KEY`, by key | a [`SignedEnvelope`], whose blobs are named by BLAKE3 |
//! | `blobs/DIGEST`, by digest | the blob |
//!
//! A pack is trusted no more than a remote: the reader decides which envelopes it accepts, every
//! blob must have its digest, and a result counts only when all of its blobs have arrived. What a
//! damaged pack held before the damage is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write as _};

use build_graph::untrusted::printable;
use build_graph::{BlobDigest, Entry, NodeKey, SOURCE_DATE_EPOCH, TreeDigest};
use tar::{EntryType, Header};
use thiserror::Error;

use formats::archive::{ArchiveError, Bounds, Compression, Member, each_member};
use store::{Origin, Store, StoreError};

use super::budget::{Budget, MAX_ENVELOPE, MAX_ENVELOPES, Unread, read_within};
use super::envelope::{Envelope, SignedEnvelope, WireBlob};
use super::trust::Trust;
use super::{DigestFunction, WireDigest};

const HEAD: &str = "pynbox-pack-1";
const RESULTS: &str = "results/";
const BLOBS: &str = "blobs/";
/// Bounds of what is read; a pack may hold a whole store.
const BOUNDS: Bounds = Bounds { bytes: u64::MAX, header: 64 << 10, padding: 1 << 20 };
/// The level of compression: a pack is written once and read often.
const LEVEL: i32 = 3;

/// A pack can't be written or read.
#[derive(Debug, Error)]
pub enum PackError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has lost a result, or a part of it.
    #[error("the store has not got all of the result {0}; build it again with `ninja`")]
    Incomplete(NodeKey),
    /// The file can't be written, or tar or zstd find that it is damaged.
    #[error("it can't be read or written whole: {0}")]
    Io(#[from] io::Error),
    /// The file is damaged as an archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file is not a pack, or breaks the format.
    #[error("malformed pack: {}", printable(.0))]
    Unsound(String),
}

fn unsound(problem: impl Into<String>) -> PackError {
    PackError::Unsound(problem.into())
}

/// How much a pack held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Results.
    pub results: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of the blobs.
    pub bytes: u64,
    /// Results that nobody signed.
    pub unsigned: u64,
}

/// Writes the results of these keys, which the store has whole, and their bytes. Those that
/// [`Trust::may_sign`] allows are signed, if there is a key; `now` is the time of that, in seconds
/// since 1970.
///
/// # Errors
/// [`PackError::Incomplete`] if the store lost a part of one, [`PackError::Io`] if the file can't
/// be written.
pub fn write(
    store: &Store,
    keys: &BTreeSet<NodeKey>,
    trust: &Trust,
    now: u64,
    file: File,
) -> Result<Amount, PackError> {
    let mut archive = tar::Builder::new(zstd::Encoder::new(file, LEVEL)?);
    append(&mut archive, HEAD, 0, io::empty())?;
    let mut blobs: BTreeMap<[u8; 32], Entry> = BTreeMap::new();
    let mut amount = Amount { results: keys.len() as u64, ..Amount::default() };
    for key in keys {
        let (digest, origin) = store.result_from(*key)?.ok_or(PackError::Incomplete(*key))?;
        let tree = store.tree(digest)?.ok_or(PackError::Incomplete(*key))?;
        if !store.missing(&tree)?.is_empty() {
            return Err(PackError::Incomplete(*key));
        }
        let mut held: BTreeMap<[u8; 32], WireBlob> = BTreeMap::new();
        for (_, entry) in tree.iter() {
            if let Entry::File { digest, size, .. } = entry {
                let wire = WireDigest { hash: *digest.as_bytes(), size: *size };
                held.insert(*digest.as_bytes(), WireBlob { digest: *digest, wire });
                blobs.entry(*digest.as_bytes()).or_insert_with(|| entry.clone());
            }
        }
        let (engine, signer) = match trust.may_sign(&origin) {
            Ok(engine) => (engine, trust.signing_key()),
            Err(_) => (computed_by(&origin), None),
        };
        amount.unsigned += u64::from(signer.is_none());
        let envelope = Envelope {
            key: *key,
            tree: (*tree).clone(),
            engine,
            signed_at: now,
            function: DigestFunction::Blake3,
            blobs: held.into_values().collect(),
        };
        let signed = SignedEnvelope::new(envelope, signer);
        let bytes = signed.to_bytes();
        append(&mut archive, &format!("{RESULTS}{key}"), bytes.len() as u64, bytes)?;
    }
    for entry in blobs.values() {
        let Entry::File { digest, size, .. } = entry else { continue };
        append(&mut archive, &format!("{BLOBS}{digest}"), *size, store.open_blob(entry)?)?;
        amount.blobs += 1;
        amount.bytes += size;
    }
    archive.into_inner()?.finish()?.flush()?;
    Ok(amount)
}

/// The engine that computed a result, if one did.
fn computed_by(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Here => None,
        Origin::Engine(engine) => Some(engine.clone()),
        Origin::Cache { engine, .. } | Origin::Pack { engine, .. } => engine.clone(),
    }
}

fn append(archive: &mut tar::Builder<impl io::Write>, name: &str, size: u64, bytes: impl Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(SOURCE_DATE_EPOCH);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, name, bytes)
}

/// What reading a pack came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// What is in the store now, whole, and was in the pack.
    pub amount: Amount,
    /// Results that were not accepted, and why.
    pub refused: Vec<(NodeKey, String)>,
    /// Results of which the pack does not hold all files, nor does the store.
    pub incomplete: Vec<NodeKey>,
    /// Results that the store has with another tree: its own, and the pack's. The store keeps its
    /// own.
    pub contradicted: Vec<(NodeKey, TreeDigest, TreeDigest)>,
}

/// Takes a pack into the store. `accept` says of each result where it is from, or why it is not
/// believed.
///
/// Gives what was taken and, if the pack is damaged, what is wrong: what had arrived whole is in
/// the store even then.
///
/// # Errors
/// [`PackError::Store`] if the store fails.
pub fn read(
    store: &Store,
    pack: impl Read,
    accept: &mut dyn FnMut(&SignedEnvelope) -> Result<Origin, String>,
) -> Result<(Taken, Option<PackError>), PackError> {
    let mut reading = Reading {
        store,
        budget: Budget::new(MAX_ENVELOPES),
        accepted: Vec::new(),
        wanted: BTreeMap::new(),
        problem: None,
        taken: Taken::default(),
    };
    let problem = match reading.members(pack, accept) {
        Err(PackError::Store(error)) => return Err(error.into()),
        // The first problem is reported.
        read => reading.problem.take().or(read.err()),
    };
    Ok((reading.finish()?, problem))
}

struct Reading<'a> {
    store: &'a Store,
    budget: Budget,
    accepted: Vec<(Envelope, Origin)>,
    /// The entries that hold each blob: with and without the right to execute it.
    wanted: BTreeMap<[u8; 32], BTreeMap<bool, Entry>>,
    /// The first problem that did not stop the reading.
    problem: Option<PackError>,
    taken: Taken,
}

impl Reading<'_> {
    fn members(
        &mut self,
        pack: impl Read,
        accept: &mut dyn FnMut(&SignedEnvelope) -> Result<Origin, String>,
    ) -> Result<(), PackError> {
        let mut last = String::new();
        each_member(Compression::Zstd.decode(pack)?, BOUNDS, |member| {
            let name = String::from_utf8_lossy(member.name()).into_owned();
            let unsound = |problem: &str| unsound(format!("`{}` {problem}", printable(&name)));
            if !member.kind().is_file() {
                return Err(unsound("is no regular file"));
            }
            if last.is_empty() {
                if name != HEAD {
                    return Err(unsound(&format!("is its first member, not `{HEAD}`")));
                }
            } else if let Some(key) = name.strip_prefix(RESULTS).and_then(|key| key.parse::<NodeKey>().ok()) {
                if last.starts_with(BLOBS) || (last.starts_with(RESULTS) && last >= name) {
                    return Err(unsound("is out of order"));
                }
                self.result(key, member, accept)?;
            } else if let Some(digest) = name.strip_prefix(BLOBS).and_then(|digest| digest.parse().ok()) {
                if last.starts_with(BLOBS) && last >= name {
                    return Err(unsound("is out of order"));
                }
                self.blob(digest, member)?;
            } else {
                return Err(unsound("is no member of a pack"));
            }
            last = name;
            Ok(())
        })?;
        if last.is_empty() { Err(unsound("it is empty")) } else { Ok(()) }
    }

    fn result(
        &mut self,
        key: NodeKey,
        member: &mut Member<'_, impl Read>,
        accept: &mut dyn FnMut(&SignedEnvelope) -> Result<Origin, String>,
    ) -> Result<(), PackError> {
        let size = member.size();
        if size > MAX_ENVELOPE {
            return Err(unsound(format!("the result {key} is said to have {size} bytes")));
        }
        let bytes = match read_within(member, &SignedEnvelope::head(), MAX_ENVELOPE, &self.budget) {
            Ok(bytes) => bytes,
            Err(Unread::OverBudget) => {
                return Err(unsound(format!("its results have more than {MAX_ENVELOPES} bytes")));
            }
            Err(Unread::Io(error)) => return Err(error.into()),
        };
        let signed = SignedEnvelope::from_bytes(&bytes)
            .filter(|signed| signed.envelope.function == DigestFunction::Blake3)
            .ok_or_else(|| unsound(format!("the result {key} is damaged")))?;
        if signed.envelope.key != key {
            self.taken.refused.push((key, format!("it is another key's ({})", signed.envelope.key)));
            return Ok(());
        }
        let origin = match accept(&signed) {
            Ok(origin) => origin,
            Err(why) => {
                self.taken.refused.push((key, why));
                return Ok(());
            }
        };
        for (_, entry) in signed.envelope.tree.iter() {
            if let Entry::File { digest, executable, .. } = entry {
                self.wanted.entry(*digest.as_bytes()).or_default().insert(*executable, entry.clone());
            }
        }
        self.accepted.push((signed.envelope, origin));
        Ok(())
    }

    fn blob(&mut self, digest: BlobDigest, member: &mut Member<'_, impl Read>) -> Result<(), PackError> {
        // Blobs of refused results are passed over.
        let Some(entries) = self.wanted.get(digest.as_bytes()) else { return Ok(()) };
        let mut missing = Vec::new();
        for (executable, entry) in entries {
            if !matches!(entry, Entry::File { size, .. } if *size == member.size()) {
                self.problem.get_or_insert(unsound(format!("`{BLOBS}{digest}` has another size than its result says")));
                return Ok(());
            }
            if !self.store.has_blob(entry)? {
                missing.push((*executable, entry));
            }
        }
        let Some(((executable, entry), others)) = missing.split_first() else { return Ok(()) };
        let put = self.store.put_reader(member, *executable).map_err(|error| match error {
            // Reading the pack failed.
            StoreError::Io { doing: "reading", source, .. } => PackError::Io(source),
            error => error.into(),
        })?;
        if put != **entry {
            self.problem.get_or_insert(unsound(format!("`{BLOBS}{digest}` has other bytes than its name says")));
            return Ok(());
        }
        for (executable, _) in others {
            self.store.put_reader(&mut self.store.open_blob(&put)?, *executable)?;
        }
        Ok(())
    }

    /// Records what is whole.
    fn finish(mut self) -> Result<Taken, StoreError> {
        let mut blobs = BTreeSet::new();
        for (envelope, origin) in std::mem::take(&mut self.accepted) {
            let unsigned = matches!(origin, Origin::Cache { signed: false, .. } | Origin::Pack { signed: false, .. });
            // The tree comes first, so that a concurrent gc keeps its blobs.
            self.store.put_tree(&envelope.tree)?;
            if !self.store.missing(&envelope.tree)?.is_empty() {
                self.taken.incomplete.push(envelope.key);
                continue;
            }
            let (key, tree) = (envelope.key, envelope.tree_digest());
            match self.store.result(key)? {
                Some(there) if there != tree => {
                    self.taken.contradicted.push((key, there, tree));
                    continue;
                }
                // It has the lines that explain its key, which a pack lacks.
                Some(_) if self.store.tree(tree)?.is_some() => {}
                _ => {
                    self.store.record_from(key, tree, &[], origin)?;
                }
            }
            self.taken.amount.results += 1;
            self.taken.amount.unsigned += u64::from(unsigned);
            for blob in &envelope.blobs {
                if blobs.insert(*blob.digest.as_bytes()) {
                    self.taken.amount.blobs += 1;
                    self.taken.amount.bytes += blob.wire.size;
                }
            }
        }
        Ok(self.taken)
    }
}
