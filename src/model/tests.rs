use std::collections::BTreeMap;

use build_graph::graph::Graph;
use build_graph::node::{Op, Part, Selection};
use build_graph::{NodeKey, Projection, Tree};

use super::walk::Way;
use super::*;
use crate::build::plan::{Known, NewPlan, OutDir};

/// `a` ← `wasm32-wasi/b` ← `wasm32-wasi/d`, and `wasm32-wasi/c` takes `a`, too.
fn plan(out: &OutDir) -> Plan {
    let node = |name: &str, inputs: &[&str]| {
        let part = |input: &&str| Part {
            selection: Selection { node: input.parse().unwrap(), part: Projection::all() },
            at: None,
        };
        let op = match inputs {
            [] => Op::Local { tree: Tree::new() },
            inputs => Op::Merge { parts: inputs.iter().map(part).collect() },
        };
        Node { name: name.parse().unwrap(), recipe: "lib".into(), declared_at: None, op }
    };
    let nodes = vec![
        node("a", &[]),
        node("wasm32-wasi/b", &["a"]),
        node("wasm32-wasi/c", &["a"]),
        node("wasm32-wasi/d", &["wasm32-wasi/b"]),
    ];
    let aliases = BTreeMap::from([("wasm32-wasi/lib".to_owned(), vec!["wasm32-wasi/d".parse().unwrap()])]);
    let graph = Graph::new(nodes, aliases).unwrap();
    let known = Known { tree: Tree::new().digest(), key: Some(NodeKey::from_bytes([9; 32])) };
    NewPlan::new(&graph, |at| (graph.nodes()[at].name.as_str() == "wasm32-wasi/c").then_some(known))
        .unwrap()
        .open(out)
        .unwrap()
}

#[test]
fn a_model_answers_what_nodes_are_and_how_they_hang_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let plan = plan(&OutDir::new(folder.path()));
    let model = Model::new(&plan, &store);
    let at = |name: &str| model.table().find(name).unwrap();
    let names = |nodes: Vec<At>| nodes.into_iter().map(|at| model.table().name(at)).collect::<Vec<_>>();
    let reached = |way| names(model.reach(&[at("wasm32-wasi/b")], way, None).into_iter().map(|(at, _)| at).collect());
    assert_eq!(reached(Way::Inputs), ["a", "wasm32-wasi/b"]);
    assert_eq!(reached(Way::Users), ["wasm32-wasi/b", "wasm32-wasi/d"]);
    assert_eq!(model.reach(&[at("a")], Way::Users, Some(1)).len(), 3);
    let path = model.path(&[at("wasm32-wasi/d")], &[at("a")]).unwrap();
    assert_eq!(names(path), ["wasm32-wasi/d", "wasm32-wasi/b", "a"]);
    assert_eq!(model.path(&[at("a")], &[at("wasm32-wasi/d")]), None);

    assert_eq!(names(model.named("wasm32-wasi/lib").unwrap()), ["wasm32-wasi/d"]);
    assert_eq!(names(model.named("wasm32-wasi/[bc]").unwrap()), ["wasm32-wasi/b", "wasm32-wasi/c"]);
    assert!(matches!(model.named("wasm32-wasi/e"), Err(BuildError::NoNode { .. })));
    assert!(matches!(model.named("x*"), Err(BuildError::NoNode { .. })));
    assert!(matches!(model.named("[*"), Err(BuildError::Input(_))));

    assert_eq!((model.target(at("a")), model.target(at("wasm32-wasi/b"))), (None, Some("wasm32-wasi")));
    assert_eq!(model.planned(at("wasm32-wasi/c")), Standing::Known);
    assert_eq!(model.planned(at("wasm32-wasi/b")), Standing::Left);
    // The store has not got `a`, which is made again when somebody needs it.
    assert_eq!(model.standing(at("a")).unwrap(), Standing::Built);
    assert_eq!(model.standing(at("wasm32-wasi/b")).unwrap(), Standing::Ready);
    assert_eq!(model.standing(at("wasm32-wasi/d")).unwrap(), Standing::Waiting);
    let record = model.record(at("wasm32-wasi/d"), true).unwrap();
    assert_eq!((record.inputs, record.operation.as_str()), (vec!["wasm32-wasi/b".to_owned()], "merge"));
    assert_eq!(model.size(at("wasm32-wasi/d")).unwrap(), None);
}
