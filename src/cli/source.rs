//! `pynbox-build source …`: brings pinned sources by hand.

use std::path::PathBuf;

use build_graph::node::{Op, Source};
use build_graph::untrusted::printable_path;
use clap::Subcommand;
use serde::Serialize;

use super::json::{Answer, JsonOption};
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
        #[command(flatten)]
        json: JsonOption,
    },
    /// List the pinned sources
    List(JsonOption),
}

/// The answer of `source list` and `source add`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Pins {
    /// The pins: all of them, or those whose files were added.
    sources: Vec<Pin>,
}

/// A pinned source.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Pin {
    /// Its name.
    name: String,
    /// The name of its file.
    file: String,
    /// The SHA-256 of the file.
    sha256: String,
}

impl Answer for Pins {
    const SCHEMA: &'static str = "source/1";
}

impl Pin {
    fn of(name: &str, source: &Source) -> Self {
        Self { name: name.to_owned(), file: source.file.to_string(), sha256: source.sha256.to_string() }
    }
}

pub(super) fn run(session: &Session, verb: &Verb) -> Result<(), CommandError> {
    let project = session.project()?;
    let store = session.store()?;
    let locks = project.load(&session.bundle, &[], &store)?.materials.locks;
    match verb {
        Verb::List(json) => {
            for (name, source) in &locks.source {
                outln!("{name}: {} sha256 {}", source.file, source.sha256);
            }
            let sources = locks.source.iter().map(|(name, source)| Pin::of(name, source)).collect();
            json.answer(|| Pins { sources })
        }
        Verb::Add { files, json } => {
            let mut sources = Vec::new();
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
                sources.push(Pin::of(name, source));
            }
            json.answer(|| Pins { sources })
        }
    }
}
