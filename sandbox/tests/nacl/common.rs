//! An installation with a stand-in for `sel_ldr`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Who the tests run as: themselves, and if that is root an ordinary user too.
pub const USERS: [Option<u32>; 2] = [None, Some(65534)];

/// Whether the tests can run as this user.
pub fn can_be(user: Option<u32>) -> bool {
    user.is_none() || rustix::process::geteuid().is_root()
}

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

    fn of(engine: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["bin", "lib/nacl", "packages", "root/test", "root/slib"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        // By another process: see the tests of the other loader.
        for (from, to) in [(Path::new(env!("CARGO_BIN_EXE_run")), "bin/run"), (engine, "lib/nacl/sel_ldr_x86_64")] {
            let copied = Command::new("cp").arg(from).arg(directory.path().join(to)).status();
            assert!(copied.unwrap().success());
        }
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

    /// As another user; as this one if that can't be.
    pub fn run_as<A: AsRef<OsStr>>(&self, user: Option<u32>, args: impl IntoIterator<Item = A>) -> Ended {
        self.command_as(user, args).ended()
    }

    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        self.command_as(None, args)
    }

    pub fn command_as<A: AsRef<OsStr>>(&self, user: Option<u32>, args: impl IntoIterator<Item = A>) -> Run {
        let mut command = Command::new(self.path().join("bin/run"));
        command.env_clear().args(args).stdin(Stdio::null());
        if let Some(user) = user.filter(|_| can_be(user)) {
            command.uid(user).gid(user);
        }
        Run(command)
    }
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

    /// The lines after the first, which says what was started.
    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().skip_while(|line| !line.starts_with("start ")).skip(1).collect()
    }
}
