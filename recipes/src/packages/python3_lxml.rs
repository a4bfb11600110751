//! lxml for the sandbox's Python 3, and for the native one, which it is compared with.

use build_graph::dsl::{Recipe, pypi, recipe};

use super::lxml;
use crate::toolchains::{HOST, WASM};

pub(crate) const RECIPE: Recipe = recipe("python3-lxml", "6.0.2")
    .license("BSD-3-Clause")
    .targets(&[WASM, HOST])
    .source(pypi("lxml"))
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        lxml::package(cx, "python3");
        cx.python_metadata("");
        if cx.toolchain().installs() {
            let files = cx.files("recipes/files/lxml");
            cx.install_tree(files.select("test_holes.py test_memory.py"), "root/test/python3");
        }
    });
