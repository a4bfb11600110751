//! Installs that fail or are killed at every single step.

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

pub(super) fn step() -> io::Result<()> {
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
    let code = destination.path().join(COMPILED);
    transaction.commit(|| {
        // What a loader does: keeps some of what is there, and leaves new code beside it.
        let prepared = step()
            .and_then(|()| fs::create_dir_all(&code))
            .and_then(|()| step())
            .and_then(|()| fs::copy(destination.path().join("bin/run"), code.join("of-run")).map(drop));
        prepared.and_then(|()| step()).map_err(InstallError::io("write", &code))
    })?;
    Ok(outcomes)
}

const NEW: [&str; 3] = ["a-2", "b-2", "c-2"];

/// All that is below a folder: kinds, modes, bytes, targets; but for what says nothing of packages.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(folder).unwrap().to_path_buf();
        if path == Path::new("packages/.lock") || path == Path::new("packages/.unprepared") {
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
    all
}

#[test]
fn everything_that_can_change_does() {
    let space = Space::new();
    let dest = space.old("dest");
    assert_eq!(install(space.folder.path(), &dest, &["a-1", "b-1"]).unwrap(), [Outcome::Present; 2]);
    let unchanged = fs::metadata(dest.join("root/same")).unwrap();
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
    for gone in ["root/goes/far", "root/empty-goes", "packages/.transaction"] {
        assert_eq!(bytes(gone), None, "{gone}");
    }
    // What is as it was is not even touched: code that was compiled of it stays known.
    assert_eq!(fs::metadata(dest.join("root/same")).unwrap().ctime_nsec(), unchanged.ctime_nsec());
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
            Err(error) => {
                assert!(matches!(error, InstallError::Io { .. }) && !error.to_string().contains("put back"), "{error}");
            }
        }
        assert_eq!(snapshot(&dest), before, "step {at}");
    }
}

testing::helpers!("install" => install_and_die);

/// Installs, and fails and is killed at the steps that the argument names: `FAIL KILL FOLDER`.
fn install_and_die() {
    let task = helper::argument();
    let words: Vec<_> = task.splitn(3, ' ').collect();
    let (fail, kill) = (words[0].parse().unwrap(), words[1].parse().unwrap());
    let folder = Path::new(words[2]);
    FAULTS.set((fail, kill));
    let installed = install(folder, &folder.join("dest"), &NEW);
    assert_eq!(installed.is_ok(), fail == usize::MAX);
}

/// Installs in a process that fails and is killed at these steps; gives whether it lived.
fn killed(space: &Space, fail: usize, kill: usize) -> bool {
    let status = helper::command("install", format!("{fail} {kill} {}", space.folder.path().display()))
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
    let mut whole = 0;
    for at in 0.. {
        if killed(&space, usize::MAX, at) {
            assert!(at > 50, "{at}");
            break;
        }
        drop(Destination::open(&dest).unwrap());
        let now = snapshot(&dest);
        if now == after {
            whole += 1;
            install(space.folder.path(), &dest, &NEW).unwrap();
            fs::remove_dir_all(&dest).unwrap();
            space.old("dest");
        } else {
            assert_eq!(now, before, "step {at}");
        }
    }
    assert_eq!(whole, 0, "nothing is left to do after the packages are installed");
    assert_eq!(snapshot(&dest), after);
}

#[test]
fn a_kill_while_a_failed_install_is_undone_is_made_good_by_the_next() {
    let space = Space::new();
    let dest = space.old("dest");
    let before = snapshot(&dest);
    // The last step of all, before which everything is done and must be undone.
    let mut last = 0;
    FAULTS.set((usize::MAX, usize::MAX));
    let other = space.old("other");
    loop {
        FAULTS.set((last, usize::MAX));
        if install(space.folder.path(), &other, &NEW).is_ok() {
            break;
        }
        last += 1;
    }
    FAULTS.set((usize::MAX, usize::MAX));
    let mut undoing = 0;
    while !killed(&space, last - 1, last + undoing) {
        drop(Destination::open(&dest).unwrap());
        assert_eq!(snapshot(&dest), before, "step {undoing}");
        undoing += 1;
    }
    assert!(undoing > 20, "{undoing}");
    assert_eq!(snapshot(&dest), before);
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
        let loader = dest.join("bin/run");
        let refused = transaction.commit(|| {
            assert_eq!(fs::read_to_string(&loader).unwrap(), "two");
            fs::remove_dir_all(dest.join(COMPILED)).or_else(|_| fs::create_dir(dest.join(COMPILED))).unwrap();
            Err(InstallError::Unprepared { loader: loader.clone(), how: "it took too long".to_owned(), status: None })
        });
        assert!(matches!(refused, Err(InstallError::Unprepared { .. })), "{refused:?}");
        drop(destination);
        assert_eq!(snapshot(&dest), before);
        // The very files, by which the loader knows programs.
        assert_eq!(fs::metadata(dest.join("compiled/other")).map(|code| (code.ino(), code.ctime_nsec())).ok(), code);
    }
}
