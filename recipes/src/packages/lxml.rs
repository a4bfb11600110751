//! lxml for the sandbox's Python: C modules that Cython wrote, and Python files; and for the native
//! one, which it is compared with.

use build_graph::dsl::{Context, Recipe, pypi, recipe};

use crate::toolchains::ALL;

pub(crate) const RECIPE: Recipe =
    recipe("lxml", "4.9.4").license("BSD-3-Clause").targets(ALL).source(pypi("lxml")).describe(|cx| {
        package(cx, "python");
        if cx.toolchain().installs() {
            let files = cx.files("recipes/files/lxml");
            cx.install_tree(files.select("test_*.py"), "root/test");
        }
    });

/// Builds and installs lxml for the recipe's Python.
pub(super) fn package(cx: &mut Context<'_>, python: &'static str) {
    let files = cx.files("recipes/files/lxml");
    // What makes a MemoryError of every allocation that fails in the libraries, whatever they make
    // of it.
    let memory = match cx.toolchain().installs() {
        true => cx
            .compile()
            .source(&files)
            .sources("memory")
            .headers_of(python)
            .headers_of("libxml2")
            .flags("-Wall -Werror")
            .pic()
            .finish(),
        false => Vec::new(),
    };
    for name in ["etree", "objectify", "_elementpath", "builder", "sax"] {
        let module = cx
            .python_extension(&format!("lxml.{name}"))
            .sources_in("src/lxml", name)
            .objects(memory.iter().filter(|_| name == "etree").cloned())
            .headers("src/lxml/*.h src/lxml/includes/*.h")
            .include("src/lxml/includes")
            .defines("-DCYTHON_CLINE_IN_TRACEBACK=0")
            // Cython's C has casts and leftovers that a compiler would speak of at length.
            .quiet();
        // The others are Python that was compiled; only these two call the libraries.
        match name {
            "etree" | "objectify" => module.dep("libxslt").installed(),
            _ => module.headers_of("libxslt").installed(),
        };
    }
    // What was compiled is not imported from Python files; the tests are a package of their own.
    let pure = "src/lxml/**/*.py src/lxml/isoschematron/resources/** !src/lxml/_elementpath.py !src/lxml/builder.py \
                !src/lxml/sax.py !src/lxml/tests/**";
    let pure = cx.source().select(pure).strip("src/lxml");
    cx.gives("files", pure.clone());
    cx.python_files(pure, "lxml");
}
