//! CPython 3.13's own tests, with the C modules that they import, in a package of their own.

use build_graph::dsl::{Recipe, recipe};

use super::python3::{self, LIBRARY, LIBRARY_IN_DEST, TEST_EXTENSIONS, bytecode};
use crate::toolchains::WASM;

/// Where the library has its tests, with the data that they read.
pub(super) const TESTS: &str = "Lib/test/**";

pub(crate) const RECIPE: Recipe = recipe("python3-tests", "3.13.5")
    .license("Python-2.0")
    .targets(&[WASM])
    .source_of("python3")
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        let source = cx.unpacked("python3", 1);
        let tests = source.select(TESTS).strip("Lib");
        let tests = cx.merge("tests", [(tests, "")]);
        // Each file of tests is a process: without bytecode, every one would compile what they
        // share.
        let bytecode = bytecode(cx, &tests, LIBRARY);
        cx.install_tree(&tests, LIBRARY_IN_DEST);
        cx.install_tree(bytecode, LIBRARY_IN_DEST);
        let config = cx.dependency("python3").select("config/pyconfig.h").strip("config");
        for extension in TEST_EXTENSIONS {
            python3::extension(cx, &source, config.clone(), extension);
        }
        cx.requires("python3");
    });
