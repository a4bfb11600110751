//! Loading libraries while a guest runs.

mod common;

use common::Dest;
use common::libraries::{IMPORTS, library, program};

/// Names of libraries and symbols, each at the address that `name` finds.
const DATA: &str = r#"
  (data (i32.const 100) "a.so") (data (i32.const 110) "b.so") (data (i32.const 120) "c.so")
  (data (i32.const 200) "answer") (data (i32.const 210) "datum") (data (i32.const 220) "twice") (data (i32.const 230) "program_twice")
  (data (i32.const 250) "counter") (data (i32.const 260) "nothing")"#;
const LOAD_A: &str = "(local.set $h (call $load (i32.const 100) (i32.const 4) (i32.const 2)))";
const SAY_ANSWER: &str = "(call $say (call_indirect (type $unary) (i32.const 21) (call $symbol (local.get $h) (i32.const 200) (i32.const 6))))";

fn run(libraries: &[(&str, &str)], body: &str) -> common::Ended {
    let dest = Dest::new();
    for (name, text) in libraries {
        dest.library(name, text);
    }
    dest.guest("main", &program(DATA, body));
    dest.run(["/test/main.wasm"])
}

#[test]
fn a_library_shares_memory_table_and_stack_with_the_program() {
    let side = library(
        "(mem-info (memory 16 4) (table 2 0))",
        &format!(
            r#"{IMPORTS}
            (import "env" "program_twice" (func $twice (param i32) (result i32)))
            (import "GOT.mem" "program_datum" (global $datum (mut i32)))
            (import "GOT.mem" "datum" (global $own (mut i32)))
            (import "GOT.func" "program_twice" (global $pointer (mut i32)))
            (import "GOT.func" "own" (global $own_pointer (mut i32)))
            (type $unary (func (param i32) (result i32)))
            (global (export "datum") i32 (i32.const 4))
            (elem (global.get $table_base) func $own $answer)
            (data (global.get $memory_base) "\07\00\00\00\09\00\00\00")
            (func $own (export "own") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
            (func (export "__wasm_apply_data_relocs")
              (i32.store offset=8 (global.get $memory_base) (global.get $own_pointer)))
            (func (export "__wasm_call_ctors")
              (i32.store offset=12 (global.get $memory_base) (i32.const 100000)))
            ;; The program's datum, the library's two, a call of each, the constructor's trace, and what was cleared.
            (func $answer (export "answer") (param i32) (result i32)
              (i32.add (i32.load (global.get $datum))
              (i32.add (i32.load (global.get $own))
              (i32.add (call $twice (local.get 0))
              (i32.add (call_indirect (type $unary) (i32.const 1000) (global.get $pointer))
              (i32.add (call_indirect (type $unary) (i32.const 10000) (i32.load offset=8 (global.get $memory_base)))
                       (i32.load offset=12 (global.get $memory_base))))))))"#
        ),
    );
    let body = format!(
        r#"{LOAD_A} {SAY_ANSWER}
        (call $say (i32.load (call $symbol (local.get $h) (i32.const 210) (i32.const 5))))
        ;; A function that has an entry keeps it.
        (call $say (call $symbol (i32.const 0) (i32.const 230) (i32.const 13)))"#
    );
    // 5 + 9 + 42 + 2000 + 10001 + 100000
    run(&[("a", &side)], &body).assert(0, "112057\n9\n1\n");
}
