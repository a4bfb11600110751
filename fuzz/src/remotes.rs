//! What remotes and engines answer.

use std::collections::BTreeMap;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use build_graph::{NodeKey, RelPath, Tree};
use prost::Message;
use pynbox_build::remote::DigestFunction;
use pynbox_build::remote::envelope::SignedEnvelope;
use pynbox_build::remote::reapi::digest;
use pynbox_build::remote::reapi::merkle::{Node, Received};
use pynbox_build::store::manifest;

use crate::archives::sample;

/// An envelope; after the byte `M`, the manifest that one holds; after the byte `E`, changes of
/// one: of three bytes each, two that say where, and one that is there then.
pub(crate) fn envelope(data: &[u8]) {
    match data.split_first() {
        Some((b'M', manifest)) => read_manifest(manifest),
        Some((b'E', edits)) => {
            let files = [(b"one".to_vec(), false), (b"two".to_vec(), true)];
            let envelope = sample(NodeKey::from_bytes([7; 32]), &files);
            let mut bytes = SignedEnvelope::new(envelope, None).to_bytes().to_vec();
            for edit in edits.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % (bytes.len() + 1);
                match bytes.get_mut(at) {
                    Some(byte) => *byte = edit[2],
                    None => bytes.push(edit[2]),
                }
            }
            read(&bytes);
        }
        _ => read(data),
    }
}

/// Checks that a manifest that is accepted is written as it was read.
fn read_manifest(bytes: &[u8]) {
    if let Some(tree) = manifest::from_bytes(bytes) {
        assert_eq!(manifest::to_bytes(&tree), bytes, "an accepted manifest is not canonical");
    }
}

fn read(bytes: &[u8]) {
    let Some(signed) = SignedEnvelope::from_bytes(bytes) else { return };
    assert_eq!(signed.to_bytes(), bytes);
    let again = SignedEnvelope::new(signed.envelope.clone(), None);
    assert_eq!(SignedEnvelope::from_bytes(again.to_bytes()).map(|signed| signed.envelope), Some(signed.envelope));
}

/// A tree as a server of the Remote Execution API sends it.
///
/// Directories name others by the digest of their bytes, which no fuzzer guesses: a digest whose
/// size is that of no directory, and whose hash is the number of a later one, becomes that one's.
pub(crate) fn reapi(data: &[u8]) {
    if let Ok(result) = proto::ActionResult::decode(data) {
        for file in &result.output_files {
            let _ = file.digest.as_ref().and_then(digest::from_proto);
        }
    }
    let Ok(mut tree) = proto::Tree::decode(data) else { return };
    let function = DigestFunction::Blake3;
    if !tree.children.is_empty() {
        let count = tree.children.len();
        let mut digests: BTreeMap<usize, proto::Digest> = BTreeMap::new();
        for at in (0..count).rev() {
            name_children(&mut tree.children[at], &digests);
            let bytes = tree.children[at].encode_to_vec();
            digests.insert(at, digest::to_proto(&digest::of(function, &bytes)));
        }
        if let Some(root) = &mut tree.root {
            name_children(root, &digests);
        }
    }
    let mut received = Received::default();
    let at = RelPath::new("out").expect("a path");
    match received.add_tree(&at, function, &tree) {
        Err(problem) => assert!(!problem.is_empty()),
        Ok(()) => {
            let shape = received.shape();
            assert!(shape.iter().all(|(path, _)| *path == at || path.starts_with(&at)), "a file lies elsewhere");
            // What was received is sent again, and comes as it came the first time.
            if shape.get(at.as_str()).is_none() {
                let mut inner = Tree::new();
                for (path, entry) in shape.iter() {
                    let path = path.strip_prefix(&at).expect("it lies below");
                    inner.insert(path, entry.clone()).expect("a part of a tree");
                }
                let node = Node::of(&inner, |path, _| received.files().get(&at.join(path)).map(|(wire, _)| *wire));
                let mut back = Received::default();
                back.add_tree(&at, function, &node.tree_message(function)).expect("it was received before");
                assert_eq!(back.shape(), shape);
            }
        }
    }
}

fn name_children(directory: &mut proto::Directory, digests: &BTreeMap<usize, proto::Digest>) {
    for child in &mut directory.directories {
        let number = child.digest.as_ref().and_then(|digest| digest.hash.parse().ok());
        if let Some(known) = number.and_then(|number: usize| digests.get(&number)) {
            child.digest = Some(known.clone());
        }
    }
}
