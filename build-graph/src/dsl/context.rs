//! What a recipe describes itself to.

use super::{ActionBuilder, Assembly, Override, Recipe, Toolchain};
use crate::node::{HostProgram, Image, Node, NodeName, Op, Package, Part, Selection, Target};
use crate::{BlobDigest, Entry, Glob, Projection, RelPath, Tree};

/// A node that a recipe made, to be taken by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle(NodeName);

impl Handle {
    pub(super) fn new(name: NodeName) -> Self {
        Self(name)
    }

    /// The node's name.
    pub fn name(&self) -> &NodeName {
        &self.0
    }

    /// All of its tree.
    pub fn all(&self) -> Take {
        Take { node: self.0.clone(), include: None, exclude: Vec::new(), strip: None }
    }

    /// The part of its tree that matches one of these patterns (see [`Glob`]). There has to be a
    /// pattern, and each has to match something.
    pub fn select<T: AsRef<str>>(&self, patterns: impl IntoIterator<Item = T>) -> Take {
        let include = patterns.into_iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        Take { include: Some(include), ..self.all() }
    }

    /// What lies below a directory of its tree, seen from there.
    pub fn below(&self, directory: &str) -> Take {
        self.select([directory]).strip(directory)
    }
}

/// Part of a node's tree, as a recipe asks for it; checked when it is used.
#[derive(Debug, Clone)]
pub struct Take {
    node: NodeName,
    include: Option<Vec<String>>,
    exclude: Vec<String>,
    strip: Option<String>,
}

impl Take {
    /// Without what matches one of these patterns, each of which has to take something away.
    #[must_use]
    pub fn except<T: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = T>) -> Self {
        self.exclude.extend(patterns.into_iter().map(|pattern| pattern.as_ref().to_owned()));
        self
    }

    /// Seen from this directory; what lies elsewhere is not taken, and something has to lie there.
    #[must_use]
    pub fn strip(mut self, directory: &str) -> Self {
        self.strip = Some(directory.to_owned());
        self
    }

    pub(super) fn check(self) -> Result<Selection, String> {
        if self.include.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!(
                "a selection of `{}` has no pattern: name one, or take it whole with `all`",
                self.node
            ));
        }
        let globs = |texts: Vec<String>| {
            texts
                .into_iter()
                .map(|text| Glob::new(text).map_err(|error| error.to_string()))
                .collect::<Result<Vec<_>, _>>()
        };
        let strip = self.strip.map(RelPath::new).transpose().map_err(|error| error.to_string())?;
        let part =
            Projection { include: globs(self.include.unwrap_or_default())?, exclude: globs(self.exclude)?, strip };
        Ok(Selection { node: self.node, part })
    }
}

impl From<&Handle> for Take {
    fn from(handle: &Handle) -> Self {
        handle.all()
    }
}

/// The recipe's side of the graph under construction: one recipe, one target.
pub struct Context<'a> {
    pub(super) assembly: &'a mut Assembly,
    pub(super) recipe: &'a Recipe,
    pub(super) toolchain: &'a Toolchain,
}

impl<'a> Context<'a> {
    pub(super) fn new(assembly: &'a mut Assembly, recipe: &'a Recipe, toolchain: &'a Toolchain) -> Self {
        Self { assembly, recipe, toolchain }
    }

    /// The toolchain of the target that is asked for.
    pub fn toolchain(&self) -> &'a Toolchain {
        self.toolchain
    }

    /// The target that is asked for.
    pub fn target(&self) -> &'a Target {
        &self.toolchain.target
    }

    /// The version of the recipe.
    pub fn version(&self) -> &'a str {
        &self.recipe.version
    }

    /// Whether there is a recipe of this name for the same target.
    pub fn offers(&self, recipe: &str) -> bool {
        self.assembly.set.recipes.iter().any(|other| other.name == recipe && other.targets.contains(self.target()))
    }

    /// The tree of another recipe for the same target.
    pub fn dependency(&mut self, recipe: &str) -> Handle {
        self.dependency_for(recipe, self.target())
    }

    /// The tree of another recipe for some target, such as a program for the host that the build runs.
    pub fn dependency_for(&mut self, recipe: &str, target: &Target) -> Handle {
        let mistakes = self.assembly.errors.len();
        let product = self.assembly.product(recipe, target, Some(&self.recipe.name));
        product.tree.unwrap_or_else(|| {
            // One that is wrong itself is told of already.
            if self.assembly.errors.len() == mistakes {
                self.mistake(format!("recipe `{recipe}` gives no tree to build against"));
            }
            self.nothing()
        })
    }

    /// A source of the lock file, unpacked and with this recipe's patches for this target applied. `strip` leading components are
    /// taken off the paths in its archive. A source that a user replaced by a folder is that folder, patched the same.
    pub fn source(&mut self, name: &str, strip: u32) -> Handle {
        let tree = self.unpacked(name, strip);
        self.patched(&tree)
    }

    /// A source of the lock file, unpacked and not patched: the same node for every target.
    pub fn unpacked(&mut self, name: &str, strip: u32) -> Handle {
        self.assembly.take_source(&self.recipe.name, &self.toolchain.target, name);
        self.laid_out(name, strip)
    }

    fn laid_out(&mut self, name: &str, strip: u32) -> Handle {
        self.assembly.used.sources.insert(name.to_owned());
        let overriding = self.assembly.materials.overrides.get(name).cloned();
        let archive = match overriding {
            Some(Override::Folder(tree)) => return self.shared(format!("source/{name}/tree"), Op::Local { tree }),
            Some(Override::Archive(tree)) => self.shared(format!("source/{name}/archive"), Op::Local { tree }),
            None => self.archive(name),
        };
        self.shared(format!("source/{name}/tree"), Op::Unpack { archive: archive.name().clone(), strip })
    }

    /// The pinned file itself, as the one file of a tree.
    pub fn pinned(&mut self, name: &str) -> Handle {
        self.assembly.take_source(&self.recipe.name, &self.toolchain.target, name);
        self.archive(name)
    }

    fn archive(&mut self, name: &str) -> Handle {
        self.assembly.used.sources.insert(name.to_owned());
        match self.assembly.materials.locks.source.get(name).cloned() {
            Some(source) => self.shared(format!("source/{name}/archive"), Op::Source(source)),
            None => {
                let program = self.assembly.program();
                self.mistake(format!(
                    "no lock file has a source `{name}`: add it to the wanted sources and run `{program} lock`"
                ));
                self.nothing()
            }
        }
    }

    /// A tree with the patches of `patches/RECIPE-VERSION/TARGET` applied; the tree itself if there are none.
    pub fn patched(&mut self, tree: &Handle) -> Handle {
        let directory = format!("patches/{}-{}/{}", self.recipe.name, self.recipe.version, self.target());
        self.assembly.patch_directories.insert(directory.clone());
        let Some(patches) = self.assembly.project_tree(&directory) else { return tree.clone() };
        let patches = self.node("patches", Op::Local { tree: patches });
        let selection = |handle: &Handle| Selection { node: handle.name().clone(), part: Projection::all() };
        self.node("patched", Op::Patch { base: selection(tree), patches: selection(&patches) })
    }

    /// The files of the project below a directory, seen from it: `recipes/files/python`.
    pub fn files(&mut self, directory: &str) -> Handle {
        self.assembly.take_files(&self.recipe.name, &self.toolchain.target);
        match self.assembly.project_tree(directory) {
            Some(tree) => self.shared(format!("files/{directory}"), Op::Local { tree }),
            None => {
                self.mistake(format!("the project has no files below `{directory}`"));
                self.nothing()
            }
        }
    }

    /// A file whose text the recipe writes.
    pub fn text_file(&mut self, step: &str, path: &str, text: &str, executable: bool) -> Handle {
        let digest = BlobDigest::of(text.as_bytes());
        self.assembly.contents.insert(digest, text.as_bytes().into());
        let entry = Entry::File { digest, size: text.len() as u64, executable };
        self.entry(step, path, entry)
    }

    /// A directory that is there although nothing is in it.
    pub fn empty_directory(&mut self, step: &str, path: &str) -> Handle {
        self.entry(step, path, Entry::EmptyDirectory)
    }

    fn entry(&mut self, step: &str, path: &str, entry: Entry) -> Handle {
        let mut tree = Tree::new();
        match RelPath::new(path) {
            Ok(path) => drop(tree.insert(path, entry)),
            Err(error) => self.mistake(error.to_string()),
        }
        self.node(step, Op::Local { tree })
    }

    /// An action, to be described further and then finished.
    pub fn action<'c>(&'c mut self, step: &str) -> ActionBuilder<'c, 'a> {
        ActionBuilder::new(self, step)
    }

    /// The product of the toolchain's runtime recipe; `None` if it has none, or in that recipe itself.
    pub fn runtime(&mut self) -> Option<Handle> {
        let runtime = self.toolchain.runtime.clone()?;
        (runtime != self.recipe.name).then(|| self.dependency(&runtime))
    }

    /// The headers of the runtime, as a node of their own: when its library changes and they don't, the build ends there for all that is
    /// compiled with them.
    pub(super) fn runtime_headers(&mut self) -> Option<Handle> {
        let runtime = self.runtime()?;
        let name = format!("{}-headers", runtime.name());
        match runtime.select(["include"]).check() {
            Ok(selection) => Some(self.shared(name, Op::Merge { parts: vec![Part { selection, at: None }] })),
            Err(message) => {
                self.mistake(message);
                None
            }
        }
    }

    /// Several trees laid together: each with the directory below which it is put (empty: the top).
    pub fn merge<T: Into<Take>>(&mut self, step: &str, parts: impl IntoIterator<Item = (T, &'static str)>) -> Handle {
        let mistakes = self.assembly.errors.len();
        let parts = self.parts(parts);
        if parts.is_empty() && self.assembly.errors.len() == mistakes {
            self.mistake(format!("`{step}` lays nothing together: name its parts"));
        }
        self.node(step, Op::Merge { parts })
    }

    /// The installable package of this recipe: what it installs, with the directory below DEST for each, and the packages that it
    /// needs.
    pub fn package<T: Into<Take>>(
        &mut self,
        content: impl IntoIterator<Item = (T, &'static str)>,
        requires: impl IntoIterator<Item = &'static str>,
    ) -> Handle {
        let mistakes = self.assembly.errors.len();
        let content = self.parts(content);
        if content.is_empty() && self.assembly.errors.len() == mistakes {
            self.mistake("its package installs nothing: name what it holds, or make none".to_owned());
        }
        let package = Package {
            name: self.recipe.name.clone(),
            version: self.recipe.version.clone(),
            target: self.target().clone(),
            requires: requires.into_iter().map(ToOwned::to_owned).collect(),
            content,
        };
        self.node("package", Op::Package(package))
    }

    /// A program that cargo builds for the host from a cargo workspace of the project's files, with
    /// these features of its crate and no other. All of the sources are in its key: take what cargo
    /// reads for it, and no tests.
    pub fn host_program(&mut self, step: &str, sources: impl Into<Take>, binary: &str, features: &[&str]) -> Handle {
        let sources = match sources.into().check() {
            Ok(selection) => selection,
            Err(message) => {
                self.mistake(message);
                return self.nothing();
            }
        };
        let toolchain = self.assembly.materials.host_toolchain.clone();
        let features = features.iter().map(|feature| (*feature).to_owned()).collect();
        let program = HostProgram { sources, binary: binary.to_owned(), features, toolchain };
        self.shared(step.to_owned(), Op::HostProgram(program))
    }

    /// The image of the toolchain.
    pub fn image(&mut self) -> Handle {
        let name = &self.toolchain.image;
        self.image_named(name)
    }

    /// An image of the lock file, with the toolchain's links and sources in it.
    pub(super) fn image_named(&mut self, name: &str) -> Handle {
        let toolchain = self.toolchain;
        let key = (toolchain.target.clone(), name.to_owned());
        if let Some(image) = self.assembly.images.get(&key) {
            return image.clone();
        }
        self.assembly.used.images.insert(name.to_owned());
        let Some(lock) = self.assembly.materials.locks.image.get(name).cloned() else {
            let program = self.assembly.program();
            self.mistake(format!(
                "no lock file has an image `{name}`: add it to the wanted images and run `{program} lock`"
            ));
            return self.nothing();
        };
        let mut packages = Vec::with_capacity(lock.len());
        for package in &lock {
            // Two images may pin two versions of a package.
            let id = &package.sha256.to_string()[..8];
            // `NAME:ARCHITECTURE`, where it is not the usual one.
            let name = package.name.replace(':', ".");
            let node = self.shared(format!("debian/{name}-{id}"), Op::Source(package.source()));
            packages.push(node.name().clone());
        }
        let mut links = std::collections::BTreeMap::new();
        for (path, target) in &toolchain.image_links {
            match RelPath::new(path.as_str()) {
                Ok(path) => drop(links.insert(path, target.clone())),
                Err(error) => self.mistake(error.to_string()),
            }
        }
        let part = Projection { exclude: toolchain.image_without.clone(), ..Projection::default() };
        let mut image = self.shared(format!("image/{name}"), Op::Image(Image { packages, links, part }));
        if !toolchain.image_sources.is_empty() {
            let mut layers = vec![(image.all(), "")];
            for source in &toolchain.image_sources {
                let tree = self.laid_out(&source.name, source.strip);
                layers.push((tree.select(&source.include).except(&source.exclude), source.at));
            }
            let parts = self.parts(layers);
            image = self.shared(format!("image/{name}-with-sources"), Op::Merge { parts });
        }
        self.assembly.images.insert(key, image.clone());
        image
    }

    /// Notes a mistake; the recipe goes on, and all mistakes are reported together.
    pub fn mistake(&mut self, message: String) {
        self.assembly.error(&self.recipe.name, &self.toolchain.target, message);
    }

    pub(super) fn node(&mut self, step: &str, op: Op) -> Handle {
        match NodeName::new(format!("{}/{}/{step}", self.target(), self.recipe.name)) {
            Ok(name) => {
                if self.assembly.names.contains_key(&name) {
                    self.mistake(format!(
                        "it declares `{name}` twice: give one of the steps another name (units that are compiled twice: \
                         a `prefix`)"
                    ));
                    return Handle::new(name);
                }
                self.assembly.add(Node { name, recipe: self.recipe.name.clone(), op })
            }
            Err(error) => {
                self.mistake(error.to_string());
                self.nothing()
            }
        }
    }

    fn shared(&mut self, name: String, op: Op) -> Handle {
        match NodeName::new(name) {
            Ok(name) => {
                let node = Node { name, recipe: self.recipe.name.clone(), op };
                if let Some(other) = self.assembly.node(&node.name).filter(|other| other.op != node.op) {
                    self.mistake(format!(
                        "it asks for `{}` otherwise than recipe `{}` does: take it with the same `strip`, features and \
                         links there",
                        node.name, other.recipe
                    ));
                }
                self.assembly.add_shared(node)
            }
            Err(error) => {
                self.mistake(error.to_string());
                self.nothing()
            }
        }
    }

    fn parts<T: Into<Take>>(&mut self, parts: impl IntoIterator<Item = (T, &'static str)>) -> Vec<Part> {
        let mut checked = Vec::new();
        for (take, at) in parts {
            let at = if at.is_empty() { Ok(None) } else { RelPath::new(at).map(Some) };
            match (take.into().check(), at) {
                (Ok(selection), Ok(at)) => checked.push(Part { selection, at }),
                (Err(message), _) => self.mistake(message),
                (_, Err(error)) => self.mistake(error.to_string()),
            }
        }
        checked
    }

    /// Stands in for a node that a mistake kept from being; no graph is made then.
    pub(super) fn nothing(&mut self) -> Handle {
        self.shared("nothing".to_owned(), Op::Local { tree: Tree::new() })
    }
}
