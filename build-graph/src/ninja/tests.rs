use std::collections::BTreeMap;

use super::*;
use crate::Projection;
use crate::graph::Graph;
use crate::node::{Node, NodeName, Op, Part, Selection};

fn merge(name: &str, inputs: &[&str]) -> Node {
    let selection = |input: &&str| Selection { node: NodeName::new(*input).unwrap(), part: Projection::all() };
    Node {
        name: NodeName::new(name).unwrap(),
        recipe: "test".into(),
        declared_at: None,
        op: Op::Merge { parts: inputs.iter().map(selection).map(|selection| Part { selection, at: None }).collect() },
    }
}

#[test]
fn known_nodes_are_left_out_and_odd_paths_escaped() {
    let nodes = vec![merge("a", &[]), merge("b", &["a"]), merge("c", &["a", "b"]), merge("d", &["c"])];
    let aliases = BTreeMap::from([
        ("all".to_owned(), vec![NodeName::new("d").unwrap()]),
        ("known".to_owned(), vec![NodeName::new("a").unwrap()]),
    ]);
    let graph = Graph::new(nodes, aliases).unwrap();
    let settings = NinjaSettings {
        run: "'/a b/pynbox-build' run-action".into(),
        run_options: " --plan 1".into(),
        generate: "pynbox-build gen --cost $5".into(),
        build_file: "build.ninja".into(),
        never_made: "out of/nothing".into(),
        stamps: "out/stamps".into(),
        plan: "out of/plan".into(),
        default: Some("all".into()),
    };
    let left = [(1, true), (2, false), (3, false)].map(|(node, has_to_run)| LeftNode { node, has_to_run });
    let mut text = Vec::new();
    write_ninja(&mut text, &graph, &left, &[Pool { name: "fetch".into(), depth: 4 }], &settings).unwrap();
    insta::assert_snapshot!(String::from_utf8(text).unwrap());
}
