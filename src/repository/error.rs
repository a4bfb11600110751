//! Why a repository can't be used.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use build_graph::untrusted::{printable, printable_path};
use thiserror::Error;

use super::index::IndexError;
use crate::remote::RemoteError;
use crate::store::StoreError;

/// A repository can't be used. Texts leave out which one: who asks knows.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// It can't be reached, or does not let us.
    #[error("{0}")]
    Remote(#[from] RemoteError),
    /// There is no index.
    #[error("there is no `index.json`, so it is no repository, or an empty one")]
    NoIndex,
    /// Something else came instead of a signed document.
    #[error("what came as `{name}` is no signed document")]
    NoDocument {
        /// The object.
        name: String,
    },
    /// A web page came instead of a signed document.
    #[error(
        "a web page came as `{name}`: that of a login or of a proxy, or this is not the address of the repository itself"
    )]
    WebPage {
        /// The object.
        name: String,
    },
    /// An object does not end.
    #[error("`{name}` has more than {most} bytes")]
    TooLong {
        /// The object.
        name: String,
        /// How many it may have.
        most: u64,
    },
    /// The document is no index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Nobody has signed the index.
    #[error("nobody has signed its index")]
    Unsigned,
    /// No key is named whose signature counts.
    #[error("no key is named whose signature counts for it")]
    NoAnchors,
    /// The signers are nobody that counts.
    #[error("its index is signed by {}, and no trusted key", printable(.signers))]
    Unknown {
        /// The ids that the signatures claim.
        signers: String,
    },
    /// The signer's key is revoked.
    #[error("its index is signed by the key {}, which is revoked", printable(.0))]
    Revoked(String),
    /// The signer's key did not count at that time.
    #[error("its index was signed outside the time in which the key {0} is trusted")]
    OutOfTime(String),
    /// A list of keys can't be followed.
    #[error("its list of keys {number} does not count: {problem}")]
    KeyList {
        /// The number.
        number: u64,
        /// Why not.
        problem: &'static str,
    },
    /// The index names a later list of keys than there is.
    #[error(
        "its index was signed with the list of keys {named}, and only {had} are to be had: somebody withholds some"
    )]
    KeysWithheld {
        /// The list that the index names.
        named: u64,
        /// How many there are.
        had: u64,
    },
    /// The index is older than one that was seen.
    #[error("its index has the number {number}, and {seen} was seen before: somebody plays an old one again")]
    RolledBack {
        /// Its number.
        number: u64,
        /// The number that was seen.
        seen: u64,
    },
    /// Two indexes have one number.
    #[error("its index has the number {0}, and another index with this number was seen before; publish again")]
    TwoIndexes(u64),
    /// The index has expired.
    #[error(
        "its index expired on {}, and the clock of this machine says {}: somebody holds back newer ones, nobody has published since, or the clock is wrong",
        time(*.expires),
        time(*.now)
    )]
    Expired {
        /// When.
        expires: u64,
        /// The time here.
        now: u64,
    },
    /// The index was signed later than it is now.
    #[error(
        "its index was signed on {}, and the clock of this machine says {}: one of the two clocks is wrong",
        time(*.signed_at),
        time(*.now)
    )]
    Future {
        /// When.
        signed_at: u64,
        /// The time here.
        now: u64,
    },
    /// Bytes are not what the index says.
    #[error("`{name}` does not have the bytes that the index lists")]
    WrongBytes {
        /// The object.
        name: String,
    },
    /// The index lists an object that is not there.
    #[error("`{name}` is not there, and the index lists it")]
    Missing {
        /// The object.
        name: String,
    },
    /// A package is not what the index says of it.
    #[error("package `{}` says of itself another {what} than the index does", printable(.name))]
    Contradiction {
        /// The package.
        name: String,
        /// Of what.
        what: &'static str,
    },
    /// A statement is none about its package.
    #[error("the statement about package `{}` is no statement about it", printable(.name))]
    Statement {
        /// The package.
        name: String,
    },
    /// Somebody wants to withdraw what is not published.
    #[error("`{}` is not published in version {}", printable(.name), printable(.version))]
    NotPublished {
        /// The package.
        name: String,
        /// The version.
        version: String,
    },
    /// An archive of compiled code is none.
    #[error("compiled code is unsound: {}", printable(.0))]
    Code(String),
    /// Somebody wants to publish other bytes under a version.
    #[error(
        "`{}` is published in version {} already, with other bytes; give it another version",
        printable(.name),
        printable(.version)
    )]
    Published {
        /// The package.
        name: String,
        /// The version.
        version: String,
    },
    /// There was an index once.
    #[error(
        "there is no `index.json`, and there was one with the number {number}; put it back, or remove `{}` to begin a new repository",
        printable_path(.memory)
    )]
    Vanished {
        /// Its number.
        number: u64,
        /// The file that remembers it.
        memory: PathBuf,
    },
    /// Other publishers were faster, again and again.
    #[error("others publish all the time; try again later")]
    Crowded,
    /// The key may not do this.
    #[error("the signing key {key} may not {what}")]
    NotAllowed {
        /// The id of the key.
        key: String,
        /// What.
        what: &'static str,
    },
    /// What was seen can't be read or written.
    #[error("can't use `{}`, which remembers what was seen of this repository: {source}", printable_path(.path))]
    Memory {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of this machine can't be read or written.
    #[error("can't {doing} `{}`: {source}", printable_path(.path))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RepositoryError {
    /// A call on a file failed.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether the machine or the way to the repository is at fault, and not what it says.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Remote(error) => !matches!(error, RemoteError::Wrong(_)),
            Self::Expired { .. } | Self::Future { .. } | Self::WebPage { .. } | Self::Crowded => true,
            Self::Memory { .. } | Self::Io { .. } => true,
            _ => false,
        }
    }

    /// Whether the same may work a little later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Remote(RemoteError::Unavailable(_) | RemoteError::Busy(_)))
    }
}

/// A time as text.
pub fn time(seconds: u64) -> String {
    // The last second that has four digits for its year.
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string()
}
