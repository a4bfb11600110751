//! The recipes of pynbox-build: a file a package, `toolchains/` with a file a target, and in `recipes/locks` the pins.

mod bzip2;
mod configured;
mod encodings;
mod ffi;
mod gdbm;
mod libxml2;
mod libxslt;
mod lxml;
mod ncurses;
mod openssl;
mod python;
mod python_host;
mod readline;
mod sandbox_inner;
mod sandbox_outer;
mod sqlite;
mod suites;
mod tests_package;
pub mod toolchains;
mod zlib;

use build_graph::RelPath;
use build_graph::dsl::{
    Bundle, Context, Locks, Packages, Product, ProjectFile, ProjectFiles, Recipe, RecipeSet, SourcesDigest,
};
use build_graph::node::Target;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The pins that were there when the crate was compiled.
const SOURCES: &str = include_str!("../locks/sources.toml");
const IMAGES: &str = include_str!("../locks/images.toml");

/// All recipes, with their pins and files.
///
/// # Panics
/// If a lock file that was compiled in is malformed, which a test of this crate rules out.
pub fn bundle() -> Bundle {
    let mut locks = Locks::default();
    locks.add_sources(toml::from_str(SOURCES).expect("the lock files of this crate are well-formed"));
    let images = toml::from_str(IMAGES).expect("the lock files of this crate are well-formed");
    locks.add_images(images).expect("the lock files of this crate pin all that they list");
    let mut files = ProjectFiles::default();
    for (path, bytes) in FILES {
        if let Ok(path) = RelPath::new(*path) {
            files.insert(path, ProjectFile { bytes: (*bytes).into() });
        }
    }
    let sources = SourcesDigest { folders: SOURCE_FOLDERS, digest: SOURCES_DIGEST };
    let default_target = Target(toolchains::WASM.to_owned());
    let packages = Packages {
        always: ["sandbox_outer", "sandbox_inner"].map(str::to_owned).to_vec(),
        default: ["python", "tests"].map(str::to_owned).to_vec(),
    };
    Bundle { set: set(), locks, files, default_target, sources: Some(sources), packages, suites: suites::all() }
}

fn set() -> RecipeSet {
    let recipe = |name: &str, version: &str, targets: &[&str], describe: fn(&mut Context<'_>) -> Product| Recipe {
        name: name.to_owned(),
        version: version.to_owned(),
        targets: targets.iter().map(|target| Target((*target).to_owned())).collect(),
        describe,
    };
    let sandboxed = &[toolchains::WASM, toolchains::NACL];
    let host = &[toolchains::HOST];
    // The baseline has them as well.
    let everywhere = &[toolchains::WASM, toolchains::NACL, toolchains::HOST];
    let recipes = vec![
        recipe("sandbox_outer", "0.1.0", sandboxed, sandbox_outer::describe),
        recipe("sandbox_inner", "0.1.0", sandboxed, sandbox_inner::describe),
        recipe("encodings", "0.1.0", host, encodings::describe),
        recipe("zlib", "1.2.13", everywhere, zlib::describe),
        recipe("bzip2", "1.0.8", sandboxed, bzip2::describe),
        recipe("libxml2", "2.9.14", everywhere, libxml2::describe),
        recipe("libxslt", "1.1.35", everywhere, libxslt::describe),
        recipe("sqlite", "3.39.4", sandboxed, sqlite::describe),
        // Not for NaCl: it has not been tried there.
        recipe("gdbm", "1.23", &[toolchains::WASM, toolchains::HOST], gdbm::describe),
        recipe("openssl", "1.1.1w", sandboxed, openssl::describe),
        recipe("ffi", "0.1.0", sandboxed, ffi::describe),
        recipe("ncurses", "6.4", sandboxed, ncurses::describe),
        recipe("readline", "8.2", sandboxed, readline::describe),
        recipe("python-host", "2.7.18", host, python_host::describe),
        recipe("python", "2.7.18", sandboxed, python::describe),
        recipe("python-tests", "2.7.18", sandboxed, python::tests::describe),
        recipe("lxml", "4.9.4", everywhere, lxml::describe),
        recipe("lxml-tests", "4.9.4", sandboxed, lxml::tests),
        recipe("tests", "0.1.0", sandboxed, tests_package::describe),
    ];
    let toolchains = vec![toolchains::host(), toolchains::wasm(), toolchains::nacl()];
    RecipeSet { toolchains, recipes, ..RecipeSet::default() }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::Arc;

    use build_graph::dsl::{Materials, assemble};
    use build_graph::node::Op;

    use super::*;

    #[test]
    fn all_recipes_make_a_graph() {
        let bundle = bundle();
        let materials = Materials { locks: bundle.locks.clone(), files: bundle.files.clone(), ..Materials::default() };
        let assembled = assemble(&bundle.set, &Arc::new(materials), &bundle.default_target).unwrap();
        for target in [toolchains::WASM, toolchains::NACL, toolchains::HOST] {
            assert!(assembled.graph.aliases().contains_key(target));
        }
    }

    /// Every node of the target, with what makes it, its command and its inputs: no byte of the SDK is needed to see these change.
    #[test]
    fn the_graph_of_nacl() {
        let bundle = bundle();
        let materials = Materials { locks: bundle.locks.clone(), files: bundle.files.clone(), ..Materials::default() };
        let assembled = assemble(&bundle.set, &Arc::new(materials), &bundle.default_target).unwrap();
        let graph = &assembled.graph;
        let mut text = String::new();
        let of_target = |name: &str| name.split('/').next() == Some(toolchains::NACL);
        let wanted =
            graph.aliases().iter().filter(|(name, _)| of_target(name)).flat_map(|(_, nodes)| nodes.iter().copied());
        let mut nodes: Vec<_> = graph.closure(wanted).into_iter().map(|at| &graph.nodes()[at]).collect();
        nodes.sort_by_key(|node| &node.name);
        for node in nodes {
            // The pins of Debian's packages change with its point releases.
            if node.name.as_str().starts_with("debian/") {
                continue;
            }
            let _ = writeln!(text, "{} {}", node.op.verb(), node.name);
            if let Op::Action(action) = &node.op {
                let _ = writeln!(text, "    {}", action.command.join(" "));
            }
            for selection in node.op.selections().iter().filter(|input| !input.node.as_str().starts_with("debian/")) {
                let part = [&selection.part.include, &selection.part.exclude];
                let globs = part.map(|globs| globs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
                let _ = writeln!(text, "    <- {} [{}] without [{}]", selection.node, globs[0], globs[1]);
            }
        }
        insta::assert_snapshot!(text);
    }
}
