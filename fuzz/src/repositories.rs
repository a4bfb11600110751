//! What a repository of packages serves: signed documents, of which any may be hostile before its
//! signature is looked at, and after it if a key is stolen.

use build_graph::untrusted::is_printable;
use ed25519_dalek::SigningKey;
use pynbox_build::remote::dsse::Signed;
use pynbox_build::remote::trust::{Trust, public_text};
use pynbox_build::repository::index::{self, Index, Object, Provenance};
use pynbox_build::repository::statement::{self, Statement};
use pynbox_build::repository::trust::{self, Anchors, Keyring, Seen};
use pynbox_build::repository::{RepositoryError, time};

use crate::archives::shown;

/// A day in the life of a repository.
const NOW: u64 = 1_800_000_000;

/// An envelope of any kind; after the byte `I`, the document of an index, after `K` that of the
/// first list of keys, after `S` a statement, each signed by a key that is trusted.
pub(crate) fn repository(data: &[u8]) {
    match data.split_first() {
        Some((b'I', document)) => read_index(&signed(index::KIND, document)),
        Some((b'K', document)) => follow(&signed(trust::KIND, document)),
        Some((b'S', document)) => read_statement(&signed(statement::KIND, document)),
        _ => {
            read_index(data);
            follow(data);
            read_statement(data);
        }
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn signed(kind: &str, document: &[u8]) -> Vec<u8> {
    Signed::new(kind, document.to_vec(), &[&key()]).to_bytes()
}

fn keyring() -> Keyring {
    let anchors = Anchors::new(&[public_text(&key().verifying_key())], &Trust::default()).expect("a key");
    Keyring::new(anchors, &Seen::default())
}

/// An envelope says the same after it was written again.
fn envelope(bytes: &[u8], kind: &str) -> Option<Signed> {
    let signed = Signed::from_bytes(bytes, kind)?;
    assert_eq!(Signed::from_bytes(&signed.to_bytes(), kind).as_ref(), Some(&signed));
    Some(signed)
}

fn read_index(bytes: &[u8]) {
    let Some(signed) = envelope(bytes, index::KIND) else { return };
    if let Err(error) = keyring().vouch(&signed) {
        refused(&error);
    }
    let index = match Index::from_bytes(signed.payload()) {
        Ok(index) => index,
        Err(error) => return shown(&error.to_string()),
    };
    assert_eq!(Index::from_bytes(&index.to_bytes()).as_ref(), Ok(&index));
    if let Err(error) = Seen::default().check(&index, signed.payload(), index.keys, NOW) {
        refused(&error);
    }
    assert!(is_printable(&time(index.expires)));
    let name = |object: Object| assert!(object.size <= 16 << 30);
    for package in &index.packages {
        let found = index.find(&package.target, &package.name, Some(&package.version));
        assert_eq!(found, Some(package), "another package has its place");
        if let Some(chosen) = index.find(&package.target, &package.name, None) {
            assert!(chosen.withdrawn.is_none(), "what is withdrawn is chosen");
        }
        assert!(is_printable(&package.name) && is_printable(&package.version) && !package.name.contains('/'));
        is_object(&package.object_name());
        name(package.object);
        if let Some(statement) = package.provenance.statement {
            is_object(&Provenance::object_name(statement));
        }
    }
    for code in &index.code {
        is_object(&code.object_name());
        name(code.object);
    }
    index.tools.iter().for_each(|tool| is_object(&tool.object_name()));
}

/// A name below one folder of the repository.
fn is_object(name: &str) {
    let (folder, file) = name.split_once('/').expect("a folder");
    assert!(folder.bytes().all(|byte| byte.is_ascii_lowercase()) && !file.contains('/') && !file.starts_with('.'));
}

fn follow(bytes: &[u8]) {
    envelope(bytes, trust::KIND);
    let mut keyring = keyring();
    match keyring.follow(1, bytes) {
        Ok(()) => assert!(keyring.list().is_none_or(|list| list.number == 1 && !list.root.is_empty())),
        Err(error) => refused(&error),
    }
}

fn read_statement(bytes: &[u8]) {
    envelope(bytes, statement::KIND);
    if let Some(statement) = Statement::from_bytes(bytes) {
        assert!(statement.envelope().signers().all(is_printable));
        assert_eq!(Statement::from_bytes(&statement.envelope().to_bytes()), Some(statement));
    }
}

fn refused(error: &RepositoryError) {
    shown(&error.to_string());
}
