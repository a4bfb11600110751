//! Wheels that recipes lay out.

use build_graph::Tree;
use build_graph::node::Wheel;

use super::BuildError;
use super::blobs::StoreBlobs;
use super::evaluate::open_single;
use crate::python::marker::Environment;
use crate::python::names::{ProjectName, version_of};
use crate::python::wheel::{self, Layout, WheelLimits};
use crate::python::{Unreadable, metadata::Metadata};
use crate::store::Store;

/// The files of a wheel, whose archive is the one file of a tree.
pub(super) fn unpack(store: &Store, description: &Wheel, archive: &Tree) -> Result<Tree, BuildError> {
    let wrong = |error: Unreadable| BuildError::Input(format!("{error}; correct the recipe"));
    let file = archive.iter().next().map_or(String::new(), |(path, _)| path.file_name().to_owned());
    let environment = Environment::new(version_of(&description.python).map_err(wrong)?);
    let layout = Layout {
        site: description.site.clone(),
        headers: description.headers.clone(),
        interpreter: description.interpreter.clone(),
    };
    let limits = WheelLimits::default();
    let wheel = wheel::unpack(&file, open_single(store, archive)?, &layout, &limits, &StoreBlobs(store))?;
    let project = ProjectName::new(&description.project).map_err(wrong)?;
    let version = version_of(&description.version).map_err(wrong)?;
    if (&wheel.name.project, &wheel.name.version) != (&project, &version) {
        return Err(BuildError::Input(format!(
            "`{file}` is the wheel of another project or version than `{project} {version}`; correct the recipe, and lock \
             its source again"
        )));
    }
    if !wheel.name.fits(environment.minor()) || !wheel.metadata.is_for(&environment) {
        let python = &description.python;
        return Err(BuildError::Input(format!("`{file}` is not for Python {python}; choose another version")));
    }
    check_needs(description, &environment, &wheel.metadata)?;
    Ok(wheel.tree)
}

/// Everything that the wheel needs has to be there.
fn check_needs(description: &Wheel, environment: &Environment, metadata: &Metadata) -> Result<(), BuildError> {
    let extras: Vec<_> = description.extras.iter().filter_map(|extra| ProjectName::new(extra).ok()).collect();
    for need in metadata.needs(environment, &extras) {
        let there = description.beside.get(need.project.as_str());
        let project = &need.project;
        match there.map(|version| (version, version_of(version).is_ok_and(|version| need.takes(&version)))) {
            Some((_, true)) => {}
            Some((version, false)) => {
                return Err(BuildError::Input(format!(
                    "it needs `{need}`, and the recipe of `{project}` builds {version}; choose versions that fit together"
                )));
            }
            None => {
                return Err(BuildError::Input(format!(
                    "it needs `{need}`, and its recipe does not say so: add `.needs(\"{project}\")`, and a recipe for it if \
                     there is none"
                )));
            }
        }
    }
    Ok(())
}
