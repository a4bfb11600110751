//! What is taken of a project and of a folder that a user puts in a source's place: sources, and
//! nothing that other programs do to them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use build_graph::dsl::{Materials, Override, debian, recipe};
use build_graph::{Entry, Tree};
use pynbox_build::build::seen::{CLOCK_STEP, EarlierFolders};
use pynbox_build::project::{Project, ProjectError};
use pynbox_build::recipes;
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
        write(&folder.path().join("project/pynbox.toml"), b"");
        Self { folder, store }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn load(&self, overrides: &[String]) -> Result<Materials, ProjectError> {
        let project = Project::find(&self.at("project"))?;
        Ok(project.load(&recipes::bundle(), overrides, &self.store)?.materials)
    }

    /// The tree of a folder in zlib's place.
    fn override_tree(&self, folder: &str) -> Tree {
        let option = format!("zlib={}", self.at(folder).display());
        match self.load(&[option]).unwrap().overrides.remove("zlib") {
            Some(Override::Folder(tree)) => tree,
            other => panic!("{other:?}"),
        }
    }

    /// A copy of this project's own recipes and files.
    fn copy_of_ours(&self) {
        for folder in ["build-graph/src", "recipes/src", "recipes/files/tests", "patches"] {
            let to = self.at("project").join(folder);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
        }
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn version_control_and_editors_are_no_part_of_an_override() {
    let space = Space::new();
    for (name, text) in [("zlib.h", "h"), ("contrib/x.c", "c"), (".gitignore", "*.o"), (".github/build.yml", "y")] {
        write(&space.at("z").join(name), text.as_bytes());
    }
    let before = space.override_tree("z");
    assert_eq!(before.len(), 4);
    for name in [
        ".git/config",
        ".git/objects/aa/b",
        ".hg/store",
        "contrib/.svn/entries",
        "zlib.h~",
        ".zlib.h.swp",
        "contrib/4913",
        "contrib/#x.c#",
        "contrib/.x.c.un~",
        "CVS/Root",
        ".DS_Store",
        "contrib/.jj/repo/store",
    ] {
        write(&space.at("z").join(name), b"https://user:TOKEN@example.invalid/");
    }
    // What Emacs makes: a link to nowhere. Vim's file and a checkout's folder can be such things,
    // too.
    symlink("somebody@here.1234", space.at("z/.#zlib.h")).unwrap();
    write(&space.at("z/contrib/.git"), b"gitdir: ../.git/modules/contrib\n");
    assert_eq!(space.override_tree("z").digest(), before.digest());
    // And everything else is.
    write(&space.at("z/new.c"), b"n");
    assert_ne!(space.override_tree("z").digest(), before.digest());
}

#[test]
fn modes_that_a_file_system_makes_up_do_not_matter() {
    let space = Space::new();
    let project = space.at("project");
    write(&project.join("recipes/files/a.py"), b"import os\n");
    write(&project.join("recipes/files/bin/b"), b"#!/bin/sh\n");
    write(&project.join("patches/zlib-1.2.13/wasm32-wasi/0001-a.patch"), b"--- a/x\n");
    let look = |mode: u32| -> Vec<(String, Entry)> {
        for name in ["recipes/files/a.py", "recipes/files/bin/b", "patches/zlib-1.2.13/wasm32-wasi/0001-a.patch"] {
            fs::set_permissions(project.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let files = space.load(&[]).unwrap().files;
        let below = |folder: &str| {
            files.below(folder).map(|(path, entry, _)| (path.to_string(), entry.clone())).collect::<Vec<_>>()
        };
        [below("recipes/files"), below("patches")].concat()
    };
    let usual = look(0o644);
    assert_eq!(look(0o755), usual);
    assert_eq!(look(0o600), usual);
    let executable = |name: &str| {
        usual.iter().any(|(path, entry)| path == name && matches!(entry, Entry::File { executable: true, .. }))
    };
    assert!(executable("bin/b") && !executable("a.py"));
}

#[test]
fn our_own_files_have_the_modes_of_their_beginnings() {
    let tracked = Command::new("git")
        .args(["ls-files", "-s", "recipes/files", "patches", "sandbox"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let Ok(tracked) = tracked else { panic!("git has to be there") };
    for line in String::from_utf8(tracked.stdout).unwrap().lines() {
        let (mode, path) = (line.split(' ').next().unwrap(), line.split('\t').nth(1).unwrap());
        let Ok(bytes) = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)) else { continue };
        assert_eq!(mode == "100755", build_graph::files::is_program(&bytes), "{path}");
    }
}

/// Gives a file the line ends of Windows.
fn to_windows(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace('\n', "\r\n")).unwrap();
}

#[test]
fn line_ends_that_git_changed_are_named_with_what_mends_them() {
    let space = Space::new();
    space.copy_of_ours();
    space.load(&[]).unwrap();
    let expect = |name: &str| {
        let path = space.at("project").join(name);
        let before = fs::read(&path).unwrap();
        to_windows(&path);
        let error = space.load(&[]).err().unwrap();
        assert!(matches!(&error, ProjectError::LineEnds(named) if *named == path), "{error}");
        assert!(error.to_string().contains("git config core.autocrlf false"), "{error}");
        fs::write(&path, before).unwrap();
    };
    expect("recipes/src/packages/zlib.rs");
    expect("recipes/files/tests/bin/test_pynbox");
    let patch = fs::read_dir(space.at("project/patches"))
        .unwrap()
        .flat_map(|recipe| walk(&recipe.unwrap().path()))
        .find(|path| path.extension().is_some_and(|end| end == "patch"))
        .unwrap();
    expect(patch.strip_prefix(space.at("project")).unwrap().to_str().unwrap());
    // A change is a change, whatever its line ends.
    let zlib = space.at("project/recipes/src/packages/zlib.rs");
    fs::write(&zlib, fs::read_to_string(&zlib).unwrap() + "// more\n").unwrap();
    to_windows(&zlib);
    assert!(matches!(space.load(&[]), Err(ProjectError::Stale(_))));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn sources_of_recipes_that_were_not_locked_are_named() {
    let space = Space::new();
    let load = || {
        let pinned = |name| recipe(name, "1.0").source(debian("made-up"));
        let bundle = recipes::bundle().with(pinned("one")).with(pinned("two")).replacing(pinned("zlib"));
        Project::find(&space.at("project")).unwrap().load(&bundle, &[], &space.store)
    };
    let differences = |version: &str| match load().map(drop) {
        Err(ProjectError::Outdated { differences, .. }) => differences.join("; "),
        other => panic!("{version}: {other:?}"),
    };
    let neither = "source `one`: it is not locked; source `two`: it is not locked; source `zlib`: ";
    assert_eq!(differences("no lock file"), format!("{neither}it is not locked"));
    let lock = |version: &str| {
        let pin = |name: &str| {
            let file = format!("made-up_{version}.orig.tar.gz");
            format!(
                "[sources.{name}]\nversion = \"{version}\"\nfile = \"{file}\"\nsha256 = \"{}\"\n\
                 origins = [{{ from = \"debian\", path = \"pool/{file}\" }}]\n",
                "0".repeat(64)
            )
        };
        write(&space.at("project/recipes/locks/sources.toml"), ["one", "two", "zlib"].map(pin).concat().as_bytes());
    };
    lock("0.9");
    assert!(differences("0.9").starts_with("source `one`: version `1.0` is wanted, and `0.9` is locked; source `two`"));
    lock("1.0");
    assert!(load().is_ok());
}

#[test]
fn git_leaves_the_line_ends_of_this_repository() {
    let attributes = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".gitattributes")).unwrap();
    assert!(attributes.lines().any(|line| line == "* -text"));
}

/// A folder that is read again with what an earlier reading found gives the tree that a first
/// reading gives, whatever was done to it in between.
#[test]
fn an_override_that_is_read_again_is_what_is_there() {
    let space = Space::new();
    let at = |path: &str| space.at("z").join(path);
    for number in 0..8 {
        write(&at(&format!("d{}/f{number}", number % 2)), format!("text {number}").as_bytes());
    }
    let project = Project::find(&space.at("project")).unwrap();
    let option = [format!("zlib={}", space.at("z").display())];
    let read = |earlier: &EarlierFolders| {
        std::thread::sleep(2 * CLOCK_STEP);
        let mut loaded = project.load_again(&recipes::bundle(), &option, &space.store, earlier).unwrap();
        let Some(Override::Folder(tree)) = loaded.materials.overrides.remove("zlib") else { panic!("no folder") };
        let trees = loaded.folders.into_iter().map(|(name, folder)| (name, (folder, Arc::new(tree.clone())))).collect();
        let seen = loaded.seen.into_iter().map(|seen| (seen.path().to_path_buf(), seen)).collect();
        (tree, EarlierFolders { trees, seen })
    };
    let touch = |arguments: &[&str]| {
        assert!(Command::new("touch").args(arguments).current_dir(space.at("z")).status().unwrap().success());
    };
    let edits: &[(&str, &dyn Fn())] = &[
        ("nothing", &|| ()),
        ("other bytes of the same length", &|| write(&at("d0/f0"), b"TEXT 0")),
        ("other bytes with the time of before", &|| {
            touch(&["-r", "d0/f2", "../time"]);
            write(&at("d0/f2"), b"TEXT 2");
            touch(&["-r", "../time", "d0/f2"]);
        }),
        ("two files in each other's place", &|| {
            fs::rename(at("d0/f4"), at("other")).unwrap();
            fs::rename(at("d0/f6"), at("d0/f4")).unwrap();
            fs::rename(at("other"), at("d0/f6")).unwrap();
        }),
        ("two folders in each other's place", &|| {
            fs::rename(at("d0"), at("other")).unwrap();
            fs::rename(at("d1"), at("d0")).unwrap();
            fs::rename(at("other"), at("d1")).unwrap();
        }),
        ("a mode", &|| fs::set_permissions(at("d1/f0"), fs::Permissions::from_mode(0o755)).unwrap()),
        ("a file that is gone", &|| fs::remove_file(at("d1/f2")).unwrap()),
        ("a link in a file's place", &|| {
            fs::remove_file(at("d1/f0")).unwrap();
            symlink("f4", at("d1/f0")).unwrap();
        }),
        ("a file in a link's place", &|| {
            fs::remove_file(at("d1/f0")).unwrap();
            write(&at("d1/f0"), b"text 0");
        }),
        ("a folder in a file's place", &|| {
            fs::remove_file(at("d1/f4")).unwrap();
            write(&at("d1/f4/below"), b"");
        }),
        ("a new file", &|| write(&at("new/file"), b"new")),
        ("a second name", &|| fs::hard_link(at("new/file"), at("new/second")).unwrap()),
    ];
    let mut earlier = read(&EarlierFolders::default()).1;
    let mut trees = BTreeMap::new();
    for (what, edit) in edits {
        edit();
        let (tree, now) = read(&earlier);
        assert_eq!(tree, read(&EarlierFolders::default()).0, "after {what}");
        trees.insert(tree.digest(), *what);
        earlier = now;
    }
    assert_eq!(trees.len(), edits.len(), "{trees:?}");
    // Another folder of the same source is read, whatever is known of this one.
    write(&space.at("other/d0/f0"), b"");
    let option = [format!("zlib={}", space.at("other").display())];
    let mut loaded = project.load_again(&recipes::bundle(), &option, &space.store, &earlier).unwrap();
    let Some(Override::Folder(tree)) = loaded.materials.overrides.remove("zlib") else { panic!("no folder") };
    assert_eq!(tree.len(), 1);
}

/// A file is not read again if nothing of it has changed.
#[test]
fn what_has_not_changed_of_an_override_is_not_read_again() {
    let space = Space::new();
    write(&space.at("z/file"), b"text");
    let project = Project::find(&space.at("project")).unwrap();
    let option = [format!("zlib={}", space.at("z").display())];
    let loaded = project.load(&recipes::bundle(), &option, &space.store).unwrap();
    // What an earlier reading is said to have found is taken on trust.
    let mut tree = Tree::new();
    let entry = space.store.put_bytes(b"TEXT", false).unwrap();
    tree.insert("file".parse().unwrap(), entry).unwrap();
    let trees = BTreeMap::from([("zlib".to_owned(), (space.at("z").canonicalize().unwrap(), Arc::new(tree.clone())))]);
    let seen = loaded.seen.into_iter().map(|seen| (seen.path().to_path_buf(), seen)).collect();
    let earlier = EarlierFolders { trees, seen };
    let mut again = project.load_again(&recipes::bundle(), &option, &space.store, &earlier).unwrap();
    let Some(Override::Folder(found)) = again.materials.overrides.remove("zlib") else { panic!("no folder") };
    assert_eq!(found, tree);
}
