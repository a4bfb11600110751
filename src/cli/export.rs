//! `pynbox-build export DIR`: copies packages into a folder that `install --repo` takes.

use std::fs;
use std::path::PathBuf;

use build_graph::untrusted::printable_path;
use clap::Args;

use super::{CommandError, Session};
use crate::build::BuildError;
use crate::build::builder::Stamps;
use crate::build::evaluate::open_single;
use crate::install::package;

/// Options of `export`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder; made if it is not there
    dir: PathBuf,
    /// The target of the packages, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let target = session.target(&workplace.project, options.target.as_deref())?;
    let (store, builder) = (&workplace.store, workplace.builder(Stamps::Old));
    fs::create_dir_all(&options.dir).map_err(CommandError::named("create", &options.dir))?;
    for (node, description) in super::install::local_packages(&workplace.plan, &target)? {
        let digest = builder.obtain(&node)?.tree;
        let tree = store.tree(digest)?.ok_or_else(|| BuildError::Input(format!("the store has lost `{node}`")))?;
        let path = options.dir.join(package::file_name(&description));
        let mut from = open_single(store, &tree)?;
        let mut copy = || -> std::io::Result<()> {
            let mut to = tempfile::Builder::new().prefix(".new-").tempfile_in(&options.dir)?;
            std::io::copy(&mut from, &mut to)?;
            to.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
            to.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        copy().map_err(BuildError::io("write", &path))?;
        outln!("export: {}", printable_path(&path));
    }
    Ok(())
}
