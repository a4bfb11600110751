//! Python 2.7 by both engines of the loader beside a native Python of the same version: seconds of
//! the processor for pystone and small programs, the best of five, and how much of the native speed
//! that is.
//!
//!     pynbox-build install DEST python --engine native
//!     pynbox-build checkout x86_64-linux/python-host/build HOST
//!     PYNBOX_BENCH_DEST=DEST PYNBOX_BENCH_PYTHON=HOST/python PYNBOX_BENCH_PYSTONE=FOLDER-OF-pystone.py \
//!         cargo bench --bench native

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "speed/mod.rs"]
mod speed;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

const WORK: &str = include_str!("native/work.py");

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
    let mut sides = [("host", host), ("wasmtime", by("wasmtime")), ("native", by("native"))];
    for (_, side) in &mut sides {
        side.args(["-B", "-c", WORK]).args(&pystone);
    }
    speed::compare(&mut sides);
    ExitCode::SUCCESS
}
