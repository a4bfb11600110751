//! What a guest sees and may do: the same with the stand-in and, if there is an SDK, with a program
//! of Native Client on `sel_ldr` itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use crate::common::{Dest, GUEST, refused, users};

#[test]
fn words_environment_streams_and_status() {
    let dest = Dest::for_guests();
    for user in users() {
        let deeds =
            ["guest:cwd", "guest:variable,A", "guest:variable,B", "guest:variable,PATH", "guest:error", "guest:read,0"];
        let mut command =
            dest.command_as(user, ["-E", "A=x y", "-E", "B=", GUEST].into_iter().chain(deeds).chain(["guest:exit,7"]));
        command.0.env("PATH", "/bin").stdin(Stdio::from(a_file(&dest, "typed")));
        let ended = command.ended();
        let expected = ["cwd /", "variable A: x y", "variable B: ", "variable PATH: none", "error=0", "read 0: typed"];
        assert_eq!((ended.status, ended.lines(), ended.err.as_str()), (7, expected.to_vec(), "an error\n"), "{user:?}");
    }
    for status in [0, 1, 134, 245, 250, 255] {
        assert_eq!(dest.run([GUEST, &format!("guest:exit,{status}")]).status, status);
    }
}

#[test]
fn crashes_are_not_statuses() {
    let dest = Dest::for_guests();
    for user in users() {
        for deed in ["guest:fault", "guest:abort"] {
            let ended = dest.run_as(user, [GUEST, "guest:error", deed]);
            ended.assert_error(134, "was ended: it did what no program may");
            assert!(ended.err.starts_with("an error\nrun: "), "{ended:?}");
        }
    }
}

#[test]
fn mounts_are_as_strong_as_their_options() {
    let dest = Dest::for_guests();
    let (read, write) = (dest.job("read"), dest.job("write"));
    fs::set_permissions(dest.root().join("test"), fs::Permissions::from_mode(0o777)).unwrap();
    let mounts = [
        format!("{}:/:ro", dest.root().display()),
        format!("{}:/a/read:ro", read.display()),
        format!("{}:/job:rw", write.display()),
    ];
    for user in users() {
        let options = mounts.iter().flat_map(|mount| ["-m", mount]);
        let deeds = [
            GUEST,
            "guest:list,/",
            "guest:list,/a",
            "guest:cat,/a/read/file",
            "guest:write,/a/read/file",
            "guest:append,/a/read/file",
            "guest:unlink,/a/read/file",
            "guest:mkdir,/a/new",
            "guest:write,/new",
            "guest:write,/test/new",
            "guest:chmod,/test/guest.nexe",
            "guest:touch,/test/guest.nexe",
            "guest:cat,/job/file",
            "guest:write,/job/new",
            "guest:append,/job/new",
            "guest:mkdir,/job/directory",
            "guest:chdir,/job",
            "guest:cwd",
            "guest:rename,new",
            "guest:list,.",
            "guest:rmdir,directory",
        ];
        let ended = dest.run_as(user, options.chain(deeds));
        let read_only = libc::EROFS;
        let expected = [
            "list /: a job slib test".to_owned(),
            "list /a: read".to_owned(),
            "cat /a/read/file: host".to_owned(),
            format!("write /a/read/file={read_only}"),
            format!("append /a/read/file={read_only}"),
            format!("unlink /a/read/file={read_only}"),
            format!("mkdir /a/new={read_only}"),
            format!("write /new={read_only}"),
            format!("write /test/new={read_only}"),
            format!("chmod /test/guest.nexe={read_only}"),
            format!("touch /test/guest.nexe={read_only}"),
            "cat /job/file: host".to_owned(),
            "write /job/new=0".to_owned(),
            "append /job/new=0".to_owned(),
            "mkdir /job/directory=0".to_owned(),
            "chdir /job=0".to_owned(),
            "cwd /job".to_owned(),
            "rename new=0".to_owned(),
            "list .: directory file renamed".to_owned(),
            "rmdir directory=0".to_owned(),
        ];
        assert_eq!(ended.lines(), expected, "{user:?}: {ended:?}");
        assert_eq!(fs::read(write.join("renamed")).unwrap(), b"guestguest");
        assert_eq!(fs::read(read.join("file")).unwrap(), b"host");
        fs::remove_file(write.join("renamed")).unwrap();
    }
}

#[test]
fn names_at_the_top_come_in_order() {
    let dest = Dest::for_guests();
    for name in ["z", "b", "python", "a"] {
        fs::create_dir(dest.root().join(name)).unwrap();
    }
    fs::write(dest.root().join("file"), "").unwrap();
    let job = dest.job("job");
    assert_eq!(dest.run([GUEST, "guest:names,/"]).lines(), ["names /: a b file python slib test z"]);
    let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/job:rw", job.display())];
    let options = mounts.iter().flat_map(|mount| ["-m", mount]);
    let ended = dest.run(options.chain([GUEST, "guest:names,/", "guest:cat,/file", "guest:append,/file"]));
    assert_eq!(
        ended.lines(),
        ["names /: a b file job python slib test z", "cat /file: ", "append /file=30"],
        "{ended:?}"
    );
}

#[test]
fn nothing_leads_out() {
    let dest = Dest::for_guests();
    let job = dest.job("job");
    fs::write(dest.path().join("secret"), "secret").unwrap();
    symlink(dest.path().join("secret"), job.join("absolute")).unwrap();
    symlink("../secret", job.join("relative")).unwrap();
    symlink("/proc/self/root/etc/passwd", job.join("process")).unwrap();
    symlink("..", job.join("up")).unwrap();
    let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/job:rw", job.display())];
    for user in users() {
        let deeds = [
            "guest:cat,/job/absolute",
            "guest:cat,/job/relative",
            "guest:cat,/job/process",
            "guest:cat,/job/up/secret",
            "guest:cat,/job/../secret",
            "guest:cat,/job/../../secret",
            "guest:cat,../../../../../../../../etc/passwd",
            "guest:cat,/etc/passwd",
            "guest:cat,/engine/sel_ldr_x86_64",
            "guest:list,/proc",
            "guest:cat,/proc/self/environ",
            "guest:list,/dev",
            "guest:mknod,/job/disk",
            "guest:write,/job/absolute",
            "guest:append,/job/relative",
            "guest:chdir,/job/up/up",
            "guest:map,/job/file",
        ];
        let options = mounts.iter().flat_map(|mount| ["-m", mount]);
        let ended = dest.run_as(user, options.chain([GUEST]).chain(deeds));
        assert_eq!(ended.lines().len(), deeds.len(), "{user:?}: {ended:?}");
        assert!(refused(&ended.lines()), "{user:?}: {ended:?}");
        // Nor does a link that a guest makes, if it may make one.
        let options = mounts.iter().flat_map(|mount| ["-m", mount]);
        let secret = format!("guest:symlink,{}", dest.path().join("secret").display());
        let ended = dest.run_as(user, options.chain([GUEST, "guest:chdir,/job", &secret, "guest:cat,made"]));
        assert!(refused(&ended.lines()[2..]), "{user:?}: {ended:?}");
        let _ = fs::remove_file(job.join("made"));
    }
    assert_eq!(fs::read(dest.path().join("secret")).unwrap(), b"secret");
}

/// `sel_ldr` looks at the last name of a path alone.
#[test]
fn a_link_that_the_host_left_leads_a_guest_nowhere() {
    let dest = Dest::for_guests();
    let job = dest.job("job");
    fs::create_dir(job.join("directory")).unwrap();
    fs::write(job.join("directory/file"), "host").unwrap();
    symlink("/", job.join("root")).unwrap();
    symlink("/guest", job.join("guest")).unwrap();
    symlink("../..", job.join("up")).unwrap();
    symlink("directory", job.join("inside")).unwrap();
    symlink("/dev/shm", job.join("memory")).unwrap();
    symlink("/", dest.root().join("top")).unwrap();
    let deeds = [
        "guest:list,/job/root/engine",
        "guest:list,/job/root/.",
        "guest:write,/job/root/dev/shm/filled",
        "guest:mkdir,/job/root/dev/shm/made",
        "guest:write,/job/memory/filled",
        "guest:cat,/job/root/engine/sel_ldr_x86_64",
        "guest:cat,/job/root/dev/urandom",
        "guest:cat,/job/guest/job/file",
        "guest:list,/job/up/dev",
        "guest:chdir,/job/root/dev/shm",
        "guest:rename,/job/root/dev/shm/filled",
        "guest:cat,/job/inside/file",
        "guest:list,/top/dev",
        "guest:write,/top/dev/shm/filled",
    ];
    for access in ["ro", "rw"] {
        let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/job:{access}", job.display())];
        for user in users() {
            let options = mounts.iter().flat_map(|mount| ["-m", mount]);
            let ended = dest.run_as(user, options.chain([GUEST]).chain(deeds));
            assert_eq!(ended.lines().len(), deeds.len(), "{user:?}: {ended:?}");
            assert!(refused(&ended.lines()), "{access} {user:?}: {ended:?}");
            let options = mounts.iter().flat_map(|mount| ["-m", mount]);
            let ended = dest.run_as(user, options.chain([GUEST, "guest:chdir,/job", "guest:cat,directory/file"]));
            assert_eq!(ended.lines(), ["chdir /job=0", "cat directory/file: host"], "{ended:?}");
        }
    }
}

#[test]
fn threads_time_and_memory() {
    let dest = Dest::for_guests();
    for user in users() {
        let deeds = ["guest:threads", "guest:sleep", "guest:time"];
        let ended = dest.run_as(user, [GUEST].into_iter().chain(deeds));
        assert_eq!(ended.lines(), ["threads: 380", "sleep=0", "time is told"], "{user:?}: {ended:?}");
        let ended = dest.run_as(user, ["--max-memory", "64", GUEST, "guest:hog"]);
        assert_eq!(ended.lines(), ["hog bounded"], "{user:?}: {ended:?}");
    }
}

fn a_file(dest: &Dest, text: &str) -> fs::File {
    let path = dest.path().join("typed");
    fs::write(&path, text).unwrap();
    fs::File::open(path).unwrap()
}
