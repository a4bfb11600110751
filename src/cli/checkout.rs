//! `pynbox-build checkout NODE DIR`: lays out a node's tree in a folder; builds it if it is not
//! there.

use std::path::PathBuf;

use build_graph::node::NodeName;
use build_graph::untrusted::printable;
use clap::Args;

use super::print;
use super::{CommandError, Session};
use crate::build::BuildError;
use crate::build::builder::Stamps;
use crate::store::{Materialise, StoreError};

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
    #[arg(long)]
    list: bool,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let store = &workplace.store;
    let digest = workplace.builder(Stamps::Old).obtain(&options.node)?.tree;
    if options.digest {
        outln!("{digest}");
        return Ok(());
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
            StoreError::Io { doing, path, source } if path == *dir => CommandError::named(doing, path)(source),
            error => error.into(),
        })?;
    }
    Ok(())
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
