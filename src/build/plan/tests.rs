use build_graph::graph::Graph;
use build_graph::node::{Op, Part, Selection};
use build_graph::{BlobDigest, Entry, Projection, RelPath, Tree};

use super::new::{Block, NODES_A_BLOCK, chunks};
use super::nodes::{ORDINARY_BLOCK, write_entry};
use super::*;

fn graph(names: &[&str]) -> Graph {
    let node = |name: &&str| Node {
        name: name.parse().unwrap(),
        recipe: "test".into(),
        declared_at: None,
        op: Op::Local { tree: Tree::new() },
    };
    let aliases = BTreeMap::from([("all".to_owned(), names.iter().map(|name| name.parse().unwrap()).collect())]);
    Graph::new(names.iter().map(node).collect(), aliases).unwrap()
}

fn known(at: usize) -> Option<Known> {
    let digest = TreeDigest::from_bytes([7; 32]);
    (at != 1).then(|| Known { tree: digest, key: (at == 2).then(|| NodeKey::from_bytes([9; 32])) })
}

#[test]
fn what_is_read_is_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = OutDir::new(folder.path());
    assert!(matches!(Plan::open(&out), Err(BuildError::NoPlan { .. })));
    let graph = graph(&["a/b", "c", "d"]);
    let new = NewPlan::new(&graph, known).unwrap();
    let id = new.write(&out).unwrap();
    let plan = Plan::open(&out).unwrap();
    assert_eq!(*plan.id(), id);
    assert!(plan.is_whole());
    for (at, node) in graph.nodes().iter().enumerate() {
        assert_eq!(plan.node(&node.name).unwrap(), *node);
        assert_eq!(plan.known_result(node.name.as_str()), known(at));
    }
    assert_eq!(plan.alias("all").unwrap().len(), 3);
    assert_ne!(NewPlan::new(&graph, |_| None).unwrap().id, id);
}

/// Every byte of a plan matters, and none of them makes a reader panic.
#[test]
fn a_damaged_plan_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let out = OutDir::new(folder.path());
    NewPlan::new(&graph(&["a/b", "c", "d"]), known).unwrap().write(&out).unwrap();
    let whole = fs::read(out.plan()).unwrap();
    for at in 0..whole.len() {
        for bytes in [&whole[..at], &[&whole[..at], b"~", &whole[at + 1..]].concat()] {
            fs::write(out.plan(), bytes).unwrap();
            assert!(Plan::open(&out).map_or(true, |plan| !plan.is_whole()), "at {at}");
        }
    }
}

/// Who reads single nodes of a plan that was damaged sees one that is there, or is told.
#[test]
fn a_damaged_order_leads_to_no_other_node() {
    let folder = tempfile::tempdir().unwrap();
    let out = OutDir::new(folder.path());
    let graph = graph(&["a/b", "c", "d"]);
    NewPlan::new(&graph, known).unwrap().write(&out).unwrap();
    let whole = fs::read(out.plan()).unwrap();
    for at in 0..whole.len() {
        for byte in [0, b'7', 0xff] {
            fs::write(out.plan(), [&whole[..at], &[byte], &whole[at + 1..]].concat()).unwrap();
            let Ok(nodes) = Nodes::open(&out) else { continue };
            for node in graph.nodes() {
                match nodes.node(&node.name) {
                    Ok(found) => assert_eq!(found.name, node.name),
                    Err(error) => assert!(matches!(error, BuildError::Plan { .. } | BuildError::NoNode { .. })),
                }
            }
        }
    }
}

/// What a damaged plan says of a description's place and length costs no memory.
#[test]
fn a_description_that_is_not_in_the_plan_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let out = OutDir::new(folder.path());
    let node = graph(&["a"]).nodes()[0].clone();
    let block = Block::of(std::slice::from_ref(&node)).unwrap();
    let (packed, length) = (block.bytes.len(), block.documents[0].len());
    let read = |place: &str| {
        let start = format!("takers 0 {packed} 0\n");
        let head = format!("{start}node {place} - - local a - r\n");
        let first = FirstLine::of(&PlanId::of(head.as_bytes()), head.len(), 1);
        let mut order = Vec::new();
        write_entry(&mut order, 0, start.len() as u32);
        fs::write(out.plan(), [first.as_bytes(), head.as_bytes(), &order, &block.bytes].concat()).unwrap();
        let single = Nodes::open(&out).unwrap().node(&node.name);
        let of_all = Plan::open(&out).and_then(|plan| plan.node(&node.name));
        assert_eq!(single.is_ok(), of_all.is_ok(), "{place}: {single:?}");
        assert!(single.is_ok() || matches!(single, Err(BuildError::Plan { .. })), "{single:?}");
        of_all
    };
    assert_eq!(read(&format!("0 {packed} 0 {length}")).unwrap(), node);
    for wrong in [
        format!("0 {} 0 {length}", packed + 1),
        format!("{packed} 1 0 {length}"),
        format!("18446744073709551615 {packed} 0 {length}"),
        format!("0 9999999999999999999 0 {length}"),
        format!("0 {packed} 0 {}", length + 1),
        format!("0 {packed} 1 {length}"),
        format!("0 {packed} 0 9999999999999999999"),
        format!("0 {packed} 18446744073709551615 1"),
        format!("0 {packed} -1 {length}"),
    ] {
        assert!(matches!(read(&wrong), Err(BuildError::Plan { .. })), "{wrong}");
    }
}

/// Nodes of several blocks, one of which is larger than what is decompressed at once.
#[test]
fn every_node_of_a_large_plan_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let out = OutDir::new(folder.path());
    let names: Vec<_> = (0..3 * NODES_A_BLOCK).map(|number| format!("n{number}")).collect();
    let mut nodes = graph(&names.iter().map(String::as_str).collect::<Vec<_>>()).nodes().to_vec();
    let mut tree = Tree::new();
    for number in 0..ORDINARY_BLOCK / 32 {
        let target = format!("{number:032}");
        let path = RelPath::new(format!("{number}")).unwrap();
        tree.insert(path, Entry::Symlink { target }).unwrap();
    }
    nodes[NODES_A_BLOCK].op = Op::Local { tree };
    assert_eq!(chunks(&nodes).iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), [128, 1, 128, 127]);
    let graph = Graph::new(nodes, BTreeMap::new()).unwrap();
    NewPlan::new(&graph, known).unwrap().write(&out).unwrap();
    let plan = Plan::open(&out).unwrap();
    assert!(plan.is_whole());
    assert_eq!(plan.names().count(), names.len());
    for (at, node) in graph.nodes().iter().enumerate() {
        assert_eq!(plan.node(&node.name).unwrap(), *node);
        assert_eq!(plan.known_result(node.name.as_str()), known(at));
    }
    assert!(matches!(plan.node(&"n".parse().unwrap()), Err(BuildError::NoNode { .. })));
    let single = Nodes::open(&out).unwrap();
    for (at, node) in graph.nodes().iter().enumerate() {
        assert_eq!(single.node(&node.name).unwrap(), *node);
        assert_eq!(single.known_tree(&node.name).unwrap(), known(at).map(|known| known.tree));
    }
    for name in ["a", "n", "n383x", "o"].map(|name| name.parse().unwrap()) {
        assert_eq!(single.known_tree(&name).unwrap(), None);
        assert_eq!(single.node(&name).unwrap_err().to_string(), plan.node(&name).unwrap_err().to_string());
    }
}

fn files(count: usize, content: &str) -> Tree {
    let path = |number| RelPath::new(format!("{number}.c")).unwrap();
    let entry =
        Entry::File { digest: BlobDigest::of(content.as_bytes()), size: content.len() as u64, executable: false };
    let mut tree = Tree::new();
    (0..count).for_each(|number| tree.insert(path(number), entry.clone()).unwrap());
    tree
}

/// Two trees of files, and nodes that take a file of one of them, all of it, or another node.
fn library(trees: [&Tree; 2]) -> Graph {
    let node = |name: &str, op| Node { name: name.parse().unwrap(), recipe: "lib".into(), declared_at: None, op };
    let merge = |inputs: &[(&str, &str)]| {
        let part = |(input, pattern): &(&str, &str)| {
            let include = (*pattern).split_whitespace().map(|glob| glob.parse().unwrap()).collect();
            let part = Projection::new(include, Vec::new(), None);
            Part { selection: Selection { node: input.parse().unwrap(), part }, at: None }
        };
        Op::Merge { parts: inputs.iter().map(part).collect() }
    };
    let nodes = vec![
        node("first", Op::Local { tree: trees[0].clone() }),
        node("second", Op::Local { tree: trees[1].clone() }),
        node("one", merge(&[("first", "1.c"), ("second", "2.c")])),
        node("two", merge(&[("first", "2.c")])),
        node("all", merge(&[("first", "")])),
        node("last", merge(&[("one", ""), ("two", "")])),
    ];
    Graph::new(nodes, BTreeMap::from([("lib".to_owned(), vec!["last".parse().unwrap()])])).unwrap()
}

#[test]
fn a_plan_with_other_files_is_the_plan_of_a_graph_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = OutDir::new(folder.path());
    let second = files(3, "second");
    for (before, after) in [(3, 4), (2000, 1999), (4, 2000), (1025, 1024)] {
        let plan = NewPlan::new(&library([&files(before, "old"), &second]), known).unwrap().open(&out).unwrap();
        let others = BTreeMap::from([(0, plan.with_files(0, files(after, "new")).unwrap())]);
        let is_known = |at| known(at + 1);
        let amended = NewPlan::amended(&plan, &others, is_known).unwrap();
        let wanted = NewPlan::new(&library([&files(after, "new"), &second]), is_known).unwrap();
        match amended {
            None => assert_ne!(before > 1024, after > 1024, "{before} {after}"),
            Some(amended) => {
                assert_eq!(amended.id, wanted.id, "{before} {after}");
                let amended = amended.open(&out).unwrap();
                assert_eq!(amended.node(&"first".parse().unwrap()).unwrap(), others[&0]);
                assert_eq!(amended.node(&"two".parse().unwrap()).unwrap(), plan.node(&"two".parse().unwrap()).unwrap());
            }
        }
    }
}

#[test]
fn a_plan_tells_whom_a_file_concerns() {
    let folder = tempfile::tempdir().unwrap();
    let out = OutDir::new(folder.path());
    let graph = library([&files(3, "first"), &files(3, "second")]);
    let plan = NewPlan::new(&graph, known).unwrap().open(&out).unwrap();
    let names = |local: &str, file: &str| {
        let mut paths = Tree::new();
        paths.insert(RelPath::new(file).unwrap(), Entry::EmptyDirectory).unwrap();
        let nodes = plan.concerned(plan.table().find(local).unwrap(), &paths).unwrap();
        nodes.into_iter().map(|at| plan.table().name(at)).collect::<Vec<_>>()
    };
    assert_eq!(names("first", "1.c"), ["one", "all"]);
    assert_eq!(names("first", "2.c"), ["two", "all"]);
    assert_eq!(names("first", "0.c"), ["all"]);
    assert_eq!(names("second", "2.c"), ["one"]);
    assert_eq!(names("second", "1.c"), [""; 0]);
}

#[test]
fn names_that_are_like_a_misspelt_one() {
    let names = ["wasm32-wasi/zlib/adler32.o", "wasm32-wasi/zlib/tree", "zlib", "wasm32-wasi", "image/host"];
    let like = |name: &str| similar(name, names.into_iter());
    assert_eq!(like("zlb")[0], "zlib");
    assert_eq!(like("adler32.o"), ["wasm32-wasi/zlib/adler32.o"]);
    assert_eq!(like("wasm32-wasi/zlib/adler23.o")[0], "wasm32-wasi/zlib/adler32.o");
    assert_eq!(like("wasm32_wasi")[0], "wasm32-wasi");
    assert_eq!(like("q"), [""; 0]);
}
