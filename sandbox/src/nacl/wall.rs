//! The second wall: what `sel_ldr` gives up before it is started, so that a guest that breaks out of it finds itself in a process that can do little
//! more than the guest could.
//!
//! - no capabilities, and none to be had; no new privileges;
//! - resource limits: no core dump, a bounded number of threads, descriptors and bytes;
//! - a seccomp filter: files below the mounts, memory, threads, time, messages to itself, and no other call. In particular no
//!   program is started, no process, no socket to anywhere, nobody is traced or sent a signal, nothing is mounted, no file gets a set-user bit.
//!
//! What is refused is so with `ENOSYS`, for which C libraries have other ways (they try `clone3` before `clone`).

use std::collections::BTreeMap;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Threads of all guests of one run.
const THREADS: u64 = 1024;
/// Descriptors of one guest.
const DESCRIPTORS: u64 = 2048;
/// What the engine needs beside the guest's memory: while it loads a program, the whole space for code (256 MiB) can be written.
const ENGINE_MEMORY: u64 = 320 << 20;

/// Calls that are allowed with any arguments.
const ALLOWED: &[i64] = &[
    // Files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_utimensat,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fadvise64,
    libc::SYS_umask,
    // Waiting, time, chance.
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_time,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // The process's own memory, threads, signals and end.
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_msync,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_arch_prctl,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrlimit,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // What guests pass one another: the only sockets are pairs of one process.
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
];

/// The filters, made beforehand.
pub(super) struct Filters {
    calls: BpfProgram,
    crash: BpfProgram,
}

impl Filters {
    /// For a process that this wall will have given the number `pid`, and which may start the program that is open as `program`, once.
    pub(super) fn new(pid: i32, program: i32) -> Result<Self, BackendError> {
        Ok(Self { calls: calls(pid, program)?, crash: crash()? })
    }
}

fn calls(pid: i32, program: i32) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    let mut allow = |call, conditions: Vec<SeccompCondition>| {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok::<_, BackendError>(())
    };
    let number = |value: i32| u64::from(value.cast_unsigned());
    // No set-user or set-group bit, in whichever argument the mode is. Nothing by descriptor: the standard streams are files of who runs
    // this, such as a log or the machine's `/dev/null`, and their modes are not the guest's to set.
    for (call, mode) in [(libc::SYS_open, 2), (libc::SYS_openat, 3), (libc::SYS_chmod, 1), (libc::SYS_fchmodat, 2)] {
        allow(call, vec![when(mode, SeccompCmpOp::MaskedEq(0o6000), 0)?])?;
    }
    let commands = [libc::F_GETFL, libc::F_SETFL, libc::F_GETFD, libc::F_SETFD, libc::F_DUPFD, libc::F_DUPFD_CLOEXEC];
    for command in commands {
        allow(libc::SYS_fcntl, vec![when(1, SeccompCmpOp::Eq, number(command))?])?;
    }
    for request in [libc::TCGETS, libc::FIONREAD] {
        allow(libc::SYS_ioctl, vec![when(1, SeccompCmpOp::Eq, request)?])?;
    }
    allow(libc::SYS_prctl, vec![when(0, SeccompCmpOp::Eq, number(libc::PR_SET_NAME))?])?;
    // Limits can be asked for, not set, and only its own.
    allow(
        libc::SYS_prlimit64,
        vec![when(0, SeccompCmpOp::Eq, 0)?, SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?],
    )?;
    // A thread, in no namespace of its own.
    let thread = number(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND);
    let spaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    allow(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread | number(spaces)), thread)?])?;
    allow(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, number(pid))?])?;
    allow(libc::SYS_socketpair, vec![when(0, SeccompCmpOp::Eq, number(libc::AF_UNIX))?])?;
    allow(
        libc::SYS_execveat,
        vec![when(0, SeccompCmpOp::Eq, number(program))?, when(4, SeccompCmpOp::Eq, number(libc::AT_EMPTY_PATH))?],
    )?;
    let refuse = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, TargetArch::x86_64)?.try_into()
}

/// `sel_ldr` ends with a negative status when a guest crashed, and with the guest's own, which has eight bits, when it ended. A parent sees eight
/// bits of either. With this filter the process is killed instead of ending with what no guest can have meant.
fn crash() -> Result<BpfProgram, BackendError> {
    let rule = SeccompRule::new(vec![when(0, SeccompCmpOp::Gt, 0xff)?])?;
    let rules = BTreeMap::from([(libc::SYS_exit_group, vec![rule])]);
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, TargetArch::x86_64)?.try_into()
}

fn when(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
}

/// The number under which the program to start has to be open: one above all that the limit of descriptors will allow, so that what the filter
/// allows for this number can be done once.
pub(super) fn program_number() -> i32 {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    i32::try_from(DESCRIPTORS.min(maximum.saturating_sub(1))).unwrap_or(i32::MAX)
}

/// Lets this process have a descriptor of that number, until [`raise`].
pub(super) fn allow_number(number: i32) -> Result<(), Errno> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let needed = u64::from(number.cast_unsigned()) + 1;
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
}

/// Builds the wall around this process, which has one thread, for good. `max_memory` is the guest's, in MiB.
pub(super) fn raise(filters: &Filters, number: i32, max_memory: u32) -> Result<(), (&'static str, String)> {
    let limits = [
        (Resource::Core, 0),
        (Resource::Memlock, 64 << 10),
        (Resource::Msgqueue, 0),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
        (Resource::Nproc, THREADS),
        (Resource::Nofile, u64::from(number.cast_unsigned())),
        (Resource::Data, (u64::from(max_memory) << 20) + ENGINE_MEMORY),
    ];
    for (resource, limit) in limits {
        // Who has less keeps less.
        let limit = Some(rustix::process::getrlimit(resource).maximum.map_or(limit, |maximum| maximum.min(limit)));
        rustix::process::setrlimit(resource, Rlimit { current: limit, maximum: limit })
            .map_err(|e| ("resource limits", e.to_string()))?;
    }
    give_up_capabilities().map_err(|e| ("capabilities", e.to_string()))?;
    // These set no-new-privileges too. The last must not forbid itself, so the one that allows little is last.
    for filter in [&filters.crash, &filters.calls] {
        seccompiler::apply_filter(filter).map_err(|e| ("seccomp", e.to_string()))?;
    }
    Ok(())
}

fn give_up_capabilities() -> Result<(), Errno> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    thread::set_capabilities_secure_bits(bits)?;
    for capability in 0..64 {
        match thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
