//! One machine: a store and the remotes that it knows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use build_graph::{NodeKey, RelPath, Tree};
use pynbox_build::remote::caches::{Caches, Hit, Outgoing};
use pynbox_build::remote::settings::{RemoteSettings, Role, TrustSettings, TrustedKey};
use pynbox_build::remote::trust::{Trust, generate, public_text, read_signing_key};
use pynbox_build::store::{Origin, Store};
use tempfile::TempDir;

/// A folder of a test, with keys to sign with.
pub(crate) struct Room {
    folder: TempDir,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file of a key, and what readers who trust it have in their settings.
    pub(crate) fn key(&self, name: &str) -> (PathBuf, TrustedKey) {
        let path = self.path(&format!("{name}.pem"));
        let key = if path.exists() { read_signing_key(&path) } else { generate(&path) }.unwrap();
        (path, TrustedKey { key: public_text(&key.verifying_key()), from: None, until: None })
    }

    /// A machine that writes to the remote, and signs as `name`.
    pub(crate) fn writer(&self, name: &str, remote: &RemoteSettings) -> Side {
        let remote = RemoteSettings { role: Role::ReadWrite, ..remote.clone() };
        let trust = TrustSettings { engines: vec!["farm".to_owned()], ..TrustSettings::default() };
        Side::new(&self.path(&format!("{name}.store")), vec![remote], &trust, Some(&self.key(name).0))
    }

    /// A machine with a store of its own that reads, and trusts `writer`.
    pub(crate) fn reader(&self, name: &str, remotes: Vec<RemoteSettings>) -> Side {
        let trust = TrustSettings { key: vec![self.key("writer").1], ..TrustSettings::default() };
        Side::new(&self.path(&format!("{name}.store")), remotes, &trust, None)
    }
}

/// A remote at a place, with little patience.
pub(crate) fn remote(name: &str, url: &str) -> RemoteSettings {
    RemoteSettings { timeout: 1, ..RemoteSettings::parse(&format!("{name}={url}")).unwrap() }
}

pub(crate) struct Side {
    pub(crate) store: Store,
    pub(crate) caches: Caches,
}

impl Side {
    pub(crate) fn new(
        store: &Path,
        remotes: Vec<RemoteSettings>,
        trust: &TrustSettings,
        signing_key: Option<&Path>,
    ) -> Self {
        let store = Store::open(store).unwrap();
        let trust = Trust::new(trust, signing_key).unwrap();
        let caches = Caches::open(remotes, trust, Path::new("/"), &store).unwrap();
        Self { store, caches }
    }

    /// A result with these files in the store; every second one is executable.
    pub(crate) fn result(&self, number: u8, files: &[&[u8]]) -> Outgoing {
        let mut tree = Tree::new();
        for (at, bytes) in files.iter().enumerate() {
            let path = RelPath::new(format!("file-{at}")).unwrap();
            tree.insert(path, self.store.put_bytes(bytes, at % 2 == 1).unwrap()).unwrap();
        }
        let digest = self.store.put_tree(&tree).unwrap();
        self.store.record(key(number), digest, &[]).unwrap();
        Outgoing { key: key(number), tree: Arc::new(tree), origin: Origin::Here, with_bytes: true }
    }

    /// Puts a result on the remotes; gives how many took it.
    pub(crate) fn push(&self, result: Outgoing) -> usize {
        self.caches.push(&self.store, &[result]).unwrap().0
    }

    /// What the remotes say of a key.
    pub(crate) fn ask(&self, number: u8) -> Option<Arc<Hit>> {
        self.caches.look_up_one(key(number))
    }

    /// Gets a result as a build would: `true` if all its bytes are in the store then. Whatever the
    /// store has then is right.
    pub(crate) fn get(&self, number: u8) -> bool {
        let Some(hit) = self.ask(number) else { return false };
        let digest = self.store.put_tree(&hit.tree).unwrap();
        assert_eq!(digest, hit.digest);
        let missing = self.store.missing(&hit.tree).unwrap();
        let had = self.caches.fetch(&self.store, key(number), digest, &missing).unwrap();
        let report = self.store.verify().unwrap();
        assert!(report.damaged.is_empty(), "{:?}", report.damaged);
        let left = self.store.missing(&hit.tree).unwrap();
        assert_eq!(had, missing.len() - left.len());
        left.is_empty()
    }
}

pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes([number; 32])
}
