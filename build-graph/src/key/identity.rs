//! Identities: what a node's key will be made of, before any of its inputs is built.
//!
//! The identity of a node is made as its key is, with one difference: in the place of the digest of
//! a selected tree stands the digest of the selected node's identity and of the projection. So it
//! follows from the graph alone. Two nodes with one identity have one key, whatever comes out of
//! the nodes before them. The converse does not hold: two selections that give one tree are two
//! identities.

use std::fmt::Write as _;

use super::{KeyInputs, encode_projection};
use crate::encode::{Encode, Encoder, hash};
use crate::graph::Graph;
use crate::untrusted::printable;
use crate::{Glob, NodeKey, Projection, TreeDigest};

/// A selection of a node whose tree is not known.
struct Expected<'a> {
    node: NodeKey,
    part: &'a Projection,
}

impl Encode for Expected<'_> {
    fn domain(&self) -> &'static str {
        "pynbox-identity-v1"
    }

    fn encode(&self, encoder: &mut dyn Encoder) {
        encoder.digest("node", self.node.as_bytes());
        let Self { part, .. } = self;
        let part = Projection::new(sorted(part.include()), sorted(part.exclude()), part.strip().cloned());
        encode_projection(&part, encoder);
    }
}

/// Patterns in an order of their own: theirs does not change what they select.
fn sorted(globs: &[Glob]) -> Vec<Glob> {
    let mut globs = globs.to_vec();
    globs.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    globs.dedup();
    globs
}

/// Returns the identity of each node with what it is made of, in the order of the graph's nodes.
pub fn identities(graph: &Graph) -> Vec<(NodeKey, Vec<String>)> {
    let mut made: Vec<(NodeKey, Vec<String>)> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let selections = node.op.selections();
        let digests: Vec<_> = selections
            .iter()
            .map(|selection| match graph.index_of(&selection.node).and_then(|input| made.get(input)) {
                Some((node, _)) => TreeDigest::from_bytes(hash(&Expected { node: *node, part: &selection.part })),
                // The graph has every input before the node that takes it.
                None => unreachable!("`{}` comes after `{}`", selection.node, node.name),
            })
            .collect();
        let inputs = KeyInputs::new(&node.op, &digests);
        let mut lines = inputs.explain();
        let mut inputs_shown = Vec::with_capacity(selections.len());
        for (selection, digest) in selections.iter().zip(&digests) {
            let part = &selection.part;
            let words = |globs: &[Glob]| sorted(globs).iter().map(Glob::as_str).collect::<Vec<_>>().join(" ");
            let strip = part.strip().map_or("", |strip| strip.as_str());
            let part = match part.is_all() {
                true => String::new(),
                false => format!(" [{}] without [{}] below [{strip}]", words(part.include()), words(part.exclude())),
            };
            inputs_shown.push(format!("{digest} is {}{part}", selection.node));
        }
        inputs_shown.sort_unstable();
        inputs_shown.dedup();
        lines.append(&mut inputs_shown);
        made.push((inputs.key(), lines));
    }
    made
}

/// Returns all nodes of a graph with their identities and what these are made of, sorted by name:
/// equal texts mean that no node's key differs.
pub fn listing(graph: &Graph) -> String {
    let identities = identities(graph);
    let mut nodes: Vec<_> = graph.nodes().iter().zip(&identities).collect();
    nodes.sort_by_key(|(node, _)| &node.name);
    let mut text = String::new();
    for (node, (identity, lines)) in nodes {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{} {} {identity}", node.op.verb(), node.name);
        for line in lines {
            let _ = writeln!(text, "    {}", printable(line).lines());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::node::{Node, NodeName, Op, Part, Selection};
    use crate::{BlobDigest, Entry, RelPath, Tree};

    fn graph(bytes: &[u8], include: &[&str], names: [&str; 2]) -> Graph {
        let mut tree = Tree::new();
        let entry = Entry::File { digest: BlobDigest::of(bytes), size: bytes.len() as u64, executable: false };
        tree.insert(RelPath::new("a").unwrap(), entry).unwrap();
        let [local, merge] = names.map(|name| NodeName::new(name).unwrap());
        let include = include.iter().map(|glob| Glob::new(*glob).unwrap()).collect();
        let part = Projection::new(include, Vec::new(), None);
        let parts = vec![Part { selection: Selection { node: local.clone(), part }, at: None }];
        let node = |name, op| Node { name, recipe: "r".into(), declared_at: None, op };
        Graph::new(vec![node(local, Op::Local { tree }), node(merge, Op::Merge { parts })], BTreeMap::new()).unwrap()
    }

    #[test]
    fn identities_tell_bytes_and_selections_apart_and_no_names_or_orders() {
        let of = |graph: &Graph| identities(graph).into_iter().map(|(identity, _)| identity).collect::<Vec<_>>();
        let one = of(&graph(b"1", &["a", "*"], ["local", "merge"]));
        assert_eq!(one, of(&graph(b"1", &["*", "a"], ["other", "names"])));
        let bytes = of(&graph(b"2", &["a", "*"], ["local", "merge"]));
        assert!(one[0] != bytes[0] && one[1] != bytes[1]);
        let selection = of(&graph(b"1", &["a"], ["local", "merge"]));
        assert!(one[0] == selection[0] && one[1] != selection[1]);
        // A node that takes nothing has its key.
        let graph = graph(b"1", &["a"], ["local", "merge"]);
        assert_eq!(one[0], KeyInputs::new(&graph.nodes()[0].op, &[]).key());
        let text = listing(&graph);
        assert!(text.starts_with(&format!("local local {}\n    domain: pynbox-local-v1\n", one[0])), "{text}");
        assert!(text.ends_with(" is local [a] without [] below []\n"), "{text}");
    }
}
