//! The tests of Python 3's lxml, in a package of their own, with the documentation whose examples
//! are among them.

use build_graph::dsl::{Recipe, recipe};

use super::python3::LIBRARY_IN_DEST;
use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-lxml-tests", "6.0.2")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .source_of("python3-lxml")
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        let source = cx.unpacked("python3-lxml", 1);
        let site = format!("{LIBRARY_IN_DEST}/site-packages");
        cx.install_tree(source.select("src/lxml/tests/**").strip("src"), &site);
        cx.install_tree(source.select("doc/** samples/** !doc/html/**"), LIBRARY_IN_DEST);
        cx.requires("python3-lxml");
    });
