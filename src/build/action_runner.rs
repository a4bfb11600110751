//! Where actions run: in containers of this machine, or on a remote engine.

use std::path::Path;
use std::sync::Arc;

use build_graph::{SandboxPath, Tree, key};

use super::BuildError;
use super::action::{ActionRun, View, group};
use crate::executor::{Executor, Status};
use crate::remote::reapi::engine::{Engine, RemoteAction};
use crate::report::Reporter;
use crate::store::{Origin, Scratch, Store, StoreError};

/// Runs actions, from the trees that they take to the files that they leave.
pub trait ActionRunner: Send + Sync {
    /// Runs one action to its end.
    ///
    /// # Errors
    /// [`BuildError::Executor`] or [`BuildError::Engine`] if it could not be run, and errors of the
    /// store. A command that runs and fails is a [`Status`].
    fn run(&self, store: &Store, run: &ActionRun<'_>) -> Result<Ran, BuildError>;

    /// Whether it takes the bytes of inputs from the store's blobs, and not from a checkout of the
    /// tree that is there already.
    fn reads_blobs(&self) -> bool {
        false
    }
}

/// An action that has ended.
pub struct Ran {
    /// How its command ended.
    pub status: Status,
    /// Where it ran.
    pub origin: Origin,
    /// What it left: `build`, where its outputs are if it succeeded, and `log`.
    pub scratch: Scratch,
}

/// The folder of [`Ran::scratch`] that an action sees as `/build`.
pub(super) const BUILD: &str = "build";
/// The file of [`Ran::scratch`] with what it printed.
pub(super) const LOG: &str = "log";

/// Makes the folder for what an action leaves.
pub(super) fn make_build_folder(scratch: &Path) -> Result<(), BuildError> {
    let build = scratch.join(BUILD);
    std::fs::create_dir(&build).map_err(BuildError::io("create", &build))
}

/// In a container of an executor of this machine, or of one that is the user's own.
impl<E: Executor + ?Sized> ActionRunner for E {
    fn run(&self, store: &Store, run: &ActionRun<'_>) -> Result<Ran, BuildError> {
        let view = View::new(store, run)?;
        let status = view.with(run.action, |run| Executor::run(self, run))?;
        Ok(Ran { status, origin: Origin::Here, scratch: view.into_scratch() })
    }
}

/// Runs actions on the workers of an engine.
pub struct OnEngine<'a>(pub &'a Engine);

impl ActionRunner for OnEngine<'_> {
    fn reads_blobs(&self) -> bool {
        true
    }

    fn run(&self, store: &Store, run: &ActionRun<'_>) -> Result<Ran, BuildError> {
        let groups = group(run).into_iter().map(|(at, group)| Ok((at, group.selected(store)?.present(store)?)));
        let groups = groups.collect::<Result<Vec<_>, BuildError>>()?;
        let inputs: Vec<(&SandboxPath, &Tree)> = groups.iter().map(|(at, tree)| (at, &**tree)).collect();
        let scratch = store.scratch()?;
        make_build_folder(scratch.path())?;
        let environment: Vec<_> = key::environment(&run.action.environment).into_iter().collect();
        let command: Vec<_> = run.action.command.words().map(ToString::to_string).collect();
        let action = RemoteAction {
            image: &*store.tree(run.image)?.ok_or(StoreError::NoTree { digest: run.image })?,
            inputs: &inputs,
            command: &command,
            environment: &environment,
            outputs: &run.action.outputs,
            limits: run.limits,
        };
        let report = self.0.run(store, &action, &scratch.path().join(BUILD), &scratch.path().join(LOG))?.report;
        Ok(Ran { status: report.result()?, origin: Origin::Engine(self.0.name().to_owned()), scratch })
    }
}

/// An executor that is looked for when the first action has to run.
pub struct Lazy<F>(pub F);

impl<F: Fn() -> Result<Arc<dyn Executor>, BuildError> + Send + Sync> ActionRunner for Lazy<F> {
    fn run(&self, store: &Store, run: &ActionRun<'_>) -> Result<Ran, BuildError> {
        ActionRunner::run(&*(self.0)()?, store, run)
    }
}

/// An engine, and who runs what can't be run there; the output says which actions these are, and
/// why.
pub struct Fallback<'a> {
    /// Who is asked first.
    pub engine: &'a Engine,
    /// Who is asked then.
    pub here: &'a dyn ActionRunner,
    /// Who is told of what runs here.
    pub reporter: &'a dyn Reporter,
}

impl ActionRunner for Fallback<'_> {
    fn reads_blobs(&self) -> bool {
        true
    }

    fn run(&self, store: &Store, run: &ActionRun<'_>) -> Result<Ran, BuildError> {
        match OnEngine(self.engine).run(store, run) {
            Err(error @ (BuildError::Executor(_) | BuildError::Engine(_))) => {
                self.reporter.note(&format!(
                    "`{}` runs here, not on the engine `{}`: {error}",
                    run.name,
                    self.engine.name()
                ));
                self.here.run(store, run)
            }
            ran => ran,
        }
    }
}
