//! What differs between two plans, or between the results that two stores have of plans: first
//! where differences begin (descriptions, pins, files of the project, results of one key that are
//! not equal), then what follows from that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use build_graph::key::KeyInputs;
use build_graph::node::{Node, Op};
use build_graph::untrusted::printable;
use build_graph::{Entry, Glob, RelPath, Tree, TreeDigest};
use serde::Serialize;

use super::{At, Model};
use crate::build::BuildError;
use crate::build::plan::Compared;
use crate::build::plan::table::Table;
use crate::build::why::differences;

/// What differs.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// Nodes that only the first one has.
    pub only_first: Vec<String>,
    /// Nodes that only the second one has.
    pub only_second: Vec<String>,
    /// Where differences begin.
    pub changed: Vec<Change>,
    /// Nodes whose own parts are equal, but an input is not: they may come out otherwise.
    pub follow: Vec<String>,
    /// Nodes that come out the same, though an input differs.
    pub cut_off: Vec<String>,
    /// How many nodes are equal.
    pub equal: usize,
}

/// A node at which a difference begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// The node.
    pub node: String,
    /// Its recipe.
    pub recipe: String,
    /// What it does.
    pub operation: String,
    /// What differs.
    pub kind: ChangeKind,
    /// The parts: `- ` for those of the first one, `+ ` for those of the second; files with what
    /// became of them.
    pub parts: Vec<String>,
}

/// What differs at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// What the recipe and the program say of it: commands, flags, inputs.
    Description,
    /// The pin of a source.
    Pin,
    /// Files of the project.
    Files,
    /// The tree that one key gave: the build of this node is not reproducible.
    Result,
}

impl ChangeKind {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Description => "its description differs",
            Self::Pin => "its pin differs",
            Self::Files => "its files differ",
            Self::Result => "its result, of one key, differs",
        }
    }
}

impl Difference {
    /// Compares two plans with what is known of them.
    ///
    /// # Errors
    /// [`BuildError`] if a plan or a store can't be read.
    pub fn between(first: &Model<'_>, second: &Model<'_>) -> Result<Self, BuildError> {
        let mut found = Self::default();
        let namesakes = Namesakes::of(first.table(), second.table());
        let absent = |table: &Table, others: &[Option<At>]| -> Vec<String> {
            (0..table.len()).filter(|at| others[*at].is_none()).map(|at| table.name(at).to_owned()).collect()
        };
        found.only_first = absent(first.table(), &namesakes.of_first);
        found.only_second = absent(second.table(), &namesakes.of_second);
        let one_plan = first.plan().id() == second.plan().id();
        let mut compared = Compared::new(first.plan(), second.plan());
        let mut differs = vec![false; second.table().len()];
        // Of files of the project that differ, the nodes whose part of them may.
        let mut concerned: HashMap<At, HashSet<At>> = HashMap::new();
        for at in second.all() {
            let name = second.table().name(at);
            let Some(before) = namesakes.of_second[at] else {
                differs[at] = true;
                continue;
            };
            let concerns = |input: &At| concerned.get(input).is_none_or(|nodes| nodes.contains(&at));
            let of_input = second.table().inputs(at).filter(|input| differs[*input]).any(|input| concerns(&input));
            // Equal keys are equal in all that a key is made of.
            let keys = (key(first, before), key(second, at));
            let equal_keys = keys.0.is_some() && keys.0 == keys.1;
            if !one_plan
                && !equal_keys
                && let Some((change, paths)) = own_change(first, before, second, at, &mut compared)?
            {
                if let Some(paths) = paths {
                    concerned.insert(at, second.plan().concerned(at, &paths)?.into_iter().collect());
                }
                found.changed.push(change);
                differs[at] = true;
                continue;
            }
            let trees = (tree(first, before, of_input || one_plan)?, tree(second, at, of_input || one_plan)?);
            match trees {
                (Some(old), Some(new)) if old == new => {
                    if of_input {
                        found.cut_off.push(name.to_owned());
                    } else {
                        found.equal += 1;
                    }
                }
                (Some(old), Some(new)) if !of_input => {
                    found.changed.push(result_change(first, old, second, new, at)?);
                    differs[at] = true;
                }
                _ if of_input => {
                    found.follow.push(name.to_owned());
                    differs[at] = true;
                }
                _ => found.equal += 1,
            }
        }
        Ok(found)
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.only_first.is_empty() && self.only_second.is_empty() && self.changed.is_empty()
    }
}

fn key(model: &Model<'_>, at: At) -> Option<build_graph::NodeKey> {
    model.table().known(at)?.key
}

/// The tree of a node, as the plan knows it; `now` asks the store, too.
fn tree(model: &Model<'_>, at: At, now: bool) -> Result<Option<TreeDigest>, BuildError> {
    match model.table().known(at) {
        Some(known) => Ok(Some(known.tree)),
        None if now => model.current.tree(&model.name(at)?),
        None => Ok(None),
    }
}

/// The nodes of each of two plans that the other one has, too.
struct Namesakes {
    of_first: Vec<Option<At>>,
    of_second: Vec<Option<At>>,
}

impl Namesakes {
    fn of(first: &Table, second: &Table) -> Self {
        let mut found = Self { of_first: vec![None; first.len()], of_second: vec![None; second.len()] };
        let (mut left, mut right) = (first.by_name().peekable(), second.by_name().peekable());
        while let (Some(old), Some(new)) = (left.peek().copied(), right.peek().copied()) {
            let order = first.name(old).cmp(second.name(new));
            if order.is_eq() {
                (found.of_first[old], found.of_second[new]) = (Some(new), Some(old));
            }
            if order.is_le() {
                left.next();
            }
            if order.is_ge() {
                right.next();
            }
        }
        found
    }
}

/// The trees of a node of files of the project in both plans, where the plans and the stores know
/// them: quicker to read than descriptions with as many files.
fn known_files(
    first: &Model<'_>,
    before: At,
    second: &Model<'_>,
    at: At,
) -> Result<Option<[Arc<Tree>; 2]>, BuildError> {
    let (old, new) = (first.table().known(before), second.table().known(at));
    let (true, Some(old), Some(new)) = (second.table().verb(at) == "local", old, new) else { return Ok(None) };
    let stores = (first.store(), second.store());
    let (old, new) = rayon::join(|| stores.0.tree(old.tree), || stores.1.tree(new.tree));
    Ok(old?.zip(new?).map(|(old, new)| [old, new]))
}

/// What differs of a node's own description; of files of the project, also the paths that differ,
/// where a tree can have all of them.
fn own_change(
    first: &Model<'_>,
    before: At,
    second: &Model<'_>,
    at: At,
    compared: &mut Compared<'_>,
) -> Result<Option<(Change, Option<Tree>)>, BuildError> {
    let mut paths = None;
    let mut of_files = |old: &Tree, new: &Tree| {
        let files = differences(old, new);
        paths = tree_of(files.iter().map(|(path, _)| path));
        (ChangeKind::Files, files.iter().map(|(path, what)| format!("`{}` {what}", printable(path))).collect())
    };
    let (kind, parts): (_, Vec<_>) = if first.table().verb(before) == "local"
        && let Some([old, new]) = known_files(first, before, second, at)?
    {
        of_files(&old, &new)
    } else if compared.are_alike(before, at)? {
        return Ok(None);
    } else {
        let (old, new) = (first.description(before)?, second.description(at)?);
        match (&old.op, &new.op) {
            (Op::Local { tree: old }, Op::Local { tree: new }) => of_files(old, new),
            (Op::Source(_), Op::Source(_)) => (ChangeKind::Pin, lines(&old, &new)),
            _ => (ChangeKind::Description, lines(&old, &new)),
        }
    };
    let table = second.table();
    let change = Change {
        node: table.name(at).to_owned(),
        recipe: table.recipe(at).to_owned(),
        operation: table.verb(at).to_owned(),
        kind,
        parts,
    };
    Ok((!change.parts.is_empty()).then_some((change, paths)))
}

/// A tree with something at each of these paths; `None` if one of them lies below another.
fn tree_of<'a>(paths: impl Iterator<Item = &'a String>) -> Option<Tree> {
    let mut paths: Vec<_> = paths.map(|path| RelPath::new(path.as_str()).ok()).collect::<Option<_>>()?;
    paths.sort_unstable();
    Tree::from_sorted(paths.into_iter().map(|path| (path, Entry::EmptyDirectory)).collect())
}

fn result_change(
    first: &Model<'_>,
    old: TreeDigest,
    second: &Model<'_>,
    new: TreeDigest,
    at: At,
) -> Result<Change, BuildError> {
    let parts = match (first.store().tree(old)?, second.store().tree(new)?) {
        (Some(old), Some(new)) => {
            differences(&old, &new).iter().map(|(path, what)| format!("`{}` {what}", printable(path))).collect()
        }
        _ => vec![format!("- tree {old}"), format!("+ tree {new}")],
    };
    let table = second.table();
    Ok(Change {
        node: table.name(at).to_owned(),
        recipe: table.recipe(at).to_owned(),
        operation: table.verb(at).to_owned(),
        kind: ChangeKind::Result,
        parts,
    })
}

/// The lines that only one of two descriptions has.
fn lines(old: &Node, new: &Node) -> Vec<String> {
    let (old, new) = (own_lines(old), own_lines(new));
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &new {
        *left.entry(line).or_default() += 1;
    }
    let mut parts = Vec::new();
    for line in &old {
        match left.get_mut(line.as_str()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => parts.push(format!("- {}", printable(line))),
        }
    }
    for line in &new {
        if let Some(count) = left.get_mut(line.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            parts.push(format!("+ {}", printable(line)));
        }
    }
    parts
}

/// What a node's key is made of, with names of nodes in the place of digests of their trees.
fn own_lines(node: &Node) -> Vec<String> {
    let selections = node.op.selections();
    let names: Vec<_> = selections
        .iter()
        .map(|selection| {
            let words =
                |globs: &[Glob], sign| globs.iter().map(|glob| format!(" {sign}{}", glob.as_str())).collect::<String>();
            let part = &selection.part;
            let below = part.strip().map(|strip| format!(" below {strip}")).unwrap_or_default();
            format!("{}{}{}{below}", selection.node, words(part.include(), ""), words(part.exclude(), "!"))
        })
        .collect();
    // A digest of the name, so that the order of lines follows from names on both sides.
    let digests: Vec<_> =
        names.iter().map(|name| TreeDigest::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())).collect();
    let by_digest: BTreeMap<_, _> = digests.iter().map(ToString::to_string).zip(&names).collect();
    let named =
        |line: String| match line.rsplit_once(": ").and_then(|(label, digest)| Some((label, by_digest.get(digest)?))) {
            Some((label, name)) => format!("{label}: {name}"),
            None => line,
        };
    KeyInputs::new(&node.op, &digests).explain().into_iter().map(named).collect()
}
