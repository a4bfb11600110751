//! `uninstall`, `upgrade`, `rollback`, `prune`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use build_graph::untrusted::printable;
use clap::Args;

use super::super::install::{Found, Repository, add, closure, held, with_hint, with_repository};
use super::super::json::JsonOption;
use super::super::repository::RepositoryOptions;
use super::super::{CommandError, Session};
use super::{Change, Changed, ChangedPackage, Keep, Settled, installed, nothing, settle};
use crate::install::package::{self, Manifest};
use crate::install::version::compare;
use crate::install::{Destination, Outcome, prepare};
use crate::store::{Area, Scratch, Store};

/// Options of `uninstall`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Uninstall {
    /// The folder that packages are installed in
    dest: PathBuf,
    /// The packages
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<String>,
    /// Also remove packages that nobody asked for by name and that no other one needs any more
    #[arg(long)]
    unused: bool,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    json: JsonOption,
}

/// Options of `upgrade`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Upgrade {
    /// The folder that packages are installed in
    dest: PathBuf,
    /// The packages, with what they need [default: all that are installed]
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    #[command(flatten)]
    repository: RepositoryOptions,
    /// Only say what would change
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    json: JsonOption,
}

/// Options of `rollback`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    /// The folder that packages are installed in
    dest: PathBuf,
    /// The generation, as `list DEST` shows it [default: the one that was current before]
    #[arg(value_name = "GENERATION")]
    generation: Option<u64>,
    #[command(flatten)]
    json: JsonOption,
}

/// Options of `prune`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Prune {
    /// The folder that packages are installed in
    dest: PathBuf,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    json: JsonOption,
}

/// Opens an installation to change it; makes none.
fn open(dest: &Path) -> Result<Destination, CommandError> {
    installed(dest)?;
    Ok(Destination::open(dest)?)
}

/// The store's folder of compiled code, if there is a store.
fn code_cache(session: &Session) -> Option<PathBuf> {
    let there = Store::default_root().is_ok_and(|root| root.is_dir());
    there.then(|| session.store().ok().map(|store| store.area(Area::Compiled))).flatten()
}

pub(in crate::cli) fn uninstall(session: &Session, options: &Uninstall) -> Result<(), CommandError> {
    let destination = open(&options.dest)?;
    let receipts = destination.receipts()?;
    let asked = destination.current()?.map(|current| current.about.asked).unwrap_or_default();
    let always = &session.bundle.packages.always;
    let mut gone = options.packages.clone();
    gone.sort();
    gone.dedup();
    if let Some(name) = gone.iter().find(|name| always.contains(name)) {
        return Err(CommandError::input(format!("all programs need the package `{}`", printable(name)))
            .hint("to remove everything, delete the folder"));
    }
    if let Some((name, other)) = needed(&receipts, &gone) {
        let needs = format!("package `{}` needs `{}`", printable(other), printable(name));
        return Err(CommandError::input(needs).hint("name both, or neither"));
    }
    if options.unused {
        gone.extend(unused(&receipts, &gone, |name| asked.contains(name) || always.iter().any(|other| other == name)));
    }
    let mut transaction = destination.begin()?;
    let mut removed = Vec::new();
    for name in &gone {
        removed.push(transaction.remove(name)?);
    }
    let cache = code_cache(session);
    let by = format!("uninstall {}", options.packages.join(" "));
    let number = transaction
        .commit(&by, [], |new| prepare::prepare(new, cache.as_deref(), prepare::DEADLINE))
        .map_err(|error| with_hint(error, "nothing was removed"))?;
    for receipt in &removed {
        outln!("uninstall: {} {} removed", receipt.name, receipt.version);
    }
    let settled = number.map(|number| settle("uninstall", &destination, number, options.keep)).unwrap_or_default();
    let packages = removed.into_iter().map(|Manifest { name, version, .. }| {
        let before = Some(version.clone());
        ChangedPackage { name, version, before, change: Change::Removed }
    });
    options.json.answer(|| Changed::of(&options.dest, number, packages.collect(), settled))
}

/// A package that goes and one that stays and needs it.
fn needed<'a>(receipts: &'a [Manifest], gone: &'a [String]) -> Option<(&'a str, &'a str)> {
    let staying = receipts.iter().filter(|receipt| !gone.contains(&receipt.name));
    staying
        .flat_map(|receipt| receipt.requires.iter().map(move |needs| (needs.as_str(), receipt.name.as_str())))
        .find(|(needs, _)| gone.iter().any(|name| name == needs))
}

/// The packages that are needed by none of those that are wanted.
fn unused(receipts: &[Manifest], gone: &[String], is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let staying: BTreeMap<&str, &Manifest> = receipts
        .iter()
        .filter(|receipt| !gone.contains(&receipt.name))
        .map(|receipt| (receipt.name.as_str(), receipt))
        .collect();
    let mut open: Vec<&str> = staying.keys().copied().filter(|name| is_wanted(name)).collect();
    let mut used = std::collections::BTreeSet::new();
    while let Some(name) = open.pop() {
        if let Some(receipt) = staying.get(name)
            && used.insert(name)
        {
            open.extend(receipt.requires.iter().map(String::as_str));
        }
    }
    staying.keys().filter(|name| !used.contains(*name)).map(|name| (*name).to_owned()).collect()
}

pub(in crate::cli) fn upgrade(session: &Session, options: &Upgrade) -> Result<(), CommandError> {
    let current = installed(&options.dest)?.current;
    let receipts: BTreeMap<String, Manifest> =
        current.receipts()?.into_iter().map(|receipt| (receipt.name.clone(), receipt)).collect();
    let Some(target) = receipts.values().next().map(|receipt| receipt.target.clone()) else {
        return Err(nothing(&options.dest));
    };
    if let Some(name) = options.packages.iter().find(|name| !receipts.contains_key(*name)) {
        let missing = format!("package `{}` is not installed", printable(name));
        return Err(CommandError::input(missing).hint("use `install` for a new one"));
    }
    with_repository(session, Some(target.as_str()), &options.repository, |repository, cache| {
        let names =
            if options.packages.is_empty() { receipts.keys().cloned().collect() } else { options.packages.clone() };
        let wanted = later(repository, &receipts, names)?;
        if options.dry_run {
            preview(repository, &receipts, &wanted, options)
        } else {
            replace(repository, &wanted, options, cache)
        }
    })
}

/// Of these packages and what they need, those that the repository has as late as they are
/// installed, or later.
fn later(
    repository: &dyn Repository,
    receipts: &BTreeMap<String, Manifest>,
    names: Vec<String>,
) -> Result<Vec<Found>, CommandError> {
    let all = repository.all();
    let mut wanted = Vec::new();
    for name in names {
        if all.iter().any(|found| found.name == name) {
            wanted.push(name);
        } else if receipts.get(&name).is_none_or(|receipt| receipt.wheel.is_none()) {
            errln!("warning: {} stays: there is no such package any more", printable(&name));
        }
    }
    let installed: Vec<_> = receipts.values().cloned().collect();
    let held = held(repository, &installed);
    let versions = held.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
    let mut found = closure(repository, wanted, &versions)?;
    found.retain(|found| {
        let installed = receipts.get(&found.name);
        let earlier = installed.filter(|receipt| compare(&found.version, &receipt.version).is_lt());
        if let Some(receipt) = earlier {
            let (name, there, here) = (&found.name, printable(&found.version), printable(&receipt.version));
            errln!("warning: {name} {here} stays: the latest that there is, is {there}");
        }
        earlier.is_none()
    });
    Ok(found)
}

fn preview(
    repository: &dyn Repository,
    receipts: &BTreeMap<String, Manifest>,
    wanted: &[Found],
    options: &Upgrade,
) -> Result<(), CommandError> {
    let mut packages = Vec::new();
    for found in wanted {
        let manifest = package::describe(repository.open(found)?)
            .map_err(|source| crate::install::InstallError::Package { name: found.name.clone(), source })?;
        let before = receipts.get(&found.name);
        if before != Some(&manifest) {
            outln!("upgrade: {}", in_words(before, found));
            packages.push(changed(before, found));
        }
    }
    if packages.is_empty() {
        outln!("upgrade: everything is up to date");
    }
    options.json.answer(|| Changed::of(&options.dest, None, packages, Settled::default()))
}

/// What changes: `zlib 1.2.13 -> 1.3`, `zlib 1.2.13, another build`, `zlib 1.3, new`.
fn in_words(before: Option<&Manifest>, found: &Found) -> String {
    let (name, version) = (&found.name, printable(&found.version));
    match before {
        None => format!("{name} {version}, new"),
        Some(before) if before.version == found.version => format!("{name} {version}, another build"),
        Some(before) => format!("{name} {} -> {version}", printable(&before.version)),
    }
}

fn changed(before: Option<&Manifest>, found: &Found) -> ChangedPackage {
    let change = if before.is_some() { Change::Replaced } else { Change::Installed };
    let before = before.map(|before| before.version.clone());
    ChangedPackage { name: found.name.clone(), version: found.version.clone(), before, change }
}

fn replace(
    repository: &dyn Repository,
    wanted: &[Found],
    options: &Upgrade,
    cache: Option<&Path>,
) -> Result<(), CommandError> {
    let code = repository.get(wanted)?;
    let cache = code.as_ref().map(Scratch::path).or(cache);
    let destination = open(&options.dest)?;
    let before: BTreeMap<String, Manifest> =
        destination.receipts()?.into_iter().map(|receipt| (receipt.name.clone(), receipt)).collect();
    let mut transaction = destination.begin()?;
    let mut packages = Vec::new();
    let mut lines = Vec::new();
    for found in wanted {
        if add(&mut transaction, repository, found)? != Outcome::Present {
            lines.push(in_words(before.get(&found.name), found));
            packages.push(changed(before.get(&found.name), found));
        }
    }
    let by = ["upgrade"].into_iter().chain(options.packages.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let number = transaction
        .commit(&by, [], |new| prepare::prepare(new, cache, prepare::DEADLINE))
        .map_err(|error| with_hint(error, "nothing was upgraded; get the packages anew"))?;
    for line in lines {
        outln!("upgrade: {line}");
    }
    let settled = match number {
        Some(number) => settle("upgrade", &destination, number, options.keep),
        None => {
            outln!("upgrade: everything is up to date");
            Settled::default()
        }
    };
    options.json.answer(|| Changed::of(&options.dest, number, packages, settled))
}

pub(in crate::cli) fn rollback(options: &Rollback) -> Result<(), CommandError> {
    let destination = open(&options.dest)?;
    let generation = destination.rollback(options.generation)?;
    outln!("rollback: generation {} is current", generation.number);
    let number = Some(generation.number);
    options.json.answer(|| Changed::of(&options.dest, number, Vec::new(), Settled::default()))
}

pub(in crate::cli) fn prune(options: &Prune) -> Result<(), CommandError> {
    let destination = open(&options.dest)?;
    let current = destination.current()?.ok_or_else(|| nothing(&options.dest))?;
    let settled = settle("prune", &destination, current.number, options.keep);
    options.json.answer(|| Changed::of(&options.dest, Some(current.number), Vec::new(), settled))
}
