//! Blaming `--override-source` for what it breaks: a recipe's patterns and patches are right for
//! the pinned source, so that what does not fit is the fault of what somebody put in its place.

use std::collections::BTreeSet;
use std::path::PathBuf;

use build_graph::node::NodeName;
use build_graph::untrusted::printable;

use super::CommandError;
use crate::build::BuildError;

/// The overrides among the options of a `gen`.
pub(super) fn among(options: &[String]) -> Vec<String> {
    let pairs = options.windows(2).filter(|pair| pair[0] == "--override-source");
    pairs.map(|pair| pair[1].clone()).collect()
}

/// Overrides as names and what is taken in their place.
pub(super) fn named(overrides: &[String]) -> Vec<(String, PathBuf)> {
    let split = overrides.iter().filter_map(|option| option.split_once('='));
    split.map(|(name, path)| (name.to_owned(), path.into())).collect()
}

/// Names the override if a node failed that takes of one what is not in it; `inputs` gives the
/// nodes that a node takes.
pub(super) fn blame(
    error: BuildError,
    overrides: &[String],
    inputs: impl Fn(&NodeName) -> Vec<NodeName>,
) -> CommandError {
    let BuildError::Node { node, source } = &error else { return error.into() };
    let sources = sources(node, inputs);
    let Some(option) = overrides.iter().find(|option| {
        let name = option.split_once('=').map_or(option.as_str(), |(name, _)| name);
        sources.contains(name)
    }) else {
        return error.into();
    };
    let option = printable(option);
    let what = match &**source {
        BuildError::Selection { nothing, .. } => {
            format!("it has nothing that matches `{}`, which `{node}` takes of it", printable(&nothing.glob))
        }
        BuildError::Archive(problem) => problem.to_string(),
        BuildError::Patch(problem) => format!("`{node}` can't be made of it: {problem}"),
        _ => return error.into(),
    };
    CommandError::input(format!("`--override-source {option}`: {what}")).hint(
        "give a folder or an archive that is laid out as the pinned one is (a folder: without the folder at its top)",
    )
}

/// The names of the sources that a node is made of by way of nothing but unpacking, patching and
/// laying together.
fn sources(node: &NodeName, inputs: impl Fn(&NodeName) -> Vec<NodeName>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![node.clone()];
    while let Some(node) = open.pop() {
        if let Some(name) = node.as_str().strip_prefix("source/").and_then(|rest| rest.split('/').next()) {
            found.insert(name.to_owned());
            continue;
        }
        let patched = |name: &NodeName| name.as_str().starts_with("source/") || name.as_str().ends_with("/patched");
        open.extend(inputs(&node).into_iter().filter(patched).filter(|input| seen.insert(input.clone())));
    }
    found
}
