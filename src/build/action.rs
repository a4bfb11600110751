//! One action: its inputs are laid out, its command is run, its outputs are taken into the store.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use build_graph::node::{Action, NodeName};
use build_graph::{RelPath, SandboxPath, Tree, TreeDigest, key};
use walkdir::WalkDir;

use super::BuildError;
use super::action_runner::{ActionRunner, BUILD, LOG, Ran, make_build_folder};
use super::evaluate::Evaluated;
use super::plan::OutDir;
use super::selections::Selected;
use crate::executor::{ActionLimits, Executor, InputMount, Run, Status, describe_reached};
use crate::store::{Materialise, MaterialisedTree, Scratch, Store, StoreError, Taking};

/// A tree of so many entries is laid out once and kept for other actions, if few selections make it
/// up: header sets are such.
const SHARED_FROM: usize = 12;
/// A tree of more selections than this is one action's own (a link's objects), and is laid out for
/// it alone.
const SHARED_SELECTIONS: usize = 6;
/// What a user can be given as a shell, the most comfortable first. `/bin` is a link to `/usr/bin`
/// in every image.
const SHELLS: [&str; 2] = ["/usr/bin/bash", "/usr/bin/sh"];
/// The locale of actions, where an image has it. Programs of an image without it use the locale
/// `C`, and bash warns.
const LOCALE: &str = "usr/lib/locale/C.utf8/LC_CTYPE";

/// Everything that one run of an action needs to be there.
pub struct ActionRun<'a> {
    /// Its node.
    pub name: &'a NodeName,
    /// Its description.
    pub action: &'a Action,
    /// The tree of its image, which is in the store.
    pub image: TreeDigest,
    /// The selected trees of its inputs, in their order.
    pub inputs: Vec<Selected>,
    /// What it may take. Not part of the key: an action that reaches a limit has no result.
    pub limits: ActionLimits,
}

/// The view of an action, laid out on disk; stays as long as this value does.
pub struct View {
    root: MaterialisedTree,
    image: TreeDigest,
    mounts: Vec<(SandboxPath, PathBuf)>,
    _shared: Vec<MaterialisedTree>,
    scratch: Scratch,
    environment: Vec<(String, String)>,
    limits: ActionLimits,
}

impl View {
    /// Lays out the image and the inputs. Inputs at one directory, or one below another, become one
    /// tree.
    ///
    /// # Errors
    /// [`BuildError::Tree`] if inputs claim one path with different contents; errors of the store.
    pub fn new(store: &Store, run: &ActionRun<'_>) -> Result<Self, BuildError> {
        let root = store.materialised(run.image, Materialise::Link)?;
        let scratch = store.scratch()?;
        let mut mounts = Vec::new();
        let mut shared: Vec<MaterialisedTree> = Vec::new();
        let mut used: Vec<TreeDigest> = Vec::new();
        for (at, group) in group(run) {
            let selected = group.selected(store)?;
            let digest = selected.digest;
            // Twice the same tree in one view would be twice the same inodes.
            let again = used.contains(&digest);
            used.push(digest);
            let host = if !again && group.is_shared(store, &selected)? {
                if !store.keeps_tree(digest)? {
                    store.put_tree(&*selected.present(store)?)?;
                }
                let tree = store.materialised(digest, Materialise::Copy)?;
                let path = tree.path().to_path_buf();
                shared.push(tree);
                path
            } else {
                let name = format!("input-{}", mounts.len());
                store.materialise_in(&scratch, &name, &*selected.present(store)?, Materialise::Copy)?
            };
            mounts.push((at, host));
        }
        make_build_folder(scratch.path())?;
        let environment = key::environment(&run.action.environment).into_iter().collect();
        Ok(Self { root, image: run.image, mounts, _shared: shared, scratch, environment, limits: run.limits })
    }

    /// Calls the executor's function with the view.
    pub(super) fn with<R>(&self, action: &Action, run: impl FnOnce(&Run<'_>) -> R) -> R {
        let inputs: Vec<_> = self.mounts.iter().map(|(at, host)| InputMount { at, host }).collect();
        let command: Vec<_> = action.command.words().map(ToString::to_string).collect();
        run(&Run {
            root: self.root.path(),
            image: Some(self.image),
            inputs: &inputs,
            command: &command,
            environment: &self.environment,
            build_dir: &self.scratch.path().join(BUILD),
            outputs: &action.outputs,
            log: &self.scratch.path().join(LOG),
            limits: self.limits,
        })
    }

    /// What the action has left; its inputs may go.
    pub(super) fn into_scratch(self) -> Scratch {
        self.scratch
    }

    /// Opens the image's shell in the view, with the directory of a failed run as `/build` and the
    /// action's environment, where `LC_ALL` names a locale that the image has: on the caller's
    /// terminal, or with standard input as its script where that is no terminal. Returns how the
    /// shell ended.
    ///
    /// # Errors
    /// [`BuildError::Input`] if the image has no shell; those of the store and of the executor.
    pub fn shell(
        &self,
        store: &Store,
        run: &ActionRun<'_>,
        executor: &dyn Executor,
        build: &Path,
    ) -> Result<Status, BuildError> {
        let image = store.tree(self.image)?.ok_or(StoreError::NoTree { digest: self.image })?;
        let there = |shell: &&&str| image.get(shell.trim_start_matches('/')).is_some();
        let Some(shell) = SHELLS.iter().find(there) else {
            return Err(BuildError::Input(format!(
                "the image of `{}` has no shell (`{}`): add a package that has one to its image in `wanted.toml`",
                run.name,
                SHELLS.join("`, `")
            )));
        };
        let command = [(*shell).to_owned()];
        let mut environment = self.environment.clone();
        if image.get(LOCALE).is_none() {
            environment.iter_mut().filter(|(name, _)| name == "LC_ALL").for_each(|(_, value)| *value = "C".to_owned());
        }
        let limits = ActionLimits { time: None, ..self.limits };
        let shell = |run: &Run<'_>| {
            executor.shell(&Run { command: &command, environment: &environment, build_dir: build, limits, ..*run })
        };
        Ok(self.with(run.action, shell)?)
    }
}

/// The inputs at one place of a view: each with the directory of that place where it lies, if it
/// lies in one.
#[derive(Default)]
pub(super) struct Group<'a>(Vec<(Option<RelPath>, &'a Selected)>);

impl Group<'_> {
    /// All of them as one tree. One input alone is not read for it.
    ///
    /// # Errors
    /// [`BuildError::Tree`] if inputs claim one path with different contents; errors of the store.
    pub(super) fn selected(&self, store: &Store) -> Result<Selected, BuildError> {
        if let [(None, selected)] = self.0.as_slice() {
            return Ok((*selected).clone());
        }
        let mut merged = Tree::new();
        for (below, selected) in &self.0 {
            let tree = selected.present(store)?;
            match below {
                Some(below) => merged.merge(&tree.below(below))?,
                None => merged.merge(&tree)?,
            }
        }
        Ok(Selected::whole(Arc::new(merged)))
    }

    /// Whether their tree is laid out once and kept for other actions. What has been laid out so is
    /// not read to tell.
    fn is_shared(&self, store: &Store, selected: &Selected) -> Result<bool, BuildError> {
        Ok(self.0.len() <= SHARED_SELECTIONS
            && (store.has_checkout(selected.digest, Materialise::Copy)
                || selected.present(store)?.len() >= SHARED_FROM))
    }
}

/// Puts inputs at one directory, or one below another, together.
pub(super) fn group<'a>(run: &'a ActionRun<'_>) -> BTreeMap<SandboxPath, Group<'a>> {
    let mut inputs: Vec<_> = run.action.inputs.iter().map(|input| &input.at).zip(&run.inputs).collect();
    inputs.sort_by_key(|(at, _)| *at);
    let mut groups: BTreeMap<SandboxPath, Group<'_>> = BTreeMap::new();
    for (at, selected) in inputs {
        // Sorted by path, so whatever lies above this one is there already.
        let above = groups.keys().find(|top| at.relative().starts_with(&top.relative())).cloned();
        let top = above.unwrap_or_else(|| at.clone());
        let below = at.relative().strip_prefix(&top.relative());
        groups.entry(top).or_default().0.push((below, selected));
    }
    groups
}

/// Runs the action and takes its outputs into the store. What a failed one left is kept in `out`,
/// with its log.
///
/// # Errors
/// [`BuildError::Failed`] if the command fails, [`BuildError::Outputs`] if a declared output is
/// missing, and errors of the store and of the runner.
pub fn run(
    store: &Store,
    runner: &dyn ActionRunner,
    out: Option<&OutDir>,
    run: &ActionRun<'_>,
) -> Result<Evaluated, BuildError> {
    let Ran { status, origin, scratch } = runner.run(store, run)?;
    let outcome = match status {
        Status::Exited(0) => store
            .ingest_paths(&scratch.path().join(BUILD), &run.action.outputs, Taking::Move)
            .map_err(|error| match error {
                StoreError::MissingOutputs { .. } | StoreError::Unfit { .. } => {
                    BuildError::Outputs { problem: error.to_string(), kept: None }
                }
                error => error.into(),
            }),
        failed => Err(BuildError::Failed { status: describe(failed, &run.limits), kept: None, patched: Vec::new() }),
    };
    let tree = match out {
        Some(out) => keep_if_failed(outcome, &scratch, &out.failed(run.name)),
        None => outcome,
    };
    Ok(Evaluated { tree: tree?, origin, left: Some(scratch) })
}

/// Keeps what a failed action left at a place, where nothing is left of an earlier one.
fn keep_if_failed(outcome: Result<Tree, BuildError>, scratch: &Scratch, place: &Path) -> Result<Tree, BuildError> {
    remove(place)?;
    let kept = Some(place.to_path_buf());
    match outcome {
        Ok(tree) => Ok(tree),
        Err(BuildError::Failed { status, patched, .. }) => {
            keep(scratch, place)?;
            Err(BuildError::Failed { status, kept, patched })
        }
        Err(BuildError::Outputs { problem, .. }) => {
            keep(scratch, place)?;
            Err(BuildError::Outputs { problem, kept })
        }
        Err(other) => {
            // The first error is the one to tell.
            let _ = keep(scratch, place);
            Err(other)
        }
    }
}

/// Moves what a failed action left to where its user finds it.
fn keep(scratch: &Scratch, place: &Path) -> Result<(), BuildError> {
    if let Some(above) = place.parent() {
        std::fs::create_dir_all(above).map_err(BuildError::io("create", above))?;
    }
    strip_set_ids(scratch.path());
    match scratch.keep(place) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::CrossesDevices => {
            // The store is on another file system; only what the action left is worth a copy, not
            // its inputs.
            DirBuilder::new().mode(0o700).create(place).map_err(BuildError::io("create", place))?;
            let status = Command::new("cp")
                .arg("-a")
                .args([BUILD, LOG].map(|name| scratch.path().join(name)))
                .arg(place)
                .status();
            status.map(drop).map_err(BuildError::io("write", place))
        }
        kept => Ok(kept?),
    }
}

/// Takes the bits that set a user or a group from all that an action left. The executor's filter
/// lets it set none; this is for one that has no such filter. What can't be read stays behind the
/// folder's own mode.
fn strip_set_ids(folder: &Path) {
    const SET_IDS: u32 = 0o6000;
    for entry in WalkDir::new(folder).into_iter().flatten().filter(|entry| !entry.path_is_symlink()) {
        if let Ok(metadata) = entry.metadata()
            && metadata.permissions().mode() & SET_IDS != 0
        {
            let mode = metadata.permissions().mode() & 0o7777 & !SET_IDS;
            let _ = std::fs::set_permissions(entry.path(), Permissions::from_mode(mode));
        }
    }
}

fn remove(place: &Path) -> Result<(), BuildError> {
    match std::fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BuildError::io("remove", place)(error)),
        _ => Ok(()),
    }
}

fn describe(status: Status, limits: &ActionLimits) -> String {
    match status {
        Status::Exited(code) => format!("ended with status {code}"),
        Status::Signalled(signal) => format!("was killed by signal {signal}"),
        Status::Reached(limit) => describe_reached(limit, limits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_failed_action_lends_nobody_its_owners_rights() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let scratch = store.scratch().unwrap();
        let build = scratch.path().join("build");
        std::fs::create_dir_all(build.join("below")).unwrap();
        for (name, mode) in [("below/user", 0o4755), ("group", 0o2711), ("plain", 0o640)] {
            std::fs::write(build.join(name), "x").unwrap();
            std::fs::set_permissions(build.join(name), Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", build.join("link")).unwrap();
        std::fs::set_permissions(build.join("below"), Permissions::from_mode(0o2755)).unwrap();
        let place = folder.path().join("failed");
        keep(&scratch, &place).unwrap();
        let mode = |name: &str| std::fs::metadata(place.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            ["", "build/below", "build/below/user", "build/group", "build/plain"].map(mode),
            [0o700, 0o755, 0o755, 0o711, 0o640]
        );
    }
}
