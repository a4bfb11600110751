//! The store alone: what is put in comes out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use build_graph::{Entry, NodeKey, RelPath, SOURCE_DATE_EPOCH, Tree};
use proptest::prelude::*;
use store::{GcPolicy, Materialise, Options, Store, StoreError, Taking};

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes([number; 32])
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

/// A tree with one file, stored and recorded.
fn recorded(store: &Store, number: u8, bytes: &[u8]) -> Tree {
    let mut tree = Tree::new();
    tree.insert(path("file"), store.put_bytes(bytes, false).unwrap()).unwrap();
    let digest = store.put_tree(&tree).unwrap();
    store.record(key(number), digest, &[format!("key {number}")]).unwrap();
    tree
}

/// All paths below a folder, with their metadata.
fn listing(dir: &Path) -> BTreeMap<String, fs::Metadata> {
    fn walk(dir: &Path, prefix: &str, into: &mut BTreeMap<String, fs::Metadata>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            if metadata.is_dir() {
                walk(&entry.path(), &format!("{name}/"), into);
            }
            into.insert(name, metadata);
        }
    }
    let mut all = BTreeMap::new();
    walk(dir, "", &mut all);
    all
}

#[derive(Debug, Clone)]
enum Thing {
    File(Vec<u8>, bool),
    Link(String),
    Folder,
}

fn things() -> impl Strategy<Value = Vec<(String, Thing)>> {
    let thing = prop_oneof![
        4 => (proptest::collection::vec(0..3u8, 0..3), any::<bool>()).prop_map(|(bytes, x)| Thing::File(bytes, x)),
        1 => "[a-c./]{1,9}".prop_map(Thing::Link),
        1 => Just(Thing::Folder),
    ];
    proptest::collection::vec(("[ab\\-ü]{1,2}(/[ab ]{1,2}){0,4}", thing), 0..25)
}

fn stored(store: &Store, things: &[(String, Thing)]) -> Tree {
    let mut tree = Tree::new();
    for (at, thing) in things {
        let entry = match thing {
            Thing::File(bytes, executable) => store.put_bytes(bytes, *executable).unwrap(),
            Thing::Link(target) => Entry::Symlink { target: target.clone() },
            Thing::Folder => Entry::EmptyDirectory,
        };
        let _ = tree.insert(path(at), entry);
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_tree_that_is_materialised_and_ingested_is_the_same(things in things(), max_links in 0..4u64) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_with(&dir.path().join("store"), Options { max_links, ..Options::default() }).unwrap();
        let tree = stored(&store, &things);
        prop_assert_eq!(store.missing(&tree).unwrap(), vec![]);
        let digest = store.put_tree(&tree).unwrap();
        let other = Store::open(&dir.path().join("store")).unwrap();
        prop_assert_eq!(&*other.tree(digest).unwrap().unwrap(), &tree);
        for (name, mode) in [("link", Materialise::Link), ("copy", Materialise::Copy)] {
            let dest = dir.path().join(name);
            store.materialise(&tree, &dest, mode).unwrap();
            let mut inodes = BTreeSet::new();
            let top = fs::metadata(&dest).unwrap();
            for (at, metadata) in listing(&dest).into_iter().chain([(String::new(), top)]) {
                prop_assert_eq!(metadata.mtime() as u64, SOURCE_DATE_EPOCH, "{}", at);
                prop_assert_eq!((metadata.mtime_nsec(), metadata.atime() as u64), (0, SOURCE_DATE_EPOCH), "{}", at);
                prop_assert!(inodes.insert(metadata.ino()), "{} shares an inode", at);
                let expected = match (tree.get(&at), mode) {
                    (Some(Entry::File { executable: true, .. }), Materialise::Link) => 0o555,
                    (Some(Entry::File { .. }), Materialise::Link) => 0o444,
                    (Some(Entry::File { executable: false, .. }), Materialise::Copy) => 0o644,
                    (Some(Entry::Symlink { .. }), _) => 0o777,
                    _ => 0o755,
                };
                prop_assert_eq!(metadata.permissions().mode() & 0o7777, expected, "{}", at);
            }
            prop_assert_eq!(&store.ingest(&dest, Taking::Copy).unwrap(), &tree);
            prop_assert_eq!(&store.ingest(&dest, Taking::Move).unwrap(), &tree);
        }
        prop_assert_eq!(store.verify().unwrap().damaged, vec![]);
        prop_assert_eq!(store.missing(&tree).unwrap(), vec![]);
    }
}

#[test]
fn a_result_is_found_again_by_another_process() {
    let (dir, store) = store();
    assert_eq!(store.result(key(1)).unwrap(), None);
    let tree = recorded(&store, 1, b"bytes");
    drop(store);
    let store = Store::open(&dir.path().join("store")).unwrap();
    assert_eq!(store.result(key(1)).unwrap(), Some(tree.digest()));
    assert_eq!(store.result(key(2)).unwrap(), None);
    let (digest, found) = store.whole_result(key(1)).unwrap().unwrap();
    assert_eq!((digest, &*found), (tree.digest(), &tree));
    assert_eq!(store.explanation(key(1)).unwrap(), Some(vec!["key 1".to_owned()]));
    assert_eq!(store.read_blob(tree.get("file").unwrap()).unwrap(), b"bytes");
}

#[test]
fn a_result_needs_its_tree() {
    let (_dir, store) = store();
    let error = store.record(key(1), Tree::new().digest(), &[]).unwrap_err();
    assert!(matches!(error, StoreError::NoTree { .. }), "{error}");
}

#[test]
fn large_files_come_through_every_door_alike() {
    let (dir, store) = store();
    let bytes: Vec<u8> = (0..5_000_000u32).map(|number| (number / 7) as u8).collect();
    let file = dir.path().join("large");
    fs::write(&file, &bytes).unwrap();
    let entry = store.put_file(&file, false).unwrap();
    assert_eq!(store.put_reader(&mut &bytes[..], false).unwrap(), entry);
    assert_eq!(store.put_bytes(&bytes, false).unwrap(), entry);
    assert_eq!(store.read_blob(&entry).unwrap(), bytes);
    assert_eq!(store.stats().unwrap().blobs, 1);
    let work = store.scratch().unwrap();
    fs::write(work.path().join("large"), &bytes).unwrap();
    fs::set_permissions(work.path().join("large"), PermissionsExt::from_mode(0o700)).unwrap();
    let tree = store.ingest(work.path(), Taking::Move).unwrap();
    assert!(matches!(tree.get("large"), Some(Entry::File { executable: true, .. })));
    assert!(!work.path().join("large").exists(), "it was copied, not moved");
    assert_eq!(store.read_blob(tree.get("large").unwrap()).unwrap(), bytes);
}

#[test]
fn only_declared_outputs_are_taken() {
    let (_dir, store) = store();
    let work = store.scratch().unwrap();
    fs::create_dir_all(work.path().join("out/empty")).unwrap();
    fs::write(work.path().join("out/file"), "1").unwrap();
    fs::write(work.path().join("other"), "2").unwrap();
    symlink("file", work.path().join("out/link")).unwrap();
    let missing = [path("out"), path("gone"), path("out/gone"), path("other/below")];
    let error = store.ingest_paths(work.path(), &missing, Taking::Move).unwrap_err();
    assert_eq!(error.to_string(), "declared outputs are missing: `gone`, `out/gone`, `other/below`");
    assert_eq!(error.exit_code(), 1);
    let tree = store.ingest_paths(work.path(), &[path("out"), path("out/file")], Taking::Move).unwrap();
    let paths: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["out/empty", "out/file", "out/link"]);
    assert!(work.path().join("other").exists());
}

#[test]
fn a_checkout_is_shared_and_stays_while_it_is_held() {
    let (_dir, store) = store();
    let tree = recorded(&store, 1, b"bytes");
    let one = store.materialised(tree.digest(), Materialise::Copy).unwrap();
    let two = store.materialised(tree.digest(), Materialise::Copy).unwrap();
    assert_eq!(one.path(), two.path());
    let inode = fs::metadata(one.path()).unwrap().ino();
    drop(one);
    assert_eq!(fs::metadata(two.path()).unwrap().ino(), inode);
    assert_eq!(fs::read(two.path().join("file")).unwrap(), b"bytes");
}

#[test]
fn a_checkout_does_without_the_blobs_that_it_was_made_of() {
    let (dir, store) = store();
    let tree = recorded(&store, 1, b"bytes");
    assert!(!store.is_checked_out(tree.digest()));
    drop(store.materialised(tree.digest(), Materialise::Copy).unwrap());
    fs::remove_dir_all(dir.path().join("store/blobs")).unwrap();
    assert_eq!(store.missing(&tree).unwrap().len(), 1);
    assert!(store.is_checked_out(tree.digest()));
    let again = store.materialised(tree.digest(), Materialise::Copy).unwrap();
    assert_eq!(fs::read(again.path().join("file")).unwrap(), b"bytes");
}

#[test]
fn a_destination_that_is_there_stays_as_it_is() {
    let (dir, store) = store();
    let tree = recorded(&store, 1, b"bytes");
    let dest = dir.path().join("dest");
    fs::write(&dest, "mine").unwrap();
    let error = store.materialise(&tree, &dest, Materialise::Copy).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(fs::read(&dest).unwrap(), b"mine");
    assert_eq!(listing(dir.path()).keys().filter(|name| name.contains("partial")).count(), 0);
}

#[test]
fn what_a_dead_process_left_beside_a_destination_is_replaced() {
    let (dir, store) = store();
    let tree = recorded(&store, 1, b"bytes");
    fs::create_dir(dir.path().join(".dest.partial")).unwrap();
    fs::write(dir.path().join(".dest.partial/rubbish"), "old").unwrap();
    store.materialise(&tree, &dir.path().join("dest"), Materialise::Link).unwrap();
    assert_eq!(listing(&dir.path().join("dest")).into_keys().collect::<Vec<_>>(), ["file"]);
    assert!(!dir.path().join(".dest.partial").exists());
}

#[test]
fn a_key_is_locked_once() {
    let (_dir, store) = store();
    let lock = store.lock(key(1)).unwrap();
    assert!(store.try_lock(key(1)).unwrap().is_none());
    assert!(store.try_lock(key(2)).unwrap().is_some());
    drop(lock);
    assert!(store.try_lock(key(1)).unwrap().is_some());
    assert_eq!(fs::read_dir(store.root().join("locks")).unwrap().count(), 0, "locks leave nothing behind");
}

#[test]
fn gc_keeps_what_a_living_session_used() {
    let (dir, store) = store();
    for number in 1..=4 {
        recorded(&store, number, &[number; 1000]);
    }
    let all = GcPolicy { max_size: Some(0), ..GcPolicy::default() };
    assert_eq!(store.gc(&all).unwrap().results, 0, "this session wrote them");
    drop(store);
    pause();
    let builder = Store::open(&dir.path().join("store")).unwrap();
    assert!(builder.whole_result(key(2)).unwrap().is_some());
    let guard = builder.materialised(builder.result(key(3)).unwrap().unwrap(), Materialise::Copy).unwrap();
    let before = builder.generation().unwrap();
    let collector = Store::open(&dir.path().join("store")).unwrap();
    let keep = HashSet::from([key(1)]);
    let report = collector.gc(&GcPolicy { keep, ..all.clone() }).unwrap();
    assert_eq!((report.results, report.trees, report.blobs, report.bytes), (1, 1, 1, 1000));
    assert!(builder.generation().unwrap() > before);
    for number in 1..=3 {
        assert!(builder.whole_result(key(number)).unwrap().is_some(), "{number}");
    }
    assert!(builder.whole_result(key(4)).unwrap().is_none());
    assert!(guard.path().join("file").exists());
    drop(builder.materialised(builder.result(key(1)).unwrap().unwrap(), Materialise::Link).unwrap());
    drop((builder, guard, collector));
    pause();
    let report = Store::open(&dir.path().join("store")).unwrap().gc(&all).unwrap();
    assert_eq!((report.results, report.trees, report.checkouts), (3, 3, 2));
    assert_eq!((report.blobs, report.bytes_left), (3, 0), "links of checkouts keep no blob");
}

#[test]
fn what_a_build_finds_while_garbage_is_collected_stays() {
    let (dir, store) = store();
    let entries: Vec<_> = (0..3000_u32).map(|number| store.put_bytes(&number.to_le_bytes(), false).unwrap()).collect();
    drop(store);
    pause();
    let builder = Store::open(&dir.path().join("store")).unwrap();
    let collector = Store::open(&dir.path().join("store")).unwrap();
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        let collecting = scope.spawn(|| collector.gc(&GcPolicy::default()).unwrap());
        // As for a result that a remote knows: its tree is written down, and then what the store
        // has of it is not fetched.
        for entry in &entries {
            let mut tree = Tree::new();
            tree.insert(path("file"), entry.clone()).unwrap();
            builder.put_tree(&tree).unwrap();
            if builder.missing(&tree).unwrap().is_empty() {
                found.push(tree);
            }
            if collecting.is_finished() {
                break;
            }
        }
        assert!(collecting.join().unwrap().blobs > 0);
    });
    let lost = found.iter().filter(|tree| !builder.missing(tree).unwrap().is_empty()).count();
    assert_eq!(lost, 0, "of {}", found.len());
}

#[test]
fn gc_removes_what_was_used_longest_ago() {
    let (dir, store) = store();
    for number in 1..=4 {
        recorded(&store, number, &[number; 1000]);
    }
    drop(store);
    pause();
    assert!(Store::open(&dir.path().join("store")).unwrap().result(key(1)).unwrap().is_some());
    let store = Store::open(&dir.path().join("store")).unwrap();
    let policy = GcPolicy { max_size: Some(1500), ..GcPolicy::default() };
    let report = store.gc(&policy).unwrap();
    assert_eq!((report.results, report.bytes, report.bytes_left), (3, 3000, 1000));
    assert!(store.whole_result(key(1)).unwrap().is_some());
    let none = GcPolicy { max_size: None, ..policy };
    assert_eq!(store.gc(&none).unwrap().results, 0);
}

/// Lets the clock of the file system, which counts some milliseconds at a time, go on.
fn pause() {
    std::thread::sleep(Duration::from_millis(30));
}
