//! Archives, packages, packs and patches.

use std::cell::RefCell;
use std::io::{Cursor, Read};

use build_graph::{BlobDigest, Entry, NodeKey, RelPath, Tree};
use pynbox_build::archive::{self, ArchiveError, ArchiveLimits, BlobSink, BlobSource, MemoryBlobs, Options};
use pynbox_build::install::package::{self, PackageError};
use pynbox_build::patch;
use pynbox_build::remote::envelope::{Envelope, SignedEnvelope, WireBlob};
use pynbox_build::remote::{DigestFunction, WireDigest, pack};
use pynbox_build::store::{Origin, Store};
use tempfile::TempDir;

/// Small enough that a bomb is none here, and large enough for a decompressor's window.
const LIMITS: ArchiveLimits = ArchiveLimits { bytes: 1 << 20, members: 1000, path: 4096, names: 1 << 16 };

/// A tar archive, compressed or not, or a zip archive.
pub(crate) fn archive(data: &[u8]) {
    for strip in [0, 1] {
        let (options, blobs) = (Options { strip, limits: LIMITS, place: None }, MemoryBlobs::new());
        check(archive::unpack(Cursor::new(data), &options, &blobs), &blobs);
    }
}

/// A Debian package.
pub(crate) fn deb(data: &[u8]) {
    let (options, blobs) = (Options { strip: 0, limits: LIMITS, place: None }, MemoryBlobs::new());
    check(archive::unpack_deb(Cursor::new(data), &options, &blobs), &blobs);
}

/// What is unpacked is bounded, and stays what it is when it is packed and unpacked again.
fn check(unpacked: Result<Tree, ArchiveError>, blobs: &MemoryBlobs) {
    let tree = match unpacked {
        Ok(tree) => tree,
        Err(error) => return shown(&error.to_string()),
    };
    let bytes: u64 = tree.iter().map(|(_, entry)| size(entry)).sum();
    // A hard link counts for each of its names, and stores nothing.
    assert!(bytes <= LIMITS.bytes * LIMITS.members, "an archive gives {bytes} bytes");
    assert!(tree.len() as u64 <= LIMITS.members, "an archive gives {} files", tree.len());
    if bytes > LIMITS.bytes / 4 || tree.len() > 100 {
        return;
    }
    let again = packed(&tree, blobs);
    let options = Options { strip: 0, limits: ArchiveLimits { bytes: 8 << 20, ..LIMITS }, place: None };
    let back = archive::unpack(Cursor::new(again), &options, &MemoryBlobs::new()).expect("what was unpacked is packed");
    assert_eq!(back, tree);
}

fn size(entry: &Entry) -> u64 {
    match entry {
        Entry::File { size, .. } => *size,
        _ => 0,
    }
}

fn packed(tree: &Tree, blobs: &MemoryBlobs) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, entry) in tree.iter() {
        let mut header = tar::Header::new_gnu();
        let (kind, bytes) = match entry {
            Entry::File { executable, .. } => {
                header.set_mode(if *executable { 0o755 } else { 0o644 });
                (tar::EntryType::Regular, blobs.read(entry).expect("a file has its bytes"))
            }
            Entry::Symlink { .. } => (tar::EntryType::Symlink, Vec::new()),
            Entry::EmptyDirectory => (tar::EntryType::Directory, Vec::new()),
        };
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        let written = match entry {
            Entry::Symlink { target } => builder.append_link(&mut header, path.as_str(), target),
            _ => builder.append_data(&mut header, path.as_str(), bytes.as_slice()),
        };
        written.expect("writing to memory");
    }
    // An archive without members is one, too.
    builder.into_inner().expect("writing to memory")
}

/// A package; the input is what is compressed in it.
pub(crate) fn package(data: &[u8]) {
    let archive = zstd::encode_all(data, 1).expect("writing to memory");
    let mut taken = 0;
    let read = package::read(
        archive.as_slice(),
        |_| Ok(()),
        |_, _, reader: &mut dyn Read| -> Result<(), PackageError> {
            let mut bytes = Vec::new();
            // Damage comes to light when the member is read to its end.
            let _ = reader.read_to_end(&mut bytes);
            taken += bytes.len();
            Ok(())
        },
    );
    assert!(taken <= data.len(), "a package gives more than it holds");
    match read {
        Ok(manifest) => {
            let described = package::describe(archive.as_slice()).expect("what can be read can be described");
            assert_eq!(described.content.digest(), manifest.content.digest());
            for (path, _) in manifest.content.iter() {
                assert!(!path.as_str().chars().any(char::is_control), "a package installs `{path:?}`");
            }
        }
        Err(error) => shown(&error.to_string()),
    }
}

/// What packs are made of: a store to take them, and members that fit together.
struct Packs {
    _folder: TempDir,
    store: Store,
    blobs: Vec<(String, Vec<u8>)>,
    results: Vec<(String, Vec<u8>)>,
}

thread_local! {
    static PACKS: RefCell<Option<Packs>> = const { RefCell::new(None) };
}

/// Makes them.
pub(crate) fn make_packs() {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let store = Store::open(folder.path()).expect("a new store");
    let mut files = vec![(b"one".to_vec(), false), (b"#!two".to_vec(), true), (Vec::new(), false)];
    files.sort_by_key(|(bytes, _)| *BlobDigest::of(bytes).as_bytes());
    let name = |bytes: &[u8]| format!("blobs/{}", BlobDigest::of(bytes));
    let blobs = files.iter().map(|(bytes, _)| (name(bytes), bytes.clone())).collect();
    let result = |key: u8| {
        let key = NodeKey::from_bytes([key; 32]);
        (format!("results/{key}"), SignedEnvelope::new(sample(key, &files), None).to_bytes().to_vec())
    };
    PACKS.set(Some(Packs { _folder: folder, store, blobs, results: vec![result(1), result(2)] }));
}

/// An envelope for a tree of these files.
pub(crate) fn sample(key: NodeKey, files: &[(Vec<u8>, bool)]) -> Envelope {
    let mut tree = Tree::new();
    let mut blobs = Vec::new();
    for (at, (bytes, executable)) in files.iter().enumerate() {
        let (digest, size) = (BlobDigest::of(bytes), bytes.len() as u64);
        let entry = Entry::File { digest, size, executable: *executable };
        tree.insert(RelPath::new(format!("d/{at}")).expect("a path"), entry).expect("a tree");
        blobs.push(WireBlob { digest, wire: WireDigest { hash: *digest.as_bytes(), size } });
    }
    Envelope { key, tree, engine: None, signed_at: 5, function: DigestFunction::Blake3, blobs }
}

/// A pack, of members that the input chooses, damages, and makes up.
pub(crate) fn pack(data: &[u8]) {
    PACKS.with_borrow(|packs| {
        let packs = packs.as_ref().expect("they were made");
        let tar = packed_members(packs, data);
        let archive = zstd::encode_all(tar.as_slice(), 1).expect("writing to memory");
        let (taken, problem) = pack::read(&packs.store, archive.as_slice(), &mut |_| Ok(Origin::Here))
            .expect("the store takes what there is");
        assert!(taken.amount.bytes <= tar.len() as u64, "a pack gives more than it holds");
        assert!(taken.amount.results <= packs.results.len() as u64, "a pack gives results that it has not");
        if let Some(problem) = problem {
            shown(&problem.to_string());
        }
    });
}

fn packed_members(packs: &Packs, data: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut append = |name: &str, kind: tar::EntryType, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).expect("a name that a member may have");
    };
    let mut input = data.iter().copied();
    while let Some(choice) = input.next() {
        let members: Vec<&(String, Vec<u8>)> = packs.results.iter().chain(&packs.blobs).collect();
        match choice & 15 {
            0 => append("pynbox-pack-1", tar::EntryType::Regular, b""),
            which @ 1..=5 => {
                let (name, bytes) = members[usize::from(which) - 1];
                let mut bytes = bytes.clone();
                // The other half of the byte says what becomes of it.
                let at = usize::from(input.next().filter(|_| choice & 0x30 != 0).unwrap_or(0)) % bytes.len().max(1);
                match choice >> 4 & 3 {
                    1 => bytes.truncate(at),
                    2 => bytes.push(choice),
                    3 if !bytes.is_empty() => bytes[at] ^= 1 << (choice >> 6),
                    _ => {}
                }
                append(name, tar::EntryType::Regular, &bytes);
            }
            6 => append(&members[0].0, tar::EntryType::Symlink, b""),
            7 => append(&members[0].0, tar::EntryType::Regular, &members[1].1),
            _ => {
                let name: String = input.by_ref().take(8).map(|byte| char::from(b'a' + byte % 26)).collect();
                append(&format!("x{name}"), tar::EntryType::Regular, &[choice]);
            }
        }
    }
    builder.into_inner().expect("writing to memory")
}

/// One or several patches, a zero byte between them, to a small tree.
pub(crate) fn patch(data: &[u8]) {
    let blobs = MemoryBlobs::new();
    let path = |text: &str| RelPath::new(text).expect("a path");
    let mut base = Tree::new();
    for (name, text, executable) in [
        ("a.txt", "one\ntwo\nthree\n", false),
        ("d/b", "no end", false),
        ("d/run", "#!/bin/sh\r\nx\r\n", true),
        ("d/e", "", false),
    ] {
        let entry = blobs.put_bytes(text.as_bytes(), executable).expect("in memory");
        base.insert(path(name), entry).expect("a tree");
    }
    base.insert(path("link"), Entry::Symlink { target: "a.txt".to_owned() }).expect("a tree");
    let patches: Vec<(RelPath, Vec<u8>)> = data
        .split(|byte| *byte == 0)
        .enumerate()
        .map(|(at, bytes)| (path(&format!("{at}.patch")), bytes.to_vec()))
        .collect();
    match patch::apply(&base, &patches, &blobs) {
        Ok(tree) => {
            let again = patch::apply(&base, &patches, &blobs).expect("it was applied before");
            assert_eq!(again, tree);
            for (_, entry) in tree.iter().filter(|(_, entry)| matches!(entry, Entry::File { .. })) {
                let bytes = blobs.read(entry).expect("a file has its bytes");
                assert_eq!(bytes.len() as u64, size(entry));
            }
        }
        Err(error) => shown(&error.to_string()),
    }
}

/// A message has nothing that a terminal obeys.
pub(crate) fn shown(message: &str) {
    let bad = message.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert!(bad.is_none(), "a message holds {bad:?}: {message:?}");
}
