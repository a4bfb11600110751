//! What the tool says to whoever uses it wrongly, and what it explains.

use std::fs;

use super::space::{Space, ninjas};

/// As in `pynbox-build source list | true`.
#[test]
fn a_reader_that_has_gone_ends_a_command_quietly() {
    let space = Space::new("ninja");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = space.tool(&["source", "list"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 13));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let output = space.tool(&["source", "list"]).output().unwrap();
    assert!(output.status.success() && output.stdout.len() > 1000, "there is something to write");
}

#[test]
fn wrong_options_and_what_they_are_answered() {
    let space = Space::new(&ninjas()[0]);
    let mut text = String::new();
    let mut collect = |arguments: &[&str]| {
        text.push_str(&format!("$ {}\n{}\n", arguments.join(" "), space.fail(arguments)));
    };
    collect(&["gen", "--target", "vax"]);
    collect(&["gen", "--override-source", "zlib"]);
    collect(&["gen", "--override-source", "nothing=/"]);
    collect(&["gen", "--override-source", "zlib=/nowhere"]);
    collect(&["gen", "--frobnicate"]);
    collect(&["why", "a/b"]);
    collect(&["-C", "/", "gen"]);
    insta::assert_snapshot!(text);
}

#[test]
fn a_folder_in_place_of_a_source_that_is_laid_out_otherwise() {
    let space = Space::new(&ninjas()[0]);
    fs::create_dir(space.path("empty")).unwrap();
    let option = format!("zlib={}", space.path("empty").display());
    let said = space.fail(&["gen", "--override-source", &option]);
    assert!(said.starts_with("exit code 2\n"), "{said}");
    assert!(said.contains("`--override-source zlib=PROJECT/empty`: it has nothing that matches `"), "{said}");
    assert!(said.contains("laid out as the pinned one is"), "{said}");
}

/// Where another input is not there yet, too: nothing that comes later would make it fit.
#[test]
fn an_sdk_that_is_laid_out_otherwise_is_named_before_anything_is_built() {
    let mut space = Space::new(&ninjas()[0]);
    space.use_empty_store();
    // As it is in the archive, with the folder at its top.
    fs::create_dir_all(space.path("sdk/pepper_49/toolchain/linux_x86_glibc/bin")).unwrap();
    fs::write(space.path("sdk/pepper_49/toolchain/linux_x86_glibc/bin/x86_64-nacl-gcc"), "").unwrap();
    let option = format!("nacl-sdk={}", space.path("sdk").display());
    for target in ["x86_64-nacl", "wasm32-wasi"] {
        let said = space.fail(&["gen", "--target", target, "--override-source", &option]);
        assert!(said.starts_with("exit code 2\n"), "{said}");
        assert!(said.contains("`--override-source nacl-sdk=PROJECT/sdk`: it has nothing that matches `"), "{said}");
    }
}

#[test]
fn recipes_that_are_newer_than_the_program_are_refused() {
    let space = Space::new(&ninjas()[0]);
    for folder in ["build-graph/src", "recipes/src"] {
        fs::create_dir_all(space.path(folder)).unwrap();
        fs::write(space.path(folder).join("lib.rs"), "// something else").unwrap();
    }
    insta::assert_snapshot!(space.fail(&["gen"]));
}
