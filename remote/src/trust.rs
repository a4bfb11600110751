//! Trust: the keys whose signatures count and when, revoked keys, and the key that signs.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use build_graph::NodeKey;
use build_graph::untrusted::printable_path;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};
use store::Origin;
use support::called::called;
use thiserror::Error;

use super::envelope::{KeyId, SignedEnvelope};
use super::settings::{SettingsError, TrustSettings, TrustedKey};

/// Why a result is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Distrust {
    /// The bytes are no envelope.
    #[error("malformed result")]
    Malformed,
    /// It is the result of another key: a replay under this key, or a mistake.
    #[error("it is the result of another key, {0}")]
    OtherKey(NodeKey),
    /// Nobody has signed it.
    #[error("nobody has signed it; to take unsigned results from this remote, set `unsigned = true` for it")]
    Unsigned,
    /// The settings do not name the signer.
    #[error("its signer {0} is not among the trusted keys")]
    Unknown(KeyId),
    /// The signer's key is revoked.
    #[error("its signer {0} is revoked")]
    Revoked(KeyId),
    /// It was signed when the key was not trusted.
    #[error("it was signed outside the time in which its signer {0} is trusted")]
    OutOfTime(KeyId),
    /// The signature is not for this content.
    #[error("{0} did not make its signature for this content")]
    Forged(KeyId),
    /// An engine that is not trusted computed it.
    #[error("the engine `{0}` computed it, and is not among the trusted `engines`")]
    Engine(String),
}

/// A key and the time in which its signatures count, in seconds since 1970.
#[derive(Debug, Clone)]
pub struct TimedKey {
    id: KeyId,
    key: VerifyingKey,
    from: u64,
    until: u64,
}

impl TimedKey {
    /// Reads a key of the settings.
    ///
    /// # Errors
    /// [`SettingsError::Key`] if it is none, or its days are none.
    pub fn new(setting: &TrustedKey) -> Result<Self, SettingsError> {
        let malformed = || SettingsError::Key(setting.key.clone());
        let key = public_key(&setting.key).ok_or_else(malformed)?;
        let day = |date: &Option<toml::value::Datetime>| match date {
            None => Ok(None),
            Some(date) => date.date.map(|date| Some(days_since_1970(date) * DAY)).ok_or_else(malformed),
        };
        Ok(Self {
            id: KeyId::of(&key),
            key,
            from: day(&setting.from)?.unwrap_or(0),
            until: day(&setting.until)?.map_or(u64::MAX, |start| start + DAY - 1),
        })
    }

    /// A key whose signatures always count.
    pub fn always(key: VerifyingKey) -> Self {
        Self { id: KeyId::of(&key), key, from: 0, until: u64::MAX }
    }

    /// Returns the key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Whether what was signed at this time counts.
    pub fn counts_at(&self, at: u64) -> bool {
        (self.from..=self.until).contains(&at)
    }

    /// The key and its time, as text.
    pub fn text(&self) -> String {
        format!("key {} {} {}", public_text(&self.key), self.from, self.until)
    }
}

/// Reads a public key as settings hold it. `None` if it is none, or a weak one.
pub fn public_key(text: &str) -> Option<VerifyingKey> {
    let bytes = <[u8; 32]>::try_from(STANDARD.decode(text.trim()).ok()?).ok()?;
    VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak())
}

/// The trusted keys and engines, and the key to sign with.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<TimedKey>,
    revoked: BTreeSet<String>,
    engines: HashSet<String>,
    signing: Option<SigningKey>,
}

impl Trust {
    /// Reads the settings. `signing_key` is the file of the key to sign with.
    ///
    /// # Errors
    /// [`SettingsError`] if a key is malformed, or the signing key can't be read or others may read
    /// it.
    pub fn new(settings: &TrustSettings, signing_key: Option<&Path>) -> Result<Self, SettingsError> {
        Ok(Self {
            keys: settings.key.iter().map(TimedKey::new).collect::<Result<_, _>>()?,
            revoked: settings.revoked.iter().map(|text| key_id(text)).collect::<Result<_, _>>()?,
            engines: settings.engines.iter().cloned().collect(),
            signing: signing_key.map(read_signing_key).transpose()?,
        })
    }

    /// The trusted keys.
    pub fn keys(&self) -> &[TimedKey] {
        &self.keys
    }

    /// The ids of revoked keys.
    pub fn revoked(&self) -> &BTreeSet<String> {
        &self.revoked
    }

    /// The key that signs, if there is one.
    pub fn signing_key(&self) -> Option<&SigningKey> {
        self.signing.as_ref()
    }

    /// Decides whether a result is believed as that of `key`. Returns whether a trusted key vouches
    /// for it.
    ///
    /// # Errors
    /// [`Distrust`], with the reason.
    pub fn judge(&self, key: NodeKey, signed: &SignedEnvelope, unsigned_allowed: bool) -> Result<bool, Distrust> {
        if signed.envelope.key != key {
            return Err(Distrust::OtherKey(signed.envelope.key));
        }
        let vouched = match (self.vouches(signed), signed.signer()) {
            (Ok(()), _) => true,
            // Where unsigned results are taken, an unknown signature makes no difference.
            (Err(Distrust::Unsigned | Distrust::Unknown(_)), _) if unsigned_allowed => false,
            (Err(distrust), _) => return Err(distrust),
        };
        match &signed.envelope.engine {
            Some(engine) if vouched && !self.engines.contains(engine) => Err(Distrust::Engine(engine.clone())),
            _ => Ok(vouched),
        }
    }

    fn vouches(&self, signed: &SignedEnvelope) -> Result<(), Distrust> {
        let id = signed.signer().ok_or(Distrust::Unsigned)?;
        if self.revoked.contains(id.as_str()) {
            return Err(Distrust::Revoked(id.clone()));
        }
        let mut named = self.keys.iter().filter(|known| known.id == *id).peekable();
        if named.peek().is_none() {
            return Err(Distrust::Unknown(id.clone()));
        }
        let known = named.find(|known| signed.is_signed_by(&known.key)).ok_or_else(|| Distrust::Forged(id.clone()))?;
        let at = signed.envelope.signed_at;
        if known.counts_at(at) { Ok(()) } else { Err(Distrust::OutOfTime(id.clone())) }
    }

    /// Decides whether a result of this origin may be signed. Returns the engine to name in its
    /// envelope.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_sign(&self, origin: &Origin) -> Result<Option<String>, String> {
        let engine = match origin {
            Origin::Here => None,
            Origin::Engine(engine) => Some(engine),
            Origin::Cache { signed: true, engine, signer, signed_at, .. }
            | Origin::Pack { signed: true, engine, signer, signed_at, .. } => {
                self.standing(signer.as_deref(), *signed_at)
                    .map_err(|why| format!("{why}; take it anew, or build it here"))?;
                engine.as_ref()
            }
            Origin::Cache { remote, .. } => return Err(format!("it came unsigned from the remote `{remote}`")),
            Origin::Pack { .. } => return Err("it came unsigned, in a pack that was imported".to_owned()),
        };
        match engine {
            Some(engine) if !self.engines.contains(engine) => {
                Err(format!("the engine `{engine}` computed it, and is not among the trusted `engines`"))
            }
            engine => Ok(engine.cloned()),
        }
    }
}

impl Trust {
    /// Decides whether a signature that was accepted once still counts. Records of earlier versions
    /// don't have `signed_at`; they count if the key is trusted without bounds of time.
    pub(super) fn standing(&self, signer: Option<&str>, signed_at: Option<u64>) -> Result<(), Standing> {
        let id = signer.ok_or(Standing::Untold)?;
        if self.is_revoked(id) {
            return Err(Standing::Revoked(id.to_owned()));
        }
        let mut named = self.keys.iter().filter(|known| known.id.as_str() == id).peekable();
        if named.peek().is_none() {
            return Err(Standing::Unknown(id.to_owned()));
        }
        let counts = |known: &TimedKey| match signed_at {
            Some(at) => known.counts_at(at),
            None => (known.from, known.until) == (0, u64::MAX),
        };
        if named.any(counts) { Ok(()) } else { Err(Standing::OutOfTime(id.to_owned())) }
    }

    pub(super) fn is_revoked(&self, id: &str) -> bool {
        self.revoked.contains(id)
    }

    pub(super) fn trusts_engine(&self, engine: &str) -> bool {
        self.engines.contains(engine)
    }

    /// Returns all that decides who is believed, as text: equal texts decide equally.
    pub(super) fn settings_text(&self) -> String {
        let mut lines: Vec<String> = self.revoked.iter().map(|id| format!("revoked {id}")).collect();
        lines.extend(self.engines.iter().map(|engine| format!("engine {engine}")));
        lines.extend(self.keys.iter().map(TimedKey::text));
        lines.sort();
        lines.join("\n")
    }
}

/// Why a signature that was accepted once does not count now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Standing {
    #[error("the store does not know who signed it")]
    Untold,
    #[error("its signer {0} is revoked")]
    Revoked(String),
    #[error("its signer {0} is not among the trusted keys any more")]
    Unknown(String),
    #[error("it was signed outside the time in which its signer {0} is trusted")]
    OutOfTime(String),
}

/// Returns the time now, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Returns a public key as settings hold it.
pub fn public_text(key: &VerifyingKey) -> String {
    STANDARD.encode(key.as_bytes())
}

/// Returns the id of a key that settings or an option name by its id or by the key itself.
///
/// # Errors
/// [`SettingsError::Revoked`] if it is neither.
pub fn key_id(text: &str) -> Result<String, SettingsError> {
    if text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(text.to_owned());
    }
    let key = TrustedKey { key: text.to_owned(), from: None, until: None };
    TimedKey::new(&key).map(|known| known.id.as_str().to_owned()).map_err(|_| SettingsError::Revoked(text.to_owned()))
}

const DAY: u64 = 24 * 60 * 60;

/// Counts days of the Gregorian calendar; 0 for earlier dates.
fn days_since_1970(date: toml::value::Date) -> u64 {
    let (year, month, day) = (i64::from(date.year), i64::from(date.month), i64::from(date.day));
    // Years begin in March, so that a leap day is the last day of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (153 * month + 2) / 5 + day - 1;
    u64::try_from(days - 719_468).unwrap_or(0)
}

/// Makes a new key in a file that only its owner can read. Never overwrites one.
///
/// # Errors
/// [`SettingsError::SigningKey`] if the file is there or can't be written.
pub fn generate(path: &Path) -> Result<SigningKey, SettingsError> {
    let failed = |problem: String| SettingsError::SigningKey { path: path.to_path_buf(), problem };
    let mut seed = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| io::Read::read_exact(&mut random, &mut seed))
        .map_err(key_file("find random bytes for", path))?;
    let key = SigningKey::from_bytes(&seed);
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| failed(error.to_string()))?;
    let made = File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => failed("the file is there already; name another one".to_owned()),
        _ => key_file("make", path)(error),
    })?;
    file.write_all(pem.as_bytes()).map_err(|error| {
        // A partial file is useless, and would block the next attempt.
        let _ = fs::remove_file(path);
        key_file("write", path)(error)
    })?;
    Ok(key)
}

fn key_file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SettingsError {
    let path = path.to_path_buf();
    move |source| SettingsError::KeyFile { doing, path, source }
}

/// Reads a key from its file (PKCS #8, PEM).
///
/// # Errors
/// [`SettingsError::SigningKey`] if it can't be read, is no key, or others than its owner may read
/// it.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, SettingsError> {
    let failed = |problem: String| SettingsError::SigningKey { path: path.to_path_buf(), problem };
    let read = || -> io::Result<(fs::Metadata, String)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok((metadata, io::read_to_string(file)?))
    };
    let (metadata, text) = read().map_err(key_file("read", path))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(failed(format!("others may read it; run `chmod 600 {}`", printable_path(&path))));
    }
    SigningKey::from_pkcs8_pem(&text)
        .map_err(|_| failed(format!("it is no Ed25519 key in PKCS #8 and PEM; `{} cache keygen` makes one", called())))
}

#[cfg(test)]
mod tests {
    use build_graph::Tree;

    use super::super::DigestFunction;
    use super::super::envelope::Envelope;
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn node(seed: u8) -> NodeKey {
        NodeKey::from_bytes([seed; 32])
    }

    fn signed(by: Option<u8>, engine: Option<&str>, signed_at: u64) -> SignedEnvelope {
        let envelope = Envelope {
            key: node(1),
            tree: Tree::new(),
            engine: engine.map(ToOwned::to_owned),
            signed_at,
            function: DigestFunction::Blake3,
            blobs: Vec::new(),
        };
        SignedEnvelope::new(envelope, by.map(key).as_ref())
    }

    fn trust(extra: &str) -> Trust {
        let public = public_text(&key(1).verifying_key());
        let settings = format!("{extra}\n[[key]]\nkey = \"{public}\"\nfrom = 2001-01-01\nuntil = 2001-01-31\n");
        Trust::new(&toml::from_str(&settings).unwrap(), None).unwrap()
    }

    /// Noon of 15 January 2001.
    const THEN: u64 = 979_560_000;

    #[test]
    fn trusted_keys_are_believed_in_their_time() {
        let trust = trust("");
        let id = KeyId::of(&key(1).verifying_key());
        assert_eq!(trust.judge(node(1), &signed(Some(1), None, THEN), false), Ok(true));
        for out_of_time in [THEN - 20 * DAY, THEN + 20 * DAY] {
            let judged = trust.judge(node(1), &signed(Some(1), None, out_of_time), false);
            assert_eq!(judged, Err(Distrust::OutOfTime(id.clone())));
        }
        let last_second = 981_000_000 - 981_000_000 % DAY - 1;
        assert_eq!(trust.judge(node(1), &signed(Some(1), None, last_second), false), Ok(true));
        assert!(trust.judge(node(1), &signed(Some(1), None, last_second + 1), false).is_err());
    }

    #[test]
    fn nobody_else_is() {
        let open = trust("");
        let stranger = KeyId::of(&key(2).verifying_key());
        assert_eq!(open.judge(node(1), &signed(None, None, THEN), false), Err(Distrust::Unsigned));
        assert_eq!(open.judge(node(1), &signed(Some(2), None, THEN), false), Err(Distrust::Unknown(stranger)));
        assert_eq!(open.judge(node(2), &signed(Some(1), None, THEN), false), Err(Distrust::OtherKey(node(1))));
        let id = KeyId::of(&key(1).verifying_key());
        let revoking = trust(&format!("revoked = [\"{id}\"]"));
        assert_eq!(revoking.judge(node(1), &signed(Some(1), None, THEN), false), Err(Distrust::Revoked(id.clone())));
        // Not even where unsigned results are taken: somebody has that key.
        assert_eq!(revoking.judge(node(1), &signed(Some(1), None, THEN), true), Err(Distrust::Revoked(id.clone())));
        // The id of a trusted key over a signature of another one.
        let mut forged = signed(Some(2), None, THEN).to_bytes().to_owned();
        let at = 9 + "pynbox-signed-v1".len() + 9;
        forged[at..at + 16].copy_from_slice(id.as_str().as_bytes());
        let forged = SignedEnvelope::from_bytes(&forged).unwrap();
        for unsigned_allowed in [false, true] {
            assert_eq!(open.judge(node(1), &forged, unsigned_allowed), Err(Distrust::Forged(id.clone())));
        }
    }

    #[test]
    fn unsigned_results_are_taken_where_that_is_allowed_but_not_vouched_for() {
        let trust = trust("");
        assert_eq!(trust.judge(node(1), &signed(None, None, THEN), true), Ok(false));
        assert_eq!(trust.judge(node(1), &signed(Some(2), None, THEN), true), Ok(false));
        assert_eq!(trust.judge(node(2), &signed(None, None, THEN), true), Err(Distrust::OtherKey(node(1))));
    }

    #[test]
    fn engines_are_trusted_by_name() {
        let (none, farm) = (trust(""), trust("engines = [\"farm\"]"));
        let result = signed(Some(1), Some("farm"), THEN);
        assert_eq!(none.judge(node(1), &result, false), Err(Distrust::Engine("farm".to_owned())));
        assert_eq!(farm.judge(node(1), &result, false), Ok(true));
        let engine = Origin::Engine("farm".to_owned());
        assert!(none.may_sign(&engine).is_err());
        assert_eq!(farm.may_sign(&engine), Ok(Some("farm".to_owned())));
        let cached = |signed| Origin::Cache {
            remote: "x".to_owned(),
            signed,
            engine: Some("farm".to_owned()),
            signer: signed.then(|| KeyId::of(&key(1).verifying_key()).as_str().to_owned()),
            place: None,
            signed_at: Some(THEN),
        };
        assert!(farm.may_sign(&cached(false)).is_err());
        assert_eq!(farm.may_sign(&cached(true)), Ok(Some("farm".to_owned())));
        assert!(none.may_sign(&cached(true)).is_err());
        assert_eq!(none.may_sign(&Origin::Here), Ok(None));
    }

    #[test]
    fn a_key_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let made = generate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_signing_key(&path).unwrap().to_bytes(), made.to_bytes());
        assert!(generate(&path).unwrap_err().to_string().contains("there already"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_signing_key(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        let date = |year, month, day| days_since_1970(toml::value::Date { year, month, day });
        assert_eq!(date(1970, 1, 1), 0);
        assert_eq!(date(2000, 3, 1), 11_017);
        assert_eq!(date(2024, 2, 29), 19_782);
        assert_eq!(date(1969, 12, 31), 0);
    }

    #[test]
    fn what_a_revoked_key_has_signed_is_not_signed_on() {
        let id = KeyId::of(&key(1).verifying_key());
        let origin = |signer: Option<&str>| Origin::Pack {
            signed: true,
            engine: None,
            signer: signer.map(str::to_owned),
            signed_at: Some(THEN),
            project: None,
        };
        let trusting = trust("");
        assert_eq!(trusting.may_sign(&origin(Some(id.as_str()))), Ok(None));
        assert!(
            trusting.may_sign(&origin(None)).is_err() && trusting.may_sign(&origin(Some("0123456789abcdef"))).is_err()
        );
        // By its id or by the key itself.
        for revoked in [id.as_str().to_owned(), public_text(&key(1).verifying_key())] {
            let revoking = trust(&format!("revoked = [\"{revoked}\"]"));
            assert!(revoking.may_sign(&origin(Some(id.as_str()))).unwrap_err().contains("revoked"));
        }
        for wrong in ["", "0123456789ABCDEF", "key"] {
            let settings = TrustSettings { revoked: vec![wrong.to_owned()], ..TrustSettings::default() };
            let refused = Trust::new(&settings, None).unwrap_err();
            assert!(matches!(refused, SettingsError::Revoked(text) if text == *wrong));
        }
    }
}
