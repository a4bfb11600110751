//! `pynbox-build cache …`: looks after the store.

use std::collections::HashSet;
use std::time::Duration;

use clap::Subcommand;
use indicatif::HumanBytes;

use super::{CommandError, Session};
use crate::store::GcPolicy;

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Print where it is
    Root,
    /// Say how much is in it
    Stats,
    /// Read everything and drop what is damaged
    Verify,
    /// Remove the results that were not used for longest
    Gc {
        /// Remove until no more than this many bytes are left
        #[arg(long, value_name = "BYTES")]
        max_size: Option<u64>,
        /// Remove what was not used for so many days
        #[arg(long, value_name = "DAYS")]
        max_age: Option<u64>,
    },
}

pub(super) fn run(session: &Session, verb: &Verb) -> Result<(), CommandError> {
    let store = session.store()?;
    match verb {
        Verb::Root => println!("{}", store.root().display()),
        Verb::Stats => {
            let stats = store.stats()?;
            println!("{} results, {} trees, {} checkouts", stats.results, stats.trees, stats.checkouts);
            println!("{} files, {}", stats.blobs, HumanBytes(stats.bytes));
        }
        Verb::Verify => {
            let report = store.verify()?;
            println!(
                "{} files ({}), {} trees, {} results are right",
                report.blobs,
                HumanBytes(report.bytes),
                report.trees,
                report.results
            );
            if report.incomplete > 0 {
                println!("{} results lack files: what they give is made again when it is needed", report.incomplete);
            }
            for damage in &report.damaged {
                println!("damaged: {damage:?}");
            }
            if !report.damaged.is_empty() {
                println!("what was damaged is removed and will be made again");
            }
        }
        Verb::Gc { max_size, max_age } => {
            let day = 24 * 60 * 60;
            let keep = HashSet::new();
            let policy = GcPolicy {
                max_size: *max_size,
                max_age: max_age.map(|days| Duration::from_secs(days * day)),
                keep: &keep,
                spare: Duration::from_secs(60 * 60),
            };
            let report = store.gc(&policy)?;
            println!(
                "removed {} results, {} trees, {} checkouts, {} files ({})",
                report.results,
                report.trees,
                report.checkouts,
                report.blobs,
                HumanBytes(report.bytes)
            );
            println!("{} are left", HumanBytes(report.bytes_left));
        }
    }
    Ok(())
}
