//! lxml's own tests, in a package of their own, with the documentation whose examples are among
//! them.

use build_graph::dsl::{Recipe, recipe};

pub(crate) const RECIPE: Recipe = recipe("lxml-tests", "4.9.4").license("BSD-3-Clause").describe(|cx| {
    let source = cx.unpacked("lxml", 1);
    cx.install_tree(source.select("src/lxml/tests/**").strip("src"), "root/python/lib/python2.7/site-packages");
    cx.install_tree(source.select("doc/** samples/** !doc/html/**"), "root/python/lib/python2.7");
    cx.requires("lxml");
});
