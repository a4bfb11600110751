//! The verbs `build` and `log`, and the build log that they read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use super::on_every_ninja;
use super::space::Space;

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

/// The records of the build log: kind, node and outcome of each.
fn records(space: &Space) -> Vec<(String, String, String)> {
    let text = fs::read_to_string(space.path("out/builds")).unwrap();
    text.lines()
        .map(|line| {
            let value = json(line);
            let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            let node = field("node").rsplit('/').next().unwrap().to_owned();
            let outcome = match &value["outcome"] {
                serde_json::Value::Object(outcome) => outcome.keys().next().unwrap().clone(),
                outcome => outcome.as_str().unwrap_or_default().to_owned(),
            };
            (field("record"), node, outcome)
        })
        .collect()
}

fn runs(space: &Space) -> Vec<(String, String)> {
    let runs = records(space).into_iter().filter(|(record, ..)| record == "run");
    let mut runs: Vec<_> = runs.map(|(_, node, outcome)| (node, outcome)).collect();
    runs.sort();
    runs
}

fn run_and(space: &Space, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = space.tool(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const BUILD: [&str; 4] = ["build", "--offline", "--target", "x86_64-linux"];

#[test]
fn build_is_gen_and_ninja_in_one() {
    on_every_ninja(|space| {
        space.environment.push(("NINJA", space.ninja_program().into()));
        let build = [&BUILD[..], &["greeting", "-j1"]].concat();
        let (status, text, error) = run_and(space, &build);
        assert_eq!(status, Some(0), "{text}{error}");
        assert!(text.contains("run x86_64-linux/greeting/words.o ("), "{text}");
        assert!(text.contains("built 4 nodes in "), "{text}");
        assert!(!text.contains('\u{1}') && !text.contains("look for changes"), "{text}");
        let built = |node: &str| (node.to_owned(), "built".to_owned());
        assert_eq!(runs(space), ["greeting", "main.o", "package", "words.o"].map(built));
        // As plain ninja sees it, nothing is left.
        assert_eq!(space.build(), [""; 0]);
        let (status, text, _) = run_and(space, &build);
        assert_eq!((status, text.contains("nothing to build")), (Some(0), true), "{text}");
        // One node, and what it needs.
        space.edit("words.c", "recipe", "file");
        let node = "x86_64-linux/greeting/words.o";
        let (status, text, error) = run_and(space, &[&BUILD[..], &[node]].concat());
        assert_eq!(status, Some(0), "{text}{error}");
        assert!(text.contains("built 1 node in "), "{text}");
        assert_eq!(space.build(), ["greeting"]);
    });
}

#[test]
fn build_keeps_the_statuses_and_names_what_failed() {
    on_every_ninja(|space| {
        space.environment.push(("NINJA", space.ninja_program().into()));
        let build = [&BUILD[..], &["greeting", "-k"]].concat();
        for file in ["main.c", "words.c"] {
            let text = space.source(file);
            space.write_file(file, &format!("#error no {file}\n{text}"));
        }
        let (status, text, error) = run_and(space, &build);
        assert_eq!(status, Some(1), "{text}{error}");
        assert!(text.contains("no main.c") && text.contains("no words.c"), "{text}");
        assert!(text.contains("words.o (failed after "), "{text}");
        assert!(error.contains("2 nodes were not built: `x86_64-linux/greeting/"), "{error}");
        assert!(!text.contains("FAILED") && !text.contains("run-action"), "{text}");
        let (status, text, _) = run_and(space, &["log", "x86_64-linux/greeting/main.o"]);
        assert!(status == Some(0) && text.contains("no main.c"), "{text}");
        let (status, _, error) = run_and(space, &[&BUILD[..], &["greting"]].concat());
        assert!(status == Some(2) && error.contains("like it are `greeting`"), "{error}");
        // The machine's fault is 3, whatever ninja makes of it.
        let (status, _, error) = run_and(space, &[&["build", "--offline", "--no-remote"][..], &["-j0"]].concat());
        assert_eq!(status, Some(2), "{error}");
        space.environment.retain(|(name, _)| *name != "NINJA");
        space.environment.push(("NINJA", "/nowhere/ninja".into()));
        let (status, _, error) = run_and(space, &build);
        assert_eq!(status, Some(3), "{error}");
        assert!(error.contains("can't start `/nowhere/ninja`") && error.contains("hint: install ninja"), "{error}");
    });
}

#[test]
fn an_interrupted_build_ends_its_actions_and_goes_on_later() {
    on_every_ninja(|space| {
        space.environment.push(("NINJA", space.ninja_program().into()));
        // The unit includes what never ends.
        let text = space.source("words.c");
        let bomb = "#define A(x) x x x x x x x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\nchar *s = B(B(\"a\"));\n";
        space.write_file("words.c", &format!("{bomb}{text}"));
        let build = [&BUILD[..], &["greeting"]].concat();
        let mut child = space.tool(&build).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = || {
            space.path("out/builds").exists() && {
                records(space).iter().any(|(record, node, _)| record == "start" && node == "words.o")
            }
        };
        testing::wait_until("the action runs", started);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143));
        // The run that was killed has a beginning and no end.
        let ended = |(record, node, _): &(String, String, String)| record == "run" && node == "words.o";
        assert!(!records(space).iter().any(ended));
        space.write_file("words.c", &text);
        let (status, text, error) = run_and(space, &build);
        assert_eq!(status, Some(0), "{text}{error}");
    });
}

#[test]
fn logs_of_successful_actions_are_kept_and_reach_no_terminal_raw() {
    on_every_ninja(|space| {
        space.use_own_store();
        let text = space.source("words.c");
        let noise = "#warning \"seen \\033 here\"\n#pragma message \"\u{1b}]0;title\u{7}\"\n";
        space.write_file("words.c", &format!("{noise}{text}"));
        space.generate();
        space.build();
        let node = "x86_64-linux/greeting/words.o";
        let log = space.run(&["log", node]);
        assert!(log.contains("warning:"), "{log}");
        assert!(!log.contains(['\u{1b}', '\u{7}']), "{log:?}");
        let warnings = space.run(&["log", "--warnings"]);
        assert!(warnings.starts_with(&format!("== {node}\n")) && warnings.contains("seen"), "{warnings}");
        assert!(!space.run(&["log", "greeting"]).contains("main.o"));
        assert!(space.fail(&["log", "files/recipes/files/greeting"]).contains("is no action"));
        // They are counted, and go with their results.
        let logs = || fs::read_dir(space.store().join("logs")).unwrap().count();
        assert!(logs() > 0 && space.run(&["cache", "stats"]).contains(" of logs of actions"));
        let file = walk(&space.store().join("logs"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o444);
        space.run(&["cache", "drop", node]);
        assert!(!file.exists());
    });
}

/// The one file in folders of a folder.
fn walk(folder: &std::path::Path) -> std::path::PathBuf {
    let shards = fs::read_dir(folder).unwrap().map(|shard| shard.unwrap().path());
    let mut files: Vec<_> =
        shards.flat_map(|shard| fs::read_dir(shard).unwrap().map(|file| file.unwrap().path())).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn the_build_log_says_why_nothing_ran_and_what_came_out_as_before() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        fs::remove_file(space.path("out/builds")).unwrap();
        space.edit("words.c", "#include", "/* a comment */ #include");
        space.generate();
        assert_eq!(space.build(), ["words.o"]);
        let text = fs::read_to_string(space.path("out/builds")).unwrap();
        let values: Vec<_> = text.lines().map(json).collect();
        let run = values.iter().find(|value| value["record"] == "run").unwrap();
        assert_eq!((&run["same"], &run["outcome"]), (&true.into(), &"built".into()), "{run}");
        assert!(run["end"].as_u64() > run["start"].as_u64() && run["pid"].as_u64().is_some(), "{run}");
        // The key that it had before is another one.
        let last = &values[0]["last"]["x86_64-linux/greeting/words.o"];
        assert!(last.as_str().is_some_and(|key| key.len() == 64) && *last != run["key"], "{text}");
        // A log that is damaged, or gone, costs nothing but itself.
        fs::write(space.path("out/builds"), "{\"record\":\"run\",\"no").unwrap();
        space.edit("words.c", "a comment", "another");
        space.generate();
        assert_eq!(space.build(), ["words.o"]);
    });
}

/// Whoever waits for another build of the same node says for whom, and the build log has it.
#[test]
fn a_wait_for_another_build_of_a_node_is_said() {
    on_every_ninja(|space| {
        space.generate();
        let why = space.run(&["why", "x86_64-linux/greeting/words.o"]);
        let key = why.lines().find_map(|line| line.strip_prefix("key:    ")).unwrap().to_owned();
        let store = std::path::PathBuf::from(space.run(&["cache", "root"]).trim());
        let lock = fs::File::create(store.join("locks").join(key)).unwrap();
        lock.lock().unwrap();
        let build = space.start_build();
        testing::wait_until("it waits", || records(space).iter().any(|(record, ..)| record == "wait"));
        let text = fs::read_to_string(space.path("out/builds")).unwrap();
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        drop(lock);
        let output = build.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("waiting for `") && text.contains("which uses the store"), "{text}");
    });
}
