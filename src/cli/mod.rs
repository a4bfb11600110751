//! The command line: one file a verb.

// First: its macros are seen by the modules below, and by no other room.
#[macro_use]
mod print;

mod build;
mod build_progress;
mod cache;
mod cache_answers;
mod cache_drop;
mod cache_remote;
mod check;
mod checkout;
mod ci;
mod clean;
mod console;
mod dest;
mod diff;
mod dry_run;
mod error;
mod executors;
mod export;
mod fetch;
mod gen_verb;
mod generated;
mod graph;
mod help;
mod init;
mod install;
mod json;
mod list;
mod lock;
mod log_extract;
mod log_verb;
mod overrides;
mod pack;
mod program;
mod provenance;
mod publish;
mod query;
#[cfg(test)]
mod reference;
mod report;
mod repository;
mod requirements;
mod run_action;
mod session;
mod shell;
mod source;
mod verify;
mod watch;
mod why;
mod workplace;

use std::cell::LazyCell;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use build_graph::dsl::Bundle;
use build_graph::untrusted::printable;
use clap::{Args, ColorChoice, FromArgMatches as _, Parser, Subcommand};
use console::Console;
pub use error::{CommandError, Kind};
use session::{Session, by, waiting_for};
use workplace::{Questioned, Reader, Workplace, build_context};

use crate::executor::Choice;

/// Builds sandboxed Python from source, reproducibly.
#[derive(Debug, Parser)]
#[command(name = "pynbox-build", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Work in the project of this folder instead of the current one's
    #[arg(long, short = 'C', global = true, value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// Never use the network
    #[arg(long, global = true)]
    offline: bool,
    /// Run actions in namespaces of this machine, in Docker containers, in whichever can be had, or
    /// on the remote engine of the settings; default: the project's
    #[arg(long, global = true, value_enum, value_name = "EXECUTOR")]
    executor: Option<Choice>,
    /// Use this remote cache before those of the settings: `NAME:rw=URL` to write to it,
    /// `NAME:unsigned=URL` to take what nobody signed
    #[arg(long, global = true, value_name = "NAME[:rw][:unsigned]=URL")]
    remote: Vec<String>,
    /// Use no remote cache
    #[arg(long, global = true, conflicts_with = "remote")]
    no_remote: bool,
    /// Print answers and errors alone: no notes, no summaries
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more: `gen` names the nodes that are left, `why` all parts of a key
    #[arg(long, short, global = true)]
    verbose: bool,
    /// When to use colours; `auto`: on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Resolve what is known and write the rest out as `build.ninja`
    Gen(gen_verb::Options),
    /// Build again whenever a file of the project changes
    Watch(watch::Options),
    /// Do what a CI job needs, and write a summary
    Ci(ci::Options),
    /// Build recipes or nodes: `gen` and ninja in one, with progress
    Build(build::Options),
    /// Install packages into a folder
    Install(install::Options),
    /// Remove packages from a folder
    Uninstall(dest::Uninstall),
    /// Replace the packages of a folder by the latest that there are
    Upgrade(dest::Upgrade),
    /// Have an earlier generation of a folder count again
    Rollback(dest::Rollback),
    /// Remove generations of a folder that are not needed any more
    Prune(dest::Prune),
    /// Say which packages there are to install
    Search(dest::search::Options),
    /// Say where an installed file comes from: package, node, sources, patches
    Which(dest::which::Options),
    /// Compare what is installed with another build of it, file by file
    Verify(verify::Options),
    /// State what a node or an installation was built from: in-toto, SLSA provenance
    Provenance(provenance::Provenance),
    /// List what a node or an installation is made of and with: SPDX, CycloneDX
    Sbom(provenance::Sbom),
    /// Copy packages into a folder that `install --repo` takes
    Export(export::Options),
    /// Put packages into a signed repository
    Publish(publish::Options),
    /// Get all pinned sources now, in parallel
    Fetch(fetch::Options),
    /// Manage pinned sources
    #[command(subcommand)]
    Source(source::Verb),
    /// Write the lock files: pins of sources and of the packages of images
    Lock(lock::Options),
    /// List the nodes of the graph
    List(list::Options),
    /// Say what a node's key is made of, and what changed since it was last built
    Why(why::Options),
    /// Say what differs between two plans, revisions or stores, and where that begins
    Diff(diff::Options),
    /// Ask how nodes hang together, and what they come from
    #[command(subcommand)]
    Query(query::Verb),
    /// Draw the graph: for Graphviz, as SVG, or as a page to search
    Graph(graph::Options),
    /// Print what actions printed, those that succeeded, too
    Log(log_verb::Options),
    /// Write a page about the last build: timeline, critical path, caches, sizes, graph
    Report(report::Options),
    /// Open a shell in the view of an action that failed
    Shell(shell::Options),
    /// Lay out a node's tree in a folder
    Checkout(checkout::Options),
    /// Run tests that others wrote in the sandbox, and compare how they end with what is expected
    Check(check::Options),
    /// Look after the store
    #[command(subcommand)]
    Cache(cache::Verb),
    /// Remove `out/` and `build.ninja`; the store stays
    Clean,
    /// Make a project with recipes of your own
    Init(init::Options),
    /// Print completions for a shell
    Completions(generated::Completions),
    /// Write manual pages
    Man(generated::Man),
    /// Run one node (called by ninja)
    #[command(hide = true)]
    RunAction(run_action::Options),
}

/// Runs the tool with these recipes and the process's arguments; verbs that need no recipes don't
/// make them. Gives 0, 1 if a build failed, 2 for wrong usage or input, 3 if the environment is at
/// fault; a bug ends with 101.
pub fn main(bundle: impl FnOnce() -> Bundle + 'static) -> ExitCode {
    // Folders and files that this program makes are the same for everybody.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    namespaces::wait_for_children();
    keep_memory();
    let parse = || {
        help::command().try_get_matches().and_then(|matches| {
            if json::is_asked_for(&matches) {
                print::leave_output_to_json();
            }
            Cli::from_arg_matches(&matches)
        })
    };
    let cli = match run_action::of_edge(std::env::args_os()).map_or_else(parse, Ok) {
        Ok(cli) => cli,
        Err(said) => return ExitCode::from(print::status(say_usage(&said))),
    };
    print::be_quiet(cli.common.quiet);
    let cli_color = cli.common.color;
    let session = Session { bundle: LazyCell::new(Box::new(bundle)), common: cli.common, noted_in: Arc::default() };
    let done = match &cli.verb {
        Verb::Gen(options) => gen_verb::run(&session, options),
        Verb::Build(options) => build::run(&session, options),
        Verb::Watch(options) => watch::run(&session, options),
        Verb::Ci(options) => ci::run(&session, options),
        Verb::Install(options) => install::run(&session, options),
        Verb::Uninstall(options) => dest::uninstall(&session, options),
        Verb::Upgrade(options) => dest::upgrade(&session, options),
        Verb::Rollback(options) => dest::rollback(options),
        Verb::Prune(options) => dest::prune(options),
        Verb::Search(options) => dest::search::run(&session, options),
        Verb::Which(options) => dest::which::run(&session, options),
        Verb::Verify(options) => verify::run(&session, options),
        Verb::Provenance(options) => provenance::provenance(&session, options),
        Verb::Sbom(options) => provenance::sbom(&session, options),
        Verb::Export(options) => export::run(&session, options),
        Verb::Publish(options) => publish::run(&session, options),
        Verb::Fetch(options) => fetch::run(&session, options),
        Verb::Source(verb) => source::run(&session, verb),
        Verb::Lock(options) => lock::run(&session, options),
        Verb::List(options) => list::run(&session, options),
        Verb::Why(options) => why::run(&session, options),
        Verb::Diff(options) => diff::run(&session, options),
        Verb::Query(verb) => query::run(&session, verb),
        Verb::Graph(options) => graph::run(&session, options),
        Verb::Report(options) => report::run(&session, options),
        Verb::Log(options) => log_verb::run(&session, options),
        Verb::Shell(options) => match shell::run(&session, options) {
            // The shell's own.
            Ok(status) => return status,
            Err(error) => Err(error),
        },
        Verb::Checkout(options) => checkout::run(&session, options),
        Verb::Check(options) => check::run(&session, options),
        Verb::Cache(verb) => cache::run(&session, verb),
        Verb::Clean => clean::run(&session),
        Verb::Init(options) => init::run(options),
        Verb::Completions(options) => {
            generated::completions(options);
            Ok(())
        }
        Verb::Man(options) => generated::man(options),
        Verb::RunAction(options) => run_action::run(&session, options),
    };
    let status = match done {
        Ok(()) => 0,
        Err(error) => {
            say_error(&error, cli_color);
            error.kind.exit_code()
        }
    };
    ExitCode::from(print::status(status))
}

/// Has the allocator keep what is freed: each page that the system takes back costs a fault when
/// it is needed again. `gen` after an edit among 10,000 nodes has 1,300 faults less of 5,700, and
/// takes a twelfth less of the processor.
fn keep_memory() {
    let numbers = [(libc::M_MMAP_THRESHOLD, 32 << 20), (libc::M_TRIM_THRESHOLD, i32::MAX), (libc::M_TOP_PAD, 8 << 20)];
    for (parameter, bytes) in numbers {
        // SAFETY: sets a number of the allocator, before there are other threads.
        unsafe { libc::mallopt(parameter, bytes) };
    }
}

/// Prints the error that ended a command.
fn say_error(error: &CommandError, color: ColorChoice) {
    if help::has_colors(color, &io::stderr()) {
        let text = printable(&error.to_string()).lines().to_string();
        print::err(format!("{}\n", help::painted(&text)).as_bytes());
    } else {
        errln!("{error}");
    }
}

/// Prints what clap has to say: help and the version to standard output, what is wrong to standard
/// error.
fn say_usage(said: &clap::Error) -> u8 {
    if said.use_stderr() {
        // It repeats arguments, which may hold anything; what is no UTF-8 in them as something
        // else.
        let mut text = said.render().to_string();
        for argument in std::env::args_os().filter(|argument| argument.to_str().is_none()) {
            for part in
                [argument.as_bytes(), argument.as_bytes().rsplit(|byte| *byte == b'=').next().unwrap_or_default()]
            {
                text = text.replace(&*String::from_utf8_lossy(part), &printable(part).to_string());
            }
        }
        errln!("{}", text.trim_end());
    } else if help::has_colors(help::asked_color(), &io::stdout()) {
        print::out(said.render().ansi().to_string().as_bytes());
    } else {
        print::out(said.render().to_string().as_bytes());
    }
    // clap's statuses are ours: 0, or 2 for wrong usage.
    u8::try_from(said.exit_code()).unwrap_or_else(|_| Kind::Input.exit_code())
}

impl Common {
    /// The options that another process of this program has to be given to do the same.
    fn as_arguments(&self) -> Vec<std::ffi::OsString> {
        let mut arguments: Vec<std::ffi::OsString> = vec!["--project".into(), self.project.clone().into()];
        let flags = [
            ("--offline", self.offline),
            ("--no-remote", self.no_remote),
            ("--quiet", self.quiet),
            ("--verbose", self.verbose),
        ];
        arguments.extend(flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag.into()));
        if let Some(executor) = self.executor {
            arguments.extend(["--executor".into(), executor.name().into()]);
        }
        for remote in &self.remote {
            arguments.extend(["--remote".into(), remote.into()]);
        }
        arguments
    }
}

/// Prints rows in columns.
fn print_columns<const N: usize>(rows: &[[String; N]]) {
    for line in columns(rows) {
        outln!("{line}");
    }
}

/// Lays out rows in columns that are as wide as their widest text.
fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
