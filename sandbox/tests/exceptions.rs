//! Exceptions of WebAssembly: those of the standard, and those that came before it, which are
//! written in their places.

#![cfg(feature = "wasm")]

mod common;

use common::libraries::{IMPORTS, library, program};
use common::{Dest, Ended};

const TAGS: &str = r#"(tag $e (export "__cpp_exception") (param i32)) (tag $f (param i64 i32)) (tag $g)"#;
/// A function that throws as its parameter says: 0 nothing, 1 `$e`, 2 `$f`, 3 `$g`.
const THROW: &str = r"(func $throw (param i32)
    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $e (i32.const 41))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $f (i64.const 5) (i32.const 42))))
    (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $g))))";

/// The program with these functions before `_start`, which has this body.
fn text(functions: &str, body: &str) -> String {
    let start = "(func (export \"_start\")";
    program(NAMES, body).replace(start, &format!("{functions} {start}"))
}

fn run(functions: &str, body: &str) -> Ended {
    let dest = Dest::new();
    dest.guest("main", &text(functions, body));
    dest.run(["/test/main.wasm"])
}

/// Says what the function gives for each way to throw.
fn say_all(function: &str) -> String {
    (0..4).map(|kind| format!("(call $say (call {function} (i32.const {kind})))")).collect()
}

#[test]
fn exceptions_of_both_kinds_are_caught() {
    let functions = format!(
        "{TAGS} {THROW}
        (func $old (param i32) (result i32)
          try (result i32) local.get 0 call $throw i32.const 7 catch $e i32.const 100 i32.add catch_all i32.const 9 end)
        (func $new (param i32) (result i32)
          (block $all (block $one (result i32)
            (try_table (catch $e $one) (catch_all $all) (call $throw (local.get 0))) (return (i32.const 7)))
            (return (i32.add (i32.const 100))))
          (i32.const 9))"
    );
    run(&functions, &(say_all("$old") + &say_all("$new"))).assert(0, &"7\n141\n9\n9\n".repeat(2));
}

#[test]
fn clauses_are_tried_in_their_order_and_may_have_several_values() {
    let functions = format!(
        "{TAGS} {THROW}
        (func $old (param i32) (result i32) (local i64)
          try (result i32)
            local.get 0 call $throw i32.const 7
          catch $g i32.const 3
          catch $f i32.const 1000 i32.add local.set 0 local.set 1 local.get 0 local.get 1 i32.wrap_i64 i32.add
          catch $e i32.const 100 i32.add
          end)"
    );
    run(&functions, &say_all("$old")).assert(0, "7\n141\n1047\n3\n");
}

#[test]
fn what_is_caught_can_be_thrown_again_from_clauses_in_clauses() {
    // The outer exception from within the inner one's clause, which is over then; and each by
    // itself.
    let functions = format!(
        "{TAGS} {THROW}
        (func $again (param i32) (param $which i32) (result i32)
          try (result i32)
            try
              local.get 0 call $throw
            catch_all
              try
                i64.const 0 i32.const 17 throw $f
              catch $f
                drop drop
                block
                  local.get $which i32.eqz br_if 0
                  rethrow 1
                end
                rethrow 1
              end
            end
            i32.const 7
          catch $e
          catch $f local.set 0 drop local.get 0
          catch_all i32.const 9
          end)"
    );
    let body = (0..2).flat_map(|which| {
        (1..4).map(move |kind| format!("(call $say (call $again (i32.const {kind}) (i32.const {which})))"))
    });
    run(&functions, &body.collect::<String>()).assert(0, "41\n42\n9\n17\n17\n17\n");
}

#[test]
fn branches_lead_out_of_bodies_and_clauses_to_where_they_led() {
    let functions = format!(
        "{TAGS} {THROW}
        (func $out (param i32) (param $to i32) (result i32)
          block (result i32)
            block
              block
                try
                  try
                    local.get $to br_table 0 1 2 3
                  catch $g
                  end
                  local.get 0 call $throw
                  i32.const 1 call $say
                  br 1
                catch $e
                  local.get 0 i32.eq br_if 0
                  br 2
                catch_all
                  loop
                    local.get 0 i32.const 3 i32.eq br_if 3
                  end
                end
                i32.const 10 return
              end
              i32.const 11 return
            end
            i32.const 12
          end)"
    );
    // All ways to throw after the innermost `try`, then its other ways out without a throw.
    let call = |kind: u32, to: u32| format!("(call $say (call $out (i32.const {kind}) (i32.const {to})))");
    let body: String = (0..4).map(|kind| call(kind, 0)).chain((1..4).map(|to| call(0, to))).collect();
    run(&functions, &body).assert(0, "1\n11\n12\n10\n12\n10\n11\n12\n");
}

#[test]
fn delegated_exceptions_pass_over_what_lies_between() {
    let functions = format!(
        "{TAGS} {THROW}
        ;; To the outer one, over one that would catch; through a block, which stands for what is around it.
        (func $outer (param i32) (result i32)
          try (result i32)
            block (result i32)
              try (result i32)
                try (result i32)
                  local.get 0 call $throw i32.const 7
                delegate 1
              catch_all i32.const 1
              end
            end
          catch $e i32.const 100 i32.add
          catch_all i32.const 2
          end)
        ;; To one that delegates itself, which leads to the caller.
        (func $caller (param i32) (result i32)
          try (result i32)
            try (result i32)
              try (result i32)
                local.get 0 call $throw i32.const 7
              delegate 0
            delegate 1
          catch_all i32.const 1
          end)
        (func $called (param i32) (result i32)
          try (result i32) local.get 0 call $caller catch $e catch_all i32.const 3 end)
        ;; From a clause, whose own `try` does not catch.
        (func $clause (param i32) (result i32)
          try (result i32)
            try (result i32)
              i32.const 3 call $throw i32.const 6
            catch $g
              try (result i32) local.get 0 call $throw i32.const 7 delegate 0
            catch_all i32.const 4
            end
          catch_all i32.const 5
          end)"
    );
    run(&functions, &say_all("$outer")).assert(0, "7\n141\n2\n2\n");
    run(&functions, &say_all("$called")).assert(0, "7\n41\n3\n3\n");
    run(&functions, &say_all("$clause")).assert(0, "7\n5\n5\n5\n");
}

#[test]
fn what_no_compiler_writes_is_refused_in_words() {
    for (function, why) in [
        ("(func try_table end try end)", "in the same function"),
        ("(func (param i32) local.get 0 try (param i32) drop catch_all end)", "has a `try` with parameters"),
    ] {
        run(function, "").assert_error(2, why);
    }
}

/// Names of libraries and of their symbols.
const NAMES: &str = r#"(data (i32.const 100) "a.so") (data (i32.const 110) "b.so") (data (i32.const 200) "throws") (data (i32.const 210) "catches")"#;
const LOAD: &str = "(local.set $h (call $load (i32.const 100) (i32.const 4) (i32.const 2)))
    (local.set $f (call $load (i32.const 110) (i32.const 4) (i32.const 2)))";
/// The addresses of the functions `throws` of a.so and `catches` of b.so.
const THROWS: &str = "(call $symbol (local.get $h) (i32.const 200) (i32.const 6))";
const CATCHES: &str = "(call $symbol (local.get $f) (i32.const 210) (i32.const 7))";

fn throwing(more: &str) -> String {
    library(
        "(mem-info (memory 0 0))",
        &format!(
            r#"{IMPORTS} (import "env" "__cpp_exception" (tag $e (param i32)))
            (func (export "throws") (param i32) (result i32) (throw $e (local.get 0))) {more}"#
        ),
    )
}

/// Calls the function at the address it is given with 30, and catches.
fn catching() -> String {
    library(
        "(mem-info (memory 0 0))",
        &format!(
            r#"{IMPORTS} (import "env" "__cpp_exception" (tag $e (param i32)))
            (type $unary (func (param i32) (result i32)))
            (func (export "catches") (param i32) (result i32)
              try (result i32)
                i32.const 30 local.get 0 call_indirect (type $unary)
              catch $e i32.const 200 i32.add
              end)"#
        ),
    )
}

fn run_with_libraries(functions: &str, body: &str) -> Ended {
    let dest = Dest::new();
    dest.library("a", &throwing(""));
    dest.library("b", &catching());
    dest.guest("main", &text(functions, &format!("{LOAD} {body}")));
    let ended = dest.run(["/test/main.wasm"]);
    dest.run(["--precompile", "/test/main.wasm"]).assert(0, "");
    let again = dest.run(["/test/main.wasm"]);
    assert_eq!((ended.status, &ended.out), (again.status, &again.out), "{again:?}");
    ended
}

#[test]
fn what_a_library_throws_another_one_and_the_program_catch() {
    let between = format!("(call $say (call_indirect (type $unary) {THROWS} {CATCHES}))");
    // With a tag of the program's, and with one that the libraries share among them.
    let here = format!(
        "try (result i32) (call_indirect (type $unary) (i32.const 5) {THROWS}) catch $e i32.const 300 i32.add end call $say"
    );
    run_with_libraries(TAGS, &(between.clone() + &here)).assert(0, "230\n305\n");
    run_with_libraries("", &between).assert(0, "230\n");
}

#[test]
fn a_tag_of_another_type_is_refused() {
    let unlike = r#"(tag (export "__cpp_exception") (param i64))"#;
    run_with_libraries(unlike, "").assert_error(0, "");
}

#[test]
fn exceptions_pass_through_functions_of_the_host() {
    // fn_call of the library's function, with a frame of the host between.
    let body = format!(
        r#"try (result i32)
            (i64.store (i32.const 5000) (i64.const 8))
            (call $fn_call {THROWS} (i32.const 120) (i32.const 3) (i32.const 5000) (i32.const 5008))
        catch $e i32.const 400 i32.add end call $say"#
    );
    let dest = Dest::new();
    dest.library("a", &throwing(""));
    dest.library("b", &catching());
    let names = r#"(data (i32.const 120) "i>i")"#;
    dest.guest("main", &text(&format!("{TAGS} {names}"), &format!("{LOAD} {body}")));
    dest.run(["/test/main.wasm"]).assert(0, "408\n");
}

/// Functions that the host calls, at these entries: 3 throws its parameter; 4 has the host call 3,
/// and catches what it throws; 5 is a dispatcher that throws the closure's own datum; 6 traps, and
/// 7 exits, where a `try` is around.
const CALLED: &str = r#"(data (i32.const 120) "i>i")
    (func $by_host (param $slot i32) (param i32) (result i32)
      (i64.store (i32.const 5000) (i64.extend_i32_u (local.get 1)))
      (drop (call $fn_call (local.get $slot) (i32.const 120) (i32.const 3) (i32.const 5000) (i32.const 5008)))
      (i32.load (i32.const 5008)))
    (func $throws (type $unary) (throw $e (local.get 0)))
    (func $between (type $unary)
      try (result i32) i32.const 3 local.get 0 call $by_host catch $e i32.const 1000 i32.add end)
    (func $dispatches (param i32 i32 i32) (throw $e (local.get 0)))
    (func $traps (type $unary) try (result i32) unreachable catch_all i32.const 1 end)
    (func $exits (type $unary) try i32.const 5 call $exit catch_all end i32.const 2)
    (elem (i32.const 3) $throws $between $dispatches $traps $exits)"#;

/// Throws through frames of the host, where each is caught, then does as `end` says.
fn run_called(end: &str) -> Ended {
    let body = format!(
        r#"(call $say (call $by_host (i32.const 4) (i32.const 7)))
        try (result i32) i32.const 3 i32.const 8 call $by_host catch $e end call $say
        (drop (call $fn_closure (i32.const 120) (i32.const 3) (i32.const 5) (i32.const 55) (i32.const 5016)))
        try (result i32) i32.const 0 i32.const 5016 i32.load call_indirect (type $unary) catch $e end call $say
        try (result i32) i32.const 5016 i32.load i32.const 0 call $by_host catch $e end call $say
        {end}"#
    );
    run(&format!("{TAGS} {CALLED}"), &body)
}

#[test]
fn what_the_host_called_and_was_left_catches_no_more() {
    let caught = "1007\n8\n55\n55\n";
    let ends = |end: &str, status: i32, why: &str| {
        let ended = run_called(end);
        assert_eq!((ended.status, ended.out.as_str()), (status, caught), "{end}: {ended:?}");
        assert!(ended.err.contains(why), "{end}: {ended:?}");
    };
    ends("", 0, "");
    ends("(throw $e (i32.const 1))", 134, "an exception was thrown that nothing catches");
    // A throw that the innermost call does not catch, where an outer one would.
    ends(
        "try (drop (call $by_host (i32.const 6) (i32.const 1))) catch_all i32.const 9 call $say end",
        134,
        "it aborted",
    );
    ends("try (drop (call $by_host (i32.const 7) (i32.const 1))) catch_all i32.const 9 call $say end", 5, "");
    ends("(drop (call $by_host (i32.const 3) (i32.const 1)))", 134, "an exception was thrown that nothing catches");
}

#[test]
fn an_exception_out_of_a_constructor_ends_the_guest() {
    let dest = Dest::new();
    dest.library("a", &throwing(r#"(func (export "__wasm_call_ctors") (throw $e (i32.const 1)))"#));
    let body =
        "try (call $say (call $load (i32.const 100) (i32.const 4) (i32.const 2))) catch_all i32.const 5 call $say end";
    dest.guest("main", &text(TAGS, body));
    dest.run(["/test/main.wasm"]).assert_error(134, "a library threw an exception while it was loaded");
}

#[test]
fn what_nothing_catches_ends_the_guest_and_may_be_told_of_before() {
    let body = "(throw $e (i32.const 77))";
    run(TAGS, body).assert_error(134, "an exception was thrown that nothing catches");
    let told = r#"(func (export "sandbox_uncaught_exception") (param i32) (call $say (local.get 0)) unreachable)"#;
    let ended = run(&format!("{TAGS} {told}"), body);
    ended.assert_error(134, "it aborted");
    assert_eq!(ended.out, "77\n");
    let exits = r#"(func (export "sandbox_uncaught_exception") (param i32) (call $exit (local.get 0)))"#;
    run(&format!("{TAGS} {exits}"), body).assert(77, "");
    // One that throws itself, and an exception of another tag.
    let throws = r#"(func (export "sandbox_uncaught_exception") (param i32) (throw $g))"#;
    run(&format!("{TAGS} {throws}"), body).assert_error(134, "that nothing catches");
    run(&format!("{TAGS} {told}"), "(throw $g)").assert_error(134, "that nothing catches");
}

#[test]
fn neither_traps_nor_exits_are_caught() {
    run(TAGS, "try unreachable catch_all i32.const 1 call $say end").assert_error(134, "it aborted");
    run(TAGS, "try (call $exit (i32.const 5)) catch_all i32.const 1 call $say end").assert(5, "");
}

#[test]
fn exceptions_are_collected_and_what_is_held_is_limited() {
    let functions = format!(
        "{TAGS} {THROW}
        (func $hold (param i32) (result i32)
          try (result i32)
            i32.const 1 call $throw i32.const 0
          catch $e
            drop
            block
              local.get 0 i32.eqz br_if 0
              try local.get 0 i32.const 1 i32.sub call $hold drop catch_all end
            end
            rethrow 0
          end)"
    );
    let many = "loop
        try i32.const 1 call $throw catch_all end
        (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 300000)))
        end (call $say (local.get $i))
        try (result i32) i32.const 5000 call $hold catch $e end call $say";
    run(&functions, many).assert(0, "300000\n41\n");
    let ended = run(&functions, "try (result i32) i32.const 200000 call $hold catch $e end call $say");
    assert_eq!((ended.status, ended.out.as_str()), (134, ""), "{ended:?}");
}

#[test]
fn functions_that_a_library_defines_are_its_own() {
    // It imports what it exports, as the linker has it for C++; the program has one of the same
    // name.
    let side = library(
        "(mem-info (memory 0 0) (table 2 0))",
        &format!(
            r#"{IMPORTS}
            (import "env" "twice" (func $twice (param i32) (result i32)))
            (import "env" "program_twice" (func $program_twice (param i32) (result i32)))
            (type $unary (func (param i32) (result i32)))
            (elem (global.get $table_base) func $program_twice $twice)
            (func (export "twice") (param i32) (result i32) (i32.add (local.get 0) (i32.const 100)))
            (func (export "program_twice") (param i32) (result i32) (i32.add (local.get 0) (i32.const 200)))
            (func $throws (export "throws") (param i32) (result i32)
              (i32.add (call $twice (local.get 0))
              (i32.add (call $program_twice (local.get 0))
              (i32.add (call_indirect (type $unary) (i32.const 0) (global.get $table_base))
                       (call_indirect (type $unary) (i32.const 0) (i32.add (global.get $table_base) (i32.const 1)))))))"#
        ),
    );
    let dest = Dest::new();
    dest.library("a", &side);
    dest.library("b", &catching());
    let names = r#"(data (i32.const 230) "program_twice") (data (i32.const 250) "twice")"#;
    let address = |at: u32, length: u32| format!("(call $symbol (local.get $h) (i32.const {at}) (i32.const {length}))");
    // 103 + 203 + 200 + 100, and both functions have the entries that the library gave them.
    let body = format!(
        "{LOAD} (call $say (call_indirect (type $unary) (i32.const 3) {THROWS}))
        (call $say (i32.sub {} {}))",
        address(250, 5),
        address(230, 13)
    );
    dest.guest("main", &text(names, &body));
    dest.run(["/test/main.wasm"]).assert(0, "606\n1\n");
}
