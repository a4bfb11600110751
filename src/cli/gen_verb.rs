//! `pynbox-build gen`: resolves what is known and writes the rest out as ninja.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use build_graph::dsl::assemble;
use build_graph::graph::Graph;
use build_graph::ninja::{NinjaSettings, Pool, ninja_text};
use build_graph::untrusted::{printable, printable_path};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{CommandError, Session, means};
use crate::build::BuildError;
use crate::build::plan::{self, OutDir};
use crate::build::resolve::{State, resolve};
use crate::executor::Ahead;
use crate::project::Seen;
use crate::store::Store;

/// The file that ninja reads.
const BUILD_FILE: &str = "build.ninja";

/// Options of `gen`.
#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// Build for this target by default, instead of the one of `pynbox.toml`
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Take a file or a folder of yours in place of a pinned source
    #[arg(long, value_name = "NAME=PATH")]
    override_source: Vec<String>,
}

/// What the last `gen` saw. If all of it is still so, there is nothing for another one to do.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    /// This program, the project's files, and what overrides them.
    seen: Vec<Seen>,
    /// The options that decide the graph.
    options: Vec<String>,
    store: PathBuf,
    /// Grows whenever the store loses something.
    generation: u64,
    /// What it left in `out/` for the other verbs.
    plan: Vec<Seen>,
    /// The BLAKE3 of the build file.
    build_file: String,
    nodes: usize,
    /// The BLAKE3 of what says which remotes to ask: there may be a password in it.
    remotes: String,
    /// How many results were known because a remote had them.
    remote: usize,
    /// How many nodes were left for targets that this `gen` was not for.
    elsewhere: usize,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    // Whatever changes from now on is newer than the build file, so that ninja notices.
    let started = SystemTime::now();
    let project = session.project()?;
    let store = session.store()?;
    let out = session.out(&project);
    let build_file = project.root.join(BUILD_FILE);
    let fingerprint_file = out.path().join("gen.json");
    let program = std::env::current_exe().map_err(BuildError::io("find", "this program"))?;
    let program_text = program.to_str().ok_or_else(|| no_text("this program", &program))?.to_owned();
    // Paths are the caller's; the same text means another one where ninja starts gen.
    let overrides = options.override_source.iter().map(|option| absolute(option)).collect::<Result<Vec<_>, _>>()?;
    let options = &Options { override_source: overrides, ..options.clone() };
    let option_list = option_list(session, options);

    let remotes = blake3::hash(format!("{:?}", session.remotes(&project)?).as_bytes()).to_string();
    if let Some(last) = unchanged(&fingerprint_file, &build_file, &option_list, &remotes, &store) {
        touch(&build_file, started)?;
        let Fingerprint { nodes, elsewhere, remote, .. } = last;
        let elsewhere = if elsewhere == 0 { String::new() } else { format!(" but {elsewhere} for other targets") };
        let asked = if remote == 0 { String::new() } else { format!("; {remote} are on remotes, not asked again") };
        outln!(
            "gen: {nodes} nodes, all resolved, none left to run{elsewhere} (program, files, options and store unchanged{asked})"
        );
        return Ok(());
    }
    // Read before the store is asked, so that what gets lost meanwhile is noticed next time.
    let generation = store.generation()?;
    let target = session.target(&project, options.target.as_deref())?;
    let mut loaded = project.load(&session.bundle, &options.override_source, &store)?;
    loaded.seen.push(Seen::now(program.clone()));
    let assembled = assemble(&session.bundle.set, &Arc::new(loaded.materials), &target)?;
    let graph = &assembled.graph;
    let fetch = session.fetcher(&project, &store);
    let executor = session.find_executor(&project, &store, Ahead::Own)?;
    let caches = session.caches(&project, &store)?;
    let means = means(&store, &fetch, &executor, &out, &caches);
    let resolution = resolve(graph, &assembled.contents, &means, &plan::last_trees(&out))
        .map_err(|error| blame_override(error, graph, &options.override_source))?;
    // What hangs on nothing that anybody asks for is not run.
    let wanted: BTreeSet<_> = graph.closure(graph.aliases().values().flatten().copied()).into_iter().collect();
    let left: Vec<_> = (0..graph.nodes().len())
        .filter(|at| wanted.contains(at) && !matches!(resolution.states[*at], State::Known(_)))
        .collect();
    // Another target may want what this machine can't get; that keeps nobody from being done with this one.
    let below = format!("{target}/");
    let own = graph.aliases().iter().filter(|(name, _)| **name == target.0 || name.starts_with(&below));
    let own = own.flat_map(|(_, nodes)| nodes.iter().copied());
    let own = left_for(own, &left.iter().copied().collect(), |at| graph.inputs(at).iter().copied());
    let elsewhere = left.len() - own.len();
    let known = graph.nodes().iter().zip(&resolution.states).filter_map(|(node, state)| match state {
        State::Known(digest) => Some((&node.name, *digest)),
        _ => None,
    });
    plan::write_plan(&out, graph.nodes(), known)?;
    write_stamps(&out, graph.nodes(), &resolution.states, &left)?;

    let relative = |path: &Path| path.strip_prefix(&project.root).unwrap_or(path).to_string_lossy().into_owned();
    let quoted = quote(&program_text);
    let mut global = if session.common.offline { " --offline" } else { "" }.to_owned();
    if session.common.no_remote {
        global.push_str(" --no-remote");
    }
    for remote in &session.common.remote {
        global.push_str(&format!(" --remote {}", quote(remote)));
    }
    // Without the option, the settings count as they are when an action runs.
    if let Some(choice) = session.common.executor {
        global.push_str(&format!(" --executor {}", choice.name()));
    }
    // ninja takes a file that is not there for one that changes all the time. So what appears in a place where nothing was is noticed
    // by the next `gen`, not by ninja.
    let there = loaded.seen.iter().filter(|seen| seen.was_there());
    let inputs: BTreeSet<_> = there.map(|seen| relative(seen.path())).collect();
    let settings = NinjaSettings {
        run: format!("{quoted}{global} run-action"),
        generate: std::iter::once(quoted.clone())
            .chain(option_list.iter().map(|option| quote(option)))
            .collect::<Vec<_>>()
            .join(" "),
        build_file: BUILD_FILE.to_owned(),
        generate_inputs: inputs.into_iter().collect(),
        stamps: relative(&out.stamps()),
        descriptions: relative(&out.descriptions()),
        default: Some(target.to_string()),
    };
    let pools = [Pool { name: "fetch".to_owned(), depth: 8 }, Pool { name: "heavy".to_owned(), depth: 1 }];
    let text = ninja_text(graph, &left, &pools, &settings);
    // ninja believes its log over the stamps; with generator rules it does without one.
    remove_if_there(&project.root.join(".ninja_log"))?;
    plan::write_atomically(&build_file, text.as_bytes())?;
    touch(&build_file, started)?;
    if left.len() == elsewhere {
        let nodes = graph.nodes().len();
        let fingerprint = Fingerprint {
            seen: loaded.seen,
            options: option_list,
            store: store.root().to_path_buf(),
            generation,
            plan: plan::files(&out).map(Seen::now).into(),
            build_file: blake3::hash(text.as_bytes()).to_string(),
            nodes,
            remotes,
            remote: resolution.remote,
            elsewhere,
        };
        let json = serde_json::to_vec(&fingerprint)
            .map_err(|error| BuildError::io("write", &fingerprint_file)(error.into()))?;
        plan::write_atomically(&fingerprint_file, &json)?;
    } else {
        remove_if_there(&fingerprint_file)?;
    }
    let all = wanted.len();
    let mut notes = String::new();
    if resolution.evaluated > 0 {
        notes = format!(" ({} evaluated now)", resolution.evaluated);
    }
    if resolution.remote > 0 {
        notes.push_str(&format!(" ({} on remotes)", resolution.remote));
    }
    if caches.refused() > 0 {
        notes.push_str(&format!(" ({} refused)", caches.refused()));
    }
    let others = if elsewhere == 0 { String::new() } else { format!(", {elsewhere} of them for other targets") };
    outln!("gen: {all} nodes, {} resolved{notes}, {} left to run{others}", all - left.len(), left.len());
    Ok(())
}

/// What the last `gen` saw, if it left nothing to run for its own target and all of that is still so.
fn unchanged(file: &Path, build_file: &Path, options: &[String], remotes: &str, store: &Store) -> Option<Fingerprint> {
    let last: Fingerprint = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let same = last.options == options
        && last.remotes == remotes
        && last.store == store.root()
        && store.generation().is_ok_and(|generation| generation == last.generation)
        && last.seen.iter().chain(&last.plan).all(Seen::is_current)
        && fs::read(build_file).is_ok_and(|text| blake3::hash(&text).to_string() == last.build_file);
    same.then_some(last)
}

/// The pinned source can be unpacked, has what a recipe's patterns name, and takes our patches: that it is
/// otherwise is the fault of what somebody put in its place.
fn blame_override(error: BuildError, graph: &Graph, overrides: &[String]) -> CommandError {
    let BuildError::Node { node, source } = &error else { return error.into() };
    let Some(at) = graph.index_of(node) else { return error.into() };
    let inputs = graph.inputs(at).iter().map(|input| graph.nodes()[*input].name.as_str());
    let names: Vec<_> = inputs.chain([node.as_str()]).collect();
    let Some(option) = overrides.iter().find(|option| {
        let name = option.split_once('=').map_or(option.as_str(), |(name, _)| name);
        names.contains(&format!("source/{name}/tree").as_str())
    }) else {
        return error.into();
    };
    let problem = match source.as_ref() {
        BuildError::Selection(nothing) => {
            format!("it has nothing that matches `{}`, which `{node}` takes of it", printable(&nothing.glob))
        }
        BuildError::Archive(problem) => problem.to_string(),
        BuildError::Patch(problem) => format!("`{node}` can't be made of it: {problem}"),
        _ => return error.into(),
    };
    CommandError::input(format!("`--override-source {}`: {problem}", printable(option))).hint(
        "give a folder or an archive that is laid out as the pinned one is (a folder: without the folder at its top)",
    )
}

/// A path that ninja is to be told, whose file is text.
fn no_text(what: &str, path: &Path) -> CommandError {
    CommandError::input(format!(
        "the path of {what}, `{}`, is no UTF-8, and ninja can't be told it",
        printable_path(path)
    ))
    .hint("move it to a path that is")
}

/// An override with its path made absolute. What is no override is left for who reads it to complain of.
fn absolute(option: &str) -> Result<String, CommandError> {
    let Some((name, path)) = option.split_once('=').filter(|(_, path)| !path.is_empty()) else {
        return Ok(option.to_owned());
    };
    let absolute = std::path::absolute(path).map_err(BuildError::io("find", path))?;
    let text = absolute.to_str().ok_or_else(|| no_text("the override", &absolute))?;
    Ok(format!("{name}={text}"))
}

fn option_list(session: &Session, options: &Options) -> Vec<String> {
    let mut list = vec!["gen".to_owned()];
    if session.common.offline {
        list.push("--offline".to_owned());
    }
    if let Some(executor) = session.common.executor {
        list.extend(["--executor".to_owned(), executor.name().to_owned()]);
    }
    if session.common.no_remote {
        list.push("--no-remote".to_owned());
    }
    for remote in &session.common.remote {
        list.extend(["--remote".to_owned(), remote.clone()]);
    }
    if let Some(target) = &options.target {
        list.extend(["--target".to_owned(), target.clone()]);
    }
    for value in &options.override_source {
        list.extend(["--override-source".to_owned(), value.clone()]);
    }
    list
}

/// Lays out the stamps and descriptions of what is left, with times that tell ninja what has to run: a node that has to run has a
/// description that is newer than its stamp; one that only waits has a stamp that is newer than its description and than the stamps it
/// waits for, until one of those is written anew.
///
/// Times are set, not left to the clock, whose steps are coarser than two writes are apart.
fn write_stamps(
    out: &OutDir,
    nodes: &[build_graph::node::Node],
    states: &[State],
    left: &[usize],
) -> Result<(), BuildError> {
    // A little in the past: a file that is written a moment from now gets the time of the clock's last step.
    let now = SystemTime::now() - Duration::from_secs(1);
    let (before, long_before) = (now - Duration::from_secs(10), now - Duration::from_secs(20));
    for at in left {
        let node = &nodes[*at];
        let json = serde_json::to_vec(node)
            .map_err(|error| BuildError::io("write", out.description(&node.name))(error.into()))?;
        let (description, stamp) = (out.description(&node.name), out.stamp(&node.name));
        plan::write_if_changed(&description, &json)?;
        match states[*at] {
            State::Known(_) => {}
            State::Run(Some(last)) => {
                touch(&description, now)?;
                out.write_stamp(&node.name, last)?;
                touch(&stamp, before)?;
            }
            State::Wait(Some(digest)) => {
                touch(&description, long_before)?;
                out.write_stamp(&node.name, digest)?;
                touch(&stamp, before)?;
            }
            State::Run(None) | State::Wait(None) => {
                touch(&description, now)?;
                remove_if_there(&stamp)?;
            }
        }
    }
    if let Some(folder) = left.first().map(|_| out.stamps()) {
        fs::create_dir_all(&folder).map_err(BuildError::io("create", folder))?;
    }
    Ok(())
}

/// Those of the nodes that are left which these need. What only a known node is made of is needed by others, if it is left.
fn left_for<I: Iterator<Item = usize>>(
    roots: impl Iterator<Item = usize>,
    left: &BTreeSet<usize>,
    inputs: impl Fn(usize) -> I,
) -> BTreeSet<usize> {
    let mut needed = BTreeSet::new();
    let mut waiting: Vec<_> = roots.collect();
    while let Some(at) = waiting.pop() {
        if left.contains(&at) && needed.insert(at) {
            waiting.extend(inputs(at));
        }
    }
    needed
}

fn touch(path: &Path, time: SystemTime) -> Result<(), BuildError> {
    let touch = || fs::File::options().append(true).open(path)?.set_modified(time);
    touch().map_err(BuildError::io("touch", path))
}

fn remove_if_there(path: &Path) -> Result<(), BuildError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BuildError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A word as a shell takes it.
fn quote(word: &str) -> String {
    let plain =
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-=+:,@%".contains(&byte));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_target_needs_of_a_known_node_is_left_for_that_one() {
        // 0 and 1 are sources; 2 is made of 0 and known, 3 is made of 1; 4 is the other target's, made of 0 and 3.
        let inputs = [vec![], vec![], vec![0], vec![1], vec![0, 3]];
        let left = BTreeSet::from([0, 1, 3, 4]);
        let needed = |root| left_for(std::iter::once(root), &left, |at| inputs[at].iter().copied());
        assert_eq!(needed(2), BTreeSet::new());
        assert_eq!(needed(3), BTreeSet::from([1, 3]));
        assert_eq!(needed(4), BTreeSet::from([0, 1, 3, 4]));
    }
}
