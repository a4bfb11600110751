//! `pynbox-build install DEST [PACKAGE[=VERSION]…]`, and where packages come from.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use build_graph::dsl::Packages;
use build_graph::node::{NodeName, Op, Package, Target};
use build_graph::untrusted::{printable, printable_path};
use clap::{Args, ValueEnum};

use super::dest::{Change, Changed, ChangedPackage, Keep, settle, verify};
use super::json::JsonOption;
use super::repository::{Named, RepositoryOptions};
use super::requirements::{self, Wheels};
use super::{CommandError, Session};
use crate::build::BuildError;
use crate::build::builder::{Builder, Stamps};
use crate::build::evaluate::open_single;
use crate::build::plan::Plan;
use crate::install::package::Manifest;
use crate::install::version::compare;
use crate::install::{Destination, InstallError, Installed, Outcome, Transaction, prepare};
use crate::repository::archives::{self, Archive, Folder};
use crate::store::{Area, Scratch, Store};
use crate::wheels::PYTHON;

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
    /// Install native code of the packages, too, for `DEST/bin/run --engine native`. That trusts
    /// the compilers that made it (docs/security.md)
    #[arg(long, value_name = "ENGINE")]
    engine: Option<Engine>,
    #[command(flatten)]
    wheels: requirements::Options,
    #[command(flatten)]
    repository: RepositoryOptions,
    /// Install nothing: compare every file of the packages, or of all, with its receipt. Status 1
    /// if one differs
    #[arg(long, conflicts_with_all = ["repo", "target", "keep"])]
    verify: bool,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    json: JsonOption,
}

impl Options {
    /// Installs packages of the local build, for this target or the default one, and this engine.
    pub(super) fn of(dest: PathBuf, packages: &[&str], target: Option<String>, engine: Option<Engine>) -> Self {
        let packages = packages.iter().map(|package| (*package).to_owned()).collect();
        let (keep, json) = (Keep::default(), JsonOption { json: false });
        let wheels = requirements::Options::default();
        let repository = RepositoryOptions::default();
        Self { dest, packages, target, engine, wheels, repository, verify: false, keep, json }
    }
}

/// What programs are to be run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Engine {
    /// Code that the loader compiles when it is installed
    Wasmtime,
    /// Code that was made by a C compiler, where packages have any
    Native,
}

impl Engine {
    /// Its name, for the loader.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Wasmtime => "wasmtime",
            Self::Native => "native",
        }
    }
}

/// What the package with native code of another one is called: that one's name, and this.
const NATIVE: &str = "-native";

/// Where packages come from.
pub(super) trait Repository {
    /// All packages, in all versions.
    fn all(&self) -> Vec<Found>;
    /// The package of this name, of that version or the latest one.
    fn find(&self, name: &str, version: Option<&str>) -> Result<Found, CommandError>;
    /// Brings all of these packages here, before anything is changed. Gives a folder of their
    /// compiled code, if there is one for this machine.
    fn get(&self, _chosen: &[Found]) -> Result<Option<Scratch>, CommandError> {
        Ok(None)
    }
    /// Opens the archive of one.
    fn open(&self, found: &Found) -> Result<File, CommandError>;
    /// The statement about how one was built, if it was brought here with it.
    fn statement(&self, _found: &Found) -> Option<Vec<u8>> {
        None
    }
}

/// A package of a repository.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) version: String,
    /// The names of the packages that it needs.
    pub(super) requires: Vec<String>,
    /// Why its publisher has withdrawn it.
    pub(super) withdrawn: Option<String>,
}

pub(super) fn no_package(
    name: &str,
    version: Option<&str>,
    there: impl Iterator<Item = (String, String)>,
) -> CommandError {
    let there: Vec<_> = there.map(|(name, version)| format!("{name}={}", printable(&version))).collect();
    let missing = version.map_or_else(|| name.to_owned(), |version| format!("{name}={version}"));
    CommandError::input(format!("there is no package `{}`", printable(&missing)))
        .hint(format!("there are: {}", if there.is_empty() { "none".to_owned() } else { there.join(", ") }))
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    if options.verify {
        return verify::run(&options.dest, &options.packages, options.json);
    }
    with_repository(session, options.target.as_deref(), &options.repository, |repository, cache| {
        install(session, repository, options, cache)
    })
}

/// Opens the local build or the repository of the options, and the folder of code that was compiled
/// before.
pub(super) fn with_repository<T>(
    session: &Session,
    target: Option<&str>,
    options: &RepositoryOptions,
    take: impl FnOnce(&dyn Repository, Option<&Path>) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let Some(word) = &options.repo else {
        let workplace = session.workplace()?;
        let target = session.target(&workplace.project, target)?;
        let builder = workplace.builder(Stamps::Old);
        let mut packages = BTreeMap::new();
        for (name, package) in local_packages(&workplace.plan, &target)? {
            packages.insert(package.name.clone(), (name, package));
        }
        let cache = workplace.store.area(Area::Compiled);
        return take(&LocalBuild { store: &workplace.store, builder: &builder, packages }, Some(&cache));
    };
    let target = match (target, session.project_if_any()?) {
        (None, None) => session.bundle.default_target.clone(),
        (None, Some(project)) => project.default_target(&session.bundle),
        (Some(target), _) => Target(target.into()),
    };
    let target = session.known(target)?;
    let named = Named::find(session, word)?;
    if let Some(folder) = options.archives(&named)? {
        return take(&Archives::open(&folder, target)?, None);
    }
    let store = session.store()?;
    let repository = options.open(&named, &store, target)?;
    take(&repository, Some(&store.area(Area::Compiled)))
}

/// Whether what should be a folder is none.
fn is_wrong_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The package nodes of a plan for a target.
pub(super) fn local_packages(plan: &Plan, target: &Target) -> Result<Vec<(NodeName, Package)>, CommandError> {
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

/// The packages of these names, with all that they need and what is always there; without names,
/// those that are built unasked.
pub(super) fn packages_to_give(
    session: &Session,
    plan: &Plan,
    target: &Target,
    names: &[String],
) -> Result<Vec<(NodeName, Package)>, CommandError> {
    let mut all = local_packages(plan, target)?;
    if names.is_empty() {
        let unasked = plan.alias(target.as_str()).unwrap_or_default();
        all.retain(|(node, _)| unasked.contains(node));
        return Ok(all);
    }
    let mut open: Vec<String> = names.iter().chain(&session.bundle.packages.always).cloned().collect();
    let mut chosen: BTreeSet<String> = BTreeSet::new();
    while let Some(name) = open.pop() {
        let Some((_, package)) = all.iter().find(|(_, package)| package.name == name) else {
            let there = all.iter().map(|(_, package)| (package.name.clone(), package.version.clone()));
            return Err(no_package(&name, None, there));
        };
        if chosen.insert(name) {
            open.extend(package.requires.iter().cloned());
        }
    }
    all.retain(|(_, package)| chosen.contains(&package.name));
    Ok(all)
}

fn install(
    session: &Session,
    repository: &dyn Repository,
    options: &Options,
    code_cache: Option<&Path>,
) -> Result<(), CommandError> {
    let installed = Installed::find(&options.dest)?.map(|installed| installed.current.receipts()).transpose()?;
    let held = held(repository, &installed.unwrap_or_default());
    let wanted = choose(repository, &session.bundle.packages, options, &held)?;
    let wheels = Wheels::choose(session, &options.wheels, repository, &wanted, &options.dest)?;
    let code = repository.get(&wanted)?;
    let code_cache = code.as_ref().map(Scratch::path).or(code_cache);
    let destination = Destination::open(&options.dest)?;
    let mut transaction = destination.begin()?;
    let receipts = destination.receipts()?.into_iter();
    let mut before: BTreeMap<_, _> = receipts.map(|receipt| (receipt.name, receipt.version)).collect();
    let mut outcomes = Vec::new();
    for found in wanted {
        let outcome = add(&mut transaction, repository, &found)?;
        outcomes.push((found, outcome));
    }
    let mut asked: Vec<String> = options.packages.iter().map(|package| name_of(package).to_owned()).collect();
    let mut lines: Vec<_> =
        outcomes.iter().map(|(found, outcome)| (found.name.clone(), found.version.clone(), *outcome)).collect();
    if let Some(wheels) = &wheels {
        let added = wheels.add(repository, &outcomes, &destination, &mut transaction, code_cache)?;
        lines.extend(added.into_iter().map(|(package, outcome)| (package.name, package.version, outcome)));
        asked.extend(wheels.roots());
    }
    let files = options.wheels.requirements.iter().map(|file| format!("-r {}", file.display()));
    let by = ["install".to_owned()].into_iter().chain(options.packages.iter().cloned()).chain(files);
    let by = by.collect::<Vec<_>>().join(" ");
    let prepare = |new: &Path| prepare::prepare(new, code_cache, prepare::DEADLINE);
    let number = transaction
        .commit(&by, asked, prepare)
        .map_err(|error| with_hint(error, "nothing was installed; get the packages anew"))?;
    let mut packages = Vec::new();
    for (name, version, outcome) in lines {
        let (what, change) = match outcome {
            Outcome::Present => ("is there already", Change::Present),
            Outcome::Installed => ("installed", Change::Installed),
            Outcome::Replaced => ("replaced", Change::Replaced),
        };
        outln!("install: {name} {} {what}", printable(&version));
        let before = before.remove(&name);
        packages.push(ChangedPackage { name, version, before, change });
    }
    let settled = number.map(|number| settle("install", &destination, number, options.keep)).unwrap_or_default();
    options.json.answer(|| Changed::of(&options.dest, number, packages, settled))
}

/// Adds a package to a transaction, with the statement that came with it.
pub(super) fn add(
    transaction: &mut Transaction<'_>,
    repository: &dyn Repository,
    found: &Found,
) -> Result<Outcome, CommandError> {
    if let Some(reason) = &found.withdrawn {
        let (name, version) = (printable(&found.name), printable(&found.version));
        errln!("warning: {name} {version} is withdrawn: {}", printable(reason));
    }
    let outcome = transaction.add(&found.name, repository.open(found)?)?;
    if let Some(statement) = repository.statement(found) {
        transaction.state(&found.name, statement);
    }
    Ok(outcome)
}

/// The installed packages that stay in their versions although these are withdrawn: there is no
/// later one.
pub(super) fn held(repository: &dyn Repository, installed: &[Manifest]) -> BTreeMap<String, String> {
    let all = repository.all();
    let is_held = |receipt: &&Manifest| {
        let mut versions = all.iter().filter(|found| found.name == receipt.name);
        let is_withdrawn = |found: &Found| found.version == receipt.version && found.withdrawn.is_some();
        let is_later = |found: &Found| found.withdrawn.is_none() && compare(&found.version, &receipt.version).is_gt();
        versions.clone().any(is_withdrawn) && !versions.any(is_later)
    };
    installed.iter().filter(is_held).map(|receipt| (receipt.name.clone(), receipt.version.clone())).collect()
}

/// The package that is meant by `NAME` or `NAME=VERSION`.
pub(super) fn name_of(package: &str) -> &str {
    package.split_once('=').map_or(package, |(name, _)| name)
}

/// An error of an install, with what to do if programs could not be prepared.
pub(super) fn with_hint(error: InstallError, hint: &str) -> CommandError {
    let is_unprepared = matches!(error, InstallError::Unprepared { .. });
    let error = CommandError::from(error);
    if is_unprepared { error.hint(hint) } else { error }
}

/// The packages to install: what was asked for, what is always there, and what these need, by name.
fn choose(
    repository: &dyn Repository,
    unasked: &Packages,
    options: &Options,
    held: &BTreeMap<String, String>,
) -> Result<Vec<Found>, CommandError> {
    let asked = &options.packages;
    let mut wanted: Vec<String> = unasked.always.clone();
    match (asked.is_empty(), options.wheels.requirements.is_empty()) {
        (true, true) => wanted.extend(unasked.default.iter().cloned()),
        (_, false) => wanted.push(PYTHON.to_owned()),
        (false, true) => {}
    }
    let mut versions: BTreeMap<&str, &str> = BTreeMap::new();
    for package in asked {
        let (name, version) = match package.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (package.as_str(), None),
        };
        wanted.push(name.to_owned());
        if let Some(version) = version
            && let Some(other) = versions.insert(name, version)
            && other != version
        {
            return Err(CommandError::input(format!(
                "package `{}` is asked for in two versions, `{}` and `{}`",
                printable(name),
                printable(other),
                printable(version)
            )));
        }
    }
    for (name, version) in held {
        versions.entry(name).or_insert(version);
    }
    if options.engine == Some(Engine::Native) {
        wanted.extend(native(repository, wanted.clone(), &versions)?);
    }
    closure(repository, wanted, &versions)
}

/// The packages with native code of these, and of what they need.
///
/// # Errors
/// If there are none.
fn native(
    repository: &dyn Repository,
    wanted: Vec<String>,
    versions: &BTreeMap<&str, &str>,
) -> Result<Vec<String>, CommandError> {
    let there: BTreeSet<_> = repository.all().into_iter().map(|found| found.name).collect();
    let chosen = closure(repository, wanted, versions)?.into_iter().map(|found| found.name + NATIVE);
    let native: Vec<_> = chosen.filter(|name| there.contains(name)).collect();
    if native.is_empty() {
        let known = there.iter().filter_map(|name| name.strip_suffix(NATIVE)).map(printable);
        let known = known.map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
        let hint = format!(
            "leave `--engine` out; there is native code of: {}",
            if known.is_empty() { "none" } else { &known }
        );
        return Err(CommandError::input("no package that is asked for has native code").hint(hint));
    }
    Ok(native)
}

/// Packages with all that they need, by name.
pub(super) fn closure(
    repository: &dyn Repository,
    mut wanted: Vec<String>,
    versions: &BTreeMap<&str, &str>,
) -> Result<Vec<Found>, CommandError> {
    let mut chosen: BTreeMap<String, Found> = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if let btree_map::Entry::Vacant(place) = chosen.entry(name) {
            let version = versions.get(place.key().as_str()).copied();
            let found = repository.find(place.key(), version)?;
            wanted.extend(found.requires.iter().cloned());
            place.insert(found);
        }
    }
    Ok(chosen.into_values().collect())
}

struct LocalBuild<'a> {
    store: &'a Store,
    builder: &'a Builder<'a>,
    packages: BTreeMap<String, (NodeName, Package)>,
}

impl Repository for LocalBuild<'_> {
    fn all(&self) -> Vec<Found> {
        let found = |package: &Package| Found {
            name: package.name.clone(),
            version: package.version.clone(),
            requires: package.requires.clone(),
            withdrawn: None,
        };
        self.packages.values().map(|(_, package)| found(package)).collect()
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<Found, CommandError> {
        let found = self.packages.get(name).map(|(_, package)| package);
        let found = found.filter(|package| version.is_none_or(|version| package.version == version));
        let all = self.packages.values().map(|(_, package)| (package.name.clone(), package.version.clone()));
        let package = found.ok_or_else(|| no_package(name, version, all))?;
        let Package { name, version, requires, .. } = package.clone();
        Ok(Found { name, version, requires, withdrawn: None })
    }

    fn open(&self, found: &Found) -> Result<File, CommandError> {
        let Some((node, _)) = self.packages.get(&found.name) else {
            return Err(CommandError::input(format!("there is no package `{}`", found.name)));
        };
        let digest = self.builder.obtain(node)?.tree;
        let tree = self.store.tree(digest)?.ok_or_else(|| BuildError::Input(format!("the store has lost `{node}`")))?;
        Ok(open_single(self.store, &tree)?)
    }
}

/// A folder of archives for a target.
struct Archives {
    folder: Folder,
    target: Target,
}

impl Archives {
    /// Reads a folder; names what in it can't be used.
    fn open(repo: &Path, target: Target) -> Result<Self, CommandError> {
        let folder = Folder::read(repo, &target).map_err(|error| match error {
            InstallError::Io { path, source, .. } if path == *repo && is_wrong_folder(&source) => {
                CommandError::input(format!("`{}` is no folder of archives: {source}", printable_path(repo)))
            }
            error => error.into(),
        })?;
        for unusable in &folder.unusable {
            errln!("warning: `{}` is left out: {}", printable_path(&unusable.path), unusable.error);
        }
        if folder.archives.is_empty() && !folder.other_targets.is_empty() {
            let others: Vec<_> =
                folder.other_targets.iter().map(|target| format!("`{}`", printable(target.as_str()))).collect();
            let no_packages = format!("`{}` has no packages for the target `{target}`", printable_path(repo));
            return Err(CommandError::input(no_packages)
                .hint(format!("name a target with `--target`: there are packages for {}", others.join(", "))));
        }
        Ok(Self { folder, target })
    }

    fn archive(&self, name: &str, version: Option<&str>) -> Result<&Archive, CommandError> {
        if let Some(unusable) = self.folder.unusable(name, version, &self.target) {
            return Err(CommandError::input(format!(
                "package `{}` is wanted, and its archive can't be used: {}",
                printable(name),
                unusable.error
            ))
            .hint("get the archive anew, or ask for another version: `NAME=VERSION`"));
        }
        let all = || self.folder.archives.iter().map(|archive| (archive.name.clone(), archive.version.clone()));
        let archive = self.folder.find(name, version).ok_or_else(|| no_package(name, version, all()))?;
        match self.folder.contradicting(archive) {
            None => Ok(archive),
            Some(other) => Err(CommandError::input(format!(
                "`{}` and `{}` both say that they are version {} of package `{}`, and differ",
                printable_path(&archive.path),
                printable_path(&other.path),
                printable(&archive.version),
                printable(name)
            ))
            .hint("remove one of them")),
        }
    }
}

impl Repository for Archives {
    fn all(&self) -> Vec<Found> {
        let found = |archive: &Archive| Found {
            name: archive.name.clone(),
            version: archive.version.clone(),
            requires: archive.requires.clone(),
            withdrawn: None,
        };
        self.folder.archives.iter().map(found).collect()
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<Found, CommandError> {
        let Archive { name, version, requires, .. } = self.archive(name, version)?.clone();
        Ok(Found { name, version, requires, withdrawn: None })
    }

    fn open(&self, found: &Found) -> Result<File, CommandError> {
        Ok(archives::open(&self.archive(&found.name, Some(&found.version))?.path)?)
    }
}
