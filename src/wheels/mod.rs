//! Packages from files of requirements: `install DEST -r requirements.txt`.
//!
//! A file pins each project by version and hashes. Its wheels come from the index of pip's
//! settings; one without native code becomes the package `python3-PROJECT`, with a receipt as any
//! other. What has native code comes from a recipe's package of that name.

pub mod archive;
pub mod bytecode;
pub mod requirements;
pub mod resolve;

use std::io;
use std::path::PathBuf;

use build_graph::RelPath;
use build_graph::untrusted::{printable, printable_path};
use thiserror::Error;

use crate::install::package::PackageError;
use crate::python::marker::Environment;
use crate::python::names::version_of;
use crate::python::wheel::Layout;
use crate::source::FetchError;
use crate::store::StoreError;

/// Where Python 3 is installed, from DEST, and where programs in the sandbox see it.
const PREFIX: &str = "root/python3";
const PREFIX_INSIDE: &str = "/python3";
/// The package of Python 3.
pub const PYTHON: &str = "python3";

/// A file of requirements can't be installed.
#[derive(Debug, Error)]
pub enum WheelsError {
    /// A file can't be read.
    #[error("`{}`: {error}", printable_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// What is asked for can't be: a sentence for each thing.
    #[error("{}", .0.join("\n"))]
    Unmet(Vec<String>),
    /// The package of Python is none that wheels are unpacked for.
    #[error("the package `{PYTHON}` has the version `{}`, which is none of Python 3; take another one", printable(.0))]
    Python(String),
    /// A wheel can't be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Bytecode can't be made.
    #[error(
        "the bytecode of `{}` can't be made: {}; report that, or install it without: `--no-bytecode`",
        printable(package),
        printable(reason)
    )]
    Bytecode {
        /// The package.
        package: String,
        /// What happened.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A package can't be written.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// Where Python 3 of a version has its packages, and what goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The prefix of the installation, from DEST.
    pub prefix: RelPath,
    /// Where modules lie, as programs in the sandbox see it.
    pub site_inside: String,
    /// What goes where, from the prefix.
    pub layout: Layout,
    /// The name that bytecode of this version bears: `cpython-313`.
    pub cache_tag: String,
    /// For what markers are evaluated.
    pub environment: Environment,
}

impl Place {
    /// The place of packages for the package of Python of this version.
    ///
    /// # Errors
    /// [`WheelsError::Python`] if it is no version of Python 3.
    pub fn of(version: &str) -> Result<Self, WheelsError> {
        let wrong = || WheelsError::Python(version.to_owned());
        let environment = Environment::new(version_of(version).map_err(|_| wrong())?);
        let [3, minor, ..] = environment.version.release() else { return Err(wrong()) };
        let minor = *minor;
        let path = |path: String| RelPath::new(path).map_err(|_| wrong());
        let site = path(format!("lib/python3.{minor}/site-packages"))?;
        let headers = path(format!("include/python3.{minor}"))?;
        Ok(Self {
            prefix: path(PREFIX.to_owned())?,
            site_inside: format!("{PREFIX_INSIDE}/{site}"),
            layout: Layout { site, headers, interpreter: format!("{PREFIX_INSIDE}/bin/python3.wasm") },
            cache_tag: format!("cpython-3{minor}"),
            environment,
        })
    }
}
