//! `pynbox-build ci`: what a job of a CI service needs, step by step: `gen`, ninja, an installation
//! with its tests, statements about it, packages, a repository, and a summary in Markdown that
//! stays readable when a step failed.
//!
//! Each step is a process of its own, as somebody would run it by hand, so its output and its exit
//! status are the same.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;

use super::build::{ninja, no_ninja};
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
    /// Copy the packages that are built unasked into this folder
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
    /// Write the report of the build into this folder, also if it fails, and of the installation
    /// its provenance and bills of materials: `report.html`, `provenance.json`, `sbom.spdx.json`,
    /// `sbom.cdx.json`
    #[arg(long, value_name = "DIR", requires = "dest")]
    statements: Option<PathBuf>,
    /// At last put the packages into this signed repository, by the key that `publish` finds; for
    /// jobs of protected branches
    #[arg(long, value_name = "REPOSITORY")]
    publish: Option<String>,
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
    let program = std::env::current_exe().map_err(BuildError::io("find", "this program"))?;
    let here = std::env::current_dir().map_err(BuildError::io("find", "the current folder"))?;
    let done = Runner { session, options, program, here, steps: &mut answer.steps }.all(&project.root);
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

/// What runs the steps.
struct Runner<'a> {
    session: &'a Session,
    options: &'a Options,
    program: PathBuf,
    here: PathBuf,
    steps: &'a mut Vec<Step>,
}

impl Runner<'_> {
    fn all(&mut self, root: &Path) -> Result<(), CommandError> {
        let options = self.options;
        self.tool(&["gen"], &[], None)?;
        let mut ninja = ninja();
        ninja.current_dir(root).args(&options.names);
        let built = self.run("ninja", ninja, None);
        if let Some(folder) = &options.statements {
            fs::create_dir_all(folder).map_err(CommandError::named("create", folder))?;
            // Who asks why a build failed wants its report most.
            self.bare_tool(&["report"], &[&folder.join("report.html")], None)?;
        }
        built?;
        if let Some(dest) = &options.dest {
            self.tool(&["install"], &[dest], None)?;
            let tests = dest.join(TESTS);
            if tests.is_file() {
                let tests = std::path::absolute(&tests).map_err(BuildError::io("find", &tests))?;
                self.run(TESTS, Command::new(tests), None)?;
            }
        }
        if let (Some(folder), Some(dest)) = (&options.statements, &options.dest) {
            self.bare_tool(&["provenance"], &[dest], Some(&folder.join("provenance.json")))?;
            self.bare_tool(&["sbom"], &[dest], Some(&folder.join("sbom.spdx.json")))?;
            self.bare_tool(&["sbom", "--format", "cyclonedx"], &[dest], Some(&folder.join("sbom.cdx.json")))?;
        }
        if let Some(folder) = &options.packages {
            self.tool(&["export"], &[folder], None)?;
        }
        if let Some(pack) = &options.pack {
            self.bare_tool(&["cache", "export"], &[pack], None)?;
        }
        if let Some(repository) = &options.publish {
            self.tool(&["publish"], &[Path::new(repository)], None)?;
        }
        Ok(())
    }

    /// Runs a verb of this program for the target that was asked for.
    fn tool(&mut self, verb: &[&str], paths: &[&Path], to: Option<&Path>) -> Result<(), CommandError> {
        let target = self.options.target.as_deref().map(|target| ["--target", target]);
        let verb: Vec<_> = verb.iter().copied().chain(target.into_iter().flatten()).collect();
        self.bare_tool(&verb, paths, to)
    }

    /// Runs a verb of this program.
    fn bare_tool(&mut self, verb: &[&str], paths: &[&Path], to: Option<&Path>) -> Result<(), CommandError> {
        let mut command = Command::new(&self.program);
        command.args(self.session.common.as_arguments()).args(verb).args(paths).current_dir(&self.here);
        // What follows an option is its value, and the summary is about verbs.
        let shown = verb.iter().copied().take_while(|word| !word.starts_with('-')).collect::<Vec<_>>().join(" ");
        self.run(&shown, command, to)
    }

    /// Runs a step; its standard output can be a file.
    fn run(&mut self, shown: &str, mut command: Command, to: Option<&Path>) -> Result<(), CommandError> {
        sayln!("ci: {shown}");
        if let Some(path) = to {
            command.stdout(File::create(path).map_err(CommandError::named("create", path))?);
        } else if self.options.json.json {
            // Standard output is for the answer alone.
            command.stdout(std::io::stderr());
        }
        let start = Instant::now();
        let program = PathBuf::from(command.get_program());
        let is_ninja = shown == "ninja";
        let named = |error| if is_ninja { no_ninja(error) } else { BuildError::io("start", program)(error).into() };
        let status = command.status().map_err(named)?;
        let step = Step { command: shown.to_owned(), seconds: seconds(start.elapsed()), status: status.code() };
        self.steps.push(step);
        if status.success() { Ok(()) } else { Err(failed(shown, status)) }
    }
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
