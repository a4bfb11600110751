//! What is looked at when recipes are put together, so that no mistake in them is silent.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assembly, Product, Recipe, RecipeError, State, Take};
use crate::Tree;
use crate::node::{NodeName, Op, Target};

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
            by_name.entry(&recipe.name).or_default().push(recipe);
        }
        for (name, recipes) in by_name {
            if recipes.len() > 1 {
                let versions: Vec<_> = recipes.iter().map(|recipe| format!("version {}", recipe.version)).collect();
                self.mistake(format!(
                    "{} recipes are called `{name}` ({}): give one another name, or have it take the other's place with \
                     `replacing`",
                    recipes.len(),
                    versions.join(", ")
                ));
            }
            if name.contains('/') || NodeName::new(name).is_err() || known.contains(&name) {
                self.mistake(format!(
                    "a recipe can't be called `{name}`: use letters, digits and `+-._`, and no target's name"
                ));
            }
            for recipe in recipes {
                if recipe.targets.is_empty() {
                    self.mistake(format!("recipe `{name}` is for no target: name some in `targets`"));
                }
                let mut seen = BTreeSet::new();
                for target in &recipe.targets {
                    if !known.contains(&target.as_str()) {
                        self.mistake(format!(
                            "recipe `{name}` is for the target `{target}`, which there is no toolchain for; there are {}",
                            known.join(", ")
                        ));
                    } else if !seen.insert(target) {
                        self.mistake(format!("recipe `{name}` lists the target `{target}` twice: list it once"));
                    }
                }
            }
        }
    }

    /// What a recipe gave, and the version that it says it has.
    pub(super) fn check_product(&mut self, recipe: &Recipe, target: &Target, product: &Product) {
        let made = NodeName::new(format!("{target}/{}/package", recipe.name));
        let made = made.ok().filter(|name| matches!(self.node(name), Some(node) if matches!(node.op, Op::Package(_))));
        let given = product.package.as_ref().map(super::Handle::name);
        if let Some(made) = made.filter(|made| given != Some(made)) {
            self.error(&recipe.name, target, format!("it makes `{made}` and does not return it as its `package`"));
        }
        if let Some(given) = given
            && !matches!(self.node(given), Some(node) if matches!(node.op, Op::Package(_)))
        {
            self.error(
                &recipe.name,
                target,
                format!("it returns `{given}` as its `package`, which is none: make one with `package`"),
            );
        }
        if product.tree.is_none() && product.package.is_none() {
            self.error(&recipe.name, target, "it gives neither a tree nor a package: return one of them");
        }
        self.check_version(recipe, target);
    }

    /// A recipe that builds one source has that source's version, and so has one that takes a
    /// source of its own name.
    fn check_version(&mut self, recipe: &Recipe, target: &Target) {
        let Some(taken) = self.taken.get(&(recipe.name.clone(), target.clone())) else { return };
        let own = taken.sources.get(&recipe.name);
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
            self.error(&recipe.name, target, message);
        }
    }

    /// Every package that a package needs must be there.
    pub(super) fn check_packages(&mut self) {
        let offers = |name: &str, target: &Target| match self.products.get(&(name.to_owned(), target.clone())) {
            Some(State::Described(product)) => product.package.is_some(),
            _ => false,
        };
        let mut wrong = Vec::new();
        for node in &self.nodes {
            let Op::Package(package) = &node.op else { continue };
            for required in &package.requires {
                if *required == package.name {
                    wrong.push((node.recipe.clone(), package.target.clone(), "its package requires itself".to_owned()));
                } else if !offers(required, &package.target) {
                    let there = self.products.iter().filter_map(|((name, target), state)| match state {
                        State::Described(Product { package: Some(_), .. }) if *target == package.target => {
                            Some(name.as_str())
                        }
                        _ => None,
                    });
                    let message = format!(
                        "its package requires `{required}`, and no recipe gives a package of that name for {}; there are {}",
                        package.target,
                        there.collect::<Vec<_>>().join(", ")
                    );
                    wrong.push((node.recipe.clone(), package.target.clone(), message));
                }
            }
        }
        for (recipe, target, message) in wrong {
            // A recipe that is wrong itself may lack its package for that.
            let is_wrong = |error: &RecipeError| matches!(&error.recipe, Some((name, _)) if message.contains(&format!("`{name}`")));
            if !self.errors.iter().any(is_wrong) {
                self.error(&recipe, &target, message);
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
