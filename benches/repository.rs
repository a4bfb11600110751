//! From nothing to `All passed` from a repository: python, lxml and tests are published to nginx on
//! loopback, with code that is compiled already, and installed from there into an empty folder by a
//! machine with an empty store; beside a copy of what is installed (`cp -a`). Prints milliseconds,
//! the best and the middle of five.
//!
//! Needs a built tool and a warm store (`./quickstart.sh DEST`), and nginx.
//!
//!     cargo bench --bench repository

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use testing::web;

const ROUNDS: usize = 5;
const PACKAGES: [&str; 3] = ["python", "lxml", "tests"];

fn main() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = Path::new(env!("CARGO_BIN_EXE_pynbox-build"));
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let key = Command::new(tool).args(["cache", "keygen"]).arg(at("key.pem")).output().expect("a key").stdout;
    let key = String::from_utf8(key).expect("text").split('"').nth(1).expect("the public key").to_owned();
    let server = web::nginx(&at("nginx"));
    let address = format!("http://127.0.0.1:{}/pynbox", server.port);
    // The plan of another build of the tool is not taken.
    run(Command::new(tool).arg("gen").current_dir(project));
    let publish = Instant::now();
    let mut command = Command::new(tool);
    run(command
        .args(["publish", &address])
        .args(PACKAGES)
        .current_dir(project)
        .env("PYNBOX_SIGNING_KEY", at("key.pem")));
    println!("{:<48}{:8.0}", "publish", publish.elapsed().as_secs_f64() * 1000.0);
    let clear = |name: &str| drop(fs::remove_dir_all(at(name)));
    let install = || {
        let mut command = Command::new(tool);
        command.arg("install").arg(at("dest")).args(PACKAGES).args(["--repo", &address, "--trust", &key]);
        run(command.current_dir(folder.path()).env("PYNBOX_CACHE", at("cache")));
    };
    let nothing = || ["dest", "cache"].into_iter().for_each(clear);
    let installed = times(nothing, install);
    let tested = times(nothing, || {
        install();
        run(&mut Command::new(at("dest/bin/test_pynbox")));
    });
    let copy = times(|| clear("copy"), || run(Command::new("cp").arg("-a").arg(at("dest")).arg(at("copy"))));
    println!("{:<48}{:>8}{:>8}", "", "best", "middle");
    println!("{:<48}{:8.0}{:8.0}", "install from a repository, empty store", installed.0, installed.1);
    println!("{:<48}{:8.0}{:8.0}", "the same, until `All passed`", tested.0, tested.1);
    println!("{:<48}{:8.0}{:8.0}", "cp -a of what is installed", copy.0, copy.1);
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a program that starts");
    assert!(status.success(), "{command:?}");
}

fn times(before: impl Fn(), timed: impl Fn()) -> (f64, f64) {
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
