//! `pynbox-build cache …`: looks after the store.

use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::HumanBytes;

use super::cache_answers::{Collected, StoreStats, StoreVerified};
use super::json::JsonOption;
use super::print;
use super::{CommandError, Session, cache_drop, cache_remote, pack};
use crate::build::reachable::Reachable;
use crate::store::{Damage, GcPolicy, Store};

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Print where it is
    Root,
    /// Say how much is in it
    Stats(JsonOption),
    /// Read everything and drop what is damaged; with `--remote-name`, what a remote has for the
    /// current graph instead
    Verify(cache_remote::VerifyOptions),
    /// Make a key to sign results with, and print what its readers put into `pynbox.toml`
    Keygen(cache_remote::KeygenOptions),
    /// Sign the results of the current graph that are in the store, and put them on the remotes
    /// that may be written to
    Sign(cache_remote::SignOptions),
    /// Execute a share of the current graph's actions again and compare what comes out
    Check(cache_remote::CheckOptions),
    /// Remove the results that were not used for longest. What a build used within the last hour
    /// always stays
    Gc(GcOptions),
    /// Forget results: those that a key signed, those that came from a remote, an engine or packs,
    /// or those of nodes
    Drop(cache_drop::Options),
    /// Write what the current graph needs into one file
    Export(pack::Export),
    /// Take what such a file holds
    Import(pack::Import),
}

/// What `cache gc` removes.
#[derive(Debug, Args)]
pub(super) struct GcOptions {
    /// Remove until no more than this is left, such as `500MB` or `2GiB`
    #[arg(long, value_name = "SIZE")]
    max_size: Option<Size>,
    /// Remove what was not used for so many days
    #[arg(long, value_name = "DAYS")]
    max_age: Option<Days>,
    /// Keep all that the current graph needs; without a limit, remove everything else
    #[arg(long)]
    keep_reachable: bool,
    #[command(flatten)]
    json: JsonOption,
}

/// What was used within this time stays: ninja starts a process an edge, and between two of them
/// none may be alive.
const SPARE: Duration = Duration::from_secs(60 * 60);

pub(super) fn run(session: &Session, verb: &Verb) -> Result<(), CommandError> {
    match verb {
        Verb::Keygen(options) => return cache_remote::keygen(options),
        Verb::Verify(options) if options.remote_name.is_some() => return cache_remote::verify(session, options),
        Verb::Sign(options) => return cache_remote::sign(session, options),
        Verb::Check(options) => return cache_remote::check(session, options),
        Verb::Drop(options) => return cache_drop::run(session, options),
        _ => {}
    }
    let store = session.store()?;
    match verb {
        Verb::Keygen(_) | Verb::Sign(_) | Verb::Check(_) | Verb::Drop(_) => {}
        Verb::Root => {
            // As it is: whoever asks wants to go there.
            print::out(store.root().as_os_str().as_bytes());
            outln!("");
        }
        Verb::Stats(json) => {
            let stats = store.stats()?;
            outln!("{} results, {} trees, {} checkouts", stats.results, stats.trees, stats.checkouts);
            outln!("{} files, {}", stats.blobs, HumanBytes(stats.bytes));
            for (area, bytes) in stats.areas.iter() {
                outln!("{} of {}", HumanBytes(bytes), area.content());
            }
            json.answer(|| StoreStats::of(store.root().to_string_lossy().into_owned(), stats))?;
        }
        Verb::Verify(options) => {
            options.demand_remote()?;
            let report = store.verify()?;
            outln!(
                "{} files ({}), {} trees, {} results are right",
                report.blobs,
                HumanBytes(report.bytes),
                report.trees,
                report.results
            );
            if report.incomplete > 0 {
                outln!("{} results lack files: what they give is made again when it is needed", report.incomplete);
            }
            let (strays, damaged): (Vec<_>, Vec<_>) =
                report.damaged.iter().partition(|damage| matches!(damage, Damage::Stray(_)));
            for stray in strays {
                outln!("stray: {stray}");
            }
            for damage in &damaged {
                outln!("damaged: {damage}");
            }
            options.json.answer(|| StoreVerified::of(&report))?;
            if !damaged.is_empty() {
                return Err(CommandError::build(format!("{} things in the store were damaged", damaged.len()))
                    .hint("they are removed, and made again when they are needed"));
            }
        }
        Verb::Gc(options) => gc(session, &store, options)?,
        Verb::Export(options) => pack::export(session, options)?,
        Verb::Import(options) => pack::import(session, options)?,
    }
    Ok(())
}

fn gc(session: &Session, store: &Store, options: &GcOptions) -> Result<(), CommandError> {
    let mut policy = GcPolicy {
        max_size: options.max_size.map(|size| size.0),
        max_age: options.max_age.map(|days| days.0),
        spare: SPARE,
        ..GcPolicy::default()
    };
    if options.keep_reachable {
        let workplace = session.workplace()?;
        let reachable = Reachable::of(&workplace.plan, store, |_| true)?;
        outln!("the current graph needs {} results", reachable.keys.len());
        if let [first, others @ ..] = &reachable.unknown[..] {
            outln!(
                "`{first}`{} not built yet, so that what a later build could use of an earlier one may go",
                if others.is_empty() { " is".to_owned() } else { format!(" and {} others are", others.len()) }
            );
        }
        (policy.keep, policy.keep_trees) = (reachable.keys, reachable.trees);
        if policy.max_size.is_none() && policy.max_age.is_none() {
            policy.max_size = Some(0);
        }
    }
    let report = store.gc(&policy)?;
    outln!(
        "removed {} results, {} trees, {} checkouts, {} files ({})",
        report.results,
        report.trees,
        report.checkouts,
        report.blobs,
        HumanBytes(report.bytes),
    );
    for (area, bytes) in report.areas.iter() {
        outln!("removed {} of {}", HumanBytes(bytes), area.content());
    }
    outln!("{} are left, and {} beside results", HumanBytes(report.bytes_left), HumanBytes(report.areas_left.total()));
    options.json.answer(|| Collected::of(report))
}

/// A number of days.
#[derive(Debug, Clone, Copy)]
struct Days(Duration);

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.parse::<u32>().map_err(|error| error.to_string())?;
        Ok(Self(Duration::from_secs(u64::from(days) * 24 * 60 * 60)))
    }
}

/// A number of bytes, with a unit if it is not bytes: `500MB`, `2GiB`.
#[derive(Debug, Clone, Copy)]
struct Size(u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<bytesize::ByteSize>().map(|size| Self(size.as_u64()))
    }
}
