//! Installs, rollbacks and removals that fail or are killed at every single step.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;

use build_graph::node::{Package, Target};
use tempfile::TempDir;
use testing::helper;

use super::*;
use crate::store::Store;

thread_local! {
    /// The steps until changes to the disk fail, and until the process is killed.
    static FAULTS: Cell<(usize, usize)> = const { Cell::new((usize::MAX, usize::MAX)) };
}

pub(crate) fn step() -> io::Result<()> {
    let (fail, kill) = FAULTS.get();
    FAULTS.set((fail.saturating_sub(1), kill.saturating_sub(1)));
    if kill == 0 {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    // One step only: what undoes is not to fail.
    if fail == 0 {
        FAULTS.set((usize::MAX, FAULTS.get().1));
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

enum Is {
    File(&'static str),
    Link(&'static str),
    Empty,
}
use Is::{Empty, File as Text, Link};

/// Archives of two packages, and of later versions in which everything that can change does.
struct Space {
    folder: TempDir,
}

impl Space {
    fn new() -> Self {
        let space = Self { folder: tempfile::tempdir().unwrap() };
        let store = Store::open(&space.folder.path().join("store")).unwrap();
        let same = ("root/both", Text("both"));
        let old = [
            (
                "a",
                vec![
                    ("bin/run", Text("one")),
                    ("root/same", Text("same")),
                    ("root/size", Text("size 1")),
                    ("root/moves", Text("moves")),
                    ("root/goes/far/away", Text("away")),
                    ("root/folder-to-file/x/y", Text("y")),
                    ("root/folder-to-link/x", Text("x")),
                    ("root/file-to-folder", Text("file")),
                    ("root/link-to-folder", Link("folder-to-link")),
                    ("root/link-to-file", Link("same")),
                    ("root/file-to-empty", Text("file")),
                    ("root/empty-to-file", Empty),
                    ("root/empty-goes/x", Empty),
                    same,
                ],
            ),
            ("b", vec![("root/b", Text("b")), ("root/both", Text("both"))]),
        ];
        let new = [
            (
                "a",
                vec![
                    ("bin/run", Text("two")),
                    ("root/same", Text("same")),
                    ("root/size", Text("size 2")),
                    ("root/folder-to-file", Text("file now")),
                    ("root/folder-to-link", Link("same")),
                    ("root/file-to-folder/x/y", Text("y")),
                    ("root/link-to-folder/x", Text("x")),
                    ("root/link-to-file", Text("file")),
                    ("root/file-to-empty", Empty),
                    ("root/empty-to-file", Text("file")),
                    ("root/new/and/deep", Text("deep")),
                    ("root/new-empty", Empty),
                    ("root/both", Text("both 2")),
                ],
            ),
            ("b", vec![("root/b", Link("both")), ("root/moves", Text("moves")), ("root/both", Text("both 2"))]),
            ("c", vec![("root/c", Text("c")), ("root/both", Text("both 2"))]),
        ];
        for (version, packages) in [("1", old.into_iter().collect::<Vec<_>>()), ("2", new.into_iter().collect())] {
            for (name, files) in packages {
                let mut content = Tree::new();
                for (path, is) in files {
                    let entry = match is {
                        Text(text) => store.put_bytes(text.as_bytes(), path.starts_with("bin/")).unwrap(),
                        Link(target) => Entry::Symlink { target: target.parse().unwrap() },
                        Empty => Entry::EmptyDirectory,
                    };
                    content.insert(RelPath::new(path).unwrap(), entry).unwrap();
                }
                let package = Package {
                    name: name.into(),
                    version: version.into(),
                    target: Target("wasm32-wasi".into()),
                    requires: Vec::new(),
                    content: Vec::new(),
                };
                let file = File::create(space.folder.path().join(format!("{name}-{version}"))).unwrap();
                package::write(&package, &content, &store, file).unwrap();
            }
        }
        space
    }

    /// A folder with the old versions and files of the user's.
    fn old(&self, name: &str) -> PathBuf {
        let dest = self.folder.path().join(name);
        install(self.folder.path(), &dest, &["a-1", "b-1"]).unwrap();
        fs::write(dest.join("root/goes/mine"), "mine").unwrap();
        fs::write(dest.join("mine"), "mine").unwrap();
        fs::write(dest.join("compiled/other"), "code").unwrap();
        dest
    }
}

fn install(archives: &Path, dest: &Path, names: &[&str]) -> Result<Vec<Outcome>, InstallError> {
    let destination = Destination::open(dest)?;
    let mut transaction = destination.begin()?;
    let mut outcomes = Vec::new();
    for name in names {
        outcomes.push(transaction.add(name, File::open(archives.join(name)).unwrap())?);
    }
    transaction.commit("install", [], |new| {
        // What a loader does: keeps some of what is there, and leaves new code beside it.
        let code = new.join(COMPILED);
        let prepared = step()
            .and_then(|()| fs::create_dir_all(&code))
            .and_then(|()| step())
            .and_then(|()| fs::copy(new.join("bin/run"), code.join("of-run")).map(drop));
        prepared.and_then(|()| step()).map_err(InstallError::io("write", &code))
    })?;
    Ok(outcomes)
}

const NEW: [&str; 3] = ["a-2", "b-2", "c-2"];

/// All that shows in DEST: kinds, modes, bytes, targets; but for what says nothing of packages.
fn snapshot(dest: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for name in generation::names(dest).unwrap() {
        if name == generation::FOLDER {
            continue;
        }
        for entry in walkdir::WalkDir::new(dest.join(name)) {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(dest).unwrap().to_path_buf();
            if path.starts_with(generation::PACKAGES) && path.extension() == Some("json".as_ref()) {
                continue;
            }
            let metadata = entry.metadata().unwrap();
            let bytes = if metadata.is_file() {
                fs::read(entry.path()).unwrap()
            } else if metadata.is_symlink() {
                fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes()
            } else {
                Vec::new()
            };
            all.insert(path, (metadata.mode(), bytes));
        }
    }
    all
}

/// The numbers of the generations, after what was not finished is removed; nothing else is there.
fn generations(dest: &Path) -> Vec<u64> {
    drop(Destination::open(dest).unwrap());
    let mut names = generation::names(&dest.join(generation::FOLDER)).unwrap();
    names.retain(|name| name != ".lock" && name != "current");
    let mut numbers: Vec<u64> = names.iter().map(|name| name.parse().expect(name)).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn everything_that_can_change_does() {
    let space = Space::new();
    let dest = space.old("dest");
    assert_eq!(install(space.folder.path(), &dest, &["a-1", "b-1"]).unwrap(), [Outcome::Present; 2]);
    let changed = |path: &str| {
        let metadata = fs::metadata(dest.join(path)).unwrap();
        (metadata.ino(), metadata.mtime_nsec(), metadata.ctime_nsec())
    };
    let unchanged = changed("root/same");
    let code = changed("compiled/other");
    let outcomes = install(space.folder.path(), &dest, &NEW).unwrap();
    assert_eq!(outcomes, [Outcome::Replaced, Outcome::Replaced, Outcome::Installed]);
    let after = snapshot(&dest);
    let bytes = |path: &str| after.get(Path::new(path)).map(|(_, bytes)| &**bytes);
    for (path, text) in [
        ("bin/run", "two"),
        ("root/size", "size 2"),
        ("root/moves", "moves"),
        ("root/folder-to-file", "file now"),
        ("root/folder-to-link", "same"),
        ("root/file-to-folder/x/y", "y"),
        ("root/link-to-folder/x", "x"),
        ("root/link-to-file", "file"),
        ("root/file-to-empty", ""),
        ("root/empty-to-file", "file"),
        ("root/new/and/deep", "deep"),
        ("root/new-empty", ""),
        ("root/both", "both 2"),
        ("root/b", "both"),
        ("root/goes/mine", "mine"),
        ("mine", "mine"),
        ("compiled/of-run", "two"),
        ("compiled/other", "code"),
    ] {
        assert_eq!(bytes(path), Some(text.as_bytes()), "{path}");
    }
    for gone in ["root/goes/far", "root/empty-goes"] {
        assert_eq!(bytes(gone), None, "{gone}");
    }
    // The generation before is not even touched: code that was compiled of it stays known.
    assert_eq!(changed("generations/1/root/same"), unchanged);
    assert_eq!(changed("generations/1/compiled/other"), code);
    assert_ne!(changed("root/same"), unchanged, "a copy");
    // What is the user's is one file in both.
    assert_eq!(changed("generations/1/root/goes/mine"), changed("root/goes/mine"));
    assert_eq!(generations(&dest), [1, 2]);
    assert!(install(space.folder.path(), &dest, &NEW).unwrap().iter().all(|outcome| *outcome == Outcome::Present));
    // And back.
    fs::remove_file(dest.join("root/goes/mine")).unwrap();
    assert!(install(space.folder.path(), &dest, &["a-1", "b-1"]).is_err(), "c-2 has another `root/both`");
    assert_eq!(bytes("root/both"), Some(&b"both 2"[..]));
}

#[test]
fn an_error_at_any_step_leaves_everything_as_it_was() {
    let space = Space::new();
    let dest = space.old("dest");
    let before = snapshot(&dest);
    for at in 0.. {
        FAULTS.set((at, usize::MAX));
        let installed = install(space.folder.path(), &dest, &NEW);
        FAULTS.set((usize::MAX, usize::MAX));
        match installed {
            Ok(_) => {
                assert!(at > 50, "{at}");
                return;
            }
            Err(error) => assert!(matches!(error, InstallError::Io { .. }), "{error}"),
        }
        assert_eq!(snapshot(&dest), before, "step {at}");
        assert_eq!(generations(&dest), [1], "step {at}");
    }
}

testing::helpers!("change" => change_and_die);

/// Does something, and is killed at the step that the argument names: `WHAT KILL FOLDER`.
fn change_and_die() {
    let task = helper::argument();
    let words: Vec<_> = task.splitn(3, ' ').collect();
    let folder = Path::new(words[2]);
    let dest = folder.join("dest");
    FAULTS.set((usize::MAX, words[1].parse().unwrap()));
    match words[0] {
        "install" => drop(install(folder, &dest, &NEW).unwrap()),
        "rollback" => drop(Destination::open(&dest).unwrap().rollback(None).unwrap()),
        "prune" => drop(Destination::open(&dest).unwrap().prune(0).unwrap()),
        _ => drop(Destination::open(&dest).unwrap()),
    }
}

/// Does something in a process that is killed at this step; gives whether it lived.
fn killed(space: &Space, what: &str, kill: usize) -> bool {
    let status = helper::command("change", format!("{what} {kill} {}", space.folder.path().display()))
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.signal() == Some(9), "{status}");
    status.success()
}

#[test]
fn a_kill_at_any_step_leaves_all_or_nothing() {
    let space = Space::new();
    let dest = space.old("dest");
    let before = snapshot(&dest);
    let other = space.old("other");
    install(space.folder.path(), &other, &NEW).unwrap();
    let after = snapshot(&other);
    for at in 0.. {
        if killed(&space, "install", at) {
            assert!(at > 50, "{at}");
            break;
        }
        // Also before anybody has cleaned up.
        assert_eq!(snapshot(&dest), before, "step {at}");
        assert_eq!(generations(&dest), [1], "step {at}");
        assert_eq!(snapshot(&dest), before, "step {at}");
    }
    assert_eq!(snapshot(&dest), after);
    assert_eq!(generations(&dest), [1, 2]);
}

#[test]
fn a_kill_at_any_step_of_a_rollback_leaves_all_or_nothing() {
    let space = Space::new();
    let dest = space.old("dest");
    let old = snapshot(&dest);
    install(space.folder.path(), &dest, &NEW).unwrap();
    // What is the user's goes along, as it is now.
    fs::write(dest.join("root/later"), "later").unwrap();
    fs::create_dir(dest.join("root/made")).unwrap();
    fs::write(dest.join("root/made/deep"), "deep").unwrap();
    fs::remove_file(dest.join("root/goes/mine")).unwrap();
    fs::write(dest.join("root/goes/new"), "new").unwrap();
    fs::rename(dest.join("root/goes/new"), dest.join("root/goes/mine")).unwrap();
    let new = snapshot(&dest);
    let mut steps = 0;
    while !killed(&space, "rollback", steps) {
        assert_eq!(snapshot(&dest), new, "step {steps}");
        assert_eq!(generations(&dest), [1, 2], "step {steps}");
        steps += 1;
    }
    assert!(steps > 3, "{steps}");
    let mut expected = old;
    for path in ["root/later", "root/made", "root/made/deep", "root/goes/mine"] {
        expected.insert(path.into(), new[Path::new(path)].clone());
    }
    assert_eq!(snapshot(&dest), expected);
    // What the user removes stays removed, and is not taken for what would be lost.
    fs::remove_file(dest.join("root/later")).unwrap();
    assert_eq!(Destination::open(&dest).unwrap().rollback(None).unwrap().number, 2);
    assert!(!dest.join("root/later").exists() && dest.join("root/made/deep").exists());
    fs::remove_file(dest.join("root/made/deep")).unwrap();
    let (pruned, kept) = Destination::open(&dest).unwrap().prune(0).unwrap();
    assert_eq!((pruned.len(), kept), (1, Vec::new()));
}

#[test]
fn a_kill_at_any_step_of_a_removal_leaves_what_counts() {
    let space = Space::new();
    let dest = space.old("dest");
    install(space.folder.path(), &dest, &NEW).unwrap();
    let before = snapshot(&dest);
    let mut steps = 0;
    while !killed(&space, "prune", steps) {
        assert_eq!(snapshot(&dest), before, "step {steps}");
        steps += 1;
    }
    assert!(steps > 1, "{steps}");
    assert_eq!(generations(&dest), [2]);
    assert_eq!(snapshot(&dest), before);
}

/// Makes of an installation what earlier programs made.
fn without_generations(dest: &Path) {
    let first = dest.join("generations/1");
    for name in generation::names(&first).unwrap() {
        fs::remove_file(dest.join(&name)).unwrap();
        fs::rename(first.join(&name), dest.join(&name)).unwrap();
    }
    fs::remove_dir_all(dest.join("generations")).unwrap();
    fs::remove_file(dest.join("packages/generation.json")).unwrap();
    fs::create_dir_all(dest.join("packages/.staging/left")).unwrap();
}

#[test]
fn an_installation_of_an_earlier_program_becomes_a_generation_whatever_interrupts() {
    let space = Space::new();
    let dest = space.old("dest");
    let before = snapshot(&dest);
    without_generations(&dest);
    let known = |path: &str| {
        let metadata = fs::metadata(dest.join(path)).unwrap();
        (metadata.ino(), metadata.mtime_nsec(), metadata.ctime_nsec())
    };
    let files = ["bin/run", "root/same", "compiled/other", "mine"].map(|path| (path, known(path)));
    let mut steps = 0;
    while !killed(&space, "open", steps) {
        for (path, was) in files {
            assert_eq!(known(path), was, "step {steps}");
        }
        steps += 1;
    }
    assert!(steps > 6, "{steps}");
    assert_eq!(snapshot(&dest), before);
    assert_eq!(generations(&dest), [1]);
    for (path, was) in files {
        assert_eq!(known(path), was, "what compiled code is known by");
    }
    install(space.folder.path(), &dest, &NEW).unwrap();
    // Once half of it is moved, another program goes on.
    let other = space.old("other");
    without_generations(&other);
    FAULTS.set((4, usize::MAX));
    Destination::open(&other).unwrap_err();
    FAULTS.set((usize::MAX, usize::MAX));
    drop(Destination::open(&other).unwrap());
    assert_eq!(snapshot(&other), before);
}

#[test]
fn a_link_of_the_user_leads_no_removal_out_of_the_folder() {
    let space = Space::new();
    let dest = space.old("dest");
    let outside = space.folder.path().join("outside");
    fs::create_dir_all(outside.join("far")).unwrap();
    fs::write(outside.join("far/away"), "precious").unwrap();
    fs::remove_dir_all(dest.join("root/goes")).unwrap();
    symlink(&outside, dest.join("root/goes")).unwrap();
    install(space.folder.path(), &dest, &NEW).unwrap();
    assert_eq!(fs::read_to_string(outside.join("far/away")).unwrap(), "precious");
}

#[test]
fn what_can_not_be_prepared_is_not_installed() {
    let space = Space::new();
    for old in [true, false] {
        let dest = if old { space.old("dest") } else { space.folder.path().join("new") };
        drop(Destination::open(&dest).unwrap());
        let before = snapshot(&dest);
        let code = fs::metadata(dest.join("compiled/other")).map(|code| (code.ino(), code.ctime_nsec())).ok();
        let destination = Destination::open(&dest).unwrap();
        let mut transaction = destination.begin().unwrap();
        transaction.add("a-2", File::open(space.folder.path().join("a-2")).unwrap()).unwrap();
        transaction.add("b-2", File::open(space.folder.path().join("b-2")).unwrap()).unwrap();
        let refused = transaction.commit("install", [], |new| {
            let loader = new.join("bin/run");
            assert_eq!(fs::read_to_string(&loader).unwrap(), "two");
            fs::remove_dir_all(new.join(COMPILED)).or_else(|_| fs::create_dir(new.join(COMPILED))).unwrap();
            Err(InstallError::Unprepared { loader, how: "it took too long".to_owned(), status: None })
        });
        assert!(matches!(refused, Err(InstallError::Unprepared { .. })), "{refused:?}");
        drop(destination);
        assert_eq!(snapshot(&dest), before);
        // The very files, by which the loader knows programs.
        assert_eq!(fs::metadata(dest.join("compiled/other")).map(|code| (code.ino(), code.ctime_nsec())).ok(), code);
    }
}

#[test]
fn a_removed_package_leaves_what_others_and_the_user_have() {
    let space = Space::new();
    let dest = space.old("dest");
    let before = snapshot(&dest);
    let destination = Destination::open(&dest).unwrap();
    let mut transaction = destination.begin().unwrap();
    transaction.remove("a").unwrap();
    assert!(matches!(transaction.remove("c"), Err(InstallError::NotInstalled { .. })));
    assert_eq!(transaction.commit("uninstall a", [], |_| Ok(())).unwrap(), Some(2));
    let after = snapshot(&dest);
    let left: Vec<_> = after.keys().filter(|path| !path.is_dir()).filter_map(|path| path.to_str()).collect();
    let files: Vec<_> = left.into_iter().filter(|path| dest.join(path).is_file()).collect();
    let expected = ["compiled/of-run", "compiled/other", "mine", "packages/b.installed", "root/b", "root/both"];
    assert_eq!(files, [&expected[..], &["root/goes/mine"]].concat());
    assert!(!dest.join("bin").exists(), "the link has gone with the folder");
    assert_eq!(destination.rollback(Some(1)).unwrap().number, 1);
    assert_eq!(snapshot(&dest), before);
}
