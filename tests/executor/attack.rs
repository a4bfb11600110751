//! What an action can't reach, whatever it tries.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};

use pynbox_build::executor::{ExecutorError, Fault, Status};

use crate::bench::{Bench, on_docker};

/// All lines but those that say the same as `expected`.
fn other_than(text: &str, expected: &str) -> Vec<String> {
    text.lines().filter(|line| !line.ends_with(expected)).map(str::to_owned).collect()
}

#[test]
fn the_network_ends_at_the_container() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("pynbox-executor-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let found = Bench::new().probe("network", &format!("{} {name}", listener.local_addr().unwrap().port()));
    assert_eq!(
        found,
        "listener of the host: ECONNREFUSED\n\
         abstract socket of the host: ECONNREFUSED\n\
         the world: ENETUNREACH\n\
         a name server: ENETUNREACH\n\
         vsock: EAFNOSUPPORT\n\
         alg: EAFNOSUPPORT\n\
         packet: EAFNOSUPPORT\n"
    );
}

#[test]
fn calls_that_change_the_machine_or_the_container_are_refused() {
    let found = Bench::new().probe("syscalls", "");
    assert_eq!(
        other_than(&found, ": EPERM"),
        ["clone3: ENOSYS", "chown: EINVAL", "setuid: EINVAL", "setpriority: EACCES"],
        "{found}"
    );
}

#[test]
fn files_outside_are_out_of_reach() {
    let mut bench = Bench::new();
    let input = bench.directory("input", &[("file", "of the input")]);
    bench.input("/build/input", input.clone());
    bench.input("/opt/input", input.clone());
    let secret = bench.folder.path().join("secret");
    fs::write(&secret, "x").unwrap();
    let found = bench.probe("files", secret.to_str().unwrap());
    let (reading, writing) = found.split_at(found.find("create /new").unwrap());
    assert_eq!(other_than(reading, ": ENOENT"), Vec::<String>::new());
    assert_eq!(
        // Root owns that file; to others it is not even open when all is writable.
        other_than(&writing.replace("core_pattern: EACCES", "core_pattern: EROFS"), ": EROFS"),
        [
            "rename a mount point: EPERM",
            "write /dev/null: done",
            "read /dev/urandom: done",
            "open /dev/tty: ENOENT",
            "write /build: done",
            "write /tmp: done",
            "write /dev/shm: done",
        ],
        "{found}"
    );
    assert_eq!(fs::read_to_string(input.join("file")).unwrap(), "of the input");
}

#[test]
fn processes_outside_are_out_of_reach() {
    let found = Bench::new().probe("processes", "");
    assert_eq!(
        found,
        "processes: [2]\n\
         ptrace the supervisor: EPERM\n\
         memory of the supervisor: ENOENT\n\
         descriptors of the supervisor: EPERM\n\
         copy from the supervisor: EPERM\n\
         kill the supervisor: done\n\
         stop the supervisor: done\n\
         signal a process of the host: ESRCH\n\
         signal all: ESRCH\n\
         alive\n"
    );
}

#[test]
fn descriptors_of_the_caller_are_closed() {
    let bench = Bench::new();
    let secret = bench.folder.path().join("secret");
    fs::write(&secret, "x").unwrap();
    let file = fs::File::open(&secret).unwrap();
    // Without the flag that closes it at the start of a program.
    let _low = rustix::io::dup(&file).unwrap();
    let high = rustix::io::fcntl_dupfd_cloexec(&file, 700).unwrap();
    rustix::io::fcntl_setfd(&high, rustix::io::FdFlags::empty()).unwrap();
    let listed = bench.sh("exec ls /proc/self/fd");
    // The last one is that of the listing itself.
    assert_eq!(listed, "0\n1\n2\n3\n");
    assert_eq!(bench.sh("cat; echo end of input"), "end of input\n");
}

#[test]
fn set_user_bits_give_nothing() {
    let bench = Bench::new();
    fs::set_permissions(bench.root.join("usr/bin/cat"), fs::Permissions::from_mode(0o6755)).unwrap();
    let status = bench.run(&["cat", "/proc/self/status"]).text();
    for line in status.lines().filter(|line| line.starts_with("Cap")) {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}

#[test]
fn no_action_leaves_a_program_that_runs_as_its_owner() {
    let found = Bench::new().probe("set-id", "");
    assert_eq!(
        other_than(&found, ": EPERM"),
        [
            "user by openat2: ENOSYS",
            "user by mkdir: done",
            "group by openat2: ENOSYS",
            "group by mkdir: done",
            "the rest of the mode: done",
        ],
        "{found}"
    );
}

#[test]
fn what_is_written_elsewhere_is_gone_with_the_action() {
    let bench = Bench::new();
    bench.sh("echo x >/tmp/left && echo x >/dev/shm/left && echo x >/build/left");
    assert_eq!(bench.sh("ls -A /tmp /dev/shm /build"), "/build:\n\n/dev/shm:\n\n/tmp:\n");
    assert_eq!(fs::read_to_string(bench.folder.path().join("build-0/left")).unwrap(), "x\n");
}

#[test]
fn nothing_is_made_on_the_host_but_the_log_and_the_build_directory() {
    let mut bench = Bench::new();
    let input = bench.directory("input", &[("file", "")]);
    bench.input("/build/a/b", input);
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let list = |bench: &Bench| {
        let mut names: Vec<_> =
            fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    bench.sh("echo x >out");
    assert_eq!(list(&bench), ["build-0", "image", "input", "log-0"]);
    let mut made: Vec<_> =
        fs::read_dir(bench.folder.path().join("build-0")).unwrap().map(|e| e.unwrap().file_name()).collect();
    made.sort();
    assert_eq!(made, ["a", "out"]);
    let top: Vec<_> = fs::read_dir(&bench.root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        top.iter().all(|name| name == "bin" || name == "usr" || name.to_string_lossy().starts_with("lib")),
        "{top:?}"
    );
    // What is left behind is left behind each time; what others mount meanwhile is not. The
    // daemon's own mounts come and go with containers.
    let leaves_nothing = |bench: &mut Bench| {
        let before = mounts();
        bench.sh("true");
        mounts() == before
    };
    assert!(on_docker() || (0..50).any(|_| leaves_nothing(&mut bench)), "each action leaves a mount behind");
}

#[test]
fn links_in_inputs_are_no_mount_points() {
    let outside = tempfile::tempdir().unwrap();
    for (link, target) in [("link", outside.path().to_str().unwrap()), ("link", "/build"), ("link", "../../..")] {
        for at in ["/build/in/link", "/build/in/link/below"] {
            let mut bench = Bench::new();
            let input = bench.directory("input", &[("file", "")]);
            symlink(target, input.join(link)).unwrap();
            let other = bench.directory("other", &[("file", "")]);
            bench.input("/build/in", input);
            bench.input(at, other);
            let error = bench.try_run(&["sh", "-c", "ls"]).unwrap_err();
            assert_eq!(error.fault(), Fault::Action);
            assert!(matches!(error, ExecutorError::MountPoint { .. }), "{error}");
            assert!(
                error.to_string().starts_with(&format!("can't mount an input at `{at}`: Not a directory")),
                "{error}"
            );
        }
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_missing_mount_point_in_something_read_only_is_an_error() {
    for at in ["/usr/share/x", "/build/in/missing", "/dev/x", "/proc/x"] {
        let mut bench = Bench::new();
        let input = bench.directory("input", &[("file", "")]);
        bench.input("/build/in", input.clone());
        bench.input(at, input);
        match bench.try_run(&["sh", "-c", "true"]) {
            // The view's own directory: may be added to.
            Ok(outcome) if at == "/dev/x" => assert_eq!(outcome.status, Status::Exited(0)),
            Err(error @ ExecutorError::MountPoint { .. }) => assert_eq!(error.fault(), Fault::Action),
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn links_in_a_kept_directory_lead_nowhere() {
    let mut bench = Bench::new();
    let outside = tempfile::tempdir().unwrap();
    let input = bench.directory("input", &[("file", "")]);
    bench.input("/build/a/b", input);
    let build = bench.directory("kept", &[]);
    symlink(outside.path(), build.join("a")).unwrap();
    let log = bench.folder.path().join("log");
    let result = bench.with_run(&["sh", "-c", "true"], &build, &log, |run| bench.executor.shell(run));
    assert!(matches!(result, Err(ExecutorError::MountPoint { .. })), "{result:?}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}
