//! `pynbox-build install DEST [PACKAGE[=VERSION]…]`, and where packages come from.

use std::collections::{BTreeMap, btree_map};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use build_graph::dsl::Packages;
use build_graph::node::{Op, Package, Target};
use build_graph::untrusted::{printable, printable_path};
use clap::Args;

use super::dest::{Keep, settle, verify};
use super::json::JsonOption;
use super::repository::{Named, RepositoryOptions};
use super::{CommandError, Session};
use crate::build::BuildError;
use crate::build::builder::{Builder, Stamps};
use crate::build::evaluate::open_single;
use crate::install::{Destination, InstallError, Outcome, prepare};
use crate::repository::archives::{self, Archive, Folder};
use crate::store::{Area, Scratch, Store};

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
    /// Installs packages of the local build, for this target or the default one.
    pub(super) fn of(dest: PathBuf, packages: &[&str], target: Option<String>) -> Self {
        let packages = packages.iter().map(|package| (*package).to_owned()).collect();
        let (keep, json) = (Keep::default(), JsonOption { json: false });
        Self { dest, packages, target, repository: RepositoryOptions::default(), verify: false, keep, json }
    }
}

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
}

/// A package of a repository.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) version: String,
    /// The names of the packages that it needs.
    pub(super) requires: Vec<String>,
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
    if options.json.json {
        return Err(CommandError::input("an install answers nothing as JSON").hint("`--json` goes with `--verify`"));
    }
    with_repository(session, options.target.as_deref(), &options.repository, |repository, cache| {
        install(repository, &session.bundle.packages, options, cache)
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
        (Some(target), _) => Target(target.to_owned()),
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
    let code = repository.get(&wanted)?;
    let code_cache = code.as_ref().map(Scratch::path).or(code_cache);
    let destination = Destination::open(&options.dest)?;
    let mut transaction = destination.begin()?;
    let mut outcomes = Vec::new();
    for found in &wanted {
        outcomes.push(transaction.add(&found.name, repository.open(found)?)?);
    }
    let asked = options.packages.iter().map(|package| name_of(package).to_owned());
    let by = ["install"].into_iter().chain(options.packages.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let prepare = |new: &Path| prepare::prepare(new, code_cache, prepare::DEADLINE);
    let number = transaction
        .commit(&by, asked, prepare)
        .map_err(|error| with_hint(error, "nothing was installed; get the packages anew"))?;
    for (Found { name, version, .. }, outcome) in wanted.iter().zip(outcomes) {
        let what = match outcome {
            Outcome::Present => "is there already",
            Outcome::Installed => "installed",
            Outcome::Replaced => "replaced",
        };
        outln!("install: {name} {} {what}", printable(version));
    }
    if let Some(number) = number {
        settle("install", &destination, number, options.keep);
    }
    Ok(())
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
fn choose(repository: &dyn Repository, unasked: &Packages, asked: &[String]) -> Result<Vec<Found>, CommandError> {
    let default = if asked.is_empty() { &unasked.default[..] } else { &[] };
    let mut wanted: Vec<String> = unasked.always.iter().chain(default).cloned().collect();
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
    closure(repository, wanted, &versions)
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
    packages: BTreeMap<String, (build_graph::node::NodeName, Package)>,
}

impl Repository for LocalBuild<'_> {
    fn all(&self) -> Vec<Found> {
        let found = |package: &Package| Found {
            name: package.name.clone(),
            version: package.version.clone(),
            requires: package.requires.clone(),
        };
        self.packages.values().map(|(_, package)| found(package)).collect()
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<Found, CommandError> {
        let found = self.packages.get(name).map(|(_, package)| package);
        let found = found.filter(|package| version.is_none_or(|version| package.version == version));
        let all = self.packages.values().map(|(_, package)| (package.name.clone(), package.version.clone()));
        let package = found.ok_or_else(|| no_package(name, version, all))?;
        let Package { name, version, requires, .. } = package.clone();
        Ok(Found { name, version, requires })
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
        };
        self.folder.archives.iter().map(found).collect()
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<Found, CommandError> {
        let Archive { name, version, requires, .. } = self.archive(name, version)?.clone();
        Ok(Found { name, version, requires })
    }

    fn open(&self, found: &Found) -> Result<File, CommandError> {
        Ok(archives::open(&self.archive(&found.name, Some(&found.version))?.path)?)
    }
}
