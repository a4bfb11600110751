//! The example as its documentation has it: the program is built for the sandbox and for this
//! machine, and run.

use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_own-recipes");

fn output(command: &mut Command) -> Output {
    let output = command.output().expect("a program that starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A project of its own, so that nothing is left in the sources.
fn project(folder: &Path) {
    let there = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = "recipes/files/greeting";
    std::fs::create_dir_all(folder.join(files)).expect("a folder");
    for name in ["main.c", "words.c", "words.h"] {
        std::fs::copy(there.join(files).join(name), folder.join(files).join(name)).expect("a file");
    }
    std::fs::copy(there.join("pynbox.toml"), folder.join("pynbox.toml")).expect("a file");
}

#[test]
fn a_program_of_ones_own_is_built_and_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (project_folder, here) = (folder.path().join("project"), folder.path().join("here"));
    project(&project_folder);
    let ours = |arguments: &[&str]| output(Command::new(PROGRAM).current_dir(&project_folder).args(arguments));

    ours(&["gen"]);
    output(Command::new("ninja").current_dir(&project_folder).args(["wasm32-wasi/greeting", "x86_64-linux/greeting"]));
    let listing = ours(&["checkout", "wasm32-wasi/greeting/greeting.wasm", "--list"]);
    assert!(String::from_utf8_lossy(&listing.stdout).contains("greeting.wasm"), "{listing:?}");
    ours(&["checkout", "x86_64-linux/greeting/greeting", &here.display().to_string()]);
    let said = output(&mut Command::new(here.join("greeting")));
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello from a recipe of your own\n");
}
