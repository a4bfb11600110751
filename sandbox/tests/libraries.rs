//! Loading libraries while a guest runs.

#![cfg(feature = "wasm")]

mod common;

use common::Dest;
use common::libraries::{IMPORTS, library, program};

/// Names of libraries and symbols, each at the address that `name` finds.
const DATA: &str = r#"
  (data (i32.const 100) "a.so") (data (i32.const 110) "b.so") (data (i32.const 120) "c.so")
  (data (i32.const 200) "answer") (data (i32.const 210) "datum") (data (i32.const 220) "twice") (data (i32.const 230) "program_twice")
  (data (i32.const 250) "counter") (data (i32.const 260) "nothing") (data (i32.const 300) "program_unlisted") (data (i32.const 140) "/slib/a.so")"#;
const LOAD_A: &str = "(local.set $h (call $load (i32.const 100) (i32.const 4) (i32.const 2)))";
const SAY_ANSWER: &str = "(call $say (call_indirect (type $unary) (i32.const 21) (call $symbol (local.get $h) (i32.const 200) (i32.const 6))))";

fn run(libraries: &[(&str, &str)], body: &str) -> common::Ended {
    let dest = Dest::new();
    for (name, text) in libraries {
        dest.library(name, text);
    }
    dest.guest("main", &program(DATA, body));
    let ended = dest.run(["/test/main.wasm"]);
    // Compiled ahead, it is known where the program has its functions, which must make no
    // difference.
    dest.run(["--precompile", "/test/main.wasm"]).assert(0, "");
    let again = dest.run(["/test/main.wasm"]);
    assert_eq!((ended.status, &ended.out), (again.status, &again.out), "{again:?}");
    ended
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

/// A library that has a function in the second entry of its part of the table and exports it by two
/// names.
fn twice_named() -> String {
    library(
        "(mem-info (memory 0 0) (table 3 2))",
        &format!(
            r#"{IMPORTS}
            (elem (i32.add (global.get $table_base) (i32.const 1)) func $own)
            (func $own (export "counter") (export "datum") (param i32) (result i32) (local.get 0))"#
        ),
    )
}

#[test]
fn a_function_has_one_address_by_whatever_name_it_is_asked_for() {
    let name = |handle: &str, at: u32, length: u32| {
        format!("(call $say (call $symbol ({handle}) (i32.const {at}) (i32.const {length})))")
    };
    let (library, here) = ("local.get $h", "i32.const 0");
    let asked =
        [name(library, 250, 7), name(library, 210, 5), name(here, 230, 13), name(here, 300, 16), name(here, 300, 16)];
    let body = format!("{LOAD_A} {}", asked.concat());
    // The library's part begins at 8, which is aligned; what had no entry is put behind it.
    run(&[("a", &twice_named())], &body).assert(0, "9\n9\n1\n11\n11\n");
}

#[test]
fn a_program_that_moves_its_functions_finds_them_where_they_are() {
    let body = format!(
        "(table.set (i32.const 5) (ref.func $program_twice)) (table.set (i32.const 1) (ref.func $dispatcher)) {LOAD_A}
        (call $say (call $symbol (i32.const 0) (i32.const 230) (i32.const 13)))"
    );
    run(&[("a", &simple("", 1))], &body).assert(0, "5\n");
}

/// A library with one function `answer` that adds `add` to its parameter.
fn simple(dylink: &str, add: u32) -> String {
    library(
        &format!("(mem-info (memory 16 4) (table 0 0)) {dylink}"),
        &format!(
            r#"{IMPORTS} (func (export "answer") (param i32) (result i32) (i32.add (local.get 0) (i32.const {add})))"#
        ),
    )
}

#[test]
fn the_same_file_is_the_same_library() {
    let side = library(
        "(mem-info (memory 4 2))",
        &format!(
            r#"{IMPORTS}
            (func (export "__wasm_call_ctors") (i32.store (global.get $memory_base) (i32.const 7)))
            (func (export "answer") (param i32) (result i32)
              (i32.store (global.get $memory_base) (i32.add (i32.const 1) (i32.load (global.get $memory_base))))
              (i32.load (global.get $memory_base)))"#
        ),
    );
    let dest = Dest::new();
    dest.library("a", &side);
    std::os::unix::fs::symlink("a.so", dest.root().join("slib/b.so")).unwrap();
    std::fs::hard_link(dest.root().join("slib/a.so"), dest.root().join("slib/c.so")).unwrap();
    let again = |at| format!("(local.set $h (call $load (i32.const {at}) (i32.const 4) (i32.const 1))) {SAY_ANSWER}");
    let close = "(call $say (call $dl_close (local.get $h)))";
    let body = format!(
        "{LOAD_A} {SAY_ANSWER} {} {} {close} {close} {close} {close} (drop (call $symbol (local.get $h) (i32.const 200) (i32.const 6))) {LOAD_A} {SAY_ANSWER}",
        again(110),
        again(120)
    );
    dest.guest("main", &program(DATA, &body));
    let closed = "28\n2 is no handle of an open library\n";
    dest.run(["/test/main.wasm"]).assert(0, &format!("8\n9\n10\n0\n0\n0\n28\n{closed}11\n"));
}

#[test]
fn symbols_come_from_the_program_then_global_libraries_then_the_needed_ones() {
    // `twice` is b's and c's; a needs b; c may become global before.
    let a = library(
        r#"(mem-info (memory 0 0)) (needed "b.so")"#,
        &format!(
            r#"{IMPORTS} (import "env" "twice" (func $twice (param i32) (result i32)))
            (func (export "answer") (param i32) (result i32) (call $twice (local.get 0)))"#
        ),
    );
    let twice = |by: u32| {
        library(
            "(mem-info)",
            &format!(
                r#"{IMPORTS} (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const {by})))"#
            ),
        )
    };
    let libraries = [("a", a.as_str()), ("b", &twice(2)), ("c", &twice(3))];
    let load_c = |flags: u32| format!("(drop (call $load (i32.const 120) (i32.const 4) (i32.const {flags})))");
    run(&libraries, &format!("{LOAD_A} {SAY_ANSWER}")).assert(0, "42\n");
    run(&libraries, &format!("{} {LOAD_A} {SAY_ANSWER}", load_c(2))).assert(0, "42\n");
    run(&libraries, &format!("{} {LOAD_A} {SAY_ANSWER}", load_c(0x102))).assert(0, "63\n");
    // Made global by opening it again.
    run(&libraries, &format!("{} {} {LOAD_A} {SAY_ANSWER}", load_c(2), load_c(0x101))).assert(0, "63\n");
    // A library that is needed is seen through its handle alone.
    let look = |handle: &str| {
        format!("(call $say (i32.ne (i32.const 0) (call $symbol {handle} (i32.const 220) (i32.const 5))))")
    };
    let seen = format!("{LOAD_A} {} {}", look("(local.get $h)"), look("(i32.const 0)"));
    run(&libraries, &seen).assert(0, "1\n44\n`the program`: undefined symbol `twice`\n0\n");
}

#[test]
fn functions_that_stand_for_each_other_end_the_guest() {
    // Each of the two exports what it imports of the other.
    let passes_on = |needed: &str, from: &str, to: &str| {
        let import = format!(
            r#"{IMPORTS} (import "env" "{from}" (func $f (param i32) (result i32))) (export "{to}" (func $f))"#
        );
        library(&format!(r#"(mem-info (memory 0 0) (table 0 0)) (needed "{needed}")"#), &import)
    };
    let (a, b) = (passes_on("b.so", "twice", "answer"), passes_on("a.so", "answer", "twice"));
    run(&[("a", &a), ("b", &b)], &format!("{LOAD_A} {SAY_ANSWER}")).assert_error(134, "its calls nest too deeply");
}

#[test]
fn needed_libraries_may_form_a_circle() {
    let side = |own: &str, other: &str, needed: &str, base: u32| {
        library(
            &format!(r#"(mem-info (memory 0 0) (table 1 0)) (needed "{needed}")"#),
            &format!(
                r#"{IMPORTS}
                (import "env" "{other}" (func $other (param i32) (result i32)))
                (import "GOT.func" "{other}" (global $pointer (mut i32)))
                (elem (global.get $table_base) func $own)
                (func $own (export "{own}") (param i32) (result i32)
                  (if (result i32) (local.get 0)
                    (then (i32.add (i32.const {base}) (call $other (i32.sub (local.get 0) (i32.const 1)))))
                    (else (i32.const 0))))
                (func (export "address_{own}") (param i32) (result i32) (global.get $pointer))"#
            ),
        )
    };
    let libraries = [("a", side("answer", "twice", "b.so", 1)), ("b", side("twice", "answer", "a.so", 100))];
    let libraries = libraries.each_ref().map(|(n, t)| (*n, t.as_str()));
    // 21 calls: 11 of a, 10 of b.
    run(&libraries, &format!("{LOAD_A} {SAY_ANSWER}")).assert(0, "1011\n");
}

#[test]
fn weak_symbols_may_be_missing() {
    let side = library(
        r#"(mem-info) (import-info "env" "nothing" binding-weak undefined)"#,
        &format!(
            r#"{IMPORTS}
            (import "env" "nothing" (func $nothing (param i32) (result i32)))
            (import "GOT.func" "nothing" (global $pointer (mut i32)))
            (import "GOT.mem" "nothing" (global $datum (mut i32)))
            (func (export "answer") (param i32) (result i32)
              (if (i32.eqz (local.get 0)) (then (return (call $nothing (i32.const 0)))))
              (i32.add (local.get 0) (i32.add (global.get $pointer) (global.get $datum))))"#
        ),
    );
    run(&[("a", &side)], &format!("{LOAD_A} {SAY_ANSWER}")).assert(0, "21\n");
    let call = SAY_ANSWER.replace("i32.const 21", "i32.const 0");
    run(&[("a", &side)], &format!("{LOAD_A} {call}")).assert_error(134, "`nothing`, a weak symbol");
}

/// The text of each failure, without side effects: the heap is where it was, and the same name
/// loads once it is mended.
#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let answer = r#"(func (export "answer") (param i32) (result i32) (local.get 0))"#;
    let page = "(mem-info (memory 16 4) (table 1 0))";
    let with = |dylink: &str, rest: &str| library(dylink, &format!("{IMPORTS} {rest} {answer}"));
    let cases: &[(String, u32, &str)] = &[
        (with(page, r#"(import "env" "nothing" (func (param i32)))"#), 45, "undefined symbol `nothing`"),
        (with(page, r#"(import "GOT.mem" "nothing" (global (mut i32)))"#), 45, "undefined symbol `nothing`"),
        (
            with(page, r#"(import "GOT.func" "program_datum" (global (mut i32)))"#),
            45,
            "undefined symbol `program_datum`",
        ),
        (with(page, r#"(import "env" "__wasm_call_ctors" (func))"#), 45, "undefined symbol `__wasm_call_ctors`"),
        (with(page, r#"(import "env" "program_twice" (func (param i64)))"#), 45, "`program_twice` has another type"),
        (with(page, r#"(import "wasi_snapshot_preview1" "fd_write" (func))"#), 45, "`fd_write` has another type"),
        (with(page, r#"(import "elsewhere" "f" (func))"#), 45, "`elsewhere.f`, which nothing provides"),
        (with(page, r#"(import "env" "g" (global i64))"#), 45, "`env.g` as a global of this type"),
        (with(page, r#"(import "GOT.mem" "g" (global i32))"#), 45, "`GOT.mem.g` as a global of this type"),
        (with(page, r#"(import "env" "other" (memory 0))"#), 45, "`env.other` as a memory"),
        (with(page, r#"(import "env" "other" (table 0 funcref))"#), 45, "`env.other` as a table"),
        (with(page, r#"(import "other" "t" (tag))"#), 45, "`other.t` as a tag"),
        (with(page, r#"(memory 1)"#), 45, "has a memory of its own"),
        (with(page, r#"(table 1 funcref)"#), 45, "has a table of its own"),
        (with(page, r#"(func $s unreachable) (start $s)"#), 45, "has a start function"),
        (with(page, r#"(data (i32.const 0) "x")"#), 45, "has data outside its own memory"),
        (with(page, r#"(data (global.get $memory_base) "12345678901234567")"#), 45, "has data outside its own memory"),
        (with(page, r#"(data (i32.add (global.get $memory_base) (i32.const 16)) "x")"#), 45, "has data outside"),
        (with(page, r#"(data (i32.add (global.get $memory_base) (i32.const -1)) "x")"#), 45, "has data outside"),
        (with(page, r#"(data (global.get $table_base) "x")"#), 45, "has data outside its own memory"),
        (with(page, r#"(func $f) (elem (global.get $table_base) func $f $f)"#), 45, "fills table entries outside"),
        (with(page, r#"(func $f) (elem (i32.const 0) func $f)"#), 45, "fills table entries outside its own"),
        (with("(mem-info (memory 4294967295 0))", ""), 48, "no memory for 4294967295 bytes"),
        (with("(mem-info (memory 4294967295 16))", ""), 48, "no memory for 4294967295 bytes"),
        (with("(mem-info (memory 16 17))", ""), 45, "more than 16 bits of alignment"),
        (with("(mem-info (memory 16 4294967295))", ""), 45, "more than 16 bits of alignment"),
        (with("(mem-info (table 4294967295 0))", ""), 45, "more than 1048576 entries of the table"),
        // Few bytes that would be many when a library is looked for.
        (
            with(&format!("(needed \"{}\")", "n".repeat(5_000)), ""),
            45,
            "more than 4096 bytes of a needed library's name",
        ),
        (with(&format!("(runtime-path \"{}\")", "/:".repeat(1_000)), ""), 45, "more than 64 runtime paths"),
        (with(&format!("(runtime-path \"{}\")", "r".repeat(5_000)), ""), 45, "more than 4096 bytes of a runtime path"),
        (with(&format!("(needed \"{}\")", "n".repeat(2 << 20)), ""), 45, "more than 1048576 bytes of the section"),
        (with(r#"(mem-info) (needed "missing.so")"#, ""), 44, "needs `missing.so`, which is not there"),
        (with(r#"(mem-info) (needed "../slib/a.so")"#, ""), 44, "needs `../slib/a.so`"),
        (with(r#"(mem-info) (export-info "answer" tls)"#, ""), 45, "a thread-local variable"),
        (library(page, &format!(r#"(import "env" "memory" (memory 60000)) {answer}"#)), 45, "can't be linked"),
        (library(page, &format!(r#"(import "env" "memory" (memory i64 0)) {answer}"#)), 45, "64-bit memory"),
        (library(page, &format!(r#"(import "env" "memory" (memory 0 1 shared)) {answer}"#)), 45, "shared memory"),
        (
            library(page, &format!(r#"(import "env" "__indirect_function_table" (table 9000000 funcref)) {answer}"#)),
            45,
            "can't be linked",
        ),
        (
            library(page, &format!(r#"(import "env" "__indirect_function_table" (table 0 externref)) {answer}"#)),
            45,
            "table of another kind",
        ),
        (with(page, &format!("(func (local {}))", "i32 ".repeat(5001))), 45, "more than 5000 local variables"),
        (
            with(page, &format!("(func (local {}) {})", "i32 ".repeat(4000), "nop ".repeat(1 << 17))),
            45,
            "local variables times bytes",
        ),
        (with(page, &format!("(func {})", "nop ".repeat(1 << 19))), 45, "more than 524288 bytes in one function"),
        (format!("(module {answer})"), 45, "it is no shared library"),
    ];
    let heap = r#"(call $say (i32.sub (global.get $heap) (i32.const 65536)))"#;
    for (text, errno, why) in cases {
        let ended = run(&[("a", text)], &format!("{LOAD_A} (call $say (local.get $h)) {heap}"));
        let refused = ended.out.starts_with(&format!("{errno}\n`/slib/a.so`")) && ended.out.contains(why);
        assert!(ended.status == 0 && refused && ended.out.ends_with("\n0\n0\n"), "{why}: {ended:?}\n{text}");
    }
}

#[test]
fn what_is_no_module_is_refused() {
    let whole = wat::parse_str(simple("", 1)).unwrap();
    let mut cases: Vec<Vec<u8>> =
        vec![vec![], b"\x7fELF\x02\x01\x01".to_vec(), vec![0; 4096], b"\0asm\x0d\0\x01\0".to_vec()];
    cases.extend((1..whole.len()).step_by(3).map(|length| whole[..length].to_vec()));
    let dest = Dest::new();
    let mut body = String::new();
    let mut data = DATA.to_owned();
    for (index, bytes) in cases.iter().enumerate() {
        dest.library_bytes(&format!("{index:04}"), bytes);
        let at = 20000 + index * 8;
        data += &format!(r#"(data (i32.const {at}) "{index:04}.so")"#);
        body += &format!(
            "(if (call $load (i32.const {at}) (i32.const 7) (i32.const 2)) (then (call $say (i32.const 777))))"
        );
    }
    dest.library("a", &simple("", 1));
    dest.guest("main", &program(&data, &format!("{body} {LOAD_A} {SAY_ANSWER}")));
    let ended = dest.run(["/test/main.wasm"]);
    // The last three cuts end within the section of names, which is no part of the code.
    assert!(ended.status == 0 && ended.out.ends_with("\n22\n"), "{ended:?}");
    let refused = ended.out.lines().filter(|l| l.contains("is no valid") || l.contains("is no shared")).count();
    assert!(refused + ended.out.matches("777\n").count() == cases.len() && refused + 3 >= cases.len(), "{ended:?}");
}

#[test]
fn paths_resolve_as_for_open() {
    let dest = Dest::new();
    dest.library("a", &simple("", 1));
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("b.so"), wat::parse_str(simple("", 2)).unwrap()).unwrap();
    std::os::unix::fs::symlink(outside.path().join("b.so"), dest.root().join("slib/b.so")).unwrap();
    std::fs::create_dir(dest.root().join("slib/c.so")).unwrap();
    let load = |at: u32| format!("(drop (call $load (i32.const {at}) (i32.const 4) (i32.const 2)))");
    // A link out of the mount leads nowhere; a directory is none. The guest's own "/" need not be
    // open.
    let body = format!("(drop (call $fd_close (i32.const 3))) {} {} {LOAD_A} {SAY_ANSWER}", load(110), load(120));
    let text = program(DATA, &body).replace(
        "(module",
        r#"(module (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))"#,
    );
    dest.guest("main", &text);
    let ended = dest.run(["/test/main.wasm"]);
    let expected = "44\n`/slib/b.so`: there is no such file\n31\n`/slib/c.so`: Is a directory\n22\n";
    ended.assert(0, expected);
}

#[test]
fn a_librarys_own_code_is_the_guests() {
    let side = |name: &str, body: &str| {
        library(
            "(mem-info)",
            &format!(
                r#"{IMPORTS} (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (import "env" "load" (func $load (param i32 i32 i32) (result i32)))
                (import "env" "say" (func $say (param i32)))
                (func (export "{name}") {body})"#
            ),
        )
    };
    for name in ["__wasm_apply_data_relocs", "__wasm_call_ctors"] {
        run(&[("a", &side(name, "unreachable"))], LOAD_A).assert_error(134, "it aborted");
        run(&[("a", &side(name, "(call $exit (i32.const 5))"))], LOAD_A).assert(5, "");
        // Loading itself is loading what is there.
        let itself = "(call $say (call $load (i32.const 100) (i32.const 4) (i32.const 2)))";
        run(&[("a", &side(name, itself))], LOAD_A).assert(0, "2\n");
    }
    // A chain of constructors, each of which loads the next one, ends at some length.
    let dest = Dest::new();
    let mut data = DATA.to_owned();
    for index in 0..20 {
        let at = 20000 + index * 8;
        data += &format!(r#"(data (i32.const {at}) "{index:04}.so")"#);
        let next = format!("(drop (call $load (i32.const {}) (i32.const 7) (i32.const 2)))", at + 8);
        dest.library(&format!("{index:04}"), &side("__wasm_call_ctors", &next));
    }
    data += r#"(data (i32.const 20160) "a.so\00\00\00")"#;
    dest.guest("main", &program(&data, "(call $say (call $load (i32.const 20000) (i32.const 7) (i32.const 2)))"));
    let expected = "32\n`/slib/0016.so`: 16 libraries are being initialised, each by the one before\n2\n";
    dest.run(["/test/main.wasm"]).assert(0, expected);
}

#[test]
fn a_heap_that_lies_or_loads_does_no_harm() {
    let dest = Dest::new();
    dest.library("a", &simple("", 1));
    let text = program(DATA, &format!("{LOAD_A} (call $say (local.get $h))"));
    for (lie, expected) in [
        ("(return (i32.const 0))", "48\n`/slib/a.so`: no memory for 16 bytes of data\n0\n"),
        ("(return (i32.const -1))", "48\n`/slib/a.so`: no memory for 16 bytes of data\n0\n"),
        ("(return (i32.const 131070))", "48\n`/slib/a.so`: no memory for 16 bytes of data\n0\n"),
        (
            "(drop (call $load (i32.const 100) (i32.const 4) (i32.const 2)))",
            "10\n`/slib/a.so`: another library is being loaded\n2\n",
        ),
    ] {
        let place = "(local.set $at (global.get $heap))\n";
        dest.guest("main", &text.replacen(place, &format!("{lie} {place}"), 1));
        dest.run(["/test/main.wasm"]).assert(0, expected);
    }
    let lacking = text.replace(r#"(global $stack (export "__stack_pointer")"#, "(global $stack");
    dest.guest("main", &lacking);
    let expected = "52\nthe program was not linked for run-time loading: it does not export `__stack_pointer`\n0\n";
    dest.run(["/test/main.wasm"]).assert(0, expected);
}

#[test]
fn loads_are_counted() {
    let dest = Dest::new();
    dest.library_bytes("a", b"no module");
    let body = format!(
        "(loop $again {LOAD_A} (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $again (i32.lt_u (local.get $i) (i32.const 1001))))"
    );
    dest.guest("main", &program(DATA, &body));
    let ended = dest.run(["/test/main.wasm"]);
    assert!(
        ended.status == 0 && ended.out.ends_with("48\n`/slib/a.so`: more than 1000 libraries were loaded\n"),
        "{ended:?}"
    );
}

/// An installation with a program that loads `a.so`, whose answer is 22.
fn installation() -> Dest {
    let dest = Dest::new();
    dest.library("a", &simple("", 1));
    dest.guest("main", &program(DATA, &format!("{LOAD_A} {SAY_ANSWER}")));
    dest
}

const COMPILING: &str = "compiling a library";
const FOUND: &str = "a library's compiled code is loaded";

#[track_caller]
fn log(dest: &Dest, out: &str) -> String {
    let ended = dest.run(["-vv", "/test/main.wasm"]);
    assert_eq!((ended.status, ended.out.as_str()), (0, out), "{ended:?}");
    ended.err
}

#[test]
fn libraries_are_compiled_ahead() {
    let dest = installation();
    dest.run(["--precompile", "/test/main.wasm", "/slib/a.so"]).assert(0, "");
    let first = log(&dest, "22\n");
    assert!(first.contains(FOUND) && !first.contains(COMPILING), "{first}");
    // By what it holds, not by its file's identity.
    std::fs::copy(dest.root().join("slib/a.so"), dest.root().join("slib/new")).unwrap();
    std::fs::rename(dest.root().join("slib/new"), dest.root().join("slib/a.so")).unwrap();
    assert!(log(&dest, "22\n").contains(FOUND));
    // Another library at the same place gets its own code.
    dest.library("a", &simple("", 2));
    let other = log(&dest, "23\n");
    assert!(other.contains(COMPILING) && !other.contains(FOUND), "{other}");
    dest.run(["--precompile", "/slib/none.so"]).assert_error(2, "`/slib/none.so`");
    dest.library_bytes("none", b"none");
    dest.run(["--precompile", "/slib/a.so", "/slib/none.so"]).assert_error(2, "no valid WebAssembly");
}

/// A guest learns nothing of what others loaded, and leaves nothing that fills the disk.
#[test]
fn code_that_was_compiled_while_a_guest_ran_is_kept_for_nobody() {
    let dest = installation();
    dest.run(["--precompile", "/test/main.wasm"]).assert(0, "");
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(dest.compiled()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    for _ in 0..2 {
        let log = log(&dest, "22\n");
        assert!(log.contains(COMPILING) && !log.contains(FOUND), "{log}");
    }
    assert_eq!(names(), before);
}

/// A guest knows which name its library's code will have: it puts native code there, in every
/// directory that it can write.
#[test]
fn planted_code_is_not_run() {
    let dest = installation();
    dest.run(["--precompile", "/test/main.wasm", "/slib/a.so"]).assert(0, "");
    let code = std::fs::read_dir(dest.compiled()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let digest = blake3::hash(&std::fs::read(dest.root().join("slib/a.so")).unwrap()).to_hex().to_string();
    let name = code.into_iter().find(|n| n.starts_with(&digest) && n.ends_with(".cwasm")).unwrap();

    // The code of a library that answers otherwise, under the digest of the one that is loaded.
    let evil = Dest::new();
    evil.library("a", &simple("", 666));
    evil.run(["--precompile", "/slib/a.so"]).assert(0, "");
    let evil_code = std::fs::read(evil.compiled_file(".cwasm")).unwrap();
    let evil_record = std::fs::read_to_string(evil.compiled_file(".record")).unwrap();

    // In its own tree, in all likely places: nobody looks there.
    for place in ["", "compiled", "slib", "test", "slib/compiled"] {
        std::fs::create_dir_all(dest.root().join(place)).unwrap();
        std::fs::write(dest.root().join(place).join(&name), &evil_code).unwrap();
        std::fs::write(dest.root().join(place).join(name.replace(".cwasm", ".record")), &evil_record).unwrap();
    }
    assert!(log(&dest, "22\n").contains(FOUND));
    // The true place can't be mounted for writing.
    let mount = format!("{}:/work:rw", dest.path().display());
    dest.run(["-m", &mount, "/test/main.wasm"]).assert_error(2, "which this loader trusts");
    // And if it came there all the same, it is not what was recorded.
    std::fs::write(dest.compiled().join(&name), &evil_code).unwrap();
    let log = log(&dest, "22\n");
    assert!(log.contains(COMPILING) && log.contains("is damaged"), "{log}");
    // Compiled code in the place of the library itself is no library.
    std::fs::write(dest.root().join("slib/a.so"), &evil_code).unwrap();
    dest.guest("load", &program(DATA, LOAD_A));
    let ended = dest.run(["/test/load.wasm"]);
    assert!(ended.status == 0 && ended.out.starts_with("45\n`/slib/a.so`: it is no"), "{ended:?}");
}

#[test]
fn a_snapshot_loads_libraries_when_it_is_resumed() {
    let dest = installation();
    // What the initialisation did to memory, globals and the stack is there; tables are the
    // program's.
    let text = program(DATA, &format!("{LOAD_A} {SAY_ANSWER}")).replacen(
        "(func $program_twice",
        &format!(
            r#"(global $ready (mut i32) (i32.const 0))
            (func (export "pynbox_snapshot_init")
              ;; Not yet.
              (i32.store (i32.const 2000) (call $dl_open (i32.const 140) (i32.const 10) (i32.const 2) (i32.const 24)))
              (global.set $ready (i32.const 1)) (global.set $heap (i32.const 70000)))
            (func (export "pynbox_snapshot_resume") (local $h i32)
              (call $say (global.get $ready)) (call $say (i32.load (i32.const 2000)))
              {LOAD_A} {SAY_ANSWER} (call $say (global.get $heap)))
            (func $program_twice"#
        ),
        1,
    );
    dest.guest("main", &text);
    dest.run(["--precompile", "/test/main.wasm", "/slib/a.so"]).assert(0, "");
    let log = log(&dest, "1\n52\n22\n70032\n");
    assert!(log.contains("the snapshot is loaded") && log.contains(FOUND), "{log}");
}

#[test]
fn a_library_that_was_compiled_ahead_is_known_by_its_file_and_by_nothing_that_a_guest_can_set() {
    const KNOWN: &str = "the library is not read";
    let dest = Dest::new();
    dest.library("a", &simple("", 1));
    dest.guest("main", &program(DATA, &format!("{LOAD_A} {SAY_ANSWER}")));
    dest.run(["--precompile", "/slib/a.so"]).assert(0, "");
    let log = || dest.run(["-vv", "/test/main.wasm"]);
    let ended = log();
    assert!(ended.out == "22\n" && ended.err.contains(KNOWN), "{ended:?}");

    // Other bytes of the same length in the same inode, with the times set back.
    let path = dest.root().join("slib/a.so");
    let times = std::fs::metadata(&path).unwrap();
    let other = wat::parse_str(simple("", 2)).unwrap();
    assert_eq!(other.len() as u64, times.len());
    std::fs::write(&path, other).unwrap();
    let set = std::fs::FileTimes::new().set_accessed(times.accessed().unwrap()).set_modified(times.modified().unwrap());
    std::fs::File::options().write(true).open(&path).unwrap().set_times(set).unwrap();
    let ended = log();
    assert!(ended.out == "23\n" && !ended.err.contains(KNOWN), "{ended:?}");

    // A copied installation: the first `--precompile` finds the code by the bytes, and the file is
    // known again.
    dest.run(["--precompile", "/slib/a.so"]).assert(0, "");
    assert!(log().err.contains(KNOWN));
    let (kept, copy) = (dest.compiled_file(".side"), dest.path().join("copy"));
    std::fs::copy(&kept, &copy).unwrap();
    std::fs::rename(&copy, &kept).unwrap();
    assert!(log().err.contains(KNOWN), "the same bytes");
    std::fs::write(&kept, b"\x01nonsense").unwrap();
    let ended = log();
    assert!(ended.out == "23\n" && ended.err.contains("is damaged") && !ended.err.contains(KNOWN), "{ended:?}");
}

/// What was kept of a library or its program and is damaged is done without.
#[test]
fn damaged_parts_cost_time_alone() {
    let body = format!("{LOAD_A} {SAY_ANSWER} (call $say (call $symbol (i32.const 0) (i32.const 230) (i32.const 13)))");
    for (suffix, text) in [(".cwasm", "is read: "), (".table", "the program's table is looked through: ")] {
        let dest = Dest::new();
        dest.library("a", &simple("", 1));
        dest.guest("main", &program(DATA, &body));
        let module = if suffix == ".table" { "/test/main.wasm" } else { "/slib/a.so" };
        dest.run(["--precompile", module]).assert(0, "");
        let ended = dest.run(["-vv", "/test/main.wasm"]);
        assert!(ended.out == "22\n1\n" && !ended.err.contains(text), "{ended:?}");
        std::fs::write(dest.compiled_file(suffix), b"\x01nonsense").unwrap();
        let ended = dest.run(["-vv", "/test/main.wasm"]);
        assert!(ended.out == "22\n1\n" && ended.err.contains(text) && ended.err.contains("is damaged"), "{ended:?}");
    }
}

/// Who is not root is one whose files are another user's for nobody: the code of libraries is found
/// by him too.
#[test]
#[ignore = "needs root"]
fn an_ordinary_user_has_libraries_that_were_compiled_ahead() {
    let dest = installation();
    let path = dest.path().to_str().unwrap();
    let all = std::process::Command::new("chown").args(["-R", "65534:65534", path]).status().unwrap();
    assert!(all.success());
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(dest.path().join("bin/run"));
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&["--precompile", "/test/main.wasm", "/slib/a.so"]).0, Some(0));
    let (status, log) = run(&["-vv", "/test/main.wasm"]);
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("the library is not read") && !log.contains(COMPILING), "{log}");
}
