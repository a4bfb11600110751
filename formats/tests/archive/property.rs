//! Archives that GNU tar wrote of trees that are made up, whole and changed, against what it makes
//! of them itself.
//!
//! `PYNBOX_TEST_CASES=10000 cargo test --release --test archive property` tries more.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use build_graph::Tree;
use formats::archive::{self, ArchiveError, MemoryBlobs, Options};
use proptest::prelude::*;

use testing::trees::{self, Node, Nodes, cases, nodes, run, tree};

fn unpack(bytes: &[u8]) -> Result<Tree, ArchiveError> {
    archive::unpack(Cursor::new(bytes), &Options::default(), &MemoryBlobs::new())
}

/// An archive of these files below `top`, with hard links between those that are the same, if so
/// wished.
fn packed(nodes: &Nodes, format: &str, compress: &str, links: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    fs::create_dir(&top).unwrap();
    trees::write(nodes, &top);
    if links {
        link_the_same(nodes, &top);
    }
    let format = format!("--format={format}");
    let mut arguments = vec!["-cf", "archive", &format, "--sort=name"];
    if !compress.is_empty() {
        arguments.push(compress);
    }
    let output = run(folder.path(), "tar", &[&arguments[..], &["top"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(folder.path().join("archive")).unwrap()
}

fn link_the_same(nodes: &Nodes, top: &Path) {
    let mut first: Option<(&String, &Node)> = None;
    for (path, node) in nodes.iter().filter(|(_, node)| matches!(node, Node::File(..))) {
        match first {
            Some((there, same)) if same == node => {
                fs::remove_file(top.join(path)).unwrap();
                fs::hard_link(top.join(there), top.join(path)).unwrap();
            }
            _ => first = Some((path, node)),
        }
    }
}

/// What GNU tar unpacks, if it has nothing to say about it.
fn unpacked_by_tar(archive: &[u8]) -> Result<Option<Tree>, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("there")).unwrap();
    fs::write(folder.path().join("archive"), archive).unwrap();
    let arguments = ["-xf", "archive", "-C", "there", "--no-same-owner", "--no-same-permissions"];
    let output = run(folder.path(), "tar", &arguments);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(trees::read(&folder.path().join("there")).map(|nodes| tree(&nodes)))
}

/// A change of one header, whose checksum is made right again.
#[derive(Debug, Clone)]
enum Change {
    Size(u64),
    Kind(u8),
    Byte(usize, u8),
    Drop,
    Twice,
    Zeros,
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => prop::sample::select(vec![0, 1, 511, 512, 513, 1024, 100_000]).prop_map(Change::Size),
        4 => prop::sample::select(b"01234567\0DKLMNSVXgx".to_vec()).prop_map(Change::Kind),
        // Of owners and times, which are in the other fields, nothing is read.
        6 => (prop_oneof![0_usize..108, 124_usize..136, 148_usize..265, 345_usize..512], any::<u8>())
            .prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => Just(Change::Drop),
        1 => Just(Change::Twice),
        1 => Just(Change::Zeros),
        1 => (0_usize..2000).prop_map(Change::Cut),
    ]
}

/// Where headers stand; `None` if that can't be told any more.
fn headers(archive: &[u8]) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(header) = archive.get(at..at + 512).filter(|header| header.iter().any(|byte| *byte != 0)) {
        found.push(at);
        let digits = String::from_utf8_lossy(&header[124..135]).into_owned();
        let size = usize::from_str_radix(digits.trim_matches('\0'), 8).ok()?;
        at += 512 + if matches!(header[156], b'1'..=b'6') { 0 } else { size.next_multiple_of(512) };
    }
    Some(found).filter(|found| !found.is_empty())
}

fn changed(archive: &[u8], place: prop::sample::Index, change: &Change) -> Option<Vec<u8>> {
    let headers = headers(archive)?;
    let place = place.index(headers.len());
    let at = headers[place];
    let end = headers.get(place + 1).copied().unwrap_or(at + 512);
    let mut bytes = archive.to_vec();
    match change {
        Change::Size(size) => bytes[at + 124..at + 136].copy_from_slice(format!("{size:011o}\0").as_bytes()),
        Change::Kind(kind) => bytes[at + 156] = *kind,
        Change::Byte(offset, byte) => bytes[at + offset] = *byte,
        Change::Drop => drop(bytes.drain(at..end)),
        Change::Twice => drop(bytes.splice(at..at, archive[at..end].to_vec())),
        Change::Zeros => drop(bytes.splice(at..at, [0; 512])),
        Change::Cut(length) => bytes.truncate(bytes.len().saturating_sub(*length)),
    }
    if !matches!(change, Change::Byte(148..156, _) | Change::Cut(_)) && bytes.len() >= at + 512 {
        let sum: u64 = (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u64::from(bytes[at + i]) }).sum();
        if bytes[at..at + 512].iter().any(|byte| *byte != 0) {
            bytes[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    Some(bytes)
}

/// Files with holes, as GNU tar writes them in its old format: with none, some, and more parts than
/// one header holds.
#[test]
fn holes_are_zeros() {
    use std::os::unix::fs::FileExt as _;
    for parts in [0_u64, 1, 3, 5, 60] {
        for end in [0_u64, 1, 1 << 20] {
            let folder = tempfile::tempdir().unwrap();
            let file = fs::File::create(folder.path().join("holes")).unwrap();
            for part in 0..parts {
                file.write_all_at(format!("part {part}").as_bytes(), (2 * part + part % 2) << 16).unwrap();
            }
            file.set_len(file.metadata().unwrap().len() + end).unwrap();
            fs::write(folder.path().join("next"), "next").unwrap();
            let arguments = ["--sparse", "--format=gnu", "--hole-detection=raw", "-cf", "archive", "holes", "next"];
            assert!(run(folder.path(), "tar", &arguments).status.success());
            let archive = fs::read(folder.path().join("archive")).unwrap();
            let blobs = MemoryBlobs::new();
            let tree = archive::unpack(Cursor::new(&archive), &Options::default(), &blobs).unwrap();
            let unpacked = archive::BlobSource::read(&blobs, tree.get("holes").unwrap()).unwrap();
            assert!(unpacked == fs::read(folder.path().join("holes")).unwrap(), "{parts} parts, {end} at the end");
            assert!(tree.get("next").is_some());
            if parts > 4 {
                assert_eq!(archive[156], b'S');
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn whatever_gnu_tar_packs_comes_out_the_same(
        nodes in nodes(),
        format in prop::sample::select(vec!["gnu", "oldgnu", "posix"]),
        compress in prop::sample::select(vec!["", "--gzip", "--bzip2", "--xz"]),
        links: bool,
    ) {
        let archive = packed(&nodes, format, compress, links);
        let mut expected = Nodes::new();
        for (path, node) in &nodes {
            expected.insert(format!("top/{path}"), node.clone());
        }
        prop_assert_eq!(unpack(&archive).unwrap(), tree(&expected));
    }

    /// What is accepted is what GNU tar makes of it, however the headers were changed.
    #[test]
    fn changed_headers_mean_what_they_mean_to_gnu_tar(
        nodes in nodes(),
        format in prop::sample::select(vec!["gnu", "oldgnu", "posix"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..3),
    ) {
        let mut archive = packed(&nodes, format, "", true);
        for (place, change) in &changes {
            match changed(&archive, *place, change) {
                Some(changed) => archive = changed,
                None => break,
            }
        }
        let Ok(ours) = unpack(&archive) else { return Ok(()) };
        match unpacked_by_tar(&archive) {
            Ok(Some(theirs)) => prop_assert_eq!(ours, theirs),
            Ok(None) => prop_assert!(false, "GNU tar unpacks what has no place in a tree"),
            Err(error) => prop_assert!(false, "GNU tar says: {}", error),
        }
    }
}
