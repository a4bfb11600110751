//! Native code of the tests of C++, and of the library that they need.

use build_graph::dsl::{MemoryBase, Recipe, recipe};

use super::python_native::libraries;
use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe =
    recipe("tests_cxx-native", "0.1.0").license("MIT OR Apache-2.0").targets(&[WASM]).on_request().describe(|cx| {
        let program = cx.given_by("tests_cxx", "program");
        let (modules, library) = (cx.linked_by("tests_cxx"), cx.linked_by("libcxx"));
        for base in MemoryBase::ALL {
            let native = cx.native_code("main", program.clone()).parts(12).trained_by("main alone").finish(base);
            cx.installs_native_code("main", &native, base);
            let code = cx.native_libraries("main", &native).trained_by("main");
            let code = libraries(code, "tests_cxx", &modules, "/test_cxx");
            libraries(code, "tests_cxx", &library, "").installed(base);
        }
        cx.install_tree(program, "lib/native/main");
        cx.requires("tests_cxx");
    });
