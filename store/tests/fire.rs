//! The store used by many at once, and by processes that are killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use build_graph::{NodeKey, RelPath, Tree};
use store::{GcPolicy, Materialise, Store, Taking};
use testing::helper;

const KEYS: u64 = 24;

fn key(number: u64) -> NodeKey {
    NodeKey::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// What a key's result holds: a few files of several sizes, some of them in every tree.
fn content(number: u64) -> Vec<(String, Vec<u8>, bool)> {
    (0..6_u64)
        .map(|file| {
            let seed = if file < 2 { file } else { number * 100 + file };
            let length = [10, 5_000, 0, 60_000, 300, 1_200_000][file as usize];
            let bytes = (0..length).map(|at: u64| (at.wrapping_mul(seed + 3) >> 3) as u8).collect();
            (format!("d{}/{file}", file % 3), bytes, file % 2 == 1)
        })
        .collect()
}

fn tree(number: u64) -> Tree {
    let mut tree = Tree::new();
    for (path, bytes, executable) in content(number) {
        let (digest, size) = (build_graph::BlobDigest::of(&bytes), bytes.len() as u64);
        tree.insert(RelPath::new(path).unwrap(), build_graph::Entry::File { digest, size, executable }).unwrap();
    }
    tree
}

/// Builds a key as the tool does: look up, lock, look up again, work in a scratch folder, take the
/// outputs, record.
fn build(store: &Store, number: u64) -> bool {
    if store.whole_result(key(number)).unwrap().is_some() {
        return false;
    }
    let _lock = store.lock(key(number)).unwrap();
    if store.whole_result(key(number)).unwrap().is_some() {
        return false;
    }
    let work = store.scratch().unwrap();
    for (path, bytes, executable) in content(number) {
        use std::os::unix::fs::PermissionsExt;
        let path = work.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(if executable { 0o755 } else { 0o644 })).unwrap();
    }
    let outputs = ["d0", "d1", "d2"].map(|path| RelPath::new(path).unwrap());
    let built = store.ingest_paths(work.path(), &outputs, Taking::Move).unwrap();
    let digest = store.put_tree(&built).unwrap();
    store.record(key(number), digest, &[]).unwrap();
    true
}

fn check(store: &Store, number: u64) {
    let (digest, found) = store.whole_result(key(number)).unwrap().expect("it was built");
    assert_eq!(*found, tree(number));
    let guard = store.materialised(digest, Materialise::Link).unwrap();
    for (path, bytes, _) in content(number) {
        assert!(fs::read(guard.path().join(&path)).unwrap() == bytes, "{number} {path}");
    }
}

fn work(root: &Path, seed: u64) {
    let store = Store::open(root).unwrap();
    for step in 0..KEYS {
        let number = (seed * 7 + step * 5) % KEYS;
        build(&store, number);
        check(&store, number);
    }
}

fn spawn(root: &Path, what: &str, seed: u64) -> Child {
    helper::command("store", format!("{what} {seed} {}", root.display())).stdout(Stdio::null()).spawn().unwrap()
}

testing::helpers!("store" => use_a_store);

/// What a process does with a store that it shares: `WHAT SEED STORE`.
fn use_a_store() {
    let task = helper::argument();
    let mut parts = task.splitn(3, ' ');
    let (what, seed, root) = (parts.next().unwrap(), parts.next().unwrap(), PathBuf::from(parts.next().unwrap()));
    let seed: u64 = seed.parse().unwrap();
    match what {
        "work" => work(&root, seed),
        "collect" => {
            for _ in 0..30 {
                let policy = GcPolicy { max_size: Some(0), ..GcPolicy::default() };
                Store::open(&root).unwrap().gc(&policy).unwrap();
            }
        }
        "churn" => {
            for round in seed.. {
                work(&root, round);
                let policy = GcPolicy { max_size: Some(0), ..GcPolicy::default() };
                Store::open(&root).unwrap().gc(&policy).unwrap();
            }
        }
        _ => unreachable!(),
    }
}

#[test]
fn threads_share_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let built: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|seed| {
                let store = &store;
                scope.spawn(move || {
                    let mut built = 0;
                    for step in 0..KEYS {
                        let number = (seed * 3 + step) % KEYS;
                        built += usize::from(build(store, number));
                        check(store, number);
                    }
                    built
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(built, KEYS as usize, "each key was built once");
    assert_eq!(store.verify().unwrap().damaged, []);
}

#[test]
fn processes_share_a_store_beside_gc() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let mut children: Vec<_> = (0..24).map(|seed| spawn(&root, "work", seed)).collect();
    children.push(spawn(&root, "collect", 0));
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = Store::open(&root).unwrap();
    let report = store.verify().unwrap();
    assert_eq!((report.damaged, report.incomplete), (vec![], 0));
    assert_eq!(store.stats().unwrap().sessions, 1, "only this one");
}

#[test]
fn processes_may_be_killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let mut noise = 88_172_645_463_325_252_u64;
    for round in 0..200 {
        let mut children: Vec<_> = (0..2).map(|seed| spawn(&root, "churn", round + seed)).collect();
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        std::thread::sleep(Duration::from_micros(2_000 + noise % 80_000));
        for child in &mut children {
            child.kill().unwrap();
        }
        for child in &mut children {
            child.wait().unwrap();
        }
        let store = Store::open(&root).unwrap();
        let report = store.verify().unwrap();
        assert_eq!(report.damaged, [], "round {round}");
        assert_eq!(report.incomplete, 0, "round {round}: a result without its files");
        // A folder without a lock is one whose process was killed before it made that; it is swept
        // when it is old enough not to be another's that is just about to.
        let sessions = fs::read_dir(root.join("tmp")).unwrap().filter_map(Result::ok);
        let locked = sessions.filter(|session| session.path().join("lock").exists()).count();
        assert_eq!(locked, 1, "round {round}: the dead are swept");
    }
    work(&root, 0);
}
