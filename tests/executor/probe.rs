//! What runs inside an action: this program again, told by its environment what to try. It prints
//! what it finds.

use std::ffi::c_long;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::path::Path;
use std::time::Duration;

/// Runs the probe that the argument names, `NAME ARGUMENT`.
pub(crate) fn probe() {
    let task = testing::helper::argument();
    let (name, argument) = task.split_once(' ').expect("a name and an argument");
    match name {
        "view" => view(),
        "network" => network(argument),
        "syscalls" => syscalls(),
        "set-id" => set_id(),
        "files" => files(argument),
        "processes" => processes(),
        "take" => take(argument),
        "amounts" => amounts(),
        other => panic!("no probe `{other}`"),
    }
}

fn say(line: impl AsRef<str>) {
    for line in line.as_ref().lines() {
        testing::helper::say(format!("probe: {line}"));
    }
}

fn outcome<T>(what: &str, result: std::io::Result<T>) {
    match result {
        Ok(_) => say(format!("{what}: done")),
        Err(error) => match error.raw_os_error() {
            Some(number) => say(format!("{what}: {}", errno_name(number))),
            None => say(format!("{what}: {error}")),
        },
    }
}

fn errno_name(number: i32) -> String {
    match number {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::ESRCH => "ESRCH",
        libc::EACCES => "EACCES",
        libc::EROFS => "EROFS",
        libc::ENOSYS => "ENOSYS",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EINVAL => "EINVAL",
        libc::ENOTTY => "ENOTTY",
        libc::ENXIO => "ENXIO",
        other => return format!("error {other}"),
    }
    .to_owned()
}

/// A system call by its number.
fn call<const N: usize>(number: c_long, arguments: [usize; N]) -> std::io::Result<c_long> {
    let [a, b, c, d, e, f] = std::array::from_fn(|index| arguments.get(index).copied().unwrap_or(0));
    // SAFETY: the callers pass numbers, null pointers and pointers to C strings that live.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}

fn text(string: &'static std::ffi::CStr) -> usize {
    string.as_ptr() as usize
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| error.to_string())
}

/// The complete view, as the golden file has it.
fn view() {
    say("[environment]");
    let mut variables: Vec<_> = std::env::vars().filter(|(name, _)| !name.starts_with("TESTING_")).collect();
    variables.sort();
    for (name, value) in variables {
        say(format!("{name}={value}"));
    }
    say("[process]");
    say(format!("directory: {}", std::env::current_dir().unwrap().display()));
    let stat = read("/proc/self/stat");
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let number = std::process::id();
    say(format!(
        "number {number}, parent {}, group {}, session {}, terminal {}",
        fields[1], fields[2], fields[3], fields[4]
    ));
    say(format!("groups: {}", call(libc::SYS_getgroups, [0; 6]).unwrap()));
    // Of this thread: the first one blocks signals for a moment while it starts another.
    for line in read("/proc/thread-self/status").lines() {
        let wanted = ["Umask", "Uid", "Gid", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "Cap", "NoNewPrivs", "Seccomp:"];
        if wanted.iter().any(|name| line.starts_with(name)) {
            say(line.replace('\t', " "));
        }
    }
    say(format!("personality: {:#x}", call(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0]).unwrap()));
    let ask = |option: i32| call(libc::SYS_prctl, [option as usize, 0, 0, 0, 0]).unwrap_or(0);
    for (name, option) in [
        ("secure bits", libc::PR_GET_SECUREBITS),
        ("dumpable", libc::PR_GET_DUMPABLE),
        ("no huge pages", libc::PR_GET_THP_DISABLE),
        ("memory faults", libc::PR_MCE_KILL_GET),
        ("merged memory", libc::PR_GET_MEMORY_MERGE),
    ] {
        say(format!("{name}: {:#x}", ask(option)));
    }
    for (name, option) in
        [("signal at the parent's end", libc::PR_GET_PDEATHSIG), ("time stamp counter", libc::PR_GET_TSC)]
    {
        let mut value = -1_i32;
        call(libc::SYS_prctl, [option as usize, &raw mut value as usize, 0, 0, 0]).unwrap();
        say(format!("{name}: {value}"));
    }
    say(format!("OOM score: {}", read("/proc/self/oom_score_adj").trim()));
    say(format!("core dump filter: {}", read("/proc/self/coredump_filter").trim()));
    let cgroups = read("/proc/self/cgroup");
    let cgroups: std::collections::BTreeSet<_> = cgroups.lines().filter_map(|line| line.rsplit(':').next()).collect();
    say(format!("cgroups: {}", cgroups.into_iter().collect::<Vec<_>>().join(" ")));
    scheduling();
    say("[names]");
    say(format!("host {}", read("/proc/sys/kernel/hostname").trim()));
    say(format!("domain {}", read("/proc/sys/kernel/domainname").trim()));
    say("[limits]");
    for line in read("/proc/self/limits").lines() {
        say(line.trim_end());
    }
    say("[descriptors]");
    for number in 0..3 {
        let target = fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
        say(format!("{number}: {}", target.to_string_lossy().split('[').next().unwrap()));
    }
    for directory in ["/", "/dev", "/build", "/tmp", "/dev/shm"] {
        say(format!("[{directory}]"));
        list(Path::new(directory));
    }
    say("[mounts]");
    mounts();
    say("[hidden]");
    for name in ["acpi", "asound", "interrupts", "kcore", "keys", "kmsg", "kpagecount", "latency_stats", "pagetypeinfo"]
        .into_iter()
        .chain([
            "sched_debug",
            "scsi",
            "slabinfo",
            "sysrq-trigger",
            "timer_list",
            "tty/driver",
            "vmallocinfo",
            "1",
            "2",
        ])
    {
        let path = Path::new("/proc").join(name);
        let seen = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::read_dir(&path).map_or(0, Iterator::count),
            Ok(_) => fs::read(&path).map_or(0, |bytes| bytes.len()),
            Err(_) => 0,
        };
        say(format!("{name}: {}", if seen == 0 { "nothing" } else { "something" }));
    }
    say("[network]");
    for line in read("/proc/net/dev").lines().skip(2) {
        say(line.split(':').next().unwrap().trim());
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    outcome("loopback", TcpStream::connect(listener.local_addr().unwrap()));
}

/// How the calling thread is scheduled, and what it may change of that.
fn scheduling() {
    say("[scheduling]");
    // The call gives 20 less the niceness.
    let niceness = || 20 - call(libc::SYS_getpriority, [0; 5]).unwrap();
    let raise = |by: c_long| {
        let wanted = niceness() + by;
        outcome(&format!("to niceness {wanted}"), call(libc::SYS_setpriority, [0, 0, wanted as usize, 0, 0]));
        say(format!("niceness: {}", niceness()));
    };
    say(format!("niceness: {}", niceness()));
    say(format!("policy: {}", call(libc::SYS_sched_getscheduler, [0; 5]).unwrap()));
    say(format!("I/O priority: {}", call(libc::SYS_ioprio_get, [1, 0, 0, 0, 0]).unwrap()));
    say(format!("timer slack: {}", call(libc::SYS_prctl, [libc::PR_GET_TIMERSLACK as usize, 0, 0, 0, 0]).unwrap()));
    // What a `configure` script tries: whether it can be raised twice.
    raise(1);
    raise(2);
    raise(-1);
    raise(40);
    outcome("niceness of no process", call(libc::SYS_getpriority, [0, 4_000_000, 0, 0, 0]));
    outcome("niceness of nothing", call(libc::SYS_getpriority, [9, 0, 0, 0, 0]));
    // In a thread of its own: it lasts.
    let batch = std::thread::spawn(|| {
        let normal = [0_i32; 4];
        call(libc::SYS_sched_setscheduler, [0, 0, normal.as_ptr() as usize, 0, 0])
    });
    outcome("schedule as others", batch.join().unwrap());
    let real_time = [1_i32; 4];
    outcome("schedule in real time", call(libc::SYS_sched_setscheduler, [0, 1, real_time.as_ptr() as usize, 0, 0]));
}

fn list(directory: &Path) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.push(directory.to_owned());
    entries.sort();
    for path in entries {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let owner = format!("{}:{}", metadata.uid(), metadata.gid());
        // Not of the contract: the library directories that this image happens to have, and the
        // host's devices' times.
        if directory == Path::new("/") && path.to_string_lossy().starts_with("/lib") {
            continue;
        }
        let time = match metadata.mtime() {
            315_619_200 => "constant",
            _ if kind.is_char_device() || path.starts_with("/proc") => "of the host",
            _ if path == Path::new("/usr") => "of the image",
            _ => "wrong",
        };
        let what = if kind.is_char_device() {
            format!("device {}:{}", libc::major(metadata.rdev()), libc::minor(metadata.rdev()))
        } else if kind.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else {
            "directory".to_owned()
        };
        // The host decides whether its devices are shown as root's.
        let owner = if kind.is_char_device() { "host's" } else { &owner };
        let owner = if path.starts_with("/proc") { "host's" } else { owner };
        say(format!("{} {:o} {owner} {what}, time {time}", path.display(), metadata.permissions().mode() & 0o7777));
    }
}

fn mounts() {
    let mut lines = Vec::new();
    for line in read("/proc/self/mountinfo").lines() {
        let (left, right) = line.split_once(" - ").unwrap();
        let left: Vec<&str> = left.split(' ').collect();
        let kind = match right.split(' ').next().unwrap() {
            own @ ("tmpfs" | "proc") => own,
            _ => "host's",
        };
        // Which of them there are to hide depends on the kernel; the library directories are this
        // image's.
        if left[4].starts_with("/proc/") || left[4].starts_with("/lib") {
            continue;
        }
        let kind = if ["/usr", "/build"].contains(&left[4]) || left[4].starts_with("/dev/") && left[4] != "/dev/shm" {
            "host's"
        } else {
            kind
        };
        let options: Vec<&str> =
            left[5].split(',').filter(|option| ["ro", "rw", "nosuid", "nodev", "noexec"].contains(option)).collect();
        let propagation = left[6..].join(" ");
        lines.push(format!("{} {} {kind} {propagation}", left[4], options.join(",")).trim_end().to_owned());
    }
    lines.sort();
    say(lines.join("\n"));
}

/// Tries to reach a listener of the host, an abstract socket of the host, and the world.
fn network(argument: &str) {
    let (port, name) = argument.split_once(' ').unwrap();
    let limit = Duration::from_secs(5);
    let local: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    outcome("listener of the host", TcpStream::connect_timeout(&local, limit));
    let address = UnixAddress::from_abstract_name(name).unwrap();
    outcome("abstract socket of the host", UnixStream::connect_addr(&address));
    outcome("the world", TcpStream::connect_timeout(&"192.0.2.1:80".parse().unwrap(), limit));
    let name_server = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"?", "192.0.2.53:53"));
    outcome("a name server", name_server);
    for (name, family) in [("vsock", 40), ("alg", libc::AF_ALG), ("packet", libc::AF_PACKET)] {
        outcome(name, call(libc::SYS_socket, [family as usize, libc::SOCK_RAW as usize, 0, 0, 0]));
    }
}

/// Calls that no action may make.
fn syscalls() {
    let new_user = libc::CLONE_NEWUSER as usize;
    let remount = (libc::MS_REMOUNT | libc::MS_BIND) as usize;
    for (name, number, arguments) in [
        ("mount", libc::SYS_mount, [text(c"none"), text(c"/tmp"), text(c"tmpfs"), 0, 0]),
        ("remount", libc::SYS_mount, [text(c"none"), text(c"/"), 0, remount, 0]),
        ("umount2", libc::SYS_umount2, [text(c"/proc"), libc::MNT_DETACH as usize, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [0, text(c"/"), 1, 0, 0]),
        ("unshare", libc::SYS_unshare, [new_user, 0, 0, 0, 0]),
        ("clone", libc::SYS_clone, [new_user | libc::SIGCHLD as usize, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [0; 5]),
        ("setns", libc::SYS_setns, [0; 5]),
        ("chroot", libc::SYS_chroot, [text(c"/tmp"), 0, 0, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, [text(c"/tmp"), text(c"/tmp"), 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, -3_isize as usize, 0, 0, 0]),
        ("add_key", libc::SYS_add_key, [text(c"user"), text(c"a"), text(c"a"), 1, -3_isize as usize]),
        ("bpf", libc::SYS_bpf, [0; 5]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 5]),
        ("userfaultfd", libc::SYS_userfaultfd, [0; 5]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("sethostname", libc::SYS_sethostname, [text(c"a"), 1, 0, 0, 0]),
        ("personality", libc::SYS_personality, [libc::ADDR_NO_RANDOMIZE as usize, 0, 0, 0, 0]),
        ("mknod", libc::SYS_mknod, [text(c"/build/null"), libc::S_IFCHR as usize | 0o666, 0x103, 0, 0]),
        ("TIOCSTI", libc::SYS_ioctl, [0, libc::TIOCSTI as usize, text(c"a"), 0, 0]),
        ("chown", libc::SYS_chown, [text(c"/build"), 1, 1, 0, 0]),
        ("setuid", libc::SYS_setuid, [1, 0, 0, 0, 0]),
        ("setgroups", libc::SYS_setgroups, [0; 5]),
        ("setpriority", libc::SYS_setpriority, [0, 0, -5_isize as usize, 0, 0]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 5]),
    ] {
        outcome(name, call(number, arguments));
    }
}

/// Tries in every way to leave a program behind that runs with its owner's rights.
fn set_id() {
    let mode = |bits: usize| 0o755 | bits;
    let at = libc::AT_FDCWD as usize;
    fs::write("/build/plain", "x").unwrap();
    let plain = fs::File::open("/build/plain").unwrap();
    let plain_fd = std::os::fd::AsRawFd::as_raw_fd(&plain) as usize;
    let create = (libc::O_CREAT | libc::O_WRONLY) as usize;
    let temporary = (libc::O_TMPFILE | libc::O_WRONLY) as usize;
    for (name, bits) in [("user", 0o4000_usize), ("group", 0o2000)] {
        let how = [create as u64, mode(bits) as u64, 0];
        for (by, number, arguments) in [
            ("chmod", libc::SYS_chmod, [text(c"/build/plain"), mode(bits), 0, 0, 0]),
            ("fchmod", libc::SYS_fchmod, [plain_fd, mode(bits), 0, 0, 0]),
            ("fchmodat", libc::SYS_fchmodat, [at, text(c"/build/plain"), mode(bits), 0, 0]),
            ("fchmodat2", 452, [at, text(c"/build/plain"), mode(bits), 0, 0]),
            ("creat", libc::SYS_creat, [text(c"/build/a"), mode(bits), 0, 0, 0]),
            ("open", libc::SYS_open, [text(c"/build/b"), create, mode(bits), 0, 0]),
            ("openat", libc::SYS_openat, [at, text(c"/build/c"), create, mode(bits), 0]),
            ("a file without a name", libc::SYS_openat, [at, text(c"/build"), temporary, mode(bits), 0]),
            ("openat2", libc::SYS_openat2, [at, text(c"/build/d"), how.as_ptr() as usize, size_of_val(&how), 0]),
            ("mknod", libc::SYS_mknod, [text(c"/build/e"), libc::S_IFREG as usize | mode(bits), 0, 0, 0]),
            ("mknodat", libc::SYS_mknodat, [at, text(c"/build/f"), libc::S_IFREG as usize | mode(bits), 0, 0]),
        ] {
            outcome(&format!("{name} by {by}"), call(number, arguments));
        }
        // A folder may ask for it, and does not get it.
        outcome(
            &format!("{name} by mkdir"),
            call(libc::SYS_mkdir, [text(if name == "user" { c"/build/g" } else { c"/build/h" }), mode(bits), 0, 0, 0]),
        );
    }
    for (path, entry) in fs::read_dir("/build").unwrap().map(|entry| entry.map(|e| (e.path(), e)).unwrap()) {
        let mode = entry.metadata().unwrap().permissions().mode();
        if mode & 0o6000 != 0 {
            say(format!("left: {} {mode:o}", path.display()));
        }
    }
    outcome("the rest of the mode", fs::set_permissions("/build/plain", fs::Permissions::from_mode(0o1751)));
}

/// Tries to change files that are not the action's. The argument is a file of the host.
fn files(host: &str) {
    outcome("host's file", fs::read(host));
    outcome("host's file by /proc/1/root", fs::read(format!("/proc/1/root{host}")));
    outcome("host's file by /proc/self/root", fs::read(format!("/proc/self/root{host}")));
    outcome("host's file by /..", fs::read(format!("/../../..{host}")));
    outcome("host's passwd", fs::read("/etc/passwd"));
    outcome("/sys", fs::read_dir("/sys"));
    for path in ["/new", "/usr/new", "/dev/new", "/build/input/new", "/opt/input/new"] {
        outcome(&format!("create {path}"), fs::write(path, "x"));
    }
    for path in ["/usr/bin/sh", "/build/input/file", "/opt/input/file", "/dev/null", "/"] {
        outcome(&format!("chmod {path}"), fs::set_permissions(path, fs::Permissions::from_mode(0o777)));
        let times = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
        outcome(&format!("touch {path}"), fs::File::open(path).and_then(|file| file.set_times(times)));
    }
    outcome("append to an input", OpenOptions::new().append(true).open("/build/input/file"));
    outcome("remove an input", fs::remove_file("/build/input/file"));
    outcome(
        "rename a mount point",
        fs::rename("/build/input", "/build/other").map_err(|_| std::io::Error::from_raw_os_error(libc::EPERM)),
    );
    for path in
        ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/pid_max", "/proc/self/oom_score_adj", "/proc/self/uid_map"]
    {
        outcome(&format!("write {path}"), OpenOptions::new().write(true).open(path));
    }
    outcome(
        "write /dev/null",
        OpenOptions::new().write(true).open("/dev/null").and_then(|mut null| null.write_all(b"x")),
    );
    let mut random = [0; 16];
    outcome("read /dev/urandom", fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)));
    outcome("open /dev/tty", fs::File::open("/dev/tty"));
    outcome("write /build", fs::write("/build/out", "x"));
    outcome("write /tmp", fs::write("/tmp/out", "x"));
    outcome("write /dev/shm", fs::write("/dev/shm/out", "x"));
}

/// Tries to reach processes that are not the action's.
fn processes() {
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    say(format!("processes: {:?}", numbers.collect::<Vec<_>>()));
    outcome("ptrace the supervisor", call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, 1, 0, 0, 0]));
    outcome("memory of the supervisor", fs::read("/proc/1/mem"));
    outcome(
        "descriptors of the supervisor",
        call(libc::SYS_pidfd_open, [1, 0, 0, 0, 0])
            .and_then(|pidfd| call(libc::SYS_pidfd_getfd, [pidfd as usize, 0, 0, 0, 0])),
    );
    let mut buffer = [0_u8; 8];
    let own = [buffer.as_mut_ptr() as usize, buffer.len()];
    let theirs = [text(c"the same address, as it is a copy"), buffer.len()];
    let copy = call(libc::SYS_process_vm_readv, [1, own.as_ptr() as usize, 1, theirs.as_ptr() as usize, 1]);
    outcome("copy from the supervisor", copy);
    outcome("kill the supervisor", call(libc::SYS_kill, [1, libc::SIGKILL as usize, 0, 0, 0]));
    outcome("stop the supervisor", call(libc::SYS_kill, [1, libc::SIGSTOP as usize, 0, 0, 0]));
    outcome("signal a process of the host", call(libc::SYS_kill, [99_999, 0, 0, 0, 0]));
    outcome("signal all", call(libc::SYS_kill, [-1_isize as usize, libc::SIGTERM as usize, 0, 0, 0]));
    say("alive");
}

/// What numbers an action sees of how much there is.
fn amounts() {
    for folder in [c"/tmp", c"/dev/shm"] {
        let mut room = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the path is a string that ends, and the room is written by the call.
        let room = unsafe {
            assert_eq!(libc::statvfs(folder.as_ptr(), room.as_mut_ptr()), 0);
            room.assume_init()
        };
        let numbers = [room.f_blocks, room.f_bfree, room.f_bavail, room.f_files, room.f_ffree, room.f_bsize];
        say(format!("{}: {numbers:?}", folder.to_string_lossy()));
    }
    for line in read("/proc/self/mountinfo").lines().filter(|line| line.contains(" tmpfs ")) {
        say(line.split_once(" - ").unwrap().1);
    }
    say(read("/proc/self/cgroup"));
    let memory = read("/proc/meminfo");
    say(memory.lines().next().unwrap());
    for name in ["pid_max", "threads-max", "shmmax", "shmall", "shmmni"] {
        say(format!("{name}: {}", read(format!("/proc/sys/kernel/{name}")).trim()));
    }
}

/// Takes something without end, deaf to errors, or ends well where that is no more than allowed.
fn take(what: &str) {
    const PART: usize = 4 << 20;
    let wait = |seconds| std::thread::sleep(Duration::from_secs(seconds));
    // Memory of a kind, touched.
    let map = |length: usize, kind: i32| {
        // SAFETY: a new piece of memory, written within its bounds.
        unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let start = libc::mmap(std::ptr::null_mut(), length, protection, kind | libc::MAP_ANONYMOUS, -1, 0);
            if start != libc::MAP_FAILED {
                libc::memset(start, 1, length);
            }
        }
    };
    // SAFETY: the children do what is written here, and end by a call that needs nothing.
    let fork = || unsafe { libc::fork() };
    let hide = || call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 0, 0, 0, 0]).unwrap();
    let memory_file = || call(libc::SYS_memfd_create, [text(c"x"), 0]).unwrap() as i32;
    let extend = |file: i32| {
        let bytes = vec![1_u8; PART];
        // SAFETY: as many bytes as there are.
        unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
    };
    match what {
        "threads" => loop {
            let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(move || wait(1000));
        },
        "processes that nobody may look at" => {
            hide();
            loop {
                if fork() == 0 {
                    wait(1000);
                }
            }
        }
        "private memory" => loop {
            map(PART, libc::MAP_PRIVATE);
        },
        "private memory of many processes" => {
            for _ in 0..40 {
                if fork() == 0 {
                    map(2 * PART, libc::MAP_PRIVATE);
                    wait(1000);
                }
            }
            wait(1000);
        }
        "private memory of a process that nobody may look at" => {
            hide();
            loop {
                map(PART, libc::MAP_PRIVATE);
            }
        }
        "shared memory" => loop {
            map(PART, libc::MAP_SHARED);
        },
        "a file in memory" => {
            let file = memory_file();
            loop {
                extend(file);
            }
        }
        "many files in memory" => {
            hide();
            loop {
                extend(memory_file());
            }
        }
        "segments of shared memory" => loop {
            // SAFETY: a new segment, written within its bounds and left attached nowhere.
            unsafe {
                let segment = libc::shmget(libc::IPC_PRIVATE, PART, libc::IPC_CREAT | 0o600);
                let start = libc::shmat(segment, std::ptr::null(), 0);
                if start as isize != -1 {
                    libc::memset(start, 1, PART);
                    libc::shmdt(start);
                }
            }
        },
        "shared pages" => {
            map(100 << 20, libc::MAP_PRIVATE);
            map(100 << 20, libc::MAP_SHARED);
            for _ in 0..10 {
                if fork() == 0 {
                    wait(1);
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(0) };
                }
            }
            wait(1);
        }
        "half of all" => {
            fs::write("/tmp/x", vec![1; 8 << 20]).unwrap();
            fs::write("/dev/shm/x", vec![1; 6 << 20]).unwrap();
            map(100 << 20, libc::MAP_PRIVATE);
            let threads: Vec<_> = (0..25).map(|_| std::thread::spawn(move || wait(1))).collect();
            for thread in threads {
                thread.join().unwrap();
            }
        }
        other => {
            let (way, folder) = other.rsplit_once(' ').unwrap();
            let at = |name: &str| Path::new(folder).join(name);
            match way {
                "a file in" | "a removed file in" => {
                    let mut file = fs::File::create(at("x")).unwrap();
                    if way == "a removed file in" {
                        fs::remove_file(at("x")).unwrap();
                    }
                    loop {
                        let _ = file.write_all(&[1; 1 << 16]);
                    }
                }
                "files without content in" => {
                    for number in 0_u64.. {
                        let _ = fs::File::create(at(&number.to_string()));
                    }
                }
                "room taken ahead in" => {
                    let file = fs::File::create(at("x")).unwrap();
                    for part in 0_i64.. {
                        rustix::fs::fallocate(
                            &file,
                            rustix::fs::FallocateFlags::empty(),
                            part.cast_unsigned() * PART as u64,
                            PART as u64,
                        )
                        .unwrap_or_default();
                    }
                }
                other => panic!("no way `{other}` to take something"),
            }
        }
    }
}
