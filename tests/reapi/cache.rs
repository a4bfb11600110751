//! A cache of the protocol as what stands above it sees it.

use std::collections::{BTreeMap, HashSet};
use std::io::{Seek as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use pynbox_build::build_graph::{BlobDigest, Entry, NodeKey, RelPath, Tree};
use pynbox_build::remote::access::Access;
use pynbox_build::remote::envelope::{Envelope, SignedEnvelope, WireBlob};
use pynbox_build::remote::reapi::transport::ReapiTransport;
use pynbox_build::remote::reapi::{Blob, Cas, Channel, Endpoint, ReapiError, Source, digest};
use pynbox_build::remote::{DigestFunction, RemoteError, Transport, WireDigest};

use testing::engines::{self, Server};

/// Puts blobs, each by its digest.
fn put(transport: &ReapiTransport, function: DigestFunction, blobs: &[Vec<u8>]) {
    let blobs: BTreeMap<_, _> = blobs.iter().map(|bytes| (digest::of(function, bytes), bytes)).collect();
    let open = |digest: &WireDigest| {
        let mut file = tempfile::tempfile()?;
        file.write_all(blobs[digest])?;
        file.rewind()?;
        Ok(file)
    };
    transport.put(&blobs.keys().copied().collect::<Vec<_>>(), &open).unwrap();
}

/// Bytes that compress a little.
fn bytes(seed: u8, size: usize) -> Vec<u8> {
    let mut all = vec![0; size];
    blake3::Hasher::new_derive_key("bytes of a test").update(&[seed]).finalize_xof().fill(&mut all);
    for byte in &mut all {
        *byte &= 0x3f;
    }
    all
}

fn fetched(transport: &ReapiTransport, wanted: &[WireDigest]) -> BTreeMap<WireDigest, Vec<u8>> {
    let got = Mutex::new(BTreeMap::new());
    transport
        .fetch(wanted, &|digest, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            assert!(got.lock().unwrap().insert(*digest, bytes).is_none(), "{digest} came twice");
            Ok(())
        })
        .unwrap();
    got.into_inner().unwrap()
}

/// Blobs of all sizes go there and come back; nothing else does.
fn blobs(server: &Server) {
    let transport = ReapiTransport::new(server.endpoint.clone()).unwrap();
    let function = transport.digest_function().unwrap();
    let contents: Vec<_> = [0, 1, 1000, 100_000, 3 << 20, 4 << 20, 9 << 20]
        .iter()
        .zip(0..)
        .map(|(size, seed)| bytes(seed, *size))
        .collect();
    let digests: Vec<_> = contents.iter().map(|content| digest::of(function, content)).collect();
    let absent = digest::of(function, b"nobody has this");
    let missing = transport.missing(&digests).unwrap();
    assert!(digests.iter().all(|digest| digest.size == 0 || missing.contains(digest)));
    put(&transport, function, &contents);
    let mut asked = digests.clone();
    asked.push(absent);
    assert_eq!(transport.missing(&asked).unwrap(), HashSet::from([absent]));
    let got = fetched(&transport, &asked);
    assert_eq!(got, digests.into_iter().zip(contents).collect());
    // The same again changes nothing.
    let again = bytes(5, 4 << 20);
    put(&transport, function, &[again]);
}

fn tree(files: usize, salt: &str) -> (Tree, Vec<Vec<u8>>) {
    let mut tree = Tree::new();
    let mut contents = Vec::new();
    for number in 0..files {
        let content = format!("{salt} {number}").into_bytes();
        let entry =
            Entry::File { digest: BlobDigest::of(&content), size: content.len() as u64, executable: number == 1 };
        tree.insert(RelPath::new(format!("a/{}/file-{number}", number % 7)).unwrap(), entry).unwrap();
        contents.push(content);
    }
    tree.insert(RelPath::new("link").unwrap(), Entry::Symlink { target: "a/0".to_owned() }).unwrap();
    tree.insert(RelPath::new("empty").unwrap(), Entry::EmptyDirectory).unwrap();
    (tree, contents)
}

fn signed(function: DigestFunction, key: u8, tree: Tree, contents: &[Vec<u8>]) -> SignedEnvelope {
    let mut blobs: Vec<_> = contents
        .iter()
        .map(|content| WireBlob { digest: BlobDigest::of(content), wire: digest::of(function, content) })
        .collect();
    blobs.sort_by_key(|blob| *blob.digest.as_bytes());
    let key = NodeKey::from_bytes([key; 32]);
    SignedEnvelope::new(Envelope { key, tree, engine: None, signed_at: 0, function, blobs }, None)
}

/// Results stand under their keys, small and large, and only as long as their blobs do.
fn results(server: &Server) {
    let transport = ReapiTransport::new(server.endpoint.clone()).unwrap();
    let function = transport.digest_function().unwrap();
    let mut stored = Vec::new();
    for (key, files) in [(1, 3), (2, 4000), (3, 1)] {
        let (tree, contents) = tree(files, &format!("result {key}"));
        let signed = signed(function, key, tree, &contents);
        // The last is one whose files never came.
        if key != 3 {
            put(&transport, function, &contents);
            transport.put_result(&signed).unwrap();
            stored.push(Some(signed.to_bytes().to_vec()));
        } else {
            // A server may refuse it or keep it to itself.
            let _ = transport.put_result(&signed);
            stored.push(None);
        }
    }
    stored.push(None);
    let keys: Vec<_> = [1, 2, 3, 4].map(|key| NodeKey::from_bytes([key; 32])).to_vec();
    let found = transport.look_up(&keys).unwrap();
    for (index, (found, stored)) in found.iter().zip(&stored).enumerate() {
        assert!(found == stored, "result {}", index + 1);
    }
    // A newer one takes the place of an older.
    let (tree, contents) = tree(2, "newer");
    let newer = signed(function, 1, tree, &contents);
    put(&transport, function, &contents);
    transport.put_result(&newer).unwrap();
    assert_eq!(transport.look_up(&keys[..1]).unwrap(), [Some(newer.to_bytes().to_vec())]);
}

/// The server does not take what it can't have.
fn refusals(server: &Server) {
    let channel = Channel::new(Endpoint { attempts: 1, ..server.endpoint.clone() }).unwrap();
    let function = channel.capabilities().unwrap().function;
    let cas = Cas::new(&channel);
    for size in [10, 6 << 20] {
        let real = bytes(9, size);
        let mut other = real.clone();
        other[size / 2] ^= 1;
        let digest = digest::of(function, &real);
        let sent = cas.upload(vec![Blob { digest, source: Source::Bytes(other) }]);
        assert!(sent.is_err(), "{size} wrong bytes were taken");
        assert_eq!(cas.missing(&[digest]).unwrap(), HashSet::from([digest]));
    }
    let absent = digest::of(function, b"absent");
    assert!(matches!(cas.fetch_one(&absent), Err(ReapiError::Absent { .. })));
}

#[test]
#[ignore = "needs buildbox-casd: PYNBOX_TEST_BUILDBOX"]
fn casd_keeps_blobs_and_results() {
    let server = engines::casd();
    blobs(&server);
    results(&server);
    refusals(&server);
}

#[test]
#[ignore = "needs BuildGrid: PYNBOX_TEST_BUILDGRID"]
fn buildgrid_keeps_blobs_and_results() {
    let server = engines::buildgrid();
    blobs(&server);
    results(&server);
    refusals(&server);
    let other = Endpoint { instance: "other".to_owned(), ..server.endpoint.clone() };
    let refused = ReapiTransport::new(other).unwrap().look_up(&[NodeKey::from_bytes([1; 32])]);
    assert!(matches!(refused, Err(RemoteError::Refused(_))), "{refused:?}");
}

#[test]
fn a_server_that_is_away_is_unavailable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = Endpoint { deadline: Duration::from_secs(5), ..Endpoint::new(format!("grpc://127.0.0.1:{port}")) };
    let failed = ReapiTransport::new(endpoint.clone()).unwrap().digest_function();
    assert!(matches!(failed, Err(RemoteError::Unavailable(_))), "{failed:?}");
    // One that takes calls and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("grpc://{}", silent.local_addr().unwrap());
    let endpoint = Endpoint { url, deadline: Duration::from_millis(300), ..endpoint };
    let failed = ReapiTransport::new(endpoint).unwrap().digest_function();
    assert!(matches!(failed, Err(RemoteError::Unavailable(_))), "{failed:?}");
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_sent() {
    for url in ["", "127.0.0.1:1", "ftp://127.0.0.1", "grpc://"] {
        assert!(matches!(ReapiTransport::new(Endpoint::new(url)), Err(ReapiError::Settings(_))), "{url}");
    }
    let endpoint = Endpoint {
        access: Access { headers: vec![("authorization".to_owned(), "secret\n".to_owned())], ..Access::default() },
        ..Endpoint::new("grpc://127.0.0.1:1")
    };
    let error = ReapiTransport::new(endpoint).unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
    let endpoint = Endpoint::new("grpc://user:secret@127.0.0.1:1");
    if let Ok(transport) = ReapiTransport::new(endpoint) {
        assert!(!transport.place().contains("secret"));
    }
}
