//! What an action may take: who reaches a limit is ended and told which, and no limit is in its
//! view.

use std::fs;
use std::time::Duration;

use pynbox_build::executor::{ActionLimit, ActionLimits, Status};

use crate::bench::{Bench, Outcome};

/// Limits that an honest action of these tests does not come near to.
const SMALL: ActionLimits = ActionLimits {
    time: Some(Duration::from_secs(60)),
    log: 1 << 20,
    tmp: 16 << 20,
    shm: 12 << 20,
    processes: 60,
    memory: Some(256 << 20),
};

fn small() -> Bench {
    let mut bench = Bench::new();
    bench.limits = SMALL;
    bench
}

/// Runs the probe that takes something.
fn take(bench: &mut Bench, what: &str) -> Outcome {
    bench.run_probe("take", what)
}

#[track_caller]
fn reaches(what: &str, limit: ActionLimit) {
    let outcome = take(&mut small(), what);
    assert_eq!(outcome.status, Status::Reached(limit), "{what}: {}", outcome.text());
}

#[test]
fn a_log_without_end_is_ended() {
    for script in
        ["while :; do echo 0123456789; done", "trap '' TERM PIPE; while :; do echo 0123456789 >&2; done & wait"]
    {
        let outcome = small().run(&["sh", "-c", script]);
        assert_eq!(outcome.status, Status::Reached(ActionLimit::Log));
        // So much of it is kept, and no more.
        assert_eq!(outcome.log.len() as u64, SMALL.log);
        assert!(outcome.log.starts_with(b"0123456789\n0123456789\n"));
    }
}

#[test]
fn a_log_as_long_as_it_may_be_is_no_error() {
    let outcome = small().run(&["sh", "-c", "cat /dev/zero | { read x <&3; } 3</dev/null; exit 0"]);
    assert_eq!(outcome.status, Status::Exited(0));
    let script = "i=0; while [ $i -lt 65536 ]; do echo 0123456789abcde; i=$((i+1)); done";
    let outcome = small().run(&["sh", "-c", script]);
    assert_eq!((outcome.status, outcome.log.len() as u64), (Status::Exited(0), SMALL.log));
}

#[test]
fn a_fork_bomb_is_ended() {
    let outcome = small().run(&["sh", "-c", "b() { b | b & }; b; sleep 1000"]);
    assert_eq!(outcome.status, Status::Reached(ActionLimit::Processes));
    reaches("threads", ActionLimit::Processes);
    reaches("processes that nobody may look at", ActionLimit::Processes);
}

#[test]
fn a_fork_bomb_does_not_go_on_at_the_kernels_limit() {
    let mut bench = small();
    bench.limits.processes = ActionLimits::MAX_PROCESSES;
    bench.limits.memory = None;
    let pid_max = || fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    let before = pid_max();
    let outcome = take(&mut bench, "threads");
    assert_eq!(outcome.status, Status::Reached(ActionLimit::Processes));
    assert_eq!(pid_max(), before);
}

#[test]
fn memory_is_bounded_however_it_is_had() {
    for way in [
        "private memory",
        "private memory of many processes",
        "private memory of a process that nobody may look at",
        "shared memory",
        "a file in memory",
        "many files in memory",
        "segments of shared memory",
    ] {
        reaches(way, ActionLimit::Memory);
    }
}

#[test]
fn memory_that_processes_share_counts_once() {
    let outcome = take(&mut small(), "shared pages");
    assert_eq!(outcome.status, Status::Exited(0), "{}", outcome.text());
}

#[test]
fn file_systems_in_memory_are_bounded() {
    for (folder, limit) in [("/tmp", ActionLimit::Tmp), ("/dev/shm", ActionLimit::Shm)] {
        for way in ["a file in", "files without content in", "room taken ahead in", "a removed file in"] {
            reaches(&format!("{way} {folder}"), limit);
        }
    }
}

#[test]
fn what_fits_is_no_error() {
    let outcome = take(&mut small(), "half of all");
    assert_eq!(outcome.status, Status::Exited(0), "{}", outcome.text());
}

#[test]
fn no_limit_is_in_the_view() {
    let seen = |limits: ActionLimits| {
        let mut bench = Bench::new();
        bench.limits = limits;
        bench.probe("view", "") + &bench.probe("amounts", "")
    };
    let usual = seen(ActionLimits::DEFAULT);
    assert!(usual.contains("Max processes             4096                 4096"), "{usual}");
    let large = ActionLimits { tmp: 1 << 50, shm: 1 << 50, log: u64::MAX, memory: Some(1 << 50), ..SMALL };
    for limits in [SMALL, large, ActionLimits { time: None, ..ActionLimits::DEFAULT }] {
        assert_eq!(seen(limits), usual, "{limits:?}");
    }
}
