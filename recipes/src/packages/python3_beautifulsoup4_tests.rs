//! The tests of Beautiful Soup for Python 3, from its source distribution: its wheel has none.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-beautifulsoup4-tests", "4.14.3")
    .license("MIT")
    .targets(&[WASM])
    .source(pypi("beautifulsoup4"))
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("bs4/tests/**");
        cx.install_tree(tests, "root/python3/lib/python3.13/site-packages");
        cx.requires("python3");
    });
