//! `search [WORD]`: which packages there are.

use build_graph::untrusted::printable;
use clap::Args;
use serde::Serialize;

use super::super::install::{Found, with_repository};
use super::super::json::{self, Answer, JsonOption};
use super::super::repository::RepositoryOptions;
use super::super::{CommandError, Session, columns};
use crate::install::version::compare;

/// Options of `search`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Only packages whose names hold this text
    #[arg(value_name = "WORD")]
    word: Option<String>,
    /// The target that the packages are for, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `search`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Packages {
    /// The packages, by name, the latest version first.
    packages: Vec<Package>,
}

/// A package that can be installed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Package {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// The packages that it needs.
    requires: Vec<String>,
    /// Why its publisher has withdrawn it: then no install chooses it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<String>,
}

impl Answer for Packages {
    const SCHEMA: &'static str = "search/1";
}

pub(in crate::cli) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let found =
        with_repository(session, options.target.as_deref(), &options.repository, |repository, _| Ok(repository.all()))?;
    let word = options.word.as_deref().unwrap_or_default().to_lowercase();
    let mut packages: Vec<_> = found
        .into_iter()
        .filter(|package| package.name.to_lowercase().contains(&word))
        .map(|Found { name, version, requires, withdrawn }| Package { name, version, requires, withdrawn })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| compare(&b.version, &a.version)));
    if options.json.json {
        return json::print(&Packages { packages });
    }
    if packages.is_empty() {
        return Err(CommandError::input(format!("no package has `{}` in its name", printable(&word)))
            .hint("`search` without a word lists all"));
    }
    let row = |package: &Package| {
        let needs: Vec<_> = package.requires.iter().map(|name| printable(name).to_string()).collect();
        let needs = if needs.is_empty() { String::new() } else { format!("needs {}", needs.join(", ")) };
        let needs = match &package.withdrawn {
            Some(reason) => format!("withdrawn: {}", printable(reason)),
            None => needs,
        };
        [printable(&package.name).to_string(), printable(&package.version).to_string(), needs]
    };
    for line in columns(&packages.iter().map(row).collect::<Vec<_>>()) {
        outln!("{}", line.trim_end());
    }
    Ok(())
}
