//! Archives that are well, and archives that mean harm.

use std::io::{Cursor, Write};

use build_graph::{BlobDigest, Entry, Tree};
use pynbox_build::archive::{self, ArchiveError, Limits, MemoryBlobs, Options, unpack_deb};
use tar::{EntryType, Header};

/// One member as raw as the format allows: no library checks the name.
fn raw(name: &[u8], kind: EntryType, link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    raw(name.as_bytes(), EntryType::Regular, b"", content)
}

fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.extend([0; 1024]);
    bytes
}

fn unpack(bytes: &[u8]) -> Result<Tree, ArchiveError> {
    archive::unpack(Cursor::new(bytes), &Options::default(), &MemoryBlobs::new())
}

fn refusal(members: &[Vec<u8>]) -> String {
    match unpack(&tar(members)) {
        Err(error @ ArchiveError::Refused { .. }) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path.as_str()).collect()
}

fn sample() -> Vec<u8> {
    tar(&[
        raw(b"./", EntryType::Directory, b"", b""),
        raw(b"./top/", EntryType::Directory, b"", b""),
        raw(b"./top/empty/", EntryType::Directory, b"", b""),
        file("top/a.c", b"int a;\n"),
        raw(b"top/b.c", EntryType::Link, b"top/a.c", b""),
        raw(b"top/link", EntryType::Symlink, b"../../anywhere", b""),
    ])
}

#[test]
fn every_compression_gives_the_same_tree() {
    let plain = sample();
    let expected = unpack(&plain).unwrap();
    assert_eq!(paths(&expected), ["top/a.c", "top/b.c", "top/empty", "top/link"]);
    assert_eq!(expected.get("top/b.c"), expected.get("top/a.c"));
    assert_eq!(expected.get("top/link"), Some(&Entry::Symlink { target: "../../anywhere".into() }));

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for bytes in [gzip.finish().unwrap(), bzip2.finish().unwrap(), xz.finish().unwrap(), zstd] {
        assert_eq!(unpack(&bytes).unwrap(), expected);
        let cut = unpack(&bytes[..bytes.len() - 6]);
        assert!(matches!(cut, Err(ArchiveError::Damaged { .. })), "{cut:?}");
        let mut flipped = bytes.clone();
        let middle = bytes.len() / 2;
        flipped[middle] ^= 0x55;
        assert!(unpack(&flipped).is_err());
    }
}

#[test]
fn contents_and_modes_are_kept() {
    let blobs = MemoryBlobs::new();
    let tree = archive::unpack(Cursor::new(sample()), &Options::default(), &blobs).unwrap();
    let digest = BlobDigest::of(b"int a;\n");
    let entry = Entry::File { digest, size: 7, executable: true };
    assert_eq!(tree.get("top/a.c"), Some(&entry));
    use archive::BlobSource;
    assert_eq!(blobs.read(&entry).unwrap(), b"int a;\n");
}

#[test]
fn strip_takes_leading_components_off() {
    let options = Options { strip: 1, ..Options::default() };
    let tree = archive::unpack(Cursor::new(sample()), &options, &MemoryBlobs::new()).unwrap();
    assert_eq!(paths(&tree), ["a.c", "b.c", "empty", "link"]);
}

#[test]
fn long_names_of_both_kinds() {
    let long = format!("{}/file", "d".repeat(180));
    let mut gnu = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    gnu.append_data(&mut header, &long, &b"x"[..]).unwrap();
    assert_eq!(paths(&unpack(&gnu.into_inner().unwrap()).unwrap()), [long.as_str()]);

    let record = format!("path={long}\n");
    let length = record.len() + 4;
    let pax = format!("{length} {record}");
    assert_eq!(pax.len(), length);
    let bytes = tar(&[raw(b"pax", EntryType::XHeader, b"", pax.as_bytes()), file("short", b"x")]);
    assert_eq!(paths(&unpack(&bytes).unwrap()), [long.as_str()]);
}

#[test]
fn what_would_leave_the_tree_is_refused() {
    for name in ["../x", "a/../../x", "/etc/passwd", "a/..", "./../x"] {
        let message = refusal(&[file(name, b"")]);
        assert!(message.contains(&format!("`{name}`")), "{message}");
    }
    let through = refusal(&[raw(b"a", EntryType::Symlink, b"/etc", b""), file("a/passwd", b"")]);
    assert!(through.contains("`a/passwd`") && through.contains("no directory"), "{through}");
    let replaced = refusal(&[file("a/b", b""), raw(b"a", EntryType::Symlink, b"/etc", b"")]);
    assert!(replaced.contains("`a`"), "{replaced}");
    let into = refusal(&[raw(b"a", EntryType::Symlink, b"/etc", b""), raw(b"a/", EntryType::Directory, b"", b"")]);
    assert!(into.contains("`a/`"), "{into}");
}

#[test]
fn hard_links_lead_to_earlier_members_only() {
    for target in [&b"/etc/shadow"[..], b"../x", b"later"] {
        let message = refusal(&[raw(b"link", EntryType::Link, target, b""), file("later", b"")]);
        assert!(message.contains("`link`"), "{message}");
    }
}

#[test]
fn devices_pipes_and_unknown_kinds_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::new(b'V')] {
        assert!(refusal(&[raw(b"dev/x", kind, b"", b"")]).contains("`dev/x`"));
    }
}

#[test]
fn two_contents_for_one_path_are_refused() {
    let message = refusal(&[file("a", b"1"), file("./a", b"2")]);
    assert!(message.contains("`./a`") && message.contains("another content"), "{message}");
    assert_eq!(unpack(&tar(&[file("a", b"1"), file("a", b"1")])).unwrap().len(), 1);
    // Names that differ in case are two names.
    assert_eq!(unpack(&tar(&[file("a", b"1"), file("A", b"2")])).unwrap().len(), 2);
}

#[test]
fn names_that_are_no_text_are_refused_legibly() {
    let message = refusal(&[raw(b"a\xff", EntryType::Regular, b"", b"")]);
    assert!(message.contains(r"`a\xff`") && message.contains("UTF-8"), "{message}");
    assert!(refusal(&[raw(b"a\nb", EntryType::Regular, b"", b"")]).contains("line feed"));
    assert!(refusal(&[raw(b"l", EntryType::Symlink, b"\xff", b"")]).contains("UTF-8"));
}

#[test]
fn bombs_are_stopped() {
    let small = |limits| {
        let options = Options { limits, ..Options::default() };
        let bytes = zstd::encode_all(tar(&[file("big", &[0; 1 << 20]), file("more", b"")]).as_slice(), 1).unwrap();
        archive::unpack(Cursor::new(bytes), &options, &MemoryBlobs::new()).unwrap_err().to_string()
    };
    let message = small(Limits { bytes: 1 << 19, ..Limits::default() });
    assert!(message.contains("`big`") && message.contains("524288 bytes"), "{message}");
    let message = small(Limits { members: 1, ..Limits::default() });
    assert!(message.contains("`more`") && message.contains("1 members"), "{message}");

    // A header that claims a name of a gigabyte, and brings it, well compressed.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_cksum();
    let endless = header.as_bytes().as_slice().chain(std::io::repeat(b'a').take(4 << 20));
    use std::io::Read;
    let mut bytes = Vec::new();
    { endless }.read_to_end(&mut bytes).unwrap();
    let message = unpack(&zstd::encode_all(bytes.as_slice(), 1).unwrap()).unwrap_err().to_string();
    assert!(message.contains("headers"), "{message}");
}

#[test]
fn sparse_files_in_pax_records_are_refused() {
    let bytes = [raw(b"pax", EntryType::XHeader, b"", b"22 GNU.sparse.major=1\n"), file("hole", b"x")];
    assert!(refusal(&bytes).contains("`hole`"));
    let global = [raw(b"g", EntryType::XGlobalHeader, b"", b"12 path=abc\n"), file("a", b"x")];
    assert!(refusal(&global).contains("`path`"));
    let comment = tar(&[raw(b"g", EntryType::XGlobalHeader, b"", b"16 comment=abcd\n"), file("a", b"x")]);
    assert_eq!(paths(&unpack(&comment).unwrap()), ["a"]);
}

#[test]
fn a_web_page_is_no_archive() {
    let message = unpack(b"<!DOCTYPE html><html>...").unwrap_err().to_string();
    assert!(message.contains("<!DOCTYPE html>") && message.contains("another origin"), "{message}");
    assert!(unpack(b"").is_err());
}

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
fn zip_archives() {
    let bytes = zip_of(&[("p/a.py", 0o644, b"a"), ("p/run", 0o755, b"b"), ("p/l", 0o120_777, b"a.py")]);
    let tree = unpack(&bytes).unwrap();
    assert_eq!(paths(&tree), ["p/a.py", "p/l", "p/run"]);
    assert_eq!(tree.get("p/l"), Some(&Entry::Symlink { target: "a.py".into() }));
    assert!(matches!(tree.get("p/run"), Some(Entry::File { executable: true, .. })));
    assert!(unpack(&bytes[..bytes.len() - 30]).is_err());
}

#[test]
fn zip_attacks() {
    for name in ["../x", "/x", "a/../../x", "a\\..\\x"] {
        let message = unpack(&zip_of(&[(name, 0o644, b"")])).unwrap_err().to_string();
        assert!(message.contains("refused"), "{name}: {message}");
    }
    let through = zip_of(&[("a", 0o120_777, b"/etc"), ("a/passwd", 0o644, b"")]);
    assert!(unpack(&through).unwrap_err().to_string().contains("`a/passwd`"));

    // The same name twice: rename a member in both of its headers.
    let twice = zip_of(&[("aaaa", 0o644, b"1"), ("bbbb", 0o644, b"2")]);
    let twice: Vec<u8> =
        String::from_utf8_lossy(&twice).contains("bbbb").then(|| replace(&twice, b"bbbb", b"aaaa")).unwrap();
    assert!(unpack(&twice).unwrap_err().to_string().contains("twice"));

    let options = Options { limits: Limits { bytes: 1000, ..Limits::default() }, ..Options::default() };
    let bomb = zip_of(&[("big", 0o644, &[0; 1 << 20])]);
    let error = archive::unpack(Cursor::new(bomb), &options, &MemoryBlobs::new()).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { limit: 1000, .. }), "{error}");
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn debian_packages_need_their_parts() {
    let deb = |members: &[(&str, &[u8])]| {
        let mut builder = ar::Builder::new(Vec::new());
        for (name, content) in members {
            builder.append(&ar::Header::new(name.as_bytes().to_vec(), content.len() as u64), *content).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let data = zstd::encode_all(sample().as_slice(), 1).unwrap();
    let unpack = |bytes: Vec<u8>| unpack_deb(Cursor::new(bytes), &Options::default(), &MemoryBlobs::new());
    let good = unpack(deb(&[("debian-binary", b"2.0\n"), ("control.tar.xz", b""), ("data.tar.zst", &data)]));
    assert_eq!(good.unwrap().len(), 4);
    for bad in [
        deb(&[("debian-binary", b"2.0\n")]),
        deb(&[("debian-binary", b"3.0\n"), ("data.tar.zst", &data)]),
        deb(&[("data.tar.zst", &data)]),
        deb(&[("debian-binary", b"2.0\n"), ("data.tar.zst", &data), ("data.tar.zst", &data)]),
        deb(&[("debian-binary", b"2.0\n"), ("data.tar.zst", b"<html>")]),
        b"<html>".to_vec(),
        Vec::new(),
    ] {
        assert!(matches!(unpack(bad), Err(ArchiveError::NoPackage { .. })));
    }
}
