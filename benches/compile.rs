//! What hermetic compiling costs: `gen && ninja` on 1,000 units, each an action of its own in the
//! sandbox, beside plain ninja, which runs the same clang, of the same files, with the same flags.
//! Both run two jobs at once and start from no objects, turn about in one run.
//!
//! Prints seconds on the clock and of the processor, the best of several runs, and the ratio of
//! ours to plain ninja's. The compiler is that of the image `image/wasm`, which is in the store
//! after `ninja sandbox_inner`; the objects of each run stay there until `cache gc`.
//!
//!     cargo bench --bench compile [UNITS]

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod cost;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use cost::{Cost, cost};
use pynbox_build::build_graph::dsl::{Context, recipe};
use pynbox_build::recipes::{self, toolchains};
use pynbox_build::store::{Materialise, Store};

/// With this variable set, the program is the tool with the recipe of this file.
const AS_TOOL: &str = "PYNBOX_BENCH_AS_TOOL";
/// How many units there are.
const UNITS: &str = "PYNBOX_BENCH_UNITS";
const DEFAULT_UNITS: usize = 1000;
const HEADERS: usize = 100;
const RUNS: usize = 3;
const FILES: &str = "recipes/files/many";

fn main() -> ExitCode {
    if std::env::var_os(AS_TOOL).is_some() {
        let many = recipe("many", "1").targets(&[toolchains::WASM]).files(FILES).describe(describe);
        return pynbox_build::main(move || recipes::bundle().with(many));
    }
    let units = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_UNITS);
    measure(units);
    ExitCode::SUCCESS
}

fn describe(cx: &mut Context<'_>) {
    let units = std::env::var(UNITS).ok().and_then(|units| units.parse().ok()).unwrap_or(DEFAULT_UNITS);
    let units: Vec<_> = (0..units).map(|number| format!("unit{number}.c")).collect();
    let objects = cx.compile().sources(units).headers("include/*.h").include("include").finish();
    for object in objects {
        cx.tree(&object, "");
    }
}

fn measure(units: usize) {
    let parent = std::env::var_os("PYNBOX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let project = folder.path().join("project");
    let files = project.join(FILES);
    fs::create_dir_all(files.join("include")).expect("a folder");
    fs::write(project.join("pynbox.toml"), "").expect("a file");
    for header in 0..HEADERS {
        let text = format!("struct header{header} {{ int a, b; }};\nint function{header}(struct header{header} *);\n");
        fs::write(files.join(format!("include/header{header}.h")), text).expect("a file");
    }
    let program = std::env::current_exe().expect("this program");
    let ours = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&project).env(AS_TOOL, "1").env(UNITS, units.to_string());
        command
    };
    write_units(&files, units, 0);
    cost(&mut ours(&program, &["gen"]));
    let sysroot = folder.path().join("sysroot");
    cost(&mut ours(&program, &["checkout", "wasm32-wasi/sandbox_inner/tree", &sysroot.to_string_lossy()]));
    // The image that actions see, not a copy: how the kernel keeps the bytes of the compiler in
    // memory decides what a start of it takes.
    let store = Store::open(&Store::default_root().expect("a place for the store")).expect("a store");
    let answer = ours(&program, &["list", "image/wasm", "--json"]).output().expect("a program that starts");
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    let tree = answer["nodes"][0]["tree"].as_str().and_then(|tree| tree.parse().ok()).expect("an image that is known");
    let image = store.materialised(tree, Materialise::Link).expect("an image");
    let plain = folder.path().join("plain");
    fs::create_dir(&plain).expect("a folder");
    fs::write(plain.join("build.ninja"), plain_ninja(units, &files, image.path(), &sysroot)).expect("a file");

    let stamps: Vec<_> =
        (0..units).map(|number| format!("out/stamps/{}/many/unit{number}.o.digest", toolchains::WASM)).collect();
    let mut arguments = vec!["-j2"];
    arguments.extend(stamps.iter().map(String::as_str));
    let (mut hermetic, mut reference): (Vec<Cost>, Vec<Cost>) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        // Nobody has built what has another number in it.
        let number = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set").as_nanos();
        write_units(&files, units, number);
        let (gen_cost, ninja_cost) =
            (cost(&mut ours(&program, &["gen"])), cost(&mut ours(Path::new("ninja"), &arguments)));
        hermetic.push(Cost {
            clock: gen_cost.clock + ninja_cost.clock,
            cpu: gen_cost.cpu + ninja_cost.cpu,
            memory: ninja_cost.memory,
        });
        let _ = fs::remove_dir_all(plain.join("objects"));
        let _ = fs::remove_file(plain.join(".ninja_log"));
        reference.push(cost(Command::new("ninja").arg("-j2").current_dir(&plain)));
    }
    println!("{:<34}{:>8}{:>8}", "", "clock", "CPU");
    let best = |costs: &[Cost]| *costs.iter().min_by_key(|cost| cost.cpu).expect("at least one run");
    let (hermetic, reference) = (best(&hermetic), best(&reference));
    for (what, cost) in [("plain ninja", reference), ("gen && ninja, hermetic", hermetic)] {
        let (clock, cpu) = (cost.clock.as_secs_f64(), cost.cpu.as_secs_f64());
        println!("{:<34}{clock:8.2}{cpu:8.2}", format!("{units} units, {what}"));
    }
    let ratio = |of: fn(&Cost) -> f64| of(&hermetic) / of(&reference);
    let (clock, cpu) = (ratio(|cost| cost.clock.as_secs_f64()), ratio(|cost| cost.cpu.as_secs_f64()));
    println!("{:<34}{clock:8.2}{cpu:8.2}", "hermetic, times plain ninja");
}

fn write_units(files: &Path, units: usize, run: u128) {
    for unit in 0..units {
        let header = unit % HEADERS;
        let text = format!(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include \"header{header}.h\"\n\
             static const char run[] = \"{run}\";\n\
             int unit{unit}(struct header{header} *it, char *text) {{\n\
             \x20   for (size_t at = 0; at < strlen(text); at++) it->a += text[at] * (int)sizeof run;\n\
             \x20   printf(\"%d %s %d\\n\", function{header}(it), run, abs(it->b));\n    return it->a;\n}}\n"
        );
        fs::write(files.join(format!("unit{unit}.c")), text).expect("a file");
    }
}

/// The build file of plain ninja: the image's clang, started by the image's own loader of programs,
/// because the C library of this machine may be an older one.
fn plain_ninja(units: usize, files: &Path, image: &Path, sysroot: &Path) -> String {
    let (image, sysroot, files) = (image.display(), sysroot.display(), files.display());
    let libraries = format!("{image}/usr/lib/x86_64-linux-gnu");
    let flags = toolchains::wasm()
        .cflags()
        .replace("/sysroot", &sysroot.to_string())
        .replace("/usr/include", &format!("{image}/usr/include"));
    let mut text = format!(
        "rule cc\n  command = {libraries}/ld-linux-x86-64.so.2 --library-path {libraries}:{image}/usr/lib/llvm-19/lib \
         {image}/usr/lib/llvm-19/bin/clang --target=wasm32-wasi -resource-dir {image}/usr/lib/llvm-19/lib/clang/19 \
         {flags} -I{files}/include -c $in -o $out\n"
    );
    for unit in 0..units {
        let _ = writeln!(text, "build objects/unit{unit}.o: cc {files}/unit{unit}.c");
    }
    text
}
