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
        Take { node: self.0.clone(), include: Vec::new(), exclude: Vec::new(), strip: None }
    }

    /// The part of its tree that matches one of these patterns (see [`Glob`]).
    pub fn select<T: AsRef<str>>(&self, patterns: impl IntoIterator<Item = T>) -> Take {
        let include = patterns.into_iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        Take { include, ..self.all() }
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
    include: Vec<String>,
    exclude: Vec<String>,
    strip: Option<String>,
}

impl Take {
    /// Without what matches one of these patterns.
    #[must_use]
    pub fn except<T: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = T>) -> Self {
        self.exclude.extend(patterns.into_iter().map(|pattern| pattern.as_ref().to_owned()));
        self
    }

    /// Seen from this directory; what lies elsewhere is not taken.
    #[must_use]
    pub fn strip(mut self, directory: &str) -> Self {
        self.strip = Some(directory.to_owned());
        self
    }

    pub(super) fn check(self) -> Result<Selection, String> {
        let globs = |texts: Vec<String>| {
            texts
                .into_iter()
                .map(|text| Glob::new(text).map_err(|error| error.to_string()))
                .collect::<Result<Vec<_>, _>>()
        };
        let strip = self.strip.map(RelPath::new).transpose().map_err(|error| error.to_string())?;
        let part = Projection { include: globs(self.include)?, exclude: globs(self.exclude)?, strip };
        Ok(Selection { node: self.node, part })
    }
}

impl From<&Handle> for Take {
    fn from(handle: &Handle) -> Self {
        handle.all()
    }
}

/// The directory of objects, below `/build` and in the trees of compile actions.
const OBJECTS: &str = "objects";

/// A set of C files that are compiled alike, one action each.
#[derive(Debug, Clone, Default)]
pub struct Compilation {
    /// The files, by their paths in `source`.
    pub units: Vec<String>,
    /// Where they lie.
    pub source: Option<Handle>,
    /// Patterns of the files in `source` that they include, which are seen at `/build/headers`; what lies in the unit's own directory
    /// there is found by `#include "…"`.
    pub headers: Vec<String>,
    /// What else they see, and where.
    pub include: Vec<(Take, String)>,
    /// Flags beside the toolchain's.
    pub flags: Vec<String>,
    /// Whether the objects are for a shared library.
    pub pic: bool,
    /// What the names of the objects begin with, where one unit is compiled twice.
    pub prefix: String,
}

/// A program of objects and libraries.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Its name, without the target's suffix.
    pub name: String,
    /// Its objects.
    pub objects: Vec<Handle>,
    /// Trees with `lib/`, and the archive of each that is linked in, such as `z`.
    pub libraries: Vec<(Handle, String)>,
    /// Whether it loads shared libraries while it runs; these may use whatever it and its libraries hold.
    pub loads: bool,
    /// Flags beside the toolchain's.
    pub flags: Vec<String>,
}

/// A shared library, or an extension module, which is a shared library that nothing is linked with.
#[derive(Debug, Clone, Default)]
pub struct SharedLibrary {
    /// Its path in its tree, such as `lib/libz.so`; others need it by its last part.
    pub path: String,
    /// Its objects, compiled with [`Compilation::pic`].
    pub objects: Vec<Handle>,
    /// Trees of the shared libraries that it needs, and the path of each there.
    pub needed: Vec<(Handle, String)>,
    /// Flags beside the toolchain's.
    pub flags: Vec<String>,
}

/// The recipe's side of the graph under construction: one recipe, one target.
pub struct Context<'a> {
    assembly: &'a mut Assembly,
    recipe: &'a Recipe,
    toolchain: &'a Toolchain,
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
        let product = self.assembly.product(recipe, target, Some(&self.recipe.name));
        product.tree.unwrap_or_else(|| {
            self.mistake(format!("recipe `{recipe}` gives no tree to build against"));
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
        let overriding = self.assembly.materials.overrides.get(name).cloned();
        let archive = match overriding {
            Some(Override::Folder(tree)) => return self.shared(format!("source/{name}/tree"), Op::Local { tree }),
            Some(Override::Archive(tree)) => self.shared(format!("source/{name}/archive"), Op::Local { tree }),
            None => self.pinned(name),
        };
        self.shared(format!("source/{name}/tree"), Op::Unpack { archive: archive.name().clone(), strip })
    }

    /// The pinned file itself, as the one file of a tree.
    pub fn pinned(&mut self, name: &str) -> Handle {
        match self.assembly.materials.locks.source.get(name).cloned() {
            Some(source) => self.shared(format!("source/{name}/archive"), Op::Source(source)),
            None => {
                self.mistake(format!(
                    "no lock file has a source `{name}`: add it to the wanted sources and run `pynbox-build lock`"
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

    /// Compiles each unit in an action of its own, which sees that file and the headers; gives the objects, in the units' order. The
    /// object of `Objects/abstract.c` is `objects/Objects/abstract.o` in its tree.
    pub fn compile(&mut self, compilation: &Compilation) -> Vec<Handle> {
        let Some(source) = &compilation.source else {
            self.mistake("a compilation has no source".to_owned());
            return Vec::new();
        };
        let runtime = self.runtime_headers();
        let mut objects = Vec::with_capacity(compilation.units.len());
        for unit in &compilation.units {
            let stem = unit.rsplit_once('.').map_or(unit.as_str(), |(stem, _)| stem);
            let step = format!("{}{stem}.o", compilation.prefix);
            let object = format!("{OBJECTS}/{step}");
            let toolchain = self.toolchain;
            let mut command = toolchain.cc.clone();
            command.extend(toolchain.cflags.iter().cloned());
            if compilation.pic {
                command.extend(toolchain.pic.iter().cloned());
            }
            if !compilation.headers.is_empty() {
                let folder = unit.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("/{folder}"));
                command.extend(["-iquote".to_owned(), format!("headers{folder}")]);
            }
            command.extend(compilation.flags.iter().cloned());
            command.extend(["-c".to_owned(), format!("src/{unit}"), "-o".to_owned(), object.clone()]);
            // The compiler makes no directories.
            let folder = object.rsplit_once('/').map_or(OBJECTS, |(folder, _)| folder);
            let script = ["/bin/sh", "-euc", "mkdir -p \"$0\" && exec \"$@\"", folder].map(str::to_owned);
            let command = script.into_iter().chain(command);
            let mut action =
                self.action(&step).command(command).input(source.select([unit]), "/build/src").output(&object);
            if !compilation.headers.is_empty() {
                action = action.input(source.select(&compilation.headers), "/build/headers");
            }
            for (include, at) in &compilation.include {
                action = action.input(include.clone(), at);
            }
            if let Some(runtime) = &runtime {
                action = action.input(runtime, "/sysroot");
            }
            objects.push(action.finish());
        }
        objects
    }

    /// The product of the toolchain's runtime recipe; `None` if it has none, or in that recipe itself.
    pub fn runtime(&mut self) -> Option<Handle> {
        let runtime = self.toolchain.runtime.clone()?;
        (runtime != self.recipe.name).then(|| self.dependency(&runtime))
    }

    /// The headers of the runtime, as a node of their own: when its library changes and they don't, the build ends there for all that is
    /// compiled with them.
    fn runtime_headers(&mut self) -> Option<Handle> {
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

    /// An archive of objects: `lib/NAME` in its tree.
    pub fn static_library(&mut self, name: &str, objects: &[Handle]) -> Handle {
        let ar = self.toolchain.ar.clone();
        let library = format!("lib/{name}");
        // `D`: no times, owners and modes in the archive. The shell sorts what it expands, in the C locale's order.
        let script =
            format!("mkdir -p lib && cd objects && {ar} rcsD ../{library} $(find . -name '*.o' | LC_ALL=C sort)");
        let mut action = self.action(&library).shell(&script).output(&library);
        for object in objects {
            action = action.input(object.below(OBJECTS), "/build/objects");
        }
        action.finish()
    }

    /// Links a program: `NAME` with the target's suffix, at the top of its tree.
    pub fn program(&mut self, program: &Program) -> Handle {
        let toolchain = self.toolchain;
        let name = format!("{}{}", program.name, toolchain.program_suffix);
        let mut before = toolchain.cc.clone();
        let (loading, libraries): (&[String], _) = match program.loads {
            true => (&toolchain.loading, &toolchain.loading_libraries),
            false => (&[], &toolchain.libraries),
        };
        before.extend(toolchain.ldflags.iter().chain(loading).chain(&program.flags).cloned());
        before.extend(["-o".to_owned(), name.clone()]);
        let mut after: Vec<_> =
            program.libraries.iter().map(|(_, library)| format!("-Llibraries/lib -l{library}")).collect();
        after.extend(libraries.iter().cloned());
        let runtime = self.runtime();
        let script = format!("{} $(find objects -name '*.o' | LC_ALL=C sort) {}", before.join(" "), after.join(" "));
        let mut action = self.action(&name).shell(&script).output(&name);
        for object in &program.objects {
            action = action.input(object.below(OBJECTS), "/build/objects");
        }
        for (library, _) in &program.libraries {
            action = action.input(library.select(["lib"]), "/build/libraries");
        }
        if let Some(runtime) = &runtime {
            action = action.input(runtime.select(["lib"]), "/sysroot");
        }
        action.finish()
    }

    /// Links a shared library, at its path in its tree.
    pub fn shared_library(&mut self, library: &SharedLibrary) -> Handle {
        let SharedLibrary { path, .. } = library;
        let mut command = self.toolchain.link_shared.clone();
        if let Some(soname) = &self.toolchain.soname {
            command.push(format!("{soname}{}", path.rsplit('/').next().unwrap_or(path)));
        }
        command.extend(library.flags.iter().cloned());
        command.extend(["-o".to_owned(), path.clone()]);
        let needed: Vec<_> = library.needed.iter().map(|(_, path)| format!("needed/{path}")).collect();
        let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let script = format!(
            "mkdir -p {folder} && {} $(find objects -name '*.o' | LC_ALL=C sort) {}",
            command.join(" "),
            needed.iter().chain(&self.toolchain.shared_libraries).cloned().collect::<Vec<_>>().join(" ")
        );
        let mut action = self.action(path).shell(&script).output(path);
        for object in &library.objects {
            action = action.input(object.below(OBJECTS), "/build/objects");
        }
        for (tree, path) in &library.needed {
            action = action.input(tree.select([path]), "/build/needed");
        }
        action.finish()
    }

    /// Several trees laid together: each with the directory below which it is put (empty: the top).
    pub fn merge<T: Into<Take>>(&mut self, step: &str, parts: impl IntoIterator<Item = (T, &'static str)>) -> Handle {
        let parts = self.parts(parts);
        self.node(step, Op::Merge { parts })
    }

    /// The installable package of this recipe: what it installs, with the directory below DEST for each, and the packages that it
    /// needs.
    pub fn package<T: Into<Take>>(
        &mut self,
        content: impl IntoIterator<Item = (T, &'static str)>,
        requires: impl IntoIterator<Item = &'static str>,
    ) -> Handle {
        let package = Package {
            name: self.recipe.name.clone(),
            version: self.recipe.version.clone(),
            target: self.target().clone(),
            requires: requires.into_iter().map(ToOwned::to_owned).collect(),
            content: self.parts(content),
        };
        self.node("package", Op::Package(package))
    }

    /// A program that cargo builds for the host from a cargo workspace of the project's files, with these features of its crate and no
    /// other. All of the sources are in its key: take what cargo reads for it, and no tests.
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
        let Some(lock) = self.assembly.materials.locks.image.get(name).cloned() else {
            self.mistake(format!(
                "no lock file has an image `{name}`: add it to the wanted images and run `pynbox-build lock`"
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
                let tree = self.unpacked(&source.name, source.strip);
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
            Ok(name) => self.assembly.add(Node { name, recipe: self.recipe.name.clone(), op }),
            Err(error) => {
                self.mistake(error.to_string());
                self.nothing()
            }
        }
    }

    fn shared(&mut self, name: String, op: Op) -> Handle {
        match NodeName::new(name) {
            Ok(name) => self.assembly.add_shared(Node { name, recipe: self.recipe.name.clone(), op }),
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
