//! What `gen` leaves behind: the descriptions of all nodes with the results that are known, and
//! stamps of nodes that had a tree last time.
//!
//! ```text
//! out/plan               the nodes with what is known of them (below); an input of each edge that
//!                        has to run
//! out/gen.json           what that `gen` saw (`record`); absent while one runs or if it failed
//! out/belief             whom `gen` believed of what the store has
//! out/stamps/NAME.digest the digest of its tree: the output of its edge
//! out/builds             what each build did (`log`)
//! out/history/NUMBER     what was known when an earlier plan ended, for `why` (`history`)
//! out/failed/NODE        the directory and the log of an action that failed
//! out/lock               held by whoever reads or writes any of this (`out_lock`)
//! ```
//!
//! The plan is one file, so that nobody ever sees half of one and half of another:
//!
//! ```text
//! pynbox-plan 3 ID LENGTH              the BLAKE3 of all that follows; how long the head is
//! alias NAME NODE…                     the head: a line an alias,
//! node BLOCK SIZE OFFSET LENGTH …      a line a node (`plan::table`)
//! …                                    blocks of descriptions, a JSON document each, in the order
//!                                      of the lines; each block is compressed by zstd
//! ```
//!
//! Nodes of one recipe are described almost alike, so a block takes a small part of its documents.
//! A reader decompresses the one block that it needs.
//!
//! A stamp is a claim: whoever takes it up has to see that the store still has the bytes.

pub mod table;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use build_graph::graph::Graph;
use build_graph::node::{Node, NodeName};
use build_graph::untrusted::printable;
use build_graph::{NodeKey, TreeDigest};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::BuildError;
use table::{Place, Table};

/// What the plan's first line begins with.
const FORMAT: &str = "pynbox-plan 3";
/// No first line is longer.
const MAX_FIRST_LINE: usize = 256;
/// This many nodes are described in one block.
const NODES_A_BLOCK: usize = 128;
/// No document ends beyond this many bytes of its block.
const MAX_BLOCK: u64 = 1 << 30;
/// This much of a block is decompressed at once.
const ORDINARY_BLOCK: u64 = 1 << 20;
/// The level of compression: higher ones take longer and save little.
const LEVEL: i32 = 1;
/// What follows a node's name in the name of its stamp.
const STAMP_ENDING: &str = ".digest";
/// Stands for a digest that is not known.
const NONE: &str = "-";
/// How many names that are like a misspelt one are shown.
const MAX_SIMILAR: usize = 3;
/// Below `out/`: what `gen` believed of the store.
const BELIEF: &str = "belief";

/// The folder `out/` of a project.
#[derive(Debug, Clone)]
pub struct OutDir {
    path: PathBuf,
}

impl OutDir {
    /// The folder at this path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the plan.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan")
    }

    /// The folder of the stamps.
    pub fn stamps(&self) -> PathBuf {
        self.path.join("stamps")
    }

    /// The stamp of a node.
    pub fn stamp(&self, node: &NodeName) -> PathBuf {
        self.stamps().join(format!("{node}{STAMP_ENDING}"))
    }

    /// Returns the names of the nodes that have a stamp: one look at the folder, where a question
    /// a node would cost more than the rest of `gen`.
    pub fn stamped(&self) -> HashSet<NodeName> {
        let folder = self.stamps();
        let name = |entry: walkdir::DirEntry| {
            let path = entry.path().strip_prefix(&folder).ok()?.to_str()?;
            path.strip_suffix(STAMP_ENDING)?.parse().ok()
        };
        WalkDir::new(&folder).into_iter().filter_map(Result::ok).filter_map(name).collect()
    }

    /// Where the directory and the log of a failed action are kept.
    pub fn failed(&self, node: &NodeName) -> PathBuf {
        self.path.join("failed").join(node.as_str())
    }

    /// Reads a stamp; `None` if there is none, or if it is no digest (then it counts as not built).
    pub fn read_stamp(&self, node: &NodeName) -> Option<TreeDigest> {
        fs::read_to_string(self.stamp(node)).ok()?.trim_end().parse().ok()
    }

    /// Writes a stamp, unless it says the same already: ninja takes the file's time for the time of
    /// the last change.
    ///
    /// # Errors
    /// [`BuildError::Io`] if it can't be written.
    pub fn write_stamp(&self, node: &NodeName, digest: TreeDigest) -> Result<(), BuildError> {
        write_if_changed(&self.stamp(node), format!("{digest}\n").as_bytes()).map(drop)
    }
}

/// Writes a file by way of another and a rename, with its folders, unless it has these bytes
/// already. Gives whether it was written.
///
/// # Errors
/// [`BuildError::Io`].
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, BuildError> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    write_atomically(path, bytes)?;
    Ok(true)
}

/// Writes a file by way of another and a rename, with its folders.
///
/// # Errors
/// [`BuildError::Io`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(denied("create", folder))?;
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(denied("write", path))
}

/// A file of `out/` that can't be written: what another user made is called so.
///
/// # Errors
/// [`BuildError::Foreign`] or [`BuildError::Io`].
pub fn denied(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    move |error| {
        let near = path.ancestors().take(2).map(Path::to_path_buf);
        match refuse_foreign(near) {
            Err(foreign) if error.kind() == io::ErrorKind::PermissionDenied => foreign,
            _ => BuildError::io(doing, path)(error),
        }
    }
}

/// Refuses files and folders that another user owns and this one can't write to.
///
/// # Errors
/// [`BuildError::Foreign`], which names them all.
pub fn refuse_foreign(paths: impl Iterator<Item = PathBuf>) -> Result<(), BuildError> {
    let me = rustix::process::geteuid().as_raw();
    let owner = |path: &PathBuf| {
        let owner = fs::symlink_metadata(path).ok()?.uid();
        let writable = rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        (owner != me && !writable).then_some(owner)
    };
    let foreign: Vec<_> = paths.filter_map(|path| owner(&path).map(|owner| (path, owner))).collect();
    let Some((_, owner)) = foreign.first() else { return Ok(()) };
    let owner = *owner;
    Err(BuildError::Foreign { paths: foreign.into_iter().map(|(path, _)| path).collect(), owner, me })
}

/// Names a plan by what is in it: two of the same name plan the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlanId(String);

impl PlanId {
    /// Reads the name of the plan in a folder; `None` if there is none.
    pub fn read(out: &OutDir) -> Option<Self> {
        let file = fs::File::open(out.plan()).ok()?;
        Some(read_first_line(&file).ok()??.0)
    }

    fn of(content: &[u8]) -> Self {
        Self(blake3::hash(content).to_string())
    }
}

impl std::fmt::Display for PlanId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PlanId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fine = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fine { Ok(Self(text.to_owned())) } else { Err(format!("`{}` does not name a plan", printable(text))) }
    }
}

/// A result that was known when a plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The tree.
    pub tree: TreeDigest,
    /// The key that it stands under; files of the project have none.
    pub key: Option<NodeKey>,
}

/// A plan in memory, ready to be written.
pub struct NewPlan {
    /// Its name.
    pub id: PlanId,
    bytes: Vec<u8>,
}

impl NewPlan {
    /// Puts together the nodes of a graph with what is known of each, by index.
    ///
    /// # Errors
    /// [`BuildError::Io`] if a node can't be written as JSON.
    pub fn new(graph: &Graph, known: impl Fn(usize) -> Option<Known>) -> Result<Self, BuildError> {
        let nodes = graph.nodes();
        let blocks: Vec<Block> = nodes.par_chunks(NODES_A_BLOCK).map(Block::of).collect::<Result<_, _>>()?;
        let mut head = String::new();
        for (alias, members) in graph.aliases() {
            let _ = write!(head, "alias {alias}");
            for member in members {
                let _ = write!(head, " {}", nodes[*member].name);
            }
            head.push('\n');
        }
        let mut begin = 0;
        for (number, block) in blocks.iter().enumerate() {
            let packed = block.bytes.len() as u64;
            for (at, document) in block.documents.iter().enumerate() {
                let at = number * NODES_A_BLOCK + at;
                let (offset, length) = (document.start as u64, document.len() as u64);
                table::write_line(&mut head, graph, at, Place { block: begin, packed, offset, length }, known(at));
            }
            begin += packed;
        }
        let mut content = head.into_bytes();
        let length = content.len();
        content.reserve_exact(begin as usize);
        for block in blocks {
            content.extend_from_slice(&block.bytes);
        }
        let id = PlanId::of(&content);
        let mut bytes = format!("{FORMAT} {id} {length}\n").into_bytes();
        bytes.append(&mut content);
        Ok(Self { id, bytes })
    }

    /// Opens it without writing it into the folder: what `gen` would leave there.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn open(&self, out: &OutDir) -> Result<Plan, BuildError> {
        let mut file = tempfile::tempfile().map_err(BuildError::io("create", "a temporary file"))?;
        file.write_all(&self.bytes).map_err(BuildError::io("write", "a temporary file"))?;
        Plan::read(out, file, Path::new("the plan in memory"))
    }

    /// Writes it in place of the one that is there.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn write(&self, out: &OutDir) -> Result<(), BuildError> {
        self.write_to(&out.plan())
    }

    /// Writes it to a file of any name.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn write_to(&self, path: &Path) -> Result<(), BuildError> {
        write_if_changed(path, &self.bytes).map(drop)
    }
}

/// The descriptions of some nodes.
struct Block {
    /// Compressed.
    bytes: Vec<u8>,
    /// The place of each document in what was compressed.
    documents: Vec<Range<usize>>,
}

impl Block {
    fn of(nodes: &[Node]) -> Result<Self, BuildError> {
        let mut plain = Vec::new();
        let mut documents = Vec::with_capacity(nodes.len());
        for node in nodes {
            let start = plain.len();
            serde_json::to_writer(&mut plain, node)
                .map_err(|error| BuildError::io("describe", node.name.as_str())(error.into()))?;
            documents.push(start..plain.len());
        }
        let name = nodes.first().map_or("", |node| node.name.as_str());
        if plain.len() as u64 > MAX_BLOCK {
            let error = io::Error::other("the descriptions of these nodes are too large for a plan");
            return Err(BuildError::io("describe", name)(error));
        }
        let bytes = zstd::bulk::compress(&plain, LEVEL).map_err(BuildError::io("describe", name))?;
        Ok(Self { bytes, documents })
    }
}

/// What was planned: descriptions by name, and the results that were known.
#[derive(Debug)]
pub struct Plan {
    id: PlanId,
    out: OutDir,
    file: fs::File,
    /// Where the blocks begin.
    blocks: u64,
    /// The block that was read last, by its place, and what it holds up to some place.
    last: Mutex<Option<(u64, Arc<Vec<u8>>)>>,
    aliases: BTreeMap<String, Vec<NodeName>>,
    table: Table,
}

impl Plan {
    /// Opens what `gen` left in a folder. What is opened stays as it is, whoever writes another
    /// one.
    ///
    /// # Errors
    /// [`BuildError::NoPlan`] if there is none, [`BuildError::Plan`] if it is damaged.
    pub fn open(out: &OutDir) -> Result<Self, BuildError> {
        let path = out.plan();
        match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BuildError::NoPlan { out: out.path.clone() }),
            opened => Self::read(out, opened.map_err(BuildError::io("read", &path))?, &path),
        }
    }

    /// Reads a plan from a file of any name, of which `out` tells the stamps.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if it is none, or damaged.
    pub fn read(out: &OutDir, file: fs::File, path: &Path) -> Result<Self, BuildError> {
        let damaged = |problem: String| BuildError::Plan { path: path.to_path_buf(), problem };
        let (id, begin, length) = read_first_line(&file)
            .map_err(BuildError::io("read", path))?
            .ok_or_else(|| damaged("does not begin as a plan of this program does".to_owned()))?;
        let size = file.metadata().map_err(BuildError::io("read", path))?.len();
        if size < begin.saturating_add(length) {
            return Err(damaged("is cut short".to_owned()));
        }
        let mut head = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(&mut head, begin).map_err(BuildError::io("read", path))?;
        let mut head = String::from_utf8(head).map_err(|_| damaged("is not text".to_owned()))?;
        let documents = begin + length;
        let mut aliases = BTreeMap::new();
        let of_aliases = head.split_inclusive('\n').take_while(|line| !line.starts_with("node "));
        let nodes = of_aliases.map(str::len).sum();
        let wrong = |line: &str| damaged(format!("has a line that no gen wrote (`{}`)", printable(line)));
        for line in head[..nodes].lines() {
            let (name, members) = parse_alias(line).ok_or_else(|| wrong(line))?;
            aliases.insert(name, members);
        }
        let table = Table::parse(head.split_off(nodes), size - documents).map_err(|line| wrong(&line))?;
        Ok(Self { id, out: out.clone(), file, blocks: documents, last: Mutex::default(), aliases, table })
    }

    /// Its name.
    pub fn id(&self) -> &PlanId {
        &self.id
    }

    /// The folder.
    pub fn out(&self) -> &OutDir {
        &self.out
    }

    /// Whether the file holds what its first line says. Costs reading all of it.
    pub fn is_whole(&self) -> bool {
        let whole = fs::read(self.out.plan()).unwrap_or_default();
        let begin = whole.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        PlanId::of(&whole[begin..]) == self.id
    }

    /// The names of all nodes; each comes after its inputs.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.table.len()).map(|at| self.table.name(at))
    }

    /// What the plan says of all nodes without their descriptions.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// All further names with their nodes.
    pub fn aliases(&self) -> &BTreeMap<String, Vec<NodeName>> {
        &self.aliases
    }

    /// The nodes of an alias: a target, a recipe of the default target, or `TARGET/RECIPE`.
    pub fn alias(&self, name: &str) -> Option<&[NodeName]> {
        self.aliases.get(name).map(Vec::as_slice)
    }

    /// Whether there is a node of that name.
    pub fn has(&self, name: &NodeName) -> bool {
        self.table.find(name.as_str()).is_some()
    }

    /// The error for a name that is no node's, which names those that are most like it.
    pub fn no_node(&self, name: &str) -> BuildError {
        let similar = match self.alias(name) {
            Some(members) => members.iter().map(ToString::to_string).collect(),
            None => similar(name, self.names().chain(self.aliases.keys().map(String::as_str))),
        };
        BuildError::NoNode { name: printable(name).to_string(), similar }
    }

    /// The description of a node.
    ///
    /// # Errors
    /// [`BuildError::NoNode`] if there is none of that name, [`BuildError::Plan`] if it is damaged.
    pub fn node(&self, name: &NodeName) -> Result<Node, BuildError> {
        let Some(at) = self.table.find(name.as_str()) else {
            return Err(self.no_node(name.as_str()));
        };
        let bytes = self.document(at)?;
        let path = self.out.plan();
        let damaged = |problem: String| BuildError::Plan {
            path: path.clone(),
            problem: format!("is damaged at node `{name}` ({problem})"),
        };
        match serde_json::from_slice::<Node>(&bytes) {
            Ok(node) if node.name == *name => Ok(node),
            Ok(node) => Err(damaged(format!("`{}` is there", node.name))),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// The bytes of a description: what is written of a node.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if they can't be read.
    pub fn document(&self, at: usize) -> Result<Vec<u8>, BuildError> {
        self.block_with(self.table.place(at)).map_err(|error| BuildError::Plan {
            path: self.out.plan(),
            problem: format!("is damaged at node `{}` ({error})", self.table.name(at)),
        })
    }

    /// Reads the block with a document, and gives that. Takes no more memory than the file has, and
    /// decompresses no more than it takes to come to the end of the document.
    fn block_with(&self, place: Place) -> io::Result<Vec<u8>> {
        let beyond = || io::Error::other("its description lies beyond the end");
        let end = place.offset.checked_add(place.length).filter(|end| *end <= MAX_BLOCK).ok_or_else(beyond)?;
        let range = place.offset as usize..end as usize;
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = last().as_ref().filter(|(block, _)| *block == place.block).map(|(_, plain)| Arc::clone(plain));
        if let Some(document) = read.as_ref().and_then(|plain| plain.get(range.clone())) {
            return Ok(document.to_vec());
        }
        // The table was read only if its blocks are in the file.
        let mut packed = vec![0; place.packed as usize];
        self.file.read_exact_at(&mut packed, self.blocks + place.block)?;
        let mut plain = Vec::new();
        // The rest of an ordinary block is wanted next, mostly.
        let wanted = end.max(ORDINARY_BLOCK);
        zstd::stream::read::Decoder::with_buffer(&*packed)?.take(wanted).read_to_end(&mut plain)?;
        let document = plain.get(range).ok_or_else(beyond)?.to_vec();
        *last() = Some((place.block, Arc::new(plain)));
        Ok(document)
    }

    /// The result of a node as `gen` knew it.
    pub fn known_result(&self, name: &str) -> Option<Known> {
        self.table.known(self.table.find(name)?)
    }

    /// The digest of a node's tree as `gen` knew it.
    pub fn known(&self, name: &NodeName) -> Option<TreeDigest> {
        self.known_result(name.as_str()).map(|known| known.tree)
    }

    /// The digest of a node's tree as `gen` knew it, or as its stamp claims.
    pub fn claimed(&self, name: &NodeName) -> Option<TreeDigest> {
        self.known(name).or_else(|| self.out.read_stamp(name))
    }

    /// Whether `gen` knew the node's tree, so that it has no edge and no stamp.
    pub fn is_known(&self, name: &NodeName) -> bool {
        self.known_result(name.as_str()).is_some()
    }
}

/// What `gen` believed of the store.
#[derive(Debug, Serialize, Deserialize)]
pub struct Believed {
    /// The digest of the project's belief.
    pub digest: String,
    /// The store's mark of results that were dropped, as it was before any look-up.
    pub drops: String,
    /// The places from which `gen` was told, not by settings, to take unsigned results.
    pub unsigned: Vec<String>,
}

impl Believed {
    /// Notes it beside the plan.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn write(&self, out: &OutDir) -> Result<(), BuildError> {
        let path = out.path.join(BELIEF);
        let json = serde_json::to_vec(self).map_err(|error| BuildError::io("write", &path)(error.into()))?;
        write_if_changed(&path, &json).map(drop)
    }
}

/// The places from which `gen` was told to take unsigned results, if it believed what is believed
/// now. What it noted as known may else come of somebody who is not believed any more.
///
/// # Errors
/// [`BuildError::Plan`] if it believed otherwise.
pub fn read_belief(out: &OutDir, digest: &str, drops: &str) -> Result<Vec<String>, BuildError> {
    let path = out.path.join(BELIEF);
    let stale = |problem: &str| BuildError::Plan { path: path.clone(), problem: problem.to_owned() };
    let bytes = fs::read(&path).map_err(|error| stale(&format!("can't be read ({error})")))?;
    let believed: Believed = serde_json::from_slice(&bytes).map_err(|_| stale("is damaged"))?;
    if believed.digest != digest {
        return Err(stale("is of a time when other keys, remotes or engines were trusted"));
    }
    if believed.drops != drops {
        return Err(stale("is of a time before results were dropped from the store"));
    }
    Ok(believed.unsigned)
}

/// Those of the names that are most like one that is none of them; the likest first.
pub fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // What somebody types is mostly the end of a node's name, or all of it with a mistake.
    let likeness = |other: &str| {
        let tail = other.match_indices('/').map(|(at, _)| &other[at + 1..]);
        let best = tail.map(|tail| strsim::jaro_winkler(name, tail)).fold(0.0, f64::max);
        strsim::jaro_winkler(name, other).max(best * 0.99)
    };
    let mut names: Vec<_> = names.map(|other| (likeness(other), other)).filter(|(like, _)| *like > 0.85).collect();
    names.sort_by(|(a, a_name), (b, b_name)| {
        b.total_cmp(a).then(a_name.len().cmp(&b_name.len())).then(a_name.cmp(b_name))
    });
    names.into_iter().take(MAX_SIMILAR).map(|(_, name)| name.to_owned()).collect()
}

/// The tree that each node had when it was known or built last, as far as one can tell.
pub fn last_trees(out: &OutDir) -> impl Fn(&NodeName) -> Option<TreeDigest> + use<'_> {
    let plan = Plan::open(out).ok();
    let stamped = out.stamped();
    // A known node has no edge: its stamp is of an earlier time, if it has one.
    move |name| {
        let known = plan.as_ref().and_then(|plan| plan.known(name));
        known.or_else(|| stamped.contains(name).then(|| out.read_stamp(name)).flatten())
    }
}

/// The plan's name, where its head begins, and how long that is; `None` if the file is no plan.
fn read_first_line(file: &fs::File) -> io::Result<Option<(PlanId, u64, u64)>> {
    let mut start = [0; MAX_FIRST_LINE];
    let read = read_up_to(file, &mut start)?;
    let line = start[..read].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let parse = || {
        let line = std::str::from_utf8(line).ok()?;
        let (id, length) = line.strip_prefix(FORMAT)?.strip_prefix(' ')?.split_once(' ')?;
        Some((id.parse().ok()?, line.len() as u64 + 1, length.parse().ok()?))
    };
    Ok(parse())
}

/// Reads the line of an alias: its name, and its nodes.
fn parse_alias(line: &str) -> Option<(String, Vec<NodeName>)> {
    let mut words = line.strip_prefix("alias ")?.split(' ');
    let name = words.next()?.to_owned();
    Some((name, words.map(|word| word.parse().ok()).collect::<Option<_>>()?))
}

/// A result that is known, of its two digests; `Some(None)` if there is none.
pub(super) fn parse_known(tree: &str, key: &str) -> Option<Option<Known>> {
    let tree: Option<TreeDigest> = if tree == NONE { None } else { Some(tree.parse().ok()?) };
    let key: Option<NodeKey> = if key == NONE { None } else { Some(key.parse().ok()?) };
    Some(tree.map(|tree| Known { tree, key }))
}

fn read_up_to(file: &fs::File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], read as u64)? {
            0 => break,
            some => read += some,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use build_graph::graph::Graph;
    use build_graph::node::Op;

    use super::*;

    fn graph(names: &[&str]) -> Graph {
        let node = |name: &&str| Node {
            name: name.parse().unwrap(),
            recipe: "test".to_owned(),
            declared_at: None,
            op: Op::Local { tree: build_graph::Tree::new() },
        };
        let aliases = BTreeMap::from([("all".to_owned(), names.iter().map(|name| name.parse().unwrap()).collect())]);
        Graph::new(names.iter().map(node).collect(), aliases).unwrap()
    }

    fn known(at: usize) -> Option<Known> {
        let digest = TreeDigest::from_bytes([7; 32]);
        (at != 1).then(|| Known { tree: digest, key: (at == 2).then(|| NodeKey::from_bytes([9; 32])) })
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutDir::new(folder.path());
        assert!(matches!(Plan::open(&out), Err(BuildError::NoPlan { .. })));
        let graph = graph(&["a/b", "c", "d"]);
        let new = NewPlan::new(&graph, known).unwrap();
        new.write(&out).unwrap();
        let plan = Plan::open(&out).unwrap();
        assert_eq!(*plan.id(), new.id);
        assert!(plan.is_whole());
        for (at, node) in graph.nodes().iter().enumerate() {
            assert_eq!(plan.node(&node.name).unwrap(), *node);
            assert_eq!(plan.known_result(node.name.as_str()), known(at));
        }
        assert_eq!(plan.alias("all").unwrap().len(), 3);
        assert_ne!(NewPlan::new(&graph, |_| None).unwrap().id, new.id);
    }

    /// Every byte of a plan matters, and none of them makes a reader panic.
    #[test]
    fn a_damaged_plan_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutDir::new(folder.path());
        NewPlan::new(&graph(&["a/b", "c", "d"]), known).unwrap().write(&out).unwrap();
        let whole = fs::read(out.plan()).unwrap();
        for at in 0..whole.len() {
            for bytes in [&whole[..at], &[&whole[..at], b"~", &whole[at + 1..]].concat()] {
                fs::write(out.plan(), bytes).unwrap();
                assert!(Plan::open(&out).map_or(true, |plan| !plan.is_whole()), "at {at}");
            }
        }
    }

    /// What a damaged plan says of a description's place and length costs no memory.
    #[test]
    fn a_description_that_is_not_in_the_plan_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutDir::new(folder.path());
        let node = graph(&["a"]).nodes()[0].clone();
        let block = Block::of(std::slice::from_ref(&node)).unwrap();
        let (packed, length) = (block.bytes.len(), block.documents[0].len());
        let read = |place: &str| {
            let head = format!("node {place} - - local a - r\n");
            let id = PlanId::of(head.as_bytes());
            let first = format!("{FORMAT} {id} {}\n{head}", head.len());
            fs::write(out.plan(), [first.as_bytes(), &block.bytes].concat()).unwrap();
            Plan::open(&out)?.node(&node.name)
        };
        assert_eq!(read(&format!("0 {packed} 0 {length}")).unwrap(), node);
        for wrong in [
            format!("0 {} 0 {length}", packed + 1),
            format!("{packed} 1 0 {length}"),
            format!("18446744073709551615 {packed} 0 {length}"),
            format!("0 9999999999999999999 0 {length}"),
            format!("0 {packed} 0 {}", length + 1),
            format!("0 {packed} 1 {length}"),
            format!("0 {packed} 0 9999999999999999999"),
            format!("0 {packed} 18446744073709551615 1"),
            format!("0 {packed} -1 {length}"),
        ] {
            assert!(matches!(read(&wrong), Err(BuildError::Plan { .. })), "{wrong}");
        }
    }

    /// Nodes of several blocks, one of which is larger than what is decompressed at once.
    #[test]
    fn every_node_of_a_large_plan_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutDir::new(folder.path());
        let names: Vec<_> = (0..3 * NODES_A_BLOCK).map(|number| format!("n{number}")).collect();
        let mut nodes = graph(&names.iter().map(String::as_str).collect::<Vec<_>>()).nodes().to_vec();
        let mut tree = build_graph::Tree::new();
        for number in 0..ORDINARY_BLOCK / 32 {
            let target = format!("{number:032}");
            let path = build_graph::RelPath::new(format!("{number}")).unwrap();
            tree.insert(path, build_graph::Entry::Symlink { target }).unwrap();
        }
        nodes[NODES_A_BLOCK].op = Op::Local { tree };
        let graph = Graph::new(nodes, BTreeMap::new()).unwrap();
        NewPlan::new(&graph, known).unwrap().write(&out).unwrap();
        let plan = Plan::open(&out).unwrap();
        assert!(plan.is_whole());
        assert_eq!(plan.names().count(), names.len());
        for (at, node) in graph.nodes().iter().enumerate() {
            assert_eq!(plan.node(&node.name).unwrap(), *node);
            assert_eq!(plan.known_result(node.name.as_str()), known(at));
        }
        assert!(matches!(plan.node(&"n".parse().unwrap()), Err(BuildError::NoNode { .. })));
    }

    #[test]
    fn names_that_are_like_a_misspelt_one() {
        let names = ["wasm32-wasi/zlib/adler32.o", "wasm32-wasi/zlib/tree", "zlib", "wasm32-wasi", "image/host"];
        let like = |name: &str| similar(name, names.into_iter());
        assert_eq!(like("zlb")[0], "zlib");
        assert_eq!(like("adler32.o"), ["wasm32-wasi/zlib/adler32.o"]);
        assert_eq!(like("wasm32-wasi/zlib/adler23.o")[0], "wasm32-wasi/zlib/adler32.o");
        assert_eq!(like("wasm32_wasi")[0], "wasm32-wasi");
        assert_eq!(like("q"), [""; 0]);
    }
}
