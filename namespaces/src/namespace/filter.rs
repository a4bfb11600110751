//! The system-call filter of an action: a second wall behind its namespaces and its lack of
//! capabilities.
//!
//! Everything is allowed but what is listed here: calls that reach parts of the kernel which no
//! namespace divides (key rings, BPF, performance counters, sockets to the hypervisor), that would
//! make new namespaces, or that change the machine. The list is what container engines refuse to a
//! process without capabilities, so that another executor can be given the same one.
//!
//! The program is assembled here and not by a crate because a build may run 32-bit programs: the
//! crates that need no C library give filters for one architecture each, and such a filter kills
//! every program of another. The numbers come from the kernel's
//! `arch/x86/entry/syscalls/syscall_{64,32}.tbl`, the instructions from its
//! `Documentation/networking/filter.rst`.

use std::mem::offset_of;

use super::caller::Unusual;

/// A system call that no action may make; it fails with `EPERM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeniedSyscall {
    /// Its name.
    pub name: &'static str,
    x86_64: Option<u32>,
    i386: Option<u32>,
}

const fn both(name: &'static str, x86_64: u32, i386: u32) -> DeniedSyscall {
    DeniedSyscall { name, x86_64: Some(x86_64), i386: Some(i386) }
}

const fn only_i386(name: &'static str, number: u32) -> DeniedSyscall {
    DeniedSyscall { name, x86_64: None, i386: Some(number) }
}

/// The calls that no action may make, whatever their arguments.
pub const DENIED_SYSCALLS: &[DeniedSyscall] = &[
    both("_sysctl", 156, 149),
    both("acct", 163, 51),
    both("add_key", 248, 286),
    both("bpf", 321, 357),
    both("chroot", 161, 61),
    both("clock_settime", 227, 264),
    only_i386("clock_settime64", 404),
    both("create_module", 174, 127),
    both("delete_module", 176, 129),
    both("fanotify_init", 300, 338),
    both("finit_module", 313, 350),
    both("fsconfig", 431, 431),
    both("fsmount", 432, 432),
    both("fsopen", 430, 430),
    both("fspick", 433, 433),
    both("get_kernel_syms", 177, 130),
    both("get_mempolicy", 239, 275),
    both("init_module", 175, 128),
    both("io_uring_enter", 426, 426),
    both("io_uring_register", 427, 427),
    both("io_uring_setup", 425, 425),
    both("ioperm", 173, 101),
    both("iopl", 172, 110),
    both("kcmp", 312, 349),
    DeniedSyscall { name: "kexec_file_load", x86_64: Some(320), i386: None },
    both("kexec_load", 246, 283),
    both("keyctl", 250, 288),
    both("lookup_dcookie", 212, 253),
    both("mbind", 237, 274),
    both("migrate_pages", 256, 294),
    both("mount", 165, 21),
    both("mount_setattr", 442, 442),
    both("move_mount", 429, 429),
    both("move_pages", 279, 317),
    both("nfsservctl", 180, 169),
    both("open_by_handle_at", 304, 342),
    both("open_tree", 428, 428),
    both("open_tree_attr", 467, 467),
    both("perf_event_open", 298, 336),
    both("pidfd_getfd", 438, 438),
    both("pivot_root", 155, 217),
    both("query_module", 178, 167),
    both("quotactl", 179, 131),
    both("quotactl_fd", 443, 443),
    both("reboot", 169, 88),
    both("request_key", 249, 287),
    both("set_mempolicy", 238, 276),
    both("set_mempolicy_home_node", 450, 450),
    both("setdomainname", 171, 121),
    both("sethostname", 170, 74),
    both("setns", 308, 346),
    both("settimeofday", 164, 79),
    only_i386("stime", 25),
    both("swapoff", 168, 115),
    both("swapon", 167, 87),
    both("sysfs", 139, 135),
    both("syslog", 103, 103),
    only_i386("umount", 22),
    both("umount2", 166, 52),
    both("unshare", 272, 310),
    both("uselib", 134, 86),
    both("userfaultfd", 323, 374),
    both("ustat", 136, 62),
    both("vhangup", 153, 111),
    only_i386("vm86", 166),
    only_i386("vm86old", 113),
    both("vserver", 236, 273),
];

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const AUDIT_ARCH_I386: u32 = 0x4000_0003;
/// Numbers from here on are those of the x32 ABI, a third table that nothing uses.
const X32: u32 = 0x4000_0000;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// The flags of `clone` that make a namespace.
const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Families of sockets that end at the network namespace. Others (to the hypervisor, to devices)
/// may not.
const SOCKET_FAMILIES: [u32; 4] =
    [libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32];

/// What `personality` may be set to: Linux, with the choices for a 32-bit machine and an old
/// version number; all ones asks.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, u32::MAX];

/// `ioctl`s that type into a terminal.
const TERMINAL_IOCTLS: [u32; 2] = [0x5412, 0x541c];

/// The bits of a mode that set a user or a group.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// The flags of `open` with which it takes a mode: `O_CREAT`, and `O_TMPFILE` without
/// `O_DIRECTORY`. The same on both architectures.
const MAKES_A_FILE: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

/// The policies that everybody may choose.
const FREE_POLICIES: [u32; 3] = [libc::SCHED_OTHER as u32, libc::SCHED_BATCH as u32, libc::SCHED_IDLE as u32];

/// One architecture's numbers of the calls that are judged by more than their number.
struct SyscallTable {
    arch: u32,
    denied: fn(&DeniedSyscall) -> Option<u32>,
    clone: u32,
    clone3: u32,
    personality: u32,
    ioctl: u32,
    socket: u32,
    /// The old calls that have all of the sockets behind a pointer, which a filter can't follow.
    socketcall: Option<u32>,
    /// Answer that there are no supplementary groups: an ordinary user can't drop the ones it has,
    /// and they differ between users.
    getgroups: &'static [u32],
    /// Take the mode of a file as an argument, and which one.
    modes: &'static [(u32, usize)],
    /// Take the mode of a file as an argument if the flags before it say that a file is made, and
    /// which one.
    opens: &'static [(u32, usize)],
    /// Takes flags and mode behind a pointer.
    openat2: u32,
    /// Ask for a niceness or set one.
    priorities: &'static [(u32, PriorityCall)],
    sched_setscheduler: u32,
    sched_getscheduler: u32,
    ioprio_get: u32,
}

/// A call that is about a niceness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PriorityCall {
    /// `getpriority(which, who)`, which gives 20 less the niceness.
    Get,
    /// `setpriority(which, who, niceness)`.
    Set,
    /// `nice(step)`.
    Nice,
}

/// Which call that is, by its architecture and number.
pub(super) fn priority_call(arch: u32, number: i32) -> Option<PriorityCall> {
    let table = TABLES.iter().find(|table| table.arch == arch)?;
    table.priorities.iter().find(|(one, _)| i64::from(*one) == i64::from(number)).map(|(_, call)| *call)
}

const TABLES: [SyscallTable; 2] = [
    SyscallTable {
        arch: AUDIT_ARCH_X86_64,
        denied: |call| call.x86_64,
        clone: 56,
        clone3: 435,
        personality: 135,
        ioctl: 16,
        socket: 41,
        socketcall: None,
        getgroups: &[115],
        // chmod, fchmod, fchmodat, fchmodat2, creat, mknod, mknodat
        modes: &[(90, 1), (91, 1), (268, 2), (452, 2), (85, 1), (133, 1), (259, 2)],
        // open, openat
        opens: &[(2, 2), (257, 3)],
        openat2: 437,
        priorities: &[(140, PriorityCall::Get), (141, PriorityCall::Set)],
        sched_setscheduler: 144,
        sched_getscheduler: 145,
        ioprio_get: 252,
    },
    SyscallTable {
        arch: AUDIT_ARCH_I386,
        denied: |call| call.i386,
        clone: 120,
        clone3: 435,
        personality: 136,
        ioctl: 54,
        socket: 359,
        socketcall: Some(102),
        getgroups: &[80, 205],
        modes: &[(15, 1), (94, 1), (306, 2), (452, 2), (8, 1), (14, 1), (297, 2)],
        opens: &[(5, 2), (295, 3)],
        openat2: 437,
        priorities: &[(96, PriorityCall::Get), (97, PriorityCall::Set), (34, PriorityCall::Nice)],
        sched_setscheduler: 156,
        sched_getscheduler: 157,
        ioprio_get: 290,
    },
];

/// The filter, as `seccomp(2)` takes it. If a caller's niceness is unusual, it needs somebody who
/// listens.
pub(super) fn program(unusual: Unusual) -> Vec<libc::sock_filter> {
    let mut program = Vec::with_capacity(512);
    for table in &TABLES {
        let section = section(table, unusual);
        program.push(load(offset_of!(libc::seccomp_data, arch)));
        program.push(jump(libc::BPF_JEQ, table.arch, 1, 0));
        program.push(skip(section.len()));
        program.extend(section);
    }
    program.push(answer(KILL));
    program
}

fn section(table: &SyscallTable, unusual: Unusual) -> Vec<libc::sock_filter> {
    let mut code = vec![load(offset_of!(libc::seccomp_data, nr))];
    if table.arch == AUDIT_ARCH_X86_64 {
        code.extend([jump(libc::BPF_JGE, X32, 0, 1), answer(errno(libc::ENOSYS))]);
    }
    let mut number_is = |number: u32, then: &[libc::sock_filter]| {
        code.extend([jump(libc::BPF_JEQ, number, 1, 0), skip(then.len())]);
        code.extend(then);
    };
    for number in DENIED_SYSCALLS.iter().filter_map(table.denied) {
        number_is(number, &[answer(errno(libc::EPERM))]);
    }
    // Its flags lie behind a pointer; C libraries fall back to `clone`.
    number_is(table.clone3, &[answer(errno(libc::ENOSYS))]);
    number_is(
        table.clone,
        &[argument(0), jump(libc::BPF_JSET, NEW_NAMESPACES, 0, 1), answer(errno(libc::EPERM)), answer(ALLOW)],
    );
    number_is(table.socket, &one_of(0, &SOCKET_FAMILIES, ALLOW, errno(libc::EAFNOSUPPORT)));
    number_is(table.personality, &one_of(0, &PERSONALITIES, ALLOW, errno(libc::EPERM)));
    number_is(table.ioctl, &one_of(1, &TERMINAL_IOCTLS, errno(libc::EPERM), ALLOW));
    if let Some(number) = table.socketcall {
        number_is(number, &[answer(errno(libc::ENOSYS))]);
    }
    for number in table.getgroups {
        number_is(*number, &[answer(errno(0))]);
    }
    // No file gets a bit that lends its owner's rights to whoever starts it: it lies where others
    // of the machine may reach it.
    for (number, mode) in table.modes {
        number_is(*number, &refuse_set_id(*mode));
    }
    for (number, mode) in table.opens {
        // Without these flags the mode is whatever the register holds.
        let mut then = vec![argument(mode - 1), jump(libc::BPF_JSET, MAKES_A_FILE, 1, 0), answer(ALLOW)];
        then.extend(refuse_set_id(*mode));
        number_is(*number, &then);
    }
    // Programs fall back to `openat`, as on Linux before 5.6.
    number_is(table.openat2, &[answer(errno(libc::ENOSYS))]);
    if unusual.niceness {
        for (number, _) in table.priorities {
            number_is(*number, &[answer(libc::SECCOMP_RET_USER_NOTIF)]);
        }
    }
    if unusual.policy {
        number_is(table.sched_getscheduler, &[answer(errno(libc::SCHED_OTHER))]);
        number_is(table.sched_setscheduler, &one_of(1, &FREE_POLICIES, errno(0), errno(libc::EPERM)));
    }
    if unusual.io_priority {
        number_is(table.ioprio_get, &[answer(errno(0))]);
    }
    code.push(answer(ALLOW));
    code
}

fn refuse_set_id(mode: usize) -> Vec<libc::sock_filter> {
    vec![argument(mode), jump(libc::BPF_JSET, SET_ID, 0, 1), answer(errno(libc::EPERM)), answer(ALLOW)]
}

/// Judges by the low half of an argument: the kernel ignores the high half of each that is judged
/// here.
fn one_of(index: usize, values: &[u32], then: u32, otherwise: u32) -> Vec<libc::sock_filter> {
    let mut code = vec![argument(index)];
    for value in values {
        code.extend([jump(libc::BPF_JEQ, *value, 0, 1), answer(then)]);
    }
    code.push(answer(otherwise));
    code
}

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number as u32
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

fn load(offset: usize) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32, 0, 0)
}

fn argument(index: usize) -> libc::sock_filter {
    load(offset_of!(libc::seccomp_data, args) + 8 * index)
}

fn jump(condition: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | condition | libc::BPF_K, k, jt, jf)
}

fn skip(instructions: usize) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JA, instructions as u32, 0, 0)
}

fn answer(action: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel does.
    fn judge(arch: u32, number: u32, args: [u64; 6]) -> u32 {
        judge_for(Unusual::default(), arch, number, args)
    }

    fn judge_for(unusual: Unusual, arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let program = program(unusual);
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let libc::sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let mut branch = |taken: bool| at += usize::from(if taken { jt } else { jf });
            match u32::from(code) {
                0x20 => {
                    accumulator = match k {
                        0 => number,
                        4 => arch,
                        16.. => (args[(k as usize - 16) / 8] >> (8 * (k % 8))) as u32,
                        _ => unreachable!(),
                    }
                }
                0x05 => at += k as usize,
                0x15 => branch(accumulator == k),
                0x35 => branch(accumulator >= k),
                0x45 => branch(accumulator & k != 0),
                0x06 => return k,
                other => unreachable!("{other:#x}"),
            }
        }
    }

    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[test]
    fn it_fits_into_the_kernels_limit() {
        let longest = program(Unusual { niceness: true, policy: true, io_priority: true }).len();
        assert!(longest <= 4096, "{longest}");
    }

    #[test]
    fn listed_calls_are_refused_on_both_architectures() {
        for (arch, mount, unshare, vm86) in [(AUDIT_ARCH_X86_64, 165, 272, None), (AUDIT_ARCH_I386, 21, 310, Some(166))]
        {
            for number in [Some(mount), Some(unshare), vm86].into_iter().flatten() {
                assert_eq!(judge(arch, number, [0; 6]), EPERM, "{arch:#x} {number}");
            }
        }
        assert_eq!(judge(AUDIT_ARCH_X86_64, 0, [0; 6]), ALLOW);
        assert_eq!(judge(AUDIT_ARCH_I386, 3, [0; 6]), ALLOW);
    }

    #[test]
    fn the_numbers_of_this_machine_are_those_of_libc() {
        for (name, number) in [
            ("add_key", libc::SYS_add_key),
            ("bpf", libc::SYS_bpf),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("keyctl", libc::SYS_keyctl),
            ("mount", libc::SYS_mount),
            ("perf_event_open", libc::SYS_perf_event_open),
            ("setns", libc::SYS_setns),
            ("unshare", libc::SYS_unshare),
            ("userfaultfd", libc::SYS_userfaultfd),
        ] {
            let listed = DENIED_SYSCALLS.iter().find(|call| call.name == name).unwrap();
            assert_eq!(listed.x86_64.map(i64::from), Some(number), "{name}");
        }
        assert!(DENIED_SYSCALLS.is_sorted_by_key(|call| call.name));
    }

    #[test]
    fn other_tables_are_closed() {
        assert_eq!(judge(AUDIT_ARCH_X86_64, X32 | 1, [0; 6]), ENOSYS);
        assert_eq!(judge(0xc000_00b7, 0, [0; 6]), KILL);
    }

    #[test]
    fn arguments_are_judged_by_their_low_half() {
        let high = 0xdead_0000_0000;
        for (arch, clone, ioctl, socket) in [(AUDIT_ARCH_X86_64, 56, 16, 41), (AUDIT_ARCH_I386, 120, 54, 359)] {
            assert_eq!(judge(arch, clone, [libc::CLONE_VM as u64, 0, 0, 0, 0, 0]), ALLOW);
            assert_eq!(judge(arch, clone, [high | libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]), EPERM);
            assert_eq!(judge(arch, 435, [0; 6]), ENOSYS);
            assert_eq!(judge(arch, ioctl, [0, high | 0x5412, 0, 0, 0, 0]), EPERM);
            assert_eq!(judge(arch, ioctl, [0, 0x5401, 0, 0, 0, 0]), ALLOW);
            assert_eq!(judge(arch, socket, [high | 1, 0, 0, 0, 0, 0]), ALLOW);
            assert_eq!(judge(arch, socket, [40, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32);
        }
        assert_eq!(judge(AUDIT_ARCH_X86_64, 135, [0x4_0000, 0, 0, 0, 0, 0]), EPERM);
        assert_eq!(judge(AUDIT_ARCH_X86_64, 135, [u64::from(u32::MAX), 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(judge(AUDIT_ARCH_X86_64, 115, [0; 6]), libc::SECCOMP_RET_ERRNO);
    }

    #[test]
    fn no_mode_sets_a_user_or_a_group() {
        let flags = (libc::O_WRONLY | libc::O_CREAT) as u64;
        let temporary = libc::O_TMPFILE as u64;
        for (arch, chmod, fchmodat, mknod, open, openat) in
            [(AUDIT_ARCH_X86_64, 90, 268, 133, 2, 257), (AUDIT_ARCH_I386, 15, 306, 14, 5, 295)]
        {
            for bit in [0o4000, 0o2000, 0o6000] {
                assert_eq!(judge(arch, chmod, [0, 0o755 | bit, 0, 0, 0, 0]), EPERM);
                assert_eq!(judge(arch, fchmodat, [0, 0, 0o755 | bit, 0, 0, 0]), EPERM);
                assert_eq!(judge(arch, mknod, [0, 0o100_755 | bit, 0, 0, 0, 0]), EPERM);
                assert_eq!(judge(arch, open, [0, flags, 0o755 | bit, 0, 0, 0]), EPERM);
                assert_eq!(judge(arch, openat, [0, 0, flags, 0o755 | bit, 0, 0]), EPERM);
                assert_eq!(judge(arch, openat, [0, 0, temporary, 0o755 | bit, 0, 0]), EPERM);
                // What is there is opened whatever lies in that register.
                assert_eq!(judge(arch, openat, [0, 0, 0, 0o755 | bit, 0, 0]), ALLOW);
            }
            assert_eq!(judge(arch, chmod, [0, 0o1777, 0, 0, 0, 0]), ALLOW);
            assert_eq!(judge(arch, openat, [0, 0, flags, 0o777, 0, 0]), ALLOW);
            assert_eq!(judge(arch, 437, [0; 6]), ENOSYS);
        }
    }

    #[test]
    fn only_an_unusual_caller_makes_a_difference() {
        const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
        const ZERO: u32 = libc::SECCOMP_RET_ERRNO;
        let unusual = Unusual { niceness: true, policy: true, io_priority: true };
        for (arch, number, args, answer) in [
            (AUDIT_ARCH_X86_64, libc::SYS_getpriority as u32, [0; 6], NOTIFY),
            (AUDIT_ARCH_X86_64, libc::SYS_setpriority as u32, [0, 0, 1, 0, 0, 0], NOTIFY),
            (AUDIT_ARCH_I386, 34, [1, 0, 0, 0, 0, 0], NOTIFY),
            (AUDIT_ARCH_X86_64, libc::SYS_sched_getscheduler as u32, [0; 6], ZERO),
            (AUDIT_ARCH_X86_64, libc::SYS_sched_setscheduler as u32, [0, 3, 0, 0, 0, 0], ZERO),
            (AUDIT_ARCH_X86_64, libc::SYS_sched_setscheduler as u32, [0, 1, 0, 0, 0, 0], EPERM),
            (AUDIT_ARCH_X86_64, libc::SYS_ioprio_get as u32, [1, 0, 0, 0, 0, 0], ZERO),
        ] {
            assert_eq!(judge_for(unusual, arch, number, args), answer, "{number}");
            assert_eq!(judge(arch, number, args), ALLOW, "{number}");
        }
        assert_eq!(priority_call(AUDIT_ARCH_I386, 34), Some(PriorityCall::Nice));
        assert_eq!(priority_call(AUDIT_ARCH_X86_64, 34), None);
    }
}
