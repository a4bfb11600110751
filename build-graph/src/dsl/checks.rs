//! What is looked at when recipes are put together, so that no mistake in them is silent.

use std::collections::{BTreeMap, BTreeSet};

use super::near::near;
use super::{Assembly, Blamed, Product, Recipe, RecipeError, State, Take};
use crate::Tree;
use crate::node::{NodeName, Op, Target};

/// The directories below `/build` that actions have of their own, beside one for each recipe that
/// they depend on.
const RESERVED_DIRECTORIES: [&str; 4] = ["config", "headers", "src", "work"];

impl Assembly {
    /// Notes a mistake that is no single recipe's.
    fn mistake(&mut self, message: String) {
        self.errors.push(RecipeError { recipe: None, message });
    }

    /// What the user calls the program, for hints.
    pub(super) fn program(&self) -> String {
        let program = &self.materials.program;
        if program.is_empty() { "pynbox-build".to_owned() } else { program.clone() }
    }

    /// Notes that a recipe takes a source.
    pub(super) fn take_source(&mut self, recipe: &str, target: &Target, source: &str) {
        self.taken.entry((recipe.to_owned(), target.clone())).or_default().sources.insert(source.to_owned());
    }

    /// Notes that a recipe takes files of the project.
    pub(super) fn take_files(&mut self, recipe: &str, target: &Target) {
        self.taken.entry((recipe.to_owned(), target.clone())).or_default().files = true;
    }

    /// The tree that a recipe takes, if its bytes are known already.
    pub(super) fn known(&self, take: &Take) -> Option<Tree> {
        let selection = take.clone().check().ok()?;
        match &self.node(&selection.node)?.op {
            Op::Local { tree } => selection.part.apply(tree).ok(),
            _ => None,
        }
    }

    /// An object without `pic` in the archive at a path of a tree, if it is known what that is made
    /// of.
    pub(super) fn archive_without_pic(&self, tree: &NodeName, path: &str) -> Option<&String> {
        let file = path.rsplit('/').next().unwrap_or(path);
        if let Some(without) = self.archives.get(tree) {
            let is_it = tree.as_str().rsplit('/').next() == Some(file);
            return without.first().filter(|_| is_it);
        }
        match &self.node(tree)?.op {
            Op::Merge { parts } => parts.iter().find_map(|part| self.archive_without_pic(&part.selection.node, path)),
            _ => None,
        }
    }

    /// Names and targets of the recipes.
    pub(super) fn check_set(&mut self) {
        let set = std::sync::Arc::clone(&self.set);
        for mistake in &set.mistakes {
            self.mistake(mistake.clone());
        }
        let known: Vec<_> = set.toolchains.iter().map(|toolchain| toolchain.target.as_str()).collect();
        let mut by_name: BTreeMap<&str, Vec<&Recipe>> = BTreeMap::new();
        for recipe in &set.recipes {
            by_name.entry(recipe.name).or_default().push(recipe);
        }
        for (name, recipes) in by_name {
            for toolchain in &set.toolchains {
                let versions: Vec<_> = recipes
                    .iter()
                    .filter(|recipe| recipe.is_for(toolchain))
                    .map(|recipe| format!("version {}", recipe.version))
                    .collect();
                if versions.len() > 1 {
                    self.mistake(format!(
                        "{} recipes for {} are called `{name}` ({}): give one another name, or have it take the other's \
                         place with `replacing`",
                        versions.len(),
                        toolchain.target,
                        versions.join(", ")
                    ));
                }
            }
            if name.contains('/') || NodeName::new(name).is_err() || known.contains(&name) {
                self.mistake(format!(
                    "a recipe can't be called `{name}`: use letters, digits and `+-._`, and no target's name"
                ));
            }
            if RESERVED_DIRECTORIES.contains(&name) {
                self.mistake(format!(
                    "a recipe can't be called `{name}`: actions that depend on it would see it at `/build/{name}`, \
                     where their own files are; give it another name"
                ));
            }
            for recipe in recipes {
                let targets = recipe.targets.unwrap_or_default();
                if recipe.targets.is_some_and(<[_]>::is_empty) {
                    self.mistake(format!("recipe `{name}` is for no target: name some in `targets`"));
                }
                let mut seen = BTreeSet::new();
                for target in targets {
                    if !known.contains(target) {
                        self.mistake(format!(
                            "recipe `{name}` is for the target `{target}`, which there is no toolchain for{}",
                            near(target, known.iter().copied())
                        ));
                    } else if !seen.insert(target) {
                        self.mistake(format!("recipe `{name}` lists the target `{target}` twice: list it once"));
                    }
                }
            }
        }
    }

    /// A recipe that builds one source has that source's version, and so has one that takes a
    /// source of its own name.
    pub(super) fn check_version(&mut self, recipe: &Recipe, target: &Target) {
        let Some(taken) = self.taken.get(&(recipe.name.to_owned(), target.clone())) else { return };
        let own = taken.sources.get(recipe.name);
        let only = || taken.sources.first().filter(|_| taken.sources.len() == 1 && !taken.files);
        let Some(source) = own.or_else(only).cloned() else { return };
        let Some(pinned) = self.materials.locks.version.get(&source).cloned() else { return };
        let rest = recipe.version.strip_prefix(pinned.as_str());
        if rest.is_none_or(|rest| !(rest.is_empty() || rest.starts_with(['-', '+']))) {
            let message = format!(
                "its version is `{}`, and the source `{source}` that it builds is pinned in version `{pinned}`: correct \
                 the one that is wrong (a suffix such as `{pinned}-2` is yours to choose)",
                recipe.version
            );
            self.error(recipe, recipe.at, target, message);
        }
    }

    /// The recipes, by target, whose packages are for those alone who ask for them: no package that
    /// anybody else gets requires one of these.
    pub(super) fn on_request(&self) -> BTreeSet<(&String, &Target)> {
        let is_on_request = |name: &str, target: &Target| {
            let toolchain = self.set.toolchains.iter().find(|toolchain| toolchain.target == *target);
            let mut recipes = self.set.recipes.iter();
            toolchain
                .is_some_and(|it| recipes.any(|recipe| recipe.name == name && recipe.is_for(it) && recipe.on_request))
        };
        let required: BTreeMap<_, _> = self
            .nodes
            .iter()
            .filter_map(|node| match &node.op {
                Op::Package(package) => Some(((package.name.as_str(), &package.target), &package.requires)),
                _ => None,
            })
            .collect();
        let products = self.products.keys().map(|(name, target)| (name, target));
        let (found, mut left): (Vec<_>, Vec<_>) = products.partition(|(name, target)| is_on_request(name, target));
        let mut found: BTreeSet<_> = found.into_iter().collect();
        while let Some((name, target)) = left.pop() {
            for other in required.get(&(name.as_str(), target)).copied().into_iter().flatten() {
                if let Some(other) = found.take(&(other, target)).map(|(other, _)| other) {
                    left.push((other, target));
                }
            }
        }
        found
    }

    /// Every package that a package needs must be there.
    pub(super) fn check_packages(&mut self) {
        let offers = |name: &str, target: &Target| match self.products.get(&(name.to_owned(), target.clone())) {
            Some(State::Described(product)) => product.package.is_some(),
            _ => false,
        };
        let set = std::sync::Arc::clone(&self.set);
        let mut wrong = Vec::new();
        for node in &self.nodes {
            let Op::Package(package) = &node.op else { continue };
            let recipe = set.recipes.iter().find(|recipe| {
                let is_for =
                    |target: &Target| set.toolchains.iter().any(|it| it.target == *target && recipe.is_for(it));
                node.recipe == recipe.name && is_for(&package.target)
            });
            let Some(recipe) = recipe else { continue };
            for required in &package.requires {
                if *required == package.name {
                    wrong.push((recipe, package.target.clone(), "its package requires itself".to_owned()));
                } else if !offers(required, &package.target) {
                    let there = self.products.iter().filter_map(|((name, target), state)| match state {
                        State::Described(Product { package: Some(_), .. }) if *target == package.target => {
                            Some(name.as_str())
                        }
                        _ => None,
                    });
                    let message = format!(
                        "its package requires `{required}`, and no recipe gives a package of that name for {}{}",
                        package.target,
                        near(required, there)
                    );
                    wrong.push((recipe, package.target.clone(), message));
                }
            }
        }
        for (recipe, target, message) in wrong {
            // A recipe that is wrong itself may lack its package for that.
            let is_wrong = |error: &RecipeError| matches!(&error.recipe, Some(Blamed { name, .. }) if message.contains(&format!("`{name}`")));
            if !self.errors.iter().any(is_wrong) {
                self.error(recipe, recipe.at, &target, message);
            }
        }
    }

    /// Every pin of the project must be somebody's.
    pub(super) fn check_locks(&mut self) {
        let materials = std::sync::Arc::clone(&self.materials);
        // Recipes that are wrong may not have come so far.
        if !self.errors.is_empty() {
            return;
        }
        let program = self.program();
        for (kind, pinned, used) in [
            ("source", &materials.locks.project.sources, self.used.sources.clone()),
            ("image", &materials.locks.project.images, self.used.images.clone()),
        ] {
            for name in pinned.difference(&used) {
                self.mistake(format!(
                    "no recipe takes the {kind} `{name}` of the project's lock files: correct the name that a recipe asks \
                     for, or take it out of `wanted.toml` and run `{program} lock`"
                ));
            }
        }
    }
}
