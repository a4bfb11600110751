//! A guest that tries one call after another, and says of each what came of it.

use std::fmt::Write as _;

use super::{Dest, Ended};

/// One call on files, by WASI's names; paths are the guest's.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    Read(&'a str),
    Write(&'a str),
    Truncate(&'a str),
    Create(&'a str),
    Mkdir(&'a str),
    Unlink(&'a str),
    Rmdir(&'a str),
    Rename(&'a str, &'a str),
    Link(&'a str, &'a str),
    /// A link with this text at this path.
    Symlink(&'a str, &'a str),
    Times(&'a str),
    Chmod(&'a str, u32),
}

const SIGNATURES: [(&str, &str, &str); 11] = [
    ("wasi_snapshot_preview1", "path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
    ("wasi_snapshot_preview1", "fd_write", "i32 i32 i32 i32"),
    ("wasi_snapshot_preview1", "path_create_directory", "i32 i32 i32"),
    ("wasi_snapshot_preview1", "path_unlink_file", "i32 i32 i32"),
    ("wasi_snapshot_preview1", "path_remove_directory", "i32 i32 i32"),
    ("wasi_snapshot_preview1", "path_rename", "i32 i32 i32 i32 i32 i32"),
    ("wasi_snapshot_preview1", "path_link", "i32 i32 i32 i32 i32 i32 i32"),
    ("wasi_snapshot_preview1", "path_symlink", "i32 i32 i32 i32 i32"),
    ("wasi_snapshot_preview1", "path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
    ("pynbox", "path_chmod", "i32 i32 i32 i32 i32"),
    ("wasi_snapshot_preview1", "fd_close", "i32"),
];

/// The guest's program: writes a `+` for each attempt that succeeds, a `-` for each that does not.
fn program(attempts: &[Attempt<'_>]) -> String {
    let (mut data, mut body, mut next) = (String::new(), String::new(), 1024);
    let mut text = |value: &str| {
        let at = next;
        let _ = write!(data, "(data (i32.const {at}) \"{value}\")");
        next += value.len() + 1;
        format!("(i32.const {at}) (i32.const {})", value.len())
    };
    let open = |path: &str, flags: u32, rights: u64| {
        let rest = format!("(i32.const {flags}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 40)");
        format!("(call $path_open (i32.const 3) (i32.const 1) {path} {rest})")
    };
    let (read, write) = (2, 64);
    for attempt in attempts {
        let call = match *attempt {
            Attempt::Read(path) => open(&text(path), 0, read),
            Attempt::Write(path) => open(&text(path), 0, read | write),
            Attempt::Truncate(path) => open(&text(path), 8, write),
            Attempt::Create(path) => open(&text(path), 1, write),
            Attempt::Mkdir(path) => format!("(call $path_create_directory (i32.const 3) {})", text(path)),
            Attempt::Unlink(path) => format!("(call $path_unlink_file (i32.const 3) {})", text(path)),
            Attempt::Rmdir(path) => format!("(call $path_remove_directory (i32.const 3) {})", text(path)),
            Attempt::Rename(from, to) => {
                format!("(call $path_rename (i32.const 3) {} (i32.const 3) {})", text(from), text(to))
            }
            Attempt::Link(from, to) => {
                format!("(call $path_link (i32.const 3) (i32.const 0) {} (i32.const 3) {})", text(from), text(to))
            }
            Attempt::Symlink(target, path) => {
                format!("(call $path_symlink {} (i32.const 3) {})", text(target), text(path))
            }
            Attempt::Times(path) => format!(
                "(call $path_filestat_set_times (i32.const 3) (i32.const 1) {} (i64.const 0) (i64.const 0) (i32.const 5))",
                text(path)
            ),
            Attempt::Chmod(path, mode) => {
                format!("(call $path_chmod (i32.const 3) (i32.const 1) {} (i32.const {mode}))", text(path))
            }
        };
        let _ = write!(body, "(call $tell {call})");
    }
    let imports: String = SIGNATURES
        .iter()
        .map(|(module, name, params)| {
            format!("(import \"{module}\" \"{name}\" (func ${name} (param {params}) (result i32)))")
        })
        .collect();
    format!(
        r#"(module {imports} (memory (export "memory") 1) {data}
          (func $tell (param $error i32)
            (i32.store8 (i32.const 100) (select (i32.const 45) (i32.const 43) (local.get $error)))
            (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 1))
            (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16))))
          (func (export "_start") {body}))"#
    )
}

/// Has a guest try all of these, behind these options; those that succeed.
#[track_caller]
pub fn succeed<'a>(dest: &Dest, options: &[&str], attempts: &[Attempt<'a>]) -> Vec<Attempt<'a>> {
    // Seen at a place of its own, whatever is mounted at "/".
    let place = tempfile::tempdir().unwrap();
    let wasm = wat::parse_str(program(attempts)).unwrap();
    std::fs::write(place.path().join("attempts.wasm"), &wasm).unwrap();
    if super::native::tools().is_some() {
        // Its native code is known by its bytes.
        dest.module("/test/attempts.wasm", &wasm);
    }
    let mount = format!("{}:/attempts:ro", place.path().display());
    let arguments = [options, &["-m", &mount, "/attempts/attempts.wasm"]].concat();
    let Ended { status, out, err } = dest.run(arguments);
    assert_eq!((status, out.len()), (0, attempts.len()), "{out}{err}");
    attempts.iter().zip(out.chars()).filter(|(_, sign)| *sign == '+').map(|(attempt, _)| *attempt).collect()
}
