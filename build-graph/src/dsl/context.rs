//! What a recipe describes itself to: the steps of which packages are made, and what is there of
//! other recipes and of the project.

use std::panic::Location;

use super::near::near;
use super::product::Draft;
use super::recipe::Source;
use super::{ActionBuilder, Assembly, Handle, Override, Recipe, Take, Toolchain, Words};
use crate::node::{HostProgram, Image, Node, NodeName, Op, Part, Selection, Target};
use crate::{BlobDigest, Entry, Projection, RelPath, Text, Tree};

/// The folder of patches that every target of a recipe takes.
const ALL_TARGETS: &str = "all";

/// The recipe's side of the graph under construction: one recipe, one target.
///
/// Packages of C code are described by [`c_library`](Self::c_library), [`program`](Self::program),
/// [`python_extension`](Self::python_extension), [`configure`](Self::configure) and
/// [`makefile`](Self::makefile). What none of these can say is said in steps:
/// [`action`](Self::action), [`compile`](Self::compile), [`merge`](Self::merge) and the others give
/// a node each, [`tree`](Self::tree) and [`install_tree`](Self::install_tree) lay out what came of
/// them.
pub struct Context<'a> {
    pub(super) assembly: &'a mut Assembly,
    pub(super) recipe: &'a Recipe,
    /// The recipe's name.
    name: Text,
    pub(super) toolchain: &'a Toolchain,
    pub(super) draft: Draft,
    /// The recipe's source, once it was asked for.
    source: Option<Handle>,
}

impl<'a> Context<'a> {
    pub(super) fn new(assembly: &'a mut Assembly, recipe: &'a Recipe, toolchain: &'a Toolchain) -> Self {
        Self { assembly, recipe, name: recipe.name.into(), toolchain, draft: Draft::default(), source: None }
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
    pub fn version(&self) -> &'static str {
        self.recipe.version
    }

    /// Whether there is a recipe of this name for the same target.
    pub fn offers(&self, recipe: &str) -> bool {
        self.assembly.find(recipe, self.toolchain).is_some()
    }

    /// The tree of another recipe for the same target.
    #[track_caller]
    pub fn dependency(&mut self, recipe: &str) -> Handle {
        self.dependency_at(recipe, Location::caller())
    }

    pub(super) fn dependency_at(&mut self, recipe: &str, at: &'static Location<'static>) -> Handle {
        self.tree_of(recipe, self.toolchain, at)
    }

    /// The tree of another recipe for the machine that builds: a program that actions run.
    #[track_caller]
    pub fn host_tool(&mut self, recipe: &str) -> Handle {
        self.tool_at(recipe, Location::caller())
    }

    pub(super) fn tool_at(&mut self, recipe: &str, at: &'static Location<'static>) -> Handle {
        let set = std::sync::Arc::clone(&self.assembly.set);
        match set.toolchains.iter().find(|toolchain| toolchain.runs_in_actions) {
            Some(toolchain) => self.tree_of(recipe, toolchain, at),
            None => {
                self.mistake_at(at, format!("no toolchain is for the machine that builds, so `{recipe}` can't be"));
                self.nothing()
            }
        }
    }

    fn tree_of(&mut self, recipe: &str, toolchain: &Toolchain, at: &'static Location<'static>) -> Handle {
        let mistakes = self.assembly.errors.len();
        let product = self.assembly.product(recipe, &toolchain.target, Some((self.recipe, at)));
        product.tree.unwrap_or_else(|| {
            // One that is wrong itself is told of already.
            if self.assembly.errors.len() == mistakes && !product.is_wrong {
                self.mistake_at(at, format!("recipe `{recipe}` gives no tree to build against"));
            }
            self.nothing()
        })
    }

    /// The version of another recipe for the same target; its own if there is none.
    pub(super) fn version_of(&self, recipe: &str) -> &'static str {
        self.assembly.find(recipe, self.toolchain).map_or(self.recipe.version, |recipe| recipe.version)
    }

    /// The recipe's source with its patches for this target applied: what the lock file has under
    /// its name, unpacked, or the project's files that it names. A source that a user replaced by a
    /// folder is that folder, patched the same.
    #[track_caller]
    pub fn source(&mut self) -> Handle {
        if let Some(source) = &self.source {
            return source.clone();
        }
        let tree = match self.recipe.source {
            Source::Pinned(name) => self.unpacked(name, 1),
            Source::Files(directory) => self.files(directory),
        };
        let source = self.patched(&tree);
        self.source = Some(source.clone());
        source
    }

    /// A source of the lock file, unpacked and not patched: the same node for every target.
    #[track_caller]
    pub fn unpacked(&mut self, name: &str, strip: u32) -> Handle {
        self.assembly.take_source(self.recipe.name, &self.toolchain.target, name);
        self.laid_out(name, strip, "")
    }

    /// The members of a source of the lock file that match these patterns, unpacked and not
    /// patched: of a large archive of which little is wanted, the rest is not stored.
    #[track_caller]
    pub fn unpacked_part(&mut self, name: &str, strip: u32, patterns: &str) -> Handle {
        self.assembly.take_source(self.recipe.name, &self.toolchain.target, name);
        self.laid_out(name, strip, patterns)
    }

    #[track_caller]
    fn laid_out(&mut self, name: &str, strip: u32, patterns: &str) -> Handle {
        self.assembly.used.sources.insert(name.to_owned());
        let overriding = self.assembly.materials.overrides.get(name).cloned();
        let archive = match overriding {
            Some(Override::Folder(tree)) => return self.shared(format!("source/{name}/tree"), Op::Local { tree }),
            Some(Override::Archive(tree)) => self.shared(format!("source/{name}/archive"), Op::Local { tree }),
            None => self.archive(name),
        };
        let wanted = if patterns.is_empty() { archive.all() } else { archive.select(patterns) };
        let part = match wanted.check() {
            Ok(selection) => selection.part,
            Err(message) => {
                self.mistake(message);
                return self.nothing();
            }
        };
        self.shared(format!("source/{name}/tree"), Op::Unpack { archive: archive.name().clone(), strip, part })
    }

    /// The pinned file itself, as the one file of a tree.
    #[track_caller]
    pub fn pinned(&mut self, name: &str) -> Handle {
        self.assembly.take_source(self.recipe.name, &self.toolchain.target, name);
        self.archive(name)
    }

    #[track_caller]
    fn archive(&mut self, name: &str) -> Handle {
        self.assembly.used.sources.insert(name.to_owned());
        match self.assembly.materials.locks.source.get(name).cloned() {
            Some(source) => self.shared(format!("source/{name}/archive"), Op::Source(source)),
            None => {
                let program = self.assembly.program();
                let materials = std::sync::Arc::clone(&self.assembly.materials);
                let near = near(name, materials.locks.source.keys().map(String::as_str));
                self.mistake(format!(
                    "no lock file has a source `{name}`: add it to the wanted sources and run `{program} lock`{near}"
                ));
                self.nothing()
            }
        }
    }

    /// A tree with the patches of `patches/RECIPE-VERSION/TARGET` and of
    /// `patches/RECIPE-VERSION/all` applied, in the order of their names; the tree itself if there
    /// are none.
    #[track_caller]
    pub fn patched(&mut self, tree: &Handle) -> Handle {
        let mut patches = Tree::new();
        for folder in [ALL_TARGETS, self.target().as_str()] {
            let directory = format!("patches/{}-{}/{folder}", self.recipe.name, self.recipe.version);
            self.assembly.patch_directories.insert(directory.clone());
            for (path, entry) in self.assembly.project_tree(&directory).iter().flat_map(Tree::iter) {
                if patches.insert(path.clone(), entry.clone()).is_err() {
                    self.mistake(format!(
                        "the patch `{path}` is in `{directory}` and in `{ALL_TARGETS}` beside it: give one of them \
                         another number"
                    ));
                }
            }
        }
        if patches.is_empty() {
            return tree.clone();
        }
        let patches = self.node("patches", Op::Local { tree: patches });
        let selection = |handle: &Handle| Selection { node: handle.name().clone(), part: Projection::all() };
        self.node("patched", Op::Patch { base: selection(tree), patches: selection(&patches) })
    }

    /// The files of the project below a directory, seen from it: `recipes/files/python`.
    #[track_caller]
    pub fn files(&mut self, directory: &str) -> Handle {
        self.assembly.take_files(self.recipe.name, &self.toolchain.target);
        match self.assembly.project_tree(directory) {
            Some(tree) => self.shared(format!("files/{directory}"), Op::Local { tree }),
            None => {
                let parent = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
                let materials = std::sync::Arc::clone(&self.assembly.materials);
                let folders = materials.files.folders(parent);
                let near = near(directory, folders.iter().map(String::as_str));
                self.mistake(format!("the project has no files below `{directory}`{near}"));
                self.nothing()
            }
        }
    }

    /// A file whose text the recipe writes.
    #[track_caller]
    pub fn text_file(&mut self, step: &str, path: &str, text: &str, executable: bool) -> Handle {
        let digest = BlobDigest::of(text.as_bytes());
        self.assembly.contents.insert(digest, text.as_bytes().into());
        let entry = Entry::File { digest, size: text.len() as u64, executable };
        self.entry(step, path, entry)
    }

    /// A directory that is there although nothing is in it.
    #[track_caller]
    pub fn empty_directory(&mut self, step: &str, path: &str) -> Handle {
        self.entry(step, path, Entry::EmptyDirectory)
    }

    #[track_caller]
    fn entry(&mut self, step: &str, path: &str, entry: Entry) -> Handle {
        let mut tree = Tree::new();
        match RelPath::new(path) {
            Ok(path) => drop(tree.insert(path, entry)),
            Err(error) => self.mistake(error.to_string()),
        }
        self.node(step, Op::Local { tree })
    }

    /// An action, to be described further and then finished.
    #[track_caller]
    pub fn action<'c>(&'c mut self, step: &str) -> ActionBuilder<'c, 'a> {
        self.action_at(Location::caller(), step)
    }

    pub(super) fn action_at<'c>(&'c mut self, at: &'static Location<'static>, step: &str) -> ActionBuilder<'c, 'a> {
        ActionBuilder::new(self, step, at)
    }

    /// An action that builds the recipe's source, which it sees at `/build/src`, by a script that
    /// calls its makefiles. `{configure}` in the script stands for the options that tell a
    /// configure script the target and the machine that builds.
    #[track_caller]
    pub fn makefile<'c>(&'c mut self, script: &str) -> ActionBuilder<'c, 'a> {
        let at = Location::caller();
        let source = self.source();
        let script = script.replace("{configure}", &self.toolchain.configure_options());
        self.action_at(at, "build").heavy().shell(&script).input(&source, "/build/src")
    }

    /// The tree that code for the target sees at `/sysroot`; `None` if there is none, or in the
    /// recipe that makes it.
    #[track_caller]
    pub fn sysroot(&mut self) -> Option<Handle> {
        let sysroot = self.toolchain.sysroot()?;
        (sysroot != self.recipe.name).then(|| self.dependency(sysroot))
    }

    /// The headers of the sysroot, as a node of their own: when its library changes and they don't,
    /// the build ends there for all that is compiled with them.
    pub(super) fn sysroot_headers(&mut self) -> Option<Handle> {
        let sysroot = self.sysroot()?;
        let name = format!("{}-headers", sysroot.name());
        match sysroot.select("include").check() {
            Ok(selection) => Some(self.shared(name, Op::Merge { parts: vec![Part { selection, at: None }] })),
            Err(message) => {
                self.mistake(message);
                None
            }
        }
    }

    /// Several trees laid together: each with the directory below which it is put (empty: the top).
    #[track_caller]
    pub fn merge<T: Into<Take>, S: AsRef<str>>(
        &mut self,
        step: &str,
        parts: impl IntoIterator<Item = (T, S)>,
    ) -> Handle {
        self.merge_at(Location::caller(), step, parts)
    }

    pub(super) fn merge_at<T: Into<Take>, S: AsRef<str>>(
        &mut self,
        at: &'static Location<'static>,
        step: &str,
        parts: impl IntoIterator<Item = (T, S)>,
    ) -> Handle {
        let mistakes = self.assembly.errors.len();
        let parts = self.parts(parts, at);
        if parts.is_empty() && self.assembly.errors.len() == mistakes {
            self.mistake_at(at, format!("`{step}` lays nothing together: name its parts"));
        }
        self.node_at(at, step, Op::Merge { parts })
    }

    /// A program that cargo builds for the host from a cargo workspace of the project's files, with
    /// these features of its crate and no other. All of the sources are in its key: take what cargo
    /// reads for it, and no tests.
    #[track_caller]
    pub fn host_program(&mut self, step: &str, sources: impl Into<Take>, binary: &str, features: impl Words) -> Handle {
        let sources = match sources.into().check() {
            Ok(selection) => selection,
            Err(message) => {
                self.mistake(message);
                return self.nothing();
            }
        };
        let toolchain = self.assembly.materials.host_toolchain.clone();
        let features = features.words();
        let program = HostProgram { sources, binary: binary.to_owned(), features, toolchain };
        self.shared(step.to_owned(), Op::HostProgram(program))
    }

    /// The image of the toolchain.
    pub fn image(&mut self) -> Handle {
        let name = &self.toolchain.image;
        self.image_named(name, self.recipe.at)
    }

    /// An image of the lock file, with the toolchain's links and sources in it.
    pub(super) fn image_named(&mut self, name: &str, at: &'static Location<'static>) -> Handle {
        let toolchain = self.toolchain;
        let key = (toolchain.target.clone(), name.to_owned());
        if let Some(image) = self.assembly.images.get(&key) {
            return image.clone();
        }
        self.assembly.used.images.insert(name.to_owned());
        let Some(lock) = self.assembly.materials.locks.image.get(name).cloned() else {
            let program = self.assembly.program();
            let images = std::sync::Arc::clone(&self.assembly.materials);
            let near = near(name, images.locks.image.keys().map(String::as_str));
            self.mistake_at(
                at,
                format!(
                    "no lock file has an image `{name}`: add it to the wanted images and run `{program} lock`{near}"
                ),
            );
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
        let part = Projection::new(Vec::new(), toolchain.image_without.clone(), None);
        let mut image = self.shared(format!("image/{name}"), Op::Image(Image { packages, links, part }));
        if !toolchain.image_sources.is_empty() {
            let mut layers = vec![(image.all(), "")];
            for source in &toolchain.image_sources {
                let tree = self.laid_out(source.name, source.strip, "");
                layers.push((tree.select(source.patterns), source.at));
            }
            let parts = self.parts(layers, at);
            image = self.shared(format!("image/{name}-with-sources"), Op::Merge { parts });
        }
        self.assembly.images.insert(key, image.clone());
        image
    }

    /// Notes a mistake; the recipe goes on, and all mistakes are reported together.
    #[track_caller]
    pub fn mistake(&mut self, message: String) {
        self.mistake_at(Location::caller(), message);
    }

    /// Notes a mistake of this place in a recipe.
    pub(super) fn mistake_at(&mut self, at: &'static Location<'static>, message: String) {
        self.assembly.error(self.recipe, at, &self.toolchain.target, message);
    }

    /// The node of this step of the recipe, if it is declared already.
    pub(super) fn known_step(&self, step: &str) -> Option<Handle> {
        let name = NodeName::new(format!("{}/{}/{step}", self.target(), self.recipe.name)).ok()?;
        self.assembly.names.contains_key(&name).then(|| Handle::new(name))
    }

    #[track_caller]
    pub(super) fn node(&mut self, step: &str, op: Op) -> Handle {
        self.node_at(Location::caller(), step, op)
    }

    pub(super) fn node_at(&mut self, at: &'static Location<'static>, step: &str, op: Op) -> Handle {
        match NodeName::new(format!("{}/{}/{step}", self.target(), self.recipe.name)) {
            Ok(name) => {
                if self.assembly.names.contains_key(&name) {
                    self.mistake_at(
                        at,
                        format!(
                            "it declares `{name}` twice: give one of the steps another name (units that are compiled twice: \
                             a `prefix`)"
                        ),
                    );
                    return Handle::new(name);
                }
                let declared_at = Some(self.assembly.place(at));
                self.assembly.add(Node { name, recipe: self.name.clone(), declared_at, op })
            }
            Err(error) => {
                self.mistake_at(at, error.to_string());
                self.nothing()
            }
        }
    }

    #[track_caller]
    fn shared(&mut self, name: String, op: Op) -> Handle {
        match NodeName::new(name) {
            Ok(name) => {
                // Who asks first is by chance.
                let node = Node { name, recipe: self.name.clone(), declared_at: None, op };
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

    pub(super) fn parts<T: Into<Take>, S: AsRef<str>>(
        &mut self,
        parts: impl IntoIterator<Item = (T, S)>,
        place: &'static Location<'static>,
    ) -> Vec<Part> {
        let mut checked = Vec::new();
        for (take, at) in parts {
            let at = at.as_ref();
            let at = if at.is_empty() { Ok(None) } else { RelPath::new(at).map(Some) };
            match (take.into().check(), at) {
                (Ok(selection), Ok(at)) => checked.push(Part { selection, at }),
                (Err(message), _) => self.mistake_at(place, message),
                (_, Err(error)) => self.mistake_at(place, error.to_string()),
            }
        }
        checked
    }

    /// Stands in for a node that a mistake kept from being; no graph is made then.
    pub(super) fn nothing(&mut self) -> Handle {
        self.shared("nothing".to_owned(), Op::Local { tree: Tree::new() })
    }
}
