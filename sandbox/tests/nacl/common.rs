//! An installation with a stand-in for `sel_ldr`, or with `sel_ldr` itself if there is an SDK.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The user and the group `nobody`.
pub const NOBODY: u32 = 65_534;

/// The users as whom guests run: whoever started the tests, and if that is root an ordinary one
/// too. `guests_run_as_an_ordinary_user_too` says in the count of tests whether that was so.
pub fn users() -> Vec<Option<u32>> {
    if rustix::process::geteuid().is_root() { vec![None, Some(NOBODY)] } else { vec![None] }
}

/// The folder of an SDK in pepper layout, if the tests are given one.
fn sdk() -> Option<PathBuf> {
    std::env::var_os("PYNBOX_TEST_NACL_SDK").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The program that guests are in the tests that run on either.
pub const GUEST: &str = "/test/guest.nexe";

pub struct Dest {
    directory: TempDir,
}

impl Dest {
    /// With an engine that needs no library.
    pub fn new() -> Self {
        static ENGINE: OnceLock<TempDir> = OnceLock::new();
        let engine = ENGINE.get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            compile(&directory.path().join("engine"), &["-static"]);
            directory
        });
        Self::of(&engine.path().join("engine"))
    }

    /// With an engine that is compiled like this.
    pub fn with_engine(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        compile(&directory.path().join("engine"), flags);
        Self::of(&directory.path().join("engine"))
    }

    /// With the SDK's engine and [`GUEST`] compiled with its compiler, or with the stand-in that
    /// does the same.
    pub fn for_guests() -> Self {
        Self::real().unwrap_or_else(|| {
            let dest = Self::new();
            dest.program("guest", false);
            dest
        })
    }

    /// With the SDK's engine, [`GUEST`], a library `/test/answer.so`, and a program
    /// `/test/unsafe.nexe` with an instruction that no guest may have; `None` without an SDK.
    pub fn real() -> Option<Self> {
        static PROGRAMS: OnceLock<TempDir> = OnceLock::new();
        let sdk = sdk()?;
        let dest = Self::of(&sdk.join("tools/sel_ldr_x86_64"));
        copy(&sdk.join("tools/irt_core_x86_64.nexe"), &dest.path().join("lib/nacl/irt_core_x86_64.nexe"));
        let toolchain = sdk.join("toolchain/linux_x86_glibc");
        for entry in fs::read_dir(toolchain.join("x86_64-nacl/lib")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let library =
                ["c", "dl", "gcc_s", "m", "pthread", "rt"].iter().any(|l| name.starts_with(&format!("lib{l}.so.")));
            if library || name == "runnable-ld.so" {
                copy(&path, &dest.root().join("slib").join(name));
            }
        }
        let programs = PROGRAMS.get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            let compile = |name: &str, source: &str, flags: &[&str]| {
                let from = directory.path().join(format!("{name}.c"));
                fs::write(&from, source).unwrap();
                let compiler = toolchain.join("bin/x86_64-nacl-gcc");
                let to = directory.path().join(name);
                let done =
                    Command::new(compiler).args(["-std=gnu99", "-O1", "-o"]).arg(to).arg(from).args(flags).status();
                assert!(done.unwrap().success(), "{name}");
                fs::remove_file(directory.path().join(format!("{name}.c"))).unwrap();
            };
            compile("guest.nexe", include_str!("guest.c"), &["-ldl", "-lpthread"]);
            compile("answer.so", "int answer(void) { return 42; }", &["-shared", "-fPIC"]);
            compile("unsafe.nexe", "int main(void) { __asm__ volatile(\"syscall\"); return 0; }", &[]);
            directory
        });
        for entry in fs::read_dir(programs.path()).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &dest.root().join("test").join(path.file_name().unwrap()));
        }
        Some(dest)
    }

    fn of(engine: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["bin", "lib/nacl", "packages", "root/test", "root/slib"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        copy(Path::new(env!("CARGO_BIN_EXE_run")), &directory.path().join("bin/run"));
        copy(engine, &directory.path().join("lib/nacl/sel_ldr_x86_64"));
        for file in ["lib/nacl/irt_core_x86_64.nexe", "root/slib/runnable-ld.so"] {
            fs::write(directory.path().join(file), "stands in").unwrap();
        }
        Self { directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    /// A directory beside the installation's, which everybody may write, with a file in it.
    pub fn job(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(path.join("file"), "host").unwrap();
        fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
        path
    }

    /// Puts the headers of a program at `/test/NAME.nexe` and gives that path.
    pub fn program(&self, name: &str, dynamic: bool) -> String {
        let mut bytes = vec![0; 64 + 56];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        for (at, value) in [(16, 2), (18, 62), (20, 1), (32, 64), (52, 64), (54, 56), (56, 1)] {
            bytes[at] = value;
        }
        bytes[64] = if dynamic { 3 } else { 1 };
        fs::write(self.root().join(format!("test/{name}.nexe")), bytes).unwrap();
        format!("/test/{name}.nexe")
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        self.command(args).ended()
    }

    /// As one of [`users`].
    pub fn run_as<A: AsRef<OsStr>>(&self, user: Option<u32>, args: impl IntoIterator<Item = A>) -> Ended {
        self.command_as(user, args).ended()
    }

    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        self.command_as(None, args)
    }

    pub fn command_as<A: AsRef<OsStr>>(&self, user: Option<u32>, args: impl IntoIterator<Item = A>) -> Run {
        let mut command = Command::new(self.path().join("bin/run"));
        command.env_clear().args(args).stdin(Stdio::null());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        Run(command)
    }
}

/// By another process: see the tests of the other loader.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-L").arg(from).arg(to).status().unwrap().success());
}

fn compile(to: &Path, flags: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nacl/stand_in.c");
    let done = Command::new("cc").args(["-O1", "-w", "-pthread", "-o"]).arg(to).arg(source).args(flags).status();
    assert!(done.unwrap().success());
}

pub struct Run(pub Command);

impl Run {
    pub fn ended(&mut self) -> Ended {
        let Output { status, stdout, stderr } = self.0.output().unwrap();
        Ended {
            status: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    #[track_caller]
    pub fn assert(&self, status: i32, out: &str) {
        assert_eq!((self.status, self.out.as_str()), (status, out), "{self:?}");
    }

    #[track_caller]
    pub fn assert_error(&self, status: i32, part: &str) {
        assert!(self.status == status && self.err.contains(part), "expected {status} and `{part}`: {self:?}");
    }

    /// The lines after the one of the stand-in, which says what was started; `sel_ldr` itself has
    /// none.
    pub fn lines(&self) -> Vec<&str> {
        let lines: Vec<_> = self.out.lines().collect();
        let started = lines.iter().position(|line| line.starts_with("start "));
        lines[started.map_or(0, |at| at + 1)..].to_vec()
    }
}

/// Whether each of these lines tells of an error, whichever.
pub fn refused(lines: &[&str]) -> bool {
    lines.iter().all(|line| line.rsplit_once('=').is_some_and(|(_, error)| error.parse().is_ok_and(|e: i32| e != 0)))
}
