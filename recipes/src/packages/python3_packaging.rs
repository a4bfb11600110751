//! packaging for Python 3, which pytest compares versions by.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-packaging", "26.4")
    .license("Apache-2.0 OR BSD-2-Clause")
    .targets(&[HOST])
    .source(wheel("packaging"))
    .describe(|cx| drop(cx.wheel().installed()));
