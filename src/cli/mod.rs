//! The command line: one file a verb.

// First: its macros are seen by the modules below, and by no other room.
#[macro_use]
mod print;

mod build;
mod build_progress;
mod cache;
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
mod run_action;
mod shell;
mod source;
mod verify;
mod watch;
mod why;

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use build_graph::dsl::{Assembled, Bundle, Toolchain, assemble};
use build_graph::node::Target;
use build_graph::untrusted::printable;
use clap::{Args, ColorChoice, FromArgMatches as _, Parser, Subcommand};
use console::Console;
pub use error::{CommandError, Kind};
use program::build_id;

use crate::build::BuildError;
use crate::build::action::ActionRun;
use crate::build::action_runner::{ActionRunner, Fallback, Lazy, Ran};
use crate::build::builder::{Builder, Stamps};
use crate::build::evaluate::BuildContext;
use crate::build::log::{self, BuildLog};
use crate::build::out_lock::OutLock;
use crate::build::plan::{self, OutDir, Plan, PlanId};
use crate::build::record::{Record, Stale};
use crate::called::called;
use crate::environment;
use crate::executor::{ActionLimits, Choice, Executor, Leftover, runner_program};
use crate::project::{Loaded, Project, ProjectError};
use crate::remote::belief::{Belief, unsigned};
use crate::remote::caches::Caches;
use crate::remote::reapi::ReapiError;
use crate::remote::reapi::engine::{Engine, EngineSection};
use crate::remote::settings::{self, RemotePlace, RemoteSettings, Role, TrustSettings};
use crate::remote::trust::Trust;
use crate::report::Reporter as _;
use crate::source::{FetchSettings, Fetcher};
use crate::store::{self, Area, Origin, Store};
use crate::waiting::Teller;

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
    let parsed = help::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
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

/// A project with a plan, and what it takes to build nodes of it.
struct Workplace {
    project: Project,
    /// As the project believes it.
    store: Store,
    belief: Arc<Belief>,
    plan: Plan,
    fetcher: Fetcher,
    executor: FindExecutor,
    caches: Caches,
    /// The sources that the `gen` overrode which made the plan: `NAME=PATH`.
    overrides: Vec<String>,
    /// Keeps others from writing a plan, where stamps are read or written.
    _lock: Option<OutLock>,
}

/// A plan to be asked, and the store in which its results are looked up.
struct Questioned {
    plan: Plan,
    /// As the project believes it.
    store: Store,
}

/// Who takes up a plan.
enum Reader {
    /// One who answers for what it gives out: the plan has to be current.
    Giver,
    /// One who explains or looks at what there is; it says what is not current.
    Looker,
    /// ninja, which has asked whether the plan is current, and runs edges of this one.
    Ninja(Option<PlanId>),
}

impl Workplace {
    /// Builds nodes of the plan.
    fn builder(&self, stamps: Stamps) -> Builder<'_> {
        let limits = self.project.settings.build.limits.limits();
        let context = build_context(&self.store, &self.fetcher, &self.executor, limits, self.plan.out(), &self.caches);
        Builder::new(context, &self.plan, stamps)
    }
}

/// Makes executors when the first action needs one, and keeps them.
struct FindExecutor {
    /// The one of this machine.
    here: Lazy<Find<Arc<dyn Executor>>>,
    /// The remote engine, if one is wanted and can be reached.
    engine: Find<Option<Arc<Engine>>>,
    /// Its name.
    engine_name: Option<String>,
}

impl ActionRunner for FindExecutor {
    fn run(&self, store: &Store, run: &ActionRun<'_>) -> Result<Ran, BuildError> {
        match (self.engine)()? {
            Some(engine) => Fallback { engine: &engine, here: &self.here, reporter: &Console }.run(store, run),
            None => self.here.run(store, run),
        }
    }
}

type Find<T> = Box<dyn Fn() -> Result<T, BuildError> + Send + Sync>;

/// Does something once, and gives what came of it from then on; tried again if it failed.
fn once<T: Clone + Send + 'static>(make: impl Fn() -> Result<T, BuildError> + Send + Sync + 'static) -> Find<T> {
    let found = Mutex::new(None);
    Box::new(move || {
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*found {
            return Ok(T::clone(known));
        }
        Ok(found.insert(make()?).clone())
    })
}

/// Asks a belief of each result.
fn by(belief: &Arc<Belief>) -> impl Fn(&Origin) -> bool + Send + Sync + 'static {
    let belief = Arc::clone(belief);
    move |origin| belief.believes(origin)
}

/// What every verb starts from.
struct Session {
    bundle: LazyCell<Bundle, Box<dyn FnOnce() -> Bundle>>,
    common: Common,
    /// The build log that is to say for whom this waits, where there is one.
    noted_in: Arc<OnceLock<BuildLog>>,
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

impl Session {
    fn project(&self) -> Result<Project, CommandError> {
        Ok(Project::find(&self.common.project)?)
    }

    /// The store with all that is in it, for who looks after it.
    fn store(&self) -> Result<Store, CommandError> {
        let noted_in = Arc::clone(&self.noted_in);
        let waiting = Teller::new(move |whom| {
            waits(whom, "the store");
            if let Some(log) = noted_in.get() {
                let waited = log::Waited { pid: std::process::id(), whom: whom.to_owned(), at: log::now() };
                // It is only shown while the build runs.
                let _ = log.append(&[log::Record::Wait(waited)]);
            }
        });
        let options = store::Options { waiting: Some(waiting), ..store::Options::default() };
        Ok(Store::open_with(&Store::default_root()?, options)?)
    }

    /// The store as a project believes it.
    fn store_of(&self, project: &Project) -> Result<Store, CommandError> {
        let (store, belief) = self.believing_store(project)?;
        let belief = Arc::new(self.and_told(belief, project)?);
        Ok(store.believing(by(&belief)))
    }

    /// The store, and what the project's settings believe of it.
    fn believing_store(&self, project: &Project) -> Result<(Store, Belief), CommandError> {
        let settings = &project.settings;
        let trust = Trust::new(&settings.trust, None)?;
        let engine = settings.engine.as_ref().map(|engine| engine.name.as_str());
        Ok((self.store()?, Belief::new(trust, &settings.remote, engine, &project.root)?))
    }

    /// A belief with what options and the environment say, too.
    fn and_told(&self, belief: Belief, project: &Project) -> Result<Belief, CommandError> {
        Ok(belief.and_unsigned(self.told_unsigned(project)?))
    }

    /// The places from which unsigned results are taken because options or the environment say so.
    fn told_unsigned(&self, project: &Project) -> Result<BTreeSet<String>, CommandError> {
        let variable = environment::text(settings::REMOTES_VARIABLE)?;
        let remotes = settings::all(&self.common.remote, variable.as_deref(), &[])?;
        Ok(unsigned(&remotes, &project.root)?)
    }

    /// The project, if the folder is in one.
    fn project_if_any(&self) -> Result<Option<Project>, CommandError> {
        match Project::find(&self.common.project) {
            Ok(project) => Ok(Some(project)),
            Err(ProjectError::NoProject(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn out(&self, project: &Project) -> OutDir {
        OutDir::new(project.root.join("out"))
    }

    /// The project with what `gen` left in it, which has to be what it would leave now.
    fn workplace(&self) -> Result<Workplace, CommandError> {
        self.workplace_for(Reader::Giver)
    }

    fn workplace_for(&self, reader: Reader) -> Result<Workplace, CommandError> {
        let project = self.project()?;
        let (store, belief) = self.believing_store(&project)?;
        let out = self.out(&project);
        let lock = OutLock::for_reading(&out, &waiting_for)?;
        let plan = Plan::open(&out)?;
        let overrides = match &reader {
            Reader::Ninja(Some(id)) if id != plan.id() => {
                return Err(CommandError::input("another `gen` has made a new plan since this ninja started")
                    .hint("run ninja again"));
            }
            Reader::Ninja(_) => Record::read(&out).map(|record| overrides::among(&record.question.options)),
            Reader::Giver => Some(overrides::among(&check(&out, &plan, &project)?.map_err(refuse)?.question.options)),
            Reader::Looker => match check(&out, &plan, &project)? {
                Ok(record) => Some(overrides::among(&record.question.options)),
                Err(stale) => {
                    noteln!("note: {stale}; run `{} gen` to take it up", called());
                    Record::read(&out).map(|record| overrides::among(&record.question.options))
                }
            },
        };
        let unsigned = match plan::read_belief(&out, &belief.digest(), &store.drop_mark()?) {
            // Who only looks believes no more than is believed now.
            Err(_) if matches!(reader, Reader::Looker) => Vec::new(),
            unsigned => unsigned?,
        };
        let belief = Arc::new(self.and_told(belief, &project)?.and_unsigned(unsigned));
        let store = store.believing(by(&belief));
        // What is open stays as it is. Only stamps would be another plan's.
        let (lock, leftover) = match reader {
            Reader::Ninja(_) => (Some(lock), Leftover::HandedOver),
            Reader::Giver | Reader::Looker => (None, Leftover::Removed),
        };
        let fetcher = self.fetcher(&project, &store);
        let executor = self.find_executor(&project, &store, leftover)?;
        let caches = self.caches(&project, &store)?;
        let overrides = overrides.unwrap_or_default();
        Ok(Workplace { project, store, belief, plan, fetcher, executor, caches, overrides, _lock: lock })
    }

    /// What questions about all nodes are asked of: the plan that `gen` left, or, before the first
    /// one, the plan of a graph of which nothing is known.
    fn questioned(&self) -> Result<Questioned, CommandError> {
        let project = self.project()?;
        if self.out(&project).plan().exists() {
            let Workplace { plan, store, .. } = self.workplace_for(Reader::Looker)?;
            return Ok(Questioned { plan, store });
        }
        let store = self.store_of(&project)?;
        let plan = self.plan_of(&project, &store, &[], &self.out(&project))?;
        Ok(Questioned { plan, store })
    }

    /// The sources that the last `gen` overrode: `NAME=PATH`.
    fn last_overrides(&self, project: &Project) -> Vec<String> {
        Record::read(&self.out(project)).map(|record| overrides::among(&record.question.options)).unwrap_or_default()
    }

    /// The graph that the recipes make of a project's files.
    fn assembled(&self, project: &Project, loaded: Loaded, target: Option<&str>) -> Result<Assembled, CommandError> {
        let target = self.target(project, target)?;
        Ok(assemble(&self.bundle.set, &Arc::new(loaded.materials), &target)?)
    }

    /// How the executor is had that the options or else the project's settings name.
    fn find_executor(
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

    /// The remotes that options, the environment and the settings name, in this order.
    fn remotes(&self, project: &Project) -> Result<Vec<RemoteSettings>, CommandError> {
        if self.common.no_remote {
            return Ok(Vec::new());
        }
        let variable = environment::text(settings::REMOTES_VARIABLE)?;
        let mut remotes = settings::all(&self.common.remote, variable.as_deref(), &project.settings.remote)?;
        if self.common.offline || project.settings.source.offline {
            let mut folders = Vec::new();
            for remote in remotes {
                if let RemotePlace::Folder(_) = remote.place(&project.root)? {
                    folders.push(remote);
                }
            }
            remotes = folders;
        }
        Ok(remotes)
    }

    /// Whom to believe, and the key that signs.
    fn trust(&self, project: &Project) -> Result<Trust, CommandError> {
        self.trust_of(Some(project))
    }

    /// As [`trust`](Self::trust), where there may be no project.
    fn trust_of(&self, project: Option<&Project>) -> Result<Trust, CommandError> {
        let default = TrustSettings::default();
        let trust = project.map_or(&default, |project| &project.settings.trust);
        let variable = std::env::var_os(settings::KEY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let own = project.zip(trust.signing_key.as_ref()).map(|(project, path)| project.root.join(path));
        let key = variable.or(own);
        Ok(Trust::new(trust, key.as_deref())?)
    }

    fn caches(&self, project: &Project, store: &Store) -> Result<Caches, CommandError> {
        let remotes = self.remotes(project)?;
        if remotes.is_empty() {
            return Ok(Caches::default());
        }
        // Who only reads needs no key.
        let writes = remotes.iter().any(|remote| remote.role == Role::ReadWrite);
        let trust = if writes { self.trust(project)? } else { Trust::new(&project.settings.trust, None)? };
        let caches = Caches::open(remotes, trust, &project.root, store)?;
        Ok(caches.with_warnings(|text| Console.warn(text)))
    }

    /// The target that was asked for, or the project's default.
    fn target(&self, project: &Project, asked: Option<&str>) -> Result<Target, CommandError> {
        let default = || project.default_target(&self.bundle);
        self.known(asked.map_or_else(default, |target| Target(target.to_owned())))
    }

    /// The target, if there is one of this name.
    fn known(&self, target: Target) -> Result<Target, CommandError> {
        let mut known = self.bundle.set.toolchains.iter().map(Toolchain::target);
        if known.any(|one| *one == target) {
            return Ok(target);
        }
        let known: Vec<_> = self.bundle.set.toolchains.iter().map(|toolchain| toolchain.target().as_str()).collect();
        Err(CommandError::input(format!("there is no target `{target}`; there are {}", known.join(", "))))
    }

    fn fetcher(&self, project: &Project, store: &Store) -> Fetcher {
        let settings = &project.settings.source;
        Fetcher::new(FetchSettings {
            offline: self.common.offline || settings.offline,
            debian_mirrors: settings.debian_mirror.clone().map(|mirror| vec![mirror]),
            pypi_index: settings.pypi_index.clone(),
            ..FetchSettings::new(store.area(Area::Partial))
        })
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

fn waits(whom: &str, used: &str) {
    noteln!("waiting for {whom}, which uses {used}");
}

/// Says whom this waits for.
fn waiting_for(whom: &str) {
    waits(whom, "the plan in `out/`");
}

/// Whether a plan is the one that `gen` would make now.
fn check(out: &OutDir, plan: &Plan, project: &Project) -> Result<Result<Record, Stale>, CommandError> {
    let program = std::env::current_exe().map_err(BuildError::io("find", "this program"))?;
    let id = build_id(&program).map_err(BuildError::io("read", &program))?;
    Ok(Record::check(out, plan, &project.root, &id))
}

fn refuse(stale: Stale) -> CommandError {
    CommandError::input(stale.to_string()).hint(format!("run `{} gen && ninja`, then this again", called()))
}

/// The engine; `None`, said plainly, if it can't be reached.
fn find_engine(section: &EngineSection, root: &Path) -> Result<Option<Arc<Engine>>, BuildError> {
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

/// Returns what the evaluation of nodes needs in this project.
fn build_context<'a>(
    store: &'a Store,
    fetch: &'a Fetcher,
    executor: &'a FindExecutor,
    limits: ActionLimits,
    out: &'a OutDir,
    caches: &'a Caches,
) -> BuildContext<'a> {
    let engine = executor.engine_name.as_deref();
    BuildContext { store, fetch, runner: executor, engine, limits, out: Some(out), caches, reporter: &Console }
}
