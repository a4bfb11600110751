//! What is generated from the command line itself: completions of shells and manual pages.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::print;
use super::{CommandError, help};
use crate::build::BuildError;
use crate::called::called;

/// Options of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder that gets a page for each verb, such as `~/.local/share/man/man1`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(options: &Completions) {
    let mut script = Vec::new();
    // A shell completes the last part of the path by which it was called.
    let name = called().rsplit('/').next().unwrap_or_default().to_owned();
    clap_complete::generate(options.shell, &mut help::command(), name, &mut script);
    print::out(&script);
}

pub(super) fn man(options: &Man) -> Result<(), CommandError> {
    fs::create_dir_all(&options.folder).map_err(CommandError::named("create", &options.folder))?;
    clap_mangen::generate_to(help::command(), &options.folder).map_err(BuildError::io("write", &options.folder))?;
    Ok(())
}
