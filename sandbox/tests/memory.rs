//! One account for all memory that a guest costs: whatever it does, all processes of the loader
//! together stay within `--max-memory` and a constant.

#![cfg(feature = "wasm")]

mod common;

use std::fmt::Write as _;
use std::fs::{self, File};

use common::libraries::{IMPORTS, library, program};
use common::{Dest, Ended, module, peak};

/// The limit of these tests, in MiB, and what the loader itself may take besides.
const LIMIT: u64 = 64;
const CONSTANT: u64 = 64;
/// `ENOMEM`, as WASI numbers it.
const NOMEM: &str = "48\n";

/// Runs with the limit, and looks that it is kept.
#[track_caller]
fn run(dest: &Dest, arguments: &[&str]) -> Ended {
    run_within(LIMIT, dest, arguments)
}

/// The same with a limit of so many MiB.
#[track_caller]
fn run_within(limit: u64, dest: &Dest, arguments: &[&str]) -> Ended {
    let option = limit.to_string();
    let (ended, peak) = peak::of(&mut dest.command(["--max-memory", &option].iter().chain(arguments)));
    assert!(peak < (limit + CONSTANT) << 10, "{peak} KiB: {ended:?}");
    ended
}

/// A library with nothing but these lines.
fn bare(lines: &str) -> Vec<u8> {
    wat::parse_str(library("(mem-info)", &format!("{IMPORTS} {lines}"))).unwrap()
}

/// The body of a program that loads `/slib/NN.so` for as many numbers and says what failed.
fn load_numbered(count: usize) -> String {
    assert!(count <= 100);
    format!(
        r#"(loop $next
          (i32.store8 (i32.const 100) (i32.add (i32.const 48) (i32.div_u (local.get $i) (i32.const 10))))
          (i32.store8 (i32.const 101) (i32.add (i32.const 48) (i32.rem_u (local.get $i) (i32.const 10))))
          (i32.store (i32.const 102) (i32.const 0x6f732e))
          (drop (call $load (i32.const 100) (i32.const 5) (i32.const 2)))
          (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))"#
    )
}

#[test]
fn linear_memory() {
    let dest = Dest::new();
    // Grows and touches until it is refused, and ends with what it has, in MiB.
    let grow = r#"(func (export "_start") (local $at i32)
        (loop $more
          (local.set $at (memory.grow (i32.const 1)))
          (if (i32.ne (local.get $at) (i32.const -1)) (then
            (memory.fill (i32.mul (local.get $at) (i32.const 65536)) (i32.const 1) (i32.const 65536))
            (br $more))))
        (call $exit (i32.shr_u (memory.size) (i32.const 4))))"#;
    let ended = run(&dest, &[&dest.guest("grow", &module("", grow))]);
    assert!((56..LIMIT as i32).contains(&ended.status), "{ended:?}");
}

#[test]
fn the_status_says_what_was_used() {
    let dest = Dest::new();
    let grow = |pages: u32| {
        let grow = format!("(func (export \"_start\") (drop (memory.grow (i32.const {pages}))))");
        let guest = dest.guest("grow", &module("", &grow));
        let ended = run(&dest, &["--status-fd", "2", &guest]);
        let memory = ended.err.split("\"memory\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        (memory.parse::<u64>().unwrap() >> 20, ended.err.contains("\"reached\":[\"memory\"]"))
    };
    let (used, reached) = grow(32 * 16);
    assert!((32..44).contains(&used) && !reached, "{used} {reached}");
    let (used, reached) = grow(64 * 16);
    assert!(used < 16 && reached, "{used} {reached}");
}

/// Calls that keep nothing, again and again.
#[test]
fn what_is_not_kept_takes_nothing() {
    let dest = Dest::new();
    let long = "x".repeat(4000);
    let data = format!(
        r#"(data (i32.const 100) "program_twice") (data (i32.const 120) "iii>i") (data (i32.const 5000) "/{long}")"#
    );
    let body = r#"
      (loop $next
        (drop (call $dl_symbol (i32.const 0) (i32.const 100) (i32.const 13) (i32.const 24)))
        (drop (call $dl_symbol (i32.const 0) (i32.const 100) (i32.const 12) (i32.const 24)))
        (drop (call $dl_open (i32.const 5000) (i32.const 4001) (i32.const 2) (i32.const 24)))
        (drop (call $fn_closure (i32.const 120) (i32.const 5) (i32.const 2) (i32.const 0) (i32.const 24)))
        (drop (call $fn_release (i32.load (i32.const 24))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4000))))"#;
    let ended = run(&dest, &["--status-fd", "2", &dest.guest("main", &program(&data, body))]);
    let memory = ended.err.split("\"memory\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    assert!(ended.status == 0 && memory.parse::<u64>().unwrap() < 16 << 20, "{ended:?}");
}

#[test]
fn tables() {
    let dest = Dest::new();
    let mut body = String::new();
    let mut tables = String::new();
    for n in 0..8 {
        writeln!(tables, "(table $t{n} 1 funcref)").unwrap();
        writeln!(
            body,
            "(loop $more{n} (br_if $more{n} (i32.ne (i32.const -1) (table.grow $t{n} (ref.func $f) (i32.const 100000)))))"
        )
        .unwrap();
    }
    let grow = format!("{tables} (func $f) (elem declare func $f) (func (export \"_start\") {body})");
    run(&dest, &[&dest.guest("grow", &module("", &grow))]).assert(0, "");
}

#[test]
fn a_program_with_a_large_table() {
    let dest = Dest::new();
    let large = dest.guest("large", &module("", "(table 10000000 funcref) (func (export \"_start\"))"));
    run(&dest, &[&large]).assert_error(137, "--max-memory");
}

#[test]
fn closures() {
    let dest = Dest::new();
    // Each has another signature of 254 letters.
    let body = r#"
      (loop $next
        (local.set $i (i32.const 0)) (local.set $f (local.get $h))
        (loop $letter
          (i32.store8 offset=1024 (local.get $i)
            (i32.load8_u offset=500 (i32.and (local.get $f) (i32.const 3))))
          (local.set $f (i32.rotr (local.get $f) (i32.const 2)))
          (br_if $letter (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 254))))
        (i32.store8 (i32.const 1278) (i32.const 62))
        (local.set $i (call $fn_closure (i32.const 1024) (i32.const 255) (i32.const 2) (i32.const 0) (i32.const 24)))
        (if (local.get $i) (then (call $why (local.get $i)) (call $exit (i32.const 0))))
        (br_if $next (i32.lt_u (local.tee $h (i32.add (local.get $h) (i32.const 1))) (i32.const 60000))))"#;
    let guest = dest.guest("main", &program(r#"(data (i32.const 500) "ildf")"#, body));
    let ended = run_within(32, &dest, &[&guest]);
    assert!(ended.status == 0 && ended.out.starts_with(NOMEM) && ended.out.contains("--max-memory"), "{ended:?}");
}

#[test]
fn code_of_libraries() {
    let dest = Dest::new();
    // What is kept beside the instructions is part of the code, and compiled at once.
    let bytes = bare(&format!("(data \"{}\")", "x".repeat(4 << 20)));
    for n in 0..8 {
        dest.library_bytes(&format!("{n:02}"), &bytes);
    }
    let guest = dest.guest("main", &program("", &load_numbered(8)));
    let ended = run_within(32, &dest, &[&guest]);
    assert!(ended.status == 0 && ended.out.contains(NOMEM) && ended.out.contains("--max-memory"), "{ended:?}");
    assert!(!ended.out.contains("/slib/00.so"), "the first ones fit: {ended:?}");
}

#[test]
fn compilations() {
    let dest = Dest::new();
    let thousand = "i32 ".repeat(1000);
    let many_values = format!(
        r#"(func $get (result {thousand}) {}) (func $put (param {thousand})) {}"#,
        "i32.const 0 ".repeat(1000),
        format!("(func {})", "call $get call $put ".repeat(100)).repeat(20)
    );
    let locals = format!(
        "(func (local {}) {})",
        "i32 ".repeat(4000),
        (0..600)
            .map(|n| format!("(loop (local.set {n} (local.get {})) (br_if 0 (local.get {n})))", n + 1))
            .collect::<String>()
    );
    let bombs = [
        many_values,
        "(func)".repeat(150_000),
        format!(
            "(func (param i32) {})",
            "(local.set 0 (i32.mul (local.get 0) (i32.add (local.get 0) (i32.const 77777))))".repeat(30_000)
        ),
        format!("(func {} {})", "block ".repeat(100_000), "end ".repeat(100_000)),
        format!("(func (param i32) local.get 0 br_table {})", "0 ".repeat(400_000)),
        locals,
        "(type (func (param i64 f32 i32) (result f64)))".repeat(50_000),
        (0..40_000).map(|n| format!("(func (export \"function number {n}\"))")).collect(),
    ];
    for (n, bomb) in bombs.iter().enumerate() {
        dest.library_bytes(&format!("{n:02}"), &bare(bomb));
    }
    let guest = dest.guest("main", &program("", &load_numbered(bombs.len())));
    let ended = run(&dest, &[&guest]);
    assert!(ended.status == 0 && ended.out.contains(NOMEM), "{ended:?}");
    // A program is told nothing: it does not begin.
    let name = dest.guest("bomb", &module("", &format!("{} (func (export \"_start\"))", bombs[0])));
    run(&dest, &[&name]).assert_error(137, "`--max-memory` gives more, and `run --precompile`");
}

/// However little is left, it is memory that is said to be lacking.
#[test]
fn compilations_with_next_to_nothing() {
    let dest = Dest::new();
    dest.library_bytes("00", &bare("(func)"));
    let guest = dest.guest("main", &program("", &load_numbered(1)));
    for limit in 1..8 {
        let ended = run_within(limit, &dest, &[&guest]);
        match ended.status {
            0 => assert!(ended.out.is_empty() || ended.out.starts_with(NOMEM), "{limit}: {ended:?}"),
            _ => ended.assert_error(137, "--max-memory"),
        }
    }
    run_within(8, &dest, &[&guest]).assert(0, "");
}

#[test]
fn a_program_whose_code_does_not_fit_is_not_compiled_again() {
    let dest = Dest::new();
    let data = format!("(data \"{}\") (func (export \"_start\"))", "x".repeat(5 << 20));
    let name = dest.guest("main", &module("", &data));
    dest.run(["--precompile", &name]).assert(0, "");
    let ended = run_within(4, &dest, &[&name]);
    ended.assert_error(137, "KiB of memory that are left");
    assert!(!ended.err.contains("compil"), "{ended:?}");
    run_within(8, &dest, &[&name]).assert(0, "");
}

/// What a program is said to need is enough, and no more than that.
#[test]
fn a_program_that_does_not_fit_says_how_much_it_needs() {
    let dest = Dest::new();
    let body = r#"(table 1000 funcref) (func (export "_start") (call $exit (i32.const 7)))"#;
    let name = dest.guest("main", &module("", body).replace("(export \"memory\") 1)", "(export \"memory\") 320)"));
    dest.run(["--precompile", &name]).assert(0, "");
    let ended = run_within(5, &dest, &[&name]);
    ended.assert_error(137, "MiB to begin with");
    let (_, needed) = ended.err.rsplit_once(' ').unwrap();
    let needed: u64 = needed.trim_end_matches(['`', '\n']).parse().unwrap();
    run_within(needed, &dest, &[&name]).assert(7, "");
    run_within(needed - 1, &dest, &[&name]).assert_error(137, &format!("`--max-memory {needed}`"));
}

#[test]
fn files_with_holes() {
    let dest = Dest::new();
    let head = wat::parse_str("(module)").unwrap();
    let sparse = |path: &str, length: u64| {
        fs::create_dir_all(dest.root().join("slib")).unwrap();
        let path = dest.root().join(path);
        fs::write(&path, &head).unwrap();
        File::options().write(true).open(path).unwrap().set_len(length).unwrap();
    };
    sparse("test/sparse.wasm", 200 << 20);
    run(&dest, &["/test/sparse.wasm"]).assert_error(137, "--max-memory");
    for n in 0..3 {
        sparse(&format!("slib/{n:02}.so"), (64 << 20) - n);
    }
    let ended = run(&dest, &[&dest.guest("main", &program("", &load_numbered(3)))]);
    assert!(ended.status == 0 && ended.out.matches(NOMEM).count() == 3, "{ended:?}");
}

#[test]
fn pipes_and_sockets() {
    let dest = Dest::new();
    // Fills one after the other until there is no descriptor left.
    let body = r#"(memory.grow (i32.const 4)) drop
      (i32.store (i32.const 32) (i32.const 65536)) (i32.store (i32.const 36) (i32.const 212992))
      (loop $next
        (local.set $i (call $fd_pair (i32.const 40)))
        (if (i32.eqz (local.get $i)) (then
          (drop (call $fd_write (i32.load (i32.const 40)) (i32.const 32) (i32.const 1) (i32.const 48)))
          (local.set $i (call $fd_write (i32.load (i32.const 44)) (i32.const 32) (i32.const 1) (i32.const 48)))
          (br_if $next (i32.eqz (local.get $i))))))
      (call $exit (local.get $i))"#;
    let text = module("", &format!("(func (export \"_start\") (local $i i32) {body})"));
    let import = r#"(import "pynbox" "fd_pair" (func $fd_pair (param i32) (result i32))) (memory "#;
    let ended = run(&dest, &[&dest.guest("fill", &text.replacen("(memory ", import, 1))]);
    ended.assert(48, "");
}

#[test]
fn listings() {
    let dest = Dest::new();
    let directory = dest.root().join("many");
    fs::create_dir(&directory).unwrap();
    for n in 0..1000 {
        File::create(directory.join(format!("{n:0>200}"))).unwrap();
    }
    // Opens the directory as often as it can, and lists it each time.
    let body = r#"
      (loop $next
        (local.set $i (call $path_open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const 4) (i32.const 2)
          (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 40)))
        (if (i32.eqz (local.get $i)) (then
          (local.set $i (call $fd_readdir (i32.load (i32.const 40)) (i32.const 1000) (i32.const 1000) (i64.const 0) (i32.const 44)))
          (br_if $next (i32.eqz (local.get $i))))))
      (call $exit (local.get $i))"#;
    let text = module(r#"(data (i32.const 100) "many")"#, &format!("(func (export \"_start\") (local $i i32) {body})"));
    let import = r#"(import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32))) (memory "#;
    run_within(16, &dest, &[&dest.guest("list", &text.replacen("(memory ", import, 1))]).assert(48, "");
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let dest = Dest::new();
    // Loading fails again and again, after the code was there.
    let data = "x".repeat(2 << 20);
    dest.library_bytes("00", &bare(&format!(r#"(import "env" "nowhere" (func)) (data "{data}")"#)));
    let again = format!(
        "(loop $again {} (local.set $i (i32.const 0)) (br_if $again (i32.lt_u (local.tee $h (i32.add (local.get $h) (i32.const 1))) (i32.const 12))))",
        load_numbered(1)
    );
    let ended = run_within(24, &dest, &[&dest.guest("main", &program("", &again))]);
    assert!(ended.status == 0 && ended.out.matches("undefined symbol").count() == 12, "{ended:?}");
}
