//! `pynbox-build ci`: what a job of a CI service needs, step by step: `gen`, ninja, an installation
//! with its tests, packages, and a summary in Markdown that stays readable when a step failed.
//!
//! Each step is a process of its own, as somebody would run it by hand, so its output and its exit
//! status are the same.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;

use super::json::{self, Answer, JsonOption};
use super::{CommandError, Kind, Session};
use crate::build::BuildError;
use crate::model::{At, Model};
use serde::Serialize;

/// Where GitHub takes the summary of a job from.
const SUMMARY_VARIABLE: &str = "GITHUB_STEP_SUMMARY";
/// What is installed, and runs the tests of an installation.
const TESTS: &str = "bin/test_pynbox";

/// Options of `ci`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What ninja is to build: recipes, targets; default: the default target
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Build for this target, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Install into this folder, and run the installation's tests
    #[arg(long, value_name = "DEST")]
    dest: Option<PathBuf>,
    /// Copy all packages into this folder
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
    /// Write all results that the graph needs to this file, for the next job's `cache import`
    #[arg(long, value_name = "FILE")]
    pack: Option<PathBuf>,
    /// Append the summary to this file; default: what the variable `GITHUB_STEP_SUMMARY` names
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `ci`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CiAnswer {
    /// The steps that were begun, in their order; the last one may have failed.
    steps: Vec<Step>,
    /// The packages that were built.
    packages: Vec<Built>,
}

/// A step.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Step {
    /// What was run.
    command: String,
    /// How long it took.
    seconds: f64,
    /// Its exit status; null if a signal ended it.
    status: Option<i32>,
}

/// A package.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Built {
    /// The node.
    node: String,
    /// The digest of its tree.
    tree: String,
    /// The bytes of its archive.
    size: Option<u64>,
}

impl Answer for CiAnswer {
    const SCHEMA: &'static str = "ci/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let project = session.project()?;
    let mut answer = CiAnswer { steps: Vec::new(), packages: Vec::new() };
    let done = steps(session, options, &project.root, &mut answer.steps);
    if done.is_ok() {
        answer.packages = packages(session)?;
    }
    if let Some(file) = summary_file(options) {
        let mut open = OpenOptions::new();
        let file_of_job = open.create(true).append(true).open(&file).map_err(CommandError::named("open", &file))?;
        (&file_of_job).write_all(answer.markdown().as_bytes()).map_err(CommandError::named("write", &file))?;
    }
    if options.json.json {
        json::print(&answer)?;
    }
    done
}

fn summary_file(options: &Options) -> Option<PathBuf> {
    let of_job = || std::env::var_os(SUMMARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    options.summary.clone().or_else(of_job)
}

fn steps(session: &Session, options: &Options, root: &Path, steps: &mut Vec<Step>) -> Result<(), CommandError> {
    let here = std::env::current_dir().map_err(BuildError::io("find", "the current folder"))?;
    let mut run = |words: &[&str], mut command: Command| -> Result<(), CommandError> {
        let shown = words.join(" ");
        // What `--json` prints is the answer alone.
        if options.json.json {
            noteln!("ci: {shown}");
            command.stdout(std::io::stderr());
        } else {
            sayln!("ci: {shown}");
        }
        let start = Instant::now();
        let status = command.status().map_err(BuildError::io("start", words[0]))?;
        steps.push(Step { command: shown.clone(), seconds: seconds(start.elapsed()), status: status.code() });
        if status.success() { Ok(()) } else { Err(failed(&shown, status)) }
    };
    let program = std::env::current_exe().map_err(BuildError::io("find", "this program"))?;
    let tool = |verb: &[&str], paths: &[&Path]| {
        let mut command = Command::new(&program);
        command.args(session.common.as_arguments()).args(verb).args(paths).current_dir(&here);
        command
    };
    let target: Vec<_> = options.target.iter().flat_map(|target| ["--target", target]).collect();

    run(&["gen"], tool(&[&["gen"], &target[..]].concat(), &[]))?;
    let mut ninja = Command::new("ninja");
    ninja.current_dir(root).args(&options.names);
    run(&["ninja"], ninja)?;
    if let Some(dest) = &options.dest {
        run(&["install"], tool(&[&["install"], &target[..]].concat(), &[dest]))?;
        let tests = dest.join(TESTS);
        if tests.is_file() {
            run(&[TESTS], Command::new(std::path::absolute(&tests).map_err(BuildError::io("find", &tests))?))?;
        }
    }
    if let Some(folder) = &options.packages {
        run(&["export"], tool(&[&["export"], &target[..]].concat(), &[folder]))?;
    }
    if let Some(pack) = &options.pack {
        run(&["cache", "export"], tool(&["cache", "export"], &[pack]))?;
    }
    Ok(())
}

fn failed(step: &str, status: ExitStatus) -> CommandError {
    // Programs of ours and ninja say by their status whose fault it was.
    let kind = status.code().and_then(|code| u8::try_from(code).ok()).map_or(Kind::Environment, Kind::of_exit_code);
    CommandError::new(kind, format!("the step `{step}` failed ({status})"))
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// The packages of the plan whose results are known now.
fn packages(session: &Session) -> Result<Vec<Built>, CommandError> {
    let questioned = session.questioned()?;
    let model = Model::new(&questioned.plan, &questioned.store);
    let is_package = |at: &At| model.table().verb(*at) == "package";
    let mut found = Vec::new();
    for at in model.all().filter(is_package) {
        let record = model.record(at, true)?;
        if let Some(tree) = record.tree {
            found.push(Built { node: record.name, tree, size: model.size(at)? });
        }
    }
    Ok(found)
}

impl CiAnswer {
    /// The summary of the job.
    fn markdown(&self) -> String {
        let mut text = "## Build\n\n| step | seconds | result |\n|---|---:|---|\n".to_owned();
        for step in &self.steps {
            let result = match step.status {
                Some(0) => "done".to_owned(),
                Some(status) => format!("**failed with status {status}**"),
                None => "**ended by a signal**".to_owned(),
            };
            // Writing to a string can't fail.
            let _ = writeln!(text, "| `{}` | {:.1} | {result} |", step.command, step.seconds);
        }
        if !self.packages.is_empty() {
            text.push_str("\n| package | bytes | tree |\n|---|---:|---|\n");
        }
        for Built { node, tree, size } in &self.packages {
            let size = size.map_or_else(|| "not here".to_owned(), |size| size.to_string());
            let _ = writeln!(text, "| `{node}` | {size} | `{}` |", &tree[..16]);
        }
        text.push('\n');
        text
    }
}
