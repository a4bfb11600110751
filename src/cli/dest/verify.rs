//! `install --verify DEST`: every file against its receipt.

use std::path::Path;

use build_graph::untrusted::{printable, printable_path};
use serde::Serialize;

use super::super::json::{self, Answer, JsonOption};
use super::super::{CommandError, Kind};
use super::installed;
use crate::install::verify::verify;

/// The answer of `install --verify`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Verified {
    /// The generation.
    generation: u64,
    /// How many files, links and empty directories were compared.
    compared: usize,
    /// Those that differ.
    differences: Vec<Difference>,
    /// Files in directories of packages that no package installed, relative to DEST.
    strangers: Vec<String>,
}

/// A file that is not as it was installed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Difference {
    /// The package.
    package: String,
    /// Its path, relative to DEST.
    path: String,
    /// What is wrong with it, in words.
    fault: &'static str,
}

impl Answer for Verified {
    const SCHEMA: &'static str = "install-verify/1";
}

pub(in crate::cli) fn run(dest: &Path, packages: &[String], json: JsonOption) -> Result<(), CommandError> {
    let installed = installed(dest)?;
    let verified = verify(&installed.dest, &installed.current, packages)?;
    let differences: Vec<_> = verified
        .differences
        .into_iter()
        .map(|one| Difference { package: one.package, path: one.path.to_string(), fault: one.fault.words() })
        .collect();
    let damaged = differences.len();
    if json.json {
        let strangers = verified.strangers.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let generation = installed.current.number;
        json::print(&Verified { generation, compared: verified.compared, differences, strangers })?;
    } else {
        for Difference { package, path, fault } in &differences {
            outln!("`{}` of {} {fault}", printable(path), printable(package));
        }
        for path in &verified.strangers {
            outln!("`{}` is in a package's directory, and no package installed it", printable_path(path));
        }
        outln!("verify: {} files compared, {damaged} differ", verified.compared);
    }
    if damaged > 0 {
        let message = format!("{damaged} files of `{}` are not as they were installed", printable_path(dest));
        return Err(CommandError::new(Kind::Build, message).hint("install the packages again, which restores them"));
    }
    Ok(())
}
