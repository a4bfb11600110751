//! The Docker executor: all other tests once more, and what only it can do wrong.
//!
//! They need a daemon, and are ignored unless they are asked for, as `test.sh` does where one
//! answers.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pynbox_build::executor::{Ahead, DockerExecutor, Executor, Fault, Status, runner_program};

use testing::{NOBODY, helper, wait_until};

use crate::bench::{Bench, EXECUTOR};
use crate::life::running;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The containers of ours that the daemon knows, whatever became of them.
fn containers() -> BTreeSet<String> {
    let mut command = Command::new("docker");
    let output = command.args(["ps", "-aq", "--no-trunc", "--filter", "label=pynbox-build.owner"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs a Docker daemon"]
fn everything_holds_in_docker() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // What is about the caller, who is the daemon there; and what runs on Docker in any case.
    command.args(["--test-threads=4", "--skip", "ordinary::", "--skip", "callers::", "--skip", "docker::"]);
    let output = command.env(EXECUTOR, "docker").output().unwrap();
    assert!(output.status.success(), "on Docker:\n{}", text(&output));
    assert!(text(&output).contains("the_view_is_the_contracts ... ok"), "{}", text(&output));
}

#[test]
#[ignore = "needs a Docker daemon, and root"]
fn an_ordinary_user_gets_no_file_of_roots() {
    let socket = Path::new("/var/run/docker.sock");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let (program, runner) = (folder.path().join("tests"), folder.path().join("runner"));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::write(&runner, runner_program().unwrap()).unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "docker::an_ordinary_user_gets_no_file_of_roots", "--ignored"]);
    command.envs(helper::environment("docker: owner", "")).env("TMPDIR", folder.path()).env("PYNBOX_RUNNER", &runner);
    // The group that may use the daemon, as its own one: what it makes would show if anybody else's
    // were left.
    command.uid(NOBODY).gid(fs::metadata(socket).unwrap().gid());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
#[ignore = "needs a Docker daemon"]
fn containers_are_used_once_and_leave_nothing() {
    let bench = Bench::on(true);
    let state = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    {
        let executor = DockerExecutor::connect(state.path(), runner_program().unwrap(), Ahead::Own).unwrap();
        for turn in 0..6 {
            let (build, log) = (bench.directory(&format!("b{turn}"), &[]), bench.folder.path().join("l"));
            let script = "ls -A /tmp /build /dev/shm; echo x >/tmp/x; echo x >/dev/shm/x; sleep 100 &";
            let status = bench.with_run(&["sh", "-c", script], &build, &log, |run| executor.run(run)).unwrap();
            assert_eq!(status, Status::Exited(0));
            assert_eq!(fs::read_to_string(&log).unwrap(), "/build:\n\n/dev/shm:\n\n/tmp:\n");
            seen.extend(containers());
        }
    }
    assert!(seen.len() >= 6, "{seen:?}");
    wait_until("all are gone", || containers().is_disjoint(&seen));
    assert_eq!(fs::read_dir(state.path().join("ready")).unwrap().count(), 0);
}

#[test]
#[ignore = "needs a Docker daemon"]
fn what_waits_is_handed_over_and_does_not_stay() {
    let bench = Bench::on(true);
    let state = tempfile::tempdir().unwrap();
    let waiting = || -> Vec<String> {
        let names = fs::read_dir(state.path().join("ready")).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut before = Vec::new();
    for turn in 0..3 {
        let executor = DockerExecutor::connect(state.path(), runner_program().unwrap(), Ahead::HandOver).unwrap();
        let (build, log) = (bench.directory(&format!("b{turn}"), &[]), bench.folder.path().join("l"));
        let status = bench.with_run(&["sh", "-c", "exit 4"], &build, &log, |run| executor.run(run)).unwrap();
        assert_eq!(status, Status::Exited(4));
        drop(executor);
        let now = waiting();
        assert_eq!(now.len(), 1);
        assert_ne!(now, before, "the one that waited was used");
        before = now;
    }
    let id = before[0].rsplit('.').next().unwrap().to_owned();
    assert!(containers().contains(&id));
    wait_until("it has waited long enough", || !containers().contains(&id));
    // Its note is still there: the next action must not stumble over it.
    let executor = DockerExecutor::connect(state.path(), runner_program().unwrap(), Ahead::Never).unwrap();
    let (build, log) = (bench.directory("late", &[]), bench.folder.path().join("l"));
    let status = bench.with_run(&["sh", "-c", "exit 5"], &build, &log, |run| executor.run(run)).unwrap();
    assert_eq!(status, Status::Exited(5));
}

#[test]
#[ignore = "needs a Docker daemon"]
fn an_image_that_was_removed_is_brought_again() {
    let bench = Bench::on(true);
    assert_eq!(bench.sh("echo 1"), "1\n");
    let images = || {
        let mut command = Command::new("docker");
        let output =
            command.args(["images", "-aq", "--no-trunc", "--filter", "label=pynbox-build.image"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(!images().is_empty());
    let state = tempfile::tempdir().unwrap();
    fs::write(bench.root.join("usr/bin/mark"), std::process::id().to_string()).unwrap();
    let run = |name: &str| {
        let executor = DockerExecutor::connect(state.path(), runner_program().unwrap(), Ahead::Never).unwrap();
        let (build, log) = (bench.directory(name, &[]), bench.folder.path().join("l"));
        let status = bench.with_run(&["cat", "/usr/bin/mark"], &build, &log, |run| executor.run(run)).unwrap();
        assert_eq!(status, Status::Exited(0));
        assert_eq!(fs::read_to_string(&log).unwrap(), std::process::id().to_string());
    };
    run("first");
    let notes = fs::read_dir(state.path().join("images")).unwrap().map(|entry| entry.unwrap().path());
    let note = notes.into_iter().find(|path| !path.ends_with("lock")).unwrap();
    let id = fs::read_to_string(note).unwrap();
    wait_until("its image can be removed", || {
        Command::new("docker")
            .args(["rmi", "-f", &id])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    });
    run("second");
}

#[test]
#[ignore = "needs a Docker daemon"]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let bench = Bench::on(true);
    bench.sh("true");
    // A process that has ended and whose number is known; made as the tool makes them, but never
    // started.
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let machine = match line("/etc/machine-id") {
        id if id.is_empty() => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        id => id,
    };
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    let (boot, namespace) = (line("/proc/sys/kernel/random/boot_id"), namespace.to_string_lossy());
    let image = Command::new("docker").args(["images", "-q", "--filter", "label=pynbox-build.image"]).output().unwrap();
    let image = String::from_utf8(image.stdout).unwrap().lines().next().unwrap().to_owned();
    let make = |process: u32| {
        let label = format!("pynbox-build.owner={machine} {boot} {namespace} {process} 1");
        let output =
            Command::new("docker").args(["create", "--label", &label, &image, "/pynbox-runner"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (left, of_another) = (make(dead.id()), {
        let label = format!("pynbox-build.owner=elsewhere {boot} {namespace} {} 1", dead.id());
        let output =
            Command::new("docker").args(["create", "--label", &label, &image, "/pynbox-runner"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    });
    drop(Bench::on(true));
    let after = containers();
    assert!(!after.contains(&left), "it is left");
    assert!(after.contains(&of_another), "another machine's was removed");
    Command::new("docker").args(["rm", "-f", &of_another]).stdout(Stdio::null()).status().unwrap();
}

/// Passes on what comes to a port to the daemon's socket, until it is told to stop; then every
/// connection breaks.
fn relay() -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(daemon)) = (client, UnixStream::connect("/var/run/docker.sock")) else { return };
            if stopped.load(Ordering::SeqCst) {
                continue;
            }
            pass(client, daemon, &stopped);
        }
    });
    (address, stop)
}

fn pass(client: TcpStream, daemon: UnixStream, stop: &Arc<AtomicBool>) {
    let limit = Some(Duration::from_millis(50));
    client.set_read_timeout(limit).unwrap();
    daemon.set_read_timeout(limit).unwrap();
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_daemon, mut to_daemon) = (daemon.try_clone().unwrap(), daemon);
    let copy = |from: &mut dyn std::io::Read, to: &mut dyn std::io::Write, stop: &AtomicBool| {
        let mut buffer = [0; 32 << 10];
        while !stop.load(Ordering::SeqCst) {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => {
                    if to.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
                Err(error)
                    if [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&error.kind()) => {}
                Err(_) => return,
            }
        }
    };
    let stopping = Arc::clone(stop);
    std::thread::spawn(move || {
        copy(&mut from_client, &mut to_daemon, &stopping);
        let _ = to_daemon.shutdown(std::net::Shutdown::Write);
    });
    let stopping = Arc::clone(stop);
    std::thread::spawn(move || {
        copy(&mut from_daemon, &mut to_client, &stopping);
        let _ = to_client.shutdown(std::net::Shutdown::Both);
        let _ = from_daemon.shutdown(std::net::Shutdown::Both);
    });
}

/// Runs one test of this program with another `DOCKER_HOST`.
fn with_host(name: &str, address: impl AsRef<OsStr>) -> Output {
    helper::command(name, "").env("DOCKER_HOST", address).output().unwrap()
}

/// Runs an action as an ordinary user, who owns all that it makes.
pub(crate) fn owner() {
    let bench = Bench::on(true);
    let outcome = bench.run(&["sh", "-c", "mkdir a; echo x >a/b; echo y"]);
    assert_eq!((outcome.status, outcome.text().as_str()), (Status::Exited(0), "y\n"));
    let files = ["", "a", "a/b"].map(|path| outcome.build.join(path));
    for path in files.into_iter().chain([bench.folder.path().join("log-0")]) {
        assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY, "{}", path.display());
    }
}

/// Runs an action with an input and an output.
pub(crate) fn action() {
    let mut bench = Bench::on(true);
    let input = bench.directory("input", &[("file", "of the input")]);
    bench.input("/build/in", input);
    let outcome = bench.run(&["sh", "-c", "cat in/file; echo made >out"]);
    assert_eq!((outcome.status, outcome.text().as_str()), (Status::Exited(0), "of the input"));
    assert_eq!(fs::read_to_string(outcome.build.join("out")).unwrap(), "made\n");
}

/// Runs an action in whose middle the daemon goes away.
pub(crate) fn broken_action() {
    let bench = Bench::on(true);
    let error = bench.try_run(&["sh", "-c", "echo begun; sleep 886655; echo done >out"]).unwrap_err();
    assert_eq!(error.fault(), Fault::Environment);
    helper::say(format!("told: {error}"));
    assert_eq!(fs::read_dir(bench.folder.path().join("build-0")).unwrap().count(), 0);
}

/// Connects to a daemon that is none or too old.
pub(crate) fn connection() {
    let state = tempfile::tempdir().unwrap();
    let error = DockerExecutor::connect(state.path(), runner_program().unwrap(), Ahead::Never).unwrap_err();
    assert_eq!(error.fault(), Fault::Environment);
    helper::say(format!("told: {error}"));
}

#[test]
#[ignore = "needs a Docker daemon"]
fn a_remote_daemon_does_as_well() {
    let (address, _stop) = relay();
    let output = with_host("docker: action", &address);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
#[ignore = "needs a Docker daemon"]
fn a_daemon_that_goes_away_in_mid_action_is_the_environments_fault() {
    let (address, stop) = relay();
    let breaking = std::thread::spawn(move || {
        wait_until("it runs", || running("sleep\0886655") == 1);
        stop.store(true, Ordering::SeqCst);
    });
    let output = with_host("docker: broken action", &address);
    breaking.join().unwrap();
    let said = text(&output);
    assert!(output.status.success() && said.contains("nothing was kept of the action"), "{said}");
}

/// Answers every request of a client with one text.
fn fake_daemon(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().filter_map(Result::ok) {
            std::thread::spawn(move || {
                let mut client = client;
                let mut request = [0; 4096];
                while client.read(&mut request).is_ok_and(|length| length > 0) {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                        answer.len()
                    );
                    if client.write_all(head.as_bytes()).and_then(|()| client.write_all(answer.as_bytes())).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
#[ignore = "needs the static runner: `cargo runner`"]
fn a_daemon_that_is_absent_or_too_old_is_the_environments_fault() {
    let old = fake_daemon(r#"{"ApiVersion":"1.24","Version":"1.12.0","OSType":"linux","ID":"x"}"#);
    let other = fake_daemon(r#"{"ApiVersion":"1.45","OSType":"windows","ID":"x"}"#);
    let nonsense = fake_daemon("<html>");
    for (address, told) in [
        (old.as_str(), "it is too old: its API is 1.24, and 1.40 is the oldest"),
        (&other, "not those of Linux"),
        (&nonsense, "reaching the Docker daemon"),
        ("tcp://127.0.0.1:1", "`--executor namespace`"),
        ("unix:///nowhere/docker.sock", "start the daemon"),
        ("gopher://x", "`gopher://x` is no address of a daemon"),
    ] {
        let output = with_host("docker: connection", address);
        let said = text(&output);
        assert!(output.status.success() && said.contains("told: ") && said.contains(told), "{address}: {said}");
    }
    // Not the default one in its place.
    let address = OsStr::from_bytes(b"unix:///nowhere/\xff");
    let output = with_host("docker: connection", address);
    let said = text(&output);
    assert!(output.status.success() && said.contains("the variable `DOCKER_HOST` is no UTF-8"), "{said}");
}
