//! lxml in the sandbox beside a native lxml of the same versions, which the same recipes build:
//! what it does with a document of 10 MB, in milliseconds of the processor, the best of five; and
//! what its import costs at the start of a program, the best and the middle of a hundred.
//!
//!     pynbox-build install DEST && pynbox-build install DEST lxml [--engine native]
//!     pynbox-build checkout x86_64-linux/python-host/build HOST
//!     pynbox-build checkout x86_64-linux/lxml/tree HOST-LXML
//!     PYNBOX_BENCH_DEST=DEST PYNBOX_BENCH_PYTHON=HOST/python PYNBOX_BENCH_LXML=HOST-LXML \
//!         cargo bench --bench lxml

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "speed/mod.rs"]
mod speed;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const WORK: &str = include_str!("lxml/work.py");
const STARTS: usize = 100;
/// The native Python.
const HOST: &str = "host";

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

fn main() -> ExitCode {
    let (Some(dest), Some(python), Some(lxml)) =
        (variable("PYNBOX_BENCH_DEST"), variable("PYNBOX_BENCH_PYTHON"), variable("PYNBOX_BENCH_LXML"))
    else {
        println!(
            "lxml: set PYNBOX_BENCH_DEST, PYNBOX_BENCH_PYTHON and PYNBOX_BENCH_LXML (see the top of benches/lxml.rs)"
        );
        return ExitCode::SUCCESS;
    };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("work.py"), WORK).expect("a folder that can be written");
    let site = lxml.join("python/lib/python2.7/site-packages");
    let natively = |arguments: &[&str]| {
        let mut command = Command::new(python.join("bin/python2.7"));
        command.env_clear().env("PYTHONHOME", &python).env("PYTHONPATH", &site).args(arguments);
        command
    };
    let sandboxed = |engine: &'static str| {
        let mut command = Command::new(dest.join("bin/run"));
        command.args(["--engine", engine, "-m"]).arg(format!("{}:/:ro", dest.join("root").display()));
        command.arg("-m").arg(format!("{}:/bench:rw", folder.path().display()));
        command.args(["python", "/bench/work.py", "/bench"]);
        (engine, command)
    };
    let there = folder.path().display().to_string();
    let mut sides =
        vec![(HOST, natively(&[&format!("{there}/work.py"), &there])), sandboxed("wasmtime"), sandboxed("native")];
    if !dest.join("lib/native/lxml.etree").exists() {
        sides.pop();
    }
    speed::compare(&mut sides);

    // In turn, so that what else the machine does hits all alike.
    let programs = ["pass", "import lxml.etree"];
    let ways: Vec<&str> = sides.iter().map(|(name, _)| *name).collect();
    let start = |way: &str, program: &str| {
        if way == HOST {
            return natively(&["-c", program]);
        }
        let mut command = Command::new(dest.join("bin/run"));
        command.args(["--engine", way, "python", "-c", program]);
        command
    };
    let commands = ways.iter().flat_map(|way| programs.map(|program| start(way, program)));
    let mut cases: Vec<_> = commands.map(|command| (command, Vec::new())).collect();
    for round in 0..=STARTS {
        for (command, times) in &mut cases {
            let start = Instant::now();
            let status = command.stdin(Stdio::null()).status().expect("a program that starts");
            assert!(status.success(), "{command:?}");
            // The first fills caches.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    for (_, times) in &mut cases {
        times.sort_by(f64::total_cmp);
    }
    for (label, place) in [("best", 0), ("middle", STARTS / 2)] {
        let at = |case: usize| cases[case].1[place];
        let whole: Vec<f64> = (0..ways.len()).map(|way| at(2 * way + 1)).collect();
        let alone: Vec<f64> = (0..ways.len()).map(|way| at(2 * way + 1) - at(2 * way)).collect();
        for (what, times) in [("start and import", whole), ("import alone", alone)] {
            let cells = times.iter().map(|time| format!("{:>18}", format!("{time:.1} ms ({:.2})", time / times[0])));
            println!("{:<24}{}", format!("{what}, {label}"), cells.collect::<String>());
        }
    }
    ExitCode::SUCCESS
}
