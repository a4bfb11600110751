//! What each wall takes of a start: starts of a program whose calls for one wall are answered by a
//! filter.

use std::io::Error;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One call, and what the filter answers it with: a number of an error, or 0 as if it had been
/// done.
#[derive(Clone, Copy)]
struct Answer {
    call: libc::c_long,
    /// An argument that has to have this value, its lower half alone.
    only: Option<(u32, u32)>,
    error: u32,
}

const fn done(call: libc::c_long) -> Answer {
    Answer { call, only: None, error: 0 }
}

const fn absent(call: libc::c_long) -> Answer {
    Answer { call, only: None, error: libc::ENOSYS.cast_unsigned() }
}

/// What libc's fork(3) asks for.
const FORK: u32 = (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD).cast_unsigned();
const CAPABILITIES: Answer = done(libc::SYS_capset);
const LANDLOCK: Answer = absent(libc::SYS_landlock_create_ruleset);
const FILTER: Answer = done(libc::SYS_seccomp);
const TABLE: Answer = done(libc::SYS_mseal);
const COMPILER: Answer = Answer { call: libc::SYS_clone, only: Some((0, FORK)), error: libc::EAGAIN.cast_unsigned() };
/// Calls that no loader makes.
const NONE: [Answer; 5] = [
    done(libc::SYS_swapon),
    done(libc::SYS_swapoff),
    done(libc::SYS_acct),
    done(libc::SYS_quotactl),
    Answer { call: libc::SYS_syslog, only: Some((0, FORK)), error: 0 },
];
const OTHERS: [Answer; 4] = [NONE[0], NONE[1], NONE[2], NONE[3]];

/// Without which walls a start is measured. All cases have as many answers.
const CASES: [(&str, &[Answer]); 7] = [
    ("all walls", &NONE),
    ("no Landlock", &with(LANDLOCK)),
    ("capabilities kept", &with(CAPABILITIES)),
    ("no filter", &with(FILTER)),
    ("open table not sealed", &with(TABLE)),
    ("no compiler process", &[OTHERS[0], OTHERS[1], OTHERS[2], OTHERS[3], COMPILER]),
    ("none of these", &[LANDLOCK, CAPABILITIES, FILTER, TABLE, COMPILER]),
];

const fn with(answer: Answer) -> [Answer; 5] {
    [answer, OTHERS[0], OTHERS[1], OTHERS[2], NONE[4]]
}

/// Starts each case so often, one after another in turn, and prints the best and the middle of two
/// times: of the whole start, and of what the loader's log says from its code being loaded to its
/// being confined. `None` if a start fails.
pub(crate) fn measure(loader: &Path, rounds: usize) -> Option<()> {
    let mut cases: Vec<_> = CASES.iter().map(|&(name, answers)| (name, answers, Vec::new(), Vec::new())).collect();
    for round in 0..=rounds {
        for (_, answers, starts, walls) in &mut cases {
            let mut command = Command::new(loader);
            command.args(["-vv", "python", "-c", "pass"]).stdin(Stdio::null());
            start_with_answers(&mut command, answers);
            let begun = Instant::now();
            let output = command.output().ok().filter(|output| output.status.success())?;
            let start = begun.elapsed();
            let confining = confining(&String::from_utf8_lossy(&output.stderr))?;
            // The first fills caches.
            if round > 0 {
                starts.push(start);
                walls.push(confining);
            }
        }
    }
    println!("{:<26} {:>10} {:>10} {:>12} {:>10}", "python -c pass", "best", "middle", "confining:", "middle");
    for (name, _, starts, walls) in &mut cases {
        let mut figures = Vec::new();
        for times in [starts, walls] {
            times.sort();
            figures.extend([times[0], times[times.len() / 2]].map(|time| format!("{time:.1?}")));
        }
        println!("{name:<26} {:>10} {:>10} {:>12} {:>10}", figures[0], figures[1], figures[2], figures[3]);
    }
    Some(())
}

/// From a log: how long after the line before it the line is that says that the loader is confined.
fn confining(log: &str) -> Option<Duration> {
    let line = |line: &str| {
        let (time, what) = line.strip_prefix("run: ")?.split_once(" ms: ")?;
        Some((time.trim().parse::<f64>().ok()?, what.to_owned()))
    };
    let lines: Vec<_> = log.lines().filter_map(line).collect();
    let at = lines.iter().position(|(_, what)| what == "confined")?;
    Some(Duration::from_secs_f64((lines[at].0 - lines[at.checked_sub(1)?].0).max(0.0) / 1e3))
}

/// Has a command start behind a filter with these answers.
fn start_with_answers(command: &mut Command, answers: &[Answer]) {
    let mut program = filter(answers);
    // SAFETY: between fork and exec, two system calls are made, with memory that the closure owns.
    unsafe {
        command.pre_exec(move || {
            let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) != 0
            {
                return Err(Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// The filter as instructions for the kernel (seccomp(2), `linux/filter.h`).
fn filter(answers: &[Answer]) -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// Where the kernel has a call's number, and its arguments of eight bytes each.
    const NUMBER: u32 = 0;
    const ARGUMENTS: u32 = 16;
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let mut program = Vec::new();
    for Answer { call, only, error } in answers {
        let number = u32::try_from(*call).unwrap_or(u32::MAX);
        program.push(step(LOAD, NUMBER, 0));
        program.push(step(EQUAL, number, if only.is_some() { 3 } else { 1 }));
        if let Some((argument, value)) = only {
            program.push(step(LOAD, ARGUMENTS + 8 * argument, 0));
            program.push(step(EQUAL, *value, 1));
        }
        program.push(step(RETURN, libc::SECCOMP_RET_ERRNO | error, 0));
    }
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0));
    program
}
