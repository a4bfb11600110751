//! The ninja text of what is left to run.
//!
//! One edge a node. Its output is the node's stamp, its inputs are the stamps of the nodes it
//! takes; the command names the node and the plan that the edge is of. A node that has to run also
//! has the plan as an input, which is newer than any stamp that `gen` leaves. Nodes whose results
//! are known are left out: their digests stand in the plan that the `run-action` verb reads, not in
//! the build file.
//!
//! The build file depends on a phony target that never exists. So each ninja starts the command
//! that makes the build file, and that command decides whether anything changed: ninja itself
//! compares times, which `cp -p` and wrong clocks set as they like. A command that leaves the build
//! file's time as it was lets ninja go on (`restat`).

use std::io::{self, Write};

use crate::graph::{NodeIndex, Outline};

/// Where things lie, and what ninja starts.
#[derive(Debug, Clone)]
pub struct NinjaSettings {
    /// The command that runs one node, as a shell takes it, without the node's name.
    pub run: String,
    /// What follows the node's name in that command, with a space before it, or nothing.
    pub run_options: String,
    /// The command that makes the build file again if anything changed, as a shell takes it.
    pub generate: String,
    /// The build file's name.
    pub build_file: String,
    /// A path at which nothing is ever made: what depends on it is made by each ninja.
    pub never_made: String,
    /// Directory of the stamps, as ninja sees it.
    pub stamps: String,
    /// The file of the plan, as ninja sees it.
    pub plan: String,
    /// What ninja builds when it is told nothing.
    pub default: Option<String>,
}

/// A pool and how many of its edges run at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How many.
    pub depth: usize,
}

/// A node that is left to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftNode {
    /// The node.
    pub node: NodeIndex,
    /// Whether it has to run whatever comes of its inputs.
    pub has_to_run: bool,
}

/// Writes the build file of the nodes that are `left`.
///
/// Every alias is a target, also where nothing of it is left; so ninja answers "no work to do"
/// instead of an unknown target.
///
/// # Errors
/// Those of the writer.
pub fn write_ninja(
    to: &mut impl Write,
    nodes: &impl Outline,
    left: &[LeftNode],
    pools: &[Pool],
    settings: &NinjaSettings,
) -> io::Result<()> {
    let mut is_left = vec![false; nodes.count()];
    for left in left {
        is_left[left.node] = true;
    }
    to.write_all(b"# Written by `gen`: what is left to run. Changes are lost.\nninja_required_version = 1.5\n")?;
    for pool in pools {
        writeln!(to, "pool {}\n  depth = {}", pool.name, pool.depth)?;
    }
    writeln!(
        to,
        "rule node\n  command = {} $node{}\n  description = $verb $node\n  restat = 1\n  generator = 1",
        escape(&settings.run),
        escape(&settings.run_options)
    )?;
    writeln!(
        to,
        "rule gen\n  command = {}\n  description = look for changes\n  restat = 1\n  generator = 1\n  pool = console",
        escape(&settings.generate)
    )?;
    let never_made = escape_path(&settings.never_made);
    writeln!(to, "build {never_made}: phony")?;
    writeln!(to, "build {}: gen | {never_made}", escape_path(&settings.build_file))?;
    let stamps = escape_path(&settings.stamps);
    let plan = escape_path(&settings.plan);
    for LeftNode { node: at, has_to_run } in left {
        let name = nodes.name_of(*at);
        write!(to, "build {stamps}/{name}.digest: node")?;
        if *has_to_run {
            write!(to, " {plan}")?;
        }
        for input in nodes.inputs_of(*at).filter(|input| is_left[*input]) {
            write!(to, " {stamps}/{}.digest", nodes.name_of(input))?;
        }
        writeln!(to, "\n  node = {name}\n  verb = {}", nodes.verb_of(*at))?;
        if let Some(pool) = nodes.pool_of(*at) {
            writeln!(to, "  pool = {pool}")?;
        }
    }
    for (alias, members) in nodes.groups() {
        write!(to, "build {}: phony", escape_path(alias))?;
        for member in members.into_iter().filter(|member| is_left[*member]) {
            write!(to, " {stamps}/{}.digest", nodes.name_of(member))?;
        }
        writeln!(to)?;
    }
    if let Some(default) = &settings.default {
        writeln!(to, "default {}", escape_path(default))?;
    }
    Ok(())
}

/// A value as it stands after `=`.
fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

/// A path as it stands in a `build` line.
fn escape_path(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '$' | ' ' | ':') {
            escaped.push('$');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests;
