//! Whose signatures of a repository count.
//!
//! The settings name keys: the *anchors*. A repository may publish lists of keys, numbered from 1,
//! so that keys can change without a change of anybody's settings. Each list has to be signed by a
//! root key of the list before it; the first one that counts, by an anchor. From then on the keys
//! of the latest list count, and the anchors don't. A key that a list or the settings revoke never
//! counts again.
//!
//! | key of a list | may sign |
//! |---|---|
//! | root | the next list, and indexes |
//! | index | indexes |
//!
//! What was seen of a repository is remembered, so that an older state of it is noticed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use build_graph::BlobDigest;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use super::RepositoryError;
use super::index::Index;
use crate::regular;
use crate::remote::dsse::Signed;
use crate::remote::envelope::KeyId;
use crate::remote::settings::{SettingsError, TrustedKey};
use crate::remote::trust::{TimedKey, Trust, public_key, public_text};

/// The type of the signed document.
pub const KIND: &str = "application/vnd.pynbox.keys+json";
/// The longest list that is read.
pub const MAX_LIST: u64 = 256 << 10;
/// So many lists are followed. Keys change some times a year.
pub const MAX_LISTS: u64 = 4096;
/// The version of the format.
const FORMAT: u32 = 1;
/// So far may the clocks of a publisher and of this machine differ, in seconds.
pub const CLOCK_TOLERANCE: u64 = 10 * 60;

/// A list of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyList {
    /// The version of the format: 1.
    pub format: u32,
    /// Its number; the first one is 1.
    pub number: u64,
    /// When it was signed, in seconds since 1970.
    pub signed_at: u64,
    /// Public keys that may sign the next list, and indexes.
    pub root: Vec<String>,
    /// Public keys that may sign indexes.
    pub index: Vec<String>,
    /// The ids of keys that never count again.
    pub revoked: Vec<String>,
}

impl KeyList {
    /// The list after this one, to be changed.
    pub fn next(&self, now: u64) -> Self {
        Self { number: self.number + 1, signed_at: now, ..self.clone() }
    }

    /// The first list: one key.
    pub fn first(root: &VerifyingKey, now: u64) -> Self {
        let (format, number) = (FORMAT, 1);
        Self { format, number, signed_at: now, root: vec![public_text(root)], index: Vec::new(), revoked: Vec::new() }
    }

    /// The document.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The name of the list in the repository.
    pub fn object_name(number: u64) -> String {
        format!("keys/{number}.json")
    }

    fn keys<'t>(texts: impl IntoIterator<Item = &'t String>) -> Option<Vec<TimedKey>> {
        texts.into_iter().map(|text| public_key(text).map(TimedKey::always)).collect()
    }

    /// Reads the document of an envelope; checks that every key is one.
    fn from_bytes(bytes: &[u8], number: u64) -> Option<Self> {
        let list: Self = serde_json::from_slice(bytes).ok()?;
        let sound = list.format == FORMAT
            && list.number == number
            && Self::keys(&list.root).is_some_and(|keys| !keys.is_empty())
            && Self::keys(&list.index).is_some();
        sound.then_some(list)
    }
}

/// The keys that the settings name for a repository.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    keys: Vec<TimedKey>,
    revoked: BTreeSet<String>,
}

impl Anchors {
    /// The keys of options and of the repository's own settings; without any, all trusted keys of
    /// the project. Keys that the project revokes never count.
    ///
    /// # Errors
    /// [`SettingsError::Key`] if one is malformed.
    pub fn new(own: &[String], project: &Trust) -> Result<Self, SettingsError> {
        let own = own.iter().map(|key| TrustedKey { key: key.clone(), from: None, until: None });
        let mut keys = own.map(|key| TimedKey::new(&key)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            keys = project.keys().to_vec();
        }
        Ok(Self { keys, revoked: project.revoked().clone() })
    }

    /// Whether no key is named at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a key: a publisher trusts itself.
    pub fn add(&mut self, key: &VerifyingKey) {
        self.keys.push(TimedKey::always(*key));
    }

    /// All that decides, as a digest.
    fn digest(&self) -> BlobDigest {
        let mut lines: Vec<_> = self.keys.iter().map(TimedKey::text).collect();
        lines.sort();
        BlobDigest::of(lines.join("\n").as_bytes())
    }
}

/// The keys that count now.
#[derive(Debug, Clone)]
pub struct Keyring {
    anchors: Anchors,
    list: Option<KeyList>,
    revoked: BTreeSet<String>,
}

impl Keyring {
    /// The anchors alone, or, if the same anchors were there before, the list that was followed to
    /// then.
    pub fn new(anchors: Anchors, seen: &Seen) -> Self {
        let known = seen.anchors == Some(anchors.digest());
        let mut revoked = anchors.revoked.clone();
        revoked.extend(seen.revoked.iter().filter(|_| known).cloned());
        Self { anchors, list: seen.list.clone().filter(|_| known), revoked }
    }

    /// The list that counts, if one does.
    pub fn list(&self) -> Option<&KeyList> {
        self.list.as_ref()
    }

    /// The number of the list that counts; 0 for the anchors alone.
    pub fn number(&self) -> u64 {
        self.list.as_ref().map_or(0, |list| list.number)
    }

    /// Follows to the list of this number. One that the anchors don't vouch for is passed over as
    /// long as none was followed to: the settings may name a key that came later.
    ///
    /// # Errors
    /// [`RepositoryError::KeyList`] if it is no list, or no root key of the list before vouches for
    /// it.
    pub fn follow(&mut self, number: u64, bytes: &[u8]) -> Result<(), RepositoryError> {
        let malformed = || RepositoryError::KeyList { number, problem: "it is no list of keys" };
        let signed = Signed::from_bytes(bytes, KIND).ok_or_else(malformed)?;
        let list = KeyList::from_bytes(signed.payload(), number).ok_or_else(malformed)?;
        let roots = match &self.list {
            Some(before) => KeyList::keys(&before.root).ok_or_else(malformed)?,
            None => self.anchors.keys.clone(),
        };
        if self.signer(&signed, &roots).is_some_and(|key| key.counts_at(list.signed_at)) {
            self.revoked.extend(list.revoked.iter().cloned());
            self.list = Some(list);
            Ok(())
        } else if self.list.is_none() {
            Ok(())
        } else {
            Err(RepositoryError::KeyList { number, problem: "no root key of the list before it has signed it" })
        }
    }

    /// Says who vouches for an index.
    ///
    /// # Errors
    /// [`RepositoryError`] with the reason why nobody does.
    pub fn vouch(&self, signed: &Signed) -> Result<Voucher, RepositoryError> {
        let keys = match &self.list {
            Some(list) => KeyList::keys(list.root.iter().chain(&list.index)).unwrap_or_default(),
            None => self.anchors.keys.clone(),
        };
        if let Some(key) = self.signer(signed, &keys) {
            return Ok(Voucher(key.clone()));
        }
        let signers: Vec<&str> = signed.signers().collect();
        if signers.is_empty() {
            return Err(RepositoryError::Unsigned);
        }
        match signers.iter().find(|id| self.revoked.contains(**id)) {
            Some(id) => Err(RepositoryError::Revoked((*id).to_owned())),
            None => Err(RepositoryError::Unknown { signers: signers.join(", ") }),
        }
    }

    /// Whether this key may sign the next list.
    pub fn is_root(&self, key: &VerifyingKey) -> bool {
        self.list.as_ref().is_some_and(|list| list.root.contains(&public_text(key)))
    }

    fn signer<'k>(&self, signed: &Signed, keys: &'k [TimedKey]) -> Option<&'k TimedKey> {
        keys.iter().find(|key| !self.revoked.contains(KeyId::of(key.key()).as_str()) && signed.is_signed_by(key.key()))
    }
}

/// A key that vouches for an index, if that was signed in its time.
#[derive(Debug, Clone)]
pub struct Voucher(TimedKey);

impl Voucher {
    /// The id of the key.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.0.key())
    }

    /// Checks that the key counted at this time.
    ///
    /// # Errors
    /// [`RepositoryError::OutOfTime`].
    pub fn check(&self, at: u64) -> Result<(), RepositoryError> {
        if self.0.counts_at(at) { Ok(()) } else { Err(RepositoryError::OutOfTime(self.id().to_string())) }
    }
}

/// What was seen of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Seen {
    /// The keys of the settings at that time, as a digest.
    anchors: Option<BlobDigest>,
    /// The list of keys that counted.
    list: Option<KeyList>,
    revoked: BTreeSet<String>,
    /// The highest number of an index.
    number: u64,
    /// The digest of that index's document.
    index: Option<BlobDigest>,
    /// When that index was signed.
    signed_at: u64,
}

impl Seen {
    /// Reads what is remembered; nothing, if nothing is.
    ///
    /// # Errors
    /// [`RepositoryError::Memory`] if the file can't be read or understood: to go on would be to
    /// forget.
    pub fn read(file: &Path) -> Result<Self, RepositoryError> {
        let failed = |source| RepositoryError::Memory { path: file.to_path_buf(), source };
        match regular::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// The number of the index that was seen last; 0 for none.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Checks that an index is neither expired nor older than what was seen, and that its list of
    /// keys was not withheld. `keys` is the number of the last list that the repository has.
    ///
    /// # Errors
    /// [`RepositoryError`] with the reason.
    pub fn check(&self, index: &Index, document: &[u8], keys: u64, now: u64) -> Result<(), RepositoryError> {
        if index.number < self.number {
            return Err(RepositoryError::RolledBack { number: index.number, seen: self.number });
        }
        if index.number == self.number && self.index.is_some_and(|seen| seen != BlobDigest::of(document)) {
            return Err(RepositoryError::TwoIndexes(index.number));
        }
        if index.signed_at > now + CLOCK_TOLERANCE {
            return Err(RepositoryError::Future { signed_at: index.signed_at, now });
        }
        if now >= index.expires {
            return Err(RepositoryError::Expired { expires: index.expires, now });
        }
        if index.keys > keys {
            return Err(RepositoryError::KeysWithheld { named: index.keys, had: keys });
        }
        Ok(())
    }

    /// Remembers what was seen, so that it counts from now on.
    ///
    /// # Errors
    /// [`RepositoryError::Memory`] if it can't be written.
    pub fn remember(file: &Path, keyring: &Keyring, index: &Index, document: &[u8]) -> Result<(), RepositoryError> {
        let seen = Self {
            anchors: Some(keyring.anchors.digest()),
            list: keyring.list.clone(),
            revoked: keyring.revoked.difference(&keyring.anchors.revoked).cloned().collect(),
            number: index.number,
            index: Some(BlobDigest::of(document)),
            signed_at: index.signed_at,
        };
        let write = || -> io::Result<()> {
            let folder = file.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let mut new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
            new.write_all(&serde_json::to_vec(&seen)?)?;
            new.persist(file).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| RepositoryError::Memory { path: file.to_path_buf(), source })
    }

    /// The file with what was seen of the repository at a place; `area` is the store's folder for
    /// such files.
    pub fn file(area: &Path, identity: &str) -> PathBuf {
        area.join(format!("{}.json", &BlobDigest::of(identity.as_bytes()).to_string()[..32]))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::remote::settings::TrustSettings;

    const NOW: u64 = 1_000_000_000;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn text(seed: u8) -> String {
        public_text(&key(seed).verifying_key())
    }

    fn id(seed: u8) -> String {
        KeyId::of(&key(seed).verifying_key()).to_string()
    }

    fn anchors(seeds: &[u8]) -> Anchors {
        let own: Vec<_> = seeds.iter().map(|seed| text(*seed)).collect();
        Anchors::new(&own, &Trust::default()).unwrap()
    }

    fn ring(seeds: &[u8]) -> Keyring {
        Keyring::new(anchors(seeds), &Seen::default())
    }

    fn list(number: u64, root: &[u8], index: &[u8], revoked: &[u8], by: u8) -> Vec<u8> {
        let texts = |seeds: &[u8]| seeds.iter().map(|seed| text(*seed)).collect();
        let list = KeyList {
            format: FORMAT,
            number,
            signed_at: NOW,
            root: texts(root),
            index: texts(index),
            revoked: revoked.iter().map(|seed| id(*seed)).collect(),
        };
        Signed::new(KIND, list.to_bytes(), &[&key(by)]).to_bytes()
    }

    fn document(by: &[u8]) -> Signed {
        let keys: Vec<_> = by.iter().map(|seed| key(*seed)).collect();
        Signed::new(super::super::index::KIND, Index::empty().to_bytes(), &keys.iter().collect::<Vec<_>>())
    }

    #[test]
    fn anchors_count_where_there_is_no_list() {
        assert_eq!(ring(&[1]).vouch(&document(&[1])).unwrap().id().as_str(), id(1));
        assert!(matches!(ring(&[1]).vouch(&document(&[2])), Err(RepositoryError::Unknown { .. })));
        assert!(matches!(ring(&[1]).vouch(&document(&[])), Err(RepositoryError::Unsigned)));
        let settings = TrustSettings { revoked: vec![id(1)], ..TrustSettings::default() };
        let revoking = Anchors::new(&[text(1)], &Trust::new(&settings, None).unwrap()).unwrap();
        let refused = Keyring::new(revoking, &Seen::default()).vouch(&document(&[1]));
        assert!(matches!(refused, Err(RepositoryError::Revoked(one)) if one == id(1)));
        assert!(Anchors::new(&["vax".to_owned()], &Trust::default()).is_err());
    }

    #[test]
    fn trusted_keys_of_the_project_count_in_their_time() {
        let settings: TrustSettings =
            toml::from_str(&format!("[[key]]\nkey = \"{}\"\nuntil = 2001-01-31\n", text(1))).unwrap();
        let anchors = Anchors::new(&[], &Trust::new(&settings, None).unwrap()).unwrap();
        let ring = Keyring::new(anchors, &Seen::default());
        assert!(ring.vouch(&document(&[1])).unwrap().check(979_560_000).is_ok());
        assert!(matches!(ring.vouch(&document(&[1])).unwrap().check(NOW), Err(RepositoryError::OutOfTime(_))));
    }

    #[test]
    fn keys_rotate_by_lists() {
        let mut ring = ring(&[1]);
        ring.follow(1, &list(1, &[1], &[], &[], 1)).unwrap();
        ring.follow(2, &list(2, &[1, 2], &[3], &[], 1)).unwrap();
        for seed in [1, 2, 3] {
            assert!(ring.vouch(&document(&[seed])).is_ok(), "{seed}");
        }
        // A key that signs indexes can't change the keys.
        assert!(ring.clone().follow(3, &list(3, &[3], &[], &[], 3)).is_err());
        ring.follow(3, &list(3, &[2], &[3], &[1], 2)).unwrap();
        assert!(matches!(ring.vouch(&document(&[1])), Err(RepositoryError::Revoked(one)) if one == id(1)));
        assert!(ring.vouch(&document(&[2])).is_ok());
        // Revoked keys don't come back.
        ring.follow(4, &list(4, &[1, 2], &[], &[], 2)).unwrap();
        assert!(ring.vouch(&document(&[1])).is_err());
    }

    #[test]
    fn a_list_of_another_number_or_by_a_stranger_is_refused() {
        let mut ring = ring(&[1]);
        ring.follow(1, &list(1, &[1], &[], &[], 1)).unwrap();
        for wrong in [list(3, &[1], &[], &[], 1), list(2, &[4], &[], &[], 4), b"<html>".to_vec()] {
            assert!(matches!(ring.follow(2, &wrong), Err(RepositoryError::KeyList { number: 2, .. })));
        }
        assert!(ring.follow(2, &list(2, &[], &[], &[], 1)).is_err(), "no root key is left");
    }

    /// Settings that name the new key alone, as after the old one was stolen.
    #[test]
    fn lists_before_the_anchor_are_passed_over() {
        let mut ring = ring(&[2]);
        ring.follow(1, &list(1, &[1], &[], &[], 1)).unwrap();
        assert_eq!(ring.number(), 0);
        ring.follow(2, &list(2, &[2], &[], &[1], 2)).unwrap();
        assert_eq!(ring.number(), 2);
        assert!(ring.vouch(&document(&[1])).is_err() && ring.vouch(&document(&[2])).is_ok());
    }

    #[test]
    fn what_was_seen_is_remembered_with_its_anchors() {
        let folder = tempfile::tempdir().unwrap();
        let file = Seen::file(folder.path(), "https://host/repository");
        assert_eq!(Seen::read(&file).unwrap(), Seen::default());
        let mut first = ring(&[1]);
        first.follow(1, &list(1, &[2], &[], &[1], 1)).unwrap();
        let index = Index { number: 7, signed_at: NOW, expires: NOW + 100, ..Index::empty() };
        Seen::remember(&file, &first, &index, &index.to_bytes()).unwrap();
        let seen = Seen::read(&file).unwrap();
        let again = Keyring::new(anchors(&[1]), &seen);
        assert!(again.number() == 1 && again.vouch(&document(&[1])).is_err());
        // Other anchors begin anew, but time does not.
        assert_eq!(Keyring::new(anchors(&[3]), &seen).number(), 0);
        assert_eq!(seen.number(), 7);
        fs::write(&file, "{").unwrap();
        assert!(matches!(Seen::read(&file), Err(RepositoryError::Memory { .. })));
    }

    #[test]
    fn old_states_and_wrong_clocks_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seen.json");
        let index = Index { number: 7, keys: 1, signed_at: NOW, expires: NOW + 100, ..Index::empty() };
        let bytes = index.to_bytes();
        Seen::remember(&file, &ring(&[1]), &index, &bytes).unwrap();
        let seen = Seen::read(&file).unwrap();
        let check = |index: &Index, keys, now| seen.check(index, &index.to_bytes(), keys, now);
        check(&index, 1, NOW).unwrap();
        check(&Index { number: 8, ..index.clone() }, 1, NOW).unwrap();
        let older = check(&Index { number: 6, ..index.clone() }, 1, NOW);
        assert!(matches!(older, Err(RepositoryError::RolledBack { number: 6, seen: 7 })));
        let other = check(&Index { expires: NOW + 99, ..index.clone() }, 1, NOW);
        assert!(matches!(other, Err(RepositoryError::TwoIndexes(7))));
        assert!(matches!(check(&index, 1, NOW + 100), Err(RepositoryError::Expired { .. })));
        assert!(matches!(check(&index, 1, NOW - 100_000), Err(RepositoryError::Future { .. })));
        check(&index, 1, NOW - 60).unwrap();
        let later = Index { number: 8, keys: 2, ..index };
        assert!(matches!(check(&later, 1, NOW), Err(RepositoryError::KeysWithheld { named: 2, had: 1 })));
    }
}
