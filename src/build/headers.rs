//! Whether the folders that an action's flags name hold headers, when all that it sees is known.

use std::sync::Arc;

use build_graph::Tree;
use build_graph::dsl::{below, header_folders};
use build_graph::node::Action;

/// Returns what is wrong with a flag of an action whose inputs have these trees.
pub fn wrong_folder(action: &Action, trees: &[Arc<Tree>]) -> Option<String> {
    let inputs = || action.inputs.iter().zip(trees);
    let wrong = |(_, folder): &(String, String)| {
        // A folder between `/build` and an input holds that input.
        !inputs().any(|(input, tree)| {
            let at = input.at.as_str();
            let inside = || {
                let rest = below(folder, at)?;
                let beginning = if rest.is_empty() { String::new() } else { format!("{rest}/") };
                tree.with_prefix(&beginning).next()
            };
            !tree.is_empty() && (below(at, folder).is_some() || inside().is_some())
        })
    };
    let (flag, folder) = header_folders(action.command.words()).into_iter().find(wrong)?;
    let places: Vec<_> = inputs().map(|(input, _)| format!("`{}`", input.at)).collect();
    Some(format!(
        "the flag `{flag}` names `{folder}`, where nothing is. What it sees is at {}; paths in flags are relative to \
         `/build`: correct the flag, or what the recipe selects",
        if places.is_empty() { "no place".to_owned() } else { places.join(", ") }
    ))
}

#[cfg(test)]
mod tests {
    use build_graph::node::{ActionInput, NodeName, Selection, Target};
    use build_graph::{BlobDigest, Command, Entry, Projection, RelPath, SandboxPath};

    use super::*;

    fn tree(paths: &[&str]) -> Arc<Tree> {
        let mut tree = Tree::new();
        for path in paths {
            let entry = Entry::File { digest: BlobDigest::of(b""), size: 0, executable: false };
            tree.insert(RelPath::new(*path).unwrap(), entry).unwrap();
        }
        Arc::new(tree)
    }

    #[test]
    fn a_folder_that_holds_nothing_is_named() {
        let selection = || Selection { node: NodeName::new("n").unwrap(), part: Projection::all() };
        let input = |at: &str| ActionInput { selection: selection(), at: SandboxPath::new(at).unwrap() };
        let said = |flags: &str| {
            let action = Action {
                image: selection(),
                command: Command::new(flags.split(' ')),
                environment: Default::default(),
                inputs: ["/build/headers", "/build/lib/python"].map(input).to_vec(),
                outputs: Vec::new(),
                target: Target("t".into()),
                pool: None,
            };
            wrong_folder(&action, &[tree(&["src/a.h", "b.h"]), tree(&["include/python2.7/Python.h"])])
        };
        for fine in ["-Iheaders", "-Iheaders/src -I .", "-I/build/lib", "-Ilib/python/include", "-I/usr/include", "-DX"]
        {
            assert_eq!(said(fine), None, "{fine}");
        }
        for wrong in
            ["-Iheaders/include", "-Ilib/python/include/python2", "-iquote head", "-isystem /build/headers/b.h"]
        {
            assert!(
                said(wrong).is_some_and(|said| said.starts_with(&format!("the flag `{wrong}` names `/build/"))),
                "{wrong}"
            );
        }
    }
}
