//! What the loader of WebAssembly leaves itself before a guest's code runs
//! ([`crate::wall`]).

use rustix::io::Errno;
use seccompiler::{SeccompAction, SeccompCmpOp, SeccompCondition};

use super::{BpfProgram, Result, Rules, SET_ID, address, is, low_half, none_of};
use crate::open_how;
use crate::vfs::Crossing;

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

/// The filter of a process that only compiles.
pub(crate) fn compile_only() -> Result<BpfProgram> {
    let mut rules = Rules::of(COMPILING);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.when(call, vec![none_of(2, libc::PROT_EXEC)?])?;
    }
    rules.when(libc::SYS_tgkill, vec![own_process()?])?;
    rules.allow_only(Errno::PERM)
}

/// The filter of all threads. With `libraries`, memory may become executable, and a thread may add
/// one more filter. `crossing` is that of the mounts.
pub(crate) fn guest(libraries: bool, crossing: Crossing) -> Result<BpfProgram> {
    let mut rules = Rules::of(ALLOWED);
    rules.when(libc::SYS_mmap, vec![none_of(2, libc::PROT_EXEC)?])?;
    if libraries {
        rules.any(libc::SYS_mprotect);
    } else {
        rules.when(libc::SYS_mprotect, vec![none_of(2, libc::PROT_EXEC)?])?;
    }
    by_open_files(&mut rules, crossing)?;
    rules.when(libc::SYS_ioctl, vec![low_half(1, SeccompCmpOp::Eq, libc::FIONREAD)?])?;
    for command in [libc::F_GETFL, libc::F_SETFL, libc::F_GETFD, libc::F_DUPFD_CLOEXEC] {
        rules.when(libc::SYS_fcntl, vec![is(1, command)?])?;
    }
    rules.when(libc::SYS_prctl, vec![is(0, libc::PR_SET_NAME)?])?;
    if libraries {
        // The guest's thread adds one more filter.
        rules.when(libc::SYS_prctl, vec![is(0, libc::PR_SET_NO_NEW_PRIVS)?])?;
        let mode = u64::from(libc::SECCOMP_SET_MODE_FILTER);
        rules.when(libc::SYS_seccomp, vec![low_half(0, SeccompCmpOp::Eq, mode)?])?;
    }
    rules.when(libc::SYS_tgkill, vec![own_process()?])?;
    rules.allow_only(Errno::PERM)
}

/// For the guest's thread, besides the filter for all: no executable memory, and no further filter.
pub(crate) fn no_code() -> Result<BpfProgram> {
    let mut rules = Rules::default();
    let executable = u64::from(libc::PROT_EXEC.cast_unsigned());
    rules.when(libc::SYS_mprotect, vec![low_half(2, SeccompCmpOp::MaskedEq(executable), executable)?])?;
    rules.any(libc::SYS_seccomp);
    rules.allow_others(SeccompAction::Errno(libc::EPERM.cast_unsigned()))
}

/// The signal goes to this process. A fault of the engine, and an abort, end it so.
fn own_process() -> Result<SeccompCondition> {
    low_half(0, SeccompCmpOp::Eq, u64::from(std::process::id()))
}

/// Adds the calls that open a file or change what stands at a path: from a directory or file that
/// is open, as `open_how` has it, and without bits that lend the owner's rights.
fn by_open_files(rules: &mut Rules, crossing: Crossing) -> Result<()> {
    let not_here = || low_half(0, SeccompCmpOp::Ne, super::bits(libc::AT_FDCWD));
    let tables = [Crossing::Refused, Crossing::Allowed];
    for table in tables.into_iter().filter(|&table| table == Crossing::Refused || table == crossing) {
        let (base, mask) = open_how::addresses(table);
        let entry = address(2, SeccompCmpOp::MaskedEq(mask), base)?;
        let size = address(3, SeccompCmpOp::Eq, open_how::SIZE as u64)?;
        rules.when(libc::SYS_openat2, vec![not_here()?, entry, size])?;
    }
    let empty = open_how::empty_path().as_ptr() as u64;
    for call in [libc::SYS_readlinkat, libc::SYS_faccessat2, libc::SYS_utimensat] {
        rules.when(call, vec![not_here()?, address(1, SeccompCmpOp::Eq, empty)?])?;
    }
    let no_lending = none_of(2, SET_ID)?;
    rules.when(libc::SYS_fchmodat2, vec![not_here()?, address(1, SeccompCmpOp::Eq, empty)?, no_lending])?;
    rules.when(libc::SYS_fchmod, vec![none_of(1, SET_ID)?])?;
    // Without a path, times are those of the open file.
    rules.when(libc::SYS_utimensat, vec![not_here()?, address(1, SeccompCmpOp::Eq, 0)?])
}
