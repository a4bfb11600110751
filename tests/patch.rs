//! Patches that fit, and patches that must not be made to fit.

use build_graph::{Entry, RelPath, Tree};
use pynbox_build::archive::{BlobSink, BlobSource, MemoryBlobs};
use pynbox_build::patch::{PatchError, apply};

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn tree(blobs: &MemoryBlobs, files: &[(&str, &[u8])]) -> Tree {
    let mut tree = Tree::new();
    for (name, content) in files {
        tree.insert(path(name), blobs.put_bytes(content, name.ends_with(".sh")).unwrap()).unwrap();
    }
    tree
}

fn patched(files: &[(&str, &[u8])], patches: &[&[u8]]) -> Result<Vec<(String, Vec<u8>)>, PatchError> {
    let blobs = MemoryBlobs::new();
    let base = tree(&blobs, files);
    let patches: Vec<_> =
        patches.iter().enumerate().map(|(i, bytes)| (path(&format!("000{i}.patch")), bytes.to_vec())).collect();
    let result = apply(&base, &patches, &blobs)?;
    let content = |entry: &Entry| match entry {
        entry @ Entry::File { .. } => blobs.read(entry).unwrap(),
        other => panic!("{other:?}"),
    };
    Ok(result.iter().map(|(path, entry)| (path.to_string(), content(entry))).collect())
}

const SPAM: &[u8] = b"one\ntwo\nthree\nfour\nfive\n";
const PATCH: &[u8] = b"Why: because.\n\n--- a/spam.c\t2020-01-01\n+++ b/spam.c\n@@ -2,3 +2,4 @@ int main\n two\n-three\n+3\n+3.5\n four\n";

#[test]
fn prose_then_a_change() {
    let result = patched(&[("spam.c", SPAM)], &[PATCH]).unwrap();
    assert_eq!(result, [("spam.c".into(), b"one\ntwo\n3\n3.5\nfour\nfive\n".to_vec())]);
}

#[test]
fn several_files_new_and_gone() {
    let patch = b"diff --git a/gone.c b/gone.c\ndeleted file mode 100644\nindex 1..0\n--- a/gone.c\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n\
        diff --git a/d/new.sh b/d/new.sh\nnew file mode 100755\n--- /dev/null\n+++ b/d/new.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\n\
        diff --git a/run.sh b/run.sh\n--- a/run.sh\n+++ b/run.sh\n@@ -1 +1 @@\n-x\n+y\n-- \n2.39.5\n";
    let blobs = MemoryBlobs::new();
    let base = tree(&blobs, &[("gone.c", b"a\nb\n"), ("run.sh", b"x\n")]);
    let result = apply(&base, &[(path("p"), patch.to_vec())], &blobs).unwrap();
    let modes: Vec<_> = result
        .iter()
        .map(|(path, entry)| (path.as_str(), matches!(entry, Entry::File { executable: true, .. })))
        .collect();
    assert_eq!(modes, [("d/new.sh", true), ("run.sh", true)]);
}

#[test]
fn a_later_patch_sees_an_earlier_one() {
    let second = b"--- a/spam.c\n+++ b/spam.c\n@@ -3,1 +3,1 @@\n-3\n+drei\n";
    let result = patched(&[("spam.c", SPAM)], &[PATCH, second]).unwrap();
    assert_eq!(result[0].1, b"one\ntwo\ndrei\n3.5\nfour\nfive\n");
    assert!(patched(&[("spam.c", SPAM)], &[second, PATCH]).is_err());
}

#[test]
fn line_ends_and_other_bytes_stay_as_they_are() {
    let latin = b"/* L\xf6wis */\r\nint a;\r\nint b;";
    let patch = b"--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,3 @@\n /* L\xf6wis */\r\n-int a;\r\n-int b;\n\\ No newline at end of file\n+int c;\r\n+int \xe9;\n\\ No newline at end of file\n";
    let result = patched(&[("x.c", latin)], &[patch]).unwrap();
    assert_eq!(result[0].1, b"/* L\xf6wis */\r\nint c;\r\nint \xe9;");
    // The mark matters: the same patch without it does not fit.
    let unmarked = b"--- a/x.c\n+++ b/x.c\n@@ -3 +3 @@\n-int b;\n+int c;\n";
    let message = patched(&[("x.c", latin)], &[unmarked]).unwrap_err().to_string();
    assert!(message.contains("`int b;` without a line feed"), "{message}");
    // A line feed is added where only the new side has one.
    let ended = b"--- a/x.c\n+++ b/x.c\n@@ -3 +3 @@\n-int b;\n\\ No newline at end of file\n+int b;\n";
    assert!(patched(&[("x.c", latin)], &[ended]).unwrap()[0].1.ends_with(b"int b;\n"));
}

#[test]
fn a_patch_that_fits_elsewhere_does_not_fit() {
    let moved = b"new first line\none\ntwo\nthree\nfour\nfive\n";
    let message = patched(&[("spam.c", moved)], &[PATCH]).unwrap_err().to_string();
    let expected = "patch `0000.patch` does not fit `spam.c`: hunk 1 (line 5 of the patch) expects at line 2 of the file\n  \
        `two`\nbut the file has\n  `one`\nmake the patch again";
    assert!(message.starts_with(expected), "{message}");
    let short = patched(&[("spam.c", b"one\ntwo\n")], &[PATCH]).unwrap_err().to_string();
    assert!(short.contains("`three`") && short.contains("(its end, after 2 lines)"), "{short}");
}

#[test]
fn files_must_be_as_the_patch_says() {
    let new = b"--- /dev/null\n+++ b/spam.c\n@@ -0,0 +1 @@\n+x\n";
    assert!(patched(&[("spam.c", SPAM)], &[new]).unwrap_err().to_string().contains("there already"));
    assert!(patched(&[], &[PATCH]).unwrap_err().to_string().contains("no such file"));
    let gone = b"--- a/spam.c\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-one\n";
    assert!(patched(&[("spam.c", SPAM)], &[gone]).unwrap_err().to_string().contains("holds more"));
    let below = b"--- /dev/null\n+++ b/spam.c/x\n@@ -0,0 +1 @@\n+x\n";
    assert!(patched(&[("spam.c", SPAM)], &[below]).unwrap_err().to_string().contains("no directory"));
}

#[test]
fn symbolic_links_are_not_patched() {
    let blobs = MemoryBlobs::new();
    let mut base = Tree::new();
    base.insert(path("spam.c"), Entry::Symlink { target: "/etc/passwd".into() }).unwrap();
    let error = apply(&base, &[(path("p"), PATCH.to_vec())], &blobs).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
}

#[test]
fn nothing_malformed_passes() {
    let head = "--- a/spam.c\n+++ b/spam.c\n";
    for (body, reason) in [
        ("@@ -2,3 +2,3 @@\n two\n-three\n+3\n+3.5\n four\n", "more lines than its header counts"),
        ("@@ -2,3 +2,3 @@\n two\n-three\n+3\n four\n five\n", "belongs to no hunk"),
        ("@@ -2,3 +2,3 @@\n two\n-three\n+3\n four\n+more\n", "belongs to no hunk"),
        ("@@ -2,4 +2,4 @@\n two\n-three\n+3\n four\n", "counts 1 old and 1 new ones more"),
        ("@@ -4,1 +4,1 @@\n-four\n+4\n@@ -1,1 +1,1 @@\n-one\n+1\n", "out of order"),
        ("@@ 2,3 @@\n", "expected `@@"),
        ("@@ -1,99999999999999999999 +1 @@\n-a\n", "expected `@@"),
        ("@@ -0,2 +1 @@\n-a\n", "expected `@@"),
        ("", "expected a hunk"),
        ("@@ -1 +1 @@\n\\ No newline\n", "`\\` follows"),
    ] {
        let patch = format!("{head}{body}");
        match patched(&[("spam.c", SPAM)], &[patch.as_bytes()]) {
            Err(error @ PatchError::Malformed { .. }) => {
                let message = error.to_string();
                assert!(message.contains(reason), "{patch}\n{message}");
            }
            other => panic!("{patch}\n{other:?}"),
        }
    }
    for (patch, reason) in [
        ("", "there is no `---"),
        ("just words\n", "there is no `---"),
        ("@@ -1 +1 @@\n-a\n+b\n", "without the lines"),
        ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", "no valid path"),
        ("--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "expected `a/PATH`"),
        ("--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "renames"),
        ("diff --git a/x b/y\nrename from x\nrename to y\n", "`rename from x`: only"),
        ("diff --git a/x b/x\nGIT binary patch\n", "`GIT binary patch`: only"),
    ] {
        let message = patched(&[("x", b"a\n")], &[patch.as_bytes()]).unwrap_err().to_string();
        assert!(message.contains(reason), "{patch}\n{message}");
    }
}
