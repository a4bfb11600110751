//! Whatever is unusual about how the tool is started, an action sees the same. (On Docker the
//! daemon is the caller.)

use std::os::unix::process::CommandExt;
use std::process::Command;

use testing::helper;

use crate::bench::Bench;

/// Compares the view of an action with the golden one, in a process that is started unusually.
/// `prctl` settings are its own.
pub(crate) fn unusual_caller() {
    let caller = helper::argument();
    for (option, value) in match caller.as_str() {
        "prctl" => &[
            (libc::PR_SET_TIMERSLACK, 1_000_000),
            (libc::PR_SET_THP_DISABLE, 1),
            (libc::PR_MCE_KILL, libc::PR_MCE_KILL_SET as usize),
            (libc::PR_SET_DUMPABLE, 0),
            (libc::PR_SET_CHILD_SUBREAPER, 1),
            (libc::PR_SET_KEEPCAPS, 1),
        ][..],
        _ => &[],
    } {
        // SAFETY: these options take numbers.
        let result = unsafe {
            let second = if *option == libc::PR_MCE_KILL { libc::PR_MCE_KILL_EARLY as usize } else { 0 };
            libc::prctl(*option, *value, second, 0_usize, 0_usize)
        };
        assert_eq!(result, 0, "{option}");
    }
    if caller == "mask" {
        // It would decide the modes of what this test lays out.
        assert_eq!(Bench::new().sh("umask"), "0022\n");
        return;
    }
    let seen = Bench::new().probe("view", "");
    let golden = include_str!("../golden/executor-view.txt");
    let other: Vec<_> = seen.lines().filter(|line| !golden.lines().any(|one| one == *line)).collect();
    assert!(seen == golden, "an action sees how its caller was started: {other:#?}");
}

/// The view of an action whose caller was started by this command.
fn started_by(caller: &str, command: &[&str]) {
    let mut inner = Command::new(command[0]);
    inner.args(&command[1..]).arg(std::env::current_exe().unwrap());
    inner.envs(helper::environment("unusual caller", caller));
    // So that a test on a terminal is no other one.
    inner.process_group(0);
    let output = inner.output().unwrap_or_else(|error| panic!("{caller}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{caller}:\n{text}");
}

#[test]
fn an_action_does_not_see_how_its_caller_is_scheduled() {
    for (caller, command) in [
        ("niceness", &["nice", "-n", "19"][..]),
        ("a little niceness", &["nice", "-n", "5"]),
        ("batch", &["chrt", "--batch", "0"]),
        ("idle", &["chrt", "--idle", "0"]),
        ("I/O", &["ionice", "-c", "3"]),
        ("I/O, low", &["ionice", "-c", "2", "-n", "7"]),
        (
            "all",
            &[
                "nice", "-n", "7", "chrt", "--idle", "0", "ionice", "-c", "3", "setarch", "-R", "choom", "-n", "300",
                "--",
            ],
        ),
    ] {
        started_by(caller, command);
    }
}

#[test]
#[ignore = "needs root"]
fn an_action_does_not_see_what_only_root_can_set() {
    for (caller, command) in [
        ("no niceness", &["nice", "-n", "-5"][..]),
        ("I/O, real time", &["ionice", "-c", "1", "-n", "3"]),
        ("without privileges", &["setpriv", "--no-new-privs", "--inh-caps=-all"]),
        ("groups", &["setpriv", "--groups", "0,1,4,27"]),
    ] {
        started_by(caller, command);
    }
}

#[test]
#[ignore = "needs root that may lower its OOM score"]
fn an_action_does_not_see_that_its_caller_is_protected_from_the_end_of_memory() {
    started_by("protected", &["choom", "-n", "-500", "--"]);
}

#[test]
#[ignore = "needs root that may schedule in real time"]
fn an_action_does_not_see_that_its_caller_runs_in_real_time() {
    started_by("real time", &["chrt", "--fifo", "10"]);
    started_by("round robin", &["chrt", "--rr", "10"]);
}

#[test]
fn an_action_does_not_see_what_its_caller_has_set() {
    for (caller, command) in [
        ("prctl", &["env"][..]),
        ("addresses", &["setarch", "-R"]),
        ("personality", &["setarch", "linux32", "--uname-2.6", "--3gb", "--read-implies-exec"]),
        ("signals", &["env", "--ignore-signal=HUP,INT,TERM,USR1", "--block-signal=CHLD,USR1,RTMIN"]),
        ("mask", &["sh", "-c", "umask 077; exec \"$@\"", "sh"]),
        (
            "limits",
            &[
                "prlimit",
                "--stack=1000000:",
                "--nofile=64:",
                "--core=0:",
                "--as=4000000000:",
                "--fsize=100000000:",
                "--cpu=600:",
                "--rttime=1000000:",
                "--data=3000000000:",
                "--memlock=64:",
                "--nproc=5000:",
                "--",
            ],
        ),
        ("memory", &["choom", "-n", "500", "--"]),
        ("core dumps", &["sh", "-c", "echo 0x7f >/proc/self/coredump_filter; exec \"$@\"", "sh"]),
        ("descriptors", &["sh", "-c", "exec \"$@\" 0</etc/passwd 5</etc/passwd 9>/dev/null", "sh"]),
        ("no input", &["sh", "-c", "exec \"$@\" 0<&-", "sh"]),
        ("a session", &["setsid", "--wait"]),
        ("processors", &["taskset", "-c", "0"]),
        ("variables", &["env", "LANG=de_DE.UTF-8", "LD_BIND_NOW=1", "MALLOC_PERTURB_=3", "POSIXLY_CORRECT=1"]),
    ] {
        started_by(caller, command);
    }
}
