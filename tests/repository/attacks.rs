//! The attacks that The Update Framework names, and keys that change hands.

use std::fs;
use std::path::Path;

use pynbox_build::remote::dsse::Signed;
use pynbox_build::remote::envelope::KeyId;
use pynbox_build::repository::RepositoryError;
use pynbox_build::repository::index::{self, Index};
use pynbox_build::repository::publish::KeyChange;
use pynbox_build::repository::settings::RepositorySettings;

use crate::room::{Built, DAY, NOW, Room, at, key};

/// A repository in a folder with version 1 of a package, then version 2; what it was in between is
/// kept beside it.
struct History {
    room: Room,
    place: RepositorySettings,
    packages: [Built; 2],
}

impl History {
    fn new() -> Self {
        let room = Room::new();
        let place = at(&room.folder());
        let packages = ["1", "2"].map(|version| room.package("tool", version, &[("root/v", version.as_bytes())]));
        for (number, package) in packages.iter().enumerate() {
            let now = NOW + number as u64 * DAY;
            room.publish(&place, 1, std::slice::from_ref(package), &KeyChange::default(), now).unwrap();
            copy(&room.path("repository"), &room.path(&format!("state-{}", number + 1)));
        }
        Self { room, place, packages }
    }

    fn state(&self, number: u8) -> RepositorySettings {
        at(self.room.path(&format!("state-{number}")).to_str().unwrap())
    }

    /// Puts an old state of the whole repository where the new one was.
    fn play_again(&self, number: u8) {
        fs::remove_dir_all(self.room.folder()).unwrap();
        copy(&self.room.path(&format!("state-{number}")), &self.room.path("repository"));
    }

    /// Changes the index as somebody who has this key, or none.
    fn forge(&self, by: &[u8], change: impl FnOnce(&mut Index)) {
        let file = self.room.path("repository/index.json");
        let signed = Signed::from_bytes(&fs::read(&file).unwrap(), index::KIND).unwrap();
        let mut index = Index::from_bytes(signed.payload()).unwrap();
        change(&mut index);
        let keys: Vec<_> = by.iter().map(|seed| key(*seed)).collect();
        let signed = Signed::new(index::KIND, index.to_bytes(), &keys.iter().collect::<Vec<_>>());
        fs::write(file, signed.to_bytes()).unwrap();
    }

    fn refused(&self, trusts: &[u8], now: u64) -> RepositoryError {
        self.room.reader("refusing", trusts).open(&self.place, now).map(|_| ()).unwrap_err()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let to = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn an_old_index_is_not_taken_after_a_new_one() {
    let history = History::new();
    let reader = history.room.reader("reader", &[1]);
    assert_eq!(reader.open(&history.place, NOW + DAY).unwrap().index().number, 2);
    history.play_again(1);
    let refused = reader.open(&history.place, NOW + DAY).map(|_| ());
    assert!(matches!(refused, Err(RepositoryError::RolledBack { number: 1, seen: 2 })), "{refused:?}");
    // Nor does its own publisher build on it.
    let package = history.room.package("more", "1", &[]);
    let refused = history.room.publish(&history.place, 1, &[package], &KeyChange::default(), NOW + DAY);
    assert!(matches!(refused, Err(RepositoryError::RolledBack { .. })), "{refused:?}");
}

/// A machine that has seen nothing is held back no longer than until the index expires.
#[test]
fn a_frozen_index_expires() {
    let history = History::new();
    let newcomer = history.room.reader("newcomer", &[1]);
    assert!(newcomer.open(&history.state(1), NOW + 30 * DAY - 1).is_ok());
    let newcomer = history.room.reader("later newcomer", &[1]);
    let refused = newcomer.open(&history.state(1), NOW + 30 * DAY).map(|_| ()).unwrap_err();
    assert!(matches!(refused, RepositoryError::Expired { .. }) && refused.is_environment());
    assert!(refused.to_string().contains("2027-02-14T08:00:00Z"), "{refused}");
    // Its publisher can renew it.
    let renewed = history.room.publish(&history.place, 1, &[], &KeyChange::default(), NOW + 300 * DAY).unwrap();
    assert_eq!((renewed.number, renewed.packages.len()), (3, 2));
    assert!(newcomer.open(&history.place, NOW + 301 * DAY).is_ok());
}

#[test]
fn a_wrong_clock_gets_a_clear_word() {
    let history = History::new();
    let refused = history.refused(&[1], NOW - 100 * DAY);
    assert!(matches!(refused, RepositoryError::Future { .. }) && refused.is_environment());
    assert!(refused.to_string().contains("clock"), "{refused}");
}

/// A package of one state under the index of another.
#[test]
fn states_can_not_be_mixed() {
    let history = History::new();
    let reader = history.room.reader("reader", &[1]);
    let repository = reader.open(&history.place, NOW + DAY).unwrap();
    let [old, new] = &history.packages;
    fs::write(history.room.path("repository").join(new.entry.object_name()), &old.bytes).unwrap();
    let refused = reader.fetch(&repository, "tool");
    assert!(
        matches!(
            refused,
            Err(RepositoryError::WrongBytes { .. } | RepositoryError::TooLong { .. } | RepositoryError::Remote(_))
        ),
        "{refused:?}"
    );
    assert!(!reader.has(new));
    // A package under the name of another, by a publisher who errs.
    history.forge(&[1], |index| {
        index.number = 9;
        index.packages[0].name = "another".to_owned();
        index.sort();
    });
    let repository = reader.open(&history.place, NOW + DAY).unwrap();
    let refused = reader.fetch(&repository, "another");
    assert!(matches!(refused, Err(RepositoryError::Contradiction { what: "name", .. })), "{refused:?}");
}

#[test]
fn nobody_else_signs() {
    let history = History::new();
    assert!(matches!(history.refused(&[2], NOW), RepositoryError::Unknown { .. }));
    assert!(matches!(history.refused(&[], NOW), RepositoryError::NoAnchors));
    history.forge(&[2], |index| index.number = 9);
    assert!(matches!(history.refused(&[1], NOW + DAY), RepositoryError::Unknown { .. }));
    history.forge(&[], |index| index.number = 10);
    assert!(matches!(history.refused(&[1], NOW + DAY), RepositoryError::Unsigned));
    // By name it is taken, and nothing of it is remembered.
    let reader = history.room.reader("careless", &[]);
    let repository = reader.open_with(&history.place, true, NOW).unwrap();
    assert!(repository.signer().is_none());
    assert_eq!(reader.fetch(&repository, "tool").unwrap(), history.packages[1].bytes);
    let code = repository.fetch_code(&reader.store, &[], &history.room.path(""), &support::report::Silent);
    assert!(matches!(code, Err(RepositoryError::Unsigned)), "compiled code is of signed indexes alone");
    assert!(!history.room.path("careless.json").exists());
}

#[test]
fn one_number_is_one_index() {
    let history = History::new();
    let reader = history.room.reader("reader", &[1]);
    reader.open(&history.place, NOW + DAY).unwrap();
    history.forge(&[1], |index| index.expires += 1);
    let refused = reader.open(&history.place, NOW + DAY).map(|_| ());
    assert!(matches!(refused, Err(RepositoryError::TwoIndexes(2))), "{refused:?}");
}

#[test]
fn keys_rotate_and_are_revoked() {
    let room = Room::new();
    let place = at(&room.folder());
    let publish = |by, name: &str, keys: &KeyChange| {
        room.publish(&place, by, &[room.package(name, "1", &[("root/x", name.as_bytes())])], keys, NOW)
    };
    let old_reader = room.reader("reader", &[1]);
    publish(1, "first", &KeyChange::default()).unwrap();
    assert!(old_reader.open(&place, NOW).is_ok());
    // A stranger can't publish, nor change keys.
    let public = |seed| key(seed).verifying_key();
    let own = KeyChange { root: vec![public(3)], ..KeyChange::default() };
    assert!(publish(3, "evil", &own).is_err());
    // A second key publishes; readers who know the first one follow.
    publish(1, "second", &KeyChange { index: vec![public(2)], ..KeyChange::default() }).unwrap();
    publish_with_anchor(&room, &place, 2, 1, "third").unwrap();
    assert_eq!(old_reader.open(&place, NOW).unwrap().index().packages.len(), 3);
    // It signs indexes alone.
    let memory = room.path("publisher-2.json");
    let refused = room.publish_as(&place, &key(2), &memory, &[], &own, NOW);
    assert!(
        matches!(refused, Err(RepositoryError::NotAllowed { .. } | RepositoryError::Unknown { .. })),
        "{refused:?}"
    );
    // The second becomes a root key; then the first one is stolen, and revoked by the second.
    publish(1, "fourth", &KeyChange { root: vec![public(2)], ..KeyChange::default() }).unwrap();
    let revoke = KeyChange { revoked: vec![KeyId::of(&public(1)).to_string()], ..KeyChange::default() };
    publish_changes(&room, &place, 2, 1, &revoke).unwrap();
    assert_eq!(old_reader.open(&place, NOW).unwrap().index().packages.len(), 4);
    let refused = publish(1, "stolen", &KeyChange::default());
    assert!(refused.is_err(), "{refused:?}");
    // Somebody who has the stolen key plays the lists of before its revocation to a newcomer, who
    // is not told that there are more: but not beside the index of after it.
    let newcomer = room.reader("newcomer", &[2]);
    fs::remove_file(room.path("repository/keys/4.json")).unwrap();
    let refused = newcomer.open(&place, NOW).map(|_| ());
    assert!(matches!(refused, Err(RepositoryError::KeysWithheld { named: 4, had: 3 })), "{refused:?}");
}

fn publish_with_anchor(
    room: &Room,
    place: &RepositorySettings,
    by: u8,
    anchor: u8,
    name: &str,
) -> Result<Index, RepositoryError> {
    let package = room.package(name, "1", &[("root/x", name.as_bytes())]);
    room.publish_trusting(place, by, &[anchor], &[package], &KeyChange::default(), NOW)
}

fn publish_changes(
    room: &Room,
    place: &RepositorySettings,
    by: u8,
    anchor: u8,
    keys: &KeyChange,
) -> Result<Index, RepositoryError> {
    room.publish_trusting(place, by, &[anchor], &[], keys, NOW)
}

/// An index is not begun anew where there was one.
#[test]
fn a_repository_that_vanished_is_not_begun_anew() {
    let history = History::new();
    fs::remove_file(history.room.path("repository/index.json")).unwrap();
    let refused = history.room.publish(&history.place, 1, &[], &KeyChange::default(), NOW + DAY);
    assert!(matches!(refused, Err(RepositoryError::Vanished { number: 2, .. })), "{refused:?}");
    assert!(matches!(history.refused(&[1], NOW), RepositoryError::NoIndex));
}
