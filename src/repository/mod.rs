//! Package repositories: a signed index, and packages by digest, in a folder, on a web server or in
//! a bucket.
//!
//! | module | what it has |
//! |---|---|
//! | [`index`] | the index: what there is, in which number, until when |
//! | [`trust`] | whose signatures count: keys of the settings, key lists, what was seen before |
//! | [`client`] | opening a repository and fetching from it |
//! | [`publish`] | putting packages there |
//! | [`code`] | compiled code beside packages |
//! | [`statement`] | statements about how packages were built, beside them |
//! | [`bootstrap`] | `install.sh`, and the archives that it fetches |
//! | [`settings`] | the sections `[[repository]]` |
//! | [`archives`] | folders of archives, without an index |
//!
//! # Layout
//!
//! | name | what it is |
//! |---|---|
//! | `index.json` | the signed index; the only object that is replaced, with `install.sh` |
//! | `keys/N.json` | the Nth list of keys, signed by a key of the list before it |
//! | `packages/DIGEST.tar.zst` | a package, by the BLAKE3 of the archive |
//! | `code/DIGEST.tar.zst` | compiled code of a package, by the BLAKE3 of the archive |
//! | `provenance/DIGEST.json` | the signed statement about a package, by its BLAKE3 |
//! | `tools/DIGEST.tar.gz` | the tool or the loader, by the BLAKE3 of the archive |
//! | `install.sh` | installs from this repository where there is no tool yet |
//! | `.conditions` | tells whether the server honours conditions of a request |
//!
//! Nothing that a server says is believed: the index has to be signed by a trusted key, to be
//! neither expired nor older than one that was seen, and everything else has to have the digest and
//! the size that the index says.

pub mod archives;
pub mod bootstrap;
pub mod client;
pub mod code;
mod error;
pub mod index;
pub mod publish;
pub mod settings;
pub mod statement;
pub mod trust;

pub use error::{RepositoryError, time};
