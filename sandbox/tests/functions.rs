//! Calling functions, and making them, by signatures known at run time alone.

#![cfg(feature = "wasm")]

mod common;

use common::Dest;
use common::libraries::program;

const DATA: &str = r#"
  (data (i32.const 100) "i>i") (data (i32.const 110) "iid>d") (data (i32.const 120) ">") (data (i32.const 130) "x>")
  (data (i32.const 140) "lifd>l") (data (i32.const 150) "i>") (data (i32.const 160) "i>l")"#;

/// Functions at entries 3 to 5 of the table, before the program's own exports.
const FUNCTIONS: &str = r#"
  (elem (i32.const 3) $mix $nothing $deep)
  (global $depth (mut i32) (i32.const 0))
  (func $mix (param i32 i32 f64) (result f64)
    (f64.add (f64.convert_i32_s (i32.sub (local.get 0) (local.get 1))) (local.get 2)))
  (func $nothing)
  (func $deep (param i32) (result i32)
    (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
    (i32.add (local.get 0) (call $fn_call (i32.const 5) (i32.const 100) (i32.const 3) (i32.const 40) (i32.const 48))))"#;

fn run(body: &str) -> common::Ended {
    let dest = Dest::new();
    dest.guest("main", &program(&format!("{DATA} {FUNCTIONS}"), body));
    dest.run(["/test/main.wasm"])
}

fn call(function: &str, signature: u32, length: u32) -> String {
    format!(
        "(local.set $i (call $fn_call ({function}) (i32.const {signature}) (i32.const {length}) (i32.const 40) (i32.const 80)))
         (if (local.get $i) (then (call $why (local.get $i))))"
    )
}

fn closure(signature: u32, length: u32, dispatcher: u32, user: u32) -> String {
    format!(
        "(local.set $i (call $fn_closure (i32.const {signature}) (i32.const {length}) (i32.const {dispatcher}) (i32.const {user}) (i32.const 32)))
         (if (local.get $i) (then (call $why (local.get $i))))
         (local.set $f (i32.load (i32.const 32)))"
    )
}

const SAY_RESULT: &str = "(call $say (i32.wrap_i64 (i64.load (i32.const 80))))";

#[test]
fn functions_are_called_by_their_signature() {
    let arguments = "(i64.store (i32.const 40) (i64.const 0xffffffff00000015)) (i64.store (i32.const 48) (i64.const 1)) (f64.store (i32.const 56) (f64.const 2.5))";
    let say_float = "(call $say (i32.trunc_f64_s (f64.mul (f64.load (i32.const 80)) (f64.const 10))))";
    // 21 twice, with whatever is in the upper half of the slot; 21 - 1 + 2.5; and nothing at all,
    // which needs no memory.
    let nothing =
        "(call $say (call $fn_call (i32.const 4) (i32.const 120) (i32.const 1) (i32.const 0) (i32.const -1)))";
    let body = format!(
        "{arguments} {} {SAY_RESULT} {} {say_float} {nothing}",
        call("i32.const 1", 100, 3),
        call("i32.const 3", 110, 5)
    );
    run(&body).assert(0, "42\n225\n0\n");
}

#[test]
fn wrong_calls_are_refused() {
    for (function, signature, length, expected) in [
        (1, 110, 5, "28\nthe function at 0x1 is `i>i`, not `iid>d`\n"),
        (3, 100, 3, "28\nthe function at 0x3 is `iid>d`, not `i>i`\n"),
        (
            1,
            130,
            2,
            "28\n`x>` is no signature; write the parameters' letters (i, l, f, d; at most 255), `>`, and at most one letter for the result\n",
        ),
        (0, 100, 3, "28\nthere is no function at 0x0\n"),
        (7, 100, 3, "28\nthere is no function at 0x7\n"),
        (-1, 100, 3, "28\nthere is no function at 0xffffffff\n"),
        (1, -2, 3, "21\nBad address\n"),
        (1, 100, -1, "37\nFile name too long\n"),
    ] {
        run(&call(&format!("i32.const {function}"), signature as u32, length as u32)).assert(0, expected);
    }
    // Arguments and results outside of the memory; nothing is called then.
    for (arguments, result) in [(131_072, 80), (-8, 80), (40, 131_065), (40, -1)] {
        let body = format!(
            "(call $say (call $fn_call (i32.const 5) (i32.const 100) (i32.const 3) (i32.const {arguments}) (i32.const {result})))
             (call $say (global.get $depth))"
        );
        run(&body).assert(0, "21\n0\n");
    }
}

#[test]
fn closures_call_their_dispatcher() {
    // The dispatcher says how much stack is taken: four slots and one for the result, aligned.
    let types = "(type $mixed (func (param i64 i32 f32 f64) (result i64)))";
    let body = format!(
        "{} (call $say (i32.wrap_i64 (call_indirect (type $mixed) (i64.const 1000) (i32.const 1) (f32.const 1) (f64.const 1) (local.get $f))))
         (call $say (i32.sub (i32.const 60000) (global.get $stack)))
         (i64.store (i32.const 40) (i64.const 2000)) {} {SAY_RESULT}",
        closure(140, 6, 2, 7),
        call("local.get $f", 140, 6),
    );
    let dest = Dest::new();
    dest.guest("main", &program(&format!("{types} {DATA} {FUNCTIONS}"), &body));
    dest.run(["/test/main.wasm"]).assert(0, "48\n1007\n0\n48\n2007\n");
}

#[test]
fn wrong_closures_are_refused() {
    let refused = |text: &str| format!("{text}\n28\n0x0 is no closure\n");
    let release =
        "(local.set $i (call $fn_release (local.get $f))) (if (local.get $i) (then (call $why (local.get $i))))";
    for (signature, length, dispatcher, expected) in [
        (
            130,
            2,
            2,
            "28\n`x>` is no signature; write the parameters' letters (i, l, f, d; at most 255), `>`, and at most one letter for the result",
        ),
        (100, 3, 1, "28\nthe dispatcher at 0x1 is `i>i`, not `iii>`"),
        (100, 3, 0, "28\nthere is no function at 0x0"),
    ] {
        run(&format!("{} {release}", closure(signature, length, dispatcher, 0))).assert(0, &refused(expected));
    }
    // A function that is none of ours stays.
    run("(call $say (call $fn_release (i32.const 1)))").assert(0, "28\n");
}

#[test]
fn a_released_closure_is_gone() {
    let made = closure(100, 3, 2, 1);
    let release = "(call $say (call $fn_release (local.get $f)))";
    let call_it = "(call $say (call_indirect (type $unary) (i32.const 1) (local.get $f)))";
    run(&format!("{made} {release} {release} {call_it}")).assert_error(134, "uninitialized element");
    // Its entry is used again, with the new parameters.
    let again = format!(
        "{made} (local.set $h (local.get $f)) {release} {} (call $say (i32.eq (local.get $f) (local.get $h))) {call_it}",
        closure(100, 3, 2, 5)
    );
    run(&again).assert(0, "0\n1\n16\n6\n");
    // As is that of another signature, with the right type.
    let other = format!("{made} {release} {} {call_it}", closure(150, 2, 2, 5));
    run(&other).assert_error(134, "indirect call type mismatch");
}

#[test]
fn a_dispatcher_that_traps_ends_the_guest() {
    let call_it = "(drop (call_indirect (type $unary) (i32.const 1) (local.get $f)))";
    run(&format!("{} {call_it}", closure(100, 3, 2, 13))).assert_error(134, "it aborted");
    // So does one that is gone, or a stack that is none.
    let gone = format!("{} (table.set (i32.const 2) (ref.null func)) {call_it}", closure(100, 3, 2, 1));
    run(&gone).assert_error(134, "its dispatcher is gone");
    for stack in ["i32.const 8", "i32.const -16", "i32.const 200000"] {
        let body = format!("{} (global.set $stack ({stack})) {call_it}", closure(100, 3, 2, 1));
        run(&body).assert_error(134, "the stack is exhausted");
    }
}

#[test]
fn endless_recursion_ends_the_guest() {
    run(&call("i32.const 5", 100, 3)).assert_error(134, "its calls nest too deeply");
    // A closure whose dispatcher calls it, in the same way.
    let itself = "(drop (call_indirect (type $unary) (i32.const 1) (i32.load (i32.const 32))))";
    let text = program(&format!("{DATA} {FUNCTIONS}"), &format!("{} {itself}", closure(100, 3, 2, 0)));
    let place = "(call $say (i32.sub (i32.const 60000) (global.get $stack)))";
    let dest = Dest::new();
    // The guest's own stack would end first.
    dest.guest("main", &text.replace(place, &format!("(global.set $stack (i32.const 60000)) {itself}")));
    dest.run(["/test/main.wasm"]).assert_error(134, "its calls nest too deeply");
}

/// Functions of the host that call each other, without code of the guest between them.
#[test]
fn endless_recursion_of_the_hosts_functions_ends_the_guest() {
    // `fn_call` calls itself with its own arguments.
    let dest = Dest::new();
    let data = format!(r#"{DATA} {FUNCTIONS} (elem (i32.const 6) $fn_call) (data (i32.const 180) "iiiii>i")"#);
    let arguments: String = [6, 180, 7, 200, 80]
        .iter()
        .enumerate()
        .map(|(at, value)| format!("(i64.store (i32.const {}) (i64.const {value}))", 200 + 8 * at))
        .collect();
    let body = format!(
        "{arguments} (drop (call $fn_call (i32.const 6) (i32.const 180) (i32.const 7) (i32.const 200) (i32.const 80)))"
    );
    dest.guest("main", &program(&data, &body));
    dest.run(["/test/main.wasm"]).assert_error(134, "its calls nest too deeply");

    // A closure lies at the entry of its own dispatcher.
    let data = format!(r#"{DATA} {FUNCTIONS} (data (i32.const 180) "iii>")"#);
    let body = format!(
        "(drop (memory.grow (i32.const 1000))) (global.set $stack (i32.const 60000000)) {}
         (table.set (i32.const 2) (table.get (local.get $f)))
         (drop (call $fn_call (local.get $f) (i32.const 180) (i32.const 4) (i32.const 40) (i32.const 80)))",
        closure(180, 4, 2, 7)
    );
    dest.guest("main", &program(&data, &body));
    dest.run(["/test/main.wasm"]).assert_error(134, "its calls nest too deeply");
}

#[test]
fn closures_are_counted() {
    let many = |then: &str| {
        format!(
            "(loop $again (local.set $f (call $fn_closure (i32.const 100) (i32.const 3) (i32.const 2) (i32.const 1) (i32.const 32))) {then}
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $again (i32.and (i32.eqz (local.get $f)) (i32.lt_u (local.get $i) (i32.const 70000)))))
             (call $say (local.get $i)) (if (local.get $f) (then (call $why (local.get $f))))"
        )
    };
    run(&many("")).assert(0, "65537\n48\nmore than 65536 closures were made; release some\n");
    run(&many("(drop (call $fn_release (i32.load (i32.const 32))))")).assert(0, "70000\n");
}
