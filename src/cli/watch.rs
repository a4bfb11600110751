//! `pynbox-build watch`: builds again whenever something changes that `gen` looks at.

use std::thread;
use std::time::Duration;

use clap::Args;

use super::build::{ninja, no_ninja};
use super::{CommandError, Session, dry_run, gen_verb};
use crate::build::record::Record;
use crate::build::seen::Seen;

/// So often it is looked whether something changed.
const INTERVAL: Duration = Duration::from_millis(300);

/// Options of `watch`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What ninja is to build: recipes, targets; default: the default target
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    wanted: gen_verb::Wanted,
}

/// Never ends but by a signal, or if there is no project.
pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let project = session.project()?;
    let out = session.out(&project);
    let generate =
        gen_verb::Options { wanted: options.wanted.clone(), if_changed: false, ask: dry_run::Options::default() };
    loop {
        // Where `gen` fails, what was looked at before it began has to change.
        let mut seen: Vec<_> = Record::read(&out).map(|record| record.seen).unwrap_or_default();
        seen = seen.iter().map(|seen| Seen::now(seen.path().to_path_buf())).collect();
        match gen_verb::run(session, &generate) {
            Ok(()) => {
                // As `gen` saw it: what changes while ninja runs is a change.
                seen = Record::read(&out).map(|record| record.seen).unwrap_or_default();
                let ninja = ninja().current_dir(&project.root).args(&options.names).status();
                let status = ninja.map_err(no_ninja)?;
                if !status.success() {
                    errln!("note: the build failed; it is tried again after a change");
                }
            }
            Err(error) if seen.is_empty() => return Err(error.hint("watch when `gen` has come to an end once")),
            Err(error) => errln!("{error}"),
        }
        noteln!("note: watching {} files and folders", seen.len());
        while seen.iter().all(Seen::is_current) {
            thread::sleep(INTERVAL);
        }
        // An editor that saves writes more than one file.
        thread::sleep(INTERVAL);
    }
}
