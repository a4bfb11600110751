//! Verbs that look after an installation, DEST.

mod answer;
mod change;
mod list;
pub(super) mod search;
pub(super) mod verify;
pub(super) mod which;

use std::path::Path;

use build_graph::untrusted::printable_path;
use clap::Args;
use indicatif::HumanBytes;

use super::CommandError;
use crate::install::{Destination, Installed};
use answer::{KeptGeneration, PrunedGeneration};

pub(super) use answer::{Change, Changed, ChangedPackage};
pub(super) use change::{Prune, Rollback, Uninstall, Upgrade, prune, rollback, uninstall, upgrade};
#[cfg(test)]
pub(super) use list::Listed;
pub(super) use list::list;

/// How many generations stay.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Keep {
    /// How many earlier generations stay for `rollback`; those before them are removed
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    keep: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { keep: 1 }
    }
}

/// What became of older generations.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pruned: Vec<PrunedGeneration>,
    kept: Vec<KeptGeneration>,
}

/// Says which generation is current now, and removes those that are not to stay. What was done is
/// done: that one can't be removed is a warning.
pub(super) fn settle(verb: &str, destination: &Destination, number: u64, keep: Keep) -> Settled {
    let mut settled = Settled::default();
    outln!("{verb}: generation {number} is current");
    match destination.prune(keep.keep) {
        Ok((pruned, kept)) => {
            for gone in pruned {
                outln!("{verb}: generation {} removed, {} freed", gone.number, HumanBytes(gone.space));
                settled.pruned.push(PrunedGeneration { number: gone.number, space: gone.space });
            }
            for stays in kept {
                outln!("{verb}: generation {} stays: {}", stays.number, stays.why);
                settled.kept.push(KeptGeneration { number: stays.number, why: stays.why });
            }
        }
        Err(error) => errln!("warning: old generations are not all removed: {error}"),
    }
    settled
}

/// The installation in a folder.
fn installed(dest: &Path) -> Result<Installed, CommandError> {
    Installed::find(dest)?.ok_or_else(|| nothing(dest))
}

fn nothing(dest: &Path) -> CommandError {
    CommandError::input(format!("nothing is installed in `{}`", printable_path(dest)))
        .hint("name the folder that was given to `install`")
}
