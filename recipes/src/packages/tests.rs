//! What shows that an installed sandbox keeps its promises: `bin/test_pynbox`, with a native and a
//! Python program; and a program whose calls `scripts/differences.py` compares with what they give
//! natively.

use build_graph::dsl::{Recipe, recipe};

const FLAGS: &str = "-Wall -Werror";

pub(crate) const RECIPE: Recipe =
    recipe("tests", "0.1.0").license("MIT OR Apache-2.0").files("recipes/files/tests").describe(|cx| {
        let files = cx.source();
        cx.program("native").sources("native").newest_standard().flags(FLAGS).calls_dlopen().installed("root/test");
        cx.install_tree(files.select("test_pynbox.py"), "root/test");
        cx.install_tree(files.select("bin/test_pynbox"), "");
        // A C library that is not ours to complete lacks much of what this calls.
        if !cx.toolchain().loads_libraries() {
            cx.program("calls").sources("calls").newest_standard().flags(FLAGS).installed("root/test");
        }
        cx.requires("sandbox_outer sandbox_inner python");
    });
