//! The import table: what is said of it in the documentation, and what the C library in the sandbox
//! declares of it.

#![cfg(feature = "wasm")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use pynbox_run::abi::{FunctionResult, Handler, HostFunction, IMPORTS, find};
use pynbox_run::limits::Limit;
use pynbox_run::linking::ValueType;

/// Set to write the page instead of comparing it.
const UPDATE_VARIABLE: &str = "UPDATE_REFERENCE";
const PAGE: &str = "docs/reference/imports.md";

const HEAD: &str = "# What a guest can import

This page is generated from the import table of the loader, `sandbox/src/abi/imports.rs`. A module of
WebAssembly that imports a function beside it is refused before any of its code runs; a library may also
import what the program and other libraries export.

Parameters are `i32` where no type is given. A parameter called `…_out` is the address where an answer
goes. Every function returns WASI's errno, 0 for success, as an `i32`. *Limits* are those that a call
charges and tells the guest of ([Limits of a run](limits.md)); time and the processor's time pass in every
call.
";

const WASI: &str = "
WASI preview 1 with its types and numbers
([its documentation](https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md)). One
directory is open at the start: descriptor 3, `/`. `proc_raise` and `sock_accept` give `ENOSYS`, as do
`sock_*` for a socket of the host; those of a pair that the guest made can be used. Times are signed: one
before 1970 is negative.
";

const PYNBOX: &str = "
What the C library needs and WASI lacks. Paths are bytes without a final NUL, relative to the directory
descriptor `dir`; bit 0 of `lookup` says that a link at the end is followed.
";

const STAT: &str = "
The structure of `fd_stat` and `path_stat` has 96 bytes, little-endian. Owner and group are not told.

| offset | field | type |
|---|---|---|
| 0 | `dev` | u64 |
| 8 | `ino` | u64 |
| 16 | `nlink` | u64 |
| 24 | `mode` | u32, then four zero bytes |
| 32 | `rdev` | u64 |
| 40 | `size` | u64 |
| 48 | `blksize` | u64 |
| 56 | `blocks` | u64 |
| 64 | `atime` | i64, nanoseconds since 1970 |
| 72 | `mtime` | i64, the same |
| 80 | `ctime` | i64, the same |
| 88 | zero | u64 |
";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn parameters(function: &HostFunction) -> String {
    let one = |parameter: &pynbox_run::abi::Parameter| match parameter.ty {
        ValueType::I32 => parameter.name.to_owned(),
        ValueType::I64 => format!("{}: i64", parameter.name),
        ValueType::F32 | ValueType::F64 => panic!("`{}` has a parameter of another type", function.name),
    };
    function.parameters.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn charges(function: &HostFunction) -> String {
    let options = function.charges.iter().map(|limit| format!("`{}`", limit.row().option));
    options.collect::<Vec<_>>().join(", ")
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    for (module, about) in [("wasi_snapshot_preview1", WASI), ("pynbox", PYNBOX)] {
        let described = module == "pynbox";
        let _ = write!(text, "\n## Module `{module}`\n{about}\n");
        text.push_str(if described {
            "| function | what it does | limits |\n|---|---|---|\n"
        } else {
            "| function | limits |\n|---|---|\n"
        });
        for function in IMPORTS.iter().filter(|function| function.module == module) {
            let never = if function.result == FunctionResult::Never { ", which does not return" } else { "" };
            let _ = write!(text, "| `{}({})`{never} |", function.name, parameters(function));
            if described {
                let _ = write!(text, "{} |", function.about);
            }
            let _ = writeln!(text, " {} |", charges(function));
        }
    }
    text + STAT
}

#[test]
fn the_reference_lists_every_import() {
    let path = project().join(PAGE);
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(&path, page()).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let command = "cargo test --release --manifest-path sandbox/Cargo.toml --test imports";
    assert!(found == page(), "`{PAGE}` is out of date; write it anew: `{UPDATE_VARIABLE}=1 {command}`");
}

#[test]
fn every_function_is_there_once() {
    for function in IMPORTS {
        let first = find(function.module, function.name).unwrap();
        assert!(std::ptr::eq(first, function), "`{}.{}` is there twice", function.module, function.name);
        assert_eq!(function.about.is_empty(), function.module != "pynbox", "`{}`", function.name);
        assert!(
            function
                .parameters
                .iter()
                .enumerate()
                .all(|(i, one)| { function.parameters[..i].iter().all(|other| other.name != one.name) })
        );
        // Nobody can be told of a limit that passes in every call.
        assert!(!function.charges.contains(&Limit::Time) && !function.charges.contains(&Limit::Cpu));
    }
    assert_eq!(IMPORTS.iter().filter(|function| function.module == "wasi_snapshot_preview1").count(), 46);
    assert_eq!(IMPORTS.iter().filter(|function| function.result == FunctionResult::Never).count(), 1);
}

#[test]
fn nothing_beside_the_table_is_found() {
    for (module, name) in [("env", "fd_write"), ("pynbox", "fd_write"), ("wasi_unstable", "fd_write"), ("pynbox", "")] {
        assert!(find(module, name).is_none(), "`{module}.{name}`");
    }
}

/// The C library in the sandbox declares the functions again.
#[test]
fn the_c_library_declares_them_as_they_are() {
    let header = fs::read_to_string(project().join("recipes/files/sandbox_inner/src/loader.h")).unwrap();
    let mut declared = 0;
    for declaration in header.split("LOADER(\"").skip(1) {
        let (name, rest) = declaration.split_once("\")").unwrap();
        let (_, list) = rest.split_once('(').unwrap();
        let (list, _) = list.split_once(");").unwrap();
        let function = find("pynbox", name).unwrap_or_else(|| panic!("there is no `{name}`"));
        assert_eq!(list.split(',').count(), function.parameters.len(), "`{name}`");
        let is_long = |parameter: &str| parameter.contains("int64_t") && !parameter.contains('*');
        assert!(!list.split(',').any(is_long), "`{name}`");
        assert!(function.parameters.iter().all(|one| one.ty == ValueType::I32), "`{name}`");
        declared += 1;
    }
    assert!(declared > 15, "{declared}");
    for function in IMPORTS.iter().filter(|function| matches!(function.handler, Handler::Linker(_))) {
        assert!(header.contains(&format!("LOADER(\"{}\")", function.name)), "`{}` is not declared", function.name);
    }
}
