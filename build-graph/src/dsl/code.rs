//! Packages of C code: what they are made of, from which follows how they are built.
//!
//! A library, a program and an extension of Python are described alike, by the methods of [`Code`];
//! they differ in how the description ends: [`library`], [`python`], and programs below.

mod library;
mod python;

use std::marker::PhantomData;
use std::panic::Location;

use super::compile::{Compilation, ProgramLink, SharedLink};
use super::configure::Configured;
use super::dependency::{Dependency, Library, LinkInput, Python};
use super::{Context, Handle, Take, Words};

/// What a description of C code is of.
pub mod kind {
    /// Objects.
    #[derive(Debug)]
    pub struct Objects;
    /// A library.
    #[derive(Debug)]
    pub struct Library;
    /// A shared library that nothing is linked with.
    #[derive(Debug)]
    pub struct Module;
    /// A program.
    #[derive(Debug)]
    pub struct Program;
    /// An extension module of Python.
    #[derive(Debug)]
    pub struct Extension;
}

/// C code under description.
#[must_use = "code whose description does not end is not in the graph"]
pub struct Code<'c, 'a, Kind> {
    context: &'c mut Context<'a>,
    at: &'static Location<'static>,
    name: String,
    source: Option<Handle>,
    units: Vec<String>,
    objects: Vec<Handle>,
    headers: Vec<String>,
    include: Vec<String>,
    sees: Vec<(Take, String)>,
    sees_flags: Vec<String>,
    newest_standard: bool,
    defines: Vec<String>,
    flags: Vec<String>,
    quiet: bool,
    pic: bool,
    prefix: String,
    configured: Option<Configured>,
    dependencies: Vec<Dependency>,
    public: Vec<Dependency>,
    links: Vec<Library>,
    /// Public headers: what, and where in the tree.
    public_headers: Vec<(Take, String)>,
    no_headers: bool,
    /// Flags of the link of a program.
    link_flags: Vec<String>,
    /// How a program is linked that loads libraries.
    loads: bool,
    dlopens: bool,
    kind: PhantomData<Kind>,
}

impl<'a> Context<'a> {
    #[track_caller]
    fn code<K>(&mut self, name: &str) -> Code<'_, 'a, K> {
        Code {
            context: self,
            at: Location::caller(),
            name: name.to_owned(),
            source: None,
            units: Vec::new(),
            objects: Vec::new(),
            headers: Vec::new(),
            include: Vec::new(),
            sees: Vec::new(),
            sees_flags: Vec::new(),
            newest_standard: false,
            defines: Vec::new(),
            flags: Vec::new(),
            quiet: false,
            pic: false,
            prefix: String::new(),
            configured: None,
            dependencies: Vec::new(),
            public: Vec::new(),
            links: Vec::new(),
            public_headers: Vec::new(),
            no_headers: false,
            link_flags: Vec::new(),
            loads: false,
            dlopens: false,
            kind: PhantomData,
        }
    }

    /// A library that other recipes link: `xml2` for `libxml2.so`.
    #[track_caller]
    pub fn c_library(&mut self, name: &str) -> Code<'_, 'a, kind::Library> {
        self.code(name)
    }

    /// A program, by its name without the target's suffix.
    #[track_caller]
    pub fn program(&mut self, name: &str) -> Code<'_, 'a, kind::Program> {
        self.code(name)
    }

    /// An extension module of the recipe's Python, as it is imported: `lxml.etree`.
    #[track_caller]
    pub fn python_extension(&mut self, name: &str) -> Code<'_, 'a, kind::Extension> {
        let python = self.recipe.python;
        let mut code = self.code(name).dep(python);
        code.pic = true;
        code
    }

    /// Objects alone, for `objects` of something else.
    #[track_caller]
    pub fn compile(&mut self) -> Code<'_, 'a, kind::Objects> {
        self.code("")
    }

    /// A shared library that nothing is linked with, at this path in its tree.
    #[track_caller]
    pub fn module(&mut self, path: &str) -> Code<'_, 'a, kind::Module> {
        self.code(path)
    }
}

impl<'a, K> Code<'_, 'a, K> {
    /// Where the files lie, if not in the recipe's source.
    pub fn source(mut self, source: &Handle) -> Self {
        self.source = Some(source.clone());
        self
    }

    /// The files of C or C++, by their paths; `.c` may be left out. Each is compiled by an action
    /// of its own.
    pub fn sources(self, units: impl Words) -> Self {
        self.add_sources("", units.words())
    }

    /// C files of a directory.
    pub fn sources_in(self, directory: &str, units: impl Words) -> Self {
        self.add_sources(&format!("{directory}/"), units.words())
    }

    fn add_sources(mut self, prefix: &str, units: Vec<String>) -> Self {
        self.units.extend(units.into_iter().map(|unit| {
            let has_ending = unit.rsplit('/').next().is_some_and(|file| file.contains('.'));
            format!("{prefix}{unit}{}", if has_ending { "" } else { ".c" })
        }));
        self
    }

    /// Objects that were compiled otherwise.
    pub fn objects(mut self, objects: impl IntoIterator<Item = Handle>) -> Self {
        self.objects.extend(objects);
        self
    }

    /// The files that are included: patterns. A file is found by its path from the unit's own
    /// directory, and from those that `include` names.
    pub fn headers(mut self, patterns: impl Words) -> Self {
        self.headers.extend(patterns.words());
        self
    }

    /// Directories of the source and of the generated headers that are searched for headers; `.`
    /// for the top.
    pub fn include(mut self, directories: impl Words) -> Self {
        self.include.extend(directories.words());
        self
    }

    /// The headers that a configure script wrote.
    pub fn configured_by(mut self, configured: &Configured) -> Self {
        self.configured = Some(configured.clone());
        self
    }

    /// Another recipe: its headers are found, and its libraries are linked. `RECIPE:LIBRARY` for
    /// one library of several.
    #[track_caller]
    pub fn dep(mut self, recipe: &str) -> Self {
        let found = self.context.depend(recipe, Location::caller());
        self.add_dependencies(found);
        self
    }

    /// A recipe as [`dep`](Self::dep), whose headers are included by the public headers of this
    /// library: whoever depends on this one depends on that.
    #[track_caller]
    pub fn public_dep(mut self, recipe: &str) -> Self {
        let found = self.context.depend(recipe, Location::caller());
        self.public.extend(found.iter().cloned());
        self.add_dependencies(found);
        self
    }

    /// Another recipe whose headers are found, and whose libraries are not linked.
    #[track_caller]
    pub fn headers_of(mut self, recipe: &str) -> Self {
        let mut found = self.context.depend(recipe, Location::caller());
        found.iter_mut().for_each(|dependency| dependency.links.clear());
        self.add_dependencies(found);
        self
    }

    fn add_dependencies(&mut self, found: Vec<Dependency>) {
        for dependency in found {
            for library in &dependency.links {
                if !self.links.contains(library) {
                    self.links.push(library.clone());
                }
            }
            if self.dependencies.iter().all(|there| there.name != dependency.name) {
                self.dependencies.push(dependency);
            }
        }
    }

    /// Another library of the same recipe, which is linked.
    pub fn links(mut self, library: &Library) -> Self {
        self.links.push(library.clone());
        self
    }

    /// Headers that lie elsewhere; they are found by their paths in this tree. The name is that of
    /// the directory below `/build` where they are seen.
    pub fn include_tree(mut self, name: &str, headers: impl Into<Take>) -> Self {
        self.sees.push((headers.into(), format!("/build/{name}")));
        self.sees_flags.push(format!("-I{name}"));
        self
    }

    /// Something that units see at an absolute directory, without a flag.
    pub fn sees(mut self, take: impl Into<Take>, at: &str) -> Self {
        self.sees.push((take.into(), at.to_owned()));
        self
    }

    /// Is written in the newest standard of C that the compiler knows.
    pub fn newest_standard(mut self) -> Self {
        self.newest_standard = true;
        self
    }

    /// Is written in C++ of this standard (`17`), with the toolchain's library for it.
    #[track_caller]
    pub fn cxx(mut self, standard: &str) -> Self {
        let Some(cxx) = self.context.toolchain.cxx.clone() else {
            let message = format!("the toolchain of {} has no C++", self.context.target());
            self.context.mistake(message);
            return self;
        };
        self.defines.push(format!("-std=c++{standard}"));
        self.defines.extend(cxx.flags.words());
        self.dep(cxx.library)
    }

    /// Flags that come before those for headers.
    pub fn defines(mut self, flags: impl Words) -> Self {
        self.defines.extend(flags.words());
        self
    }

    /// Flags that come after those for headers. Paths in them are relative to `/build`.
    pub fn flags(mut self, flags: impl Words) -> Self {
        self.flags.extend(flags.words());
        self
    }

    /// Compiles without warnings: the code is not ours to mend.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The Python that it is built for, if it is an extension.
    fn python(&self) -> Option<Python> {
        self.dependencies.iter().find_map(|dependency| dependency.offer.python.clone())
    }

    /// Compiles the units; gives all objects.
    fn compiled(&mut self, pic: bool, prefix: &str, is_extension: bool) -> Vec<Handle> {
        let mut objects = self.objects.clone();
        if self.units.is_empty() {
            return objects;
        }
        let source = self.source_tree();
        let mut sees = Vec::new();
        let mut flags = Vec::new();
        if self.newest_standard {
            flags.push(self.context.toolchain.newest_standard.clone());
        }
        if let Some(python) = self.python().filter(|_| is_extension) {
            flags.extend(python.flags.words());
        }
        flags.extend(self.defines.iter().cloned());
        if let Some(configured) = &self.configured {
            let writes = |path: &str| configured.written.iter().any(|written| written.starts_with(path));
            if configured.written.iter().any(|written| written == "config.h") {
                flags.push("-DHAVE_CONFIG_H".to_owned());
            }
            flags.push("-Iconfig".to_owned());
            let folders = self.include.iter().filter(|folder| writes(&format!("{folder}/")));
            flags.extend(folders.map(|folder| format!("-Iconfig/{folder}")));
            sees.push((configured.tree.all(), "/build/config".to_owned()));
        }
        let own = self.include.iter().map(|folder| match folder.as_str() {
            "." => "-Iheaders".to_owned(),
            folder => format!("-Iheaders/{folder}"),
        });
        let mut others = Vec::new();
        for Dependency { name, offer, .. } in &self.dependencies {
            let Some(headers) = &offer.headers else { continue };
            sees.push((headers.clone(), format!("/build/{name}")));
            others.extend(offer.include.iter().map(|include| format!("-I{name}/{include}")));
        }
        // Python's own headers want to be the first.
        match is_extension {
            true => flags.extend(others.into_iter().chain(own)),
            false => flags.extend(own.chain(others)),
        }
        flags.extend(self.sees_flags.iter().chain(&self.flags).cloned());
        if self.quiet {
            flags.push("-w".to_owned());
        }
        sees.extend(self.sees.iter().cloned());
        let (units, headers) = (self.units.clone(), self.headers.clone());
        let compilation = Compilation { units, source, headers, sees, flags, pic, prefix: prefix.to_owned() };
        objects.extend(self.context.compile_units(&compilation, self.at));
        objects
    }

    /// Where the files lie.
    fn source_tree(&mut self) -> Handle {
        self.source.clone().unwrap_or_else(|| self.context.source())
    }

    fn check_objects(&mut self, what: &str, objects: &[Handle]) {
        if objects.is_empty() {
            let message = format!("the {what} `{}` has no code: list its C files with `sources`", self.name);
            self.context.mistake_at(self.at, message);
        }
    }

    /// What a shared library takes in.
    fn shared_inputs(&mut self) -> Vec<LinkInput> {
        let links = std::mem::take(&mut self.links);
        let inputs = links.iter().filter_map(|library| self.context.link_into_shared(library, self.at)).collect();
        self.links = links;
        inputs
    }

    fn shared_at(&mut self, path: &str, objects: Vec<Handle>) -> Handle {
        self.check_objects("shared library", &objects);
        let needed = self.shared_inputs();
        self.context.link_shared(&SharedLink { path: path.to_owned(), objects, needed }, self.at)
    }
}

impl Code<'_, '_, kind::Objects> {
    /// For a shared library, which lies anywhere in memory.
    pub fn pic(mut self) -> Self {
        self.pic = true;
        self
    }

    /// What the names of the objects begin with, where one unit is compiled twice.
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// Makes the nodes, one a unit. The object of `Objects/abstract.c` is
    /// `objects/Objects/abstract.o` in its tree.
    pub fn finish(mut self) -> Vec<Handle> {
        if self.units.is_empty() {
            self.context.mistake_at(self.at, "nothing is compiled: list C files with `sources`".to_owned());
        }
        let prefix = std::mem::take(&mut self.prefix);
        self.compiled(self.pic, &prefix, false)
    }
}

impl Code<'_, '_, kind::Module> {
    /// Makes the node.
    pub fn finish(mut self) -> Handle {
        let objects = self.compiled(true, "", false);
        let path = self.name.clone();
        self.shared_at(&path, objects)
    }
}

impl Code<'_, '_, kind::Program> {
    /// Loads libraries that use what it holds: the program offers all of it.
    pub fn loads_libraries(mut self) -> Self {
        self.loads = true;
        self
    }

    /// Adds flags to its link, libraries of the C library's (`-lNAME`) among them.
    pub fn link_flags(mut self, flags: impl Words) -> Self {
        self.link_flags.extend(flags.words());
        self
    }

    /// Calls `dlopen`.
    pub fn calls_dlopen(mut self) -> Self {
        self.dlopens = true;
        self
    }

    /// Makes the node.
    pub fn finish(mut self) -> Handle {
        self.linked()
    }

    fn linked(&mut self) -> Handle {
        let objects = self.compiled(false, "", false);
        self.check_objects("program", &objects);
        let links = std::mem::take(&mut self.links);
        let libraries = links.iter().filter_map(|library| self.context.link_into_program(library, self.at)).collect();
        let dlopen = self.context.toolchain.dlopen.clone();
        let (loads, mut flags) = match dlopen.filter(|_| self.dlopens) {
            Some(flags) => (self.loads, flags),
            None => (self.loads || self.dlopens, Vec::new()),
        };
        flags.extend(self.link_flags.iter().cloned());
        let program = ProgramLink { name: self.name.clone(), objects, libraries, loads, flags };
        self.context.link_program(&program, self.at)
    }

    /// Makes the node, and installs the program below a directory of DEST: what is in `root/` is
    /// what programs in the sandbox see.
    pub fn installed(mut self, at: &str) -> Handle {
        let program = self.linked();
        self.context.install_tree(&program, at);
        self.context.draft.is_code = true;
        program
    }
}
