//! Where a recipe's source comes from: what `lock` looks up, and writes into the lock file.

use std::collections::BTreeMap;

use super::RecipeSet;

/// A source that is wanted. Its version is the recipe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Where its checksum comes from.
    pub from: PinFrom,
    /// The version of what holds it, where a package of another name and version does.
    pub package_version: Option<&'static str>,
    /// Further URLs of the very same bytes.
    pub urls: &'static [&'static str],
}

/// Where the checksum of a source comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinFrom {
    /// The original source archive of this source package of the Debian release.
    Debian(&'static str),
    /// The source distribution of this project of the Python package index.
    Pypi(&'static str),
    /// The wheel without native code of this project of the Python package index.
    Wheel(&'static str),
    /// A checksum that is known otherwise.
    Fixed {
        /// The file's name.
        file: &'static str,
        /// Its SHA-256, in hexadecimal digits.
        sha256: &'static str,
        /// A path below a Debian mirror's root that has it.
        debian: Option<&'static str>,
        /// Locked unseen: a file so large or so hard to come by that locking does not wait for it.
        unseen: bool,
    },
}

/// The original source archive of a source package of the Debian release.
pub const fn debian(package: &'static str) -> Pin {
    Pin::new(PinFrom::Debian(package))
}

/// The source distribution of a project of the Python package index.
pub const fn pypi(project: &'static str) -> Pin {
    Pin::new(PinFrom::Pypi(project))
}

/// The wheel of a project of the Python package index, which has no native code.
pub const fn wheel(project: &'static str) -> Pin {
    Pin::new(PinFrom::Wheel(project))
}

/// A file whose SHA-256 is known.
pub const fn fixed(file: &'static str, sha256: &'static str) -> Pin {
    Pin::new(PinFrom::Fixed { file, sha256, debian: None, unseen: false })
}

impl Pin {
    const fn new(from: PinFrom) -> Self {
        Self { from, package_version: None, urls: &[] }
    }

    /// Has the package that holds it under another version than the source's own.
    #[must_use]
    pub const fn package_version(mut self, version: &'static str) -> Self {
        self.package_version = Some(version);
        self
    }

    /// Adds URLs of the very same bytes.
    #[must_use]
    pub const fn urls(mut self, urls: &'static [&'static str]) -> Self {
        self.urls = urls;
        self
    }

    /// Adds the path below a Debian mirror's root where a [`fixed`] file lies.
    #[must_use]
    pub const fn in_pool(mut self, path: &'static str) -> Self {
        if let PinFrom::Fixed { debian, .. } = &mut self.from {
            *debian = Some(path);
        }
        self
    }

    /// Locks a [`fixed`] file without having seen it.
    #[must_use]
    pub const fn unseen(mut self) -> Self {
        if let PinFrom::Fixed { unseen, .. } = &mut self.from {
            *unseen = true;
        }
        self
    }
}

/// A source of a set of recipes: its version, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedSource {
    /// Upstream's version.
    pub version: &'static str,
    /// Where it comes from.
    pub pin: Pin,
}

impl RecipeSet {
    /// Returns the sources that recipes and toolchains pin, by name.
    pub fn wanted_sources(&self) -> BTreeMap<&'static str, WantedSource> {
        let recipes = self.recipes.iter().filter_map(|recipe| {
            let pin = recipe.pin?;
            Some((recipe.name, WantedSource { version: recipe.version, pin }))
        });
        let layers = self.toolchains.iter().flat_map(|toolchain| &toolchain.image_sources);
        recipes.chain(layers.map(|layer| (layer.name, layer.wanted))).collect()
    }
}
