//! What shows that exceptions of C++ work across modules: a program, and two modules that it loads.

use build_graph::dsl::{Recipe, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("tests_cxx", "0.1.0")
    .license("MIT OR Apache-2.0")
    .targets(&[WASM])
    .files("recipes/files/tests_cxx")
    .on_request()
    .describe(|cx| {
        const AT: &str = "root/test_cxx";
        // One destructor throws on purpose.
        const FLAGS: &str = "-Wall -Wextra -Werror -Wno-exceptions";
        for name in ["throws", "catches"] {
            let module = cx.module(&format!("{name}.so")).cxx("17").sources(format!("{name}.cpp")).headers("*.h");
            let module = module.flags(FLAGS).finish();
            cx.install_tree(&module, AT);
        }
        let program = cx.program("main").cxx("17").sources("main.cpp").headers("*.h").flags(FLAGS);
        let program = program.loads_libraries().finish();
        cx.install_tree(&program, AT);
        cx.gives("program", &program);
        let script = cx.source().select("bin/test_cxx");
        cx.install_tree(script, "");
        cx.requires("sandbox_outer sandbox_inner libcxx");
    });
