//! Patches that git and GNU diff make of edits that are made up, whole and changed, against what
//! `git am`, `git apply` and GNU patch make of them.
//!
//! `PYNBOX_TEST_CASES=10000 cargo test --release --test patch property` tries more.

use std::fs;
use std::path::Path;

use build_graph::{Entry, RelPath, Tree};
use formats::archive::{BlobSink, MemoryBlobs};
use formats::patch::{PatchError, apply};
use proptest::prelude::*;

use testing::trees::{self, Node, Nodes, cases, insert, name, node, nodes, run, tree};

/// An edit of a tree. Indices choose among what is there.
#[derive(Debug, Clone)]
enum Edit {
    Add(String, Node),
    Remove(prop::sample::Index),
    Rename(prop::sample::Index, String),
    Copy(prop::sample::Index, String),
    Swap(prop::sample::Index, prop::sample::Index),
    Mode(prop::sample::Index),
    Line(prop::sample::Index, prop::sample::Index, Option<String>),
    LastLineFeed(prop::sample::Index),
    Replace(prop::sample::Index, Node),
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<prop::sample::Index>;
    let path = || prop::collection::vec(name(), 1..3).prop_map(|names| names.join("/"));
    prop_oneof![
        2 => (path(), node()).prop_map(|(path, node)| Edit::Add(path, node)),
        2 => index().prop_map(Edit::Remove),
        2 => (index(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => (index(), path()).prop_map(|(from, to)| Edit::Copy(from, to)),
        1 => (index(), index()).prop_map(|(one, two)| Edit::Swap(one, two)),
        2 => index().prop_map(Edit::Mode),
        6 => (index(), index(), prop::option::of("[abc]|-- |é")).prop_map(|(file, line, text)| Edit::Line(file, line, text)),
        2 => index().prop_map(Edit::LastLineFeed),
        1 => (index(), node()).prop_map(|(file, node)| Edit::Replace(file, node)),
    ]
}

/// The tree after an edit. Folders are left alone: git does not keep them.
fn edited(nodes: &Nodes, edit: &Edit) -> Nodes {
    let mut nodes = nodes.clone();
    let chosen = |nodes: &Nodes, index: &prop::sample::Index| {
        let paths: Vec<_> = nodes.keys().cloned().collect();
        (!paths.is_empty()).then(|| index.get(&paths).clone())
    };
    let put = |nodes: &mut Nodes, path: &str, node: Node| {
        if node != Node::Folder && !nodes.contains_key(path) {
            insert(nodes, path.to_owned(), node);
        }
    };
    match edit {
        Edit::Add(path, node) => put(&mut nodes, path, node.clone()),
        Edit::Remove(file) => {
            chosen(&nodes, file).and_then(|path| nodes.remove(&path));
        }
        Edit::Rename(file, to) | Edit::Copy(file, to) => {
            if let Some(from) = chosen(&nodes, file) {
                let node = nodes[&from].clone();
                if matches!(edit, Edit::Rename(..)) && !nodes.contains_key(to) {
                    nodes.remove(&from);
                }
                put(&mut nodes, to, node);
            }
        }
        Edit::Swap(one, two) => {
            if let (Some(one), Some(two)) = (chosen(&nodes, one), chosen(&nodes, two)) {
                let (first, second) = (nodes[&one].clone(), nodes[&two].clone());
                nodes.insert(one, second);
                nodes.insert(two, first);
            }
        }
        Edit::Mode(file) => {
            if let Some(Node::File(_, executable)) = chosen(&nodes, file).and_then(|path| nodes.get_mut(&path)) {
                *executable = !*executable;
            }
        }
        Edit::Line(file, line, text) => {
            if let Some(Node::File(bytes, _)) = chosen(&nodes, file).and_then(|path| nodes.get_mut(&path)) {
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let at = line.index(lines.len() + 1);
                let new = text.as_ref().map(|text| format!("{text}\n"));
                match &new {
                    Some(new) => lines.insert(at, new.as_bytes()),
                    None if at < lines.len() => drop(lines.remove(at)),
                    None => {}
                }
                *bytes = lines.concat();
            }
        }
        Edit::LastLineFeed(file) => {
            if let Some(Node::File(bytes, _)) = chosen(&nodes, file).and_then(|path| nodes.get_mut(&path)) {
                match bytes.pop() {
                    Some(b'\n') | None => {}
                    Some(last) => bytes.extend([last, b'\n']),
                }
            }
        }
        Edit::Replace(file, node) => {
            if let Some(path) = chosen(&nodes, file).filter(|_| *node != Node::Folder) {
                nodes.insert(path, node.clone());
            }
        }
    }
    nodes
}

/// Made-up trees of files: git keeps no empty folders, and a file that holds zeros is no text.
fn files() -> impl Strategy<Value = Nodes> {
    nodes().prop_map(|nodes| nodes.into_iter().filter(|(_, node)| *node != Node::Folder && is_text(node)).collect())
}

fn is_text(node: &Node) -> bool {
    !matches!(node, Node::File(bytes, _) if bytes.contains(&0))
}

fn patched(base: &Nodes, patch: &[u8]) -> Result<Tree, PatchError> {
    let blobs = MemoryBlobs::new();
    for node in base.values() {
        if let Node::File(bytes, executable) = node {
            blobs.put_bytes(bytes, *executable).unwrap();
        }
    }
    apply(&tree(base), &[(RelPath::new("p.patch").unwrap(), patch.to_vec())], &blobs)
}

/// The tree without empty folders.
fn without_folders(tree: &Tree) -> Vec<(String, Entry)> {
    let files = tree.iter().filter(|(_, entry)| **entry != Entry::EmptyDirectory);
    files.map(|(path, entry)| (path.to_string(), entry.clone())).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = run(folder, "git", arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn commit(folder: &Path, nodes: &Nodes) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != ".git") {
        match entry.file_type().unwrap().is_dir() {
            true => fs::remove_dir_all(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
    trees::write(nodes, folder);
    git(folder, &["add", "--all", "--force"]);
    git(folder, &["commit", "--quiet", "--allow-empty", "--message", "edit\n\n- a list\n+ of things"]);
}

/// A repository in which these trees follow each other.
fn repository(trees: &[Nodes]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet", "."]);
    git(folder.path(), &["config", "core.autocrlf", "false"]);
    for nodes in trees {
        commit(folder.path(), nodes);
    }
    folder
}

/// Trees, each with an edit or some of the one before.
fn history() -> impl Strategy<Value = Vec<Nodes>> {
    (files(), prop::collection::vec(prop::collection::vec(edit(), 1..5), 1..4)).prop_map(|(first, edits)| {
        let mut trees = vec![first];
        for edits in edits {
            let last = trees.last().unwrap();
            let mut next = edits.iter().fold(last.clone(), |nodes, edit| edited(&nodes, edit));
            next.retain(|_, node| is_text(node));
            trees.push(next);
        }
        trees
    })
}

/// What a program makes of a patch; `None` if it refuses it.
fn theirs(base: &Nodes, patch: &[u8], program: &str, arguments: &[&str]) -> Option<Vec<(String, Entry)>> {
    let space = tempfile::tempdir().unwrap();
    let folder = space.path().join("tree");
    fs::create_dir(&folder).unwrap();
    trees::write(base, &folder);
    fs::write(space.path().join("patch"), patch).unwrap();
    if program == "git" {
        git(&folder, &["init", "--quiet", "."]);
    }
    let output = run(&folder, program, arguments);
    if !output.status.success() {
        return None;
    }
    fs::remove_file(folder.join("patch.orig")).ok();
    Some(without_folders(&tree(&trees::read(&folder)?)))
}

/// A change of a patch, by its lines.
#[derive(Debug, Clone)]
enum Change {
    Drop,
    Twice,
    Swap,
    Cut,
    Insert(&'static str),
    Digit(u8),
    First(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Drop),
        Just(Change::Twice),
        Just(Change::Swap),
        Just(Change::Cut),
        prop::sample::select(vec![
            "",
            "prose",
            "-- ",
            "+lost",
            "-lost",
            " a",
            "@@ -1 +1 @@",
            "@@ -0,0 +1 @@",
            "\\ No newline at end of file",
            "diff --git a/a b/a",
            "new file mode 100755",
            "deleted file mode 100644",
            "old mode 100644",
            "new mode 100755",
            "rename from a",
            "rename to b",
            "--- a/a",
            "+++ b/a",
            "--- /dev/null",
            "+++ /dev/null",
            "index 1..2 120000",
            "From 0000000000000000000000000000000000000001 Mon Sep 17 00:00:00 2001",
            "Only in b: a",
            "Binary files a/a and b/a differ",
            "copy from a",
            "copy to b",
            "GIT binary patch",
        ])
        .prop_map(Change::Insert),
        any::<u8>().prop_map(Change::Digit),
        prop::sample::select(b"+- \\@d".to_vec()).prop_map(Change::First),
    ]
}

fn changed(patch: &[u8], at: prop::sample::Index, change: &Change) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = patch.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let at = at.index(lines.len());
    match change {
        Change::Drop => drop(lines.remove(at)),
        Change::Twice => lines.insert(at, lines[at].clone()),
        Change::Swap => lines.swap(at, (at + 1).min(patch.iter().filter(|byte| **byte == b'\n').count() - 1)),
        Change::Cut => lines.truncate(at),
        Change::Insert(line) => lines.insert(at, format!("{line}\n").into_bytes()),
        Change::Digit(digit) => {
            if let Some(byte) = lines[at].iter_mut().find(|byte| byte.is_ascii_digit()) {
                *byte = b'0' + digit % 10;
            }
        }
        Change::First(byte) => lines[at][0] = *byte,
    }
    lines.concat()
}

proptest! {
    #![proptest_config(cases(24))]

    /// Commits as `git format-patch` writes them into one file give the last commit's tree.
    #[test]
    fn commits_give_what_was_committed(
        trees in history(),
        options in prop::sample::subsequence(vec!["-C", "--find-copies-harder", "--no-renames", "-U0", "-U1", "-D", "-B", "--full-index"], 0..3),
        quote: bool,
    ) {
        let repository = repository(&trees);
        let range = format!("HEAD~{}", trees.len() - 1);
        let quote = format!("core.quotePath={quote}");
        let mut arguments = vec!["-c", &quote, "format-patch", "--stdout"];
        // `-D` leaves out what is needed to apply a patch.
        arguments.extend(options.iter().filter(|option| **option != "-D"));
        arguments.push(&range);
        let patch = git(repository.path(), &arguments);
        if patch.is_empty() || trees.windows(2).all(|two| two[0] == two[1]) {
            return Ok(());
        }
        let ours = patched(&trees[0], &patch);
        let shown = String::from_utf8_lossy(&patch).into_owned();
        let ours = ours.map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
        prop_assert_eq!(without_folders(&ours), without_folders(&tree(trees.last().unwrap())), "{}", shown);
    }

    /// `git diff` with anybody's settings gives the later tree, or advice to set a prefix.
    #[test]
    fn git_diff_gives_the_later_tree(
        trees in history(),
        setting in prop::sample::select(vec![
            "diff.renames=copies", "diff.noprefix=true", "diff.mnemonicPrefix=true", "diff.suppressBlankEmpty=true",
            "diff.algorithm=histogram", "diff.context=0",
        ]),
    ) {
        let repository = repository(&trees);
        let from = format!("HEAD~{}", trees.len() - 1);
        let (first, last) = (&trees[0], trees.last().unwrap());
        let patch = git(repository.path(), &["-c", setting, "diff", &from, "HEAD"]);
        if patch.is_empty() {
            return Ok(());
        }
        let ours = match patched(first, &patch) {
            Err(error) if setting == "diff.noprefix=true" => {
                let message = error.to_string();
                prop_assert!(message.contains("--src-prefix=a/ --dst-prefix=b/"), "{}", message);
                // The advice helps.
                let patch = git(repository.path(), &["-c", setting, "diff", "--src-prefix=a/", "--dst-prefix=b/", &from, "HEAD"]);
                patched(first, &patch)
            }
            ours => ours,
        };
        let shown = String::from_utf8_lossy(&patch).into_owned();
        let ours = ours.map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
        prop_assert_eq!(without_folders(&ours), without_folders(&tree(last)), "{}", shown);
    }

    /// `diff -Nru` gives what GNU patch makes of it: it does not know of modes, links and empty
    /// files.
    #[test]
    fn gnu_diff_gives_what_gnu_patch_makes_of_it(trees in history(), context in 0_usize..4, zone in "UTC|CET-1|EST5|NST3:30") {
        let space = tempfile::tempdir().unwrap();
        let plain = |nodes: &Nodes| -> Nodes {
            let files = nodes.iter().filter_map(|(path, node)| match node {
                Node::File(bytes, _) => Some((path.clone(), Node::File(bytes.clone(), false))),
                _ => None,
            });
            files.collect()
        };
        let (first, last) = (plain(&trees[0]), plain(trees.last().unwrap()));
        for (folder, nodes) in [("p.orig", &first), ("p", &last)] {
            fs::create_dir(space.path().join(folder)).unwrap();
            trees::write(nodes, &space.path().join(folder));
        }
        let zone = format!("TZ={zone}");
        let context = format!("-U{context}");
        let output = run(space.path(), "env", &[&zone, "diff", "-Nr", &context, "p.orig", "p"]);
        if output.stdout.is_empty() {
            return Ok(());
        }
        let ours = match patched(&first, &output.stdout) {
            // A file where a folder was, which a diff says in words.
            Err(PatchError::Malformed { reason, .. }) if reason.contains("while file") => return Ok(()),
            ours => ours,
        };
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = ours.map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
        let theirs = theirs(&first, &output.stdout, "patch", &["-p1", "--silent", "--force", "--fuzz=0", "-i", "../patch"]);
        prop_assert_eq!(Some(without_folders(&ours)), theirs, "{}", shown);
    }

    /// What is accepted of a changed patch is what git or GNU patch makes of it.
    #[test]
    fn changed_patches_mean_what_they_mean_to_others(
        trees in history(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..3),
    ) {
        let repository = repository(&trees);
        let from = format!("HEAD~{}", trees.len() - 1);
        let patch = git(repository.path(), &["diff", &from, "HEAD"]);
        let patch = changes.iter().fold(patch, |patch, (at, change)| changed(&patch, *at, change));
        let Ok(ours) = patched(&trees[0], &patch) else { return Ok(()) };
        let ours = without_folders(&ours);
        let apply: &[&str] = &["apply", "--unidiff-zero", "../patch"];
        let by_git = theirs(&trees[0], &patch, "git", apply);
        if by_git.as_ref() == Some(&ours) {
            return Ok(());
        }
        let by_patch = theirs(&trees[0], &patch, "patch", &["-p1", "--silent", "--force", "--fuzz=0", "-i", "../patch"]);
        let shown = String::from_utf8_lossy(&patch).into_owned();
        prop_assert_eq!(Some(ours), by_patch.clone(), "git: {:?}\n{}", by_git, shown);
    }
}
