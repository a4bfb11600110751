//! `pynbox-build lock`: writes the pins.

use clap::Args;

use super::{CommandError, Session};

/// Options of `lock`.
#[derive(Debug, Args)]
pub(super) struct Options {}

pub(super) fn run(_session: &Session, _options: &Options) -> Result<(), CommandError> {
    Ok(())
}
