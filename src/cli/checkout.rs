//! `pynbox-build checkout NODE DIR`: lays out a node's tree in a folder; builds it if it is not
//! there.

use std::io;
use std::path::PathBuf;

use build_graph::node::NodeName;
use build_graph::untrusted::printable;
use clap::Args;
use serde::Serialize;

use super::json::{Answer, JsonOption};
use super::print;
use super::{CommandError, Reader, Session};
use crate::build::BuildError;
use crate::build::builder::Stamps;
use crate::store::{Materialise, StoreError};

/// How the names of pinned files begin.
const SOURCES: &str = "source/";

/// Options of `checkout`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node
    node: NodeName,
    /// The folder, which must not be there yet
    #[arg(required_unless_present_any = ["digest", "list"])]
    dir: Option<PathBuf>,
    /// Print the digest of the tree instead
    #[arg(long)]
    digest: bool,
    /// Print what is in the tree instead: a line an entry, as JSON
    #[arg(long, conflicts_with = "json")]
    list: bool,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `checkout`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CheckedOut {
    /// The node.
    node: String,
    /// The digest of its tree.
    tree: String,
    /// The folder that has the tree now; null with `--digest`.
    folder: Option<String>,
}

impl Answer for CheckedOut {
    const SCHEMA: &'static str = "checkout/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    // A pinned file is the same in every plan.
    let is_source = options.node.as_str().starts_with(SOURCES);
    let reader = if is_source { Reader::GiverOfSources } else { Reader::Giver };
    let workplace = session.workplace_for(reader)?;
    let store = &workplace.store;
    let digest = workplace.builder(Stamps::Old).obtain(&options.node)?.tree;
    let answer = |dir: Option<&PathBuf>| CheckedOut {
        node: options.node.to_string(),
        tree: digest.to_string(),
        folder: dir.map(|dir| dir.to_string_lossy().into_owned()),
    };
    if options.digest {
        outln!("{digest}");
        return options.json.answer(|| answer(None));
    }
    let tree =
        store.tree(digest)?.ok_or_else(|| BuildError::Input(format!("the store has lost `{}`", options.node)))?;
    if options.list {
        let mut lines = String::new();
        for (path, entry) in tree.iter() {
            let line = serde_json::to_string(&(path, entry)).map_err(|error| BuildError::Input(error.to_string()))?;
            lines.push_str(&ascii_where_unprintable(&line));
            lines.push('\n');
        }
        print::out(lines.as_bytes());
    }
    if let Some(dir) = &options.dir {
        store.materialise(&tree, dir, Materialise::Copy).map_err(|error| match error {
            StoreError::Exists { .. } => {
                CommandError::input(error.to_string()).hint("name a folder that is not there yet")
            }
            StoreError::Io { ref path, ref source, .. } if path == dir => {
                let is_missing = source.kind() == io::ErrorKind::NotFound;
                let failed = CommandError::of_named(&error, source);
                if is_missing { failed.hint("make the folder that it is to lie in first") } else { failed }
            }
            error => error.into(),
        })?;
    }
    options.json.answer(|| answer(options.dir.as_ref()))
}

/// The same JSON, in which characters that a terminal may obey are escaped as JSON escapes them.
fn ascii_where_unprintable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        let mut buffer = [0; 4];
        let shown = c.encode_utf8(&mut buffer);
        if printable(&*shown).to_string() == *shown {
            text.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::ascii_where_unprintable;

    #[test]
    fn a_hostile_name_stays_the_same_name() {
        let name = "a\u{1b}[31m\u{7f}\u{9b}2J\u{202e}\u{e0001}é\\\"\n";
        let json = serde_json::to_string(name).unwrap();
        let shown = ascii_where_unprintable(&json);
        assert!(
            !shown.contains(|c: char| c.is_control() || c == '\u{202e}' || c == '\u{e0001}') && shown.contains('é')
        );
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), name);
    }
}
