//! What a run takes of the machine's memory, seen from outside.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::{Ended, Run};

/// Runs to the end. Gives the most memory, in KiB, that all processes together were resident with
/// at one moment, as far as looking every half millisecond shows it, and no less than the most of
/// any one of them, which the kernel keeps. Pages that several have in common count several times.
pub fn of(run: &mut Run) -> (Ended, u64) {
    let mut child = run.0.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let all: Vec<(u64, u64)> = tree(child.id()).into_iter().filter_map(resident).collect();
        peak = peak.max(all.iter().map(|(now, _)| now).sum());
        peak = peak.max(all.iter().map(|(_, most)| *most).max().unwrap_or(0));
        std::thread::sleep(Duration::from_micros(500));
    }
    let output = child.wait_with_output().unwrap();
    (Ended::of(output), peak)
}

/// The process and those that it started, and they.
fn tree(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    let mut next = 0;
    while let Some(process) = all.get(next) {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let children: Vec<u32> =
            children.flat_map(|list| list.split(' ').filter_map(|n| n.parse().ok()).collect::<Vec<_>>()).collect();
        all.extend(children);
        next += 1;
    }
    all
}

/// KiB that a process is resident with, and the most that it ever was.
fn resident(process: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}
