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

use std::fmt::Write as _;

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
pub fn ninja_text(nodes: &impl Outline, left: &[LeftNode], pools: &[Pool], settings: &NinjaSettings) -> String {
    let mut is_left = vec![false; nodes.count()];
    for left in left {
        is_left[left.node] = true;
    }
    let mut text = String::with_capacity(512 + 160 * left.len());
    text.push_str("# Written by `gen`: what is left to run. Changes are lost.\nninja_required_version = 1.5\n");
    for pool in pools {
        push(&mut text, format_args!("pool {}\n  depth = {}\n", pool.name, pool.depth));
    }
    push(
        &mut text,
        format_args!(
            "rule node\n  command = {} $node{}\n  description = $verb $node\n  restat = 1\n  generator = 1\n",
            escape(&settings.run),
            escape(&settings.run_options)
        ),
    );
    push(
        &mut text,
        format_args!(
            "rule gen\n  command = {}\n  description = look for changes\n  restat = 1\n  generator = 1\n  pool = console\n",
            escape(&settings.generate)
        ),
    );
    let never_made = escape_path(&settings.never_made);
    push(&mut text, format_args!("build {never_made}: phony\n"));
    push(&mut text, format_args!("build {}: gen | {never_made}\n", escape_path(&settings.build_file)));
    let stamps = escape_path(&settings.stamps);
    let plan = escape_path(&settings.plan);
    for LeftNode { node: at, has_to_run } in left {
        let name = nodes.name_of(*at);
        push(&mut text, format_args!("build {stamps}/{name}.digest: node"));
        if *has_to_run {
            push(&mut text, format_args!(" {plan}"));
        }
        for input in nodes.inputs_of(*at).filter(|input| is_left[*input]) {
            push(&mut text, format_args!(" {stamps}/{}.digest", nodes.name_of(input)));
        }
        push(&mut text, format_args!("\n  node = {name}\n  verb = {}\n", nodes.verb_of(*at)));
        if let Some(pool) = nodes.pool_of(*at) {
            push(&mut text, format_args!("  pool = {pool}\n"));
        }
    }
    for (alias, members) in nodes.groups() {
        push(&mut text, format_args!("build {}: phony", escape_path(alias)));
        for member in members.into_iter().filter(|member| is_left[*member]) {
            push(&mut text, format_args!(" {stamps}/{}.digest", nodes.name_of(member)));
        }
        text.push('\n');
    }
    if let Some(default) = &settings.default {
        push(&mut text, format_args!("default {}\n", escape_path(default)));
    }
    text
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = text.write_fmt(arguments);
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
