//! What `gen` leaves behind: the descriptions of all nodes, the digests of those that are known, and a stamp for each other one.
//!
//! ```text
//! out/graph              the nodes, a JSON document each, one after another
//! out/graph.index        a line a node: offset, length, name
//! out/known              a line a node that needs no edge: digest, name
//! out/nodes/NAME.json    the description of a node that is left: an input of its edge
//! out/stamps/NAME.digest the digest of its tree: the output of its edge
//! out/keys/NAME.key      the key under which it was built last, for `why`
//! ```
//!
//! A stamp is a claim: whoever takes it up has to see that the store still has the bytes.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use build_graph::node::{Node, NodeName};
use build_graph::{NodeKey, TreeDigest};

use super::BuildError;

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

    /// The folder of the stamps.
    pub fn stamps(&self) -> PathBuf {
        self.path.join("stamps")
    }

    /// The folder of the descriptions that are inputs of edges.
    pub fn descriptions(&self) -> PathBuf {
        self.path.join("nodes")
    }

    /// The stamp of a node.
    pub fn stamp(&self, node: &NodeName) -> PathBuf {
        self.stamps().join(format!("{node}.digest"))
    }

    /// The description of a node that is left.
    pub fn description(&self, node: &NodeName) -> PathBuf {
        self.descriptions().join(format!("{node}.json"))
    }

    /// Where the directory and the log of a failed action are kept.
    pub fn failed(&self, node: &NodeName) -> PathBuf {
        self.path.join("failed").join(node.as_str())
    }

    /// Reads a stamp; `None` if there is none, or if it is no digest (then it counts as not built).
    pub fn read_stamp(&self, node: &NodeName) -> Option<TreeDigest> {
        fs::read_to_string(self.stamp(node)).ok()?.trim_end().parse().ok()
    }

    /// The key under which a node was built last, by ninja.
    pub fn read_last_key(&self, node: &NodeName) -> Option<NodeKey> {
        fs::read_to_string(self.path.join("keys").join(format!("{node}.key"))).ok()?.trim_end().parse().ok()
    }

    /// Notes the key under which a node was built.
    ///
    /// # Errors
    /// [`BuildError::Io`] if it can't be written.
    pub fn write_last_key(&self, node: &NodeName, key: NodeKey) -> Result<(), BuildError> {
        write_if_changed(&self.path.join("keys").join(format!("{node}.key")), format!("{key}\n").as_bytes()).map(drop)
    }

    /// Writes a stamp, unless it says the same already: ninja takes the file's time for the time of the last change.
    ///
    /// # Errors
    /// [`BuildError::Io`] if it can't be written.
    pub fn write_stamp(&self, node: &NodeName, digest: TreeDigest) -> Result<(), BuildError> {
        write_if_changed(&self.stamp(node), format!("{digest}\n").as_bytes()).map(drop)
    }
}

/// Writes a file by way of another and a rename, with its folders, unless it has these bytes already. Gives whether it was written.
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
    fs::create_dir_all(folder).map_err(BuildError::io("create", folder))?;
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(BuildError::io("write", path))
}

/// What was planned: descriptions by name, and the digests that were known.
#[derive(Debug)]
pub struct Plan {
    out: OutDir,
    graph: fs::File,
    index: HashMap<String, (u64, usize)>,
    known: HashMap<String, TreeDigest>,
}

impl Plan {
    /// Opens what `gen` left in a folder.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if it is missing or damaged.
    pub fn open(out: &OutDir) -> Result<Self, BuildError> {
        let read = |name: &str| {
            let path = out.path.join(name);
            fs::read_to_string(&path)
                .map_err(|error| BuildError::Plan { problem: format!("can't be read ({error})"), path })
        };
        let damaged = |name: &str, line: &str| BuildError::Plan {
            path: out.path.join(name),
            problem: format!("has a line that no gen wrote (`{line}`)"),
        };
        let mut index = HashMap::new();
        for line in read("graph.index")?.lines() {
            let mut fields = line.splitn(3, ' ');
            let parsed = (|| {
                let offset = fields.next()?.parse().ok()?;
                let length = fields.next()?.parse().ok()?;
                Some((fields.next()?.to_owned(), (offset, length)))
            })();
            let (name, place) = parsed.ok_or_else(|| damaged("graph.index", line))?;
            index.insert(name, place);
        }
        let mut known = HashMap::new();
        for line in read("known")?.lines() {
            let (name, digest) = parse_known(line).ok_or_else(|| damaged("known", line))?;
            known.insert(name, digest);
        }
        let path = out.path.join("graph");
        let graph = fs::File::open(&path)
            .map_err(|error| BuildError::Plan { problem: format!("can't be read ({error})"), path })?;
        Ok(Self { out: out.clone(), graph, index, known })
    }

    /// The folder.
    pub fn out(&self) -> &OutDir {
        &self.out
    }

    /// The names of all nodes, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The description of a node.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if there is none of that name, or if it is damaged.
    pub fn node(&self, name: &NodeName) -> Result<Node, BuildError> {
        let path = self.out.path.join("graph");
        let Some((offset, length)) = self.index.get(name.as_str()) else {
            return Err(BuildError::Plan { path, problem: format!("has no node `{name}`") });
        };
        let mut bytes = vec![0; *length];
        self.graph.read_exact_at(&mut bytes, *offset).map_err(BuildError::io("read", &path))?;
        let damaged =
            |problem: String| BuildError::Plan { path, problem: format!("is damaged at node `{name}` ({problem})") };
        match serde_json::from_slice::<Node>(&bytes) {
            Ok(node) if node.name == *name => Ok(node),
            // A `gen` that runs now has written one of the two files anew.
            Ok(node) => Err(damaged(format!("`{}` is there", node.name))),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// The digest of a node's tree as `gen` knew it.
    pub fn known(&self, name: &NodeName) -> Option<TreeDigest> {
        self.known.get(name.as_str()).copied()
    }

    /// The digest of a node's tree as `gen` knew it, or as its stamp claims.
    pub fn claimed(&self, name: &NodeName) -> Option<TreeDigest> {
        self.known(name).or_else(|| self.out.read_stamp(name))
    }

    /// Whether `gen` knew the node's tree, so that it has no edge and no stamp.
    pub fn is_known(&self, name: &NodeName) -> bool {
        self.known.contains_key(name.as_str())
    }
}

/// The files that [`write_plan`] writes.
pub fn files(out: &OutDir) -> [PathBuf; 3] {
    ["graph", "graph.index", "known"].map(|name| out.path.join(name))
}

/// The tree that each node had when it was known or built last, as far as one can tell.
pub fn last_trees(out: &OutDir) -> impl Fn(&NodeName) -> Option<TreeDigest> + use<'_> {
    let text = fs::read_to_string(out.path.join("known")).unwrap_or_default();
    let known: HashMap<String, TreeDigest> = text.lines().filter_map(parse_known).collect();
    // A known node has no edge: its stamp is of an earlier time, if it has one.
    move |name| known.get(name.as_str()).copied().or_else(|| out.read_stamp(name))
}

/// A line of the file `known`.
fn parse_known(line: &str) -> Option<(String, TreeDigest)> {
    line.split_once(' ').and_then(|(digest, name)| Some((name.to_owned(), digest.parse().ok()?)))
}

/// Writes the descriptions of all nodes and the digests of the known ones.
///
/// # Errors
/// [`BuildError::Io`].
pub fn write_plan<'a>(
    out: &OutDir,
    nodes: impl IntoIterator<Item = &'a Node>,
    known: impl IntoIterator<Item = (&'a NodeName, TreeDigest)>,
) -> Result<(), BuildError> {
    let mut graph = Vec::new();
    let mut index = String::new();
    for node in nodes {
        let offset = graph.len();
        serde_json::to_writer(&mut graph, node)
            .map_err(|error| BuildError::io("write", out.path.join("graph"))(error.into()))?;
        graph.push(b'\n');
        index.push_str(&format!("{offset} {} {}\n", graph.len() - offset - 1, node.name));
    }
    let mut lines = String::new();
    for (name, digest) in known {
        lines.push_str(&format!("{digest} {name}\n"));
    }
    write_if_changed(&out.path.join("graph"), &graph)?;
    write_if_changed(&out.path.join("graph.index"), index.as_bytes())?;
    write_if_changed(&out.path.join("known"), lines.as_bytes())?;
    Ok(())
}
