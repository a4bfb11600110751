//! The tests of MarkupSafe for Python 3: they are in the source of its package.

use build_graph::dsl::{Recipe, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-markupsafe-tests", "3.0.3")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .source_of("python3-markupsafe")
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("tests/**");
        cx.install_tree(tests, "root/python3/share/tests/markupsafe");
        cx.requires("python3");
    });
