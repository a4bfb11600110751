//! Writing the lock files: from what is wanted to what exactly is used.
//!
//! `recipes/locks/wanted.toml` is written by hand and says which Debian release everything comes
//! from and which of its packages an image starts from; recipes say which sources they build
//! ([`WantedSource`]). From both, [`lock`] writes `images.toml` ([`ImagesLock`]) and `sources.toml`
//! ([`SourcesLock`]) beside it, with the SHA-256 of every file. Builds read only those two; so a
//! build never depends on what a mirror offers on that day.
//!
//! The trust runs from Debian's signing keys (if this machine has `gpgv` and the
//! `debian-archive-keyring`) over the release file to the indices, and from them to every package
//! and source.

mod current;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod index;
mod relation;
mod resolve;
pub(crate) mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use build_graph::dsl::PinFrom;
pub use build_graph::dsl::{
    ImagesLock, LockedImage, LockedPackage, LockedRelease, LockedSource, LockedSuite, SourcesLock, WantedSource,
};
use build_graph::node::{Origin, Source};
use build_graph::untrusted::printable;
use build_graph::untrusted::printable_path;
use build_graph::{DigestParseError, PathError, RelPath};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use current::{differs, outdated};

use crate::python::Unreadable;
use crate::python::names::{Offer, ProjectName, source_distribution, version_of};
use crate::regular;
use crate::report::Reporter;
use crate::source::{Attempts, FetchError, Fetcher, IndexFile, Job, sha256_of};
pub use index::Signature;

/// What is wanted, as written by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The Debian release that everything comes from.
    pub debian: DebianRelease,
    /// Images by name.
    #[serde(default)]
    pub images: BTreeMap<String, WantedImage>,
}

impl Wanted {
    /// Nothing, of the release that another lock file is of.
    fn of(release: &LockedRelease) -> Self {
        let LockedRelease { suite, component, architecture, foreign, .. } = release.clone();
        let packages_from = BTreeMap::new();
        let debian = DebianRelease { suite, component, architecture, foreign, packages_from };
        Self { debian, images: BTreeMap::new() }
    }
}

/// A Debian release.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianRelease {
    /// Its code name, such as `bookworm`: no security or update suite, whose packages leave the
    /// mirrors when newer ones come.
    pub suite: String,
    /// The component, such as `main`.
    pub component: String,
    /// The architecture, as Debian calls it.
    pub architecture: String,
    /// Further architectures, whose packages an image may list as `NAME:ARCHITECTURE`: for programs
    /// of another word length.
    #[serde(default)]
    pub foreign: Vec<String>,
    /// Packages that come from other releases, by code name: they stand in place of those of the
    /// same names, whatever their versions; what they need comes from this release.
    #[serde(default, rename = "packages-from")]
    pub packages_from: BTreeMap<String, Vec<String>>,
}

/// An image that is wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedImage {
    /// The packages that it is for. What they depend on comes with them; what they recommend does
    /// not.
    pub seeds: Vec<String>,
    /// Packages that are not followed as dependencies: what only maintainer scripts or unused
    /// programs need.
    #[serde(default)]
    pub without: Vec<String>,
}

/// The lock files were not written.
#[derive(Debug, Error)]
pub enum LockError {
    /// A file of the project can't be read or written.
    #[error("`{}`: {error}", printable_path(&path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// `wanted.toml` makes no sense.
    #[error("`{}`: {error}", printable_path(&path))]
    Wanted {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// A file of the release was not found on any mirror.
    #[error(
        "`{what}` can't be had:{tried}\ncheck apt's mirrors (`apt-get indextargets`) or pip's index, or set `debian-mirror` or \
         `pypi-index` in the section [source] of pynbox.toml"
    )]
    Unavailable {
        /// The file or project.
        what: String,
        /// What was tried.
        tried: Attempts,
    },
    /// A source or an index can't be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The release file is not signed by Debian.
    #[error(
        "the release file of `{suite}` has no good signature: {reason}; use another mirror, or update debian-archive-keyring"
    )]
    Signature {
        /// The release.
        suite: String,
        /// What gpgv says.
        reason: String,
    },
    /// An index is not what it should be.
    #[error(
        "`{}` of the Debian mirror: {}; try again later, or use another mirror",
        printable(file),
        printable(reason)
    )]
    Index {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A package that is needed is not in the release.
    #[error(
        "image `{image}`: `{}` needs `{}`, which the release does not have; name another, or list it in `without`",
        printable(needed_by),
        printable(relation)
    )]
    Unsatisfiable {
        /// The image.
        image: String,
        /// The package that needs it, or `seeds`.
        needed_by: String,
        /// What it needs.
        relation: String,
    },
    /// A source is not offered in the version that is wanted.
    #[error("source `{name}`: {}; correct its recipe", printable(reason))]
    Source {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A path of an index is none.
    #[error("a path of the Debian index is refused: {0}")]
    Path(#[from] PathError),
}

/// What locking did.
#[derive(Debug, Clone)]
pub struct LockReport {
    /// Whether Debian's signature was checked.
    pub signature: Signature,
    /// Each image's name, number of packages and their size in bytes, compressed.
    pub images: Vec<(String, usize, u64)>,
    /// The names of the sources.
    pub sources: Vec<String>,
    /// The files that changed.
    pub changed: Vec<PathBuf>,
}

/// Reads `wanted.toml` of a directory and writes `images.toml` and `sources.toml` beside it.
/// Without that file no image is wanted, and the release is the one that `compiled_in` is of. Every
/// source is fetched to `scratch` once, so that a lock file never names what can't be had (but for
/// sources that are pinned `unseen`); packages are taken from the index as they are.
///
/// # Errors
/// [`LockError`]; the files are then as they were.
pub fn lock(
    directory: &Path,
    wanted_sources: &BTreeMap<&str, WantedSource>,
    compiled_in: Option<&LockedRelease>,
    scratch: &Path,
    fetcher: &Fetcher,
    reporter: &dyn Reporter,
) -> Result<LockReport, LockError> {
    let path = directory.join("wanted.toml");
    let wanted = match (regular::read_to_string(&path), compiled_in) {
        (Ok(text), _) => {
            toml::from_str(&text).map_err(|error| LockError::Wanted { path: path.clone(), error: Box::new(error) })?
        }
        (Err(error), Some(release)) if error.kind() == std::io::ErrorKind::NotFound => Wanted::of(release),
        (Err(error), _) => return Err(LockError::File { path, error }),
    };
    fs::create_dir_all(directory).map_err(|error| LockError::File { path: directory.to_owned(), error })?;
    fs::create_dir_all(scratch).map_err(|error| LockError::File { path: scratch.to_owned(), error })?;
    let release = index::Release::fetch(&wanted.debian, scratch, fetcher, reporter)?;

    let images = lock_images(&wanted, &release)?;
    let mut sources = SourcesLock::default();
    for (name, source) in wanted_sources {
        let locked = lock_source(name, source, &release, scratch, fetcher, reporter)?;
        sources.sources.insert((*name).to_owned(), locked);
    }

    let size = |image: &LockedImage| {
        let packages = images.package.iter().filter(|package| image.packages.contains(&package.name));
        packages.map(|package| package.size).sum()
    };
    let mut changed = Vec::new();
    if !images.images.is_empty() || directory.join("images.toml").exists() {
        changed.extend(write(&directory.join("images.toml"), &images)?);
    }
    changed.extend(write(&directory.join("sources.toml"), &sources)?);
    Ok(LockReport {
        signature: release.signature.clone(),
        images: images.images.iter().map(|(name, image)| (name.clone(), image.packages.len(), size(image))).collect(),
        sources: sources.sources.into_keys().collect(),
        changed,
    })
}

fn lock_images(wanted: &Wanted, release: &index::Release) -> Result<ImagesLock, LockError> {
    let mut images = BTreeMap::new();
    let mut used = BTreeSet::new();
    for (name, image) in &wanted.images {
        let without = image.without.iter().map(String::as_str).collect();
        let packages = resolve::closure(&release.packages, &image.seeds, &without).map_err(|missing| {
            let resolve::Missing { needed_by, relation } = missing;
            LockError::Unsatisfiable { image: name.clone(), needed_by, relation }
        })?;
        used.extend(packages.iter().cloned());
        let locked = LockedImage {
            seeds: sorted(&image.seeds),
            without: sorted(&image.without),
            packages: packages.into_iter().collect(),
        };
        images.insert(name.clone(), locked);
    }
    let mut package = Vec::new();
    for name in used {
        if let Some(found) = release.packages.get(&name) {
            package.push(LockedPackage {
                name,
                version: found.version.clone(),
                path: RelPath::new(found.path.as_str())?,
                sha256: found.sha256,
                size: found.size,
            });
        }
    }
    let packages_from = wanted.debian.packages_from.iter().map(|(suite, packages)| {
        let version = release.other_versions.get(suite).cloned().unwrap_or_default();
        (suite.clone(), LockedSuite { version, packages: sorted(packages) })
    });
    let release = LockedRelease {
        suite: release.suite.clone(),
        version: release.version.clone(),
        component: wanted.debian.component.clone(),
        architecture: wanted.debian.architecture.clone(),
        foreign: sorted(&wanted.debian.foreign),
        packages_from: packages_from.collect(),
    };
    Ok(ImagesLock { release, images, package })
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names
}

fn lock_source(
    name: &str,
    wanted: &WantedSource,
    release: &index::Release,
    scratch: &Path,
    fetcher: &Fetcher,
    reporter: &dyn Reporter,
) -> Result<LockedSource, LockError> {
    let wrong = |reason| LockError::Source { name: name.to_owned(), reason };
    let version = wanted.pin.package_version.unwrap_or(wanted.version);
    let mut source = match wanted.pin.from {
        PinFrom::Fixed { file, sha256, debian, .. } => {
            let origins = debian.map(|path| Ok(Origin::Debian { path: RelPath::new(path)? }));
            let origins = origins.into_iter().collect::<Result<_, PathError>>()?;
            let sha256 = sha256.parse().map_err(|error: DigestParseError| wrong(error.to_string()))?;
            Source { file: RelPath::new(file)?, sha256, size: None, origins }
        }
        PinFrom::Debian(package) => {
            let original = release.original(package, version).map_err(wrong)?;
            Source {
                file: RelPath::new(original.file.as_str())?,
                sha256: original.sha256,
                size: Some(original.size),
                origins: vec![Origin::Debian { path: RelPath::new(original.path.as_str())? }],
            }
        }
        PinFrom::Pypi(project) => {
            let files = files_of(project, fetcher)?;
            let of = |found: &&IndexFile| is_source_of(&found.file, project, version);
            let found = files.iter().find(of).ok_or_else(|| {
                wrong(format!("the package index has no source distribution `{project}-{version}.tar.gz`"))
            })?;
            from_index(project, found).map_err(wrong)?
        }
        PinFrom::Wheel(project) => wheel(name, project, version, fetcher)?,
    };
    source.origins.extend(wanted.pin.urls.iter().map(|url| Origin::Url { url: (*url).to_owned() }));
    if matches!(wanted.pin.from, PinFrom::Fixed { unseen: true, .. }) {
        return Ok(LockedSource { version: wanted.version.to_owned(), source });
    }
    let dest = scratch.join(source.sha256.to_string());
    let there = sha256_of(&dest).is_ok_and(|(sha256, _)| sha256 == source.sha256);
    if !there {
        fetcher.fetch(&Job { name: name.to_owned(), source: &source, dest: dest.clone() }, reporter)?;
    }
    let metadata = fs::metadata(&dest).map_err(|error| LockError::File { path: dest, error })?;
    source.size = Some(metadata.len());
    Ok(LockedSource { version: wanted.version.to_owned(), source })
}

/// The wheel of a project that has no native code.
fn wheel(name: &str, project: &str, version: &str, fetcher: &Fetcher) -> Result<Source, LockError> {
    let wrong = |reason: String| LockError::Source { name: name.to_owned(), reason };
    let files = files_of(project, fetcher)?;
    let unreadable = |error: Unreadable| wrong(error.to_string());
    let (normal, version) = (ProjectName::new(project).map_err(unreadable)?, version_of(version).map_err(unreadable)?);
    let offer = Offer::of(files.iter().map(|found| found.file.as_str()), &normal, &version, None);
    let Some(found) = offer.pure.first().and_then(|file| files.iter().find(|found| found.file == *file)) else {
        return Err(wrong(format!(
            "the package index has no wheel of `{project} {version}` without native code: build it from its source \
             distribution, with `pypi(\"{project}\")`"
        )));
    };
    from_index(project, found).map_err(wrong)
}

/// All files that the package index has of a project.
fn files_of(project: &str, fetcher: &Fetcher) -> Result<Vec<IndexFile>, LockError> {
    let unavailable = |tried| LockError::Unavailable { what: format!("project `{project}`"), tried };
    fetcher.pypi_files(project).map_err(unavailable)
}

/// Whether a file of the package index is the source distribution of this version of a project.
fn is_source_of(file: &str, project: &str, version: &str) -> bool {
    let own = ProjectName::new(project).ok().zip(version_of(version).ok());
    file.ends_with(".tar.gz") && own.is_some() && source_distribution(file) == own
}

/// The pin of a file that the package index has.
fn from_index(project: &str, found: &IndexFile) -> Result<Source, String> {
    let file = &found.file;
    let sha256 = found.sha256.ok_or_else(|| format!("the package index has no sha256 of `{file}`"))?;
    let path = RelPath::new(file.as_str()).map_err(|error| error.to_string())?;
    let origins = vec![Origin::Pypi { project: project.to_owned(), file: file.clone() }];
    Ok(Source { file: path, sha256, size: None, origins })
}

/// Writes a lock file if it would change; a reader never sees half of it.
fn write(path: &Path, lock: &impl Serialize) -> Result<Option<PathBuf>, LockError> {
    let failed = |error| LockError::File { path: path.to_owned(), error };
    let body = toml::to_string(lock).map_err(|error| failed(std::io::Error::other(error)))?;
    let text = format!("# Written by `lock` from wanted.toml and the recipes: change these instead.\n\n{body}");
    if regular::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(None);
    }
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(permissions).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(Some(path.to_owned()))
}
