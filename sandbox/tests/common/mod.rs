//! What the tests of the whole loader share: an installation in a temporary directory, and guests
//! written as text.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

pub mod attempts;
pub mod libraries;
pub mod native;
pub mod peak;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// An installation with an empty `root`.
pub struct Dest {
    directory: TempDir,
}

impl Dest {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Not writable by others, whatever the umask.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["bin", "root/test", "packages"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        // By another process: a test beside this one that forks while the copy is open for writing
        // would hold it open, and nobody could run it then (ETXTBSY).
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_run")).arg(directory.path().join("bin/run")).status();
        assert!(copied.unwrap().success());
        let dest = Self { directory };
        if native::tools().is_some() {
            native::prepare(&dest);
        }
        dest
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    pub fn compiled(&self) -> PathBuf {
        self.path().join("compiled")
    }

    /// Puts a guest at `/test/NAME.wasm` and gives that path.
    pub fn guest(&self, name: &str, text: &str) -> String {
        self.module(&format!("/test/{name}.wasm"), &wat::parse_str(text).unwrap());
        format!("/test/{name}.wasm")
    }

    /// Puts a library at `/slib/NAME.so`.
    pub fn library(&self, name: &str, text: &str) {
        self.library_bytes(name, &wat::parse_str(text).unwrap_or_else(|e| panic!("{e}: {text}")));
    }

    pub fn library_bytes(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.root().join("slib")).unwrap();
        self.module(&format!("/slib/{name}.so"), bytes);
    }

    fn module(&self, path: &str, bytes: &[u8]) {
        fs::write(self.root().join(&path[1..]), bytes).unwrap();
        if let Some(tools) = native::tools() {
            native::bring(self, &tools, path);
        }
    }

    /// Runs the loader with these arguments, an empty environment and no input.
    pub fn run<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        self.command(args).ended()
    }

    pub fn command<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        let mut command = Command::new(self.path().join("bin/run"));
        command.env_clear().args(args).stdin(std::process::Stdio::null());
        Run(command)
    }

    /// The only file below `compiled` whose name ends so.
    pub fn compiled_file(&self, suffix: &str) -> PathBuf {
        let mut found: Vec<PathBuf> = fs::read_dir(self.compiled())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.to_str().unwrap().ends_with(suffix))
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

pub struct Run(pub Command);

impl Run {
    pub fn ended(&mut self) -> Ended {
        Ended::of(self.0.output().unwrap())
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    fn of(Output { status, stdout, stderr }: Output) -> Self {
        Self {
            // A loader that dies of a signal has no status, and fails every comparison.
            status: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn assert(&self, status: i32, out: &str) {
        assert_eq!((self.status, self.out.as_str()), (status, out), "{self:?}");
    }

    #[track_caller]
    pub fn assert_error(&self, status: i32, part: &str) {
        assert!(self.status == status && self.err.contains(part), "expected {status} and `{part}`: {self:?}");
    }
}

/// A module with one page of memory, the usual imports, `data` lines and a body for `_start`.
///
/// `$puts` writes memory from an address with a length to standard output; `$exit` ends the guest.
pub fn module(data: &str, body: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "pynbox" "fd_dup" (func $fd_dup (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  {data}
  (func $puts (param $at i32) (param $length i32)
    (i32.store (i32.const 8) (local.get $at))
    (i32.store (i32.const 12) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16))))
  {body})"#
    )
}
