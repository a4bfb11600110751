//! Packages of Python: wheels, and what is written in them and in files of requirements.

use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use build_graph::{BlobDigest, Entry, RelPath};
use pynbox_build::archive::{BlobSource as _, MemoryBlobs};
use pynbox_build::python::marker::Environment;
use pynbox_build::python::metadata::{About, Metadata};
use pynbox_build::python::names::ProjectName;
use pynbox_build::python::requirement::Requirement;
use pynbox_build::python::requirements::{Item, parse};
use pynbox_build::python::wheel::{Layout, WheelLimits, unpack};
use pynbox_build::python::{record, scripts};
use sha2::{Digest as _, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::archives::shown;

const LIMITS: WheelLimits = WheelLimits { bytes: 1 << 20, ratio: 50, small: 1 << 18, members: 1000, text: 1 << 18 };
const FILE: &str = "a-1-py3-none-any.whl";

/// A wheel: the bytes of an archive, or paths and contents of its files, a zero byte between them,
/// of which an archive with a good list is made.
pub(crate) fn wheel(data: &[u8]) {
    let made;
    let archive = match data.starts_with(b"PK") {
        true => data,
        false => {
            made = archive_of(data);
            &made
        }
    };
    let path = |text: &str| RelPath::new(text).expect("a path");
    let layout = Layout {
        site: path("lib/python3.13/site-packages"),
        headers: path("include/python3.13"),
        interpreter: "/python3/bin/python3".to_owned(),
    };
    let blobs = MemoryBlobs::new();
    let wheel = match unpack(FILE, Cursor::new(archive), &layout, &LIMITS, &blobs) {
        Ok(wheel) => wheel,
        Err(error) => return shown(&error.to_string()),
    };
    let mut bytes = 0;
    for (path, entry) in wheel.tree.iter() {
        let Entry::File { digest, size, .. } = entry else { panic!("a wheel gives {entry:?}") };
        let content = blobs.read(entry).expect("a file has its bytes");
        assert_eq!((content.len() as u64, BlobDigest::of(&content)), (*size, *digest));
        assert!(!path.as_str().chars().any(char::is_control), "a wheel gives `{path:?}`");
        bytes += size;
    }
    // What is written beside: the list, and programs.
    assert!(bytes <= 4 * LIMITS.bytes, "a wheel gives {bytes} bytes");
    let list = wheel.tree.get("lib/python3.13/site-packages/a-1.dist-info/RECORD").expect("it has a list");
    let list = String::from_utf8(blobs.read(list).expect("it has bytes")).expect("it is text");
    let rows = record::parse(list.replace("../", "").as_bytes()).expect("the list reads");
    assert_eq!(rows.len(), wheel.tree.len());
    let again =
        unpack(FILE, Cursor::new(archive), &layout, &LIMITS, &MemoryBlobs::new()).expect("it was unpacked before");
    assert_eq!(again, wheel);
}

fn archive_of(data: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut list = "a-1.dist-info/RECORD,,\n".to_owned();
    let mut parts = data.split(|byte| *byte == 0).take(64);
    while let (Some(name), Some(content)) = (parts.next(), parts.next()) {
        let name = String::from_utf8_lossy(name);
        if zip.start_file(name.as_ref(), SimpleFileOptions::default()).is_err() {
            continue;
        }
        zip.write_all(content).expect("writing to memory");
        let sum = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
        list += &format!("\"{}\",sha256={sum},{}\n", name.replace('"', "\"\""), content.len());
    }
    if zip.start_file("a-1.dist-info/RECORD", SimpleFileOptions::default()).is_ok() {
        zip.write_all(list.as_bytes()).expect("writing to memory");
    }
    zip.finish().expect("writing to memory").into_inner()
}

/// Texts: a file of requirements, and the files in a wheel's description.
pub(crate) fn requirements(data: &[u8]) {
    let environment = Environment::new("3.13.5".parse().expect("a version"));
    let extras = [ProjectName::new("a").expect("a name")];
    let check = |requirement: &Requirement| {
        if let Some(marker) = &requirement.marker {
            let _ = (marker.holds(&environment, &[]), marker.holds(&environment, &extras));
        }
        let text = requirement.to_string();
        shown(&text);
        let again: Requirement = text.parse().expect("what was read reads again");
        assert_eq!((again.project, again.extras), (requirement.project.clone(), requirement.extras.clone()));
        let _ = requirement.takes(&environment.version);
    };
    if let Ok(text) = std::str::from_utf8(data) {
        match parse(text) {
            Ok(lines) => {
                for line in lines {
                    let Item::Pinned(pinned) = line.item else { continue };
                    check(&pinned.requirement);
                    if let Err(message) = pinned.version() {
                        shown(&message);
                    }
                }
            }
            Err(problems) => problems.iter().for_each(|problem| shown(&problem.to_string())),
        }
    }
    match Metadata::parse(data) {
        Ok(metadata) => metadata.requires.iter().for_each(check),
        Err(error) => shown(&error.to_string()),
    }
    if let Err(error) = About::parse(data) {
        shown(&error.to_string());
    }
    if let Err(error) = record::parse(data) {
        shown(&error.to_string());
    }
    match scripts::programs(data) {
        Ok(programs) => {
            for program in programs {
                assert_eq!(program.text("/p").lines().count(), 4, "{program:?}");
                assert!(!program.name.contains('/') && !program.name.starts_with('.'));
            }
        }
        Err(error) => shown(&error.to_string()),
    }
}
