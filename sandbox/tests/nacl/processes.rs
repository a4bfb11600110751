//! Statuses, signals, and that nothing stays behind.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Dest, GUEST, users};

#[test]
fn statuses() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for (deed, status) in [("exit,0", 0), ("exit,7", 7), ("exit,245", 245), ("exit,255", 255)] {
        assert_eq!(dest.run([program.as_str(), &format!("do:{deed}")]).status, status, "{deed}");
    }
    // As the engine ends for a guest that crashed, and as it crashes itself.
    for deed in ["do:exit,-11", "do:abort", "do:fault", "guest:fault"] {
        dest.run([program.as_str(), deed])
            .assert_error(134, "`/test/hello.nexe` was ended: it did what no program may");
    }
}

#[test]
fn a_program_that_the_engine_refuses_is_said_to_be() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let message = "`/test/hello.nexe` can't be run: sel_ldr refuses to load it: Validation failure. Unsafe.";
    dest.run([program.as_str(), "do:refuse"]).assert_error(2, message);
}

#[test]
fn what_the_engine_says_is_for_the_log() {
    let dest = Dest::for_guests();
    let ended = dest.run(["-v", GUEST, "guest:fault"]);
    ended.assert_error(134, "sel_ldr: ** Signal 11 from untrusted code");
    assert!(!dest.run([GUEST, "guest:fault"]).err.contains("Signal"));
}

#[test]
fn signals_reach_the_guest_and_end_the_launcher_as_they_would_end_it() {
    let dest = Dest::for_guests();
    for user in users() {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let (mut run, engine) = waiting(&dest, user, GUEST);
            kill_process(pid(&run), signal).unwrap();
            let status = run.wait().unwrap();
            assert_eq!(status.signal(), Some(signal.as_raw()), "{user:?} {signal:?}: {status:?}");
            assert!(is_gone(&engine), "{}", engine.display());
        }
    }
}

#[test]
fn nothing_outlives_a_launcher_that_is_killed() {
    let dest = Dest::for_guests();
    for user in users() {
        let (mut run, engine) = waiting(&dest, user, GUEST);
        kill_process(pid(&run), Signal::KILL).unwrap();
        run.wait().unwrap();
        assert!(is_gone(&engine), "{user:?}: {}", engine.display());
    }
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounted.contains("/guest") && !mounted.contains(dest.path().to_str().unwrap()), "{mounted}");
}

#[test]
fn the_engine_is_confined_before_its_first_instruction() {
    let dest = Dest::for_guests();
    for user in users() {
        let (mut run, engine) = waiting(&dest, user, GUEST);
        let status = std::fs::read_to_string(engine.join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.split(':').next() == Some(name)).unwrap_or_default();
            line.split_once(':').unwrap_or_default().1.split_whitespace().next().unwrap_or_default().to_owned()
        };
        assert_eq!((field("NoNewPrivs").as_str(), field("Seccomp").as_str()), ("1", "2"), "{status}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(set), "0000000000000000", "{set}: {status}");
        }
        for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let of = |process: &Path| std::fs::read_link(process.join("ns").join(namespace)).unwrap();
            assert_ne!(of(&engine), of(Path::new("/proc/self")), "{namespace}");
        }
        let network = std::fs::read_to_string(engine.join("net/dev")).unwrap();
        assert_eq!(network.lines().skip(2).count(), 1, "{network}");
        let limits = std::fs::read_to_string(engine.join("limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{limits}");
        run.kill().unwrap();
        run.wait().unwrap();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// A run whose engine waits to be asked to end, and the engine's folder in `/proc`.
fn waiting(dest: &Dest, user: Option<u32>, program: &str) -> (Child, PathBuf) {
    let mut command = dest.command_as(user, [program, "guest:wait"]);
    let mut run = command.0.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "waiting"));
    let child_of = |parent: &str| {
        let path = format!("/proc/{parent}/task/{parent}/children");
        std::fs::read_to_string(path).unwrap().split_whitespace().next().unwrap().to_owned()
    };
    let first = child_of(&run.id().to_string());
    let engine = Path::new("/proc").join(child_of(&first));
    (run, engine)
}

/// Whether a process ends within a time in which it would, had it to.
fn is_gone(process: &Path) -> bool {
    let begun = Instant::now();
    while process.exists() {
        if begun.elapsed() > Duration::from_secs(20) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
