//! `install DEST -r requirements.txt`: packages of wheels, beside those of a repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use build_graph::TreeDigest;
use build_graph::dsl::package_of_project;
use build_graph::node::Target;
use clap::Args;

use super::console::with_transfers;
use super::install::{Found, Repository};
use super::{CommandError, Session};
use crate::install::package::{self, Manifest};
use crate::install::{Destination, InstallError, Installed, Outcome, Transaction, prepare};
use crate::python::names::{ProjectName, version_of};
use crate::store::{Scratch, Store};
use crate::wheels::archive::{Compiler, WheelPackage, is_kept, make};
use crate::wheels::resolve::{Chosen, Context, resolve};
use crate::wheels::{PYTHON, Place, requirements};

/// Which requirements are installed, and how.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Options {
    /// Also install the wheels that this file pins by version and hash, for Python 3; repeatable
    #[arg(short = 'r', long = "requirement", value_name = "FILE", conflicts_with = "verify")]
    pub(super) requirements: Vec<PathBuf>,
    /// Install wheels without bytecode: their modules are compiled at every start
    #[arg(long, requires = "requirements")]
    no_bytecode: bool,
}

/// Wheels that were chosen and unpacked. Nothing is installed yet.
pub(super) struct Wheels {
    store: Store,
    place: Place,
    chosen: Vec<Chosen>,
    target: Target,
    /// What the package of Python holds; `None` if no bytecode is wanted.
    python: Option<TreeDigest>,
}

impl Wheels {
    /// Chooses the wheels of all requirements; `None` if there are none. `wanted` are the packages
    /// that are installed in the same go, Python among them.
    pub(super) fn choose(
        session: &Session,
        options: &Options,
        repository: &dyn Repository,
        wanted: &[Found],
        dest: &Path,
    ) -> Result<Option<Self>, CommandError> {
        if options.requirements.is_empty() {
            return Ok(None);
        }
        let store = session.store()?;
        let python = describe(repository, wanted, PYTHON)?;
        let place = Place::of(&python.version)?;
        let asked = requirements::read(&options.requirements, &super::console::Console)?;
        let provided = provided(wanted, dest)?;
        let project = session.project_if_any()?;
        let fetcher = session.fetcher_by(&project.map(|project| project.settings.source).unwrap_or_default(), &store);
        let all = repository.all();
        let packages = |name: &str| all.iter().find(|found| found.name == name).map(|found| found.version.clone());
        let reporter = with_transfers(asked.len());
        let context = Context {
            place: &place,
            provided: &provided,
            packages: &packages,
            fetcher: &fetcher,
            store: &store,
            reporter: &*reporter,
        };
        let chosen = resolve(&context, &asked)?;
        let content = (!options.no_bytecode).then(|| python.content.digest());
        Ok(Some(Self { place, chosen, target: python.target, python: content, store }))
    }

    /// The packages that none of the others needs: those that are meant by who asks.
    pub(super) fn roots(&self) -> Vec<String> {
        let needed: BTreeSet<_> = self.chosen.iter().flat_map(|chosen| &chosen.needs).collect();
        let roots = self.chosen.iter().filter(|chosen| !needed.contains(&chosen.project));
        roots.map(|chosen| package_of_project(chosen.project.as_str())).collect()
    }

    /// Makes the packages and adds them to the transaction, which has those of the repository
    /// already, with these outcomes.
    pub(super) fn add(
        &self,
        repository: &dyn Repository,
        wanted: &[(Found, Outcome)],
        destination: &Destination,
        transaction: &mut Transaction<'_>,
        code_cache: Option<&Path>,
    ) -> Result<Vec<(WheelPackage, Outcome)>, CommandError> {
        let is_missing = |chosen: &Chosen| !is_kept(&self.store, chosen, &self.target, self.python);
        let interpreter = match self.python.filter(|_| self.chosen.iter().any(is_missing)) {
            Some(_) => Some(self.interpreter(repository, wanted, destination, code_cache)?),
            None => None,
        };
        let compiler = interpreter.as_ref().map(|interpreter| Compiler { installation: interpreter.path() });
        let mut added = Vec::new();
        for chosen in &self.chosen {
            let package = make(&self.store, &self.place, chosen, &self.target, self.python, compiler.as_ref())?;
            let file = File::open(&package.path).map_err(InstallError::io("open", &package.path))?;
            let outcome = transaction.add(&package.name, file)?;
            added.push((package, outcome));
        }
        Ok(added)
    }

    /// An installation that has this Python: the one that is changed, if it has it already, or one
    /// that is made for the moment.
    fn interpreter(
        &self,
        repository: &dyn Repository,
        wanted: &[(Found, Outcome)],
        destination: &Destination,
        code_cache: Option<&Path>,
    ) -> Result<Interpreter, CommandError> {
        let needed = needed_by_python(wanted);
        if needed.iter().all(|(_, outcome)| *outcome == Outcome::Present)
            && let Some(current) = destination.current()?
        {
            return Ok(Interpreter::Installed(current.path));
        }
        let scratch = self.store.scratch()?;
        let dest = scratch.path().join("dest");
        let installation = Destination::open(&dest)?;
        let mut transaction = installation.begin()?;
        for (found, _) in needed {
            transaction.add(&found.name, repository.open(found)?)?;
        }
        transaction.commit("bytecode", [], |new| prepare::prepare(new, code_cache, prepare::DEADLINE))?;
        Ok(Interpreter::Scratch(dest, scratch))
    }
}

/// Where a Python is that makes bytecode.
enum Interpreter {
    Installed(PathBuf),
    Scratch(PathBuf, #[expect(dead_code, reason = "it is removed with this")] Scratch),
}

impl Interpreter {
    fn path(&self) -> &Path {
        match self {
            Self::Installed(path) | Self::Scratch(path, _) => path,
        }
    }
}

/// The packages without which Python does not run: what it needs, and what is always there, which
/// needs nothing of the others.
fn needed_by_python(wanted: &[(Found, Outcome)]) -> Vec<&(Found, Outcome)> {
    let mut open = vec![PYTHON];
    let mut names = BTreeSet::new();
    while let Some(name) = open.pop() {
        if names.insert(name) {
            let found = wanted.iter().find(|(found, _)| found.name == name);
            open.extend(found.iter().flat_map(|(found, _)| found.requires.iter().map(String::as_str)));
        }
    }
    wanted.iter().filter(|(found, _)| names.contains(found.name.as_str())).collect()
}

/// What a package says of itself.
fn describe(repository: &dyn Repository, wanted: &[Found], name: &str) -> Result<Manifest, CommandError> {
    let found = wanted.iter().find(|found| found.name == name);
    let found =
        found.ok_or_else(|| CommandError::input(format!("there is no package `{name}`, which wheels are for")))?;
    package::describe(repository.open(found)?)
        .map_err(|source| InstallError::Package { name: name.to_owned(), source }.into())
}

/// The projects of Python that packages hold which are or will be installed; those of earlier files
/// of requirements count no more.
fn provided(wanted: &[Found], dest: &Path) -> Result<BTreeMap<ProjectName, pep440_rs::Version>, CommandError> {
    let mut versions = BTreeMap::new();
    if let Some(installed) = Installed::find(dest)? {
        let receipts = installed.current.receipts()?.into_iter().filter(|receipt| receipt.wheel.is_none());
        versions.extend(receipts.map(|receipt| (receipt.name, receipt.version)));
    }
    versions.extend(wanted.iter().map(|found| (found.name.clone(), found.version.clone())));
    let prefix = package_of_project("");
    let project = |(name, version): (String, String)| {
        Some((ProjectName::new(name.strip_prefix(&prefix)?).ok()?, version_of(&version).ok()?))
    };
    Ok(versions.into_iter().filter_map(project).collect())
}
