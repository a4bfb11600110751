//! The tests of urllib3 for Python 3, from its source distribution: its wheel has none.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-urllib3-tests", "2.8.0")
    .license("MIT")
    .targets(&[WASM])
    .source(pypi("urllib3"))
    .on_request()
    .describe(|cx| {
        let tests = cx.source().select("pyproject.toml test/**");
        cx.install_tree(tests, "root/python3/share/tests/urllib3");
        cx.requires("python3");
    });
