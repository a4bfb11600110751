//! pytest for Python 3: it runs numpy's tests.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-pytest", "8.4.2")
    .license("MIT")
    .targets(&[HOST])
    .source(wheel("pytest"))
    .describe(|cx| drop(cx.wheel().needs("iniconfig packaging pluggy pygments").installed()));
