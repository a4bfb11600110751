//! numpy's own tests, in a package of their own, with what runs them.

use build_graph::dsl::{Recipe, recipe};

use crate::toolchains::WASM;

/// What runs the tests: pure wheels, the same in the sandbox and natively.
const TOOLS: [&str; 8] = [
    "python3-pytest",
    "python3-iniconfig",
    "python3-packaging",
    "python3-pluggy",
    "python3-pygments",
    "python3-hypothesis",
    "python3-attrs",
    "python3-sortedcontainers",
];

pub(crate) const RECIPE: Recipe = recipe("python3-numpy-tests", "2.3.5")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .source_of("python3-numpy")
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        let source = cx.unpacked("python3-numpy", 1);
        // `numpy.distutils` is not there for Python 3.12 and later; a library in the sources brings
        // its own.
        let mut parts = vec![(source.select("numpy/**/tests/** !numpy/distutils/** !numpy/_core/src/**"), "")];
        for tool in TOOLS {
            parts.push((cx.host_tool(tool).below("python3/lib/python3.13/site-packages"), ""));
        }
        let files = cx.merge("files", parts);
        cx.python_files(&files, "");
        cx.requires("python3-numpy");
    });
