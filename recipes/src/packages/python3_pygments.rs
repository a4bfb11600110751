//! Pygments for Python 3, which pytest colours code by.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-pygments", "2.21.0")
    .license("BSD-2-Clause")
    .targets(&[HOST])
    .source(wheel("pygments"))
    .describe(|cx| drop(cx.wheel().installed()));
