//! What a run leaves behind that a limit ended: nothing.
//!
//! A test of its own, and one alone: what any process leaves becomes this one's.

#![cfg(feature = "wasm")]

mod common;

use std::fs;
use std::process::Stdio;

use common::{Dest, module};

#[test]
fn who_compiles_ends_with_the_run() {
    let dest = Dest::new();
    let step = "(local.set 0 (i32.mul (local.get 0) (i32.add (local.get 0) (i32.const 77777))))".repeat(3000);
    let functions = format!("(func (param i32) (result i32) {step} (local.get 0))").repeat(300);
    let large = dest.guest("large", &module("", &format!("{functions} (func (export \"_start\"))")));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut command = dest.command(["--time", "0.5", &large]).0;
    assert_eq!(command.stderr(Stdio::null()).status().unwrap().code(), Some(124));
    let own = std::process::id().to_string();
    let ours = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        (rest.split_whitespace().nth(1) == Some(own.as_str())).then(|| stat.clone())
    });
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<String>::new(), "neither running nor dead");
}
