//! Servers of the protocol, started for one test on a free port of loopback and ended with it.
//!
//! `PYNBOX_TEST_BUILDBOX` is the folder of `buildbox-casd` and `buildbox-run`,
//! `PYNBOX_TEST_BUILDGRID` the program `bgd`; `test.sh` gets both. A variable that is set is taken
//! at its word: a server that does not start fails the test.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pynbox_build::remote::reapi::{Channel, Endpoint};
use tempfile::TempDir;

use crate::free_port;

/// A server that runs.
pub struct Server {
    child: Child,
    /// Where it answers.
    pub endpoint: Endpoint,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // With all that it started.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Where the server is that a variable names. Tests that need it are ignored unless they are asked
/// for.
fn given(variable: &str, what: &str) -> PathBuf {
    let place = std::env::var_os(variable).filter(|value| !value.is_empty());
    place.unwrap_or_else(|| panic!("{what} is not there; test.sh gets it and sets {variable}")).into()
}

fn start(mut command: Command, port: u16, instance: &str, folder: TempDir) -> Server {
    let log = folder.path().join("log");
    let output = File::create(&log).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
    let endpoint = Endpoint {
        deadline: Duration::from_secs(20),
        attempts: 3,
        instance: instance.to_owned(),
        ..Endpoint::new(format!("grpc://127.0.0.1:{port}"))
    };
    let began = Instant::now();
    loop {
        let asked = Endpoint { attempts: 1, deadline: Duration::from_secs(2), ..endpoint.clone() };
        if Channel::new(asked).unwrap().capabilities().is_ok() {
            return Server { child, endpoint, _folder: folder };
        }
        let ended = child.try_wait().unwrap();
        if ended.is_some() || began.elapsed() > Duration::from_secs(120) {
            let _ = child.kill();
            let log = fs::read_to_string(&log).unwrap_or_default();
            panic!("{command:?} does not answer ({ended:?}): {log}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `buildbox-casd`: cache and engine.
pub fn casd() -> Server {
    let programs = given("PYNBOX_TEST_BUILDBOX", "buildbox-casd");
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(programs.join("buildbox-casd"));
    command
        .args(["--bind", &format!("127.0.0.1:{port}"), "--quota-high", "2G", "--buildbox-run"])
        .arg(programs.join("buildbox-run"))
        .arg(folder.path().join("store"));
    start(command, port, "", folder)
}

/// BuildGrid: a cache that is stricter.
pub fn buildgrid() -> Server {
    let program = given("PYNBOX_TEST_BUILDGRID", "BuildGrid");
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let settings = folder.path().join("settings.yml");
    fs::write(&settings, buildgrid_settings(port, folder.path())).unwrap();
    let mut command = Command::new(program);
    command.args(["server", "start", "-v"]).arg(&settings);
    start(command, port, "main", folder)
}

fn buildgrid_settings(port: u16, folder: &Path) -> String {
    format!(
        "server:
  - !channel
    address: 127.0.0.1:{port}
    insecure-mode: true
description: test
authorization:
  method: none
instances:
  - name: main
    storages:
      - !disk-storage &cas
        path: {}
    caches:
      - !lru-action-cache &ac
        storage: *cas
        max-cached-refs: 4096
        allow-updates: true
    services:
      - !action-cache
        cache: *ac
      - !cas
        storage: *cas
      - !bytestream
        storage: *cas
",
        folder.join("store").display()
    )
}
