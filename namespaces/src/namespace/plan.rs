//! Everything that the child needs, made before it exists: the child may allocate nothing.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use build_graph::RelPath;
use build_graph::untrusted::printable_path;
use rustix::io::Errno;
use rustix::process::{Resource, getegid, geteuid, getrlimit};

use super::caller::Unusual;
use super::filter;
use super::sys::StringList;
use crate::{ActionLimits, ExecutorError, Run};

/// Names at the top of the view that are never the image's.
pub(super) const OWN_NAMES: [&str; 4] = ["build", "dev", "proc", "tmp"];

/// What stands at the top of the image.
pub(super) enum Top {
    /// A directory, to be bound.
    Directory,
    /// A file, to be bound.
    File,
    /// A symbolic link, to be made again.
    Link(CString),
}

/// One name at the top of the image.
pub(super) struct TopEntry {
    pub(super) name: CString,
    pub(super) source: CString,
    pub(super) kind: Top,
}

/// A directory of the host and where it appears.
pub(super) struct Bind {
    pub(super) source: CString,
    /// The components of the mount point.
    pub(super) at: Vec<CString>,
    /// Which of the run's inputs it is.
    pub(super) index: u32,
}

/// A run in the form that the child takes.
pub(super) struct ContainerPlan {
    pub(super) top: Vec<TopEntry>,
    pub(super) build_dir: CString,
    /// The directories of the outputs below it; each comes after those above it.
    pub(super) output_folders: Vec<CString>,
    /// Sorted, so that a mount point comes before what lies below it.
    pub(super) inputs: Vec<Bind>,
    /// Where the program may be, in the order of trying.
    pub(super) programs: Vec<CString>,
    pub(super) arguments: StringList,
    pub(super) environment: StringList,
    pub(super) uid_map: Vec<u8>,
    pub(super) gid_map: Vec<u8>,
    pub(super) filter: Vec<libc::sock_filter>,
    /// Whether somebody has to answer what the filter hands over.
    pub(super) listens: bool,
    /// The filter for where nobody can: the kernel answers.
    pub(super) plain_filter: Vec<libc::sock_filter>,
    /// What is watched of the action.
    pub(super) watched: Watched,
    /// [`PROCESSES`] as text, if the kernel can limit a process namespace.
    pub(super) pid_max: Option<Vec<u8>>,
    /// Whether the action gets the caller's terminal.
    pub(super) terminal: bool,
    /// Whether the caller's `/proc` is shown, for want of one of its own.
    pub(super) callers_proc: bool,
}

/// The processes and threads at which the kernel refuses one more: enough for a makefile on the
/// largest machines, too few to harm one. An action sees it among its limits, so it is always the
/// same.
pub(super) const PROCESSES: u64 = 4096;

/// The limits that are compared with what an action takes, in bytes and numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    pub(super) tmp: u64,
    pub(super) shm: u64,
    pub(super) processes: u64,
    pub(super) memory: u64,
}

impl Watched {
    fn of(limits: &ActionLimits) -> Self {
        // A user who may have less is refused less, and is told before.
        let users = getrlimit(Resource::Nproc).maximum.map_or(u64::MAX, |most| most - most / 64);
        let memory = limits.memory.unwrap_or_else(|| {
            let machine = rustix::system::sysinfo();
            (machine.totalram as u64).saturating_mul(machine.mem_unit.into()) / 4 * 3
        });
        Self { tmp: limits.tmp, shm: limits.shm, processes: u64::from(limits.processes).min(users), memory }
    }
}

impl ContainerPlan {
    pub(super) fn new(run: &Run<'_>, callers_proc: bool, terminal: bool) -> Result<Self, ExecutorError> {
        let unusual = Unusual::of_this_thread();
        let mut arguments = Vec::with_capacity(run.command.len());
        for argument in run.command {
            arguments.push(c_string(argument.as_str(), || format!("the argument `{}`", argument.escape_debug()))?);
        }
        let mut environment = Vec::with_capacity(run.environment.len());
        for (name, value) in run.environment {
            let what = || format!("the environment variable `{}`", name.escape_debug());
            if name.is_empty() || name.contains('=') {
                return Err(ExecutorError::Description {
                    what: what(),
                    reason: "has a name that is empty or holds `=`",
                });
            }
            environment.push(c_string(format!("{name}={value}"), what)?);
        }
        let mut inputs = Vec::with_capacity(run.inputs.len());
        for (index, input) in run.inputs.iter().enumerate() {
            let at = input.at.relative();
            let at = at.as_str().split('/').map(|part| c_string(part, || format!("the mount point `{}`", input.at)));
            inputs.push(Bind { source: path(input.host)?, at: at.collect::<Result<_, _>>()?, index: index as u32 });
        }
        inputs.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(Self {
            top: top_entries(run.root)?,
            build_dir: path(run.build_dir)?,
            output_folders: output_folders(run.outputs)?,
            inputs,
            programs: programs(run)?,
            arguments: StringList::new(arguments),
            environment: StringList::new(environment),
            uid_map: format!("0 {} 1\n", geteuid().as_raw()).into_bytes(),
            gid_map: format!("0 {} 1\n", getegid().as_raw()).into_bytes(),
            filter: filter::program(unusual),
            listens: unusual.niceness,
            plain_filter: filter::program(Unusual { niceness: false, ..unusual }),
            watched: Watched::of(&run.limits),
            pid_max: (!callers_proc && pid_namespaces_have_limits()).then(|| format!("{PROCESSES}\n").into_bytes()),
            terminal,
            callers_proc,
        })
    }
}

fn c_string(text: impl Into<Vec<u8>>, what: impl Fn() -> String) -> Result<CString, ExecutorError> {
    CString::new(text).map_err(|_| ExecutorError::Description { what: what(), reason: "holds a NUL" })
}

fn path(path: &Path) -> Result<CString, ExecutorError> {
    c_string(path.as_os_str().as_bytes(), || format!("the path `{}`", printable_path(&path)))
}

/// The directories above outputs, sorted: each comes after those above it.
fn output_folders(outputs: &[RelPath]) -> Result<Vec<CString>, ExecutorError> {
    let above = outputs.iter().flat_map(|output| Path::new(output.as_str()).ancestors().skip(1));
    let folders: BTreeSet<_> = above.filter(|folder| !folder.as_os_str().is_empty()).collect();
    folders.into_iter().map(path).collect()
}

/// The places to look for the program.
fn programs(run: &Run<'_>) -> Result<Vec<CString>, ExecutorError> {
    let Some(program) = run.command.first().filter(|program| !program.is_empty()) else {
        return Err(ExecutorError::Description { what: "the command".to_owned(), reason: "is empty" });
    };
    let what = || format!("the program `{}`", program.escape_debug());
    if program.contains('/') {
        return Ok(vec![c_string(program.as_str(), what)?]);
    }
    let search = run.environment.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
    // An empty component would mean the working directory: too easy to write by mistake.
    let folders = search.split(':').filter(|folder| !folder.is_empty());
    folders.map(|folder| c_string(format!("{folder}/{program}"), what)).collect()
}

/// What stands at the top of the image, without what the view has of its own.
fn top_entries(root: &Path) -> Result<Vec<TopEntry>, ExecutorError> {
    let error =
        |doing, path: &Path, source| ExecutorError::Host { doing, path: path.to_owned(), source, hint: String::new() };
    let reading = |source| error("read the image's directory", root, source);
    let mut entries = Vec::new();
    for entry in fs::read_dir(root).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let name = entry.file_name();
        if OWN_NAMES.iter().any(|own| name == OsStr::new(own)) {
            continue;
        }
        let source = entry.path();
        let kind = entry.file_type().map_err(reading)?;
        let kind = if kind.is_dir() {
            Top::Directory
        } else if kind.is_file() {
            Top::File
        } else if kind.is_symlink() {
            Top::Link(path(&fs::read_link(&source).map_err(|source_error| error("read", &source, source_error))?)?)
        } else {
            return Err(error("use", &source, Errno::NOTSUP.into()));
        };
        entries.push(TopEntry { name: path(Path::new(&name))?, source: path(&source)?, kind });
    }
    // What a directory lists first must not depend on the host's file system.
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Whether `kernel.pid_max` belongs to a process namespace (since Linux 6.14). Before, it is the
/// whole machine's, and must be left alone.
fn pid_namespaces_have_limits() -> bool {
    let uname = rustix::system::uname();
    release_at_least(uname.release().to_str().unwrap_or(""), (6, 14))
}

fn release_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= wanted,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        for (release, fits) in
            [("6.14.0", true), ("6.9.12-amd64", false), ("7.0-rc1", true), ("5.15.0", false), ("", false), ("x", false)]
        {
            assert_eq!(release_at_least(release, (6, 14)), fits, "{release}");
        }
    }
}
