//! `run --check`: the walls that this machine gives, and what it says of one that has less.

#![cfg(feature = "wasm")]

mod common;
mod filtered;

use common::{Dest, Ended};
use filtered::without;

fn check(calls: &[i64], error: i32) -> Ended {
    let dest = Dest::new();
    let mut command = dest.command(["--check"]);
    without(&mut command.0, calls, error);
    command.ended()
}

#[track_caller]
fn assert_wall(ended: &Ended, wall: &str, state: &str, status: i32) {
    let line = ended.out.lines().find(|line| line.split_whitespace().nth(1) == Some(wall)).unwrap_or_default();
    assert!(line.starts_with(state) && ended.status == status && ended.err.is_empty(), "{wall}: {ended:?}");
}

#[test]
#[ignore = "needs all walls: Linux 6.12 with Landlock"]
fn all_walls_of_this_machine_stand() {
    let ended = check(&[], 0);
    for wall in ["paths", "privileges", "landlock", "filter", "open", "compiler"] {
        assert_wall(&ended, wall, "ok", 0);
    }
    assert!(ended.out.ends_with("all walls stand\n"), "{ended:?}");
}

#[test]
#[ignore = "needs all walls: Linux 6.12 with Landlock"]
fn what_a_machine_lacks_is_named_with_what_to_change() {
    for (call, error, wall, state, status, advice) in [
        (libc::SYS_landlock_create_ruleset, libc::ENOSYS, "landlock", "weaker", 1, "`lsm=`"),
        (libc::SYS_mseal, libc::ENOSYS, "open", "weaker", 1, "Linux 6.10"),
        (libc::SYS_wait4, libc::EPERM, "compiler", "weaker", 1, "compiled ahead"),
        (libc::SYS_openat2, libc::ENOSYS, "paths", "MISSING", 3, "Linux 5.6"),
        (libc::SYS_seccomp, libc::EPERM, "filter", "MISSING", 3, "CONFIG_SECCOMP_FILTER"),
        (libc::SYS_capset, libc::EPERM, "privileges", "MISSING", 3, "capset(2)"),
        // One that the kernel says is there, and does nothing.
        (libc::SYS_landlock_restrict_self, 0, "landlock", "MISSING", 3, "allowed behind it"),
        (libc::SYS_seccomp, 0, "filter", "MISSING", 3, "allowed behind it"),
    ] {
        let ended = check(&[call], error);
        assert_wall(&ended, wall, state, status);
        assert!(ended.out.contains(advice), "{advice}: {ended:?}");
    }
}

/// Where a wall is missing without which no guest runs, none does.
#[test]
fn without_a_wall_that_is_needed_no_guest_runs() {
    let dest = Dest::new();
    let program = dest.guest("nothing", &common::module("", "(func (export \"_start\"))"));
    dest.run(["--precompile", &program]).assert(0, "");
    for (call, error) in [(libc::SYS_seccomp, libc::EPERM), (libc::SYS_capset, libc::EPERM)] {
        let mut command = dest.command([&program]);
        without(&mut command.0, &[call], error);
        command.ended().assert_error(3, "run --check");
    }
}
