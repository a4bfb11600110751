//! `ci`, `init`, `watch`, and the options of every verb.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::space::{Space, ninjas};

/// The example that `init` writes is compiled and run by its own test.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/own-recipes");

#[test]
fn a_job_of_a_ci_service_leaves_a_summary() {
    let mut space = Space::new(&ninjas()[0]);
    space.use_own_store();
    let summary = space.path("summary.md");
    let summary = summary.to_str().unwrap();
    let ci = ["ci", "greeting", "--target", "x86_64-linux", "--offline", "--summary", summary, "--json"];
    let answer: serde_json::Value = serde_json::from_str(&space.run(&ci)).unwrap();
    assert_eq!(answer["schema"], "pynbox-build/ci/1");
    let steps: Vec<_> = answer["steps"].as_array().unwrap().iter().map(|step| &step["command"]).collect();
    assert_eq!(steps, ["gen", "ninja"]);
    let text = fs::read_to_string(summary).unwrap();
    assert!(text.starts_with("## Build\n") && text.contains("| `x86_64-linux/greeting/package` | "), "{text}");

    space.edit("words.c", "return", "retrun");
    let said = space.fail(&ci);
    assert!(said.starts_with("exit code 1\n") && said.contains("error: the step `ninja` failed"), "{said}");
    let text = fs::read_to_string(summary).unwrap();
    assert!(text.contains("| `ninja` | ") && text.contains("**failed with status 1**"), "{text}");
}

#[test]
fn a_new_project_is_the_tested_example_and_replaces_nothing() {
    let space = Space::new(&ninjas()[0]);
    let said = space.run(&["init", "mine"]);
    assert!(said.contains("target/release/mine gen"), "{said}");
    let main = fs::read_to_string(format!("{EXAMPLE}/src/main.rs")).unwrap();
    assert_eq!(fs::read_to_string(space.path("mine/src/main.rs")).unwrap(), main.replace("own-recipes", "mine"));
    assert!(fs::read_to_string(space.path("mine/Cargo.toml")).unwrap().contains("name = \"mine\""));
    let said = space.fail(&["init", "mine"]);
    assert!(said.starts_with("exit code 2\n") && said.contains("is there already"), "{said}");
    let said = space.fail(&["init", "1st"]);
    assert!(said.contains("`1st` can't name a crate"), "{said}");
    assert!(!space.path("1st").exists());
}

#[test]
fn a_change_is_built_again_while_somebody_watches() {
    let mut space = Space::new(&ninjas()[0]);
    space.use_own_store();
    let mut watch = space
        .tool(&["watch", "greeting", "--target", "x86_64-linux", "--offline"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Between a change and its `gen` the plan is not current, and nothing is given out.
    let says = |words: &str| {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("greeting");
        let done =
            space.tool(&["checkout", "x86_64-linux/greeting/greeting", there.to_str().unwrap()]).output().unwrap();
        let output = done.status.success().then(|| Command::new(there.join("greeting")).output().unwrap());
        output.is_some_and(|output| output.stdout.starts_with(words.as_bytes()))
    };
    let wait_for = |words: &str| {
        let start = Instant::now();
        while !says(words) {
            assert!(start.elapsed() < Duration::from_secs(300), "`{words}` is not said");
            thread::sleep(Duration::from_millis(200));
        }
    };
    while !space.path("build.ninja").exists() {
        thread::sleep(Duration::from_millis(100));
    }
    wait_for("hello");
    space.edit("words.c", "hello", "good evening");
    wait_for("good evening");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn options_of_every_verb() {
    let space = Space::new(&ninjas()[0]);
    let said = |arguments: &[&str]| {
        let output = space.tool(arguments).env_remove("NO_COLOR").output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (help, _) = said(&["--help"]);
    assert!(help.contains("\nAsk:\n  list ") && !help.contains('\u{1b}'), "{help}");
    let (help, _) = said(&["--color", "always", "--help"]);
    assert!(help.contains("Ask:\u{1b}[0m") || help.contains("Ask:\u{1b}"), "{help}");
    let (_, error) = said(&["query", "deps", "nothing", "--color=always"]);
    assert!(error.starts_with("\u{1b}[1;31merror:\u{1b}[0m there is no node"), "{error}");
    let (_, error) = said(&["query", "deps", "nothing"]);
    assert!(error.starts_with("error: there is no node"), "{error}");
    let (quiet, notes) = said(&["gen", "--quiet", "--offline", "--target", "x86_64-linux"]);
    assert_eq!((quiet.as_str(), notes.as_str()), ("", ""));
    let (verbose, _) = said(&["gen", "-v", "--offline", "--target", "x86_64-linux"]);
    assert!(verbose.contains("left to run"), "{verbose}");
    assert!(space.fail(&["list", "-q", "-v"]).starts_with("exit code 2\n"));
}
