//! From a clean clone to an installed sandbox when everything was built before: `gen && ninja &&
//! install` of the real packages, beside a copy of what is installed (`cp -a`). Prints
//! milliseconds, the best and the middle of nine.
//!
//! Needs a built tool and a warm store (`./quickstart.sh DEST`) and runs git, to clone this
//! repository as it was committed last.
//!
//!     cargo bench --bench warm_install

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 9;

fn main() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = Path::new(env!("CARGO_BIN_EXE_pynbox-build"));
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let all = |project: &Path, dest: &Path| {
        run(Command::new(tool).arg("gen").current_dir(project));
        run(Command::new("ninja").current_dir(project));
        run(Command::new(tool).arg("install").arg(dest).current_dir(project));
    };
    let clone = || run(Command::new("git").args(["clone", "--quiet"]).arg(repository).arg(at("clone")));
    clone();
    all(&at("clone"), &at("first"));
    let clear = |name: &str| drop(fs::remove_dir_all(at(name)));
    let ours = times(
        || {
            clear("clone");
            clear("dest");
            clone();
        },
        || all(&at("clone"), &at("dest")),
    );
    let copy = times(|| clear("copy"), || run(Command::new("cp").arg("-a").arg(at("first")).arg(at("copy"))));
    println!("{:<48}{:>8}{:>8}", "", "best", "middle");
    println!("{:<48}{:8.0}{:8.0}", "gen && ninja && install, clean clone, warm", ours.0, ours.1);
    println!("{:<48}{:8.0}{:8.0}", "cp -a of what is installed", copy.0, copy.1);
    println!("{:<48}{:8.2}{:8.2}", "times the copy", ours.0 / copy.0, ours.1 / copy.1);
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("a program that starts");
    assert!(status.success(), "{command:?}");
}

fn times(mut before: impl FnMut(), mut timed: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            before();
            let start = Instant::now();
            timed();
            start.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[ROUNDS / 2])
}
