//! What other rooms keep in the store: counted, removed for room and by age, never under somebody.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use store::{Area, Damage, GcPolicy, Store};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Writes a file that was used so long ago.
fn write(path: &Path, bytes: usize, age: Duration) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, vec![7; bytes]).unwrap();
    set_age(path, age);
}

fn set_age(path: &Path, age: Duration) {
    File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

fn open(root: &Path) -> Store {
    Store::open(&root.join("store")).unwrap()
}

fn spare_an_hour(max_size: Option<u64>, max_age: Option<Duration>) -> GcPolicy {
    GcPolicy { max_size, max_age, spare: HOUR, ..GcPolicy::default() }
}

#[test]
fn a_place_that_is_held_stays_and_one_that_is_not_goes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let held = store.place(Area::Cargo, "host/program").unwrap();
    fs::create_dir_all(held.path().join("target/deep")).unwrap();
    fs::write(held.path().join("target/deep/object"), "12345").unwrap();
    fs::write(store.area(Area::Cargo).join("compilers.json"), "{}").unwrap();
    assert_eq!(store.stats().unwrap().areas.of(Area::Cargo), 7);
    let all = GcPolicy { max_size: Some(0), ..GcPolicy::default() };
    assert_eq!(store.gc(&all).unwrap().areas.of(Area::Cargo), 0, "somebody builds there");
    assert!(held.path().join("target/deep/object").exists());
    let path = held.path().to_path_buf();
    drop(held);
    // Used a moment ago.
    assert_eq!(store.gc(&spare_an_hour(Some(0), None)).unwrap().areas.of(Area::Cargo), 0);
    set_age(&path.join("lock"), 2 * HOUR);
    let report = store.gc(&spare_an_hour(Some(0), None)).unwrap();
    assert_eq!((report.areas.of(Area::Cargo), report.areas_left.of(Area::Cargo)), (5, 2));
    assert!(!path.exists());
    // And it can be taken again.
    assert!(store.place(Area::Cargo, "host/program").unwrap().path().join("lock").exists());
}

#[test]
fn files_go_by_age_and_for_room_the_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let file = |name: &str| store.area(Area::Compiled).join(name);
    for (name, hours) in [("new", 0), ("used", 2), ("unused", 9), ("old", 99)] {
        write(&file(name), 1000, hours * HOUR);
    }
    let there = || ["new", "used", "unused", "old"].map(|name| file(name).exists());
    store.gc(&spare_an_hour(None, None)).unwrap();
    assert_eq!(there(), [true; 4]);
    store.gc(&spare_an_hour(None, Some(24 * HOUR))).unwrap();
    assert_eq!(there(), [true, true, true, false]);
    let report = store.gc(&spare_an_hour(Some(2500), None)).unwrap();
    assert_eq!(there(), [true, true, false, false]);
    assert_eq!((report.areas.total(), report.areas_left.total()), (1000, 2000));
    store.gc(&spare_an_hour(Some(0), None)).unwrap();
    assert_eq!(there(), [true, false, false, false], "it was used within the hour");
}

#[test]
fn downloads_that_go_on_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let part = |name: &str| store.area(Area::Partial).join(name);
    for name in ["slow", "left"] {
        write(&part(name), 10, 9 * HOUR);
    }
    // What a killed process left in the folder of `lock`.
    write(&store.area(Area::Locking).join("tmp/file"), 10, 9 * HOUR);
    let slow = File::open(part("slow")).unwrap();
    slow.lock().unwrap();
    let report = store.gc(&GcPolicy { max_age: Some(HOUR), ..GcPolicy::default() }).unwrap();
    assert!(part("slow").exists() && !part("left").exists());
    assert_eq!((report.areas.of(Area::Partial), report.areas_left.of(Area::Partial)), (10, 10));
}

#[test]
fn notes_go_when_they_mean_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tree = build_graph::Tree::new();
    let known = store.put_tree(&tree).unwrap().to_string();
    let digests = |name: &str| store.area(Area::Wire).join("sha256").join(&name[..2]).join(name);
    write(&digests(&known), 10, 99 * HOUR);
    write(&digests(&"0".repeat(64)), 10, Duration::ZERO);
    let notes = store.area(Area::Remotes);
    write(&notes.join("down"), 10, Duration::ZERO);
    write(&notes.join("seen/00/tree"), 10, 2 * HOUR);
    let state = store.area(Area::Executors).join("docker/images/one");
    write(&state, 10, 99 * HOUR);
    let report = store.gc(&spare_an_hour(None, None)).unwrap();
    assert!(digests(&known).exists() && !digests(&"0".repeat(64)).exists());
    assert!(notes.join("down").exists() && !notes.join("seen/00/tree").exists());
    assert!(state.exists());
    assert_eq!(report.areas.total(), 20);
}

#[test]
fn what_lies_beside_the_areas_is_a_stray() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for area in Area::ALL {
        fs::create_dir_all(store.area(area)).unwrap();
    }
    store.gc(&GcPolicy::default()).unwrap();
    store.drop_results(&[]).unwrap();
    fs::create_dir(store.root().join("lost+found")).unwrap();
    assert_eq!(store.verify().unwrap().damaged, []);
    fs::write(store.root().join("notes"), "").unwrap();
    assert_eq!(store.verify().unwrap().damaged, [Damage::Stray("notes".to_owned())]);
    assert!(store.root().join("notes").exists());
}
