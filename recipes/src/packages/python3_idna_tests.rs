//! The tests of idna for Python 3, from its source distribution: its wheel has none.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-idna-tests", "3.20")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .source(pypi("idna"))
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("tests/**");
        cx.install_tree(tests, "root/python3/share/tests/idna");
        cx.requires("python3");
    });
