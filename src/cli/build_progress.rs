//! How far a build is: lines, or bars on a terminal.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use build_graph::node::NodeName;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::CommandError;
use super::json::Answer;
use crate::build::log::{BuildLog, Follower, Outcome, Record, Run, now};
use crate::called::called;

/// No more running nodes are drawn.
const MAX_LINES: usize = 12;
/// A description of ninja's that is no node's.
const GEN_EDGE: &str = "look for changes";

/// The answer of `build`.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BuildAnswer {
    /// The nodes that ran, in the order of their names; none if every result was known.
    nodes: Vec<BuiltNode>,
    /// How long the build took, in seconds.
    seconds: f64,
}

/// A node that ran.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct BuiltNode {
    /// Its name.
    name: String,
    /// How it ended.
    outcome: NodeOutcome,
    /// The remote that had the result, or the engine that made it, if one did.
    from: Option<String>,
    /// How long it took, in seconds.
    seconds: f64,
    /// Whether its tree is the one that the build before had.
    same: bool,
    /// How many warnings it printed.
    warnings: u64,
}

/// How a node ended.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum NodeOutcome {
    /// It was built.
    Built,
    /// Another build had made the result meanwhile.
    Local,
    /// The result was taken from a remote.
    Remote,
    /// It failed.
    Failed,
}

impl Answer for BuildAnswer {
    const SCHEMA: &'static str = "build/1";
}

impl BuiltNode {
    fn of(run: &Run) -> Self {
        let (outcome, from) = match &run.outcome {
            Outcome::Built | Outcome::Evaluated => (NodeOutcome::Built, None),
            Outcome::BuiltOn(engine) => (NodeOutcome::Built, Some(engine.clone())),
            Outcome::Local => (NodeOutcome::Local, None),
            Outcome::Remote(remote) => (NodeOutcome::Remote, Some(remote.clone())),
            Outcome::Failed { .. } => (NodeOutcome::Failed, None),
        };
        let seconds = Duration::from_micros(run.duration()).as_secs_f64();
        let (name, warnings) = (run.node.to_string(), run.warnings);
        Self { name, outcome, from, seconds, same: run.same, warnings }
    }
}

/// Follows a build by the build log and ninja's status lines.
pub(super) struct Progress {
    follower: Follower,
    begun: Instant,
    /// The nodes that are left, which have not ended.
    left: BTreeSet<NodeName>,
    /// What runs, by process: the node, since when, and for whom it waits.
    running: HashMap<u32, Running>,
    /// The runs that have ended, by node.
    ended: HashMap<NodeName, Run>,
    /// Nodes that failed, in the order in which they did, with the exit status.
    failed: Vec<(NodeName, u8)>,
    expected: Expected,
    /// Finished and all edges, as ninja counts them.
    edges: (u64, u64),
    drawn: Option<Drawn>,
}

struct Running {
    node: NodeName,
    since: u64,
    waits_for: Option<String>,
}

impl Progress {
    /// Begins with these nodes left; draws bars with these looks, or prints lines.
    pub(super) fn new(log: &BuildLog, left: BTreeSet<NodeName>, looks: Option<Looks>) -> Result<Self, CommandError> {
        let edges = (0, left.len() as u64);
        Ok(Self {
            follower: log.follow(),
            begun: Instant::now(),
            left,
            running: HashMap::new(),
            ended: HashMap::new(),
            failed: Vec::new(),
            expected: Expected { known: log.durations()?, sum: 0, count: 0 },
            edges,
            drawn: looks.map(Drawn::new),
        })
    }

    /// Takes up what the build log says, and draws.
    pub(super) fn tick(&mut self) {
        for record in self.follower.new_records() {
            match record {
                Record::Start(started) => {
                    let running = Running { node: started.node, since: started.at, waits_for: None };
                    self.running.insert(started.pid, running);
                }
                Record::Wait(waited) => {
                    if let Some(running) = self.running.get_mut(&waited.pid) {
                        running.waits_for = Some(waited.whom);
                    }
                }
                Record::Run(run) => {
                    self.running.remove(&run.pid);
                    self.left.remove(&run.node);
                    if let Outcome::Failed { status, .. } = run.outcome {
                        self.failed.push((run.node.clone(), status));
                    } else if !run.outcome.is_hit() {
                        self.expected.learn(run.duration());
                    }
                    self.ended.insert(run.node.clone(), run);
                }
                Record::Gen(_) => {}
            }
        }
        self.draw();
    }

    /// ninja says that an edge has ended, with its description.
    pub(super) fn edge_ended(&mut self, done: u64, all: u64, what: &str) {
        self.tick();
        if what == GEN_EDGE {
            return;
        }
        self.edges = (done, all);
        if self.drawn.is_none() {
            let node = what.split_once(' ').and_then(|(_, node)| node.parse::<NodeName>().ok());
            let how = node.and_then(|node| self.ended.get(&node)).map_or_else(String::new, how);
            outln!("[{done}/{all}] {what}{how}");
        }
        self.draw();
    }

    /// Prints a line that an action or ninja printed.
    pub(super) fn say(&self, line: &str) {
        match &self.drawn {
            Some(drawn) => drawn.bars.suspend(|| outln!("{line}")),
            None => outln!("{line}"),
        }
    }

    /// Ends the drawing and sums up. Returns what the build did, and the nodes that failed with
    /// their exit statuses.
    pub(super) fn finish(mut self) -> (BuildAnswer, Vec<(NodeName, u8)>) {
        self.tick();
        if let Some(drawn) = &self.drawn {
            // What was drawn is gone already if this fails.
            let _ = drawn.bars.clear();
        }
        let count = |which: fn(&Run) -> bool| self.ended.values().filter(|run| which(run)).count();
        let built = count(|run| matches!(run.outcome, Outcome::Built | Outcome::BuiltOn(_)));
        let mut text = format!("built {built} {} in {}", nodes(built), seconds(self.begun.elapsed()));
        let notes = [
            (count(|run| matches!(run.outcome, Outcome::Local)), "made by another build meanwhile"),
            (count(|run| matches!(run.outcome, Outcome::Remote(_))), "taken from remotes"),
            (count(|run| run.same), "came out as before"),
        ];
        for (number, what) in notes.into_iter().filter(|(number, _)| *number > 0) {
            text.push_str(&format!(", {number} {what}"));
        }
        outln!("{text}");
        let warnings = count(|run| run.warnings > 0);
        if warnings > 0 {
            outln!("{warnings} {} printed warnings: `{} log --warnings` shows them", nodes(warnings), called());
        }
        let mut nodes: Vec<_> = self.ended.values().map(BuiltNode::of).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let seconds = self.begun.elapsed().as_secs_f64();
        (BuildAnswer { nodes, seconds }, std::mem::take(&mut self.failed))
    }

    /// How long the rest will take; `None` as long as nothing is known of it.
    fn rest(&self) -> Option<Duration> {
        let now = now();
        let running: HashMap<_, _> =
            self.running.values().map(|running| (&running.node, now.saturating_sub(running.since))).collect();
        let (mut sum, mut longest) = (0, 0);
        for node in &self.left {
            let elapsed = running.get(node).copied();
            let rest = self.expected.of(node)?.saturating_sub(elapsed.unwrap_or(0));
            sum += rest;
            longest = longest.max(if elapsed.is_some() { rest } else { 0 });
        }
        // What comes out as before keeps others from running: ninja knows of how many.
        let (left, edges) = (self.left.len() as u64, self.edges.1.saturating_sub(self.edges.0));
        let sum = (sum * edges.min(left)).checked_div(left).unwrap_or(0);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        Some(Duration::from_micros((sum / cores).max(longest)))
    }

    fn draw(&mut self) {
        let rest = self.rest().map_or_else(String::new, |rest| format!(", about {} left", seconds(rest)));
        let hits = self.ended.values().filter(|run| run.outcome.is_hit()).count();
        let failed = if self.failed.is_empty() { String::new() } else { format!(", {} failed", self.failed.len()) };
        let Some(drawn) = &mut self.drawn else { return };
        drawn.all.set_length(self.edges.1);
        drawn.all.set_position(self.edges.0);
        let hits = if hits == 0 { String::new() } else { format!(", {hits} from caches") };
        // What a narrow terminal has no room for stands last.
        drawn.all.set_message(format!("{}{failed}{rest}{hits}", seconds(self.begun.elapsed())));
        if !self.failed.is_empty() {
            drawn.all.set_style(drawn.looks.bar("red"));
        }
        let mut running: Vec<_> = self.running.values().collect();
        running.sort_by_key(|running| running.since);
        let now = now();
        drawn.show(running.into_iter().map(|running| {
            let time = seconds(Duration::from_micros(now.saturating_sub(running.since)));
            let waits = running.waits_for.as_ref().map_or_else(String::new, |whom| format!(", waits for {whom}"));
            (time, format!("{}{waits}", running.node))
        }));
    }
}

/// How long nodes take.
struct Expected {
    /// What took how long the last time, in microseconds.
    known: HashMap<NodeName, u64>,
    /// Of what this build has built.
    sum: u64,
    count: u64,
}

impl Expected {
    fn learn(&mut self, duration: u64) {
        self.sum += duration;
        self.count += 1;
    }

    fn of(&self, node: &NodeName) -> Option<u64> {
        self.known.get(node).copied().or_else(|| self.sum.checked_div(self.count))
    }
}

/// How a build is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    /// In colours.
    pub(super) colors: bool,
    /// How many columns the terminal has.
    pub(super) columns: u16,
}

impl Looks {
    fn bar(self, color: &str) -> ProgressStyle {
        let width = (self.columns / 4).clamp(6, 30);
        let color = if self.colors { format!(".{color}") } else { String::new() };
        style(&format!("[{{bar:{width}{color}}}] {{pos}}/{{len}} {{wide_msg}}"))
    }

    fn line(self) -> ProgressStyle {
        style(if self.colors { "{prefix:>8.dim}  {wide_msg}" } else { "{prefix:>8}  {wide_msg}" })
    }
}

/// The bars. No line of them is longer than the terminal is wide.
struct Drawn {
    looks: Looks,
    bars: MultiProgress,
    all: ProgressBar,
    lines: Vec<ProgressBar>,
}

impl Drawn {
    fn new(looks: Looks) -> Self {
        let bars = MultiProgress::new();
        let all = bars.add(ProgressBar::new(0).with_style(looks.bar("green")));
        Self { looks, bars, all, lines: Vec::new() }
    }

    /// Shows what runs: for how long, and what it is.
    fn show(&mut self, running: impl Iterator<Item = (String, String)>) {
        let mut shown = 0;
        for (time, text) in running.take(MAX_LINES) {
            if shown == self.lines.len() {
                let line = ProgressBar::new_spinner().with_style(self.looks.line());
                self.lines.push(self.bars.add(line));
            }
            self.lines[shown].set_prefix(time);
            self.lines[shown].set_message(text);
            self.lines[shown].tick();
            shown += 1;
        }
        for line in self.lines.drain(shown..) {
            line.finish_and_clear();
            self.bars.remove(&line);
        }
    }
}

/// The templates are constants; were one wrong, the default style would be drawn.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// How a run ended, as the end of its line.
fn how(run: &Run) -> String {
    let time = seconds(Duration::from_micros(run.duration()));
    let same = if run.same { ", as before" } else { "" };
    match &run.outcome {
        Outcome::Built | Outcome::Evaluated => format!(" ({time}{same})"),
        Outcome::BuiltOn(engine) => format!(" ({time} on `{engine}`{same})"),
        Outcome::Local => " (made by another build)".to_owned(),
        Outcome::Remote(remote) => format!(" (from `{remote}`)"),
        Outcome::Failed { .. } => format!(" (failed after {time})"),
    }
}

fn nodes(count: usize) -> &'static str {
    if count == 1 { "node" } else { "nodes" }
}

/// A time as people write it: `0.4 s`, `12 s`, `3:07 min`.
fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        whole @ 10..60 => format!("{whole} s"),
        whole => format!("{}:{:02} min", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        let text = |millis| seconds(Duration::from_millis(millis));
        assert_eq!([text(40), text(9_949), text(12_600), text(187_000)], ["0.0 s", "9.9 s", "12 s", "3:07 min"]);
    }

    #[test]
    fn the_rest_is_what_nodes_took_before_and_unknown_without_that() {
        let folder = tempfile::tempdir().unwrap();
        let log = BuildLog::of(&crate::build::plan::OutDir::new(folder.path()));
        let node = |name: &str| name.parse::<NodeName>().unwrap();
        let mut progress = Progress::new(&log, BTreeSet::from([node("a"), node("b")]), None).unwrap();
        assert_eq!(progress.rest(), None);
        progress.expected.known = HashMap::from([(node("a"), 3_000_000)]);
        assert_eq!(progress.rest(), None);
        progress.expected.learn(1_000_000);
        let cores = std::thread::available_parallelism().unwrap().get() as u64;
        assert_eq!(progress.rest(), Some(Duration::from_micros(4_000_000 / cores)));
        // ninja knows that one of them need not run.
        progress.edges = (0, 1);
        assert_eq!(progress.rest(), Some(Duration::from_micros(2_000_000 / cores)));
        let running = Running { node: node("a"), since: now(), waits_for: None };
        progress.running.insert(1, running);
        assert!(progress.rest().unwrap() > Duration::from_millis(2_900));
    }
}
