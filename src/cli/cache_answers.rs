//! What the verbs of `cache` answer with `--json`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json::Answer;
use crate::remote::caches::Checked;
use crate::remote::pack::{Amount, Taken};
use crate::store::{AreaBytes, Damage, GcReport, Stats, VerifyReport};

/// The answer of `cache stats`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct StoreStats {
    /// Where the store is.
    root: String,
    /// How many results it has.
    results: u64,
    /// How many trees.
    trees: u64,
    /// How many files.
    files: u64,
    /// The bytes of the files.
    bytes: u64,
    /// How many trees are laid out as folders.
    checkouts: u64,
    /// The bytes of what is kept beside results, by folder: `logs`, `compiled` and others.
    areas: BTreeMap<&'static str, u64>,
}

impl Answer for StoreStats {
    const SCHEMA: &'static str = "cache-stats/1";
}

impl StoreStats {
    pub(super) fn of(root: String, stats: Stats) -> Self {
        let Stats { results, trees, blobs: files, bytes, checkouts, areas, .. } = stats;
        Self { root, results, trees, files, bytes, checkouts, areas: by_folder(areas) }
    }
}

/// The answer of `cache verify`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct StoreVerified {
    /// How many files are right.
    files: u64,
    /// Their bytes.
    bytes: u64,
    /// How many trees are right.
    trees: u64,
    /// How many results are right.
    results: u64,
    /// Those of them that lack files, which are made again when they are needed.
    incomplete: u64,
    /// What was damaged and is removed, in words.
    damaged: Vec<String>,
    /// What does not belong into a store and is left alone, in words.
    strays: Vec<String>,
}

impl Answer for StoreVerified {
    const SCHEMA: &'static str = "cache-verify/1";
}

impl StoreVerified {
    pub(super) fn of(report: &VerifyReport) -> Self {
        let (strays, damaged): (Vec<_>, Vec<_>) =
            report.damaged.iter().partition(|damage| matches!(damage, Damage::Stray(_)));
        let words = |all: Vec<&Damage>| all.into_iter().map(ToString::to_string).collect();
        let VerifyReport { blobs: files, bytes, trees, results, incomplete, .. } = *report;
        Self { files, bytes, trees, results, incomplete, damaged: words(damaged), strays: words(strays) }
    }
}

/// The answer of `cache verify --remote-name`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RemoteVerified {
    /// The remote.
    remote: String,
    /// How many results of the graph it has that are believed.
    results: usize,
    /// How many of their files have the right bytes.
    files: usize,
    /// How many results it does not have.
    absent: usize,
    /// What is wrong, in words.
    wrong: Vec<String>,
}

impl Answer for RemoteVerified {
    const SCHEMA: &'static str = "cache-verify-remote/1";
}

impl RemoteVerified {
    pub(super) fn of(remote: &str, checked: &Checked) -> Self {
        let Checked { results, files, absent, .. } = *checked;
        Self { remote: remote.to_owned(), results, files, absent, wrong: checked.wrong.clone() }
    }
}

/// The answer of `cache gc`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Collected {
    /// How many results were removed.
    results: u64,
    /// How many trees.
    trees: u64,
    /// How many folders with trees laid out.
    checkouts: u64,
    /// How many files.
    files: u64,
    /// The bytes of these files.
    bytes: u64,
    /// The bytes that were removed beside results, by folder.
    areas: BTreeMap<&'static str, u64>,
    /// The bytes of the files that are left.
    bytes_left: u64,
    /// The bytes that are left beside results, by folder.
    areas_left: BTreeMap<&'static str, u64>,
}

impl Answer for Collected {
    const SCHEMA: &'static str = "cache-gc/1";
}

impl Collected {
    pub(super) fn of(report: GcReport) -> Self {
        let GcReport { results, trees, checkouts, blobs: files, bytes, bytes_left, areas, areas_left } = report;
        let (areas, areas_left) = (by_folder(areas), by_folder(areas_left));
        Self { results, trees, checkouts, files, bytes, areas, bytes_left, areas_left }
    }
}

/// The answer of `cache drop`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Dropped {
    /// How many results were dropped.
    pub(super) results: u64,
}

impl Answer for Dropped {
    const SCHEMA: &'static str = "cache-drop/1";
}

/// The answer of `cache export`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Exported {
    /// The file that was written.
    file: String,
    /// Its length in bytes.
    length: u64,
    /// How many results it holds.
    results: u64,
    /// How many files they have.
    files: u64,
    /// The bytes of these files.
    bytes: u64,
    /// How many of the results are not signed.
    unsigned: u64,
}

impl Answer for Exported {
    const SCHEMA: &'static str = "cache-export/1";
}

impl Exported {
    pub(super) fn of(file: String, length: u64, amount: Amount) -> Self {
        let Amount { results, blobs: files, bytes, unsigned } = amount;
        Self { file, length, results, files, bytes, unsigned }
    }
}

/// The answer of `cache import`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Imported {
    /// How many results of the file are in the store now.
    results: u64,
    /// How many files they have.
    files: u64,
    /// The bytes of these files.
    bytes: u64,
    /// Results that the store has with another tree; it keeps its own.
    contradicted: Vec<Contradicted>,
    /// Results that are not believed.
    refused: Vec<Refused>,
    /// The keys of results of which the file lacks something.
    incomplete: Vec<String>,
}

/// A result with two trees.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Contradicted {
    /// Its key.
    key: String,
    /// The digest of the tree in the store.
    here: String,
    /// The digest of the tree in the file.
    there: String,
}

/// A result that was not taken, or not signed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Refused {
    /// Its key.
    pub(super) key: String,
    /// Why.
    pub(super) why: String,
}

impl Answer for Imported {
    const SCHEMA: &'static str = "cache-import/1";
}

impl Imported {
    pub(super) fn of(taken: &Taken) -> Self {
        let Amount { results, blobs: files, bytes, .. } = taken.amount;
        let contradicted = taken.contradicted.iter().map(|(key, here, there)| Contradicted {
            key: key.to_string(),
            here: here.to_string(),
            there: there.to_string(),
        });
        let refused = taken.refused.iter().map(|(key, why)| Refused { key: key.to_string(), why: why.clone() });
        Self {
            results,
            files,
            bytes,
            contradicted: contradicted.collect(),
            refused: refused.collect(),
            incomplete: taken.incomplete.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The answer of `cache keygen`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Key {
    /// The file with the secret key.
    pub(super) file: String,
    /// The id of the key.
    pub(super) id: String,
    /// The public key, as `[[trust.key]]` takes it.
    pub(super) public: String,
}

impl Answer for Key {
    const SCHEMA: &'static str = "cache-keygen/1";
}

/// The answer of `cache sign`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Signed {
    /// How many results were put on remotes.
    pub(super) put: usize,
    /// Results that were not signed.
    pub(super) refused: Vec<Refused>,
    /// How many results the store does not have.
    pub(super) incomplete: usize,
}

impl Answer for Signed {
    const SCHEMA: &'static str = "cache-sign/1";
}

/// The answer of `cache check`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Rerun {
    /// The number that chose the actions: `--seed` chooses the same again.
    pub(super) seed: u64,
    /// How many actions there are.
    pub(super) actions: usize,
    /// How many of them were executed again.
    pub(super) executed: usize,
    /// Those that gave something else.
    pub(super) differences: Vec<Rebuilt>,
}

/// An action that gave something else.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Rebuilt {
    /// The node.
    pub(super) node: String,
    /// Where the first result came from, in words.
    pub(super) origin: String,
    /// The files that differ, in words.
    pub(super) files: Vec<String>,
}

impl Answer for Rerun {
    const SCHEMA: &'static str = "cache-check/1";
}

fn by_folder(bytes: AreaBytes) -> BTreeMap<&'static str, u64> {
    bytes.iter().map(|(area, bytes)| (area.folder(), bytes)).collect()
}
