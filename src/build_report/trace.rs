//! A trace in the Trace Event Format, which Perfetto and `chrome://tracing` open.
//!
//! An object with `traceEvents`. Every run is a complete event (`ph` is `X`) with a beginning `ts`
//! and a duration `dur` in microseconds; metadata events (`M`) name the process and its threads,
//! which are the lanes of the timeline. Events of one thread nest or follow each other.

use serde_json::{Value, json};

use super::{Report, Span};

/// The process of all events: lanes are threads of one build.
const PROCESS: u32 = 1;

/// The thread of a lane. None is 0, which Perfetto takes for the idle thread of a kernel: it shows
/// such events on another thread.
fn thread(lane: usize) -> usize {
    lane + 1
}

/// Returns the trace of a build.
pub fn trace(report: &Report) -> Value {
    let named = |name: &str, tid: usize, text: &str| json!({"name": name, "ph": "M", "ts": 0, "pid": PROCESS, "tid": tid, "args": {"name": text}});
    let mut events = vec![named("process_name", thread(0), "build")];
    for lane in 0..report.lanes {
        let name = if lane == 0 { "gen".to_owned() } else { format!("lane {lane}") };
        let (tid, order) = (thread(lane), json!({"sort_index": lane}));
        events.push(named("thread_name", tid, &name));
        events
            .push(json!({"name": "thread_sort_index", "ph": "M", "ts": 0, "pid": PROCESS, "tid": tid, "args": order}));
    }
    for Span { start, end } in &report.gen_spans {
        let (dur, tid) = (end - start, thread(0));
        events.push(json!({
            "name": "gen", "cat": "gen", "ph": "X", "ts": start, "dur": dur, "pid": PROCESS, "tid": tid,
            "args": {}
        }));
    }
    for (at, run) in report.runs.iter().enumerate() {
        let node = &report.nodes[run.node];
        events.push(json!({
            "name": node.name,
            "cat": format!("{},{}", node.verb, run.outcome),
            "ph": "X",
            "ts": run.start,
            "dur": run.end - run.start,
            "pid": PROCESS,
            "tid": thread(run.lane),
            "args": {
                "outcome": run.outcome,
                "place": run.place,
                "status": run.status,
                "why": run.why,
                "key": node.key,
                "recipe": node.recipe,
                "process": run.pid,
                "as before": run.same,
                "critical": report.critical_path.contains(&at),
            },
        }));
    }
    let other = json!({"started": report.started, "wall": report.wall, "busy": report.busy});
    json!({"traceEvents": events, "displayTimeUnit": "ms", "otherData": other})
}
