//! git's diffs: what stands in headers alone, and several commits in one file.

use build_graph::Entry;
use formats::archive::{BlobSource, MemoryBlobs};
use formats::patch::apply;

use super::{patched, path, tree};

/// Paths, contents and whether they are executable; links as `-> TARGET`.
fn result(files: &[(&str, &[u8])], patch: &str) -> Result<Vec<(String, String, bool)>, String> {
    let blobs = MemoryBlobs::new();
    let mut base = tree(&blobs, files);
    base.insert(path("link"), Entry::Symlink { target: "old".into() }).unwrap();
    let patched = apply(&base, &[(path("p.patch"), patch.as_bytes().to_vec())], &blobs);
    let patched = patched.map_err(|error| error.to_string())?;
    let shown = patched.iter().filter(|(path, _)| path.as_str() != "link" || base.get("link") != patched.get("link"));
    Ok(shown
        .map(|(path, entry)| match entry {
            Entry::Symlink { target } => (path.to_string(), format!("-> {target}"), false),
            Entry::File { executable, .. } => {
                (path.to_string(), String::from_utf8(blobs.read(entry).unwrap()).unwrap(), *executable)
            }
            Entry::EmptyDirectory => (path.to_string(), "/".into(), false),
        })
        .collect())
}

fn file(path: &str, content: &str, executable: bool) -> (String, String, bool) {
    (path.to_owned(), content.to_owned(), executable)
}

#[test]
fn every_commit_of_a_file_counts() {
    let given = include_bytes!("../data/patches/two-commits.patch");
    let result = patched(&[], &[given]).unwrap();
    assert_eq!(result, [("x/one".into(), b"t\n".to_vec()), ("x/two".into(), b"t\n".to_vec())]);
}

#[test]
fn a_later_commit_sees_the_earlier_ones() {
    let commits = "From 0000000000000000000000000000000000000001 Mon Sep 17 00:00:00 2001\nSubject: change\n\n---\n\n\
        diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n-- \n2.39.5\n\n\
        From 0000000000000000000000000000000000000002 Mon Sep 17 00:00:00 2001\nSubject: move\n\n - a list\n+of what\n---\n\n\
        diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n-- \n2.39.5\n\n";
    assert_eq!(result(&[("x", b"a\n")], commits).unwrap(), [file("y", "b\n", false)]);
}

#[test]
fn empty_files_come_and_go() {
    let given = include_bytes!("../data/patches/empty-new-file.patch");
    assert_eq!(patched(&[], &[given]).unwrap(), [("x/empty".into(), vec![]), ("x/other".into(), b"t\n".to_vec())]);
    // The mode is that of the file, not of the next one.
    let executable =
        "diff --git a/e b/e\nnew file mode 100755\nindex 000..e69de29\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n";
    assert!(result(&[], executable).unwrap_err().contains("others than those of the header"));
    let executable =
        "diff --git a/e b/e\nnew file mode 100755\nindex 000..e69de29\n\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n";
    assert_eq!(result(&[], executable).unwrap(), [file("e", "", true), file("n", "n\n", false)]);
    let gone = "diff --git a/e b/e\ndeleted file mode 100644\nindex e69de29..0000000\n";
    assert_eq!(result(&[("e", b"")], gone).unwrap(), []);
    assert!(result(&[("e", b"x")], gone).unwrap_err().contains("holds more"));
    assert!(result(&[], gone).unwrap_err().contains("no such file"));
}

#[test]
fn modes_change_with_and_without_lines() {
    let mode = "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n";
    assert_eq!(result(&[("x", b"a\n")], mode).unwrap(), [file("x", "a\n", true)]);
    let both = format!("{mode}index 1..2\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
    assert_eq!(result(&[("x", b"a\n")], &both).unwrap(), [file("x", "b\n", true)]);
    let back = "diff --git a/x.sh b/x.sh\nold mode 100755\nnew mode 100644\n";
    assert_eq!(result(&[("x.sh", b"a\n")], back).unwrap(), [file("x.sh", "a\n", false)]);
    assert!(result(&[("x", b"a\n")], &back.replace(".sh", "")).unwrap_err().contains("has the mode already"));
    let kind = "diff --git a/x b/x\nold mode 100644\nnew mode 120000\n";
    assert!(result(&[("x", b"a\n")], kind).unwrap_err().contains("another kind"));
}

#[test]
fn symbolic_links_are_lines_in_git_diffs() {
    let new = "diff --git a/l b/l\nnew file mode 120000\nindex 0..1\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n";
    assert_eq!(result(&[], new).unwrap(), [file("l", "-> x", false)]);
    let changed = "diff --git a/link b/link\nindex 1..2 120000\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-old\n\\ No newline at end of file\n+new\n\\ No newline at end of file\n";
    assert_eq!(result(&[], changed).unwrap(), [file("link", "-> new", false)]);
    let gone = "diff --git a/link b/link\ndeleted file mode 120000\n--- a/link\n+++ /dev/null\n@@ -1 +0,0 @@\n-old\n\\ No newline at end of file\n";
    assert_eq!(result(&[], gone).unwrap(), []);
    // A link and a file are not taken for each other.
    let as_file = changed.replace(" 120000", " 100644");
    assert!(result(&[], &as_file).unwrap_err().contains("it is a symbolic link"));
    let as_link = changed.replace("link", "x");
    assert!(result(&[("x", b"old")], &as_link).unwrap_err().contains("no symbolic link"));
    // A file becomes a link: git writes two changes.
    let kind =
        format!("diff --git a/l b/l\ndeleted file mode 100644\n--- a/l\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n{new}");
    assert_eq!(result(&[("l", b"a\n")], &kind).unwrap(), [file("l", "-> x", false)]);
    let empty = "diff --git a/l b/l\nnew file mode 120000\n";
    assert!(result(&[], empty).unwrap_err().contains("empty"));
}

#[test]
fn files_move_and_are_copied() {
    let base: &[(&str, &[u8])] = &[("x", b"1\n2\n"), ("y.sh", b"y\n")];
    let change = "--- a/x\n+++ b/d/z\n@@ -1,2 +1,2 @@\n-1\n+one\n 2\n";
    let moved = format!(
        "diff --git a/x b/d/z\nsimilarity index 50%\nrename from x\nrename to d/z\nindex 1..2 100644\n{change}"
    );
    assert_eq!(result(base, &moved).unwrap(), [file("d/z", "one\n2\n", false), file("y.sh", "y\n", true)]);
    let copied = moved.replace("rename ", "copy ");
    let both = [file("d/z", "one\n2\n", false), file("x", "1\n2\n", false), file("y.sh", "y\n", true)];
    assert_eq!(result(base, &copied).unwrap(), both);
    let swapped = "diff --git a/x b/y.sh\nsimilarity index 100%\nrename from x\nrename to y.sh\n\
        diff --git a/y.sh b/x\nsimilarity index 100%\nrename from y.sh\nrename to x\n";
    assert_eq!(result(base, swapped).unwrap(), [file("x", "y\n", true), file("y.sh", "1\n2\n", false)]);
    // Copies are of the file as it was before, whatever came first.
    let changed = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+changed\n";
    let expected = [file("d/z", "one\n2\n", false), file("x", "changed\n2\n", false), file("y.sh", "y\n", true)];
    assert_eq!(result(base, &format!("{changed}{copied}")).unwrap(), expected);
    assert!(result(base, &format!("{changed}{moved}")).unwrap_err().contains("changes it before it renames it"));
    for (patch, reason) in [
        (moved.replace("d/z", "y.sh"), "there already"),
        (moved.replace("from x", "from w").replace("a/x", "a/w"), "no such file"),
        (moved.replace("rename to d/z\n", ""), "names one of two files"),
        (moved.replace("+++ b/d/z", "+++ b/d/y"), "others than those of the header"),
        (moved.replace("rename from x", "rename from x\nrename from x"), "says that twice"),
        (moved.replace("rename from x", "new file mode 100644\nrename from x"), "two things"),
        (moved.replace("d/z", "x/z"), "no directory"),
    ] {
        let result = result(&[("x", b"1\n2\n"), ("y.sh", b"y\n")], &patch);
        if reason == "no directory" {
            // The file is gone by then, so its name may be a directory's.
            assert_eq!(result.unwrap().len(), 2);
        } else {
            let message = result.unwrap_err();
            assert!(message.contains(reason), "{patch}\n{message}");
        }
    }
}

#[test]
fn what_git_can_say_and_a_tree_can_not_is_refused_with_its_line() {
    for (patch, line, reason) in [
        (
            "prose\ndiff --git a/m b/m\nnew file mode 160000\nindex 0..1\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+Subproject commit 1\n",
            2,
            "submodule",
        ),
        ("diff --git a/x b/x\nindex 1..2 160000\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", 1, "submodule"),
        ("diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 1\n", 3, "is no text"),
        ("diff --git a/x b/x\nindex 1..2\nBinary files a/x and b/x differ\n", 3, "is no text"),
        ("diff --git a/x b/x\nindex 1..2 100644\n", 1, "no hunk follows"),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\nindex 1..2\n", 1, "no hunk follows"),
        ("diff --git a/n b/n\nnew file mode 100644\nindex 0000000..1111111\n", 1, "no hunk follows"),
        ("diff --git a/x b/y\nrename from x\nrename to y\nindex 1111111..2222222\n", 1, "no hunk follows"),
        ("diff --git a/x b/x\nindex 1..1 100644\n", 1, "changes nothing"),
        ("diff --git a/x b/x\nnew mode 100755\n", 1, "without the other"),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100644\n", 1, "changes nothing"),
        ("diff --git x x\nold mode 100644\nnew mode 100755\n", 1, "--src-prefix=a/ --dst-prefix=b/"),
        ("diff --git s/x s/x\n--- s/x\n+++ s/x\n@@ -1 +1 @@\n-a\n+b\n", 1, "--src-prefix=a/ --dst-prefix=b/"),
        (
            "diff --git a/x a/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n",
            1,
            "--src-prefix=a/ --dst-prefix=b/",
        ),
        ("diff --git a/x b/x\nnew file mode 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", 1, "say something else"),
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n", 4, "expected a hunk"),
        ("diff --git a/../x b/../x\nold mode 100644\nnew mode 100755\n", 1, "expected `a/PATH b/PATH`"),
    ] {
        let message = result(&[("x", b"a\n")], patch).unwrap_err();
        assert!(
            message.contains(reason) && message.contains(&format!("`p.patch`, line {line}:")),
            "{patch}\n{message}"
        );
    }
}

#[test]
fn prefixes_may_be_others_and_names_quoted() {
    let mnemonic = "diff --git i/x w/x\n--- i/x\n+++ w/x\n@@ -1 +1 @@\n-a\n+b\ndiff --git i/n w/n\nnew file mode 100644\n--- /dev/null\n+++ w/n\n@@ -0,0 +1 @@\n+n\n";
    assert_eq!(result(&[("x", b"a\n")], mnemonic).unwrap(), [file("n", "n\n", false), file("x", "b\n", false)]);
    let quoted = "diff --git \"a/gr\\303\\266\\303\\237e\\t\" \"b/gr\\303\\266\\303\\237e\\t\"\nnew file mode 100644\n--- /dev/null\n+++ \"b/gr\\303\\266\\303\\237e\\t\"\n@@ -0,0 +1 @@\n+n\n";
    assert_eq!(result(&[], quoted).unwrap(), [file("größe\t", "n\n", false)]);
    let blank = "diff --git a/x y  b/x y \n--- a/x y \t\n+++ b/x y \t\n@@ -1 +1 @@\n-a\n+b\n";
    assert_eq!(result(&[("x y ", b"a\n")], blank).unwrap(), [file("x y ", "b\n", false)]);
}
