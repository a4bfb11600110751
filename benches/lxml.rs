//! lxml in the sandbox beside a native lxml of the same versions, which the same recipes build:
//! what it does with a document of 10 MB, in milliseconds, the best of five; and what its import
//! costs at the start of a program, the best and the middle of a hundred.
//!
//!     pynbox-build install DEST && pynbox-build install DEST lxml
//!     pynbox-build checkout x86_64-linux/python-host/build HOST
//!     pynbox-build checkout x86_64-linux/lxml/tree HOST-LXML
//!     PYNBOX_BENCH_DEST=DEST PYNBOX_BENCH_PYTHON=HOST/python PYNBOX_BENCH_LXML=HOST-LXML \
//!         cargo bench --bench lxml

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const WORK: &str = include_str!("lxml/work.py");
const STARTS: usize = 100;

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
    let sandboxed = |arguments: &[&str]| {
        let mut command = Command::new(dest.join("bin/run"));
        command.arg("-m").arg(format!("{}:/:ro", dest.join("root").display()));
        command.arg("-m").arg(format!("{}:/bench:rw", folder.path().display())).arg("python").args(arguments);
        command
    };

    let there = folder.path().display().to_string();
    let native = work(natively(&[&format!("{there}/work.py"), &there]));
    let sandbox = work(sandboxed(&["/bench/work.py", "/bench"]));
    println!("{:<24}{:>10}{:>10}{:>8}", "", "native", "sandbox", "ratio");
    for ((name, native), (_, sandbox)) in native.iter().zip(&sandbox) {
        println!("{name:<24}{:>8.1}ms{:>8.1}ms{:>8.2}", native * 1e3, sandbox * 1e3, sandbox / native);
    }

    // In turn, so that what else the machine does hits all alike.
    let programs = ["pass", "import lxml.etree"];
    let mut cases: Vec<_> = programs
        .iter()
        .flat_map(|program| {
            let mut plain = Command::new(dest.join("bin/run"));
            plain.args(["python", "-c", program]);
            [natively(&["-c", program]), plain]
        })
        .map(|command| (command, Vec::new()))
        .collect();
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
    let at = |case: usize, place: usize| cases[case].1[place];
    for (label, place) in [("best", 0), ("middle", STARTS / 2)] {
        let (native, sandbox) = (at(2, place), at(3, place));
        println!(
            "{:<24}{native:>8.1}ms{sandbox:>8.1}ms{:>8.2}",
            format!("start and import, {label}"),
            sandbox / native
        );
        let (native, sandbox) = (at(2, place) - at(0, place), at(3, place) - at(1, place));
        println!("{:<24}{native:>8.1}ms{sandbox:>8.1}ms{:>8.2}", format!("import alone, {label}"), sandbox / native);
    }
    ExitCode::SUCCESS
}

/// The lines of `work.py`: what was done, and its seconds.
fn work(mut command: Command) -> Vec<(String, f64)> {
    let output = command.stderr(Stdio::inherit()).output().expect("a program that starts");
    assert!(output.status.success(), "{command:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(name, seconds)| (name.to_owned(), seconds.parse().expect("a number of seconds"))).collect()
}
