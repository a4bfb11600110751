//! Python 2.7 by both engines of the loader beside a native Python of the same version: seconds of
//! the processor for pystone and small programs, the best of five, and how much of the native speed
//! that is.
//!
//!     pynbox-build install DEST python --engine native
//!     pynbox-build checkout x86_64-linux/python-host/build HOST
//!     PYNBOX_BENCH_DEST=DEST PYNBOX_BENCH_PYTHON=HOST/python PYNBOX_BENCH_PYSTONE=FOLDER-OF-pystone.py \
//!         cargo bench --bench native

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const WORK: &str = include_str!("native/work.py");
const ROUNDS: usize = 5;

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

fn main() -> ExitCode {
    let (Some(dest), Some(python)) = (variable("PYNBOX_BENCH_DEST"), variable("PYNBOX_BENCH_PYTHON")) else {
        println!("native: set PYNBOX_BENCH_DEST and PYNBOX_BENCH_PYTHON (see the top of benches/native.rs)");
        return ExitCode::SUCCESS;
    };
    let pystone = variable("PYNBOX_BENCH_PYSTONE");
    let pystone = pystone.map(|folder| std::fs::read_to_string(folder.join("pystone.py")).expect("`pystone.py`"));
    let mut host = Command::new(python.join("bin/python2.7"));
    host.env_clear().env("PYTHONHOME", &python);
    let by = |engine: &str| {
        let mut command = Command::new(dest.join("bin/run"));
        command.args(["--engine", engine, "python"]);
        command
    };
    let mut sides = [host, by("wasmtime"), by("native")];
    for side in &mut sides {
        side.args(["-B", "-c", WORK]).args(&pystone);
    }
    let mut best: BTreeMap<String, [f64; 3]> = BTreeMap::new();
    // In turn, so that what else the machine does hits all alike.
    for _ in 0..ROUNDS {
        for (number, side) in sides.iter_mut().enumerate() {
            let output = side.output().expect("a program that starts");
            assert!(output.status.success(), "{side:?}: {}", String::from_utf8_lossy(&output.stderr));
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let (name, seconds) = line.split_once(' ').expect("a name and seconds");
                let seconds: f64 = seconds.parse().expect("seconds");
                let least = &mut best.entry(name.to_owned()).or_insert([f64::INFINITY; 3])[number];
                *least = least.min(seconds);
            }
        }
    }
    println!("{:<16}{:>10}{:>18}{:>18}", "", "host", "wasmtime", "native");
    let mut logarithms = [0.0; 2];
    for (name, [host, wasmtime, native]) in &best {
        let shares = [host / wasmtime, host / native];
        println!(
            "{name:<16}{:>8.0}ms{:>8.0}ms ({:.2}){:>8.0}ms ({:.2})",
            host * 1e3,
            wasmtime * 1e3,
            shares[0],
            native * 1e3,
            shares[1]
        );
        for (sum, share) in logarithms.iter_mut().zip(shares) {
            *sum += share.ln();
        }
    }
    let count = f64::from(u32::try_from(best.len()).unwrap_or(1));
    let mean = logarithms.map(|sum| (sum / count).exp());
    println!("{:<26}{:>17.2} {:>17.2}", "geometric mean of shares", mean[0], mean[1]);
    ExitCode::SUCCESS
}
