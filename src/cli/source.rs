//! `pynbox-build source …`: brings pinned sources by hand.

use std::path::PathBuf;

use build_graph::node::Op;
use build_graph::untrusted::printable_path;
use clap::Subcommand;

use super::{CommandError, Session, fetch};
use crate::called::called;
use crate::source::sha256_of;

/// What to do with sources.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Put files that you have into the store, each if its checksum is that of a pin
    Add {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List the pinned sources
    List,
}

pub(super) fn run(session: &Session, verb: &Verb) -> Result<(), CommandError> {
    let project = session.project()?;
    let store = session.store()?;
    let locks = project.load(&session.bundle, &[], &store)?.materials.locks;
    match verb {
        Verb::List => {
            for (name, source) in &locks.source {
                outln!("{name}: {} sha256 {}", source.file, source.sha256);
            }
        }
        Verb::Add { files } => {
            let debian = locks.image.values().flatten().map(|package| (&package.name, package.source()));
            let pins: Vec<_> = locks.source.iter().map(|(name, source)| (name, source.clone())).chain(debian).collect();
            for file in files {
                let (sha256, _) = sha256_of(file).map_err(CommandError::named("read", file))?;
                let Some((name, source)) = pins.iter().find(|(_, source)| source.sha256 == sha256) else {
                    return Err(CommandError::input(format!(
                        "`{}` is no pinned source: its sha256 is {sha256}",
                        printable_path(&file)
                    ))
                    .hint(format!("`{} source list` lists the pins", called()))
                    .hint("to build from another file, use `gen --override-source NAME=PATH`"));
                };
                let entry = store.put_file(file, false)?;
                fetch::record(&store, &Op::Source(source.clone()), source, entry)?;
                outln!("source: `{}` is `{name}`, and in the store now", printable_path(&file));
            }
        }
    }
    Ok(())
}
