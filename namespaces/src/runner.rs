//! The runner on a remote worker, and how it gets its job there.
//!
//! The input root of a remote action holds the runner itself ([`PROGRAM`]), a [`Job`] as JSON
//! ([`JOB`]), the image ([`IMAGE`]) and the inputs ([`INPUTS`]`/0`, `/1`, … in the order of the
//! job). The worker starts the runner in the input root. The runner makes a view with the times and
//! modes that the contract wants, copying what the worker shares with others, runs the command
//! under the [`NamespaceExecutor`], and moves the wanted outputs below [`OUTPUTS`]. What the
//! command printed goes to standard output, a [`JobReport`] as the last line to standard error; its
//! [`JobReport::exit_code`] is the status.

mod lay;

use std::fs;
use std::io;
use std::path::Path;

use crate::job::{Job, JobReport};
use crate::{Executor, ExecutorError, InputMount, NamespaceExecutor, Run, Status};

/// The runner in the input root.
pub const PROGRAM: &str = "pynbox-runner";
/// The job in the input root.
pub const JOB: &str = "job.json";
/// The image in the input root.
pub const IMAGE: &str = "image";
/// Where the inputs lie in the input root.
pub const INPUTS: &str = "inputs";
/// Where the outputs lie afterwards.
pub const OUTPUTS: &str = "outputs";
/// The runner's own folder: no name in it is any of the above.
const WORK: &str = "pynbox-work";

/// The runner: does the job in the input root. What the command printed is in its [`log`], if it
/// was run.
pub fn run(input_root: &Path) -> JobReport {
    let mut callers_proc = false;
    let result = try_run(input_root, &mut callers_proc);
    JobReport::new(result, callers_proc)
}

/// What the command that [`run`] ran has printed.
///
/// # Errors
/// If there is none.
pub fn log(input_root: &Path) -> io::Result<fs::File> {
    fs::File::open(input_root.join(WORK).join("log"))
}

fn try_run(input_root: &Path, callers_proc: &mut bool) -> Result<Status, ExecutorError> {
    let job = read_job(&input_root.join(JOB))?;
    let work = input_root.join(WORK);
    let make = |path: &Path| fs::create_dir(path).map_err(|source| host("make", path, source));
    make(&work)?;
    let executor = executor(&work)?;
    *callers_proc = executor.1;
    let root = work.join("image");
    lay::lay(&input_root.join(IMAGE), &root, lay::Modes::Linked)
        .map_err(|(path, error)| host("lay out", &path, error))?;
    let mut mounts = Vec::with_capacity(job.inputs.len());
    for (index, at) in job.inputs.iter().enumerate() {
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
        command: &job.command,
        environment: &job.environment,
        build_dir: &build,
        outputs: &job.outputs,
        log: &work.join("log"),
        limits: job.limits,
    })?;
    if status.success() {
        // What is missing is missed by who asked for it.
        lay::give(&build, &input_root.join(OUTPUTS), &job.outputs)
            .map_err(|(path, error)| host("give the output", &path, error))?;
    }
    Ok(status)
}

fn read_job(path: &Path) -> Result<Job, ExecutorError> {
    let bytes = fs::read(path).map_err(|source| host("read", path, source))?;
    let job: Job = serde_json::from_slice(&bytes).map_err(|error| host("read", path, error.into()))?;
    job.check_contract()?;
    Ok(job)
}

/// The executor, and whether it must show the worker's own `/proc`: inside of containers that cover
/// parts of it the kernel lets nobody mount another.
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
