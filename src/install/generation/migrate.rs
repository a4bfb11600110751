//! Installations that earlier programs made, which have no generations: they become the first one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{CURRENT, FOLDER, InstallError, PACKAGES, finish, is_ours, link_name, make_folder, names, replace_link};
use super::{receipt_names, receipts};
use crate::install::prepare::COMPILED;
use crate::install::transaction::step;

/// Moves an installation without generations into the first one. Every name in DEST leads to what
/// it led to at each moment: a folder and the link to its new place are exchanged. What was
/// interrupted is gone on with. Files keep what the loader knows them by.
pub(in crate::install) fn migrate(dest: &Path) -> Result<(), InstallError> {
    let first = dest.join(FOLDER).join("1");
    let begun = fs::symlink_metadata(first.join(super::ABOUT)).is_err() && first.is_dir() && is_current(dest);
    let packages = dest.join(PACKAGES);
    let is_real = fs::symlink_metadata(&packages).is_ok_and(|there| there.is_dir());
    if !begun && (!is_real || is_current(dest) || receipt_names(dest)?.is_empty()) {
        return Ok(());
    }
    let old = File::create(packages.join(".lock")).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = old.map_err(InstallError::io("lock", &packages))?;
    if packages.join(".transaction/journal").exists() {
        let why = "an earlier program was interrupted while it installed: install with that one again, or elsewhere";
        return Err(InstallError::Layout { path: packages, why });
    }
    let mut moved: BTreeSet<String> = [PACKAGES, COMPILED].map(str::to_owned).into();
    for receipt in receipts(dest)? {
        let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
        moved.extend(receipt.content.iter().map(|(path, _)| first(path.as_str())));
    }
    make_folder(&first)?;
    replace_link(Path::new("1"), &dest.join(FOLDER), CURRENT)?;
    // The receipts, which say what is to be moved, go last.
    let last = moved.take(PACKAGES);
    for name in moved.into_iter().chain(last) {
        exchange(dest, &first, &name)?;
    }
    for name in names(&first.join(PACKAGES))? {
        if name.starts_with('.') {
            let path = first.join(PACKAGES).join(name);
            super::remove(&path)?;
        }
    }
    finish(&first, "an earlier program", BTreeSet::new())
}

fn is_current(dest: &Path) -> bool {
    fs::read_link(dest.join(FOLDER).join(CURRENT)).is_ok_and(|target| target == Path::new("1"))
}

/// Moves one name of DEST into the first generation, and leaves a link in its place.
fn exchange(dest: &Path, first: &Path, name: &str) -> Result<(), InstallError> {
    let (from, to) = (dest.join(name), first.join(name));
    if is_ours(dest, name) {
        return Ok(());
    }
    if fs::symlink_metadata(&from).is_err() {
        // It is moved already, without a link.
        return if to.exists() { link_name(dest, name) } else { Ok(()) };
    }
    match fs::remove_file(&to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(InstallError::io("remove", to)(error)),
        _ => {}
    }
    // The link is made where the folder goes, and both change places.
    let target = super::target_of(name);
    step().and_then(|()| std::os::unix::fs::symlink(&target, &to)).map_err(InstallError::io("create", &to))?;
    let moved = step().and_then(|()| Ok(renameat_with(CWD, &from, CWD, &to, RenameFlags::EXCHANGE)?));
    match moved {
        // The file system can't exchange.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            fs::remove_file(&to).and_then(|()| fs::rename(&from, &to)).map_err(InstallError::io("move", &from))?;
            link_name(dest, name)
        }
        moved => moved.map_err(InstallError::io("move", from)),
    }
}
