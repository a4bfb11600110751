//! C code: compiling units, and linking archives, programs and shared libraries.

use std::collections::BTreeMap;

use super::header_folders::{below, header_folders};
use super::{Context, Handle, Take};

/// The directory of objects, below `/build` and in the trees of compile actions.
const OBJECTS: &str = "objects";

/// A set of C files that are compiled alike, one action each.
#[derive(Debug, Clone, Default)]
pub struct Compilation {
    /// The files, by their paths in `source`.
    pub units: Vec<String>,
    /// Where they lie.
    pub source: Option<Handle>,
    /// Patterns of the files in `source` that they include, which are seen at `/build/headers`;
    /// what lies in the unit's own directory there is found by `#include "…"`.
    pub headers: Vec<String>,
    /// What else they see, and where.
    pub include: Vec<(Take, String)>,
    /// Flags beside the toolchain's. Paths in them are relative to `/build`: `-Iheaders/include`
    /// for what `headers` selects, `-IPLACE/include` for what `include` puts at `/build/PLACE`.
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
    /// Whether it loads shared libraries while it runs; these may use whatever it and its libraries
    /// hold.
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

impl Context<'_> {
    /// Compiles each unit in an action of its own, which sees that file and the headers; gives the
    /// objects, in the units' order. The object of `Objects/abstract.c` is
    /// `objects/Objects/abstract.o` in its tree.
    ///
    /// It is a mistake if there are no units, if two have one object, or if a flag names a folder
    /// for headers where none can be.
    pub fn compile(&mut self, compilation: &Compilation) -> Vec<Handle> {
        let Some(source) = &compilation.source else {
            self.mistake("a compilation has no source".to_owned());
            return Vec::new();
        };
        let runtime = self.runtime_headers();
        if compilation.units.is_empty() {
            self.mistake(format!("a compilation of `{}` has no units: list its files in `units`", source.name()));
        }
        self.check_header_folders(compilation, source);
        let mut steps: BTreeMap<String, &str> = BTreeMap::new();
        let mut objects = Vec::with_capacity(compilation.units.len());
        for unit in &compilation.units {
            let stem = unit.rsplit_once('.').map_or(unit.as_str(), |(stem, _)| stem);
            let step = format!("{}{stem}.o", compilation.prefix);
            match steps.insert(step.clone(), unit) {
                None => {}
                Some(other) if other == unit => {
                    self.mistake(format!("the unit `{unit}` is listed twice: list it once"));
                    continue;
                }
                Some(other) => {
                    self.mistake(format!(
                        "the units `{other}` and `{unit}` have one object, `{step}`: compile one of them in a \
                         compilation of its own, with a `prefix`"
                    ));
                    continue;
                }
            }
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
            let compiled = action.finish();
            self.assembly.objects.insert(compiled.name().clone(), compilation.pic);
            objects.push(compiled);
        }
        objects
    }

    /// Notes flags such as `-Iinclude` for folders in which no header can be: none of what the
    /// units see lies there, or it is known already and holds no file there.
    fn check_header_folders(&mut self, compilation: &Compilation, source: &Handle) {
        let mut places = vec![("/build/headers".to_owned(), source.select(&compilation.headers))];
        places.retain(|_| !compilation.headers.is_empty());
        places.extend(compilation.include.iter().map(|(take, at)| (at.trim_end_matches('/').to_owned(), take.clone())));
        for (flag, absolute) in header_folders(&compilation.flags) {
            let holds = |(at, take): &(String, Take)| {
                if below(at, &absolute).is_some() {
                    return true;
                }
                let Some(rest) = below(&absolute, at) else { return false };
                self.assembly.known(take).is_none_or(|tree| {
                    let beginning = if rest.is_empty() { String::new() } else { format!("{rest}/") };
                    tree.with_prefix(&beginning).next().is_some()
                })
            };
            if !places.iter().any(holds) {
                let there: Vec<_> = places.iter().map(|(at, _)| format!("`{at}`")).collect();
                let there = if there.is_empty() { "nowhere".to_owned() } else { there.join(", ") };
                self.mistake(format!(
                    "the flag `{flag}` names `{absolute}`, where no header is. Units see headers at: {there}; paths \
                     in flags are relative to `/build`, so name a folder below one of these, or put headers there \
                     with `headers` or `include`"
                ));
            }
        }
    }

    /// An archive of objects: `lib/NAME` in its tree.
    pub fn static_library(&mut self, name: &str, objects: &[Handle]) -> Handle {
        let ar = self.toolchain.ar.clone();
        let library = format!("lib/{name}");
        self.check_objects("static library", name, objects);
        // `D`: no times, owners and modes in the archive.
        let script = format!(
            "mkdir -p lib\ncd objects\nobjects=$(find . -name '*.o' | LC_ALL=C sort)\n{ar} rcsD ../{library} $objects"
        );
        let mut action = self.action(&library).shell(&script).output(&library);
        for object in objects {
            action = action.input(object.below(OBJECTS), "/build/objects");
        }
        let archive = action.finish();
        let without = self.without_pic(objects);
        self.assembly.archives.insert(archive.name().clone(), without);
        archive
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
        self.check_objects("program", &name, &program.objects);
        let script = format!(
            "objects=$(find objects -name '*.o' | LC_ALL=C sort)\n{} $objects {}",
            before.join(" "),
            after.join(" ")
        );
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
        self.check_objects("shared library", path, &library.objects);
        self.check_pic(library);
        let mut command = self.toolchain.link_shared.clone();
        if let Some(soname) = &self.toolchain.soname {
            command.push(format!("{soname}{}", path.rsplit('/').next().unwrap_or(path)));
        }
        command.extend(library.flags.iter().cloned());
        command.extend(["-o".to_owned(), path.clone()]);
        let needed: Vec<_> = library.needed.iter().map(|(_, path)| format!("needed/{path}")).collect();
        let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let script = format!(
            "mkdir -p {folder}\nobjects=$(find objects -name '*.o' | LC_ALL=C sort)\n{} $objects {}",
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

    fn check_objects(&mut self, kind: &str, name: &str, objects: &[Handle]) {
        if objects.is_empty() {
            self.mistake(format!("the {kind} `{name}` has no objects: give it what `compile` returns"));
        }
    }

    /// The objects that were compiled without `pic`.
    fn without_pic(&self, objects: &[Handle]) -> Vec<String> {
        let without = |object: &&Handle| self.assembly.objects.get(object.name()) == Some(&false);
        objects.iter().filter(without).map(|object| object.name().to_string()).collect()
    }

    /// A shared library lies anywhere in memory; objects for it, and in archives that become part
    /// of it, have to be compiled so.
    fn check_pic(&mut self, library: &SharedLibrary) {
        let path = &library.path;
        if let [first, rest @ ..] = &self.without_pic(&library.objects)[..] {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            self.mistake(format!(
                "the shared library `{path}` has objects that were compiled without `pic` (`{first}`{more}): set \
                 `pic: true` in their `Compilation`"
            ));
        }
        for (tree, archive) in &library.needed {
            if let Some(first) = self.assembly.archive_without_pic(tree.name(), archive) {
                self.mistake(format!(
                    "the shared library `{path}` takes in `{archive}` of `{}`, which has objects that were compiled \
                     without `pic` (`{first}`): make an archive of objects with `pic: true` for it",
                    tree.name()
                ));
            }
        }
    }
}
