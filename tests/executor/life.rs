//! How actions begin and end.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pynbox_build::executor::{ActionLimit, ExecutorError, Fault, Status};

use testing::{helper, wait_until};

use crate::bench::{Bench, on_docker};

#[test]
fn the_end_of_the_first_process_is_told() {
    let bench = Bench::new();
    for (script, status) in [
        ("exit 0", Status::Exited(0)),
        ("exit 255", Status::Exited(255)),
        ("kill -TERM $$", Status::Signalled(15)),
        ("kill -INT $$; kill -QUIT $$", Status::Signalled(2)),
        ("kill -SEGV $$", Status::Signalled(11)),
        ("kill -PIPE $$", Status::Signalled(13)),
        ("kill -KILL $$", Status::Signalled(9)),
        // What loses its parent is reaped, and is not taken for the action.
        ("(sleep 0.1; exit 3) & (exit 4) & sleep 0.2; exit 5", Status::Exited(5)),
    ] {
        assert_eq!(bench.run(&["sh", "-c", script]).status, status, "{script}");
    }
}

#[test]
fn programs_are_found_in_the_actions_path_alone() {
    let mut bench = Bench::new();
    let text = |result: Result<_, ExecutorError>| {
        let error = result.unwrap_err();
        assert_eq!(error.fault(), Fault::Action);
        error.to_string()
    };
    assert_eq!(
        text(bench.try_run(&["no-such-program"])),
        "can't start `no-such-program` in the image: No such file or directory (os error 2); \
         it, and the interpreter or loader that it names, must be there and executable"
    );
    fs::write(bench.root.join("usr/bin/plain"), "not a program").unwrap();
    assert!(text(bench.try_run(&["plain"])).contains("Permission denied"));
    assert!(text(bench.try_run(&["/usr/bin/nothing"])).contains("No such file"));
    assert!(text(bench.try_run(&[])).contains("the command to the action: it is empty"));
    assert!(text(bench.try_run(&["sh", "a\0b"])).contains("holds a NUL"));
    // A relative one, from the build directory.
    let tools = bench.directory("tools", &[]);
    fs::copy(bench.root.join("usr/bin/sh"), tools.join("shell")).unwrap();
    bench.input("/build/tools", tools);
    assert_eq!(bench.run(&["tools/shell", "-c", "exit 7"]).status, Status::Exited(7));
    bench.environment.clear();
    assert!(text(bench.try_run(&["sh"])).contains("No such file"));
}

#[test]
fn an_action_may_not_take_longer_than_it_may() {
    let mut bench = Bench::new();
    bench.limits.time = Some(Duration::from_millis(300));
    let start = Instant::now();
    // Printing all the time, with its output closed, and deaf to signals.
    for script in
        ["trap '' TERM INT; sleep 60", "while :; do echo x; done", "exec >/dev/null 2>&1; sleep 60", "kill -STOP $$"]
    {
        let outcome = bench.run(&["sh", "-c", script]);
        assert_eq!(outcome.status, Status::Reached(ActionLimit::Time), "{script}");
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// Command lines of this machine's processes that hold a text.
pub(crate) fn running(mark: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
        })
        .count()
}

#[test]
fn a_daemon_left_behind_is_dead_when_the_action_is_over() {
    let bench = Bench::new();
    let mark = format!("86{:05}", std::process::id());
    // In a session of its own would be no different: the process namespace is what ends.
    let script =
        format!("(trap '' HUP TERM; while :; do echo x >>/build/ticks; done) & sleep {mark} & sleep 0.2; echo done");
    let outcome = bench.run(&["sh", "-c", &script]);
    assert_eq!((outcome.status, outcome.text().as_str()), (Status::Exited(0), "done\n"));
    assert_eq!(running(&format!("sleep\0{mark}")), 0);
    let size = || fs::metadata(outcome.build.join("ticks")).unwrap().len();
    let before = size();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(size(), before);
}

/// Runs an action that sleeps in several processes, to be killed; the argument is how long.
pub(crate) fn long_action() {
    let mark = helper::argument();
    let mut bench = Bench::new();
    bench.limits.time = None;
    let _ = bench.run(&["sh", "-c", &format!("(trap '' HUP INT TERM; sleep {mark}; sleep {mark}) & sleep {mark}")]);
}

#[test]
fn nothing_outlives_the_tool() {
    for (number, signal) in ["KILL", "TERM", "INT"].into_iter().enumerate() {
        let mark = format!("87{:05}{number}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        // Who runs the tests in the background may have them ignore the signals.
        let mut tool = Command::new("env")
            .arg("--default-signal=INT,TERM")
            .arg(std::env::current_exe().unwrap())
            .envs(helper::environment("long action", &mark))
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sleepers = format!("sleep\0{mark}");
        wait_until("the action runs", || running(&sleepers) == 2);
        let status =
            Command::new("sh").args(["-c", "kill -$1 $2", "sh", signal, &tool.id().to_string()]).status().unwrap();
        assert!(status.success());
        wait_until("the tool has ended", || tool.try_wait().unwrap().is_some());
        wait_until("the action is gone", || running(&mark) == 0);
    }
}

#[test]
fn the_log_has_every_byte_in_order() {
    let bench = Bench::new();
    let outcome = bench.run(&["sh", "-c", "echo 1; echo 2 >&2; echo 3; printf '\\377\\000\\200' >&2; echo 4"]);
    assert_eq!(outcome.log, b"1\n2\n3\n\xff\x00\x804\n");
    // More than a pipe holds, and the end of it from a process that is killed with the action.
    let script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; \
                  i=$((i+1)); done; printf end";
    let outcome = bench.run(&["sh", "-c", script]);
    assert_eq!(outcome.log.len(), 20_000 * 71 + 3);
    assert!(outcome.log.ends_with(b"9\nend"));
}

#[test]
fn a_full_disk_ends_the_action_and_is_the_environments_fault() {
    let bench = Bench::new();
    let build = bench.directory("build", &[]);
    let error = bench.with_run(&["sh", "-c", "while :; do echo x; done"], &build, Path::new("/dev/full"), |run| {
        bench.executor.run(run).unwrap_err()
    });
    assert_eq!(error.fault(), Fault::Environment);
    assert!(error.to_string().contains("`/dev/full`"), "{error}");
    assert!(error.to_string().ends_with("make room on that file system"), "{error}");
}

#[test]
fn a_build_directory_is_empty_at_first() {
    let bench = Bench::new();
    let build = bench.directory("build", &[("file", "")]);
    let log = bench.folder.path().join("log");
    let error = bench.with_run(&["sh"], &build, &log, |run| bench.executor.run(run).unwrap_err());
    assert_eq!(error.fault(), Fault::Internal);
}

#[test]
fn a_missing_directory_of_the_host_is_named() {
    let mut bench = Bench::new();
    let missing = bench.folder.path().join("missing");
    bench.input("/build/in", missing.clone());
    let error = bench.try_run(&["sh"]).unwrap_err();
    assert!(error.to_string().contains(&format!("`{}`", missing.display())), "{error}");
}

/// Fails in a build directory, and opens a shell in it on this process's standard streams.
pub(crate) fn shell() {
    let mut bench = Bench::new();
    let input = bench.directory("input", &[("file", "of the input")]);
    bench.input("/build/in", input);
    let outcome = bench.run(&["sh", "-c", "echo half >out; exit 3"]);
    assert_eq!(outcome.status, Status::Exited(3));
    assert_eq!(fs::read_to_string(outcome.build.join("out")).unwrap(), "half\n");
    let status =
        bench.with_run(&["sh"], &outcome.build, Path::new("/nowhere"), |run| bench.executor.shell(run)).unwrap();
    assert_eq!(status, Status::Exited(9));
}

#[test]
fn the_build_directory_stays_after_a_failure_and_a_shell_gets_into_it() {
    let mut child = helper::command("shell", "").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"cat out in/file; pwd; id; exit 9\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.starts_with("half\nof the input/build\n"), "{text}");
}

#[test]
fn many_at_once_do_not_mind_each_other() {
    let bench = Bench::new();
    let turns = if on_docker() { 2 } else { 10 };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                for turn in 0..turns {
                    let text = format!("{thread} {turn}\n");
                    assert_eq!(bench.sh(&format!("echo {} >/tmp/x; cat /tmp/x; ls -A /build", text.trim())), text);
                }
            });
        }
    });
}
