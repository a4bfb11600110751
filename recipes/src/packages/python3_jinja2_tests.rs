//! The tests of Jinja2 for Python 3, from its source distribution: its wheel has none.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-jinja2-tests", "3.1.6")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .source(pypi("jinja2"))
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("tests/**");
        cx.install_tree(tests, "root/python3/share/tests/jinja2");
        cx.requires("python3");
    });
