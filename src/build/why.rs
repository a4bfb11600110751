//! Why a node has to run, or came out otherwise: what has changed since it was known last, followed
//! through its inputs down to the files. Nothing is built; the answer comes from the plan, the
//! store and the snapshots of earlier plans (`history`).

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use build_graph::key::KeyInputs;
use build_graph::node::{Node, NodeName, Op};
use build_graph::untrusted::{printable, printable_path};
use build_graph::{Tree, TreeDigest};

use super::BuildError;
use super::current::{Current, State};
use super::history::Snapshot;

/// More paths than this are not shown of one input.
const MAX_PATHS: usize = 10;

/// Tells why nodes changed.
pub struct Why<'a> {
    /// The nodes as they are now.
    pub current: &'a Current<'a>,
    /// The root of the project, in which files are named.
    pub root: &'a Path,
    /// The sources that are overridden: by name, with what is taken in their place.
    pub overrides: &'a [(String, PathBuf)],
    /// Nodes that were spoken of.
    told: BTreeSet<NodeName>,
    /// What changed where the chains of changes begin: files, pins, descriptions of recipes.
    pub roots: BTreeSet<String>,
}

/// A line of the answer, with how deep in the chain it stands.
pub type Line = (usize, String);

impl<'a> Why<'a> {
    /// Makes ready to tell.
    pub fn new(current: &'a Current<'a>, root: &'a Path, overrides: &'a [(String, PathBuf)]) -> Self {
        Self { current, root, overrides, told: BTreeSet::new(), roots: BTreeSet::new() }
    }

    /// What changed of a node since a snapshot that has a result of it; empty if nothing did.
    ///
    /// # Errors
    /// [`BuildError`] if the plan or the store can't be read.
    pub fn tell(&mut self, name: &NodeName, since: &Snapshot) -> Result<Vec<Line>, BuildError> {
        let mut lines = Vec::new();
        self.node(name, since, 0, &mut lines)?;
        Ok(lines)
    }

    /// Forgets what was told, so that it is told again.
    pub fn forget(&mut self) {
        self.told.clear();
        self.roots.clear();
    }

    fn node(
        &mut self,
        name: &NodeName,
        since: &Snapshot,
        depth: usize,
        lines: &mut Vec<Line>,
    ) -> Result<(), BuildError> {
        if !self.told.insert(name.clone()) {
            if depth > 0 {
                lines.push((depth, format!("`{name}`: as above")));
            }
            return Ok(());
        }
        let node = self.current.plan.node(name)?;
        if let Op::Local { tree } = &node.op {
            let before = match since.result(name) {
                Some(known) => self.current.store.tree(known.tree)?,
                None => Some(Tree::new().into()),
            };
            match before {
                Some(before) => self.files(&node, &before, tree, depth, lines),
                None => {
                    lines.push((depth, format!("`{name}`: its files changed; the earlier ones are not in the store")));
                }
            }
            return Ok(());
        }
        self.own_parts(&node, since, depth, lines)?;
        let mut spoken_of = BTreeSet::new();
        for selection in node.op.selections() {
            let input = &selection.node;
            let before = since.result(input).map(|known| known.tree);
            let now = self.current.tree(input)?;
            let (Some(now), Some(before)) = (now, before) else {
                if spoken_of.insert(input.clone()) {
                    let what = match (now, before) {
                        (None, Some(_)) => "is not known yet",
                        (None, None) => "is not known yet, and was not there before",
                        (Some(_), _) => "was not there before",
                    };
                    lines.push((depth, format!("`{name}` takes `{input}`, which {what}")));
                    self.node(input, since, depth + 1, lines)?;
                }
                continue;
            };
            if now == before {
                continue;
            }
            let part = |tree: TreeDigest| -> Result<Option<_>, BuildError> {
                match self.current.selections.select(self.current.store, tree, &selection) {
                    Ok(selected) => Ok(selected.tree(self.current.store)?),
                    // The earlier tree need not be there, nor fit.
                    Err(_) => Ok(None),
                }
            };
            let (old, new) = (part(before)?, part(now)?);
            if let (Some(old), Some(new)) = (&old, &new)
                && old.digest() == new.digest()
            {
                continue;
            }
            if !spoken_of.insert(input.clone()) {
                continue;
            }
            let paths = match (&old, &new) {
                (Some(old), Some(new)) => format!(": {}", listed(&differences(old, new))),
                _ => String::new(),
            };
            let described = self.current.plan.node(input)?;
            if let (Op::Local { .. }, Some(old), Some(new)) = (&described.op, &old, &new) {
                lines.push((depth, format!("`{name}` takes `{input}`")));
                self.told.insert(input.clone());
                self.files(&described, old, new, depth + 1, lines);
                continue;
            }
            lines.push((depth, format!("`{name}` takes `{input}`, which came out otherwise{paths}")));
            self.node(input, since, depth + 1, lines)?;
        }
        Ok(())
    }

    /// What changed of the node's own description.
    fn own_parts(
        &mut self,
        node: &Node,
        since: &Snapshot,
        depth: usize,
        lines: &mut Vec<Line>,
    ) -> Result<(), BuildError> {
        let Some(key) = since.result(&node.name).and_then(|known| known.key) else { return Ok(()) };
        let Some(before) = self.current.store.explanation(key)? else { return Ok(()) };
        let inputs = node.op.selections().len();
        // Digests of inputs are compared by what they stand for; here they only have to differ, or
        // equal ones fall together.
        let digests: Vec<_> =
            (0..inputs).map(|number| TreeDigest::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())).collect();
        let now = KeyInputs::new(&node.op, &digests).explain();
        let own = |line: &&String| inputs == 0 || !is_of_inputs(line);
        let gone = before.iter().filter(own).filter(|line| !now.contains(line)).map(|line| format!("- {line}"));
        let come = now.iter().filter(own).filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
        let changed: Vec<_> = gone.chain(come).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let whose = match node.op {
            Op::Source(_) => "its pin in `recipes/locks/sources.toml` changed",
            _ => "its description changed, which the recipe and this program make",
        };
        let line = format!("`{}`: {whose}", node.name);
        self.roots.insert(line.clone());
        lines.push((depth, line));
        lines.extend(changed.iter().map(|line| (depth + 1, printable(line).to_string())));
        Ok(())
    }

    /// Which files of the project changed.
    fn files(&mut self, node: &Node, old: &Tree, new: &Tree, depth: usize, lines: &mut Vec<Line>) {
        let differences = differences(old, new);
        for (path, what) in differences.iter().take(MAX_PATHS) {
            let line = format!("{} {what}", self.file(node, path));
            self.roots.insert(line.clone());
            lines.push((depth, line));
        }
        if differences.len() > MAX_PATHS {
            lines.push((depth, format!("and {} more", differences.len() - MAX_PATHS)));
        }
    }

    /// The name of a file of a local node, as the user knows it.
    pub fn file(&self, node: &Node, path: &str) -> String {
        let name = node.name.as_str();
        if let Some(folder) = name.strip_prefix("files/") {
            return format!("`{}`", printable(&format!("{folder}/{path}")));
        }
        if let Some(source) = name.strip_prefix("source/").and_then(|rest| rest.split('/').next()) {
            let from = self.overrides.iter().find(|(name, _)| name == source).map(|(_, from)| from);
            return match from {
                Some(from) if from.is_dir() => format!("`{}`", printable_path(&from.join(path))),
                Some(from) => format!("`{}`", printable_path(from)),
                None => format!("`{}` of the source `{source}`", printable(path)),
            };
        }
        if let Some(target) = name.strip_suffix("/patches").and_then(|rest| rest.split('/').next()) {
            return format!("`{}`", printable_path(&self.patch_file(&node.recipe, target, path)));
        }
        format!("`{}`, whose text the recipe `{}` makes,", printable(path), node.recipe)
    }

    /// A patch of a recipe: neither its version nor whether the patch is for all targets is in the
    /// node's name.
    fn patch_file(&self, recipe: &str, target: &str, patch: &str) -> PathBuf {
        let begin = format!("{recipe}-");
        let folders = std::fs::read_dir(self.root.join("patches")).into_iter().flatten().filter_map(Result::ok);
        let mut found: Vec<_> = folders
            .filter(|folder| folder.file_name().to_string_lossy().starts_with(&begin))
            .flat_map(|folder| {
                [target, "all"].map(|of| Path::new("patches").join(folder.file_name()).join(of).join(patch))
            })
            .filter(|path| self.root.join(path).is_file())
            .collect();
        match found.pop() {
            Some(path) if found.is_empty() => path,
            _ => Path::new("patches").join(format!("{begin}…")).join(target).join(patch),
        }
    }

    /// Says in a sentence how a node stands now.
    ///
    /// # Errors
    /// As [`Why::tell`].
    pub fn state(&self, name: &NodeName) -> Result<String, BuildError> {
        let known = self.current.plan.is_known(name);
        Ok(match self.current.state(name)? {
            State::Done(_) if known => "known, nothing is left to run".to_owned(),
            State::Done(_) => "known: built since `gen`".to_owned(),
            State::Ready(..) => "has to run: nobody has its result".to_owned(),
            State::Waits(inputs) => {
                let inputs: Vec<_> = inputs.iter().map(|input| format!("`{input}`")).collect();
                format!("waits for {}", inputs.join(", "))
            }
        })
    }
}

/// Whether a line explains what is taken of other nodes: a digest, or how many there are.
pub fn is_of_inputs(line: &str) -> bool {
    let Some((label, value)) = line.rsplit_once(": ") else { return false };
    let digest = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    digest || matches!(label, "inputs" | "parts" | "packages")
}

/// The paths that differ between two trees, each with how.
pub fn differences(old: &Tree, new: &Tree) -> Vec<(String, &'static str)> {
    let (mut found, mut come) = (Vec::new(), Vec::new());
    let (mut left, mut right) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let before = if order.is_le() { left.next() } else { None };
        let now = if order.is_ge() { right.next() } else { None };
        match (before, now) {
            (Some((path, old)), Some((_, new))) if old != new => found.push((path.to_string(), "changed")),
            (Some((path, _)), None) => found.push((path.to_string(), "is gone")),
            (None, Some((path, _))) => come.push((path.to_string(), "is new")),
            _ => {}
        }
    }
    found.append(&mut come);
    found
}

fn listed(differences: &[(String, &'static str)]) -> String {
    let mut named: Vec<_> =
        differences.iter().take(MAX_PATHS).map(|(path, what)| format!("`{}` {what}", printable(path))).collect();
    if differences.len() > MAX_PATHS {
        named.push(format!("and {} more", differences.len() - MAX_PATHS));
    }
    named.join(", ")
}
