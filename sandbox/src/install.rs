//! Where this program is installed, and the directories of an installation that no guest may reach.

use std::io;
use std::path::{Path, PathBuf};

/// An installation: `DEST` with `bin`, `lib`, `root`, `compiled`, `packages`.
#[derive(Clone, Debug)]
pub struct Installation(PathBuf);

impl Installation {
    /// The installation that the running program belongs to: the parent of the directory that holds it, links resolved.
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

    /// `DEST/root`, mounted at the guest's "/" unless `-m` says otherwise.
    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// `DEST/compiled`, native code made by `--precompile`.
    pub fn compiled(&self) -> PathBuf {
        self.0.join("compiled")
    }

    /// `DEST/lib/nacl`, the engine of a loader for Native Client.
    pub fn engine(&self) -> PathBuf {
        self.0.join("lib/nacl")
    }

    /// What no guest may write: programs, the engine, compiled code, receipts.
    pub fn protected(&self) -> [PathBuf; 4] {
        [self.0.join("bin"), self.0.join("lib"), self.compiled(), self.0.join("packages")]
    }
}
