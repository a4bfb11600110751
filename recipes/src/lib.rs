//! The recipes of pynbox-build: `packages/` with a file a package, `toolchains/` with a file a
//! target, and in `recipes/locks` the pins.

mod packages {
    //! A file a package: whatever lies in the folder is part of the build, and is a module with a
    //! `RECIPE`.

    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}
pub mod toolchains;

use build_graph::RelPath;
use build_graph::dsl::{Bundle, Context, Handle, Locks, Packages, ProjectFile, ProjectFiles, RecipeSet, SourcesDigest};
use build_graph::node::Target;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Has a pinned Cython write the C of a module, on the machine that builds: gives a tree with
/// `MODULE.c`, for `MODULE.pyx` of the source.
pub fn cython(cx: &mut Context<'_>, source: &Handle, module: &str) -> Handle {
    packages::python3_cython::c_of(cx, source, module)
}

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
    let default_target = Target(toolchains::WASM.into());
    let packages = Packages {
        always: ["sandbox_outer", "sandbox_inner"].map(str::to_owned).to_vec(),
        default: ["python", "tests"].map(str::to_owned).to_vec(),
    };
    Bundle { set: set(), locks, files, default_target, sources: Some(sources), packages }
}

fn set() -> RecipeSet {
    let toolchains = vec![toolchains::host(), toolchains::wasm(), toolchains::nacl()];
    RecipeSet { toolchains, recipes: packages::RECIPES.to_vec(), ..RecipeSet::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::sync::Arc;

    use build_graph::dsl::{Assembled, Materials, assemble};
    use build_graph::node::Op;

    use super::*;

    /// The graph of all recipes.
    fn assembled() -> Assembled {
        let Bundle { set, locks, files, default_target, .. } = bundle();
        let materials = Materials { locks, files, ..Materials::default() };
        assemble(&set, &Arc::new(materials), &default_target).unwrap()
    }

    #[test]
    fn all_recipes_make_a_graph() {
        let graph = assembled().graph;
        for target in [toolchains::WASM, toolchains::NACL, toolchains::HOST] {
            assert!(graph.aliases().contains_key(target));
        }
    }

    #[test]
    fn every_library_that_a_package_installs_has_native_code() {
        let graph = assembled().graph;
        let is_translation = |name: &str| name.contains("/native/") && name.ends_with("/c");
        let translations = graph.nodes().iter().filter(|node| is_translation(node.name.as_str()));
        let translated: BTreeSet<_> =
            translations.flat_map(|node| node.op.selections()).map(|input| input.node.as_str().to_owned()).collect();
        let is_library = |name: &str| {
            name.rsplit('/').next().is_some_and(|file| file.split('.').skip(1).any(|ending| ending == "so"))
        };
        let mut seen = 0;
        for node in graph.nodes() {
            let Op::Package(package) = &node.op else { continue };
            if package.target.as_str() != toolchains::WASM {
                continue;
            }
            for input in node.op.selections() {
                let name = input.node.as_str();
                if is_library(name) && !name.contains("/native/") {
                    seen += 1;
                    assert!(translated.contains(name), "`{}` installs `{name}`, which has no native code", node.name);
                }
            }
        }
        assert!(seen > 50, "{seen} libraries");
    }

    #[test]
    fn every_recipe_states_a_license_of_the_spdx_list() {
        for recipe in bundle().set.recipes {
            let license = recipe.stated_license().unwrap_or_else(|| panic!("`{}` states none", recipe.name()));
            if let Err(error) = spdx::Expression::parse(license) {
                panic!("`{}`: {error}", recipe.name());
            }
        }
    }

    #[test]
    fn the_page_of_closed_holes_names_each_patch_and_its_cves() {
        let page = include_str!("../../docs/reference/closed-holes.md");
        let row = |name: &str| page.lines().find(|line| line.contains(&format!("| {name} |"))).unwrap_or_default();
        let mut closed = BTreeSet::new();
        for (path, bytes) in FILES.iter().filter(|(path, _)| path.contains("/all/01")) {
            let text = std::str::from_utf8(bytes).unwrap();
            let head = text.split("\n\n").next().unwrap();
            let name = path.rsplit('/').next().unwrap().trim_end_matches(".patch");
            let cves: Vec<_> = head.split([' ', ',', '.', '\n']).filter(|word| word.starts_with("CVE-")).collect();
            assert!(!cves.is_empty(), "`{path}` names no CVE");
            for cve in cves {
                assert!(row(name).contains(cve), "the page does not say that `{path}` closes {cve}");
                closed.insert(cve.to_owned());
            }
        }
        let patched = page.split("## What needs no patch").next().unwrap();
        for cve in patched.split([' ', ',', '|']).filter(|word| word.starts_with("CVE-")) {
            assert!(closed.contains(cve), "no patch names {cve}");
        }
    }

    #[test]
    fn the_page_of_closed_holes_names_tests_that_are_there() {
        let page = include_str!("../../docs/reference/closed-holes.md");
        let tests = include_str!("../files/lxml/test_holes.py");
        let named: BTreeSet<_> =
            page.split('`').filter(|word| word.starts_with("test_") && !word.contains('.')).collect();
        let there: BTreeSet<_> =
            tests.lines().filter_map(|line| line.trim().strip_prefix("def ")?.strip_suffix("(self):")).collect();
        let there: BTreeSet<_> = there.into_iter().filter(|name| name.starts_with("test_")).collect();
        assert_eq!(named, there);
    }

    /// Every node of the target, with what makes it, its command and its inputs: no byte of the SDK
    /// is needed to see these change.
    #[test]
    fn the_graph_of_nacl() {
        let graph = assembled().graph;
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
                let _ = writeln!(text, "    {}", action.command);
            }
            let selections = node.op.selections();
            let inputs = selections.iter().filter(|input| !input.node.as_str().starts_with("debian/")).map(|input| {
                let globs = [input.part.include(), input.part.exclude()].map(|globs| {
                    let mut globs: Vec<_> = globs.iter().map(ToString::to_string).collect();
                    globs.sort_unstable();
                    globs.join(" ")
                });
                format!("    <- {} [{}] without [{}]\n", input.node, globs[0], globs[1])
            });
            // Neither the order of inputs nor that of patterns is in a key.
            text.extend(inputs.collect::<BTreeSet<_>>());
        }
        insta::assert_snapshot!(text);
    }
}
