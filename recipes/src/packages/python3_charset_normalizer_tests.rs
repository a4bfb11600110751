//! The tests of charset-normalizer for Python 3, from its source distribution: its wheel has none.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-charset-normalizer-tests", "3.5.3")
    .license("MIT")
    .targets(&[WASM])
    .source(pypi("charset-normalizer"))
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("data/** tests/**");
        cx.install_tree(tests, "root/python3/share/tests/charset-normalizer");
        cx.requires("python3");
    });
