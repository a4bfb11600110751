//! `pynbox-build clean`: removes what `gen` and ninja wrote. The store stays.

use std::fs;
use std::io;

use super::{CommandError, Session, waiting_for};
use crate::build::BuildError;
use crate::build::out_lock::OutLock;

pub(super) fn run(session: &Session) -> Result<(), CommandError> {
    let project = session.project()?;
    let out = session.out(&project);
    // Nobody writes a plan meanwhile. What is removed last is the lock's own file: whoever waits
    // for it notices.
    let _lock = OutLock::for_writing(&out, &waiting_for)?;
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    gone(fs::remove_dir_all(out.path())).map_err(BuildError::io("remove", out.path()))?;
    for name in ["build.ninja", ".ninja_log", ".ninja_deps"] {
        let path = project.root.join(name);
        gone(fs::remove_file(&path)).map_err(BuildError::io("remove", &path))?;
    }
    Ok(())
}
