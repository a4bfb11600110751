//! The language in which recipes are written.
//!
//! A [`Recipe`] is a name, a version and a function that says what the package is to a [`Context`].
//! The context knows the target and its [`Toolchain`], and makes nodes of what it is told. A recipe
//! does nothing itself, it only describes; so it can be run for every target, in any order, and
//! always gives the same graph.
//!
//! There are two layers. Packages ([`Code`], [`Configure`], [`Context::makefile`]) say what
//! something is made of; include paths, what is linked and what is required at run time follow from
//! their dependencies. Steps ([`ActionBuilder`], [`Context::merge`] and others) are the nodes
//! themselves, for what packages can't say.
//!
//! Mistakes in a recipe (a malformed pattern, a source that no lock file has) don't end it: they
//! are collected, and [`assemble`] reports them all, each with the file and line, the recipe and
//! the target.

mod action;
mod bundle;
mod checks;
mod code;
mod compile;
mod configure;
mod context;
mod dependency;
mod header_folders;
mod locks;
mod materials;
mod native;
mod near;
mod pin;
mod product;
mod recipe;
mod take;
mod toolchain;
mod wheel;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::Location;
use std::sync::Arc;

use thiserror::Error;

pub use action::ActionBuilder;
pub use bundle::{Bundle, Packages, SourcesDigest};
pub use code::{Code, kind};
pub use configure::{Configure, Configured};
pub use context::Context;
pub use dependency::{Library, Python};
pub use header_folders::{below, header_folders};
pub use locks::{
    ImagesLock, LockedImage, LockedPackage, LockedRelease, LockedSource, LockedSuite, Locks, ProjectPins, SourcesLock,
    UnpinnedPackage,
};
pub use materials::{Materials, Override, ProjectFile, ProjectFiles};
pub use native::{MemoryBase, NativeCode};
pub use pin::{Pin, PinFrom, WantedSource, debian, fixed, pypi, wheel};
pub use recipe::{Recipe, recipe};
pub use take::{Handle, Take};
pub use toolchain::{Cxx, ImageSource, Toolchain};
pub use wheel::{WheelBuilder, package_of_project};
pub use words::Words;

use near::near;
use product::Product;

use crate::graph::{Graph, GraphError};
use crate::node::{Node, NodeName, Target};
use crate::untrusted::printable;
use crate::{BlobDigest, RelPath, Text};

/// Toolchains and recipes that belong together.
#[derive(Clone, Default)]
pub struct RecipeSet {
    /// One for each target.
    pub toolchains: Vec<Toolchain>,
    /// The recipes; each has a name of its own.
    pub recipes: Vec<Recipe>,
    /// What is wrong with the set itself, for [`assemble`] to report.
    pub mistakes: Vec<String>,
}

impl RecipeSet {
    /// Adds a recipe. Its name must be its own: [`assemble`] reports one that another recipe has.
    #[must_use]
    pub fn with(mut self, recipe: Recipe) -> Self {
        self.recipes.push(recipe);
        self
    }

    /// Takes a recipe in place of the one of the same name, which has to be there.
    #[must_use]
    pub fn replacing(mut self, recipe: Recipe) -> Self {
        match self.recipes.iter_mut().find(|other| other.name == recipe.name) {
            Some(other) => *other = recipe,
            None => self.mistakes.push(format!(
                "recipe `{}` (version {}) is to replace one of that name, and there is none: add it with `with`",
                recipe.name, recipe.version
            )),
        }
        self
    }
}

/// A mistake in a recipe, or in what a set of recipes is put together from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{message}", .recipe.as_ref().map(Blamed::to_string).unwrap_or_default())]
pub struct RecipeError {
    /// Whose it is; `None` for a mistake that is no single recipe's.
    pub recipe: Option<Blamed>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The place of a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blamed {
    /// The recipe.
    pub name: String,
    /// The targets for which it was asked.
    pub targets: Vec<Target>,
    /// Where it was written.
    pub at: &'static Location<'static>,
}

impl std::fmt::Display for Blamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let targets: Vec<_> = self.targets.iter().map(Target::as_str).collect();
        write!(f, "{}: recipe `{}` for {}: ", place(self.at), self.name, targets.join(", "))
    }
}

/// A place in a recipe. Recipes of ours are named from the project's root, as the compiler names
/// files of the crate that is built.
fn place(at: &Location<'_>) -> String {
    let ours = env!("CARGO_MANIFEST_DIR").trim_end_matches("build-graph");
    format!("{}:{}", at.file().strip_prefix(ours).unwrap_or(at.file()), at.line())
}

/// Recipes don't make a graph.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AssembleError {
    /// Some recipes are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Recipes(Vec<RecipeError>),
    /// Their nodes don't fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// No recipe reads some patches.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Patches(Vec<UnreadPatch>),
}

/// A patch that no recipe reads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no recipe reads the patch `{}`: {}", printable(patch), hint(places))]
pub struct UnreadPatch {
    /// Its path in the project.
    patch: RelPath,
    /// Where patches of this name are looked for.
    places: Vec<String>,
}

impl UnreadPatch {
    /// What is unread of these patches, when patches were looked for in these directories.
    fn of(patches: &[RelPath], read: &BTreeSet<String>) -> Vec<Self> {
        let is_read = |path: &RelPath| {
            let mut above = path.parent();
            std::iter::from_fn(|| {
                let directory = above.take()?;
                above = directory.parent();
                Some(directory)
            })
            .any(|directory| read.contains(directory.as_str()))
        };
        let unread = patches.iter().filter(|path| {
            let is_patch = path.as_str().ends_with(".patch") || path.as_str().ends_with(".diff");
            // What lies where patches lie is one, whatever its name.
            (is_patch || path.as_str().split('/').count() > 3) && !is_read(path)
        });
        unread.map(|patch| Self { patch: patch.clone(), places: Self::places(patch, read) }).collect()
    }

    /// The directories of the recipe that the patch seems to be for.
    fn places(patch: &RelPath, read: &BTreeSet<String>) -> Vec<String> {
        let recipe = |directory: &str| {
            let package = directory.split('/').nth(1)?;
            Some(package.rsplit_once('-').map_or(package, |(name, _)| name).to_owned())
        };
        let wanted = recipe(patch.as_str());
        read.iter().filter(|directory| recipe(directory) == wanted).cloned().collect()
    }
}

/// Where a patch is to go.
fn hint(places: &[String]) -> String {
    let places: Vec<_> = places.iter().map(|place| format!("`{place}`")).collect();
    match places.is_empty() {
        true => "patches lie in `patches/RECIPE-VERSION/TARGET` or `patches/RECIPE-VERSION/all`, and no recipe that takes any has \
                 this name; move it to where one looks, or remove it"
            .to_owned(),
        false => format!("its recipe looks in {}; move it there, or remove it", places.join(" and ")),
    }
}

/// A graph with the bytes of the project's files in it.
#[derive(Debug, Clone, Default)]
pub struct Assembled {
    /// The graph.
    pub graph: Graph,
    /// The bytes of every file in a local node that is a file of the project.
    pub contents: HashMap<BlobDigest, Arc<[u8]>>,
}

/// Describes every recipe for every target that it is for, and puts the nodes together.
///
/// Aliases of the graph: a target's name for all its packages but those on request, `TARGET/RECIPE`
/// for a recipe, and the recipe's bare name for the `default` target.
///
/// # Errors
/// [`AssembleError`] with all mistakes of all recipes, or with what keeps their nodes from being a
/// graph.
pub fn assemble(set: &RecipeSet, materials: &Arc<Materials>, default: &Target) -> Result<Assembled, AssembleError> {
    let mut assembly = Assembly::new(set, materials);
    assembly.check_set();
    for toolchain in &set.toolchains {
        for recipe in &set.recipes {
            if recipe.is_for(toolchain) {
                assembly.product(recipe.name, &toolchain.target, None);
            }
        }
    }
    assembly.check_packages();
    assembly.check_locks();
    if !assembly.errors.is_empty() {
        return Err(AssembleError::Recipes(assembly.errors));
    }
    let mut aliases: BTreeMap<String, Vec<NodeName>> = BTreeMap::new();
    for toolchain in &set.toolchains {
        aliases.entry(toolchain.target.to_string()).or_default();
    }
    let on_request = assembly.on_request();
    for ((recipe, target), state) in &assembly.products {
        let State::Described(product) = state else { continue };
        let members: Vec<NodeName> =
            [&product.tree, &product.package].into_iter().flatten().map(|handle| handle.name().clone()).collect();
        if let Some(package) = product.package.as_ref().filter(|_| !on_request.contains(&(recipe, target))) {
            aliases.entry(target.to_string()).or_default().push(package.name().clone());
        }
        aliases.insert(format!("{target}/{recipe}"), members.clone());
        if target == default {
            aliases.insert(recipe.clone(), members);
        }
    }
    let unread = UnreadPatch::of(&materials.patches, &assembly.patch_directories);
    if !unread.is_empty() {
        return Err(AssembleError::Patches(unread));
    }
    let (nodes, contents) = assembly.described();
    Ok(Assembled { graph: Graph::new(nodes, aliases)?, contents })
}

/// What of the lock files is used.
#[derive(Default)]
struct Used {
    sources: BTreeSet<String>,
    images: BTreeSet<String>,
}

/// What a recipe takes of the project.
#[derive(Default)]
struct Taken {
    sources: BTreeSet<String>,
    /// Whether it takes files of the project beside.
    files: bool,
}

enum State {
    InProgress,
    Described(Product),
}

/// What grows while recipes are described.
struct Assembly {
    set: Arc<RecipeSet>,
    materials: Arc<Materials>,
    nodes: Vec<Node>,
    /// The nodes by name. Several recipes share some of them: sources, images, files.
    names: HashMap<NodeName, usize>,
    /// The images that were asked for, by toolchain and name: every action asks.
    images: HashMap<(Target, String), Handle>,
    contents: HashMap<BlobDigest, Arc<[u8]>>,
    products: BTreeMap<(String, Target), State>,
    /// Where patches were looked for.
    patch_directories: BTreeSet<String>,
    errors: Vec<RecipeError>,
    /// Compiled objects, and whether each is for shared libraries.
    objects: HashMap<NodeName, bool>,
    /// Archives of objects, and which of these are not for shared libraries.
    archives: HashMap<NodeName, Vec<String>>,
    /// What of the lock files was asked for.
    used: Used,
    /// What each recipe takes, by recipe and target.
    taken: BTreeMap<(String, Target), Taken>,
    /// The recipes being described, outermost first.
    open: Vec<(String, Target)>,
    /// The place in a recipe that was named last: units of one list have one.
    last_place: Option<(&'static Location<'static>, Text)>,
}

impl Assembly {
    /// The nodes, and the bytes of files that recipes write. Frees what else 100,000 nodes take.
    fn described(self) -> (Vec<Node>, HashMap<BlobDigest, Arc<[u8]>>) {
        (self.nodes, self.contents)
    }

    fn new(set: &RecipeSet, materials: &Arc<Materials>) -> Self {
        Self {
            set: Arc::new(set.clone()),
            materials: Arc::clone(materials),
            nodes: Vec::new(),
            names: HashMap::new(),
            images: HashMap::new(),
            contents: HashMap::new(),
            products: BTreeMap::new(),
            patch_directories: BTreeSet::new(),
            errors: Vec::new(),
            objects: HashMap::new(),
            archives: HashMap::new(),
            used: Used::default(),
            taken: BTreeMap::new(),
            open: Vec::new(),
            last_place: None,
        }
    }

    /// Notes a mistake; one that is the same for several targets once.
    fn error(&mut self, recipe: &Recipe, at: &'static Location<'static>, target: &Target, message: impl ToString) {
        let message = message.to_string();
        for error in &mut self.errors {
            if let Some(blamed) = &mut error.recipe
                && (blamed.name == recipe.name && blamed.at == at && error.message == message)
            {
                if !blamed.targets.contains(target) {
                    blamed.targets.push(target.clone());
                }
                return;
            }
        }
        let recipe = Blamed { name: recipe.name.to_owned(), targets: vec![target.clone()], at };
        self.errors.push(RecipeError { recipe: Some(recipe), message });
    }

    /// The recipe that a name means for a toolchain: one of that name, or else one that provides
    /// it.
    fn find(&self, name: &str, toolchain: &Toolchain) -> Option<&Recipe> {
        let recipes = || self.set.recipes.iter().filter(|recipe| recipe.is_for(toolchain));
        recipes().find(|recipe| recipe.name == name).or_else(|| recipes().find(|recipe| recipe.provides == Some(name)))
    }

    /// The product of a recipe, which is described if it has not been yet.
    fn product(
        &mut self,
        name: &str,
        target: &Target,
        wanted_by: Option<(&Recipe, &'static Location<'static>)>,
    ) -> Product {
        let set = Arc::clone(&self.set);
        let toolchain = set.toolchains.iter().find(|toolchain| toolchain.target == *target);
        let found = toolchain.and_then(|toolchain| Some((self.find(name, toolchain).copied()?, toolchain)));
        let Some((recipe, toolchain)) = found else {
            let Some((blamed, at)) = wanted_by else { return Product::default() };
            let others =
                set.recipes.iter().filter(|recipe| toolchain.is_some_and(|toolchain| recipe.is_for(toolchain)));
            let message = match set.recipes.iter().any(|recipe| recipe.name == name) {
                true => format!("it needs recipe `{name}`, which is not for {target}"),
                false => format!(
                    "it needs recipe `{name}`, which does not exist{}",
                    near(name, others.map(|recipe| recipe.name))
                ),
            };
            self.error(blamed, at, target, message);
            return Product { is_wrong: true, ..Product::default() };
        };
        let key = (recipe.name.to_owned(), target.clone());
        match self.products.get(&key) {
            Some(State::Described(product)) => return product.clone(),
            Some(State::InProgress) => {
                let from = self.open.iter().position(|open| *open == key).unwrap_or(0);
                let mut circle: Vec<_> = self.open[from..].iter().map(|(recipe, _)| format!("`{recipe}`")).collect();
                circle.push(format!("`{}`", recipe.name));
                let (blamed, at) = wanted_by.unwrap_or((&recipe, recipe.at));
                self.error(blamed, at, target, format!("recipes need each other: {}", circle.join(" → ")));
                return Product { is_wrong: true, ..Product::default() };
            }
            None => {}
        }
        self.products.insert(key.clone(), State::InProgress);
        self.open.push(key.clone());
        let mistakes = self.errors.len();
        let mut context = Context::new(self, &recipe, toolchain);
        (recipe.describe)(&mut context);
        let mut product = context.finish(recipe.at);
        self.open.pop();
        product.is_wrong = self.errors.len() != mistakes;
        if !product.is_wrong {
            self.check_version(&recipe, target);
        }
        self.products.insert(key, State::Described(product.clone()));
        product
    }

    /// Names a place in a recipe.
    fn place(&mut self, at: &'static Location<'static>) -> Text {
        match &self.last_place {
            Some((last, text)) if *last == at => text.clone(),
            _ => {
                let text = Text::from(place(at));
                self.last_place = Some((at, text.clone()));
                text
            }
        }
    }

    /// Adds a node that only this recipe has.
    fn add(&mut self, node: Node) -> Handle {
        let handle = Handle::new(node.name.clone());
        self.names.insert(node.name.clone(), self.nodes.len());
        self.nodes.push(node);
        handle
    }

    /// Adds a node that any recipe may ask for, once.
    fn add_shared(&mut self, node: Node) -> Handle {
        if self.names.contains_key(&node.name) { Handle::new(node.name) } else { self.add(node) }
    }

    /// The node of that name, if a recipe has declared it.
    fn node(&self, name: &NodeName) -> Option<&Node> {
        self.names.get(name).map(|at| &self.nodes[*at])
    }

    /// A tree of the project's files below a directory; `None` if there are none.
    fn project_tree(&mut self, directory: &str) -> Option<crate::Tree> {
        let mut tree = crate::Tree::new();
        let materials = Arc::clone(&self.materials);
        let files = &materials.files;
        let found: Vec<(RelPath, crate::Entry, Arc<[u8]>)> =
            files.below(directory).map(|(path, entry, bytes)| (path, entry.clone(), Arc::clone(bytes))).collect();
        for (path, entry, bytes) in found {
            if let crate::Entry::File { digest, .. } = &entry {
                self.contents.insert(*digest, bytes);
            }
            // Paths of a map with directories checked when it was filled: files of a real folder
            // can't conflict.
            let _ = tree.insert(path, entry);
        }
        (!tree.is_empty()).then_some(tree)
    }
}

#[cfg(test)]
mod tests;
