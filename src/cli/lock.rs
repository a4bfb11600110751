//! `pynbox-build lock`: writes the pins.

use build_graph::untrusted::printable_path;
use clap::Args;
use indicatif::HumanBytes;

use super::{CommandError, Session, console};
use crate::lock::{self, Signature};
use crate::project::LOCKS;
use crate::store::Area;

/// Options of `lock`.
#[derive(Debug, Args)]
pub(super) struct Options {}

pub(super) fn run(session: &Session, _options: &Options) -> Result<(), CommandError> {
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
    Ok(())
}
