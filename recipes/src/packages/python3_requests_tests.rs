//! The tests of Requests for Python 3, from its source distribution: its wheel has none.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-requests-tests", "2.32.5")
    .license("Apache-2.0")
    .targets(&[WASM])
    .source(pypi("requests"))
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("tests/**");
        cx.install_tree(tests, "root/python3/share/tests/requests");
        cx.requires("python3");
    });
