//! `verify DEST`: compares an installation with another build of it, digest by digest.
//!
//! Without `--against`, every action that went into the installed packages is executed again, from
//! the inputs that the store has: if each gives what was recorded, a rebuild from the sources gives
//! the same packages. With `--against`, a second store, remote or installation is asked what it
//! has.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use build_graph::node::Op;
use build_graph::untrusted::{printable, printable_path};
use build_graph::{Entry, NodeKey, RelPath, Tree};
use clap::Args;
use serde::Serialize;

use super::cache_remote::{Share, seed};
use super::json::{self, Answer, JsonOption};
use super::provenance::package_of;
use super::{CommandError, Session, Workplace};
use crate::build::builder::Stamps;
use crate::build::reachable::Reachable;
use crate::called::called;
use crate::environment;
use crate::install::package::Manifest;
use crate::install::{Installed, verify};
use crate::model::Model;
use crate::provenance::difference::{self, Open};
use crate::regular;
use crate::remote::caches::Caches;
use crate::remote::settings;
use crate::remote::trust::Trust;
use crate::store::Store;

/// So many files of one result are explained.
const MAX_EXPLAINED: usize = 10;

/// Options of `verify`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder that packages are installed in
    dest: std::path::PathBuf,
    /// Rebuild nothing, and compare with what another one has: the folder of a store or of another
    /// installation, the name of a remote of the settings, or `NAME=URL`
    #[arg(long, value_name = "WHAT")]
    against: Option<String>,
    /// How many of the actions to execute again
    #[arg(long, value_name = "PERCENT", default_value = "100%", conflicts_with = "against")]
    share: Share,
    /// Choose as an earlier run did that printed this number
    #[arg(long, value_name = "NUMBER", conflicts_with = "against")]
    seed: Option<u64>,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `verify`.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Compared {
    /// How many results are the same.
    same: usize,
    /// How many the other one does not know.
    unknown: usize,
    /// Those that differ.
    differences: Vec<Differs>,
    /// The number that chose the actions, if some were executed again.
    seed: Option<u64>,
}

/// A result that two builders have differently.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Differs {
    /// The node, or the installed package.
    name: String,
    /// The digest of the tree here.
    here: String,
    /// The digest of the tree there.
    there: String,
    /// Which files differ, and where in them.
    files: Vec<String>,
}

impl Answer for Compared {
    const SCHEMA: &'static str = "verify/1";
}

impl Compared {
    /// Compares two trees. What differs is explained by the files that these open.
    fn take(
        &mut self,
        name: &str,
        here: &Tree,
        there: &Tree,
        open: (&Open<'_>, &Open<'_>),
    ) -> Result<(), CommandError> {
        if here.digest() == there.digest() {
            self.same += 1;
            return Ok(());
        }
        let differences = difference::of(here, there);
        let mut files = Vec::new();
        for one in differences.iter().take(MAX_EXPLAINED) {
            files.extend(one.explain(open.0, open.1).map_err(|error| CommandError::environment(error.to_string()))?);
        }
        if differences.len() > MAX_EXPLAINED {
            files.push(format!("and {} files more", differences.len() - MAX_EXPLAINED));
        }
        let (here, there) = (here.digest().to_string(), there.digest().to_string());
        self.differences.push(Differs { name: name.to_owned(), here, there, files });
        Ok(())
    }
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let installed = Installed::find(&options.dest)?.ok_or_else(|| {
        CommandError::input(format!("nothing is installed in `{}`", printable_path(&options.dest)))
            .hint("name the folder that was given to `install`")
    })?;
    let receipts = installed.current.receipts()?;
    let damaged = verify::verify(&installed.dest, &installed.current, &[])?.differences;
    if let Some(first) = damaged.first() {
        let message = format!("`{}` {}", printable(first.path.as_str()), first.fault.words());
        let count = damaged.len();
        return Err(CommandError::build(format!("{message}; {count} files are not as they were installed"))
            .hint("`install --verify` lists them; install the packages again, which restores them"));
    }
    let mut compared = Compared::default();
    let other = options.against.as_deref().map(Path::new).map(Installed::find).transpose()?.flatten();
    if let Some(other) = other {
        installations(&installed, &receipts, &other, &mut compared)?;
    } else {
        let workplace = session.workplace()?;
        let model = Model::new(&workplace.plan, &workplace.store);
        packages(&workplace, &model, &installed, &receipts, &mut compared)?;
        if compared.differences.is_empty() {
            match options.against.as_deref() {
                None => rebuild(&workplace, &receipts, options, &mut compared)?,
                Some(against) => ask(session, &workplace, &receipts, against, &mut compared)?,
            }
        }
    }
    answer(&options.dest, compared, options.json)
}

fn answer(dest: &Path, compared: Compared, json: JsonOption) -> Result<(), CommandError> {
    if json.json {
        json::print(&compared)?;
    } else {
        for Differs { name, here, there, files } in &compared.differences {
            outln!("{} differs: {} here, {} there", printable(name), &here[..16], &there[..16]);
            for file in files {
                outln!("  {file}");
            }
        }
        let seed = compared.seed.map(|seed| format!(" (--seed {seed})")).unwrap_or_default();
        let Compared { same, unknown, differences, .. } = &compared;
        outln!(
            "verify: {same} results are the same, {} differ, {unknown} are not known there{seed}",
            differences.len()
        );
    }
    match &compared.differences[..] {
        [] if compared.same == 0 => Err(CommandError::input("nothing could be compared: none of the results is known there")
            .hint("both must be built from the same sources, recipes and patches")),
        [] => Ok(()),
        [..] => Err(CommandError::build(format!("`{}` is not what the other build gives", printable_path(dest)))
            .hint("either an action is not reproducible, or one of the builders, or what it took from a remote, is not to be trusted")),
    }
}

/// Opens files of a store.
fn of_store(store: &Store) -> impl Fn(&RelPath, &Entry) -> Option<File> + '_ {
    |_, entry| store.open_blob(entry).ok()
}

/// Opens files of an installation.
fn of_installation(installed: &Installed) -> impl Fn(&RelPath, &Entry) -> Option<File> + '_ {
    |path, _| regular::open(&installed.current.path.join(path)).ok()
}

/// Compares two installations by their receipts.
fn installations(
    installed: &Installed,
    here: &[Manifest],
    other: &Installed,
    compared: &mut Compared,
) -> Result<(), CommandError> {
    let there = other.current.receipts()?;
    let there: BTreeMap<_, _> = there.iter().map(|receipt| (&receipt.name, receipt)).collect();
    let open: (&Open<'_>, &Open<'_>) = (&of_installation(installed), &of_installation(other));
    for receipt in here {
        match there.get(&receipt.name) {
            None => compared.unknown += 1,
            Some(found) => {
                let name = format!("{} {}", receipt.name, receipt.version);
                compared.take(&name, &receipt.content, &found.content, open)?;
            }
        }
    }
    Ok(())
}

/// Compares what is installed with the packages of this project's build.
fn packages(
    workplace: &Workplace,
    model: &Model<'_>,
    installed: &Installed,
    receipts: &[Manifest],
    compared: &mut Compared,
) -> Result<(), CommandError> {
    let store = &workplace.store;
    let open: (&Open<'_>, &Open<'_>) = (&of_installation(installed), &of_store(store));
    for receipt in receipts {
        let name = &receipt.name;
        let Some((at, made)) = package_of(model, store, receipt)? else {
            return Err(CommandError::input(format!("this project has no package `{}`", printable(name)))
                .hint("go to the project that built it, or give `--against` another installation"));
        };
        let Some(made) = made else {
            return Err(CommandError::input(format!("`{}` is not built here", model.table().name(at)))
                .hint(format!("run `{} gen && ninja`, then this again", called())));
        };
        compared.take(&format!("{name} {}", receipt.version), &receipt.content, &made.content, open)?;
    }
    Ok(())
}

/// The results that went into packages, by the names of their nodes.
fn results(workplace: &Workplace, receipts: &[Manifest]) -> Result<Vec<(String, NodeKey, Arc<Tree>)>, CommandError> {
    let model = Model::new(&workplace.plan, &workplace.store);
    let mut packages = Vec::new();
    for receipt in receipts {
        if let Some((at, _)) = package_of(&model, &workplace.store, receipt)? {
            packages.push(model.table().name(at).to_owned());
        }
    }
    let reachable = Reachable::of(&workplace.plan, &workplace.store, |name| packages.iter().any(|one| one == name))?;
    let mut results = Vec::new();
    for (name, key) in reachable.nodes {
        if let Some(digest) = workplace.store.result(key)?
            && let Some(tree) = workplace.store.tree(digest)?
        {
            results.push((name.to_string(), key, tree));
        }
    }
    Ok(results)
}

/// Executes actions again.
fn rebuild(
    workplace: &Workplace,
    receipts: &[Manifest],
    options: &Options,
    compared: &mut Compared,
) -> Result<(), CommandError> {
    let builder = workplace.builder(Stamps::Old);
    let mut actions = Vec::new();
    for (name, key, tree) in results(workplace, receipts)? {
        let name = name.parse().map_err(|error| CommandError::input(format!("{error}")))?;
        // What is pinned has been compared with its digest, and the rest takes a moment.
        if matches!(workplace.plan.node(&name)?.op, Op::Action(_) | Op::HostProgram(_) | Op::Package(_)) {
            actions.push((name, key, tree));
        }
    }
    let seed = options.seed.unwrap_or_else(seed);
    for (name, _, before) in options.share.choose(&actions, |(_, key, _)| *key, seed) {
        let again = builder.again(name)?;
        compared.take(name.as_str(), before, &again, (&of_store(&workplace.store), &of_store(&workplace.store)))?;
    }
    compared.seed = Some(seed);
    Ok(())
}

/// Compares with what another store or a remote has under the same keys.
fn ask(
    session: &Session,
    workplace: &Workplace,
    receipts: &[Manifest],
    against: &str,
    compared: &mut Compared,
) -> Result<(), CommandError> {
    let results = results(workplace, receipts)?;
    let store = &workplace.store;
    if Path::new(against).join("format").is_file() {
        let other = Store::open(Path::new(against))?;
        for (name, key, here) in results {
            match other.result(key)?.map(|digest| other.tree(digest)).transpose()?.flatten() {
                None => compared.unknown += 1,
                Some(there) => compared.take(&name, &here, &there, (&of_store(store), &of_store(&other)))?,
            }
        }
        return Ok(());
    }
    let caches = remote(session, workplace, against)?;
    let keys: Vec<_> = results.iter().map(|(_, key, _)| *key).collect();
    let said = caches.look_up(&keys);
    for (name, key, here) in results {
        let Some(hit) = said.get(&key) else {
            compared.unknown += 1;
            continue;
        };
        if hit.digest != here.digest() {
            // Without its bytes, only the names of files are told.
            let _ = caches.fetch(store, key, hit.digest, &store.missing(&hit.tree)?);
        }
        compared.take(&name, &here, &hit.tree, (&of_store(store), &of_store(store)))?;
    }
    Ok(())
}

/// The remote that is asked. It need not sign what is only compared.
fn remote(session: &Session, workplace: &Workplace, against: &str) -> Result<Caches, CommandError> {
    let project = &workplace.project;
    let variable = environment::text(settings::REMOTES_VARIABLE)?;
    let mut known = settings::all(&session.common.remote, variable.as_deref(), &project.settings.remote)?;
    if against.contains('=') {
        known = settings::all(&[against.to_owned()], None, &[])?;
    } else {
        known.retain(|remote| remote.name == against);
    }
    let Some(mut remote) = known.pop() else {
        return Err(CommandError::input(format!(
            "`{}` is no store, no installation and no remote",
            printable(against)
        ))
        .hint("name a folder, a remote of the settings, or `NAME=URL`"));
    };
    remote.unsigned = true;
    Ok(Caches::open(vec![remote], Trust::default(), &project.root, &workplace.store)?)
}
