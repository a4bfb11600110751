//! Zip archives.

use std::io::{Cursor, Write};

use build_graph::Entry;
use formats::archive::{ArchiveError, ArchiveLimits, Options};

use super::{message, paths, unpack, unpack_with};

fn zip_of(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in members {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(mode & 0o777);
        if mode & 0o170_000 == 0o120_000 {
            writer.add_symlink(*name, std::str::from_utf8(content).unwrap(), options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn members_and_modes() {
    let bytes = zip_of(&[("p/a.py", 0o644, b"a"), ("p/run", 0o755, b"b"), ("p/l", 0o120_777, b"a.py")]);
    let tree = unpack(&bytes).unwrap();
    assert_eq!(paths(&tree), ["p/a.py", "p/l", "p/run"]);
    assert_eq!(tree.get("p/l"), Some(&Entry::Symlink { target: "a.py".into() }));
    assert!(matches!(tree.get("p/run"), Some(Entry::File { executable: true, .. })));
    assert!(unpack(&bytes[..bytes.len() - 30]).is_err());
}

#[test]
fn attacks() {
    for name in ["../x", "/x", "a/../../x", "a\\..\\x"] {
        let message = message(&zip_of(&[(name, 0o644, b"")]));
        assert!(message.contains("refused"), "{name}: {message}");
    }
    let through = zip_of(&[("a", 0o120_777, b"/etc"), ("a/passwd", 0o644, b"")]);
    assert!(message(&through).contains("`a/passwd`"));

    // The same name twice: rename a member in both of its headers.
    let twice = zip_of(&[("aaaa", 0o644, b"1"), ("bbbb", 0o644, b"2")]);
    assert!(message(&replace(&twice, b"bbbb", b"aaaa")).contains("twice"));

    let options = Options { limits: ArchiveLimits { bytes: 1000, ..ArchiveLimits::default() }, ..Options::default() };
    let bomb = zip_of(&[("big", 0o644, &[0; 1 << 20])]);
    let error = unpack_with(&bomb, options).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { limit: 1000, .. }), "{error}");

    let shown = message(&zip_of(&[("a\x1b[31m/../x", 0o644, b"")]));
    assert!(shown.contains(r"`a\u{1b}[31m/../x`") && !shown.contains(char::is_control), "{shown}");
}

#[test]
fn other_methods_are_named() {
    let deflated = zip_of(&[("a.py", 0o644, b"a")]);
    for (method, name) in [(9, "deflate64"), (12, "bzip2"), (14, "lzma"), (93, "zstd"), (95, "xz"), (77, "method 77")] {
        let mut bytes = deflated.clone();
        // The method stands in the member's own header and in the directory's.
        let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        (bytes[8], bytes[directory + 10]) = (method, method);
        let message = message(&bytes);
        assert!(message.contains("`a.py`") && message.contains(name) && message.contains("pack it again"), "{message}");
    }
}

#[test]
fn one_behind_a_script_is_named() {
    let zip = zip_of(&[("a.py", 0o644, b"a")]);
    for script in ["#!/usr/bin/env python3\n", "MZ\x1b[31m", "\0\0\0\0"] {
        let message = message(&[script.as_bytes(), &zip].concat());
        assert!(message.contains("only then comes a zip archive"), "{message}");
        assert!(!message.contains(char::is_control), "{message}");
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
