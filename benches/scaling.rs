//! What limits remote execution at 10, 100 and 1,000 workers: a simulation of the real graph.
//!
//! `benches/scaling/graph.txt` holds the nodes of a cold build with the times that they took. The
//! simulation runs them on a number of workers with the costs below; the reference in the same run
//! is one machine with two cores and no network. `docs/guide/farm.md` says what follows.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

const GRAPH: &str = include_str!("scaling/graph.txt");

/// What an engine costs beside the actions themselves, in milliseconds.
#[derive(Clone, Copy)]
struct Costs {
    /// From the client's request to the worker, and back, without any queue.
    dispatch: u64,
    /// The client's own work for an action: hashing, asking what is missing, taking outputs; it has
    /// two cores.
    client: u64,
    /// The worker's: laying out the input root.
    stage: u64,
    /// What a worker waits for when it gets its first action: the image.
    first: u64,
    /// What the scheduler needs for an action; it does one at a time.
    schedule: u64,
    /// Before the first action: the client sends the image, if the engine has never seen it.
    upload: u64,
}

const NEAR: Costs = Costs { dispatch: 10, client: 30, stage: 150, first: 3_500, schedule: 1, upload: 3_500 };
const FAR: Costs = Costs { dispatch: 80, client: 60, stage: 150, first: 3_500, schedule: 1, upload: 35_000 };
const CLIENT_CORES: usize = 2;

struct Node {
    name: &'static str,
    action: bool,
    time: u64,
    needs: Vec<usize>,
}

fn graph() -> Vec<Node> {
    let lines = GRAPH.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &'static str| {
        let mut fields = line.split(' ');
        let name = fields.next()?;
        let action = fields.next()? == "action";
        let time = fields.next()?.parse().ok()?;
        Some(Node { name, action, time, needs: fields.map(|field| field.parse().unwrap_or(usize::MAX)).collect() })
    };
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("`{line}` is no node"))).collect()
}

/// The longest time from each node's start to the end of the build.
fn tails(nodes: &[Node]) -> Vec<u64> {
    let mut tails: Vec<u64> = nodes.iter().map(|node| node.time).collect();
    for index in (0..nodes.len()).rev() {
        for &need in &nodes[index].needs {
            tails[need] = tails[need].max(nodes[need].time + tails[index]);
        }
    }
    tails
}

/// A number of things that each do one job at a time: the moments at which they are free.
struct Pool(BinaryHeap<Reverse<(u64, usize)>>);

impl Pool {
    fn new(size: usize) -> Self {
        Self((0..size).map(|index| Reverse((0, index))).collect())
    }

    /// Takes the first that is free at `ready` or later; gives the moment and which it is.
    fn take(&mut self, ready: u64) -> (u64, usize) {
        let Some(Reverse((free, index))) = self.0.pop() else { panic!("a pool is empty") };
        (free.max(ready), index)
    }

    fn give(&mut self, free: u64, index: usize) {
        self.0.push(Reverse((free, index)));
    }
}

/// How long `builds` builds at once take on so many workers, each with a client of its own, and how
/// busy the workers are.
fn simulate(nodes: &[Node], costs: Costs, workers: usize, builds: usize) -> (u64, f64) {
    let tails = tails(nodes);
    let mut pool = Pool::new(workers);
    let mut scheduler = 0;
    let mut warm = BTreeSet::new();
    let mut clients: Vec<Pool> = (0..builds).map(|_| Pool::new(CLIENT_CORES)).collect();
    let mut missing: Vec<Vec<usize>> = vec![nodes.iter().map(|node| node.needs.len()).collect(); builds];
    let mut there = vec![vec![0; nodes.len()]; builds];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        node.needs.iter().for_each(|&need| users[need].push(index));
    }
    // What became ready when; of two at one moment, the one with more after it first.
    let mut ready: BinaryHeap<Reverse<(u64, u64, usize, usize)>> = BinaryHeap::new();
    for build in 0..builds {
        for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.needs.is_empty()) {
            let at = if node.action { costs.upload } else { 0 };
            ready.push(Reverse((at, u64::MAX - tails[index], build, index)));
        }
    }
    let (mut end, mut busy) = (0, 0);
    while let Some(Reverse((at, _, build, index))) = ready.pop() {
        let node = &nodes[index];
        let client = &mut clients[build];
        let done = if node.action {
            let (begin, core) = client.take(at);
            client.give(begin + costs.client, core);
            scheduler = scheduler.max(begin + costs.client + costs.dispatch / 2) + costs.schedule;
            let (start, worker) = pool.take(scheduler);
            let first = if warm.insert(worker) { costs.first } else { 0 };
            let free = start + first + costs.stage + node.time;
            busy += free - start;
            pool.give(free, worker);
            free + costs.dispatch.div_ceil(2)
        } else {
            let (begin, core) = client.take(at);
            client.give(begin + node.time, core);
            begin + node.time
        };
        end = end.max(done);
        for &user in &users[index] {
            missing[build][user] -= 1;
            there[build][user] = done.max(there[build][user]);
            if missing[build][user] == 0 {
                let done = there[build][user];
                let at = if nodes[user].action { done.max(costs.upload) } else { done };
                ready.push(Reverse((at, u64::MAX - tails[user], build, user)));
            }
        }
    }
    (end, busy as f64 / (end * workers as u64) as f64)
}

/// The graph without the nodes for which `known` holds: their results are in a cache.
fn without(nodes: &[Node], known: impl Fn(&Node) -> bool) -> Vec<Node> {
    let keep = |node: &Node| if known(node) { 0 } else { node.time };
    nodes
        .iter()
        .map(|node| Node {
            name: node.name,
            action: node.action && !known(node),
            time: keep(node),
            needs: node.needs.clone(),
        })
        .collect()
}

/// One machine with two cores: no network, no staging.
fn here(nodes: &[Node]) -> u64 {
    let none = Costs { dispatch: 0, client: 0, stage: 0, first: 0, schedule: 0, upload: 0 };
    let local: Vec<_> = nodes
        .iter()
        .map(|node| Node { name: node.name, action: false, time: node.time, needs: node.needs.clone() })
        .collect();
    simulate(&local, none, 1, 1).0
}

fn main() {
    let all = graph();
    let hosts = |node: &Node| node.name.starts_with("host/") || node.name.starts_with("x86_64-linux/");
    let seconds = |time: u64| time as f64 / 1000.0;
    for (what, nodes) in [
        ("everything from nothing", without(&all, |_| false)),
        ("host tools known", without(&all, hosts)),
        ("host tools and configure known", without(&all, |node| hosts(node) || node.name.ends_with("/configure"))),
    ] {
        let work: u64 = nodes.iter().map(|node| node.time).sum();
        let longest = tails(&nodes).into_iter().max().unwrap_or_default();
        println!("{what}: work {:.1} s, longest chain {:.1} s", seconds(work), seconds(longest));
        println!("  two cores, no engine: {:.1} s", seconds(here(&nodes)));
        for (place, costs) in [
            ("near", NEAR),
            ("near, warm", Costs { first: 0, upload: 0, ..NEAR }),
            ("far, warm", Costs { first: 0, upload: 0, ..FAR }),
            ("far", FAR),
        ] {
            for (workers, builds) in [(1, 1), (10, 1), (100, 1), (1000, 1), (100, 50), (1000, 50), (1000, 500)] {
                let (time, busy) = simulate(&nodes, costs, workers, builds);
                println!(
                    "  {place:>10}, {workers:>4} workers, {builds:>3} builds at once: {:>7.1} s, workers busy {:>3.0} %",
                    seconds(time),
                    busy * 100.0
                );
            }
        }
    }
}
