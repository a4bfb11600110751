//! The second wall: before a guest's code runs, the process gives up what it does not need, so that
//! a fault in the engine or in the calls' implementation is not at once a fault in the machine.
//!
//! - no new privileges: no set-user program gives any;
//! - no capabilities, whoever starts it;
//! - no file outside the mounts, no TCP port, no signal to another process ([`crate::reach`]);
//! - resource limits: no core dump, no further process;
//! - a seccomp filter for all threads: the calls that the file system, the clocks and the engine's
//!   memory need, and no other. In particular no exec, no new process or thread, no socket, no
//!   signal to another process, no memory that becomes executable, no open but `openat2`, and that
//!   only below a directory that is open (`open_how`).
//!
//! A guest that loads libraries needs memory that becomes executable. That is left to the process's
//! other threads, which run no code of the guest ([`crate::jobs`]): the thread that raises the
//! wall, and runs the guest, may not even then.

use std::collections::BTreeMap;

use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::open_how;
use crate::reach::Reach;
use crate::vfs::Crossing;

/// Why the wall can't be built.
#[derive(Debug, thiserror::Error)]
#[error("the process can't be confined ({what}: {why}); `run --check` says what this machine lacks")]
pub struct WallError {
    what: &'static str,
    why: String,
}

impl WallError {
    fn new(what: &'static str, why: &dyn ToString) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// Calls that are allowed with any arguments.
const ALLOWED: &[i64] = &[
    // Files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    // Waiting, time, chance.
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    // The end of the processor's time comes nearer while others compile ([`crate::watch`]).
    libc::SYS_timer_settime,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    // The process's own memory, locks, signals and end.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    // Whose the files of compiled code have to be.
    libc::SYS_geteuid,
    // The compiler's process is waited for at the end.
    libc::SYS_wait4,
    // A thread of the compiler's pool may still be on its way into life.
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What a process calls that only compiles: it writes its result, and has memory.
const COMPILING: &[i64] = &[
    libc::SYS_write,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit_group,
];

/// Builds a wall around a process that compiles what a guest brought ([`crate::compiler`]): it
/// keeps its memory and the descriptors that it has open, and gets nothing new, no executable
/// memory either.
///
/// # Errors
///
/// [`WallError`]; the guest's bytes must not be looked at then.
pub fn compile_only() -> Result<(), WallError> {
    give_up()?;
    let rules = || {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = COMPILING.iter().map(|&call| (call, Vec::new())).collect();
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![not_executable()?]);
        }
        // An abort is a signal to itself.
        let own = u64::from(std::process::id());
        rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![equals(0, SeccompCmpOp::Eq, own)?])?]);
        allowing_only(rules)
    };
    let program = rules().map_err(|e| WallError::new("seccomp filter", &e))?;
    seccompiler::apply_filter(&program).map_err(|e| WallError::new("seccomp", &e))
}

/// For the calling thread: no capabilities, no new privileges, and no files but those within reach.
///
/// # Errors
///
/// [`WallError`]; nothing of the guest's must run then.
pub fn confine_thread(reach: Reach) -> Result<(), WallError> {
    give_up_privileges()?;
    reach.confine().map_err(|e| WallError::new("Landlock", &e))
}

/// For the calling thread: no capabilities, and no new privileges.
pub(crate) fn give_up_privileges() -> Result<(), WallError> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(|e| WallError::new("capabilities", &e))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| WallError::new("no new privileges", &e))
}

/// No core dump, no further process.
fn give_up() -> Result<(), WallError> {
    for (resource, name) in [(Resource::Core, "RLIMIT_CORE"), (Resource::Nproc, "RLIMIT_NPROC")] {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        rustix::process::setrlimit(resource, none).map_err(|e| WallError::new(name, &e))?;
    }
    Ok(())
}

/// Builds the wall around this process, all of its threads included. It can't be taken down. With
/// `libraries`, other threads than this one may make memory executable. `crossing` is that of the
/// mounts. `reach` is this thread's; the others have to [confine](confine_thread)
/// themselves before.
///
/// # Errors
///
/// [`WallError`]; the guest must not be started then.
pub fn raise(libraries: bool, crossing: Crossing, reach: Reach) -> Result<(), WallError> {
    confine_thread(reach)?;
    give_up()?;
    // Without it, native code has a way around one wall: Landlock stands behind.
    open_how::seal();
    let program = filter(libraries, crossing).map_err(|e| WallError::new("seccomp filter", &e))?;
    // This sets no-new-privileges too.
    seccompiler::apply_filter_all_threads(&program).map_err(|e| WallError::new("seccomp", &e))?;
    if libraries {
        let program = no_code().map_err(|e| WallError::new("seccomp filter", &e))?;
        seccompiler::apply_filter(&program).map_err(|e| WallError::new("seccomp", &e))?;
    }
    Ok(())
}

/// For the guest's thread, besides the filter for all: no executable memory, and no further filter.
fn no_code() -> Result<BpfProgram, seccompiler::BackendError> {
    let executable = u64::from(libc::PROT_EXEC.cast_unsigned());
    let rule = SeccompRule::new(vec![equals(2, SeccompCmpOp::MaskedEq(executable), executable)?])?;
    let rules = BTreeMap::from([(libc::SYS_mprotect, vec![rule]), (libc::SYS_seccomp, Vec::new())]);
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, TargetArch::x86_64)?.try_into()
}

fn filter(libraries: bool, crossing: Crossing) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    let one_of = |argument: u8, values: &[u64]| {
        let rule = |&value| SeccompRule::new(vec![equals(argument, SeccompCmpOp::Eq, value)?]);
        values.iter().map(rule).collect::<Result<Vec<_>, _>>()
    };
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![not_executable()?]);
    }
    if libraries {
        rules.insert(libc::SYS_mprotect, Vec::new());
    }
    rules.extend(by_open_files(crossing)?);
    rules.insert(libc::SYS_ioctl, one_of(1, &[libc::FIONREAD])?);
    let commands = [libc::F_GETFL, libc::F_SETFL, libc::F_GETFD, libc::F_DUPFD_CLOEXEC];
    rules.insert(libc::SYS_fcntl, one_of(1, &commands.map(|c| u64::from(c.cast_unsigned())))?);
    let mut controls = vec![u64::from(libc::PR_SET_NAME.cast_unsigned())];
    if libraries {
        // The guest's thread adds one more filter.
        controls.push(u64::from(libc::PR_SET_NO_NEW_PRIVS.cast_unsigned()));
        rules.insert(libc::SYS_seccomp, one_of(0, &[u64::from(libc::SECCOMP_SET_MODE_FILTER)])?);
    }
    rules.insert(libc::SYS_prctl, one_of(0, &controls)?);
    // A fault of the engine ends this process by a signal to itself.
    rules.insert(libc::SYS_tgkill, one_of(0, &[u64::from(std::process::id())])?);
    allowing_only(rules)
}

/// Of the calls that open a file or change what stands at a path: from a directory or file that is
/// open, as `open_how` has it, and without bits that lend the owner's rights.
fn by_open_files(crossing: Crossing) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let pointer = |argument, how, value| SeccompCondition::new(argument, SeccompCmpArgLen::Qword, how, value);
    let not_here = || equals(0, SeccompCmpOp::Ne, u64::from(libc::AT_FDCWD.cast_unsigned()));
    let opening = |table| {
        let (base, mask) = open_how::addresses(table);
        SeccompRule::new(vec![
            not_here()?,
            pointer(2, SeccompCmpOp::MaskedEq(mask), base)?,
            pointer(3, SeccompCmpOp::Eq, open_how::SIZE as u64)?,
        ])
    };
    let mut ways = vec![opening(Crossing::Refused)?];
    if crossing == Crossing::Allowed {
        ways.push(opening(Crossing::Allowed)?);
    }
    let mut rules = BTreeMap::from([(libc::SYS_openat2, ways)]);
    let empty = open_how::empty_path().as_ptr() as u64;
    let set_id = 0o6000;
    let no_lending = |argument| equals(argument, SeccompCmpOp::MaskedEq(set_id), 0);
    for call in [libc::SYS_readlinkat, libc::SYS_faccessat2, libc::SYS_utimensat, libc::SYS_fchmodat2] {
        let mut conditions = vec![not_here()?, pointer(1, SeccompCmpOp::Eq, empty)?];
        if call == libc::SYS_fchmodat2 {
            conditions.push(no_lending(2)?);
        }
        rules.insert(call, vec![SeccompRule::new(conditions)?]);
    }
    // Without a path, times are those of the open file.
    let own = SeccompRule::new(vec![not_here()?, pointer(1, SeccompCmpOp::Eq, 0)?])?;
    rules.entry(libc::SYS_utimensat).or_default().push(own);
    rules.insert(libc::SYS_fchmod, vec![SeccompRule::new(vec![no_lending(1)?])?]);
    Ok(rules)
}

fn allowing_only(rules: BTreeMap<i64, Vec<SeccompRule>>) -> Result<BpfProgram, seccompiler::BackendError> {
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, TargetArch::x86_64)?.try_into()
}

/// Of `mmap` and `mprotect`: no executable memory.
fn not_executable() -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![equals(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC.cast_unsigned().into()), 0)?])
}

fn equals(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
}
