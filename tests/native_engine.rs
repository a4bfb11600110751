//! Both engines of the loader run the same programs, and they end in the same way: with traps, at
//! limits, with random operations, with libraries, and from a snapshot. The native code comes from
//! the graph, as a package, and reaches memory in both ways: by `%gs`, if this machine lets
//! programs set it, and by a pointer, as where no program may.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Random programs that are compared.
const PROGRAMS: u64 = 64;

/// Has the loader find a machine that lets no program set `%gs`.
const NO_SEGMENT: &str = include_str!("../sandbox/tests/common/no_segment.c");

/// What runs the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Wasmtime,
    /// As this machine has it.
    Native,
    /// As where no program may set `%gs`.
    Pointer,
}
use Engine::{Native, Pointer, Wasmtime};

const ENGINES: [Engine; 3] = [Wasmtime, Native, Pointer];

/// An installation with the program `engine` and its native code.
struct Dest {
    folder: tempfile::TempDir,
    loader: PathBuf,
}

/// A status, standard output, and what the loader said.
#[derive(Debug, PartialEq, Eq)]
struct Ended(Option<i32>, String, String);

impl Dest {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pynbox.toml", "patches", "recipes", "sandbox"] {
            symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), folder.path().join(name)).unwrap();
        }
        for arguments in [&["gen"][..], &["install", "dest", "native-tests"]] {
            let mut tool = Command::new(env!("CARGO_BIN_EXE_pynbox-build"));
            let done = tool.args(["--executor", "namespace"]).args(arguments).current_dir(&folder).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let source = folder.path().join("no-segment.c");
        fs::write(&source, NO_SEGMENT).unwrap();
        let mut compiler = Command::new("cc");
        let done = compiler.args(["-shared", "-fPIC", "-o"]).arg(source.with_extension("so")).arg(&source).status();
        assert!(done.unwrap().success());
        let loader = folder.path().join("dest/bin/run");
        Self { folder, loader }
    }

    /// The files of compiled code with such a name.
    fn compiled(&self, is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let compiled = self.loader.parent().unwrap().with_file_name("compiled");
        let files = fs::read_dir(compiled).unwrap().map(|entry| entry.unwrap());
        files.filter(|file| is_meant(&file.file_name().to_string_lossy())).map(|file| file.path()).collect()
    }

    /// The native code of libraries: it has no runtime.
    fn libraries(&self) -> Vec<PathBuf> {
        let all = self.compiled(|name| name.contains("-native") && name.ends_with(".so"));
        let programs: Vec<_> = all.iter().filter_map(|path| path.to_str()?.strip_suffix(".runtime.so")).collect();
        let is_library = |path: &&PathBuf| !programs.iter().any(|program| path.to_str().unwrap().starts_with(program));
        all.iter().filter(is_library).cloned().collect()
    }

    fn run(&self, engine: Engine, options: &[&str], arguments: &[&str]) -> Ended {
        self.run_program("engine", engine, options, arguments)
    }

    fn command(&self, name: &str, engine: Engine, options: &[&str], arguments: &[&str]) -> Command {
        let mut loader = Command::new(&self.loader);
        if engine == Pointer {
            loader.env("LD_PRELOAD", self.folder.path().join("no-segment.so"));
        }
        let word = if engine == Wasmtime { "wasmtime" } else { "native" };
        loader.args(["--engine", word]).args(options).arg(format!("/test/{name}.wasm")).args(arguments);
        loader
    }

    fn run_program(&self, name: &str, engine: Engine, options: &[&str], arguments: &[&str]) -> Ended {
        let ended = self.command(name, engine, options, arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended(ended.status.code(), text(ended.stdout), text(ended.stderr))
    }

    /// Runs the program that loads libraries by all engines, whose statuses and output have to be
    /// equal; gives these, and what each said.
    #[track_caller]
    fn loads(&self, options: &[&str], arguments: &[&str]) -> (Option<i32>, String, [String; 3]) {
        let all = ENGINES.map(|engine| self.run_program("loads", engine, options, arguments));
        let Ended(status, out, _) = &all[0];
        for ended in &all {
            assert_eq!((&ended.0, &ended.1), (status, out), "{arguments:?}: {all:?}");
        }
        (*status, out.clone(), all.map(|Ended(_, _, said)| said))
    }

    /// Runs it by all engines, which have to do the same; says what that is.
    #[track_caller]
    fn all(&self, options: &[&str], arguments: &[&str]) -> Ended {
        self.all_run("engine", options, arguments)
    }

    #[track_caller]
    fn all_run(&self, name: &str, options: &[&str], arguments: &[&str]) -> Ended {
        let [wasmtime, native, pointer] = ENGINES.map(|engine| self.run_program(name, engine, options, arguments));
        assert_eq!(native, wasmtime, "{name} {options:?} {arguments:?}");
        assert_eq!(pointer, wasmtime, "{name} {options:?} {arguments:?}");
        wasmtime
    }
}

#[test]
fn traps_end_a_guest_in_the_same_way() {
    let dest = Dest::new();
    for what in ["unreachable", "division", "overflow", "conversion", "outside", "sweep", "recursion"] {
        let Ended(status, out, said) = dest.all(&[], &[what]);
        assert_eq!((status, out.as_str()), (Some(134), ""), "{what}: {said}");
        assert!(said.contains("was ended: "), "{what}: {said}");
    }
    // What the runtime of native code does not tell apart, its text does not either.
    for what in ["index", "null", "signature"] {
        for engine in ENGINES {
            let Ended(status, out, said) = dest.run(engine, &[], &[what]);
            assert_eq!((status, out.as_str()), (Some(134), ""), "{engine:?}, {what}: {said}");
        }
        for engine in [Native, Pointer] {
            let Ended(_, _, said) = dest.run(engine, &[], &[what]);
            assert!(said.contains("an indirect call to no function of its signature"), "{said}");
        }
    }
}

#[test]
fn limits_and_walls_hold_for_both() {
    let dest = Dest::new();
    for (options, what, status) in [
        (&[][..], "status", 7),
        (&["--time", "0.3"], "spin", 124),
        (&["--cpu", "0.3"], "spin", 152),
        (&["--max-output", "1000"], "output", 153),
        (&[], "outer", 0),
    ] {
        let Ended(ended, out, said) = dest.all(options, &[what]);
        assert_eq!(ended, Some(status), "{what}: {said}");
        assert!(what != "outer" || out == "no such file\n", "{out}");
    }
    let memory = dest.all(&["--max-memory", "64"], &["memory"]);
    assert_eq!((memory.0, memory.1.as_str()), (Some(0), "no more\n"), "{}", memory.2);
    for engine in ENGINES {
        let Ended(status, _, said) = dest.run(engine, &["--max-memory", "1"], &["status"]);
        assert_eq!(status, Some(137), "{engine:?}: {said}");
    }
}

#[test]
fn random_programs_do_the_same() {
    let dest = Dest::new();
    let mut trapped = 0;
    for seed in 1..=PROGRAMS {
        let Ended(status, out, said) = dest.all(&[], &["random", &seed.to_string()]);
        assert!(matches!(status, Some(0 | 134)), "{seed}: {said}");
        trapped += u64::from(status == Some(134));
        assert!(status == Some(134) || out.lines().count() == 20, "{seed}: {out}");
    }
    assert!(trapped > 0 && trapped < PROGRAMS, "{trapped} of {PROGRAMS} trapped");
}

/// The way to memory is that of the machine, and each has native code of its own.
#[test]
fn where_no_program_may_set_the_segment_a_pointer_serves() {
    let dest = Dest::new();
    let way = |engine| {
        let Ended(status, _, said) = dest.run(engine, &["-v", "-v"], &["status"]);
        assert_eq!(status, Some(7), "{said}");
        ["segment", "pointer"].into_iter().find(|way| said.contains(&format!("native code is loaded ({way})")))
    };
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap();
    let has_instructions = flags.lines().find(|line| line.starts_with("flags")).unwrap().contains(" fsgsbase");
    assert_eq!(way(Native), Some(if has_instructions { "segment" } else { "pointer" }));
    assert_eq!(way(Pointer), Some("pointer"));
}

/// A load that fails when code has been mapped leaves none of it.
#[test]
fn code_of_a_library_that_fails_to_load_is_unmapped() {
    let dest = Dest::new();
    // The second library's code is gone: it is missed when the first one's is there.
    for path in dest.libraries() {
        if !fs::read(&path).unwrap().windows(12).any(|part| part == b"call_nothing") {
            fs::remove_file(path).unwrap();
        }
    }
    let mapped = |engine, times: &str| {
        let arguments = ["again", "/test/first.so", times];
        let mut command = dest.command("loads", engine, &["--max-memory", "32"], &arguments);
        let mut guest = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut why = String::new();
        BufReader::new(guest.stdout.take().unwrap()).read_line(&mut why).unwrap();
        assert!(why.contains("it is not native code"), "{why}");
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", guest.id())).unwrap();
        let maps = read("maps").lines().filter(|line| line.contains("/compiled/")).count();
        let field = |name: &str| {
            let status = read("status");
            let line = status.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let (resident, addresses) = (field("VmRSS:"), field("VmSize:"));
        drop(guest.stdin.take());
        assert!(guest.wait().unwrap().success());
        (maps, resident, addresses)
    };
    for engine in [Native, Pointer] {
        let ((once, _, least), (often, resident, addresses)) = (mapped(engine, "1"), mapped(engine, "400"));
        assert_eq!(often, once, "{engine:?}");
        assert!(resident < 96 << 10 && addresses < least + (4 << 10), "{engine:?}: {resident} {least} {addresses}");
    }
}

/// However it ends, nothing of the loader's goes on.
#[test]
fn no_process_stays_when_a_guest_has_ended() {
    let dest = Dest::new();
    let installed = fs::canonicalize(dest.folder.path()).unwrap();
    for engine in ENGINES {
        for (name, arguments) in
            [("engine", &["status"][..]), ("engine", &["unreachable"]), ("loads", &["works"]), ("loads", &["exit"])]
        {
            dest.run_program(name, engine, &[], arguments);
            let all =
                fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path().join("exe")).ok());
            let left: Vec<_> = all.filter(|program| program.starts_with(&installed)).collect();
            assert_eq!(left, Vec::<PathBuf>::new(), "{engine:?} {name} {arguments:?}");
        }
    }
}

/// What `kept` prints: 2 × (0 + … + 99999), as its initialisation read a file.
const SUM: &str = "9999900000";

#[test]
fn both_start_from_one_snapshot() {
    let dest = Dest::new();
    let starts = |options: &[&str], arguments: &[&str], expected: &str| {
        let Ended(status, out, said) = dest.all_run("kept", options, arguments);
        assert_eq!((status, out.as_str()), (Some(0), expected), "{options:?} {arguments:?}: {said}");
    };
    starts(&[], &["a", "b"], &format!("resumed {SUM} a b -\n"));
    // What a guest wrote into its memory is not in the snapshot.
    starts(&["-E", "VARIABLE=x"], &[], &format!("resumed {SUM} x\n"));
    starts(&["-E", "COLD=1"], &[], &format!("started {SUM} -\n"));
    starts(&[], &["-c"], &format!("started {SUM} -c -\n"));
    let Ended(status, out, said) = dest.all_run("kept", &[], &["trap"]);
    assert_eq!((status, out), (Some(134), format!("resumed {SUM} trap -\n")), "{said}");
    for engine in ENGINES {
        let Ended(status, _, said) = dest.run_program("kept", engine, &["--max-memory", "2"], &[]);
        assert_eq!(status, Some(137), "{engine:?}: {said}");
    }
}

#[test]
fn native_code_starts_without_a_snapshot_that_is_not_current() {
    let dest = Dest::new();
    let precompile = || {
        let ended = Command::new(&dest.loader).args(["--precompile", "/test/kept.wasm"]).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    };
    let starts = |how: &str, why: &str| {
        let Ended(status, out, said) = dest.run_program("kept", Native, &["-v"], &[]);
        assert_eq!((status, out), (Some(0), format!("{how} {SUM} -\n")), "{said}");
        assert!(said.contains(why), "{said}");
    };
    starts("resumed", "");
    // A file that the initialisation read is another one.
    let seen = dest.loader.parent().unwrap().with_file_name("root").join("test/engine.wasm");
    let bytes = fs::read(&seen).unwrap();
    fs::remove_file(&seen).unwrap();
    fs::write(&seen, bytes).unwrap();
    starts("started", "`/test/engine.wasm` is not what it was");
    precompile();
    starts("resumed", "");
    // Neither engine takes an image that somebody changed, or could change.
    let [image] = &dest.compiled(|name| name.ends_with(".warm.cwasm"))[..] else { panic!("one snapshot") };
    fs::set_permissions(image, fs::Permissions::from_mode(0o666)).unwrap();
    starts("started", "others can write it");
    fs::set_permissions(image, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(image).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(image, bytes).unwrap();
    starts("started", "is damaged");
    fs::remove_file(image).unwrap();
    starts("started", "there is none");
    precompile();
    starts("resumed", "");
}

#[test]
fn native_code_that_others_could_change_is_not_run() {
    let dest = Dest::new();
    let kept = |is_runtime: bool| {
        dest.compiled(|name| {
            name.contains("-native") && name.ends_with(".so") && name.ends_with(".runtime.so") == is_runtime
        })
    };
    let refused = |why: &str| {
        let Ended(status, out, said) = dest.run(Native, &[], &["status"]);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{said}");
        assert!(said.contains(why) && said.contains("--engine wasmtime"), "{said}");
    };
    assert_eq!(dest.run(Native, &[], &["status"]).0, Some(7));
    for is_runtime in [false, true] {
        let files = kept(is_runtime);
        // Of four programs, and of four libraries, which have no runtime: one for each way to
        // reach memory.
        assert_eq!(files.len(), if is_runtime { 8 } else { 16 });
        for path in &files {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }
        refused("is damaged");
        for path in &files {
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        refused("others can write it");
        files.iter().for_each(|path| fs::remove_file(path).unwrap());
        refused("there is none");
    }
    assert_eq!(dest.run(Wasmtime, &[], &["status"]).0, Some(7));
}

#[test]
fn libraries_are_linked_as_by_the_other_engine() {
    let dest = Dest::new();
    let (status, out, said) = dest.loads(&[], &["works"]);
    // Functions, data, a weak symbol that nobody has, a constructor; addresses of functions, as
    // both modules see them, and by each of its names; calls back; variables; handles.
    let expected = "23 9 40 16 -1\n1 6\n1 1\n1\n1 3 5 9\n17 2\n1 1\n";
    assert_eq!((status, out.as_str()), (Some(0), expected), "{said:?}");
    let (status, out, said) = dest.loads(&[], &["rare"]);
    assert_eq!((status, out.as_str()), (Some(0), "1099511628038\n0 12\n0 12\n-1 -1\n"), "{said:?}");
    let (status, out, said) = dest.loads(&[], &["calls"]);
    let expected = "0 -3\n0 -10\n0 1048578.75\n0 2870.0 2870.0\n-1\n1003.25 999.50\n0 -1\n";
    assert_eq!((status, out.as_str()), (Some(0), expected), "{said:?}");
    assert_eq!(dest.loads(&[], &["exit"]).0, Some(9));
    // A library that takes a function for one of another type.
    let (status, out, _) = dest.loads(&[], &["open", "/test/third.so"]);
    assert_eq!(status, Some(3), "{out}");
    assert!(out.contains("`/test/third.so`: function `add` has another type than the library expects"), "{out}");
    let (status, out, _) = dest.loads(&[], &["open", "/test/absent.so"]);
    assert_eq!((status, out.as_str()), (Some(3), "refused: `/test/absent.so`: there is no such file\n"));
}

#[test]
fn hostile_calls_from_a_library_trap() {
    let dest = Dest::new();
    for (what, why) in [
        ("index", "an indirect call to no function of its signature"),
        ("signature", "an indirect call to no function of its signature"),
        ("wrong", "an indirect call to no function of its signature"),
        ("weak", "it aborted"),
        ("outside", "out of bounds memory access"),
        ("deeper", "its calls nest too deeply"),
    ] {
        let (status, out, [_, said, by_pointer]) = dest.loads(&[], &[what]);
        assert_eq!((status, out.as_str()), (Some(134), ""), "{what}: {said}");
        assert!(said.contains(why) && by_pointer.contains(why), "{what}: {said} {by_pointer}");
    }
}

#[test]
fn a_library_that_a_guest_brings_is_refused_with_the_way_out() {
    let dest = Dest::new();
    let brought = tempfile::tempdir().unwrap();
    let root = dest.loader.parent().unwrap().with_file_name("root");
    let mut bytes = fs::read(root.join("test/first.so")).unwrap();
    let [root, mount] = [format!("{}:/:ro", root.display()), format!("{}:/brought:ro", brought.path().display())];
    let run = |engine: Engine| {
        let arguments = ["open", "/brought/library.so"];
        dest.run_program("loads", engine, &["-m", &root, "-m", &mount], &arguments)
    };
    // The very bytes of a package's are as good as the package's own.
    let path = brought.path().join("library.so");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(run(Native).1, "opened 1\n");
    // A custom section named `x`, with nothing in it.
    bytes.extend([0, 2, 1, b'x']);
    fs::write(&path, &bytes).unwrap();
    let Ended(status, out, said) = run(Native);
    assert_eq!(status, Some(3), "{said}");
    let expected = "refused: `/brought/library.so`: it is not native code; `run --engine wasmtime` loads it\n";
    assert_eq!(out, expected);
    assert_eq!(run(Wasmtime).1, "opened 1\n");
}

#[test]
fn exceptions_are_caught_as_by_the_other_engine() {
    let dest = Dest::new();
    let run = |arguments: &[&str], status: i32, out: &str, part: &str| {
        for engine in ENGINES {
            let Ended(ended, said, why) = dest.run_program("throws", engine, &[], arguments);
            assert_eq!((ended, said.as_str()), (Some(status), out), "{engine:?} {arguments:?}: {why}");
            assert!(why.contains(part), "{engine:?} {arguments:?}: {why}");
        }
    };
    run(&[], 0, "1000 destroyed\n", "");
    // Each catches what the other one throws: as it is, by its base, and thrown again. A function
    // that both define is each one's own.
    let across = "3 3 3 3\n1004 104 1004 104\n2005 205 2005 205\n7\n1 2\n6666 caught, 26690 destroyed\n";
    run(&["works"], 0, across, "");
    let host = "3 3 104 3 3 4\n104 104 205 104 104 105\n205 205 0 205 205 206\n1000 caught, 3033 destroyed\n";
    // What ends a guest is not caught, however deep it is among frames of the host.
    run(&["trap"], 134, host, "it aborted (an unreachable instruction was reached)");
    run(&["exit"], 9, host, "");
    // What was caught before leaves nothing that catches: not the host's frames, nor those that
    // were left.
    run(&["uncaught"], 134, host, "terminating due to uncaught exception of type int");
}
