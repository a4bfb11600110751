//! Archives that are well, and archives that mean harm.

mod property;
mod streams;
mod zips;

use std::io::Cursor;

use build_graph::{BlobDigest, Entry, Tree};
use formats::archive::{self, ArchiveError, MemoryBlobs, Options, unpack_deb};
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

fn unpack_with(bytes: &[u8], options: Options<'_>) -> Result<Tree, ArchiveError> {
    archive::unpack(Cursor::new(bytes), &options, &MemoryBlobs::new())
}

fn message(bytes: &[u8]) -> String {
    unpack(bytes).unwrap_err().to_string()
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
fn members_make_a_tree() {
    let tree = unpack(&sample()).unwrap();
    assert_eq!(paths(&tree), ["top/a.c", "top/b.c", "top/empty", "top/link"]);
    assert_eq!(tree.get("top/b.c"), tree.get("top/a.c"));
    assert_eq!(tree.get("top/link"), Some(&Entry::Symlink { target: "../../anywhere".into() }));
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

/// Headers that claim a name, a link or records of a gigabyte, and bring it, well compressed.
#[test]
fn endless_headers_are_stopped() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader] {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(1 << 30);
        header.set_cksum();
        let bytes = [header.as_bytes().as_slice(), &vec![b'a'; 4 << 20]].concat();
        let message = message(&zstd::encode_all(bytes.as_slice(), 1).unwrap());
        assert!(message.contains("header"), "{message}");
    }
}

#[test]
fn holes_count() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..4].copy_from_slice(b"hole");
    gnu.mode.copy_from_slice(b"0000644\0");
    for (field, value) in [(&mut gnu.sparse[0].offset, 1_u64 << 50), (&mut gnu.realsize, 1 << 50)] {
        *field = [0; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    header.set_size(0);
    header.set_cksum();
    let error = unpack(&tar(&[header.as_bytes().to_vec()])).unwrap_err();
    assert!(matches!(&error, ArchiveError::TooLarge { member, .. } if member == "hole"), "{error}");
}

/// A header of a link or a directory with a size: POSIX says that nothing is stored with it.
fn sized(name: &[u8], kind: EntryType, link: &[u8], size: u64) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn pax(records: &[u8]) -> Vec<u8> {
    raw(b"pax", EntryType::XHeader, b"", records)
}

#[test]
fn a_size_in_the_header_of_a_link_or_a_folder_swallows_nothing() {
    let given = unpack(include_bytes!("../data/archives/symlink-with-size.tar")).unwrap();
    assert_eq!(paths(&given), ["p-1/a", "p-1/l", "p-1/lost.h", "p-1/z"]);
    for size in [1, 512, 1000, 1 << 40] {
        let members = [
            file("p/a", b"a"),
            sized(b"p/l", EntryType::Symlink, b"a", size),
            sized(b"p/h", EntryType::Link, b"p/a", size),
            sized(b"p/d/", EntryType::Directory, b"", size),
            file("p/kept.h", b"#define KEPT\n"),
            sized(b"p/e/", EntryType::Directory, b"", size),
        ];
        let tree = unpack(&tar(&members)).unwrap();
        assert_eq!(paths(&tree), ["p/a", "p/d", "p/e", "p/h", "p/kept.h", "p/l"], "{size}");
        assert_eq!(tree.get("p/h"), tree.get("p/a"));
        // Without the mark at the end, too.
        assert_eq!(unpack(&members.concat()).unwrap(), tree);
    }
    // The size in a pax record counts no more.
    let members = [
        pax(b"13 size=1024\n"),
        sized(b"l", EntryType::Symlink, b"a", 0),
        file("one", b"1"),
        pax(b"12 size=512\n"),
        sized(b"d", EntryType::Directory, b"", 0),
        file("two", b"2"),
    ];
    assert_eq!(paths(&unpack(&tar(&members)).unwrap()), ["d", "l", "one", "two"]);
    // Of a file it counts, whatever the header says.
    let members = [
        pax(b"10 size=1\n"),
        sized(b"f", EntryType::Regular, b"", 600),
        [&b"1"[..], &[0; 511]].concat(),
        file("g", b""),
    ];
    let tree = unpack(&tar(&members)).unwrap();
    assert!(matches!(tree.get("f"), Some(Entry::File { size: 1, .. })) && tree.get("g").is_some());
    // Contents of links, as some programs write them, are no members.
    let with_data = [file("a", b"a"), raw(b"h", EntryType::Link, b"a", b"a"), file("b", b"")];
    let message = refusal(&with_data);
    assert!(message.contains("`h`") && message.contains("1 bytes follow"), "{message}");
}

#[test]
fn records_that_programs_read_differently_are_refused() {
    for (records, what) in [
        (&b"9 path=x\n9 path=y\n"[..], "`path` twice"),
        (b"9 size=1\n9 size=2\n", "`size` twice"),
        (b"11 size=1x\n", "`size` to `1x`, which is no number"),
        (b"13 size=0x1\n", "malformed"),
        (b"8 path=\n", "`path` to nothing"),
    ] {
        let message = refusal(&[pax(records), file("a", b"")]);
        assert!(message.contains(what), "{message}");
    }
    // A long name and a record say two things.
    let long = raw(b"././@LongLink", EntryType::GNULongName, b"", b"long\0");
    let message = refusal(&[long, pax(b"12 path=abc\n"), file("a", b"")]);
    assert!(message.contains("its `path`, and contradict"), "{message}");
}

#[test]
fn members_after_the_end_are_not_lost() {
    let one = tar(&[file("a", b"1")]);
    let two = tar(&[file("b", b"2")]);
    let message = message(&[&*one, &two].concat());
    assert!(message.contains("`a`") && message.contains("more members") && message.contains("`tar -i`"), "{message}");
    // Padding is no member, whatever is in it.
    for padding in [vec![0; 10240], vec![7; 700]] {
        assert_eq!(paths(&unpack(&[&*one, &padding].concat()).unwrap()), ["a"]);
    }
}

#[test]
fn stripping_needs_one_folder_at_the_top() {
    let strip = |strip, bytes: &[u8]| {
        let options = Options { strip, ..Options::default() };
        archive::unpack(Cursor::new(bytes), &options, &MemoryBlobs::new()).map_err(|error| error.to_string())
    };
    let given = include_bytes!("../data/archives/two-tops.tar");
    let message = strip(1, given).unwrap_err();
    assert!(
        message.contains("`p-1`") && message.contains("`other`") && message.contains("the first component"),
        "{message}"
    );
    assert_eq!(paths(&strip(0, given).unwrap()), ["other/b", "p-1/a"]);

    let directory = |name: &[u8]| raw(name, EntryType::Directory, b"", b"");
    for (members, names) in [
        (vec![file("p/a", b""), file("README", b"")], ["`README`", "`p`"]),
        (vec![file("README", b""), file("p/a", b"")], ["`README`", "`p`"]),
        (vec![file("p/a", b""), raw(b"l", EntryType::Symlink, b"p", b"")], ["`l`", "`p`"]),
        (vec![file("p/a", b""), raw(b"l", EntryType::Link, b"p/a", b"")], ["`l`", "`p`"]),
        (vec![file("p/a", b""), directory(b"q/")], ["`q`", "`p`"]),
        (vec![directory(b"q"), file("p/a", b"")], ["`q`", "`p`"]),
        (vec![file("README", b"")], ["`README`", "not in a folder"]),
        (vec![file("p/a\x1b[1m/x", b""), file("\u{202e}q", b"")], [r"`\u{202e}q`", "`p`"]),
    ] {
        let message = strip(1, &tar(&members)).unwrap_err();
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
        assert!(strip(0, &tar(&members)).is_ok());
    }
    let two = [directory(b"p"), directory(b"p/q"), file("p/q/a", b""), file("p/q/r/b", b"")];
    assert_eq!(paths(&strip(2, &tar(&two)).unwrap()), ["a", "r/b"]);
    for beside in [file("p/README", b""), file("p/r/x", b""), file("x", b""), directory(b"o"), directory(b"p/o")] {
        let message = strip(2, &tar(&[&two[..], &[beside]].concat())).unwrap_err();
        assert!(message.contains("`p/q`") && message.contains("the first 2 components"), "{message}");
    }
    // Folders whose names begin alike are two.
    assert!(strip(1, &tar(&[file("p/a", b""), file("p1/a", b"")])).is_err());
}

#[test]
fn names_reach_no_terminal_as_they_are() {
    let given = unpack(include_bytes!("../data/archives/escape-sequence-in-name.tar")).unwrap_err().to_string();
    assert!(given.contains("`p-1/a`") && !given.contains(char::is_control), "{given}");
    for name in ["\x1b[31m/../x", "\u{9b}2J/..", "\u{202e}/..", "\r/.."] {
        let message = refusal(&[file(name, b"")]);
        assert!(!message.contains(|c: char| c.is_control() || c == '\u{202e}'), "{message}");
    }
    // A header that the reader itself speaks of.
    let mut damaged = file("a\x1b]0;title\x07", b"");
    damaged[124..136].copy_from_slice(b"\x1b[1mx\0\0\0\0\0\0\0");
    let sum: u64 = damaged[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    damaged[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let message = message(&damaged);
    assert!(message.contains("size is no number") && !message.contains(char::is_control), "{message}");
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
    // A header that asks for ten gigabytes gets none, whatever kind of member it is.
    for name in ["//              ", "#1/9999999999   ", "/               ", "data.tar        "] {
        let header = format!("{name}0           0     0     100644  9999999999`\n");
        let first = deb(&[("debian-binary", b"2.0\n")]);
        assert!(unpack([&*first, header.as_bytes(), b"x"].concat()).is_err(), "{name}");
    }
    let message = unpack(deb(&[("debian-binary", b"2.0\n"), ("data.tar.\x1b[1m", b"?")])).unwrap_err().to_string();
    assert!(message.contains(r"`data.tar.\u{1b}[1m`"), "{message}");
}
