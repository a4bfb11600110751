//! `pynbox-build install DEST [PACKAGE[=VERSION]…]`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use build_graph::Entry;
use build_graph::dsl::Packages;
use build_graph::node::{Op, Package, Target};
use build_graph::untrusted::printable_path;
use clap::Args;

use super::{CommandError, Kind, Session};
use crate::build::BuildError;
use crate::build::demand::{Demand, Stamps};
use crate::build::evaluate::open_single;
use crate::install::code_cache;
use crate::install::package::{self, Manifest};
use crate::install::{Destination, InstallError, Outcome};

/// Options of `install`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder to install into; made if it is not there
    dest: PathBuf,
    /// The packages, with `=VERSION` if it must be that one [default: python tests]
    #[arg(value_name = "PACKAGE[=VERSION]")]
    packages: Vec<String>,
    /// The target that the packages are for, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Take the packages from a folder of archives instead of the local build
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
}

impl Options {
    /// Installs packages of the local build, for this target or the default one.
    pub(super) fn of(dest: PathBuf, packages: &[&str], target: Option<String>) -> Self {
        let packages = packages.iter().map(|package| (*package).to_owned()).collect();
        Self { dest, packages, target, repo: None }
    }
}

/// Where packages come from.
trait Repository {
    /// The packages for a target: name → version and the names of those that it needs. Several versions of one name may be there.
    fn list(&self) -> Result<Vec<(String, String, Vec<String>)>, CommandError>;
    /// Opens the archive of one.
    fn open(&self, name: &str, version: &str) -> Result<File, CommandError>;
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    match &options.repo {
        Some(repo) => {
            let target = match &options.target {
                Some(target) => Target(target.clone()),
                None => session
                    .project()
                    .map_or_else(|_| session.bundle.default_target.clone(), |p| p.default_target(&session.bundle)),
            };
            let target = session.known(target)?;
            install(&Folder { path: repo.clone(), target }, &session.bundle.packages, options, None)
        }
        None => {
            let workplace = session.workplace()?;
            let target = session.target(&workplace.project, options.target.as_deref())?;
            let demand = workplace.demand(Stamps::Old);
            let mut packages = BTreeMap::new();
            for (name, package) in local_packages(&workplace.plan, &target)? {
                packages.insert(package.name.clone(), (name, package));
            }
            let cache = code_cache::folder(&workplace.store);
            let build = LocalBuild { store: &workplace.store, demand: &demand, packages };
            install(&build, &session.bundle.packages, options, Some(&cache))
        }
    }
}

/// The package nodes of a plan for a target.
pub(super) fn local_packages(
    plan: &crate::build::plan::Plan,
    target: &Target,
) -> Result<Vec<(build_graph::node::NodeName, Package)>, CommandError> {
    let mut packages = Vec::new();
    let mut names: Vec<_> =
        plan.names().filter(|name| name.ends_with("/package") && name.starts_with(target.as_str())).collect();
    names.sort_unstable();
    for name in names {
        let node = plan.node(&name.parse().map_err(|error| CommandError::input(format!("{error}")))?)?;
        if let Op::Package(package) = node.op
            && package.target == *target
        {
            packages.push((node.name, package));
        }
    }
    Ok(packages)
}

fn install(
    repository: &dyn Repository,
    unasked: &Packages,
    options: &Options,
    code_cache: Option<&Path>,
) -> Result<(), CommandError> {
    let wanted = choose(repository, unasked, &options.packages)?;
    let destination = Destination::open(&options.dest)?;
    // There from the first change until all is compiled, so that what was interrupted or failed is done by the next install.
    let unprepared = destination.path().join("packages/.unprepared");
    for (name, version) in &wanted {
        let outcome = destination.install(name, repository.open(name, version)?)?;
        if outcome != Outcome::Present {
            fs::write(&unprepared, "").map_err(BuildError::io("write", &unprepared))?;
        }
        let what = match outcome {
            Outcome::Present => "is there already",
            Outcome::Installed => "installed",
            Outcome::Replaced => "replaced",
        };
        outln!("install: {name} {version} {what}");
    }
    if unprepared.exists() {
        prepare(&destination, code_cache)?;
        fs::remove_file(&unprepared).map_err(BuildError::io("remove", &unprepared))?;
    }
    Ok(())
}

/// The packages to install with their versions: what was asked for, what is always there, and what these need; each after what it needs.
fn choose(
    repository: &dyn Repository,
    unasked: &Packages,
    asked: &[String],
) -> Result<Vec<(String, String)>, CommandError> {
    let available = repository.list()?;
    let default = if asked.is_empty() { &unasked.default[..] } else { &[] };
    let unasked = unasked.always.iter().chain(default).map(|name| (name.clone(), None));
    let mut wanted: Vec<(String, Option<String>)> = unasked.collect();
    for package in asked {
        match package.split_once('=') {
            Some((name, version)) => wanted.push((name.to_owned(), Some(version.to_owned()))),
            None => wanted.push((package.clone(), None)),
        }
    }
    let mut chosen: Vec<(String, String)> = Vec::new();
    while let Some((name, version)) = wanted.pop() {
        if let Some((_, already)) = chosen.iter().find(|(other, _)| *other == name) {
            if version.as_ref().is_some_and(|version| version != already) {
                return Err(CommandError::input(format!("package `{name}` is asked for in two versions")));
            }
            continue;
        }
        let of_name: Vec<_> = available.iter().filter(|(other, ..)| *other == name).collect();
        let found = match &version {
            Some(version) => of_name.iter().find(|(_, other, _)| other == version),
            None => of_name.last(),
        };
        let Some((_, found_version, requires)) = found else {
            let there: Vec<_> = available.iter().map(|(name, version, _)| format!("{name}={version}")).collect();
            let missing = version.map_or_else(|| name.clone(), |version| format!("{name}={version}"));
            return Err(CommandError::input(format!("there is no package `{missing}`"))
                .hint(format!("there are: {}", if there.is_empty() { "none".to_owned() } else { there.join(", ") })));
        };
        wanted.extend(requires.iter().map(|name| (name.clone(), None)));
        chosen.push((name, found_version.clone()));
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

/// Lets the loader compile every program and library that was installed, so that none has to be compiled when it is used. What an install before
/// this one left in the folder `code_cache` is not compiled again. What others put there is left alone.
fn prepare(destination: &Destination, code_cache: Option<&Path>) -> Result<(), CommandError> {
    let loader = destination.path().join("bin/run");
    let mut modules = Vec::new();
    for receipt in destination.receipts()? {
        for (path, entry) in receipt.content.iter() {
            let file = matches!(entry, Entry::File { .. }) && is_module(&destination.path().join(path.as_str()));
            if let Some(guest) = path.as_str().strip_prefix("root/").filter(|_| file) {
                modules.push(format!("/{guest}"));
            }
        }
    }
    // Not more than a command line holds.
    for some in modules.chunks(256) {
        let mut command = Command::new(&loader);
        command.arg("--precompile");
        if let Some(folder) = code_cache {
            command.arg("--code-cache").arg(folder);
        }
        let (kind, failed) = match command.args(some).status() {
            Ok(status) if status.success() => continue,
            // A signal is the machine's: it came from outside, or memory ran out.
            Ok(status) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                (code.map_or(Kind::Environment, Kind::of_exit_code), status.to_string())
            }
            Err(error) => (Kind::Environment, error.to_string()),
        };
        return Err(CommandError::new(
            kind,
            format!("`{}` can't compile what is installed ({failed})", printable_path(&loader)),
        )
        .hint("the packages are installed; programs start slowly until this succeeds: install again"));
    }
    Ok(())
}

/// Whether a file is of the one format that is compiled ahead, WebAssembly's; targets of machine code have none.
fn is_module(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\0asm"
}

struct LocalBuild<'a> {
    store: &'a crate::store::Store,
    demand: &'a Demand<'a>,
    packages: BTreeMap<String, (build_graph::node::NodeName, Package)>,
}

impl Repository for LocalBuild<'_> {
    fn list(&self) -> Result<Vec<(String, String, Vec<String>)>, CommandError> {
        let description =
            |(_, package): &(_, Package)| (package.name.clone(), package.version.clone(), package.requires.clone());
        Ok(self.packages.values().map(description).collect())
    }

    fn open(&self, name: &str, _version: &str) -> Result<File, CommandError> {
        let Some((node, _)) = self.packages.get(name) else {
            return Err(CommandError::input(format!("there is no package `{name}`")));
        };
        let digest = self.demand.obtain(node)?.tree;
        let tree = self.store.tree(digest)?.ok_or_else(|| BuildError::Input(format!("the store has lost `{node}`")))?;
        Ok(open_single(self.store, &tree)?)
    }
}

/// A folder of archives.
struct Folder {
    path: PathBuf,
    target: Target,
}

impl Folder {
    fn archives(&self) -> Result<Vec<(PathBuf, Manifest)>, CommandError> {
        let read = |path: &Path| {
            let path = path.to_path_buf();
            move |source| InstallError::Io { doing: "read", path, source }
        };
        let folder = fs::read_dir(&self.path).map_err(read(&self.path))?;
        let mut archives = Vec::new();
        for file in folder {
            let path = file.map_err(read(&self.path))?.path();
            if !path.to_string_lossy().ends_with(".tar.zst") {
                continue;
            }
            let archive = File::open(&path).map_err(read(&path))?;
            let manifest = package::describe(archive)
                .map_err(|source| InstallError::Package { name: path.to_string_lossy().into_owned(), source })?;
            if manifest.target == self.target {
                archives.push((path, manifest));
            }
        }
        archives.sort_by(|(_, a), (_, b)| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        Ok(archives)
    }
}

impl Repository for Folder {
    fn list(&self) -> Result<Vec<(String, String, Vec<String>)>, CommandError> {
        Ok(self
            .archives()?
            .into_iter()
            .map(|(_, manifest)| (manifest.name, manifest.version, manifest.requires))
            .collect())
    }

    fn open(&self, name: &str, version: &str) -> Result<File, CommandError> {
        let found =
            self.archives()?.into_iter().find(|(_, manifest)| manifest.name == name && manifest.version == version);
        let (path, _) = found.ok_or_else(|| CommandError::input(format!("there is no package `{name}={version}`")))?;
        Ok(File::open(&path).map_err(|source| InstallError::Io { doing: "read", path, source })?)
    }
}
