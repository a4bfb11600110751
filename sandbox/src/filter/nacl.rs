//! What `sel_ldr` may call of the kernel.
//!
//! The list is what `sel_ldr` of the SDK calls, as its source says and `strace(1)` shows, with what
//! its C library calls for it at start, for memory, for threads and at an end. What is refused is so
//! with `ENOSYS`, for which C libraries have other ways (they try `clone3` before `clone`).
//!
//! A second filter asks the launcher about the few calls whose sum is limited
//! ([`crate::nacl::supervisor`]).

use rustix::io::Errno;
use seccompiler::{SeccompAction, SeccompCmpOp, SeccompCondition, sock_filter};

use super::{BpfProgram, Result, Rules, SET_ID, address, bits, is, low_half, none_of};
use crate::nacl::bounds::Bounds;

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
pub(crate) struct Filters {
    /// Asks the launcher.
    pub(crate) asking: BpfProgram,
    pub(crate) crash: BpfProgram,
    pub(crate) calls: BpfProgram,
}

impl Filters {
    /// For a process that this wall will have given the number `pid`, and which may start the
    /// program that is open as `program`, once. With `runs_on_stack`, its stacks are memory to
    /// write and run.
    pub(crate) fn new(pid: i32, program: i32, runs_on_stack: bool, bounds: &Bounds) -> Result<Self> {
        Ok(Self { asking: asking(bounds)?, crash: crash()?, calls: calls(pid, program, runs_on_stack)? })
    }
}

fn calls(pid: i32, program: i32, runs_on_stack: bool) -> Result<BpfProgram> {
    let mut rules = Rules::of(ALLOWED);
    // By path from the current directory or the root alone, and no set-user or set-group bit in
    // whichever argument the mode is. No mode by descriptor: the standard streams are files of who
    // runs this, such as a log or the machine's `/dev/null`.
    rules.when(libc::SYS_open, vec![no_more(1, OPEN_FLAGS)?, none_of(2, SET_ID)?])?;
    rules.when(libc::SYS_openat, vec![is(0, libc::AT_FDCWD)?, no_more(2, OPEN_FLAGS)?, none_of(3, SET_ID)?])?;
    rules.when(libc::SYS_chmod, vec![none_of(1, SET_ID)?])?;
    // The C library's form of `utimes`; without a path it would be the times of a descriptor's
    // file.
    rules.when(libc::SYS_utimensat, vec![address(1, SeccompCmpOp::Ne, 0)?, no_more(3, libc::AT_SYMLINK_NOFOLLOW)?])?;
    // A write at a place of a file that appends; the C library looks at the log's mode.
    rules.when(libc::SYS_fcntl, vec![is(1, libc::F_GETFL)?])?;
    let modes = libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK | KERNEL_LARGEFILE;
    rules.when(libc::SYS_fcntl, vec![is(1, libc::F_SETFL)?, no_more(2, modes)?])?;
    // `isatty`.
    rules.when(libc::SYS_ioctl, vec![low_half(1, SeccompCmpOp::Eq, libc::TCGETS)?])?;
    // Memory is private, with or without a file, or a shared file: shared memory without one is in
    // no limit. None can be written and run, unless the engine was linked with such stacks.
    let mut protections = vec![libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ | libc::PROT_EXEC];
    if runs_on_stack {
        protections.push(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    }
    for protection in protections {
        let shared = low_half(3, SeccompCmpOp::MaskedEq(all_but(libc::MAP_FIXED)), bits(libc::MAP_SHARED))?;
        rules.when(libc::SYS_mmap, vec![no_more(2, protection)?, shared])?;
        let private = low_half(3, SeccompCmpOp::MaskedEq(all_but(PRIVATE_FLAGS)), bits(libc::MAP_PRIVATE))?;
        rules.when(libc::SYS_mmap, vec![no_more(2, protection)?, private])?;
        rules.when(libc::SYS_mprotect, vec![no_more(2, protection)?])?;
    }
    // `realloc`, and giving memory back.
    rules.when(libc::SYS_mremap, vec![is(3, libc::MREMAP_MAYMOVE)?])?;
    for advice in [libc::MADV_NORMAL, libc::MADV_DONTNEED] {
        rules.when(libc::SYS_madvise, vec![is(2, advice)?])?;
    }
    for operation in FUTEX {
        let ways = all_but(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
        rules.when(libc::SYS_futex, vec![low_half(1, SeccompCmpOp::MaskedEq(ways), bits(operation))?])?;
    }
    rules.when(libc::SYS_arch_prctl, vec![is(0, ARCH_SET_FS)?])?;
    // Limits can be asked for, not set, and only its own.
    rules.when(libc::SYS_prlimit64, vec![is(0, 0)?, address(2, SeccompCmpOp::Eq, 0)?])?;
    rules.when(libc::SYS_clone, vec![is(0, THREAD)?])?;
    rules.when(libc::SYS_tgkill, vec![is(0, pid)?])?;
    rules.when(libc::SYS_socketpair, vec![is(0, libc::AF_UNIX)?, is(1, libc::SOCK_SEQPACKET)?])?;
    rules.when(libc::SYS_execveat, vec![is(0, program)?, is(4, libc::AT_EMPTY_PATH)?])?;
    rules.allow_only(Errno::NOSYS)
}

/// `sel_ldr` ends with a negative status when a guest crashed, and with the guest's own, which has
/// eight bits, when it ended. A parent sees eight bits of either. With this filter the process is
/// killed instead of ending with what no guest can have meant.
fn crash() -> Result<BpfProgram> {
    let mut rules = Rules::default();
    rules.when(libc::SYS_exit_group, vec![low_half(0, SeccompCmpOp::Gt, 0xff)?])?;
    rules.allow_others(SeccompAction::KillProcess)
}

/// Asks about the beginnings and ends of threads; where memory is limited, about memory that stops
/// to be writable, which the kernel then no longer counts; about what writes and makes files, where
/// that is limited; and about what changes files that are handed in, where there are any.
fn asking(bounds: &Bounds) -> Result<BpfProgram> {
    let mut rules = Rules::of(&[libc::SYS_clone, libc::SYS_exit]);
    let has = |argument, bit| low_half(argument, SeccompCmpOp::MaskedEq(bits(bit)), bits(bit));
    if bounds.memory.is_some() {
        rules.when(libc::SYS_mprotect, vec![none_of(2, libc::PROT_WRITE)?])?;
    }
    if bounds.write.is_some() {
        for call in [libc::SYS_write, libc::SYS_pwrite64, libc::SYS_ftruncate, libc::SYS_truncate] {
            rules.any(call);
        }
        // What is written to a mapped file is no call.
        rules.when(libc::SYS_mmap, vec![has(3, libc::MAP_SHARED)?])?;
    }
    if !bounds.files_handed.is_empty() {
        rules.any(libc::SYS_ftruncate);
        rules.when(libc::SYS_fcntl, vec![is(1, libc::F_SETFL)?])?;
    }
    if bounds.files.is_some() {
        for call in [libc::SYS_mkdir, libc::SYS_symlink, libc::SYS_link] {
            rules.any(call);
        }
        rules.when(libc::SYS_open, vec![has(1, libc::O_CREAT)?])?;
        rules.when(libc::SYS_openat, vec![has(2, libc::O_CREAT)?])?;
    }
    // The crate has no name for this action: another one stands for it.
    const STANDS_IN: u32 = libc::SECCOMP_RET_TRACE | 1;
    let mut program = rules.allow_others(SeccompAction::Trace(1))?;
    let gives = u16::try_from(libc::BPF_RET | libc::BPF_K).unwrap_or_default();
    for instruction in &mut program {
        if instruction.code == gives && instruction.k == STANDS_IN {
            *instruction = sock_filter { k: libc::SECCOMP_RET_USER_NOTIF, ..*instruction };
        }
    }
    Ok(program)
}

fn all_but(value: i32) -> u64 {
    bits(!value)
}

/// An argument has none but these bits.
fn no_more(argument: u8, allowed: i32) -> Result<SeccompCondition> {
    low_half(argument, SeccompCmpOp::MaskedEq(all_but(allowed)), 0)
}
