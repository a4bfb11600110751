//! Repositories as options and settings name them, and as installs take packages from them.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use build_graph::node::Target;
use build_graph::untrusted::printable;
use clap::Args;
use ed25519_dalek::VerifyingKey;
use support::report::{Reporter, Silent};

use super::console::with_transfers;
use super::install::{Found, Repository, no_package};
use super::{CommandError, Session};
use crate::remote::place::{self, Place};
use crate::remote::settings::RemotePlace;
use crate::remote::trust::{Trust, now, public_key};
use crate::repository::RepositoryError;
use crate::repository::client::{self, Fetched};
use crate::repository::code::processor;
use crate::repository::index::{Index, PackageEntry};
use crate::repository::settings::RepositorySettings;
use crate::repository::trust::{Anchors, Seen};
use crate::store::{Area, Scratch, Store};

/// The package with the loader.
pub(super) const LOADER_PACKAGE: &str = "sandbox_outer";

/// Where packages come from, other than the local build.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct RepositoryOptions {
    /// Take the packages from a repository instead of the local build: its name in `pynbox.toml`, a
    /// folder or a URL
    #[arg(long, value_name = "NAME|DIR|URL")]
    pub(super) repo: Option<String>,
    /// Trust this key's signatures of the repository, beside those of its settings
    #[arg(long, value_name = "KEY", requires = "repo")]
    trust: Vec<String>,
    /// Take packages that nobody vouches for, from a folder of archives too: whoever can write them
    /// runs programs as you
    #[arg(long, requires = "repo")]
    unsigned: bool,
}

/// A repository by its settings, and the folder to which its relative paths belong.
pub(super) struct Named {
    pub(super) settings: RepositorySettings,
    pub(super) root: PathBuf,
    /// Whom the project trusts.
    trust: Trust,
    /// Whether the network is not to be used.
    offline: bool,
}

impl Named {
    /// Finds a repository by its name in the settings, or else takes the word as a folder or a URL.
    pub(super) fn find(session: &Session, word: &str) -> Result<Self, CommandError> {
        let project = session.project_if_any()?;
        let offline = session.common.offline || project.as_ref().is_some_and(|one| one.settings.source.offline);
        let trust = project.as_ref().map(|project| Trust::new(&project.settings.trust, None)).transpose()?;
        let trust = trust.unwrap_or_default();
        let known = project.and_then(|project| {
            let settings = project.settings.repository.iter().find(|one| one.name == word).cloned();
            settings.map(|settings| (settings, project.root))
        });
        let (settings, root) = known.unwrap_or_else(|| (RepositorySettings::at(word), PathBuf::new()));
        Ok(Self { settings, root, trust, offline })
    }

    /// Opens the place.
    pub(super) fn open(&self) -> Result<Box<dyn Place>, CommandError> {
        let transport = self.settings.transport();
        if self.offline && !matches!(transport.place(&self.root)?, RemotePlace::Folder(_)) {
            let name = printable(&self.settings.name).to_string();
            return Err(CommandError::environment(format!("the repository `{name}` is on the network"))
                .hint("leave out `--offline`, or name a folder"));
        }
        Ok(place::open(&transport, &self.root)?)
    }

    /// The folder, if it is one.
    fn folder(&self) -> Result<Option<PathBuf>, CommandError> {
        match self.settings.transport().place(&self.root)? {
            RemotePlace::Folder(path) => Ok(Some(path)),
            _ => Ok(None),
        }
    }

    /// The keys that count for it: these, and those of its settings.
    pub(super) fn anchors(&self, more: &[String]) -> Result<Anchors, CommandError> {
        let keys: Vec<_> = more.iter().chain(&self.settings.trust).cloned().collect();
        Ok(Anchors::new(&keys, &self.trust)?)
    }

    /// The file that remembers what was seen of it.
    pub(super) fn memory(&self, store: &Store) -> Result<PathBuf, CommandError> {
        Ok(Seen::file(&store.area(Area::Repositories), &self.settings.transport().identity(&self.root)?))
    }

    /// An error of it, with its name and with what to do.
    pub(super) fn failed(&self, error: RepositoryError) -> CommandError {
        let hint = match &error {
            RepositoryError::NoAnchors | RepositoryError::Unknown { .. } => Some(
                "name the publisher's key, `--trust KEY` or `trust` of the repository in `pynbox.toml`; or take what nobody vouches for, `--unsigned`",
            ),
            RepositoryError::Unsigned => Some("if that is meant to be, say `--unsigned`"),
            RepositoryError::Expired { .. } => Some("its publisher renews it with `publish REPOSITORY --renew`"),
            _ => None,
        };
        let error = CommandError::of_repository(&self.settings.name, error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// The public key that an option names.
pub(super) fn named_key(text: &str) -> Result<VerifyingKey, CommandError> {
    public_key(text).ok_or_else(|| {
        CommandError::input(format!("`{}` is no public key", printable(text)))
            .hint("`cache keygen` prints it: the base64 of 32 bytes")
    })
}

impl RepositoryOptions {
    /// The folder of archives that is meant, if it is one without an index.
    pub(super) fn archives(&self, named: &Named) -> Result<Option<PathBuf>, CommandError> {
        let Some(folder) = named.folder()?.filter(|folder| !folder.join("index.json").exists()) else {
            return Ok(None);
        };
        if self.unsigned || named.settings.unsigned {
            return Ok(Some(folder));
        }
        let name = printable(&named.settings.name).to_string();
        Err(CommandError::input(format!("`{name}` has no signed index: it is no repository"))
            .hint("`--unsigned` takes a folder of archives, for which nobody vouches"))
    }

    /// Opens a repository.
    pub(super) fn open<'s>(
        &self,
        named: &'s Named,
        store: &'s Store,
        target: Target,
    ) -> Result<Signed<'s>, CommandError> {
        let unsigned = self.unsigned || named.settings.unsigned;
        let (place, anchors) = (named.open()?, named.anchors(&self.trust)?);
        let opened = client::Repository::open(place, anchors, unsigned, &named.memory(store)?, now());
        let repository = opened.map_err(|error| named.failed(error))?;
        if repository.signer().is_none() {
            errln!("warning: nobody vouches for `{}`", repository.place());
        }
        Ok(Signed { named, store, repository, target, fetched: Mutex::default() })
    }
}

/// A repository with an index, for one target.
pub(super) struct Signed<'s> {
    named: &'s Named,
    store: &'s Store,
    repository: client::Repository,
    target: Target,
    /// What came, by package and version.
    fetched: Mutex<Vec<(Found, Fetched)>>,
}

impl Signed<'_> {
    /// What there is.
    pub(super) fn index(&self) -> &Index {
        self.repository.index()
    }

    fn entry(&self, name: &str, version: Option<&str>) -> Result<&PackageEntry, CommandError> {
        let index = self.index();
        if let Some(entry) = index.find(&self.target, name, version) {
            return Ok(entry);
        }
        if index.packages_for(&self.target).next().is_none() && !index.packages.is_empty() {
            let targets: Vec<_> = index.targets().iter().map(|target| format!("`{target}`")).collect();
            let name = printable(&self.named.settings.name).to_string();
            return Err(CommandError::input(format!("`{name}` has no packages for the target `{}`", self.target))
                .hint(format!("name a target with `--target`: there are packages for {}", targets.join(", "))));
        }
        let all = || index.packages_for(&self.target);
        if let Some((entry, reason)) =
            all().find_map(|one| Some((one, one.withdrawn.as_ref()?)).filter(|_| one.name == name && version.is_none()))
        {
            let withdrawn =
                format!("all versions of package `{}` are withdrawn: {}", printable(name), printable(reason));
            return Err(CommandError::input(withdrawn).hint(format!(
                "`{}={}` takes it all the same",
                printable(name),
                printable(&entry.version)
            )));
        }
        Err(no_package(name, version, all().map(|package| (package.name.clone(), package.version.clone()))))
    }

    /// Fetches the compiled code of these packages into a new folder, if there is code for this
    /// machine.
    fn code(&self, entries: &[&PackageEntry], reporter: &dyn Reporter) -> Result<Option<Scratch>, CommandError> {
        let Some(loader) = entries.iter().find(|entry| entry.name == LOADER_PACKAGE) else { return Ok(None) };
        let processor = processor();
        let code =
            entries.iter().filter_map(|entry| self.index().code(entry.object.digest, loader.object.digest, &processor));
        let code: Vec<_> = code.collect();
        if code.is_empty() || self.repository.signer().is_none() {
            return Ok(None);
        }
        let scratch = self.store.scratch()?;
        let fetched = self.repository.fetch_code(self.store, &code, scratch.path(), reporter);
        fetched.map_err(|error| self.named.failed(error))?;
        Ok(Some(scratch))
    }
}

impl Repository for Signed<'_> {
    fn all(&self) -> Vec<Found> {
        self.index().packages_for(&self.target).map(found).collect()
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<Found, CommandError> {
        self.entry(name, version).map(found)
    }

    fn get(&self, chosen: &[Found]) -> Result<Option<Scratch>, CommandError> {
        let entries = chosen.iter().map(|found| self.entry(&found.name, Some(&found.version)));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let reporter = with_transfers(entries.len());
        let files = self.repository.fetch(self.store, &entries, &*reporter);
        let files = files.map_err(|error| self.named.failed(error))?;
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.extend(chosen.iter().cloned().zip(files));
        self.code(&entries, &*reporter)
    }

    fn open(&self, found: &Found) -> Result<File, CommandError> {
        let of_file = |fetched: &Fetched| -> std::io::Result<File> {
            let mut file = fetched.archive.try_clone()?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let known = fetched.iter().find(|(one, _)| (&one.name, &one.version) == (&found.name, &found.version));
        if let Some((_, file)) = known {
            return of_file(file).map_err(CommandError::named("read", Path::new(&found.name)));
        }
        drop(fetched);
        let entry = self.entry(&found.name, Some(&found.version))?;
        let files = self.repository.fetch(self.store, &[entry], &Silent);
        let mut files = files.map_err(|error| self.named.failed(error))?;
        let fetched = files.pop().map(|fetched| fetched.archive);
        fetched.ok_or_else(|| no_package(&found.name, Some(&found.version), std::iter::empty()))
    }

    fn statement(&self, found: &Found) -> Option<Vec<u8>> {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let known = fetched.iter().find(|(one, _)| (&one.name, &one.version) == (&found.name, &found.version));
        known.and_then(|(_, fetched)| Some(fetched.statement.as_ref()?.envelope().to_bytes()))
    }
}

fn found(package: &PackageEntry) -> Found {
    Found {
        name: package.name.clone(),
        version: package.version.clone(),
        requires: package.requires.clone(),
        withdrawn: package.withdrawn.clone(),
    }
}
