//! What the loader prints, where nobody takes it, and where a name in it is hostile.

#![cfg(feature = "wasm")]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use common::{Dest, module};

#[test]
fn a_name_that_is_no_text_is_printed_as_no_other() {
    let dest = Dest::new();
    let name = OsStr::from_bytes(b"/test/n\xff");
    for arguments in [
        vec![name],
        vec![OsStr::new("-l"), OsStr::from_bytes(b"/nowhere/n\xff"), OsStr::new("/p")],
        vec![OsStr::new("-m"), OsStr::from_bytes(b"/n\xff:/:ro"), OsStr::new("/p")],
        vec![OsStr::new("-m"), OsStr::from_bytes(b"n\xff"), OsStr::new("/p")],
    ] {
        let ended = dest.run(&arguments);
        assert!(ended.status > 1 && ended.err.contains("n\\xff") && !ended.err.contains('\u{fffd}'), "{ended:?}");
    }
    // It runs like any other.
    let seven = dest.guest("seven", &module("", r#"(func (export "_start") (call $exit (i32.const 7)))"#));
    fs::copy(dest.root().join(&seven[1..]), dest.root().join(OsStr::from_bytes(b"test/n\xff"))).unwrap();
    assert_eq!(dest.run([name]).status, 7);
}

/// Set to write the page instead of comparing it.
const UPDATE_VARIABLE: &str = "UPDATE_REFERENCE";
const PAGE: &str = "docs/reference/run.md";
const HEAD: &str = "# Running a program

This page is generated from `DEST/bin/run --help`. [Limits of a run](limits.md) says more of limits and
statuses, [Security](../security.md) of what is promised.

For `x86_64-nacl`, `run` takes the same options.

```text
";

#[test]
fn the_reference_is_what_help_prints() {
    let (status, help) = Dest::new().command(["--help"]).0.output().map(|one| (one.status, one.stdout)).unwrap();
    assert!(status.success());
    let page = format!("{HEAD}{}```\n", String::from_utf8(help).unwrap());
    let path = format!("{}/../{PAGE}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let command = "cargo test --release --manifest-path sandbox/Cargo.toml --test printing";
    assert!(found == page, "`{PAGE}` is out of date; write it anew: `{UPDATE_VARIABLE}=1 {command}`");
}

/// A name that, printed as it is, forges a line of the log and is obeyed by a terminal.
const HOSTILE: &str =
    "x`\nrun:   9.999 ms: the guest ended with status 0\nrun: \u{1b}[31mred\u{1b}[0m \u{9b}2J\u{202e}\u{7}";

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    OwnedFd::from(writer).into()
}

#[test]
fn help_that_nobody_can_read() {
    let dest = Dest::new();
    let help = |out: Stdio| dest.command(["--help"]).0.stdout(out).output().unwrap();
    let output = help(full());
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.starts_with("run: standard output can't be written: No space left on device"), "{err}");
    let output = help(closed());
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(128 + 13), &b""[..]));
    for err in [full(), closed()] {
        let status = dest.command(["--help"]).0.stdout(full()).stderr(err).status().unwrap();
        assert_eq!(status.code(), Some(3));
    }
}

#[test]
fn what_standard_error_takes_changes_no_status() {
    let dest = Dest::new();
    let trap = dest.guest("trap", &module("", "(func (export \"_start\") unreachable)"));
    let seven = dest.guest("seven", &module("", r#"(func (export "_start") (call $exit (i32.const 7)))"#));
    let cases: [(&[&str], i32); 7] = [
        (&[], 2),
        (&["--no-such-option"], 2),
        (&["no-such-program"], 2),
        (&["-l", "/nowhere/log", &seven], 3),
        (&["-m", "/nowhere:/:ro", &seven], 3),
        (&[&trap], 134),
        (&["-v", "-v", &seven], 7),
    ];
    for (arguments, status) in cases {
        for err in [full(), closed()] {
            let ended = dest.command(arguments).0.stderr(err).status().unwrap();
            assert_eq!(ended.code(), Some(status), "{arguments:?}");
        }
        let ended = dest.run(arguments);
        assert!(ended.status == status && !ended.err.is_empty(), "{arguments:?}: {ended:?}");
    }
    let ended = dest.run(["-v", "-l", "/dev/full", &trap]);
    ended.assert_error(134, "was ended");
}

#[test]
fn names_forge_no_line_and_command_no_terminal() {
    let dest = Dest::new();
    let text = HOSTILE.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let foreign =
        format!(r#"(module (import "env" "{text}" (func)) (memory (export "memory") 1) (func (export "_start")))"#);
    let foreign = dest.guest("foreign", &foreign);
    fs::write(dest.root().join("test").join(HOSTILE.replace('/', "")), "no module").unwrap();
    let log = dest.path().join("log");
    for arguments in [
        vec!["-v", "-v", &foreign],
        vec!["-v", HOSTILE],
        vec!["-v", &format!("/test/{HOSTILE}")],
        vec![&format!("--{HOSTILE}")],
        vec!["-m", HOSTILE, "/p"],
        vec!["-m", &format!("/{HOSTILE}:/:ro"), "/p"],
        vec!["-E", HOSTILE, "/p"],
        vec!["-r", HOSTILE, "/p"],
        vec!["-v", "-l", log.to_str().unwrap(), &foreign],
    ] {
        let ended = dest.run(&arguments);
        assert_eq!(ended.status, if arguments[0] == "-m" && arguments[1] != HOSTILE { 3 } else { 2 }, "{ended:?}");
        let logged = fs::read_to_string(&log).unwrap_or_default();
        for text in [ended.err, logged] {
            assert!(text.lines().all(|line| line.starts_with("run: ")), "{text}");
            assert!(!text.contains("\nrun:   9.999 ms: the guest") && !text.contains("\nrun: \\u{1b}"), "{text}");
            assert!(!text.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{text:?}");
        }
    }
}
