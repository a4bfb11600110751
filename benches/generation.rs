//! How long it takes to put a graph together and to write it out as ninja, for 1,000, 10,000 and
//! 100,000 nodes; beside it cmake's Ninja generator for the same number of custom commands, and
//! ninja reading our file.
//!
//!     cargo bench --bench generation

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use build_graph::graph::Graph;
use build_graph::ninja::{LeftNode, NinjaSettings, write_ninja};
use build_graph::node::{Action, ActionInput, Node, NodeName, Op, Selection, Target};
use build_graph::{Glob, Projection, RelPath, SandboxPath};

/// A graph as real ones are: compile actions that take one file and one header set, and a link for
/// every hundred of them.
fn nodes(count: usize) -> Vec<Node> {
    let name = |text: String| NodeName::new(text).expect("a valid name");
    let whole = |node: &NodeName| Selection { node: node.clone(), part: Projection::all() };
    let source = name("source/tree".into());
    let image = name("image/tools".into());
    let empty = |name: &NodeName| Node {
        name: name.clone(),
        recipe: "bench".into(),
        declared_at: None,
        op: Op::Local { tree: build_graph::Tree::new() },
    };
    let mut nodes = vec![empty(&source), empty(&image)];
    let mut objects = Vec::new();
    while nodes.len() < count {
        let unit = nodes.len();
        let inputs = if unit % 101 == 0 {
            objects
                .drain(..)
                .map(|object| ActionInput { selection: whole(&object), at: path("/build/objects") })
                .collect()
        } else {
            let file = Projection::new(vec![Glob::new(format!("unit{unit}.c")).expect("a glob")], Vec::new(), None);
            vec![
                ActionInput { selection: Selection { node: source.clone(), part: file }, at: path("/build/src") },
                ActionInput { selection: whole(&source), at: path("/build/include") },
            ]
        };
        let node = name(format!("wasm32-wasi/bench/unit{unit}.o"));
        let action = Action {
            image: whole(&image),
            command: build_graph::Command::new(["clang-19", "-O2", "-c", "src/unit.c", "-o", "unit.o"]),
            environment: BTreeMap::new(),
            inputs,
            outputs: vec![RelPath::new("unit.o").expect("a path")],
            target: Target("wasm32-wasi".into()),
            pool: None,
        };
        objects.push(node.clone());
        nodes.push(Node { name: node, recipe: "bench".into(), declared_at: None, op: Op::Action(action) });
    }
    nodes
}

fn path(text: &str) -> SandboxPath {
    SandboxPath::new(text).expect("a path")
}

fn best(times: usize, mut run: impl FnMut() -> Duration) -> Duration {
    (0..times).map(|_| run()).min().unwrap_or_default()
}

fn main() {
    let settings = NinjaSettings {
        run: "pynbox-build run-action".into(),
        run_options: String::new(),
        generate: "pynbox-build gen".into(),
        build_file: "build.ninja".into(),
        never_made: "out/never".into(),
        stamps: "out/stamps".into(),
        plan: "out/plan".into(),
        default: None,
    };
    println!("{:>8} {:>12} {:>16} {:>18}", "nodes", "ours", "ninja -t targets", "cmake -G Ninja");
    for count in [1_000, 10_000, 100_000] {
        let mut text = Vec::new();
        let ours = best(5, || {
            let nodes = nodes(count);
            let start = Instant::now();
            let graph = Graph::new(nodes, BTreeMap::new()).expect("a graph");
            let all: Vec<_> = (0..graph.nodes().len()).map(|node| LeftNode { node, has_to_run: true }).collect();
            text.clear();
            write_ninja(&mut text, &graph, &all, &[], &settings).expect("enough memory");
            start.elapsed()
        });
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("build.ninja"), &text).expect("a file");
        let timed = |program: &str, arguments: &[&str]| {
            let start = Instant::now();
            let status = Command::new(program)
                .args(arguments)
                .current_dir(folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            status.is_ok_and(|status| status.success()).then(|| start.elapsed())
        };
        let show = |time: Option<Duration>| time.map_or("not installed".to_owned(), |time| format!("{time:.1?}"));
        let ninja = timed("ninja", &["-t", "targets", "rule", "node"]);
        let mut lists = "cmake_minimum_required(VERSION 3.10)\nproject(bench NONE)\n".to_owned();
        for unit in 0..count {
            let _ = writeln!(
                lists,
                "add_custom_command(OUTPUT u{unit}.o COMMAND cc -c u{unit}.c -o u{unit}.o DEPENDS u{unit}.c)"
            );
        }
        // One target of all of them would cost cmake a time that grows with their square.
        for first in (0..count).step_by(100) {
            let _ = write!(lists, "add_custom_target(units{first} ALL DEPENDS");
            for unit in first..(first + 100).min(count) {
                let _ = write!(lists, " u{unit}.o");
            }
            lists.push_str(")\n");
        }
        std::fs::write(folder.path().join("CMakeLists.txt"), lists).expect("a file");
        // A hundred thousand may take cmake minutes; ten thousand say enough.
        let cmake = if count > 10_000 { None } else { timed("cmake", &["-G", "Ninja", "-S", ".", "-B", "cmake"]) };
        let cmake = if count > 10_000 { "not run".to_owned() } else { show(cmake) };
        println!("{count:>8} {:>12} {:>16} {cmake:>18}", format!("{ours:.1?}"), show(ninja));
    }
}
