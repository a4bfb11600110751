//! The launcher of `sel_ldr`, with a stand-in for it that looks around and tries what somebody
//! would who broke out of the guest: files, statuses, signals, and attacks; as root (where the
//! tests run as root) and as an ordinary user.
//!
//! With `PYNBOX_TEST_NACL_SDK=DIR`, an SDK in pepper layout, the tests of `guests` run a program of
//! Native Client on `sel_ldr` itself, and those of `real` run, which need code that only it can
//! run.

#![cfg(feature = "nacl")]
#![allow(unreachable_pub, reason = "shared by the modules of one test program")]

mod attacks;
mod check;
mod common;
mod files;
mod guests;
mod limits;
mod processes;
mod real;
mod sources;

use common::{Dest, NOBODY, users};

#[test]
fn what_the_engine_is_told() {
    let dest = Dest::new();
    let program = dest.program("hello", true);
    let ended = dest.run(["-E", "A=1", "-E", "B=x y", "-E", "A=2", &program, "one", "-v", ""]);
    let expected = "option E B=x y\noption E A=2\nstart /guest/slib/runnable-ld.so --library-path /slib /test/hello.nexe one -v \n";
    ended.assert(0, expected);
    // What no loader has to load is run itself.
    let program = dest.program("static", false);
    dest.run([&program, "one"]).assert(0, "start /guest/test/static.nexe one\n");
    // Its own environment is not the guest's: it must copy code before it validates it, for which
    // it has this word.
    let copies = "environment NACL_FAULT_INJECTION=MMAP_FORCE_DESCRIPTOR_SAFETY_CHECK_FAIL=GF/@";
    assert_eq!(dest.run(["-E", "A=1", &program, "do:environment"]).lines(), [copies]);
    // The short name that a package gave.
    std::fs::create_dir_all(dest.path().join("lib/programs")).unwrap();
    std::fs::write(dest.path().join("lib/programs/python"), "/python/bin/python.nexe\n").unwrap();
    std::fs::create_dir_all(dest.root().join("python/bin")).unwrap();
    std::fs::rename(dest.root().join("test/hello.nexe"), dest.root().join("python/bin/python.nexe")).unwrap();
    let started = "start /guest/slib/runnable-ld.so --library-path /slib /python/bin/python.nexe -c pass\n";
    dest.run(["python", "-c", "pass"]).assert(0, started);
}

#[test]
fn the_environment_is_passed_when_asked_for() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let mut command = dest.command(["-p", "-E", "B=2", &program]);
    command.0.env("A", "1").env("B", "1").env("NACL_DANGEROUS_SKIP_QUALIFICATION_TEST", "1");
    let ended = command.ended();
    for line in ["option E A=1\n", "option E B=2\n"] {
        assert!(ended.out.contains(line), "{ended:?}");
    }
    assert!(!ended.out.contains("B=1"), "{ended:?}");
    let mut command = dest.command([&program]);
    command.0.env("A", "1");
    command.ended().assert(0, "start /guest/test/hello.nexe\n");
}

#[test]
fn usage_and_messages_are_those_of_the_other_loader() {
    let dest = Dest::new();
    let program = dest.program("hello", true);
    let none: [&str; 0] = [];
    dest.run(none).assert_error(2, "usage: run [OPTIONS] PROGRAM");
    dest.run(["-m", "/:x:ro", "/p"]).assert_error(2, "HOST:VIRTUAL:ro");
    dest.run(["/test/none.nexe"]).assert_error(2, "there is no program `/test/none.nexe` in the sandbox");
    dest.run(["python"]).assert_error(2, "there is no program `python` in the sandbox");
    dest.run(["/test/../test/hello.nexe"]).assert_error(2, "in the sandbox");
    dest.run(["/test"]).assert_error(2, "Is a directory");
    dest.run(["-m", "/nowhere:/:ro", &program]).assert_error(3, "`/nowhere` can't be mounted");
    dest.run(["-r", "77:5", &program]).assert_error(2, "descriptor 77 can't be handed in");
    std::fs::write(dest.root().join("test/text"), "no program").unwrap();
    dest.run(["/test/text"]).assert_error(2, "no program for x86-64");
    dest.run(["--precompile", &program]).assert_error(2, "nothing to compile");
    std::fs::remove_file(dest.root().join("slib/runnable-ld.so")).unwrap();
    dest.run([&program]).assert_error(2, "`/slib/runnable-ld.so`");
    std::fs::remove_file(dest.path().join("lib/nacl/irt_core_x86_64.nexe")).unwrap();
    dest.run([&program]).assert_error(3, "irt_core_x86_64.nexe` is not there");
}

#[test]
fn an_engine_with_libraries_finds_them_and_no_more() {
    let dest = Dest::with_engine(&[]);
    let program = dest.program("hello", false);
    for user in users() {
        let ended = dest.run_as(user, [program.as_str(), "do:needs", "do:list,/", "do:cat,/etc/passwd"]);
        assert!(ended.out.contains("thread=0\n") && ended.out.contains("cat /etc/passwd=2\n"), "{ended:?}");
        for missing in ["etc", "proc", "home", "tmp", "usr/bin"] {
            assert!(!ended.out.contains(&format!(" {missing}")), "{missing}: {ended:?}");
        }
    }
}

#[test]
#[ignore = "needs root: without it, guests of these tests run as no other user"]
fn guests_run_as_an_ordinary_user_too() {
    assert!(users().contains(&Some(NOBODY)));
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let ended = dest.run_as(Some(NOBODY), [program.as_str(), "do:needs"]);
    assert!(ended.out.contains("thread=0\n"), "{ended:?}");
}

#[test]
fn an_engine_that_was_linked_to_run_code_on_its_stacks_has_threads() {
    let dest = Dest::with_engine(&["-static", "-z", "execstack"]);
    let program = dest.program("hello", false);
    for user in users() {
        let ended = dest.run_as(user, [program.as_str(), "do:needs"]);
        assert!(ended.lines().contains(&"thread=0"), "{user:?}: {ended:?}");
    }
}
