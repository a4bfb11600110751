//! The walls, attacked from inside: the loader itself runs a guest, and the test makes system calls
//! in the loader's own threads, as native code would that got to run there. It does so by
//! ptrace(2), so the filter, Landlock and the lost capabilities are those of a true run.

#![cfg(feature = "wasm")]

#[path = "../common/mod.rs"]
mod common;
mod thread;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use common::{Dest, module};
use rustix::fs::{OFlags, ResolveFlags};
use thread::Thread;

/// Reads from standard input, which stays open and silent.
const WAITING: &str = r#"(func (export "_start")
  (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 1))
  (call $exit (call $fd_read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16))))"#;
/// The same, with what tells the loader that the program loads libraries.
const LOADING: &str = r#"(import "pynbox" "dl_open" (func $dl_open (param i32 i32 i32 i32) (result i32)))"#;

/// What the guest's thread may do: everything else is refused. A new name in this list has to be
/// one by which nothing of the machine can be changed or told that lies outside the mounts.
const ALLOWED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat2,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getdents64,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mkdirat,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_openat2,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_timer_settime,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_wait4,
    libc::SYS_write,
    libc::SYS_writev,
];
/// uretprobe and uprobe, which newer kernels pass no filter: whoever is not at the kernel's own
/// place gets a signal for it.
const UNFILTERED: [i64; 2] = [335, 336];
/// More than any kernel has.
const CALLS: i64 = 1024;

/// An installation and its neighbours.
struct Home {
    dest: Dest,
    program: String,
}

impl Home {
    fn new(loading: bool) -> Self {
        let dest = Dest::new();
        let imports = if loading { LOADING } else { "" };
        let text = module("", WAITING).replacen("(module", &format!("(module {imports}"), 1);
        let program = dest.guest("waiting", &text);
        dest.run(["--precompile", &program]).assert(0, "");
        for (folder, mode) in [("ro", 0o755), ("rw", 0o755), ("outside", 0o755)] {
            let path = dest.path().join(folder);
            fs::create_dir_all(path.join("sub")).unwrap();
            fs::write(path.join("file"), "host").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Self { dest, program }
    }

    fn at(&self, path: &str) -> String {
        self.dest.path().join(path).to_str().unwrap().to_owned()
    }

    /// A thread of the loader, of this name, in the middle of a run.
    fn thread(&self, name: &str) -> Thread {
        let mount = |path: &str, access: &str| format!("{}:/{path}:{access}", self.at(path));
        let root = format!("{}:/:ro", self.at("root"));
        let (ro, rw) = (mount("ro", "ro"), mount("rw", "rw"));
        // With all threads that a loader may have.
        let options = ["--time", "10000", "-m", &root, "-m", &ro, "-m", &rw, &self.program];
        Thread::of(self.dest.command(options).0, name)
    }
}

/// What was tried, and what came of it that should not have.
#[derive(Default)]
struct Attacks {
    tried: usize,
    succeeded: Vec<String>,
}

impl Attacks {
    fn refused(&mut self, what: impl Into<String>, result: Result<u64, i32>) {
        self.tried += 1;
        if !matches!(result, Err(libc::EPERM | libc::EACCES)) {
            self.succeeded.push(format!("{}: {result:?}", what.into()));
        }
    }

    #[track_caller]
    fn end(self, least: usize) {
        assert_eq!(self.succeeded, Vec::<String>::new());
        assert!(self.tried >= least, "{} were tried", self.tried);
    }
}

fn open(thread: &mut Thread, at: u64, path: &str, flags: OFlags, resolve: ResolveFlags) -> Result<u64, i32> {
    let mode = if flags.contains(OFlags::CREATE) { 0o666u64 } else { 0 };
    let how = [u64::from(flags.bits()), mode, resolve.bits()].map(u64::to_ne_bytes).concat();
    let (path, how) = (thread.text(path), thread.bytes(&how));
    thread.call(libc::SYS_openat2, [at, path, how, 24, 0, 0])
}

/// How the loader itself opens a file to read.
const READ: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Where the loader has these flags in its own table of ways to open a file.
fn way(thread: &mut Thread, flags: OFlags) -> u64 {
    let within =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let how = [u64::from(flags.bits()), 0, within.bits(), 0].map(u64::to_ne_bytes).concat();
    thread.find(&how).expect("it has them")
}

const HERE: u64 = libc::AT_FDCWD as u64;
const ANYWHERE: ResolveFlags = ResolveFlags::empty();

#[test]
fn of_all_calls_only_these_are_allowed() {
    for loading in [false, true] {
        let home = Home::new(loading);
        for name in ["guest", "run", "watch", "speaker"] {
            let mut thread = home.thread(name);
            assert_eq!(thread.call(libc::SYS_getpid, [0; 6]), Ok(u64::from(thread.process())));
            let mut attacks = Attacks::default();
            for call in (0..CALLS).filter(|call| !ALLOWED.contains(call) && !UNFILTERED.contains(call)) {
                attacks.refused(format!("call {call} in `{name}`"), thread.call(call, [0; 6]));
            }
            // The other way to number the calls, of a kernel that has it.
            for call in [libc::SYS_getpid, libc::SYS_openat2, 512 + 8] {
                attacks.refused(format!("x32's {call}"), thread.call(call | 0x4000_0000, [0; 6]));
            }
            attacks.end(900);
        }
    }
}

#[test]
fn nothing_outside_the_mounts_is_opened() {
    let home = Home::new(true);
    let mut thread = home.thread("guest");
    let mut attacks = Attacks::default();
    let parent = std::process::id();
    for (path, flags) in [
        ("/etc/shadow".to_owned(), OFlags::RDONLY),
        ("/etc/passwd".to_owned(), OFlags::RDONLY),
        ("/etc".to_owned(), OFlags::RDONLY | OFlags::DIRECTORY),
        ("/".to_owned(), OFlags::RDONLY | OFlags::DIRECTORY),
        ("/dev/mem".to_owned(), OFlags::RDWR),
        ("/dev/tty".to_owned(), OFlags::RDWR),
        (format!("/proc/{parent}/mem"), OFlags::RDWR),
        (format!("/proc/{parent}/environ"), OFlags::RDONLY),
        ("/proc/self/mem".to_owned(), OFlags::RDWR),
        ("/proc/self/exe".to_owned(), OFlags::RDONLY),
        ("/proc/self/root".to_owned(), OFlags::RDONLY | OFlags::DIRECTORY),
        ("/proc/self/cwd".to_owned(), OFlags::RDONLY | OFlags::DIRECTORY),
        ("/proc/sys/kernel/core_pattern".to_owned(), OFlags::WRONLY),
        ("/sys/kernel/uevent_helper".to_owned(), OFlags::WRONLY),
        (home.at("outside/file"), OFlags::RDONLY),
        (home.at("outside/new"), OFlags::CREATE | OFlags::WRONLY),
        (home.at("bin/run"), OFlags::WRONLY),
        (home.at("compiled/planted"), OFlags::CREATE | OFlags::WRONLY),
        (home.at("compiled/modules"), OFlags::RDWR),
        (home.at("root/test/waiting.wasm"), OFlags::RDWR),
        (home.at("ro/file"), OFlags::RDWR),
        (home.at("ro/file"), OFlags::RDONLY | OFlags::TRUNC),
        (home.at("ro/new"), OFlags::CREATE | OFlags::WRONLY),
        (home.at("ro"), OFlags::TMPFILE | OFlags::WRONLY),
    ] {
        let shown = format!("{path} {flags:?}");
        if Path::new(&path).exists() || flags.contains(OFlags::CREATE) {
            attacks.refused(shown, open(&mut thread, HERE, &path, flags, ANYWHERE));
        }
    }
    // By what the process has open already.
    for number in 3..64 {
        for path in ["../../../../../../../../etc/passwd", "../outside/file", "/etc/passwd"] {
            let opened = open(&mut thread, number, path, OFlags::RDONLY, ANYWHERE);
            if !matches!(opened, Err(libc::EBADF | libc::ENOTDIR | libc::ENOENT)) {
                attacks.refused(format!("{path} from {number}"), opened);
            }
        }
    }
    // In the loader's own ways.
    let (root, reading) = (thread.descriptor_of(&home.at("rw")), way(&mut thread, READ));
    for path in ["/etc/passwd", "../outside/file", "..", "/"] {
        let path = thread.text(path);
        let opened = thread.call(libc::SYS_openat2, [root, path, reading, 24, 0, 0]);
        attacks.refused("a way out", opened.map_err(|error| if error == libc::EXDEV { libc::EPERM } else { error }));
        attacks.refused("from here", thread.call(libc::SYS_openat2, [HERE, path, reading, 24, 0, 0]));
    }
    attacks.end(30);
    // What the guest may have, it has; so the calls above were true ones.
    let file = thread.text("file");
    thread.call(libc::SYS_openat2, [root, file, reading, 24, 0, 0]).unwrap();
}

/// What is opened, and how, stands in a page that the filter believes; so nothing else may come
/// there.
#[test]
#[ignore = "needs all walls: Linux 6.12 with Landlock"]
fn the_table_of_ways_to_open_can_not_be_replaced() {
    let home = Home::new(true);
    let mut thread = home.thread("guest");
    let mut attacks = Attacks::default();
    let (read, write, fixed) = (1, 2, (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED) as u64);
    let page = way(&mut thread, READ) & !4095;
    let other = thread.call(libc::SYS_mmap, [0, 4096, read | write, fixed & !0x10, u64::MAX, 0]).unwrap();
    attacks.refused("mprotect", thread.call(libc::SYS_mprotect, [page, 4096, read | write, 0, 0, 0]));
    attacks.refused("wide mprotect", thread.call(libc::SYS_mprotect, [page - 4096, 3 * 4096, read | write, 0, 0, 0]));
    attacks.refused("munmap", thread.call(libc::SYS_munmap, [page, 4096, 0, 0, 0, 0]));
    attacks.refused("mmap", thread.call(libc::SYS_mmap, [page, 4096, read | write, fixed, u64::MAX, 0]));
    attacks.refused("mremap away", thread.call(libc::SYS_mremap, [page, 4096, 4096, 3, other, 0]));
    attacks.refused("mremap here", thread.call(libc::SYS_mremap, [other, 4096, 4096, 3, page, 0]));
    attacks.end(6);
    way(&mut thread, READ);
}

#[test]
fn nothing_outside_the_mounts_is_changed() {
    let home = Home::new(true);
    let mut thread = home.thread("guest");
    let mut attacks = Attacks::default();
    let (outside, new) = (home.at("outside/file"), home.at("outside/new"));
    let before = fs::metadata(&outside).unwrap();
    for way in ["", "from a handle"] {
        let (at, path) = if way.is_empty() {
            (HERE, outside.as_str())
        } else {
            match open(&mut thread, HERE, &outside, OFlags::PATH, ANYWHERE) {
                Ok(handle) => (handle, ""),
                Err(_) => continue,
            }
        };
        let path = thread.text(path);
        let flag = if way.is_empty() { 0 } else { libc::AT_EMPTY_PATH as u64 };
        attacks.refused(format!("chmod {way}"), thread.call(libc::SYS_fchmodat2, [at, path, 0o777, flag, 0, 0]));
        let times = thread.bytes(&[0; 32]);
        attacks.refused(format!("times {way}"), thread.call(libc::SYS_utimensat, [at, path, times, flag, 0, 0]));
    }
    let old = thread.text(&outside);
    let new = thread.text(&new);
    let (inside, shadow) = (thread.text(&home.at("rw/link")), thread.text("/etc/passwd"));
    let folder = thread.text(&home.at("outside/sub"));
    attacks.refused("mkdir", thread.call(libc::SYS_mkdirat, [HERE, new, 0o755, 0, 0, 0]));
    attacks.refused("unlink", thread.call(libc::SYS_unlinkat, [HERE, old, 0, 0, 0, 0]));
    attacks.refused("rmdir", thread.call(libc::SYS_unlinkat, [HERE, folder, libc::AT_REMOVEDIR as u64, 0, 0, 0]));
    attacks.refused("rename", thread.call(libc::SYS_renameat2, [HERE, old, HERE, new, 0, 0]));
    attacks.refused("exchange", thread.call(libc::SYS_renameat2, [HERE, old, HERE, folder, 2, 0]));
    attacks.refused("symlink", thread.call(libc::SYS_symlinkat, [old, HERE, new, 0, 0, 0]));
    for (from, flags) in [(shadow, 0), (old, 0)] {
        let linked = thread.call(libc::SYS_linkat, [HERE, from, HERE, inside, flags, 0]);
        // Between file systems there is none anyway.
        attacks.refused("link", linked.map_err(|error| if error == libc::EXDEV { libc::EPERM } else { error }));
    }
    attacks.end(10);
    let after = fs::metadata(&outside).unwrap();
    assert_eq!((after.mode(), after.mtime(), after.ctime_nsec()), (before.mode(), before.mtime(), before.ctime_nsec()));
    assert!(Path::new(&home.at("outside/sub")).exists() && !Path::new(&home.at("outside/new")).exists());
}

#[test]
fn no_other_process_and_no_code_is_reached() {
    let home = Home::new(false);
    let mut thread = home.thread("guest");
    let mut attacks = Attacks::default();
    let (parent, own) = (u64::from(std::process::id()), u64::from(thread.process()));
    for signal in [0, 9, 18] {
        attacks.refused("kill", thread.call(libc::SYS_kill, [parent, signal, 0, 0, 0, 0]));
        attacks.refused("tgkill", thread.call(libc::SYS_tgkill, [parent, parent, signal, 0, 0, 0]));
        attacks.refused("tkill", thread.call(libc::SYS_tkill, [parent, signal, 0, 0, 0, 0]));
    }
    attacks.refused("kill all", thread.call(libc::SYS_kill, [u64::MAX, 0, 0, 0, 0, 0]));
    for request in [libc::PTRACE_ATTACH, libc::PTRACE_SEIZE, libc::PTRACE_PEEKDATA] {
        attacks.refused("ptrace", thread.call(libc::SYS_ptrace, [u64::from(request), parent, 0, 0, 0, 0]));
    }
    let piece = thread.bytes(&[0; 64]);
    let vector = thread.bytes(&[piece, 8].map(u64::to_ne_bytes).concat());
    for call in [libc::SYS_process_vm_readv, libc::SYS_process_vm_writev] {
        for process in [parent, own] {
            attacks.refused("another's memory", thread.call(call, [process, vector, 1, vector, 1, 0]));
        }
    }
    attacks.refused("pidfd_open", thread.call(libc::SYS_pidfd_open, [parent, 0, 0, 0, 0, 0]));
    for family in 0..64 {
        for kind in [1, 2, 3, 5] {
            attacks.refused("socket", thread.call(libc::SYS_socket, [family, kind, 0, 0, 0, 0]));
        }
    }
    attacks.refused("socketpair", thread.call(libc::SYS_socketpair, [1, 1, 0, piece, 0, 0]));
    // An abstract name, on whatever is open.
    let name = thread.bytes(b"\x01\0\0X");
    for number in 0..16 {
        for call in [libc::SYS_connect, libc::SYS_bind] {
            attacks.refused("abstract name", thread.call(call, [number, name, 4, 0, 0, 0]));
        }
    }
    for option in 1..80 {
        if option != libc::PR_SET_NAME.cast_unsigned() {
            attacks.refused(format!("prctl {option}"), thread.call(libc::SYS_prctl, [option.into(), 1, 0, 0, 0, 0]));
        }
    }
    attacks.refused("personality", thread.call(libc::SYS_personality, [0x040_0000, 0, 0, 0, 0, 0]));
    attacks.refused("memfd", thread.call(libc::SYS_memfd_create, [name, 0, 0, 0, 0, 0]));
    attacks.refused("terminal", thread.call(libc::SYS_ioctl, [0, libc::TIOCSTI, piece, 0, 0, 0]));
    // Executable memory: new, changed, or of a file.
    let (read, write, execute) = (1, 2, 4);
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let page = thread.call(libc::SYS_mmap, [0, 4096, read | write, anonymous, u64::MAX, 0]).unwrap();
    attacks.refused("mmap", thread.call(libc::SYS_mmap, [0, 4096, read | execute, anonymous, u64::MAX, 0]));
    attacks.refused("mprotect", thread.call(libc::SYS_mprotect, [page, 4096, read | execute, 0, 0, 0]));
    attacks.refused("pkey_mprotect", thread.call(libc::SYS_pkey_mprotect, [page, 4096, execute, u64::MAX, 0, 0]));
    let (root, writing) = (thread.descriptor_of(&home.at("rw")), way(&mut thread, READ | OFlags::RDWR));
    let path = thread.text("file");
    let file = thread.call(libc::SYS_openat2, [root, path, writing, 24, 0, 0]).unwrap();
    attacks.refused("mmap of a file", thread.call(libc::SYS_mmap, [0, 4096, read | execute, 2, file, 0]));
    let (empty, none) = (thread.text(""), thread.bytes(&[0; 8]));
    let by_handle = [file, empty, none, none, libc::AT_EMPTY_PATH as u64, 0];
    attacks.refused("execveat", thread.call(libc::SYS_execveat, by_handle));
    // A program that lends its owner's rights.
    attacks.refused("set-user bit", thread.call(libc::SYS_fchmod, [file, 0o4755, 0, 0, 0, 0]));
    attacks.end(390);
}

/// A library's code is brought to memory by the first thread, which has no file but compiled code.
#[test]
fn the_first_thread_reaches_compiled_code_alone() {
    let home = Home::new(true);
    let mut thread = home.thread("run");
    let mut attacks = Attacks::default();
    for path in ["/etc/passwd", &home.at("rw/file"), &home.at("ro/file"), &home.at("outside/file")] {
        attacks.refused(path, open(&mut thread, HERE, path, OFlags::RDONLY, ANYWHERE));
    }
    for (path, flags) in [("compiled/planted", OFlags::CREATE | OFlags::WRONLY), ("compiled/modules", OFlags::RDWR)] {
        attacks.refused(path, open(&mut thread, HERE, &home.at(path), flags, ANYWHERE));
    }
    attacks.end(6);
    let compiled = thread.descriptor_of(&home.at("compiled"));
    let reading = way(&mut thread, READ - OFlags::NOCTTY);
    let path = thread.text("modules");
    thread.call(libc::SYS_openat2, [compiled, path, reading, 24, 0, 0]).unwrap();
}

/// The filter speaks of one machine's numbers; calls by another's would have other meanings.
#[test]
fn a_call_by_the_numbers_of_32_bits_ends_the_process() {
    let home = Home::new(false);
    assert_eq!(home.thread("guest").call_as_32_bits(20), Some(libc::SIGSYS));
}
