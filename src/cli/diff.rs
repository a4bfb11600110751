//! `pynbox-build diff A B`: what differs between two plans, revisions or stores, and where the
//! differences begin. Builds nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use build_graph::untrusted::{printable, printable_path};
use clap::Args;
use serde::Serialize;
use tempfile::TempDir;

use super::json::{self, Answer, JsonOption};
use super::{CommandError, Questioned, Session};
use crate::build::BuildError;
use crate::build::plan::{NewPlan, OutDir, Plan};
use crate::called::called;
use crate::model::Model;
use crate::model::diff::Difference;
use crate::project::{Project, ProjectError};
use crate::store::Store;

/// More names than this are shown only by `--all`.
const MAX_NAMES: usize = 10;
/// More parts of one node than this are shown only by `--all`.
const MAX_PARTS: usize = 20;

/// Options of `diff`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// `plan` for the plan in `out/`, `now` for the files of the project as they are; the file of a
    /// plan that was kept; the folder of another project with a plan; the folder of a store, for what
    /// it has of the plan in `out/`; or a revision that git knows
    #[arg(value_name = "A")]
    first: String,
    /// As A
    #[arg(value_name = "B", default_value = "now")]
    second: String,
    /// Print all names and parts
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `diff`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DiffAnswer {
    /// What was compared.
    first: String,
    /// With what.
    second: String,
    /// What differs.
    difference: Difference,
}

impl Answer for DiffAnswer {
    const SCHEMA: &'static str = "diff/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let (first, second) = (side(session, &options.first)?, side(session, &options.second)?);
    let models = (Model::new(&first.plan, &first.store), Model::new(&second.plan, &second.store));
    let difference = Difference::between(&models.0, &models.1)?;
    if options.json.json {
        let (first, second) = (options.first.clone(), options.second.clone());
        return json::print(&DiffAnswer { first, second, difference });
    }
    show(&difference, options);
    Ok(())
}

fn show(difference: &Difference, options: &Options) {
    let Difference { only_first, only_second, changed, follow, cut_off, equal } = difference;
    let limit = |limit: usize| if options.all { usize::MAX } else { limit };
    for change in changed {
        outln!("{} ({}, recipe {}): {}", change.node, change.operation, change.recipe, change.kind.words());
        for part in change.parts.iter().take(limit(MAX_PARTS)) {
            outln!("  {part}");
        }
        if let Some(more @ 1..) = change.parts.len().checked_sub(limit(MAX_PARTS)) {
            outln!("  and {more} more; `--all` prints them");
        }
    }
    let names = |what: &str, names: &[String]| {
        if names.is_empty() {
            return;
        }
        outln!("{what} ({}):", names.len());
        for name in names.iter().take(limit(MAX_NAMES)) {
            outln!("  {name}");
        }
        if let Some(more @ 1..) = names.len().checked_sub(limit(MAX_NAMES)) {
            outln!("  and {more} more; `--all` prints them");
        }
    };
    names(&format!("only in `{}`", options.first), only_first);
    names(&format!("only in `{}`", options.second), only_second);
    names("follow from that, and may come out otherwise", follow);
    names("come out the same, though an input differs", cut_off);
    outln!(
        "{} differ, {} follow, {equal} are equal",
        changed.len() + only_first.len() + only_second.len(),
        follow.len()
    );
}

/// One of the two that are compared.
fn side(session: &Session, word: &str) -> Result<Questioned, CommandError> {
    let project = session.project()?;
    let store = session.store_of(&project)?;
    let out = session.out(&project);
    if word == "plan" {
        return Ok(Questioned { plan: Plan::open(&out)?, store });
    }
    if word == "now" {
        let plan = session.plan_of(&project, &store, &session.last_overrides(&project), &out)?;
        return Ok(Questioned { plan, store });
    }
    let path = Path::new(word);
    if path.is_dir() {
        if path.join("format").is_file() && path.join("results").is_dir() {
            return Ok(Questioned { plan: Plan::open(&out)?, store: Store::open(path)? });
        }
        let other = OutDir::new(path.join("out"));
        return Ok(Questioned { plan: Plan::open(&other)?, store });
    }
    if path.is_file() {
        let file = fs::File::open(path).map_err(CommandError::named("read", path))?;
        return Ok(Questioned { plan: Plan::read(&out, file, path)?, store });
    }
    let plan = revision(session, &project, &store, word)?;
    Ok(Questioned { plan, store })
}

/// The plan of a revision: its files, by the recipes of this program, which have to be the
/// revision's.
fn revision(session: &Session, project: &Project, store: &Store, word: &str) -> Result<Plan, CommandError> {
    let unknown = || {
        CommandError::input(format!("`{}` is no plan, project, store or revision", printable(word)))
            .hint("name `plan`, `now`, a kept plan, a folder, or a revision of the project's git repository")
    };
    if word.starts_with('-') {
        return Err(unknown());
    }
    let git = |arguments: &[&str]| git(&project.root, arguments);
    let commit = git(&["rev-parse", "--verify", "--quiet", &format!("{word}^{{commit}}")])?.ok_or_else(unknown)?;
    let prefix = git(&["rev-parse", "--show-prefix"])?.unwrap_or_default();
    let other_recipes = || {
        CommandError::input(format!("`{}` has other recipes than this program was compiled from", printable(word)))
            .hint(format!(
                "check that revision out, compile it, run `{0} gen --dry-run --save FILE` there, and give FILE to `{0} diff`",
                called()
            ))
    };
    // The project that has our recipes is asked for their digest below.
    let has_ours = |folder: &&str| project.root.join(folder).is_dir();
    let ours = session.bundle.sources.is_some_and(|sources| sources.folders.iter().all(|folder| has_ours(&&**folder)));
    let compiled = if ours { Vec::new() } else { project.compiled_from() };
    let compiled: Vec<_> = compiled.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    if !compiled.is_empty() {
        let mut arguments = vec!["diff", "--name-only", &commit, "--"];
        arguments.extend(compiled.iter().map(String::as_str));
        if git(&arguments)?.is_none_or(|names| !names.is_empty()) {
            return Err(other_recipes());
        }
    }
    let folder = tempfile::tempdir().map_err(BuildError::io("create", "a temporary folder"))?;
    check_out(&project.root, &commit, &folder)?;
    let there = Project::find(&folder.path().join("files").join(&prefix))?;
    if let Err(ProjectError::Stale(_)) = there.wanted_sources(&session.bundle) {
        return Err(other_recipes());
    }
    session.plan_of(&there, store, &[], &session.out(project))
}

impl Session {
    /// The plan of a project's files as they are, of which nothing is known by the plan itself.
    pub(super) fn plan_of(
        &self,
        project: &Project,
        store: &Store,
        overrides: &[String],
        out: &OutDir,
    ) -> Result<Plan, CommandError> {
        let loaded = project.load(&self.bundle, overrides, store)?;
        let graph = self.assembled(project, loaded, None)?.graph;
        Ok(NewPlan::new(&graph, |_| None)?.open(out)?)
    }
}

/// Lays the files of a commit out in `files` of a folder, without a change to the repository.
fn check_out(root: &Path, commit: &str, folder: &TempDir) -> Result<(), CommandError> {
    let index = folder.path().join("index");
    let mut prefix = folder.path().join("files").into_os_string();
    prefix.push("/");
    let run = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(root).args(arguments).env("GIT_INDEX_FILE", &index);
        let output = command.output().map_err(BuildError::io("start", "git"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = printable(&output.stderr).lines().to_string();
        Err(CommandError::environment(format!(
            "git can't lay out `{commit}` in `{}`: {said}",
            printable_path(folder.path())
        )))
    };
    run(&["read-tree".as_ref(), commit.as_ref()])?;
    // From the repository's top, whatever folder of it the project is.
    let mut into = std::ffi::OsString::from("--prefix=");
    into.push(&prefix);
    run(&["checkout-index".as_ref(), "--all".as_ref(), &into])
}

/// What git answers, without the line feed; `None` if it says no.
fn git(root: &Path, arguments: &[&str]) -> Result<Option<String>, CommandError> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output();
    let output = output.map_err(BuildError::io("start", PathBuf::from("git")))?;
    let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    Ok(output.status.success().then_some(text))
}
