//! What every verb starts from: the project, the store, remotes, trust, and how files are fetched.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use build_graph::dsl::{Bundle, Toolchain};
use build_graph::node::Target;

use super::console::Console;
use super::{CommandError, Common};
use crate::build::log::{self, BuildLog};
use crate::build::plan::OutDir;
use crate::environment;
use crate::project::{Project, ProjectError, SourceSettings};
use crate::remote::belief::{Belief, unsigned};
use crate::remote::caches::Caches;
use crate::remote::settings::{self, RemotePlace, RemoteSettings, Role, TrustSettings};
use crate::remote::trust::Trust;
use crate::report::Reporter as _;
use crate::source::{FetchSettings, Fetcher};
use crate::store::{self, Area, Origin, Store};
use crate::waiting::Teller;

/// What every verb starts from.
pub(super) struct Session {
    pub(super) bundle: LazyCell<Bundle, Box<dyn FnOnce() -> Bundle>>,
    pub(super) common: Common,
    /// The build log that is to say for whom this waits, where there is one.
    pub(super) noted_in: Arc<OnceLock<BuildLog>>,
}

impl Session {
    pub(super) fn project(&self) -> Result<Project, CommandError> {
        Ok(Project::find(&self.common.project)?)
    }

    /// The store with all that is in it, for who looks after it.
    pub(super) fn store(&self) -> Result<Store, CommandError> {
        let noted_in = Arc::clone(&self.noted_in);
        let waiting = Teller::new(move |whom| {
            waits(whom, "the store");
            if let Some(log) = noted_in.get() {
                let waited = log::Waited { pid: std::process::id(), whom: whom.to_owned(), at: log::now() };
                // It is only shown while the build runs.
                let _ = log.append(&[log::Record::Wait(waited)]);
            }
        });
        let options = store::Options { waiting: Some(waiting), ..store::Options::default() };
        Ok(Store::open_with(&Store::default_root()?, options)?)
    }

    /// The store as a project believes it.
    pub(super) fn store_of(&self, project: &Project) -> Result<Store, CommandError> {
        let (store, belief) = self.believing_store(project)?;
        let belief = Arc::new(self.and_told(belief, project)?);
        Ok(store.believing(by(&belief)))
    }

    /// The store, and what the project's settings believe of it.
    pub(super) fn believing_store(&self, project: &Project) -> Result<(Store, Belief), CommandError> {
        let settings = &project.settings;
        let trust = Trust::new(&settings.trust, None)?;
        let engine = settings.engine.as_ref().map(|engine| engine.name.as_str());
        Ok((self.store()?, Belief::new(trust, &settings.remote, engine, &project.root)?))
    }

    /// A belief with what options and the environment say, too.
    pub(super) fn and_told(&self, belief: Belief, project: &Project) -> Result<Belief, CommandError> {
        Ok(belief.and_unsigned(self.told_unsigned(project)?))
    }

    /// The places from which unsigned results are taken because options or the environment say so.
    pub(super) fn told_unsigned(&self, project: &Project) -> Result<BTreeSet<String>, CommandError> {
        let variable = environment::text(settings::REMOTES_VARIABLE)?;
        let remotes = settings::all(&self.common.remote, variable.as_deref(), &[])?;
        Ok(unsigned(&remotes, &project.root)?)
    }

    /// The project, if the folder is in one.
    pub(super) fn project_if_any(&self) -> Result<Option<Project>, CommandError> {
        match Project::find(&self.common.project) {
            Ok(project) => Ok(Some(project)),
            Err(ProjectError::NoProject(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn out(&self, project: &Project) -> OutDir {
        OutDir::new(project.root.join("out"))
    }

    /// The remotes that options, the environment and the settings name, in this order.
    pub(super) fn remotes(&self, project: &Project) -> Result<Vec<RemoteSettings>, CommandError> {
        if self.common.no_remote {
            return Ok(Vec::new());
        }
        let variable = environment::text(settings::REMOTES_VARIABLE)?;
        let mut remotes = settings::all(&self.common.remote, variable.as_deref(), &project.settings.remote)?;
        if self.common.offline || project.settings.source.offline {
            let mut folders = Vec::new();
            for remote in remotes {
                if let RemotePlace::Folder(_) = remote.place(&project.root)? {
                    folders.push(remote);
                }
            }
            remotes = folders;
        }
        Ok(remotes)
    }

    /// Whom to believe, and the key that signs.
    pub(super) fn trust(&self, project: &Project) -> Result<Trust, CommandError> {
        self.trust_of(Some(project))
    }

    /// As [`trust`](Self::trust), where there may be no project.
    pub(super) fn trust_of(&self, project: Option<&Project>) -> Result<Trust, CommandError> {
        let default = TrustSettings::default();
        let trust = project.map_or(&default, |project| &project.settings.trust);
        let variable = std::env::var_os(settings::KEY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let own = project.zip(trust.signing_key.as_ref()).map(|(project, path)| project.root.join(path));
        let key = variable.or(own);
        Ok(Trust::new(trust, key.as_deref())?)
    }

    pub(super) fn caches(&self, project: &Project, store: &Store) -> Result<Caches, CommandError> {
        let remotes = self.remotes(project)?;
        if remotes.is_empty() {
            return Ok(Caches::default());
        }
        // Who only reads needs no key.
        let writes = remotes.iter().any(|remote| remote.role == Role::ReadWrite);
        let trust = if writes { self.trust(project)? } else { Trust::new(&project.settings.trust, None)? };
        let caches = Caches::open(remotes, trust, &project.root, store)?;
        Ok(caches.with_warnings(|text| Console.warn(text)))
    }

    /// The target that was asked for, or the project's default.
    pub(super) fn target(&self, project: &Project, asked: Option<&str>) -> Result<Target, CommandError> {
        let default = || project.default_target(&self.bundle);
        self.known(asked.map_or_else(default, |target| Target(target.into())))
    }

    /// The target, if there is one of this name.
    pub(super) fn known(&self, target: Target) -> Result<Target, CommandError> {
        let mut known = self.bundle.set.toolchains.iter().map(Toolchain::target);
        if known.any(|one| *one == target) {
            return Ok(target);
        }
        let known: Vec<_> = self.bundle.set.toolchains.iter().map(|toolchain| toolchain.target().as_str()).collect();
        Err(CommandError::input(format!("there is no target `{target}`; there are {}", known.join(", "))))
    }

    pub(super) fn fetcher(&self, project: &Project, store: &Store) -> Fetcher {
        self.fetcher_by(&project.settings.source, store)
    }

    /// As [`fetcher`](Self::fetcher), where there may be no project.
    pub(super) fn fetcher_by(&self, settings: &SourceSettings, store: &Store) -> Fetcher {
        Fetcher::new(FetchSettings {
            offline: self.common.offline || settings.offline,
            debian_mirrors: settings.debian_mirror.clone().map(|mirror| vec![mirror]),
            pypi_index: settings.pypi_index.clone(),
            ..FetchSettings::new(store.area(Area::Partial))
        })
    }
}

/// Asks a belief of each result.
pub(super) fn by(belief: &Arc<Belief>) -> impl Fn(&Origin) -> bool + Send + Sync + 'static {
    let belief = Arc::clone(belief);
    move |origin| belief.believes(origin)
}

pub(super) fn waits(whom: &str, used: &str) {
    noteln!("waiting for {whom}, which uses {used}");
}

/// Says whom this waits for.
pub(super) fn waiting_for(whom: &str) {
    waits(whom, "the plan in `out/`");
}
