//! The command `run` with whole guests: exit statuses, messages, descriptors, mounts, and guests
//! that misbehave.

#![cfg(feature = "wasm")]

mod common;

use std::fs;
use std::io::{Read as _, Write};
use std::os::fd::AsRawFd;
use std::process::Stdio;

use common::{Dest, module};
use rustix::fs::{FileType, Mode, OFlags};

const HELLO: &str = r#"(func (export "_start") (call $puts (i32.const 100) (i32.const 6)))"#;
const HELLO_DATA: &str = r#"(data (i32.const 100) "hello\n")"#;

#[test]
fn a_guest_says_hello_and_ends() {
    let dest = Dest::new();
    let hello = dest.guest("hello", &module(HELLO_DATA, HELLO));
    dest.run([&hello]).assert(0, "hello\n");
    let exit = dest.guest("exit", &module("", r#"(func (export "_start") (call $exit (i32.const 7)))"#));
    dest.run([&exit]).assert(7, "");
    let exit = dest.guest("exit", &module("", r#"(func (export "_start") (call $exit (i32.const 259)))"#));
    dest.run([&exit]).assert(3, "");
}

#[test]
fn usage() {
    let dest = Dest::new();
    let none: [&str; 0] = [];
    dest.run(none).assert_error(2, "usage: run [OPTIONS] PROGRAM");
    let help = dest.run(["--help"]);
    assert!(help.status == 0 && help.out.contains("-m HOST:VIRTUAL:ro|rw"), "{help:?}");
    dest.run(["-m", "/:x:ro", "/p"]).assert_error(2, "HOST:VIRTUAL:ro");
    dest.run(["/test/none.wasm"]).assert_error(2, "`/test/none.wasm`");
    dest.run(["python"]).assert_error(2, "no program `python` in the sandbox");
    dest.run(["/test"]).assert_error(2, "Is a directory");
    dest.run(["-m", "/nowhere:/:ro", "/p"]).assert_error(3, "`/nowhere` can't be mounted");
    dest.run(["-r", "77:5", "/p"]).assert_error(2, "descriptor 77 can't be handed in");
    fs::write(dest.root().join("test/text"), "no module").unwrap();
    dest.run(["/test/text"]).assert_error(2, "no valid WebAssembly module");
    let foreign = dest.guest(
        "foreign",
        r#"(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))"#,
    );
    dest.run([&foreign]).assert_error(2, "`env.f`");
    let bare = dest.guest("bare", "(module (memory (export \"memory\") 1))");
    dest.run([&bare]).assert_error(2, "_start");
    let no_memory = dest.guest("no_memory", r#"(module (func (export "_start")))"#);
    dest.run([&no_memory]).assert_error(2, "memory");
    let wrong = dest.guest(
        "wrong",
        r#"(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64))) (memory (export "memory") 1) (func (export "_start")))"#,
    );
    let ended = dest.run([&wrong]);
    assert!([2, 3].contains(&ended.status), "{ended:?}");
}

#[test]
fn traps_end_the_guest_alone() {
    let dest = Dest::new();
    for (name, body, why) in [
        ("unreachable", "(func (export \"_start\") unreachable)", "unreachable"),
        ("divide", "(func (export \"_start\") (drop (i32.div_s (i32.const 1) (i32.const 0))))", "divide by zero"),
        ("overflow", "(func (export \"_start\") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))", "overflow"),
        ("outside", "(func (export \"_start\") (drop (i32.load (i32.const -4))))", "out of bounds"),
        ("far", "(func (export \"_start\") (drop (i64.load offset=0xffffffff (i32.const -1))))", "out of bounds"),
        ("recursion", "(func $f (export \"_start\") (call $f) (call $f))", "nest too deeply"),
        (
            "mismatch",
            "(table 1 funcref) (elem (i32.const 0) $puts) (type $t (func))
             (func (export \"_start\") (call_indirect (type $t) (i32.const 0)))",
            "type mismatch",
        ),
        (
            "null",
            "(table 1 funcref) (type $t (func)) (func (export \"_start\") (call_indirect (type $t) (i32.const 0)))",
            "uninitialized element",
        ),
        ("start", "(func $s unreachable) (start $s) (func (export \"_start\"))", "unreachable"),
    ] {
        let guest = dest.guest(name, &module("", body));
        let ended = dest.run([&guest]);
        assert!(ended.status == 134 && ended.err.contains(why), "{name}: {ended:?}");
        assert!(ended.err.contains(&guest), "{name}: {ended:?}");
    }
}

#[test]
fn descriptor_3_can_be_handed_in() {
    let dest = Dest::new();
    // Copies descriptor 3 to standard output, then says how a path that begins at 3 is opened.
    let body = r#"(func (export "_start")
        (i32.store (i32.const 32) (i32.const 100)) (i32.store (i32.const 36) (i32.const 50))
        (drop (call $fd_read (i32.const 3) (i32.const 32) (i32.const 1) (i32.const 40)))
        (call $puts (i32.const 100) (i32.load (i32.const 40)))
        (call $exit (call $path_open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 0)
          (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 44))))"#;
    let guest = dest.guest("copies", &module(r#"(data (i32.const 64) "test")"#, body));
    let mut command = dest.command(["-r", "0:3", &guest]);
    let input = dest.path().join("input");
    fs::write(&input, "from outside").unwrap();
    command.0.stdin(fs::File::open(&input).unwrap());
    command.ended().assert(0, "from outside");
}

#[test]
fn a_start_function_ends_the_guest_as_its_entry_does() {
    let dest = Dest::new();
    let exits = "(func $s (call $exit (i32.const 7))) (start $s) (func (export \"_start\") unreachable)";
    dest.run([&dest.guest("exits", &module("", exits))]).assert(7, "");
    let loops = "(func $s (call $s)) (start $s) (func (export \"_start\"))";
    dest.run([&dest.guest("loops", &module("", loops))]).assert_error(134, "nest too deeply");
    let outside = "(data (i32.const 65536) \"x\") (func (export \"_start\"))";
    dest.run([&dest.guest("outside", &module(outside, ""))]).assert_error(134, "out of bounds");
}

#[test]
fn a_module_that_can_not_be_instantiated_is_refused() {
    let dest = Dest::new();
    let none = "(func (export \"_start\"))";
    let typed = module("", none).replace("(func $exit (param i32))", "(func $exit (param i64))");
    dest.run([&dest.guest("typed", &typed)]).assert_error(2, "proc_exit");
}

#[test]
fn recursion_that_ends_is_deep_enough() {
    let dest = Dest::new();
    // Each call keeps a few values alive, as an interpreter's does.
    let guest = dest.guest(
        "deep",
        &module(
            "",
            r#"(func $f (param $n i32) (result i32)
                 (if (result i32) (local.get $n)
                   (then (i32.add (call $f (i32.sub (local.get $n) (i32.const 1))) (local.get $n)))
                   (else (i32.const 0))))
               (func (export "_start") (drop (call $f (i32.const 150000))))"#,
        ),
    );
    dest.run([&guest]).assert(0, "");
}

#[test]
fn memory_ends_at_its_limit() {
    let dest = Dest::new();
    // Grows by 64 KiB until it is refused, then ends with the size in units of 16 MiB.
    let guest = dest.guest(
        "grow",
        &module(
            "",
            r#"(func (export "_start")
                 (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
                 (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                 (call $exit (i32.shr_u (memory.size) (i32.const 8))))"#,
        ),
    );
    // The rest is what the loader takes for the guest.
    dest.run(["--max-memory", "64", &guest]).assert(3, "");
    dest.run(["--max-memory", "1024", &guest]).assert(63, "");
    dest.run([&guest]).assert(255, "");
    let large = dest.guest("large", r#"(module (memory (export "memory") 2000) (func (export "_start")))"#);
    let ended = dest.run(["--max-memory", "64", &large]);
    ended.assert_error(137, "give it more memory with `--max-memory ");
    let enough = ended.err.rsplit("--max-memory ").next().and_then(|text| text.split('`').next()).unwrap();
    dest.run(["--max-memory", enough, &large]).assert(0, "");
}

#[test]
fn environment_and_arguments() {
    let dest = Dest::new();
    // Prints the first 32 bytes of the strings.
    let strings = |call: &str| {
        module(
            "",
            &format!(
                r#"(func (export "_start") (drop (call ${call} (i32.const 1000) (i32.const 2000))) (call $puts (i32.const 2000) (i32.const 32)))"#
            ),
        )
    };
    let env = dest.guest("env", &strings("environ_get"));
    let args = dest.guest("args", &strings("args_get"));
    let padded = |text: &str| format!("{text:\0<32}");
    dest.run([&args, "-v", "", "x"]).assert(0, &padded("/test/args.wasm\0-v\0\0x"));
    let with = |list: &[&str]| {
        let mut command = dest.command(list.iter().copied().chain([env.as_str()]));
        command.0.env("HOST", "1");
        command.ended()
    };
    with(&[]).assert(0, &padded(""));
    with(&["-E", "A=1", "-E", "B=", "-E", "A=2"]).assert(0, &padded("B=\0A=2"));
    with(&["-p"]).assert(0, &padded("HOST=1"));
    with(&["-p", "-E", "HOST=2"]).assert(0, &padded("HOST=2"));
}

/// Opens the path in memory at 100 by these flags and right, and ends with the errno.
fn opener(path: &str, oflags: u32, rights: u32) -> String {
    module(
        &format!(r#"(data (i32.const 100) "{path}")"#),
        &format!(
            r#"(func (export "_start") (call $exit (call $path_open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const {}) (i32.const {oflags})
                 (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 4))))"#,
            path.len()
        ),
    )
}

#[test]
fn mounts_of_the_command_line() {
    const READ: u32 = 2;
    const WRITE: u32 = 64;
    const CREATE: u32 = 1;
    let dest = Dest::new();
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("file"), "x").unwrap();
    let root = format!("{}:/:ro", dest.root().display());
    let at = |mode: &str| format!("{}:/data:{mode}", data.path().display());
    let read = dest.guest("read", &opener("data/file", 0, READ));
    let create = dest.guest("create", &opener("data/new", CREATE, WRITE));
    dest.run([&read]).assert(44, "");
    dest.run(["-m", &root, "-m", &at("ro"), &read]).assert(0, "");
    dest.run(["-m", &root, "-m", &at("ro"), &create]).assert(69, "");
    assert!(!data.path().join("new").exists());
    dest.run(["-m", &root, "-m", &at("rw"), &create]).assert(0, "");
    assert!(data.path().join("new").exists());
}

#[test]
fn mounts_that_reach_the_installation_are_not_writable() {
    let dest = Dest::new();
    fs::create_dir(dest.compiled()).unwrap();
    let hello = dest.guest("hello", &module(HELLO_DATA, HELLO));
    let root = format!("{}:/:ro", dest.root().display());
    let link = tempfile::tempdir().unwrap();
    let by_link = link.path().join("link");
    std::os::unix::fs::symlink(dest.path().join("bin"), &by_link).unwrap();
    let inner = dest.compiled().join("inner");
    fs::create_dir(&inner).unwrap();
    for directory in [
        dest.path(),
        &dest.compiled(),
        &inner,
        &dest.path().join("bin"),
        &dest.path().join("packages"),
        &by_link,
        "/".as_ref(),
    ] {
        let mount = |mode: &str| format!("{}:/m:{mode}", directory.display());
        let run = |mode| dest.run(["--follow-links", "-m", &root, "-m", &mount(mode), &hello]);
        run("rw").assert_error(2, "can't be mounted for writing");
        run("ro").assert(0, "hello\n");
    }
}

#[test]
fn handed_in_descriptors() {
    let dest = Dest::new();
    let guest = dest.guest(
        "hand",
        &module(
            HELLO_DATA,
            r#"(func (export "_start")
                 (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 6))
                 (call $exit (call $fd_write (i32.const 5) (i32.const 8) (i32.const 1) (i32.const 16))))"#,
        ),
    );
    dest.run([&guest]).assert(8, "");
    dest.run(["-w", "1:5", &guest]).assert(0, "hello\n");
    dest.run(["-h", "2:5", &guest]).assert_error(0, "hello\n");
    dest.run(["-r", "1:5", &guest]).assert(8, "");
    // What the parent left open is no guest's, and gone.
    let file = tempfile::tempfile().unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    assert!(file.as_raw_fd() > 2);
    dest.run([&guest]).assert(8, "");
}

#[test]
fn standard_streams_and_dup() {
    let dest = Dest::new();
    let guest = dest.guest(
        "cat",
        &module(
            "",
            r#"(func (export "_start")
                 (drop (call $fd_dup (i32.const 0) (i32.const 50) (i32.const 4)))
                 (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 50))
                 (drop (call $fd_read (i32.load (i32.const 4)) (i32.const 8) (i32.const 1) (i32.const 16)))
                 (call $puts (i32.const 100) (i32.load (i32.const 16)))
                 (call $exit (i32.load (i32.const 4))))"#,
        ),
    );
    let mut command = dest.command([&guest]).0;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through a pipe").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(50), &b"through a pipe"[..]));
}

#[test]
fn the_log_is_appended_to() {
    let dest = Dest::new();
    let hello = dest.guest("hello", &module(HELLO_DATA, HELLO));
    let log = dest.path().join("log");
    let args = ["-v", "-l", log.to_str().unwrap(), hello.as_str()];
    dest.run(args).assert(0, "hello\n");
    dest.run(args).assert(0, "hello\n");
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.matches("the guest ended with status 0").count(), 2, "{text}");
    dest.run(["-l", "/nowhere/log", &hello]).assert_error(3, "`/nowhere/log` can't be opened");
}

#[test]
fn a_log_may_be_a_pipe_that_somebody_reads() {
    let dest = Dest::new();
    let hello = dest.guest("hello", &module(HELLO_DATA, HELLO));
    let pipe = dest.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let args = ["-v", "-l", pipe.to_str().unwrap(), hello.as_str()];
    dest.run(args).assert_error(3, "is a pipe that nobody reads");
    let reader = rustix::fs::open(&pipe, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    dest.run(args).assert(0, "hello\n");
    let mut text = String::new();
    fs::File::from(reader).read_to_string(&mut text).unwrap();
    assert!(text.contains("the guest ended with status 0"), "{text}");
}

#[test]
fn a_program_that_is_not_found_has_a_reason() {
    let dest = Dest::new();
    let hello = dest.guest("hello", &module(HELLO_DATA, HELLO));
    dest.run(["--fixed-time", "5", &hello]).assert_error(2, "`--fixed-time=5`");
    dest.run(["--fixed-time=5", "6"]).assert_error(2, "such as `/test/hello.wasm`");
    dest.run(["--fixed-time", &hello]).assert(0, "hello\n");
    dest.guest("5", &module(HELLO_DATA, HELLO));
    fs::rename(dest.root().join("test/5.wasm"), dest.root().join("5")).unwrap();
    dest.run(["--fixed-time", "5"]).assert(0, "hello\n");
    for (folder, at) in [("/:1M", "/"), ("/test:1M", "/test")] {
        dest.run(["--tmpfs", folder, &hello]).assert_error(2, &format!("`--tmpfs` puts an empty folder at `{at}`"));
    }
    let mount = format!("{}:/test:ro", dest.root().join("test").display());
    dest.run(["--tmpfs", "/:1M", "-m", &mount, &hello]).assert(0, "hello\n");
    dest.run(["--tmpfs", "/:1M", "-m", &mount, "/test/no.wasm"]).assert_error(2, "No such file");
}
