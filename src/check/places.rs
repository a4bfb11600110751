//! Where tests run: in an installed sandbox, or natively. Both see a library that they can't write
//! to and run as an ordinary user, so that nothing but the sandbox makes a difference.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};
use walkdir::WalkDir;

use super::Suite;

/// The driver, which runs a file of tests.
const DRIVER: &str = include_str!("../../recipes/files/check/run_tests.py");
/// Its name in the library. It has to lie there: tests of tracing leave out what belongs to the
/// library.
pub(super) const DRIVER_FILE: &str = "run_one_file_of_tests.py";
/// The file that it writes.
pub(super) const LINES: &str = "lines";
/// The user and group `nobody`, whom root lends nothing.
const NOBODY: u32 = 65534;

/// Where tests run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestPlace {
    /// In the sandbox.
    Sandbox {
        /// The loader.
        run: PathBuf,
        /// What the guest sees at `/`.
        root: PathBuf,
        /// A copy of the library.
        library: PathBuf,
        /// The loader's engine, if not the one that it takes by itself.
        engine: Option<&'static str>,
    },
    /// By an interpreter of this machine.
    Native {
        /// The interpreter.
        program: PathBuf,
        /// Its library.
        library: PathBuf,
    },
}

/// The folders of one file's process.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The process's own, for temporary files.
    pub temporary: PathBuf,
    /// Where it leaves its results.
    pub results: PathBuf,
}

impl TestPlace {
    /// Its library, on the host.
    pub fn library(&self) -> &Path {
        match self {
            Self::Sandbox { library, .. } | Self::Native { library, .. } => library,
        }
    }

    /// The command that runs a file of a suite.
    ///
    /// # Errors
    /// If the folders can't be handed over.
    pub fn command(&self, suite: &Suite, file: &str, folders: &Folders) -> io::Result<Command> {
        let mut command;
        let results = match self {
            Self::Sandbox { run, root, library, engine } => {
                command = Command::new(run);
                command.env_clear();
                if let Some(engine) = engine {
                    command.args(["--engine", engine]);
                }
                for (host, guest, access) in [
                    (root.as_path(), "/", "ro"),
                    (library.as_path(), suite.library_at.as_str(), "rw"),
                    (folders.temporary.as_path(), "/tmp", "rw"),
                    (folders.results.as_path(), "/results", "rw"),
                ] {
                    let mut mount = host.as_os_str().to_owned();
                    mount.push(format!(":{guest}:{access}"));
                    command.arg("-m").arg(mount);
                }
                for variable in ["HOME=/tmp", "TMPDIR=/tmp", "LANG=C.UTF-8", "PATH=/python/bin"] {
                    command.args(["-E", variable]);
                }
                command.args([&suite.interpreter, &format!("{}/{DRIVER_FILE}", suite.library_at)]);
                Path::new("/results").join(LINES)
            }
            Self::Native { program, library } => {
                command = Command::new(program);
                command.env_clear().env("HOME", &folders.temporary).env("TMPDIR", &folders.temporary);
                command.env("LANG", "C.UTF-8").env("PATH", "/usr/local/bin:/usr/bin:/bin");
                command.arg(library.join(DRIVER_FILE));
                folders.results.join(LINES)
            }
        };
        command.arg(results).arg(suite.test_runner.name()).arg(&suite.module).arg(file).args(&suite.resources);
        command.current_dir(&folders.temporary).stdin(Stdio::null());
        // A group of its own, to end all that a test started.
        command.process_group(0);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
            chown(&folders.temporary, Some(NOBODY), Some(NOBODY))?;
            chown(&folders.results, Some(NOBODY), Some(NOBODY))?;
        }
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                // A shell that starts this program in the background has it ignored, and tests can
                // tell.
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
            });
        }
        Ok(command)
    }
}

/// The outermost folder on the way to `dest` that whom tests run as can't enter.
///
/// # Errors
/// If a folder can't be looked at.
pub fn closed_folder(dest: &Path) -> io::Result<Option<PathBuf>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let mut way: Vec<_> = dest.ancestors().collect();
    way.reverse();
    for folder in way {
        let metadata = fs::metadata(folder)?;
        let entered_by = if metadata.uid() == NOBODY { 0o100 } else { 0o001 };
        if metadata.mode() & entered_by == 0 {
            return Ok(Some(folder.to_path_buf()));
        }
    }
    Ok(None)
}

/// Puts the driver into a library.
///
/// # Errors
/// If it can't be written.
pub fn write_driver(library: &Path) -> io::Result<()> {
    fs::write(library.join(DRIVER_FILE), DRIVER)
}

/// Copies a folder, times and links included: bytecode is told to be of its source by the time.
/// What is there already is replaced.
///
/// # Errors
/// If something can't be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let target = match entry.path().strip_prefix(from) {
            Ok(path) if !path.as_os_str().is_empty() => to.join(path),
            _ => to.to_path_buf(),
        };
        copy_one(entry.path(), &target)?;
    }
    Ok(())
}

/// Copies a file or link, or makes a folder.
///
/// # Errors
/// If it can't be read or written.
pub fn copy_one(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?;
    if kind.is_dir() {
        return fs::create_dir_all(to);
    }
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    fs::copy(from, to)?;
    File::options().write(true).open(to)?.set_modified(kind.modified()?)
}

/// Gives a folder and all in it to whom tests run as, to write in.
///
/// # Errors
/// If an owner or a mode can't be set.
pub fn lend(folder: &Path) -> io::Result<()> {
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode();
        if !entry.path_is_symlink() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode | 0o200))?;
        }
        if rustix::process::geteuid().is_root() {
            lchown(entry.path(), Some(NOBODY), Some(NOBODY))?;
        }
    }
    Ok(())
}

/// Makes a folder and all in it unwritable, or the folders in it writable again.
///
/// # Errors
/// If a mode can't be set.
pub fn set_writable(folder: &Path, writable: bool) -> io::Result<()> {
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        if entry.path_is_symlink() || (writable && !entry.file_type().is_dir()) {
            continue;
        }
        let mode = entry.metadata()?.permissions().mode();
        let mode = if writable { mode | 0o200 } else { mode & !0o222 };
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs root: only root's tests run as another user"]
    fn a_folder_that_nobody_can_enter_is_found_by_root() {
        let open = tempfile::tempdir().unwrap();
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let closed = open.path().join("closed");
        let dest = closed.join("dest");
        fs::create_dir_all(&dest).unwrap();
        assert_eq!(closed_folder(&dest).unwrap(), None);

        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed_folder(&dest).unwrap(), Some(closed.clone()));

        chown(&closed, Some(NOBODY), None).unwrap();
        assert_eq!(closed_folder(&dest).unwrap(), None);
    }
}
