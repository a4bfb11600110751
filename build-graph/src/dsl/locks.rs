//! The lock files: `sources.toml` and `images.toml`, which `pynbox-build lock` writes and every
//! build reads.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::node::{Origin, Source};
use crate::{RelPath, Sha256};

/// `images.toml`: the packages of every image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesLock {
    /// Where they come from.
    pub release: LockedRelease,
    /// Images by name.
    pub images: BTreeMap<String, LockedImage>,
    /// Every package of any image once, sorted by name.
    pub package: Vec<LockedPackage>,
}

/// The release that was locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedRelease {
    /// Its code name.
    pub suite: String,
    /// The number of the point release.
    pub version: String,
    /// The component that packages are taken from.
    #[serde(default)]
    pub component: String,
    /// The architecture.
    #[serde(default)]
    pub architecture: String,
    /// Further architectures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<String>,
    /// The other releases that single packages come from, by code name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", rename = "packages-from")]
    pub packages_from: BTreeMap<String, LockedSuite>,
}

/// A release that only some packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedSuite {
    /// The number of the point release.
    pub version: String,
    /// These packages, sorted.
    pub packages: Vec<String>,
}

/// An image's packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedImage {
    /// The packages that it is for.
    pub seeds: Vec<String>,
    /// What was not followed as a dependency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// The names of all its packages, sorted; each is in [`ImagesLock::package`].
    pub packages: Vec<String>,
}

/// A Debian package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Its name; `NAME:ARCHITECTURE` if it is for another architecture than most.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its path below a mirror's root.
    pub path: RelPath,
    /// What its bytes must be.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
}

/// `sources.toml`: every source by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcesLock {
    /// The sources.
    pub sources: BTreeMap<String, LockedSource>,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedSource {
    /// Upstream's version.
    pub version: String,
    /// The file, its checksum, its size and its origins.
    #[serde(flatten)]
    pub source: Source,
}

impl LockedPackage {
    /// The package as a source.
    pub fn source(&self) -> Source {
        Source {
            file: RelPath::new(self.path.file_name()).unwrap_or_else(|_| self.path.clone()),
            sha256: self.sha256,
            size: Some(self.size),
            origins: vec![Origin::Debian { path: self.path.clone() }],
        }
    }
}

/// The pins of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locks {
    /// Upstream sources by name.
    pub source: BTreeMap<String, Source>,
    /// The packages of each image.
    pub image: BTreeMap<String, Vec<LockedPackage>>,
    /// Upstream's versions of the sources, where they are known.
    pub version: BTreeMap<String, String>,
    /// The release that images are of.
    pub release: Option<LockedRelease>,
    /// The names of what the project's own lock files pin.
    pub project: ProjectPins,
}

/// The names of what a project pins in lock files of its own, beside what a program has compiled
/// in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectPins {
    /// The sources.
    pub sources: BTreeSet<String>,
    /// The images.
    pub images: BTreeSet<String>,
}

/// A lock file contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("image `{image}` lists package `{package}`, which is not pinned; write the lock files anew with `lock`")]
pub struct UnpinnedPackage {
    /// The image.
    pub image: String,
    /// The package.
    pub package: String,
}

impl Locks {
    /// Takes the sources of a lock file; those of the same names give way.
    pub fn add_sources(&mut self, lock: SourcesLock) {
        for (name, locked) in lock.sources {
            self.version.insert(name.clone(), locked.version);
            self.source.insert(name, locked.source);
        }
    }

    /// Takes the images of a lock file; those of the same names give way.
    ///
    /// # Errors
    /// [`UnpinnedPackage`] if an image lists a package that the file does not pin.
    pub fn add_images(&mut self, lock: ImagesLock) -> Result<(), UnpinnedPackage> {
        for (image, locked) in lock.images {
            let find = |name: String| match lock.package.iter().find(|package| package.name == name) {
                Some(package) => Ok(package.clone()),
                None => Err(UnpinnedPackage { image: image.clone(), package: name }),
            };
            let packages = locked.packages.into_iter().map(find).collect::<Result<_, _>>()?;
            self.image.insert(image, packages);
        }
        self.release = Some(lock.release);
        Ok(())
    }
}
