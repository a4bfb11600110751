//! `pynbox-build clean`: removes what `gen` and ninja wrote. The store stays.

use std::fs;
use std::io;

use super::{CommandError, Session};
use crate::build::BuildError;

pub(super) fn run(session: &Session) -> Result<(), CommandError> {
    let project = session.project()?;
    let out = session.out(&project);
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
