//! Which results of the store a project uses. Projects share a store and may trust different keys,
//! remotes and engines: a result that one project took from a remote does not exist for a project
//! that does not trust that remote. The same holds for one project before and after its settings
//! change, as when a key is revoked.

use std::collections::BTreeSet;
use std::path::Path;
use store::Origin;

use super::settings::{RemoteSettings, SettingsError};
use super::trust::{Standing, Trust};

/// Which origins of recorded results a project accepts.
#[derive(Debug, Clone)]
pub struct Belief {
    trust: Trust,
    /// The places of remotes from which unsigned results are taken.
    unsigned: BTreeSet<String>,
    /// The project's own engine.
    engine: Option<String>,
    /// The root of the project, for which packs are imported.
    project: String,
}

impl Belief {
    /// Reads a project's settings: its `trust`, its `remotes`, and the name of its engine.
    ///
    /// # Errors
    /// [`SettingsError`] if a remote's place is malformed.
    pub fn new(
        trust: Trust,
        remotes: &[RemoteSettings],
        engine: Option<&str>,
        root: &Path,
    ) -> Result<Self, SettingsError> {
        let engine = engine.map(ToOwned::to_owned);
        let project = root.to_string_lossy().into_owned();
        Ok(Self { trust, unsigned: unsigned(remotes, root)?, engine, project })
    }

    /// Also takes unsigned results from these places.
    #[must_use]
    pub fn and_unsigned(mut self, places: impl IntoIterator<Item = String>) -> Self {
        self.unsigned.extend(places);
        self
    }

    /// Returns a digest of all that decides: equal digests accept the same origins.
    pub fn digest(&self) -> String {
        let unsigned: Vec<_> = self.unsigned.iter().map(String::as_str).collect();
        let parts = [
            &self.trust.settings_text(),
            &unsigned.join("\n"),
            self.engine.as_deref().unwrap_or_default(),
            &self.project,
        ];
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().to_string()
    }

    /// Returns whether a result of this origin is used.
    pub fn believes(&self, origin: &Origin) -> bool {
        self.judge(origin).is_ok()
    }

    /// Decides whether a result of this origin is used.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn judge(&self, origin: &Origin) -> Result<(), String> {
        match origin {
            Origin::Here => Ok(()),
            Origin::Engine(engine) if self.engine.as_ref() == Some(engine) || self.trust.trusts_engine(engine) => {
                Ok(())
            }
            Origin::Engine(engine) => {
                Err(format!("the engine `{engine}` computed it, which this project does not trust"))
            }
            Origin::Cache { remote, place, signed, engine, signer, signed_at } => {
                let unsigned = place.as_ref().is_some_and(|place| self.unsigned.contains(place));
                let or_else =
                    || format!("it came unsigned from the remote `{remote}`, which this project does not trust");
                self.judge_taken(*signed, engine.as_deref(), signer.as_deref(), *signed_at, unsigned, or_else)
            }
            Origin::Pack { signed, engine, signer, signed_at, project } => {
                let unsigned = project.as_ref() == Some(&self.project);
                let or_else = || "it came unsigned, in a pack that was imported for another project".to_owned();
                self.judge_taken(*signed, engine.as_deref(), signer.as_deref(), *signed_at, unsigned, or_else)
            }
        }
    }

    /// Decides as [`Trust::judge`] would now.
    fn judge_taken(
        &self,
        signed: bool,
        engine: Option<&str>,
        signer: Option<&str>,
        signed_at: Option<u64>,
        unsigned_allowed: bool,
        unsigned: impl FnOnce() -> String,
    ) -> Result<(), String> {
        if let Some(id) = signer.filter(|id| self.trust.is_revoked(id)) {
            return Err(Standing::Revoked(id.to_owned()).to_string());
        }
        if !signed {
            return if unsigned_allowed { Ok(()) } else { Err(unsigned()) };
        }
        match (self.trust.standing(signer, signed_at), engine) {
            (Ok(()), Some(engine)) if !self.trust.trusts_engine(engine) => {
                Err(format!("the engine `{engine}` computed it, which this project does not trust"))
            }
            (Ok(()), _) => Ok(()),
            // An unknown signature counts as none.
            (Err(Standing::Unknown(_)), _) if unsigned_allowed => Ok(()),
            (Err(why), _) => Err(why.to_string()),
        }
    }
}

/// Returns the places of those remotes from which unsigned results are taken.
///
/// # Errors
/// [`SettingsError`] if one is malformed.
pub fn unsigned(remotes: &[RemoteSettings], root: &Path) -> Result<BTreeSet<String>, SettingsError> {
    remotes.iter().filter(|remote| remote.unsigned).map(|remote| remote.identity(root)).collect()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::super::envelope::KeyId;
    use super::super::trust::public_text;
    use super::*;

    /// Noon of 15 January 2001.
    const THEN: u64 = 979_560_000;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn id() -> String {
        KeyId::of(&key().verifying_key()).as_str().to_owned()
    }

    fn belief(trust: &str, remotes: &[&str], root: &str) -> Belief {
        let trust = Trust::new(&toml::from_str(trust).unwrap(), None).unwrap();
        let remotes: Vec<_> = remotes.iter().map(|text| RemoteSettings::parse(text).unwrap()).collect();
        Belief::new(trust, &remotes, Some("own"), Path::new(root)).unwrap()
    }

    fn trusting(more: &str) -> String {
        format!("{more}\n[[key]]\nkey = \"{}\"\n", public_text(&key().verifying_key()))
    }

    fn cache(place: Option<&str>, signer: Option<&str>, signed: bool) -> Origin {
        Origin::Cache {
            remote: "team".to_owned(),
            place: place.map(ToOwned::to_owned),
            signed,
            engine: None,
            signer: signer.map(ToOwned::to_owned),
            signed_at: signer.map(|_| THEN),
        }
    }

    #[test]
    fn a_signature_counts_where_its_key_does_now() {
        let origin = cache(Some("/x"), Some(&id()), true);
        assert!(belief(&trusting(""), &[], "/p").believes(&origin));
        let refused = |trust: &str| belief(trust, &[], "/p").judge(&origin).unwrap_err();
        assert!(refused("").contains("not among the trusted keys"));
        assert!(refused(&trusting(&format!("revoked = [\"{}\"]", id()))).contains("revoked"));
        assert!(refused(&(trusting("") + "until = 2000-12-31")).contains("outside the time"));
        // Not even where unsigned results are taken.
        let revoked = trusting(&format!("revoked = [\"{}\"]", id()));
        assert!(!belief(&revoked, &["r:unsigned=/x"], "/p").believes(&origin));
        assert!(!belief(&revoked, &["r:unsigned=/x"], "/p").believes(&cache(Some("/x"), Some(&id()), false)));
        assert!(belief("", &["r:unsigned=/x"], "/p").believes(&origin));
    }

    #[test]
    fn records_of_earlier_programs_count_where_nothing_is_left_open() {
        let origin = |signer: Option<String>| Origin::Cache {
            remote: "team".to_owned(),
            place: None,
            signed: true,
            engine: None,
            signer,
            signed_at: None,
        };
        assert!(belief(&trusting(""), &[], "/p").believes(&origin(Some(id()))));
        assert!(!belief(&(trusting("") + "until = 2100-12-31"), &[], "/p").believes(&origin(Some(id()))));
        assert!(!belief(&trusting(""), &[], "/p").believes(&origin(None)));
        assert!(!belief("", &["team:unsigned=/x"], "/p").believes(&cache(None, None, false)));
    }

    #[test]
    fn unsigned_results_count_for_whoever_trusts_their_very_remote() {
        let origin = cache(Some("/x"), None, false);
        assert!(belief("", &["other:unsigned=/x"], "/p").believes(&origin));
        for remotes in [&["team:unsigned=/y"][..], &["team=/x"], &[]] {
            assert!(!belief("", remotes, "/p").believes(&origin), "{remotes:?}");
        }
        assert!(belief("", &[], "/p").and_unsigned(["/x".to_owned()]).believes(&origin));
    }

    #[test]
    fn engines_and_packs_are_a_projects_own() {
        let engine = |name: &str| Origin::Engine(name.to_owned());
        let believing = belief("engines = [\"farm\"]", &[], "/p");
        assert!(believing.believes(&Origin::Here) && believing.believes(&engine("own")));
        assert!(believing.believes(&engine("farm")) && !believing.believes(&engine("stranger")));
        let pack = |project: Option<&str>| Origin::Pack {
            signed: false,
            engine: None,
            signer: None,
            signed_at: None,
            project: project.map(ToOwned::to_owned),
        };
        assert!(believing.believes(&pack(Some("/p"))));
        assert!(!believing.believes(&pack(Some("/q"))) && !believing.believes(&pack(None)));
    }

    #[test]
    fn the_digest_tells_beliefs_apart() {
        let beliefs = [
            belief("", &[], "/p"),
            belief("", &[], "/q"),
            belief(&trusting(""), &[], "/p"),
            belief(&(trusting("") + "until = 2100-12-31"), &[], "/p"),
            belief("engines = [\"farm\"]", &[], "/p"),
            belief("revoked = [\"0123456789abcdef\"]", &[], "/p"),
            belief("", &["r:unsigned=/x"], "/p"),
        ];
        let digests: BTreeSet<_> = beliefs.iter().map(Belief::digest).collect();
        assert_eq!(digests.len(), beliefs.len());
        assert_eq!(
            belief("", &["r=/x"], "/p").digest(),
            beliefs[0].digest(),
            "what is signed needs no trust in a place"
        );
    }
}
