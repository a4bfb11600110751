//! CPython 3.13's own tests, with the C modules that they import, in a package of their own.

use build_graph::dsl::{Recipe, recipe};

use super::python3::{self, INCLUDE, LIBRARY, LIBRARY_IN_DEST, TEST_EXTENSIONS, bytecode};
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
        // They look into the interpreter, whose structures are those of its own headers, with our
        // patches.
        let python = cx.dependency("python3");
        let code = source.select("Modules/** Objects/** Parser/** Python/**");
        let code = cx.merge("code", [(code, ""), (python.select(format!("{INCLUDE}/**")).strip(INCLUDE), "Include")]);
        let config = python.select("config/pyconfig.h").strip("config");
        for extension in TEST_EXTENSIONS {
            python3::extension(cx, &code, config.clone(), extension);
        }
        cx.requires("python3");
    });
