//! One scenario over each kind of place, with the real server where there is one.

use std::fs;

use pynbox_build::repository::RepositoryError;
use pynbox_build::repository::publish::KeyChange;
use pynbox_build::repository::settings::RepositorySettings;
use testing::web;

use crate::room::{NOW, Room, at};

/// Packages are published and fetched; versions stay what they are; publishers at the same time
/// lose nothing.
fn serves(room: &Room, place: &RepositorySettings) {
    let keys = KeyChange::default();
    let (small, large) = (room.package("small", "1", &[("root/a", b"text")]), room.large("large", "2", 3_000_000));
    let index = room.publish(place, 1, &[small.clone(), large.clone()], &keys, NOW).unwrap();
    assert_eq!((index.number, index.keys, index.packages.len()), (1, 1, 2));
    let reader = room.reader("reader", &[1]);
    let repository = reader.open(place, NOW).unwrap();
    assert_eq!(reader.fetch(&repository, "small").unwrap(), small.bytes);
    assert_eq!(reader.fetch(&repository, "large").unwrap(), large.bytes);
    // The same again changes nothing but the number; other bytes are refused.
    let index = room.publish(place, 1, &[small], &keys, NOW).unwrap();
    assert_eq!((index.number, index.packages.len()), (2, 2));
    let other = room.package("small", "1", &[("root/a", b"other")]);
    let refused = room.publish(place, 1, &[other], &keys, NOW);
    assert!(matches!(refused, Err(RepositoryError::Published { .. })), "{refused:?}");
    // Two machines with one key.
    let (key, seeds) = (crate::room::key(1), ["one", "two"]);
    let mine = seeds.map(|name| room.package(name, "1", &[("root/x", name.as_bytes())]));
    let start = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for (name, package) in seeds.iter().zip(&mine) {
            let (start, key, keys) = (&start, &key, &keys);
            scope.spawn(move || {
                let memory = room.path(&format!("machine-{name}.json"));
                start.wait();
                room.publish_as(place, key, &memory, std::slice::from_ref(package), keys, NOW).unwrap();
            });
        }
    });
    let repository = reader.open(place, NOW).unwrap();
    let names: Vec<_> = repository.index().packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["large", "one", "small", "two"]);
    assert_eq!(reader.fetch(&repository, "two").unwrap(), mine[1].bytes);
}

#[test]
fn a_folder_serves() {
    let room = Room::new();
    serves(&room, &at(&room.folder()));
    let names = walkdir::WalkDir::new(room.folder()).into_iter().map(|entry| entry.unwrap().file_name().to_owned());
    assert!(!names.map(|name| name.into_string().unwrap()).any(|name| name.starts_with(".new-")));
}

/// nginx ignores the conditions of requests.
#[test]
#[ignore = "needs nginx"]
fn nginx_serves() {
    let room = Room::new();
    let server = web::nginx(&room.path("nginx"));
    serves(&room, &at(&format!("http://127.0.0.1:{}/prefix", server.port)));
}

/// What was published into a folder is served as it lies there.
#[test]
#[ignore = "needs nginx"]
fn a_folder_is_served_by_nginx() {
    let room = Room::new();
    let server = web::nginx(&room.path("nginx"));
    let package = room.package("small", "1", &[("root/a", b"text")]);
    let folder = room.path("nginx/files/repository");
    let published =
        room.publish(&at(folder.to_str().unwrap()), 1, std::slice::from_ref(&package), &KeyChange::default(), NOW);
    published.unwrap();
    let place = at(&format!("http://127.0.0.1:{}/read-only/repository", server.port));
    let reader = room.reader("reader", &[1]);
    assert_eq!(reader.fetch(&reader.open(&place, NOW).unwrap(), "small").unwrap(), package.bytes);
    // Who may only read can't publish, and changes nothing.
    let before = fs::read(folder.join("index.json")).unwrap();
    let refused = room.publish(&place, 1, &[room.package("more", "1", &[])], &KeyChange::default(), NOW);
    assert!(matches!(refused, Err(RepositoryError::Remote(_))), "{refused:?}");
    assert_eq!(fs::read(folder.join("index.json")).unwrap(), before);
}

#[test]
#[ignore = "needs s3s-fs"]
fn s3_serves() {
    let room = Room::new();
    let server = web::s3(&room.path("s3"));
    let endpoint = Some(format!("http://127.0.0.1:{}", server.port));
    serves(
        &room,
        &RepositorySettings { endpoint, timeout: 20, ..RepositorySettings::at("s3://KEY:SECRET@bucket/some/prefix") },
    );
}
