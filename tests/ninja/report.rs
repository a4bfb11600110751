//! The report of a build, in a browser.
//!
//! The tests whose names say `chromium` need Debian's `chromium`.

use std::fs;
use std::process::Command;

use super::on_every_ninja;
use super::space::Space;

/// Loads the page in a headless browser; gives its elements after the script has run.
fn load(space: &Space, page: &str, fragment: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        // In a container there is no sandbox of its own, and `/dev/shm` may be small.
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--enable-logging=stderr", "--virtual-time-budget=3000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--window-size=1400,1200", "--dump-dom"])
        .arg(format!("file://{}{fragment}", space.path(page).display()))
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    let said: Vec<_> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(said.is_empty(), "{said:?}");
    assert!(dom.contains("data-ready=\"yes\"") && !dom.contains("data-error"), "{dom}");
    dom.into_owned()
}

/// The text of an attribute of the element with this id.
fn attribute<'a>(dom: &'a str, id: &str, attribute: &str) -> &'a str {
    let element = dom.split_once(&format!("id=\"{id}\"")).unwrap().1.split_once('>').unwrap().0;
    element.split_once(&format!("{attribute}=\"")).unwrap().1.split_once('"').unwrap().0
}

#[test]
#[ignore = "needs chromium"]
fn a_report_loads_in_chromium_and_its_search_finds_a_node() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.run(&["report"]);
        // The sum of what the build log has.
        let log = fs::read_to_string(space.path("out/builds")).unwrap();
        let records = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let took = |run: &serde_json::Value| run["end"].as_u64().unwrap() - run["start"].as_u64().unwrap();
        let sum: u64 = records
            .map(|record| match record["record"].as_str() {
                Some("run") => took(&record),
                Some("gen") => record["runs"].as_array().map_or(0, |runs| runs.iter().map(took).sum()),
                _ => 0,
            })
            .sum();
        let json: serde_json::Value = serde_json::from_str(&space.run(&["report", "--json"])).unwrap();
        assert_eq!(json["busy"], sum);
        let dom = load(space, "out/report.html", "#find=greeting%20words.o");
        assert_eq!(attribute(&dom, "drawn", "data-us"), sum.to_string());
        let found = dom.split_once("id=\"found\"").unwrap().1.split_once("</ol>").unwrap().0;
        assert!(found.contains("x86_64-linux/greeting/words.o"), "{found}");
        let dom = load(space, "out/report.html", "#node=x86_64-linux/greeting/greeting");
        let details = dom.split_once("id=\"details\"").unwrap().1.split_once("</aside>").unwrap().0;
        assert!(details.contains("x86_64-linux/greeting/main.o") && details.contains("never built"), "{details}");
    });
}

/// A build log is a file that anybody with the project can write: what it says is text.
#[test]
#[ignore = "needs chromium"]
fn hostile_text_runs_no_script_in_chromium() {
    let ninja = super::ninjas().remove(0);
    let space = Space::new(&ninja);
    space.generate();
    space.build();
    let log = space.path("out/builds");
    let hostile = "</script><script>document.documentElement.dataset.error='ran'</script>\
                   <img src=x onerror=\\\"document.documentElement.dataset.error='ran'\\\"><b id=injected>";
    let line = format!(
        "{{\"record\":\"run\",\"node\":\"a\",\"verb\":\"{hostile}\",\"start\":1,\"end\":2,\"pid\":1,\
         \"outcome\":{{\"failed\":{{\"status\":1,\"why\":\"{hostile}\"}}}}}}\n"
    );
    let text = fs::read_to_string(&log).unwrap();
    let begin = text.split_once("\"start\":").unwrap().1.split_once(',').unwrap().0.to_owned();
    fs::write(&log, text + &line.replace("\"start\":1,\"end\":2", &format!("\"start\":{begin},\"end\":{begin}")))
        .unwrap();
    space.run(&["report", "page.html"]);
    let dom = load(&space, "page.html", "#node=a");
    assert!(dom.contains("&lt;b id=injected&gt;") && !dom.contains("<b id=\"injected\""), "{dom}");
}

#[test]
fn a_report_needs_a_build_and_a_trace_has_every_run() {
    on_every_ninja(|space| {
        space.generate();
        fs::remove_file(space.path("out/builds")).unwrap();
        let error = space.fail(&["report"]);
        assert!(error.starts_with("exit code 2") && error.contains("no build has been logged"), "{error}");
        space.build();
        space.run(&["report", "--trace", "trace.json"]);
        let trace: serde_json::Value = serde_json::from_slice(&fs::read(space.path("trace.json")).unwrap()).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let names: Vec<_> = events.iter().filter(|event| event["ph"] == "X").map(|event| &event["name"]).collect();
        for node in ["main.o", "words.o", "greeting"] {
            let name = format!("x86_64-linux/greeting/{node}");
            assert_eq!(names.iter().filter(|event| ***event == name).count(), 1, "{node}: {names:?}");
        }
        // Why an edit made a unit run.
        space.edit("words.c", "recipe", "file");
        space.build();
        let json: serde_json::Value = serde_json::from_str(&space.run(&["report", "--json"])).unwrap();
        let runs = json["runs"].as_array().unwrap();
        let why: Vec<_> = runs.iter().map(|run| run["why"][0].as_str().unwrap_or_default()).collect();
        assert!(why.iter().any(|why| why.contains("`x86_64-linux/greeting/words.o` changed")), "{json}");
    });
}
