//! From requirements to wheels: which file fulfils each, where it comes from, and whether
//! everything fits together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;

use build_graph::dsl::package_of_project;
use build_graph::node::{Origin, Source};
use build_graph::untrusted::printable;
use build_graph::{RelPath, Sha256, Tree};
use pep440_rs::Version;

use super::requirements::Asked;
use super::{Place, WheelsError};
use crate::build::blobs::StoreBlobs;
use crate::python::metadata::Metadata;
use crate::python::names::{Offer, ProjectName, WheelName};
use crate::python::wheel::{WheelError, WheelLimits, unpack};
use crate::regular;
use crate::report::Reporter;
use crate::source::{Fetcher, IndexFile, Job, sha256_of};
use crate::store::{Area, Store};

/// What requirements are resolved with.
pub struct Context<'a> {
    /// The Python that they are for.
    pub place: &'a Place,
    /// Projects that packages hold which are installed, or will be, with their versions.
    pub provided: &'a BTreeMap<ProjectName, Version>,
    /// The version of a package that could be installed beside.
    pub packages: &'a dyn Fn(&str) -> Option<String>,
    /// How files are had.
    pub fetcher: &'a Fetcher,
    /// Where they are kept.
    pub store: &'a Store,
    /// Who is told how downloads go.
    pub reporter: &'a dyn Reporter,
}

/// A wheel that is to be installed.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its project.
    pub project: ProjectName,
    /// Its version.
    pub version: Version,
    /// Its file's name.
    pub file: String,
    /// What its bytes are.
    pub sha256: Sha256,
    /// Its files, from the prefix that Python is installed in. Their bytes are in the store.
    pub tree: Tree,
    /// The projects that it needs.
    pub needs: BTreeSet<ProjectName>,
}

/// Chooses, fetches and unpacks the wheels of requirements, by project.
///
/// # Errors
/// [`WheelsError::Unmet`] with all that keeps them from being installed; others if a file can't be
/// had or stored.
pub fn resolve(context: &Context<'_>, asked: &[Asked]) -> Result<Vec<Chosen>, WheelsError> {
    let wanted = wanted(context, asked)?;
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for wanted in wanted.values().filter(|wanted| !context.provided.contains_key(wanted.project())) {
        match context.find(wanted) {
            Ok(file) => found.push((wanted, file)),
            Err(problem) => problems.push(format!("`{}`: {problem}", wanted.asked.place)),
        }
    }
    if !problems.is_empty() {
        return Err(WheelsError::Unmet(problems));
    }
    context.fetch(&found)?;
    let mut unpacked = BTreeMap::new();
    for (wanted, file) in &found {
        match context.unpack(file) {
            Ok(wheel) => drop(unpacked.insert(wanted.project().clone(), wheel)),
            Err(UnpackError::Store(error)) => return Err(error),
            Err(UnpackError::Wheel(error)) => {
                problems.push(format!("`{}`: `{}`: {error}", wanted.asked.place, file.name));
            }
        }
    }
    if !problems.is_empty() {
        return Err(WheelsError::Unmet(problems));
    }
    let needs = context.needs(&wanted, &unpacked)?;
    let chosen = found.into_iter().filter_map(|(wanted, file)| {
        let project = wanted.project().clone();
        let (_, tree) = unpacked.remove(&project)?;
        let needs = needs.get(&project).cloned().unwrap_or_default();
        Some(Chosen { version: wanted.version.clone(), file: file.name, sha256: file.sha256, tree, needs, project })
    });
    Ok(chosen.collect())
}

/// A project that is wanted in one version.
struct Wanted<'a> {
    asked: &'a Asked,
    version: Version,
    extras: BTreeSet<ProjectName>,
}

impl Wanted<'_> {
    fn project(&self) -> &ProjectName {
        &self.asked.pinned.requirement.project
    }
}

/// The requirements whose markers hold, by project.
fn wanted<'a>(context: &Context<'_>, asked: &'a [Asked]) -> Result<BTreeMap<&'a ProjectName, Wanted<'a>>, WheelsError> {
    let mut all: BTreeMap<&ProjectName, Wanted<'a>> = BTreeMap::new();
    let mut problems = Vec::new();
    for asked in asked {
        let requirement = &asked.pinned.requirement;
        if requirement.marker.as_ref().is_some_and(|marker| !marker.holds(&context.place.environment, &[])) {
            continue;
        }
        let version = match asked.pinned.version() {
            Ok(version) => version.clone(),
            Err(problem) => {
                problems.push(format!("`{}`: {problem}", asked.place));
                continue;
            }
        };
        let project = &requirement.project;
        if let Some(provided) = context.provided.get(project).filter(|provided| **provided != version) {
            problems.push(format!(
                "`{}`: `{project}` is pinned as {version}, and the package `{}` holds {provided}: pin that version",
                asked.place,
                package_of_project(project.as_str())
            ));
            continue;
        }
        match all.get_mut(project) {
            None => drop(all.insert(project, Wanted { asked, version, extras: requirement.extras.clone() })),
            Some(other) if other.version == version && other.asked.pinned.hashes == asked.pinned.hashes => {
                other.extras.extend(requirement.extras.iter().cloned());
            }
            Some(other) => problems.push(format!(
                "`{}`: `{project}` is pinned at `{}`, too, with another version or other hashes: leave one of both",
                asked.place, other.asked.place
            )),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(WheelsError::Unmet(problems)) }
}

/// The file of a wheel.
struct WheelFile {
    name: String,
    sha256: Sha256,
    /// Where it is kept.
    path: PathBuf,
    /// Where it can be had; `None` if it is kept already.
    origin: Option<Origin>,
}

impl Context<'_> {
    fn kept_at(&self, sha256: &Sha256) -> PathBuf {
        self.store.area(Area::Wheels).join(sha256.to_string())
    }

    /// The wheel that fulfils a requirement, or why there is none.
    fn find(&self, wanted: &Wanted<'_>) -> Result<WheelFile, String> {
        let hashes = &wanted.asked.pinned.hashes;
        if let Some(kept) = hashes.iter().find_map(|sha256| self.kept(sha256, wanted)) {
            return Ok(kept);
        }
        let project = wanted.project();
        if self.fetcher.is_offline() {
            return Err(format!(
                "no wheel of `{project} {}` is kept in the store, and `--offline` forbids asking the index",
                wanted.version
            ));
        }
        let files = self
            .fetcher
            .pypi_files(project.as_str())
            .map_err(|tried| format!("the index does not answer for `{project}`:{tried}"))?;
        let minor = self.place.environment.minor();
        let names = files.iter().map(|found| found.file.as_str());
        let offer = Offer::of(names, project, &wanted.version, Some(minor));
        let usable = |name: &String| {
            let found = files.iter().find(|found| found.file == *name)?;
            found.sha256.filter(|sha256| hashes.contains(sha256)).map(|sha256| (found, sha256))
        };
        match offer.pure.iter().find_map(usable) {
            Some((IndexFile { file, origin, .. }, sha256)) => Ok(WheelFile {
                path: self.kept_at(&sha256).join(file),
                name: file.clone(),
                sha256,
                origin: Some(origin.clone()),
            }),
            None => Err(self.missing(wanted, &offer)),
        }
    }

    /// A wheel that is kept since an earlier install.
    fn kept(&self, sha256: &Sha256, wanted: &Wanted<'_>) -> Option<WheelFile> {
        let folder = fs::read_dir(self.kept_at(sha256)).ok()?;
        for file in folder.filter_map(Result::ok) {
            let name = file.file_name().into_string().ok()?;
            let Ok(parsed) = name.parse::<WheelName>() else { continue };
            let fits = parsed.fits(self.place.environment.minor());
            let is_it = (&parsed.project, &parsed.version) == (wanted.project(), &wanted.version);
            if fits && is_it && sha256_of(&file.path()).is_ok_and(|(found, _)| found == *sha256) {
                return Some(WheelFile { name, sha256: *sha256, path: file.path(), origin: None });
            }
        }
        None
    }

    /// Why no wheel fulfils a requirement, and what to do.
    fn missing(&self, wanted: &Wanted<'_>, offer: &Offer) -> String {
        let (project, version) = (wanted.project(), &wanted.version);
        if let Some(file) = offer.pure.first() {
            return format!(
                "the index has `{}`, whose hash is none of those of the line: have the file of requirements written anew",
                printable(file)
            );
        }
        if let Some(file) = offer.other_pure.first() {
            return format!("`{}` is not for Python 3.{}", printable(file), self.place.environment.minor());
        }
        if offer.native.is_empty() && !offer.source {
            return format!("the index has no file of `{project} {version}`");
        }
        let why = match offer.native.is_empty() {
            true => format!("`{project} {version}` has no wheel, only a source distribution"),
            false => format!("`{project} {version}` has native code, and no wheel without it"),
        };
        let package = package_of_project(project.as_str());
        match (self.packages)(&package) {
            Some(there) if there == version.to_string() => {
                format!("{why}; the package `{package}` has it: name it beside, as `install DEST {package} -r FILE`")
            }
            Some(there) => {
                format!(
                    "{why}; the package `{package}` has it in version {}: pin that, and name the package beside",
                    printable(&there)
                )
            }
            None => format!(
                "{why}, and there is no package `{package}`: write a recipe for it, as the book has it under “A native module”"
            ),
        }
    }

    /// Brings all files to where they are kept.
    fn fetch(&self, found: &[(&Wanted<'_>, WheelFile)]) -> Result<(), WheelsError> {
        let mut sources = Vec::new();
        for (wanted, file) in found {
            let Some(origin) = &file.origin else { continue };
            let folder = self.kept_at(&file.sha256);
            fs::create_dir_all(&folder).map_err(|error| WheelsError::File { path: folder, error })?;
            let name = RelPath::new(file.name.as_str())
                .map_err(|error| WheelsError::Unmet(vec![format!("`{}`: {error}", wanted.asked.place)]))?;
            sources.push((
                wanted.project().to_string(),
                Source { file: name, sha256: file.sha256, size: None, origins: vec![origin.clone()] },
                file.path.clone(),
            ));
        }
        let jobs: Vec<_> =
            sources.iter().map(|(name, source, dest)| Job { name: name.clone(), source, dest: dest.clone() }).collect();
        let results = self.fetcher.fetch_all(&jobs, self.reporter, |_, result| result);
        results.into_iter().try_for_each(|result| Ok(result.map(|_| ())?))
    }

    fn unpack(&self, file: &WheelFile) -> Result<(Metadata, Tree), UnpackError> {
        let failed = |error| UnpackError::Store(WheelsError::File { path: file.path.clone(), error });
        let archive: File = regular::open(&file.path).map_err(failed)?;
        let sink = StoreBlobs(self.store);
        let wheel = unpack(&file.name, archive, &self.place.layout, &WheelLimits::default(), &sink);
        match wheel {
            Ok(wheel) => Ok((wheel.metadata, wheel.tree)),
            Err(WheelError::Store(error)) => Err(failed(error)),
            Err(error) => Err(UnpackError::Wheel(error)),
        }
    }

    /// What each wheel needs of the others and of packages, which all has to be there.
    fn needs(
        &self,
        wanted: &BTreeMap<&ProjectName, Wanted<'_>>,
        unpacked: &BTreeMap<ProjectName, (Metadata, Tree)>,
    ) -> Result<BTreeMap<ProjectName, BTreeSet<ProjectName>>, WheelsError> {
        let environment = &self.place.environment;
        let mut extras: BTreeMap<&ProjectName, BTreeSet<ProjectName>> =
            wanted.values().map(|wanted| (wanted.project(), wanted.extras.clone())).collect();
        let mut needs: BTreeMap<ProjectName, BTreeSet<ProjectName>> = BTreeMap::new();
        let mut problems = BTreeSet::new();
        // An extra that one wants of another may need more.
        let mut open: Vec<&ProjectName> = unpacked.keys().collect();
        while let Some(project) = open.pop() {
            let Some((metadata, _)) = unpacked.get(project) else { continue };
            let place = &wanted[project].asked.place;
            if !metadata.is_for(environment) {
                problems.insert(format!("`{place}`: `{project}` is not for Python {}", environment.version));
            }
            let of_it: Vec<_> = extras.get(project).into_iter().flatten().cloned().collect();
            for need in metadata.needs(environment, &of_it).filter(|need| need.project != *project) {
                let version = match (wanted.get(&need.project), self.provided.get(&need.project)) {
                    (Some(wanted), _) => &wanted.version,
                    (None, Some(provided)) => provided,
                    (None, None) => {
                        problems.insert(format!(
                            "`{place}`: `{project}` needs `{need}`, and no line has it: have the whole closure pinned, as \
                             `uv pip compile --generate-hashes` does"
                        ));
                        continue;
                    }
                };
                if !need.takes(version) {
                    problems.insert(format!(
                        "`{place}`: `{project}` needs `{need}`, and {version} is pinned: have the file written anew"
                    ));
                }
                needs.entry(project.clone()).or_default().insert(need.project.clone());
                if let Some((there, _)) = unpacked.get_key_value(&need.project) {
                    let before = extras.entry(there).or_default();
                    let count = before.len();
                    before.extend(need.extras.iter().cloned());
                    if before.len() > count {
                        open.push(there);
                    }
                }
            }
        }
        if problems.is_empty() { Ok(needs) } else { Err(WheelsError::Unmet(problems.into_iter().collect())) }
    }
}

enum UnpackError {
    Store(WheelsError),
    Wheel(WheelError),
}
