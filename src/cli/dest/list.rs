//! `list DEST`: what is installed, and the generations.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use build_graph::Entry;
use build_graph::dsl::{Recipe, RecipeSet};
use build_graph::untrusted::{printable, printable_path};
use indicatif::HumanBytes;
use serde::Serialize;

use super::super::json::{self, Answer, JsonOption};
use super::super::provenance::wheel_license;
use super::super::{CommandError, columns};
use crate::install::Installed;
use crate::install::package::Manifest;

/// The answer of `list DEST`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Listed {
    /// The folder.
    dest: String,
    /// The target of the packages.
    target: Option<String>,
    /// The packages of the current generation, by name.
    packages: Vec<Package>,
    /// All generations, by number.
    generations: Vec<Generation>,
}

/// A package that is installed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Package {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// Whether it was asked for by name; otherwise it came because another one needs it, or is
    /// always installed.
    asked: bool,
    /// The packages that it needs.
    requires: Vec<String>,
    /// How many files it has.
    files: usize,
    /// The bytes of its files.
    size: u64,
    /// The digest of the tree that it installs.
    tree: String,
    /// Its license, as the metadata of its wheel states it, or this tool's recipe of that version.
    license: Option<String>,
}

/// A generation.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Generation {
    /// Its number.
    number: u64,
    /// Whether it is the one that counts.
    current: bool,
    /// When it was made, in seconds since 1970; 0 if that is not known.
    made: u64,
    /// What made it, such as `install lxml`.
    by: String,
    /// The bytes that it takes of the disk.
    space: u64,
}

impl Answer for Listed {
    const SCHEMA: &'static str = "list-dest/1";
}

/// Prints what is installed.
pub(in crate::cli) fn list(found: &Installed, recipes: &RecipeSet, json: JsonOption) -> Result<(), CommandError> {
    let receipts = found.current.receipts()?;
    let mut generations = Vec::new();
    for generation in found.generations()? {
        let space = generation.space()?;
        let (number, current) = (generation.number, generation.current);
        generations.push(Generation { number, current, made: generation.about.made, by: generation.about.by, space });
    }
    let target = receipts.first().map(|receipt| receipt.target.to_string());
    let packages = receipts.into_iter().map(|receipt| {
        let license = license(found, recipes, &receipt)?;
        let size = |entry: &Entry| if let Entry::File { size, .. } = entry { *size } else { 0 };
        Ok(Package {
            asked: found.current.about.asked.contains(&receipt.name),
            files: receipt.content.len(),
            size: receipt.content.iter().map(|(_, entry)| size(entry)).sum(),
            tree: receipt.content.digest().to_string(),
            name: receipt.name,
            version: receipt.version,
            requires: receipt.requires,
            license,
        })
    });
    let packages = packages.collect::<Result<_, CommandError>>()?;
    let answer = Listed { dest: found.dest.to_string_lossy().into_owned(), target, packages, generations };
    if json.json { json::print(&answer) } else { text(&answer, &found.dest) }
}

/// The license of a package, if it is known.
fn license(found: &Installed, recipes: &RecipeSet, receipt: &Manifest) -> Result<Option<String>, CommandError> {
    if receipt.wheel.is_some() {
        return wheel_license(found, receipt);
    }
    let recipe = recipes
        .recipes
        .iter()
        .find(|recipe| recipe.name() == receipt.name && recipe.stated_version() == receipt.version);
    Ok(recipe.and_then(Recipe::stated_license).map(str::to_owned))
}

fn text(answer: &Listed, dest: &Path) -> Result<(), CommandError> {
    outln!("{}: {}", printable_path(dest), printable(answer.target.as_deref().unwrap_or("no target")));
    let package = |package: &Package| {
        let needed: Vec<_> = answer
            .packages
            .iter()
            .filter(|other| other.requires.contains(&package.name))
            .map(|other| printable(&other.name).to_string())
            .collect();
        let why = match (package.asked, needed.is_empty()) {
            (true, _) => "asked for".to_owned(),
            (false, true) => String::new(),
            (false, false) => format!("for {}", needed.join(", ")),
        };
        let version = printable(&package.version).to_string();
        let license = printable(package.license.as_deref().unwrap_or_default()).to_string();
        [format!("  {}", printable(&package.name)), version, HumanBytes(package.size).to_string(), license, why]
    };
    for line in columns(&answer.packages.iter().map(package).collect::<Vec<_>>()) {
        outln!("{}", line.trim_end());
    }
    let generation = |generation: &Generation| {
        let made = match generation.made {
            0 => String::new(),
            made => humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(made)).to_string(),
        };
        let mark = if generation.current { "*" } else { " " };
        let space = HumanBytes(generation.space).to_string();
        [format!("{mark} generation {}", generation.number), space, made, printable(&generation.by).to_string()]
    };
    for line in columns(&answer.generations.iter().map(generation).collect::<Vec<_>>()) {
        outln!("{}", line.trim_end());
    }
    Ok(())
}
