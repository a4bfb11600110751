//! The limits of a run: each at its boundary and one beyond, how a guest is told, how the run ends,
//! and what `--status-fd` says of it.

#![cfg(feature = "wasm")]

mod common;

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Dest, module};
use pynbox_run::limits::TABLE;
use pynbox_run::report::Report;
use rustix::process::{Pid, Signal};

/// A place with guests, where shell commands are tried: `$RUN` is the loader, `$DIR` a folder.
struct Place {
    dest: Dest,
    work: tempfile::TempDir,
}

/// How a shell command ended, and what the loader said of it on `--status-fd 9`.
#[derive(Debug)]
struct Said {
    status: Option<i32>,
    signal: Option<i32>,
    out: String,
    err: String,
    line: String,
}

impl Place {
    fn new() -> Self {
        Self { dest: Dest::new(), work: tempfile::tempdir().unwrap() }
    }

    fn guest(&self, name: &str, text: &str) {
        self.dest.guest(name, text);
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env_clear();
        command.env("RUN", self.dest.path().join("bin/run")).env("DIR", self.work.path());
        command.env("ROOT", self.dest.root()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.work.path().join(name)
    }

    fn sh(&self, script: &str) -> Said {
        let line = self.path("line");
        let _ = fs::remove_file(&line);
        let output = self.command(script).output().unwrap();
        Said {
            status: output.status.code(),
            signal: output.status.signal(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            line: fs::read_to_string(&line).unwrap_or_default(),
        }
    }

    /// Waits until the loader's log at `$DIR/log` says this.
    fn wait_for_log(&self, text: &str) {
        while !fs::read_to_string(self.path("log")).unwrap_or_default().contains(text) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a guest with these options and its status in a file.
    fn run(&self, options: &str, guest: &str) -> Said {
        self.sh(&format!(
            "exec $RUN --status-fd 9 -m $ROOT:/:ro -m $DIR:/d:rw {options} /test/{guest}.wasm 9>$DIR/line"
        ))
    }
}

impl Said {
    /// The text of a field.
    fn field(&self, name: &str) -> &str {
        let at = self.line.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no `{name}`: {self:?}"));
        let rest = &self.line[at + name.len() + 3..];
        let end = if let Some(text) = rest.strip_prefix('"') {
            2 + text.find('"').unwrap()
        } else if rest.starts_with('[') {
            1 + rest.find(']').unwrap()
        } else {
            rest.find([',', '}']).unwrap()
        };
        &rest[..end]
    }

    fn number(&self, name: &str) -> u64 {
        self.field(name).parse().unwrap()
    }

    #[track_caller]
    fn assert_ended(&self, how: &str, status: i32, limit: &str) -> &Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert_eq!(self.line.matches('\n').count(), 1, "{self:?}");
        let said = (self.field("how"), self.field("status"), self.field("limit"));
        assert_eq!(said, (&*format!("\"{how}\""), &*status.to_string(), limit), "{self:?}");
        self
    }
}

const LOOP: &str = r#"(func (export "_start") (loop (br 0)))"#;

fn exits(status: u32) -> String {
    module("", &format!(r#"(func (export "_start") (call $exit (i32.const {status})))"#))
}

#[test]
fn every_end_has_its_status_and_its_words() {
    let place = Place::new();
    // What a guest says itself is told apart from what the loader says.
    for status in [0, 7, 2, 3, 70, 124, 134, 137, 152, 153, 255] {
        place.guest("exits", &exits(status));
        let said = place.run("", "exits");
        said.assert_ended("exit", i32::try_from(status).unwrap(), "null");
        assert_eq!((said.field("reason"), said.field("reached"), said.field("version")), ("null", "[]", "1"));
    }
    place.guest("traps", &module("", r#"(func (export "_start") unreachable)"#));
    let said = place.run("", "traps");
    said.assert_ended("trap", 134, "null");
    assert!(said.field("reason").contains("it aborted") && said.err.contains("it aborted"), "{said:?}");
    place.guest("loops", &module("", LOOP));
    let said = place.run("--time 0.3", "loops");
    said.assert_ended("limit", 124, "\"time\"");
    assert!(said.err.contains("`--time` allows, 0.3 s"), "{said:?}");
    assert!(said.field("wall").parse::<f64>().unwrap() >= 0.3, "{said:?}");
    let said = place.run("--cpu 0.2", "loops");
    said.assert_ended("limit", 152, "\"cpu\"");
    let cpu: f64 = said.field("cpu").parse().unwrap();
    assert!((0.2..0.4).contains(&cpu), "{said:?}");
    let said = place.run("", "none");
    said.assert_ended("refused", 2, "null");
    assert!(said.field("reason").contains("no program `/test/none.wasm`"), "{said:?}");
    place.run("--bogus", "exits").assert_ended("refused", 2, "null");
    place.run("-m /nowhere:/x:ro", "exits").assert_ended("refused", 3, "null");
    place.run("-r 77:5", "exits").assert_ended("refused", 2, "null");
    place.guest("bare", "(module (memory (export \"memory\") 1))");
    place.run("", "bare").assert_ended("refused", 2, "null");
    place.sh("exec $RUN --status-fd 9 9>$DIR/line").assert_ended("refused", 2, "null");
    place.sh("exec $RUN --status-fd 9 --help 9>$DIR/line").assert_ended("exit", 0, "null");
    place.sh("exec $RUN --status-fd 9 --precompile /test/none.wasm 9>$DIR/line").assert_ended("refused", 2, "null");
}

#[test]
fn a_signal_is_said_and_ends_the_loader_itself() {
    let place = Place::new();
    place.guest("loops", &module("", LOOP));
    for signal in [1, 2, 6, 10, 15] {
        let _ = fs::remove_file(place.path("log"));
        // Whoever started the tests may have it ignore some, as nohup(1) does.
        let script = "exec env --default-signal \
             $RUN -v -v -l $DIR/log --time 60 --status-fd 9 /test/loops.wasm 9>$DIR/line";
        let mut command = place.command(script);
        let mut child = command.spawn().unwrap();
        place.wait_for_log("calling");
        let (pid, number) = (Pid::from_child(&child), Signal::from_named_raw(signal).unwrap());
        rustix::process::kill_process(pid, number).unwrap();
        let status = child.wait().unwrap();
        let line = fs::read_to_string(place.path("line")).unwrap();
        assert_eq!(status.signal(), Some(signal), "{line}");
        assert!(line.contains(&format!("\"how\":\"signal\",\"status\":{}", 128 + signal)), "{line}");
    }
    // One that the caller has it ignore is none.
    let _ = fs::remove_file(place.path("log"));
    let script = "trap '' HUP; exec $RUN -v -v -l $DIR/log --time 1 --status-fd 9 /test/loops.wasm 9>$DIR/line";
    let mut child = place.command(script).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for_log("calling");
    rustix::process::kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
}

/// A process that aborts, as the loader would by a fault of its own.
#[test]
fn a_loader_that_aborts_says_so() {
    const CHILD: &str = "PYNBOX_ABORTING_CHILD";
    if let Some(path) = std::env::var_os(CHILD) {
        let status = fs::File::create(path).unwrap();
        let _report = Report::new(Instant::now(), Some(status.into()));
        std::process::abort();
    }
    let place = Place::new();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_loader_that_aborts_says_so", "--test-threads=1"])
        .env(CHILD, place.path("line"))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let line = fs::read_to_string(place.path("line")).unwrap();
    assert_eq!(status.signal(), Some(6), "{line}");
    assert!(line.starts_with(r#"{"version":1,"how":"fault","status":134,"limit":null,"#), "{line}");
    assert!(line.ends_with("\"files\":null}\n") && line.matches('\n').count() == 1, "{line}");
}

#[test]
fn the_time_ends_whatever_the_guest_does() {
    let place = Place::new();
    let imports =
        r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
    // A subscription of zeros is a clock that waits for nothing; its timeout lies at 24.
    let sleeps = r#"(func (export "_start")
        (i64.store (i32.const 1024) (i64.const 3600000000000))
        (drop (call $poll (i32.const 1000) (i32.const 2000) (i32.const 1) (i32.const 3000))))"#;
    place.guest("sleeps", &module("", sleeps).replace("(memory", &format!("{imports} (memory")));
    let reads = r#"(func (export "_start")
        (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 6))
        (drop (call $fd_read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16))))"#;
    place.guest("reads", &module("", reads));
    let writes = r#"(func (export "_start") (loop (call $puts (i32.const 0) (i32.const 65536)) (br 0)))"#;
    place.guest("writes", &module("", writes));
    place.run("--time 0.2", "sleeps").assert_ended("limit", 124, "\"time\"");
    for (guest, ends) in [("reads", "exec 8<>$DIR/fifo; exec <&8"), ("writes", "exec 8<>$DIR/fifo; exec >&8 2>&8")] {
        let fifo = "mkfifo $DIR/fifo;";
        let said = place.sh(&format!(
            "{fifo} {ends}; $RUN --time 0.2 --status-fd 9 /test/{guest}.wasm 9>$DIR/line; s=$?; rm $DIR/fifo; exit $s"
        ));
        // Also where standard error is a pipe that is full, and nobody reads it.
        said.assert_ended("limit", 124, "\"time\"");
    }
    // While the program itself is compiled, which ends with the run.
    let step = "(local.set 0 (i32.mul (local.get 0) (i32.add (local.get 0) (i32.const 77777))))".repeat(3000);
    let functions = format!("(func (param i32) (result i32) {step} (local.get 0))").repeat(300);
    place.guest("large", &module("", &format!("{functions} {LOOP}")));
    place.run("--time 0.5", "large").assert_ended("limit", 124, "\"time\"");
    let said = place.run("--cpu 0.5", "large");
    said.assert_ended("limit", 152, "\"cpu\"");
    let cpu: f64 = said.field("cpu").parse().unwrap();
    assert!((0.5..0.8).contains(&cpu), "{said:?}");
}

/// Writes `bytes` bytes in writes of `step`, and ends with the first error's number.
fn writer(step: u32, bytes: u32) -> String {
    module(
        "",
        &format!(
            r#"(func (export "_start") (local $left i32) (local $error i32)
              (local.set $left (i32.const {bytes}))
              (loop $more
                (i32.store (i32.const 8) (i32.const 1000))
                (i32.store (i32.const 12)
                  (select (i32.const {step}) (local.get $left) (i32.lt_u (i32.const {step}) (local.get $left))))
                (local.set $error (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
                (if (local.get $error) (then (call $exit (local.get $error))))
                (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 16))))
                (br_if $more (local.get $left))))"#
        ),
    )
}

#[test]
fn output_ends_exactly_at_its_limit() {
    let place = Place::new();
    for (step, bytes, fits) in
        [(7, 100, true), (7, 101, false), (1000, 100, true), (1000, 5000, false), (1, 101, false)]
    {
        place.guest("writes", &writer(step, bytes));
        let said = place.run("--max-output 100", "writes");
        if fits {
            said.assert_ended("exit", 0, "null");
        } else {
            said.assert_ended("limit", 153, "\"output\"");
        }
        assert_eq!((said.out.len(), said.number("output")), (100, 100), "{said:?}");
        // A file, and one that others have written to.
        let said = place.run("--max-output 100 > $DIR/out", "writes");
        assert_eq!(
            (said.status, fs::metadata(place.path("out")).unwrap().len()),
            (Some(if fits { 0 } else { 153 }), 100)
        );
        fs::write(place.path("out"), "before\n").unwrap();
        place.run("--max-output 100 >> $DIR/out", "writes");
        assert_eq!(fs::read(place.path("out")).unwrap().len(), 107);
    }
    place.guest("writes", &writer(10, 10));
    let said = place.run("--max-output 0", "writes");
    said.assert_ended("limit", 153, "\"output\"");
    assert_eq!(said.out, "");
    place.guest("silent", &exits(5));
    place.run("--max-output 0", "silent").assert_ended("exit", 5, "null");
    // Standard error and what was handed in count as well.
    let both = module(
        r#"(data (i32.const 100) "0123456789")"#,
        r#"(func $say (param i32)
             (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 10))
             (drop (call $fd_write (local.get 0) (i32.const 8) (i32.const 1) (i32.const 16))))
           (func (export "_start") (call $say (i32.const 2)) (call $say (i32.const 5)) (call $say (i32.const 1)))"#,
    );
    place.guest("both", &both);
    let said = place.run("--max-output 25 -w 5:5 5>$DIR/five", "both");
    said.assert_ended("limit", 153, "\"output\"");
    assert_eq!((said.out.as_str(), fs::read_to_string(place.path("five")).unwrap().as_str()), ("01234", "0123456789"));
    let said = place.run("--max-output 30 -w 5:5 5>$DIR/five", "both");
    said.assert_ended("exit", 0, "null");
    // What can't be written did not leave.
    place.guest("writes", &writer(10, 10));
    let said = place.run("--max-output 5 >/dev/full", "writes");
    assert_eq!((said.status, said.number("output")), (Some(51), 0), "{said:?}");
}

/// Writes a file in a folder of the guest's until that fails, and ends with the error's number.
fn fills() -> String {
    module(
        r#"(data (i32.const 100) "d/out")"#,
        r#"(func (export "_start") (local $error i32)
             (local.set $error (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 5)
               (i32.const 9) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)))
             (i32.store (i32.const 16) (i32.const 100)) (i32.store (i32.const 20) (i32.const 999))
             (loop $more
               (if (local.get $error) (then (call $exit (local.get $error))))
               (local.set $error
                 (call $fd_write (i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 24)))
               (br $more)))"#,
    )
}

#[test]
fn a_guest_is_told_of_a_limit_as_linux_would_tell_it() {
    let place = Place::new();
    place.guest("fills", &fills());
    const FBIG: i32 = 22;
    const DQUOT: i32 = 19;
    const MFILE: i32 = 33;
    const NOSPC: i32 = 51;
    for (options, status, word, written, files) in [
        ("--max-file 2500", FBIG, "file", 2500, 1),
        ("--max-write 2500", DQUOT, "write", 2500, 1),
        ("--max-write 2500 --max-file 2500", FBIG, "file", 2500, 1),
        ("--max-files 0 --max-file 2500", DQUOT, "files", 0, 0),
        ("--max-open 4 --max-file 2500", MFILE, "open", 0, 1),
        ("--tmpfs /d:8K --max-file 9K", NOSPC, "tmpfs", 8192, 1),
        ("--tmpfs /d:8K --max-file 8K", FBIG, "file", 8192, 1),
    ] {
        let _ = fs::remove_file(place.path("out"));
        let mount = if options.contains("tmpfs") { "" } else { "-m $DIR:/d:rw" };
        let said =
            place.sh(&format!("exec $RUN --status-fd 9 -m $ROOT:/:ro {mount} {options} /test/fills.wasm 9>$DIR/line"));
        said.assert_ended("exit", status, "null");
        assert_eq!(said.field("reached"), format!("[\"{word}\"]"), "{options}");
        assert_eq!((said.number("written"), said.number("files")), (written, files), "{options}");
    }
}

/// The values of a profile, but for those that the command line names.
#[test]
fn limits_hold_together() {
    let place = Place::new();
    place.guest("fills", &fills());
    place.guest("writes", &writer(1000, 5_000_000));
    place.guest("loops", &module("", LOOP));
    let run = |options: &str, guest: &str| {
        place.sh(&format!("exec $RUN --status-fd 9 --profile strict {options} /test/{guest}.wasm 9>$DIR/line"))
    };
    let said = run("", "writes");
    said.assert_ended("limit", 153, "\"output\"");
    assert_eq!(said.out.len(), 1 << 20);
    assert_eq!(run("--max-output 3000000", "writes").assert_ended("limit", 153, "\"output\"").out.len(), 3_000_000);
    let said = run("--tmpfs /d:8K", "fills");
    said.assert_ended("exit", 51, "null");
    run("--tmpfs /d:8K --max-file 5000", "fills").assert_ended("exit", 22, "null");
    run("--tmpfs /d:8K --max-files 0", "fills").assert_ended("exit", 19, "null");
    // Of two that would end the run, the first.
    run("--time 0.3 --cpu 60", "loops").assert_ended("limit", 124, "\"time\"");
    run("--time 60 --cpu 0.3", "loops").assert_ended("limit", 152, "\"cpu\"");
    run("--time 60 --max-output 10 --cpu 60", "writes").assert_ended("limit", 153, "\"output\"");
}

#[test]
#[ignore = "needs root"]
fn an_ordinary_user_has_folders_in_memory() {
    let place = Place::new();
    place.guest("fills", &fills());
    let mut command = place.command("exec $RUN --tmpfs /d:8K --max-file 9K /test/fills.wasm");
    let output = std::os::unix::process::CommandExt::uid(&mut command, 65534).output().unwrap();
    assert_eq!(output.status.code(), Some(51), "{output:?}");
}

#[test]
fn clocks_and_numbers_need_not_be_the_machines() {
    let place = Place::new();
    let imports = r#"
      (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (import "pynbox" "path_stat" (func $stat (param i32 i32 i32 i32 i32) (result i32)))"#;
    // Writes the clocks, after waiting until a moment of the clock that is past, and what stat says
    // of a file.
    let body = r#"(func (export "_start")
        (i64.store (i32.const 1024) (i64.const 1)) (i32.store (i32.const 1040) (i32.const 1))
        (drop (call $poll (i32.const 1000) (i32.const 2000) (i32.const 1) (i32.const 3000)))
        (drop (call $time (i32.const 0) (i64.const 1) (i32.const 4000)))
        (drop (call $time (i32.const 1) (i64.const 1) (i32.const 4008)))
        (drop (call $stat (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 6) (i32.const 4016)))
        (call $puts (i32.const 4000) (i32.const 112)))"#;
    let text = module(r#"(data (i32.const 100) "d/file")"#, body).replace("(memory", &format!("{imports} (memory"));
    place.guest("clocks", &text);
    fs::write(place.path("file"), "12345").unwrap();
    fs::hard_link(place.path("file"), place.path("twin")).unwrap();
    let told = |options: &str| -> Vec<u64> {
        let script = format!("exec $RUN -m $ROOT:/:ro -m $DIR:/d:rw {options} /test/clocks.wasm");
        let output = place.command(&script).output().unwrap();
        assert_eq!(output.stdout.len(), 112, "{output:?}");
        output.stdout.chunks(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    // Clock, monotonic clock, then device, inode, links, mode, -, size, -, blocks, and three times.
    let now = told("");
    let stat = fs::metadata(place.path("file")).unwrap();
    let ino = std::os::unix::fs::MetadataExt::ino(&stat);
    assert!(now[0] > 1_700_000_000_000_000_000 && now[3] == ino && now[4] == 2, "{now:?}");
    let fixed = told("--fixed-time=50.5");
    assert_eq!((fixed[0], fixed[1], &fixed[10..13]), (50_500_000_000, 50_500_000_000, &[50_500_000_000; 3][..]));
    assert_eq!((fixed[3], fixed[4]), (ino, 2));
    let hidden = told("--fixed-time --hide-inodes");
    assert_eq!((hidden[0], hidden[10]), (315_619_200_000_000_000, 315_619_200_000_000_000));
    assert!(hidden[3] != ino && hidden[3] != told("--hide-inodes")[3], "{hidden:?}");
    assert_eq!((hidden[4], hidden[7]), (1, 5));
}

#[test]
fn nobody_but_the_loader_writes_the_status() {
    let place = Place::new();
    // Its number is no descriptor of the guest's.
    let forger = module(
        r#"(data (i32.const 100) "{\"version\":1,\"how\":\"exit\"}\n")"#,
        r#"(func (export "_start") (local $fd i32)
             (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 27))
             (local.set $fd (i32.const 4))
             (loop $next
               (if (i32.eqz (call $fd_write (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16)))
                 (then (call $exit (local.get $fd))))
               (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $fd) (i32.const 1024)))))"#,
    );
    place.guest("forger", &forger);
    place.run("", "forger").assert_ended("exit", 0, "null");
    // Nor is it handed in, by its number, by a duplicate, or as another name of the file.
    place.run("-h 9:9", "forger").assert_ended("refused", 2, "null");
    place.run("-w 9:4", "forger").assert_ended("refused", 2, "null");
    let said = place.sh("exec $RUN --status-fd 9 -h 8:8 /test/forger.wasm 9>$DIR/line 8>&9");
    said.assert_ended("refused", 2, "null");
    assert!(said.err.contains("descriptor 8 is the guest's"), "{said:?}");
    place
        .sh("exec $RUN --status-fd 9 -h 8:8 /test/forger.wasm 9>$DIR/line 8>>$DIR/line")
        .assert_ended("refused", 2, "null");
    place.sh("exec $RUN --status-fd 9 /test/forger.wasm 9>$DIR/line >&9").assert_ended("refused", 2, "null");
    // A standard stream that takes the status is none of the guest's.
    place.guest("writes", &writer(10, 10));
    for stream in [1, 2] {
        let said = place.sh(&format!("exec $RUN --status-fd {stream} /test/writes.wasm {stream}>$DIR/line"));
        said.assert_ended("exit", if stream == 1 { 8 } else { 0 }, "null");
    }
    // The loader's own messages keep out of it.
    place.sh("exec $RUN --status-fd 2 /test/none.wasm 2>$DIR/line").assert_ended("refused", 2, "null");
    // A file that lies in a mount can't be written through it.
    let opener = module(
        r#"(data (i32.const 100) "d/line")"#,
        r#"(func (export "_start")
             (call $exit (call $path_open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const 6)
               (i32.const 0) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8))))"#,
    );
    place.guest("opener", &opener);
    place.run("", "opener").assert_ended("exit", 2, "null");
    let remover =
        r#"(import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))"#;
    let body = r#"(func (export "_start") (call $exit (call $unlink (i32.const 3) (i32.const 100) (i32.const 6))))"#;
    let remover = module(r#"(data (i32.const 100) "d/line")"#, body).replace("(memory", &format!("{remover} (memory"));
    place.guest("remover", &remover);
    // wasi-libc takes what it is told for a folder for one.
    place.run("", "remover").assert_ended("exit", 31, "null");
    fs::write(place.path("line"), "").unwrap();
    assert_eq!(place.sh("exec $RUN -m $ROOT:/:ro -m $DIR:/d:rw -l $DIR/line /test/opener.wasm").status, Some(2));
    // Nor does the log go there.
    let said = place.sh("exec $RUN --status-fd 9 -l $DIR/line /test/forger.wasm 9>$DIR/line");
    said.assert_ended("refused", 2, "null");
    place.sh("exec $RUN --status-fd 9 -l /dev/fd/9 /test/forger.wasm 9>$DIR/line").assert_ended("refused", 3, "null");
    // What is no descriptor for it.
    for (fd, open) in [("77", ""), ("9", "9</dev/null"), ("x", ""), ("-1", "")] {
        let said = place.sh(&format!("exec $RUN --status-fd {fd} /test/forger.wasm {open}"));
        assert!(said.status == Some(2) && said.err.contains(fd), "{said:?}");
    }
    // A reader that is gone, and a disk that is full, change nothing.
    assert_eq!(place.sh("($RUN --status-fd 9 /test/forger.wasm; echo $? >&2) 9>&1 >/dev/null | true").err, "0\n");
    assert_eq!(place.sh("exec $RUN --status-fd 9 /test/forger.wasm 9>/dev/full").status, Some(0));
}

#[test]
fn a_message_that_nobody_takes_changes_no_status() {
    let place = Place::new();
    place.guest("traps", &module("", r#"(func (export "_start") unreachable)"#));
    place.guest("loops", &module("", LOOP));
    for (guest, how, status, limit) in [("traps", "trap", 134, "null"), ("loops", "limit", 124, "\"time\"")] {
        for closed in ["2>/dev/full", "2>&-", ">&- 2>&-"] {
            place.run(&format!("--time 0.3 {closed}"), guest).assert_ended(how, status, limit);
        }
    }
}

/// The loader ends, and says so, where nobody takes the status.
#[test]
fn a_status_that_nobody_reads_is_given_up() {
    let place = Place::new();
    place.guest("exits", &exits(7));
    let (_reader, writer) = rustix::pipe::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&writer, &[0; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    let (number, log) = (writer.as_raw_fd().to_string(), place.path("log"));
    let arguments = ["--status-fd", &number, "-l", log.to_str().unwrap(), "/test/exits.wasm"];
    place.dest.run(arguments).assert_error(7, "the status could not be written: nobody reads it");
    assert!(fs::read_to_string(log).unwrap().contains("nobody reads it"));
}

/// A limit that no guest was told of is not among those that were reached.
#[test]
fn nobody_is_told_before_there_is_a_guest() {
    let place = Place::new();
    place.guest("large", r#"(module (memory (export "memory") 320) (func (export "_start")))"#);
    let said = place.run("--max-memory 5", "large");
    said.assert_ended("limit", 137, "\"memory\"");
    assert_eq!(said.field("reached"), "[]", "{said:?}");
}

#[test]
fn the_callers_own_limits_hold_too() {
    let place = Place::new();
    place.guest("loops", &module("", LOOP));
    let said = place.sh("ulimit -t 1; exec $RUN --status-fd 9 /test/loops.wasm 9>$DIR/line");
    said.assert_ended("limit", 152, "\"cpu\"");
    assert!(said.field("reason").contains("ulimit -t"), "{said:?}");
    let said = place.sh("ulimit -t 1; exec $RUN /test/loops.wasm");
    assert_eq!((said.status, said.signal), (Some(152), None), "{said:?}");
    let said = place.sh("ulimit -t 9; exec $RUN --status-fd 9 --cpu 0.2 /test/loops.wasm 9>$DIR/line");
    assert!(said.field("reason").contains("`--cpu` allows"), "{said:?}");
    // A file that gets too long: EFBIG, and no signal.
    place.guest("writes", &writer(1000, 5000));
    let said = place.sh("ulimit -f 2; exec $RUN /test/writes.wasm >$DIR/out");
    assert_eq!((said.status, said.signal), (Some(22), None), "{said:?}");
    assert_eq!(fs::metadata(place.path("out")).unwrap().len(), 1024);
    // Also for a program whose memory begins with content, of which the engine would make a file.
    place.guest(
        "hello",
        &module(
            r#"(data (i32.const 100) "hello\n")"#,
            r#"(func (export "_start") (call $puts (i32.const 100) (i32.const 6)))"#,
        ),
    );
    assert_eq!(place.sh("ulimit -f 0; exec $RUN /test/hello.wasm").out, "hello\n");
    // With less address space than memory could have, it has what fits.
    let grows = r#"(func (export "_start") (local $pages i32)
        (loop $more
          (local.set $pages (i32.add (local.get $pages) (i32.const 16)))
          (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (i32.store (i32.const 65532) (i32.const 1))
        (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 1))
        (call $exit (i32.div_u (local.get $pages) (i32.const 256))))"#;
    place.guest("grows", &module("", grows));
    for (limit, sixteenths) in [(3_000_000, 128), (1_000_000, 32), (600_000, 16)] {
        let said = place.sh(&format!("ulimit -v {limit}; exec $RUN --status-fd 9 /test/grows.wasm 9>$DIR/line"));
        assert_eq!((said.status, said.err.as_str()), (Some(sixteenths), ""), "ulimit -v {limit}: {said:?}");
        assert_eq!(place.sh(&format!("ulimit -v {limit}; exec $RUN /test/hello.wasm")).out, "hello\n");
    }
    place.guest("outside", &module("", r#"(func (export "_start") (drop (i32.load (i32.const 65536))))"#));
    let said = place.sh("ulimit -v 1000000; exec $RUN --status-fd 9 /test/outside.wasm 9>$DIR/line");
    said.assert_ended("trap", 134, "null");
    let said = place.sh("ulimit -f 0; exec $RUN --status-fd 9 /test/writes.wasm 9>$DIR/line");
    assert_eq!((said.status, said.out.len()), (Some(0), 5000), "{said:?}");
}

#[test]
fn the_documentation_has_the_table() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let page = fs::read_to_string(format!("{root}/docs/reference/limits.md")).unwrap();
    let readme = fs::read_to_string(format!("{root}/README.md")).unwrap();
    for row in &TABLE {
        let option = format!("`{} {}`", row.option, row.value);
        let status = row.status.map_or("-".to_owned(), |status| status.to_string());
        let line = format!("| {option} | `{}` | {} | {status} | `{}` |", row.word, told(row.told), row.strict);
        assert!(page.lines().any(|l| l.starts_with(&line)), "docs/reference/limits.md lacks: {line}");
        assert!(readme.contains(&option), "README.md lacks {option}");
    }
}

fn told(told: Option<&str>) -> String {
    told.map_or("-".to_owned(), |told| format!("`{told}`"))
}

#[test]
fn without_a_limit_there_is_no_watch() {
    let place = Place::new();
    place.guest("loops", &module("", LOOP));
    let mut child = place.command("exec $RUN -v -v -l $DIR/log /test/loops.wasm").spawn().unwrap();
    place.wait_for_log("calling");
    let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(threads, 2);
}
