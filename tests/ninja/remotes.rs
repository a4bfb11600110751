//! Builds that share results through a remote: what is built once is built once, whatever becomes
//! of the remote.

use std::fs;
use std::path::{Path, PathBuf};

use pynbox_build::build_graph::{BlobDigest, Entry, RelPath, Tree};
use pynbox_build::remote::DigestFunction;
use pynbox_build::remote::WireDigest;
use pynbox_build::remote::envelope::{Envelope, SignedEnvelope, WireBlob};
use pynbox_build::remote::trust::read_signing_key;

use super::space::Space;

/// The nodes of the example.
pub(super) const GRAPH: &str = "x86_64-linux/greeting/";
pub(super) const GREETING: &str = "hello from a recipe of your own\n";

/// A remote, a machine that has built and written to it, and what others put into their settings.
pub(super) struct Shared {
    pub(super) folder: tempfile::TempDir,
    pub(super) writer: Space,
    pub(super) settings: String,
}

impl Shared {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Space::new("ninja");
        writer.use_own_store();
        let key = folder.path().join("key.pem");
        let settings = writer.run(&["cache", "keygen", key.to_str().unwrap()]);
        fs::create_dir(folder.path().join("remote")).unwrap();
        let shared = Self { folder, writer, settings };
        let trust =
            format!("{}[trust]\nsigning-key = '{}'\n{}", shared.remote("read-write"), key.display(), shared.settings);
        fs::write(shared.writer.path("pynbox.toml"), trust).unwrap();
        assert!(shared.writer.generate() > 0);
        assert_eq!(shared.writer.build(), ["greeting", "main.o", "words.o"]);
        shared
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("remote")
    }

    pub(super) fn remote(&self, role: &str) -> String {
        format!("[[remote]]\nname = 'shared'\nurl = '{}'\nrole = '{role}'\n", self.path().display())
    }

    /// Another machine with the same sources, which has built nothing of them and trusts the
    /// writer.
    pub(super) fn reader(&self) -> Space {
        self.machine(&format!("{}{}", self.remote("read"), self.settings))
    }

    pub(super) fn machine(&self, settings: &str) -> Space {
        let mut reader = self.writer.clone_to_another_folder();
        reader.use_own_store();
        // The writer's own store has what the common one has, and no more is in this.
        fs::write(reader.path("pynbox.toml"), settings).unwrap();
        reader
    }

    /// The files of a node's tree on the remote.
    fn files(&self, node: &str) -> Vec<PathBuf> {
        let listing = self.writer.run(&["checkout", &format!("x86_64-linux/greeting/{node}"), "--list"]);
        let words = listing.split('"').filter(|word| word.len() == 64);
        words.map(|digest| self.path().join("cas").join(&digest[..2]).join(digest)).collect()
    }

    fn all_files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.path().join("cas")).unwrap();
        folders
            .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|file| file.unwrap().path())
            .collect()
    }
}

#[test]
fn a_second_machine_runs_nothing_and_fetches_only_what_it_asks_for() {
    let shared = Shared::new();
    let mut wanted = shared.files("greeting");
    wanted.extend(shared.files("package"));
    let all = shared.all_files();
    assert!(wanted.iter().all(|file| all.contains(file)) && all.len() > wanted.len());
    // What is in between is never asked for: it may as well be gone.
    for file in all.iter().filter(|file| !wanted.contains(file)) {
        fs::remove_file(file).unwrap();
    }
    let reader = shared.reader();
    assert_eq!(reader.generate(), 0);
    assert_eq!(reader.build(), [""; 0]);
    assert_eq!(reader.output(), GREETING);
    assert_eq!(reader.digest("greeting"), shared.writer.digest("greeting"));
}

#[test]
fn what_is_known_but_not_there_is_fetched_for_a_pack() {
    let shared = Shared::new();
    let reader = shared.reader();
    assert_eq!(reader.generate(), 0);
    let said = reader.run(&["cache", "export", "greeting.pack", GRAPH]);
    assert!(said.contains(" results with ") && !said.contains("run x86_64-linux/"), "{said}");
    let mut third = shared.writer.clone_to_another_folder();
    third.use_empty_store();
    fs::copy(reader.path("greeting.pack"), third.path("greeting.pack")).unwrap();
    third.run(&["cache", "import", "--unsigned", "greeting.pack"]);
    fs::write(third.path("pynbox.toml"), "").unwrap();
    assert_eq!(third.generate(), 0);
    assert_eq!(third.output(), GREETING);
}

#[test]
fn an_edit_runs_its_unit_alone_with_the_others_bytes() {
    let shared = Shared::new();
    let reader = shared.reader();
    reader.edit("words.c", "recipe", "file");
    reader.generate();
    assert_eq!(reader.build(), ["greeting", "words.o"]);
    assert_eq!(reader.output(), "hello from a file of your own\n");
}

#[test]
fn what_the_remote_has_lost_is_built_again() {
    let shared = Shared::new();
    for file in shared.files("main.o") {
        fs::remove_file(file).unwrap();
    }
    let reader = shared.reader();
    reader.edit("words.c", "recipe", "file");
    reader.generate();
    // The link waits for a unit; when its turn comes it makes the other one, whose bytes nobody
    // has.
    assert_eq!(reader.build(), ["greeting", "words.o"]);
    assert_eq!(reader.output(), "hello from a file of your own\n");
    // All of it, between gen and the use of its result.
    let late = shared.reader();
    assert_eq!(late.generate(), 0);
    fs::remove_dir_all(shared.path().join("cas")).unwrap();
    assert_eq!(late.output(), GREETING);
}

#[test]
fn damage_and_absence_make_a_build_longer_not_wrong() {
    let shared = Shared::new();
    for (at, file) in shared.all_files().into_iter().enumerate() {
        let bytes = fs::read(&file).unwrap();
        let damaged = match at % 3 {
            0 => bytes[..bytes.len() / 2].to_vec(),
            1 => zstd::encode_all(&b"other bytes"[..], 1).unwrap(),
            _ => b"no frame".to_vec(),
        };
        fs::write(&file, damaged).unwrap();
    }
    let reader = shared.reader();
    reader.generate();
    reader.build();
    assert_eq!(reader.output(), GREETING);
    let down = "[[remote]]\nname = 'down'\nurl = 'http://127.0.0.1:1/'\nrole = 'read-write'\n";
    let alone = shared.machine(down);
    assert!(alone.generate() > 0);
    assert_eq!(alone.build(), ["greeting", "main.o", "words.o"]);
    assert_eq!(alone.output(), GREETING);
}

#[test]
fn a_reader_without_the_key_takes_nothing() {
    let shared = Shared::new();
    let stranger = shared.machine(&shared.remote("read"));
    let output = stranger.tool(&["gen", "--offline", "--target", "x86_64-linux"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.contains("is not among the trusted keys"), "{text}");
    assert_eq!(stranger.build(), ["greeting", "main.o", "words.o"]);
}

#[test]
fn results_are_signed_on_and_verified() {
    let shared = Shared::new();
    let second = shared.folder.path().join("second");
    fs::create_dir(&second).unwrap();
    let option = format!("second:rw={}", second.display());
    let said = shared.writer.run(&["cache", "sign", "--remote", &option, GRAPH]);
    assert!(said.contains(" results put on remotes; 0 not signed"), "{said}");
    let second_url = format!("second={}", second.display());
    let said = shared.writer.run(&["cache", "verify", "--remote-name", "second", "--remote", &second_url, GRAPH]);
    assert!(said.starts_with("remote `second`: ") && said.contains(" are right"), "{said}");
    // The copy is worth as much as the first.
    let reader =
        shared.machine(&format!("[[remote]]\nname = 'second'\nurl = '{}'\n{}", second.display(), shared.settings));
    assert_eq!(reader.generate(), 0);
    assert_eq!(reader.output(), GREETING);
    let lost = shared.files("greeting").remove(0);
    fs::remove_file(second.join("cas").join(lost.strip_prefix(shared.path().join("cas")).unwrap())).unwrap();
    let said = shared.writer.fail(&["cache", "verify", "--remote-name", "second", "--remote", &second_url, GRAPH]);
    assert!(said.starts_with("exit code 1\nerror: remote `second`: 1 things are wrong"), "{said}");
}

/// Replaces the result of an action on the remote by another one, signed as the writer would.
pub(super) fn plant(shared: &Shared, node: &str, bytes: &[u8]) {
    let key = read_signing_key(&shared.folder.path().join("key.pem")).unwrap();
    let digest = shared.writer.digest(node);
    for file in walk(&shared.path().join("ac")) {
        let signed = SignedEnvelope::from_bytes(&zstd::decode_all(&fs::read(&file).unwrap()[..]).unwrap()).unwrap();
        if signed.envelope.tree_digest().to_string() != digest.trim() {
            continue;
        }
        let (path, _) = signed.envelope.tree.iter().next().unwrap();
        let (digest, size) = (BlobDigest::of(bytes), bytes.len() as u64);
        let mut tree = Tree::new();
        tree.insert(RelPath::new(path.as_str()).unwrap(), Entry::File { digest, size, executable: true }).unwrap();
        let wire = WireDigest { hash: *digest.as_bytes(), size };
        let (function, blobs) = (DigestFunction::Blake3, vec![WireBlob { digest, wire }]);
        let planted = SignedEnvelope::new(Envelope { tree, function, blobs, ..signed.envelope }, Some(&key));
        fs::write(&file, zstd::encode_all(planted.to_bytes(), 1).unwrap()).unwrap();
        let name = digest.to_string();
        let place = shared.path().join("cas").join(&name[..2]).join(&name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, zstd::encode_all(bytes, 1).unwrap()).unwrap();
        return;
    }
    panic!("the remote has no result with the tree {digest}");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(folder).unwrap();
    shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap()).map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_check_finds_what_a_trusted_writer_got_wrong() {
    let shared = Shared::new();
    let honest = shared.reader();
    assert_eq!(honest.generate(), 0);
    let said = honest.run(&["cache", "check", "100%", GRAPH]);
    assert!(said.contains(", 0 came out differently"), "{said}");
    plant(&shared, "greeting", b"#!/bin/sh\necho something else\n");
    let deceived = shared.reader();
    deceived.generate();
    // What is made of the planted result is made here.
    assert_eq!(deceived.build(), [""; 0]);
    let output = deceived.tool(&["cache", "check", "100%", GRAPH]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("greeting: another run gave other bytes (the first came from the remote `shared`)"),
        "{said}"
    );
    assert!(said.contains(", 1 came out differently"), "{said}");
}
