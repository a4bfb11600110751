//! Caches the server's digests of our trees in the store, so that an image of a few hundred
//! megabytes is hashed once, not once for each action.
//!
//! `FUNCTION/XX/TREE` in [`Area::Wire`]: a checksum (64 hexadecimal digits and a line feed), then
//! lines: the digest of the tree's top directory, and the hash of each of its files, in their
//! order. The collector removes it with its tree. `seen/XX/NAME` in [`Area::Remotes`]: an engine had
//! a whole tree when this file was written. Damaged and lost files are made again. A wrong one is
//! harmless: servers compare bytes with digests.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use build_graph::{BlobDigest, Entry, Tree, TreeDigest};
use store::{Area, Store, StoreError};

use super::merkle::Node;
use super::{Endpoint, ReapiError, digest};
use crate::{DigestFunction, WireDigest};

/// So long is an engine believed to have what it had: they keep what is asked for for days.
const FRESH: Duration = Duration::from_secs(600);

/// Trees of fewer files are hashed faster than looked up.
const WORTH: usize = 12;

/// A tree by the server's digests.
#[derive(Debug, Clone)]
pub(super) struct WireTree {
    /// The digest of its top directory.
    pub(super) root: WireDigest,
    /// The files' digests, in the order of the tree's files.
    files: Vec<WireDigest>,
}

impl WireTree {
    /// The tree as directories.
    fn node(tree: &Tree, files: &[WireDigest]) -> Node {
        let mut files = files.iter();
        Node::of(tree, |_, _| files.next().copied())
    }

    /// The messages of all directories.
    pub(super) fn messages(&self, function: DigestFunction, tree: &Tree) -> BTreeMap<WireDigest, Vec<u8>> {
        let mut messages = BTreeMap::new();
        Self::node(tree, &self.files).messages(function, &mut messages);
        messages
    }

    /// Each file once, with its entry.
    pub(super) fn files<'tree>(&self, tree: &'tree Tree) -> BTreeMap<WireDigest, &'tree Entry> {
        self.files.iter().copied().zip(files(tree)).collect()
    }
}

fn files(tree: &Tree) -> impl Iterator<Item = &Entry> {
    tree.iter().map(|(_, entry)| entry).filter(|entry| matches!(entry, Entry::File { .. }))
}

/// Returns a tree by the server's digests, from the memo if there is one.
///
/// # Errors
/// [`StoreError`] if a file's bytes are not in the store.
pub(super) fn wire_tree(store: &Store, function: DigestFunction, tree: &Tree) -> Result<WireTree, StoreError> {
    let place = place(store.area(Area::Wire), digest::name(function), tree.digest().as_bytes());
    if let Some(known) = read(&place, tree) {
        return Ok(known);
    }
    let mut hashed = Vec::new();
    for entry in files(tree) {
        let Entry::File { digest: ours, size, .. } = entry else { continue };
        hashed.push(match function {
            DigestFunction::Blake3 => WireDigest { hash: *ours.as_bytes(), size: *size },
            DigestFunction::Sha256 => {
                let mut file = store.open_blob(entry)?;
                digest::of_reader(function, &mut file).map_err(|source| StoreError::Io {
                    doing: "reading",
                    path: ours.to_string().into(),
                    source,
                })?
            }
        });
    }
    let root = WireTree::node(tree, &hashed).messages(function, &mut BTreeMap::new());
    let known = WireTree { root, files: hashed };
    let mut text = format!("{} {}\n", digest::hex(&known.root), known.root.size);
    for file in &known.files {
        text.push_str(&digest::hex(file));
        text.push('\n');
    }
    if known.files.len() < WORTH {
        return Ok(known);
    }
    // Without the memo, the next action hashes again.
    let _ = write(store, &place, &format!("{}\n{text}", blake3::hash(text.as_bytes()).to_hex()));
    Ok(known)
}

fn place(area: PathBuf, kind: &str, name: &[u8; 32]) -> PathBuf {
    let name = BlobDigest::from_bytes(*name).to_string();
    area.join(kind).join(&name[..2]).join(name)
}

fn read(place: &Path, tree: &Tree) -> Option<WireTree> {
    let text = fs::read_to_string(place).ok()?;
    let (checksum, text) = text.split_once('\n')?;
    if blake3::hash(text.as_bytes()).to_hex().as_str() != checksum {
        return None;
    }
    let (root, rest) = text.split_once('\n')?;
    let (hash, size) = root.split_once(' ')?;
    let parsed = |text: &str| Some(*text.parse::<BlobDigest>().ok()?.as_bytes());
    let root = WireDigest { hash: parsed(hash)?, size: size.parse().ok()? };
    let mut wire = Vec::new();
    let mut lines = rest.lines();
    for entry in files(tree) {
        let Entry::File { size, .. } = entry else { continue };
        wire.push(WireDigest { hash: parsed(lines.next()?)?, size: *size });
    }
    lines.next().is_none().then_some(WireTree { root, files: wire })
}

fn write(store: &Store, place: &Path, text: &str) -> io::Result<()> {
    let scratch = store.scratch().map_err(io::Error::other)?;
    let temporary = scratch.path().join("memo");
    fs::write(&temporary, text)?;
    if let Some(above) = place.parent() {
        fs::create_dir_all(above)?;
    }
    fs::rename(&temporary, place)
}

fn seen(store: &Store, endpoint: &Endpoint, tree: TreeDigest) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for part in [endpoint.url.as_bytes(), endpoint.instance.as_bytes(), tree.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    place(store.area(Area::Remotes), "seen", hasher.finalize().as_bytes())
}

/// Returns whether an engine had a whole tree a moment ago.
pub(super) fn had_lately(store: &Store, endpoint: &Endpoint, tree: TreeDigest) -> bool {
    let age = fs::metadata(seen(store, endpoint, tree)).and_then(|metadata| metadata.modified());
    age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < FRESH))
}

/// Notes whether an engine has a whole tree.
pub(super) fn note(store: &Store, endpoint: &Endpoint, tree: TreeDigest, has: bool) {
    let place = seen(store, endpoint, tree);
    // Without the note, the next action asks the engine.
    let _ = if has { write(store, &place, "") } else { fs::remove_file(&place) };
}

/// Wraps an error of the store: the engine can't get what the store lacks.
pub(super) fn own(error: &StoreError) -> ReapiError {
    ReapiError::Settings(error.to_string())
}

#[cfg(test)]
mod tests {
    use build_graph::RelPath;

    use super::*;
    use store::GcPolicy;

    #[test]
    fn a_memo_is_read_again_and_goes_with_its_tree() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let function = DigestFunction::Sha256;
        let memo = |salt: &str| {
            let mut tree = Tree::new();
            for number in 0..WORTH {
                let entry = store.put_bytes(format!("{salt} {number}").as_bytes(), false).unwrap();
                tree.insert(RelPath::new(format!("{number}")).unwrap(), entry).unwrap();
            }
            let made = wire_tree(&store, function, &tree).unwrap();
            let place = place(store.area(Area::Wire), digest::name(function), tree.digest().as_bytes());
            assert_eq!(read(&place, &tree).unwrap().root, made.root);
            (tree, place)
        };
        let (kept, kept_place) = memo("kept");
        let (_, lost_place) = memo("lost");
        store.put_tree(&kept).unwrap();
        store.gc(&GcPolicy::default()).unwrap();
        assert!(kept_place.exists() && !lost_place.exists());
    }

    #[test]
    fn a_note_of_what_an_engine_has_counts_for_some_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let tree = Tree::new().digest();
        let endpoint = Endpoint::new("grpc://127.0.0.1:1");
        note(&store, &endpoint, tree, true);
        assert!(had_lately(&store, &endpoint, tree));
        let file = fs::File::options().append(true).open(seen(&store, &endpoint, tree)).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * FRESH).unwrap();
        assert!(!had_lately(&store, &endpoint, tree));
    }
}
