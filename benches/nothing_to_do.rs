//! `gen && ninja` with nothing to do, for 600 and for 10,000 nodes, beside ninja alone on as many
//! edges that are up to date. Prints milliseconds, the best and the middle of thirty; then the same
//! from a clean checkout with a warm store. Each ninja asks `gen` whether anything changed, because
//! times of files do not tell; `ninja, N nodes` beside ninja alone shows what that costs.
//!
//!     cargo bench --bench nothing_to_do

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use pynbox_build::build_graph::dsl::{Bundle, Context, Handle, RecipeSet, recipe};
use pynbox_build::recipes::{self, toolchains};

/// With this variable set, the program is the tool with the recipes of this file.
const AS_TOOL: &str = "PYNBOX_BENCH_AS_TOOL";
/// How many nodes the recipe has.
const NODES: &str = "PYNBOX_BENCH_NODES";
const SIZES: [usize; 2] = [600, 10_000];

fn main() -> ExitCode {
    if std::env::var_os(AS_TOOL).is_some() {
        return pynbox_build::main(bundle);
    }
    println!("{:<48}{:>8}{:>8}", "", "best", "middle");
    for nodes in SIZES {
        compare(nodes);
    }
    ExitCode::SUCCESS
}

fn compare(nodes: usize) {
    let parent = std::env::var_os("PYNBOX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let project = folder.path().join("project");
    fs::create_dir(&project).expect("a folder");
    fs::write(project.join("pynbox.toml"), "").expect("a file");
    let store = folder.path().join("store");
    let program = std::env::current_exe().expect("this program");
    let gen_verb = || {
        let mut command = Command::new(&program);
        command
            .arg("gen")
            .env(AS_TOOL, "1")
            .env(NODES, nodes.to_string())
            .env("PYNBOX_CACHE", &store)
            .current_dir(&project);
        command
    };
    let ninja = |folder: &Path| {
        let mut command = Command::new("ninja");
        // ninja may start this program to write its file anew.
        command.current_dir(folder).env(AS_TOOL, "1").env(NODES, nodes.to_string()).env("PYNBOX_CACHE", &store);
        command
    };

    let reference = folder.path().join("reference");
    fs::create_dir(&reference).expect("a folder");
    let mut text = "rule copy\n  command = cp $in $out\n".to_owned();
    for edge in 0..nodes {
        let _ = writeln!(text, "build out{edge}: copy in{edge}");
        fs::write(reference.join(format!("in{edge}")), edge.to_string()).expect("a file");
    }
    fs::write(reference.join("build.ninja"), text).expect("a file");
    run(&mut ninja(&reference));
    run(&mut gen_verb());
    run(&mut ninja(&project));

    let alone = times(30, || {}, || run(&mut ninja(&reference)));
    let both = || {
        run(&mut gen_verb());
        run(&mut ninja(&project));
    };
    let asking = times(30, || {}, || run(&mut ninja(&project)));
    let ours = times(30, || {}, both);
    let clean = || {
        let _ = fs::remove_dir_all(project.join("out"));
        let _ = fs::remove_file(project.join("build.ninja"));
    };
    let checkout = times(15, clean, both);
    let line = |what: &str, (best, middle): (f64, f64)| println!("{what:<48}{best:8.1}{middle:8.1}");
    line(&format!("ninja alone, {nodes} edges up to date"), alone);
    line(&format!("ninja, {nodes} nodes, which asks for changes"), asking);
    line(&format!("gen && ninja, {nodes} nodes, nothing to do"), ours);
    line(&format!("gen && ninja, {nodes} nodes, clean checkout, warm store"), checkout);
    println!("{:<48}{:8.2}{:8.2}", "nothing to do, times ninja alone", ours.0 / alone.0, ours.1 / alone.1);
}

fn bundle() -> Bundle {
    let bundle = recipes::bundle();
    let recipe = recipe("bench", "1").targets(&[toolchains::WASM]).describe(describe);
    let set = RecipeSet { toolchains: bundle.set.toolchains.clone(), recipes: vec![recipe], ..RecipeSet::default() };
    Bundle { set, sources: None, ..bundle }
}

/// Half of the nodes hold a file each, the other half merges one of those with the node before.
fn describe(cx: &mut Context<'_>) {
    let mut last: Option<Handle> = None;
    let nodes: usize = std::env::var(NODES).ok().and_then(|nodes| nodes.parse().ok()).unwrap_or(SIZES[0]);
    for number in 0..nodes / 2 {
        let file = cx.text_file(&format!("text{number}"), &format!("file{number}"), &number.to_string(), false);
        // Chains of twenty: the trees of one chain of all would be of the square of the number.
        last = last.filter(|_| number % 20 != 0);
        let parts = std::iter::once(file).chain(last).map(|handle| (handle.all(), "")).collect::<Vec<_>>();
        last = Some(cx.merge(&format!("merge{number}"), parts));
    }
    if let Some(last) = last {
        cx.tree(&last, "");
    }
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("a program that starts");
    assert!(status.success(), "{command:?}");
}

/// The best and the middle of several runs, in milliseconds.
fn times(count: usize, mut before: impl FnMut(), mut timed: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            before();
            let start = Instant::now();
            timed();
            start.elapsed()
        })
        .collect();
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    (milliseconds(times[0]), milliseconds(times[count / 2]))
}
