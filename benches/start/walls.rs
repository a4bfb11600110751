//! Starting a program whose calls for one wall are answered by a filter.

use std::io::Error;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// One call, and what the filter answers it with: a number of an error, or 0 as if it had been done.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
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
pub(crate) const CASES: [(&str, &[Answer]); 7] = [
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

/// Has a command start behind a filter with these answers.
pub(crate) fn start_with_answers(command: &mut Command, answers: &[Answer]) {
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
