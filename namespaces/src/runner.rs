//! What the tool and its runner on a remote worker tell each other.
//!
//! The input root of a remote action holds the runner itself ([`PROGRAM`]), a [`Plan`] as JSON ([`PLAN`]), the image ([`IMAGE`]) and the
//! inputs ([`INPUTS`]`/0`, `/1`, … in the order of the plan). The worker starts the runner in the input root. The runner makes a view
//! with the times and modes that the contract wants, copying what the worker shares with others, runs the command under the
//! [`NamespaceExecutor`], and moves the declared outputs below [`OUTPUTS`]. What the command printed goes to
//! standard output, a [`Report`] as the last line to standard error. The status is 0 if the command succeeded, so that only then an
//! engine keeps the result, 1 if it failed and 3 if it could not be run.

mod lay;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use build_graph::{RelPath, SandboxPath};
use serde::{Deserialize, Serialize};

use crate::{Executor, ExecutorError, Fault, InputMount, NamespaceExecutor, Run, Status};

/// The runner in the input root.
pub const PROGRAM: &str = "pynbox-runner";
/// The plan in the input root.
pub const PLAN: &str = "plan.json";
/// The image in the input root.
pub const IMAGE: &str = "image";
/// Where the inputs lie in the input root.
pub const INPUTS: &str = "inputs";
/// Where the outputs lie afterwards.
pub const OUTPUTS: &str = "outputs";
/// The runner's own folder: no name in it is any of the above.
const WORK: &str = "pynbox-work";

/// What the runner is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The number of the executor contract that the action was described for ([`build_graph::contract::VERSION`]).
    pub contract: u64,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Where each input appears.
    pub inputs: Vec<SandboxPath>,
    /// The files and directories below `/build` that are the result.
    pub outputs: Vec<RelPath>,
    /// How long the command may take, in seconds.
    pub timeout: u64,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Whether the view had the worker's `/proc` for want of one of its own.
    pub callers_proc: bool,
    /// What came of the command.
    pub outcome: Outcome,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ended by itself, with this status.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// It took too long.
    TimedOut,
    /// It could not be run, and that is the action's fault.
    Unfit(String),
    /// It could not be run on this worker.
    Worker(String),
}

impl Report {
    /// The runner's exit status.
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Exited(0) => 0,
            Outcome::Exited(_) | Outcome::Signalled(_) | Outcome::TimedOut => 1,
            Outcome::Unfit(_) | Outcome::Worker(_) => 3,
        }
    }
}

/// The runner: does what the plan in the input root says. What the command printed is in its [`log`], if it was run.
pub fn run(input_root: &Path) -> Report {
    let mut callers_proc = false;
    let outcome = match try_run(input_root, &mut callers_proc) {
        Ok(Status::Exited(status)) => Outcome::Exited(status),
        Ok(Status::Signalled(signal)) => Outcome::Signalled(signal),
        Ok(Status::TimedOut) => Outcome::TimedOut,
        Err(error) if error.fault() == Fault::Action => Outcome::Unfit(error.to_string()),
        Err(error) => Outcome::Worker(error.to_string()),
    };
    Report { callers_proc, outcome }
}

/// What the command that [`run`] ran has printed.
///
/// # Errors
/// If there is none.
pub fn log(input_root: &Path) -> io::Result<fs::File> {
    fs::File::open(input_root.join(WORK).join("log"))
}

fn try_run(input_root: &Path, callers_proc: &mut bool) -> Result<Status, ExecutorError> {
    let plan = read_plan(&input_root.join(PLAN))?;
    let work = input_root.join(WORK);
    let make = |path: &Path| fs::create_dir(path).map_err(|source| host("make", path, source));
    make(&work)?;
    let executor = executor(&work)?;
    *callers_proc = executor.1;
    let root = work.join("image");
    lay::lay(&input_root.join(IMAGE), &root, lay::Modes::Linked)
        .map_err(|(path, error)| host("lay out", &path, error))?;
    let mut mounts = Vec::with_capacity(plan.inputs.len());
    for (index, at) in plan.inputs.iter().enumerate() {
        let place = work.join(format!("input-{index}"));
        lay::lay(&input_root.join(INPUTS).join(index.to_string()), &place, lay::Modes::Copied)
            .map_err(|(path, error)| host("lay out", &path, error))?;
        mounts.push((at, place));
    }
    let inputs: Vec<_> = mounts.iter().map(|(at, host)| InputMount { at, host }).collect();
    let build = work.join("build");
    make(&build)?;
    let status = executor.0.run(&Run {
        root: &root,
        image: None,
        inputs: &inputs,
        command: &plan.command,
        environment: &plan.environment,
        build_dir: &build,
        log: &work.join("log"),
        timeout: Some(Duration::from_secs(plan.timeout)),
    })?;
    if status.success() {
        // What is missing is missed by who asked for it.
        lay::give(&build, &input_root.join(OUTPUTS), &plan.outputs)
            .map_err(|(path, error)| host("give the output", &path, error))?;
    }
    Ok(status)
}

fn read_plan(path: &Path) -> Result<Plan, ExecutorError> {
    let bytes = fs::read(path).map_err(|source| host("read", path, source))?;
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| host("read", path, error.into()))?;
    if plan.contract != build_graph::contract::VERSION {
        let (wanted, has) = (plan.contract, build_graph::contract::VERSION);
        return Err(ExecutorError::Internal(format!(
            "this runner keeps the executor contract {has} and the action wants {wanted}; build it again: `cargo runner` in the source tree of pynbox-build"
        )));
    }
    Ok(plan)
}

/// The executor, and whether it must show the worker's own `/proc`: inside of containers that cover parts of it the kernel lets nobody
/// mount another.
fn executor(work: &Path) -> Result<(NamespaceExecutor, bool), ExecutorError> {
    let own = NamespaceExecutor::new();
    let Err(error) = own.probe(work) else { return Ok((own, false)) };
    let callers = NamespaceExecutor::new().with_callers_proc();
    // The first error is the one that says what to change.
    callers.probe(work).map_err(|_| error)?;
    Ok((callers, true))
}

fn host(doing: &'static str, path: &Path, source: io::Error) -> ExecutorError {
    ExecutorError::Host { doing, path: path.to_owned(), source, hint: String::new() }
}

#[cfg(test)]
mod tests;
