//! `pynbox-build lock`: writes the pins.

use build_graph::untrusted::printable_path;
use clap::Args;
use indicatif::HumanBytes;
use serde::Serialize;

use super::json::{Answer, JsonOption};
use super::{CommandError, Session, console};
use crate::lock::{self, LockReport, Signature};
use crate::project::LOCKS;
use crate::store::Area;

/// Options of `lock`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `lock`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Locked {
    /// Why the signature of the Debian release was not checked; null if it was.
    unchecked: Option<String>,
    /// The images.
    images: Vec<LockedImage>,
    /// The names of the sources.
    sources: Vec<String>,
    /// The lock files that have changed.
    changed: Vec<String>,
}

/// An image.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LockedImage {
    /// Its name.
    name: String,
    /// How many packages it has.
    packages: usize,
    /// The bytes of their archives.
    bytes: u64,
}

impl Answer for Locked {
    const SCHEMA: &'static str = "lock/1";
}

impl Locked {
    fn of(report: LockReport) -> Self {
        let LockReport { signature, images, sources, changed } = report;
        let image = |(name, packages, bytes)| LockedImage { name, packages, bytes };
        Self {
            unchecked: match signature {
                Signature::NotChecked(why) => Some(why),
                _ => None,
            },
            images: images.into_iter().map(image).collect(),
            sources,
            changed: changed.iter().map(|file| file.to_string_lossy().into_owned()).collect(),
        }
    }
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let project = session.project()?;
    let store = session.store()?;
    let fetcher = session.fetcher(&project, &store);
    let bundle = &session.bundle;
    let wanted = project.wanted_sources(bundle)?;
    // Without anything to lock, it is `wanted.toml` that is missing.
    let release = bundle.locks.release.as_ref().filter(|_| !wanted.is_empty());
    let report = lock::lock(
        &project.root.join(LOCKS),
        &wanted,
        release,
        &store.area(Area::Locking),
        &fetcher,
        &*console::with_transfers(0),
    )?;
    if let Signature::NotChecked(why) = &report.signature {
        outln!("lock: the signature of the Debian release was not checked: {why}");
    }
    for (image, packages, bytes) in &report.images {
        outln!("lock: image {image}: {packages} packages, {}", HumanBytes(*bytes));
    }
    outln!("lock: sources: {}", report.sources.join(", "));
    for file in &report.changed {
        outln!("lock: changed {}", printable_path(&file));
    }
    options.json.answer(|| Locked::of(report))
}
