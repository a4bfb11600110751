//! Root file systems from packages made here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};

use build_graph::{Entry, Glob, Projection, RelPath, Tree};
use formats::archive::MemoryBlobs;
use formats::image::{ImageError, PackageFile, build_image};

enum Item<'a> {
    File(&'a str, u32, &'a str),
    Link(&'a str, &'a str),
    Directory(&'a str),
}
use Item::{Directory, File as Plain, Link};

fn package(name: &str, items: &[Item<'_>]) -> PackageFile {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1_234_567);
        header.set_uid(1000);
        match item {
            Plain(path, mode, content) => {
                header.set_mode(*mode);
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, content.as_bytes()).unwrap();
            }
            Link(path, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, path, target).unwrap();
            }
            Directory(path) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                tar.append_data(&mut header, path, &b""[..]).unwrap();
            }
        }
    }
    let data = zstd::encode_all(tar.into_inner().unwrap().as_slice(), 1).unwrap();
    let mut deb = ar::Builder::new(Vec::new());
    for (member, content) in [("debian-binary", &b"2.0\n"[..]), ("data.tar.zst", &data)] {
        deb.append(&ar::Header::new(member.as_bytes().to_vec(), content.len() as u64), content).unwrap();
    }
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(&deb.into_inner().unwrap()).unwrap();
    file.rewind().unwrap();
    PackageFile { name: name.into(), file }
}

fn build(packages: &[PackageFile]) -> Result<Tree, ImageError> {
    build_image(packages, &BTreeMap::new(), &Projection::all(), &MemoryBlobs::new())
}

fn dash() -> PackageFile {
    package("dash", &[Directory("./bin/"), Plain("bin/dash", 0o755, "dash"), Link("bin/sh", "dash")])
}

fn libc() -> PackageFile {
    package(
        "libc6",
        &[
            Plain("lib/x86_64-linux-gnu/libc.so.6", 0o755, "libc"),
            Link("lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
            Directory("usr/share/empty"),
            Plain("usr/share/doc/libc6/copyright", 0o644, "words"),
        ],
    )
}

#[test]
fn directories_are_merged_below_usr() {
    let tree = build(&[dash(), libc()]).unwrap();
    let paths: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "bin",
            "build",
            "dev",
            "etc/group",
            "etc/hosts",
            "etc/nsswitch.conf",
            "etc/passwd",
            "lib",
            "lib64",
            "proc",
            "sbin",
            "tmp",
            "usr/bin/dash",
            "usr/bin/sh",
            "usr/lib/x86_64-linux-gnu/libc.so.6",
            "usr/lib64/ld-linux-x86-64.so.2",
            "usr/share/doc/libc6/copyright",
            "usr/share/empty",
        ]
    );
    assert_eq!(tree.get("bin"), Some(&Entry::Symlink { target: "usr/bin".into() }));
    assert_eq!(tree.get("build"), Some(&Entry::EmptyDirectory));
}

#[test]
fn the_order_of_packages_does_not_matter() {
    let shared = || package("twin", &[Link("bin/sh", "dash"), Plain("usr/bin/dash", 0o4755, "dash")]);
    let one = build(&[dash(), libc(), shared()]).unwrap();
    let two = build(&[shared(), libc(), dash()]).unwrap();
    assert_eq!(one.digest(), two.digest());
}

#[test]
fn a_conflict_names_both_packages_whatever_their_order() {
    let other = || package("another", &[Plain("usr/bin/dash", 0o755, "not dash")]);
    for packages in [[dash(), other()], [other(), dash()]] {
        let message = build(&packages).unwrap_err().to_string();
        assert!(message.starts_with("packages `another` and `dash` both have `usr/bin/dash`"), "{message}");
    }
}

#[test]
fn a_directory_may_be_a_link_elsewhere() {
    let link = || package("a", &[Link("usr/share/empty", "other")]);
    let tree = build(&[libc(), link()]).unwrap();
    assert_eq!(tree.get("usr/share/empty"), Some(&Entry::Symlink { target: "other".into() }));
    let through = package("b", &[Plain("usr/share/empty/file", 0o644, "")]);
    assert!(matches!(build(&[link(), through]), Err(ImageError::Structure { .. })));
}

#[test]
fn links_of_the_image_stand_or_are_refused() {
    let links = |path: &str, target: &str| BTreeMap::from([(RelPath::new(path).unwrap(), target.to_owned())]);
    let image = |links| build_image(&[dash()], &links, &Projection::all(), &MemoryBlobs::new());
    let tree = image(links("usr/bin/awk", "mawk")).unwrap();
    assert_eq!(tree.get("usr/bin/awk"), Some(&Entry::Symlink { target: "mawk".into() }));
    image(links("usr/bin/sh", "dash")).unwrap();
    let message = image(links("usr/bin/sh", "bash")).unwrap_err().to_string();
    assert!(message.contains("`usr/bin/sh` -> `bash`") && message.contains("`dash`"), "{message}");
}

#[test]
fn what_is_left_out_is_not_even_stored() {
    let part = Projection::new(Vec::new(), vec![Glob::new("usr/share/doc").unwrap()], None);
    let blobs = MemoryBlobs::new();
    let tree = build_image(&[libc()], &BTreeMap::new(), &part, &blobs).unwrap();
    assert!(tree.get("usr/share/doc/libc6/copyright").is_none());
    assert_eq!(blobs.len(), 5);
    let part = Projection::new(vec![Glob::new("usr/nothing").unwrap()], Vec::new(), None);
    let error = build_image(&[libc()], &BTreeMap::new(), &part, &MemoryBlobs::new()).unwrap_err();
    assert!(matches!(error, ImageError::Nothing(_)));
}

#[test]
fn a_broken_package_is_named() {
    let file = tempfile::tempfile().unwrap();
    let broken = PackageFile { name: "broken".into(), file };
    assert!(build(&[dash(), broken]).unwrap_err().to_string().starts_with("package `broken`: "));
}

#[test]
fn devices_and_escapes_stay_out() {
    for path in ["../../etc/cron.d/x", "/etc/x"] {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(0);
        header.set_cksum();
        let mut data = header.as_bytes().to_vec();
        data.extend([0; 1024]);
        let mut deb = ar::Builder::new(tempfile::tempfile().unwrap());
        for (member, content) in [("debian-binary", &b"2.0\n"[..]), ("data.tar", &data)] {
            deb.append(&ar::Header::new(member.as_bytes().to_vec(), content.len() as u64), content).unwrap();
        }
        let package = PackageFile { name: "evil".into(), file: deb.into_inner().unwrap() };
        let message = build(&[package]).unwrap_err().to_string();
        assert!(message.contains("`evil`") && message.contains(path), "{message}");
    }
}
