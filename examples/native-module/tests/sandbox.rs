//! The example as its documentation has it: the module is built, installed onto a sandbox that is
//! there already, and imported in it.
//!
//! What Python itself needs comes from the store that the tests are run with, or is built.

use std::path::Path;
use std::process::{Command, Output};

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
    for file in ["distance/distance.c", "distance/distance.h", "editdistance/editdistance.c"] {
        let file = Path::new("recipes/files").join(file);
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
    let run = |program: &str| {
        let output = Command::new(dest.join("bin/run")).args(["python", "-c", program]).output().expect("a sandbox");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    // Not before it is installed.
    let (status, said) = run("import editdistance");
    assert_eq!(status, Some(1));
    assert!(said.contains("ImportError: No module named editdistance"), "{said}");

    ours(&["install", &dest_text, "editdistance"]);
    assert!(dest.join("root/slib/libdistance.so").is_file(), "the library that the module needs comes with it");
    let program = "import editdistance as e; print e.distance('kitten', 'sitting'), e.distance('', 'abc'), e.__file__";
    let expected = "3 3 /python/lib/python2.7/site-packages/editdistance.so\n";
    assert_eq!(run(program), (Some(0), expected.to_owned()));
    // Errors of its arguments are Python's.
    let (status, said) = run("import editdistance; editdistance.distance(1, 'a')");
    assert_eq!(status, Some(1));
    assert!(said.contains("TypeError"), "{said}");
}
