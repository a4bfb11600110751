//! Compressed streams: what may follow them, and what must be said of it.

use std::io::Write;

use formats::archive::{ArchiveError, ArchiveLimits, Options};
use tar::EntryType;

use super::{file, message, paths, raw, sample, tar, unpack, unpack_with};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

type Compress = fn(&[u8]) -> Vec<u8>;
const ALL: [(&str, Compress); 4] = [("gzip", gzip), ("bzip2", bzip2), ("xz", xz), ("zstd", zstd)];

#[test]
fn every_compression_gives_the_same_tree() {
    let plain = sample();
    let expected = unpack(&plain).unwrap();
    for (name, compress) in ALL {
        let bytes = compress(&plain);
        assert_eq!(unpack(&bytes).unwrap(), expected, "{name}");
        for cut in [1, 6, bytes.len() / 2] {
            let cut = message(&bytes[..bytes.len() - cut]);
            assert!(cut.contains("damaged or cut short"), "{name}: {cut}");
        }
        let mut flipped = bytes.clone();
        let middle = bytes.len() / 2;
        flipped[middle] ^= 0x55;
        assert!(unpack(&flipped).is_err(), "{name}");
    }
}

#[test]
fn concatenated_streams_are_one() {
    let plain = sample();
    let expected = unpack(&plain).unwrap();
    for (name, compress) in ALL {
        for at in [0, 700, 1024] {
            let both = [compress(&plain[..at]), compress(&plain[at..])].concat();
            assert_eq!(unpack(&both).unwrap(), expected, "{name}, {at}");
        }
    }
}

#[test]
fn zeros_after_the_end_are_padding_where_the_format_says_so() {
    let plain = sample();
    let expected = unpack(&plain).unwrap();
    assert_eq!(
        paths(&unpack(include_bytes!("../data/archives/gzip-then-zeros.tgz")).unwrap()).len(),
        1,
        "a tape's padding"
    );
    for (name, compress) in ALL {
        for zeros in [1, 3, 4, 512, 70_000] {
            let padded = [compress(&plain), vec![0; zeros]].concat();
            let fine = match name {
                "gzip" | "bzip2" => true,
                "xz" => zeros % 4 == 0,
                _ => false,
            };
            match unpack(&padded) {
                Ok(tree) => assert!(fine && tree == expected, "{name}, {zeros}"),
                Err(error) => {
                    let message = error.to_string();
                    assert!(
                        !fine && message.contains(&format!("{zeros} zeros are after the end")),
                        "{name}: {message}"
                    );
                }
            }
        }
        // What the format's own programs would not see.
        let hidden = [compress(&plain), vec![0; 4], compress(&plain)].concat();
        if name != "xz" {
            assert!(message(&hidden).contains(&format!("after the end of the {name} stream")), "{name}");
        }
    }
}

#[test]
fn text_after_the_end_is_shown() {
    for (name, compress) in ALL {
        for text in ["<html>not found</html>", "x", "\x1b[2J\n"] {
            let message = message(&[&*compress(&sample()), text.as_bytes()].concat());
            let shown = text.replace('\x1b', "\\u{1b}").replace('\n', "\\n");
            let expected = format!("`{shown}` stands after the end of the {name} stream; cut that off");
            assert!(message.contains(&expected), "{name}: {message}");
        }
    }
}

#[test]
fn zstd_may_hold_frames_to_skip() {
    let plain = sample();
    let expected = unpack(&plain).unwrap();
    let skip = [&b"\x5a\x2a\x4d\x18\x05\0\0\0"[..], b"notes"].concat();
    let (one, two) = (zstd(&plain[..600]), zstd(&plain[600..]));
    for pieces in
        [[&*skip, &one, &two, &[]], [&one, &skip, &two, &[]], [&one, &two, &skip, &[]], [&skip, &skip, &one, &two]]
    {
        assert_eq!(unpack(&pieces.concat()).unwrap(), expected);
    }
    assert!(message(&[&*one, &two, &skip[..10]].concat()).contains("cut short"));
}

#[test]
fn a_long_window_is_named() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&sample()).unwrap();
    let message = message(&encoder.finish().unwrap());
    assert!(
        message.contains("a window of 268435456 bytes (`zstd --long`)") && message.contains("without `--long`"),
        "{message}"
    );

    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(liblzma::stream::LzmaOptions::new_preset(0).unwrap().dict_size(1 << 30));
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(&sample()).unwrap();
    let message = super::message(&encoder.finish().unwrap());
    assert!(message.contains("bytes of memory") && message.contains("`xz -9` at most"), "{message}");
}

#[test]
fn what_is_no_tar_inside_is_told() {
    let twice = message(&gzip(&gzip(&sample())));
    assert!(
        twice.contains("what is compressed with gzip is no tar archive")
            && twice.contains("it is compressed with gzip"),
        "{twice}"
    );
    for (inside, is) in [
        (&b"\x1b]0;title\x07 text"[..], r"begins with `\u{1b}]0;title\u{7} text`"),
        (b"", "is empty"),
        (b"PK\x03\x04", "is a zip archive"),
        (b"\xfd7zXZ\0", "is compressed with xz"),
    ] {
        for (name, compress) in ALL {
            let message = message(&compress(inside));
            assert!(message.contains(is) && message.contains(name), "{message}");
            assert!(!message.contains(char::is_control), "{message}");
        }
    }
}

#[test]
fn other_formats_are_named() {
    for (begins, is) in [
        (
            &b"<!DOCTYPE html><html>..."[..],
            "begins with `<!DOCTYPE html><html>...`; pack it again, or, if it is a web page, fetch it",
        ),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "is a 7z archive"),
        (b"Rar!\x1a\x07\x01\0", "is a RAR archive"),
        (b"!<arch>\ndebian-binary   ", "is an ar archive or a Debian package"),
        (b"#!/bin/sh\nexit 0\n", "is a script"),
        (b"\x1f\x9d\x90", "is compressed with compress"),
        (b"LZIP\x01", "is compressed with lzip"),
        (b"\x1b[31m", r"begins with `\u{1b}[31m`"),
        (b"", "is empty"),
    ] {
        let message = message(begins);
        assert!(message.contains(is), "{message}");
    }
}

#[test]
fn bombs_are_stopped() {
    let bomb = tar(&[file("big", &[0; 1 << 20]), file("more", b"")]);
    for (name, compress) in ALL {
        let small =
            |limits| unpack_with(&compress(&bomb), Options { limits, ..Options::default() }).unwrap_err().to_string();
        let message = small(ArchiveLimits { bytes: 1 << 19, ..ArchiveLimits::default() });
        assert!(message.contains("`big`") && message.contains("524288 bytes"), "{name}: {message}");
        let message = small(ArchiveLimits { members: 1, ..ArchiveLimits::default() });
        assert!(message.contains("`more`") && message.contains("1 members"), "{name}: {message}");
        let message = small(ArchiveLimits { names: 6, ..ArchiveLimits::default() });
        assert!(message.contains("`more`") && message.contains("6 bytes of paths"), "{name}: {message}");
    }
    // What links lead to is held in memory, too.
    let links = tar(&[raw(b"l", EntryType::Symlink, &[b'x'; 99], b"")]);
    let limits = ArchiveLimits { names: 99, ..ArchiveLimits::default() };
    let error = unpack_with(&links, Options { limits, ..Options::default() }).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { limit: 99, .. }), "{error}");
}
