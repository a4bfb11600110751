//! The folder `out/` of a project, and how files are written there.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use build_graph::TreeDigest;
use build_graph::node::NodeName;
use walkdir::WalkDir;

use super::super::BuildError;

/// What follows a node's name in the name of its stamp.
const STAMP_ENDING: &str = ".digest";

/// The folder `out/` of a project.
#[derive(Debug, Clone)]
pub struct OutDir {
    path: PathBuf,
}

impl OutDir {
    /// The folder at this path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the plan.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan")
    }

    /// The folder of the stamps.
    pub fn stamps(&self) -> PathBuf {
        self.path.join("stamps")
    }

    /// The stamp of a node.
    pub fn stamp(&self, node: &NodeName) -> PathBuf {
        self.stamps().join(format!("{node}{STAMP_ENDING}"))
    }

    /// Returns the names of the nodes that have a stamp: one look at the folder, where a question
    /// a node would cost more than the rest of `gen`.
    pub fn stamped(&self) -> HashSet<NodeName> {
        let folder = self.stamps();
        let name = |entry: walkdir::DirEntry| {
            let path = entry.path().strip_prefix(&folder).ok()?.to_str()?;
            path.strip_suffix(STAMP_ENDING)?.parse().ok()
        };
        WalkDir::new(&folder).into_iter().filter_map(Result::ok).filter_map(name).collect()
    }

    /// Where the directory and the log of a failed action are kept.
    pub fn failed(&self, node: &NodeName) -> PathBuf {
        self.path.join("failed").join(node.as_str())
    }

    /// Reads a stamp; `None` if there is none, or if it is no digest (then it counts as not built).
    pub fn read_stamp(&self, node: &NodeName) -> Option<TreeDigest> {
        fs::read_to_string(self.stamp(node)).ok()?.trim_end().parse().ok()
    }

    /// Writes a stamp, unless it says the same already: ninja takes the file's time for the time of
    /// the last change.
    ///
    /// # Errors
    /// [`BuildError::Io`] if it can't be written.
    pub fn write_stamp(&self, node: &NodeName, digest: TreeDigest) -> Result<(), BuildError> {
        write_if_changed(&self.stamp(node), format!("{digest}\n").as_bytes()).map(drop)
    }
}

/// Writes a file by way of another and a rename, with its folders, unless it has these bytes
/// already. Gives whether it was written.
///
/// # Errors
/// [`BuildError::Io`].
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, BuildError> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    write_atomically(path, bytes)?;
    Ok(true)
}

/// Writes a file by way of another and a rename, with its folders.
///
/// # Errors
/// [`BuildError::Io`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    write_atomically_by(path, |file| file.write_all(bytes))
}

/// As [`write_atomically`], what is written piece by piece.
///
/// # Errors
/// [`BuildError::Io`].
pub fn write_atomically_by<T>(
    path: &Path,
    content: impl FnOnce(&mut fs::File) -> io::Result<T>,
) -> Result<T, BuildError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(denied("create", folder))?;
    let write = || -> io::Result<T> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        let written = content(file.as_file_mut())?;
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(written)
    };
    write().map_err(denied("write", path))
}

/// A file of `out/` that can't be written: what another user made is called so.
///
/// # Errors
/// [`BuildError::Foreign`] or [`BuildError::Io`].
pub fn denied(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    move |error| {
        let near = path.ancestors().take(2).map(Path::to_path_buf);
        match refuse_foreign(near) {
            Err(foreign) if error.kind() == io::ErrorKind::PermissionDenied => foreign,
            _ => BuildError::io(doing, path)(error),
        }
    }
}

/// Refuses files and folders that another user owns and this one can't write to.
///
/// # Errors
/// [`BuildError::Foreign`], which names them all.
pub fn refuse_foreign(paths: impl Iterator<Item = PathBuf>) -> Result<(), BuildError> {
    let me = rustix::process::geteuid().as_raw();
    let owner = |path: &PathBuf| {
        let owner = fs::symlink_metadata(path).ok()?.uid();
        let writable = rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        (owner != me && !writable).then_some(owner)
    };
    let foreign: Vec<_> = paths.filter_map(|path| owner(&path).map(|owner| (path, owner))).collect();
    let Some((_, owner)) = foreign.first() else { return Ok(()) };
    let owner = *owner;
    Err(BuildError::Foreign { paths: foreign.into_iter().map(|(path, _)| path).collect(), owner, me })
}
