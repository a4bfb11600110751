//! Packages whose configure script is run for the headers that it writes, and for nothing else.

use std::panic::Location;

use super::{Context, Handle, Take, Words};
use crate::Glob;

/// The headers that a configure script wrote.
#[derive(Debug, Clone)]
pub struct Configured {
    pub(super) tree: Handle,
    /// Their paths.
    pub(super) written: Vec<String>,
}

impl Configured {
    /// Whether a pattern matches what was written.
    pub(super) fn writes(&self, pattern: &str) -> bool {
        Glob::new(pattern).is_ok_and(|glob| self.written.iter().any(|path| glob.is_match(path)))
    }
}

/// A configure script under description, made by [`Context::configure`].
#[must_use = "a configure script that is not finished is not in the graph"]
pub struct Configure<'c, 'a> {
    context: &'c mut Context<'a>,
    at: &'static Location<'static>,
    options: String,
    reads: Vec<String>,
    writes: Vec<String>,
    inputs: Vec<(Take, String)>,
}

impl<'a> Context<'a> {
    /// Runs the configure script of the recipe's source, outside of it, with these options and
    /// those that the toolchain has for it. The tree that comes out has the headers that it writes.
    #[track_caller]
    pub fn configure<'c>(&'c mut self, options: &str) -> Configure<'c, 'a> {
        Configure {
            at: Location::caller(),
            context: self,
            options: options.words().join(" "),
            reads: Vec::new(),
            writes: Vec::new(),
            inputs: Vec::new(),
        }
    }
}

impl Configure<'_, '_> {
    /// What it reads of the source: patterns. With all of the source, every change to it would run
    /// the script again.
    pub fn reads(mut self, patterns: impl Words) -> Self {
        self.reads.extend(patterns.words());
        self
    }

    /// The headers that it writes; `FROM=TO` for one that is to have another path.
    pub fn writes(mut self, paths: impl Words) -> Self {
        self.writes.extend(paths.words());
        self
    }

    /// Tells the script by an option where the tree of another recipe lies: `--with-zlib`.
    pub fn dep(mut self, option: &str, recipe: &str) -> Self {
        let tree = self.context.dependency_at(recipe, self.at);
        self.add(option, recipe, tree.all());
        self
    }

    /// Tells the script by an option where a program of this name lies in `bin`, which says what
    /// flags users of another recipe give to their compiler: `--version`, `--cflags`, `--libs`.
    pub fn dep_by_program(mut self, option: &str, recipe: &str, program: &str) -> Self {
        let tree = self.context.dependency_at(recipe, self.at);
        let version = self.context.version_of(recipe);
        let place = place(recipe);
        let text = format!(
            "#!/bin/sh\ncase $1 in\n--version) echo {version} ;;\n--cflags) echo -I{place}/include ;;\n\
             --libs) echo -L{place}/lib ;;\nesac\n"
        );
        let asked = self.context.text_file(program, &format!("bin/{program}"), &text, true);
        let merged = self.context.merge_at(self.at, recipe, [(asked.all(), ""), (tree.select("include"), "")]);
        self.add(option, recipe, merged.all());
        self
    }

    fn add(&mut self, option: &str, recipe: &str, take: Take) {
        self.options.push_str(&format!(" {option}={}", place(recipe)));
        self.inputs.push((take, place(recipe)));
    }

    /// Makes the node.
    pub fn finish(self) -> Configured {
        let Self { context, at, options, reads, writes, inputs } = self;
        let toolchain = context.toolchain();
        let (renamed, kept): (Vec<&str>, Vec<&str>) =
            writes.iter().map(String::as_str).partition(|path| path.contains('='));
        let renamed: Vec<_> = renamed.iter().filter_map(|path| path.split_once('=')).collect();
        let mut script = format!(
            "mkdir work && cd work && ../src/configure {} {options} --disable-shared --disable-dependency-tracking && \
             for file in {}; do mkdir -p $(dirname ../$file) && cp $file ../$file; done",
            toolchain.configure_options(),
            kept.join(" "),
        );
        for (from, to) in &renamed {
            script.push_str(&format!(" && cp {from} ../{to}"));
        }
        let written: Vec<String> =
            kept.iter().copied().chain(renamed.iter().map(|(_, to)| *to)).map(ToOwned::to_owned).collect();
        let source = context.source();
        let mut action = context
            .action_at(at, "configure")
            .shell(&script)
            .for_target()
            // libtool's part of the script wants one, and links nothing with it here.
            .env("LD", toolchain.link_shared.first().cloned().unwrap_or_default())
            .input(source.select(reads), "/build/src")
            .output(&written[..]);
        for (input, at) in inputs {
            action = action.input(input, &at);
        }
        Configured { tree: action.finish(), written }
    }
}

/// Where a configure script sees the tree of a recipe.
fn place(recipe: &str) -> String {
    format!("/build/{recipe}")
}
