//! What `sel_ldr` may call of the kernel: the seccomp filter around it, line by line with the
//! reason.
//!
//! The list is what `sel_ldr` of the SDK calls, as its source says and `strace(1)` shows, with what
//! its C library calls for it at start, for memory, for threads and at an end. Where a call has
//! forms that nobody needs, its arguments are checked. What is refused is so with `ENOSYS`, for
//! which C libraries have other ways (they try `clone3` before `clone`).
//!
//! A second filter asks the launcher about the few calls whose sum is limited
//! ([`super::supervisor`]).

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::bounds::Bounds;

/// Calls that are allowed with any arguments.
const ALLOWED: &[i64] = &[
    // The guest's calls for files by their paths: one for one, where `sel_ldr` has prefixed the
    // path with the guest's root. Its C library has older and newer forms of some.
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_access,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_readlink,
    libc::SYS_truncate,
    libc::SYS_utimes,
    // The guest's calls for open files. A write to a regular file is made under `flock`.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fchdir,
    libc::SYS_getdents,
    // The C library's form of the same.
    libc::SYS_getdents64,
    // Where `shm_open` of older C libraries looks for its file system.
    libc::SYS_statfs,
    // The guest's calls for time, chance and the processor.
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_time,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    // The number of processors, at start.
    libc::SYS_sched_getaffinity,
    // The size of memory, which `qsort` asks for.
    libc::SYS_sysinfo,
    // The kernel's version: `sel_ldr` asks at start, and so did dynamic linkers.
    libc::SYS_uname,
    // Memory; mapping and protecting it have rules below.
    libc::SYS_munmap,
    libc::SYS_brk,
    // Threads begin and end.
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals of its own crash, on a stack of their own.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // For messages of the log and for an abort.
    libc::SYS_getpid,
    libc::SYS_gettid,
    // Limits can be asked for.
    libc::SYS_getrlimit,
    // What threads of a guest pass one another: the only sockets are pairs of this process. `poll`
    // waits for an answer on one.
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_poll,
];

/// What a file may be opened for: nothing beside the ways of reading and writing, making, and what
/// the C library adds. No file without a name, no handle without rights, no time that stays as it
/// was.
const OPEN_FLAGS: i32 = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_CLOEXEC
    | libc::O_NONBLOCK
    | libc::O_NOCTTY
    | KERNEL_LARGEFILE;
/// `O_LARGEFILE` as the kernel has it; C libraries of 64 bits call it 0.
const KERNEL_LARGEFILE: i32 = 0o100_000;
/// What private memory may be mapped with. `MAP_GROWSDOWN` would be memory beside its limit.
const PRIVATE_FLAGS: i32 =
    libc::MAP_FIXED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK | libc::MAP_DENYWRITE;
/// How the C library of every version makes a thread.
const THREAD: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;
/// Waiting and waking. Priority inheritance, which nobody uses here, has had most of the kernel's
/// faults in this call.
const FUTEX: [i32; 5] =
    [libc::FUTEX_WAIT, libc::FUTEX_WAKE, libc::FUTEX_CMP_REQUEUE, libc::FUTEX_WAKE_OP, libc::FUTEX_WAIT_BITSET];
/// `arch_prctl`: where a thread's own data lies.
const ARCH_SET_FS: i32 = 0x1002;

/// The filters, made beforehand.
pub(super) struct Filters {
    /// Asks the launcher.
    pub(super) asking: BpfProgram,
    pub(super) crash: BpfProgram,
    pub(super) calls: BpfProgram,
}

impl Filters {
    /// For a process that this wall will have given the number `pid`, and which may start the
    /// program that is open as `program`, once. With `runs_on_stack`, its stacks are memory to
    /// write and run.
    pub(super) fn new(pid: i32, program: i32, runs_on_stack: bool, bounds: &Bounds) -> Result<Self, BackendError> {
        Ok(Self { asking: asking(bounds)?, crash: crash()?, calls: calls(pid, program, runs_on_stack)? })
    }
}

fn calls(pid: i32, program: i32, runs_on_stack: bool) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    let mut allow = |call, conditions: Vec<SeccompCondition>| {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok::<_, BackendError>(())
    };
    // By path from the current directory or the root alone, and no set-user or set-group bit in
    // whichever argument the mode is. No mode by descriptor: the standard streams are files of who
    // runs this, such as a log or the machine's `/dev/null`.
    let no_set_id = |mode| when(mode, SeccompCmpOp::MaskedEq(0o6000), 0);
    allow(libc::SYS_open, vec![no_more(1, OPEN_FLAGS)?, no_set_id(2)?])?;
    allow(libc::SYS_openat, vec![is(0, libc::AT_FDCWD)?, no_more(2, OPEN_FLAGS)?, no_set_id(3)?])?;
    allow(libc::SYS_chmod, vec![no_set_id(1)?])?;
    // The C library's form of `utimes`; without a path it would be the times of a descriptor's
    // file.
    allow(libc::SYS_utimensat, vec![address(1, SeccompCmpOp::Ne)?, no_more(3, libc::AT_SYMLINK_NOFOLLOW)?])?;
    // A write at a place of a file that appends; the C library looks at the log's mode.
    allow(libc::SYS_fcntl, vec![is(1, libc::F_GETFL)?])?;
    let modes = libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK | KERNEL_LARGEFILE;
    allow(libc::SYS_fcntl, vec![is(1, libc::F_SETFL)?, no_more(2, modes)?])?;
    // `isatty`.
    allow(libc::SYS_ioctl, vec![when(1, SeccompCmpOp::Eq, libc::TCGETS)?])?;
    // Memory is private, with or without a file, or a shared file: shared memory without one is in
    // no limit. None can be written and run, unless the engine was linked with such stacks.
    let mut protections = vec![libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ | libc::PROT_EXEC];
    if runs_on_stack {
        protections.push(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    }
    for protection in protections {
        let shared = when(3, SeccompCmpOp::MaskedEq(all_but(libc::MAP_FIXED)), number(libc::MAP_SHARED))?;
        allow(libc::SYS_mmap, vec![no_more(2, protection)?, shared])?;
        let private = when(3, SeccompCmpOp::MaskedEq(all_but(PRIVATE_FLAGS)), number(libc::MAP_PRIVATE))?;
        allow(libc::SYS_mmap, vec![no_more(2, protection)?, private])?;
        allow(libc::SYS_mprotect, vec![no_more(2, protection)?])?;
    }
    // `realloc`, and giving memory back.
    allow(libc::SYS_mremap, vec![is(3, libc::MREMAP_MAYMOVE)?])?;
    for advice in [libc::MADV_NORMAL, libc::MADV_DONTNEED] {
        allow(libc::SYS_madvise, vec![is(2, advice)?])?;
    }
    for operation in FUTEX {
        let ways = all_but(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
        allow(libc::SYS_futex, vec![when(1, SeccompCmpOp::MaskedEq(ways), number(operation))?])?;
    }
    allow(libc::SYS_arch_prctl, vec![is(0, ARCH_SET_FS)?])?;
    // Limits can be asked for, not set, and only its own.
    allow(libc::SYS_prlimit64, vec![is(0, 0)?, address(2, SeccompCmpOp::Eq)?])?;
    allow(libc::SYS_clone, vec![is(0, THREAD)?])?;
    allow(libc::SYS_tgkill, vec![is(0, pid)?])?;
    allow(libc::SYS_socketpair, vec![is(0, libc::AF_UNIX)?, is(1, libc::SOCK_SEQPACKET)?])?;
    allow(libc::SYS_execveat, vec![is(0, program)?, is(4, libc::AT_EMPTY_PATH)?])?;
    let refuse = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, TargetArch::x86_64)?.try_into()
}

/// `sel_ldr` ends with a negative status when a guest crashed, and with the guest's own, which has
/// eight bits, when it ended. A parent sees eight bits of either. With this filter the process is
/// killed instead of ending with what no guest can have meant.
fn crash() -> Result<BpfProgram, BackendError> {
    let rule = SeccompRule::new(vec![when(0, SeccompCmpOp::Gt, 0xff)?])?;
    let rules = BTreeMap::from([(libc::SYS_exit_group, vec![rule])]);
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, TargetArch::x86_64)?.try_into()
}

/// Asks about the beginnings and ends of threads; where memory is limited, about memory that stops
/// to be writable, which the kernel then no longer counts; about what writes and makes files, where
/// that is limited; and about what changes files that are handed in, where there are any.
fn asking(bounds: &Bounds) -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::from([(libc::SYS_clone, Vec::new()), (libc::SYS_exit, Vec::new())]);
    let has = |argument, bit| SeccompRule::new(vec![when(argument, SeccompCmpOp::MaskedEq(number(bit)), number(bit))?]);
    if bounds.memory.is_some() {
        let read_only = when(2, SeccompCmpOp::MaskedEq(number(libc::PROT_WRITE)), 0)?;
        rules.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![read_only])?]);
    }
    if bounds.write.is_some() {
        for call in [libc::SYS_write, libc::SYS_pwrite64, libc::SYS_ftruncate, libc::SYS_truncate] {
            rules.insert(call, Vec::new());
        }
        // What is written to a mapped file is no call.
        rules.insert(libc::SYS_mmap, vec![has(3, libc::MAP_SHARED)?]);
    }
    if !bounds.files_handed.is_empty() {
        rules.insert(libc::SYS_ftruncate, Vec::new());
        rules.insert(libc::SYS_fcntl, vec![SeccompRule::new(vec![is(1, libc::F_SETFL)?])?]);
    }
    if bounds.files.is_some() {
        for call in [libc::SYS_mkdir, libc::SYS_symlink, libc::SYS_link] {
            rules.insert(call, Vec::new());
        }
        rules.insert(libc::SYS_open, vec![has(1, libc::O_CREAT)?]);
        rules.insert(libc::SYS_openat, vec![has(2, libc::O_CREAT)?]);
    }
    // The crate has no name for this action: another one stands for it.
    const STANDS_IN: u32 = libc::SECCOMP_RET_TRACE | 1;
    let stands_in = SeccompAction::Trace(1);
    let mut program: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, stands_in, TargetArch::x86_64)?.try_into()?;
    let gives = u16::try_from(libc::BPF_RET | libc::BPF_K).unwrap_or_default();
    for instruction in &mut program {
        if instruction.code == gives && instruction.k == STANDS_IN {
            *instruction = sock_filter { k: libc::SECCOMP_RET_USER_NOTIF, ..*instruction };
        }
    }
    Ok(program)
}

fn number(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

fn all_but(bits: i32) -> u64 {
    number(!bits)
}

fn is(argument: u8, value: i32) -> Result<SeccompCondition, BackendError> {
    when(argument, SeccompCmpOp::Eq, number(value))
}

/// None but these bits.
fn no_more(argument: u8, bits: i32) -> Result<SeccompCondition, BackendError> {
    when(argument, SeccompCmpOp::MaskedEq(all_but(bits)), 0)
}

fn when(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
}

/// An address that is null, or is not.
fn address(argument: u8, how: SeccompCmpOp) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, how, 0)
}
