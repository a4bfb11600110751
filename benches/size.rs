//! The verb `gen` as a whole, on a C library of 10,000 and of 100,000 units, each a compile action
//! over one file and 100 headers; the library's source is an override, so its files are read too.
//! Beside it ninja's own no-op on the same number of edges, in the same run.
//!
//! Prints seconds on the clock, seconds of the processor (user and system), and the peak of
//! resident memory; the best of several runs:
//!
//! - *first*: nothing in the store, nothing in `out/`;
//! - *cold*: the store has the files of the library, nothing in `out/`;
//! - *edit*: one unit was changed;
//! - *replaced*: another file was put in a unit's place, as editors and git do it;
//! - *unchanged*: nothing was changed, and nothing is built;
//! - questions about the plan, by their names.
//!
//!     cargo bench --bench size [UNITS…]

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod cost;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use cost::{Cost, cost};
use pynbox_build::build_graph::dsl::{Bundle, Context, Locks, RecipeSet, Toolchain, recipe};
use pynbox_build::build_graph::node::{Source, Target};
use pynbox_build::build_graph::{RelPath, Sha256};
use pynbox_build::recipes;

/// With this variable set, the program is the tool with the recipes of this file.
const AS_TOOL: &str = "PYNBOX_BENCH_AS_TOOL";
/// How many units the library has.
const UNITS: &str = "PYNBOX_BENCH_UNITS";
const SIZES: [usize; 2] = [10_000, 100_000];
const HEADERS: usize = 100;
const TARGET: &str = "x86_64-linux";
const LIBRARY: &str = "big";

fn main() -> ExitCode {
    if std::env::var_os(AS_TOOL).is_some() {
        return pynbox_build::main(bundle);
    }
    let sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    println!("{:<64}{:>8}{:>8}{:>9}", "", "clock", "CPU", "MiB");
    for units in if sizes.is_empty() { SIZES.to_vec() } else { sizes } {
        measure(units);
    }
    ExitCode::SUCCESS
}

fn bundle() -> Bundle {
    let bundle = recipes::bundle();
    let mut locks = Locks::default();
    // An image of no packages: its tree is known after one action that takes a moment.
    locks.image.insert("empty".to_owned(), Vec::new());
    locks.version.insert(LIBRARY.to_owned(), "1".to_owned());
    let file = RelPath::new("big.tar").expect("a path");
    let sha256: Sha256 = "0".repeat(64).parse().expect("a digest");
    locks.source.insert(LIBRARY.to_owned(), Source { file, sha256, size: None, origins: Vec::new() });
    let recipe = recipe(LIBRARY, "1").targets(&[TARGET]).describe(describe);
    let toolchains = vec![Toolchain::new(TARGET, "empty")];
    let set = RecipeSet { toolchains, recipes: vec![recipe], ..RecipeSet::default() };
    Bundle { set, locks, sources: None, default_target: Target(TARGET.into()), ..bundle }
}

fn describe(cx: &mut Context<'_>) {
    let units: usize = std::env::var(UNITS).ok().and_then(|units| units.parse().ok()).unwrap_or(SIZES[0]);
    let units: Vec<_> = (0..units).map(unit).collect();
    cx.c_library(LIBRARY)
        .sources(units)
        .headers("include/*.h")
        .include("include")
        .public_headers("include/*.h")
        .shared();
}

fn unit(number: usize) -> String {
    format!("unit{number}.c")
}

fn measure(units: usize) {
    let parent = std::env::var_os("PYNBOX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let (project, store, library) =
        (folder.path().join("project"), folder.path().join("store"), folder.path().join("library"));
    fs::create_dir(&project).expect("a folder");
    fs::write(project.join("pynbox.toml"), "").expect("a file");
    write_library(&library, units);
    let program = std::env::current_exe().expect("this program");
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).env(AS_TOOL, "1").env(UNITS, units.to_string()).env("PYNBOX_CACHE", &store);
        command.current_dir(&project);
        command
    };
    let option = format!("{LIBRARY}={}", library.display());
    let generate = || tool(&["gen", "--offline", "--override-source", &option]);
    let ninja = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new("ninja");
        command.args(arguments).current_dir(folder);
        // ninja starts this program to write its file anew.
        command.env(AS_TOOL, "1").env(UNITS, units.to_string()).env("PYNBOX_CACHE", &store);
        command
    };
    let forget = || {
        let _ = fs::remove_dir_all(project.join("out"));
        let _ = fs::remove_file(project.join("build.ninja"));
    };
    let show = |what: &str, cost: Cost| {
        let (clock, cpu, memory) = (cost.clock.as_secs_f64(), cost.cpu.as_secs_f64(), cost.memory >> 10);
        println!("{:<64}{clock:8.3}{cpu:8.3}{memory:9}", format!("{units} units, {what}"));
    };

    show("ninja's own no-op", reference(folder.path(), units));
    show("first", cost(&mut generate()));
    cost(&mut ninja(&project, &["out/stamps/image/empty.digest"]));
    let cold = || {
        forget();
        cost(&mut generate())
    };
    show("cold", best(3, cold));
    let before = folder.path().join("before");
    fs::copy(project.join("out/plan"), &before).expect("a plan");
    let mut edits = 0;
    let edit = || {
        edits += 1;
        fs::write(library.join(unit(units / 2)), format!("int edited = {edits};\n")).expect("a file");
        // So that what was changed is older than a step of the file system's clock.
        std::thread::sleep(Duration::from_millis(50));
        cost(&mut generate())
    };
    show("edit", best(5, edit));
    let mut edits = 0;
    let replace = || {
        edits += 1;
        let new = library.join("new");
        fs::write(&new, format!("int replaced = {edits};\n")).expect("a file");
        fs::rename(&new, library.join(unit(units / 2))).expect("a file");
        std::thread::sleep(Duration::from_millis(50));
        cost(&mut generate())
    };
    show("replaced", best(3, replace));
    show("unchanged", best(5, || cost(&mut generate())));
    let object = format!("{TARGET}/{LIBRARY}/{}", unit(0).replace(".c", ".o"));
    let some = format!("{TARGET}/{LIBRARY}/unit1*.o");
    for question in [
        &["why", &object][..],
        &["query", "deps", &object],
        &["query", "rdeps", &format!("source/{LIBRARY}/tree"), "--depth", "1"],
        &["list", &some],
        &["diff", &before.to_string_lossy(), "plan"],
    ] {
        show(&question.join(" ").replace(&*before.to_string_lossy(), "EARLIER"), best(3, || cost(&mut tool(question))));
    }
}

fn write_library(library: &Path, units: usize) {
    fs::create_dir_all(library.join("include")).expect("a folder");
    for header in 0..HEADERS {
        fs::write(library.join(format!("include/header{header}.h")), format!("extern int in{header};\n"))
            .expect("a file");
    }
    for number in 0..units {
        fs::write(library.join(unit(number)), format!("int unit{number} = {number};\n")).expect("a file");
    }
}

/// ninja alone, on as many edges that are up to date.
fn reference(folder: &Path, units: usize) -> Cost {
    let reference = folder.join("reference");
    fs::create_dir(&reference).expect("a folder");
    let mut text = "rule copy\n  command = cp $in $out\n  generator = 1\n".to_owned();
    for edge in 0..units {
        let _ = writeln!(text, "build out{edge}: copy in{edge}");
        // What is newer than its input is up to date, without a log as well.
        for name in ["in", "out"] {
            fs::write(reference.join(format!("{name}{edge}")), "").expect("a file");
        }
    }
    fs::write(reference.join("build.ninja"), text).expect("a file");
    best(3, || {
        let mut command = Command::new("ninja");
        command.current_dir(&reference);
        cost(&mut command)
    })
}

/// The cheapest of several runs.
fn best(times: usize, mut run: impl FnMut() -> Cost) -> Cost {
    (0..times).map(|_| run()).min_by_key(|cost| cost.cpu).expect("at least one run")
}
