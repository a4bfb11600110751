//! What a transaction changes, on the disk before it changes anything; and how that is undone.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use build_graph::RelPath;
use serde::{Deserialize, Serialize};

use super::{COMPILED, FOLDER, Inside, InstallError, RESERVED, There, remove_tree, set_time, step};
use crate::regular;

/// What a transaction changes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    /// Files and links that go or are replaced, which `old` holds then.
    pub(super) aside: Vec<RelPath>,
    /// What is put where nothing was.
    pub(super) new: Vec<RelPath>,
    /// Folders that are made, those further up first.
    pub(super) made: Vec<RelPath>,
    /// Folders that go if nothing is left in them, and their modes, those further up first.
    pub(super) gone: Vec<(RelPath, u32)>,
    /// Whether there is compiled code, which is set aside before new one is made.
    #[serde(default = "had_code")]
    pub(super) had_code: bool,
}

/// Earlier programs left it alone, as is right where it was not set aside.
fn had_code() -> bool {
    true
}

impl Journal {
    pub(super) fn path(root: &Path) -> PathBuf {
        root.join(FOLDER).join("journal")
    }

    pub(super) fn write(&self, root: &Path) -> Result<(), InstallError> {
        let path = Self::path(root);
        let write = || -> io::Result<()> {
            step()?;
            let folder = root.join(FOLDER);
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            serde_json::to_writer(io::BufWriter::new(file.as_file_mut()), self)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(&folder)?.sync_all()
        };
        write().map_err(InstallError::io("write", &path))
    }
}

/// Undoes what was begun and not finished, if there is such a thing.
pub(in crate::install) fn recover(root: &Path) -> Result<(), InstallError> {
    let path = Journal::path(root);
    match regular::read(&path) {
        Ok(bytes) => {
            let journal: Journal =
                serde_json::from_slice(&bytes).map_err(|error| InstallError::io("read", &path)(error.into()))?;
            undo(&journal, root)?;
            step().and_then(|()| fs::remove_file(&path)).map_err(InstallError::io("remove", &path))?;
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => {}
        Err(error) => return Err(InstallError::io("read", &path)(error)),
    }
    remove_tree(&root.join(FOLDER))
}

fn undo(journal: &Journal, root: &Path) -> Result<(), InstallError> {
    let old = root.join(FOLDER).join("old");
    let mut inside = Inside::new(root);
    for path in journal.new.iter().filter(|path| inside.is(path) == There::Leaf) {
        let host = root.join(path);
        step().and_then(|()| fs::remove_file(&host)).map_err(InstallError::io("remove", host))?;
    }
    let mut inside = Inside::new(root);
    for path in journal.made.iter().rev().filter(|path| inside.is(path) == There::Folder) {
        let host = root.join(path);
        match step().and_then(|()| fs::remove_dir(&host)) {
            // Somebody has put something there.
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                return Err(InstallError::io("remove", host)(error));
            }
            _ => {}
        }
    }
    for (path, mode) in &journal.gone {
        let host = root.join(path);
        let made = step().and_then(|()| fs::create_dir_all(&host));
        let made = made.and_then(|()| fs::set_permissions(&host, fs::Permissions::from_mode(*mode)));
        made.map_err(InstallError::io("create", host))?;
    }
    for path in &journal.aside {
        let (from, to) = (old.join(path), root.join(path));
        if fs::symlink_metadata(&from).is_ok() {
            let above = to.parent().unwrap_or(root);
            let back = step().and_then(|()| fs::create_dir_all(above)).and_then(|()| fs::rename(&from, &to));
            back.map_err(InstallError::io("put back", to))?;
        }
    }
    let (code, aside) = (root.join(COMPILED), root.join(FOLDER).join(COMPILED));
    let is_aside = aside.symlink_metadata().is_ok();
    if is_aside || !journal.had_code {
        step().map_err(InstallError::io("remove", &code))?;
        remove_tree(&code)?;
    }
    if is_aside {
        step().and_then(|()| fs::rename(&aside, &code)).map_err(InstallError::io("put back", code))?;
    }
    let gone = journal.gone.iter().map(|(path, _)| path);
    let changed: HashSet<_> =
        journal.aside.iter().chain(&journal.new).chain(&journal.made).chain(gone).filter_map(RelPath::parent).collect();
    for folder in changed.iter().filter(|folder| !RESERVED.contains(&folder.as_str())) {
        // They are only times.
        let _ = set_time(&root.join(folder));
    }
    Ok(())
}
