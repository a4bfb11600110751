//! The recipes of pynbox-build: `packages/` with a file a package, `toolchains/` with a file a
//! target, and in `recipes/locks` the pins.

mod packages {
    //! A file a package: whatever lies in the folder is part of the build, and is a module with a
    //! `RECIPE`.

    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}
pub mod toolchains;

use build_graph::RelPath;
use build_graph::dsl::{Bundle, Locks, Packages, ProjectFile, ProjectFiles, RecipeSet, SourcesDigest};
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

    #[test]
    fn every_recipe_states_a_license_of_the_spdx_list() {
        for recipe in bundle().set.recipes {
            let license = recipe.stated_license().unwrap_or_else(|| panic!("`{}` states none", recipe.name()));
            if let Err(error) = spdx::Expression::parse(license) {
                panic!("`{}`: {error}", recipe.name());
            }
        }
    }

    /// Every node of the target, with what makes it, its command and its inputs: no byte of the SDK
    /// is needed to see these change.
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
            let selections = node.op.selections();
            let inputs = selections.iter().filter(|input| !input.node.as_str().starts_with("debian/")).map(|input| {
                let globs = [&input.part.include, &input.part.exclude].map(|globs| {
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
