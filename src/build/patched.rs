//! Which patches touched the files that an action failed at.

use std::fs;

use build_graph::node::{Node, Op};

use super::BuildError;
use super::plan::nodes::Nodes;
use crate::store::Store;

/// Where an action that compiles sees its unit and its headers, as its log names them.
const PLACES: [&str; 2] = ["src", "headers"];

/// Adds to the failure of an action which of the files that its log names are changed by a patch of
/// its recipe: the first thing to look at.
pub(super) fn blame(error: BuildError, plan: &Nodes, store: &Store, node: &Node) -> BuildError {
    match error {
        BuildError::Failed { status, kept, .. } => {
            let log = kept.as_ref().and_then(|kept| fs::read(kept.join("log")).ok()).unwrap_or_default();
            let patched = patches_of(plan, store, node)
                .into_iter()
                .filter_map(|(file, patch)| Some((named(&String::from_utf8_lossy(&log), &file)?, patch)))
                .collect();
            BuildError::Failed { status, kept, patched }
        }
        other => other,
    }
}

/// The name by which a log speaks of a file of the source, if it does.
fn named(log: &str, file: &str) -> Option<String> {
    let mut names = PLACES.iter().map(|place| format!("{place}/{file}"));
    names.find(|name| log.match_indices(name.as_str()).any(|(at, _)| log[at + name.len()..].starts_with(':')))
}

/// The files that patches change of the trees that a node takes, each with the patch.
fn patches_of(plan: &Nodes, store: &Store, node: &Node) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for selection in node.op.selections() {
        let Ok(Node { op: Op::Patch { patches, .. }, .. }) = plan.node(&selection.node) else { continue };
        let Ok(Node { op: Op::Local { tree }, .. }) = plan.node(&patches.node) else { continue };
        for (path, entry) in tree.iter() {
            // What is gone can't be blamed.
            let Ok(bytes) = store.read_blob(entry) else { continue };
            let changed = changed_files(&String::from_utf8_lossy(&bytes));
            found.extend(changed.into_iter().map(|file| (file, path.to_string())));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The files that a patch changes or makes.
fn changed_files(patch: &str) -> Vec<String> {
    let file = |line: &str| Some(line.strip_prefix("+++ b/")?.split('\t').next()?.trim_end().to_owned());
    patch.lines().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_patch_is_found_in_a_log() {
        let patch = "--- a/x/a.c\n+++ b/x/a.c\t2020-01-01\n@@ -1 +1 @@\n-a\n+b\n--- a/b.h\n+++ b/b.h\n";
        assert_eq!(changed_files(patch), ["x/a.c", "b.h"]);
        let log = "src/x/a.c:3:1: error: expected ';'\nIn file included from headers/b.h:1:\n";
        assert_eq!(named(log, "x/a.c").as_deref(), Some("src/x/a.c"));
        assert_eq!(named(log, "b.h").as_deref(), Some("headers/b.h"));
        assert_eq!(named(log, "a.c"), None);
        assert_eq!(named("src/x/a.cc:3: error", "x/a.c"), None);
    }
}
