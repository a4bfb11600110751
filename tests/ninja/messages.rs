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
    // The names of all sources, which change with each new recipe.
    let listed = String::from_utf8(space.tool(&["source", "list"]).output().unwrap().stdout).unwrap();
    let names: Vec<_> = listed.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    insta::assert_snapshot!(text.replace(&names.join(", "), "[all sources]"));
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

/// The program of a stranger's project, older than one of its files: cargo's list beside it tells.
#[test]
fn a_program_that_is_older_than_its_own_source_is_refused() {
    let mut space = Space::new(&ninjas()[0]);
    let program = space.use_own_program();
    let source = space.path("src/my main.rs");
    fs::create_dir(space.path("src")).unwrap();
    fs::write(&source, "fn main() {}").unwrap();
    let folder = space.path("").canonicalize().unwrap();
    let list = format!("{}: /elsewhere/lib.rs {}/src/my\\ main.rs\n", program.display(), folder.display());
    fs::write(program.with_extension("d"), list).unwrap();
    let of = |path: &std::path::Path| fs::metadata(path).unwrap().modified().unwrap();
    let touch = |path: &std::path::Path, time| fs::File::open(path).unwrap().set_modified(time).unwrap();
    touch(&source, of(&program) - std::time::Duration::from_secs(10));
    space.generate();
    space.build();
    assert_eq!(space.generate(), 0);
    // Even where all was resolved and nothing else has changed.
    touch(&source, of(&program) + std::time::Duration::from_secs(10));
    assert_eq!(
        space.fail(&["gen"]),
        "exit code 2\nerror: `PROJECT/src/my main.rs` is newer than this program, which was compiled from it; compile it \
         again: `cargo build --release`\n"
    );
    // ninja runs `gen`, whose words go to its standard error.
    touch(&source, std::time::SystemTime::now() + std::time::Duration::from_secs(3600));
    space.failing_build();
}

#[test]
fn a_change_of_what_is_wanted_that_was_not_locked() {
    let space = Space::new(&ninjas()[0]);
    let locks = space.path("recipes/locks");
    fs::create_dir_all(&locks).unwrap();
    let wanted = |seeds: &str| {
        let debian = "[debian]\nsuite = \"bookworm\"\ncomponent = \"main\"\narchitecture = \"amd64\"\n";
        format!("{debian}[images.tools]\nseeds = [{seeds}]\n")
    };
    fs::write(locks.join("wanted.toml"), wanted("\"make\"")).unwrap();
    let said = "exit code 2\nerror: the lock files in `PROJECT/recipes/locks` are not those of what `wanted.toml` and the \
                recipes want; write them anew: `fixture lock`\nimage `tools`: ";
    assert_eq!(space.fail(&["gen"]), format!("{said}it is not locked\n"));
    let lock = "package = []\n[release]\nsuite = \"bookworm\"\nversion = \"12.12\"\ncomponent = \"main\"\n\
                architecture = \"amd64\"\n[images.tools]\nseeds = [\"make\"]\npackages = []\n";
    fs::write(locks.join("images.toml"), lock).unwrap();
    // Now it is locked, and nobody asks for it.
    let unused = space.fail(&["gen"]);
    assert!(unused.contains("no recipe takes the image `tools` of the project's lock files"), "{unused}");
    fs::write(locks.join("wanted.toml"), wanted("\"bash\"")).unwrap();
    assert_eq!(space.fail(&["gen"]), format!("{said}other `seeds` are wanted than are locked\n"));
    // A key that is none, and sources, which recipes name.
    for wrong in ["url = []", "[sources.libyaml]\nversion = \"0.2.5\"\ndebian = \"libyaml\""] {
        fs::write(locks.join("wanted.toml"), format!("{}{wrong}\n", wanted("\"make\""))).unwrap();
        let said = space.fail(&["gen"]);
        assert!(said.starts_with("exit code 2\nerror: `PROJECT/recipes/locks/wanted.toml` is malformed"), "{said}");
    }
}
