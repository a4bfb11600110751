//! How long `DEST/bin/run python -c pass` takes, and with `-B`, without the snapshot where there is
//! one, and by native code where that is installed, beside the native Python that the same recipes
//! build, and likewise `python3`; what of that
//! each wall around the guest takes; and how many pystones each makes a second.
//!
//! No option and no variable takes a wall down. Here the loader starts behind a filter of the
//! benchmark's (seccomp(2)), which answers the calls that raise one wall as if the kernel had done
//! them, or as a kernel would that has none. The filter looks at as many calls in the case with all
//! walls.
//!
//!     pynbox-build install DEST && pynbox-build checkout x86_64-linux/python-host/build HOST
//!     PYNBOX_BENCH_DEST=DEST PYNBOX_BENCH_PYTHON=HOST/python PYNBOX_BENCH_PYSTONE=FOLDER-OF-PYSTONE cargo bench --bench start
//!
//! With `PYNBOX_BENCH_PYTHON3`, the folder `python3` of `x86_64-linux/python3-host/build`, it takes
//! Python 3, too.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "start/walls.rs"]
mod walls;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Starts of each, one after another in turn, so that what else the machine does hits all alike.
const ROUNDS: usize = 100;

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// Starts each case [`ROUNDS`] times, and sorts the times.
///
/// # Errors
///
/// The case that fails.
fn measure<'n>(cases: &mut [(&'n str, Command, Vec<Duration>)]) -> Result<(), &'n str> {
    for round in 0..=ROUNDS {
        for (name, command, times) in &mut *cases {
            let start = Instant::now();
            let status = command.stdin(Stdio::null()).status();
            let time = start.elapsed();
            if !status.is_ok_and(|status| status.success()) {
                return Err(name);
            }
            // The first fills caches.
            if round > 0 {
                times.push(time);
            }
        }
    }
    cases.iter_mut().for_each(|(_, _, times)| times.sort());
    Ok(())
}

/// The command of a native Python.
fn natively(program: &Path, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PYTHONHOME", home).args(arguments);
    command
}

/// Measures and prints how long a Python takes to start; gives whether all of its starts succeed.
fn starts(run: &Path, short_name: &str, native: &Path, home: &Path) -> bool {
    let sandboxed = |arguments: &[&str]| {
        let mut command = Command::new(run);
        command.arg(short_name).args(arguments);
        command
    };
    let mut cases: Vec<(&str, Command, Vec<Duration>)> = vec![
        ("native", natively(native, home, &["-c", "pass"]), Vec::new()),
        ("run", sandboxed(&["-c", "pass"]), Vec::new()),
        ("run -B (no snapshot)", sandboxed(&["-B", "-c", "pass"]), Vec::new()),
    ];
    if run.parent().and_then(Path::parent).is_some_and(|dest| dest.join("lib/native").join(short_name).is_dir()) {
        let by_native_code = |arguments: &[&str]| {
            let mut command = Command::new(run);
            command.args(["--engine", "native", short_name]).args(arguments);
            command
        };
        cases.push(("native code", by_native_code(&["-c", "pass"]), Vec::new()));
        cases.push(("native code -B", by_native_code(&["-B", "-c", "pass"]), Vec::new()));
    }
    if let Err(name) = measure(&mut cases) {
        println!("start: `{name}` fails");
        return false;
    }
    println!("{:<26} {:>10} {:>10} {:>8}", format!("{short_name} -c pass"), "best", "middle", "ratio");
    let mut reference = None;
    for (name, _, times) in &cases {
        let middle = times[times.len() / 2];
        let reference = *reference.get_or_insert(middle);
        let ratio = middle.as_secs_f64() / reference.as_secs_f64();
        println!("{name:<26} {:>10} {:>10} {ratio:>7.2}x", format!("{:.1?}", times[0]), format!("{middle:.1?}"));
    }
    true
}

fn main() -> ExitCode {
    let (Some(dest), Some(python)) = (variable("PYNBOX_BENCH_DEST"), variable("PYNBOX_BENCH_PYTHON")) else {
        println!("start: set PYNBOX_BENCH_DEST and PYNBOX_BENCH_PYTHON (see the top of benches/start.rs)");
        return ExitCode::SUCCESS;
    };
    let run = dest.join("bin/run");
    let native = python.join("bin/python2.7");
    if !starts(&run, "python", &native, &python) {
        return ExitCode::FAILURE;
    }
    if let Some(python3) = variable("PYNBOX_BENCH_PYTHON3")
        && !starts(&run, "python3", &python3.join("bin/python3"), &python3)
    {
        return ExitCode::FAILURE;
    }
    if walls::measure(&run, ROUNDS).is_none() {
        println!("start: a start without one of the walls fails");
        return ExitCode::FAILURE;
    }
    let Some(pystone) = variable("PYNBOX_BENCH_PYSTONE") else { return ExitCode::SUCCESS };
    let code = "import sys; sys.path.insert(0, sys.argv[1]); import pystone; print max(pystone.pystones(200000)[1] for _ in range(3))";
    let mut guest = Command::new(&run);
    guest
        .arg("-m")
        .arg(format!("{}/root:/:ro", dest.display()))
        .arg("-m")
        .arg(format!("{}:/pystone:ro", pystone.display()));
    guest.args(["python", "-c", code, "/pystone"]);
    let mut host = natively(&native, &python, &["-B", "-c", code]);
    host.arg(&pystone);
    let score = |command: &mut Command| -> Option<f64> {
        String::from_utf8(command.output().ok()?.stdout).ok()?.trim().parse().ok()
    };
    match (score(&mut host), score(&mut guest)) {
        (Some(native), Some(sandboxed)) => {
            println!(
                "pystones a second: native {native:.0}, sandboxed {sandboxed:.0} ({:.0} %)",
                100.0 * sandboxed / native
            );
            ExitCode::SUCCESS
        }
        _ => {
            println!("start: pystone fails; is `pystone.py` in `{}`?", pystone.display());
            ExitCode::FAILURE
        }
    }
}
