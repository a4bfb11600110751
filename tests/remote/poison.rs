//! Results that somebody put on a remote who may not: refused, and counted.

use std::fs;
use std::path::{Path, PathBuf};

use build_graph::BlobDigest;
use pynbox_build::remote::settings::{RemoteSettings, TrustSettings, TrustedKey};
use pynbox_build::store::Origin;

use crate::side::{Room, Side, key, remote};

/// A folder as remote, with a result of the writer in it.
fn room() -> (Room, PathBuf, RemoteSettings) {
    let room = Room::new();
    let folder = room.path("shared");
    fs::create_dir(&folder).unwrap();
    let place = remote("shared", folder.to_str().unwrap());
    let writer = room.writer("writer", &place);
    assert_eq!(writer.push(writer.result(1, &[b"alpha", b"beta"])), 1);
    (room, folder, place)
}

fn file(folder: &Path, kind: &str, digest: &str) -> PathBuf {
    folder.join(kind).join(&digest[..2]).join(digest)
}

fn result(folder: &Path, number: u8) -> PathBuf {
    file(folder, "ac", &key(number).to_string())
}

fn refuses(reader: &Side, number: u8) {
    assert!(reader.ask(number).is_none());
    assert_eq!(reader.caches.refused(), 1);
}

#[test]
fn right_shape_wrong_bytes() {
    let (room, folder, place) = room();
    let blob = file(&folder, "cas", &BlobDigest::of(b"alpha").to_string());
    // Of the same length, and well packed.
    fs::write(&blob, zstd::encode_all(&b"ALPHA"[..], 1).unwrap()).unwrap();
    let reader = room.reader("reader", vec![place.clone()]);
    assert!(!reader.get(1));
    assert_eq!(reader.caches.refused(), 1);
    let checked = room.reader("reader 2", vec![place]).caches.check("shared", &[key(1)]).unwrap();
    assert_eq!((checked.files, checked.wrong.len()), (1, 1));
    assert!(checked.wrong[0].contains("has other bytes"), "{:?}", checked.wrong);
}

#[test]
fn right_bytes_wrong_key() {
    let (room, _, place) = room();
    let stranger = room.writer("stranger", &place);
    assert_eq!(stranger.push(stranger.result(2, &[b"alpha", b"beta"])), 1);
    refuses(&room.reader("reader", vec![place]), 2);
}

#[test]
fn an_older_result_under_another_key() {
    let (room, folder, place) = room();
    let to = result(&folder, 2);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(result(&folder, 1), to).unwrap();
    refuses(&room.reader("reader", vec![place.clone()]), 2);
    let open = RemoteSettings { unsigned: true, ..place };
    refuses(&room.reader("trusting reader", vec![open]), 2);
}

#[test]
fn a_signed_result_with_another_tree() {
    let (room, folder, place) = room();
    let path = result(&folder, 1);
    let bytes = zstd::decode_all(&fs::read(&path).unwrap()[..]).unwrap();
    // Every byte counts: what is flipped anywhere is refused.
    for at in (0..bytes.len()).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        fs::write(&path, zstd::encode_all(&flipped[..], 1).unwrap()).unwrap();
        refuses(&room.reader("reader", vec![place.clone()]), 1);
    }
}

#[test]
fn unsigned_results_are_taken_where_a_remote_is_named_for_it_alone() {
    let (room, folder, place) = room();
    fs::remove_file(result(&folder, 1)).unwrap();
    let writing = RemoteSettings::parse(&format!("shared:rw={}", folder.display())).unwrap();
    // Without a key, nothing goes to a remote that is to hold what is signed.
    let keyless = Side::new(&room.path("keyless.store"), vec![writing.clone()], &TrustSettings::default(), None);
    assert_eq!(keyless.push(keyless.result(1, &[b"alpha"])), 0);
    assert!(!result(&folder, 1).exists());
    let writing = RemoteSettings { unsigned: true, ..writing };
    let unsigned = Side::new(&room.path("nobody.store"), vec![writing], &TrustSettings::default(), None);
    assert_eq!(unsigned.push(unsigned.result(1, &[b"alpha"])), 1);
    refuses(&room.reader("reader", vec![place.clone()]), 1);
    let open = RemoteSettings { unsigned: true, ..place };
    let reader = room.reader("trusting reader", vec![open]);
    let origin = reader.ask(1).unwrap().origin.clone();
    let expected = Origin::Cache {
        remote: "shared".to_owned(),
        place: Some(folder.canonicalize().unwrap().to_str().unwrap().to_owned()),
        signed: false,
        engine: None,
        signer: None,
        signed_at: None,
    };
    assert_eq!(origin, expected);
    assert!(reader.get(1));
    // Nobody vouches for it in turn.
    let writer = room.writer("writer", &remote("other", room.path("other").to_str().unwrap()));
    let mut passed_on = writer.result(1, &[b"alpha"]);
    passed_on.origin = origin;
    let (put, refused) = writer.caches.push(&writer.store, &[passed_on]).unwrap();
    assert_eq!((put, refused.len()), (0, 1));
}

#[test]
fn keys_are_rotated_and_revoked() {
    let (room, _, place) = room();
    let (_, old) = room.key("writer");
    let (_, new) = room.key("new");
    let writer = room.writer("new", &place);
    assert_eq!(writer.push(writer.result(2, &[b"gamma"])), 1);
    let reader = |name: &str, key: Vec<_>, revoked: Vec<String>| {
        let trust = TrustSettings { key, revoked, ..TrustSettings::default() };
        Side::new(&room.path(name), vec![place.clone()], &trust, None)
    };
    // Both count while the old one is replaced.
    let both = reader("a", vec![old.clone(), new.clone()], vec![]);
    assert!(both.get(1) && both.get(2));
    let retired = TrustedKey { until: Some("2001-01-01".parse().unwrap()), ..old.clone() };
    let later = reader("b", vec![retired, new.clone()], vec![]);
    assert!(!later.get(1) && later.get(2));
    let id = old_id(&old.key);
    let revoking = reader("c", vec![old, new], vec![id]);
    assert!(!revoking.get(1) && revoking.get(2));
}

/// The id of a key as settings have it.
fn old_id(text: &str) -> String {
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
    blake3::hash(&bytes).to_hex()[..16].to_owned()
}

#[test]
fn what_an_engine_computed_counts_where_the_engine_is_trusted() {
    let (room, _, place) = room();
    let writer = room.writer("writer", &place);
    let mut result = writer.result(3, &[b"delta"]);
    result.origin = Origin::Engine("stranger".to_owned());
    let (put, refused) = writer.caches.push(&writer.store, &[result]).unwrap();
    assert_eq!((put, refused.len()), (0, 1));
    let mut result = writer.result(3, &[b"delta"]);
    result.origin = Origin::Engine("farm".to_owned());
    assert_eq!(writer.push(result), 1);
    refuses(&room.reader("reader", vec![place.clone()]), 3);
    let trust =
        TrustSettings { key: vec![room.key("writer").1], engines: vec!["farm".to_owned()], ..TrustSettings::default() };
    let trusting = Side::new(&room.path("trusting"), vec![place], &trust, None);
    assert!(trusting.get(3));
    let origin = trusting.ask(3).unwrap().origin.clone();
    let Origin::Cache { signed: true, engine: Some(engine), signer: Some(_), .. } = origin else {
        panic!("{origin:?}")
    };
    assert_eq!(engine, "farm");
}

#[test]
fn damaged_files_of_a_remote_are_put_there_anew() {
    let (room, folder, place) = room();
    let damaged: Vec<_> = walkdir::WalkDir::new(folder.join("cas"))
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| fs::write(entry.path(), zstd::encode_all(&b"other bytes"[..], 1).unwrap()).unwrap())
        .collect();
    assert!(!damaged.is_empty());
    assert!(!room.reader("reader", vec![place.clone()]).get(1));
    let writer = room.writer("writer", &place);
    let result = |writer: &Side| writer.result(1, &[b"alpha", b"beta"]);
    // Where something is, nothing is put, unless one says so.
    writer.push(result(&writer));
    assert!(!room.reader("second reader", vec![place.clone()]).get(1));
    assert_eq!(writer.caches.push_anew(&writer.store, &[result(&writer)]).unwrap().0, 1);
    assert!(room.reader("third reader", vec![place]).get(1));
}
