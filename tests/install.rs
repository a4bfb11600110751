//! Installing: receipts, upgrades, what is in the way, hostile archives, and interruptions.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use build_graph::node::{Package, Target};
use build_graph::{BlobDigest, Entry, RelPath, SOURCE_DATE_EPOCH, Tree};
use pynbox_build::install::package::{self, Manifest};
use pynbox_build::install::verify::{Fault, verify};
use pynbox_build::install::{Destination, InstallError, Installed, Outcome};
use pynbox_build::store::Store;
use tempfile::TempDir;

struct Space {
    folder: TempDir,
    store: Store,
}

impl Space {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn dest(&self) -> PathBuf {
        self.folder.path().join("dest")
    }

    fn open(&self) -> Destination {
        Destination::open(&self.dest()).unwrap()
    }

    /// A package with these files.
    fn package(&self, name: &str, version: &str, files: &[(&str, &str)]) -> Vec<u8> {
        self.package_for(name, version, "wasm32-wasi", files)
    }

    fn package_for(&self, name: &str, version: &str, target: &str, files: &[(&str, &str)]) -> Vec<u8> {
        let mut tree = Tree::new();
        for (path, text) in files {
            let executable = path.starts_with("bin/");
            tree.insert(path.parse().unwrap(), self.store.put_bytes(text.as_bytes(), executable).unwrap()).unwrap();
        }
        let description = Package {
            name: name.into(),
            version: version.into(),
            target: Target(target.into()),
            requires: Vec::new(),
            content: Vec::new(),
        };
        let path = self.folder.path().join("archive");
        package::write(&description, &tree, &self.store, fs::File::create(&path).unwrap()).unwrap();
        fs::read(path).unwrap()
    }
}

/// An archive with any description and any members.
fn forged(content: Tree, members: &[(&str, tar::EntryType, &[u8], &str)]) -> Vec<u8> {
    let manifest = Manifest {
        format: 1,
        name: "evil".into(),
        version: "1".into(),
        target: Target("wasm32-wasi".into()),
        requires: Vec::new(),
        content,
        wheel: None,
    };
    let description = serde_json::to_vec(&manifest).unwrap();
    let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    let mut append = |path: &str, kind: tar::EntryType, bytes: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        // Past the checks of the crate, which would not write such a path.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, bytes).unwrap();
    };
    append("package.json", tar::EntryType::Regular, &description, "");
    for (path, kind, bytes, link) in members {
        append(path, *kind, bytes, link);
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn file(bytes: &[u8]) -> Entry {
    Entry::File { digest: BlobDigest::of(bytes), size: bytes.len() as u64, executable: false }
}

fn tree(entries: &[(&str, Entry)]) -> Tree {
    let mut tree = Tree::new();
    for (path, entry) in entries {
        tree.insert(RelPath::new(*path).unwrap(), entry.clone()).unwrap();
    }
    tree
}

/// Every path below a folder with what a file says, to see that nothing changed. Links to folders
/// are followed; other generations are left out.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut all: Vec<_> = walkdir::WalkDir::new(folder)
        .follow_links(true)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != "generations")
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension() != Some("json".as_ref()))
        .map(|entry| (entry.path().to_path_buf(), fs::read(entry.path()).ok()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_package_is_installed_once_and_replaced_by_another_version() {
    let space = Space::new();
    let one = space.package("python", "1", &[("bin/run", "one"), ("root/lib/a", "a"), ("root/lib/old/b", "b")]);
    assert_eq!(space.open().install("python", &*one).unwrap(), Outcome::Installed);
    let run = fs::metadata(space.dest().join("bin/run")).unwrap();
    assert_eq!(run.permissions().mode() & 0o777, 0o755);
    assert_eq!(run.mtime() as u64, SOURCE_DATE_EPOCH);
    assert_eq!(fs::metadata(space.dest().join("root/lib")).unwrap().mtime() as u64, SOURCE_DATE_EPOCH);
    assert!(space.dest().join("packages/python.installed").is_file());
    assert_eq!(space.open().install("python", &*one).unwrap(), Outcome::Present);

    let two = space.package("python", "2", &[("bin/run", "two"), ("root/lib/a", "a")]);
    assert_eq!(space.open().install("python", &*two).unwrap(), Outcome::Replaced);
    assert_eq!(fs::read_to_string(space.dest().join("bin/run")).unwrap(), "two");
    assert!(!space.dest().join("root/lib/old").exists(), "what only the old version had is gone");
    assert_eq!(space.open().receipts().unwrap().len(), 1);
}

#[test]
fn a_damaged_install_is_installed_again() {
    let space = Space::new();
    let archive = space.package("python", "1", &[("root/a", "aaa")]);
    space.open().install("python", &*archive).unwrap();
    fs::write(space.dest().join("root/a"), "").unwrap();
    assert_eq!(space.open().install("python", &*archive).unwrap(), Outcome::Replaced);
    assert_eq!(fs::read_to_string(space.dest().join("root/a")).unwrap(), "aaa");
}

#[test]
fn the_same_content_is_the_same_archive() {
    let (one, two) = (Space::new(), Space::new());
    let files = [("bin/run", "x"), ("root/a", "y")];
    assert_eq!(one.package("p", "1", &files), two.package("p", "1", &files));
}

#[test]
fn packages_do_not_overwrite_each_other_or_mix_targets() {
    let space = Space::new();
    space.open().install("a", &*space.package("a", "1", &[("root/x", "a")])).unwrap();
    let before = snapshot(&space.dest());
    let error = space.open().install("b", &*space.package("b", "1", &[("root/x", "b"), ("root/y", "b")])).unwrap_err();
    assert!(error.to_string().contains("packages `b` and `a` don't fit together: both have `root/x`"), "{error}");
    let error =
        space.open().install("c", &*space.package_for("c", "1", "x86_64-nacl", &[("root/z", "c")])).unwrap_err();
    assert!(matches!(error, InstallError::OtherTarget { .. }), "{error}");
    assert_eq!(snapshot(&space.dest()), before);
}

#[test]
fn archives_that_would_leave_dest_are_refused_and_change_nothing() {
    use tar::EntryType::{Link, Regular, Symlink};
    let honest = tree(&[("root/a", file(b"a"))]);
    let link_and_below = r#"{"root/l":{"kind":"symlink","target":"/"},"root/l/x":{"kind":"empty_directory"}}"#;
    let up = r#"{"../x":{"kind":"empty_directory"}}"#;
    assert!(serde_json::from_str::<Tree>(up).is_err(), "a path with `..` does not even parse");
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("a member beside its list", forged(honest.clone(), &[("content/root/b", Regular, b"b", "")])),
        ("dots", forged(honest.clone(), &[("content/../../b", Regular, b"b", "")])),
        ("an absolute path", forged(honest.clone(), &[("/content/root/a", Regular, b"a", "")])),
        ("a link for a file", forged(honest.clone(), &[("content/root/a", Symlink, b"", "/etc/passwd")])),
        ("a hard link for a file", forged(honest.clone(), &[("content/root/a", Link, b"", "/etc/passwd")])),
        ("other bytes", forged(honest.clone(), &[("content/root/a", Regular, b"b", "")])),
        ("another length", forged(honest.clone(), &[("content/root/a", Regular, b"aa", "")])),
        (
            "twice",
            forged(honest.clone(), &[("content/root/a", Regular, b"a", ""), ("content/root/a", Regular, b"a", "")]),
        ),
        ("too little", forged(honest, &[])),
        (
            "below a link",
            forged(serde_json::from_str(link_and_below).unwrap(), &[("content/root/l", Symlink, b"", "/")]),
        ),
        (
            "the receipts",
            forged(
                tree(&[("packages/x.installed", file(b"a"))]),
                &[("content/packages/x.installed", Regular, b"a", "")],
            ),
        ),
        ("no package", b"not an archive".to_vec()),
    ];
    for (name, archive) in attacks {
        let space = Space::new();
        space.open();
        fs::write(space.folder.path().join("outside"), "untouched").unwrap();
        let before = snapshot(space.folder.path());
        let result = space.open().install("evil", &*archive);
        assert!(result.is_err(), "{name}: {result:?}");
        assert_eq!(snapshot(space.folder.path()), before, "{name}");
    }
}

#[test]
fn a_link_in_dest_does_not_lead_a_file_out_of_it() {
    let space = Space::new();
    space.open();
    let outside = space.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, space.dest().join("root")).unwrap();
    let error = space.open().install("p", &*space.package("p", "1", &[("root/a", "a")])).unwrap_err();
    assert!(error.to_string().contains("it is a symbolic link"), "{error}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn files_of_the_user_are_not_overwritten() {
    let space = Space::new();
    space.open();
    fs::create_dir(space.dest().join("bin")).unwrap();
    fs::write(space.dest().join("bin/run"), "the user's own").unwrap();
    let before = snapshot(&space.dest());
    let error = space.open().install("p", &*space.package("p", "1", &[("bin/run", "ours")])).unwrap_err();
    assert!(matches!(error, InstallError::InTheWay { .. }), "{error}");
    assert_eq!(snapshot(&space.dest()), before);
}

#[test]
fn no_package_brings_compiled_code() {
    let space = Space::new();
    let error = space.open().install("p", &*space.package("p", "1", &[("compiled/x.cwasm", "native")])).unwrap_err();
    assert!(matches!(error, InstallError::InTheWay { .. }), "{error}");
}

#[test]
fn a_truncated_archive_changes_nothing() {
    let space = Space::new();
    let text = "x".repeat(10_000);
    let archive = space.package("p", "1", &[("root/a", &text), ("root/b", "b")]);
    space.open();
    let before = snapshot(&space.dest());
    for length in [0, 1, archive.len() / 2, archive.len() - 1] {
        assert!(space.open().install("p", &archive[..length]).is_err(), "{length}");
        assert_eq!(snapshot(&space.dest()), before, "{length}");
    }
}

#[test]
fn a_damaged_file_is_noticed_whatever_shows_of_it() {
    let space = Space::new();
    let archive = space.package("p", "1", &[("bin/run", "run"), ("root/a", "aaa"), ("root/deep/b", "b")]);
    space.open().install("p", &*archive).unwrap();
    let dest = space.dest();
    let before = snapshot(&dest);
    let set_mode = |path: &str, mode: u32| {
        fs::set_permissions(dest.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    let damages: [(&str, &dyn Fn()); 6] = [
        ("other bytes of the same size and time", &|| {
            let time = fs::metadata(dest.join("root/a")).unwrap().modified().unwrap();
            fs::write(dest.join("root/a"), "bbb").unwrap();
            fs::File::options().append(true).open(dest.join("root/a")).unwrap().set_modified(time).unwrap();
        }),
        ("a lost right to execute", &|| set_mode("bin/run", 0o644)),
        ("a lost right to read", &|| set_mode("root/a", 0o600)),
        ("a closed folder", &|| set_mode("root/deep", 0o700)),
        ("a link for a file", &|| {
            fs::remove_file(dest.join("root/a")).unwrap();
            symlink("deep/b", dest.join("root/a")).unwrap();
        }),
        ("another time", &|| {
            let file = fs::File::options().append(true).open(dest.join("root/a")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }),
    ];
    for (name, damage) in damages {
        assert_eq!(space.open().install("p", &*archive).unwrap(), Outcome::Present, "before: {name}");
        damage();
        assert_eq!(space.open().install("p", &*archive).unwrap(), Outcome::Replaced, "{name}");
        assert_eq!(snapshot(&dest), before, "{name}");
        for (path, mode) in [("bin/run", 0o755), ("root/a", 0o644), ("root/deep", 0o755)] {
            assert_eq!(fs::symlink_metadata(dest.join(path)).unwrap().mode() & 0o7777, mode, "{name}: {path}");
        }
    }
}

#[test]
fn what_an_interrupted_install_left_is_removed() {
    let space = Space::new();
    space.open();
    let generations = space.dest().join("generations");
    for left in [".staging/new/p", "3/root", ".gone-2/root", ".tmp1"] {
        fs::create_dir_all(generations.join(left)).unwrap();
    }
    space.open();
    assert_eq!(fs::read_dir(generations).unwrap().count(), 1, "the lock");
}

#[test]
fn a_folder_of_the_users_is_not_taken_for_generations() {
    let space = Space::new();
    fs::create_dir_all(space.dest().join("generations/1/precious")).unwrap();
    let error = Destination::open(&space.dest()).unwrap_err();
    assert!(error.to_string().contains("no install made it"), "{error}");
    assert!(space.dest().join("generations/1/precious").is_dir());
}

#[test]
fn a_destination_is_a_folder() {
    let space = Space::new();
    let file = space.folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Destination::open(&path).unwrap_err();
        assert!(matches!(&error, InstallError::NotAFolder { path } if *path == file), "{error}");
    }
}

/// A program for `bin/run` that waits, and its package.
fn waiting(space: &Space, version: &str) -> Vec<u8> {
    let mut tree = Tree::new();
    let sleep = fs::read("/bin/sleep").unwrap();
    tree.insert("bin/run".parse().unwrap(), space.store.put_bytes(&sleep, true).unwrap()).unwrap();
    let text = space.store.put_bytes(version.as_bytes(), false).unwrap();
    tree.insert("root/lib/version".parse().unwrap(), text).unwrap();
    let description = Package {
        name: "p".into(),
        version: version.into(),
        target: Target("wasm32-wasi".into()),
        requires: Vec::new(),
        content: Vec::new(),
    };
    let path = space.folder.path().join("archive");
    package::write(&description, &tree, &space.store, fs::File::create(&path).unwrap()).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn a_program_that_runs_keeps_its_generation() {
    let space = Space::new();
    let version = |folder: &Path| fs::read_to_string(folder.join("root/lib/version")).unwrap();
    space.open().install("p", &*waiting(&space, "1")).unwrap();
    let mut program = std::process::Command::new(space.dest().join("bin/run")).arg("1000").spawn().unwrap();
    // Where a loader finds its installation.
    let link = format!("/proc/{}/exe", program.id());
    let own = || fs::read_link(&link).unwrap().parent().unwrap().parent().unwrap().to_path_buf();
    space.open().install("p", &*waiting(&space, "2")).unwrap();
    assert_eq!((version(&space.dest()), version(&own())), ("2".to_owned(), "1".to_owned()));
    let (pruned, kept) = space.open().prune(0).unwrap();
    assert!(pruned.is_empty() && kept[0].number == 1 && kept[0].why.contains("a program runs in it"), "{kept:?}");
    // Back and forth, with more to go.
    assert_eq!(space.open().rollback(None).unwrap().number, 1);
    assert_eq!((version(&space.dest()), version(&own())), ("1".to_owned(), "1".to_owned()));
    let (pruned, kept) = space.open().prune(0).unwrap();
    assert_eq!((pruned[0].number, kept), (2, Vec::new()));
    space.open().install("p", &*waiting(&space, "3")).unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    // Who looks at an installation keeps it, too.
    let looked_at = Installed::find(&space.dest()).unwrap().unwrap();
    space.open().rollback(None).unwrap();
    assert!(space.open().prune(0).unwrap().0.is_empty());
    drop(looked_at);
    let (pruned, kept) = space.open().prune(0).unwrap();
    assert!(kept.is_empty() && pruned[0].space > 0, "{kept:?}");
    assert_eq!(version(&space.dest()), "1");
}

#[test]
fn what_a_program_writes_after_it_was_left_behind_is_not_removed() {
    let space = Space::new();
    space.open().install("p", &*space.package("p", "1", &[("root/a", "1")])).unwrap();
    let old = space.dest().join("root").canonicalize().unwrap();
    fs::write(old.join("before"), "").unwrap();
    space.open().install("p", &*space.package("p", "2", &[("root/a", "2")])).unwrap();
    fs::remove_file(space.dest().join("root/before")).unwrap();
    fs::write(old.join("after"), "precious").unwrap();
    let (pruned, kept) = space.open().prune(0).unwrap();
    assert!(pruned.is_empty() && kept[0].why.contains("root/after"), "{kept:?}");
    fs::rename(old.join("after"), space.dest().join("root/after")).unwrap();
    assert_eq!(space.open().prune(0).unwrap().0.len(), 1);
    assert!(!space.dest().join("root/before").exists(), "what the user removed stays removed");
}

#[test]
fn a_file_of_the_users_where_an_earlier_generation_has_a_package_s_is_named() {
    let space = Space::new();
    space.open().install("p", &*space.package("p", "1", &[("root/a", "1"), ("root/b/c", "1")])).unwrap();
    space.open().install("p", &*space.package("p", "2", &[("root/d", "2")])).unwrap();
    for path in ["root/a", "root/b"] {
        fs::write(space.dest().join(path), "mine").unwrap();
        let before = snapshot(&space.dest());
        let error = space.open().rollback(None).unwrap_err();
        assert!(error.to_string().contains(path) && error.to_string().contains("move it away"), "{error}");
        assert_eq!(snapshot(&space.dest()), before);
        fs::remove_file(space.dest().join(path)).unwrap();
    }
    space.open().rollback(None).unwrap();
}

#[test]
fn two_installs_at_once_lose_nothing() {
    let space = Space::new();
    let archives: Vec<_> =
        ["a", "b", "c", "d"].map(|name| (name, space.package(name, "1", &[(&format!("root/{name}"), name)]))).into();
    std::thread::scope(|scope| {
        for (name, archive) in &archives {
            let dest = space.dest();
            scope.spawn(move || Destination::open(&dest).unwrap().install(name, &**archive).unwrap());
        }
    });
    assert_eq!(space.open().receipts().unwrap().len(), 4);
    for (name, _) in archives {
        assert_eq!(fs::read_to_string(space.dest().join("root").join(name)).unwrap(), name);
    }
}

#[test]
fn a_link_in_a_generation_leads_nothing_out_of_it() {
    let space = Space::new();
    let archive = space.package("p", "1", &[("bin/run", "x"), ("root/lib/a", "a")]);
    space.open().install("p", &*archive).unwrap();
    let outside = space.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "precious").unwrap();
    fs::remove_dir_all(space.dest().join("root/lib")).unwrap();
    symlink(&outside, space.dest().join("root/lib")).unwrap();
    let current = Installed::find(&space.dest()).unwrap().unwrap().current;
    let verified = verify(&space.dest(), &current, &[]).unwrap();
    assert_eq!(verified.differences[0].fault, Fault::Kind);
    let error = space.open().install("p", &*archive).unwrap_err();
    assert!(error.to_string().contains("it is a symbolic link"), "{error}");
    let destination = space.open();
    let mut transaction = destination.begin().unwrap();
    transaction.remove("p").unwrap();
    transaction.commit("uninstall p", [], |_| Ok(())).unwrap();
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "precious");
}

#[test]
#[ignore = "needs root"]
fn an_installation_of_another_user_is_refused_as_root() {
    let space = Space::new();
    space.open().install("p", &*space.package("p", "1", &[("bin/run", "x")])).unwrap();
    for path in ["generations", "generations/1"] {
        let path = space.dest().join(path);
        std::os::unix::fs::chown(&path, Some(12345), Some(12345)).unwrap();
        let error = Destination::open(&space.dest()).unwrap_err();
        assert!(matches!(error, InstallError::OtherUser { owner: 12345, .. }), "{error}");
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
    }
    space.open();
}

/// Archives in a folder, and what is wrong with others.
mod repository {
    use pynbox_build::repository::archives::Folder;

    use super::*;

    fn read(repo: &Path) -> Folder {
        Folder::read(repo, &Target("wasm32-wasi".into())).unwrap()
    }

    fn names(folder: &Folder) -> Vec<String> {
        let file = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        folder.unusable.iter().map(|unusable| file(&unusable.path)).collect()
    }

    #[test]
    fn the_latest_version_is_taken() {
        let space = Space::new();
        let repo = space.folder.path().join("repo");
        fs::create_dir(&repo).unwrap();
        for (at, version) in ["2.9", "2.10", "2.10rc1", "2.9.14+dfsg"].into_iter().enumerate() {
            fs::write(repo.join(format!("{at}.tar.zst")), space.package("p", version, &[("root/a", version)])).unwrap();
        }
        fs::write(repo.join("q.tar.zst"), space.package_for("p", "3", "x86_64-nacl", &[("root/a", "3")])).unwrap();
        let folder = read(&repo);
        assert_eq!(folder.find("p", None).unwrap().version, "2.10");
        assert_eq!(folder.find("p", Some("2.9")).unwrap().version, "2.9");
        assert!(folder.find("p", Some("3")).is_none() && folder.find("q", None).is_none());
        assert_eq!(folder.other_targets, [Target("x86_64-nacl".into())]);
        assert!(folder.contradicting(folder.find("p", None).unwrap()).is_none());
        fs::write(repo.join("other.tar.zst"), space.package("p", "2.10", &[("root/a", "other")])).unwrap();
        let folder = read(&repo);
        assert!(folder.contradicting(folder.find("p", None).unwrap()).is_some());
    }

    #[test]
    fn what_is_no_archive_does_not_block_the_others() {
        let space = Space::new();
        let repo = space.folder.path().join("repo");
        fs::create_dir(&repo).unwrap();
        let target = Target("wasm32-wasi".into());
        let good = space.package("good", "1", &[("root/a", "a")]);
        fs::write(repo.join("good-1-wasm32-wasi.tar.zst"), &good).unwrap();
        fs::write(repo.join("bad-1-wasm32-wasi.tar.zst"), &good[..20]).unwrap();
        fs::write(repo.join("bad-more-1-wasm32-wasi.tar.zst"), "no archive").unwrap();
        fs::write(repo.join("good-2-wasm32-wasi.tar.zst"), "").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            repo.join("fifo-1-wasm32-wasi.tar.zst"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        fs::create_dir(repo.join("folder-1-wasm32-wasi.tar.zst")).unwrap();
        symlink("nowhere", repo.join("link-1-wasm32-wasi.tar.zst")).unwrap();
        symlink("fifo-1-wasm32-wasi.tar.zst", repo.join("link-2-wasm32-wasi.tar.zst")).unwrap();
        symlink("good-1-wasm32-wasi.tar.zst", repo.join("alias.tar.zst")).unwrap();
        let folder = read(&repo);
        let expected = ["bad-1", "bad-more-1", "fifo-1", "folder-1", "good-2", "link-1", "link-2"];
        assert_eq!(names(&folder), expected.map(|name| format!("{name}-wasm32-wasi.tar.zst")));
        let fifo = &folder.unusable[2].error;
        assert!(fifo.to_string().contains("it is no regular file"), "{fifo}");
        assert_eq!(folder.find("good", None).unwrap().version, "1");

        let blamed = |name: &str, version| folder.unusable(name, version, &target).is_some();
        assert!(blamed("bad", None) && blamed("bad", Some("1")) && blamed("fifo", None));
        assert!(!blamed("bad", Some("2")), "that version was never there");
        assert!(blamed("good", None), "a later one would have been taken");
        assert!(!blamed("good", Some("1")), "another one was asked for");
        assert!(!blamed("mor", None) && !blamed("more", None));
    }
}

/// Names, links and records of a gigabyte, a description that never ends, and content beyond what
/// is listed: all well compressed.
#[test]
fn what_a_small_package_makes_of_itself_is_bounded() {
    use std::io::Read as _;
    let endless = |kind: tar::EntryType, name: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(1 << 30);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        std::io::repeat(b'a').take(32 << 20).read_to_end(&mut bytes).unwrap();
        zstd::encode_all(bytes.as_slice(), 1).unwrap()
    };
    let space = Space::new();
    for kind in [
        tar::EntryType::GNULongName,
        tar::EntryType::GNULongLink,
        tar::EntryType::XHeader,
        tar::EntryType::XGlobalHeader,
    ] {
        let archive = endless(kind, "x");
        assert!(archive.len() < 10_000);
        let message = space.open().install("bomb", &*archive).unwrap_err().to_string();
        assert!(message.contains("have more than 65536 bytes"), "{message}");
    }
    let message =
        space.open().install("bomb", &*endless(tar::EntryType::Regular, "package.json")).unwrap_err().to_string();
    assert!(message.contains("has more than 16777216 bytes"), "{message}");
    // After the end, too.
    let mut archive = zstd::decode_all(&*forged(
        tree(&[("root/a", file(b"a"))]),
        &[("content/root/a", tar::EntryType::Regular, b"a", "")],
    ))
    .unwrap();
    archive.resize(archive.len() + (2 << 20), 0);
    let archive = zstd::encode_all(archive.as_slice(), 1).unwrap();
    let message = space.open().install("bomb", &*archive).unwrap_err().to_string();
    assert!(message.contains("follow the mark that ends the archive"), "{message}");
    assert!(snapshot(&space.dest()).iter().all(|(path, _)| !path.ends_with("root/a")));
}

#[test]
fn names_in_packages_reach_no_terminal_as_they_are() {
    let space = Space::new();
    let escape = "root/\u{1b}[31mx\u{202e}";
    for archive in [
        forged(tree(&[(escape, file(b"a"))]), &[(&format!("content/{escape}"), tar::EntryType::Regular, b"a", "")]),
        forged(tree(&[("root/a", file(b"a"))]), &[(&format!("content/{escape}"), tar::EntryType::Regular, b"a", "")]),
        space.package_for("p", "1\u{1b}[1m", "wasm32-wasi", &[]),
        space.package_for("p", "1", "wasm32-\u{9b}1m", &[]),
        space.package_for("p\u{1b}", "1", "wasm32-wasi", &[]),
        zstd::encode_all(&b"\x1b]0;title\x07"[..], 1).unwrap(),
    ] {
        let message = space.open().install("p", &*archive).unwrap_err().to_string();
        assert!(!message.contains(|c: char| c.is_control() || c == '\u{202e}'), "{}", message.escape_debug());
    }
}
