//! Reading files that a user named, or that lie where others may put something: regular files
//! alone.
//!
//! Whoever opens a pipe waits for somebody to write to its other end, which nobody may ever do; a
//! device may never end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a file to read it; links are followed.
///
/// # Errors
/// If it can't be opened, or is no regular file ([`io::ErrorKind::InvalidInput`], or
/// [`io::ErrorKind::IsADirectory`]).
pub fn open(path: &Path) -> io::Result<File> {
    // Before it is opened: that alone may wind a tape.
    check(&fs::metadata(path)?)?;
    // It may have been replaced meanwhile.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}

/// Reads a whole file.
///
/// # Errors
/// As [`open`], and if it can't be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file of text.
///
/// # Errors
/// As [`read`], and if it is no UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    io::read_to_string(open(path)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for (link, target) in
            [("to-file", "file"), ("to-pipe", "pipe"), ("to-nothing", "nothing"), ("circle", "circle")]
        {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        assert_eq!(read_to_string(&at("to-file")).unwrap(), "text");
        let kinds = ["pipe", "to-pipe", "socket", "/dev/zero", ".", "to-nothing", "circle"]
            .map(|name| open(&at(name)).unwrap_err().kind());
        let no_file = io::ErrorKind::InvalidInput;
        assert_eq!(kinds[..4], [no_file; 4]);
        assert_eq!(kinds[4..6], [io::ErrorKind::IsADirectory, io::ErrorKind::NotFound]);
    }
}
