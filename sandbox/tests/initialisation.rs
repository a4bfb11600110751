//! Initialisations, which `--precompile` runs, that mean harm: each is ended, and says why; nothing
//! of it is kept.

#![cfg(feature = "wasm")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Dest, Ended, module};

/// A program whose initialisation is this.
fn initialises(dest: &Dest, init: &str) -> String {
    let body = format!(
        r#"(func (export "pynbox_snapshot_init") {init})
           (func (export "pynbox_snapshot_resume"))
           (func (export "_start"))"#
    );
    // Imports come first.
    let poll = r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
    let text = module("(table $table 1 funcref)", &body).replacen("(module", &format!("(module {poll}"), 1);
    dest.guest("init", &text)
}

fn precompile(dest: &Dest, path: &str) -> Ended {
    let ended = dest.run(["--precompile", "--init-time", "2", path]);
    // Not even the program's own code.
    let kept = fs::read_dir(dest.compiled()).map_or(0, Iterator::count);
    assert!(ended.status == 0 || kept == 0, "{ended:?}");
    ended
}

const LOOP: &str = "(loop $again (br $again))";

#[test]
fn one_that_never_returns_is_ended() {
    let dest = Dest::new();
    for init in [
        LOOP,
        // Sleeps for a thousand years.
        r#"(i64.store (i32.const 1024) (i64.const 0)) (i32.store8 (i32.const 1032) (i32.const 0))
           (i32.store (i32.const 1040) (i32.const 1)) (i64.store (i32.const 1048) (i64.const 0x7000000000000000))
           (loop $again (drop (call $poll (i32.const 1024) (i32.const 1200) (i32.const 1) (i32.const 1300))) (br $again))"#,
        // Asks for what is not there, under names without end.
        r#"(loop $again
             (i32.store (i32.const 2000) (i32.add (i32.load (i32.const 2000)) (i32.const 1)))
             (i32.store (i32.const 2004) (i32.or (i32.load (i32.const 2000)) (i32.const 0x41414141)))
             (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 2004) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 40)))
             (br $again))"#,
    ] {
        let path = initialises(&dest, init);
        precompile(&dest, &path).assert_error(2, "its initialisation took longer than 2 s");
    }
}

#[test]
fn one_that_eats_memory_is_ended() {
    let dest = Dest::new();
    // All that it may have, every page of it written to.
    let all = r#"(local $at i32)
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 64)) (i32.const -1))))
        (loop $write
          (i32.store (local.get $at) (i32.const 0x01010101))
          (local.set $at (i32.add (local.get $at) (i32.const 4096)))
          (br_if $write (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))"#;
    let path = initialises(&dest, all);
    let ended = dest.run(["--precompile", "--init-time", "60", &path]);
    ended.assert_error(2, "its initialised state can't be kept");
    let table = "(loop $more (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 100000)) (i32.const -1)))) unreachable";
    let path = initialises(&dest, table);
    precompile(&dest, &path).assert_error(2, "its initialised state can't be kept");
}

#[test]
fn what_one_prints_is_bounded() {
    let dest = Dest::new();
    let path = initialises(
        &dest,
        r#"(local $left i32) (local.set $left (i32.const 20000))
           (memory.fill (i32.const 4096) (i32.const 120) (i32.const 60000))
           (loop $again
             (call $puts (i32.const 4096) (i32.const 60000))
             (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))"#,
    );
    let ended = dest.run(["--precompile", "--init-time", "60", &path]);
    ended.assert_error(2, "it wrote: xxxx");
    assert!(ended.err.len() < 1000, "{}", ended.err.len());
}

#[test]
fn one_that_ends_itself_or_traps_is_refused() {
    let dest = Dest::new();
    let path = initialises(&dest, "(call $exit (i32.const 0))");
    precompile(&dest, &path).assert_error(2, "ended the program with status 0");
    let path = initialises(&dest, "unreachable");
    precompile(&dest, &path).assert_error(2, "`pynbox_snapshot_init` failed");
}

/// What a process says of itself, once it is started by `parent`.
fn child_of(parent: u32, wanted: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if status.contains(&format!("\nPPid:\t{parent}\n")) && line.contains("--initialise") && wanted(&status) {
                let limits = fs::read_to_string(entry.path().join("limits")).unwrap_or_default();
                return status + &limits;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no process of `{parent}` initialises anything behind the wall");
}

#[test]
fn it_runs_behind_the_wall_and_ends_with_whoever_asked() {
    let dest = Dest::new();
    let path = initialises(&dest, LOOP);
    let mut loader = dest.command(["--precompile", "--init-time", "120", &path]);
    let mut loader = loader.0.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let said = child_of(loader.id(), |status| status.contains("\nSeccomp:\t2\n"));
    for line in ["NoNewPrivs:\t1", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"] {
        assert!(said.contains(&format!("\n{line}\n")), "{said}");
    }
    for limit in ["Max data size             2147483648", "Max processes             0", "Max core file size        0"]
    {
        assert!(said.contains(limit), "{said}");
    }
    let process = said.lines().find_map(|line| line.strip_prefix("Pid:\t")).unwrap().to_owned();
    loader.kill().unwrap();
    loader.wait().unwrap();
    let start = Instant::now();
    while Path::new("/proc").join(&process).join("exe").read_link().is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "it lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_process_answers_nobody_who_gives_it_no_code() {
    let dest = Dest::new();
    for input in ["", "nonsense"] {
        fs::write(dest.path().join("input"), input).unwrap();
        let mut run = dest.command(["--initialise"]);
        run.0.stdin(fs::File::open(dest.path().join("input")).unwrap());
        let ended = run.ended();
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(!ended.out.is_empty());
    }
}
