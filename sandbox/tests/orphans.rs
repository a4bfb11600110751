//! What a run leaves behind: nothing, however it ended.
//!
//! A test program of its own, whose tests run one at a time: what any process leaves becomes this
//! one's.

#![cfg(feature = "wasm")]

mod common;

use std::fs;
use std::process::Stdio;
use std::sync::Mutex;

use common::libraries::{IMPORTS, library, program};
use common::{Dest, module};

static ALONE: Mutex<()> = Mutex::new(());

/// The state of each process that is this one's child.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let ours = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        (rest.split_whitespace().nth(1) == Some(own.as_str())).then(|| stat.clone())
    });
    ours.collect()
}

#[test]
fn who_compiles_ends_with_the_run() {
    let _alone = ALONE.lock();
    let dest = Dest::new();
    let step = "(local.set 0 (i32.mul (local.get 0) (i32.add (local.get 0) (i32.const 77777))))".repeat(3000);
    let functions = format!("(func (param i32) (result i32) {step} (local.get 0))").repeat(300);
    let large = dest.guest("large", &module("", &format!("{functions} (func (export \"_start\"))")));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut command = dest.command(["--time", "0.5", &large]).0;
    assert_eq!(command.stderr(Stdio::null()).status().unwrap().code(), Some(124));
    assert_eq!(children(), Vec::<String>::new(), "neither running nor dead");
}

#[test]
fn a_guest_that_ends_leaves_no_process() {
    let _alone = ALONE.lock();
    let dest = Dest::new();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    dest.library("00", &library("(mem-info)", &format!("{IMPORTS} (func)")));
    let load = "(drop (call $load (i32.const 100) (i32.const 5) (i32.const 2)))";
    let ends = |name: &str, load: &str, end: &str| {
        dest.guest(name, &program(r#"(data (i32.const 100) "00.so")"#, &format!("{load} {end}")))
    };
    for (name, load, end, status) in [
        ("returns", "", "", 0),
        ("exits", "", "(call $exit (i32.const 7))", 7),
        ("traps", "", "unreachable", 134),
        // Who compiles has begun.
        ("loads", load, "", 0),
        ("loads-exits", load, "(call $exit (i32.const 7))", 7),
        ("loads-traps", load, "unreachable", 134),
    ] {
        let guest = ends(name, load, end);
        // The program is compiled by its first run, and kept after the second command.
        for _ in 0..2 {
            let ended = dest.run([&guest]);
            assert_eq!(children(), Vec::<String>::new(), "{name}: neither running nor dead");
            ended.assert_error(status, "");
            dest.run(["--precompile", &guest]).assert(0, "");
            assert_eq!(children(), Vec::<String>::new(), "{name}: neither running nor dead");
        }
    }
}
