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

#[test]
fn recipes_that_are_newer_than_the_program_are_refused() {
    let space = Space::new(&ninjas()[0]);
    for folder in ["build-graph/src", "recipes/src"] {
        fs::create_dir_all(space.path(folder)).unwrap();
        fs::write(space.path(folder).join("lib.rs"), "// something else").unwrap();
    }
    insta::assert_snapshot!(space.fail(&["gen"]));
}

#[test]
fn why_shows_what_an_edit_changed() {
    let space = Space::new(&ninjas()[0]);
    space.generate();
    space.build();
    space.edit("words.c", "recipe", "file");
    space.generate();
    let text = space.run(&["why", "x86_64-linux/greeting/words.o"]);
    // The digests differ from run to run: the sources hold a number of their own.
    let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = |line: &str| {
        let clean = |word: &str| {
            let digest = word.trim_matches(['(', ')', ':']);
            if is_digest(digest) { word.replace(digest, "DIGEST") } else { word.to_owned() }
        };
        line.split(' ').map(clean).collect::<Vec<_>>().join(" ")
    };
    insta::assert_snapshot!(text.lines().map(words).collect::<Vec<_>>().join("\n"));
}
