//! A test's folder: keys, packages, publishers and readers.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use build_graph::node::{Package, Target};
use build_graph::{BlobDigest, Entry, NodeKey, Tree, TreeDigest};
use ed25519_dalek::SigningKey;
use pynbox_build::install::package;
use pynbox_build::remote::dsse::Signed;
use pynbox_build::remote::place;
use pynbox_build::remote::trust::{Trust, public_text};
use pynbox_build::repository::RepositoryError;
use pynbox_build::repository::client::Repository;
use pynbox_build::repository::index::{Index, PackageEntry, Provenance};
use pynbox_build::repository::publish::{Additions, KeyChange, Publisher, object_of};
use pynbox_build::repository::settings::RepositorySettings;
use pynbox_build::repository::statement;
use pynbox_build::repository::trust::Anchors;
use pynbox_build::store::Store;
use support::report::Silent;
use tempfile::TempDir;

pub(crate) const TARGET: &str = "wasm32-wasi";
/// A day in the life of a repository.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 24 * 60 * 60;

pub(crate) struct Room(TempDir);

/// An archive and what an index says of it.
#[derive(Clone)]
pub(crate) struct Built {
    pub(crate) entry: PackageEntry,
    pub(crate) bytes: Vec<u8>,
    /// The statement about it, in its envelope.
    pub(crate) statement: Option<Vec<u8>>,
}

impl Built {
    /// The same with a statement by this key, which says that it is about these digests.
    pub(crate) fn stated_as(mut self, by: u8, archive: BlobDigest, content: TreeDigest) -> Self {
        let payload = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"archive","digest":{{"blake3":"{archive}"}}}},{{"name":"{}","digest":{{"pynboxTree":"{content}"}}}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{{}}}}"#,
            self.entry.name
        );
        let bytes = Signed::new(statement::KIND, payload.into_bytes(), &[&key(by)]).to_bytes();
        self.entry.provenance.statement = Some(object_of(&bytes));
        self.statement = Some(bytes);
        self
    }

    /// The same with a statement about itself.
    pub(crate) fn stated(self, by: u8) -> Self {
        let (archive, content) = (self.entry.object.digest, self.entry.content);
        self.stated_as(by, archive, content)
    }
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn key_text(seed: u8) -> String {
    public_text(&key(seed).verifying_key())
}

/// A repository at an address, with little patience.
pub(crate) fn at(url: &str) -> RepositorySettings {
    RepositorySettings { timeout: 1, ..RepositorySettings::at(url) }
}

impl Room {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The address of a repository in a folder.
    pub(crate) fn folder(&self) -> String {
        self.path("repository").to_str().unwrap().to_owned()
    }

    /// A package with these files.
    pub(crate) fn package(&self, name: &str, version: &str, files: &[(&str, &[u8])]) -> Built {
        let store = Store::open(&self.path("build")).unwrap();
        let mut tree = Tree::new();
        for (path, bytes) in files {
            let entry = store.put_bytes(bytes, path.starts_with("bin/")).unwrap();
            tree.insert(path.parse().unwrap(), entry).unwrap();
        }
        let package = Package {
            name: name.to_owned(),
            version: version.to_owned(),
            target: Target(TARGET.into()),
            requires: Vec::new(),
            content: Vec::new(),
        };
        let path = self.path("archive");
        package::write(&package, &tree, &store, fs::File::create(&path).unwrap()).unwrap();
        let bytes = fs::read(path).unwrap();
        let entry = PackageEntry {
            name: package.name,
            version: package.version,
            target: package.target,
            requires: package.requires,
            object: object_of(&bytes),
            content: tree.digest(),
            installed_size: files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
            provenance: Provenance {
                node: format!("{TARGET}/{name}/package"),
                key: NodeKey::from_bytes([7; 32]),
                statement: None,
            },
            published: NOW,
            withdrawn: None,
        };
        Built { entry, bytes, statement: None }
    }

    /// A package with so many bytes that don't shrink.
    pub(crate) fn large(&self, name: &str, version: &str, length: usize) -> Built {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        self.package(name, version, &[("root/data", &bytes)])
    }

    /// Publishes packages and a change of keys as one machine, which has a memory of its own.
    pub(crate) fn publish(
        &self,
        settings: &RepositorySettings,
        by: u8,
        packages: &[Built],
        keys: &KeyChange,
        now: u64,
    ) -> Result<Index, RepositoryError> {
        let (key, memory) = (key(by), self.path(&format!("publisher-{by}.json")));
        self.publish_as(settings, &key, &memory, packages, keys, now)
    }

    pub(crate) fn publish_as(
        &self,
        settings: &RepositorySettings,
        key: &SigningKey,
        memory: &Path,
        packages: &[Built],
        keys: &KeyChange,
        now: u64,
    ) -> Result<Index, RepositoryError> {
        Self::publish_by(settings, self.anchors(&[]), key, memory, packages, keys, now)
    }

    /// As [`publish`](Self::publish), by a publisher who trusts these keys, too.
    pub(crate) fn publish_trusting(
        &self,
        settings: &RepositorySettings,
        by: u8,
        trusts: &[u8],
        packages: &[Built],
        keys: &KeyChange,
        now: u64,
    ) -> Result<Index, RepositoryError> {
        let memory = self.path(&format!("trusting-{by}.json"));
        Self::publish_by(settings, self.anchors(trusts), &key(by), &memory, packages, keys, now)
    }

    fn publish_by(
        settings: &RepositorySettings,
        anchors: Anchors,
        key: &SigningKey,
        memory: &Path,
        packages: &[Built],
        keys: &KeyChange,
        now: u64,
    ) -> Result<Index, RepositoryError> {
        let place = place::open(&settings.transport(), Path::new("/")).unwrap();
        let publisher = Publisher::new(place, anchors, key, memory, 30);
        for Built { entry, bytes, statement } in packages {
            let open = || Ok(Box::new(Cursor::new(bytes.clone())) as Box<dyn Read + Send>);
            publisher.put(&entry.object_name(), entry.object.size, false, open)?;
            if let (Some(object), Some(bytes)) = (entry.provenance.statement, statement) {
                publisher.put_bytes(&Provenance::object_name(object), bytes)?;
            }
        }
        let packages = packages.iter().map(|package| package.entry.clone()).collect();
        publisher.publish(&Additions { packages, ..Additions::default() }, keys, now)
    }

    /// Publishes a package again into the folder, whatever statement there was about it.
    pub(crate) fn republish(&self, package: &Built) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let packages = std::slice::from_ref(package);
        self.publish(&at(&self.folder()), 1, packages, &KeyChange::default(), now).unwrap();
    }

    pub(crate) fn anchors(&self, seeds: &[u8]) -> Anchors {
        let keys: Vec<_> = seeds.iter().map(|seed| key_text(*seed)).collect();
        Anchors::new(&keys, &Trust::default()).unwrap()
    }

    /// A machine of this name that trusts these keys.
    pub(crate) fn reader(&self, name: &str, trusts: &[u8]) -> Reader {
        let store = Store::open(&self.path(&format!("{name}.store"))).unwrap();
        Reader { store, memory: self.path(&format!("{name}.json")), anchors: self.anchors(trusts) }
    }
}

/// A machine that installs.
pub(crate) struct Reader {
    pub(crate) store: Store,
    memory: PathBuf,
    anchors: Anchors,
}

impl Reader {
    pub(crate) fn open(&self, settings: &RepositorySettings, now: u64) -> Result<Repository, RepositoryError> {
        self.open_with(settings, false, now)
    }

    pub(crate) fn open_with(
        &self,
        settings: &RepositorySettings,
        unsigned: bool,
        now: u64,
    ) -> Result<Repository, RepositoryError> {
        let place = place::open(&settings.transport(), Path::new("/")).unwrap();
        Repository::open(place, self.anchors.clone(), unsigned, &self.memory, now)
    }

    /// Fetches a package; gives the bytes of its archive.
    pub(crate) fn fetch(&self, repository: &Repository, name: &str) -> Result<Vec<u8>, RepositoryError> {
        let entry = repository.index().find(&Target(TARGET.into()), name, None).unwrap();
        let mut bytes = Vec::new();
        repository.fetch(&self.store, &[entry], &Silent)?.pop().unwrap().archive.read_to_end(&mut bytes).unwrap();
        assert_eq!(BlobDigest::of(&bytes), entry.object.digest);
        Ok(bytes)
    }

    /// Whether the store has the archive of a package.
    pub(crate) fn has(&self, package: &Built) -> bool {
        let object = package.entry.object;
        self.store.has_blob(&Entry::File { digest: object.digest, size: object.size, executable: false }).unwrap()
    }
}
