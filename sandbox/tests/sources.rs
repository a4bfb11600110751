//! What of the host the command line names: directories to mount and the log, where an earlier
//! guest may have left links; and what of a mounted directory is not the guest's.

#![cfg(feature = "wasm")]

mod common;

use std::fs;
use std::io::IoSliceMut;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::attempts::{Attempt, succeed};
use common::{Dest, module};
use pynbox_run::vfs::{Access, Crossing, Errno, GuestPath, Last, Mount, Mounts, Offset, OpenHow, ROOT_FD, Vfs};

/// An installation, and beside it, in a folder that does not hold it, `rw` and `secret`.
fn installation() -> (Dest, tempfile::TempDir) {
    let job = tempfile::tempdir().unwrap();
    for folder in ["rw/sub", "secret"] {
        fs::create_dir_all(job.path().join(folder)).unwrap();
    }
    fs::write(job.path().join("secret/file"), "host").unwrap();
    (Dest::new(), job)
}

#[test]
fn a_link_that_an_earlier_guest_left_is_not_mounted() {
    let (dest, job) = installation();
    let at = |path: &str| job.path().join(path).to_str().unwrap().to_owned();
    let first = format!("{}:/rw:rw", at("rw"));
    // The earlier guest makes them itself.
    let made = [
        Attempt::Symlink("../secret", "/rw/out"),
        Attempt::Symlink("/etc", "/rw/absolute"),
        Attempt::Rmdir("/rw/sub"),
        Attempt::Symlink("../secret", "/rw/sub"),
        Attempt::Symlink("../secret/file", "/rw/log"),
    ];
    assert_eq!(succeed(&dest, &["-m", &first], &made).len(), made.len());
    let program = dest.guest("nothing", &module("", "(func (export \"_start\"))"));
    let root = format!("{}:/:ro", dest.root().display());
    for source in ["rw/out", "rw/out/", "rw/absolute", "rw/sub", "rw/absolute/ssl", "rw/../rw/out"] {
        for access in ["ro", "rw"] {
            let mount = format!("{}:/x:{access}", at(source));
            let ended = dest.run(["-m", &root, "-m", &mount, &program]);
            ended.assert_error(2, "is a symbolic link to");
            assert!(ended.err.contains("--follow-links"), "{ended:?}");
        }
    }
    dest.run(["-m", &root, "-l", &at("rw/log"), "-v", &program]).assert_error(2, "is a symbolic link to");
    assert_eq!(fs::read_to_string(at("secret/file")).unwrap(), "host");
    // Whoever says so has them followed.
    let mount = format!("{}:/x:rw", at("rw/out"));
    let through = succeed(&dest, &["--follow-links", "-m", &root, "-m", &mount], &[Attempt::Write("/x/file")]);
    assert_eq!(through.len(), 1);
    let log = ["--follow-links", "-m", &root, "-v", "-l", &at("rw/log"), &program];
    assert_eq!(dest.run(log).status, 0);
    assert!(fs::read_to_string(at("secret/file")).unwrap().contains("ended with status 0"));
}

/// Links of the user's that no guest can have made: in the directory that holds the installation.
#[test]
fn links_beside_the_installation_are_followed() {
    let (dest, job) = installation();
    let program = dest.guest("nothing", &module("", "(func (export \"_start\"))"));
    symlink(job.path(), dest.path().join("jobs")).unwrap();
    symlink("root", dest.path().join("same")).unwrap();
    let mount = format!("{}:/x:rw", dest.path().join("jobs/rw").display());
    let root = format!("{}:/:ro", dest.path().join("same").display());
    let made = succeed(&dest, &["-m", &root, "-m", &mount], &[Attempt::Create("/x/new")]);
    assert!(made.len() == 1 && job.path().join("rw/new").exists());
    // Relative to the folder that the loader is started in.
    let mut command = dest.command(["-m", "same:/:ro", "-m", "./root/../jobs/rw:/x:ro", &program]);
    command.0.current_dir(dest.path());
    command.ended().assert(0, "");
}

/// What may be crossed is a matter of each mount; the loader's own files and folders in memory are
/// opened as ever.
#[test]
fn a_guest_that_may_cross_mounts_has_all_its_files() {
    use Attempt::{Create, Read, Write};
    let (dest, job) = installation();
    let mount = format!("{}:/rw:rw", job.path().join("rw").display());
    let wanted = [Create("/rw/new"), Read("/rw/new"), Create("/t/new"), Write("/t/new")];
    let made = succeed(&dest, &["--cross-mounts", "--tmpfs", "/t:64K", "-m", &mount], &wanted);
    assert_eq!(format!("{made:?}"), format!("{wanted:?}"));
}

/// With `DEST/root` writable, as some run a whole test suite, a guest finds the library as it was.
#[test]
fn what_packages_installed_stays_below_a_writable_root() {
    use Attempt::{Chmod, Create, Link, Mkdir, Rename, Rmdir, Symlink, Times, Truncate, Unlink, Write};
    let (dest, _job) = installation();
    let root = dest.root();
    for (path, text) in [("python/lib/os.py", "os"), ("python/lib/os.pyc", "code"), ("slib/libz.so", "library")] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    let receipt = r#"{"content":{"bin/run":{},"root/python/lib/os.py":{},"root/slib/libz.so":{}}}"#;
    fs::write(dest.path().join("packages/python.installed"), receipt).unwrap();
    let mount = |from: &Path, to: &str| format!("{}:{to}:rw", from.display());
    let writable = mount(&root, "/");
    let attacks = [
        Write("/python/lib/os.py"),
        Truncate("/python/lib/os.py"),
        Unlink("/python/lib/os.py"),
        Chmod("/python/lib/os.py", 0o666),
        Times("/python/lib/os.py"),
        Rename("/new/file", "/python/lib/os.py"),
        Rename("/python/lib/os.py", "/new/os.py"),
        Rename("/python", "/python2"),
        Rename("/python/lib", "/python/lib2"),
        Rename("/new", "/python"),
        Rename("/new", "/slib"),
        Rmdir("/slib"),
        Unlink("/python"),
        Chmod("/python", 0o777),
        Times("/python"),
        Link("/python/lib/os.py", "/new/hard"),
        Link("/new/file", "/python/lib/hard.py"),
        Symlink("/new", "/python/lib/json"),
        Create("/python/lib/json.py"),
        Create("/python/lib/json.pyc"),
        Mkdir("/python/lib/os"),
        Create("/slib/libnew.so"),
        Unlink("/python/lib/os.pyc"),
        Create("/new/../python/lib/json.py"),
        Create("/way/json.py"),
        Write("/way/os.py"),
    ];
    let allowed = [
        Mkdir("/new"),
        Create("/new/file"),
        Write("/new/file"),
        Create("/top"),
        Rename("/top", "/new/top"),
        Chmod("/new/file", 0o600),
        Unlink("/new/top"),
        Symlink("/python/lib", "/way"),
    ];
    assert_eq!(format!("{:?}", succeed(&dest, &["-m", &writable], &allowed)), format!("{allowed:?}"));
    assert_eq!(format!("{:?}", succeed(&dest, &["-m", &writable], &attacks)), "[]");
    assert_eq!(fs::read_to_string(root.join("python/lib/os.py")).unwrap(), "os");

    // In other ways to the same place.
    let program = dest.guest("nothing", &module("", "(func (export \"_start\"))"));
    for (inner, at) in [("python", "/p"), ("python/lib", "/p"), ("slib", "/slib")] {
        let ended = dest.run(["-m", &writable, "-m", &mount(&root.join(inner), at), &program]);
        ended.assert_error(2, "which packages installed");
        assert!(ended.err.contains("--allow-root-writes"), "{ended:?}");
    }
    let elsewhere = ["-m", &mount(&root, "/x"), "-m", &format!("{}:/:ro", root.display())];
    let moved =
        [Write("/x/python/lib/os.py"), Create("/x/python/new"), Rename("/x/python", "/x/p"), Create("/x/new/two")];
    assert_eq!(format!("{:?}", succeed(&dest, &elsewhere, &moved)), r#"[Create("/x/new/two")]"#);
    // What the options mount there is theirs.
    let other = dest.path().join("other");
    fs::create_dir(&other).unwrap();
    for options in [["-m", &writable, "-m", &mount(&other, "/slib")], ["-m", &mount(&other, "/slib"), "-m", &writable]]
    {
        assert_eq!(succeed(&dest, &options, &[Create("/slib/mine")]).len(), 1);
        fs::remove_file(other.join("mine")).unwrap();
    }
    // Whoever says so lets a guest change all of it.
    let lifted = succeed(&dest, &["--allow-root-writes", "-m", &writable], &attacks[..5]);
    assert_eq!(format!("{lifted:?}"), format!("{:?}", [attacks[0], attacks[1], attacks[2]]));
    dest.run(["--allow-root-writes", "-m", &mount(&root.join("python"), "/p"), "-m", &writable, &program])
        .assert(0, "");
}

fn vfs(folder: &Path, access: Access) -> Vfs {
    Vfs::new(Mounts::new(vec![Mount::open(folder, GuestPath::root(), access, Crossing::Refused).unwrap()]))
}

/// Whoever may get into a mounted directory is for the host to say.
#[test]
fn the_mode_of_a_mounts_root_is_the_hosts() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let mut vfs = vfs(folder.path(), Access::ReadWrite);
    for path in ["/", ".", "sub/..", "sub/../."] {
        for mode in [0, 0o777, 0o1777, 0o4755, 0o2755] {
            assert_eq!(vfs.chmod_at(ROOT_FD, path.as_bytes(), Last::Follow, mode), Err(Errno::PERM), "{path}");
        }
        let fd = vfs.open(ROOT_FD, path.as_bytes(), OpenHow { directory: true, ..OpenHow::READ }).unwrap();
        assert_eq!(vfs.chmod(fd, 0o777), Err(Errno::PERM), "{path}");
    }
    assert_eq!(vfs.chmod(ROOT_FD, 0o777), Err(Errno::PERM));
    assert_eq!(folder.path().metadata().unwrap().mode() & 0o7777, 0o750);
    // What lies within is the guest's, but for bits that lend rights.
    vfs.chmod_at(ROOT_FD, b"sub", Last::Follow, 0o1700).unwrap();
    assert_eq!(vfs.chmod_at(ROOT_FD, b"sub", Last::Follow, 0o2700), Err(Errno::PERM));
    assert_eq!(folder.path().join("sub").metadata().unwrap().mode() & 0o7777, 0o1700);
}

/// When a file was read last is no secret of the guest's neighbours, nor a message to them.
#[test]
fn reading_what_is_read_only_leaves_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let (file, sub) = (folder.path().join("file"), folder.path().join("sub"));
    fs::write(&file, "text").unwrap();
    fs::create_dir(&sub).unwrap();
    fs::write(sub.join("name"), "").unwrap();
    // Before the last change, so that a file system that keeps the time at all would set it.
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    for path in [&file, &sub] {
        let times = fs::FileTimes::new().set_accessed(old);
        fs::File::open(path).unwrap().set_times(times).unwrap();
    }
    let before = |path: &Path| path.metadata().unwrap().atime() == 1000;
    assert!(before(&file) && before(&sub));
    let mut vfs = vfs(folder.path(), Access::ReadOnly);
    let fd = vfs.open(ROOT_FD, b"file", OpenHow::READ).unwrap();
    let mut buffer = [0; 4];
    assert_eq!(vfs.read(fd, &mut [IoSliceMut::new(&mut buffer)], Offset::Current), Ok(4));
    let fd = vfs.open(ROOT_FD, b"sub", OpenHow { directory: true, ..OpenHow::READ }).unwrap();
    assert_eq!(vfs.entries(fd, false).unwrap().len(), 3);
    assert!(before(&file) && before(&sub));
}

/// Reads from standard input, which stays open.
const WAITING: &str = r#"(func (export "_start")
  (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 1))
  (call $exit (call $fd_read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16))))"#;

fn is_alive(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[track_caller]
fn wait_until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes that this one has started.
fn children(process: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[test]
fn the_loaders_processes_end_with_it_and_it_with_its_parent_if_asked() {
    let dest = Dest::new();
    let program = dest.guest("waiting", &module("", WAITING));
    let loader = dest.path().join("bin/run");
    let loader = loader.to_str().unwrap();
    for (option, dies) in [("", false), ("--die-with-parent", true)] {
        let script = format!("{loader} {option} {program} <&9 & exec sleep 1000");
        let (reading, writing) = std::io::pipe().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 9<&0; {script}")]).stdin(reading).stdout(Stdio::null());
        let mut shell = shell.spawn().unwrap();
        let parent = i32::try_from(shell.id()).unwrap();
        wait_until(|| children(parent).iter().any(|&loader| !children(loader).is_empty()));
        let loader = children(parent)[0];
        let compiler = children(loader);
        // Until the guest waits, the loader is not past its beginning.
        wait_until(|| fs::read_to_string(format!("/proc/{loader}/status")).unwrap().contains("Seccomp:\t2"));
        shell.kill().unwrap();
        shell.wait().unwrap();
        if dies {
            wait_until(|| !is_alive(loader));
        } else {
            std::thread::sleep(Duration::from_millis(200));
            assert!(is_alive(loader), "it is nobody's but its own");
            let loader = rustix::process::Pid::from_raw(loader).unwrap();
            rustix::process::kill_process(loader, rustix::process::Signal::KILL).unwrap();
        }
        wait_until(|| compiler.iter().all(|&process| !is_alive(process)));
        drop(writing);
    }
}
