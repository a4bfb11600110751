use build_graph::TreeDigest;

use super::page::page;
use super::trace::trace;
use super::*;
use crate::build::plan::Plan;
use crate::store::Store;

fn run(node: &str, start: u64, end: u64, outcome: Outcome) -> Run {
    Run {
        node: node.parse().unwrap(),
        verb: "run".to_owned(),
        start,
        end,
        pid: 4,
        key: None,
        tree: Some(TreeDigest::from_bytes([2; 32])),
        outcome,
        same: false,
        log: 0,
        warnings: 0,
    }
}

/// A build of `a` in `gen`, then `b` and `c` at once, and `d` of `c`; with the names of what the
/// nodes take.
fn report() -> Report {
    let (runs, last) = (vec![run("a", 1010, 1020, Outcome::Evaluated)], BTreeMap::new());
    let plan = "p".to_owned();
    let generated =
        Generated { start: 1000, end: 1050, plan, by_ninja: false, made: true, nodes: 4, left: 3, runs, last };
    let runs = vec![
        run("b", 1060, 1100, Outcome::Built),
        run("c", 1070, 1200, Outcome::BuiltOn("farm".to_owned())),
        run("d", 1210, 1300, Outcome::Failed { status: 1, why: HOSTILE.to_owned() }),
    ];
    let build = Build { generated: vec![generated], runs, unfinished: Vec::new() };
    let folder = tempfile::tempdir().unwrap();
    let out = crate::build::plan::OutDir::new(folder.path().join("out"));
    let node = |name: &str| build_graph::node::Node {
        name: name.parse().unwrap(),
        recipe: "test".into(),
        declared_at: None,
        op: Op::Local { tree: build_graph::Tree::new() },
    };
    let graph = build_graph::graph::Graph::new(["a", "b", "c"].map(node).to_vec(), BTreeMap::new()).unwrap();
    crate::build::plan::NewPlan::new(&graph, |_| None).unwrap().write(&out).unwrap();
    let plan = Plan::open(&out).unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    Report::of(&build, &Model::new(&plan, &store)).unwrap()
}

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u{2028}";

#[test]
fn runs_get_rows_and_times_are_since_the_beginning() {
    let report = report();
    assert_eq!((report.started, report.wall, report.busy, report.lanes), (1000, 300, 270, 3));
    assert_eq!(report.gen_spans, [Span { start: 0, end: 50 }]);
    let rows: Vec<_> = report.runs.iter().map(|run| (run.start, run.end, run.lane)).collect();
    assert_eq!(rows, [(10, 20, 0), (60, 100, 1), (70, 200, 2), (210, 300, 1)]);
    // A node that the plan does not have is reported all the same.
    assert_eq!(report.nodes[3].name, "d");
    assert_eq!(report.nodes[3].state, Standing::Failed);
    assert_eq!(report.runs[3].status, Some(1));
    assert_eq!(report.runs[2].place.as_deref(), Some("farm"));
}

#[test]
fn the_critical_path_goes_by_inputs_and_not_by_the_clock() {
    let mut report = report();
    assert_eq!(report.critical_path, [2]);
    report.nodes[3].inputs = vec![1, 2];
    report.nodes[2].inputs = vec![0];
    assert_eq!(critical_path(&report.nodes, &report.runs), [0, 2, 3]);
}

#[test]
fn a_key_that_differs_is_explained_by_what_differs() {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let before = lines(&["target: wasm", &format!("image: {a}"), "argument: -O1"]);
    let now = lines(&["target: wasm", &format!("image: {b}"), "argument: -O2"]);
    assert_eq!(
        differences(&before, &now, &HashMap::new()),
        ["its image changed", "its description changed: - argument: -O1", "its description changed: + argument: -O2"]
    );
    let taken = HashMap::from([(b, "image/wasm".parse().unwrap())]);
    assert_eq!(differences(&before, &now, &taken)[0], "`image/wasm` changed");
    let many: Vec<_> = (0..9).map(|number| format!("argument: {number}")).collect();
    assert_eq!(differences(&[], &many, &HashMap::new()).last().unwrap(), "and 5 more");
}

/// The rules of the published format, for the kinds of events that are written: every event has
/// `name`, `ph`, `pid` and `tid`; `X` has `cat`, `ts` and `dur`; `M` names what its `args` hold.
#[test]
fn a_trace_keeps_the_rules_of_its_format() {
    let report = report();
    let trace = trace(&report);
    assert_eq!(trace["displayTimeUnit"], "ms");
    let mut spans: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        assert!(event["name"].is_string() && event["pid"].is_u64() && event["args"].is_object(), "{event}");
        let (tid, ts) = (event["tid"].as_u64().unwrap(), event["ts"].as_u64().unwrap());
        // Perfetto shows what thread 0 does on another thread.
        assert!(tid > 0, "{event}");
        match event["ph"].as_str().unwrap() {
            "M" => match event["name"].as_str().unwrap() {
                "process_name" | "thread_name" => assert!(event["args"]["name"].is_string()),
                "thread_sort_index" => assert!(event["args"]["sort_index"].is_u64()),
                other => panic!("{other}"),
            },
            "X" => {
                assert!(event["cat"].is_string(), "{event}");
                spans.entry(tid).or_default().push((ts, ts + event["dur"].as_u64().unwrap()));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(spans.values().map(Vec::len).sum::<usize>(), report.runs.len() + report.gen_spans.len());
    // Those of a thread nest, or one follows the other.
    for spans in spans.values() {
        for (at, a) in spans.iter().enumerate() {
            for b in &spans[at + 1..] {
                let apart = a.1 <= b.0 || b.1 <= a.0;
                let nested = a.0 <= b.0 && b.1 <= a.1 || b.0 <= a.0 && a.1 <= b.1;
                assert!(apart || nested, "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn nothing_of_the_data_is_markup() {
    let page = page(&report()).unwrap();
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    assert!(!data.contains(['<', '>', '&']));
    let value: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(value["runs"][3]["why"][0], HOSTILE);
    assert_eq!(page.matches("<script").count(), 2);
    let own = page.replace(data, "");
    assert!(!own.contains("http:") && !own.contains("https:") && !own.contains("src=") && !own.contains("url("));
}
