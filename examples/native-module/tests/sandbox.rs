//! The example as its documentation has it: the module is built, installed onto a sandbox that is
//! there already, and imported in it.
//!
//! What Python itself needs comes from the store that the tests are run with, or is built.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_native-module");

fn output(command: &mut Command) -> Output {
    let output = command.output().expect("a program that starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A project of its own, so that nothing is left in the sources.
fn project(folder: &Path) {
    let there = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::copy(there.join("pynbox.toml"), folder.join("pynbox.toml")).expect("a file");
    for file in [
        "files/distance/distance.c",
        "files/distance/distance.h",
        "files/editdistance/editdistance.c",
        "files/ratio/ratio.pyx",
        "files/words/words.cpp",
        "locks/sources.toml",
    ] {
        let file = Path::new("recipes").join(file);
        std::fs::create_dir_all(folder.join(file.parent().expect("a folder"))).expect("a folder");
        std::fs::copy(there.join(&file), folder.join(&file)).expect("a file");
    }
}

#[test]
fn a_module_of_ones_own_is_built_installed_and_imported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (project_folder, dest) = (folder.path().join("project"), folder.path().join("dest"));
    project(&project_folder);
    let ours = |arguments: &[&str]| output(Command::new(PROGRAM).current_dir(&project_folder).args(arguments));
    let dest_text = dest.display().to_string();

    ours(&["gen"]);
    output(Command::new("ninja").current_dir(&project_folder).args(["python", "editdistance"]));
    ours(&["install", &dest_text, "python"]);
    let run_with = |options: &[&str], program: &str| {
        let mut command = Command::new(dest.join("bin/run"));
        let output = command.args(options).args(["python", "-c", program]).output().expect("a sandbox");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let run = |program: &str| run_with(&[], program);
    // Not before it is installed.
    let not_yet = |(status, said): (Option<i32>, String)| {
        assert!(status == Some(1) && said.contains("ImportError: No module named editdistance"), "{said}");
    };
    not_yet(run("import editdistance"));

    // A guest that runs keeps what it was started with, whatever is installed meanwhile.
    let mut guest = Command::new(dest.join("bin/run"))
        .args(["python", "-c", "import sys\nsys.stdin.readline()\nimport json\nimport editdistance"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a sandbox");
    let installed = ours(&["install", &dest_text, "editdistance", "--keep", "0"]);
    let installed = String::from_utf8_lossy(&installed.stdout).into_owned();
    assert!(installed.contains("generation 2 is current"), "{installed}");
    assert!(installed.contains("generation 1 stays: a program runs in it"), "{installed}");
    assert!(dest.join("root/slib/libdistance.so").is_file(), "the library that the module needs comes with it");
    let program = "import editdistance as e; print e.distance('kitten', 'sitting'), e.distance('', 'abc'), e.__file__";
    let expected = "3 3 /python/lib/python2.7/site-packages/editdistance.so\n";
    assert_eq!(run(program), (Some(0), expected.to_owned()));
    guest.stdin.take().expect("a pipe").write_all(b"go\n").expect("a guest that reads");
    let output = guest.wait_with_output().expect("a guest that ends");
    not_yet((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()));
    // Each generation has its own snapshot, which is good when one goes back and forth.
    for (imported, number) in [(false, "1"), (true, "2")] {
        ours(&["rollback", &dest_text, number]);
        let said = run_with(&["-v", "-v"], "import json");
        assert!(said.1.contains("the snapshot is loaded"), "{said:?}");
        match imported {
            true => assert_eq!(run(program), (Some(0), expected.to_owned())),
            false => not_yet(run(program)),
        }
    }
    // Where it came from, and that it can be made again.
    let which = ours(&["which", &format!("{dest_text}/root/slib/libdistance.so")]);
    let which = String::from_utf8_lossy(&which.stdout).into_owned();
    assert!(which.contains("package: editdistance") || which.contains("package: distance"), "{which}");
    assert!(which.contains("node:    wasm32-wasi/distance/"), "{which}");
    let verified = ours(&["verify", &dest_text, "--share", "0.1%"]);
    let verified = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.contains(" are the same, 0 differ, 0 are not known there"), "{verified}");
    let statement = ours(&["provenance", &dest_text]).stdout;
    assert_eq!(ours(&["provenance", &dest_text]).stdout, statement, "the same build, the same bytes");
    let statement = String::from_utf8_lossy(&statement).into_owned();
    for part in ["root/slib/libdistance.so", "Python-2.7.18.tgz", "https://slsa.dev/provenance/v1"] {
        assert!(statement.contains(part), "{part}");
    }
    // Errors of its arguments are Python's.
    let (status, said) = run("import editdistance; editdistance.distance(1, 'a')");
    assert_eq!(status, Some(1));
    assert!(said.contains("TypeError"), "{said}");
}

/// One source for both Pythons, a module whose C Cython writes, and one in C++ with pybind11.
#[test]
fn modules_of_ones_own_for_python_3() {
    let folder = tempfile::tempdir().expect("a folder");
    let (project_folder, dest) = (folder.path().join("project"), folder.path().join("dest"));
    project(&project_folder);
    let ours = |arguments: &[&str]| output(Command::new(PROGRAM).current_dir(&project_folder).args(arguments));
    let dest_text = dest.display().to_string();

    let modules = ["python3-editdistance", "python3-ratio", "python3-words"];
    ours(&[&["build", "sandbox_outer", "sandbox_inner"], &modules[..]].concat());
    ours(&[&["install", &dest_text], &modules[..]].concat());
    let run = |program: &str| {
        let mut command = Command::new(dest.join("bin/run"));
        let output = command.args(["python3", "-c", program]).output().expect("a sandbox");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let program =
        "import editdistance as e; print(e.distance('kitten', b'sitting'), e.distance('', 'abc'), e.__file__)";
    let expected = "3 3 /python3/lib/python3.13/site-packages/editdistance.so\n";
    assert_eq!(run(program), (Some(0), expected.to_owned()));
    let program = "import ratio; print(ratio.ratio('abcd', 'abcx'), ratio.ratio('', ''), ratio.ratio('ä', 'ö'))";
    assert_eq!(run(program), (Some(0), "0.75 1.0 0.5\n".to_owned()));
    // Errors of their arguments are Python's.
    for program in ["import editdistance; editdistance.distance(1, 'a')", "import ratio; ratio.ratio(1, 'a')"] {
        let (status, said) = run(program);
        assert!(status == Some(1) && said.contains("TypeError"), "{said}");
    }
    assert_eq!(run(WORDS), (Some(0), WORDS_SAY.to_owned()));
    // The library is one for all.
    let which = ours(&["which", &format!("{dest_text}/root/python3/lib/python3.13/site-packages/ratio.so")]);
    let which = String::from_utf8_lossy(&which.stdout).into_owned();
    assert!(which.contains("package: python3-ratio 1.0"), "{which}");
    assert!(dest.join("root/slib/libdistance.so").is_file());
}

/// What C++ throws is an exception of Python's, and Python's own exceptions pass through C++.
const WORDS: &str = r#"
import words

def kind(call):
    try:
        return call()
    except Exception as error:
        return f"{type(error).__module__}.{type(error).__name__}: {error}".splitlines()[0]

def fails(word):
    raise KeyError(word)

some = words.Words(["kitten", "sitting", "knitting"])
print(len(some), some[1], some.nearest("sittin"), some.nearest("sittin", lambda word: word != "sitting"))
print(kind(lambda: words.Words([]).nearest("x")), issubclass(words.NoWord, LookupError))
print(kind(lambda: some[3]).partition(":")[0])
print(kind(lambda: some.reserve(1 << 28)))
print(kind(lambda: some.reserve((1 << 32) - 1)).partition(":")[0])
print(kind(lambda: some.nearest("x", fails)))
print(kind(lambda: some.nearest(1)).partition(":")[0])
print(some.nearest("x", accepts=None))
"#;
const WORDS_SAY: &str = "\
3 sitting sitting kitten
words.NoWord: there is no word for `x` True
builtins.IndexError
builtins.MemoryError: std::bad_alloc
builtins.ValueError
builtins.KeyError: 'kitten'
builtins.TypeError
kitten
";
