//! A set of recipes with all that it brings along.

use super::{Locks, ProjectFiles, Recipe, RecipeSet};
use crate::node::Target;

/// Recipes, and the pins, patches and files that they need: what a program made of the library
/// hands to it.
#[derive(Clone)]
pub struct Bundle {
    /// Toolchains and recipes.
    pub set: RecipeSet,
    /// Pins.
    pub locks: Locks,
    /// Files of the project that were there when the program was built.
    pub files: ProjectFiles,
    /// The target that is built when nobody asks for another.
    pub default_target: Target,
    /// The digest of the recipes' own source files when the program was built, by which a program
    /// notices that it is older than they are; `None` if nobody is to look.
    pub sources: Option<SourcesDigest>,
    /// What is installed when nobody says more.
    pub packages: Packages,
}

/// Which packages are installed unasked; every target that is installed has them.
#[derive(Debug, Clone, Default)]
pub struct Packages {
    /// Those without which nothing that is installed can be used.
    pub always: Vec<String>,
    /// Those that are installed beside these where none is named.
    pub default: Vec<String>,
}

/// Which source files a program's recipes were compiled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcesDigest {
    /// The folders, from the project's root.
    pub folders: &'static [&'static str],
    /// The BLAKE3 digest of all `.rs` files in them, as [`SourcesDigest::of`] makes it.
    pub digest: &'static str,
}

impl SourcesDigest {
    /// The digest of files, given by path and bytes in the order of their paths.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, bytes) in files {
            hasher.update(&(path.len() as u64).to_le_bytes()).update(path.as_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
        hasher.finalize().to_string()
    }
}

impl Bundle {
    /// Adds a recipe. Its name must be its own: see [`replacing`](Self::replacing).
    #[must_use]
    pub fn with(mut self, recipe: Recipe) -> Self {
        self.set = self.set.with(recipe);
        self
    }

    /// Takes a recipe in place of the one of the same name, which has to be there.
    #[must_use]
    pub fn replacing(mut self, recipe: Recipe) -> Self {
        self.set = self.set.replacing(recipe);
        self
    }
}
