//! What can go wrong in the store, in words that say what to do next.

use std::io;
use std::path::{Path, PathBuf};

use build_graph::untrusted::printable_path;
use build_graph::{BlobDigest, RelPath, TreeDigest};
use rustix::io::Errno;
use support::called::called;
use thiserror::Error;

/// An operation on the store failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No environment variable says where the store is.
    #[error("no place for the store: set `PYNBOX_CACHE`, `XDG_CACHE_HOME` or `HOME`")]
    NoRoot,
    /// The path of the store is not UTF-8: cargo and others that get it take text only.
    #[error("the path of the store, `{}`, is no UTF-8; set `PYNBOX_CACHE` to one that is", printable_path(root))]
    NotText {
        /// The folder.
        root: PathBuf,
    },
    /// The folder holds something, but no store.
    #[error("`{}` is no store: it holds other files; name an empty folder in `PYNBOX_CACHE`", printable_path(&root))]
    NotAStore {
        /// The folder.
        root: PathBuf,
    },
    /// A later version of this program made the store.
    #[error(
        "the store `{}` has format {found}, this program knows up to {known}; use the newer program, or set `PYNBOX_CACHE` to \
         another folder",
        printable_path(&root)
    )]
    NewerFormat {
        /// The store.
        root: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that is known here.
        known: u64,
    },
    /// The store belongs to somebody else, who could change what is built from it.
    #[error("the store `{}` belongs to user {owner}, you are {user}; set `PYNBOX_CACHE` to a folder of your own", printable_path(&root))]
    ForeignOwner {
        /// The store.
        root: PathBuf,
        /// The number of the user who owns it.
        owner: u32,
        /// The number of the user who runs this program.
        user: u32,
    },
    /// Others may write to the store, so that they could change what is built from it.
    #[error("others may write to the store `{0}`; run `chmod go-w {0}`, or set `PYNBOX_CACHE` to another folder", printable_path(&root))]
    WritableByOthers {
        /// The store.
        root: PathBuf,
    },
    /// The disk is full, or the user's share of it.
    #[error(
        "no space left for the store `{}` ({doing} `{}`); free some, for example with `{} cache gc`",
        printable_path(&root),
        printable_path(&path),
        called()
    )]
    Full {
        /// The store.
        root: PathBuf,
        /// The step that failed, as a participle: `reading`.
        doing: &'static str,
        /// The path concerned.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The store can't be written to.
    #[error(
        "the store `{}` can't be written to ({doing} `{}`); make it writable, or set `PYNBOX_CACHE` to another folder",
        printable_path(&root),
        printable_path(&path)
    )]
    NotWritable {
        /// The store.
        root: PathBuf,
        /// The step that failed, as a participle: `reading`.
        doing: &'static str,
        /// The path concerned.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A system call failed.
    #[error("{doing} `{}` failed", printable_path(&path))]
    Io {
        /// The step that failed, as a participle: `reading`.
        doing: &'static str,
        /// The path concerned.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file of a tree is not in the store.
    #[error("`{path}` ({digest}) is not in the store; build it again")]
    MissingBlob {
        /// Where it stands in its tree.
        path: RelPath,
        /// The digest of its bytes.
        digest: BlobDigest,
    },
    /// Bytes were asked for that are not in the store.
    #[error("no file {digest} in the store; build it again")]
    NoBlob {
        /// The digest of the bytes.
        digest: BlobDigest,
    },
    /// Bytes were asked for of a link or a folder.
    #[error("a symbolic link and a directory have no bytes")]
    NotAFile,
    /// A tree was to be recorded as a result, but is not in the store.
    #[error("no tree {digest} in the store: a result must be stored before it is recorded")]
    NoTree {
        /// The tree.
        digest: TreeDigest,
    },
    /// Declared outputs are not there.
    #[error("declared outputs are missing: {}", list(outputs))]
    MissingOutputs {
        /// All that are missing.
        outputs: Vec<RelPath>,
    },
    /// A folder holds what a tree can't.
    #[error("`{}` holds what can't be stored: {}", printable_path(&dir), problems.join("; "))]
    Unfit {
        /// The folder.
        dir: PathBuf,
        /// The first few problems, each with its path.
        problems: Vec<String>,
    },
    /// The place where a tree should stand is taken.
    #[error("`{}` is there already", printable_path(&path))]
    Exists {
        /// The place.
        path: PathBuf,
    },
}

/// Results of the store's operations.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// Returns the exit code for this error: 1 if the build is at fault, 2 for a wrong path, 3 if
    /// the environment is.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::MissingOutputs { .. } | Self::Unfit { .. } => 1,
            Self::NotText { .. } | Self::Exists { .. } => 2,
            _ => 3,
        }
    }

    /// A call on a file outside the store failed.
    pub(super) fn outside(doing: &'static str, path: impl AsRef<Path>, error: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.as_ref().to_owned(), source: error.into() }
    }

    /// A call on a file of the store failed.
    pub(super) fn inside(
        root: &Path,
        doing: &'static str,
        path: impl AsRef<Path>,
        error: impl Into<io::Error>,
    ) -> Self {
        let (root, path, source) = (root.to_owned(), path.as_ref().to_owned(), error.into());
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Self::Full { root, doing, path, source },
            Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => Self::NotWritable { root, doing, path, source },
            _ => Self::Io { doing, path: root.join(path), source },
        }
    }
}

fn list(paths: &[RelPath]) -> String {
    let quoted: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
    quoted.join(", ")
}
