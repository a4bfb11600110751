//! Patches that fit, and patches that must not be made to fit.

mod git;
mod property;

use build_graph::{Entry, RelPath, Tree};
use formats::archive::{BlobSink, BlobSource, MemoryBlobs};
use formats::patch::{PatchError, apply};

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

/// What other programs write about changes stands outside of hunks, and must not be passed over.
#[test]
fn what_a_patch_only_speaks_of_is_refused_with_its_line() {
    let change = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
    for (said, reason) in [
        ("Binary files a/y and b/y differ", "does not say how"),
        ("Files a/y and b/y differ", "does not say how"),
        ("Binary file y has changed", "does not say how"),
        ("Only in b: y", "does not hold that file"),
        ("Only in a/sub: y z", "does not hold that file"),
        ("Symbolic links a/y and b/y differ", "can say it"),
        ("File a/y is a regular file while file b/y is a directory", "can say it"),
        ("Common subdirectories: a/y and b/y", "not compared"),
        ("*** a/y\t2020\n--- b/y\t2020\n***************\n*** 1 ****", "context diff"),
        ("***************", "context diff"),
        ("1c1\n< a\n---\n> b", "without context"),
        ("3,4d2\n< a", "without context"),
        ("diff --cc y\nindex 1,2..3", "merge"),
        ("@@@ -1,1 -1,1 +1,2 @@@", "merge"),
        ("Property changes on: y", "properties"),
        ("old mode 100644\nnew mode 100755", "no line `diff --git"),
        ("deleted file mode 100644", "no line `diff --git"),
        ("--- a/y\n@@ -1 +1 @@\n-a\n+b", "follow each other"),
        ("+++ b/y", "follow each other"),
        ("Content-Transfer-Encoding: base64", "the mail is encoded"),
        ("Only in b/with space: y", "does not hold that file"),
        ("Nur in b: y", "is not in the patch"),
        ("Seulement dans b/sub: y", "is not in the patch"),
        ("Binärdateien a/y und b/y sind verschieden.", "is not in the patch"),
        ("Submodule y 1234567..89abcde:", "submodules"),
        ("Submodule y 0000000...89abcde (new submodule)", "submodules"),
        ("Content-Transfer-Encoding: quoted-printable", "the mail is encoded"),
    ] {
        for (patch, line) in [(format!("{said}\n{change}"), 1), (format!("{change}diff -Nru a/y b/y\n{said}\n"), 7)] {
            let message = patched(&[("x", b"a\n")], &[patch.as_bytes()]).unwrap_err().to_string();
            assert!(
                message.contains(reason) && message.contains(&format!("`0000.patch`, line {line}:")),
                "{patch}\n{message}"
            );
        }
    }
    let given = include_bytes!("../data/patches/binary-differ.patch");
    let message = patched(&[], &[given]).unwrap_err().to_string();
    assert!(message.contains("line 1: `Binary files a/zlib.3.pdf and b/zlib.3.pdf differ`"), "{message}");
}

#[test]
fn every_patch_of_this_project_is_understood() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches");
    let mut count = 0;
    for entry in walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            count += 1;
            let patch = [(path("p.patch"), std::fs::read(entry.path()).unwrap())];
            let result = apply(&Tree::new(), &patch, &MemoryBlobs::new());
            let is_understood = !matches!(result, Err(PatchError::Malformed { .. }));
            assert!(is_understood, "{}: {}", entry.path().display(), result.unwrap_err());
        }
    }
    assert!(count > 20);
}

#[test]
fn prose_is_prose() {
    let change = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
    for prose in [
        "Only in some cases, this helps.",
        "- a list\n+ of things",
        "diff -Nru a/x b/x",
        "Index: x\n=====",
        "Files are different.",
        "From here on: things",
        "commit messages",
        "---\n x | 1 +",
        "1a2",
        "    Only in b: y",
        "rename things to others",
        "Content-Transfer-Encoding: 8bit",
        "diff -Nru a/y b/y",
        "Plan of what we do: wait",
        "Submodule handling stays as it is.",
        "This mends b/y and a/x.",
    ] {
        let patch = format!("{prose}\n{change}");
        assert_eq!(patched(&[("x", b"a\n")], &[patch.as_bytes()]).unwrap()[0].1, b"b\n", "{prose}");
    }
}

#[test]
fn files_that_diff_adds_and_removes() {
    let given = include_bytes!("../data/patches/diff-n-new-file.patch");
    assert_eq!(patched(&[], &[given]).unwrap(), [("x/new.txt".into(), b"new\n".to_vec())]);
    assert!(patched(&[("x/new.txt", b"")], &[given]).unwrap_err().to_string().contains("there already"));
    let gone = b"--- p.orig/x\t2020-01-01 00:00:00.0 +0100\n+++ p/x\t1970-01-01 01:00:00.0 +0100\n@@ -1 +0,0 @@\n-a\n";
    assert_eq!(patched(&[("x", b"a\n")], &[gone]).unwrap(), []);
    assert!(patched(&[("x", b"a\nb\n")], &[gone]).unwrap_err().to_string().contains("holds more"));
    // A file that becomes empty stays.
    let emptied = b"--- a/x\t2020-01-01 00:00:00.0 +0100\n+++ b/x\t2020-01-01 01:00:00.0 +0100\n@@ -1 +0,0 @@\n-a\n";
    assert_eq!(patched(&[("x", b"a\n")], &[emptied]).unwrap(), [("x".into(), vec![])]);
    // Without times, a hunk at the beginning makes a file or changes one.
    let begun = b"--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+new\n";
    assert_eq!(patched(&[], &[begun]).unwrap()[0].1, b"new\n");
    assert_eq!(patched(&[("x", b"")], &[begun]).unwrap()[0].1, b"new\n");
    // An old time is no sign that a file is new if it has lines.
    let old = b"--- a/x\t1970-01-01 00:00:00 +0000\n+++ b/x\t1970-01-01 00:00:00 +0000\n@@ -1 +1 @@\n-a\n+b\n";
    assert_eq!(patched(&[("x", b"a\n")], &[old]).unwrap()[0].1, b"b\n");
}

#[test]
fn line_ends_of_windows_are_named() {
    let patch =
        PATCH.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect::<Vec<_>>();
    let message = patched(&[("spam.c", SPAM)], &[&patch]).unwrap_err().to_string();
    assert!(message.contains("`two\\r`") && message.contains("CRLF"), "{message}");
}

#[test]
fn nothing_of_a_patch_reaches_a_terminal_as_it_is() {
    for patch in [
        "--- a/\x1b[31mx\n+++ b/\x1b[31mx\n@@ -1 +1 @@\n-a\n+b\n",
        "--- \"a/\\033x\"\n+++ \"b/\\033x\"\n@@ -1 +1 @@\n-a\n+b\n",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-\x1b]0;t\x07\u{9b}\n+b\n",
        "Only in b: \x1b[2J\n",
        "--- a/x\n+++ b/\x1by\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/\x1b b/\x1b\nGIT binary patch\n",
        "diff --git a/x b/x\nnew file mode \x1b\n",
        "diff --git \x1b\u{202e}\n",
        "diff --git a\x1a/x b\x1a/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n",
        "diff --git a\x1a/x b\x1a/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
    ] {
        let message = patched(&[("x", b"a\n")], &[patch.as_bytes()]).unwrap_err().to_string();
        assert!(
            !message.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'),
            "{}",
            message.escape_debug()
        );
    }
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
        ("@@ -1 +1 @@\n-one\n+1\n\n\n+lost\n", "belongs to no hunk"),
        ("@@ -1 +1 @@\n-one\n+1\n-- \n more\n", "belongs to no hunk"),
        ("@@ -1 +1 @@\n-one\n+1\n-- \n2.39.5\n-two\n", "belongs to no hunk"),
        ("@@ -1 +1 @@\n-one\n+1\nprose\n@@ -3 +3 @@\n-three\n+3\n", "a hunk without the lines"),
        ("@@ -1,2 +1,2 @@\n-one\n\\ No newline\n-two\n+1\n+2\n", "ends the file without a line feed"),
        ("@@ -1 +1 @@\n one\n", "changes nothing"),
        ("@@ -1,0 +1,0 @@\n", "changes nothing"),
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
        ("--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "they are two files"),
        ("--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", "`git diff --src-prefix=a/ --dst-prefix=b/`"),
        ("--- src/x\n+++ src/x\n@@ -1 +1 @@\n-a\n+b\n", "`git diff --src-prefix=a/ --dst-prefix=b/`"),
        ("--- /dev/null\n+++ x\n@@ -0,0 +1 @@\n+b\n", "`git diff --src-prefix=a/ --dst-prefix=b/`"),
        ("--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n", "both files"),
        ("--- \"a/\\377\"\n+++ \"b/\\377\"\n@@ -1 +1 @@\n-a\n+b\n", r"`a/\xff` is not UTF-8"),
        ("--- \"a/x\n+++ \"b/x\n@@ -1 +1 @@\n-a\n+b\n", "no quoted name"),
    ] {
        let message = patched(&[("x", b"a\n")], &[patch.as_bytes()]).unwrap_err().to_string();
        assert!(message.contains(reason), "{patch}\n{message}");
    }
}
