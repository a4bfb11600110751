//! A recipe: the description of one package, as one item.

use std::panic::Location;

use super::{Context, Pin, Toolchain};

/// A package's description. Made by [`recipe`].
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) targets: Option<&'static [&'static str]>,
    pub(super) source: Source,
    pub(super) pin: Option<Pin>,
    pub(super) license: Option<&'static str>,
    pub(super) provides: Option<&'static str>,
    /// The recipe of the Python that its extensions are for.
    pub(super) python: &'static str,
    pub(super) on_request: bool,
    pub(super) describe: fn(&mut Context<'_>),
    /// Where it is written.
    pub(super) at: &'static Location<'static>,
}

/// Where a recipe's source comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// A source of the lock file.
    Pinned(&'static str),
    /// A directory of the project's files.
    Files(&'static str),
}

/// Begins a recipe with its name, as other recipes and `install` call it, and the version that it
/// builds. It is for all targets that packages are installed for, and its source is the one of its
/// name, unless the functions below say otherwise.
#[track_caller]
pub const fn recipe(name: &'static str, version: &'static str) -> Recipe {
    Recipe {
        name,
        version,
        targets: None,
        source: Source::Pinned(name),
        pin: None,
        license: None,
        provides: None,
        python: "python",
        on_request: false,
        describe: |_| (),
        at: Location::caller(),
    }
}

impl Recipe {
    /// Names the targets that it is for.
    #[must_use]
    pub const fn targets(mut self, targets: &'static [&'static str]) -> Self {
        self.targets = Some(targets);
        self
    }

    /// Says where its source comes from, which `lock` writes into the lock file under its name.
    #[must_use]
    pub const fn source(mut self, pin: Pin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// Takes its source from the lock file under another recipe's name.
    #[must_use]
    pub const fn source_of(mut self, name: &'static str) -> Self {
        self.source = Source::Pinned(name);
        self
    }

    /// Has the project's files below this directory as its source.
    #[must_use]
    pub const fn files(mut self, directory: &'static str) -> Self {
        self.source = Source::Files(directory);
        self
    }

    /// States the license of what it builds, as an SPDX expression such as `MIT OR Apache-2.0`. It is
    /// part of no key.
    #[must_use]
    pub const fn license(mut self, expression: &'static str) -> Self {
        self.license = Some(expression);
        self
    }

    /// Returns its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the version that it builds.
    pub const fn stated_version(&self) -> &'static str {
        self.version
    }

    /// Returns the license of what it builds, as an SPDX expression, if it states one.
    pub const fn stated_license(&self) -> Option<&'static str> {
        self.license
    }

    /// Stands for a dependency of this name on its targets, where no recipe has the name itself.
    #[must_use]
    pub const fn provides(mut self, name: &'static str) -> Self {
        self.provides = Some(name);
        self
    }

    /// Names the recipe of the Python that its extensions and Python files are for; without it,
    /// that is `python`.
    #[must_use]
    pub const fn for_python(mut self, recipe: &'static str) -> Self {
        self.python = recipe;
        self
    }

    /// Builds its package only for those who ask for it by name, or for another that requires it:
    /// it is not among what a target's name stands for.
    #[must_use]
    pub const fn on_request(mut self) -> Self {
        self.on_request = true;
        self
    }

    /// Says what the package is, for the target of the context.
    #[must_use]
    pub const fn describe(mut self, describe: fn(&mut Context<'_>)) -> Self {
        self.describe = describe;
        self
    }

    /// Returns whether it is for this target.
    pub(super) fn is_for(&self, toolchain: &Toolchain) -> bool {
        match self.targets {
            Some(targets) => targets.contains(&toolchain.target.as_str()),
            None => toolchain.installs(),
        }
    }
}
