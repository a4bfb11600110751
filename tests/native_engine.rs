//! Both engines of the loader run the same programs, and they end in the same way: with traps, at
//! limits, with random operations, with libraries, and from a snapshot. The native code comes from
//! the graph, as a package.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Random programs that are compared.
const PROGRAMS: u64 = 64;

/// An installation with the program `engine` and its native code.
struct Dest {
    _folder: tempfile::TempDir,
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
        let loader = folder.path().join("dest/bin/run");
        Self { _folder: folder, loader }
    }

    /// The files of compiled code with such a name.
    fn compiled(&self, is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let compiled = self.loader.parent().unwrap().with_file_name("compiled");
        let files = fs::read_dir(compiled).unwrap().map(|entry| entry.unwrap());
        files.filter(|file| is_meant(&file.file_name().to_string_lossy())).map(|file| file.path()).collect()
    }

    fn run(&self, engine: &str, options: &[&str], arguments: &[&str]) -> Ended {
        self.run_program("engine", engine, options, arguments)
    }

    fn run_program(&self, name: &str, engine: &str, options: &[&str], arguments: &[&str]) -> Ended {
        let mut loader = Command::new(&self.loader);
        let command = loader.args(["--engine", engine]).args(options).arg(format!("/test/{name}.wasm")).args(arguments);
        let ended = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended(ended.status.code(), text(ended.stdout), text(ended.stderr))
    }

    /// Runs the program that loads libraries by both engines, whose statuses and output have to be
    /// equal; gives these, and what each engine said.
    #[track_caller]
    fn loads(&self, options: &[&str], arguments: &[&str]) -> (Option<i32>, String, [String; 2]) {
        let run = |engine| self.run_program("loads", engine, options, arguments);
        let (Ended(status, out, by_wasmtime), Ended(native, native_out, by_native)) = (run("wasmtime"), run("native"));
        assert_eq!((native, &native_out), (status, &out), "{arguments:?}: {by_wasmtime} {by_native}");
        (status, out, [by_wasmtime, by_native])
    }

    /// Runs it by both engines, which have to do the same; says what that is.
    #[track_caller]
    fn both(&self, options: &[&str], arguments: &[&str]) -> Ended {
        self.both_run("engine", options, arguments)
    }

    #[track_caller]
    fn both_run(&self, name: &str, options: &[&str], arguments: &[&str]) -> Ended {
        let wasmtime = self.run_program(name, "wasmtime", options, arguments);
        let native = self.run_program(name, "native", options, arguments);
        assert_eq!(native, wasmtime, "{name} {options:?} {arguments:?}");
        wasmtime
    }
}

#[test]
fn traps_end_a_guest_in_the_same_way() {
    let dest = Dest::new();
    for what in ["unreachable", "division", "overflow", "conversion", "outside", "recursion"] {
        let Ended(status, out, said) = dest.both(&[], &[what]);
        assert_eq!((status, out.as_str()), (Some(134), ""), "{what}: {said}");
        assert!(said.contains("was ended: "), "{what}: {said}");
    }
    // What the runtime of native code does not tell apart, its text does not either.
    for what in ["index", "null", "signature"] {
        for engine in ["wasmtime", "native"] {
            let Ended(status, out, said) = dest.run(engine, &[], &[what]);
            assert_eq!((status, out.as_str()), (Some(134), ""), "{engine}, {what}: {said}");
        }
        let Ended(_, _, said) = dest.run("native", &[], &[what]);
        assert!(said.contains("an indirect call to no function of its signature"), "{said}");
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
        let Ended(ended, out, said) = dest.both(options, &[what]);
        assert_eq!(ended, Some(status), "{what}: {said}");
        assert!(what != "outer" || out == "no such file\n", "{out}");
    }
    let memory = dest.both(&["--max-memory", "64"], &["memory"]);
    assert_eq!((memory.0, memory.1.as_str()), (Some(0), "no more\n"), "{}", memory.2);
    for engine in ["wasmtime", "native"] {
        let Ended(status, _, said) = dest.run(engine, &["--max-memory", "1"], &["status"]);
        assert_eq!(status, Some(137), "{engine}: {said}");
    }
}

#[test]
fn random_programs_do_the_same() {
    let dest = Dest::new();
    let mut trapped = 0;
    for seed in 1..=PROGRAMS {
        let Ended(status, out, said) = dest.both(&[], &["random", &seed.to_string()]);
        assert!(matches!(status, Some(0 | 134)), "{seed}: {said}");
        trapped += u64::from(status == Some(134));
        assert!(status == Some(134) || out.lines().count() == 20, "{seed}: {out}");
    }
    assert!(trapped > 0 && trapped < PROGRAMS, "{trapped} of {PROGRAMS} trapped");
}

/// What `kept` prints: 2 × (0 + … + 99999), as its initialisation read a file.
const SUM: &str = "9999900000";

#[test]
fn both_start_from_one_snapshot() {
    let dest = Dest::new();
    let starts = |options: &[&str], arguments: &[&str], expected: &str| {
        let Ended(status, out, said) = dest.both_run("kept", options, arguments);
        assert_eq!((status, out.as_str()), (Some(0), expected), "{options:?} {arguments:?}: {said}");
    };
    starts(&[], &["a", "b"], &format!("resumed {SUM} a b -\n"));
    // What a guest wrote into its memory is not in the snapshot.
    starts(&["-E", "VARIABLE=x"], &[], &format!("resumed {SUM} x\n"));
    starts(&["-E", "COLD=1"], &[], &format!("started {SUM} -\n"));
    starts(&[], &["-c"], &format!("started {SUM} -c -\n"));
    let Ended(status, out, said) = dest.both_run("kept", &[], &["trap"]);
    assert_eq!((status, out), (Some(134), format!("resumed {SUM} trap -\n")), "{said}");
    for engine in ["wasmtime", "native"] {
        let Ended(status, _, said) = dest.run_program("kept", engine, &["--max-memory", "2"], &[]);
        assert_eq!(status, Some(137), "{engine}: {said}");
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
        let Ended(status, out, said) = dest.run_program("kept", "native", &["-v"], &[]);
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
        let Ended(status, out, said) = dest.run("native", &[], &["status"]);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{said}");
        assert!(said.contains(why) && said.contains("--engine wasmtime"), "{said}");
    };
    assert_eq!(dest.run("native", &[], &["status"]).0, Some(7));
    for is_runtime in [false, true] {
        let files = kept(is_runtime);
        // Of three programs, and of three libraries, which have no runtime: one for each way to
        // reach memory.
        assert_eq!(files.len(), if is_runtime { 6 } else { 12 });
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
    assert_eq!(dest.run("wasmtime", &[], &["status"]).0, Some(7));
}

#[test]
fn libraries_are_linked_as_by_the_other_engine() {
    let dest = Dest::new();
    let (status, out, said) = dest.loads(&[], &["works"]);
    // Functions, data, a weak symbol that nobody has, a constructor; addresses of functions, as
    // both modules see them; calls back; variables; handles.
    let expected = "23 9 40 16 -1\n1 6\n1 1\n1 3 5 9\n17 2\n1 1\n";
    assert_eq!((status, out.as_str()), (Some(0), expected), "{said:?}");
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
        let (status, out, [_, said]) = dest.loads(&[], &[what]);
        assert_eq!((status, out.as_str()), (Some(134), ""), "{what}: {said}");
        assert!(said.contains(why), "{what}: {said}");
    }
}

#[test]
fn a_library_that_a_guest_brings_is_refused_with_the_way_out() {
    let dest = Dest::new();
    let brought = tempfile::tempdir().unwrap();
    let root = dest.loader.parent().unwrap().with_file_name("root");
    let mut bytes = fs::read(root.join("test/first.so")).unwrap();
    let [root, mount] = [format!("{}:/:ro", root.display()), format!("{}:/brought:ro", brought.path().display())];
    let run = |engine| {
        let arguments = ["open", "/brought/library.so"];
        dest.run_program("loads", engine, &["-m", &root, "-m", &mount], &arguments)
    };
    // The very bytes of a package's are as good as the package's own.
    let path = brought.path().join("library.so");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(run("native").1, "opened 1\n");
    // A custom section named `x`, with nothing in it.
    bytes.extend([0, 2, 1, b'x']);
    fs::write(&path, &bytes).unwrap();
    let Ended(status, out, said) = run("native");
    assert_eq!(status, Some(3), "{said}");
    let expected = "refused: `/brought/library.so`: it is not native code; `run --engine wasmtime` loads it\n";
    assert_eq!(out, expected);
    assert_eq!(run("wasmtime").1, "opened 1\n");
}
