//! What a guest sees of the machine's files, and what it can do to them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::common::{Dest, Ended, Run, users};

#[test]
fn by_default_the_installed_root_is_mounted_read_only() {
    let dest = Dest::new();
    fs::write(dest.root().join("test/file"), "host").unwrap();
    fs::set_permissions(dest.root().join("test/file"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(dest.root().join("test"), fs::Permissions::from_mode(0o777)).unwrap();
    let program = dest.program("hello", false);
    for user in users() {
        let ended = dest.run_as(
            user,
            [
                program.as_str(),
                "do:list,/guest",
                "do:list,/",
                "do:cat,test/file",
                "do:write,/guest/test/file",
                "do:write,/guest/test/new",
                "do:mkdir,/guest/test/new",
                "do:unlink,/guest/test/file",
                "do:chmod,/guest/test/file",
                "do:touch,/guest/test/file",
                "do:write,/guest/new",
                "do:write,/new",
                "do:write,/dev/new",
            ],
        );
        let refused = libc::EROFS;
        let expected = [
            "list /guest: slib test".to_owned(),
            "list /: dev engine guest".to_owned(),
            "cat test/file: host".to_owned(),
            format!("write /guest/test/file={refused}"),
            format!("write /guest/test/new={refused}"),
            format!("mkdir /guest/test/new={refused}"),
            format!("unlink /guest/test/file={refused}"),
            format!("chmod /guest/test/file={refused}"),
            format!("touch /guest/test/file={refused}"),
            format!("write /guest/new={refused}"),
            format!("write /new={refused}"),
            format!("write /dev/new={refused}"),
        ];
        assert_eq!(ended.lines(), expected, "{user:?}: {ended:?}");
    }
    assert_eq!(fs::read(dest.root().join("test/file")).unwrap(), b"host");
}

#[test]
fn several_mounts_are_as_strong_as_their_options() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let (read, write) = (dest.job("read"), dest.job("write"));
    for user in users() {
        let (root, read, write) = (dest.root(), read.display(), write.display());
        let mounts = [format!("{}:/:ro", root.display()), format!("{read}:/a/b/read:ro"), format!("{write}:/job:rw")];
        let options = mounts.iter().flat_map(|mount| ["-m", mount]);
        let deeds = [
            program.as_str(),
            "do:list,/guest",
            "do:list,/guest/a",
            "do:cat,/guest/a/b/read/file",
            "do:write,/guest/a/b/read/file",
            "do:write,/guest/a/b/new",
            "do:write,/guest/test/new",
            "do:cat,/guest/job/file",
            "do:write,/guest/job/new",
        ];
        let ended = dest.run_as(user, options.chain(deeds));
        let refused = libc::EROFS;
        let expected = [
            "list /guest: a job slib test".to_owned(),
            "list /guest/a: b".to_owned(),
            "cat /guest/a/b/read/file: host".to_owned(),
            format!("write /guest/a/b/read/file={refused}"),
            format!("write /guest/a/b/new={refused}"),
            format!("write /guest/test/new={refused}"),
            "cat /guest/job/file: host".to_owned(),
            "write /guest/job/new=0".to_owned(),
        ];
        assert_eq!(ended.lines(), expected, "{user:?}: {ended:?}");
        assert_eq!(fs::read(dest.path().join("write/new")).unwrap(), b"guest");
        fs::remove_file(dest.path().join("write/new")).unwrap();
    }
    // The host's directories are as they were.
    assert!(!dest.root().join("job").exists() && !dest.root().join("a").exists());
}

#[test]
fn a_mount_point_that_is_there_is_used_and_hides_what_it_holds() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let (outer, inner) = (dest.job("outer"), dest.job("inner"));
    fs::create_dir_all(outer.join("in/hidden")).unwrap();
    let root = format!("{}:/:ro", dest.root().display());
    let outer_option = format!("{}:/o:rw", outer.display());
    let inner_option = format!("{}:/o/in:ro", inner.display());
    let options = ["-m", &inner_option, "-m", &outer_option, "-m", &root, &program];
    let deeds = ["do:list,/guest/o/in", "do:write,/guest/o/in/x", "do:write,/guest/o/x"];
    let ended = dest.run(options.into_iter().chain(deeds));
    assert_eq!(ended.lines(), ["list /guest/o/in: file", "write /guest/o/in/x=30", "write /guest/o/x=0"], "{ended:?}");
    // In what may be written, one that lacks is made; a link is not followed to wherever it leads.
    let deep = format!("{}:/o/new/deep:ro", inner.display());
    dest.run(["-m", &root, "-m", &outer_option, "-m", &deep, &program, "do:list,/guest/o/new/deep"])
        .assert(0, "start /guest/test/hello.nexe\nlist /guest/o/new/deep: file\n");
    symlink("/etc", outer.join("link")).unwrap();
    let linked = format!("{}:/o/link:ro", inner.display());
    dest.run(["-m", &root, "-m", &outer_option, "-m", &linked, &program])
        .assert_error(2, "there is no place for a mount at `/o/link`");
    // In what may not, a mount stands before the link.
    let outer_option = format!("{}:/o:ro", outer.display());
    dest.run(["-m", &root, "-m", &outer_option, "-m", &linked, &program, "do:list,/guest/o/link", "do:list,/guest/o"])
        .assert(0, "start /guest/test/hello.nexe\nlist /guest/o/link: file\nlist /guest/o: file in link new x\n");
}

#[test]
fn nothing_leads_to_the_hosts_files() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let job = dest.job("job");
    symlink("/etc/passwd", job.join("absolute")).unwrap();
    symlink("../../../../../../../../../../../../etc/passwd", job.join("relative")).unwrap();
    symlink("/proc/1/root/etc/passwd", job.join("process")).unwrap();
    symlink(dest.path().join("bin"), job.join("bin")).unwrap();
    let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/job:rw", job.display())];
    for user in users() {
        let options = mounts.iter().flat_map(|mount| ["-m", mount]);
        let deeds = [
            "do:cat,/guest/job/absolute",
            "do:cat,/guest/job/relative",
            "do:cat,/guest/job/process",
            "do:list,/guest/job/bin",
            "do:cat,/guest/job/../../../../../../etc/passwd",
            "do:cat,/../etc/passwd",
            "do:cat,/proc/self/status",
            "do:cat,/proc/1/environ",
            "do:list,/proc",
            "do:list,/sys",
            "do:list,/tmp",
            "do:list,/guest/..",
        ];
        let ended = dest.run_as(user, options.chain([program.as_str()]).chain(deeds));
        let lines = ended.lines();
        assert_eq!(lines.len(), deeds.len(), "{ended:?}");
        // The kernel follows no link, wherever it leads.
        let link = format!("={}", libc::ELOOP);
        assert!(lines[..4].iter().all(|line| line.ends_with(&link)), "{user:?}: {ended:?}");
        assert!(lines[4..11].iter().all(|line| line.ends_with("=2")), "{user:?}: {ended:?}");
        assert_eq!(lines[11], "list /guest/..: dev engine guest", "{ended:?}");
    }
    // Nor does a link that a guest makes.
    let options = mounts.iter().flat_map(|mount| ["-m", mount.as_str()]);
    let ended = dest.run(options.chain([program.as_str(), "do:link,/etc/shadow", "do:cat,link"]));
    assert_eq!(ended.lines(), ["link /etc/shadow=30", "cat link=2"], "{ended:?}");
}

#[test]
fn what_the_host_trusts_is_not_mounted_for_writing() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for reached in ["", "bin", "lib", "lib/nacl", "packages"] {
        let mount = format!("{}:/job:rw", dest.path().join(reached).display());
        dest.run(["-m", &mount, &program]).assert_error(2, "can't be mounted for writing");
    }
    // For reading it may.
    let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/job:ro", dest.path().display())];
    let options = mounts.iter().flat_map(|mount| ["-m", mount.as_str()]);
    let deeds = [program.as_str(), "do:write,/guest/job/bin/run", "do:write,/guest/job/root/test/x"];
    let ended = dest.run(options.chain(deeds));
    let refused = ["write /guest/job/bin/run=30", "write /guest/job/root/test/x=30"];
    assert_eq!(ended.lines(), refused, "{ended:?}");
}

#[test]
fn descriptors_are_handed_in_and_no_others() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let out = dest.path().join("out");
    let script = format!(
        "exec 5>{} 7</dev/null; exec {}/bin/run -w 5:9 -r 7:4 {program} do:put,7 do:put,8",
        out.display(),
        dest.path().display()
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]);
    let ended = Run(command).ended();
    assert_eq!(ended.status, 0, "{ended:?}");
    let number = |option: &str| -> String {
        let line = ended.out.lines().find(|line| line.starts_with(&format!("option {option}"))).unwrap();
        line.rsplit(':').next().unwrap().to_owned()
    };
    assert!(ended.out.contains("option w 9:") && ended.out.contains("option r 4:"), "{ended:?}");
    // Under the number that the engine was told it is open, and what was not handed in is not.
    let script = script.replace("do:put,7 do:put,8", &format!("do:put,{} do:put,5 do:put,1", number("w")));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]);
    let ended = Run(command).ended();
    let written = fs::read_to_string(&out).unwrap();
    assert_eq!(written, "put\n", "{ended:?}");
    assert!(ended.out.contains("put 5=9\n"), "{ended:?}");
    let script = format!("exec 5</; exec {}/bin/run -r 5:9 {program}", dest.path().display());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]);
    Run(command).ended().assert_error(2, "is a directory");
}

#[test]
fn long_messages_pass_in_both_directions() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let bytes: Vec<u8> = (0..50_000_000u32).map(|n| (n ^ (n >> 7)) as u8).collect();
    fs::write(dest.path().join("in"), &bytes).unwrap();
    let limited = users().into_iter().map(|user| (user, "--max-output 1G"));
    for (user, options) in limited.chain([(None, ""), (None, "--profile strict --max-output 1G")]) {
        // A pipe in, and one out.
        let script = format!(
            "cat in | {{ exec 3<&0; {{ {}/bin/run {options} -r 3:3 -w 4:4 {program} do:relay >told </dev/null; }} 4>&1; }} | cat",
            dest.path().display()
        );
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).current_dir(dest.path());
        if let Some(user) = user {
            use std::os::unix::process::CommandExt as _;
            fs::set_permissions(dest.path(), fs::Permissions::from_mode(0o777)).unwrap();
            let _ = fs::remove_file(dest.path().join("told"));
            command.uid(user).gid(user);
        }
        let output = command.output().unwrap();
        let told = fs::read_to_string(dest.path().join("told")).unwrap();
        assert!(output.stdout == bytes, "{options}: {} bytes, {told}", output.stdout.len());
        assert!(told.ends_with("relay 50000000\n"), "{options}: {told}");
        fs::remove_file(dest.path().join("told")).unwrap();
    }
}

#[test]
fn nothing_of_the_launcher_is_open_in_the_engine() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let open = |line: &str| {
        let script = format!("exec 5</dev/null 6>/dev/null 9>{}/status; exec {}", dest.path().display(), line);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]);
        let ended = Run(command).ended();
        assert_eq!(ended.status, 0, "{ended:?}");
        ended.lines()[0].split(' ').count() - 1
    };
    let run = format!("{}/bin/run", dest.path().display());
    // The standard streams, and the guest's standard error; then what is handed in.
    assert_eq!(open(&format!("{run} {program} do:open")), 4);
    assert_eq!(open(&format!("{run} --profile strict --status-fd 9 {program} do:open")), 4);
    assert_eq!(open(&format!("{run} -r 5:5 -w 6:6 {program} do:open")), 6);
}

#[test]
fn reading_leaves_no_time_of_access_below_a_read_only_mount() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let job = dest.job("job");
    let file = fs::File::options().write(true).open(job.join("file")).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
    file.set_times(fs::FileTimes::new().set_accessed(old)).unwrap();
    let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/job:ro", job.display())];
    for user in users() {
        let options = mounts.iter().flat_map(|mount| ["-m", mount]);
        let ended =
            dest.run_as(user, options.chain([&program as &str, "do:cat,/guest/job/file", "do:list,/guest/job"]));
        assert_eq!(ended.lines(), ["cat /guest/job/file: host", "list /guest/job: file"], "{ended:?}");
        assert_eq!(fs::metadata(job.join("file")).unwrap().accessed().unwrap(), old);
    }
}

/// Runs the loader where the host has mounted a procfs, a disk and single files below `job`, and
/// gives what the stand-in saw.
fn where_the_host_mounts(dest: &Dest, namespaces: &[&str], options: &[&str], deeds: &[&str]) -> Ended {
    let job = dest.path().join("job");
    let script = r#"
        set -e; cd "$JOB"; mkdir -p proc disk; touch status
        mount --rbind /proc proc; mount --bind /proc/version status
        mount -t tmpfs none disk; echo disk >disk/file; mkdir disk/proc; mount --rbind /proc disk/proc
        exec "$@"
    "#;
    let mut command = std::process::Command::new("unshare");
    command.args(namespaces).args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(dest.path().join("bin/run")).args(options).args(deeds).env("JOB", job);
    Run(command).ended()
}

#[test]
fn what_the_host_mounted_below_a_mount_is_covered() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    dest.job("job");
    let deeds = [
        &program as &str,
        "do:list,/guest/job/proc",
        "do:cat,/guest/job/proc/self/status",
        "do:cat,/guest/job/status",
        "do:list,/guest/job/disk",
        "do:cat,/guest/job/disk/file",
        "do:list,/guest/job/disk/proc",
        "do:cat,/guest/job/file",
    ];
    let root = format!("{}:/:ro", dest.root().display());
    let job = dest.path().join("job");
    for access in ["ro", "rw"] {
        // Beside a mount point that lacks, a read-only directory is shown entry by entry.
        for extra in [None, Some(format!("{}:/job/more:ro", dest.root().display()))] {
            if access == "rw" && extra.is_some() {
                continue;
            }
            let mount = format!("{}:/job:{access}", job.display());
            let mut options = vec!["-m", &root, "-m", &mount];
            if let Some(extra) = &extra {
                options.extend(["-m", extra]);
            }
            for namespaces in [&["--user", "--map-root-user"][..], &[]] {
                if namespaces.is_empty() && !rustix::process::geteuid().is_root() {
                    continue;
                }
                let refused = libc::EACCES;
                let ended = where_the_host_mounts(&dest, namespaces, &options, &deeds);
                let expected = [
                    format!("list /guest/job/proc={refused}"),
                    format!("cat /guest/job/proc/self/status={refused}"),
                    format!("cat /guest/job/status={refused}"),
                    format!("list /guest/job/disk={refused}"),
                    format!("cat /guest/job/disk/file={refused}"),
                    format!("list /guest/job/disk/proc={refused}"),
                    "cat /guest/job/file: host".to_owned(),
                ];
                assert_eq!(ended.lines(), expected, "{access} {extra:?} {namespaces:?}: {ended:?}");
                let crossing = [&["--cross-mounts"], &options[..]].concat();
                let ended = where_the_host_mounts(&dest, namespaces, &crossing, &deeds);
                let mut expected = expected;
                expected[3] = "list /guest/job/disk: file proc".to_owned();
                expected[4] = "cat /guest/job/disk/file: disk\n".to_owned();
                let lines: Vec<_> = expected.iter().flat_map(|line| line.lines()).collect();
                assert_eq!(ended.lines().into_iter().filter(|l| !l.is_empty()).collect::<Vec<_>>(), lines, "{ended:?}");
            }
        }
    }
    // A procfs is no mount at all.
    for access in ["ro", "rw"] {
        let mount = format!("/proc:/p:{access}");
        dest.run(["-m", &root, "-m", &mount, &program]).assert_error(2, "the kernel's `proc`");
    }
}
