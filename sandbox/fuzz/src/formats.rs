//! What the loader reads of bytes that a guest, or somebody before it, has written.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use pynbox_run::compiled::{Record, Rule, leads_to_cold};
use pynbox_run::linking::{SideModule, Signature, TableIndex, candidates, directory};
use pynbox_run::options::{Options, Task};
use pynbox_run::snapshot;
use pynbox_run::translate::translated;
use pynbox_run::vfs::GuestPath;

/// A library: what is read of it comes back from the bytes that are kept of it.
pub(crate) fn dylink(data: &[u8]) {
    match data.split_first() {
        Some((b'F', rest)) => library(&framed(rest)),
        _ => library(data),
    }
}

/// A module of these sections, each a byte for its kind, two for its size, and its content: a
/// change of a size does not damage all that follows.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    while let Some((&[kind, low, high], content)) = rest.split_first_chunk() {
        let size = usize::from(u16::from_le_bytes([low, high])).min(content.len());
        // Numbers of five bytes, whatever their value.
        let number = (0..5).map(|at| (size >> (7 * at)) as u8 & 0x7f | if at < 4 { 0x80 } else { 0 });
        module.push(kind);
        module.extend(number);
        module.extend(&content[..size]);
        rest = &content[size..];
    }
    module
}

fn library(data: &[u8]) {
    let _ = snapshot::takes_part(data);
    let _ = snapshot::rules(data);
    if let Ok(Some(index)) = TableIndex::of(data, "__indirect_function_table") {
        assert_eq!(TableIndex::try_from(index.as_bytes().to_vec()).as_ref(), Ok(&index));
    }
    match translated(data) {
        Ok(module) => assert!(module.len() <= 64 + 16 * data.len(), "it grew beyond bounds"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match SideModule::parse(data) {
        Ok(module) => {
            let kept = module.to_bytes();
            assert_eq!(SideModule::from_bytes(&kept).as_ref(), Some(&module));
            for import in &module.imports {
                let _ = (module.is_weak(import.name()), module.entries.entry(import.name()));
            }
            for name in &module.needed {
                for path in candidates(name.as_bytes(), b"/a/b/m.so", &module.runtime_paths) {
                    assert!(path.starts_with(b"/"), "a library is looked for in no absolute path");
                    let _ = directory(&path);
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The files of compiled code: what is accepted is written as it was read.
pub(crate) fn record(data: &[u8]) {
    if let Some(module) = SideModule::from_bytes(data) {
        assert_eq!(SideModule::from_bytes(&module.to_bytes()), Some(module));
    }
    if let Ok(index) = TableIndex::try_from(data.to_vec()) {
        assert_eq!(index.as_bytes(), data);
        for name in ["", "a", "PyInit", "\u{10ffff}"] {
            let _ = index.entry(name);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(signature) = Signature::parse(data) {
        assert_eq!(signature.to_string().as_bytes(), data);
    }
    if let Ok(record) = Record::parse(text) {
        assert_eq!(Record::parse(&record.text()).as_ref(), Ok(&record));
        let words: Vec<Vec<u8>> = text.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
        let _ = leads_to_cold(&record.rules, &words, &words);
    }
    for line in text.lines() {
        let _ = Rule::parse(line);
    }
}

/// A command line, an argument a line.
pub(crate) fn options(data: &[u8]) {
    let arguments: Vec<OsString> =
        data.split(|&byte| byte == b'\n').map(|argument| OsString::from_vec(argument.to_vec())).collect();
    match Options::parse(arguments.clone()) {
        Ok(options) => {
            // What belongs to the guest is the end of what was given, as it was given.
            if let Task::Run(program, rest) = &options.task {
                let given = &arguments[arguments.len() - rest.len()..];
                assert_eq!(given, rest);
                assert!(arguments.contains(program));
            }
            for mount in &options.mounts {
                path_is_plain(&mount.at);
            }
            for hand in &options.hands {
                assert!(hand.host >= 0 && hand.guest < 1024);
            }
            assert!(
                options.env.iter().all(|variable| variable.iter().position(|&b| b == b'=').is_some_and(|at| at > 0))
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Names in the guest's tree.
pub(crate) fn paths(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == b'\n');
    let (one, two) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Some(path) = GuestPath::parse_absolute(one) else {
        assert!(
            one.first() != Some(&b'/') || one.contains(&0) || one.split(|&b| b == b'/').any(|name| name == b".."),
            "an absolute path is refused"
        );
        return;
    };
    path_is_plain(&path);
    let Some(other) = GuestPath::parse_absolute(two) else { return };
    // What lies below another path is that path and the rest.
    if let Some(rest) = path.below(&other) {
        let joined = [b"/", other.as_relative(), b"/", rest].concat();
        assert_eq!(GuestPath::parse_absolute(&joined), Some(path.clone()));
        assert_eq!(path.is_strictly_below(&other), !rest.is_empty());
    }
    match path.split_last() {
        Some((parent, name)) => {
            assert!(path.is_strictly_below(&parent));
            assert_eq!(parent.child(name), path);
        }
        None => assert!(path.is_root()),
    }
}

fn path_is_plain(path: &GuestPath) {
    let names = path.as_relative();
    assert!(path.is_root() || names.split(|&b| b == b'/').all(|name| !matches!(name, b"" | b"." | b"..")));
    assert!(!names.contains(&0));
    assert_eq!(GuestPath::parse_absolute(&[b"/", names].concat()).as_ref(), Some(path));
}
