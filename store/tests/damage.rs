//! The store with damaged files, on full and read-only disks, and fed by those who mean it ill.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use build_graph::{Entry, NodeKey, RelPath, Tree};
use rustix::fs::{CWD, FileType, Mode, mkdirat, mknodat, openat};
use store::{Damage, GcPolicy, Materialise, Options, Store, StoreError, Taking};
use testing::helper;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes([number; 32])
}

/// A store with one result of two files.
fn filled(root: &Path) -> (Tree, Entry) {
    let store = Store::open(root).unwrap();
    let mut tree = Tree::new();
    let entry = store.put_bytes(b"the bytes", false).unwrap();
    tree.insert(path("a/file"), entry.clone()).unwrap();
    tree.insert(path("b"), store.put_bytes(b"others", true).unwrap()).unwrap();
    let digest = store.put_tree(&tree).unwrap();
    store.record(key(1), digest, &["why".to_owned()]).unwrap();
    (tree, entry)
}

/// The one file below a folder of the store whose content is `bytes`, or any.
fn file_below(dir: &Path, bytes: Option<&[u8]>) -> PathBuf {
    fs::read_dir(dir)
        .unwrap()
        .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .find(|path| bytes.is_none_or(|bytes| fs::read(path).unwrap() == bytes))
        .unwrap()
}

/// Changes a file without a trace in its mode or times.
fn damage(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let metadata = fs::metadata(file).unwrap();
    fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, metadata.permissions()).unwrap();
    fs::File::open(file).unwrap().set_modified(metadata.modified().unwrap()).unwrap();
}

#[test]
fn a_short_blob_counts_as_missing_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, entry) = filled(dir.path());
    damage(&file_below(&dir.path().join("blobs"), Some(b"the bytes")), |bytes| bytes.truncate(3));
    let store = Store::open(dir.path()).unwrap();
    let before = store.generation().unwrap();
    assert!(store.whole_result(key(1)).unwrap().is_none());
    assert!(store.generation().unwrap() > before);
    let error = store.materialise(&tree, &dir.path().join("out"), Materialise::Copy).unwrap_err();
    assert!(matches!(&error, StoreError::MissingBlob { path, .. } if path.as_str() == "a/file"), "{error}");
    assert!(!dir.path().join("out").exists());
    assert_eq!(store.missing(&tree).unwrap().len(), 1);
    assert_eq!(store.put_bytes(b"the bytes", false).unwrap(), entry);
    assert!(store.whole_result(key(1)).unwrap().is_some());
}

#[test]
fn a_changed_blob_is_never_given_where_reads_are_verified() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, entry) = filled(dir.path());
    let options = Options { verify_on_read: true, ..Options::default() };
    for door in 0..5 {
        damage(&file_below(&dir.path().join("blobs"), Some(b"the bytes")), |bytes| bytes[2] ^= 1);
        let store = Store::open_with(dir.path(), options.clone()).unwrap();
        match door {
            0 => assert!(matches!(store.read_blob(&entry), Err(StoreError::NoBlob { .. }))),
            1 => assert!(matches!(store.open_blob(&entry), Err(StoreError::NoBlob { .. }))),
            2 => assert!(store.materialise(&tree, &dir.path().join("out"), Materialise::Link).is_err()),
            3 => assert!(store.whole_result(key(1)).unwrap().is_none()),
            _ => assert!(store.materialise(&tree, &dir.path().join("out"), Materialise::Copy).is_err()),
        }
        store.put_bytes(b"the bytes", false).unwrap();
        assert_eq!(store.read_blob(&entry).unwrap(), b"the bytes");
        assert_eq!(store.verify().unwrap().damaged, []);
    }
}

#[test]
fn a_blob_that_was_written_to_is_noticed_by_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, entry) = filled(dir.path());
    let blob = file_below(&dir.path().join("blobs"), Some(b"the bytes"));
    // As a copy of the cache folder would leave it: other modes and times, the right bytes.
    fs::set_permissions(&blob, PermissionsExt::from_mode(0o600)).unwrap();
    fs::File::open(&blob).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.has_blob(&entry).unwrap());
    assert_eq!(fs::metadata(&blob).unwrap().mode() & 0o7777, 0o444);
    assert_eq!(fs::metadata(&blob).unwrap().mtime() as u64, build_graph::SOURCE_DATE_EPOCH);
    // As a process that may write to everything would.
    fs::set_permissions(&blob, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&blob, b"THE BYTES").unwrap();
    fs::set_permissions(&blob, PermissionsExt::from_mode(0o444)).unwrap();
    assert_eq!(store.missing(&tree).unwrap().len(), 1);
}

#[test]
fn verify_finds_all_damage_and_drops_it() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, entry) = filled(dir.path());
    let Entry::File { digest, .. } = entry else { unreachable!() };
    damage(&file_below(&dir.path().join("blobs"), Some(b"the bytes")), |bytes| bytes[0] ^= 128);
    damage(&file_below(&dir.path().join("trees"), None), |bytes| bytes[30] ^= 1);
    damage(&file_below(&dir.path().join("results"), None), |bytes| bytes[100] ^= 1);
    fs::write(dir.path().join("blobs/stray"), "").unwrap();
    let store = Store::open(dir.path()).unwrap();
    let report = store.verify().unwrap();
    assert_eq!(report.damaged, [Damage::Blob(digest), Damage::Tree(tree.digest()), Damage::Result(key(1))]);
    let report = store.verify().unwrap();
    assert_eq!((report.damaged.len(), report.blobs, report.trees, report.results), (0, 1, 0, 0));
}

#[test]
fn any_change_of_a_manifest_or_a_result_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    for what in ["trees", "results"] {
        let mut at = 0;
        loop {
            filled(dir.path());
            let file = file_below(&dir.path().join(what), None);
            let length = fs::metadata(&file).unwrap().len() as usize;
            damage(&file, |bytes| bytes[at] ^= 1);
            let store = Store::open(dir.path()).unwrap();
            assert!(store.whole_result(key(1)).unwrap().is_none(), "{what} {at}");
            assert!(!file.exists());
            drop(store);
            filled(dir.path());
            damage(&file, |bytes| bytes.truncate(at));
            let store = Store::open(dir.path()).unwrap();
            assert!(store.whole_result(key(1)).unwrap().is_none(), "{what} cut at {at}");
            at += 17;
            if at >= length {
                break;
            }
        }
    }
}

#[test]
fn a_result_under_another_key_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let file = file_below(&dir.path().join("results"), None);
    let other = dir.path().join("results/02");
    fs::create_dir(&other).unwrap();
    fs::rename(file, other.join(key(2).to_string())).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().result(key(2)).unwrap(), None);
}

#[test]
fn a_folder_that_is_no_store_of_ours_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::NotAStore { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    fs::write(dir.path().join("format"), "pynbox-build store 99\n").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 99, known: 1, .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
    fs::write(dir.path().join("format"), "pynbox-build store 1\n").unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::WritableByOthers { .. })));
}

#[test]
fn a_store_of_another_user_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = if rustix::process::geteuid().is_root() {
        filled(dir.path());
        std::os::unix::fs::chown(dir.path(), Some(12_345), None).unwrap();
        dir.path()
    } else {
        Path::new("/")
    };
    let error = Store::open(foreign).unwrap_err();
    assert!(matches!(error, StoreError::ForeignOwner { .. }), "{error}");
}

#[test]
fn another_file_system_gets_copies_and_gives_copies() {
    let dir = tempfile::tempdir().unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let (near, far) = (dir.path(), memory.path());
    assert_ne!(fs::metadata(near).unwrap().dev(), fs::metadata(far).unwrap().dev(), "both are on one file system");
    for (root, dest) in [(near.join("store"), far.join("out")), (far.join("store"), near.join("out"))] {
        let (tree, _) = filled(&root);
        let store = Store::open(&root).unwrap();
        store.materialise(&tree, &dest, Materialise::Link).unwrap();
        assert_eq!(fs::metadata(dest.join("a/file")).unwrap().mode() & 0o777, 0o444);
        assert_eq!(store.ingest(&dest, Taking::Move).unwrap(), tree);
        fs::write(dest.join("new"), "new").unwrap();
        let more = store.ingest(&dest, Taking::Move).unwrap();
        assert_eq!(store.read_blob(more.get("new").unwrap()).unwrap(), b"new");
    }
}

/// Runs the helper with a task in a mount namespace of its own, after a shell command.
fn in_namespace(setup: &str, task: &str, dir: &Path) {
    let user = rustix::process::geteuid().is_root();
    // Through a pipe: a limit on files would be one on the file that a caller writes our output to.
    let output = Command::new("unshare")
        .args([if user { "-m" } else { "-rm" }, "sh", "-ec"])
        .arg(format!("cd {}; {setup}; exec \"$0\"", dir.display()))
        .arg(std::env::current_exe().unwrap())
        .envs(helper::environment("store", format!("{task} {}", dir.display())))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

testing::helpers!("store" => use_a_store);

/// What a process does with a store in a namespace of its own: `WHAT FOLDER`.
fn use_a_store() {
    let task = helper::argument();
    let (what, dir) = task.split_once(' ').unwrap();
    let root = Path::new(dir).join("store");
    match what {
        "full" => {
            let (tree, entry) = filled(&root);
            let store = Store::open(&root).unwrap();
            let mut stored = Vec::new();
            let error = (0_u32..)
                .find_map(|number| match store.put_bytes(&number.to_le_bytes().repeat(5_000), false) {
                    Ok(entry) => {
                        stored.push(entry);
                        None
                    }
                    Err(error) => Some(error),
                })
                .unwrap();
            assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(root.to_str().unwrap()) && text.contains(" cache gc`"), "{text}");
            assert_eq!(error.exit_code(), 3);
            let large = vec![7; 5 << 20];
            assert!(matches!(store.put_reader(&mut &large[..], false), Err(StoreError::Full { .. })));
            assert!(!stored.is_empty());
            assert_eq!(store.verify().unwrap().damaged, []);
            assert_eq!(store.missing(&tree).unwrap(), []);
            assert_eq!(store.read_blob(&entry).unwrap(), b"the bytes");
            drop(store);
            let policy = GcPolicy { max_size: Some(0), ..GcPolicy::default() };
            std::thread::sleep(std::time::Duration::from_millis(30));
            let store = Store::open(&root).unwrap();
            assert!(store.gc(&policy).unwrap().blobs > 0);
            store.put_bytes(&[1; 100_000], false).unwrap();
        }
        "limit" => {
            let store = Store::open(&root).unwrap();
            let error = store.put_bytes(&[1; 500_000], false).unwrap_err();
            assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
            assert_eq!(store.verify().unwrap(), store::VerifyReport::default());
            store.put_bytes(&[1; 5_000], false).unwrap();
        }
        "read-only" => {
            let error = Store::open(&root).unwrap_err();
            assert!(matches!(error, StoreError::NotWritable { .. }), "{error:?}");
            assert!(error.to_string().contains("can't be written to"), "{error}");
            assert_eq!(error.exit_code(), 3);
        }
        _ => unreachable!(),
    }
}

#[test]
fn a_full_disk_is_a_clear_error_and_corrupts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("store")).unwrap();
    in_namespace("mount -t tmpfs -o size=2m,mode=755 none store", "full", dir.path());
}

#[test]
fn a_limit_on_files_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes; without the signal, a write fails instead of the process.
    in_namespace("trap '' XFSZ; ulimit -f 200", "limit", dir.path());
}

#[test]
fn a_read_only_disk_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    filled(&dir.path().join("store"));
    let setup = "mount --bind store store && mount -o remount,bind,ro store";
    in_namespace(setup, "read-only", dir.path());
}

#[test]
fn links_are_taken_as_links() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let work = store.scratch().unwrap();
    symlink(dir.path(), work.path().join("way")).unwrap();
    symlink(dir.path().join("secret"), work.path().join("file")).unwrap();
    symlink("/dev/zero", work.path().join("endless")).unwrap();
    let tree = store.ingest(work.path(), Taking::Move).unwrap();
    assert!(tree.iter().all(|(_, entry)| matches!(entry, Entry::Symlink { .. })));
    assert_eq!(store.stats().unwrap().blobs, 0);
    let error = store.ingest_paths(work.path(), &[path("way/secret")], Taking::Move).unwrap_err();
    assert!(error.to_string().contains("`way/secret` lies below a symbolic link"), "{error}");
    let link = dir.path().join("link");
    symlink(work.path(), &link).unwrap();
    assert!(store.ingest(&link, Taking::Move).is_err());
    assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn what_no_tree_can_hold_is_named_and_nothing_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let work = dir.path().join("work");
    fs::create_dir_all(work.join("sub")).unwrap();
    fs::write(work.join("sub/fine"), "fine").unwrap();
    let _socket = UnixListener::bind(work.join("sub/socket")).unwrap();
    mknodat(CWD, work.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    let device = mknodat(CWD, work.join("device"), FileType::CharacterDevice, Mode::from_raw_mode(0o644), 0x103);
    fs::write(work.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    symlink(std::ffi::OsStr::from_bytes(b"\xff"), work.join("target")).unwrap();
    fs::write(work.join("line\nfeed"), "").unwrap();
    let huge = fs::File::create(work.join("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let error = store.ingest(&work, Taking::Move).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    let text = error.to_string();
    let expected = [
        "`sub/socket` is a socket",
        "`pipe` is a named pipe",
        "`caf\\xe9` is no UTF-8",
        "`target` is a link whose target is no UTF-8",
        "`line\\nfeed` has a line feed in its name",
        "`huge` has 1099511627776 bytes, more than 68719476736",
    ];
    for problem in expected {
        assert!(text.contains(problem), "{problem} is not in: {text}");
    }
    assert_eq!(text.contains("`device` is a device"), device.is_ok());
    assert!(work.join("sub/fine").exists(), "it was moved");
    assert_eq!(store.stats().unwrap().blobs, 0);
}

#[test]
fn depth_without_end_is_refused_and_can_be_removed() {
    // In memory: so many folders take a disk up to minutes.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let work = store.scratch().unwrap();
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let mut here = openat(CWD, work.path(), flags, Mode::empty()).unwrap();
    for _ in 0..65_536 {
        mkdirat(&here, "d", Mode::from_raw_mode(0o755)).unwrap();
        here = openat(&here, "d", flags, Mode::empty()).unwrap();
    }
    drop(here);
    let error = store.ingest(work.path(), Taking::Move).unwrap_err();
    assert!(error.to_string().contains("is too deep"), "{error}");
    let at = work.path().to_owned();
    drop(work);
    assert!(!at.exists());
}

#[test]
fn modes_that_shut_the_owner_out_are_no_hindrance() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let work = store.scratch().unwrap();
    fs::create_dir_all(work.path().join("shut/deeper")).unwrap();
    fs::write(work.path().join("shut/deeper/file"), "bytes").unwrap();
    fs::write(work.path().join("shut/setuid"), "bytes").unwrap();
    fs::set_permissions(work.path().join("shut/setuid"), PermissionsExt::from_mode(0o6111)).unwrap();
    fs::set_permissions(work.path().join("shut/deeper/file"), PermissionsExt::from_mode(0o0)).unwrap();
    for folder in ["shut/deeper", "shut", ""] {
        fs::set_permissions(work.path().join(folder), PermissionsExt::from_mode(0o0)).unwrap();
    }
    let tree = store.ingest_paths(work.path(), &[path("shut")], Taking::Move).unwrap();
    let dest = dir.path().join("dest");
    store.materialise(&tree, &dest, Materialise::Copy).unwrap();
    assert_eq!(fs::read(dest.join("shut/deeper/file")).unwrap(), b"bytes");
    assert_eq!(fs::metadata(dest.join("shut/setuid")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_file_with_another_name_elsewhere_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let work = store.scratch().unwrap();
    fs::write(work.path().join("one"), "bytes").unwrap();
    fs::hard_link(work.path().join("one"), dir.path().join("elsewhere")).unwrap();
    fs::hard_link(work.path().join("one"), work.path().join("two")).unwrap();
    let tree = store.ingest(work.path(), Taking::Move).unwrap();
    assert_eq!(tree.len(), 2);
    fs::write(dir.path().join("elsewhere"), "OTHER").unwrap();
    assert_eq!(store.read_blob(tree.get("one").unwrap()).unwrap(), b"bytes");
}
