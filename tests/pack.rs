//! Packs: whole ones, damaged ones, and such as somebody made up.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use build_graph::{Entry, NodeKey, RelPath, Tree};
use pynbox_build::remote::envelope::SignedEnvelope;
use pynbox_build::remote::pack::{self, Amount, PackError, Taken};
use pynbox_build::remote::settings::TrustSettings;
use pynbox_build::remote::trust::{self, Trust};
use pynbox_build::store::{Origin, Store};

fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes([number; 32])
}

/// Records a tree of these files, each with its bytes and whether it may be executed.
fn record(store: &Store, number: u8, files: &[(&str, &[u8], bool)]) -> Tree {
    let mut tree = Tree::new();
    for (path, bytes, executable) in files {
        tree.insert(RelPath::new(*path).unwrap(), store.put_bytes(bytes, *executable).unwrap()).unwrap();
    }
    tree.insert(RelPath::new("link").unwrap(), Entry::Symlink { target: "a".to_owned() }).unwrap();
    let digest = store.put_tree(&tree).unwrap();
    store.record(key(number), digest, &["made up".to_owned()]).unwrap();
    tree
}

/// The members of a pack: names and bytes.
type Members = Vec<(String, Vec<u8>)>;

struct Space {
    folder: tempfile::TempDir,
}

impl Space {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self, name: &str) -> Store {
        Store::open(&self.folder.path().join(name)).unwrap()
    }

    /// A pack of two results, and their trees.
    fn pack(&self) -> (PathBuf, [Tree; 2]) {
        let store = self.store("first");
        let long = vec![7; 3_000_000];
        let one = record(&store, 1, &[("a", b"alpha", false), ("long", &long, false), ("twice", b"alpha", false)]);
        // The same bytes, but executable.
        let two = record(&store, 2, &[("a", b"alpha", true), ("b", b"beta", false), ("empty", b"", false)]);
        let path = self.folder.path().join("pack");
        let keys = BTreeSet::from([key(1), key(2)]);
        let amount = pack::write(&store, &keys, &nobody(), 0, File::create(&path).unwrap()).unwrap();
        assert_eq!(amount, AMOUNT);
        (path, [one, two])
    }
}

const AMOUNT: Amount = Amount { results: 2, blobs: 4, bytes: 3_000_009, unsigned: 2 };

fn unsigned() -> Origin {
    Origin::Pack { signed: false, engine: None, signer: None, signed_at: None, project: None }
}

fn believe(_: &SignedEnvelope) -> Result<Origin, String> {
    Ok(unsigned())
}

/// Trusts nobody and signs nothing.
fn nobody() -> Trust {
    Trust::new(&TrustSettings::default(), None).unwrap()
}

fn read(store: &Store, pack: &Path) -> (Taken, Option<PackError>) {
    pack::read(store, File::open(pack).unwrap(), &mut believe).unwrap()
}

/// Takes a pack apart.
fn members(pack: &Path) -> Members {
    let mut archive = tar::Archive::new(zstd::Decoder::new(File::open(pack).unwrap()).unwrap());
    let mut found = Vec::new();
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        found.push((member.path().unwrap().to_str().unwrap().to_owned(), bytes));
    }
    found
}

fn write_members(pack: &Path, members: &[(String, Vec<u8>)]) {
    let mut archive = tar::Builder::new(zstd::Encoder::new(File::create(pack).unwrap(), 1).unwrap());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &**bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
}

#[test]
fn a_pack_holds_results_whole() {
    let space = Space::new();
    let (pack, [one, two]) = space.pack();
    let store = space.store("second");
    let (taken, problem) = read(&store, &pack);
    assert!(problem.is_none());
    assert_eq!(taken, Taken { amount: AMOUNT, ..Taken::default() });
    for (number, tree) in [(1, one), (2, two)] {
        assert_eq!(*store.whole_result(key(number)).unwrap().unwrap().1, tree);
    }
    assert_eq!(store.verify().unwrap().damaged, []);
    // Once more changes nothing.
    assert_eq!(read(&store, &pack).0, taken);
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let space = Space::new();
    let (pack, _) = space.pack();
    let other = Space::new();
    assert!(fs::read(pack).unwrap() == fs::read(other.pack().0).unwrap());
}

#[test]
fn a_pack_that_ends_early_gives_what_had_arrived() {
    let space = Space::new();
    let (pack, _) = space.pack();
    let whole = fs::read(&pack).unwrap();
    for length in [0, 1, 10, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        fs::write(&pack, &whole[..length]).unwrap();
        let store = space.store(&format!("store{length}"));
        let (taken, problem) = read(&store, &pack);
        assert!(problem.is_some(), "{length}");
        let report = store.verify().unwrap();
        assert_eq!((report.damaged, report.incomplete), (vec![], 0), "{length}");
        assert_eq!(report.results, taken.amount.results, "{length}");
    }
}

#[test]
fn a_flipped_byte_never_becomes_a_result() {
    let space = Space::new();
    let (pack, trees) = space.pack();
    let whole = fs::read(&pack).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&pack, bytes).unwrap();
        let store = space.store(&format!("store{at}"));
        let _ = read(&store, &pack);
        let report = store.verify().unwrap();
        assert_eq!((report.damaged, report.incomplete), (vec![], 0), "{at}");
        for (number, tree) in [(1, &trees[0]), (2, &trees[1])] {
            let result = store.whole_result(key(number)).unwrap();
            assert!(result.is_none_or(|(_, found)| *found == *tree), "{at}");
        }
    }
}

#[test]
fn wrong_bytes_wrong_keys_and_wrong_members_are_refused() {
    let space = Space::new();
    let (pack, _) = space.pack();
    let whole = members(&pack);
    let mut count = 0;
    let mut attempt = |change: &dyn Fn(&mut Members), what: &str| {
        let mut members = whole.clone();
        change(&mut members);
        write_members(&pack, &members);
        count += 1;
        let store = space.store(&format!("store{count}"));
        let (taken, problem) = read(&store, &pack);
        let told = format!("{problem:?} {:?}", taken.refused);
        assert!(told.contains(what), "{what}: {told}");
        let report = store.verify().unwrap();
        assert_eq!((report.damaged, report.incomplete), (vec![], 0), "{what}");
        report.results
    };
    let place = |members: &[(String, Vec<u8>)], prefix: &str| {
        members.iter().position(|(name, _)| name.starts_with(prefix)).unwrap()
    };
    // Right shape, wrong bytes.
    let blob = whole.iter().position(|(_, bytes)| bytes == b"beta").unwrap();
    assert!(attempt(&|members| members[blob].1 = b"evil".to_vec(), "has other bytes than its name says") < 2);
    assert!(attempt(&|members| members[blob].1.push(0), "another size") < 2);
    // Right bytes, wrong key: one result under the key of the other.
    let replay = |members: &mut Members| members[2].1 = members[1].1.clone();
    assert_eq!(attempt(&replay, "it is another key's"), 1);
    // Names that are none of ours.
    let inject = |name: &str| {
        let name = name.to_owned();
        move |members: &mut Members| members.push((name.clone(), b"x".to_vec()))
    };
    assert_eq!(attempt(&inject("etc/passwd"), "is no member of a pack"), 2);
    assert_eq!(attempt(&inject("blobs/short"), "is no member of a pack"), 2);
    assert_eq!(attempt(&|members| members.swap(1, 2), "out of order"), 0);
    assert_eq!(attempt(&|members| drop(members.remove(0)), "is its first member"), 0);
    let first_blob = place(&whole, "blobs/");
    assert!(attempt(&|members| members.swap(first_blob, first_blob + 1), "out of order") < 2);
    assert_eq!(attempt(&|members| members[1].1.truncate(60), "is damaged"), 0);
}

#[test]
fn what_is_not_believed_leaves_nothing() {
    let space = Space::new();
    let (pack, _) = space.pack();
    let store = space.store("second");
    let mut refuse = |signed: &SignedEnvelope| {
        assert!(signed.signer().is_none());
        if signed.envelope.key == key(2) { Err("not this one".to_owned()) } else { Ok(unsigned()) }
    };
    let (taken, problem) = pack::read(&store, File::open(&pack).unwrap(), &mut refuse).unwrap();
    assert!(problem.is_none());
    assert_eq!(taken.refused, [(key(2), "not this one".to_owned())]);
    assert!(store.whole_result(key(1)).unwrap().is_some());
    assert!(store.result(key(2)).unwrap().is_none());
    assert_eq!(store.stats().unwrap().blobs, 2);
}

#[test]
fn a_pack_does_not_change_what_is_known() {
    let space = Space::new();
    let (pack, _) = space.pack();
    let store = space.store("second");
    let own = record(&store, 1, &[("a", b"another outcome", false)]);
    let (taken, problem) = read(&store, &pack);
    assert!(problem.is_none());
    assert_eq!(
        taken.contradicted.iter().map(|(key, here, _)| (*key, *here)).collect::<Vec<_>>(),
        [(key(1), own.digest())]
    );
    assert_eq!(*store.whole_result(key(1)).unwrap().unwrap().1, own);
    assert_eq!(store.explanation(key(1)).unwrap().unwrap(), ["made up"]);
}

#[test]
fn only_what_was_built_here_is_signed() {
    let space = Space::new();
    let (first, _) = space.pack();
    let key_file = space.folder.path().join("key.pem");
    trust::generate(&key_file).unwrap();
    let signer = Trust::new(&TrustSettings::default(), Some(&key_file)).unwrap();
    // One result of this machine, one of a pack that nobody signed.
    let store = space.store("second");
    record(&store, 1, &[("a", b"alpha", false)]);
    read(&store, &first);
    let path = space.folder.path().join("signed");
    let keys = BTreeSet::from([key(1), key(2)]);
    let amount = pack::write(&store, &keys, &signer, 0, File::create(&path).unwrap()).unwrap();
    assert_eq!((amount.results, amount.unsigned), (2, 1));
    let mut signers = Vec::new();
    let mut look = |signed: &SignedEnvelope| {
        signers.push((signed.envelope.key, signed.signer().is_some()));
        Err(String::new())
    };
    pack::read(&space.store("third"), File::open(&path).unwrap(), &mut look).unwrap();
    assert_eq!(signers, [(key(1), true), (key(2), false)]);
}

#[test]
fn what_a_small_pack_makes_of_itself_is_bounded() {
    let space = Space::new();
    for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader, tar::EntryType::XGlobalHeader] {
        let mut header = tar::Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(kind);
        header.set_size(1 << 30);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(32 << 20, b'a');
        let path = space.folder.path().join("bomb");
        fs::write(&path, zstd::encode_all(bytes.as_slice(), 1).unwrap()).unwrap();
        let problem = read(&space.store("store"), &path).1.unwrap().to_string();
        assert!(problem.contains("have more than 65536 bytes"), "{problem}");
    }
    let path = space.folder.path().join("names");
    write_members(&path, &[("\u{1b}[31m\u{9b}".to_owned(), Vec::new())]);
    let problem = read(&space.store("store"), &path).1.unwrap().to_string();
    assert!(!problem.contains(char::is_control), "{}", problem.escape_debug());
}
