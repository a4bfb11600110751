//! pluggy for Python 3, which pytest calls its plugins by.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-pluggy", "1.7.0")
    .license("MIT")
    .targets(&[HOST])
    .source(wheel("pluggy"))
    .describe(|cx| drop(cx.wheel().installed()));
