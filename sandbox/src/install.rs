//! Where this program is installed, and what of an installation no guest may change.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The longest guest path that a short name may stand for.
const PROGRAM_PATH_MAX: u64 = 4096;

/// An installation: `DEST` with `bin`, `lib`, `root`, `compiled`, `packages`.
#[derive(Clone, Debug)]
pub struct Installation(PathBuf);

impl Installation {
    /// The installation that the running program belongs to: the parent of the directory that holds
    /// it, links resolved.
    ///
    /// # Errors
    ///
    /// If the system does not tell the program's path.
    pub fn of_this_program() -> io::Result<Self> {
        let program = std::env::current_exe()?.canonicalize()?;
        let dest = program.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        Ok(Self(dest.to_owned()))
    }

    /// The installation at `dest`.
    pub fn at(dest: PathBuf) -> Self {
        Self(dest)
    }

    /// Whether it is one of several generations, `DEST/generations/N`.
    pub fn is_generation(&self) -> bool {
        let above = self.0.parent().and_then(Path::file_name);
        above == Some(OsStr::new("generations"))
    }

    /// `DEST`.
    pub fn place(&self) -> &Path {
        &self.0
    }

    /// `DEST/root`, mounted at the guest's "/" unless `-m` says otherwise.
    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// `DEST/compiled`, native code made by `--precompile`.
    pub fn compiled(&self) -> PathBuf {
        self.0.join("compiled")
    }

    /// `DEST/lib/native`, native code that packages brought, a folder for each program.
    pub fn native(&self) -> PathBuf {
        self.0.join("lib/native")
    }

    /// `DEST/lib/nacl`, the engine of a loader for Native Client.
    pub fn engine(&self) -> PathBuf {
        self.0.join("lib/nacl")
    }

    /// Returns the guest path of the program that a package gave this short name: the one line of
    /// `DEST/lib/programs/NAME`. `None` if no package gave it, or the file holds no absolute path.
    pub fn program(&self, name: &[u8]) -> Option<Vec<u8>> {
        if name.contains(&b'/') {
            return None;
        }
        let file = File::open(self.0.join("lib/programs").join(OsStr::from_bytes(name))).ok()?;
        let mut path = Vec::new();
        file.take(PROGRAM_PATH_MAX).read_to_end(&mut path).ok()?;
        path.pop_if(|last| *last == b'\n');
        path.starts_with(b"/").then_some(path)
    }

    /// What no guest may write: programs, the engine, compiled code, receipts.
    pub fn protected(&self) -> [PathBuf; 4] {
        [self.0.join("bin"), self.0.join("lib"), self.compiled(), self.0.join("packages")]
    }

    /// The names in `DEST/root` that packages installed, such as `python`: of directories, with all
    /// that lies in them.
    ///
    /// # Errors
    ///
    /// Those of reading the receipts (`DEST/packages/NAME.installed`); `InvalidData` for one that
    /// names what can't be read here.
    pub fn installed(&self) -> io::Result<BTreeSet<Vec<u8>>> {
        let mut names = BTreeSet::new();
        let receipts = match fs::read_dir(self.0.join("packages")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            receipts => receipts?,
        };
        for receipt in receipts {
            let path = receipt?.path();
            if path.extension() == Some(OsStr::new("installed")) {
                names.extend(names_in_root(&fs::read(path)?).ok_or(io::ErrorKind::InvalidData)?);
            }
        }
        Ok(names)
    }
}

/// What a receipt, which is JSON, has below `root/`: the first name of each path. `None` for a name
/// that is written with an escape, which no package has.
fn names_in_root(receipt: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    const BEGIN: &[u8] = b"\"root/";
    let mut names = BTreeSet::new();
    let mut rest = receipt;
    while let Some(at) = rest.windows(BEGIN.len()).position(|window| window == BEGIN) {
        rest = &rest[at + BEGIN.len()..];
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'"' | b'\\'))?;
        if rest[end] == b'\\' {
            return None;
        }
        names.insert(rest[..end].to_vec());
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_names_programs() {
        let dest = tempfile::tempdir().unwrap();
        let installation = Installation::at(dest.path().to_owned());
        assert_eq!(installation.program(b"python3"), None);
        fs::create_dir_all(dest.path().join("lib/programs/folder")).unwrap();
        fs::write(dest.path().join("lib/other"), "/other\n").unwrap();
        let name = |name: &str, text: &str| fs::write(dest.path().join("lib/programs").join(name), text).unwrap();
        name("python3", "/python3/bin/python3.wasm\n");
        name("relative", "python3\n");
        name("empty", "");
        assert_eq!(installation.program(b"python3").unwrap(), b"/python3/bin/python3.wasm");
        for none in [&b""[..], b".", b"..", b"folder", b"relative", b"empty", b"../other", b"/python3", b"python"] {
            assert_eq!(installation.program(none), None, "{}", String::from_utf8_lossy(none));
        }
    }

    #[test]
    fn what_was_installed_is_in_the_receipts() {
        let dest = tempfile::tempdir().unwrap();
        let installation = Installation::at(dest.path().to_owned());
        assert!(installation.installed().unwrap().is_empty());
        fs::create_dir(dest.path().join("packages")).unwrap();
        let receipt = |name: &str, text: &str| fs::write(dest.path().join("packages").join(name), text).unwrap();
        receipt("one.installed", r#"{"format":1,"content":{"bin/run":{},"root/python/a":{},"root/python/b/c":{}}}"#);
        receipt("two.installed", r#"{"content":{"root/slib":{"kind":"empty_directory"},"root/é/x":{}}}"#);
        receipt("three.txt", r#"{"content":{"root/other/a":{}}}"#);
        let names: Vec<_> = installation.installed().unwrap().into_iter().collect();
        assert_eq!(names, ["python", "slib", "é"].map(|name| name.as_bytes().to_vec()));
        receipt("four.installed", r#"{"content":{"root/a\"b/x":{}}}"#);
        assert_eq!(installation.installed().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
