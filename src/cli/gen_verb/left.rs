//! What is left to run, and the stamps by which ninja tells what of it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use build_graph::graph::Outline;
use build_graph::node::Target;

use crate::build::BuildError;
use crate::build::plan::{self, OutDir};
use crate::build::resolve::{Resolution, State};

/// The nodes that are left to run.
pub(super) struct Left {
    /// All that anybody may ask for, by index.
    pub(super) all: Vec<usize>,
    /// How many of these only other targets need.
    pub(super) elsewhere: usize,
    /// How many nodes anybody may ask for.
    pub(super) wanted: usize,
}

impl Left {
    pub(super) fn of(nodes: &impl Outline, resolution: &Resolution, target: &Target) -> Self {
        // What hangs on nothing that anybody asks for is not run.
        let wanted = nodes.closure(nodes.groups().flat_map(|(_, members)| members));
        let is_left = |at: &usize| !matches!(resolution.states[*at], State::Known(_));
        let all: Vec<_> = wanted.iter().copied().filter(is_left).collect();
        // Another target may want what this machine can't get; that keeps nobody from being done
        // with this one.
        let below = format!("{target}/");
        let own = nodes.groups().filter(|(name, _)| *name == target.as_str() || name.starts_with(&below));
        let own = own.flat_map(|(_, members)| members);
        let mut is_left = vec![false; nodes.count()];
        all.iter().for_each(|at| is_left[*at] = true);
        let elsewhere = all.len() - left_for(own, is_left, |at| nodes.inputs_of(at)).len();
        Self { all, elsewhere, wanted: wanted.len() }
    }
}

/// Lays out the stamps of what is left, with times that tell ninja what has to run: a node that has
/// to run takes the plan, which is newer than its stamp; one that only waits has a stamp that is as
/// old as the stamps it waits for, until one of those is written anew. A node that had no tree last
/// time has no stamp, so ninja runs it.
///
/// Times are set, not left to the clock, whose steps are coarser than two writes are apart.
pub(super) fn write_stamps(
    out: &OutDir,
    nodes: &impl Outline,
    states: &[State],
    left: &[usize],
) -> Result<(), BuildError> {
    // A little in the past: a file that is written a moment from now gets the time of the clock's
    // last step.
    let now = SystemTime::now() - Duration::from_secs(1);
    let before = now - Duration::from_secs(10);
    touch(&out.plan(), now)?;
    let stamped = out.stamped();
    for at in left {
        let last = match states[*at] {
            State::Known(_) => continue,
            State::Run(last) | State::Wait(last) => last,
        };
        if last.is_none() && stamped.is_empty() {
            continue;
        }
        let Ok(name) = nodes.name_of(*at).parse() else { continue };
        match last {
            Some(last) => {
                out.write_stamp(&name, last)?;
                touch(&out.stamp(&name), before)?;
            }
            None if stamped.contains(&name) => remove_if_there(&out.stamp(&name))?,
            None => {}
        }
    }
    if !left.is_empty() {
        let folder = out.stamps();
        fs::create_dir_all(&folder).map_err(BuildError::io("create", folder))?;
    }
    Ok(())
}

/// Those of the nodes that are left which these need. What only a known node is made of is needed
/// by others, if it is left.
fn left_for<I: Iterator<Item = usize>>(
    roots: impl Iterator<Item = usize>,
    mut is_left: Vec<bool>,
    inputs: impl Fn(usize) -> I,
) -> Vec<usize> {
    let mut needed = Vec::new();
    let mut waiting: Vec<_> = roots.collect();
    while let Some(at) = waiting.pop() {
        // Each once.
        if std::mem::take(&mut is_left[at]) {
            needed.push(at);
            waiting.extend(inputs(at));
        }
    }
    needed
}

pub(super) fn touch(path: &Path, time: SystemTime) -> Result<(), BuildError> {
    let touch = || fs::File::options().append(true).open(path)?.set_modified(time);
    touch().map_err(plan::denied("touch", path))
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), BuildError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(plan::denied("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_target_needs_of_a_known_node_is_left_for_that_one() {
        // 0 and 1 are sources; 2 is made of 0 and known, 3 is made of 1; 4 is the other target's,
        // made of 0 and 3.
        let inputs = [vec![], vec![], vec![0], vec![1], vec![0, 3]];
        let is_left = vec![true, true, false, true, true];
        let needed = |root| {
            let mut needed = left_for(std::iter::once(root), is_left.clone(), |at| inputs[at].iter().copied());
            needed.sort_unstable();
            needed
        };
        assert_eq!(needed(2), [0_usize; 0]);
        assert_eq!(needed(3), [1, 3]);
        assert_eq!(needed(4), [0, 1, 3, 4]);
    }
}
