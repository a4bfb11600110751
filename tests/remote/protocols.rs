//! One scenario over each transport, with the real server where there is one.

use std::fs;

use build_graph::{BlobDigest, Entry};
use pynbox_build::remote::settings::RemoteSettings;
use pynbox_build::store::Origin;

use crate::side::{Room, key, remote};
use testing::{free_port, web};

/// A writer puts results there; a reader who has never seen them gets them, lazily.
fn serves(room: &Room, remote: &RemoteSettings) {
    let large: Vec<u8> = (0..20_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let small: Vec<Vec<u8>> = (0..300u32).map(|at| format!("file number {at}\n").repeat(50).into_bytes()).collect();
    let mut files: Vec<&[u8]> = small.iter().map(Vec::as_slice).collect();
    files.extend([&large[..], b"", b"twice", b"twice"]);
    let writer = room.writer("writer", remote);
    assert_eq!(writer.push(writer.result(1, &files)), 1);
    let mut claim = writer.result(2, &[b"made of others' bytes"]);
    claim.with_bytes = false;
    assert_eq!(writer.push(claim), 1);

    let reader = room.reader("reader", vec![remote.clone()]);
    let hits = reader.caches.look_up(&[key(1), key(2), key(3)]);
    assert_eq!(hits.len(), 2);
    let hit = &hits[&key(1)];
    let Origin::Cache { remote: from, signed: true, engine: None, signer: Some(_), .. } = &hit.origin else {
        panic!("{:?}", hit.origin)
    };
    assert_eq!(*from, remote.name);
    // Nothing has been fetched but what it is.
    assert_eq!(reader.store.missing(&hit.tree).unwrap().len(), files.len());
    let known: Vec<_> =
        [1, 2].map(|number| (key(number), reader.store.put_tree(&hits[&key(number)].tree).unwrap())).into();
    let whole = reader.caches.whole(&reader.store, &known).unwrap();
    assert!(whole.contains(&key(1)) && !whole.contains(&key(2)));
    assert!(reader.get(1));
    assert!(!reader.get(2));
    let entry = Entry::File { digest: BlobDigest::of(&large), size: large.len() as u64, executable: false };
    assert_eq!(reader.store.read_blob(&entry).unwrap(), large);
    // What is there already is not sent again, and a result may be replaced.
    assert_eq!(writer.push(writer.result(1, &[b"another"])), 1);
    assert!(room.reader("reader 2", vec![remote.clone()]).get(1));
    let checked = room.reader("reader 3", vec![remote.clone()]).caches.check(&remote.name, &[key(1), key(9)]).unwrap();
    assert_eq!((checked.results, checked.files, checked.absent, checked.wrong.len()), (1, 1, 1, 0));
}

#[test]
fn a_folder_serves() {
    let room = Room::new();
    let folder = room.path("shared");
    fs::create_dir(&folder).unwrap();
    serves(&room, &remote("shared", folder.to_str().unwrap()));
    // No half-written file is left.
    let names = walkdir::WalkDir::new(&folder).into_iter().map(|entry| entry.unwrap().file_name().to_owned());
    assert!(!names.map(|name| name.into_string().unwrap()).any(|name| name.starts_with(".new-")));
}

#[test]
#[ignore = "needs nginx"]
fn nginx_serves() {
    let room = Room::new();
    let server = web::nginx(&room.path("nginx"));
    serves(&room, &remote("web", &format!("http://127.0.0.1:{}/prefix", server.port)));
}

#[test]
#[ignore = "needs nginx"]
fn a_server_that_takes_nothing_is_still_read_from() {
    let room = Room::new();
    let server = web::nginx(&room.path("nginx"));
    let open = remote("web", &format!("http://127.0.0.1:{}", server.port));
    let closed = remote("web", &format!("http://127.0.0.1:{}/read-only", server.port));
    let writer = room.writer("writer", &open);
    assert_eq!(writer.push(writer.result(1, &[b"bytes"])), 1);
    let refused = room.writer("writer", &closed);
    assert_eq!(refused.push(refused.result(2, &[b"other"])), 0);
    assert!(!refused.caches.take_results());
    assert!(room.reader("reader", vec![closed]).get(1));
}

#[test]
#[ignore = "needs s3s-fs"]
fn s3_serves() {
    let room = Room::new();
    let server = web::s3(&room.path("s3"));
    let endpoint = Some(format!("http://127.0.0.1:{}", server.port));
    serves(
        &room,
        &RemoteSettings {
            endpoint: endpoint.clone(),
            timeout: 20,
            ..remote("s3", "s3://KEY:SECRET@bucket/some/prefix")
        },
    );
    let wrong = RemoteSettings { endpoint, ..remote("wrong", "s3://KEY:GUESSED@bucket/some/prefix") };
    assert!(room.reader("stranger", vec![wrong]).ask(1).is_none());
}

#[test]
fn several_remotes_complete_one_another() {
    let room = Room::new();
    let (first, second) = (room.path("first"), room.path("second"));
    for folder in [&first, &second] {
        fs::create_dir(folder).unwrap();
    }
    let (first, second) = (remote("first", first.to_str().unwrap()), remote("second", second.to_str().unwrap()));
    let down = remote("down", &format!("http://127.0.0.1:{}", free_port()));
    for (place, name) in [(&first, "writer"), (&second, "writer")] {
        let writer = room.writer(name, place);
        assert_eq!(writer.push(writer.result(1, &[b"alpha", b"beta"])), 1);
    }
    // The first has lost a file, which the second still has.
    let digest = BlobDigest::of(b"alpha").to_string();
    fs::remove_file(room.path("first").join("cas").join(&digest[..2]).join(&digest)).unwrap();
    let reader = room.reader("reader", vec![down, first, second]);
    let hit = reader.ask(1).unwrap();
    reader.store.put_tree(&hit.tree).unwrap();
    assert!(reader.caches.whole(&reader.store, &[(key(1), hit.digest)]).unwrap().contains(&key(1)));
    assert!(reader.get(1));
}
