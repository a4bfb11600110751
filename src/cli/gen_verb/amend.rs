//! `gen` after nothing but files of folders in place of sources have changed. Recipes see these
//! folders as one node each, never what is in them: so the graph is the last one with other files,
//! and only those nodes are looked at again that take a file which has changed, or hang on them.
//!
//! What can't be told so is left to the whole of `gen`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use build_graph::graph::{NodeIndex, Outline};
use build_graph::node::{Node, NodeName};
use build_graph::{Entry, NodeKey, RelPath, Tree, TreeDigest};

use super::{Generation, MAX_READINGS};
use crate::build::BuildError;
use crate::build::plan::{OutDir, Plan};
use crate::build::record::Record;
use crate::build::resolve::{Described, State};
use crate::build::seen::{CLOCK_STEP, EarlierFolders, Seen};
use crate::project::{ReadFolder, read_folder};
use crate::store::{Store, Taking};

/// Of more nodes than one in so many, the whole of `gen` is as quick.
const MOST_AGAIN: usize = 4;

/// The last plan with other files.
pub(super) struct Amendment<'a> {
    pub(super) plan: &'a Plan,
    /// The nodes of folders that have changed, by their numbers.
    pub(super) others: BTreeMap<NodeIndex, Node>,
    /// Whether a node has to be looked at again, by its number.
    pub(super) again: Vec<bool>,
    /// The trees of the folders, whose files are in the store.
    pub(super) trees: Vec<TreeDigest>,
    /// What was looked at, by the last `gen` or by this one.
    pub(super) seen: Vec<Seen>,
}

impl Described for Amendment<'_> {
    fn outline(&self) -> &impl Outline {
        self.plan
    }

    fn described(&self, at: NodeIndex) -> Result<Cow<'_, Node>, BuildError> {
        if let Some(node) = self.others.get(&at) {
            return Ok(Cow::Borrowed(node));
        }
        let name = self.plan.table().name(at);
        let name = name.parse().map_err(|error| BuildError::Input(format!("{error}")))?;
        self.plan.node(&name).map(Cow::Owned)
    }

    fn find_node(&self, name: &NodeName) -> Option<NodeIndex> {
        self.plan.table().find(name.as_str())
    }
}

impl Amendment<'_> {
    /// How the nodes of the plan stood when `gen` left it, with their keys. Whether a node had to
    /// run follows from its inputs; the tree that it had last time is in its stamp, as long as
    /// nothing was built since. What was built since has to be looked at again anyway.
    pub(super) fn before(&self, out: &OutDir) -> (Vec<State>, Vec<Option<NodeKey>>) {
        let table = self.plan.table();
        let stamped = out.stamped();
        let last = |at| {
            let name = (!stamped.is_empty()).then(|| table.name(at).parse::<NodeName>().ok()).flatten()?;
            stamped.contains(&name).then(|| out.read_stamp(&name)).flatten()
        };
        let state = |at: NodeIndex| match table.known(at) {
            Some(known) => State::Known(known.tree),
            None if table.inputs(at).all(|input| table.known(input).is_some()) => State::Run(last(at)),
            None => State::Wait(last(at)),
        };
        let keys = (0..table.len()).map(|at| table.known(at).and_then(|known| known.key));
        ((0..table.len()).map(state).collect(), keys.collect())
    }
}

/// A folder in place of a source that has changed.
struct Changed {
    /// The number of its node.
    at: NodeIndex,
    tree: Tree,
    /// The paths whose entries have changed, with the entries that they have or had.
    paths: Tree,
    /// Files and folders that were read.
    read: Vec<Seen>,
    /// What else was looked at, if all of the folder was.
    unread: Option<Vec<Seen>>,
}

impl Generation<'_> {
    /// Returns the last plan with the files as they are now; `None` if more has changed than files
    /// of folders in place of sources, or most nodes would have to be looked at again.
    ///
    /// `results` is the store's mark of results as it is now.
    pub(super) fn amend<'p>(&self, record: &Record, plan: &'p Plan, results: Option<&String>) -> Option<Amendment<'p>> {
        if record.question != self.question
            || record.folders.len() != self.overrides.len()
            || record.plan != *plan.id()
            || !record.left_plan(&self.out)
            || !self.session.remotes(&self.project).is_ok_and(|remotes| remotes.is_empty())
        {
            return None;
        }
        let changed: Vec<_> = record.changed().collect();
        if !lie_apart(&changed, record) {
            return None;
        }
        let folders = self.read_settled(record, plan, &changed)?;
        let mut again: Vec<_> = (0..plan.table().len()).map(|at| plan.table().known(at).is_none()).collect();
        if results.is_some() && record.results.as_ref() == results {
            again.fill(false);
        }
        let (mut trees, mut others) = (Vec::new(), BTreeMap::new());
        let gone: HashSet<&Path> = changed.iter().map(|seen| seen.path()).collect();
        let walked: Vec<_> = folders.iter().filter(|(_, read)| read.unread.is_some()).map(|(path, _)| *path).collect();
        let is_kept =
            |seen: &&Seen| !gone.contains(seen.path()) && !walked.iter().any(|folder| seen.path().starts_with(folder));
        let mut seen: Vec<_> = record.seen.iter().filter(is_kept).cloned().collect();
        for (_, Changed { at, tree, paths, mut read, unread }) in folders {
            plan.concerned(at, &paths).ok()?.into_iter().for_each(|node| again[node] = true);
            again[at] = true;
            trees.push(tree.digest());
            others.insert(at, plan.with_files(at, tree).ok()?);
            seen.append(&mut read);
            seen.extend(unread.into_iter().flatten());
        }
        let few = again.iter().filter(|again| **again).count() <= again.len() / MOST_AGAIN;
        few.then_some(Amendment { plan, others, again, trees, seen })
    }

    /// Reads the folders of which something has changed, when nothing of that changes any more.
    fn read_settled<'r>(&self, record: &'r Record, plan: &Plan, changed: &[&Seen]) -> Option<Vec<(&'r Path, Changed)>> {
        for reading in 0..MAX_READINGS {
            if reading > 0 {
                std::thread::sleep(CLOCK_STEP);
            }
            let start = SystemTime::now();
            let folders = record
                .folders
                .iter()
                .filter(|(_, folder)| changed.iter().any(|seen| seen.path().starts_with(folder)))
                .map(|(source, folder)| Some((&**folder, self.read_again(source, folder, record, plan, changed)?)))
                .collect::<Option<Vec<_>>>()?;
            let end = SystemTime::now();
            let settled = |seen: &Seen| seen.is_settled(start, end) && seen.is_current();
            if folders.iter().flat_map(|(_, folder)| &folder.read).all(settled) {
                return Some(folders);
            }
        }
        None
    }

    /// Reads a folder again: only the files that have changed, if no folder has.
    fn read_again(
        &self,
        source: &str,
        folder: &Path,
        record: &Record,
        plan: &Plan,
        changed: &[&Seen],
    ) -> Option<Changed> {
        let at = plan.table().find(&format!("source/{source}/tree")).filter(|at| plan.table().verb(*at) == "local")?;
        let before = self.store.tree(plan.table().known(at)?.tree).ok()??;
        let mut files = Vec::new();
        let mut only_files = true;
        for path in changed.iter().filter_map(|seen| seen.path().strip_prefix(folder).ok()) {
            let path = path.to_str()?;
            match before.get(path) {
                Some(Entry::File { .. }) => files.push(RelPath::new(path).ok()?),
                // What else the record has of the folder is a folder in it.
                _ if path.is_empty() || before.with_prefix(&format!("{path}/")).next().is_some() => only_files = false,
                Some(Entry::EmptyDirectory) => only_files = false,
                _ => return None,
            }
        }
        if only_files && let Some(changed) = read_files(&self.store, folder, at, &before, &files) {
            return Some(changed);
        }
        let earlier = EarlierFolders {
            trees: BTreeMap::from([(source.to_owned(), (folder.to_path_buf(), before.clone()))]),
            seen: record.seen.iter().map(|seen| (seen.path().to_path_buf(), seen.clone())).collect(),
        };
        let ReadFolder { tree, seen: read, unread } = read_folder(source, folder, &self.store, &earlier).ok()?;
        let new = tree.iter().filter(|(path, entry)| before.get(path.as_str()) != Some(*entry));
        let gone = before.iter().filter(|(path, _)| tree.get(path.as_str()).is_none());
        let mut paths: Vec<_> = new.chain(gone).map(|(path, entry)| (path.clone(), entry.clone())).collect();
        paths.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let paths = Tree::from_sorted(paths)?;
        // The folder itself was also looked at as what the option names.
        let mut read = read;
        read.push(Seen::now(folder.to_path_buf()));
        Some(Changed { at, tree, paths, read, unread: Some(unread) })
    }
}

/// Whether each of these lies in a folder in place of a source, and nothing but the walk through
/// that folder looked at it: what is also a file of the project, say, may be anything to the
/// recipes.
fn lie_apart(changed: &[&Seen], record: &Record) -> bool {
    let mut looks: BTreeMap<&Path, usize> = BTreeMap::new();
    changed.iter().for_each(|seen| *looks.entry(seen.path()).or_default() += 1);
    // The folder itself was looked at, too, as what the option names.
    let is_folder = |path: &Path| record.folders.values().any(|folder| folder == path);
    let is_below = |path: &Path| record.folders.values().filter(|folder| path.starts_with(folder)).count() == 1;
    changed.iter().all(|seen| seen.was_there())
        && looks.iter().all(|(path, count)| is_below(path) && *count == if is_folder(path) { 2 } else { 1 })
}

/// Takes those files of a folder into the store that have changed; `None` if some are no files any
/// more.
fn read_files(store: &Store, folder: &Path, at: NodeIndex, before: &Tree, files: &[RelPath]) -> Option<Changed> {
    let read: Vec<_> = files.iter().map(|file| Seen::now(folder.join(file))).collect();
    let is_file = |path: PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    if !files.iter().all(|file| is_file(folder.join(file))) {
        return None;
    }
    let new = store.ingest_paths(folder, files, Taking::Sources).ok()?;
    if new.len() != files.len() || new.iter().any(|(_, entry)| !matches!(entry, Entry::File { .. })) {
        return None;
    }
    let (mut tree, mut paths) = (before.clone(), Tree::new());
    for (path, entry) in new.iter().filter(|(path, entry)| before.get(path.as_str()) != Some(*entry)) {
        tree.remove(path);
        tree.insert(path.clone(), entry.clone()).ok()?;
        paths.insert(path.clone(), entry.clone()).ok()?;
    }
    Some(Changed { at, tree, paths, read, unread: None })
}
