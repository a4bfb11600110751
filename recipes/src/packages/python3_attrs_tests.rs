//! The tests of attrs for Python 3, from its source distribution: its wheel has none.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-attrs-tests", "25.4.0")
    .license("MIT")
    .targets(&[WASM])
    .source(pypi("attrs"))
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("tests/**");
        cx.install_tree(tests, "root/python3/share/tests/attrs");
        cx.requires("python3");
    });
