//! A folder of archives that packages are installed from.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use build_graph::node::Target;

use crate::install::InstallError;
use crate::install::package::{self, Manifest};
use crate::install::version::compare;
use crate::regular;

/// How the names of archives end.
const SUFFIX: &str = ".tar.zst";

/// An archive, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its file.
    pub path: PathBuf,
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The packages that it needs.
    pub requires: Vec<String>,
    /// What it installs, to tell two archives of one version apart.
    content: build_graph::TreeDigest,
}

/// A file that should be an archive and is not, or not a sound one.
#[derive(Debug)]
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: InstallError,
}

/// What a folder of archives holds for a target.
#[derive(Debug, Default)]
pub struct Folder {
    /// Archives, sorted by name and version.
    pub archives: Vec<Archive>,
    /// What can't be used, of any target.
    pub unusable: Vec<Unusable>,
    /// The other targets that there are packages for.
    pub other_targets: Vec<Target>,
}

impl Folder {
    /// Reads what the archives in a folder say of themselves. One that can't be read does not keep
    /// the others from being used.
    ///
    /// # Errors
    /// [`InstallError`] if the folder can't be read.
    pub fn read(path: &Path, target: &Target) -> Result<Self, InstallError> {
        let mut files = Vec::new();
        for file in fs::read_dir(path).map_err(InstallError::io("read", path))? {
            let file = file.map_err(InstallError::io("read", path))?.path();
            if file.as_os_str().as_encoded_bytes().ends_with(SUFFIX.as_bytes()) {
                files.push(file);
            }
        }
        // Whatever order the folder has.
        files.sort();
        let mut folder = Self::default();
        for path in files {
            match describe(&path) {
                Ok(manifest) if manifest.target == *target => folder.archives.push(Archive {
                    path,
                    content: manifest.content.digest(),
                    name: manifest.name,
                    version: manifest.version,
                    requires: manifest.requires,
                }),
                Ok(manifest) => folder.other_targets.push(manifest.target),
                Err(error) => folder.unusable.push(Unusable { path, error }),
            }
        }
        folder.other_targets.sort();
        folder.other_targets.dedup();
        Ok(folder)
    }

    /// The archive of a package: of this version, or the latest one.
    pub fn find(&self, name: &str, version: Option<&str>) -> Option<&Archive> {
        let fitting = self
            .archives
            .iter()
            .filter(|archive| archive.name == name && version.is_none_or(|version| archive.version == version));
        fitting.fold(None, |best: Option<&Archive>, archive| match best {
            Some(best) if compare(&archive.version, &best.version) != Ordering::Greater => Some(best),
            _ => Some(archive),
        })
    }

    /// Another archive that says that it is the same version of the same package, and holds
    /// something else.
    pub fn contradicting(&self, archive: &Archive) -> Option<&Archive> {
        self.archives.iter().find(|other| {
            (&other.name, &other.version) == (&archive.name, &archive.version)
                && (other.content != archive.content || other.requires != archive.requires)
        })
    }

    /// A file that can't be used, and that by its name is the package that is wanted: of this
    /// version, or later than all that can be used.
    pub fn unusable(&self, name: &str, version: Option<&str>, target: &Target) -> Option<&Unusable> {
        let best = self.find(name, version);
        self.unusable.iter().find(|unusable| {
            let file = unusable.path.file_name().unwrap_or_default().to_string_lossy();
            let claimed = file
                .strip_suffix(SUFFIX)
                .and_then(|rest| {
                    rest.strip_suffix(target.as_str())?.strip_suffix('-')?.strip_prefix(name)?.strip_prefix('-')
                })
                // Otherwise it is another package, whose name is longer.
                .filter(|claimed| claimed.starts_with(|first: char| first.is_ascii_digit()));
            claimed.is_some_and(|claimed| match (version, best) {
                (Some(version), best) => claimed == version && best.is_none(),
                (None, Some(best)) => compare(claimed, &best.version) == Ordering::Greater,
                (None, None) => true,
            })
        })
    }
}

fn describe(path: &Path) -> Result<Manifest, InstallError> {
    let file = open(path)?;
    package::describe(file)
        .map_err(|source| InstallError::Package { name: path.to_string_lossy().into_owned(), source })
}

/// Opens an archive, which has to be a regular file.
///
/// # Errors
/// [`InstallError`] if it can't be opened, or is something else.
pub fn open(path: &Path) -> Result<File, InstallError> {
    regular::open(path).map_err(InstallError::io("read", path))
}
