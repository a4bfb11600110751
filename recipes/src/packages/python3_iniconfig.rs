//! iniconfig for Python 3, which pytest reads its settings by.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-iniconfig", "2.3.1")
    .license("MIT")
    .targets(&[HOST])
    .source(wheel("iniconfig"))
    .describe(|cx| drop(cx.wheel().installed()));
