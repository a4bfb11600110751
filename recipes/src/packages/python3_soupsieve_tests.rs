//! The tests of Soup Sieve for Python 3, from its source distribution: its wheel has none.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-soupsieve-tests", "4.1.3")
    .license("MIT")
    .targets(&[WASM])
    .source(pypi("soupsieve"))
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("tests/**");
        cx.install_tree(tests, "root/python3/share/tests/soupsieve");
        cx.requires("python3");
    });
