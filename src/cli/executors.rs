//! Which executor runs the actions of a verb.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::CommandError;
use super::console::Console;
use super::session::Session;
use crate::build::BuildError;
use crate::build::action::ActionRun;
use crate::build::action_runner::{ActionRunner, Fallback, Lazy, Ran};
use crate::executor::{Choice, Executor, Leftover, runner_program};
use crate::project::Project;
use crate::remote::reapi::ReapiError;
use crate::remote::reapi::engine::{Engine, EngineSection};
use crate::store::{Area, Store};

/// Makes executors when the first action needs one, and keeps them.
pub(super) struct FindExecutor {
    /// The one of this machine.
    pub(super) here: Lazy<Find<Arc<dyn Executor>>>,
    /// The remote engine, if one is wanted and can be reached.
    pub(super) engine: Find<Option<Arc<Engine>>>,
    /// Its name.
    pub(super) engine_name: Option<String>,
}

impl ActionRunner for FindExecutor {
    fn run(&self, store: &Store, run: &ActionRun<'_>) -> Result<Ran, BuildError> {
        match (self.engine)()? {
            Some(engine) => Fallback { engine: &engine, here: &self.here, reporter: &Console }.run(store, run),
            None => self.here.run(store, run),
        }
    }

    fn reads_blobs(&self) -> bool {
        self.engine_name.is_some()
    }
}

pub(super) type Find<T> = Box<dyn Fn() -> Result<T, BuildError> + Send + Sync>;

/// Does something once, and gives what came of it from then on; tried again if it failed.
pub(super) fn once<T: Clone + Send + 'static>(
    make: impl Fn() -> Result<T, BuildError> + Send + Sync + 'static,
) -> Find<T> {
    let found = Mutex::new(None);
    Box::new(move || {
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*found {
            return Ok(T::clone(known));
        }
        Ok(found.insert(make()?).clone())
    })
}

impl Session {
    /// How the executor is had that the options or else the project's settings name.
    pub(super) fn find_executor(
        &self,
        project: &Project,
        store: &Store,
        leftover: Leftover,
    ) -> Result<FindExecutor, CommandError> {
        let choice = self.common.executor.unwrap_or(project.settings.build.executor);
        let state = store.area(Area::Executors);
        let section = match &project.settings.engine {
            _ if choice != Choice::Reapi => None,
            None => {
                return Err(CommandError::input(
                    "the executor `reapi` needs the section [engine] of `pynbox.toml`, with at least `name` and `url`",
                ));
            }
            section => section.clone(),
        };
        let root = project.root.clone();
        Ok(FindExecutor {
            engine_name: section.as_ref().map(|section| section.name.clone()),
            here: Lazy(once(move || Ok(choice.executor(&state, leftover)?))),
            engine: once(move || match &section {
                None => Ok(None),
                Some(section) => find_engine(section, &root),
            }),
        })
    }
}

/// The engine; `None`, said plainly, if it can't be reached.
pub(super) fn find_engine(section: &EngineSection, root: &Path) -> Result<Option<Arc<Engine>>, BuildError> {
    let unusable =
        |error: &dyn std::fmt::Display| BuildError::Settings(format!("the engine `{}`: {error}", section.name));
    let settings = section.settings(root).map_err(|error| unusable(&error))?;
    let runner = runner_program().map_err(|error| unusable(&error))?;
    match Engine::open(settings, runner) {
        Ok(engine) => {
            engine.end_with_signals();
            Ok(Some(Arc::new(engine)))
        }
        Err(error @ (ReapiError::Settings(_) | ReapiError::Io { .. })) => Err(unusable(&error)),
        Err(error) => {
            outln!("actions run here, not on the engine `{}`: {error}", section.name);
            Ok(None)
        }
    }
}
