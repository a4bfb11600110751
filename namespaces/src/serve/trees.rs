//! Directories as tar streams, both ways: files, directories and symbolic links with their modes
//! and times, without owners.

use std::collections::HashSet;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use build_graph::untrusted::printable_path;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use tar::{Builder, EntryType, Header};

/// Writes all that a directory holds, and its own mode and time, in the order of names. Sockets,
/// pipes and devices are left out.
///
/// # Errors
/// If something can't be read or written; the text names it.
pub fn pack(directory: &Path, to: &mut impl Write) -> io::Result<()> {
    let mut builder = Builder::new(to);
    pack_below(&mut builder, directory, Path::new(""), 0)?;
    builder.finish()
}

/// Adds all that a directory holds to an archive, below `at`, which may be empty; all of it is
/// `owner`'s, user and group.
///
/// # Errors
/// As [`pack`].
pub fn pack_below<W: Write>(builder: &mut Builder<W>, directory: &Path, at: &Path, owner: u64) -> io::Result<()> {
    let named = |error| named(directory, &error);
    let metadata = fs::symlink_metadata(directory).map_err(named)?;
    let name = if at.as_os_str().is_empty() { Path::new(".") } else { at };
    builder.append_data(&mut header(EntryType::Directory, &metadata, 0, owner), name, io::empty())?;
    let entries = readable(directory, metadata.mode(), || {
        let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        Ok(entries)
    });
    for entry in entries.map_err(named)? {
        let (path, at) = (entry.path(), at.join(entry.file_name()));
        let metadata = entry.metadata().map_err(|error| self::named(&path, &error))?;
        if metadata.is_dir() {
            pack_below(builder, &path, &at, owner)?;
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(|error| self::named(&path, &error))?;
            let mut header = header(EntryType::Symlink, &metadata, 0, owner);
            builder.append_link(&mut header, &at, target)?;
        } else if metadata.is_file() {
            let file = readable(&path, metadata.mode(), || File::open(&path));
            let file = file.map_err(|error| self::named(&path, &error))?;
            // A file that grows meanwhile is cut, one that shrinks is an error.
            let mut header = header(EntryType::Regular, &metadata, metadata.len(), owner);
            let size = metadata.len();
            builder.append_data(&mut header, &at, Exactly { from: file.take(size), left: size })?;
        }
    }
    Ok(())
}

fn header(kind: EntryType, metadata: &Metadata, size: u64, owner: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(size);
    header
}

/// Does something with what its owner may have made unreadable for itself.
fn readable<T>(path: &Path, mode: u32, action: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match action() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 | 0o700))?;
            action()
        }
        other => other,
    }
}

struct Exactly<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.from.read(buffer)?;
        if got == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::other("a file shrank while it was read"));
        }
        self.left -= got as u64;
        Ok(got)
    }
}

/// Fills an empty directory with what an archive of [`pack`] holds, and gives it its mode and time.
///
/// Nothing is written outside of the directory, whatever the archive says: each entry must lie in a
/// directory that came before it in the same archive, so no link is followed. Set-user bits are
/// dropped.
///
/// # Errors
/// If an entry is of another kind, lies elsewhere, comes twice, or can't be written.
pub fn unpack(from: impl Read, directory: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(from);
    let mut known = HashSet::from([PathBuf::new()]);
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let at = inside(&entry.path()?)?;
        let mode = entry.header().mode()? & 0o777;
        let time = entry.header().mtime()?;
        let path = directory.join(&at);
        let parent = at.parent().map(Path::to_path_buf).unwrap_or_default();
        if !known.contains(&parent) {
            return Err(named(&at, &io::Error::other("it comes before its directory")));
        }
        let done = match entry.header().entry_type() {
            EntryType::Directory => {
                let made = if at.as_os_str().is_empty() { Ok(()) } else { fs::create_dir(&path) };
                known.insert(at.clone());
                directories.push((path, mode, time));
                made
            }
            EntryType::Symlink => {
                let target = entry.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?;
                symlink(&target, &path).and_then(|()| {
                    let time = Timespec { tv_sec: time.cast_signed(), tv_nsec: 0 };
                    let times = Timestamps { last_access: time, last_modification: time };
                    Ok(utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
                })
            }
            EntryType::Regular => {
                let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
                file.and_then(|mut file| {
                    io::copy(&mut entry, &mut file)?;
                    file.set_permissions(Permissions::from_mode(mode))?;
                    set_time(&file, time)
                })
            }
            _ => Err(io::Error::other("it is no file, directory or symbolic link")),
        };
        done.map_err(|error| named(&at, &error))?;
    }
    for (path, mode, time) in directories.into_iter().rev() {
        let done = File::open(&path).and_then(|file| {
            set_time(&file, time)?;
            file.set_permissions(Permissions::from_mode(mode))
        });
        done.map_err(|error| named(&path, &error))?;
    }
    // The stream may go on: blocks of zeros, or the end that its reader waits for.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
}

fn set_time(file: &File, seconds: u64) -> io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time))
}

/// A path below the directory; `.` is the directory itself.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut at = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => at.push(name),
            _ => return Err(named(path, &io::Error::other("it lies outside"))),
        }
    }
    Ok(at)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", printable_path(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_comes_out_as_it_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("a/empty")).unwrap();
        fs::create_dir(&to).unwrap();
        let long = "x".repeat(200);
        fs::write(from.join("a").join(&long), "long").unwrap();
        fs::write(from.join("locked"), "secret").unwrap();
        fs::set_permissions(from.join("locked"), Permissions::from_mode(0o000)).unwrap();
        symlink("/outside/".repeat(30), from.join("link")).unwrap();
        fs::set_permissions(from.join("a/empty"), Permissions::from_mode(0o500)).unwrap();
        let mut archive = Vec::new();
        pack(&from, &mut archive).unwrap();
        archive.extend([0; 4096]);
        unpack(&archive[..], &to).unwrap();
        assert_eq!(fs::read(to.join("a").join(&long)).unwrap(), b"long");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new(&"/outside/".repeat(30)));
        assert_eq!(fs::metadata(to.join("locked")).unwrap().mode() & 0o7777, 0);
        assert_eq!(fs::metadata(to.join("a/empty")).unwrap().mode() & 0o7777, 0o500);
        assert_eq!(fs::metadata(to.join("a")).unwrap().mtime(), fs::metadata(from.join("a")).unwrap().mtime());
    }

    #[test]
    fn nothing_is_written_outside() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let add = |builder: &mut Builder<Vec<u8>>, kind, path: &str, target: &str| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o6777);
            header.set_size(0);
            // Past the checks of whoever writes archives.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            if !target.is_empty() {
                header.set_link_name(target).unwrap();
            }
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        };
        let (file, link, hard) = (EntryType::Regular, EntryType::Symlink, EntryType::Link);
        let target = outside.to_str().unwrap();
        let hostile: [&[(EntryType, &str, &str)]; 8] = [
            &[(file, "../outside/x", "")],
            &[(file, "/tmp/x", "")],
            &[(link, "a", target), (file, "a/x", "")],
            &[(link, "a", target), (EntryType::Directory, "a", ""), (file, "a/x", "")],
            &[(EntryType::Directory, "a", ""), (link, "a", target), (file, "a/x", "")],
            &[(hard, "a", "../outside")],
            &[(EntryType::Char, "a", "")],
            &[(file, "missing/x", "")],
        ];
        for (number, entries) in hostile.into_iter().enumerate() {
            let to = folder.path().join(format!("to-{number}"));
            fs::create_dir(&to).unwrap();
            let mut builder = Builder::new(Vec::new());
            for (kind, path, target) in entries {
                add(&mut builder, *kind, path, target);
            }
            let archive = builder.into_inner().unwrap();
            assert!(unpack(&archive[..], &to).is_err(), "{entries:?}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{entries:?}");
        }
        let to = folder.path().join("cut");
        fs::create_dir(&to).unwrap();
        let mut archive = Vec::new();
        fs::write(outside.join("x"), vec![1; 2000]).unwrap();
        pack(&outside, &mut archive).unwrap();
        assert!(unpack(&archive[..1600], &to).is_err());
    }
}
