//! The actions that C code takes: compiling units, and linking archives, programs and shared
//! libraries.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;

use super::action::SYSROOT;
use super::dependency::LinkInput;
use super::header_folders::{below, header_folders};
use super::{Context, Handle, Take, Toolchain};
use crate::{Command, Text};

/// The directory of objects, below `/build` and in the trees of compile actions.
const OBJECTS: &str = "objects";

/// A set of C files that are compiled alike, one action each.
#[derive(Debug, Clone)]
pub(super) struct Compilation {
    /// The files, by their paths in `source`.
    pub(super) units: Vec<String>,
    /// Where they lie.
    pub(super) source: Handle,
    /// Patterns of the files in `source` that they include, which are seen at `/build/headers`;
    /// what lies in the unit's own directory there is found by `#include "…"`.
    pub(super) headers: Vec<String>,
    /// What else they see, and where.
    pub(super) sees: Vec<(Take, String)>,
    /// Flags beside the toolchain's.
    pub(super) flags: Vec<String>,
    /// Whether the objects are for a shared library.
    pub(super) pic: bool,
    /// What the names of the objects begin with, where one unit is compiled twice.
    pub(super) prefix: String,
}

/// What the compile commands of units have in common.
struct UnitCommands<'a> {
    toolchain: &'a Toolchain,
    compilation: &'a Compilation,
    /// What the commands of units in a folder begin with, up to the unit's name.
    beginnings: HashMap<Option<&'a str>, Arc<[Text]>>,
    output: Text,
}

impl<'a> UnitCommands<'a> {
    fn new(toolchain: &'a Toolchain, compilation: &'a Compilation) -> Self {
        Self { toolchain, compilation, beginnings: HashMap::new(), output: "-o".into() }
    }

    fn command(&mut self, unit: &'a str, object: Text) -> Command {
        let folder = unit.rsplit_once('/').map(|(folder, _)| folder);
        let (toolchain, compilation) = (self.toolchain, self.compilation);
        let beginning = self.beginnings.entry(folder).or_insert_with(|| {
            let pic: &[String] = if compilation.pic { &toolchain.pic } else { &[] };
            let compiler = toolchain.cc.iter().chain(&toolchain.cflags).chain(pic).cloned();
            let headers = folder.map_or("headers".to_owned(), |folder| format!("headers/{folder}"));
            let own_headers = ["-iquote".to_owned(), headers].into_iter().filter(|_| !compilation.headers.is_empty());
            let words = compiler.chain(own_headers).chain(compilation.flags.iter().cloned()).chain(["-c".to_owned()]);
            words.map(Text::from).collect()
        });
        Command::beginning_with(beginning, [format!("src/{unit}").into(), self.output.clone(), object])
    }
}

/// A program of objects and libraries.
pub(super) struct ProgramLink {
    /// Its name, without the target's suffix.
    pub(super) name: String,
    pub(super) objects: Vec<Handle>,
    pub(super) libraries: Vec<LinkInput>,
    /// Whether it offers what it holds to the libraries that it loads.
    pub(super) loads: bool,
    pub(super) flags: Vec<String>,
}

/// A shared library, or an extension module, which is a shared library that nothing is linked with.
pub(super) struct SharedLink {
    /// Its path in its tree.
    pub(super) path: String,
    pub(super) objects: Vec<Handle>,
    pub(super) needed: Vec<LinkInput>,
}

impl Context<'_> {
    /// Compiles each unit in an action of its own, which sees that file and the headers; gives the
    /// objects, in the units' order.
    pub(super) fn compile_units(&mut self, compilation: &Compilation, at: &'static Location<'static>) -> Vec<Handle> {
        let source = &compilation.source;
        let sysroot = self.sysroot_headers();
        self.check_header_folders(compilation, at);
        let headers = (!compilation.headers.is_empty()).then(|| source.select(&compilation.headers[..]));
        let mut commands = UnitCommands::new(self.toolchain, compilation);
        let [at_source, at_headers, at_sysroot] = ["/build/src", "/build/headers", SYSROOT].map(Text::from);
        let sees: Vec<_> = compilation.sees.iter().map(|(take, place)| (take, Text::from(place))).collect();
        let mut steps: HashMap<String, &str> = HashMap::with_capacity(compilation.units.len());
        let mut objects = Vec::with_capacity(compilation.units.len());
        for unit in &compilation.units {
            let stem = unit.rsplit_once('.').map_or(unit.as_str(), |(stem, _)| stem);
            let step = format!("{}{stem}.o", compilation.prefix);
            match steps.insert(step.clone(), unit) {
                None => {}
                Some(other) if other == unit => {
                    self.mistake_at(at, format!("the unit `{unit}` is listed twice: list it once"));
                    continue;
                }
                Some(other) => {
                    self.mistake_at(
                        at,
                        format!(
                            "the units `{other}` and `{unit}` have one object, `{step}`: compile one of them by itself, with \
                             `compile` and a `prefix`"
                        ),
                    );
                    continue;
                }
            }
            let object = Text::from(format!("{OBJECTS}/{step}"));
            let command = commands.command(unit, object.clone());
            let mut action = self.action_at(at, &step).runs(command).shared_output(object);
            action = action.input(source.select([unit]), &at_source);
            if let Some(headers) = &headers {
                action = action.input(headers.clone(), &at_headers);
            }
            for (take, place) in &sees {
                action = action.input(Take::clone(take), place);
            }
            if let Some(sysroot) = &sysroot {
                action = action.input(sysroot, &at_sysroot);
            }
            let compiled = action.finish();
            self.assembly.objects.insert(compiled.name().clone(), compilation.pic);
            objects.push(compiled);
        }
        objects
    }

    /// Notes flags such as `-Iinclude` for folders in which no header can be: none of what the
    /// units see lies there, or it is known already and holds no file there.
    fn check_header_folders(&mut self, compilation: &Compilation, at: &'static Location<'static>) {
        let mut places = vec![("/build/headers".to_owned(), compilation.source.select(&compilation.headers[..]))];
        places.retain(|_| !compilation.headers.is_empty());
        places.extend(compilation.sees.iter().map(|(take, at)| (at.trim_end_matches('/').to_owned(), take.clone())));
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
                self.mistake_at(
                    at,
                    format!(
                        "the flag `{flag}` names `{absolute}`, where no header is. Units see headers at: {there}; paths \
                         in flags are relative to `/build`, so name a folder below one of these, or put headers there \
                         with `headers`, `dep` or `sees`"
                    ),
                );
            }
        }
    }

    /// An archive of objects: `lib/NAME` in its tree.
    pub(super) fn archive_of(&mut self, name: &str, objects: &[Handle], at: &'static Location<'static>) -> Handle {
        let ar = &self.toolchain.ar;
        let library = format!("lib/{name}");
        // `D`: no times, owners and modes in the archive.
        let script =
            format!("cd objects\nobjects=$(find . -name '*.o' | LC_ALL=C sort)\n{ar} rcsD ../{library} $objects");
        let mut action = self.action_at(at, &library).shell(&script).output([&library[..]]);
        let at_objects = Text::from("/build/objects");
        for object in objects {
            action = action.input(object.below(OBJECTS), &at_objects);
        }
        let archive = action.finish();
        let without = self.without_pic(objects);
        self.assembly.archives.insert(archive.name().clone(), without);
        archive
    }

    /// Links a program: `NAME` with the target's suffix, at the top of its tree.
    pub(super) fn link_program(&mut self, program: &ProgramLink, at: &'static Location<'static>) -> Handle {
        let toolchain = self.toolchain;
        let name = format!("{}{}", program.name, toolchain.program_suffix());
        let mut before = toolchain.cc.clone();
        let (loading, libraries): (&[String], _) = match program.loads {
            true => (&toolchain.loading, &toolchain.loading_libraries),
            false => (&[], &toolchain.libraries),
        };
        before.extend(toolchain.ldflags.iter().chain(loading).chain(&program.flags).cloned());
        before.extend(["-o".to_owned(), name.clone()]);
        let input = |input: &LinkInput| match input {
            LinkInput::Named { name, whole: true, .. } if program.loads => {
                format!("-Llibraries/lib -Wl,--whole-archive -l{name} -Wl,--no-whole-archive")
            }
            LinkInput::Named { name, .. } => format!("-Llibraries/lib -l{name}"),
            LinkInput::File { path, .. } => format!("libraries/{path}"),
        };
        let after: Vec<_> = program.libraries.iter().map(input).chain(libraries.iter().cloned()).collect();
        let sysroot = self.sysroot();
        let script = format!(
            "objects=$(find objects -name '*.o' | LC_ALL=C sort)\n{} $objects {}",
            before.join(" "),
            after.join(" ")
        );
        let mut action = self.action_at(at, &name).shell(&script).output([&name[..]]);
        let at_objects = Text::from("/build/objects");
        for object in &program.objects {
            action = action.input(object.below(OBJECTS), &at_objects);
        }
        for library in &program.libraries {
            let take = match library {
                LinkInput::Named { tree, .. } => tree.select("lib"),
                LinkInput::File { tree, path } => tree.select([&path[..]]),
            };
            action = action.input(take, "/build/libraries");
        }
        if let Some(sysroot) = &sysroot {
            action = action.input(sysroot.select("lib"), SYSROOT);
        }
        action.finish()
    }

    /// Links a shared library, at its path in its tree.
    pub(super) fn link_shared(&mut self, library: &SharedLink, at: &'static Location<'static>) -> Handle {
        let SharedLink { path, objects, needed } = library;
        self.check_pic(library, at);
        let mut linker = self.toolchain.shared_linker();
        if let Some(flag) = self.toolchain.soname_flag(path.rsplit('/').next().unwrap_or(path)) {
            linker = format!("{linker} {flag}");
        }
        let files = needed.iter().filter_map(|input| match input {
            LinkInput::File { path, .. } => Some(format!("needed/{path}")),
            LinkInput::Named { .. } => None,
        });
        let after: Vec<_> = files.chain(self.toolchain.shared_libraries.iter().cloned()).collect();
        let script = format!(
            "objects=$(find objects -name '*.o' | LC_ALL=C sort)\n{linker} -o {path} $objects {}",
            after.join(" ")
        );
        let mut action = self.action_at(at, path).shell(&script).output([&path[..]]);
        let at_objects = Text::from("/build/objects");
        for object in objects {
            action = action.input(object.below(OBJECTS), &at_objects);
        }
        for input in needed {
            if let LinkInput::File { tree, path } = input {
                action = action.input(tree.select([&path[..]]), "/build/needed");
            }
        }
        let linked = action.finish();
        self.draft.offer.linked.push((path.clone(), linked.clone()));
        linked
    }

    /// The objects that were compiled without `pic`.
    fn without_pic(&self, objects: &[Handle]) -> Vec<String> {
        let without = |object: &&Handle| self.assembly.objects.get(object.name()) == Some(&false);
        objects.iter().filter(without).map(|object| object.name().to_string()).collect()
    }

    /// A shared library lies anywhere in memory; objects for it, and in archives that become part
    /// of it, have to be compiled so.
    fn check_pic(&mut self, library: &SharedLink, at: &'static Location<'static>) {
        let path = &library.path;
        if let [first, rest @ ..] = &self.without_pic(&library.objects)[..] {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            self.mistake_at(
                at,
                format!(
                    "the shared library `{path}` has objects that were compiled without `pic` (`{first}`{more}): compile \
                     them with `pic`"
                ),
            );
        }
        for input in &library.needed {
            let LinkInput::File { tree, path: archive } = input else { continue };
            if let Some(first) = self.assembly.archive_without_pic(tree.name(), archive) {
                let message = format!(
                    "the shared library `{path}` takes in `{archive}` of `{}`, which has objects that were compiled \
                     without `pic` (`{first}`): offer an archive of objects with `pic` for it",
                    tree.name()
                );
                self.mistake_at(at, message);
            }
        }
    }
}
