//! The second wall, seen from inside: a process that raised it tries what a broken-out guest would.

#![cfg(feature = "wasm")]

use std::io::{Error, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use pynbox_run::reach::{self, Reach};
use pynbox_run::vfs::{Access, Crossing};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const CHILD: &str = "PYNBOX_WALL_CHILD";

#[test]
fn what_is_not_needed_is_refused() {
    in_child("what_is_not_needed_is_refused", || child(false));
}

#[test]
fn who_loads_libraries_gets_no_more() {
    in_child("who_loads_libraries_gets_no_more", || child(true));
}

#[test]
fn who_compiles_gets_less() {
    in_child("who_compiles_gets_less", compiling);
}

#[test]
fn only_the_mounts_are_within_reach() {
    in_child("only_the_mounts_are_within_reach", native_code);
}

/// What native code in the guest's thread would find without the filter: opening files of the
/// machine.
fn native_code() -> ! {
    assert!(reach::is_enforced(), "this kernel has no Landlock that can be tested");
    let memory = format!("/proc/{}/mem", rustix::process::getppid().unwrap().as_raw_nonzero());
    let folder = tempfile::tempdir().unwrap();
    let (read, write) = (folder.path().join("read"), folder.path().join("write"));
    for mount in [&read, &write] {
        std::fs::create_dir_all(mount.join("sub")).unwrap();
        std::fs::write(mount.join("file"), "host").unwrap();
    }
    // What only a capability would open.
    let root = rustix::process::geteuid().is_root();
    if root {
        std::fs::write(write.join("theirs"), "secret").unwrap();
        std::fs::set_permissions(write.join("theirs"), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(write.join("theirs"), Some(65534), Some(65534)).unwrap();
    }
    let open = |path: &Path| std::fs::File::open(path).unwrap();
    let (r, w) = (open(&read), open(&write));
    let reach = Reach::of([(r.as_fd(), Access::ReadOnly), (w.as_fd(), Access::ReadWrite)]);
    pynbox_run::wall::confine_thread(reach).unwrap();
    let at = |path: &Path, flags: OFlags| {
        let made = Mode::from_raw_mode(if flags.contains(OFlags::CREATE) { 0o600 } else { 0 });
        rustix::fs::openat2(rustix::fs::CWD, path.as_os_str().as_bytes(), flags, made, ResolveFlags::empty()).map(drop)
    };
    let outside = [
        (Path::new("/etc/passwd"), OFlags::RDONLY),
        (Path::new("/etc"), OFlags::RDONLY | OFlags::DIRECTORY),
        (Path::new(&memory), OFlags::RDWR),
        (Path::new("/proc/self/mem"), OFlags::RDWR),
        (Path::new("/proc/self/environ"), OFlags::RDONLY),
        (&folder.path().join("new"), OFlags::CREATE | OFlags::WRONLY),
        (&read.join("file"), OFlags::RDWR),
        (&read.join("file"), OFlags::RDONLY | OFlags::TRUNC),
        (&read.join("new"), OFlags::CREATE | OFlags::WRONLY),
    ];
    let within = [
        (read.join("file"), OFlags::RDONLY),
        (read.clone(), OFlags::RDONLY | OFlags::DIRECTORY),
        (write.join("file"), OFlags::RDWR | OFlags::TRUNC),
        (write.join("new"), OFlags::CREATE | OFlags::WRONLY),
    ];
    let mut right = true;
    let mut expect = |what: String, is: Result<(), Errno>, should: Result<(), Errno>| {
        if is != should {
            let _ = writeln!(std::io::stderr(), "{what}: {is:?} in place of {should:?}");
            right = false;
        }
    };
    for (path, flags) in outside {
        expect(format!("{} {flags:?}", path.display()), at(path, flags), Err(Errno::ACCESS));
    }
    for (path, flags) in within {
        expect(format!("{} {flags:?}", path.display()), at(&path, flags), Ok(()));
    }
    let cwd = rustix::fs::CWD;
    let moved = rustix::fs::renameat(cwd, write.join("new"), cwd, write.join("sub/new"));
    expect("move within".to_owned(), moved, Ok(()));
    for (name, from, to) in
        [("out", write.join("file"), read.join("moved")), ("in", read.join("file"), write.join("x"))]
    {
        let moved = rustix::fs::renameat(cwd, &from, cwd, &to);
        expect(format!("move {name}"), moved.map_err(|_| Errno::ACCESS), Err(Errno::ACCESS));
    }
    let link = rustix::fs::linkat(cwd, "/etc/passwd", cwd, write.join("link"), rustix::fs::AtFlags::empty());
    expect("link".to_owned(), link.map_err(|_| Errno::ACCESS), Err(Errno::ACCESS));
    if root {
        expect("another user's file".to_owned(), at(&write.join("theirs"), OFlags::RDONLY), Err(Errno::ACCESS));
    }
    end(right)
}

fn in_child(test: &str, child: fn() -> !) {
    if std::env::var_os(CHILD).is_some() {
        child();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(42), "{text}");
}

/// Ends with 42 if everything was refused, and says what was not.
fn child(libraries: bool) -> ! {
    // One that was there before is confined as well.
    let (ask, asked) = std::sync::mpsc::channel();
    let (answer, answered) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        asked.recv().unwrap();
        // Only this one may bring code to memory, and only if there are libraries.
        let page = page();
        // SAFETY: the page is this function's own.
        let executable = || unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) };
        let right = if libraries { executable() == 0 } else { refused("mprotect of another thread", executable) };
        let mapped = refused("mmap of another thread", || mmap(libc::PROT_READ | libc::PROT_EXEC));
        answer.send(right && mapped && refused("openat of another thread", open)).unwrap();
    });
    pynbox_run::wall::raise(libraries, Crossing::Refused, Reach::of([])).unwrap();
    ask.send(()).unwrap();
    let own = answered.recv().unwrap();
    end(own & outside())
}

/// The same for a process that only compiles, which may not even read.
fn compiling() -> ! {
    let (open, path) = (open(), c"/etc/passwd");
    pynbox_run::wall::compile_only().unwrap();
    let mut byte = 0u8;
    let reads = [
        // SAFETY: one byte is there.
        refused("read", || unsafe { i32::try_from(libc::read(open, (&raw mut byte).cast(), 1)).unwrap_or(0) }),
        // SAFETY: the path is a string that ends, and the room is large enough.
        refused("stat", || unsafe { libc::stat(path.as_ptr(), std::mem::zeroed::<[u64; 32]>().as_mut_ptr().cast()) }),
        // SAFETY: the path is a string that ends.
        refused("unlink", || unsafe { libc::unlink(c"/nothing".as_ptr()) }),
        // SAFETY: closes what is not used any more.
        refused("close", || unsafe { libc::close(open) }),
    ];
    end(reads.iter().all(|&r| r) & outside())
}

fn end(right: bool) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(if right { 42 } else { 1 }) }
}

/// Whether all is refused that reaches out of the process or brings code into it, and what an
/// engine needs goes on.
fn outside() -> bool {
    let page = page();
    let results = [
        refused("openat", open),
        // SAFETY: takes no memory.
        refused("socket", || unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) }),
        refused("fork", fork),
        // SAFETY: the path is a string that ends, and the lists are empty.
        refused("execve", || unsafe {
            libc::execve(c"/bin/true".as_ptr(), [std::ptr::null()].as_ptr(), [std::ptr::null()].as_ptr())
        }),
        // SAFETY: signal 0 asks alone.
        refused("kill", || unsafe { libc::kill(libc::getppid(), 0) }),
        refused("ptrace", ptrace),
        // SAFETY: the page is this function's own.
        refused("mprotect to executable", || unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) }),
        // SAFETY: the filter that allows all has one instruction, and is not added.
        refused("seccomp", || unsafe { i32::try_from(libc::syscall(libc::SYS_seccomp, 1, 0, 0)).unwrap_or(-1) }),
        refused("mmap of executable memory", || mmap(libc::PROT_READ | libc::PROT_EXEC)),
        // SAFETY: the paths are strings that end.
        refused("chmod", || unsafe { libc::chmod(c"/tmp".as_ptr(), 0o777) }),
        // SAFETY: the same.
        refused("chroot", || unsafe { libc::chroot(c"/".as_ptr()) }),
        // SAFETY: takes no memory.
        refused("unshare", || unsafe { libc::unshare(libc::CLONE_NEWUSER) }),
        // SAFETY: terminal input is pushed from one byte.
        refused("TIOCSTI", || unsafe { libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()) }),
        std::thread::Builder::new().spawn(|| ()).is_err(),
        // SAFETY: reads a flag.
        unsafe { libc::syscall(libc::SYS_write, 1, c"\n".as_ptr(), 1) == 1 },
        // What the engine needs goes on.
        mmap(libc::PROT_READ | libc::PROT_WRITE) == 0,
    ];
    results.iter().all(|&r| r)
}

fn refused(what: &str, call: impl FnOnce() -> i32) -> bool {
    let result = call();
    let error = Error::last_os_error();
    let refused = result == -1 && error.raw_os_error() == Some(libc::EPERM);
    if !refused {
        let _ = writeln!(std::io::stderr(), "{what} gave {result}, {error}");
    }
    refused
}

fn fork() -> i32 {
    // SAFETY: a child that should not be there ends at once.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) }
    }
    pid
}

fn ptrace() -> i32 {
    // SAFETY: attaches to nobody if it is refused, and to the parent, which fails the test then, if
    // not.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, libc::getppid(), 0, 0) };
    if result == -1 { -1 } else { 0 }
}

fn open() -> i32 {
    // SAFETY: the path is a string that ends.
    unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_RDONLY) }
}

fn page() -> *mut libc::c_void {
    // SAFETY: asks for a new page.
    unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    }
}

fn mmap(protection: i32) -> i32 {
    // SAFETY: asks for a new page.
    let page =
        unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    if page == libc::MAP_FAILED { -1 } else { 0 }
}
