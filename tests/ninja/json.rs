//! `--json` of verbs that do something: standard output is one line of JSON with a schema that the
//! reference has, and what the verb says otherwise is on standard error.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::space::{Space, ninjas};

const NODE: &str = "x86_64-linux/greeting/words.o";

/// Runs a verb with `--json`, which has to end with this status; gives its answer.
#[track_caller]
fn answer(space: &Space, status: i32, line: &str, schema: &str) -> Value {
    let output = space.tool(&line.split(' ').chain(["--json"]).collect::<Vec<_>>()).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(status), "{line}: {out}{err}");
    assert!(out.is_ascii() && out.ends_with('\n') && out.lines().count() == 1, "{line}: {out}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["schema"], format!("pynbox-build/{schema}"), "{line}");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/json.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(&format!("`pynbox-build/{schema}`"))).unwrap();
    for field in answer.as_object().unwrap().keys().filter(|field| *field != "schema") {
        assert!(section.contains(&format!("\n| `{field}` | ")), "{line}: {field}");
    }
    answer
}

#[test]
fn a_build_and_what_is_made_of_it_answer_as_json() {
    let mut space = Space::new(&ninjas()[0]);
    space.use_own_store();
    let generated = answer(&space, 0, "gen --offline --target x86_64-linux", "gen/1");
    assert_eq!(generated["unchanged"], false, "{generated}");
    assert_eq!(answer(&space, 0, "gen --offline --target x86_64-linux", "gen/1")["unchanged"], true);
    let built = answer(&space, 0, "build --offline --target x86_64-linux greeting", "build/1");
    let nodes = built["nodes"].as_array().unwrap();
    let unit = nodes.iter().find(|node| node["name"] == NODE).unwrap();
    assert!(unit["outcome"] == "built" && unit["same"] == false && unit["seconds"].as_f64().unwrap() > 0.0, "{built}");
    let again = answer(&space, 0, "build --offline --target x86_64-linux greeting", "build/1");
    assert_eq!(again["nodes"].as_array().unwrap().len(), 0);

    let tree = answer(&space, 0, &format!("checkout {NODE} --digest"), "checkout/1");
    assert!(tree["tree"] == space.digest("words.o").trim_end() && tree["folder"].is_null(), "{tree}");
    assert_eq!(answer(&space, 0, &format!("checkout {NODE} laid-out"), "checkout/1")["folder"], "laid-out");
    let exported = answer(&space, 0, "export packages --target x86_64-linux", "export/1");
    let file = exported["archives"][0]["file"].as_str().unwrap();
    assert!(space.path(file).is_file() && exported["archives"][0]["name"] == "greeting", "{exported}");

    space.edit("words.c", "return", "retrun");
    let failed = answer(&space, 1, "build --offline --target x86_64-linux greeting", "build/1");
    let unit = failed["nodes"].as_array().unwrap().iter().find(|node| node["name"] == NODE).unwrap();
    assert_eq!(unit["outcome"], "failed", "{failed}");
}

#[test]
fn what_others_are_given_of_the_store_answers_as_json() {
    let mut space = Space::new(&ninjas()[0]);
    space.use_own_store();
    space.generate();
    space.build();
    let key = answer(&space, 0, "cache keygen key.pem", "cache-keygen/1");
    assert!(space.path("key.pem").is_file() && key["id"].as_str().unwrap().len() == 16, "{key}");
    fs::create_dir(space.path("remote")).unwrap();
    fs::write(space.path("pynbox.toml"), "[[remote]]\nname = 'team'\nurl = 'remote'\nrole = 'read-write'\n").unwrap();
    space.environment.push(("PYNBOX_SIGNING_KEY", space.path("key.pem").into()));
    space.generate();
    let signed = answer(&space, 0, &format!("cache sign {NODE}"), "cache-sign/1");
    assert!(signed["put"].as_u64().unwrap() > 0 && signed["refused"].as_array().unwrap().is_empty(), "{signed}");
    let there = answer(&space, 1, &format!("cache verify --remote-name team {NODE}"), "cache-verify-remote/1");
    assert!(there["remote"] == "team" && there["wrong"][0].as_str().unwrap().contains("not believed"), "{there}");
    let again = answer(&space, 0, &format!("cache check 100% {NODE} --seed 7"), "cache-check/1");
    assert!(again["seed"] == 7 && again["executed"] == again["actions"], "{again}");
    let pack = answer(&space, 0, "cache export pack x86_64-linux/greeting/", "cache-export/1");
    assert_eq!(pack["length"], fs::metadata(space.path("pack")).unwrap().len());
    let dropped = answer(&space, 0, "cache drop x86_64-linux/greeting/", "cache-drop/1");
    assert!(dropped["results"].as_u64().unwrap() >= 4, "{dropped}");
    let imported = answer(&space, 0, "cache import pack --unsigned", "cache-import/1");
    assert_eq!(imported["results"], pack["results"]);
}

#[test]
fn sources_and_the_store_answer_as_json() {
    let space = Space::new(&ninjas()[0]);
    let pins = answer(&space, 0, "source list", "source/1");
    let zlib = pins["sources"].as_array().unwrap().iter().find(|pin| pin["name"] == "zlib").unwrap();
    assert_eq!(zlib["sha256"].as_str().unwrap().len(), 64, "{pins}");
    // It is there already: nothing is fetched.
    let fetched = answer(&space, 0, "fetch zlib --offline", "fetch/1");
    assert_eq!(fetched["fetched"].as_array().unwrap().len(), 0, "{fetched}");
    // A pinned file can be had before the first plan.
    let laid_out = answer(&space, 0, "checkout source/zlib/archive --offline zlib", "checkout/1");
    assert_eq!(laid_out["node"], "source/zlib/archive");
    let file = space.path("zlib").join(zlib["file"].as_str().unwrap());
    let added = answer(&space, 0, &format!("source add {}", file.display()), "source/1");
    assert_eq!(added["sources"], Value::Array(vec![zlib.clone()]));

    // A store with nothing else in it.
    let mut space = Space::new(&ninjas()[0]);
    space.use_empty_store();
    answer(&space, 0, &format!("source add {}", file.display()), "source/1");
    let stats = answer(&space, 0, "cache stats", "cache-stats/1");
    assert_eq!((&stats["results"], &stats["files"]), (&Value::from(1), &Value::from(1)), "{stats}");
    let verified = answer(&space, 0, "cache verify", "cache-verify/1");
    assert_eq!(verified["bytes"], stats["bytes"]);
    let shard = fs::read_dir(space.store().join("blobs")).unwrap().next().unwrap().unwrap().path();
    let blob = fs::read_dir(shard).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, "x").unwrap();
    let verified = answer(&space, 1, "cache verify", "cache-verify/1");
    assert_eq!(verified["damaged"].as_array().unwrap().len(), 1, "{verified}");
    let collected = answer(&space, 0, "cache gc --max-age 1", "cache-gc/1");
    assert_eq!((&collected["results"], &collected["bytes_left"]), (&Value::from(0), &Value::from(0)), "{collected}");
}
