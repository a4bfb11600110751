//! Converts our trees to the protocol's directories, and back.

use std::collections::BTreeMap;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use build_graph::{BlobDigest, Entry, RelPath, Tree};
use prost::Message as _;

use super::digest;
use crate::{DigestFunction, WireDigest};

/// The most entries of a tree from a server: a few directories that name one another could be a
/// tree of any size.
const ENTRIES: usize = 1 << 20;

/// A directory with all that is below it, by the server's digests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    files: BTreeMap<String, (WireDigest, bool)>,
    links: BTreeMap<String, String>,
    directories: BTreeMap<String, Node>,
    ready: BTreeMap<String, WireDigest>,
}

impl Node {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Converts a tree; `wire` gives the server's digest of each file, and a file without one is left
    /// out.
    pub fn of(tree: &Tree, mut wire: impl FnMut(&RelPath, &Entry) -> Option<WireDigest>) -> Self {
        let mut top = Self::new();
        for (path, entry) in tree.iter() {
            match entry {
                Entry::File { executable, .. } => {
                    if let Some(digest) = wire(path, entry) {
                        top.add_file(path.as_str(), digest, *executable);
                    }
                }
                Entry::Symlink { target } => {
                    let (directory, name) = top.enter(path.as_str());
                    directory.links.insert(name.to_owned(), target.clone());
                }
                Entry::EmptyDirectory => {
                    let (directory, name) = top.enter(path.as_str());
                    directory.directories.entry(name.to_owned()).or_default();
                }
            }
        }
        top
    }

    /// Puts a file at a path.
    pub fn add_file(&mut self, path: &str, digest: WireDigest, executable: bool) {
        let (directory, name) = self.enter(path);
        directory.files.insert(name.to_owned(), (digest, executable));
    }

    /// Puts a directory at a name of the top, whose messages are sent apart.
    pub fn add_ready(&mut self, name: &str, digest: WireDigest) {
        self.ready.insert(name.to_owned(), digest);
    }

    fn enter<'path>(&mut self, path: &'path str) -> (&mut Self, &'path str) {
        match path.split_once('/') {
            None => (self, path),
            Some((first, rest)) => self.directories.entry(first.to_owned()).or_default().enter(rest),
        }
    }

    /// Returns the digest of the directory. Adds its message and those of all below it to `messages`.
    pub fn messages(&self, function: DigestFunction, messages: &mut BTreeMap<WireDigest, Vec<u8>>) -> WireDigest {
        let directory = self.message(&mut |child| child.messages(function, messages));
        let bytes = directory.encode_to_vec();
        let digest = digest::of(function, &bytes);
        messages.insert(digest, bytes);
        digest
    }

    /// Returns the directory and all below it as one message.
    pub fn tree_message(&self, function: DigestFunction) -> proto::Tree {
        let mut children = BTreeMap::new();
        let root = self.message(&mut |child| child.collect(function, &mut children));
        proto::Tree { root: Some(root), children: children.into_values().collect() }
    }

    fn collect(&self, function: DigestFunction, children: &mut BTreeMap<WireDigest, proto::Directory>) -> WireDigest {
        let directory = self.message(&mut |child| child.collect(function, children));
        let digest = digest::of(function, &directory.encode_to_vec());
        children.insert(digest, directory);
        digest
    }

    /// The protocol requires sorted names; the maps are sorted.
    fn message(&self, below: &mut dyn FnMut(&Self) -> WireDigest) -> proto::Directory {
        let mut directories: BTreeMap<&String, WireDigest> =
            self.directories.iter().map(|(name, node)| (name, below(node))).collect();
        directories.extend(self.ready.iter().map(|(name, digest)| (name, *digest)));
        proto::Directory {
            files: self
                .files
                .iter()
                .map(|(name, (digest, executable))| proto::FileNode {
                    name: name.clone(),
                    digest: Some(digest::to_proto(digest)),
                    is_executable: *executable,
                    node_properties: None,
                })
                .collect(),
            directories: directories
                .into_iter()
                .map(|(name, digest)| proto::DirectoryNode {
                    name: name.clone(),
                    digest: Some(digest::to_proto(&digest)),
                })
                .collect(),
            symlinks: self
                .links
                .iter()
                .map(|(name, target)| proto::SymlinkNode {
                    name: name.clone(),
                    target: target.clone(),
                    node_properties: None,
                })
                .collect(),
            node_properties: None,
        }
    }
}

/// Outputs as a server describes them, by its digests: ours are unknown until the bytes come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// A stand-in for each entry, which checks that paths are well-formed and that nothing lies below
    /// a file or a link.
    shape: Tree,
    files: BTreeMap<RelPath, (WireDigest, bool)>,
}

impl Received {
    /// Adds a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add_file(&mut self, path: RelPath, file: &proto::Digest, executable: bool) -> Result<(), String> {
        let wire = digest::from_proto(file).ok_or_else(|| format!("`{path}` has a malformed digest"))?;
        // Our digest is unknown; the server's tells equal files as well.
        let entry = Entry::File { digest: BlobDigest::from_bytes(wire.hash), size: wire.size, executable };
        self.insert(path.clone(), entry)?;
        self.files.insert(path, (wire, executable));
        Ok(())
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add_link(&mut self, path: RelPath, target: &str) -> Result<(), String> {
        if target.is_empty() || target.contains('\0') {
            return Err(format!("`{path}` is a link to nothing"));
        }
        self.insert(path, Entry::Symlink { target: target.to_owned() })
    }

    /// Adds a directory with all below it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add_tree(&mut self, path: &RelPath, function: DigestFunction, tree: &proto::Tree) -> Result<(), String> {
        let children: BTreeMap<_, _> = tree
            .children
            .iter()
            .map(|directory| (digest::of(function, &directory.encode_to_vec()), directory))
            .collect();
        let root = tree.root.as_ref().ok_or_else(|| format!("`{path}` has no root"))?;
        self.add_directory(path, root, &children, 0)
    }

    fn add_directory(
        &mut self,
        path: &RelPath,
        directory: &proto::Directory,
        children: &BTreeMap<WireDigest, &proto::Directory>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > 200 {
            return Err(format!("`{path}` is too deep"));
        }
        if directory.files.is_empty() && directory.directories.is_empty() && directory.symlinks.is_empty() {
            return self.insert(path.clone(), Entry::EmptyDirectory);
        }
        let names = directory.files.iter().map(|file| &file.name);
        let names = names.chain(directory.symlinks.iter().map(|link| &link.name));
        let mut names: Vec<_> = names.chain(directory.directories.iter().map(|child| &child.name)).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("`{path}` has `{}` twice", twice[0]));
        }
        for file in &directory.files {
            let digest = file.digest.clone().unwrap_or_default();
            self.add_file(below(path, &file.name)?, &digest, file.is_executable)?;
        }
        for link in &directory.symlinks {
            self.add_link(below(path, &link.name)?, &link.target)?;
        }
        for child in &directory.directories {
            let digest = child.digest.as_ref().and_then(digest::from_proto);
            let inner = digest.and_then(|digest| children.get(&digest).copied());
            let inner = inner.ok_or_else(|| format!("`{path}/{}` is not in its tree", child.name))?;
            self.add_directory(&below(path, &child.name)?, inner, children, depth + 1)?;
        }
        Ok(())
    }

    fn insert(&mut self, path: RelPath, entry: Entry) -> Result<(), String> {
        if self.shape.len() >= ENTRIES {
            return Err(format!("it has more than {ENTRIES} files"));
        }
        self.shape.insert(path, entry).map_err(|error| error.to_string())
    }

    /// Every entry; files with the server's digest in place of ours.
    pub fn shape(&self) -> &Tree {
        &self.shape
    }

    /// The files, and whether they are executable.
    pub fn files(&self) -> &BTreeMap<RelPath, (WireDigest, bool)> {
        &self.files
    }
}

/// As the store takes them.
const LONGEST_PATH: usize = 4000;

fn below(path: &RelPath, name: &str) -> Result<RelPath, String> {
    if name.contains('/') {
        return Err(format!("`{name}` is no name of a file"));
    }
    if path.as_str().len() + name.len() > LONGEST_PATH {
        return Err(format!("a path below `{}` is too long", path.as_str().chars().take(60).collect::<String>()));
    }
    let name = RelPath::new(name).map_err(|error| error.to_string())?;
    Ok(path.join(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: DigestFunction = DigestFunction::Sha256;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn file(bytes: &[u8], executable: bool) -> Entry {
        Entry::File { digest: BlobDigest::of(bytes), size: bytes.len() as u64, executable }
    }

    fn sample() -> Tree {
        let mut tree = Tree::new();
        for (at, entry) in [
            ("a-b", file(b"1", false)),
            ("a/b", file(b"2", true)),
            ("a/c/d", file(b"3", false)),
            ("a/link", Entry::Symlink { target: "c/d".to_owned() }),
            ("empty", Entry::EmptyDirectory),
        ] {
            tree.insert(path(at), entry).unwrap();
        }
        tree
    }

    fn wire(entry: &Entry) -> Option<WireDigest> {
        match entry {
            Entry::File { digest, size, .. } => Some(WireDigest { hash: *digest.as_bytes(), size: *size }),
            _ => None,
        }
    }

    #[test]
    fn a_tree_comes_back_as_it_went() {
        let node = Node::of(&sample(), |_, entry| wire(entry));
        let mut received = Received::default();
        received.add_tree(&path("out"), FUNCTION, &node.tree_message(FUNCTION)).unwrap();
        assert_eq!(*received.shape(), sample().below(&path("out")));
        let mut messages = BTreeMap::new();
        let root = node.messages(FUNCTION, &mut messages);
        assert!(messages.contains_key(&root));
        // The top, a, a/c, empty.
        assert_eq!(messages.len(), 4);
        for (digest, bytes) in &messages {
            assert_eq!(digest::of(FUNCTION, bytes), *digest);
        }
    }

    #[test]
    fn names_are_in_the_order_of_their_bytes() {
        let node = Node::of(&sample(), |_, entry| wire(entry));
        let root = node.tree_message(FUNCTION).root.unwrap();
        let names: Vec<_> = root.directories.iter().map(|directory| &*directory.name).collect();
        assert_eq!(names, ["a", "empty"]);
    }

    #[test]
    fn what_leads_out_is_refused() {
        let good = digest::to_proto(&digest::of(FUNCTION, b"x"));
        let named = |name: &str| proto::Tree {
            root: Some(proto::Directory {
                files: vec![proto::FileNode {
                    name: name.to_owned(),
                    digest: Some(good.clone()),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            children: Vec::new(),
        };
        let add = |tree: &proto::Tree| Received::default().add_tree(&path("out"), FUNCTION, tree);
        add(&named("fine")).unwrap();
        for name in ["..", ".", "", "a/b", "/etc/passwd", "a\0b"] {
            assert!(add(&named(name)).is_err(), "{name:?}");
        }
        // A file below a link.
        let mut received = Received::default();
        received.add_link(path("out/a"), "/etc").unwrap();
        assert!(received.add_file(path("out/a/passwd"), &good, false).is_err());
        assert!(received.add_link(path("out/a/b"), "/etc").is_err());
    }

    #[test]
    fn a_tree_that_would_be_endless_is_refused() {
        // Each directory holds the next twice: 2^40 files in 40 messages.
        let mut children = vec![proto::Directory {
            files: vec![proto::FileNode {
                name: "file".to_owned(),
                digest: Some(digest::to_proto(&digest::of(FUNCTION, b""))),
                ..Default::default()
            }],
            ..Default::default()
        }];
        for _ in 0..40 {
            let inner = digest::to_proto(&digest::of(FUNCTION, &children.last().unwrap().encode_to_vec()));
            let twice =
                ["a", "b"].map(|name| proto::DirectoryNode { name: name.to_owned(), digest: Some(inner.clone()) });
            children.push(proto::Directory { directories: twice.to_vec(), ..Default::default() });
        }
        let root = children.pop();
        let tree = proto::Tree { root, children };
        assert!(Received::default().add_tree(&path("out"), FUNCTION, &tree).is_err());
    }

    #[test]
    fn a_directory_that_names_a_child_twice_is_refused() {
        // Each of forty names the next one twice: who followed them all would never end.
        let mut directory = proto::Directory::default();
        let mut children = Vec::new();
        for _ in 0..40 {
            let digest = digest::to_proto(&digest::of(FUNCTION, &directory.encode_to_vec()));
            children.push(directory);
            let node = proto::DirectoryNode { name: "a".to_owned(), digest: Some(digest) };
            directory = proto::Directory { directories: vec![node.clone(), node], ..proto::Directory::default() };
        }
        let tree = proto::Tree { root: Some(directory), children };
        let error = Received::default().add_tree(&path("out"), FUNCTION, &tree).unwrap_err();
        assert!(error.contains("twice"), "{error}");
    }
}
