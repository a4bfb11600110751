//! The answer of the verbs that change an installation.

use std::path::Path;

use serde::Serialize;

use super::super::json::Answer;
use super::Settled;

/// The answer of `install`, `upgrade`, `uninstall`, `rollback` and `prune`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Changed {
    /// The folder.
    dest: String,
    /// The generation that is current now; null if none was made, as when nothing changed.
    generation: Option<u64>,
    /// The packages that were asked for, with those that they need.
    packages: Vec<ChangedPackage>,
    /// The generations that were removed.
    pruned: Vec<PrunedGeneration>,
    /// Older generations that could not be removed yet.
    kept: Vec<KeptGeneration>,
}

/// A package, and what became of it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct ChangedPackage {
    /// Its name.
    pub(in crate::cli) name: String,
    /// Its version; of one that was removed, the version that was installed.
    pub(in crate::cli) version: String,
    /// The version that was installed before, where that is known.
    pub(in crate::cli) before: Option<String>,
    /// What became of it; with `--dry-run`, what would.
    pub(in crate::cli) change: Change,
}

/// What became of a package.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum Change {
    /// It was there already.
    Present,
    /// It is new.
    Installed,
    /// It took the place of another version or another build.
    Replaced,
    /// It was removed.
    Removed,
}

/// A generation that was removed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PrunedGeneration {
    /// Its number.
    pub(super) number: u64,
    /// The bytes that this freed.
    pub(super) space: u64,
}

/// A generation that stays.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct KeptGeneration {
    /// Its number.
    pub(super) number: u64,
    /// Why it stays.
    pub(super) why: String,
}

impl Answer for Changed {
    const SCHEMA: &'static str = "change-dest/1";
}

impl Changed {
    /// Returns the answer of a change that made this generation, if it made one.
    pub(in crate::cli) fn of(
        dest: &Path,
        generation: Option<u64>,
        packages: Vec<ChangedPackage>,
        settled: Settled,
    ) -> Self {
        let Settled { pruned, kept } = settled;
        Self { dest: dest.to_string_lossy().into_owned(), generation, packages, pruned, kept }
    }
}
