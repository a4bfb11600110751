//! Questions about a build: `list`, `query`, `graph`, `diff`, `gen --dry-run`. None of them builds.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::on_every_ninja;
use super::space::{Space, ninjas};

const UNIT: &str = "x86_64-linux/greeting/words.o";
const PROGRAM: &str = "x86_64-linux/greeting/greeting";
const FILES: &str = "files/recipes/files/greeting";
const FILE: &str = "`recipes/files/greeting/words.c` changed";

/// An answer as JSON, whose schema is this one.
fn json(space: &Space, arguments: &[&str], schema: &str) -> Value {
    let text = space.run(arguments);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["schema"], format!("pynbox-build/{schema}"), "{text}");
    answer
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().or(one["name"].as_str()).unwrap()).collect()
}

fn git(space: &Space, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(space.path(""))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "git {arguments:?}");
}

#[test]
fn questions_lead_to_the_root_and_build_nothing() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.generate();
        space.build();
        space.generate();
        git(space, &["init", "--quiet"]);
        git(space, &["add", "pynbox.toml", "recipes"]);
        git(space, &["commit", "--quiet", "-m", "first"]);
        let (plan, results) = (fs::read(space.path("out/plan")).unwrap(), space.results());
        assert!(space.run(&["diff", "plan", "now"]).starts_with("0 differ, 0 follow, "), "nothing changed");

        space.edit("words.c", "recipe", "file");
        let text = space.run(&["gen", "--dry-run", "--explain", "--target", "x86_64-linux"]);
        assert!(text.contains(&format!("run: {UNIT} (run)\n  {FILE}\n")), "{text}");
        assert!(text.contains(&format!("wait: {PROGRAM}\n  for {UNIT}\n")), "{text}");
        let answer = json(space, &["gen", "--dry-run", "--explain", "--json"], "gen-dry-run/1");
        let run = answer["run"].as_array().unwrap().iter().find(|run| run["node"] == UNIT).unwrap();
        assert_eq!(run["because"], serde_json::json!([FILE]));

        // Against the plan, and against the commit.
        for first in ["plan", "HEAD"] {
            let answer = json(space, &["diff", first, "now", "--json"], "diff/1");
            let changed = answer["difference"]["changed"].as_array().unwrap();
            let kinds: Vec<_> = changed.iter().map(|change| (&change["node"], &change["kind"])).collect();
            assert_eq!(kinds, [(&Value::from(FILES), &Value::from("files"))], "{first}");
            assert_eq!(changed[0]["parts"], serde_json::json!(["`words.c` changed"]));
            assert!(names(&answer["difference"]["follow"]).contains(&PROGRAM), "{answer}");
        }
        let said = space.fail(&["diff", "no-such-revision", "now"]);
        assert!(said.contains("`no-such-revision` is no plan, project, store or revision"), "{said}");
        let said = space.fail(&["diff", "--", "--output=x", "now"]);
        assert!(said.contains("is no plan, project, store or revision"), "{said}");

        // A plan that was kept, and a store that has other results.
        space.run(&["gen", "--dry-run", "--save", "kept"]);
        assert!(space.run(&["diff", "kept", "now"]).starts_with("0 differ, 0 follow, "));
        let store = space.store();
        let answer = json(space, &["diff", "plan", store.to_str().unwrap(), "--json"], "diff/1");
        assert_eq!(answer["difference"]["changed"], serde_json::json!([]));

        assert_eq!(fs::read(space.path("out/plan")).unwrap(), plan, "the plan stays");
        assert_eq!(space.results(), results, "nothing is built");
        space.generate();
        let answer = json(space, &["why", PROGRAM, "--json"], "why/1");
        assert_eq!(answer["nodes"][0]["because"], serde_json::json!([FILE]));
        assert_eq!(answer["nodes"][0]["node"]["state"], "waiting");
        space.build();
        let answer = json(space, &["list", UNIT, "--long", "--json"], "list/1");
        assert_eq!(answer["nodes"][0]["state"], "built", "since `gen`");
        let answer = json(space, &["list", UNIT, "--json"], "list/1");
        assert_eq!(answer["nodes"][0]["state"], "left", "as `gen` left it");
    });
}

/// Before the first `gen`, too.
#[test]
fn the_graph_can_be_walked_and_drawn() {
    let space = Space::new(&ninjas()[0]);
    assert!(!space.path("out").exists());
    let list = space.run(&["list", "x86_64-linux/greeting/*.o"]);
    assert_eq!(list, "run x86_64-linux/greeting/main.o\nrun x86_64-linux/greeting/words.o\n");
    let path = space.run(&["query", "path", PROGRAM, FILES]);
    let path: Vec<_> = path.lines().collect();
    assert_eq!((path[0], path.last()), (PROGRAM, Some(&FILES)));
    let deps = json(&space, &["query", "deps", PROGRAM, "--depth", "1", "--json"], "query-nodes/1");
    assert_eq!(names(&deps["nodes"]), ["image/host", "x86_64-linux/greeting/main.o", UNIT]);
    let users = json(&space, &["query", "rdeps", UNIT, "--json"], "query-nodes/1");
    assert!(names(&users["nodes"]).contains(&PROGRAM), "{users}");
    let sources = json(&space, &["query", "sources", "wasm32-wasi/zlib", "--json"], "query-sources/1");
    let files: Vec<_> =
        sources["sources"].as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
    assert!(files.iter().any(|file| file.starts_with("zlib_1")), "{files:?}");
    let patches = json(&space, &["query", "patches", "wasm32-wasi/python", "--json"], "query-patches/1");
    assert!(!patches["patches"].as_array().unwrap().is_empty());
    let said = space.fail(&["query", "path", FILES, PROGRAM]);
    assert!(said.starts_with("exit code 2\n") && said.contains("does not need"), "{said}");

    let picture = json(&space, &["graph", PROGRAM, "--json"], "graph/1");
    let dot = space.run(&["graph", PROGRAM]);
    assert!(dot.starts_with("digraph") && dot.contains(&format!("[label=\"{UNIT}\"")), "{dot}");
    assert_eq!(dot.matches(" -> ").count(), picture["edges"].as_array().unwrap().len());
    let greeting = ["graph", "x86_64-linux/greeting", "--depth", "2"];
    let svg = space.run(&[&greeting[..], &["--svg"]].concat());
    assert!(svg.contains("<svg") && svg.contains(UNIT), "{svg}");
    let page = space.run(&[&greeting[..], &["--html"]].concat());
    assert!(page.contains("<svg") && page.contains(UNIT) && page.contains("default-src 'none'"));
    let elsewhere = page.replace("href=\"#", "");
    assert!(!elsewhere.contains("src=\"") && !elsewhere.contains("href=\""), "a page needs nothing beside itself");
}
