//! `pynbox-build export DIR [PACKAGE…]`: copies packages into a folder from which `install
//! --repo` takes them.

use std::fs;
use std::path::PathBuf;

use build_graph::untrusted::printable_path;
use clap::Args;
use serde::Serialize;

use super::install::packages_to_give;
use super::json::{Answer, JsonOption};
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
    /// The packages, with all that they need [default: those that are built unasked]
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// The target of the packages, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `export`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Exported {
    /// The archives that were written.
    archives: Vec<Archive>,
}

/// An archive.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Archive {
    /// The node of its package.
    node: String,
    /// The name of the package.
    name: String,
    /// Its version.
    version: String,
    /// The file.
    file: String,
}

impl Answer for Exported {
    const SCHEMA: &'static str = "export/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let target = session.target(&workplace.project, options.target.as_deref())?;
    let (store, builder) = (&workplace.store, workplace.builder(Stamps::Old));
    fs::create_dir_all(&options.dir).map_err(CommandError::named("create", &options.dir))?;
    let mut archives = Vec::new();
    let packages = packages_to_give(session, &workplace.plan, &target, &options.packages)?;
    for (node, description) in packages {
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
        let (name, version) = (description.name, description.version);
        archives.push(Archive { node: node.to_string(), name, version, file: path.to_string_lossy().into_owned() });
    }
    options.json.answer(|| Exported { archives })
}
