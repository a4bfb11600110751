//! The limits of a run: how a guest is told, and how a run ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::{Dest, Ended, users};

/// A run with `--status-fd`, and the line that it wrote.
fn reported(dest: &Dest, user: Option<u32>, words: &[&str]) -> (Ended, String) {
    let path = dest.path().join("status");
    let script = format!("exec 9>{} \"$@\"", path.display());
    let mut command = dest.command_as(user, [""; 0]);
    command.0 = {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(dest.path().join("bin/run")).args(["--status-fd", "9"]).args(words);
        shell.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        if let Some(user) = user {
            use std::os::unix::process::CommandExt as _;
            shell.uid(user).gid(user);
        }
        shell
    };
    let _ = fs::remove_file(&path);
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let ended = command.ended();
    (ended, fs::read_to_string(path).unwrap())
}

/// A number in the line.
fn number(line: &str, field: &str) -> f64 {
    let (_, rest) = line.split_once(&format!("\"{field}\":")).unwrap_or_else(|| panic!("{field}: {line}"));
    rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
}

#[test]
fn a_run_that_a_limit_ends_says_which() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        for (options, deed, status, word) in [
            (["--time", "0.3"], "do:wait", 124, "time"),
            (["--time", "0.3"], "do:spin,1", 124, "time"),
            (["--cpu", "0.2"], "do:spin,1", 152, "cpu"),
            (["--cpu", "0.2"], "do:spin,4", 152, "cpu"),
            (["--max-output", "5000"], "do:print,5001", 153, "output"),
            (["--max-output", "5000"], "do:print,100000", 153, "output"),
            // The engine aborts in one of two ways.
            (["--max-memory", "300"], "do:break", 137, "memory"),
            (["--max-memory", "300"], "do:break,2", 137, "memory"),
        ] {
            let (ended, line) = reported(&dest, user, &[options[0], options[1], &program, deed]);
            assert_eq!(ended.status, status, "{user:?} {deed}: {ended:?} {line}");
            assert!(ended.err.contains(&format!("`{}`", options[0])), "{ended:?}");
            let expected = format!("\"how\":\"limit\",\"status\":{status},\"limit\":\"{word}\"");
            assert!(line.contains(&expected), "{user:?} {deed}: {line}");
            assert_eq!(line.lines().count(), 1, "{line}");
        }
    }
}

#[test]
fn clocks_are_looked_at_often_enough() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let (_, line) = reported(&dest, None, &["--cpu", "0.2", &program, "do:spin,4"]);
    // What is no measure of this machine's speed: the processor's time that was used.
    assert!((0.2..0.4).contains(&number(&line, "cpu")), "{line}");
    let (_, line) = reported(&dest, None, &["--time", "0.2", &program, "do:wait"]);
    assert!(number(&line, "wall") >= 0.2 && number(&line, "cpu") < 0.2, "{line}");
}

#[test]
fn exactly_so_much_leaves_as_may() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    // The stand-in's first line is among it.
    let first = "start /guest/test/hello.nexe\n".len();
    for (deed, limit) in [("do:print,70001", 70_000), ("do:print,999999", 100_000), ("do:print,70000", 70_000)] {
        let (ended, line) = reported(&dest, None, &["--max-output", &limit.to_string(), &program, deed]);
        let said = ended.err.split("run: ").next().unwrap_or_default();
        assert_eq!((ended.status, ended.out.len() + said.len()), (153, limit), "{deed}: {line}");
        assert_eq!(number(&line, "output") as usize, limit, "{line}");
    }
    let (ended, line) = reported(&dest, None, &["--max-output", &(first + 999).to_string(), &program, "do:print,999"]);
    assert_eq!((ended.status, ended.out.len()), (0, first + 999), "{line}");
    // A descriptor for both ways can't be counted.
    dest.run(["--max-output", "5", "-h", "0:5", &program]).assert_error(2, "`-h 0:5`");
}

#[test]
fn a_stream_that_is_a_file_can_only_grow() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let log = dest.path().join("log");
    for append in [true, false] {
        fs::write(&log, "before\n").unwrap();
        let file = fs::File::options().append(append).write(true).open(&log).unwrap();
        let deeds = ["do:cut,1", "do:cut,2", "do:seek,1", "guest:error"];
        let mut command = dest.command([&program as &str].into_iter().chain(deeds));
        let ended = {
            let mut child = command.0.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
            child.wait().unwrap()
        };
        let text = fs::read_to_string(&log).unwrap();
        let before = if append { "before\n" } else { "" };
        let told =
            format!("cut 1={inval}\ncut 2={inval}\nseek 1={spipe}\n", inval = libc::EINVAL, spipe = libc::ESPIPE);
        let lines = format!("{before}start /guest/test/hello.nexe\n{told}");
        assert!(ended.success() && text.starts_with(&lines), "{text}");
        assert!(text.contains("an error\n") && text.ends_with("error=0\n"), "{text}");
    }
}

#[test]
fn a_file_that_is_handed_in_keeps_its_length_and_flags() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for (option, open) in [("-w", ">"), ("-h", "<>"), ("-h", ">>")] {
        fs::write(dest.path().join("file"), "").unwrap();
        let run = |deeds: &str| {
            let file = dest.path().join("file");
            let script = format!(
                "exec 5{open}{}; exec {}/bin/run {option} 5:9 {program} {deeds}",
                file.display(),
                dest.path().display()
            );
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &script]);
            let ended = crate::common::Run(command).ended();
            assert_eq!(ended.status, 0, "{ended:?}");
            ended
        };
        let ended = run("");
        let line = ended.out.lines().find(|line| line.starts_with("option")).unwrap();
        let number = line.rsplit(':').next().unwrap();
        let deeds = format!("do:put,{number} do:cut,{number} do:flags,{number} do:put,{number}");
        let refused = libc::EPERM;
        let told = [
            format!("put {number}=0"),
            format!("cut {number}={refused}"),
            format!("flags {number}={refused}"),
            format!("put {number}=0"),
        ];
        assert_eq!(run(&deeds).lines(), told, "{option} {open}");
        assert_eq!(fs::read_to_string(dest.path().join("file")).unwrap(), "put\nput\n");
    }
}

#[test]
fn what_was_written_leaves_though_a_signal_ends_the_run() {
    let dest = Dest::for_guests();
    let out = dest.path().join("out");
    let mut command = dest.command([crate::common::GUEST, "do:print,99999", "guest:wait"]);
    let mut run = command.0.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
    // Nothing else tells that it has come so far.
    while !fs::read(&out).unwrap().ends_with(b"waiting\n") {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::TERM).unwrap();
    assert!(!run.wait().unwrap().success());
    assert!(fs::read(&out).unwrap().len() > 99_999);
}

#[test]
fn threads_are_counted_whoever_makes_them() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        let (ended, line) = reported(&dest, user, &["--threads", "5", &program, "do:threads,50"]);
        // The guest's first is one of them.
        assert_eq!(ended.lines(), [format!("threads 4={}", libc::EAGAIN)], "{user:?}: {ended:?}");
        assert!(line.contains("\"reached\":[\"threads\"]"), "{line}");
        let ended = dest.run_as(user, ["--threads", "1", &program, "do:threads,50"]);
        assert_eq!(ended.lines(), [format!("threads 0={}", libc::EAGAIN)], "{user:?}: {ended:?}");
        let ended = dest.run_as(user, [&program as &str, "do:threads,20000"]);
        assert_eq!(ended.lines(), [format!("threads 255={}", libc::EAGAIN)], "{user:?}: {ended:?}");
    }
}

#[test]
fn threads_that_are_made_at_once_are_no_more_and_what_ends_makes_room() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        for threads in [20, 40] {
            let ended = dest.run_as(user, ["--threads", &threads.to_string(), &program, "do:storm"]);
            let lines = ended.lines();
            let made: u32 = lines[0].strip_prefix("storm ").unwrap().parse().unwrap();
            // Its first thread, and the eight that made the others and have ended.
            assert!(made < threads && made >= threads - 9, "{user:?}: {ended:?}");
            // There is room if the eight took some.
            let room = if made < threads - 1 { 0 } else { libc::EAGAIN };
            assert_eq!(lines[1], format!("again={room}"), "{user:?}: {ended:?}");
        }
    }
}

/// Bytes of memory that a process has of its own, and its part of what it shares.
fn memory_of(process: &Path) -> u64 {
    let text = fs::read_to_string(process.join("smaps_rollup")).unwrap();
    let field = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    field("Pss:") << 10
}

fn children_of(process: &Path) -> Vec<PathBuf> {
    let pid = process.file_name().unwrap().to_str().unwrap();
    let text = fs::read_to_string(process.join("task").join(pid).join("children")).unwrap();
    text.split_whitespace().map(|child| Path::new("/proc").join(child)).collect()
}

#[test]
fn all_memory_of_a_run_stays_within_what_is_stated_and_64_mib() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        for mib in [16u64, 64, 256] {
            let words = ["--max-memory", &mib.to_string(), &program, "do:hold,1"];
            let mut command = dest.command_as(user, words);
            let mut run = command.0.stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
            let held = lines.find(|line| line.starts_with("held")).unwrap();
            assert!(lines.any(|line| line == "waiting"));
            let launcher = Path::new("/proc").join(run.id().to_string());
            let first = children_of(&launcher).remove(0);
            let engine = children_of(&first).remove(0);
            // Only root may look at the two others, which hold nothing of the guest's.
            let all = if rustix::process::geteuid().is_root() { vec![launcher, first, engine] } else { vec![engine] };
            let all = std::panic::catch_unwind(|| all.iter().map(|process| memory_of(process)).sum::<u64>());
            run.kill().unwrap();
            run.wait().unwrap();
            let all = all.unwrap();
            assert_eq!(held, "held some");
            assert!(all < (mib + 64) << 20, "{user:?}: {} MiB of {mib}", all >> 20);
            assert!(all > (mib / 2) << 20, "{user:?}: {} MiB of {mib}", all >> 20);
        }
    }
}

#[test]
fn memory_that_is_no_longer_written_counts() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        for size in ["1", "16"] {
            let deed = format!("do:protect,{size}");
            let (ended, line) = reported(&dest, user, &["--max-memory", "64", &program, &deed]);
            assert_eq!(ended.lines(), ["protect bounded"], "{user:?}: {ended:?}");
            assert!(number(&line, "memory") < f64::from(128 << 20), "{line}");
        }
    }
}

#[test]
fn a_program_that_does_not_fit_is_not_begun() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let path = dest.root().join("test/hello.nexe");
    let mut bytes = fs::read(&path).unwrap();
    // Its one segment is to be loaded, and is said to be 1 GiB.
    bytes[64] = 1;
    bytes[64 + 40..64 + 48].copy_from_slice(&(1u64 << 30).to_le_bytes());
    fs::write(path, bytes).unwrap();
    let (ended, line) = reported(&dest, None, &["--max-memory", "64", &program]);
    ended.assert(137, "");
    assert!(line.contains("\"limit\":\"memory\""), "{line}");
    assert_eq!(dest.run([&program as &str, "do:exit,5"]).status, 5);
}

#[test]
fn descriptors_are_counted() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        for (open, more) in [("3", 0), ("10", 7), ("256", 253)] {
            let ended = dest.run_as(user, ["--max-open", open, &program, "do:numbers"]);
            assert_eq!(ended.lines(), [format!("numbers {more}={}", libc::EMFILE)], "{user:?}: {ended:?}");
        }
    }
}

#[test]
fn files_are_bounded_in_length_bytes_and_number() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        let job = dest.job(if user.is_none() { "job" } else { "other" });
        let mounts = ["-m", &format!("{}:/:ro", dest.root().display()), "-m", &format!("{}:/job:rw", job.display())];
        let run = |options: &[&str], deed: &str| {
            let words = [&mounts[..], options, &[&program, deed]].concat();
            let (ended, line) = reported(&dest, user, &words);
            (ended.lines().join("\n"), line)
        };
        let (told, _) = run(&["--max-file", "256K"], "do:fill,/guest/job/long");
        assert_eq!(told, format!("fill /guest/job/long 256={}", libc::EFBIG), "{user:?}");
        let (told, _) = run(&["--max-file", "256K"], "do:size,/guest/job/long");
        assert_eq!(told, format!("size /guest/job/long={}", libc::EFBIG), "{user:?}");
        let (told, line) = run(&["--max-write", "1M"], "do:fill,/guest/job/long");
        assert_eq!(told, format!("fill /guest/job/long 1024={}", libc::EDQUOT), "{user:?}");
        assert!(line.contains("\"reached\":[\"write\"]") && number(&line, "written") == f64::from(1 << 20), "{line}");
        // Nor beside the calls that write, nor by making it longer.
        let (told, _) = run(&["--max-write", "1M"], "do:map,/guest/job/long");
        assert_eq!(told, format!("map /guest/job/long 960={}", libc::EDQUOT), "{user:?}");
        let (told, _) = run(&["--max-write", "1000000"], "do:size,/guest/job/long");
        assert_eq!(told, format!("size /guest/job/long={}", libc::EDQUOT), "{user:?}");
        let (told, line) = run(&["--max-files", "10"], "do:make,/guest/job");
        assert_eq!(told, format!("make /guest/job 10={}", libc::EDQUOT), "{user:?}");
        assert!(line.contains("\"reached\":[\"files\"]") && number(&line, "files") == 10.0, "{line}");
        // What leaves by a stream is written to no file.
        let (_, line) = run(&["--max-write", "10"], "do:print,5001");
        assert!(line.contains("\"how\":\"exit\",\"status\":0"), "{line}");
    }
}

#[test]
fn a_folder_in_memory_has_a_size_and_is_gone_afterwards() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    fs::create_dir(dest.root().join("there")).unwrap();
    fs::write(dest.root().join("there/hidden"), "").unwrap();
    let inner = dest.job("inner");
    let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/tmp/a/b:ro", inner.display())];
    for user in users() {
        let words = [
            "-m",
            &mounts[0],
            "-m",
            &mounts[1],
            "--tmpfs",
            "/tmp:1M",
            "--tmpfs",
            "/there:64K",
            &program,
            "do:list,/guest/tmp",
            "do:cat,/guest/tmp/a/b/file",
            "do:fill,/guest/tmp/long",
            "do:fill,/guest/there/long",
            "do:list,/guest/there",
            "do:unlink,/guest/tmp/long",
            "do:make,/guest/there",
            "do:attack",
        ];
        let ended = dest.run_as(user, words);
        let full = libc::ENOSPC;
        let expected = [
            "list /guest/tmp: a".to_owned(),
            "cat /guest/tmp/a/b/file: host".to_owned(),
            // The places of mounts take a page or two in some kernels.
            format!("fill /guest/tmp/long 1024={full}"),
            format!("fill /guest/there/long 64={full}"),
            "list /guest/there: long".to_owned(),
            "unlink /guest/tmp/long=0".to_owned(),
        ];
        assert_eq!(ended.lines()[..6], expected, "{user:?}: {ended:?}");
        let made: u32 = ended.lines()[6].split([' ', '=']).nth(2).unwrap().parse().unwrap();
        assert!(made < 64 && ended.lines()[6].ends_with(&format!("={full}")), "{ended:?}");
        assert!(!ended.lines()[7..].iter().any(|line| line.ends_with("=0")), "{ended:?}");
        let ended = dest.run_as(user, words[..8].iter().copied().chain([&program as &str, "do:list,/guest/tmp"]));
        assert_eq!(ended.lines(), ["list /guest/tmp: a"], "{ended:?}");
    }
    assert!(fs::read_dir(dest.root().join("there")).unwrap().count() == 1);
    // What it may hold is taken from the memory.
    let words = ["--max-memory", "64", "--tmpfs", "/tmp:48M", &program, "do:hold,1"];
    dest.run(["--max-memory", "64", "--tmpfs", "/tmp:64M", &program]).assert_error(2, "`--tmpfs`");
    let mut command = dest.command(words);
    let mut run = command.0.stdout(Stdio::piped()).spawn().unwrap();
    assert!(BufReader::new(run.stdout.take().unwrap()).lines().any(|line| line.unwrap() == "waiting"));
    let launcher = Path::new("/proc").join(run.id().to_string());
    let engine = children_of(&children_of(&launcher).remove(0)).remove(0);
    let own = memory_of(&engine);
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(own < (16 + 64) << 20, "{}", own >> 20);
}

#[test]
fn the_strict_profile_works_and_what_can_not_be_is_refused_by_name() {
    let dest = Dest::for_guests();
    let program = dest.program("hello", false);
    let job = dest.job("job");
    let mounts = ["-m", &format!("{}:/:ro", dest.root().display()), "-m", &format!("{}:/job:rw", job.display())];
    for user in users() {
        let deeds = ["guest:write,/tmp/new", "guest:write,/job/new", "guest:threads", "do:threads,99", "do:exit,7"];
        let words = [&["--profile", "strict", "--threads", "30"][..], &mounts, &[&program], &deeds].concat();
        let (ended, line) = reported(&dest, user, &words);
        let threads = format!("threads 29={}", libc::EAGAIN);
        let expected = ["write /tmp/new=0", "write /job/new=0", "threads: 380", &threads];
        assert_eq!((ended.status, ended.lines()), (7, expected.to_vec()), "{user:?}: {ended:?}");
        assert!(line.contains("\"how\":\"exit\",\"status\":7,\"limit\":null,\"reached\":[\"threads\"]"), "{line}");
        assert!(number(&line, "files") == 2.0 && number(&line, "written") == 10.0, "{line}");
        fs::remove_file(job.join("new")).unwrap();
    }
    for option in ["--fixed-time", "--hide-inodes"] {
        dest.run([option, &program]).assert_error(2, &format!("`{option}`"));
    }
}

#[test]
fn limits_of_the_caller_hold_and_break_nothing() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let job = dest.job("job");
    let mounts = format!("-m {}:/:ro -m {}:/job:rw", dest.root().display(), job.display());
    let run = |limit: &str, deed: &str| {
        let script = format!("ulimit {limit}; exec {}/bin/run {mounts} {program} {deed}", dest.path().display());
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]);
        crate::common::Run(command).ended()
    };
    // Blocks of 512 bytes.
    let ended = run("-S -f 512", "do:fill,/guest/job/long");
    assert_eq!(ended.lines(), [format!("fill /guest/job/long 256={}", libc::EFBIG)], "{ended:?}");
    let ended = run("-S -v 300000", "do:hog");
    assert_eq!(ended.lines(), ["hog bounded"], "{ended:?}");
    run("-v 600000", "do:hog").assert_error(3, "`ulimit -v`");
    run("-t 1", "do:spin,2").assert_error(152, "`--cpu`");
}

#[test]
fn what_only_the_loader_writes_is_not_where_the_guest_does() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let job = dest.job("job");
    fs::create_dir(job.join("deep")).unwrap();
    let (root, mount) = (format!("{}:/:ro", dest.root().display()), format!("{}:/job:rw", job.display()));
    let log = job.join("deep/log").display().to_string();
    dest.run(["-m", &root, "-m", &mount, "-l", &log, &program]).assert_error(2, "the file of `-l`");
    let mount = mount.replace(":rw", ":ro");
    assert_eq!(dest.run(["-m", &root, "-m", &mount, "-l", &log, &program]).status, 0);
    let script = format!(
        "exec 9>{}/status; exec {}/bin/run --status-fd 9 -m {root} -m {}:/job:rw {program}",
        job.display(),
        dest.path().display(),
        job.display()
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]);
    crate::common::Run(command).ended().assert_error(2, "the file of `--status-fd`");
}

#[test]
fn a_guest_puts_no_words_into_the_engines_mouth() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let (ended, line) = reported(&dest, None, &[&program, "do:claim,no", "do:exit,1"]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(line.contains("\"how\":\"exit\",\"status\":1,"), "{line}");
}
