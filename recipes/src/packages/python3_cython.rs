//! Cython: writes C from modules in its language, on the machine that builds.

use build_graph::dsl::{Context, Handle, Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-cython", "3.3.1")
    .license("Apache-2.0")
    .targets(&[HOST])
    .source(wheel("cython"))
    .describe(|cx| drop(cx.wheel().installed()));

/// The C file of a module in Cython: `MODULE.c` for `MODULE.pyx` of this tree, which has what the
/// module includes, too.
pub(crate) fn c_of(cx: &mut Context<'_>, source: &Handle, module: &str) -> Handle {
    let (python, cython) = (cx.host_tool("python3"), cx.host_tool("python3-cython"));
    cx.action(&format!("{module}.c"))
        .shell(&format!("python3/bin/python3 -I -m cython -3 --working src -o ../{module}.c {module}.pyx"))
        // Sets of names have one order.
        .env("PYTHONHASHSEED", "0")
        .input(python.below("python3"), "/build/python3")
        .input(cython.below("python3"), "/build/python3")
        .input(source, "/build/src")
        .output([&*format!("{module}.c")])
        .finish()
}
